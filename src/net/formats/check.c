// What can be written as a file of another program at all, asked once for all writers.
#include "net/formats/check.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>

static enum fm_status check_order(const char *path, const struct fm_net *net)
{
    bool flat = false;
    for (int i = 0; i < net->layer_count; i++) {
        const struct fm_layer *layer = &net->layers[i];
        bool spatial = layer->kind == FM_LAYER_CONV || layer->kind == FM_LAYER_MAXPOOL ||
                       layer->kind == FM_LAYER_MEANPOOL || layer->kind == FM_LAYER_BATCHNORM;
        if (flat && spatial)
            return fm_fail(FM_UNSUPPORTED,
                "%s: not written: layer %s (%s) of model %s stands behind one that flattens, which "
                "other programs do not know",
                path, layer->name, fm_layer_kind_name(layer->kind), net->name);
        if (layer->kind == FM_LAYER_CONV && layer->padding != 0 &&
            2 * layer->padding != layer->kernel - 1)
            return fm_fail(FM_UNSUPPORTED,
                "%s: not written: layer %s of model %s has a padding of %d with a kernel of %d, "
                "expected 0 or %d",
                path, layer->name, net->name, layer->padding, layer->kernel,
                (layer->kernel - 1) / 2);
        flat = flat || layer->kind == FM_LAYER_MEANPOOL || layer->kind == FM_LAYER_DENSE;
    }
    return FM_OK;
}

static enum fm_status check_tensor(
    const char *path, const struct fm_format_model *model, const char *name, size_t count)
{
    const struct fm_tensor *tensor = fm_safetensors_find(model->tensors, name);
    if (!tensor)
        return fm_fail(FM_DATA, "%s: not written: the weights have no tensor \"%s\" of model %s",
            path, name, model->net->name);
    if (tensor->count != count)
        return fm_fail(FM_DATA,
            "%s: not written: tensor \"%s\" has %zu elements, expected %zu of model %s", path, name,
            tensor->count, count, model->net->name);
    return FM_OK;
}

enum fm_status fm_format_check(const char *path, const struct fm_format_model *model)
{
    const struct fm_net *net = model->net;
    if (net->input.features > 0 || net->classes == 0)
        return fm_fail(FM_UNSUPPORTED,
            "%s: not written: model %s is a part of one; a whole one takes images and has classes",
            path, net->name);
    FM_TRY(check_order(path, net));
    for (int i = 0; i < net->param_count; i++)
        FM_TRY(check_tensor(path, model, net->params[i].name, net->params[i].count));
    for (int i = 0; i < net->running_count; i++)
        FM_TRY(check_tensor(path, model, net->running[i].name, net->running[i].count));
    return FM_OK;
}

const struct fm_tensor *fm_format_param(const struct fm_format_model *model, int param)
{
    return fm_safetensors_find(model->tensors, model->net->params[param].name);
}

const struct fm_tensor *fm_format_running(const struct fm_format_model *model, int running)
{
    return fm_safetensors_find(model->tensors, model->net->running[running].name);
}

float fm_format_mean(const struct fm_net *net, int channel)
{
    return net->input.standardise ? net->input.mean[channel] : 0.0f;
}

float fm_format_deviation(const struct fm_net *net, int channel)
{
    return net->input.standardise ? net->input.deviation[channel] : 1.0f;
}

bool fm_format_resizes(const struct fm_net *net)
{
    return net->input.shape.h != net->input.rows || net->input.shape.w != net->input.cols;
}

double fm_format_decimal(float value)
{
    char digits[32];
    double decimal = 0.0;
    for (int count = 6; count <= FLT_DECIMAL_DIG; count++) {
        snprintf(digits, sizeof digits, "%.*g", count, (double)value);
        decimal = strtod(digits, NULL);
        if ((float)decimal == value)
            break;
    }
    return decimal;
}
