// The training loop over a backend that computes nothing but writes down what it is asked for. Its
// "weights" hold the number of epochs trained, and its predictions are right for a share of the
// samples that the test sets by that number: so which weights were kept is seen from outside.
#include "train/train.h"

#include "philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_state.h"

enum {
    SAMPLES = 110,
    TRAIN = 77,  // ids 0 to 76
    SELECT = 23, // ids 80 to 102
    CLASSES = 3,
    RECORD = 16,
    STEPS_MAX = 512,
};

// Allocations by the project's code (tests/train.cmake wraps these).
static atomic_long allocations;
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    allocations++;
    return __real_realloc(old, size);
}

// Not every kernel resets the peak of memory use.
static bool reset_fails;
int __wrap_fm_machine_reset_peak_memory(void);

int __wrap_fm_machine_reset_peak_memory(void)
{
    return reset_fails ? -1 : 0;
}

struct fm_model {
    const struct fm_net *net;
    float *params, *running;
    struct fm_sums sums;
    uint64_t applied;
};

struct fm_staging {
    struct fm_slot slots[FM_SLOTS];
    struct fm_step steps[FM_SLOTS];
};

struct fm_executor {
    struct fm_model *model;
    struct fm_compile_options options;
    struct fm_sums scores;
    uint64_t confusion[CLASSES * CLASSES];
};

static uint8_t records[SAMPLES * RECORD], labels[SAMPLES];
static uint32_t train_ids[TRAIN], select_ids[SELECT];
static struct fm_net net;

// What the test sets, and what the backend saw.
static struct {
    int tenths_right[16]; // by epochs trained, from 1: ids whose last digit is below are right
    int nan_epoch;        // from 1: its losses are NaN; 0: none
    int fail_call;        // the backend call, from 1, that fails; 0: none
    bool fail_slot_wait;
    bool full;          // no memory is left for inference
    bool keeps_samples; // where they are offered
    uint32_t views;     // the samples are as many parts and one more; 0: one
    int teachers;
    bool teacher_diverged;
    useconds_t step_time;
} set;

static struct {
    int live; // objects made and not destroyed
    int calls;
    struct fm_model_options model;
    struct fm_compile_options compiled[8]; // for training
    int compiled_count;
    // Executors for inference, teachers' among them, of averages and not; so far.
    int evaluators[2], stagings;
    int evaluator_batch[2];
    uint32_t capacity; // of the first staging
    int offered;       // stagings that were given all samples
    int steps_without; // steps whose slot held ids alone
    int lessons;       // predictions of teachers
    int replays;       // batches that were looked into
    struct fm_step steps[STEPS_MAX];
    uint32_t ids[STEPS_MAX * 128];
    int step_count;
    uint32_t id_count;
    int resets;
    long allocations; // at the last submit of an epoch less at its first
    long allocations_begin;
    atomic_int slot_waits;
    uint32_t probed;      // first sample of the batch looked into last
    float initial_weight; // of the first parameter, as it was set
    float began[2][64];   // the parameters as they were set before the first step; their averages
} seen;

static enum fm_status call(void)
{
    if (++seen.calls == set.fail_call)
        return fm_fail(FM_BACKEND, "call %d fails", seen.calls);
    return FM_OK;
}

static enum fm_status fake_model_create(struct fm_device *device, const struct fm_net *of,
    const struct fm_model_options *options, struct fm_model **model)
{
    (void)device;
    FM_TRY(call());
    *model = __real_calloc(1, sizeof **model);
    **model = (struct fm_model){.net = of,
        .params = __real_calloc(of->param_elements, sizeof(float)),
        .running = __real_calloc(of->running_elements, sizeof(float))};
    seen.model = *options;
    seen.live++;
    return FM_OK;
}

static void fake_model_destroy(struct fm_model *model)
{
    if (!model)
        return;
    free(model->params);
    free(model->running);
    free(model);
    seen.live--;
}

static float *find_state(
    struct fm_model *model, enum fm_state_kind kind, const char *name, size_t count)
{
    if (kind == FM_STATE_EMA) // as if the averages were the weights
        kind = fm_net_find_param(model->net, name) >= 0 ? FM_STATE_PARAM : FM_STATE_RUNNING;
    return fake_state(model->net, model->params, model->running, kind, name, count);
}

static enum fm_status fake_get(
    struct fm_model *model, enum fm_state_kind kind, const char *name, float *data, size_t count)
{
    FM_TRY(call());
    memcpy(data, find_state(model, kind, name, count), count * sizeof *data);
    return FM_OK;
}

static enum fm_status fake_set(struct fm_model *model, enum fm_state_kind kind, const char *name,
    const float *data, size_t count)
{
    FM_TRY(call());
    memcpy(find_state(model, kind, name, count), data, count * sizeof *data);
    int param = fm_net_find_param(model->net, name);
    if (seen.step_count == 0 && param >= 0) {
        size_t at = model->net->params[param].offset;
        assert_true(at + count <= sizeof seen.began[0] / sizeof *seen.began[0]);
        memcpy(seen.began[kind == FM_STATE_EMA] + at, data, count * sizeof *data);
    }
    if (seen.step_count == 0 && kind == FM_STATE_PARAM && data && seen.initial_weight == 0)
        seen.initial_weight = data[1];
    return FM_OK;
}

static enum fm_status fake_counters_get(struct fm_model *model, struct fm_counters *counters)
{
    FM_TRY(call());
    *counters = (struct fm_counters){.applied = model->applied, .loss_scale = 1};
    return FM_OK;
}

static enum fm_status fake_sums_get(struct fm_model *model, bool wait, struct fm_sums *sums)
{
    (void)wait;
    FM_TRY(call());
    *sums = model->sums;
    return FM_OK;
}

static enum fm_status fake_sums_set(struct fm_model *model, const struct fm_sums *sums)
{
    FM_TRY(call());
    model->sums = *sums;
    seen.resets++;
    return FM_OK;
}

static enum fm_status fake_staging_create(struct fm_model *model, uint32_t capacity,
    const struct fm_resident *resident, struct fm_staging **staging)
{
    (void)model;
    FM_TRY(call());
    struct fm_staging *s = __real_calloc(1, sizeof *s);
    for (int i = 0; i < FM_SLOTS; i++)
        s->slots[i] = (struct fm_slot){capacity, RECORD, __real_calloc(capacity, RECORD),
            __real_calloc(capacity, 1), __real_calloc(capacity, sizeof(uint32_t)), &s->steps[i],
            __real_calloc(capacity, CLASSES * sizeof(float))};
    if (resident) {
        assert_int_equal(resident->count, SAMPLES);
        assert_int_equal(resident->record_size, RECORD);
        assert_memory_equal(resident->records, records, sizeof records);
        assert_memory_equal(resident->labels, labels, sizeof labels);
        seen.offered++;
    }
    for (int i = 0; resident && set.keeps_samples && i < FM_SLOTS; i++) {
        free(s->slots[i].records);
        free(s->slots[i].labels);
        s->slots[i].records = s->slots[i].labels = NULL;
    }
    if (seen.capacity == 0)
        seen.capacity = capacity;
    seen.stagings++;
    seen.live++;
    *staging = s;
    return FM_OK;
}

static void fake_staging_destroy(struct fm_staging *staging)
{
    if (!staging)
        return;
    for (int i = 0; i < FM_SLOTS; i++) {
        free(staging->slots[i].records);
        free(staging->slots[i].labels);
        free(staging->slots[i].ids);
        free(staging->slots[i].soft_targets);
    }
    free(staging);
    seen.live--;
}

static struct fm_slot *fake_staging_slot(struct fm_staging *staging, int slot)
{
    return &staging->slots[slot];
}

static enum fm_status fake_slot_wait(struct fm_staging *staging, int slot)
{
    (void)staging, (void)slot;
    seen.slot_waits++;
    return set.fail_slot_wait ? fm_fail(FM_BACKEND, "slot_wait fails") : FM_OK;
}

static enum fm_status fake_compile(
    struct fm_model *model, const struct fm_compile_options *options, struct fm_executor **executor)
{
    FM_TRY(call());
    if (set.full && options->mode == FM_MODE_INFER)
        return fm_fail(FM_MEMORY, "the device is full");
    *executor = __real_calloc(1, sizeof **executor);
    **executor = (struct fm_executor){.model = model, .options = *options};
    if (options->mode == FM_MODE_TRAIN && !options->probe) {
        assert_int_equal(seen.step_count, 0); // compiled before training
        seen.compiled[seen.compiled_count++] = *options;
    }
    if (options->mode == FM_MODE_INFER) {
        seen.evaluators[options->average]++;
        seen.evaluator_batch[options->average] = options->batch;
    }
    seen.live++;
    return FM_OK;
}

static void fake_executor_destroy(struct fm_executor *executor)
{
    if (!executor)
        return;
    free(executor);
    seen.live--;
}

static void count_allocations(bool first_of_epoch)
{
    if (first_of_epoch)
        seen.allocations_begin = allocations;
    else if (allocations - seen.allocations_begin > seen.allocations)
        seen.allocations = allocations - seen.allocations_begin;
}

static struct fm_model teacher_models[2];

// What a teacher says depends on who it is, on what it is asked of and on the draws of the step.
static float teacher_logit(int teacher, uint32_t id, const struct fm_step *step, int class)
{
    if (set.teacher_diverged && teacher == 1 && id == 50)
        return NAN;
    uint64_t key = id * 3 + step->epoch * 5 + step->seed + (uint32_t)(class * (7 + teacher));
    return (float)(key % 11) / 4;
}

static enum fm_status fake_predict(
    struct fm_executor *executor, struct fm_staging *staging, int slot, float *logits)
{
    FM_TRY(call());
    const struct fm_slot *s = &staging->slots[slot];
    int teacher = (int)(executor->model - teacher_models);
    assert_in_range(teacher, 0, set.teachers - 1);
    assert_int_equal(executor->options.mode, FM_MODE_INFER);
    assert_int_equal(executor->options.augment.shift, 2); // as the step draws it
    assert_true(executor->options.augment.flip && !executor->options.mirror);
    assert_true(executor->options.augment.erase == 0.25f);
    assert_true((int)s->step->count <= executor->options.batch);
    for (uint32_t i = 0; i < s->step->count; i++)
        for (int k = 0; k < CLASSES; k++)
            logits[i * CLASSES + (uint32_t)k] = teacher_logit(teacher, s->ids[i], s->step, k);
    seen.lessons++;
    return FM_OK;
}

// The mean of the teachers' softmax.
static void check_soft_targets(const struct fm_slot *s)
{
    for (uint32_t i = 0; i < s->step->count; i++) {
        double mean[CLASSES] = {0};
        for (int t = 0; t < set.teachers; t++) {
            double sum = 0;
            for (int k = 0; k < CLASSES; k++)
                sum += exp((double)teacher_logit(t, s->ids[i], s->step, k));
            for (int k = 0; k < CLASSES; k++)
                mean[k] += exp((double)teacher_logit(t, s->ids[i], s->step, k)) / sum;
        }
        for (uint32_t k = 0; k < CLASSES; k++)
            assert_true(
                fabs((double)s->soft_targets[i * CLASSES + k] - mean[k] / set.teachers) < 1e-6);
    }
}

static enum fm_status fake_submit(
    struct fm_executor *executor, struct fm_staging *staging, int slot)
{
    FM_TRY(call());
    const struct fm_slot *s = &staging->slots[slot];
    struct fm_model *model = executor->model;
    assert_int_equal(executor->options.mode, FM_MODE_TRAIN);
    assert_int_equal(s->step->count, executor->options.batch); // never padded
    if (set.teachers > 0)
        check_soft_targets(s);
    if (executor->options.probe) {
        // The newest batch once more, at no learning rate.
        assert_true(s->step->learning_rate == 0);
        seen.probed = s->ids[0];
        seen.replays++;
        return FM_OK;
    }
    assert_true(seen.step_count < STEPS_MAX);
    count_allocations(model->sums.count == 0);
    for (uint32_t i = 0; i < s->step->count; i++) {
        if (set.views > 0)
            assert_int_equal(
                s->ids[i] / (SAMPLES / (1 + set.views)), 1 + s->step->epoch % set.views);
        else
            assert_true(s->ids[i] < TRAIN); // nothing else is trained on
        if (s->records) {
            assert_int_equal(s->labels[i], labels[s->ids[i]]);
            assert_memory_equal(s->records + i * RECORD, records + s->ids[i] * RECORD, RECORD);
        }
        seen.ids[seen.id_count++] = s->ids[i];
    }
    seen.steps[seen.step_count++] = *s->step;
    seen.steps_without += !s->records && !s->labels;
    int epoch = (int)s->step->epoch + 1;
    model->params[0] = model->running[0] = (float)epoch;
    model->sums.count += s->step->count;
    model->sums.correct += s->step->count / 2;
    model->sums.loss += epoch == set.nan_epoch ? NAN : s->step->count * (1.0 / epoch);
    model->applied++;
    usleep(set.step_time);
    return FM_OK;
}

static bool is_right(uint32_t id, int epochs)
{
    return (int)(id % 10) < set.tenths_right[epochs];
}

// The logit of what is predicted is 1, of others 0.
static enum fm_status fake_score(struct fm_executor *executor, struct fm_staging *staging, int slot)
{
    FM_TRY(call());
    const struct fm_slot *s = &staging->slots[slot];
    const struct fm_model *model = executor->model;
    assert_int_equal(executor->options.mode, FM_MODE_INFER);
    assert_true(model->params[0] == model->running[0]); // both belong to one epoch
    for (uint32_t i = 0; i < s->step->count; i++) {
        assert_true(s->ids[i] < SAMPLES);
        bool right = is_right(s->ids[i], (int)model->params[0]);
        uint32_t label = labels[s->ids[i]], predicted = (label + (right ? 0u : 1u)) % CLASSES;
        executor->scores.loss += log(exp(1) + CLASSES - 1) - (right ? 1 : 0);
        executor->scores.correct += right;
        executor->confusion[label * CLASSES + predicted]++;
    }
    return FM_OK;
}

static enum fm_status fake_scores_take(
    struct fm_executor *executor, struct fm_sums *scores, uint64_t *confusion)
{
    FM_TRY(call());
    *scores = executor->scores;
    memcpy(confusion, executor->confusion, sizeof executor->confusion);
    executor->scores = (struct fm_sums){0};
    memset(executor->confusion, 0, sizeof executor->confusion);
    return FM_OK;
}

// Everything from layer 1 on is broken, in the batch that broke it.
static enum fm_status fake_read(
    struct fm_executor *executor, int layer, enum fm_probe probe, float *data, size_t count)
{
    FM_TRY(call());
    assert_true(executor->options.probe);
    assert_int_equal(probe, FM_PROBE_ACTIVATION);
    memset(data, 0, count * sizeof *data);
    if (layer >= 1 && seen.probed == seen.ids[seen.id_count - executor->options.batch])
        data[count - 1] = NAN;
    return FM_OK;
}

static uint64_t fake_memory(const struct fm_executor *executor)
{
    return (uint64_t)executor->options.batch * 1000;
}

static const struct fm_backend fake = {
    .abi = FM_BACKEND_ABI,
    .name = "fake",
    .model_create = fake_model_create,
    .model_destroy = fake_model_destroy,
    .model_get = fake_get,
    .model_set = fake_set,
    .counters_get = fake_counters_get,
    .sums_get = fake_sums_get,
    .sums_set = fake_sums_set,
    .staging_create = fake_staging_create,
    .staging_destroy = fake_staging_destroy,
    .staging_slot = fake_staging_slot,
    .slot_wait = fake_slot_wait,
    .compile = fake_compile,
    .executor_destroy = fake_executor_destroy,
    .submit = fake_submit,
    .predict = fake_predict,
    .score = fake_score,
    .scores_take = fake_scores_take,
    .executor_read = fake_read,
    .executor_memory = fake_memory,
};

static const struct fm_engine engine = {.api = &fake};
static const struct fm_samples samples = {SAMPLES, RECORD, records, labels};
static const struct fm_split split = {
    .train = train_ids, .train_count = TRAIN, .select = select_ids, .select_count = SELECT};

static int set_up(void **state)
{
    (void)state;
    memset(&set, 0, sizeof set);
    memset(&seen, 0, sizeof seen);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        labels[i] = i % CLASSES;
        memset(records + i * RECORD, (int)i, RECORD);
    }
    for (uint32_t i = 0; i < TRAIN; i++)
        train_ids[i] = i;
    for (uint32_t i = 0; i < SELECT; i++)
        select_ids[i] = 80 + i;
    struct fm_input input = {.rows = 4, .cols = 4, .shape = {1, 4, 4}};
    fm_net_begin(&net, "small", &input);
    assert_int_equal(fm_net_conv(&net, "conv1", 2, 3, 0, true), FM_OK);
    assert_int_equal(fm_net_batchnorm(&net, "bn1"), FM_OK);
    assert_int_equal(fm_net_dense(&net, "fc1", CLASSES, true), FM_OK);
    assert_int_equal(fm_net_end(&net), FM_OK);
    fm_error_clear();
    return 0;
}

static struct fm_recipe make_recipe(int epochs, int batch)
{
    return (struct fm_recipe){.name = "test",
        .epochs = epochs,
        .batch = batch,
        .learning_rate = 0.5,
        .beta1 = 0.8,
        .beta2 = 0.9,
        .epsilon = 1e-6,
        .schedule = FM_SCHEDULE_ONE_CYCLE,
        .warmup_share = 0.3,
        .label_smoothing = 0.125,
        .shift = 2,
        .flip = true,
        .erase = 0.25,
        .erase_size = 2,
        .mix = 0.375,
        .mix_cut = 0.75,
        .dropout = -1};
}

static enum fm_status train_with(
    const struct fm_train_options *options, struct fm_train_result *result, struct fm_model **model)
{
    memset(result, 0, sizeof *result);
    return fm_train(&engine, &net, &samples, &split, options, model, result);
}

// Trains, and destroys the model. Fails the test where training does.
static struct fm_train_result train_recipe(const struct fm_recipe *recipe)
{
    struct fm_train_options options = {.recipe = recipe, .seed = 42};
    struct fm_train_result result;
    struct fm_model *model;
    if (train_with(&options, &result, &model) != FM_OK)
        fail_msg("%s", fm_error_message());
    fake_model_destroy(model);
    assert_int_equal(seen.live, 0);
    return result;
}

// A device that keeps the samples is given them once and then ids alone; evaluations and a backend
// that keeps none see batches as ever.
static void test_resident(void **state)
{
    uint32_t orders[3][2 * TRAIN];
    for (int i = 0; i < 3;
         i++) { // not asked for; asked for; asked for of a backend that ignores it
        set_up(state);
        struct fm_recipe recipe = make_recipe(2, 10);
        struct fm_train_options options = {.recipe = &recipe, .seed = 42, .resident = i > 0};
        struct fm_train_result result;
        struct fm_model *model;
        set.keeps_samples = i < 2;
        set.tenths_right[1] = set.tenths_right[2] = 5;
        if (train_with(&options, &result, &model) != FM_OK)
            fail_msg("%s", fm_error_message());
        fake_model_destroy(model);
        assert_int_equal(seen.offered, i > 0);
        assert_int_equal(seen.step_count, 2 * 8);
        assert_int_equal(seen.steps_without, i == 1 ? seen.step_count : 0);
        assert_true(result.select_accuracy > 0.3 && result.select_accuracy < 0.7);
        memcpy(orders[i], seen.ids, sizeof orders[i]);
        assert_int_equal(seen.live, 0);
    }
    assert_memory_equal(orders[0], orders[1], sizeof orders[0]);
    assert_memory_equal(orders[0], orders[2], sizeof orders[0]);
}

// The share of ids that the weights of an epoch are right on.
static double share_right(const uint32_t *ids, uint32_t count, int epoch)
{
    uint32_t right = 0;
    for (uint32_t i = 0; i < count; i++)
        right += is_right(ids[i], epoch);
    return (double)right / count;
}

static void test_steps(void **state)
{
    (void)state;
    struct fm_recipe recipe = make_recipe(3, 10);
    struct fm_train_result result = train_recipe(&recipe);

    // 77 images in batches of 10: 7 and a tail of 7, each with an executor of its own.
    assert_int_equal(seen.compiled_count, 2);
    assert_int_equal(seen.compiled[0].batch, 10);
    assert_int_equal(seen.compiled[1].batch, 7);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(seen.compiled[i].augment.shift, 2);
        assert_true(seen.compiled[i].augment.flip);
        assert_true(seen.compiled[i].label_smoothing == 0.125f);
        assert_true(
            seen.compiled[i].mix.share == 0.375f && seen.compiled[i].mix.cut_share == 0.75f);
    }
    assert_int_equal(seen.capacity, 10);
    assert_true(seen.model.optimiser.beta1 == 0.8f && seen.model.optimiser.beta2 == 0.9f &&
                seen.model.optimiser.epsilon == 1e-6f);
    assert_int_equal(seen.step_count, 3 * 8);
    assert_int_equal(seen.resets, 3);
    assert_true(seen.slot_waits > 0);

    uint32_t order[TRAIN];
    for (int i = 0; i < seen.step_count; i++) {
        const struct fm_step *step = &seen.steps[i];
        assert_int_equal(step->seed, 42);
        assert_int_equal(step->epoch, i / 8);
        assert_int_equal(step->count, i % 8 == 7 ? 7 : 10);
        assert_true(step->learning_rate == (float)fm_schedule_rate(&recipe, (uint64_t)i, 24));
        assert_true(step->weight_decay == 0 && step->ema_decay == 0 && step->reserved == 0);
    }
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
        assert_int_equal(fm_epoch_order(train_ids, TRAIN, 42, epoch, order), FM_OK);
        assert_memory_equal(order, seen.ids + epoch * TRAIN, sizeof order);
    }
    assert_int_equal(result.epochs, 3);
    assert_int_equal(result.steps, 24);
    assert_int_equal(result.images, 3 * TRAIN);
    assert_int_equal(result.counters.applied, 24);
    assert_int_equal(result.executor_memory, 17000);
    assert_false(result.ended_early);
    assert_true(result.peak_memory > 0);
    assert_true(fabs(result.loss - 1.0 / 3) < 1e-12); // of the last epoch
    assert_true(result.seconds > 0 && result.seconds <= result.total_seconds);
    assert_true(isfinite(result.images_per_second) && isfinite(result.waited));
}

// Compiled once for all epochs, and for the most that is evaluated.
static void test_evaluators_are_kept(void **state)
{
    for (int i = 0; i < 2; i++) {
        set_up(state);
        struct fm_recipe recipe = make_recipe(4, 10);
        recipe.ema_decay = i == 0 ? 0 : 0.9;
        recipe.train_eval = 40;
        train_recipe(&recipe);
        assert_int_equal(seen.evaluators[false], 1);
        assert_int_equal(seen.evaluator_batch[false], 40);
        assert_int_equal(seen.evaluators[true], i);
        assert_int_equal(seen.evaluator_batch[true], i == 0 ? 0 : SELECT);
        assert_int_equal(seen.stagings, 2 + i); // the training's, too
    }
}

// Found out before an epoch has been trained for nothing.
static void test_no_memory_for_evaluations(void **state)
{
    (void)state;
    set.full = true;
    struct fm_recipe recipe = make_recipe(3, 10);
    struct fm_train_options options = {.recipe = &recipe};
    struct fm_train_result result;
    struct fm_model *model;
    assert_int_equal(train_with(&options, &result, &model), FM_MEMORY);
    assert_string_equal(fm_error_message(),
        "evaluations between epochs (a smaller --batch leaves them more memory): the device is "
        "full");
    assert_int_equal(seen.step_count, 0);
    assert_null(model);
    assert_int_equal(seen.live, 0);
}

static void test_nothing_allocated_between_steps(void **state)
{
    (void)state;
    struct fm_recipe recipe = make_recipe(3, 2);
    long before = allocations;
    train_recipe(&recipe);
    assert_true(allocations > before); // the counter counts
    assert_int_equal(seen.allocations, 0);
}

static void test_part_of_an_epoch(void **state)
{
    (void)state;
    struct fm_recipe recipe = make_recipe(2, 10);
    recipe.epoch_images = 20;
    struct fm_train_result result = train_recipe(&recipe);
    assert_int_equal(seen.compiled_count, 1); // no tail
    assert_int_equal(result.images, 40);
    uint32_t order[TRAIN];
    for (uint32_t epoch = 0; epoch < 2; epoch++) {
        assert_int_equal(fm_epoch_order(train_ids, TRAIN, 42, epoch, order), FM_OK);
        assert_memory_equal(order, seen.ids + epoch * 20, 20 * sizeof order[0]);
    }
    set_up(NULL);
    recipe.epoch_images = 1000; // more than there are: all
    assert_int_equal(train_recipe(&recipe).images, 2 * TRAIN);
}

static void test_batch_larger_than_data(void **state)
{
    (void)state;
    struct fm_recipe recipe = make_recipe(2, 100);
    struct fm_train_result result = train_recipe(&recipe);
    assert_int_equal(seen.compiled_count, 1);
    assert_int_equal(seen.compiled[0].batch, TRAIN);
    assert_int_equal(result.steps, 2);
}

static void test_initial_weights(void **state)
{
    (void)state;
    float expected[64];
    for (int init = 0; init < 2; init++) {
        set_up(NULL);
        struct fm_recipe recipe = make_recipe(1, 10);
        recipe.init = init;
        train_recipe(&recipe);
        fm_init_param(&net, 0, init, 42, expected);
        assert_true(seen.initial_weight == expected[1] && expected[1] != 0);
    }
}

// What is given is begun with, averages too; what is not is drawn as ever.
static void test_given_weights(void **state)
{
    (void)state;
    float values[18], drawn[64];
    struct fm_tensor given[2] = {{.name = "fc1.bias", .count = CLASSES, .data = values + 5},
        {.name = "conv1.weight", .count = 18, .data = values}};
    for (int i = 0; i < 18; i++)
        values[i] = (float)i - 7.25f;
    struct fm_recipe recipe = make_recipe(1, 10);
    recipe.ema_decay = 0.9;
    struct fm_train_options options = {
        .recipe = &recipe, .seed = 42, .initial = given, .initial_count = 2};
    struct fm_train_result result;
    struct fm_model *model;
    assert_int_equal(train_with(&options, &result, &model), FM_OK);
    fake_model_destroy(model);
    for (int i = 0; i < net.param_count; i++) {
        const struct fm_param *param = &net.params[i];
        const float *expected = drawn;
        fm_init_param(&net, i, recipe.init, 42, drawn);
        for (int k = 0; k < 2; k++)
            if (strcmp(param->name, given[k].name) == 0)
                expected = given[k].data;
        for (int average = 0; average < 2; average++)
            if (memcmp(seen.began[average] + param->offset, expected,
                    param->count * sizeof *expected) != 0)
                fail_msg(
                    "%s%s does not begin as it should", param->name, average ? ", averaged," : "");
    }

    // A mistake upstream is no reason to draw.
    snprintf(given[1].name, sizeof given[1].name, "conv9.weight");
    assert_int_equal(train_with(&options, &result, &model), FM_DATA);
    assert_string_equal(fm_error_message(),
        "initial values of 'conv9.weight' (18): network small has no such parameter");
    fm_error_clear();
    snprintf(given[1].name, sizeof given[1].name, "conv1.weight");
    given[1].count = 17;
    assert_int_equal(train_with(&options, &result, &model), FM_DATA);
    assert_null(model);
    assert_int_equal(seen.live, 0);
}

// Epoch e is trained on part 1 + e % views, in the order that it would have without any; what is
// measured is the first part.
static void test_views(void **state)
{
    (void)state;
    enum {
        VIEWS = 4,
        PART = SAMPLES / (1 + VIEWS),
        OF_TRAIN = 15,
        EPOCHS = 6
    };
    const struct fm_split of_part = {.train = train_ids,
        .train_count = OF_TRAIN,
        .select = train_ids + OF_TRAIN,
        .select_count = PART - OF_TRAIN};
    uint32_t order[OF_TRAIN];
    struct fm_recipe recipe = make_recipe(EPOCHS, 4);
    struct fm_train_options options = {.recipe = &recipe, .seed = 42, .views = VIEWS};
    struct fm_train_result result;
    struct fm_model *model;
    set.views = VIEWS;
    for (int e = 1; e <= EPOCHS; e++)
        set.tenths_right[e] = 3;
    if (fm_train(&engine, &net, &samples, &of_part, &options, &model, &result) != FM_OK)
        fail_msg("%s", fm_error_message());
    fake_model_destroy(model);
    assert_int_equal(seen.id_count, EPOCHS * OF_TRAIN);
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        assert_int_equal(fm_epoch_order(train_ids, OF_TRAIN, 42, epoch, order), FM_OK);
        for (uint32_t i = 0; i < OF_TRAIN; i++)
            assert_int_equal(seen.ids[epoch * OF_TRAIN + i], order[i] + (1 + epoch % VIEWS) * PART);
    }
    // Ids 15 to 21, and 0 to 14: of another part other ones would be right.
    assert_true(fabs(result.select_accuracy - share_right(of_part.select, 7, 1)) < 1e-12);
    assert_true(fabs(result.train_accuracy - share_right(train_ids, OF_TRAIN, 1)) < 1e-12);
    assert_int_equal(result.train_eval_count, OF_TRAIN);

    options.views = 2; // 110 samples are no three equal parts
    assert_int_equal(
        fm_train(&engine, &net, &samples, &of_part, &options, &model, &result), FM_DATA);
    assert_string_equal(fm_error_message(), "110 samples in 1 + 2 views: expected as many in each");
    assert_int_equal(seen.live, 0);
}

static void check_kept(int keep, int epoch)
{
    set_up(NULL);
    memcpy(set.tenths_right, (int[]){0, 3, 8, 8, 6}, 5 * sizeof(int)); // of epochs 1, 2, 3, 4
    struct fm_recipe recipe = make_recipe(4, 10);
    recipe.keep = keep;
    recipe.train_eval = 30;
    struct fm_train_options options = {.recipe = &recipe, .seed = 1};
    struct fm_train_result result;
    struct fm_model *model;
    if (train_with(&options, &result, &model) != FM_OK)
        fail_msg("%s", fm_error_message());
    assert_true(model->params[0] == (float)epoch && model->running[0] == (float)epoch);
    fake_model_destroy(model);

    uint32_t order[TRAIN];
    assert_int_equal(fm_epoch_order(train_ids, TRAIN, 0, 0xFFFFFFFFu, order), FM_OK);
    double select = share_right(select_ids, SELECT, epoch), train = share_right(order, 30, epoch);
    assert_int_equal(result.kept_epoch, epoch);
    assert_int_equal(result.train_eval_count, 30);
    if (!(fabs(result.select_accuracy - select) < 1e-12))
        fail_msg("selection accuracy %g, expected %g", result.select_accuracy, select);
    if (!(fabs(result.train_accuracy - train) < 1e-12))
        fail_msg("train accuracy %g, expected %g", result.train_accuracy, train);
    // Logits of 1 and two 0: the loss is known, too.
    double right = log(1 + 2 / exp(1)), wrong = log(exp(1) + 2);
    double nll = select * right + (1 - select) * wrong;
    if (!(fabs(result.select_nll - nll) < 1e-6))
        fail_msg("selection loss %g, expected %g", result.select_nll, nll);
}

static struct fm_train_options taught_by(
    const struct fm_recipe *recipe, struct fm_teacher teachers[2], int count)
{
    for (int i = 0; i < count; i++)
        teachers[i] = (struct fm_teacher){
            .name = i == 0 ? "first" : "second", .net = &net, .model = &teacher_models[i]};
    set.teachers = count;
    return (struct fm_train_options){.recipe = recipe,
        .seed = 42,
        .teachers = teachers,
        .teacher_count = count,
        .teacher_share = count > 0 ? 0.75 : 0};
}

// Three epochs taught by so many.
static enum fm_status train_taught(int count, struct fm_model **model)
{
    struct fm_recipe recipe = make_recipe(3, 10);
    struct fm_teacher teachers[2];
    const struct fm_train_options options = taught_by(&recipe, teachers, count);
    struct fm_train_result result;
    return train_with(&options, &result, model);
}

// Each teacher is asked once of each batch, the tail's, too, and of nothing else.
static void test_teachers(void **state)
{
    for (int count = 0; count <= 2; count++) {
        set_up(state);
        struct fm_model *model;
        if (train_taught(count, &model) != FM_OK)
            fail_msg("%s", fm_error_message());
        fake_model_destroy(model);
        assert_int_equal(seen.step_count, 3 * 8);
        assert_int_equal(seen.lessons, count * seen.step_count);
        for (int i = 0; i < 2; i++)
            assert_true(seen.compiled[i].soft_share == (count > 0 ? 0.75f : 0.0f));
        assert_int_equal(seen.allocations, 0);
        assert_int_equal(seen.live, 0);
    }
}

static void check_refused(
    const struct fm_train_options *options, enum fm_status status, const char *message)
{
    struct fm_train_result result;
    struct fm_model *model;
    fm_error_clear();
    assert_int_equal(train_with(options, &result, &model), status);
    assert_string_equal(fm_error_message(), message);
    assert_int_equal(seen.live, 0);
}

static void test_teachers_that_cannot_teach(void **state)
{
    (void)state;
    struct fm_recipe recipe = make_recipe(3, 10);
    struct fm_teacher teachers[2];
    const struct fm_train_options options = taught_by(&recipe, teachers, 2);
    struct fm_net other = net;
    teachers[1].net = &other;
    other.classes = CLASSES + 1;
    check_refused(&options, FM_DATA, "teacher second: knows 4 classes, network small 3");
    other.classes = CLASSES;
    other.input.rows = 5;
    check_refused(
        &options, FM_DATA, "teacher second: takes other records than network small: 5x4, not 4x4");
    other.input.rows = 4;
    set.teacher_diverged = true;
    check_refused(
        &options, FM_NUMERIC, "teacher second: logit 0 is nan: the weights have diverged");
}

static void test_keep(void **state)
{
    (void)state;
    check_kept(FM_KEEP_BEST, 2); // the first of equals
    check_kept(FM_KEEP_LAST, 4);
}

static void test_train_accuracy_on_all(void **state)
{
    (void)state;
    set.tenths_right[1] = 4;
    struct fm_recipe recipe = make_recipe(1, 10);
    struct fm_train_result result = train_recipe(&recipe);
    assert_int_equal(result.train_eval_count, TRAIN);
    assert_true(fabs(result.train_accuracy - share_right(train_ids, TRAIN, 1)) < 1e-12);
}

static void test_max_minutes(void **state)
{
    (void)state;
    struct fm_recipe recipe = make_recipe(5, 10);
    struct fm_train_options options = {.recipe = &recipe, .max_minutes = 1e-9};
    struct fm_train_result result;
    struct fm_model *model;
    assert_int_equal(train_with(&options, &result, &model), FM_OK);
    fake_model_destroy(model);
    assert_true(result.ended_early);
    assert_int_equal(result.epochs, 1); // a whole one
    assert_int_equal(result.images, TRAIN);
    assert_int_equal(result.kept_epoch, 1);

    set_up(NULL);
    recipe.epochs = 1; // the end of the run, reached in any case
    assert_int_equal(train_with(&options, &result, &model), FM_OK);
    fake_model_destroy(model);
    assert_false(result.ended_early);
}

struct told {
    int steps, epochs;
    uint64_t last_step;
    double last_elapsed;
};

static enum fm_status check_progress(void *context, const struct fm_train_progress *p)
{
    struct told *told = context;
    assert_true(isfinite(p->loss) && isfinite(p->accuracy) && isfinite(p->images_per_second) &&
                isfinite(p->remaining) && p->remaining >= 0);
    assert_int_equal(p->steps, 3 * 39);
    assert_int_equal(p->epochs, 3);
    assert_true(p->step >= told->last_step && p->elapsed >= told->last_elapsed);
    assert_true(p->learning_rate == (float)p->learning_rate && p->learning_rate > 0);
    told->last_step = p->step;
    told->last_elapsed = p->elapsed;
    if (!p->epoch_done) {
        told->steps++;
        return FM_OK;
    }
    told->epochs++;
    assert_int_equal(p->epoch, told->epochs);
    assert_int_equal(p->step, told->epochs * 39);
    assert_int_equal(p->images, told->epochs * TRAIN);
    assert_true(fabs(p->loss - 1.0 / told->epochs) < 1e-12);
    assert_true(fabs(p->accuracy - 38.0 / TRAIN) < 1e-12);
    assert_true(p->epoch_seconds > 0 && p->waited >= 0 && p->waited <= p->epoch_seconds);
    assert_true(fabs(p->select_accuracy - share_right(select_ids, SELECT, told->epochs)) < 1e-12);
    if (told->epochs < 3)
        assert_true(p->remaining > 0);

    json_t *json = fm_train_epoch_json(p);
    assert_non_null(json);
    assert_int_equal(json_integer_value(json_object_get(json, "epoch")), told->epochs);
    assert_true(json_number_value(json_object_get(json, "loss")) == p->loss);
    json_decref(json);
    return FM_OK;
}

static void test_progress(void **state)
{
    (void)state;
    memcpy(set.tenths_right, (int[]){0, 3, 8, 5}, 4 * sizeof(int));
    set.step_time = 5000; // 117 steps of 5 ms
    struct fm_recipe recipe = make_recipe(3, 2);
    struct told told = {0};
    struct fm_train_options options = {
        .recipe = &recipe, .progress = check_progress, .context = &told};
    struct fm_train_result result;
    struct fm_model *model;
    assert_int_equal(train_with(&options, &result, &model), FM_OK);
    fake_model_destroy(model);
    assert_int_equal(told.epochs, 3);
    assert_true(told.steps >= 1);
    assert_true(told.steps <= result.total_seconds * 10 + 1); // ten times a second
    assert_int_equal(seen.allocations, 0);

    json_t *json = fm_train_result_json(&result);
    assert_non_null(json);
    assert_true(
        json_number_value(json_object_get(json, "select_accuracy")) == result.select_accuracy);
    assert_true(json_is_false(json_object_get(json, "ended_early")));
    json_decref(json);
}

// What is told of the first epoch cannot be kept: no further step is made for nothing.
static enum fm_status refuse_progress(void *context, const struct fm_train_progress *p)
{
    int *told = context;
    ++*told;
    return p->epoch_done ? fm_fail(FM_IO, "the disk is full") : FM_OK;
}

static void test_progress_that_fails_ends_the_training(void **state)
{
    (void)state;
    int told = 0;
    struct fm_recipe recipe = make_recipe(3, 10);
    struct fm_train_options options = {
        .recipe = &recipe, .progress = refuse_progress, .context = &told};
    struct fm_train_result result;
    struct fm_model *model;
    assert_int_equal(train_with(&options, &result, &model), FM_IO);
    assert_string_equal(fm_error_message(), "the disk is full");
    assert_int_equal(seen.step_count, 8); // of one epoch
    assert_true(told >= 1);
    assert_null(model);
    assert_int_equal(seen.live, 0);
}

// The peak of a former training of the process is no figure of this one.
static void test_peak_memory_that_cannot_be_reset_is_not_told(void **state)
{
    (void)state;
    struct fm_recipe recipe = make_recipe(1, 10);
    for (int i = 0; i < 2; i++) {
        set_up(NULL);
        reset_fails = i == 1;
        struct fm_train_result result = train_recipe(&recipe);
        json_t *json = fm_train_result_json(&result);
        assert_non_null(json);
        const json_t *peak = json_object_get(json, "peak_memory");
        assert_true(i == 1 ? json_is_null(peak) : json_integer_value(peak) > 0);
        json_decref(json);
    }
    reset_fails = false;
}

// Taught or not: what is looked into is a batch with its targets.
static void test_divergence(void **state)
{
    for (int count = 0; count <= 2; count += 2) {
        set_up(state);
        struct fm_model *model;
        set.nan_epoch = 2;
        assert_int_equal(train_taught(count, &model), FM_NUMERIC);
        char expected[256];
        snprintf(expected, sizeof expected,
            "the loss is not finite by step %d (epoch 2); it began in the output of layer %s",
            seen.step_count, net.layers[1].name);
        if (!strstr(fm_error_message(), expected))
            fail_msg("%s: expected '%s'", fm_error_message(), expected);
        assert_null(model);
        // The newest batches once more, which each teacher is asked of again.
        assert_int_equal(seen.lessons, count * (seen.step_count + seen.replays));
        assert_true(seen.replays > 0);
        assert_int_equal(seen.live, 0);
    }
}

static void test_contradiction(void **state)
{
    (void)state;
    struct fm_recipe recipe = make_recipe(3, 10);
    recipe.epoch_images = 9;
    struct fm_train_options options = {.recipe = &recipe};
    struct fm_train_result result;
    struct fm_model *model;
    assert_int_equal(train_with(&options, &result, &model), FM_USAGE);
    assert_null(model);
    assert_int_equal(seen.calls, 0);
}

// Whichever call fails, the training ends with that failure and leaves nothing behind.
static void test_every_failure(void **state)
{
    (void)state;
    struct fm_recipe recipe = make_recipe(2, 30);
    recipe.keep = FM_KEEP_BEST;
    struct fm_teacher teachers[2];
    struct fm_train_options options;
    struct fm_train_result result;
    struct fm_model *model;
    for (int fail = 1;; fail++) {
        set_up(NULL);
        options = taught_by(&recipe, teachers, 2);
        memcpy(set.tenths_right, (int[]){0, 8, 3}, 3 * sizeof(int));
        set.fail_call = fail;
        enum fm_status status = train_with(&options, &result, &model);
        if (status == FM_OK) {
            assert_true(fail > 40 && seen.calls == fail - 1); // all have had their turn
            fake_model_destroy(model);
            break;
        }
        char expected[32];
        snprintf(expected, sizeof expected, "call %d fails", fail);
        if (status != FM_BACKEND || !strstr(fm_error_message(), expected))
            fail_msg("call %d: status %d, %s", fail, status, fm_error_message());
        assert_null(model);
        if (seen.live != 0)
            fail_msg("call %d: %d objects left", fail, seen.live);
    }

    set_up(NULL);
    set.fail_slot_wait = true;
    recipe.batch = 10;
    assert_int_equal(train_with(&options, &result, &model), FM_BACKEND);
    assert_non_null(strstr(fm_error_message(), "slot_wait fails"));
    assert_int_equal(seen.live, 0);
}

// Against the definition, by the slowest sort there is: the smallest key left, the first of equals.
static void test_epoch_order(void **state)
{
    (void)state;
    uint32_t ids[200], expected[200], order[200], other[200];
    bool taken[200] = {false};
    for (uint32_t i = 0; i < 200; i++)
        ids[i] = (i * 7919 + 13) % 150; // in no order; some twice, so with equal keys
    for (int n = 0; n < 200; n++) {
        int best = -1;
        for (int i = 0; i < 200; i++) {
            if (!taken[i] && (best < 0 || fm_draw64(9, 4, ids[i], FM_STREAM_SHUFFLE) <
                                              fm_draw64(9, 4, ids[best], FM_STREAM_SHUFFLE)))
                best = i;
        }
        taken[best] = true;
        expected[n] = ids[best];
    }
    assert_int_equal(fm_epoch_order(ids, 200, 9, 4, order), FM_OK);
    assert_memory_equal(order, expected, sizeof order);
    assert_int_equal(fm_epoch_order(ids, 200, 9, 5, other), FM_OK);
    assert_memory_not_equal(order, other, sizeof order);
    assert_int_equal(fm_epoch_order(ids, 200, 10, 4, other), FM_OK);
    assert_memory_not_equal(order, other, sizeof order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_steps, set_up),
        cmocka_unit_test_setup(test_resident, set_up),
        cmocka_unit_test_setup(test_evaluators_are_kept, set_up),
        cmocka_unit_test_setup(test_no_memory_for_evaluations, set_up),
        cmocka_unit_test_setup(test_nothing_allocated_between_steps, set_up),
        cmocka_unit_test_setup(test_part_of_an_epoch, set_up),
        cmocka_unit_test_setup(test_batch_larger_than_data, set_up),
        cmocka_unit_test_setup(test_initial_weights, set_up),
        cmocka_unit_test_setup(test_given_weights, set_up),
        cmocka_unit_test_setup(test_views, set_up),
        cmocka_unit_test_setup(test_teachers, set_up),
        cmocka_unit_test_setup(test_teachers_that_cannot_teach, set_up),
        cmocka_unit_test_setup(test_keep, set_up),
        cmocka_unit_test_setup(test_train_accuracy_on_all, set_up),
        cmocka_unit_test_setup(test_max_minutes, set_up),
        cmocka_unit_test_setup(test_progress, set_up),
        cmocka_unit_test_setup(test_progress_that_fails_ends_the_training, set_up),
        cmocka_unit_test_setup(test_peak_memory_that_cannot_be_reset_is_not_told, set_up),
        cmocka_unit_test_setup(test_divergence, set_up),
        cmocka_unit_test_setup(test_contradiction, set_up),
        cmocka_unit_test_setup(test_every_failure, set_up),
        cmocka_unit_test_setup(test_epoch_order, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
