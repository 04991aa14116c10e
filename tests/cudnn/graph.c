// The builder of graph.h.
#include "graph.h"

#include <stdio.h>
#include <string.h>

enum {
    CANDIDATES = 64
};

static void fail(struct graph *graph, cudnnStatus_t status, const char *call, const char *what)
{
    if (status == CUDNN_STATUS_SUCCESS || graph->status != CUDNN_STATUS_SUCCESS)
        return;
    graph->status = status;
    snprintf(graph->where, sizeof graph->where, "%s %s", call, what);
}

void graph_begin(struct graph *graph)
{
    *graph = (struct graph){0};
    graph->next_uid = 1;
}

void graph_end(struct graph *graph)
{
    while (graph->descriptors > 0)
        cudnnBackendDestroyDescriptor(graph->live[--graph->descriptors]);
}

cudnnBackendDescriptor_t graph_create(struct graph *graph, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t descriptor = NULL;
    if (graph->descriptors == GRAPH_DESCRIPTORS) {
        fail(graph, CUDNN_STATUS_INTERNAL_ERROR, "create", "too many descriptors");
        return NULL;
    }
    cudnnStatus_t status = cudnnBackendCreateDescriptor(type, &descriptor);
    fail(graph, status, "create", "descriptor");
    if (status == CUDNN_STATUS_SUCCESS)
        graph->live[graph->descriptors++] = descriptor;
    return descriptor;
}

void graph_set(struct graph *graph, cudnnBackendDescriptor_t descriptor,
    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
    const void *values)
{
    if (graph->status != CUDNN_STATUS_SUCCESS)
        return;
    char what[32];
    snprintf(what, sizeof what, "%d", (int)name);
    fail(graph, cudnnBackendSetAttribute(descriptor, name, type, count, values), "set", what);
}

void graph_set_child(struct graph *graph, cudnnBackendDescriptor_t descriptor,
    cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t child)
{
    graph_set(graph, descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &child);
}

static void set_child_if(struct graph *graph, cudnnBackendDescriptor_t descriptor,
    cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t child)
{
    if (child)
        graph_set_child(graph, descriptor, name, child);
}

static void set_int64(struct graph *graph, cudnnBackendDescriptor_t descriptor,
    cudnnBackendAttributeName_t name, int64_t value)
{
    graph_set(graph, descriptor, name, CUDNN_TYPE_INT64, 1, &value);
}

static void set_float32(
    struct graph *graph, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name)
{
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
    graph_set(graph, descriptor, name, CUDNN_TYPE_DATA_TYPE, 1, &type);
}

void graph_finalize(struct graph *graph, cudnnBackendDescriptor_t descriptor, const char *what)
{
    if (graph->status == CUDNN_STATUS_SUCCESS)
        fail(graph, cudnnBackendFinalize(descriptor), "finalize", what);
}

// ---- tensors

static cudnnBackendDescriptor_t tensor(struct graph *graph, cudnnDataType_t type,
    struct shape shape, const int64_t strides[4], bool is_virtual, bool by_value)
{
    cudnnBackendDescriptor_t made = graph_create(graph, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    int64_t dimensions[] = {shape.n, shape.c, shape.h, shape.w};
    graph_set(graph, made, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    graph_set(graph, made, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dimensions);
    graph_set(graph, made, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    set_int64(graph, made, CUDNN_ATTR_TENSOR_UNIQUE_ID, graph->next_uid++);
    set_int64(graph, made, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 16);
    if (is_virtual)
        graph_set(graph, made, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    if (by_value)
        graph_set(graph, made, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value);
    graph_finalize(graph, made, "tensor");
    return made;
}

static cudnnBackendDescriptor_t packed(
    struct graph *graph, cudnnDataType_t type, struct shape s, bool is_virtual)
{
    int64_t strides[] = {s.c * s.h * s.w, 1, s.c * s.w, s.c};
    return tensor(graph, type, s, strides, is_virtual, false);
}

cudnnBackendDescriptor_t graph_tensor(struct graph *graph, cudnnDataType_t type, struct shape shape)
{
    return packed(graph, type, shape, false);
}

cudnnBackendDescriptor_t graph_virtual(
    struct graph *graph, cudnnDataType_t type, struct shape shape)
{
    return packed(graph, type, shape, true);
}

cudnnBackendDescriptor_t graph_channels(struct graph *graph, cudnnDataType_t type, int64_t c)
{
    return packed(graph, type, (struct shape){1, c, 1, 1}, false);
}

cudnnBackendDescriptor_t graph_strided(
    struct graph *graph, cudnnDataType_t type, struct shape shape, const int64_t strides[4])
{
    return tensor(graph, type, shape, strides, false, false);
}

cudnnBackendDescriptor_t graph_scalar(struct graph *graph, cudnnDataType_t type)
{
    return tensor(
        graph, type, (struct shape){1, 1, 1, 1}, (const int64_t[]){1, 1, 1, 1}, false, true);
}

// ---- operations

static void add(struct graph *graph, cudnnBackendDescriptor_t operation, const char *what)
{
    graph_finalize(graph, operation, what);
    if (graph->count == GRAPH_OPERATIONS)
        fail(graph, CUDNN_STATUS_INTERNAL_ERROR, "add", "too many operations");
    else
        graph->operations[graph->count++] = operation;
}

static cudnnBackendDescriptor_t convolution(struct graph *graph, struct window window)
{
    cudnnBackendDescriptor_t made = graph_create(graph, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    int64_t pads[] = {window.pad, window.pad}, strides[] = {window.stride, window.stride};
    int64_t dilations[] = {window.dilation, window.dilation};
    set_float32(graph, made, CUDNN_ATTR_CONVOLUTION_COMP_TYPE);
    graph_set(graph, made, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set_int64(graph, made, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2);
    graph_set(graph, made, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    graph_set(graph, made, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    graph_set(graph, made, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides);
    graph_set(graph, made, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilations);
    graph_finalize(graph, made, "convolution");
    return made;
}

void graph_convolution(struct graph *graph, enum pass pass, struct window window,
    cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t w, cudnnBackendDescriptor_t y)
{
    static const struct {
        cudnnBackendDescriptorType_t type;
        cudnnBackendAttributeName_t window, x, w, y, alpha, beta;
    } passes[] = {
        [PASS_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
        [PASS_DATA] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
        [PASS_FILTER] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
    };
    const float alpha = 1, beta = 0;
    cudnnBackendDescriptor_t made = graph_create(graph, passes[pass].type);
    graph_set_child(graph, made, passes[pass].window, convolution(graph, window));
    graph_set_child(graph, made, passes[pass].x, x);
    graph_set_child(graph, made, passes[pass].w, w);
    graph_set_child(graph, made, passes[pass].y, y);
    graph_set(graph, made, passes[pass].alpha, CUDNN_TYPE_FLOAT, 1, &alpha);
    graph_set(graph, made, passes[pass].beta, CUDNN_TYPE_FLOAT, 1, &beta);
    add(graph, made, "convolution operation");
}

void graph_pointwise(struct graph *graph, cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t x,
    cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t y)
{
    bool backward = mode >= CUDNN_POINTWISE_RELU_BWD && mode < CUDNN_POINTWISE_CMP_EQ;
    cudnnBackendDescriptor_t function = graph_create(graph, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    graph_set(graph, function, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set_float32(graph, function, CUDNN_ATTR_POINTWISE_MATH_PREC);
    graph_finalize(graph, function, "pointwise");
    cudnnBackendDescriptor_t made = graph_create(
        graph, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    graph_set_child(graph, made, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function);
    graph_set_child(graph, made, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    set_child_if(graph, made,
        backward ? CUDNN_ATTR_OPERATION_POINTWISE_DYDESC : CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    graph_set_child(graph, made,
        backward ? CUDNN_ATTR_OPERATION_POINTWISE_DXDESC : CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    add(graph, made, "pointwise operation");
}

void graph_reduction(struct graph *graph, cudnnReduceTensorOp_t operator_,
    cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t y)
{
    cudnnBackendDescriptor_t function = graph_create(graph, CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    graph_set(graph, function, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1,
        &operator_);
    set_float32(graph, function, CUDNN_ATTR_REDUCTION_COMP_TYPE);
    graph_finalize(graph, function, "reduction");
    cudnnBackendDescriptor_t made = graph_create(
        graph, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    graph_set_child(graph, made, CUDNN_ATTR_OPERATION_REDUCTION_DESC, function);
    graph_set_child(graph, made, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
    graph_set_child(graph, made, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y);
    add(graph, made, "reduction operation");
}

static cudnnBackendDescriptor_t norm_forward(
    struct graph *graph, const struct norm *norm, cudnnBackendNormFwdPhase_t phase)
{
    cudnnBackendNormMode_t mode = CUDNN_BATCH_NORM;
    cudnnBackendDescriptor_t made = graph_create(
        graph, CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR);
    graph_set(graph, made, CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_TYPE_NORM_MODE, 1, &mode);
    graph_set(
        graph, made, CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, CUDNN_TYPE_NORM_FWD_PHASE, 1, &phase);
    set_child_if(graph, made, CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, norm->x);
    set_child_if(graph, made, CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, norm->mean);
    set_child_if(
        graph, made, CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, norm->inverse_deviation);
    set_child_if(graph, made, CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, norm->scale);
    set_child_if(graph, made, CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC, norm->bias);
    set_child_if(graph, made, CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, norm->y);
    return made;
}

void graph_norm_training(struct graph *graph, const struct norm *norm)
{
    cudnnBackendDescriptor_t made = norm_forward(graph, norm, CUDNN_NORM_FWD_TRAINING);
    set_child_if(graph, made, CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC, norm->epsilon);
    set_child_if(graph, made, CUDNN_ATTR_OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC, norm->factor);
    set_child_if(
        graph, made, CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC, norm->running_mean);
    set_child_if(
        graph, made, CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC, norm->running_variance);
    set_child_if(
        graph, made, CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC, norm->next_mean);
    set_child_if(
        graph, made, CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC, norm->next_variance);
    add(graph, made, "norm forward");
}

void graph_norm_inference(struct graph *graph, const struct norm *norm)
{
    add(graph, norm_forward(graph, norm, CUDNN_NORM_FWD_INFERENCE), "norm inference");
}

void graph_norm_backward(struct graph *graph, const struct norm *norm)
{
    cudnnBackendNormMode_t mode = CUDNN_BATCH_NORM;
    cudnnBackendDescriptor_t made = graph_create(
        graph, CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR);
    graph_set(graph, made, CUDNN_ATTR_OPERATION_NORM_BWD_MODE, CUDNN_TYPE_NORM_MODE, 1, &mode);
    set_child_if(graph, made, CUDNN_ATTR_OPERATION_NORM_BWD_XDESC, norm->x);
    set_child_if(graph, made, CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC, norm->mean);
    set_child_if(
        graph, made, CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC, norm->inverse_deviation);
    set_child_if(graph, made, CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, norm->scale);
    set_child_if(graph, made, CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC, norm->dy);
    set_child_if(graph, made, CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, norm->dx);
    set_child_if(graph, made, CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC, norm->dscale);
    set_child_if(graph, made, CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC, norm->dbias);
    add(graph, made, "norm backward");
}

// ---- graphs, devices, plans

cudnnBackendDescriptor_t graph_operations(struct graph *graph, cudnnHandle_t handle)
{
    cudnnBackendDescriptor_t made = graph_create(graph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (handle)
        graph_set(graph, made, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    graph_set(graph, made, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
        graph->count, graph->operations);
    graph_finalize(graph, made, "graph");
    return made;
}

cudnnBackendDescriptor_t graph_device(struct graph *graph, const char *json)
{
    cudnnBackendDescriptor_t made = graph_create(graph, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    graph_set(graph, made, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
        (int64_t)strlen(json), json);
    graph_finalize(graph, made, "device");
    return made;
}

static bool notes_admitted(
    cudnnBackendDescriptor_t engine, const struct admitted *admitted, struct chosen *chosen)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    cudnnBackendBehaviorNote_t behaviors[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    int64_t count = 0, behavior_count = 0;
    if (cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
            CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes) ||
        cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
            CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, &behavior_count, behaviors))
        return false;
    chosen->runtime_compiled = false;
    for (int64_t i = 0; i < behavior_count; i++)
        if (behaviors[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION)
            chosen->runtime_compiled = true;
    for (int64_t i = 0; i < count; i++) {
        bool winograd = notes[i] >= CUDNN_NUMERICAL_NOTE_WINOGRAD &&
                        notes[i] <= CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13;
        bool tensor_cores = notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE ||
                            notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
        bool reduced = notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
        bool random = notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
        if ((winograd && !admitted->winograd) || (tensor_cores && !admitted->tensor_cores) ||
            (reduced && !admitted->reduced_precision) || (random && !admitted->nondeterministic))
            return false;
    }
    return true;
}

static bool engine_admitted(struct graph *graph, cudnnBackendDescriptor_t configuration,
    const struct admitted *admitted, struct chosen *chosen)
{
    int64_t count = 0;
    cudnnBackendDescriptor_t engine = graph_create(graph, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    if (cudnnBackendGetAttribute(configuration, CUDNN_ATTR_ENGINECFG_ENGINE,
            CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine) ||
        cudnnBackendGetAttribute(
            engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count, &chosen->index))
        return false;
    return notes_admitted(engine, admitted, chosen);
}

// The plan of a candidate, or null. Its failure is not the graph's: another engine may do.
static cudnnBackendDescriptor_t finalized_plan(struct graph *graph,
    cudnnBackendDescriptor_t configuration, cudnnHandle_t handle, struct chosen *chosen)
{
    cudnnBackendDescriptor_t plan = graph_create(graph, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    int64_t count = 0;
    graph_set_child(graph, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
    if (handle)
        graph_set(graph, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    if (graph->status != CUDNN_STATUS_SUCCESS || cudnnBackendFinalize(plan) ||
        cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64,
            1, &count, &chosen->workspace))
        return NULL;
    return plan;
}

static bool choose_by(struct graph *graph, cudnnBackendDescriptor_t heuristics,
    cudnnHandle_t handle, const struct admitted *admitted, struct chosen *chosen)
{
    cudnnBackendDescriptor_t configurations[CANDIDATES];
    int64_t bound = 0, found = 0;
    if (cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
            CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &bound, NULL) ||
        bound <= 0)
        return false;
    bound = bound < CANDIDATES ? bound : CANDIDATES;
    for (int64_t i = 0; i < bound; i++)
        configurations[i] = graph_create(graph, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    if (cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
            CUDNN_TYPE_BACKEND_DESCRIPTOR, bound, &found, configurations))
        return false;
    for (int64_t i = 0; i < found; i++) {
        chosen->place = chosen->candidates++;
        if (!engine_admitted(graph, configurations[i], admitted, chosen))
            continue;
        chosen->admitted++;
        chosen->plan = finalized_plan(graph, configurations[i], handle, chosen);
        if (chosen->plan && chosen->workspace <= admitted->workspace)
            return true;
    }
    chosen->plan = NULL;
    return false;
}

struct chosen graph_choose(struct graph *graph, cudnnBackendDescriptor_t operations,
    cudnnBackendDescriptor_t device, cudnnHandle_t handle, struct admitted admitted)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    struct chosen chosen = {.place = -1};
    for (int i = 0; i < 2 && graph->status == CUDNN_STATUS_SUCCESS; i++) {
        cudnnBackendDescriptor_t made = graph_create(graph, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
        graph_set_child(graph, made, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, operations);
        graph_set(graph, made, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &modes[i]);
        set_child_if(graph, made, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device);
        if (graph->status != CUDNN_STATUS_SUCCESS || cudnnBackendFinalize(made))
            continue; // a mode that knows nothing of such a graph
        if (choose_by(graph, made, handle, &admitted, &chosen))
            break;
    }
    return chosen;
}
