// The options of weights that others have trained, which train and compare share: what they mean
// together is checked before a device is opened.
#include "cli/common.h"

#include <string.h>

// Options that say what becomes of --weights, and mean nothing without.
static const char *const of_weights[] = {
    "base-rate", "unfreeze", "feature-views", "feature-cache", "no-feature-cache", NULL};

static enum fm_status check_model(const struct fm_args *args, const char *const *models)
{
    const char *given = args->weights ? "weights" : args->input_size ? "input-size" : NULL;
    for (int i = 0; models[i]; i++)
        if (strcmp(models[i], FM_TRANSFER_MODEL) == 0)
            return FM_OK;
    if (!given)
        return FM_OK;
    return models[0] && !models[1]
               ? fm_fail(FM_USAGE, "--%s is for model '" FM_TRANSFER_MODEL "', not for '%s'", given,
                     models[0])
               : fm_fail(FM_USAGE,
                     "--%s is for model '" FM_TRANSFER_MODEL "', which is not among --models",
                     given);
}

enum fm_status fm_check_transfer(const struct fm_args *args, const char *const *models)
{
    int size = args->input_size;
    FM_TRY(check_model(args, models));
    if (size != 0 && size != 32 && size != 48 && size != 64)
        return fm_fail(FM_USAGE, "--input-size %d: expected 32, 48 or 64", size);
    for (int i = 0; of_weights[i] && !args->weights; i++)
        if (fm_args_given(args, of_weights[i]))
            return fm_fail(FM_USAGE,
                "--%s says what becomes of the weights of a file, and none is named: --weights "
                "FILE does",
                of_weights[i]);
    if (args->feature_cache && args->no_feature_cache)
        return fm_fail(FM_USAGE, "--feature-cache and --no-feature-cache exclude each other");
    return FM_OK;
}

void fm_take_transfer(const struct fm_args *args, int mode, struct fm_transfer *transfer)
{
    memset(transfer, 0, sizeof *transfer);
    transfer->mode = mode;
    if (mode == FM_TRANSFER_SCRATCH)
        return;
    fm_path_absolute(transfer->weights, args->weights);
    if (mode == FM_TRANSFER_FROZEN) {
        transfer->feature_views = args->feature_views;
        return;
    }
    transfer->unfreeze = args->unfreeze;
    transfer->base_rate = args->base_rate;
}
