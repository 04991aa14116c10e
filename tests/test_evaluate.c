// Evaluation and latency over a backend of a few lines, whose answers are known: what is asked of a
// backend, in which order, with which counts.
#include "eval/evaluate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    SAMPLES = 10,
    CLASSES = 3
};

struct fm_staging {
    uint32_t capacity;
    struct fm_slot slots[FM_SLOTS];
    struct fm_step steps[FM_SLOTS];
};

struct fm_executor {
    int batch;
    bool mirror;
    struct fm_sums scores;
    uint64_t confusion[CLASSES * CLASSES];
};

static struct {
    int compiled_batch, predictions, executors, stagings;
    int compiled, staged; // so far
    uint32_t counts[64], last_id;
    int fail_at; // predict() number that fails; 0: none
    bool nan;
    int scored, lost; // calls of score(); a sample that its counts lack
    // Set: logits of these probabilities for the record's class, the one after it and the one after
    // that, and their logits are as much higher as `offset` says; of mirrored images the second
    // row.
    const double (*probabilities)[CLASSES];
    float offset;
    int averaging, mirroring; // executors compiled so
} seen;

static enum fm_status fake_staging_create(struct fm_model *model, uint32_t capacity,
    const struct fm_resident *resident, struct fm_staging **staging)
{
    (void)resident;
    (void)model;
    struct fm_staging *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->capacity = capacity;
    for (int i = 0; i < FM_SLOTS; i++)
        s->slots[i] = (struct fm_slot){capacity, 1, calloc(capacity, 1), calloc(capacity, 1),
            calloc(capacity, sizeof(uint32_t)), &s->steps[i], NULL};
    seen.stagings++;
    seen.staged++;
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
    }
    free(staging);
    seen.stagings--;
}

static struct fm_slot *fake_staging_slot(struct fm_staging *staging, int slot)
{
    return &staging->slots[slot];
}

static enum fm_status fake_slot_wait(struct fm_staging *staging, int slot)
{
    (void)staging;
    (void)slot;
    return FM_OK;
}

static enum fm_status fake_compile(
    struct fm_model *model, const struct fm_compile_options *options, struct fm_executor **executor)
{
    (void)model;
    assert_int_equal(options->mode, FM_MODE_INFER);
    *executor = calloc(1, sizeof **executor);
    assert_non_null(*executor);
    (*executor)->batch = seen.compiled_batch = options->batch;
    (*executor)->mirror = options->mirror;
    seen.averaging += options->average;
    seen.mirroring += options->mirror;
    seen.executors++;
    seen.compiled++;
    return FM_OK;
}

static void fake_executor_destroy(struct fm_executor *executor)
{
    seen.executors -= executor != NULL;
    free(executor);
}

// The one byte of a record is the class that it is given.
static enum fm_status fake_predict(
    struct fm_executor *executor, struct fm_staging *staging, int slot, float *logits)
{
    const struct fm_slot *s = &staging->slots[slot];
    assert_true(s->step->count >= 1 && s->step->count <= (uint32_t)executor->batch);
    if (seen.predictions < 64)
        seen.counts[seen.predictions] = s->step->count;
    if (++seen.predictions == seen.fail_at)
        return fm_fail(FM_BACKEND, "the device is gone");
    for (uint32_t i = 0; i < s->step->count; i++) {
        for (int k = 0; k < CLASSES; k++)
            logits[i * CLASSES + (uint32_t)k] = s->records[i] == k ? 20 : 0;
        for (int k = 0; seen.probabilities && k < CLASSES; k++)
            logits[i * CLASSES + (uint32_t)((s->records[i] + k) % CLASSES)] =
                (float)log(seen.probabilities[executor->mirror][k]) + seen.offset;
        if (seen.nan)
            logits[i * CLASSES] = NAN;
        seen.last_id = s->ids[i];
    }
    return FM_OK;
}

// What is predicted, summed.
static enum fm_status fake_score(struct fm_executor *executor, struct fm_staging *staging, int slot)
{
    const struct fm_slot *s = &staging->slots[slot];
    float logits[SAMPLES * CLASSES];
    struct fm_metrics m;
    seen.scored++;
    FM_TRY(fake_predict(executor, staging, slot, logits));
    if (seen.nan)
        executor->scores.loss = NAN;
    for (uint32_t i = 0; i < s->step->count * CLASSES; i++)
        logits[i] = isfinite(logits[i]) ? logits[i] : 0;
    FM_TRY(fm_metrics_begin(&m, CLASSES));
    FM_TRY(fm_metrics_add(&m, logits, s->labels, s->step->count));
    executor->scores.loss += m.nll_sum;
    executor->scores.correct += m.correct;
    for (int i = 0; i < CLASSES * CLASSES; i++)
        executor->confusion[i] += m.confusion[i];
    fm_metrics_free(&m);
    return FM_OK;
}

static enum fm_status fake_scores_take(
    struct fm_executor *executor, struct fm_sums *scores, uint64_t *confusion)
{
    *scores = executor->scores;
    memcpy(confusion, executor->confusion, sizeof executor->confusion);
    confusion[0] -= (uint64_t)seen.lost;
    executor->scores = (struct fm_sums){0};
    memset(executor->confusion, 0, sizeof executor->confusion);
    return FM_OK;
}

static const struct fm_backend fake = {
    .abi = FM_BACKEND_ABI,
    .name = "fake",
    .staging_create = fake_staging_create,
    .staging_destroy = fake_staging_destroy,
    .staging_slot = fake_staging_slot,
    .slot_wait = fake_slot_wait,
    .compile = fake_compile,
    .executor_destroy = fake_executor_destroy,
    .predict = fake_predict,
    .score = fake_score,
    .scores_take = fake_scores_take,
};
static const struct fm_engine engine = {.api = &fake};

// Wrong at samples 3 and 7: class 2 taken for 0.
static const uint8_t records[SAMPLES] = {0, 1, 2, 0, 1, 1, 2, 0, 0, 2};
static const uint8_t labels[SAMPLES] = {0, 1, 2, 2, 1, 1, 2, 2, 0, 2};
static const struct fm_samples samples = {SAMPLES, 1, records, labels};

static int reset(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    fm_error_clear();
    return 0;
}

static enum fm_status evaluate(const struct fm_samples *of, const uint32_t *ids, uint32_t count,
    int batch, struct fm_metrics *m)
{
    const struct fm_evaluate_options options = {
        .samples = of, .ids = ids, .count = count, .classes = CLASSES, .batch = batch};
    return fm_evaluate(&engine, NULL, &options, m);
}

static enum fm_status count_progress(void *context, uint32_t done, uint32_t total)
{
    uint32_t *last = context;
    assert_true(done > *last && done <= total);
    *last = done;
    return FM_OK;
}

static void test_all_samples_with_a_tail(void **state)
{
    (void)state;
    struct fm_metrics m;
    uint32_t last = 0;
    const struct fm_evaluate_options options = {.samples = &samples,
        .classes = CLASSES,
        .batch = 4,
        .progress = count_progress,
        .context = &last};
    assert_int_equal(fm_evaluate(&engine, NULL, &options, &m), FM_OK);
    assert_int_equal(last, SAMPLES);
    assert_int_equal(seen.predictions, 3);
    assert_int_equal(seen.counts[2], 2);
    assert_int_equal(m.count, SAMPLES);
    assert_int_equal(m.correct, 8);
    assert_int_equal(m.confusion[2 * CLASSES + 0], 2);
    assert_int_equal(seen.executors + seen.stagings, 0);
    fm_metrics_free(&m);
}

// The same figures without a logit, but for calibration.
static void test_totals(void **state)
{
    struct fm_metrics whole, m;
    struct fm_evaluate_options options = {.samples = &samples, .classes = CLASSES, .batch = 4};
    assert_int_equal(fm_evaluate(&engine, NULL, &options, &whole), FM_OK);
    assert_int_equal(seen.scored, 0);
    assert_true(isfinite(whole.ece));
    options.totals = true;
    assert_int_equal(fm_evaluate(&engine, NULL, &options, &m), FM_OK);
    assert_int_equal(seen.scored, 3);
    assert_true(isfinite(m.nll) && isnan(m.ece));
    assert_true(fabs(m.nll - whole.nll) < 1e-12 && m.accuracy == whole.accuracy);
    assert_int_equal(m.count, SAMPLES);
    assert_int_equal(m.correct, 8);
    assert_true(m.macro_f1 == whole.macro_f1);
    assert_memory_equal(m.confusion, whole.confusion, CLASSES * CLASSES * sizeof *m.confusion);
    assert_int_equal(seen.executors + seen.stagings, 0);
    fm_metrics_free(&m);
    fm_metrics_free(&whole);

    reset(state);
    seen.nan = true;
    assert_int_equal(fm_evaluate(&engine, NULL, &options, &m), FM_NUMERIC);
    assert_non_null(strstr(fm_error_message(), "the loss of 10 samples is nan"));
    reset(state);
    seen.lost = 1;
    assert_int_equal(fm_evaluate(&engine, NULL, &options, &m), FM_BACKEND);
    assert_non_null(strstr(fm_error_message(), "9 samples, 7 of them right"));
    assert_non_null(strstr(fm_error_message(), "given 10, and counted 8 right"));
    options.mirror_mean = true;
    assert_int_equal(fm_evaluate(&engine, NULL, &options, &m), FM_USAGE);
    assert_int_equal(seen.executors + seen.stagings, 0);
    fm_error_clear();
}

static void test_chosen_samples_in_a_batch_no_larger(void **state)
{
    (void)state;
    static const uint32_t ids[3] = {1, 3, 9};
    struct fm_metrics m;
    assert_int_equal(evaluate(&samples, ids, 3, 256, &m), FM_OK);
    assert_int_equal(seen.compiled_batch, 3);
    assert_int_equal(m.count, 3);
    assert_int_equal(m.correct, 2);
    assert_int_equal(seen.last_id, 9);
    fm_metrics_free(&m);
}

static void test_failures_free_everything(void **state)
{
    struct fm_metrics m;
    seen.fail_at = 2;
    assert_int_equal(evaluate(&samples, NULL, 0, 4, &m), FM_BACKEND);
    assert_string_equal(fm_error_message(), "the device is gone");
    assert_int_equal(seen.executors + seen.stagings, 0);
    reset(state);
    seen.nan = true;
    assert_int_equal(evaluate(&samples, NULL, 0, 4, &m), FM_NUMERIC);
    assert_non_null(strstr(fm_error_message(), "sample 0"));
    assert_int_equal(seen.executors + seen.stagings, 0);
    reset(state);
    static const struct fm_samples none = {0, 1, records, labels};
    assert_int_equal(evaluate(&none, NULL, 0, 4, &m), FM_DATA);
}

static double nll_of(const double probabilities[2][CLASSES], struct fm_metrics *m)
{
    const struct fm_evaluate_options options = {
        .samples = &samples, .classes = CLASSES, .batch = 4, .average = true, .mirror_mean = true};
    seen.probabilities = probabilities;
    if (fm_evaluate(&engine, NULL, &options, m) != FM_OK)
        fail_msg("%s", fm_error_message());
    assert_int_equal(m->count, SAMPLES);
    assert_int_equal(seen.predictions, 6); // of three batches
    assert_int_equal(seen.counts[4], 2);
    assert_int_equal(seen.counts[5], 2);
    assert_int_equal(seen.averaging, 2); // both ways with the averaged weights
    assert_int_equal(seen.mirroring, 1);
    assert_int_equal(seen.executors + seen.stagings, 0);
    assert_true(isfinite(m->nll));
    return m->nll;
}

// Probabilities are averaged, not logits, which would give a loss of another size.
static void test_mean_with_mirror_images(void **state)
{
    static const double usual[2][CLASSES] = {{0.5, 0.4, 0.1}, {0.2, 0.7, 0.1}};
    struct fm_metrics m;
    seen.offset = 90; // exp() of it is beyond fp32
    double nll = nll_of(usual, &m), expected = -(8 * log(0.35) + 2 * log(0.1)) / 10;
    if (!(fabs(nll - expected) < 1e-5))
        fail_msg("loss %g, expected %g", nll, expected);
    assert_int_equal(m.correct, 0); // 0.35 against 0.55
    assert_int_equal(m.confusion[0 * CLASSES + 1], 2);
    fm_metrics_free(&m);

    // One that is right both times, and one probability of nothing.
    reset(state);
    static const double sure[2][CLASSES] = {{1, 1e-300, 1e-300}, {0.6, 0.4, 1e-300}};
    nll = nll_of(sure, &m);
    expected = -(8 * log(0.8) + 2 * log(0x1p-126)) / 10; // fp32's smallest normal number
    if (!(fabs(nll - expected) < 1e-4))
        fail_msg("loss %g, expected %g", nll, expected);
    assert_int_equal(m.correct, 8);
    fm_metrics_free(&m);
}

// One evaluator, many runs: nothing is made anew for them, and none knows of the one before.
static void check_runs(bool totals)
{
    static const uint32_t ids[] = {1, 3, 9, 7, 0};
    const struct fm_evaluate_options options = {.samples = &samples,
        .ids = ids,
        .count = 7, // at most
        .classes = CLASSES,
        .batch = 4,
        .totals = totals};
    struct fm_evaluator *evaluator = NULL;
    struct fm_metrics m;
    assert_int_equal(fm_evaluator_open(&engine, NULL, &options, &evaluator), FM_OK);
    for (int run = 0; run < 6; run++) {
        bool all = run % 3 == 2;
        uint32_t count = run % 3 == 0 ? 5 : 3;
        assert_int_equal(fm_evaluator_run(evaluator, all ? NULL : ids, count, &m), FM_OK);
        assert_int_equal(m.count, all ? SAMPLES : count);
        assert_int_equal(m.correct, all ? SAMPLES - 2 : count == 5 ? 3 : 2);
        assert_true(isfinite(m.nll) && m.nll > 0);
        assert_int_equal(seen.last_id, all ? SAMPLES - 1 : ids[count - 1]);
        fm_metrics_free(&m);
    }
    assert_int_equal(seen.predictions, 2 * (2 + 1 + 3));
    assert_int_equal(seen.compiled_batch, 4);
    assert_int_equal(seen.compiled, 1);
    assert_int_equal(seen.staged, 1);
    fm_evaluator_close(evaluator);
    assert_int_equal(seen.executors + seen.stagings, 0);
}

static void test_evaluator_is_kept(void **state)
{
    check_runs(false);
    reset(state);
    check_runs(true);
    fm_evaluator_close(NULL);
}

static enum fm_status refuse_progress(void *context, uint32_t done, uint32_t total)
{
    (void)total;
    return done >= *(const uint32_t *)context ? fm_fail(FM_INTERRUPTED, "enough") : FM_OK;
}

static void test_progress_that_fails_ends_the_evaluation(void **state)
{
    (void)state;
    uint32_t stop = 8;
    struct fm_metrics m;
    const struct fm_evaluate_options options = {.samples = &samples,
        .classes = CLASSES,
        .batch = 4,
        .mirror_mean = true,
        .progress = refuse_progress,
        .context = &stop};
    assert_int_equal(fm_evaluate(&engine, NULL, &options, &m), FM_INTERRUPTED);
    assert_string_equal(fm_error_message(), "enough");
    assert_int_equal(seen.predictions, 4); // two batches, both ways
    assert_int_equal(seen.executors + seen.stagings, 0);
    reset(NULL);
    seen.fail_at = 2; // the first of the mirror images
    assert_int_equal(fm_evaluate(&engine, NULL, &options, &m), FM_BACKEND);
    assert_int_equal(seen.executors + seen.stagings, 0);
    fm_error_clear();
}

static void test_latency(void **state)
{
    (void)state;
    struct fm_latency l;
    const struct fm_latency_options options = {
        .samples = &samples, .classes = CLASSES, .batch = 1, .warmup = 5, .runs = 25};
    assert_int_equal(fm_measure_latency(&engine, NULL, &options, &l), FM_OK);
    assert_int_equal(seen.predictions, 30);
    assert_int_equal(seen.counts[29], 1);
    assert_int_equal(seen.last_id, 29 % SAMPLES);
    assert_int_equal(l.batch, 1);
    assert_int_equal(l.runs, 25);
    assert_true(isfinite(l.mean) && isfinite(l.deviation) && isfinite(l.p99));
    assert_true(l.p50 > 0 && l.p50 <= l.p90 && l.p90 <= l.p99);
    assert_true(l.mean > 0 && l.mean <= l.p99 * 25 && l.deviation >= 0);
    assert_int_equal(seen.executors + seen.stagings, 0);
    seen.fail_at = seen.predictions + 3;
    assert_int_equal(fm_measure_latency(&engine, NULL, &options, &l), FM_BACKEND);
    assert_int_equal(seen.executors + seen.stagings, 0);
    fm_error_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_all_samples_with_a_tail, reset),
        cmocka_unit_test_setup(test_totals, reset),
        cmocka_unit_test_setup(test_chosen_samples_in_a_batch_no_larger, reset),
        cmocka_unit_test_setup(test_failures_free_everything, reset),
        cmocka_unit_test_setup(test_mean_with_mirror_images, reset),
        cmocka_unit_test_setup(test_evaluator_is_kept, reset),
        cmocka_unit_test_setup(test_progress_that_fails_ends_the_evaluation, reset),
        cmocka_unit_test_setup(test_latency, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
