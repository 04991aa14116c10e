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
