// What a convolution or a batch norm is to cuDNN. The backend API wants a descriptor with a dozen
// attributes for each tensor and each operation; the builder below hides them, so that a kind of
// graph (conv_bias_relu() and the like) reads like its formula.
//
// cuDNN accepts more than it should, among it a bias of the wrong length. So no caller gives the
// shape of a tensor: each follows from the spec and from what the tensor is for, and the spec is
// checked.
#include "backend/cuda/graph.h"

#include "backend/cuda/check.h"
#include "net/net.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DESCRIPTORS_MAX = 32,
    OPERATIONS_MAX = 3,
    ALIGNMENT = 16, // bytes; of every tensor
    // Unique ids: role + 1, then those of what has no role.
    UID_EPSILON = FM_TENSOR_ROLES + 1,
    UID_FACTOR,
    UID_VIRTUAL,                    // and on
    UIDS_MAX = FM_TENSOR_ROLES + 2, // of a variant pack
};

struct fm_cuda_graph {
    struct fm_cuda_graph_spec spec;
    cudnnBackendDescriptor_t live[DESCRIPTORS_MAX]; // all that were made, to be destroyed
    int live_count;
    cudnnBackendDescriptor_t operations[OPERATIONS_MAX];
    int operation_count;
    int64_t next_virtual;
    cudnnBackendDescriptor_t made;
    enum fm_status status; // the first failure: every call after it does nothing
};

typedef cudnnBackendDescriptor_t descriptor;

// ---- descriptors

static void fail(struct fm_cuda_graph *g, cudnnStatus_t error, const char *call, const char *what)
{
    char key[128], reason[512] = "";
    fm_cuda_graph_key(&g->spec, key, sizeof key);
    cudnnGetLastErrorString(reason, sizeof reason);
    bool unsupported = CUDNN_STATUS_CATEGORY(error) == CUDNN_STATUS_NOT_SUPPORTED;
    g->status = fm_fail(unsupported ? FM_UNSUPPORTED : FM_BACKEND,
        "cuDNN: graph %s: %s (%s): %s (%d): %s", key, call, what, cudnnGetErrorString(error),
        (int)error, reason);
}

static descriptor create(
    struct fm_cuda_graph *g, cudnnBackendDescriptorType_t type, const char *what)
{
    if (g->status != FM_OK)
        return NULL;
    if (g->live_count == DESCRIPTORS_MAX) {
        g->status = fm_fail(
            FM_BACKEND, "cuDNN: a graph has more than %d descriptors: %s", DESCRIPTORS_MAX, what);
        return NULL;
    }
    descriptor made = NULL;
    cudnnStatus_t error = cudnnBackendCreateDescriptor(type, &made);
    if (error != CUDNN_STATUS_SUCCESS) {
        fail(g, error, "cudnnBackendCreateDescriptor", what);
        return NULL;
    }
    g->live[g->live_count++] = made;
    return made;
}

// `what` names the attribute, as cuDNN's enum does.
static void set(struct fm_cuda_graph *g, descriptor of, cudnnBackendAttributeName_t name,
    const char *what, cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    if (g->status != FM_OK)
        return;
    cudnnStatus_t error = cudnnBackendSetAttribute(of, name, type, count, values);
    if (error != CUDNN_STATUS_SUCCESS)
        fail(g, error, "cudnnBackendSetAttribute", what);
}

static void set_child(struct fm_cuda_graph *g, descriptor of, cudnnBackendAttributeName_t name,
    const char *what, descriptor child)
{
    set(g, of, name, what, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &child);
}

static void finalize(struct fm_cuda_graph *g, descriptor of, const char *what)
{
    if (g->status != FM_OK)
        return;
    cudnnStatus_t error = cudnnBackendFinalize(of);
    if (error != CUDNN_STATUS_SUCCESS)
        fail(g, error, "cudnnBackendFinalize", what);
}

// SET(g, made, TENSOR_DIMENSIONS, INT64, 4, dimensions), SET_CHILD(g, made, ..., x)
#define SET(g, of, name, type, count, values)                                                      \
    set(g, of, CUDNN_ATTR_##name, #name, CUDNN_TYPE_##type, count, values)
#define SET_CHILD(g, of, name, child) set_child(g, of, CUDNN_ATTR_##name, #name, child)

// ---- tensors

struct extent {
    int64_t n, c, h, w;
};

static bool is_norm(enum fm_cuda_graph_kind kind)
{
    return kind >= FM_GRAPH_NORM;
}

static struct extent input_extent(const struct fm_cuda_graph_spec *s)
{
    return (struct extent){s->n, s->c, s->h, s->w};
}

static struct extent output_extent(const struct fm_cuda_graph_spec *s)
{
    if (is_norm(s->kind))
        return input_extent(s);
    int64_t grown = 2 * (int64_t)s->padding - s->kernel + 1;
    return (struct extent){s->n, s->k, s->h + grown, s->w + grown};
}

static struct extent extent_of(const struct fm_cuda_graph_spec *s, enum fm_cuda_role role)
{
    switch (role) {
    case FM_TENSOR_X:
    case FM_TENSOR_DX:
        return input_extent(s);
    case FM_TENSOR_Y:
    case FM_TENSOR_DY:
        return output_extent(s);
    case FM_TENSOR_WEIGHT:
    case FM_TENSOR_DWEIGHT:
        return (struct extent){s->k, s->c, s->kernel, s->kernel};
    case FM_TENSOR_BIAS:
        return (struct extent){1, s->k, 1, 1};
    default: // scale, shift, statistics
        return (struct extent){1, s->c, 1, 1};
    }
}

static cudnnDataType_t data_type(enum fm_cuda_type type)
{
    return type == FM_CUDA_F16    ? CUDNN_DATA_HALF
           : type == FM_CUDA_BF16 ? CUDNN_DATA_BFLOAT16
                                  : CUDNN_DATA_FLOAT;
}

static enum fm_cuda_type type_of(const struct fm_cuda_graph_spec *s, enum fm_cuda_role role)
{
    return role <= FM_TENSOR_DWEIGHT ? s->type : FM_CUDA_F32;
}

// Not yet finalised. NHWC and KRSC alike: the channels lie next to each other.
static descriptor begin_tensor(
    struct fm_cuda_graph *g, enum fm_cuda_type type, struct extent e, int64_t uid)
{
    const int64_t dimensions[] = {e.n, e.c, e.h, e.w};
    const int64_t strides[] = {e.h * e.w * e.c, 1, e.w * e.c, e.c};
    const int64_t alignment = ALIGNMENT;
    const cudnnDataType_t stored = data_type(type);
    descriptor made = create(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR, "tensor");
    SET(g, made, TENSOR_DATA_TYPE, DATA_TYPE, 1, &stored);
    SET(g, made, TENSOR_DIMENSIONS, INT64, 4, dimensions);
    SET(g, made, TENSOR_STRIDES, INT64, 4, strides);
    SET(g, made, TENSOR_UNIQUE_ID, INT64, 1, &uid);
    SET(g, made, TENSOR_BYTE_ALIGNMENT, INT64, 1, &alignment);
    return made;
}

static descriptor tensor(struct fm_cuda_graph *g, enum fm_cuda_role role)
{
    descriptor made = begin_tensor(
        g, type_of(&g->spec, role), extent_of(&g->spec, role), (int64_t)role + 1);
    finalize(g, made, "tensor");
    return made;
}

// Between two operations: shaped like the output, and never in memory.
static descriptor between(struct fm_cuda_graph *g, enum fm_cuda_type type)
{
    const bool yes = true;
    descriptor made = begin_tensor(g, type, output_extent(&g->spec), g->next_virtual++);
    SET(g, made, TENSOR_IS_VIRTUAL, BOOLEAN, 1, &yes);
    finalize(g, made, "virtual tensor");
    return made;
}

static descriptor scalar(struct fm_cuda_graph *g, int64_t uid)
{
    const bool yes = true;
    descriptor made = begin_tensor(g, FM_CUDA_F32, (struct extent){1, 1, 1, 1}, uid);
    SET(g, made, TENSOR_IS_BY_VALUE, BOOLEAN, 1, &yes);
    finalize(g, made, "scalar");
    return made;
}

// ---- operations, each added to the graph

static void add_operation(struct fm_cuda_graph *g, descriptor operation, const char *what)
{
    finalize(g, operation, what);
    if (g->status == FM_OK)
        g->operations[g->operation_count++] = operation;
}

static descriptor window(struct fm_cuda_graph *g)
{
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t dimensions = 2, ones[] = {1, 1}, pads[] = {g->spec.padding, g->spec.padding};
    descriptor made = create(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "convolution");
    SET(g, made, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1, &sums);
    SET(g, made, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, 1, &mode);
    SET(g, made, CONVOLUTION_SPATIAL_DIMS, INT64, 1, &dimensions);
    SET(g, made, CONVOLUTION_PRE_PADDINGS, INT64, 2, pads);
    SET(g, made, CONVOLUTION_POST_PADDINGS, INT64, 2, pads);
    SET(g, made, CONVOLUTION_FILTER_STRIDES, INT64, 2, ones);
    SET(g, made, CONVOLUTION_DILATIONS, INT64, 2, ones);
    finalize(g, made, "convolution");
    return made;
}

// The three passes differ in their attributes' names alone: x is x or dx, w weight or dweight, y y
// or dy; one of them is the output.
#define CONVOLUTION(g, type, pass, x_name, w_name, y_name, x, w, y, what)                          \
    do {                                                                                           \
        const float one = 1, zero = 0;                                                             \
        descriptor made = create(                                                                  \
            g, CUDNN_BACKEND_OPERATION_CONVOLUTION_##type##_DESCRIPTOR, what);                     \
        SET_CHILD(g, made, OPERATION_CONVOLUTION_##pass##_CONV_DESC, window(g));                   \
        SET_CHILD(g, made, OPERATION_CONVOLUTION_##pass##_##x_name, x);                            \
        SET_CHILD(g, made, OPERATION_CONVOLUTION_##pass##_##w_name, w);                            \
        SET_CHILD(g, made, OPERATION_CONVOLUTION_##pass##_##y_name, y);                            \
        SET(g, made, OPERATION_CONVOLUTION_##pass##_ALPHA, FLOAT, 1, &one);                        \
        SET(g, made, OPERATION_CONVOLUTION_##pass##_BETA, FLOAT, 1, &zero);                        \
        add_operation(g, made, what);                                                              \
    } while (0)

static void convolve(struct fm_cuda_graph *g, descriptor x, descriptor w, descriptor y)
{
    CONVOLUTION(g, FORWARD, FORWARD, X, W, Y, x, w, y, "convolution forward");
}

static void convolve_data(struct fm_cuda_graph *g, descriptor dy, descriptor w, descriptor dx)
{
    CONVOLUTION(g, BACKWARD_DATA, BWD_DATA, DX, W, DY, dx, w, dy, "convolution data gradient");
}

static void convolve_weights(struct fm_cuda_graph *g, descriptor x, descriptor dy, descriptor dw)
{
    CONVOLUTION(
        g, BACKWARD_FILTER, BWD_FILTER, X, DW, DY, x, dw, dy, "convolution weight gradient");
}

// The operation without its operands.
static descriptor begin_pointwise(
    struct fm_cuda_graph *g, cudnnPointwiseMode_t mode, const char *what)
{
    const cudnnDataType_t arithmetic = CUDNN_DATA_FLOAT;
    descriptor function = create(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, what);
    SET(g, function, POINTWISE_MODE, POINTWISE_MODE, 1, &mode);
    SET(g, function, POINTWISE_MATH_PREC, DATA_TYPE, 1, &arithmetic);
    finalize(g, function, what);
    descriptor made = create(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, what);
    SET_CHILD(g, made, OPERATION_POINTWISE_PW_DESCRIPTOR, function);
    return made;
}

static void add(struct fm_cuda_graph *g, descriptor x, descriptor bias, descriptor y)
{
    descriptor made = begin_pointwise(g, CUDNN_POINTWISE_ADD, "add");
    SET_CHILD(g, made, OPERATION_POINTWISE_XDESC, x);
    SET_CHILD(g, made, OPERATION_POINTWISE_BDESC, bias);
    SET_CHILD(g, made, OPERATION_POINTWISE_YDESC, y);
    add_operation(g, made, "add");
}

static void relu(struct fm_cuda_graph *g, descriptor x, descriptor y)
{
    descriptor made = begin_pointwise(g, CUDNN_POINTWISE_RELU_FWD, "relu");
    SET_CHILD(g, made, OPERATION_POINTWISE_XDESC, x);
    SET_CHILD(g, made, OPERATION_POINTWISE_YDESC, y);
    add_operation(g, made, "relu");
}

// dx = dy where x > 0.
static void relu_gradient(struct fm_cuda_graph *g, descriptor x, descriptor dy, descriptor dx)
{
    descriptor made = begin_pointwise(g, CUDNN_POINTWISE_RELU_BWD, "relu gradient");
    SET_CHILD(g, made, OPERATION_POINTWISE_XDESC, x);
    SET_CHILD(g, made, OPERATION_POINTWISE_DYDESC, dy);
    SET_CHILD(g, made, OPERATION_POINTWISE_DXDESC, dx);
    add_operation(g, made, "relu gradient");
}

// What the two directions of a batch norm share.
struct norm {
    descriptor x, scale, mean, inverse;
};

static struct norm begin_norm(struct fm_cuda_graph *g)
{
    struct norm norm;
    norm.x = tensor(g, FM_TENSOR_X);
    norm.scale = tensor(g, FM_TENSOR_SCALE);
    norm.mean = tensor(g, FM_TENSOR_MEAN);
    norm.inverse = tensor(g, FM_TENSOR_INVERSE);
    return norm;
}

static descriptor begin_normalise(struct fm_cuda_graph *g, cudnnBackendNormFwdPhase_t phase,
    const struct norm *norm, descriptor y)
{
    const cudnnBackendNormMode_t mode = CUDNN_BATCH_NORM;
    descriptor made = create(
        g, CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR, "batch norm forward");
    SET(g, made, OPERATION_NORM_FWD_MODE, NORM_MODE, 1, &mode);
    SET(g, made, OPERATION_NORM_FWD_PHASE, NORM_FWD_PHASE, 1, &phase);
    SET_CHILD(g, made, OPERATION_NORM_FWD_XDESC, norm->x);
    SET_CHILD(g, made, OPERATION_NORM_FWD_SCALE_DESC, norm->scale);
    SET_CHILD(g, made, OPERATION_NORM_FWD_BIAS_DESC, tensor(g, FM_TENSOR_SHIFT));
    SET_CHILD(g, made, OPERATION_NORM_FWD_MEAN_DESC, norm->mean);
    SET_CHILD(g, made, OPERATION_NORM_FWD_INV_VARIANCE_DESC, norm->inverse);
    SET_CHILD(g, made, OPERATION_NORM_FWD_YDESC, y);
    return made;
}

// Normalises by the batch's own statistics and puts them out. cuDNN gives the unbiased variance
// only as part of the running statistics it would have after this batch; with a factor of 1 these
// are the batch's. So a step that overflowed can be taken back: who commits is our own kernel.
static void normalise_training(struct fm_cuda_graph *g, descriptor y)
{
    struct norm norm = begin_norm(g);
    descriptor made = begin_normalise(g, CUDNN_NORM_FWD_TRAINING, &norm, y);
    SET_CHILD(g, made, OPERATION_NORM_FWD_EPSILON_DESC, scalar(g, UID_EPSILON));
    SET_CHILD(g, made, OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC, scalar(g, UID_FACTOR));
    SET_CHILD(
        g, made, OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC, tensor(g, FM_TENSOR_RUNNING_MEAN));
    SET_CHILD(
        g, made, OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC, tensor(g, FM_TENSOR_RUNNING_VARIANCE));
    SET_CHILD(
        g, made, OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC, tensor(g, FM_TENSOR_BATCH_MEAN));
    SET_CHILD(
        g, made, OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC, tensor(g, FM_TENSOR_BATCH_VARIANCE));
    add_operation(g, made, "batch norm forward");
}

// Normalises by statistics that there are.
static void normalise(struct fm_cuda_graph *g, const struct norm *norm, descriptor y)
{
    add_operation(
        g, begin_normalise(g, CUDNN_NORM_FWD_INFERENCE, norm, y), "batch norm with known mean");
}

static void normalise_gradient(struct fm_cuda_graph *g, const struct norm *norm, descriptor dy)
{
    const cudnnBackendNormMode_t mode = CUDNN_BATCH_NORM;
    descriptor made = create(
        g, CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR, "batch norm backward");
    SET(g, made, OPERATION_NORM_BWD_MODE, NORM_MODE, 1, &mode);
    SET_CHILD(g, made, OPERATION_NORM_BWD_XDESC, norm->x);
    SET_CHILD(g, made, OPERATION_NORM_BWD_MEAN_DESC, norm->mean);
    SET_CHILD(g, made, OPERATION_NORM_BWD_INV_VARIANCE_DESC, norm->inverse);
    SET_CHILD(g, made, OPERATION_NORM_BWD_SCALE_DESC, norm->scale);
    SET_CHILD(g, made, OPERATION_NORM_BWD_DYDESC, dy);
    SET_CHILD(g, made, OPERATION_NORM_BWD_DXDESC, tensor(g, FM_TENSOR_DX));
    SET_CHILD(g, made, OPERATION_NORM_BWD_DSCALE_DESC, tensor(g, FM_TENSOR_DSCALE));
    SET_CHILD(g, made, OPERATION_NORM_BWD_DBIAS_DESC, tensor(g, FM_TENSOR_DSHIFT));
    add_operation(g, made, "batch norm backward");
}

// ---- the kinds

static void conv(struct fm_cuda_graph *g)
{
    convolve(g, tensor(g, FM_TENSOR_X), tensor(g, FM_TENSOR_WEIGHT), tensor(g, FM_TENSOR_Y));
}

static void conv_bias(struct fm_cuda_graph *g)
{
    descriptor product = between(g, FM_CUDA_F32);
    convolve(g, tensor(g, FM_TENSOR_X), tensor(g, FM_TENSOR_WEIGHT), product);
    add(g, product, tensor(g, FM_TENSOR_BIAS), tensor(g, FM_TENSOR_Y));
}

static void conv_bias_relu(struct fm_cuda_graph *g)
{
    descriptor product = between(g, FM_CUDA_F32), sum = between(g, FM_CUDA_F32);
    convolve(g, tensor(g, FM_TENSOR_X), tensor(g, FM_TENSOR_WEIGHT), product);
    add(g, product, tensor(g, FM_TENSOR_BIAS), sum);
    relu(g, sum, tensor(g, FM_TENSOR_Y));
}

static void conv_data(struct fm_cuda_graph *g)
{
    convolve_data(g, tensor(g, FM_TENSOR_DY), tensor(g, FM_TENSOR_WEIGHT), tensor(g, FM_TENSOR_DX));
}

static void conv_weights(struct fm_cuda_graph *g)
{
    convolve_weights(
        g, tensor(g, FM_TENSOR_X), tensor(g, FM_TENSOR_DY), tensor(g, FM_TENSOR_DWEIGHT));
}

static void norm(struct fm_cuda_graph *g)
{
    normalise_training(g, tensor(g, FM_TENSOR_Y));
}

static void norm_relu(struct fm_cuda_graph *g)
{
    descriptor normal = between(g, FM_CUDA_F32);
    normalise_training(g, normal);
    relu(g, normal, tensor(g, FM_TENSOR_Y));
}

static void norm_backward(struct fm_cuda_graph *g)
{
    struct norm norm = begin_norm(g);
    normalise_gradient(g, &norm, tensor(g, FM_TENSOR_DY));
}

// cuDNN has an engine for the gated gradient in x's type alone.
static void norm_relu_backward(struct fm_cuda_graph *g)
{
    struct norm norm = begin_norm(g);
    descriptor normal = between(g, FM_CUDA_F32), gated = between(g, g->spec.type);
    normalise(g, &norm, normal);
    relu_gradient(g, normal, tensor(g, FM_TENSOR_DY), gated);
    normalise_gradient(g, &norm, gated);
}

#define ROLE(role) (1u << FM_TENSOR_##role)
#define CONV_ROLES (ROLE(X) | ROLE(WEIGHT) | ROLE(Y))
#define NORM_ROLES                                                                                 \
    (ROLE(X) | ROLE(SCALE) | ROLE(SHIFT) | ROLE(Y) | ROLE(MEAN) | ROLE(INVERSE) |                  \
        ROLE(RUNNING_MEAN) | ROLE(RUNNING_VARIANCE) | ROLE(BATCH_MEAN) | ROLE(BATCH_VARIANCE))
#define NORM_BACKWARD_ROLES                                                                        \
    (ROLE(X) | ROLE(DY) | ROLE(SCALE) | ROLE(MEAN) | ROLE(INVERSE) | ROLE(DX) | ROLE(DSCALE) |     \
        ROLE(DSHIFT))

static const struct {
    const char *name;
    void (*build)(struct fm_cuda_graph *g);
    uint32_t roles; // the tensors in memory
} kinds[FM_GRAPH_KINDS] = {
    [FM_GRAPH_CONV] = {"conv", conv, CONV_ROLES},
    [FM_GRAPH_CONV_BIAS] = {"conv bias", conv_bias, CONV_ROLES | ROLE(BIAS)},
    [FM_GRAPH_CONV_BIAS_RELU] = {"conv bias relu", conv_bias_relu, CONV_ROLES | ROLE(BIAS)},
    [FM_GRAPH_CONV_DATA] = {"conv data", conv_data, ROLE(DY) | ROLE(WEIGHT) | ROLE(DX)},
    [FM_GRAPH_CONV_WEIGHTS] = {"conv weights", conv_weights, ROLE(X) | ROLE(DY) | ROLE(DWEIGHT)},
    [FM_GRAPH_NORM] = {"norm", norm, NORM_ROLES},
    [FM_GRAPH_NORM_RELU] = {"norm relu", norm_relu, NORM_ROLES},
    [FM_GRAPH_NORM_BACKWARD] = {"norm backward", norm_backward, NORM_BACKWARD_ROLES},
    [FM_GRAPH_NORM_RELU_BACKWARD] = {"norm relu backward", norm_relu_backward,
        NORM_BACKWARD_ROLES | ROLE(SHIFT)},
};

const char *fm_cuda_graph_kind_name(enum fm_cuda_graph_kind kind)
{
    return kinds[kind].name;
}

static const char *type_name(enum fm_cuda_type type)
{
    return type == FM_CUDA_F16 ? "fp16" : type == FM_CUDA_BF16 ? "bf16" : "fp32";
}

void fm_cuda_graph_key(const struct fm_cuda_graph_spec *spec, char *key, size_t size)
{
    const struct fm_cuda_graph_spec *s = spec;
    int length = snprintf(key, size, "%s %s n%d h%d w%d c%d", kinds[s->kind].name,
        type_name(s->type), s->n, s->h, s->w, s->c);
    if (!is_norm(s->kind) && length >= 0 && (size_t)length < size)
        snprintf(key + length, size - (size_t)length, " k%d r%d p%d", s->k, s->kernel, s->padding);
}

uint64_t fm_cuda_graph_bytes(const struct fm_cuda_graph_spec *spec, enum fm_cuda_role role)
{
    if (!(kinds[spec->kind].roles >> role & 1))
        return 0;
    struct extent e = extent_of(spec, role);
    return (uint64_t)(e.n * e.c * e.h * e.w) * fm_cuda_size(type_of(spec, role));
}

// ---- the graph

static enum fm_status check(const struct fm_cuda_graph_spec *s)
{
    if (s->kind < 0 || s->kind >= FM_GRAPH_KINDS)
        return fm_fail(FM_DATA, "there is no cuDNN graph of kind %d", (int)s->kind);
    char key[128];
    fm_cuda_graph_key(s, key, sizeof key);
    if (s->type != FM_CUDA_F32 && s->type != FM_CUDA_F16 && s->type != FM_CUDA_BF16)
        return fm_fail(FM_DATA, "graph %s: there is no type %d", key, (int)s->type);
    if (s->n < 1 || s->h < 1 || s->w < 1 || s->c < 1)
        return fm_fail(FM_DATA, "graph %s: n, h, w and c must be 1 or more", key);
    if (is_norm(s->kind))
        return FM_OK;
    if (s->k < 1 || s->kernel < 1)
        return fm_fail(
            FM_DATA, "graph %s: a convolution's k and r (its kernel) must be 1 or more", key);
    if (s->padding < 0 || s->padding >= s->kernel)
        return fm_fail(FM_DATA, "graph %s: the padding must be 0 to %d, less than the kernel", key,
            s->kernel - 1);
    struct extent y = output_extent(s);
    if (y.h < 1 || y.w < 1)
        return fm_fail(FM_DATA,
            "graph %s: the kernel does not fit into the padded image of %d x %d pixels", key,
            s->h + 2 * s->padding, s->w + 2 * s->padding);
    return FM_OK;
}

enum fm_status fm_cuda_graph_create(
    const struct fm_cuda_graph_spec *spec, cudnnHandle_t handle, struct fm_cuda_graph **graph)
{
    FM_TRY(check(spec));
    struct fm_cuda_graph *g = calloc(1, sizeof *g);
    if (!g)
        return fm_fail_memory("a cuDNN graph", sizeof *g);
    g->spec = *spec;
    g->next_virtual = UID_VIRTUAL;
    kinds[spec->kind].build(g);
    g->made = create(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "operation graph");
    if (handle)
        SET(g, g->made, OPERATIONGRAPH_HANDLE, HANDLE, 1, &handle);
    SET(g, g->made, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, g->operation_count, g->operations);
    finalize(g, g->made, "operation graph");
    enum fm_status status = g->status;
    if (status == FM_OK)
        *graph = g;
    else
        fm_cuda_graph_destroy(g);
    return status;
}

void fm_cuda_graph_destroy(struct fm_cuda_graph *graph)
{
    if (!graph)
        return;
    while (graph->live_count > 0)
        (void)cudnnBackendDestroyDescriptor(graph->live[--graph->live_count]);
    free(graph);
}

cudnnBackendDescriptor_t fm_cuda_graph_descriptor(const struct fm_cuda_graph *graph)
{
    return graph->made;
}

// ---- running a plan

struct pack {
    int64_t uids[UIDS_MAX];
    void *pointers[UIDS_MAX];
    int64_t count;
};

static void put(struct pack *pack, int64_t uid, void *pointer)
{
    pack->uids[pack->count] = uid;
    pack->pointers[pack->count++] = pointer;
}

// What a call of the API on the way to a run became.
static enum fm_status run_status(
    const struct fm_cuda_graph_spec *spec, cudnnStatus_t error, const char *call)
{
    if (error == CUDNN_STATUS_SUCCESS)
        return FM_OK;
    char key[128], reason[512] = "";
    fm_cuda_graph_key(spec, key, sizeof key);
    cudnnGetLastErrorString(reason, sizeof reason);
    return fm_cuda_cause(fm_fail(FM_BACKEND, "cuDNN: running graph %s: %.*s: %s (%d): %s", key,
        (int)strcspn(call, "("), call, cudnnGetErrorString(error), (int)error, reason));
}

static enum fm_status execute(const struct fm_cuda_graph_spec *spec, cudnnBackendDescriptor_t plan,
    cudnnHandle_t handle, struct pack *pack, void *workspace)
{
    descriptor made = NULL;
    enum fm_status status;
#define RUN(call) FM_TRY_GOTO(status, run_status(spec, call, #call), out)
    RUN(cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &made));
    RUN(cudnnBackendSetAttribute(
        made, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, pack->count, pack->uids));
    RUN(cudnnBackendSetAttribute(made, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
        pack->count, pack->pointers));
    RUN(cudnnBackendSetAttribute(
        made, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace));
    RUN(cudnnBackendFinalize(made));
    RUN(cudnnBackendExecute(handle, plan, made));
#undef RUN
out:
    if (made)
        (void)cudnnBackendDestroyDescriptor(made);
    return status;
}

enum fm_status fm_cuda_graph_run(const struct fm_cuda_graph_spec *spec,
    cudnnBackendDescriptor_t plan, cudnnHandle_t handle, void *const tensors[FM_TENSOR_ROLES],
    void *workspace)
{
    // By value: cuDNN reads them from here when the run is enqueued.
    float epsilon = FM_BATCHNORM_EPSILON, factor = 1;
    struct pack pack = {.count = 0};
    uint32_t roles = kinds[spec->kind].roles;
    for (int role = 0; role < FM_TENSOR_ROLES; role++) {
        if (!(roles >> role & 1))
            continue;
        if (!tensors[role]) {
            char key[128];
            fm_cuda_graph_key(spec, key, sizeof key);
            return fm_fail(FM_BACKEND,
                "graph %s has no memory for its tensor %d (enum "
                "fm_cuda_role)",
                key, role);
        }
        put(&pack, role + 1, tensors[role]);
    }
    if (roles & ROLE(BATCH_MEAN)) {
        put(&pack, UID_EPSILON, &epsilon);
        put(&pack, UID_FACTOR, &factor);
    }
    return execute(spec, plan, handle, &pack, workspace);
}
