// The weights that a training ends with: the last epoch's or the best one's; of the trained weights
// or of their averages.
#include "train/trainer.h"

#include <math.h>

typedef enum fm_status transfer(struct fm_model *model, enum fm_state_kind kind, const char *name,
    float *data, size_t count, const struct fm_backend *api);

static enum fm_status get(struct fm_model *model, enum fm_state_kind kind, const char *name,
    float *data, size_t count, const struct fm_backend *api)
{
    return api->model_get(model, kind, name, data, count);
}

static enum fm_status set(struct fm_model *model, enum fm_state_kind kind, const char *name,
    float *data, size_t count, const struct fm_backend *api)
{
    return api->model_set(model, kind, name, data, count);
}

// Moves all parameters and running statistics, or their averages, between the model and `weights`.
static enum fm_status transfer_all(struct trainer *t, bool averages, float *weights, transfer *move)
{
    const struct fm_net *net = t->net;
    for (int i = 0; i < net->param_count; i++) {
        const struct fm_param *param = &net->params[i];
        FM_TRY(move(t->model, averages ? FM_STATE_EMA : FM_STATE_PARAM, param->name,
            weights + param->offset, param->count, t->api));
    }
    float *running_weights = weights + net->param_elements;
    for (int i = 0; i < net->running_count; i++) {
        const struct fm_running *running = &net->running[i];
        FM_TRY(move(t->model, averages ? FM_STATE_EMA : FM_STATE_RUNNING, running->name,
            running_weights + running->offset, running->count, t->api));
    }
    return FM_OK;
}

enum fm_status fm_trainer_keep(struct trainer *t)
{
    bool first = t->result.kept_epoch == 0;
    if (t->recipe->keep == FM_KEEP_BEST && !first &&
        !(t->progress.select_accuracy > t->result.select_accuracy))
        return FM_OK;
    t->result.kept_epoch = t->result.epochs;
    t->result.select_accuracy = t->progress.select_accuracy;
    t->result.select_nll = t->progress.select_nll;
    return t->recipe->keep == FM_KEEP_BEST ? transfer_all(t, t->averages, t->kept, get) : FM_OK;
}

enum fm_status fm_trainer_install_kept(struct trainer *t)
{
    bool best = t->recipe->keep == FM_KEEP_BEST;
    if (!best && !t->averages)
        return FM_OK;
    if (!best)
        FM_TRY(transfer_all(t, true, t->kept, get));
    return transfer_all(t, false, t->kept, set);
}
