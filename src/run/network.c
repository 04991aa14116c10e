// A run's network is its model with its input; whoever built it another way would compute something
// else than what was trained.
#include "run/network.h"

#include "net/zoo.h"

enum fm_status fm_run_build_net(const char *model, int classes, int input_size,
    const float mean[FM_CHANNELS_MAX], const float deviation[FM_CHANNELS_MAX], struct fm_net *net)
{
    FM_TRY(fm_zoo_build(model, classes, net));
    if (input_size > 0 && input_size != net->input.shape.h)
        FM_TRY(fm_net_set_input_size(net, input_size));
    fm_net_set_input_channels(net, mean, deviation);
    return FM_OK;
}

int fm_run_base_layers(const struct fm_net *net)
{
    for (int l = 0; l < net->layer_count; l++)
        if (net->layers[l].kind == FM_LAYER_MEANPOOL)
            return l + 1;
    return 0;
}

// The last block of the base: what lies between its last two poolings before the mean.
static int last_block(const struct fm_net *net, int base)
{
    int first = 0;
    for (int l = 0, found = -1; l < base; l++)
        if (net->layers[l].kind == FM_LAYER_MAXPOOL) {
            first = found + 1;
            found = l;
        }
    return first;
}

static void set_param(struct fm_net *net, int param, bool trained, double rate)
{
    if (param < 0)
        return;
    net->params[param].trainable = trained;
    if (trained)
        net->params[param].lr_multiplier *= (float)rate;
}

enum fm_status fm_run_set_trained(const struct fm_transfer *transfer, struct fm_net *net)
{
    int base = fm_run_base_layers(net), first = base;
    if (transfer->mode == FM_TRANSFER_SCRATCH)
        return FM_OK;
    if (base == 0)
        return fm_fail(FM_USAGE, "model %s has no base that weights of others are for", net->name);
    if (transfer->mode == FM_TRANSFER_FINETUNE)
        first = transfer->unfreeze == FM_UNFREEZE_ALL ? 0 : last_block(net, base);
    for (int l = 0; l < base; l++) {
        set_param(net, net->layers[l].weight, l >= first, transfer->base_rate);
        set_param(net, net->layers[l].bias, l >= first, transfer->base_rate);
    }
    return FM_OK;
}

enum fm_status fm_run_config_net(const struct fm_run_config *config, struct fm_net *net)
{
    float mean[FM_CHANNELS_MAX], deviation[FM_CHANNELS_MAX];
    for (int c = 0; c < FM_CHANNELS_MAX; c++) {
        mean[c] = (float)config->data.input_mean[c];
        deviation[c] = (float)config->data.input_deviation[c];
    }
    return fm_run_build_net(
        config->model, config->data.classes, config->input_size, mean, deviation, net);
}
