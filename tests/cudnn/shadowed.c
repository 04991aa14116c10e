// A few graphs of a training step, built and executed, for cudnn_shadow.sh: a convolution with bias
// and ReLU, a filter gradient, batch norm with ReLU. Ends with status 1 where one has no engine.
#include "graph.h"

#include <cuda_runtime_api.h>

#include <stdio.h>
#include <stdlib.h>

enum {
    TENSORS = 16
};

struct step {
    struct graph graph;
    cudnnHandle_t handle;
    void *pointers[TENSORS];
    int64_t uids[TENSORS];
    int count;
};

static const struct shape image = {8, 16, 12, 12};

static cudnnBackendDescriptor_t given(struct step *step, struct shape shape, cudnnDataType_t type)
{
    size_t bytes = (size_t)(shape.n * shape.c * shape.h * shape.w) *
                   (type == CUDNN_DATA_FLOAT ? 4 : 2);
    step->uids[step->count] = step->graph.next_uid;
    if (cudaMalloc(&step->pointers[step->count], bytes) != cudaSuccess ||
        cudaMemset(step->pointers[step->count++], 0, bytes) != cudaSuccess)
        exit(2);
    return graph_tensor(&step->graph, type, shape);
}

static cudnnBackendDescriptor_t channels(struct step *step)
{
    return given(step, (struct shape){1, image.c, 1, 1}, CUDNN_DATA_FLOAT);
}

static void bias_relu(struct step *step)
{
    cudnnBackendDescriptor_t x = given(step, image, CUDNN_DATA_HALF);
    cudnnBackendDescriptor_t w = given(step, (struct shape){16, 16, 3, 3}, CUDNN_DATA_HALF);
    cudnnBackendDescriptor_t b = given(step, (struct shape){1, 16, 1, 1}, CUDNN_DATA_HALF);
    cudnnBackendDescriptor_t y = given(step, image, CUDNN_DATA_HALF);
    cudnnBackendDescriptor_t product = graph_virtual(&step->graph, CUDNN_DATA_FLOAT, image);
    cudnnBackendDescriptor_t sum = graph_virtual(&step->graph, CUDNN_DATA_FLOAT, image);
    graph_convolution(&step->graph, PASS_FORWARD, (struct window){1, 1, 1}, x, w, product);
    graph_pointwise(&step->graph, CUDNN_POINTWISE_ADD, product, b, sum);
    graph_pointwise(&step->graph, CUDNN_POINTWISE_RELU_FWD, sum, NULL, y);
}

static void filter_gradient(struct step *step)
{
    cudnnBackendDescriptor_t x = given(step, image, CUDNN_DATA_HALF);
    cudnnBackendDescriptor_t w = given(step, (struct shape){16, 16, 3, 3}, CUDNN_DATA_HALF);
    cudnnBackendDescriptor_t y = given(step, image, CUDNN_DATA_HALF);
    graph_convolution(&step->graph, PASS_FILTER, (struct window){1, 1, 1}, x, w, y);
}

static float epsilon = 1e-5f;

static void norm_relu(struct step *step)
{
    struct norm norm = {.x = given(step, image, CUDNN_DATA_HALF)};
    norm.mean = channels(step);
    norm.inverse_deviation = channels(step);
    norm.scale = channels(step);
    norm.bias = channels(step);
    step->uids[step->count] = step->graph.next_uid;
    step->pointers[step->count++] = &epsilon;
    norm.epsilon = graph_scalar(&step->graph, CUDNN_DATA_FLOAT);
    norm.y = graph_virtual(&step->graph, CUDNN_DATA_FLOAT, image);
    cudnnBackendDescriptor_t y = given(step, image, CUDNN_DATA_HALF);
    graph_norm_training(&step->graph, &norm);
    graph_pointwise(&step->graph, CUDNN_POINTWISE_RELU_FWD, norm.y, NULL, y);
}

static cudnnStatus_t execute(struct step *step, const struct chosen *chosen)
{
    struct graph *graph = &step->graph;
    void *workspace = NULL;
    if (chosen->workspace && cudaMalloc(&workspace, (size_t)chosen->workspace) != cudaSuccess)
        return CUDNN_STATUS_INTERNAL_ERROR;
    cudnnBackendDescriptor_t pack = graph_create(graph, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    graph_set(
        graph, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, step->count, step->uids);
    graph_set(graph, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, step->count,
        step->pointers);
    graph_set(graph, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    graph_finalize(graph, pack, "variant pack");
    if (graph->status == CUDNN_STATUS_SUCCESS)
        graph->status = cudnnBackendExecute(step->handle, chosen->plan, pack);
    cudaDeviceSynchronize();
    cudaFree(workspace);
    return graph->status;
}

static bool run(cudnnHandle_t handle, const char *name, void (*build)(struct step *step))
{
    static struct step step;
    step = (struct step){.handle = handle};
    graph_begin(&step.graph);
    build(&step);
    cudnnBackendDescriptor_t operations = graph_operations(&step.graph, handle);
    struct admitted admitted = {.tensor_cores = true, .workspace = 256 << 20};
    struct chosen chosen = graph_choose(&step.graph, operations, NULL, handle, admitted);
    bool ran = chosen.plan && execute(&step, &chosen) == CUDNN_STATUS_SUCCESS;
    printf("%s: %s\n", name, ran ? "ran" : "no engine");
    graph_end(&step.graph);
    for (int i = 0; i < step.count; i++)
        if (step.pointers[i] != &epsilon)
            cudaFree(step.pointers[i]);
    return ran;
}

int main(void)
{
    cudnnHandle_t handle;
    if (cudnnCreate(&handle) != CUDNN_STATUS_SUCCESS)
        return 2;
    bool ran = run(handle, "bias, ReLU", bias_relu);
    ran &= run(handle, "filter gradient", filter_gradient);
    ran &= run(handle, "norm, ReLU", norm_relu);
    cudnnDestroy(handle);
    return ran ? 0 : 1;
}
