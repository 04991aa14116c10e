// Everything that puts a trained network to use opens it here, in the run's own precision, so that
// its figures are those that the run was measured with.
#include "app/trained.h"

#include "backend/precision.h"
#include "base/log.h"
#include "net/files/pretrained.h"
#include "run/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum fm_status fm_trained_precision(const struct fm_engine *engine, const char *path,
    const struct fm_run_config *config, enum fm_precision *precision, bool *emulated)
{
    enum fm_status status = fm_precision_choose(
        config->precision, engine, config->emulate, precision, emulated);
    if (status != FM_UNSUPPORTED)
        return status;
    fm_error_clear();
    fm_warn("%s was trained in %s, which this device does not have: computed in fp32", path,
        config->precision);
    *precision = FM_PRECISION_FP32;
    *emulated = false;
    return FM_OK;
}

bool fm_trained_same_data(const struct fm_run_config *config, const struct fm_dataset *dataset)
{
    for (int i = 0; i < 4; i++)
        if (dataset->files[i].crc32 != config->data.crc32[i])
            return false;
    return true;
}

bool fm_trained_is_file(const char *path)
{
    return fm_path_exists(path) && !fm_path_is_dir(path);
}

// What a run's config.json and data.json would say, as far as the file knows it.
static enum fm_status describe_file(
    const struct fm_weights *weights, const struct fm_net *net, struct fm_run_config *config)
{
    snprintf(config->model, sizeof config->model, "%s", weights->model);
    snprintf(
        config->precision, sizeof config->precision, "%s", fm_precision_name(FM_PRECISION_FP32));
    config->input_size = net->input.shape.h;
    config->full = strcmp(weights->trained_on, FM_WEIGHTS_ALL) == 0;
    config->data.classes = weights->classes;
    for (int c = 0; c < FM_CHANNELS_MAX; c++) {
        config->data.input_mean[c] = (double)weights->input_mean[c];
        config->data.input_deviation[c] = (double)weights->input_deviation[c];
    }
    for (int k = 0; k < weights->classes; k++) {
        config->data.class_names[k] = strdup(weights->class_names[k]);
        if (!config->data.class_names[k])
            return fm_fail_memory("class names", strlen(weights->class_names[k]) + 1);
    }
    return FM_OK;
}

// The run's configuration and weights, and the network that both must be of.
static enum fm_status read_run(struct fm_trained *t, struct fm_weights *weights, struct fm_net *net)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, t->directory, FM_WEIGHTS_FILE));
    FM_TRY(fm_run_read_whole_config(t->directory, &t->config));
    FM_TRY(fm_run_config_net(&t->config, net));
    return fm_weights_open(path, weights);
}

static enum fm_status read_file(
    struct fm_trained *t, struct fm_weights *weights, struct fm_net *net)
{
    FM_TRY(fm_weights_open(t->directory, weights));
    FM_TRY(fm_weights_net(weights, net));
    t->trained_on = weights->trained_on;
    return describe_file(weights, net, &t->config);
}

enum fm_status fm_trained_open(
    const struct fm_engine *engine, const char *path, int batch, struct fm_trained *t)
{
    struct fm_weights weights = {0};
    struct fm_net net;
    enum fm_status status;
    memset(t, 0, sizeof *t);
    FM_TRY(fm_path_copy(t->directory, path));
    t->is_file = fm_trained_is_file(path);
    FM_TRY_GOTO(
        status, t->is_file ? read_file(t, &weights, &net) : read_run(t, &weights, &net), out);
    FM_TRY_GOTO(status,
        fm_trained_precision(engine, t->directory, &t->config, &t->precision, &t->emulated), out);
    const struct fm_predictor_options options = {
        .precision = t->precision, .emulate = t->emulated, .batch = batch};
    status = fm_predictor_open_net(engine, &weights, &net, &options, &t->predictor);
out:
    fm_weights_free(&weights);
    if (status != FM_OK)
        fm_trained_close(t);
    return status;
}

void fm_trained_close(struct fm_trained *t)
{
    fm_predictor_close(&t->predictor);
    fm_run_config_free(&t->config);
}
