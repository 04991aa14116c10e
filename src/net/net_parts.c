// What can be made of a network that stands: its front, its back, itself at another input size.
// Each is built anew, layer by layer, so that what is inferred is inferred in one place.
#include "net/net.h"

static enum fm_status append(struct fm_net *net, const struct fm_net *from, int index)
{
    const struct fm_layer *layer = &from->layers[index];
    bool bias = layer->bias >= 0;
    switch (layer->kind) {
    case FM_LAYER_CONV:
        return fm_net_conv(net, layer->name, layer->out.c, layer->kernel, layer->padding, bias);
    case FM_LAYER_BATCHNORM:
        return fm_net_batchnorm(net, layer->name);
    case FM_LAYER_RELU:
        return fm_net_relu(net, layer->name);
    case FM_LAYER_MAXPOOL:
        return fm_net_maxpool(net, layer->name);
    case FM_LAYER_MEANPOOL:
        return fm_net_meanpool(net, layer->name);
    case FM_LAYER_DROPOUT:
        return fm_net_dropout(net, layer->name, layer->rate);
    case FM_LAYER_DENSE:
        return fm_net_dense(net, layer->name, layer->out.c, bias);
    }
    return fm_fail(FM_DATA, "layer %s: a kind %d", layer->name, (int)layer->kind);
}

// A parameter's other dimensions are given, so that its count tells its shape.
static enum fm_status keep_param(
    struct fm_net *net, int index, const struct fm_net *from, int from_index)
{
    if (index < 0)
        return FM_OK;
    struct fm_param *param = &net->params[index];
    const struct fm_param *kept = &from->params[from_index];
    if (param->count != kept->count)
        return fm_fail(FM_USAGE, "parameter %s would have %zu elements, but it has %zu", kept->name,
            param->count, kept->count);
    param->trainable = kept->trainable;
    param->decay = kept->decay;
    param->lr_multiplier = kept->lr_multiplier;
    return FM_OK;
}

// Appends the layers [first, end) of `from` as they are, but for the shape of what they see.
static enum fm_status append_all(struct fm_net *net, const struct fm_net *from, int first, int end)
{
    for (int l = first; l < end; l++) {
        // Whatever a layer finds wrong comes from how the caller changed what is in front of it.
        if (append(net, from, l) != FM_OK)
            return FM_USAGE;
        const struct fm_layer *kept = &from->layers[l];
        struct fm_layer *layer = &net->layers[net->layer_count - 1];
        layer->stream = kept->stream;
        FM_TRY(keep_param(net, layer->weight, from, kept->weight));
        FM_TRY(keep_param(net, layer->bias, from, kept->bias));
    }
    return FM_OK;
}

static enum fm_status end_like(struct fm_net *net, const struct fm_net *from)
{
    if (from->classes > 0)
        return fm_net_end(net);
    return from->outputs > 0 ? fm_net_end_features(net) : FM_OK;
}

static enum fm_status check_cut(const struct fm_net *net, int count)
{
    if (count < 1 || count >= net->layer_count)
        return fm_fail(FM_USAGE, "network %s: cut behind layer %d of %d, expected 1 to %d",
            net->name, count, net->layer_count, net->layer_count - 1);
    return FM_OK;
}

enum fm_status fm_net_base(const struct fm_net *net, int count, struct fm_net *base)
{
    FM_TRY(check_cut(net, count));
    struct fm_net built;
    fm_net_begin(&built, net->name, &net->input);
    FM_TRY(append_all(&built, net, 0, count));
    FM_TRY(fm_net_end_features(&built));
    *base = built;
    return FM_OK;
}

enum fm_status fm_net_head(const struct fm_net *net, int count, struct fm_net *head)
{
    FM_TRY(check_cut(net, count));
    const struct fm_layer *cut = &net->layers[count - 1];
    int features = (int)fm_shape_size(cut->out);
    const struct fm_input input = {.features = features, .shape = {features, 1, 1}};
    struct fm_net built;
    fm_net_begin(&built, net->name, &input);
    enum fm_status status = append_all(&built, net, count, net->layer_count);
    if (status == FM_OK)
        status = end_like(&built, net);
    if (status != FM_OK)
        return fm_context(status, "network %s, cut behind layer %s", net->name, cut->name);
    *head = built;
    return FM_OK;
}

enum fm_status fm_net_set_input_size(struct fm_net *net, int side)
{
    if (net->input.features > 0)
        return fm_fail(
            FM_USAGE, "network %s: its records are features and have no size in pixels", net->name);
    struct fm_input input = net->input;
    input.shape.h = input.shape.w = side;
    struct fm_net built;
    fm_net_begin(&built, net->name, &input);
    enum fm_status status = append_all(&built, net, 0, net->layer_count);
    if (status == FM_OK)
        status = end_like(&built, net);
    if (status != FM_OK)
        return fm_context(status, "network %s with an input of %dx%d", net->name, side, side);
    *net = built;
    return FM_OK;
}

void fm_net_set_dropout(struct fm_net *net, float rate)
{
    for (int l = 0; l < net->layer_count; l++) {
        if (net->layers[l].kind == FM_LAYER_DROPOUT)
            net->layers[l].rate = rate;
    }
}

void fm_net_set_input_statistics(struct fm_net *net, float mean, float deviation)
{
    const float means[FM_CHANNELS_MAX] = {mean, mean, mean};
    const float deviations[FM_CHANNELS_MAX] = {deviation, deviation, deviation};
    fm_net_set_input_channels(net, means, deviations);
}

void fm_net_set_input_channels(
    struct fm_net *net, const float mean[FM_CHANNELS_MAX], const float deviation[FM_CHANNELS_MAX])
{
    for (int c = 0; net->input.standardise && c < FM_CHANNELS_MAX; c++) {
        net->input.mean[c] = mean[c];
        net->input.deviation[c] = deviation[c];
    }
}
