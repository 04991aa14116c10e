// The training loop. The step itself is train_step(); everything around it prepares it, watches it
// or keeps what came of it. A step allocates nothing; a checkpoint
// between two steps does.
#include "train/trainer.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/pages.h"
#include "base/trace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    EVALUATION_MIN = 64,   // images of an evaluation's batch: --batch, but no fewer ...
    EVALUATION_MAX = 256,  // ... and no more
    BLOWN_UP_SAMPLE = 256, // training images that show whether the weights have blown up
};

// The order that train accuracy's sample is drawn from: of a seed and an epoch that no run uses.
enum {
    TRAIN_EVAL_SEED = 0
};
#define TRAIN_EVAL_EPOCH 0xFFFFFFFFu

static const double progress_interval = 0.1; // seconds

// ---- Before training: model, executors, feed

// The value that the caller begins with, in place of a drawn one: NULL where it has none.
static const struct fm_tensor *given(const struct trainer *t, const char *name)
{
    for (int i = 0; i < t->options->initial_count; i++)
        if (strcmp(t->options->initial[i].name, name) == 0)
            return &t->options->initial[i];
    return NULL;
}

// A name that the network does not have, or another number of elements, is a mistake upstream.
static enum fm_status check_given(const struct trainer *t)
{
    for (int i = 0; i < t->options->initial_count; i++) {
        const struct fm_tensor *tensor = &t->options->initial[i];
        int index = fm_net_find_param(t->net, tensor->name);
        if (index < 0 || t->net->params[index].count != tensor->count)
            return fm_fail(FM_DATA,
                "initial values of '%s' (%zu): network %s has no such parameter", tensor->name,
                tensor->count, t->net->name);
    }
    return FM_OK;
}

static enum fm_status set_initial(
    struct trainer *t, const struct fm_param *param, int index, float *values)
{
    const struct fm_tensor *tensor = given(t, param->name);
    if (tensor)
        memcpy(values, tensor->data, param->count * sizeof *values);
    else
        fm_init_param(t->net, index, t->recipe->init, t->options->seed, values);
    FM_TRY(t->api->model_set(t->model, FM_STATE_PARAM, param->name, values, param->count));
    if (!t->averages)
        return FM_OK;
    return t->api->model_set(t->model, FM_STATE_EMA, param->name, values, param->count);
}

static enum fm_status create_model(struct trainer *t)
{
    const struct fm_recipe *recipe = t->recipe;
    struct fm_model_options options = {
        .precision = t->options->precision,
        .emulate = t->options->emulate,
        .optimiser = {.kind = recipe->optimiser,
            .beta1 = (float)recipe->beta1,
            .beta2 = (float)recipe->beta2,
            .epsilon = (float)recipe->epsilon,
            .momentum = (float)recipe->momentum,
            .nesterov = recipe->nesterov},
        .ema = t->averages,
    };
    FM_TRY(t->api->model_create(t->engine->device, t->net, &options, &t->model));

    enum fm_status status = FM_OK;
    for (int i = 0; status == FM_OK && i < t->net->param_count; i++) {
        const struct fm_param *param = &t->net->params[i];
        struct fm_pages values = fm_pages_allocate(param->count * sizeof(float));
        if (!values.memory)
            return fm_fail_memory(param->name, param->count * sizeof(float));
        status = set_initial(t, param, i, values.memory);
        fm_pages_free(&values);
    }
    return status;
}

enum fm_status fm_trainer_compile(
    struct trainer *t, uint32_t batch, bool probe, struct fm_executor **executor)
{
    const struct fm_recipe *recipe = t->recipe;
    struct fm_compile_options options = {
        .batch = (int)batch,
        .mode = FM_MODE_TRAIN,
        .augment = fm_recipe_augment(recipe),
        .label_smoothing = (float)recipe->label_smoothing,
        .mix = fm_recipe_mix(recipe),
        .soft_share = (float)t->options->teacher_share,
        .probe = probe,
    };
    return t->api->compile(t->model, &options, executor);
}

static enum fm_status compile(struct trainer *t, uint32_t batch, struct fm_executor **executor)
{
    FM_TRY(fm_trainer_compile(t, batch, false, executor));
    t->result.executor_memory += t->api->executor_memory(*executor);
    return FM_OK;
}

static enum fm_status allocate(struct trainer *t)
{
    size_t order = t->split->train_count * sizeof *t->order;
    t->order = malloc(order);
    if (!t->order)
        return fm_fail_memory("an epoch's order", order);
    if (t->recipe->keep != FM_KEEP_BEST && !t->averages)
        return FM_OK;
    size_t best = t->net->param_elements + t->net->running_elements;
    t->kept = calloc(best, sizeof *t->kept);
    return t->kept ? FM_OK : fm_fail_memory("the kept weights", best * sizeof *t->kept);
}

// Images that train accuracy is measured on.
static uint32_t train_eval_count(const struct trainer *t)
{
    uint32_t wanted = (uint32_t)t->recipe->train_eval, all = t->split->train_count;
    return wanted > 0 && wanted < all ? wanted : all;
}

// Images that an epoch's weights are measured on.
static uint32_t select_count(const struct trainer *t)
{
    if (t->split->select_count > 0)
        return t->split->select_count;
    return t->epoch_images < BLOWN_UP_SAMPLE ? t->epoch_images : BLOWN_UP_SAMPLE;
}

// The training's within bounds, so that the evaluations' executors fit into its memory.
static int evaluation_batch(const struct trainer *t)
{
    uint32_t batch = t->batch > EVALUATION_MIN ? t->batch : EVALUATION_MIN;
    return (int)(batch < EVALUATION_MAX ? batch : EVALUATION_MAX);
}

static enum fm_status on_batch(void *context, uint32_t done, uint32_t total)
{
    (void)done;
    (void)total;
    return fm_trainer_check_interrupt(context);
}

// `averages`: of the model's averaged weights. Does nothing where it is open.
static enum fm_status open_evaluator(struct trainer *t, bool averages)
{
    if (t->evaluators[averages])
        return FM_OK;
    uint32_t count = averages ? 0 : train_eval_count(t);
    if (averages == t->averages && select_count(t) > count)
        count = select_count(t);
    const struct fm_evaluate_options options = {.samples = t->samples,
        .ids = t->order,
        .count = count,
        .classes = t->net->classes,
        .batch = evaluation_batch(t),
        .average = averages,
        .totals = true,
        .progress = on_batch,
        .context = t};
    enum fm_status status = fm_evaluator_open(
        t->engine, t->model, &options, &t->evaluators[averages]);
    if (status != FM_MEMORY)
        return status;
    return fm_context(
        status, "evaluations between epochs (a smaller --batch leaves them more memory)");
}

static uint64_t steps_of_epoch(const struct trainer *t)
{
    return t->epoch_images / t->batch + (t->epoch_images % t->batch > 0);
}

// The full batches have their memory already, which a smaller batch would leave to this one.
static enum fm_status compile_tail(struct trainer *t)
{
    if (t->epoch_images % t->batch == 0)
        return FM_OK;
    enum fm_status status = compile(t, t->epoch_images % t->batch, &t->tail);
    if (status != FM_MEMORY)
        return status;
    return fm_context(
        status, "the last batch of an epoch (a smaller --batch leaves it more memory)");
}

static enum fm_status check_views(const struct trainer *t)
{
    if (t->samples->count % (1 + t->options->views) == 0)
        return FM_OK;
    return fm_fail(FM_DATA, "%u samples in 1 + %u views: expected as many in each",
        t->samples->count, t->options->views);
}

// What the ids of this epoch's view begin at.
static uint32_t view_offset(const struct trainer *t)
{
    uint32_t views = t->options->views;
    uint32_t part = views > 0 ? 1 + (uint32_t)t->result.epochs % views : 0;
    return part * (t->samples->count / (1 + views));
}

static enum fm_status prepare(struct trainer *t)
{
    uint32_t count = t->split->train_count, wanted = (uint32_t)t->recipe->epoch_images;
    if (count == 0)
        return fm_fail(FM_DATA, "there is no image to train on");
    if (t->split->select_count == 0 && t->recipe->keep == FM_KEEP_BEST)
        return fm_fail(FM_USAGE,
            "there are no selection images, so no epoch can be the best on them: --keep last");
    t->epoch_images = wanted > 0 && wanted < count ? wanted : count;
    t->batch = (uint32_t)t->recipe->batch;
    if (t->batch > t->epoch_images)
        t->batch = t->epoch_images;
    t->steps = (uint64_t)t->recipe->epochs * steps_of_epoch(t);
    t->averages = t->recipe->ema_decay > 0;

    FM_TRY(check_given(t));
    FM_TRY(check_views(t));
    FM_TRY(create_model(t));
    FM_TRY(compile(t, t->batch, &t->full));
    FM_TRY(compile_tail(t));
    FM_TRY(fm_trainer_open_teachers(t));
    FM_TRY(fm_feed_open(t->api, t->model, t->batch, t->samples, t->options->resident, &t->feed));
    FM_TRY(allocate(t));
    FM_TRY(open_evaluator(t, t->averages));
    return fm_trainer_resume(t);
}

static void destroy(struct trainer *t)
{
    fm_evaluator_close(t->evaluators[true]);
    fm_evaluator_close(t->evaluators[false]);
    fm_feed_close(&t->feed); // its loader may be reading t->order
    fm_trainer_close_teachers(t);
    free(t->kept);
    free(t->order);
    t->api->executor_destroy(t->tail);
    t->api->executor_destroy(t->full);
}

// ---- While training: what is told of it

// `training`: seconds that the steps so far took.
static double remaining_seconds(const struct trainer *t, double training)
{
    if (t->step == 0)
        return 0;
    uint64_t epochs_left = (uint64_t)(t->recipe->epochs - t->result.epochs);
    uint64_t to_evaluate = epochs_left * t->split->select_count + train_eval_count(t);
    double each = t->evaluated ? t->evaluating / (double)t->evaluated : 0;
    double step = training / (double)t->step;
    double all = step * (double)(t->steps - t->step) + each * (double)to_evaluate;
    if (t->options->max_minutes <= 0)
        return all;
    // The epoch in which the limit is reached is the last.
    uint64_t in_epoch = t->steps / (uint64_t)t->recipe->epochs;
    double epoch = step * (double)in_epoch + each * (double)t->split->select_count;
    double limit = t->options->max_minutes * 60 - (fm_clock_seconds() - t->start);
    uint64_t rest = (in_epoch - t->step % in_epoch) % in_epoch;
    double this_one = rest > 0 ? step * (double)rest + each * (double)t->split->select_count : 0;
    double more = limit > this_one ? ceil((limit - this_one) / epoch) * epoch : 0;
    return fmin(all, this_one + more + each * (double)train_eval_count(t));
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

void fm_trainer_fill_step(const struct trainer *t, struct fm_step *step)
{
    step->seed = t->options->seed;
    step->epoch = (uint32_t)t->result.epochs;
    step->learning_rate = (float)fm_schedule_rate(t->recipe, t->step, t->steps);
    step->weight_decay = (float)t->recipe->weight_decay;
    step->ema_decay = fm_recipe_ema_decay(t->recipe, t->step);
    step->reserved = 0;
}

static enum fm_status train_step(struct trainer *t, int slot)
{
    struct fm_step *step = t->api->staging_slot(t->feed.staging, slot)->step;
    fm_trainer_fill_step(t, step);
    t->progress.learning_rate = step->learning_rate;
    uint32_t count = step->count;

    enum fm_status status = fm_trainer_teach(t, t->feed.staging, slot);
    if (status == FM_OK) {
        double begin = fm_trace_begin();
        status = t->api->submit(count == t->batch ? t->full : t->tail, t->feed.staging, slot);
        fm_trace_end(begin, "step", (int64_t)t->step);
    }
    fm_loader_release(t->feed.loader, slot);
    t->step++;
    t->epoch_step++;
    t->result.images += count;
    return status;
}

// What an interruption leaves is written before it is told.
static enum fm_status stop_if_interrupted(struct trainer *t)
{
    if (!t->options->interrupted || !t->options->interrupted())
        return FM_OK;
    FM_TRY(fm_trainer_save(t));
    return fm_trainer_check_interrupt(t);
}

// The loader's pass ends with the call that finds nothing more.
static enum fm_status end_pass(struct trainer *t, bool began)
{
    int slot;
    return began ? fm_loader_next(t->feed.loader, &slot) : FM_OK;
}

// The steps of an epoch that are still to do, to their end on the device.
static enum fm_status train_steps(struct trainer *t)
{
    uint64_t done = t->epoch_step * t->batch;
    if (done < t->epoch_images)
        FM_TRY(fm_loader_begin(
            t->feed.loader, t->order + done, (uint32_t)(t->epoch_images - done), t->batch));
    while (t->epoch_step < steps_of_epoch(t)) {
        int slot;
        FM_TRY(fm_loader_next(t->feed.loader, &slot));
        FM_TRY(train_step(t, slot));
        FM_TRY(fm_trainer_check_finite(t, false));
        FM_TRY(tell_step(t));
        FM_TRY(stop_if_interrupted(t));
        FM_TRY(fm_trainer_save_if_due(t));
    }
    FM_TRY(end_pass(t, done < t->epoch_images));
    struct fm_sums sums;
    FM_TRY(fm_trainer_check_finite(t, true));
    FM_TRY(t->api->sums_get(t->model, true, &sums));
    double now = fm_clock_seconds();
    describe(t, &sums, now);
    t->progress.epoch_seconds = now - t->epoch_start;
    t->progress.waited = fm_loader_waited(t->feed.loader) - t->epoch_waited;
    return FM_OK;
}

// `averages`: of the model's averaged weights.
static enum fm_status evaluate(struct trainer *t, const uint32_t *ids, uint32_t count,
    bool averages, double *accuracy, double *nll)
{
    double start = fm_clock_seconds(), begin = fm_trace_begin();
    struct fm_metrics metrics;
    FM_TRY(open_evaluator(t, averages));
    FM_TRY(fm_evaluator_run(t->evaluators[averages], ids, count, &metrics));
    fm_trace_end(begin, "evaluate", (int64_t)t->step);
    *accuracy = metrics.accuracy;
    *nll = metrics.nll;
    fm_metrics_free(&metrics);
    t->evaluating += fm_clock_seconds() - start;
    t->evaluated += count;
    return FM_OK;
}

// Where the run went on within the epoch, its sums and its time are those of the part before, too.
static enum fm_status begin_epoch(struct trainer *t)
{
    double seconds = 0, waited = 0;
    if (t->epoch_step > 0) {
        seconds = t->progress.epoch_seconds;
        waited = t->progress.waited;
    } else {
        FM_TRY(t->api->sums_set(t->model, &(struct fm_sums){0}));
    }
    t->progress = (struct fm_train_progress){
        .epoch = t->result.epochs + 1, .epochs = t->recipe->epochs, .steps = t->steps};
    if (t->epoch_step > 0)
        t->progress.learning_rate = (float)fm_schedule_rate(t->recipe, t->step - 1, t->steps);
    FM_TRY(fm_epoch_order(t->split->train, t->split->train_count, t->options->seed,
        (uint32_t)t->result.epochs, t->order));
    for (uint32_t i = 0, offset = view_offset(t); offset > 0 && i < t->split->train_count; i++)
        t->order[i] += offset;
    t->epoch_waited = fm_loader_waited(t->feed.loader) - waited;
    t->epoch_start = fm_clock_seconds() - seconds;
    return FM_OK;
}

// Without selection images a batch to train on shows whether the weights have blown up.
static enum fm_status check_weights(struct trainer *t)
{
    double accuracy, nll;
    t->progress.select_accuracy = t->progress.select_nll = NAN;
    return evaluate(t, t->order, select_count(t), t->averages, &accuracy, &nll);
}

static enum fm_status evaluate_selection(struct trainer *t)
{
    enum fm_status status = t->split->select_count == 0
                                ? check_weights(t)
                                : evaluate(t, t->split->select, t->split->select_count, t->averages,
                                      &t->progress.select_accuracy, &t->progress.select_nll);
    if (status != FM_INTERRUPTED)
        return fm_trainer_explain_nonfinite(t, status);
    // All steps of the epoch are done, so that a resumed run begins with this evaluation. If the
    // checkpoint cannot be written, that failure is reported instead of the interruption.
    char *stopped = fm_error_take();
    enum fm_status saved = fm_trainer_save(t);
    if (saved == FM_OK)
        fm_error_put(stopped);
    else
        free(stopped);
    return saved == FM_OK ? status : saved;
}

static enum fm_status train_epoch(struct trainer *t)
{
    FM_TRY(begin_epoch(t));
    FM_TRY(train_steps(t));
    FM_TRY(evaluate_selection(t));
    t->result.epochs++;
    t->epoch_step = 0;
    t->result.seconds += t->progress.epoch_seconds;
    t->result.waited += t->progress.waited;
    t->result.loss = t->progress.loss;
    return t->api->counters_get(t->model, &t->progress.counters);
}

static enum fm_status tell_epoch(struct trainer *t)
{
    t->progress.epoch_done = true;
    t->progress.elapsed = fm_clock_seconds() - t->start;
    t->progress.remaining = remaining_seconds(t, t->result.seconds);
    return tell(t);
}

// Accuracy on the training split, of the kept weights and without augmentation.
static enum fm_status measure_train_accuracy(struct trainer *t)
{
    double nll;
    FM_TRY(fm_epoch_order(
        t->split->train, t->split->train_count, TRAIN_EVAL_SEED, TRAIN_EVAL_EPOCH, t->order));
    t->result.train_eval_count = train_eval_count(t);
    return evaluate(
        t, t->order, t->result.train_eval_count, false, &t->result.train_accuracy, &nll);
}

static bool out_of_time(const struct trainer *t)
{
    double limit = t->options->max_minutes * 60;
    return limit > 0 && fm_clock_seconds() - t->start >= limit;
}

// Whether another epoch is to be trained; notes if --max-minutes ended it.
static bool next_epoch(struct trainer *t)
{
    if (t->result.epochs == t->recipe->epochs)
        return false;
    t->result.ended_early = t->result.epochs > 0 && t->epoch_step == 0 && out_of_time(t);
    if (t->result.ended_early)
        fm_note("ended by --max-minutes %g after epoch %d of %d", t->options->max_minutes,
            t->result.epochs, t->recipe->epochs);
    return !t->result.ended_early;
}

static enum fm_status train(struct trainer *t)
{
    t->last_checkpoint = fm_clock_seconds();
    while (next_epoch(t)) {
        FM_TRY(train_epoch(t));
        FM_TRY(fm_trainer_keep(t));
        FM_TRY(tell_epoch(t));
        FM_TRY(fm_trainer_save(t));
        FM_TRY(fm_trainer_check_interrupt(t));
    }
    FM_TRY(t->api->counters_get(t->model, &t->result.counters));
    FM_TRY(fm_trainer_install_kept(t));
    return measure_train_accuracy(t);
}

static void finish(struct trainer *t)
{
    struct fm_train_result *result = &t->result;
    result->steps = t->step;
    result->total_seconds = fm_clock_seconds() - t->start;
    double timed = (double)(result->images - t->untimed_images);
    result->images_per_second = result->seconds > 0 ? timed / result->seconds : 0;
    bool trained = result->steps > result->first_step; // a call that only tests has no such peak
    result->peak_memory = t->peak_is_own && trained ? fm_machine_peak_memory() : 0;
}

enum fm_status fm_train(const struct fm_engine *engine, const struct fm_net *net,
    const struct fm_samples *samples, const struct fm_split *split,
    const struct fm_train_options *options, struct fm_model **model, struct fm_train_result *result)
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
        .result = {.select_accuracy = NAN, .select_nll = NAN},
    };
    enum fm_status status;
    *model = NULL;
    FM_TRY(fm_recipe_check(t.recipe));
    t.peak_is_own = fm_machine_reset_peak_memory() == 0;
    FM_TRY_GOTO(status, prepare(&t), out);
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
