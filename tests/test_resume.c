// A training that was stopped and went on is, bit for bit, the one that never stopped: on the CPU
// backend, for every kind of recipe, wherever it was stopped.
#include "train/train.h"

#include "run/checkpoint.h"
#include "run/compute.h"
#include "run/json.h"
#include "run/run.h"
#include "scratch.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "expect.h"

enum {
    TRAIN = 70,
    SELECT = 100, // two batches of an evaluation, of 64 where training's are smaller
    TRAIN_EVAL = 40,
    EPOCHS = 3,
    BATCH = 16,
    EPOCH_STEPS = 5, // the last one of 6 images
    STEPS = EPOCHS * EPOCH_STEPS,
    // After every step, in every evaluation and after every epoch:
    EPOCH_POLLS = EPOCH_STEPS + 2 + 1,
    POLLS = EPOCHS * EPOCH_POLLS + 1,
};

static char root[FM_PATH_MAX];
static struct fm_engine engine;
static struct fm_dataset dataset;
static uint32_t train_ids[TRAIN], select_ids[SELECT];
static struct fm_split split = {
    .train = train_ids, .train_count = TRAIN, .select = select_ids, .select_count = SELECT};

static int open_all(void **state)
{
    (void)state;
    struct fm_device_options options = {.threads = 2};
    fm_module_set_directory(FM_TEST_BINARY_DIR "/modules");
    if (fm_engine_open("cpu", &options, &engine) != FM_OK ||
        fm_dataset_open(FM_TEST_SOURCE_DIR "/data/tiny", &dataset) != FM_OK) {
        print_error("%s\n", fm_error_message());
        return -1;
    }
    for (uint32_t i = 0; i < TRAIN; i++)
        train_ids[i] = 2 * i;
    for (uint32_t i = 0; i < SELECT; i++)
        select_ids[i] = 200 + 2 * i;
    fm_pixel_statistics(&dataset.train, train_ids, TRAIN, &split.mean, &split.deviation);
    fm_log_set_quiet(true);
    scratch_make(root, "resume");
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    scratch_remove(root);
    fm_dataset_close(&dataset);
    fm_engine_close(&engine);
    return 0;
}

static int forget_error(void **state)
{
    (void)state;
    fm_error_clear();
    return 0;
}

// ---- What is trained

struct variant {
    const char *name;
    struct fm_recipe recipe;
    enum fm_precision precision;
    bool emulate;
    bool overflows; // inputs so large that the first loss scales make gradients overflow
    bool nothing_selected;
    uint32_t views; // struct fm_train_options
};

#define COMMON                                                                                     \
    .name = "test", .epochs = EPOCHS, .batch = BATCH, .beta1 = 0.9, .beta2 = 0.99,                 \
    .epsilon = 1e-8, .momentum = 0.9, .warmup_share = 0.25, .shift = 2, .flip = true,              \
    .dropout = 0.25, .train_eval = TRAIN_EVAL

static const struct variant variants[] = {
    {.name = "adam, best, erasing, mixing",
        .recipe = {COMMON, .optimiser = FM_OPTIMISER_ADAM, .learning_rate = 2e-3,
            .schedule = FM_SCHEDULE_ONE_CYCLE, .erase = 0.5, .erase_size = 10, .mix = 0.5,
            .mix_cut = 0.5, .label_smoothing = 0.1, .keep = FM_KEEP_BEST}},
    {.name = "adamw, averages, best",
        .recipe = {COMMON, .optimiser = FM_OPTIMISER_ADAMW, .learning_rate = 2e-3,
            .weight_decay = 0.05, .schedule = FM_SCHEDULE_COSINE, .ema_decay = 0.9,
            .keep = FM_KEEP_BEST}},
    {.name = "sgd, averages, last",
        .recipe = {COMMON, .optimiser = FM_OPTIMISER_SGD, .learning_rate = 0.05, .nesterov = true,
            .weight_decay = 1e-3, .schedule = FM_SCHEDULE_COSINE, .ema_decay = 0.95,
            .keep = FM_KEEP_LAST}},
    {.name = "sgd, last, nothing selected",
        .recipe = {COMMON, .optimiser = FM_OPTIMISER_SGD, .learning_rate = 0.05,
            .schedule = FM_SCHEDULE_CONSTANT, .keep = FM_KEEP_LAST},
        .nothing_selected = true},
    {.name = "fp16 by rounding, overflowing",
        .recipe = {COMMON, .optimiser = FM_OPTIMISER_ADAM, .learning_rate = 2e-3,
            .schedule = FM_SCHEDULE_ONE_CYCLE, .ema_decay = 0.9, .keep = FM_KEEP_BEST},
        .precision = FM_PRECISION_FP16,
        .emulate = true,
        .overflows = true},
    {.name = "bf16 by rounding",
        .recipe = {COMMON, .optimiser = FM_OPTIMISER_ADAMW, .learning_rate = 2e-3,
            .weight_decay = 0.05, .schedule = FM_SCHEDULE_ONE_CYCLE, .keep = FM_KEEP_LAST},
        .precision = FM_PRECISION_BF16,
        .emulate = true},
    {.name = "bf16",
        .recipe = {COMMON, .optimiser = FM_OPTIMISER_SGD, .learning_rate = 0.02,
            .schedule = FM_SCHEDULE_COSINE, .ema_decay = 0.9, .keep = FM_KEEP_BEST},
        .precision = FM_PRECISION_BF16},
    // As if the rest of the images were views of the first quarter.
    {.name = "views",
        .recipe = {COMMON, .optimiser = FM_OPTIMISER_ADAM, .learning_rate = 2e-3,
            .schedule = FM_SCHEDULE_ONE_CYCLE, .keep = FM_KEEP_LAST},
        .views = 3},
};

enum {
    VARIANTS = sizeof variants / sizeof variants[0],
    FP16 = 4
};

static struct fm_net make_net(const struct variant *v)
{
    struct fm_net net;
    struct fm_input input = {.rows = 28, .cols = 28, .shape = {1, 28, 28}, .standardise = true};
    float deviation = v->overflows ? 1e-3f : (float)split.deviation;
    fm_net_begin(&net, "small", &input);
    fm_net_set_input_statistics(&net, (float)split.mean, deviation);
    assert_ok(fm_net_conv(&net, "conv1", 6, 3, 1, true));
    assert_ok(fm_net_batchnorm(&net, "bn1"));
    assert_ok(fm_net_relu(&net, "relu1"));
    assert_ok(fm_net_maxpool(&net, "pool1"));
    assert_ok(fm_net_dropout(&net, "drop1", 0.25f));
    assert_ok(fm_net_conv(&net, "conv2", 8, 3, 1, true));
    assert_ok(fm_net_relu(&net, "relu2"));
    assert_ok(fm_net_maxpool(&net, "pool2"));
    assert_ok(fm_net_dense(&net, "fc1", 10, true));
    assert_ok(fm_net_end(&net));
    return net;
}

// ---- A signal that comes when the training asks for the k-th time

static int polls, signal_at; // from 1; 0: never

static int interrupted(void)
{
    return ++polls >= signal_at && signal_at > 0 ? SIGTERM : 0;
}

static enum fm_status log_epoch(void *context, const struct fm_train_progress *progress)
{
    if (!progress->epoch_done)
        return FM_OK;
    json_t *line = fm_train_epoch_json(progress);
    assert_non_null(line);
    enum fm_status status = fm_run_log(context, FM_RUN_LOG, line);
    json_decref(line);
    return status;
}

// ---- Trainings

struct outcome {
    struct fm_train_result result;
    float *weights; // parameters, then running statistics
    size_t count;
    unsigned char *log, *last;
    size_t log_size, last_size;
};

static void free_outcome(struct outcome *o)
{
    free(o->weights);
    free(o->log);
    free(o->last);
    memset(o, 0, sizeof *o);
}

static struct fm_train_options make_options(const struct variant *v, const char *directory)
{
    return (struct fm_train_options){.recipe = &v->recipe,
        .seed = 11,
        .precision = v->precision,
        .emulate = v->emulate,
        .views = v->views,
        .directory = directory,
        .interrupted = interrupted,
        .progress = log_epoch,
        .context = (void *)directory};
}

// Trains in the folder until the signal comes at poll `k` (0: never), or to the end. `model` (may
// be NULL) is the caller's to destroy.
static enum fm_status train_until(const struct variant *v, const struct fm_train_options *options,
    int k, struct fm_train_result *result, struct fm_model **model)
{
    static struct fm_net net;
    struct fm_split used = split;
    struct fm_model *made;
    if (v->nothing_selected)
        used.select_count = 0;
    net = make_net(v);
    polls = 0;
    signal_at = k;
    enum fm_status status = fm_train(&engine, &net, &dataset.train, &used, options, &made, result);
    if (model)
        *model = made;
    else if (status == FM_OK)
        engine.api->model_destroy(made);
    if (status != FM_OK)
        assert_null(made);
    return status;
}

static float *weights_of(const struct variant *v, struct fm_model *model, size_t *count)
{
    struct fm_net net = make_net(v);
    *count = net.param_elements + net.running_elements;
    float *weights = malloc(*count * sizeof *weights);
    assert_non_null(weights);
    for (int i = 0; i < net.param_count; i++)
        assert_ok(engine.api->model_get(model, FM_STATE_PARAM, net.params[i].name,
            weights + net.params[i].offset, net.params[i].count));
    for (int i = 0; i < net.running_count; i++)
        assert_ok(engine.api->model_get(model, FM_STATE_RUNNING, net.running[i].name,
            weights + net.param_elements + net.running[i].offset, net.running[i].count));
    for (size_t i = 0; i < *count; i++)
        if (!isfinite(weights[i]))
            fail_msg("%s: weight %zu is %g", v->name, i, (double)weights[i]);
    return weights;
}

static void read_in(const char *directory, const char *name, unsigned char **data, size_t *size)
{
    char path[FM_PATH_MAX];
    assert_ok(fm_path_join(path, directory, name));
    assert_ok(fm_file_read(path, data, size));
}

// Trains, or goes on, to the end; what has come of it.
static struct outcome finish_with(const struct variant *v, const struct fm_train_options *options)
{
    struct outcome o = {0};
    struct fm_model *model;
    enum fm_status status = train_until(v, options, 0, &o.result, &model);
    if (status != FM_OK)
        fail_msg("%s: %s", v->name, fm_error_message());
    o.weights = weights_of(v, model, &o.count);
    engine.api->model_destroy(model);
    read_in(options->directory, FM_RUN_LOG, &o.log, &o.log_size);
    read_in(options->directory, FM_CHECKPOINT_LAST, &o.last, &o.last_size);
    return o;
}

static struct outcome finish(const struct variant *v, const char *directory)
{
    struct fm_train_options options = make_options(v, directory);
    return finish_with(v, &options);
}

static bool same_double(double a, double b)
{
    return isnan(a) ? isnan(b) : a == b;
}

static bool same_counters(const struct fm_counters *a, const struct fm_counters *b)
{
    return a->applied == b->applied && a->skipped == b->skipped && a->growths == b->growths &&
           a->good_steps == b->good_steps && a->loss_scale == b->loss_scale;
}

static bool same_result(const struct fm_train_result *a, const struct fm_train_result *b)
{
    return a->epochs == b->epochs && a->ended_early == b->ended_early &&
           a->kept_epoch == b->kept_epoch && a->steps == b->steps && a->images == b->images &&
           same_double(a->loss, b->loss) && same_double(a->select_accuracy, b->select_accuracy) &&
           same_double(a->select_nll, b->select_nll) && a->train_accuracy == b->train_accuracy &&
           a->train_eval_count == b->train_eval_count && same_counters(&a->counters, &b->counters);
}

static void expect_same(
    const struct variant *v, const char *what, const struct outcome *a, const struct outcome *b)
{
    if (a->count != b->count || memcmp(a->weights, b->weights, a->count * sizeof(float)) != 0)
        fail_msg("%s, %s: other weights", v->name, what);
    if (a->log_size != b->log_size || memcmp(a->log, b->log, a->log_size) != 0)
        fail_msg("%s, %s: other lines of log:\n%s\nexpected\n%s", v->name, what,
            (const char *)a->log, (const char *)b->log);
    if (a->last_size != b->last_size || memcmp(a->last, b->last, a->last_size) != 0)
        fail_msg("%s, %s: another last checkpoint", v->name, what);
    if (!same_result(&a->result, &b->result))
        fail_msg("%s, %s: another result", v->name, what);
}

static const char *new_folder(void)
{
    static char path[4][FM_PATH_MAX];
    static int number;
    char name[32], *out = path[number % 4];
    snprintf(name, sizeof name, "run-%d", number++);
    assert_ok(fm_path_join(out, root, name));
    assert_ok(fm_make_dirs(out));
    return out;
}

static struct outcome unbroken(const struct variant *v)
{
    const char *directory = new_folder();
    struct outcome o = finish(v, directory);
    scratch_remove(directory);
    return o;
}

static bool is_offered(const struct variant *v)
{
    return v->emulate ? engine.info.emulated[v->precision] : engine.info.precisions[v->precision];
}

static void interrupt_at(const struct variant *v, const char *directory, int k)
{
    struct fm_train_options options = make_options(v, directory);
    struct fm_train_result result;
    enum fm_status status = train_until(v, &options, k, &result, NULL);
    if (status != FM_INTERRUPTED || !strstr(fm_error_message(), "stopped by SIGTERM after step "))
        fail_msg("%s, stopped at poll %d: status '%s', message \"%s\"", v->name, k,
            fm_status_text(status), fm_error_message());
    fm_error_clear();
}

// ---- Tests

// Within an epoch, at its end, within the evaluation of the selection images, after an epoch and
// within the evaluation of the training images.
static void stopped_at_any_poll(void **state)
{
    (void)state;
    const struct variant *v = &variants[0];
    struct outcome expected = unbroken(v);
    assert_int_equal(polls, POLLS);
    assert_int_equal(expected.result.steps, STEPS);
    assert_int_equal(expected.result.first_step, 0);
    for (int k = 1; k <= POLLS; k++) {
        char what[64];
        const char *directory = new_folder();
        interrupt_at(v, directory, k);
        struct outcome found = finish(v, directory);
        snprintf(what, sizeof what, "stopped at poll %d", k);
        expect_same(v, what, &found, &expected);
        int epochs = (k - 1) / EPOCH_POLLS, within = (k - 1) % EPOCH_POLLS + 1;
        int step = epochs * EPOCH_STEPS + (within < EPOCH_STEPS ? within : EPOCH_STEPS);
        assert_int_equal(found.result.first_step, step < STEPS ? step : STEPS);
        free_outcome(&found);
        scratch_remove(directory);
    }
    free_outcome(&expected);
}

// Stopped and gone on with again and again. Three polls at a time are enough to get through an
// evaluation.
static void stopped_again_and_again(void **state)
{
    (void)state;
    static const int strides[] = {3, 7};
    int tried = 0;
    for (int i = 0; i < (int)VARIANTS; i++) {
        const struct variant *v = &variants[i];
        if (!is_offered(v))
            continue;
        struct outcome expected = unbroken(v);
        for (size_t s = 0; s < sizeof strides / sizeof strides[0]; s++) {
            char what[64];
            int stops = 0;
            const char *directory = new_folder();
            struct fm_train_options options = make_options(v, directory);
            struct fm_train_result result;
            enum fm_status status;
            while (
                (status = train_until(v, &options, strides[s], &result, NULL)) == FM_INTERRUPTED) {
                fm_error_clear();
                if (++stops > POLLS)
                    fail_msg("%s: no end in sight", v->name);
            }
            assert_ok(status);
            assert_true(stops >= 2);
            snprintf(what, sizeof what, "%d stops", stops);
            // From the last checkpoint once more, which trains nothing.
            struct outcome found = finish(v, directory);
            expect_same(v, what, &found, &expected);
            assert_int_equal(found.result.first_step, STEPS);
            free_outcome(&found);
            scratch_remove(directory);
        }
        if (v->overflows)
            assert_true(expected.result.counters.skipped > 0);
        else
            assert_int_equal(expected.result.counters.skipped, 0);
        assert_int_equal(
            expected.result.counters.applied + expected.result.counters.skipped, STEPS);
        free_outcome(&expected);
        tried++;
    }
    assert_true(tried >= 5);
}

static void checkpoints_change_no_bit(void **state)
{
    (void)state;
    for (int i = 0; i < (int)VARIANTS; i += FP16) {
        const struct variant *v = &variants[i];
        struct outcome expected = unbroken(v);
        const char *directory = new_folder();
        struct fm_train_options options = make_options(v, directory);
        options.checkpoint_seconds = 1e-9; // after every step
        struct outcome found = finish_with(v, &options);
        expect_same(v, "checkpoints after every step", &found, &expected);
        unsigned char *times;
        size_t size;
        int lines = 0;
        read_in(directory, FM_RUN_TIMES, &times, &size);
        for (size_t n = 0; n < size; n++)
            lines += times[n] == '\n';
        assert_int_equal(lines, STEPS + EPOCHS);
        free(times);
        free_outcome(&found);

        // Without a folder nothing is kept; the weights are the same.
        options.directory = NULL;
        options.progress = NULL;
        struct fm_model *model;
        size_t count;
        assert_ok(train_until(v, &options, 0, &found.result, &model));
        float *weights = weights_of(v, model, &count);
        assert_memory_equal(weights, expected.weights, count * sizeof *weights);
        assert_true(same_result(&found.result, &expected.result));
        free(weights);
        engine.api->model_destroy(model);
        free_outcome(&expected);
        scratch_remove(directory);
    }
}

// Killed before the first checkpoint, but not before the first line of a log.
static void without_a_checkpoint_it_starts_at_step_0(void **state)
{
    (void)state;
    const struct variant *v = &variants[0];
    struct outcome expected = unbroken(v);
    const char *directory = new_folder();
    char path[FM_PATH_MAX];
    assert_ok(fm_path_join(path, directory, FM_RUN_LOG));
    assert_ok(fm_file_append(path, "{\"epoch\":1,\"step\":5,\"loss\":7.0}\n{\"epoch\":2,\"st"));
    struct outcome found = finish(v, directory);
    expect_same(v, "no checkpoint", &found, &expected);
    assert_int_equal(found.result.first_step, 0);
    free_outcome(&found);
    free_outcome(&expected);
    scratch_remove(directory);
}

static void damage(const char *path)
{
    unsigned char *data;
    size_t size;
    assert_ok(fm_file_read(path, &data, &size));
    data[size - 1] ^= 1;
    assert_int_equal(scratch_write(path, data, size), 0);
    free(data);
}

static void a_damaged_checkpoint_is_told_and_the_one_before_serves(void **state)
{
    (void)state;
    const struct variant *v = &variants[1];
    struct outcome expected = unbroken(v);
    const char *directory = new_folder();
    struct fm_train_options options = make_options(v, directory);
    struct fm_train_result result;
    char path[FM_PATH_MAX];
    interrupt_at(v, directory, EPOCH_POLLS + 2); // after an epoch's checkpoint another one
    assert_ok(fm_path_join(path, directory, FM_CHECKPOINT_LAST));
    damage(path);
    assert_fails(train_until(v, &options, 0, &result, NULL), FM_DATA,
        "goes on from " FM_CHECKPOINT_PREVIOUS ": move it away");
    assert_int_equal(unlink(path), 0);
    struct outcome found = finish(v, directory);
    expect_same(v, "the checkpoint before", &found, &expected);
    assert_int_equal(found.result.first_step, EPOCH_STEPS);
    free_outcome(&found);
    free_outcome(&expected);
    scratch_remove(directory);
}

static void a_checkpoint_beyond_the_end_is_refused(void **state)
{
    (void)state;
    struct variant shorter = variants[0];
    const char *directory = new_folder();
    interrupt_at(&shorter, directory, 2 * EPOCH_POLLS + 1);
    shorter.recipe.epochs = 2;
    struct fm_train_options options = make_options(&shorter, directory);
    struct fm_train_result result;
    assert_fails(train_until(&shorter, &options, 0, &result, NULL), FM_DATA,
        "the checkpoint is at step 11, but the training has 10");
    scratch_remove(directory);
}

// --max-minutes ended it: it does not go on.
static void what_time_ended_stays_ended(void **state)
{
    (void)state;
    const struct variant *v = &variants[1];
    const char *directory = new_folder();
    struct fm_train_options options = make_options(v, directory);
    options.max_minutes = 1e-9;
    struct outcome expected = finish_with(v, &options), found = finish_with(v, &options);
    assert_true(expected.result.ended_early);
    assert_int_equal(expected.result.epochs, 1);
    expect_same(v, "ended by the clock", &found, &expected);
    assert_int_equal(found.result.first_step, EPOCH_STEPS);
    assert_true(found.result.seconds == expected.result.seconds); // over both calls
    assert_true(found.result.total_seconds > found.result.seconds);
    free_outcome(&found);
    free_outcome(&expected);
    scratch_remove(directory);
}

static void another_device_is_told(void **state)
{
    (void)state;
    const struct variant *v = &variants[0];
    struct outcome expected = unbroken(v);
    const char *directory = new_folder();
    struct fm_train_options options = make_options(v, directory);
    struct fm_train_result result;
    char path[FM_PATH_MAX];
    json_t *compute;
    interrupt_at(v, directory, 3);
    assert_ok(fm_path_join(path, directory, FM_COMPUTE_FILE));
    assert_ok(fm_json_read_file(path, &compute, NULL));
    assert_true(json_array_size(json_object_get(compute, "plans")) > 0);
    assert_int_equal(json_object_set_new(compute, "device", json_string("an abacus")), 0);
    assert_ok(fm_json_write_file(path, compute));
    options.strict = true;
    assert_fails(train_until(v, &options, 0, &result, NULL), FM_UNSUPPORTED,
        "what computes has changed: device was \"an abacus\", is ");
    struct outcome found = finish(v, directory);
    expect_same(v, "another device", &found, &expected);
    assert_ok(train_until(v, &options, 0, &result, NULL)); // from here on it is the same
    json_decref(compute);
    free_outcome(&found);
    free_outcome(&expected);
    scratch_remove(directory);
}

// All else that differs follows from it, and is not told.
static void another_backend_is_told(void **state)
{
    (void)state;
    const struct variant *v = &variants[0];
    const char *directory = new_folder();
    struct fm_train_options options = make_options(v, directory);
    struct fm_train_result result;
    char path[FM_PATH_MAX], expected[512];
    json_t *compute;
    interrupt_at(v, directory, 3);
    assert_ok(fm_path_join(path, directory, FM_COMPUTE_FILE));
    assert_ok(fm_json_read_file(path, &compute, NULL));
    assert_int_equal(json_object_set_new(compute, "backend", json_string("abacus")), 0);
    assert_int_equal(json_object_set_new(compute, "device", json_string("ten wires")), 0);
    assert_int_equal(json_object_set_new(compute, "threads", json_integer(10)), 0);
    assert_int_equal(json_object_set_new(compute, "plans", json_array()), 0);
    assert_ok(fm_json_write_file(path, compute));
    json_decref(compute);
    options.strict = true;
    snprintf(expected, sizeof expected,
        ": what computes has changed: backend was \"abacus\", is \"cpu\"; device was \"ten "
        "wires\", "
        "is \"%s\"; without --strict the run goes on, but will end in other bits",
        engine.info.name);
    assert_fails(train_until(v, &options, 0, &result, NULL), FM_UNSUPPORTED, expected);
    struct outcome found = finish(v, directory);
    assert_int_equal(found.result.first_step, 3);
    free_outcome(&found);
    assert_ok(fm_json_read_file(path, &compute, NULL));
    const json_t *changed = json_object_get(compute, "changed");
    assert_int_equal(json_array_size(changed), 1);
    assert_non_null(strstr(json_string_value(json_array_get(changed, 0)), "backend was"));
    assert_null(strstr(json_string_value(json_array_get(changed, 0)), "plans"));
    json_decref(compute);
    scratch_remove(directory);
}

// ---- Losses that are no numbers

// What goes wrong leaves the checkpoint from before, from which a better recipe goes on.
static void a_loss_that_is_no_number_names_the_layer(void **state)
{
    (void)state;
    const struct variant *v = &variants[0];
    struct variant wild = *v;
    struct outcome expected = unbroken(v);
    const char *directory = new_folder();
    struct fm_train_options options = make_options(&wild, directory);
    struct fm_train_result result;
    unsigned char *before, *after;
    size_t size, size_after;
    interrupt_at(v, directory, 3);
    read_in(directory, FM_CHECKPOINT_LAST, &before, &size);
    wild.recipe.learning_rate = 1e30;
    enum fm_status status = train_until(&wild, &options, 0, &result, NULL);
    if (status != FM_NUMERIC || !strstr(fm_error_message(), " is not finite by step ") ||
        !strstr(fm_error_message(), "it began in the output of layer ") ||
        !strstr(fm_error_message(), "A lower --learning-rate (now 1e+30)"))
        fail_msg("status '%s', message \"%s\"", fm_status_text(status), fm_error_message());
    fm_error_clear();
    read_in(directory, FM_CHECKPOINT_LAST, &after, &size_after);
    assert_int_equal(size, size_after);
    assert_memory_equal(before, after, size);
    struct outcome found = finish(v, directory);
    expect_same(v, "after a divergence", &found, &expected);
    free(before);
    free(after);
    free_outcome(&found);
    free_outcome(&expected);
    scratch_remove(directory);
}

// A gradient that overflows under a large scale is no reason to end: the step is skipped, and the
// scale, the skips and the growths are in the log.
static void an_overflow_is_skipped_and_logged(void **state)
{
    (void)state;
    const struct variant *v = &variants[FP16];
    struct outcome o = unbroken(v);
    const struct fm_counters *c = &o.result.counters;
    assert_true(c->skipped > 0 && c->applied > 0);
    assert_true(c->loss_scale == ldexpf(65536, -(int)c->skipped));
    const char *line = (const char *)o.log, *end;
    int epochs = 0;
    for (; (end = strchr(line, '\n')); line = end + 1, epochs++) {
        json_t *json = json_loadb(line, (size_t)(end - line), 0, NULL);
        assert_true(json_is_integer(json_object_get(json, "growths")));
        if (epochs == EPOCHS - 1) {
            assert_int_equal(json_integer_value(json_object_get(json, "skipped")), c->skipped);
            assert_true(fm_json_number(json, "loss_scale") == (double)c->loss_scale);
        }
        json_decref(json);
    }
    assert_int_equal(epochs, EPOCHS);
    free_outcome(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(stopped_at_any_poll, forget_error),
        cmocka_unit_test_setup(stopped_again_and_again, forget_error),
        cmocka_unit_test_setup(checkpoints_change_no_bit, forget_error),
        cmocka_unit_test_setup(without_a_checkpoint_it_starts_at_step_0, forget_error),
        cmocka_unit_test_setup(
            a_damaged_checkpoint_is_told_and_the_one_before_serves, forget_error),
        cmocka_unit_test_setup(a_checkpoint_beyond_the_end_is_refused, forget_error),
        cmocka_unit_test_setup(what_time_ended_stays_ended, forget_error),
        cmocka_unit_test_setup(another_device_is_told, forget_error),
        cmocka_unit_test_setup(another_backend_is_told, forget_error),
        cmocka_unit_test_setup(a_loss_that_is_no_number_names_the_layer, forget_error),
        cmocka_unit_test_setup(an_overflow_is_skipped_and_logged, forget_error),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
