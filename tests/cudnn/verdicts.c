// Which graphs have an engine on a device that is only described: one line a graph. Linked twice
// from the same object file, with NVIDIA's library and with the simulated one; cudnn_verdicts.sh
// compares what the two say.
//
//     cudnn_verdicts DEVICE.json [first letters of a graph's name]
//
// Each graph has a process of its own, since NVIDIA's library can crash on one that it does not
// like.
#include "graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define HALF CUDNN_DATA_HALF
#define BF16 CUDNN_DATA_BFLOAT16
#define FLOAT CUDNN_DATA_FLOAT
#define BOOLEAN CUDNN_DATA_BOOLEAN

struct verdict {
    const char *name;
    void (*build)(struct graph *graph, const struct verdict *of);
    cudnnDataType_t type; // of what is stored
    int64_t n, c, k, size;
};

static struct shape image(const struct verdict *of, int64_t channels)
{
    return (struct shape){of->n, channels, of->size, of->size};
}

static struct shape filter(const struct verdict *of)
{
    return (struct shape){of->k, of->c, 3, 3};
}

static const struct window same = {1, 1, 1};

// ---- convolutions

static void forward(struct graph *graph, const struct verdict *of)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t w = graph_tensor(graph, of->type, filter(of));
    cudnnBackendDescriptor_t y = graph_tensor(graph, of->type, image(of, of->k));
    graph_convolution(graph, PASS_FORWARD, same, x, w, y);
}

static void data(struct graph *graph, const struct verdict *of)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t w = graph_tensor(graph, of->type, filter(of));
    cudnnBackendDescriptor_t y = graph_tensor(graph, of->type, image(of, of->k));
    graph_convolution(graph, PASS_DATA, same, x, w, y);
}

static void filter_gradient(struct graph *graph, const struct verdict *of)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t w = graph_tensor(graph, of->type, filter(of));
    cudnnBackendDescriptor_t y = graph_tensor(graph, of->type, image(of, of->k));
    graph_convolution(graph, PASS_FILTER, same, x, w, y);
}

static void strided_no_padding(struct graph *graph, const struct verdict *of)
{
    int64_t out = (of->size - 3) / 2 + 1;
    cudnnBackendDescriptor_t x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t w = graph_tensor(graph, of->type, filter(of));
    cudnnBackendDescriptor_t y = graph_tensor(
        graph, of->type, (struct shape){of->n, of->k, out, out});
    graph_convolution(graph, PASS_FORWARD, (struct window){0, 2, 1}, x, w, y);
}

static void forward_float_output(struct graph *graph, const struct verdict *of)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t w = graph_tensor(graph, of->type, filter(of));
    cudnnBackendDescriptor_t y = graph_tensor(graph, FLOAT, image(of, of->k));
    graph_convolution(graph, PASS_FORWARD, same, x, w, y);
}

static void filter_gradient_float_output(struct graph *graph, const struct verdict *of)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t w = graph_tensor(graph, FLOAT, filter(of));
    cudnnBackendDescriptor_t y = graph_tensor(graph, of->type, image(of, of->k));
    graph_convolution(graph, PASS_FILTER, same, x, w, y);
}

static void filter_gradient_then_float(struct graph *graph, const struct verdict *of)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t w = graph_virtual(graph, FLOAT, filter(of));
    cudnnBackendDescriptor_t y = graph_tensor(graph, of->type, image(of, of->k));
    cudnnBackendDescriptor_t dw = graph_tensor(graph, FLOAT, filter(of));
    graph_convolution(graph, PASS_FILTER, same, x, w, y);
    graph_pointwise(graph, CUDNN_POINTWISE_IDENTITY, w, NULL, dw);
}

static void mixed_inputs(struct graph *graph, const struct verdict *of)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t w = graph_tensor(graph, FLOAT, filter(of));
    cudnnBackendDescriptor_t y = graph_tensor(graph, of->type, image(of, of->k));
    graph_convolution(graph, PASS_FORWARD, same, x, w, y);
}

static void bias_relu_of(
    struct graph *graph, const struct verdict *of, cudnnDataType_t bias_type, bool relu)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t w = graph_tensor(graph, of->type, filter(of));
    cudnnBackendDescriptor_t product = graph_virtual(graph, FLOAT, image(of, of->k));
    cudnnBackendDescriptor_t b = graph_channels(graph, bias_type, of->k);
    cudnnBackendDescriptor_t y = graph_tensor(graph, of->type, image(of, of->k));
    graph_convolution(graph, PASS_FORWARD, same, x, w, product);
    if (relu) {
        cudnnBackendDescriptor_t sum = graph_virtual(graph, FLOAT, image(of, of->k));
        graph_pointwise(graph, CUDNN_POINTWISE_ADD, product, b, sum);
        graph_pointwise(graph, CUDNN_POINTWISE_RELU_FWD, sum, NULL, y);
    } else {
        graph_pointwise(graph, CUDNN_POINTWISE_ADD, product, b, y);
    }
}

static void bias(struct graph *graph, const struct verdict *of)
{
    bias_relu_of(graph, of, of->type, false);
}

static void bias_relu(struct graph *graph, const struct verdict *of)
{
    bias_relu_of(graph, of, of->type, true);
}

static void float_bias_relu(struct graph *graph, const struct verdict *of)
{
    bias_relu_of(graph, of, FLOAT, true);
}

static void conv_relu(struct graph *graph, const struct verdict *of)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t w = graph_tensor(graph, of->type, filter(of));
    cudnnBackendDescriptor_t product = graph_virtual(graph, FLOAT, image(of, of->k));
    cudnnBackendDescriptor_t y = graph_tensor(graph, of->type, image(of, of->k));
    graph_convolution(graph, PASS_FORWARD, same, x, w, product);
    graph_pointwise(graph, CUDNN_POINTWISE_RELU_FWD, product, NULL, y);
}

static void data_relu_backward(struct graph *graph, const struct verdict *of)
{
    cudnnBackendDescriptor_t product = graph_virtual(graph, FLOAT, image(of, of->c));
    cudnnBackendDescriptor_t w = graph_tensor(graph, of->type, filter(of));
    cudnnBackendDescriptor_t dy = graph_tensor(graph, of->type, image(of, of->k));
    cudnnBackendDescriptor_t x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t dx = graph_tensor(graph, of->type, image(of, of->c));
    graph_convolution(graph, PASS_DATA, same, product, w, dy);
    graph_pointwise(graph, CUDNN_POINTWISE_RELU_BWD, x, product, dx);
}

static void two_convolutions(struct graph *graph, const struct verdict *of)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t w = graph_tensor(graph, of->type, filter(of));
    cudnnBackendDescriptor_t middle = graph_virtual(graph, of->type, image(of, of->k));
    cudnnBackendDescriptor_t w2 = graph_tensor(graph, of->type, filter(of));
    cudnnBackendDescriptor_t y = graph_tensor(graph, of->type, image(of, of->k));
    graph_convolution(graph, PASS_FORWARD, same, x, w, middle);
    graph_convolution(graph, PASS_FORWARD, same, middle, w2, y);
}

// ---- without a convolution

static void relu_backward(struct graph *graph, const struct verdict *of)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t dy = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t dx = graph_tensor(graph, of->type, image(of, of->c));
    graph_pointwise(graph, CUDNN_POINTWISE_RELU_BWD, x, dy, dx);
}

static void bias_gradient(struct graph *graph, const struct verdict *of)
{
    cudnnBackendDescriptor_t dy = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t db = graph_channels(graph, FLOAT, of->c);
    graph_reduction(graph, CUDNN_REDUCE_TENSOR_ADD, dy, db);
}

static void relu_backward_bias_gradient(struct graph *graph, const struct verdict *of)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t dy = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t dx = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t db = graph_channels(graph, FLOAT, of->c);
    graph_pointwise(graph, CUDNN_POINTWISE_RELU_BWD, x, dy, dx);
    graph_reduction(graph, CUDNN_REDUCE_TENSOR_ADD, dx, db);
}

static void scale_bias_relu(struct graph *graph, const struct verdict *of)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t scale = graph_channels(graph, FLOAT, of->c);
    cudnnBackendDescriptor_t shift = graph_channels(graph, FLOAT, of->c);
    cudnnBackendDescriptor_t scaled = graph_virtual(graph, FLOAT, image(of, of->c));
    cudnnBackendDescriptor_t shifted = graph_virtual(graph, FLOAT, image(of, of->c));
    cudnnBackendDescriptor_t y = graph_tensor(graph, of->type, image(of, of->c));
    graph_pointwise(graph, CUDNN_POINTWISE_MUL, x, scale, scaled);
    graph_pointwise(graph, CUDNN_POINTWISE_ADD, scaled, shift, shifted);
    graph_pointwise(graph, CUDNN_POINTWISE_RELU_FWD, shifted, NULL, y);
}

static void add_other_size(struct graph *graph, const struct verdict *of)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t b = graph_tensor(
        graph, of->type, (struct shape){of->n, of->c, of->size - 1, of->size});
    cudnnBackendDescriptor_t y = graph_tensor(graph, of->type, image(of, of->c));
    graph_pointwise(graph, CUDNN_POINTWISE_ADD, x, b, y);
}

// ---- batch norm

static struct norm statistics(struct graph *graph, const struct verdict *of)
{
    struct norm norm = {0};
    norm.mean = graph_channels(graph, FLOAT, of->c);
    norm.inverse_deviation = graph_channels(graph, FLOAT, of->c);
    norm.scale = graph_channels(graph, FLOAT, of->c);
    norm.bias = graph_channels(graph, FLOAT, of->c);
    return norm;
}

static struct norm training(struct graph *graph, const struct verdict *of, bool running)
{
    struct norm norm = statistics(graph, of);
    norm.x = graph_tensor(graph, of->type, image(of, of->c));
    norm.epsilon = graph_scalar(graph, FLOAT);
    if (running) {
        norm.factor = graph_scalar(graph, FLOAT);
        norm.running_mean = graph_channels(graph, FLOAT, of->c);
        norm.running_variance = graph_channels(graph, FLOAT, of->c);
        norm.next_mean = graph_channels(graph, FLOAT, of->c);
        norm.next_variance = graph_channels(graph, FLOAT, of->c);
    }
    return norm;
}

static void norm_training(struct graph *graph, const struct verdict *of)
{
    struct norm norm = training(graph, of, true);
    norm.y = graph_tensor(graph, of->type, image(of, of->c));
    graph_norm_training(graph, &norm);
}

static void norm_relu(struct graph *graph, const struct verdict *of)
{
    struct norm norm = training(graph, of, false);
    norm.y = graph_virtual(graph, FLOAT, image(of, of->c));
    graph_norm_training(graph, &norm);
    cudnnBackendDescriptor_t y = graph_tensor(graph, of->type, image(of, of->c));
    graph_pointwise(graph, CUDNN_POINTWISE_RELU_FWD, norm.y, NULL, y);
}

static void norm_running_relu(struct graph *graph, const struct verdict *of)
{
    struct norm norm = training(graph, of, true);
    norm.y = graph_virtual(graph, FLOAT, image(of, of->c));
    graph_norm_training(graph, &norm);
    cudnnBackendDescriptor_t y = graph_tensor(graph, of->type, image(of, of->c));
    graph_pointwise(graph, CUDNN_POINTWISE_RELU_FWD, norm.y, NULL, y);
}

static void norm_inference(struct graph *graph, const struct verdict *of)
{
    struct norm norm = statistics(graph, of);
    norm.x = graph_tensor(graph, of->type, image(of, of->c));
    norm.y = graph_tensor(graph, of->type, image(of, of->c));
    graph_norm_inference(graph, &norm);
}

static void backward_of(struct graph *graph, const struct verdict *of, struct norm *norm)
{
    norm->dx = graph_tensor(graph, of->type, image(of, of->c));
    norm->dscale = graph_channels(graph, FLOAT, of->c);
    norm->dbias = graph_channels(graph, FLOAT, of->c);
    graph_norm_backward(graph, norm);
}

static void norm_backward(struct graph *graph, const struct verdict *of)
{
    struct norm norm = statistics(graph, of);
    norm.x = graph_tensor(graph, of->type, image(of, of->c));
    norm.dy = graph_tensor(graph, of->type, image(of, of->c));
    backward_of(graph, of, &norm);
}

// The ReLU's argument is computed once more from x; its gradient is virtual, of `gradient` type.
static void recomputed(
    struct graph *graph, const struct verdict *of, cudnnDataType_t gradient, bool stored)
{
    struct norm norm = statistics(graph, of);
    norm.x = graph_tensor(graph, of->type, image(of, of->c));
    norm.y = graph_virtual(graph, FLOAT, image(of, of->c));
    graph_norm_inference(graph, &norm);
    cudnnBackendDescriptor_t dy = graph_tensor(graph, of->type, image(of, of->c));
    norm.dy = stored ? graph_tensor(graph, gradient, image(of, of->c))
                     : graph_virtual(graph, gradient, image(of, of->c));
    graph_pointwise(graph, CUDNN_POINTWISE_RELU_BWD, norm.y, dy, norm.dy);
    backward_of(graph, of, &norm);
}

static void norm_relu_backward(struct graph *graph, const struct verdict *of)
{
    recomputed(graph, of, of->type, false);
}

static void norm_relu_backward_float(struct graph *graph, const struct verdict *of)
{
    recomputed(graph, of, FLOAT, false);
}

static void masked_norm_backward(struct graph *graph, const struct verdict *of)
{
    struct norm norm = statistics(graph, of);
    norm.x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t dy = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t mask = graph_tensor(graph, BOOLEAN, image(of, of->c));
    norm.dy = graph_virtual(graph, of->type, image(of, of->c));
    graph_pointwise(graph, CUDNN_POINTWISE_MUL, dy, mask, norm.dy);
    backward_of(graph, of, &norm);
}

static void relu_norm_backward(struct graph *graph, const struct verdict *of)
{
    struct norm norm = statistics(graph, of);
    norm.x = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t dy = graph_tensor(graph, of->type, image(of, of->c));
    cudnnBackendDescriptor_t y = graph_tensor(graph, of->type, image(of, of->c));
    norm.dy = graph_virtual(graph, of->type, image(of, of->c));
    graph_pointwise(graph, CUDNN_POINTWISE_RELU_BWD, y, dy, norm.dy);
    backward_of(graph, of, &norm);
}

// ---- wrong

static void wrong_convolution(
    struct graph *graph, struct shape x_shape, struct shape w_shape, struct shape y_shape)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, HALF, x_shape);
    cudnnBackendDescriptor_t w = graph_tensor(graph, HALF, w_shape);
    cudnnBackendDescriptor_t y = graph_tensor(graph, HALF, y_shape);
    graph_convolution(graph, PASS_FORWARD, same, x, w, y);
}

static void wrong_images(struct graph *graph, const struct verdict *of)
{
    struct shape y = image(of, of->k);
    y.n++;
    wrong_convolution(graph, image(of, of->c), filter(of), y);
}

static void wrong_inputs(struct graph *graph, const struct verdict *of)
{
    struct shape w = filter(of);
    w.c -= 3;
    wrong_convolution(graph, image(of, of->c), w, image(of, of->k));
}

static void wrong_outputs(struct graph *graph, const struct verdict *of)
{
    wrong_convolution(graph, image(of, of->c), filter(of), image(of, of->k + 1));
}

static void wrong_size(struct graph *graph, const struct verdict *of)
{
    struct shape y = image(of, of->k);
    y.h--;
    wrong_convolution(graph, image(of, of->c), filter(of), y);
}

static void overlapping(struct graph *graph, const struct verdict *of)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, HALF, image(of, of->c));
    cudnnBackendDescriptor_t w = graph_tensor(graph, HALF, filter(of));
    cudnnBackendDescriptor_t y = graph_strided(
        graph, HALF, image(of, of->k), (const int64_t[]){of->k, 1, of->k, of->k});
    graph_convolution(graph, PASS_FORWARD, same, x, w, y);
}

static void two_writers(struct graph *graph, const struct verdict *of)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, HALF, image(of, of->c));
    cudnnBackendDescriptor_t y = graph_tensor(graph, HALF, image(of, of->c));
    graph_pointwise(graph, CUDNN_POINTWISE_RELU_FWD, x, NULL, y);
    graph_pointwise(graph, CUDNN_POINTWISE_IDENTITY, x, NULL, y);
}

static void wrong_attribute_type(struct graph *graph, const struct verdict *of)
{
    (void)of;
    const float one = 1;
    cudnnBackendDescriptor_t made = graph_create(graph, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    graph_set(graph, made, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_FLOAT, 1, &one);
}

static void foreign_attribute(struct graph *graph, const struct verdict *of)
{
    (void)of;
    const int64_t two = 2;
    cudnnBackendDescriptor_t made = graph_create(graph, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    graph_set(graph, made, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &two);
}

static void null_value(struct graph *graph, const struct verdict *of)
{
    (void)of;
    cudnnBackendDescriptor_t made = graph_create(graph, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    graph_set(graph, made, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, NULL);
}

static void set_after_finalize(struct graph *graph, const struct verdict *of)
{
    const int64_t uid = 7;
    cudnnBackendDescriptor_t x = graph_tensor(graph, HALF, image(of, of->c));
    graph_set(graph, x, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
}

static void half_a_tensor(struct graph *graph, bool dimensions, int64_t strides)
{
    const int64_t uid = 7, alignment = 16, fours[] = {4, 4, 4, 4}, steps[] = {64, 1, 16, 4};
    const cudnnDataType_t type = CUDNN_DATA_HALF;
    cudnnBackendDescriptor_t made = graph_create(graph, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    graph_set(graph, made, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    if (dimensions)
        graph_set(graph, made, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, fours);
    graph_set(graph, made, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, strides, steps);
    graph_set(graph, made, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    graph_set(graph, made, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    graph_finalize(graph, made, "tensor");
}

static void no_dimensions(struct graph *graph, const struct verdict *of)
{
    (void)of;
    half_a_tensor(graph, false, 4);
}

static void three_strides(struct graph *graph, const struct verdict *of)
{
    (void)of;
    half_a_tensor(graph, true, 3);
}

static void without_device(struct graph *graph, const struct verdict *of)
{
    forward(graph, of); // verdict() leaves the device out
}

static const struct verdict verdicts[] = {
    {"forward half 64 to 64", forward, HALF, 256, 64, 64, 28},
    {"forward half 1 to 64", forward, HALF, 256, 1, 64, 28},
    {"forward half 3 to 64", forward, HALF, 256, 3, 64, 32},
    {"forward bf16 64 to 64", forward, BF16, 256, 64, 64, 28},
    {"forward bf16 1 to 64", forward, BF16, 256, 1, 64, 28},
    {"forward float 64 to 64", forward, FLOAT, 256, 64, 64, 28},
    {"forward float 1 to 64", forward, FLOAT, 256, 1, 64, 28},
    {"forward half, stride 2, no padding", strided_no_padding, HALF, 37, 16, 24, 27},
    {"forward half, output float", forward_float_output, HALF, 256, 64, 64, 28},
    {"data half 64 to 64", data, HALF, 256, 64, 64, 28},
    {"data half 256 to 512", data, HALF, 16, 256, 512, 4},
    {"data bf16 64 to 64", data, BF16, 256, 64, 64, 28},
    {"data float 64 to 64", data, FLOAT, 256, 64, 64, 28},
    {"filter half 64 to 64", filter_gradient, HALF, 256, 64, 64, 28},
    {"filter half 1 to 64", filter_gradient, HALF, 256, 1, 64, 28},
    {"filter half 3 to 64", filter_gradient, HALF, 256, 3, 64, 32},
    {"filter bf16 64 to 64", filter_gradient, BF16, 256, 64, 64, 28},
    {"filter float 64 to 64", filter_gradient, FLOAT, 256, 64, 64, 28},
    {"filter float 1 to 64", filter_gradient, FLOAT, 256, 1, 64, 28},
    {"filter half, gradient float", filter_gradient_float_output, HALF, 256, 64, 64, 28},
    {"filter half then float", filter_gradient_then_float, HALF, 256, 64, 64, 28},
    {"filter half then float, 1 to 64", filter_gradient_then_float, HALF, 256, 1, 64, 28},
    {"mixed inputs", mixed_inputs, HALF, 256, 64, 64, 28},
    {"bias half 64 to 64", bias, HALF, 256, 64, 64, 28},
    {"bias relu half 64 to 64", bias_relu, HALF, 256, 64, 64, 28},
    {"bias relu half 1 to 32, one image", bias_relu, HALF, 1, 1, 32, 28},
    {"bias relu half 3 to 64", bias_relu, HALF, 256, 3, 64, 32},
    {"bias relu bf16 64 to 64", bias_relu, BF16, 256, 64, 64, 28},
    {"bias relu float 64 to 64", bias_relu, FLOAT, 256, 64, 64, 28},
    {"bias relu float 1 to 64", bias_relu, FLOAT, 256, 1, 64, 28},
    {"float bias relu half 64 to 64", float_bias_relu, HALF, 256, 64, 64, 28},
    {"relu of convolution half 64 to 64", conv_relu, HALF, 256, 64, 64, 28},
    {"relu backward of data half 64 to 64", data_relu_backward, HALF, 256, 64, 64, 28},
    {"two convolutions", two_convolutions, HALF, 256, 64, 64, 28},
    {"relu backward half", relu_backward, HALF, 256, 64, 0, 28},
    {"relu backward float", relu_backward, FLOAT, 256, 64, 0, 28},
    {"bias gradient half", bias_gradient, HALF, 256, 64, 0, 28},
    {"bias gradient float", bias_gradient, FLOAT, 256, 64, 0, 28},
    {"relu backward, bias gradient", relu_backward_bias_gradient, HALF, 256, 64, 0, 28},
    {"scale bias relu", scale_bias_relu, HALF, 256, 64, 0, 28},
    {"either: add 27 to 28", add_other_size, HALF, 64, 64, 0, 28},
    {"norm half", norm_training, HALF, 256, 64, 0, 28},
    {"norm relu half", norm_relu, HALF, 256, 64, 0, 28},
    {"norm running relu half", norm_running_relu, HALF, 256, 64, 0, 28},
    {"norm relu bf16", norm_relu, BF16, 256, 64, 0, 28},
    {"norm relu float", norm_relu, FLOAT, 256, 64, 0, 28},
    {"norm half, 60 channels", norm_training, HALF, 256, 60, 0, 28},
    {"norm inference half", norm_inference, HALF, 256, 64, 0, 28},
    {"norm backward half", norm_backward, HALF, 256, 64, 0, 28},
    {"norm backward float", norm_backward, FLOAT, 256, 64, 0, 28},
    {"norm relu backward half", norm_relu_backward, HALF, 256, 64, 0, 28},
    {"norm relu backward bf16", norm_relu_backward, BF16, 256, 64, 0, 28},
    {"norm relu backward float", norm_relu_backward, FLOAT, 256, 64, 0, 28},
    {"norm relu backward half, virtual float", norm_relu_backward_float, HALF, 256, 64, 0, 28},
    {"norm backward of a mask", masked_norm_backward, HALF, 256, 64, 0, 28},
    {"norm backward of a stored relu", relu_norm_backward, HALF, 256, 64, 0, 28},
    {"no device", without_device, HALF, 256, 64, 64, 28},
    {"wrong: N", wrong_images, HALF, 8, 64, 64, 28},
    {"wrong: C", wrong_inputs, HALF, 8, 64, 64, 28},
    {"wrong: K", wrong_outputs, HALF, 8, 64, 64, 28},
    {"wrong: height", wrong_size, HALF, 8, 64, 64, 28},
    {"wrong: overlapping strides", overlapping, HALF, 8, 64, 64, 28},
    {"wrong: two writers", two_writers, HALF, 8, 64, 0, 28},
    {"wrong: attribute's type", wrong_attribute_type, HALF, 0, 0, 0, 0},
    {"wrong: attribute of another descriptor", foreign_attribute, HALF, 0, 0, 0, 0},
    {"wrong: null", null_value, HALF, 0, 0, 0, 0},
    {"wrong: set after finalize", set_after_finalize, HALF, 8, 64, 0, 28},
    {"wrong: no dimensions", no_dimensions, HALF, 0, 0, 0, 0},
    {"wrong: three strides of four", three_strides, HALF, 0, 0, 0, 0},
};

// "runtime-compiled", "precompiled", "no engine", or the class of a refusal and where it came from.
static void verdict(const struct verdict *of, const char *json)
{
    struct graph graph;
    graph_begin(&graph);
    cudnnBackendDescriptor_t device = graph_device(&graph, json);
    of->build(&graph, of);
    cudnnBackendDescriptor_t operations = graph_operations(&graph, NULL);
    bool either = strncmp(of->name, "either:", 7) == 0; // refused at once, or no engine: the same
    if (graph.status != CUDNN_STATUS_SUCCESS && either) {
        printf("%s: no engine\n", of->name);
    } else if (graph.status != CUDNN_STATUS_SUCCESS) {
        printf("%s: refused %d by %s\n", of->name, graph.status / 1000 * 1000, graph.where);
    } else {
        struct admitted admitted = {.tensor_cores = of->type != FLOAT, .workspace = 256 << 20};
        struct chosen chosen = graph_choose(
            &graph, operations, of->build == without_device ? NULL : device, NULL, admitted);
        printf("%s: %s\n", of->name,
            !chosen.plan              ? "no engine"
            : chosen.runtime_compiled ? "runtime-compiled"
                                      : "precompiled");
        if (getenv("VERBOSE"))
            printf("    engine %lld, candidate %d of %d, workspace %lld\n", (long long)chosen.index,
                chosen.place, chosen.candidates, (long long)chosen.workspace);
    }
    fflush(stdout);
    graph_end(&graph);
}

static char *read_device(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 4096);
    size_t length = file && text ? fread(text, 1, 4095, file) : 0;
    if (!file || length == 0) {
        fprintf(stderr, "%s: not a device description\n", path);
        exit(2);
    }
    fclose(file);
    return text;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s DEVICE.json [GRAPH]\n", argv[0]);
        return 2;
    }
    char *json = read_device(argv[1]);
    for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++) {
        if (argc > 2 && strncmp(verdicts[i].name, argv[2], strlen(argv[2])) != 0)
            continue;
        pid_t child = fork();
        if (child == 0) {
            verdict(&verdicts[i], json);
            _exit(0);
        }
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) != child) {
            perror("fork");
            return 2;
        }
        if (WIFSIGNALED(status))
            printf("%s: crashed, signal %d\n", verdicts[i].name, WTERMSIG(status));
        fflush(stdout);
    }
    free(json);
    return 0;
}
