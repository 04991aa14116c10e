// Each layer as the operator that computes it. Of the operators those are taken that have not
// changed for years, and of their attributes all are written whose defaults a reader would have to
// look up.
#include "net/formats/onnx_layers.h"
#include "net/formats/check.h"

#include "augment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- The input

// Row `to` of `matrix` is how output coordinate `to` is made of the inputs: at most two weights.
// `transposed`: column `to`.
static float *resize_matrix(int to_size, int from_size, bool transposed)
{
    float *matrix = calloc((size_t)to_size * (size_t)from_size, sizeof *matrix);
    for (int to = 0; matrix && to < to_size; to++) {
        struct fm_bilinear at = fm_bilinear_at(to, to_size, from_size);
        size_t start = transposed ? (size_t)to : (size_t)to * (size_t)from_size;
        size_t step = transposed ? (size_t)to_size : 1;
        matrix[start + (size_t)at.lower * step] += 1.0f - at.weight;
        matrix[start + (size_t)at.upper * step] += at.weight;
    }
    return matrix;
}

enum fm_status fm_onnx_input_make(const struct fm_net *net, struct fm_onnx_input *input)
{
    memset(input, 0, sizeof *input);
    for (int c = 0; c < net->input.shape.c; c++) {
        float deviation = fm_format_deviation(net, c);
        input->scale[c] = 1.0f / (255.0f * deviation);
        input->offset[c] = -fm_format_mean(net, c) / deviation;
    }
    if (!fm_format_resizes(net))
        return FM_OK;
    input->rows = resize_matrix(net->input.shape.h, net->input.rows, false);
    input->cols = resize_matrix(net->input.shape.w, net->input.cols, true);
    if (input->rows && input->cols)
        return FM_OK;
    fm_onnx_input_free(input);
    return fm_fail(FM_MEMORY, "out of memory: the matrices that resize the input");
}

void fm_onnx_input_free(struct fm_onnx_input *input)
{
    free(input->rows);
    free(input->cols);
    memset(input, 0, sizeof *input);
}

// The graph and the value that the next node takes.
struct walk {
    struct fm_onnx_graph *graph;
    char value[FM_NAME_MAX];
    bool flat; // of rank 2
};

// A node that takes the value and up to four tensors more (NULL: none), and puts out the next one.
static struct fm_onnx_node *add_as(struct walk *walk, const char *op, const char *name,
    const char *output, const char *const *more)
{
    const char *inputs[FM_ONNX_INPUTS_MAX + 1] = {walk->value};
    for (int i = 0; more && more[i]; i++)
        inputs[i + 1] = more[i];
    struct fm_onnx_node *node = fm_onnx_add_node(walk->graph, op, name, inputs, output);
    snprintf(walk->value, sizeof walk->value, "%s", output);
    return node;
}

static struct fm_onnx_node *add(
    struct walk *walk, const char *op, const char *name, const char *const *more)
{
    return add_as(walk, op, name, name, more);
}

// Bilinear by two products, with the matrices of kernels/augment.h's own weights. ONNX's Resize
// would leave where a pixel comes from to each runtime's rounding, and its sizes hold the batch,
// which is not known, up to opset 18.
static void add_resize(
    struct walk *walk, const struct fm_net *net, const struct fm_onnx_input *input)
{
    const struct fm_input *from = &net->input;
    const int rows[] = {from->shape.h, from->rows}, cols[] = {from->cols, from->shape.w};
    fm_onnx_add_tensor(walk->graph, "input.resize_rows", 2, rows, input->rows);
    fm_onnx_add_tensor(walk->graph, "input.resize_cols", 2, cols, input->cols);
    const char *const left[] = {"input.resize_rows", walk->value, NULL};
    fm_onnx_add_node(walk->graph, "MatMul", "input.taller", left, "input.taller");
    snprintf(walk->value, sizeof walk->value, "input.taller");
    add(walk, "MatMul", "input.wider", (const char *const[]){"input.resize_cols", NULL});
}

// [N, rows, cols] u8 to [N, c, h, w]: a scale and an offset of each channel repeat grey to all.
static void add_input(
    struct walk *walk, const struct fm_net *net, const struct fm_onnx_input *input)
{
    static const int64_t channel_axis[] = {1};
    const int picture[] = {net->input.rows, net->input.cols};
    const int channels[] = {1, net->input.shape.c, 1, 1};
    fm_onnx_add_input(walk->graph, "images", ONNX__TENSOR_PROTO__DATA_TYPE__UINT8, 2, picture);
    snprintf(walk->value, sizeof walk->value, "images");
    struct fm_onnx_node *cast = add(walk, "Cast", "input.float", NULL);
    fm_onnx_set_int(cast, "to", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    fm_onnx_add_i64(walk->graph, "input.channel_axis", 1, channel_axis);
    add(walk, "Unsqueeze", "input.picture", (const char *const[]){"input.channel_axis", NULL});
    if (input->rows)
        add_resize(walk, net, input);
    fm_onnx_add_tensor(walk->graph, "input.scale", 4, channels, input->scale);
    add(walk, "Mul", "input.scaled", (const char *const[]){"input.scale", NULL});
    if (!net->input.standardise)
        return;
    fm_onnx_add_tensor(walk->graph, "input.offset", 4, channels, input->offset);
    add(walk, "Add", "input.normalised", (const char *const[]){"input.offset", NULL});
}

// ---- Layers

// The tensor of a parameter, as an initialiser; its name, or NULL without one.
static const char *add_param(struct walk *walk, const struct fm_format_model *model, int param)
{
    if (param < 0)
        return NULL;
    const struct fm_param *of = &model->net->params[param];
    const struct fm_tensor *tensor = fm_format_param(model, param);
    fm_onnx_add_tensor(walk->graph, of->name, of->ndims, of->dims, tensor->data);
    return of->name;
}

static const char *add_running(struct walk *walk, const struct fm_format_model *model, int running)
{
    const struct fm_running *of = &model->net->running[running];
    const int count = (int)of->count;
    fm_onnx_add_tensor(walk->graph, of->name, 1, &count, fm_format_running(model, running)->data);
    return of->name;
}

static void add_conv(
    struct walk *walk, const struct fm_format_model *model, const struct fm_layer *layer)
{
    const int kernel[] = {layer->kernel, layer->kernel}, strides[] = {1, 1};
    const int pads[] = {layer->padding, layer->padding, layer->padding, layer->padding};
    const char *weight = add_param(walk, model, layer->weight);
    const char *bias = add_param(walk, model, layer->bias);
    struct fm_onnx_node *node = add(
        walk, "Conv", layer->name, (const char *const[]){weight, bias, NULL});
    fm_onnx_set_ints(node, "kernel_shape", 2, kernel);
    fm_onnx_set_ints(node, "pads", 4, pads);
    fm_onnx_set_ints(node, "strides", 2, strides);
}

static void add_batchnorm(
    struct walk *walk, const struct fm_format_model *model, const struct fm_layer *layer)
{
    const char *const more[] = {add_param(walk, model, layer->weight),
        add_param(walk, model, layer->bias), add_running(walk, model, layer->running),
        add_running(walk, model, layer->running + 1), NULL};
    struct fm_onnx_node *node = add(walk, "BatchNormalization", layer->name, more);
    fm_onnx_set_float(node, "epsilon", FM_BATCHNORM_EPSILON);
}

static void add_maxpool(struct walk *walk, const struct fm_layer *layer)
{
    static const int two[] = {2, 2};
    struct fm_onnx_node *node = add(walk, "MaxPool", layer->name, NULL);
    fm_onnx_set_ints(node, "kernel_shape", 2, two);
    fm_onnx_set_ints(node, "strides", 2, two);
}

// The last dense layer puts out the logits. What comes before the first is flattened.
static void add_dense(
    struct walk *walk, const struct fm_format_model *model, const struct fm_layer *layer, bool last)
{
    if (!walk->flat)
        fm_onnx_set_int(add(walk, "Flatten", "dense.flatten", NULL), "axis", 1);
    walk->flat = true;
    const char *weight = add_param(walk, model, layer->weight);
    const char *bias = add_param(walk, model, layer->bias);
    struct fm_onnx_node *node = add_as(walk, "Gemm", layer->name, last ? "logits" : layer->name,
        (const char *const[]){weight, bias, NULL});
    fm_onnx_set_int(node, "transB", 1);
}

static void add_layer(struct walk *walk, const struct fm_format_model *model, int index)
{
    const struct fm_layer *layer = &model->net->layers[index];
    switch (layer->kind) {
    case FM_LAYER_CONV:
        add_conv(walk, model, layer);
        break;
    case FM_LAYER_BATCHNORM:
        add_batchnorm(walk, model, layer);
        break;
    case FM_LAYER_RELU:
        add(walk, "Relu", layer->name, NULL);
        break;
    case FM_LAYER_MAXPOOL:
        add_maxpool(walk, layer);
        break;
    case FM_LAYER_MEANPOOL:
        add(walk, "GlobalAveragePool", layer->name, NULL);
        break;
    case FM_LAYER_DROPOUT: // of training alone
        break;
    case FM_LAYER_DENSE:
        add_dense(walk, model, layer, index == model->net->layer_count - 1);
        break;
    }
}

void fm_onnx_add_network(struct fm_onnx_graph *graph, const struct fm_format_model *model,
    const struct fm_onnx_input *input)
{
    struct walk walk = {.graph = graph};
    const struct fm_net *net = model->net;
    add_input(&walk, net, input);
    for (int i = 0; i < net->layer_count; i++)
        add_layer(&walk, model, i);
    struct fm_onnx_node *softmax = add(&walk, "Softmax", "probabilities", NULL);
    fm_onnx_set_int(softmax, "axis", 1);
    fm_onnx_add_output(
        graph, "probabilities", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 1, &net->classes);
    fm_onnx_add_output(graph, "logits", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 1, &net->classes);
}
