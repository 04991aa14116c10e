// The weights of a Keras model: the same numbers as ours in another order. Kernels of convolutions
// are HWIO where ours are OIHW, those of dense layers [in, out] where ours are [out, in], and a
// flattened input is counted H, W, C where ours is C, H, W.
#include "net/formats/check.h"
#include "net/formats/keras.h"

#include <stdio.h>
#include <string.h>

static void add(struct fm_keras_weight weights[FM_KERAS_WEIGHTS_MAX], int *count, const char *name,
    int ndims, const int dims[4])
{
    struct fm_keras_weight *weight = &weights[(*count)++];
    memset(weight, 0, sizeof *weight);
    snprintf(weight->name, sizeof weight->name, "%s", name);
    weight->ndims = ndims;
    weight->count = 1;
    for (int d = 0; d < ndims; d++) {
        weight->dims[d] = dims[d];
        weight->count *= (size_t)dims[d];
    }
}

static void normalise_weights(
    const struct fm_net *net, struct fm_keras_weight weights[FM_KERAS_WEIGHTS_MAX], int *count)
{
    add(weights, count, "kernel", 4, (const int[4]){1, 1, 1, net->input.shape.c});
    add(weights, count, "bias", 1, (const int[4]){net->input.shape.c});
}

void fm_keras_weights(const struct fm_net *net, const struct fm_keras_layer *layer,
    struct fm_keras_weight weights[FM_KERAS_WEIGHTS_MAX], int *count)
{
    static const char *const of_batchnorm[] = {"gamma", "beta", "moving_mean", "moving_variance"};

    *count = 0;
    if (layer->of == FM_KERAS_NORMALISE)
        normalise_weights(net, weights, count);
    if (layer->of < 0)
        return;
    const struct fm_layer *of = &net->layers[layer->of];
    if (of->kind == FM_LAYER_BATCHNORM) {
        for (int i = 0; i < 4; i++)
            add(weights, count, of_batchnorm[i], 1, (const int[4]){of->out.c});
        return;
    }
    if (of->kind == FM_LAYER_CONV)
        add(weights, count, "kernel", 4,
            (const int[4]){of->kernel, of->kernel, of->in.c, of->out.c});
    else
        add(weights, count, "kernel", 2, (const int[4]){(int)fm_shape_size(of->in), of->out.c});
    if (of->bias >= 0)
        add(weights, count, "bias", 1, (const int[4]){of->out.c});
}

// [out][in][area] to [area][in][out]: a convolution's kernel OIHW to HWIO, a dense layer's [out, C,
// H, W] to [H, W, C, out], and where its input is a vector, [out, in] to [in, out].
static void turn_kernel(int outputs, int inputs, int area, const float *from, float *to)
{
    for (int o = 0; o < outputs; o++) {
        for (int i = 0; i < inputs; i++) {
            for (int k = 0; k < area; k++)
                to[((size_t)k * (size_t)inputs + (size_t)i) * (size_t)outputs + (size_t)o] =
                    *from++;
        }
    }
}

static void normalise_values(const struct fm_net *net, int index, float *out)
{
    for (int c = 0; c < net->input.shape.c; c++) {
        double mean = (double)fm_format_mean(net, c);
        double deviation = (double)fm_format_deviation(net, c);
        out[c] = (float)(index == 0 ? 1.0 / deviation : -mean / deviation);
    }
}

void fm_keras_values(
    const struct fm_format_model *model, const struct fm_keras_layer *layer, int index, float *out)
{
    const struct fm_net *net = model->net;
    if (layer->of == FM_KERAS_NORMALISE) {
        normalise_values(net, index, out);
        return;
    }
    const struct fm_layer *of = &net->layers[layer->of];
    const struct fm_tensor *tensor;
    if (index >= 2)
        tensor = fm_format_running(model, of->running + index - 2);
    else
        tensor = fm_format_param(model, index == 0 ? of->weight : of->bias);
    if (index == 0 && of->kind == FM_LAYER_CONV)
        turn_kernel(of->out.c, of->in.c, of->kernel * of->kernel, tensor->data, out);
    else if (index == 0 && of->kind == FM_LAYER_DENSE)
        turn_kernel(of->out.c, of->in.c, of->in.h * of->in.w, tensor->data, out);
    else
        memcpy(out, tensor->data, tensor->count * sizeof *out);
}
