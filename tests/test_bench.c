// Measuring sides in turn over a backend of a few lines and a clock that it drives, so that every
// time is known: which calls are made in which order, what becomes of the device's clock and of its
// counter of energy, and what a list of configurations means.
#include "app/bench/bench_plan.h"
#include "eval/timing/bench.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    CLASSES = 3,
    SAMPLES = 10,
    LOG_MAX = 100000
};

struct fm_model {
    char name;
    double seconds; // of a batch, whatever its size
};

struct fm_staging {
    struct fm_slot slots[FM_SLOTS];
    struct fm_step steps[FM_SLOTS];
};

struct fm_executor {
    struct fm_model *model;
    struct fm_compile_options options;
    bool timed;
};

static struct {
    bool clock, energy, still; // still: the counter does not move
    int executors, stagings, profiles;
    char log[LOG_MAX]; // the model of each batch computed
    int computed, timed;
    double joules;
    int fail_at;  // batch number that fails; 0: none
    double now;   // seconds, of the clock
    double slows; // by which each batch takes longer than the last, as a share
    double speed; // seconds are multiplied by it
} fake;

// The linker puts it in the place of base/clock.h's.
double __wrap_fm_clock_seconds(void);
double __wrap_fm_clock_seconds(void)
{
    return fake.now;
}

static enum fm_status staging_create(struct fm_model *model, uint32_t capacity,
    const struct fm_resident *resident, struct fm_staging **staging)
{
    (void)model;
    (void)resident;
    struct fm_staging *s = calloc(1, sizeof *s);
    assert_non_null(s);
    for (int i = 0; i < FM_SLOTS; i++)
        s->slots[i] = (struct fm_slot){capacity, 1, calloc(capacity, 1), calloc(capacity, 1),
            calloc(capacity, sizeof(uint32_t)), &s->steps[i], NULL};
    fake.stagings++;
    *staging = s;
    return FM_OK;
}

static void staging_destroy(struct fm_staging *staging)
{
    if (!staging)
        return;
    for (int i = 0; i < FM_SLOTS; i++) {
        free(staging->slots[i].records);
        free(staging->slots[i].labels);
        free(staging->slots[i].ids);
    }
    free(staging);
    fake.stagings--;
}

static struct fm_slot *staging_slot(struct fm_staging *staging, int slot)
{
    return &staging->slots[slot];
}

static enum fm_status slot_wait(struct fm_staging *staging, int slot)
{
    (void)staging;
    (void)slot;
    return FM_OK;
}

static enum fm_status compile(
    struct fm_model *model, const struct fm_compile_options *options, struct fm_executor **executor)
{
    struct fm_executor *e = calloc(1, sizeof *e);
    assert_non_null(e);
    *e = (struct fm_executor){model, *options, false};
    fake.executors++;
    fake.profiles += options->profile;
    *executor = e;
    return FM_OK;
}

static void executor_destroy(struct fm_executor *executor)
{
    fake.executors -= executor != NULL;
    free(executor);
}

static enum fm_status compute(struct fm_executor *executor)
{
    if (fake.computed + 1 == fake.fail_at)
        return fm_fail(FM_BACKEND, "as told");
    assert_in_range(fake.computed, 0, LOG_MAX - 1);
    fake.log[fake.computed++] = executor->model->name;
    fake.timed += executor->timed;
    fake.joules += 2;
    fake.now += fake.speed * executor->model->seconds;
    fake.speed *= 1 + fake.slows;
    return FM_OK;
}

static enum fm_status submit(struct fm_executor *executor, struct fm_staging *staging, int slot)
{
    assert_int_equal(staging->slots[slot].step->count, executor->options.batch);
    assert_int_equal(executor->options.mode, FM_MODE_TRAIN);
    assert_true(executor->options.label_smoothing == 0.125f);
    assert_true(executor->options.mix.share == 0.25f && executor->options.mix.cut_share == 0.5f);
    return compute(executor);
}

static enum fm_status predict(
    struct fm_executor *executor, struct fm_staging *staging, int slot, float *logits)
{
    (void)logits;
    assert_int_equal(staging->slots[slot].step->count, executor->options.batch);
    assert_int_equal(executor->options.mode, FM_MODE_INFER);
    return compute(executor);
}

static enum fm_status sums_get(struct fm_model *model, bool wait, struct fm_sums *sums)
{
    (void)model;
    assert_true(wait);
    *sums = (struct fm_sums){0};
    return FM_OK;
}

static enum fm_status executor_time(struct fm_executor *executor, bool on)
{
    if (on && !fake.clock)
        return fm_fail(FM_UNSUPPORTED, "no clock");
    executor->timed = on;
    return FM_OK;
}

// A tenth of what the host sees.
static enum fm_status executor_seconds(struct fm_executor *executor, double *seconds)
{
    assert_true(executor->timed);
    *seconds = executor->model->seconds / 10;
    return FM_OK;
}

static uint64_t executor_memory(const struct fm_executor *executor)
{
    return 1000 * (uint64_t)executor->options.batch + executor->options.unfused;
}

static enum fm_status executor_profile(
    struct fm_executor *executor, struct fm_profile_entry *entries, size_t capacity, size_t *count)
{
    assert_true(executor->options.profile);
    for (size_t i = 0; i < 3 && i < capacity; i++)
        entries[i] = (struct fm_profile_entry){.layer = "conv", .calls = 1, .seconds = 1};
    *count = 3;
    return FM_OK;
}

static enum fm_status energy(struct fm_device *device, double *joules)
{
    (void)device;
    if (!fake.energy)
        return fm_fail(FM_UNSUPPORTED, "no counter");
    *joules = fake.still ? 5 : fake.joules;
    return FM_OK;
}

static const struct fm_backend api = {
    .staging_create = staging_create,
    .staging_destroy = staging_destroy,
    .staging_slot = staging_slot,
    .slot_wait = slot_wait,
    .compile = compile,
    .executor_destroy = executor_destroy,
    .submit = submit,
    .predict = predict,
    .sums_get = sums_get,
    .executor_time = executor_time,
    .executor_seconds = executor_seconds,
    .executor_memory = executor_memory,
    .executor_profile = executor_profile,
    .energy = energy,
};
static const struct fm_engine engine = {.api = &api};
static const uint8_t records[SAMPLES], labels[SAMPLES];
static const struct fm_samples samples = {SAMPLES, 1, records, labels};
static struct fm_model quick = {.name = 'A', .seconds = 100e-6},
                       slow = {.name = 'B', .seconds = 300e-6};

static struct fm_bench_options options_of(enum fm_mode mode, double seconds)
{
    return (struct fm_bench_options){
        .timer = {.samples = &samples, .classes = CLASSES, .batch = 4, .mode = mode},
        .seconds = seconds};
}

static int reset(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof fake);
    fake.speed = 1;
    return 0;
}

// "ABAB": runs of the same letter told as one.
static int turns(char first, int *batches_of_first)
{
    int changes = 1;
    *batches_of_first = 0;
    for (int i = 0; i < fake.computed; i++) {
        *batches_of_first += fake.log[i] == first;
        changes += i > 0 && fake.log[i] != fake.log[i - 1];
    }
    return changes;
}

static void check_spread(const struct fm_spread *s, int least)
{
    assert_true(s->count >= least);
    assert_true(s->least > 0 && s->least <= s->p50 && s->p50 <= s->p90 && s->p90 <= s->p99 &&
                s->p99 <= s->most && isfinite(s->most));
    assert_true(s->least <= s->mean * (1 + 1e-12) && s->mean <= s->most * (1 + 1e-12));
    assert_true(s->deviation >= 0);
}

static void test_predictions_take_turns(void **state)
{
    (void)state;
    const struct fm_bench_side sides[] = {{&quick, false}, {&slow, true}};
    const struct fm_bench_options options = options_of(FM_MODE_INFER, 0.05);
    struct fm_bench_figure figures[2];
    int of_first;
    assert_int_equal(fm_bench_measure(&engine, sides, 2, &options, figures), FM_OK);
    assert_int_equal(fake.executors + fake.stagings + fake.timed, 0);
    int rounds = figures[0].rate.count;
    assert_true(rounds >= FM_BENCH_ROUNDS_LEAST);
    assert_int_equal(turns('A', &of_first), 2 + 2 * rounds); // warmed up, then in turn
    for (int i = 0; i < 2; i++) {
        check_spread(&figures[i].host, rounds);
        assert_int_equal(figures[i].device.count, 0);
        assert_true(isnan(figures[i].device_images_per_second) && isnan(figures[i].joules));
        assert_int_equal(figures[i].rate.count, rounds);
        assert_int_equal(figures[i].gain.count, rounds);
        assert_true(figures[i].images_per_second == figures[i].rate.p50);
        assert_true(fabs(figures[i].host.least - sides[i].model->seconds) < 1e-9);
        assert_true(fabs(figures[i].host.p99 - sides[i].model->seconds) < 1e-9);
        // All rounds took all images: batch / (mean of the values) up to the rounds' weights.
        assert_true(figures[i].rate.least <= 4 / figures[i].host.mean * 1.0000001 &&
                    figures[i].rate.most >= 4 / figures[i].host.mean * 0.9999999);
    }
    assert_true(figures[0].gain.least == 1 && figures[0].gain.most == 1);
    assert_true(fabs(figures[1].gain.least - 3) < 1e-6 && fabs(figures[1].gain.most - 3) < 1e-6);
    assert_int_equal(figures[0].memory, 4000);
    assert_int_equal(figures[1].memory, 4001); // it was compiled unfused
}

// A machine that ends at a small part of its speed: what a round compares has slowed down alike.
static void test_drift_meets_all(void **state)
{
    (void)state;
    const struct fm_bench_side sides[] = {{&quick, false}, {&slow, false}};
    const struct fm_bench_options options = options_of(FM_MODE_INFER, 0.05);
    struct fm_bench_figure figures[2];
    fake.slows = 2e-3;
    assert_int_equal(fm_bench_measure(&engine, sides, 2, &options, figures), FM_OK);
    assert_true(figures[0].host.most > 2 * figures[0].host.least); // it did slow down
    if (fabs(figures[1].gain.p50 - 3) > 0.3)
        fail_msg("a third of the speed is told as %g", figures[1].gain.p50);
}

// Enough of them for a 99th percentile are taken where that does not take too long.
static void test_enough_for_percentiles(void **state)
{
    (void)state;
    const struct fm_bench_side side = {&quick, false};
    struct fm_bench_options options = options_of(FM_MODE_INFER, 0.008);
    struct fm_bench_figure figure;
    assert_int_equal(fm_bench_measure(&engine, &side, 1, &options, &figure), FM_OK);
    assert_in_range(figure.host.count, FM_SPREAD_P99_LEAST, 120); // 0.010 s of at most 0.016
    options.seconds = 0.004;
    assert_int_equal(fm_bench_measure(&engine, &side, 1, &options, &figure), FM_OK);
    assert_in_range(figure.host.count, 80, 99); // 0.008 s
    options.seconds = 0.5;
    assert_int_equal(fm_bench_measure(&engine, &side, 1, &options, &figure), FM_OK);
    assert_in_range(figure.host.count, 5000, 5050);
    assert_int_equal(figure.rate.count, FM_BENCH_ROUNDS);
    options.seconds = 1e-6;
    assert_int_equal(fm_bench_measure(&engine, &side, 1, &options, &figure), FM_OK);
    assert_int_equal(figure.host.count, FM_BENCH_ROUNDS_LEAST);
}

static void test_clock_and_energy(void **state)
{
    (void)state;
    const struct fm_bench_side sides[] = {{&quick, false}, {&slow, false}};
    struct fm_bench_options options = options_of(FM_MODE_INFER, 0.01);
    struct fm_bench_figure figures[2];
    fake.clock = fake.energy = options.energy = true;
    assert_int_equal(fm_bench_measure(&engine, sides, 2, &options, figures), FM_OK);
    int timed = figures[0].device.count + figures[1].device.count;
    assert_int_equal(timed, fake.timed); // none but those, and each of those
    for (int i = 0; i < 2; i++) {
        check_spread(&figures[i].device, FM_BENCH_ROUNDS_LEAST);
        double seconds = sides[i].model->seconds / 10;
        assert_true(fabs(figures[i].device.p50 - seconds) < 1e-12);
        assert_true(fabs(figures[i].device_images_per_second * seconds - 4) < 1e-6);
        assert_true(fabs(figures[i].joules - 1000 * 2.0 / 4) < 1e-6); // 2 J a batch of 4
    }
    fake.still = true;
    assert_int_equal(fm_bench_measure(&engine, sides, 1, &options, figures), FM_OK);
    assert_true(isnan(figures[0].joules)); // not 0 J
    fake.energy = false;
    assert_int_equal(fm_bench_measure(&engine, sides, 1, &options, figures), FM_OK);
    assert_true(isnan(figures[0].joules));
    assert_string_equal(fm_error_message(), "");
}

static void test_training(void **state)
{
    (void)state;
    const struct fm_bench_side sides[] = {{&quick, false}, {&slow, false}};
    struct fm_bench_options options = options_of(FM_MODE_TRAIN, 0.02);
    struct fm_bench_figure figures[2];
    options.timer.label_smoothing = 0.125f;
    options.timer.mix = (struct fm_mix){.share = 0.25f, .cut_share = 0.5f};
    fake.clock = fake.energy = options.energy = true;
    assert_int_equal(fm_bench_measure(&engine, sides, 2, &options, figures), FM_OK);
    for (int i = 0; i < 2; i++) {
        check_spread(&figures[i].host, FM_BENCH_ROUNDS_LEAST);
        check_spread(&figures[i].device, FM_BENCH_ROUNDS_LEAST);
        assert_int_equal(figures[i].host.count, figures[i].rate.count);          // a value a round
        assert_true(fabs(figures[i].host.p50 - sides[i].model->seconds) < 1e-9); // of one step
        assert_true(fabs(figures[i].images_per_second * sides[i].model->seconds - 4) < 1e-6);
        assert_true(fabs(figures[i].joules - 500) < 1e-6);
    }
    assert_true(fabs(figures[1].gain.least - 3) < 1e-6 && fabs(figures[1].gain.most - 3) < 1e-6);
    assert_int_equal(fake.executors + fake.stagings, 0);
}

static void test_failures_and_profile(void **state)
{
    (void)state;
    const struct fm_bench_side sides[] = {{&quick, false}, {&slow, false}};
    struct fm_bench_options options = options_of(FM_MODE_INFER, 0.002);
    struct fm_bench_figure figures[2];
    struct fm_profile_entry entries[2];
    size_t count = 0;
    // Warming up takes 6 batches at least, and the rounds 6.
    for (fake.fail_at = 1; fake.fail_at <= 12; fake.fail_at++) {
        fake.computed = 0;
        assert_int_equal(fm_bench_measure(&engine, sides, 2, &options, figures), FM_BACKEND);
        assert_int_equal(fake.executors + fake.stagings, 0);
        fm_error_clear();
    }
    fake.fail_at = 0;
    assert_int_equal(fm_bench_measure(&engine, sides, 0, &options, figures), FM_USAGE);
    fm_error_clear();
    assert_int_equal(fm_bench_profile(&engine, sides, &options, entries, 2, &count), FM_OK);
    assert_int_equal(count, 2); // of three, as many as there is room for
    assert_int_equal(fake.profiles, 1);
    assert_int_equal(fake.executors + fake.stagings, 0);
}

// ---- what is asked for

static void test_plans(void **state)
{
    (void)state;
    struct fm_bench_plan plan;
    char name[FM_BENCH_NAME_MAX];
    assert_int_equal(fm_bench_plan_parse(NULL, NULL, NULL, &plan), FM_OK);
    assert_int_equal(plan.predictions.count, 11);
    assert_int_equal(plan.predictions.sizes[0], 1);
    assert_int_equal(plan.predictions.sizes[10], 1024);
    assert_int_equal(plan.versus_count + plan.training.count, 0);
    assert_int_equal(
        fm_bench_plan_parse("256,1,16", "8", "fp32,unfused,bf16+unfused,fused+fp16", &plan), FM_OK);
    assert_int_equal(plan.predictions.count, 3);
    assert_int_equal(plan.predictions.sizes[1], 16); // ascending
    assert_int_equal(plan.training.sizes[0], 8);
    static const struct fm_bench_item wanted[] = {{FM_PRECISION_FP32, false}, {-1, true},
        {FM_PRECISION_BF16, true}, {FM_PRECISION_FP16, false}};
    assert_int_equal(plan.versus_count, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(plan.versus[i].precision, wanted[i].precision);
        assert_int_equal(plan.versus[i].unfused, wanted[i].unfused);
    }
    fm_bench_side_name(FM_PRECISION_FP16, false, true, name);
    assert_string_equal(name, "fp16+unfused");
    fm_bench_side_name(FM_PRECISION_FP16, true, true, name);
    assert_string_equal(name, "fp16+emulated+unfused");
}

static void test_plans_refused(void **state)
{
    (void)state;
    static const struct {
        const char *batches, *versus, *says;
    } cases[] = {
        {"0", NULL, "expected 1 to 65536"},
        {"65537", NULL, "expected 1 to 65536"},
        {"1,,2", NULL, "nothing stands"},
        {"1,", NULL, "nothing stands"},
        {"", NULL, "nothing stands"},
        {"1,x", NULL, "'x'"},
        {"4,1,4", NULL, "4 is named twice"},
        {"1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25", NULL, "more than 24"},
        {NULL, "fp32,unfusd", "did you mean 'unfused'?"},
        {NULL, "fp32+bf16", "two precisions"},
        {NULL, "fused+unfused", "said twice"},
        {NULL, "fp32+", "nothing stands"},
        {NULL, "fp32,fp32+fused", "'fp32+fused' is named twice"},
        {NULL, "a-word-that-is-much-longer-than-any-of-these", "none of the values"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fm_bench_plan plan;
        enum fm_status status = fm_bench_plan_parse(cases[i].batches, NULL, cases[i].versus, &plan);
        if (status != FM_USAGE || !strstr(fm_error_message(), cases[i].says))
            fail_msg("--batches %s --versus %s: status %d, '%s'",
                cases[i].batches ? cases[i].batches : "-", cases[i].versus ? cases[i].versus : "-",
                status, fm_error_message());
        fm_error_clear();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_predictions_take_turns, reset),
        cmocka_unit_test_setup(test_drift_meets_all, reset),
        cmocka_unit_test_setup(test_enough_for_percentiles, reset),
        cmocka_unit_test_setup(test_clock_and_energy, reset),
        cmocka_unit_test_setup(test_training, reset),
        cmocka_unit_test_setup(test_failures_and_profile, reset),
        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_plans_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
