// Builds a network layer by layer, so that shapes, fans, offsets and costs are inferred in one
// place and every backend reads the same numbers.
#include "net/net.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    SUFFIX_MAX = 14, // ".running_mean" and its end
    EXTENT_MAX = 65536,
};

void fm_net_begin(struct fm_net *net, const char *name, const struct fm_input *input)
{
    memset(net, 0, sizeof *net);
    snprintf(net->name, sizeof net->name, "%s", name);
    net->input = *input;
    if (!net->input.standardise) {
        for (int c = 0; c < FM_CHANNELS_MAX; c++) {
            net->input.mean[c] = 0.0f;
            net->input.deviation[c] = 1.0f;
        }
    }
}

static bool extent_fits(int n)
{
    return n >= 1 && n <= EXTENT_MAX;
}

static enum fm_status check_features(const struct fm_net *net)
{
    const struct fm_input *input = &net->input;
    struct fm_shape shape = input->shape;
    if (input->features < 0 || input->features > FM_FEATURES_MAX)
        return fm_fail(FM_DATA, "network %s: a record of %d features, expected 1 to %d", net->name,
            input->features, FM_FEATURES_MAX);
    if (shape.c != input->features || shape.h != 1 || shape.w != 1)
        return fm_fail(FM_DATA,
            "network %s: input of shape %dx%dx%d of %d features, expected %dx1x1", net->name,
            shape.c, shape.h, shape.w, input->features, input->features);
    return FM_OK;
}

static enum fm_status check_input(const struct fm_net *net)
{
    const struct fm_input *input = &net->input;
    struct fm_shape shape = input->shape;
    if (input->features != 0)
        return check_features(net);
    if (!extent_fits(input->rows) || !extent_fits(input->cols))
        return fm_fail(FM_DATA, "network %s: a record of %dx%d values, expected 1 to %d each way",
            net->name, input->rows, input->cols, EXTENT_MAX);
    if (shape.c < 1 || shape.c > FM_CHANNELS_MAX || !extent_fits(shape.h) || !extent_fits(shape.w))
        return fm_fail(FM_DATA,
            "network %s: input of shape %dx%dx%d, expected 1 to %d channels of 1 to %d values each "
            "way",
            net->name, shape.c, shape.h, shape.w, FM_CHANNELS_MAX, EXTENT_MAX);
    for (int c = 0; c < shape.c; c++) {
        if (!isfinite(input->mean[c]) || !(input->deviation[c] > 0.0f) ||
            !isfinite(input->deviation[c]))
            return fm_fail(FM_DATA,
                "network %s: input channel %d has mean %g and deviation %g, expected finite "
                "numbers and a positive deviation",
                net->name, c, (double)input->mean[c], (double)input->deviation[c]);
    }
    return FM_OK;
}

static struct fm_shape current_shape(const struct fm_net *net)
{
    return net->layer_count > 0 ? net->layers[net->layer_count - 1].out : net->input.shape;
}

// Checks what all kinds share and returns the next layer, not yet counted: a layer that fails
// afterwards leaves the network as it was.
static enum fm_status open_layer(
    struct fm_net *net, enum fm_layer_kind kind, const char *name, struct fm_layer **layer)
{
    size_t length = strlen(name);
    if (net->outputs != 0)
        return fm_fail(FM_DATA, "network %s: layer '%s' comes after fm_net_end", net->name, name);
    if (length == 0 || length > FM_NAME_MAX - SUFFIX_MAX)
        return fm_fail(FM_DATA, "network %s: layer name '%s' has %zu characters, expected 1 to %d",
            net->name, name, length, FM_NAME_MAX - SUFFIX_MAX);
    for (int l = 0; l < net->layer_count; l++) {
        if (strcmp(net->layers[l].name, name) == 0)
            return fm_fail(FM_DATA, "network %s: two layers are named '%s'", net->name, name);
    }
    if (net->layer_count == FM_LAYERS_MAX)
        return fm_fail(FM_DATA, "network %s: layer '%s' is one more than the %d that fit",
            net->name, name, FM_LAYERS_MAX);
    if (net->layer_count == 0)
        FM_TRY(check_input(net));

    struct fm_layer *next = &net->layers[net->layer_count];
    memset(next, 0, sizeof *next);
    next->kind = kind;
    snprintf(next->name, sizeof next->name, "%s", name);
    next->in = next->out = current_shape(net);
    next->weight = next->bias = next->running = -1;
    *layer = next;
    return FM_OK;
}

static enum fm_status close_layer(struct fm_net *net, const struct fm_layer *layer)
{
    // Elements of a sample are counted in 32 bits by the draws.
    if ((uint64_t)layer->out.c * (uint64_t)layer->out.h * (uint64_t)layer->out.w > INT_MAX)
        return fm_fail(FM_DATA, "layer %s: output of %dx%dx%d elements, expected at most %d in all",
            layer->name, layer->out.c, layer->out.h, layer->out.w, INT_MAX);
    net->layer_count++;
    return FM_OK;
}

static enum fm_status reserve_params(
    const struct fm_net *net, const struct fm_layer *layer, int params, uint64_t largest)
{
    if (net->param_count + params > FM_PARAMS_MAX)
        return fm_fail(FM_DATA, "layer %s: parameter %d is more than the %d that fit", layer->name,
            net->param_count + params, FM_PARAMS_MAX);
    if (largest > INT_MAX)
        return fm_fail(FM_DATA, "layer %s: a parameter of %llu elements, expected at most %d",
            layer->name, (unsigned long long)largest, INT_MAX);
    return FM_OK;
}

static int add_param(struct fm_net *net, const struct fm_layer *layer, const char *ending,
    enum fm_param_kind kind, int ndims, const int *dims)
{
    struct fm_param *param = &net->params[net->param_count];
    memset(param, 0, sizeof *param);
    snprintf(
        param->name, sizeof param->name, "%.*s.%s", FM_NAME_MAX - SUFFIX_MAX, layer->name, ending);
    param->kind = kind;
    param->ndims = ndims;
    param->count = 1;
    for (int d = 0; d < ndims; d++) {
        param->dims[d] = dims[d];
        param->count *= (size_t)dims[d];
    }
    param->offset = net->param_elements;
    param->trainable = true;
    param->decay = kind == FM_PARAM_WEIGHT;
    param->lr_multiplier = 1.0f;
    net->param_elements += param->count;
    return net->param_count++;
}

static void add_running(
    struct fm_net *net, const struct fm_layer *layer, const char *ending, float initial)
{
    struct fm_running *running = &net->running[net->running_count++];
    memset(running, 0, sizeof *running);
    snprintf(running->name, sizeof running->name, "%.*s.%s", FM_NAME_MAX - SUFFIX_MAX, layer->name,
        ending);
    running->count = (size_t)layer->in.c;
    running->offset = net->running_elements;
    running->initial = initial;
    net->running_elements += running->count;
}

enum fm_status fm_net_conv(
    struct fm_net *net, const char *name, int channels, int kernel, int padding, bool bias)
{
    struct fm_layer *layer;
    FM_TRY(open_layer(net, FM_LAYER_CONV, name, &layer));
    struct fm_shape in = layer->in;
    if (!extent_fits(channels) || kernel < 1 || kernel > 255 || padding < 0 || padding >= kernel)
        return fm_fail(FM_DATA,
            "layer %s: %d channels, kernel %d, padding %d, expected 1 to %d channels, a kernel of "
            "1 to 255 and a padding from 0 to below the kernel",
            name, channels, kernel, padding, EXTENT_MAX);
    if (in.h + 2 * padding < kernel || in.w + 2 * padding < kernel)
        return fm_fail(FM_DATA,
            "layer %s: a %dx%d kernel does not fit its input of %dx%dx%d with padding %d (%dx%d)",
            name, kernel, kernel, in.c, in.h, in.w, padding, in.h + 2 * padding,
            in.w + 2 * padding);
    uint64_t weights = (uint64_t)channels * (uint64_t)in.c * (uint64_t)(kernel * kernel);
    FM_TRY(reserve_params(net, layer, bias ? 2 : 1, weights));

    layer->kernel = kernel;
    layer->padding = padding;
    layer->out.c = channels;
    layer->out.h = in.h + 2 * padding - kernel + 1;
    layer->out.w = in.w + 2 * padding - kernel + 1;
    layer->macs = weights * (uint64_t)layer->out.h * (uint64_t)layer->out.w;
    FM_TRY(close_layer(net, layer));

    const int dims[4] = {channels, in.c, kernel, kernel};
    layer->weight = add_param(net, layer, "weight", FM_PARAM_WEIGHT, 4, dims);
    net->params[layer->weight].fan_in = in.c * kernel * kernel;
    net->params[layer->weight].fan_out = channels * kernel * kernel;
    if (bias)
        layer->bias = add_param(net, layer, "bias", FM_PARAM_BIAS, 1, dims);
    return FM_OK;
}

enum fm_status fm_net_batchnorm(struct fm_net *net, const char *name)
{
    struct fm_layer *layer;
    FM_TRY(open_layer(net, FM_LAYER_BATCHNORM, name, &layer));
    FM_TRY(reserve_params(net, layer, 2, (uint64_t)layer->in.c));
    FM_TRY(close_layer(net, layer));

    const int dims[1] = {layer->in.c};
    layer->weight = add_param(net, layer, "weight", FM_PARAM_SCALE, 1, dims);
    layer->bias = add_param(net, layer, "bias", FM_PARAM_SHIFT, 1, dims);
    layer->running = net->running_count;
    add_running(net, layer, "running_mean", 0.0f);
    add_running(net, layer, "running_var", 1.0f);
    return FM_OK;
}

enum fm_status fm_net_relu(struct fm_net *net, const char *name)
{
    struct fm_layer *layer;
    FM_TRY(open_layer(net, FM_LAYER_RELU, name, &layer));
    return close_layer(net, layer);
}

enum fm_status fm_net_maxpool(struct fm_net *net, const char *name)
{
    struct fm_layer *layer;
    FM_TRY(open_layer(net, FM_LAYER_MAXPOOL, name, &layer));
    if (layer->in.h < 2 || layer->in.w < 2)
        return fm_fail(FM_DATA, "layer %s: a 2x2 max-pool does not fit its input of %dx%dx%d", name,
            layer->in.c, layer->in.h, layer->in.w);
    layer->out.h = layer->in.h / 2;
    layer->out.w = layer->in.w / 2;
    return close_layer(net, layer);
}

enum fm_status fm_net_meanpool(struct fm_net *net, const char *name)
{
    struct fm_layer *layer;
    FM_TRY(open_layer(net, FM_LAYER_MEANPOOL, name, &layer));
    layer->out.h = layer->out.w = 1;
    return close_layer(net, layer);
}

enum fm_status fm_net_dropout(struct fm_net *net, const char *name, float rate)
{
    struct fm_layer *layer;
    FM_TRY(open_layer(net, FM_LAYER_DROPOUT, name, &layer));
    if (!(rate >= 0.0f && rate < 1.0f))
        return fm_fail(FM_DATA, "layer %s: dropout rate %g, expected a number from 0 to below 1",
            name, (double)rate);
    layer->rate = rate;
    for (int l = 0; l < net->layer_count; l++)
        layer->stream += net->layers[l].kind == FM_LAYER_DROPOUT;
    return close_layer(net, layer);
}

enum fm_status fm_net_dense(struct fm_net *net, const char *name, int features, bool bias)
{
    struct fm_layer *layer;
    FM_TRY(open_layer(net, FM_LAYER_DENSE, name, &layer));
    if (!extent_fits(features))
        return fm_fail(
            FM_DATA, "layer %s: %d features, expected 1 to %d", name, features, EXTENT_MAX);
    size_t inputs = fm_shape_size(layer->in);
    FM_TRY(reserve_params(net, layer, bias ? 2 : 1, (uint64_t)features * inputs));
    layer->out = (struct fm_shape){features, 1, 1};
    layer->macs = (uint64_t)features * inputs;
    FM_TRY(close_layer(net, layer));

    const int dims[2] = {features, (int)inputs};
    layer->weight = add_param(net, layer, "weight", FM_PARAM_WEIGHT, 2, dims);
    net->params[layer->weight].fan_in = (int)inputs;
    net->params[layer->weight].fan_out = features;
    if (bias)
        layer->bias = add_param(net, layer, "bias", FM_PARAM_BIAS, 1, dims);
    return FM_OK;
}

enum fm_status fm_net_end(struct fm_net *net)
{
    if (net->layer_count == 0)
        return fm_fail(FM_DATA, "network %s: has no layers", net->name);
    const struct fm_layer *last = &net->layers[net->layer_count - 1];
    if (last->kind != FM_LAYER_DENSE || last->out.c < 2)
        return fm_fail(FM_DATA,
            "network %s: ends in layer %s (%s, %d features), expected a dense layer of at least 2",
            net->name, last->name, fm_layer_kind_name(last->kind), last->out.c);
    net->classes = net->outputs = last->out.c;
    return FM_OK;
}

enum fm_status fm_net_end_features(struct fm_net *net)
{
    if (net->layer_count == 0)
        return fm_fail(FM_DATA, "network %s: has no layers", net->name);
    net->outputs = (int)fm_shape_size(net->layers[net->layer_count - 1].out);
    return FM_OK;
}

const char *fm_layer_kind_name(enum fm_layer_kind kind)
{
    static const char *const names[] = {
        [FM_LAYER_CONV] = "conv",
        [FM_LAYER_BATCHNORM] = "batchnorm",
        [FM_LAYER_RELU] = "relu",
        [FM_LAYER_MAXPOOL] = "maxpool",
        [FM_LAYER_MEANPOOL] = "meanpool",
        [FM_LAYER_DROPOUT] = "dropout",
        [FM_LAYER_DENSE] = "dense",
    };
    return names[kind];
}

size_t fm_layer_params(const struct fm_net *net, int layer)
{
    const struct fm_layer *l = &net->layers[layer];
    size_t count = 0;
    if (l->weight >= 0)
        count += net->params[l->weight].count;
    if (l->bias >= 0)
        count += net->params[l->bias].count;
    return count;
}

size_t fm_shape_size(struct fm_shape shape)
{
    return (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
}

int fm_net_find_param(const struct fm_net *net, const char *name)
{
    for (int p = 0; p < net->param_count; p++) {
        if (strcmp(net->params[p].name, name) == 0)
            return p;
    }
    return -1;
}

int fm_net_find_running(const struct fm_net *net, const char *name)
{
    for (int r = 0; r < net->running_count; r++) {
        if (strcmp(net->running[r].name, name) == 0)
            return r;
    }
    return -1;
}

uint64_t fm_net_macs(const struct fm_net *net)
{
    uint64_t macs = 0;
    for (int l = 0; l < net->layer_count; l++)
        macs += net->layers[l].macs;
    return macs;
}

size_t fm_input_record_size(const struct fm_input *input)
{
    return input->features > 0 ? (size_t)input->features * sizeof(float)
                               : (size_t)input->rows * (size_t)input->cols;
}
