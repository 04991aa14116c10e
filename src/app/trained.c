// Everything that puts a trained network to use opens it here, in the run's own precision, so that
// its figures are those that the run was measured with.
#include "app/trained.h"

#include "backend/precision.h"
#include "base/log.h"

#include <string.h>

enum fm_status fm_trained_precision(const struct fm_engine *engine,
    const struct fm_run_config *config, enum fm_precision *precision, bool *emulated)
{
    enum fm_status status = fm_precision_choose(
        config->precision, engine, config->emulate, precision, emulated);
    if (status != FM_UNSUPPORTED)
        return status;
    fm_error_clear();
    fm_warn("trained in %s, which this device does not have: computed in fp32", config->precision);
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

enum fm_status fm_trained_open(
    const struct fm_engine *engine, const char *directory, int batch, struct fm_trained *t)
{
    char weights[FM_PATH_MAX];
    enum fm_status status;
    memset(t, 0, sizeof *t);
    FM_TRY(fm_path_copy(t->directory, directory));
    FM_TRY(fm_path_join(weights, directory, FM_WEIGHTS_FILE));
    FM_TRY(fm_run_read_whole_config(directory, &t->config));
    FM_TRY_GOTO(status, fm_trained_precision(engine, &t->config, &t->precision, &t->emulated), out);
    const struct fm_predictor_options options = {
        .precision = t->precision, .emulate = t->emulated, .batch = batch};
    FM_TRY_GOTO(status, fm_predictor_open(engine, weights, &options, &t->predictor), out);
out:
    if (status != FM_OK)
        fm_trained_close(t);
    return status;
}

void fm_trained_close(struct fm_trained *t)
{
    fm_predictor_close(&t->predictor);
    fm_run_config_free(&t->config);
}
