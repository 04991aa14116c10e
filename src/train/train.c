// The training loop. The step itself is train_step(); everything around it prepares it, watches it
// or keeps what came of it. Nothing is allocated between the first and the last step of an epoch.
#include "train/train.h"

#include "base/clock.h"
#include "base/machine.h"
#include "eval/evaluate.h"
#include "eval/feed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    EVALUATION_BATCH = 256
};

// The order that train accuracy's sample is drawn from: of a seed and an epoch that no run uses.
enum {
    TRAIN_EVAL_SEED = 0
};
#define TRAIN_EVAL_EPOCH 0xFFFFFFFFu

static const double progress_interval = 0.1; // seconds

struct trainer {
    const struct fm_engine *engine;
    const struct fm_backend *api;
    const struct fm_net *net;
    const struct fm_samples *samples;
    const struct fm_split *split;
    const struct fm_train_options *options;
    const struct fm_recipe *recipe;

    struct fm_model *model;
    struct fm_feed feed;
    struct fm_executor *full; // of `batch`
    struct fm_executor *tail; // of what is left; NULL if nothing is
    uint32_t *order;          // [split->train_count]
    uint32_t epoch_images;    // the first so many of it are trained on
    uint32_t batch;           // the recipe's, or all of an epoch where that is less
    float *best; // FM_KEEP_BEST: parameters, then running statistics, of the best epoch

    uint64_t step, steps; // submitted, of the whole run
    double start;         // on the clock
    bool peak_is_own;     // the process's peak of memory begins with this training
    double epoch_start, epoch_waited;
    double evaluating;  // seconds spent in evaluations so far
    uint64_t evaluated; // images evaluated in them
    double last_progress;
    struct fm_train_progress progress;
    struct fm_train_result result;
};

// ---- Before training: model, executors, feed

static enum fm_status create_model(struct trainer *t, enum fm_precision precision)
{
    const struct fm_recipe *recipe = t->recipe;
    struct fm_model_options options = {
        .precision = precision,
        .optimiser = {.kind = recipe->optimiser,
            .beta1 = (float)recipe->beta1,
            .beta2 = (float)recipe->beta2,
            .epsilon = (float)recipe->epsilon},
    };
    FM_TRY(t->api->model_create(t->engine->device, t->net, &options, &t->model));

    enum fm_status status = FM_OK;
    for (int i = 0; status == FM_OK && i < t->net->param_count; i++) {
        const struct fm_param *param = &t->net->params[i];
        float *values = malloc(param->count * sizeof *values);
        if (!values)
            return fm_fail_memory(param->name, param->count * sizeof *values);
        fm_init_param(t->net, i, recipe->init, t->options->seed, values);
        status = t->api->model_set(t->model, FM_STATE_PARAM, param->name, values, param->count);
        free(values);
    }
    return status;
}

static enum fm_status compile(struct trainer *t, uint32_t batch, struct fm_executor **executor)
{
    struct fm_compile_options options = {
        .batch = (int)batch,
        .mode = FM_MODE_TRAIN,
        .augment = {.shift = t->recipe->shift, .flip = t->recipe->flip},
        .label_smoothing = (float)t->recipe->label_smoothing,
    };
    FM_TRY(t->api->compile(t->model, &options, executor));
    t->result.executor_memory += t->api->executor_memory(*executor);
    return FM_OK;
}

static enum fm_status allocate(struct trainer *t)
{
    size_t order = t->split->train_count * sizeof *t->order;
    t->order = malloc(order);
    if (!t->order)
        return fm_fail_memory("an epoch's order", order);
    if (t->recipe->keep != FM_KEEP_BEST)
        return FM_OK;
    size_t best = (t->net->param_elements + t->net->running_elements) * sizeof *t->best;
    t->best = malloc(best);
    return t->best ? FM_OK : fm_fail_memory("the best weights", best);
}

static enum fm_status prepare(struct trainer *t, enum fm_precision precision)
{
    uint32_t count = t->split->train_count, wanted = (uint32_t)t->recipe->epoch_images;
    if (count == 0)
        return fm_fail(FM_DATA, "there is no image to train on");
    t->epoch_images = wanted > 0 && wanted < count ? wanted : count;
    t->batch = (uint32_t)t->recipe->batch;
    if (t->batch > t->epoch_images)
        t->batch = t->epoch_images;
    uint32_t full = t->epoch_images / t->batch, tail = t->epoch_images % t->batch;
    t->steps = (uint64_t)t->recipe->epochs * (full + (tail > 0));

    FM_TRY(create_model(t, precision));
    FM_TRY(compile(t, t->batch, &t->full));
    if (tail > 0)
        FM_TRY(compile(t, tail, &t->tail));
    FM_TRY(fm_feed_open(t->api, t->model, t->batch, t->samples, &t->feed));
    return allocate(t);
}

static void destroy(struct trainer *t)
{
    fm_feed_close(&t->feed); // its loader may be reading t->order
    free(t->best);
    free(t->order);
    t->api->executor_destroy(t->tail);
    t->api->executor_destroy(t->full);
}

// ---- While training: what is told of it

// Images that train accuracy is measured on.
static uint32_t train_eval_count(const struct trainer *t)
{
    uint32_t wanted = (uint32_t)t->recipe->train_eval, all = t->split->train_count;
    return wanted > 0 && wanted < all ? wanted : all;
}

// `training`: seconds that the steps so far took.
static double remaining_seconds(const struct trainer *t, double training)
{
    uint64_t epochs_left = (uint64_t)(t->recipe->epochs - t->result.epochs);
    uint64_t to_evaluate = epochs_left * t->split->select_count + train_eval_count(t);
    double each = t->evaluated ? t->evaluating / (double)t->evaluated : 0;
    return training / (double)t->step * (double)(t->steps - t->step) + each * (double)to_evaluate;
}

// Fills in what is known of the epoch that is under way.
static void describe(struct trainer *t, const struct fm_sums *sums, double now)
{
    struct fm_train_progress *p = &t->progress;
    double seconds = now - t->epoch_start;
    p->step = t->step;
    p->images = t->result.images;
    p->loss = sums->count ? sums->loss / (double)sums->count : 0;
    p->accuracy = sums->count ? (double)sums->correct / (double)sums->count : 0;
    p->images_per_second = seconds > 0 ? (double)sums->count / seconds : 0;
    p->elapsed = now - t->start;
    p->remaining = remaining_seconds(t, t->result.seconds + seconds);
}

static enum fm_status tell(struct trainer *t)
{
    return t->options->progress ? t->options->progress(t->options->context, &t->progress) : FM_OK;
}

static enum fm_status tell_step(struct trainer *t)
{
    double now = fm_clock_seconds();
    if (!t->options->progress || now - t->last_progress < progress_interval)
        return FM_OK;
    t->last_progress = now;
    struct fm_sums sums;
    FM_TRY(t->api->sums_get(t->model, false, &sums));
    if (sums.count == 0)
        return FM_OK; // nothing is known to be finished yet
    describe(t, &sums, now);
    return tell(t);
}

// ---- Training

static enum fm_status train_step(struct trainer *t, int slot)
{
    struct fm_step *step =
        t->api->staging_slot(t->feed.staging, slot)->step; // count is the loader's
    step->seed = t->options->seed;
    step->epoch = (uint32_t)t->result.epochs;
    step->learning_rate = (float)fm_schedule_rate(t->recipe, t->step, t->steps);
    step->weight_decay = 0;
    step->ema_decay = 0;
    step->reserved = 0;
    t->progress.learning_rate = step->learning_rate;
    uint32_t count = step->count;

    enum fm_status status = t->api->submit(
        count == t->batch ? t->full : t->tail, t->feed.staging, slot);
    fm_loader_release(t->feed.loader, slot);
    t->step++;
    t->result.images += count;
    return status;
}

// All steps of an epoch, to their end on the device.
static enum fm_status train_steps(struct trainer *t)
{
    for (;;) {
        int slot;
        FM_TRY(fm_loader_next(t->feed.loader, &slot));
        if (slot < 0)
            break;
        FM_TRY(train_step(t, slot));
        FM_TRY(tell_step(t));
    }
    struct fm_sums sums;
    FM_TRY(t->api->sums_get(t->model, true, &sums));
    double now = fm_clock_seconds();
    describe(t, &sums, now);
    t->progress.epoch_seconds = now - t->epoch_start;
    t->progress.waited = fm_loader_waited(t->feed.loader) - t->epoch_waited;
    if (!isfinite(t->progress.loss))
        return fm_fail(FM_NUMERIC,
            "%s: the mean loss of epoch %d is %g: training has diverged; a lower --learning-rate "
            "(now %g) may help",
            t->net->name, t->progress.epoch, t->progress.loss, t->recipe->learning_rate);
    return FM_OK;
}

static enum fm_status evaluate(
    struct trainer *t, const uint32_t *ids, uint32_t count, double *accuracy, double *nll)
{
    double start = fm_clock_seconds();
    const struct fm_evaluate_options options = {.samples = t->samples,
        .ids = ids,
        .count = count,
        .classes = t->net->classes,
        .batch = EVALUATION_BATCH};
    struct fm_metrics metrics;
    FM_TRY(fm_evaluate(t->engine, t->model, &options, &metrics));
    *accuracy = metrics.accuracy;
    *nll = metrics.nll;
    fm_metrics_free(&metrics);
    t->evaluating += fm_clock_seconds() - start;
    t->evaluated += count;
    return FM_OK;
}

static enum fm_status train_epoch(struct trainer *t)
{
    t->progress = (struct fm_train_progress){
        .epoch = t->result.epochs + 1, .epochs = t->recipe->epochs, .steps = t->steps};
    FM_TRY(fm_epoch_order(t->split->train, t->split->train_count, t->options->seed,
        (uint32_t)t->result.epochs, t->order));
    FM_TRY(t->api->sums_set(t->model, &(struct fm_sums){0}));
    t->epoch_waited = fm_loader_waited(t->feed.loader);
    t->epoch_start = fm_clock_seconds();
    FM_TRY(fm_loader_begin(t->feed.loader, t->order, t->epoch_images, t->batch));
    FM_TRY(train_steps(t));
    t->result.epochs++;
    t->result.seconds += t->progress.epoch_seconds;
    t->result.waited += t->progress.waited;
    t->result.loss = t->progress.loss;
    return evaluate(t, t->split->select, t->split->select_count, &t->progress.select_accuracy,
        &t->progress.select_nll);
}

static enum fm_status tell_epoch(struct trainer *t)
{
    t->progress.epoch_done = true;
    t->progress.elapsed = fm_clock_seconds() - t->start;
    t->progress.remaining = remaining_seconds(t, t->result.seconds);
    return tell(t);
}

// ---- The weights kept

typedef enum fm_status transfer(
    struct trainer *t, enum fm_state_kind kind, const char *name, float *data, size_t count);

static enum fm_status save(
    struct trainer *t, enum fm_state_kind kind, const char *name, float *data, size_t count)
{
    return t->api->model_get(t->model, kind, name, data, count);
}

static enum fm_status restore(
    struct trainer *t, enum fm_state_kind kind, const char *name, float *data, size_t count)
{
    return t->api->model_set(t->model, kind, name, data, count);
}

// Moves all parameters and running statistics between the model and t->best.
static enum fm_status transfer_all(struct trainer *t, transfer *move)
{
    for (int i = 0; i < t->net->param_count; i++) {
        const struct fm_param *param = &t->net->params[i];
        FM_TRY(move(t, FM_STATE_PARAM, param->name, t->best + param->offset, param->count));
    }
    float *running_best = t->best + t->net->param_elements;
    for (int i = 0; i < t->net->running_count; i++) {
        const struct fm_running *running = &t->net->running[i];
        FM_TRY(move(
            t, FM_STATE_RUNNING, running->name, running_best + running->offset, running->count));
    }
    return FM_OK;
}

static enum fm_status keep(struct trainer *t)
{
    bool first = t->result.kept_epoch == 0;
    if (t->best && !first && t->progress.select_accuracy <= t->result.select_accuracy)
        return FM_OK;
    t->result.kept_epoch = t->result.epochs;
    t->result.select_accuracy = t->progress.select_accuracy;
    t->result.select_nll = t->progress.select_nll;
    return t->best ? transfer_all(t, save) : FM_OK;
}

// Accuracy on the training split, of the kept weights and without augmentation.
static enum fm_status measure_train_accuracy(struct trainer *t)
{
    double nll;
    FM_TRY(fm_epoch_order(
        t->split->train, t->split->train_count, TRAIN_EVAL_SEED, TRAIN_EVAL_EPOCH, t->order));
    t->result.train_eval_count = train_eval_count(t);
    return evaluate(t, t->order, t->result.train_eval_count, &t->result.train_accuracy, &nll);
}

static bool out_of_time(const struct trainer *t)
{
    double limit = t->options->max_minutes * 60;
    return limit > 0 && fm_clock_seconds() - t->start >= limit;
}

static enum fm_status train(struct trainer *t)
{
    while (t->result.epochs < t->recipe->epochs && !t->result.ended_early) {
        FM_TRY(train_epoch(t));
        FM_TRY(keep(t));
        FM_TRY(tell_epoch(t));
        t->result.ended_early = t->result.epochs < t->recipe->epochs && out_of_time(t);
    }
    FM_TRY(t->api->counters_get(t->model, &t->result.counters));
    if (t->best && t->result.kept_epoch != t->result.epochs)
        FM_TRY(transfer_all(t, restore));
    return measure_train_accuracy(t);
}

static void finish(struct trainer *t)
{
    struct fm_train_result *result = &t->result;
    result->steps = t->step;
    result->total_seconds = fm_clock_seconds() - t->start;
    result->images_per_second = result->seconds > 0 ? (double)result->images / result->seconds : 0;
    result->peak_memory = t->peak_is_own ? fm_machine_peak_memory() : 0;
}

enum fm_status fm_train(const struct fm_engine *engine, const struct fm_net *net,
    const struct fm_samples *samples, const struct fm_split *split,
    const struct fm_train_options *options, enum fm_precision precision, struct fm_model **model,
    struct fm_train_result *result)
{
    struct trainer t = {
        .engine = engine,
        .api = engine->api,
        .net = net,
        .samples = samples,
        .split = split,
        .options = options,
        .recipe = options->recipe,
        .start = fm_clock_seconds(),
    };
    enum fm_status status;
    *model = NULL;
    FM_TRY(fm_recipe_check(t.recipe));
    t.peak_is_own = fm_machine_reset_peak_memory() == 0;
    FM_TRY_GOTO(status, prepare(&t, precision), out);
    FM_TRY_GOTO(status, train(&t), out);
    finish(&t);
    *result = t.result;
out:
    destroy(&t);
    if (status == FM_OK)
        *model = t.model;
    else
        t.api->model_destroy(t.model);
    return status;
}
