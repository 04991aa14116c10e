// Where a loss, a gradient or an output that is not finite began.
//
// The newest batches are run once more, by an executor that can be probed, at a learning rate of 0:
// after a skipped step with the weights in front of it, after an evaluation with those that it
// failed on. Moments, counters and running statistics change by that; the training ends here, and
// its checkpoint was written before.
#include "train/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    // A device may be four steps behind its host, and the sums are sent for again only when they
    // have come: a step is told of seven steps later at most.
    REPLAYED_MAX = 8
};

static bool all_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

// An executor under examination.
struct probe {
    struct trainer *t;
    struct fm_executor *executor;
    uint32_t batch;
    float *buffer;
    char *where; // [FM_NAME_MAX + 64]
};

// Whether a layer's tensor was read and is not finite.
static enum fm_status look(struct probe *p, int layer, enum fm_probe what, bool *broken)
{
    const struct fm_net *net = p->t->net;
    struct fm_shape shape = layer < 0 ? net->input.shape : net->layers[layer].out;
    size_t count = fm_shape_size(shape) * p->batch;
    *broken = false;
    enum fm_status status = p->t->api->executor_read(p->executor, layer, what, p->buffer, count);
    if (status == FM_NOT_FOUND) {
        fm_error_clear(); // no gradient flows there
        return FM_OK;
    }
    FM_TRY(status);
    *broken = !all_finite(p->buffer, count);
    return FM_OK;
}

// In the order in which a step computes: forward, then backward, then the parameters' gradients.
static enum fm_status examine(struct probe *p)
{
    const struct fm_net *net = p->t->net;
    bool broken = false;
    for (int i = 0; i < net->layer_count; i++) {
        FM_TRY(look(p, i, FM_PROBE_ACTIVATION, &broken));
        if (broken) {
            snprintf(p->where, FM_NAME_MAX + 64, "the output of layer %s", net->layers[i].name);
            return FM_OK;
        }
    }
    for (int i = net->layer_count - 1; i >= 0; i--) {
        FM_TRY(look(p, i, FM_PROBE_GRADIENT, &broken));
        if (broken) {
            snprintf(p->where, FM_NAME_MAX + 64, "the gradient of the output of layer %s",
                net->layers[i].name);
            return FM_OK;
        }
    }
    for (int i = net->param_count - 1; i >= 0; i--) {
        const struct fm_param *param = &net->params[i];
        FM_TRY(
            p->t->api->model_get(p->t->model, FM_STATE_GRAD, param->name, p->buffer, param->count));
        if (!all_finite(p->buffer, param->count)) {
            snprintf(p->where, FM_NAME_MAX + 64, "the gradient of %s", param->name);
            return FM_OK;
        }
    }
    return FM_OK;
}

static enum fm_status allocate(struct probe *p)
{
    const struct fm_net *net = p->t->net;
    size_t largest = fm_shape_size(net->input.shape) * p->batch;
    for (int i = 0; i < net->layer_count; i++) {
        size_t count = fm_shape_size(net->layers[i].out) * p->batch;
        largest = count > largest ? count : largest;
    }
    for (int i = 0; i < net->param_count; i++)
        largest = net->params[i].count > largest ? net->params[i].count : largest;
    p->buffer = malloc(largest * sizeof *p->buffer);
    return p->buffer ? FM_OK : fm_fail_memory("a probe", largest * sizeof *p->buffer);
}

// Runs batch `index` of the epoch once more.
static enum fm_status rerun(struct probe *p, struct fm_feed *feed, uint64_t index)
{
    struct trainer *t = p->t;
    int slot;
    FM_TRY(fm_loader_begin(feed->loader, t->order + index * t->batch, p->batch, p->batch));
    FM_TRY(fm_loader_next(feed->loader, &slot));
    struct fm_step *step = t->api->staging_slot(feed->staging, slot)->step;
    fm_trainer_fill_step(t, step);
    step->learning_rate = step->weight_decay = step->ema_decay = 0;
    enum fm_status status = fm_trainer_teach(t, feed->staging, slot);
    if (status == FM_OK)
        status = t->api->submit(p->executor, feed->staging, slot);
    fm_loader_release(feed->loader, slot);
    return status;
}

static enum fm_status probe_batch(struct trainer *t, uint64_t index, char *where)
{
    uint64_t left = t->epoch_images - index * t->batch;
    struct probe p = {.t = t, .batch = left < t->batch ? (uint32_t)left : t->batch, .where = where};
    struct fm_feed feed = {0};
    enum fm_status status = allocate(&p);
    if (status == FM_OK)
        status = fm_trainer_compile(t, p.batch, true, &p.executor);
    if (status == FM_OK)
        status = fm_feed_open(t->api, t->model, p.batch, t->samples, false, &feed);
    if (status == FM_OK)
        status = rerun(&p, &feed, index);
    if (status == FM_OK)
        status = examine(&p);
    fm_feed_close(&feed);
    t->api->executor_destroy(p.executor);
    free(p.buffer);
    return status;
}

// The newest batches of the epoch, the oldest of them first.
static enum fm_status find_origin(struct trainer *t, char *where)
{
    uint64_t first = t->epoch_step > REPLAYED_MAX ? t->epoch_step - REPLAYED_MAX : 0;
    for (uint64_t i = first; i < t->epoch_step && !where[0]; i++)
        FM_TRY(probe_batch(t, i, where));
    return FM_OK;
}

// `what` is not finite.
static enum fm_status fail_diverged(struct trainer *t, const char *what)
{
    char where[FM_NAME_MAX + 64] = "";
    enum fm_status status = find_origin(t, where);
    if (status != FM_OK)
        fm_error_clear(); // the training's own failure is the one to tell
    bool half = t->options->precision == FM_PRECISION_FP16;
    return fm_fail(FM_NUMERIC,
        "%s is not finite by step %" PRIu64 " (epoch %d); it began in %s. A lower --learning-rate "
        "(now %g)%s may help",
        what, t->step, t->result.epochs + 1,
        where[0] ? where : "a place that running the newest batches again did not show",
        t->recipe->learning_rate, half ? " or --precision bf16 or fp32" : "");
}

enum fm_status fm_trainer_check_finite(struct trainer *t, bool wait)
{
    struct fm_sums sums;
    FM_TRY(t->api->sums_get(t->model, wait, &sums));
    if (isfinite(sums.loss) && sums.incurable == 0)
        return FM_OK;
    return fail_diverged(t, isfinite(sums.loss) ? "a gradient" : "the loss");
}

enum fm_status fm_trainer_explain_nonfinite(struct trainer *t, enum fm_status status)
{
    if (status != FM_NUMERIC)
        return status;
    fm_error_clear();
    return fail_diverged(t, "an output");
}
