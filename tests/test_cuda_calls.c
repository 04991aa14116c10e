// What the CUDA backend asks of NVIDIA's libraries once it is warm, counted call by call: a step is
// an upload and the launch of a captured graph, nothing waits for the device but what returns a
// result, and an epoch neither allocates nor captures. Any call more than those named here fails.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/registry.h"
#include "expect.h"
#include "reference/cases.h"
#include "scratch.h"
#include "simcuda.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

enum {
    CLASSES = 10,
    SIDE = 8,
    SAMPLES = 60,
    TRAIN = 44,
    BATCH = 16,
    ANY = -1
};

// Convolutions, folded batch norm, dense layers: every kind of command.
static const char *const net_text = "8x8>1x8x8 c16k3p1 n r p d0.3 f32b r f10b";

static uint8_t records[SAMPLES * SIDE * SIDE], labels[SAMPLES];
static const struct fm_samples samples = {SAMPLES, SIDE *SIDE, records, labels};

// ---- counting

static const char *const functions[] = {
    "cudaSetDevice",
    "cudaMemGetInfo",
    "cudaMalloc",
    "cudaFree",
    "cudaHostAlloc",
    "cudaFreeHost",
    "cudaMemcpy",
    "cudaMemcpyAsync",
    "cudaMemsetAsync",
    "cudaEventCreate",
    "cudaEventCreateWithFlags",
    "cudaEventDestroy",
    "cudaEventRecord",
    "cudaEventQuery",
    "cudaEventSynchronize",
    "cudaEventElapsedTime",
    "cudaStreamWaitEvent",
    "cudaStreamSynchronize",
    "cudaDeviceSynchronize",
    "cudaStreamBeginCapture",
    "cudaStreamEndCapture",
    "cudaGraphInstantiate",
    "cudaGraphDestroy",
    "cudaGraphExecDestroy",
    "cudaGraphLaunch",
    "cudaLaunchKernelEx",
    "cudnnBackendCreateDescriptor",
    "cudnnBackendFinalize",
    "cudnnBackendExecute",
    "cublasLtMatmulAlgoGetHeuristic",
    "cublasLtMatmul",
};
enum {
    FUNCTIONS = sizeof functions / sizeof *functions
};

struct calls {
    long all, of[FUNCTIONS];
};

static struct calls count_calls(void)
{
    struct calls calls = {.all = sim_calls("*")};
    for (int i = 0; i < FUNCTIONS; i++)
        calls.of[i] = sim_calls(functions[i]);
    return calls;
}

static struct calls calls_since(const struct calls *before)
{
    struct calls calls = count_calls();
    calls.all -= before->all;
    for (int i = 0; i < FUNCTIONS; i++)
        calls.of[i] -= before->of[i];
    return calls;
}

static long calls_of(const struct calls *calls, const char *function)
{
    for (int i = 0; i < FUNCTIONS; i++)
        if (strcmp(functions[i], function) == 0)
            return calls->of[i];
    fail_msg("'%s' is not counted", function);
    return 0;
}

struct wanted {
    const char *function;
    long calls; // or ANY
};

static long wanted_calls(const struct wanted *wanted, const char *function)
{
    if (strcmp(function, "cudaSetDevice") == 0)
        return ANY; // tells the library what it knows
    for (; wanted->function; wanted++)
        if (strcmp(wanted->function, function) == 0)
            return wanted->calls;
    return 0;
}

// `wanted` ends with a NULL; whatever it does not name was not called.
static void check_calls(const char *what, const struct calls *before, const struct wanted *wanted)
{
    struct calls found = calls_since(before);
    long others = found.all;
    for (int i = 0; i < FUNCTIONS; i++) {
        long expected = wanted_calls(wanted, functions[i]);
        others -= found.of[i];
        if (expected != ANY && found.of[i] != expected)
            fail_msg(
                "%s: %ld calls of %s, expected %ld", what, found.of[i], functions[i], expected);
    }
    if (others != 0)
        fail_msg("%s: %ld calls of functions that nothing wants there", what, others);
}

// ---- a model on the simulated device

static struct opened {
    struct fm_engine engine;
    const struct fm_backend *api;
    struct fm_net net;
    struct fm_model *model;
    struct fm_staging *staging;
} it;

static void open_engine(const char *plan_cache)
{
    const struct fm_device_options options = {.plan_cache = plan_cache};
    memset(&it, 0, sizeof it);
    fm_module_set_directory(FM_TEST_BINARY_DIR "/tests/modules-sim");
    assert_ok(fm_engine_open("cuda", &options, &it.engine));
    it.api = it.engine.api;
    fm_case_net(net_text, &it.net);
}

static void create_model(enum fm_precision precision)
{
    const struct fm_model_options options = {.precision = precision,
        .optimiser = {.kind = FM_OPTIMISER_ADAM, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f},
        .ema = true};
    assert_ok(it.api->model_create(it.engine.device, &it.net, &options, &it.model));
}

static void create_staging(bool resident)
{
    const struct fm_resident all = {records, labels, SAMPLES, SIDE * SIDE};
    assert_ok(it.api->staging_create(it.model, BATCH, resident ? &all : NULL, &it.staging));
}

static void close_all(void)
{
    if (it.model) {
        it.api->staging_destroy(it.staging);
        it.api->model_destroy(it.model);
    }
    fm_engine_close(&it.engine);
}

static struct fm_executor *compile_as(const struct fm_compile_options *options)
{
    struct fm_executor *executor = NULL;
    assert_ok(it.api->compile(it.model, options, &executor));
    return executor;
}

static struct fm_executor *compile(int batch, enum fm_mode mode)
{
    return compile_as(&(struct fm_compile_options){.batch = batch, .mode = mode});
}

// Fills a slot; waits for it as the loader's thread does.
static void fill(int index, uint32_t count)
{
    struct fm_slot *slot = it.api->staging_slot(it.staging, index);
    assert_ok(it.api->slot_wait(it.staging, index));
    *slot->step = (struct fm_step){.seed = 1, .count = count, .learning_rate = 1e-3f};
    for (uint32_t i = 0; i < count; i++)
        slot->ids[i] = i * 7 % SAMPLES;
    for (uint32_t i = 0; slot->records && i < count; i++) {
        slot->labels[i] = labels[slot->ids[i]];
        memcpy(slot->records + i * SIDE * SIDE, records + slot->ids[i] * SIDE * SIDE, SIDE * SIDE);
    }
}

static int begin(void **state)
{
    (void)state;
    sim_reset();
    fm_error_clear();
    for (uint32_t i = 0; i < sizeof records; i++)
        records[i] = (uint8_t)(i * 37 % 251);
    for (uint32_t i = 0; i < SAMPLES; i++)
        labels[i] = (uint8_t)(i % CLASSES);
    return 0;
}

static int end(void **state)
{
    (void)state;
    return sim_take_failures() + sim_report_leaks();
}

// ---- steps

static const struct wanted of_step[] = {
    {"cudaMemcpyAsync", 1},     // the upload
    {"cudaStreamWaitEvent", 2}, // the upload for the slot's last reader, the step for the upload
    {"cudaGraphLaunch", 1},
    {"cudaEventRecord", 2}, // uploaded, consumed
    {NULL, 0},
};

// What progress is told from: whether a report is there, and if so the next is sent for.
static const struct wanted of_report[] = {
    {"cudaEventQuery", ANY},
    {"cudaMemcpyAsync", ANY},
    {"cudaEventRecord", ANY},
    {NULL, 0},
};

static void submit(struct fm_executor *executor, int slot, uint32_t count)
{
    fill(slot, count);
    assert_ok(it.api->submit(executor, it.staging, slot));
}

static void check_steps(enum fm_precision precision, bool resident)
{
    char what[64];
    struct fm_sums sums;
    open_engine(NULL);
    create_model(precision);
    create_staging(resident);
    struct fm_executor *full = compile(BATCH, FM_MODE_TRAIN);
    struct fm_executor *tail = compile(BATCH / 2, FM_MODE_TRAIN);
    struct calls before = count_calls();
    for (int i = 0; i < 4; i++) { // by commands, then captured for each slot
        submit(full, i % FM_SLOTS, BATCH);
        submit(tail, i % FM_SLOTS, BATCH / 2);
    }
    before = calls_since(&before);
    assert_int_equal(calls_of(&before, "cudaGraphInstantiate"), 2 * FM_SLOTS);
    for (int i = 0; i < 6; i++) {
        bool whole = i % 3 != 2;
        uint32_t count = whole ? BATCH : BATCH / 2;
        snprintf(what, sizeof what, "precision %d, resident %d, step %d", precision, resident, i);
        fill(i % FM_SLOTS, count);
        before = count_calls();
        assert_ok(it.api->submit(whole ? full : tail, it.staging, i % FM_SLOTS));
        check_calls(what, &before, of_step);
        before = count_calls();
        assert_ok(it.api->sums_get(it.model, false, &sums));
        check_calls(what, &before, of_report);
    }
    assert_ok(it.api->sums_get(it.model, true, &sums));
    assert_int_equal(sums.count, 4 * (BATCH + BATCH / 2) + 4 * BATCH + 2 * (BATCH / 2));
    assert_true(isfinite(sums.loss) && sums.loss > 0);
    it.api->executor_destroy(tail);
    it.api->executor_destroy(full);
    close_all();
}

static void test_step_is_one_launch(void **state)
{
    (void)state;
    check_steps(FM_PRECISION_FP16, false);
    sim_reset();
    check_steps(FM_PRECISION_FP16, true);
    sim_reset();
    check_steps(FM_PRECISION_BF16, false);
    sim_reset();
    check_steps(FM_PRECISION_FP32, false);
}

// A graph is captured for a slot, that is for memory: another staging's is another.
static void test_another_staging_is_captured_anew(void **state)
{
    (void)state;
    open_engine(NULL);
    create_model(FM_PRECISION_FP16);
    create_staging(false);
    struct fm_executor *executor = compile(BATCH, FM_MODE_TRAIN);
    struct calls calls = count_calls();
    for (int i = 0; i < 4; i++)
        submit(executor, i % FM_SLOTS, BATCH);
    it.api->staging_destroy(it.staging);
    create_staging(false);
    for (int i = 0; i < 4; i++)
        submit(executor, i % FM_SLOTS, BATCH);
    calls = calls_since(&calls);
    assert_int_equal(calls_of(&calls, "cudaGraphInstantiate"), 2 * FM_SLOTS);
    assert_int_equal(calls_of(&calls, "cudaGraphLaunch"), 3 + 4);
    it.api->executor_destroy(executor);
    close_all();
}

// ---- inference

static void test_prediction_is_one_launch_and_one_wait(void **state)
{
    (void)state;
    static const struct wanted of_prediction[] = {
        {"cudaGraphLaunch", 1}, // with both copies
        {"cudaStreamSynchronize", 1},
        {NULL, 0},
    };
    float logits[BATCH * CLASSES];
    open_engine(NULL);
    create_model(FM_PRECISION_FP16);
    create_staging(false);
    struct fm_executor *executor = compile(BATCH, FM_MODE_INFER);
    for (int i = 0; i < 8; i++) {
        uint32_t count = i % 3 == 0 ? BATCH : 5;
        fill(i % FM_SLOTS, count);
        struct calls before = count_calls();
        assert_ok(it.api->predict(executor, it.staging, i % FM_SLOTS, logits));
        if (i >= 4)
            check_calls("prediction", &before, of_prediction);
        for (uint32_t k = 0; k < count * CLASSES; k++)
            assert_true(isfinite(logits[k]));
    }
    it.api->executor_destroy(executor);
    close_all();
}

// Two events around a launch, and the same time whenever the same work is done.
static double timed(
    struct fm_executor *executor, enum fm_mode mode, int slot, const struct wanted *wanted)
{
    float logits[BATCH * CLASSES];
    double seconds = 0;
    fill(slot, BATCH);
    struct calls before = count_calls();
    if (mode == FM_MODE_TRAIN)
        assert_ok(it.api->submit(executor, it.staging, slot));
    else
        assert_ok(it.api->predict(executor, it.staging, slot, logits));
    if (wanted)
        check_calls("a timed run", &before, wanted);
    before = count_calls();
    assert_ok(it.api->executor_seconds(executor, &seconds));
    check_calls("its time", &before,
        (struct wanted[]){{"cudaEventSynchronize", 1}, {"cudaEventElapsedTime", 1}, {NULL, 0}});
    return seconds;
}

static void check_timed(enum fm_mode mode, const struct wanted *wanted)
{
    double seconds;
    open_engine(NULL);
    create_model(FM_PRECISION_FP16);
    create_staging(false);
    struct fm_executor *executor = compile(BATCH, mode);
    assert_fails(it.api->executor_seconds(executor, &seconds), FM_USAGE, "no run of this executor");
    assert_ok(it.api->executor_time(executor, true));
    for (int i = 0; i < 2 * FM_SLOTS; i++) // by commands, then captured: events and all
        assert_true(timed(executor, mode, i % FM_SLOTS, NULL) > 0);
    // The launch's own work, up to where else on the device there was some.
    double first = timed(executor, mode, 0, wanted);
    for (int i = 1; i < 4; i++) {
        double again = timed(executor, mode, i % FM_SLOTS, wanted);
        if (again < 0.5 * first || again > 2 * first)
            fail_msg("a run of %g s takes %g s", first, again);
    }
    assert_ok(it.api->executor_time(executor, false));
    fill(0, BATCH);
    struct calls before = count_calls();
    assert_ok(mode == FM_MODE_TRAIN ? it.api->submit(executor, it.staging, 0)
                                    : it.api->score(executor, it.staging, 0));
    before = calls_since(&before);
    assert_int_equal(calls_of(&before, "cudaEventRecord"), 2);
    it.api->executor_destroy(executor);
    close_all();
}

// The run that loads the kernels and the one that tells how long the host takes do not count;
// before each that does the device is held back by one more launch.
static void test_profile(void **state)
{
    enum {
        RUNS = 5,
        COUNTED = RUNS - 2
    };
    struct fm_profile_entry entries[64];
    size_t count;
    (void)state;
    open_engine(NULL);
    create_model(FM_PRECISION_FP16);
    create_staging(false);
    struct fm_executor *executor = compile_as(
        &(struct fm_compile_options){.batch = BATCH, .mode = FM_MODE_TRAIN, .profile = true});
    long launches[RUNS];
    for (int i = 0; i < RUNS; i++) {
        struct calls before = count_calls();
        submit(executor, i % FM_SLOTS, BATCH);
        before = calls_since(&before);
        launches[i] = calls_of(&before, "cudaLaunchKernelEx");
        assert_ok(it.api->executor_profile(executor, entries, 64, &count));
        assert_int_equal(count > 0, i >= RUNS - COUNTED);
    }
    assert_int_equal(launches[1], launches[0]);
    assert_int_equal(launches[RUNS - 1], launches[0] + 1);
    assert_in_range(count, 10, 64);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(entries[i].calls, COUNTED);
        assert_true(entries[i].seconds >= 0);
    }
    it.api->executor_destroy(executor);
    close_all();
}

static void test_timed_runs(void **state)
{
    (void)state;
    const struct wanted held = {"cudaLaunchKernelEx", 1}; // the stream, until all is handed over
    check_timed(
        FM_MODE_INFER, (struct wanted[]){{"cudaGraphLaunch", 1}, {"cudaStreamSynchronize", 1},
                           {"cudaEventRecord", 2}, held, {NULL, 0}});
    sim_reset();
    check_timed(
        FM_MODE_TRAIN, (struct wanted[]){{"cudaMemcpyAsync", 1}, {"cudaStreamWaitEvent", 2},
                           {"cudaGraphLaunch", 1}, {"cudaEventRecord", 4}, held, {NULL, 0}});
}

// One evaluation of two batches: only its end waits.
static void score_two(struct fm_executor *executor, bool warm, bool renews)
{
    const struct wanted of_score[] = {
        {"cudaMemcpyAsync", 1},
        {"cudaStreamWaitEvent", 2},
        {"cudaGraphLaunch", 1},
        {"cudaEventRecord", 2},
        {"cudaLaunchKernelEx", renews ? ANY : 0}, // copies of the weights
        {NULL, 0},
    };
    static const struct wanted of_taking[] = {
        {"cudaMemcpyAsync", 1},
        {"cudaMemsetAsync", 1},
        {"cudaStreamSynchronize", 1},
        {NULL, 0},
    };
    struct fm_sums scores;
    uint64_t confusion[CLASSES * CLASSES];
    for (int slot = 0; slot < FM_SLOTS; slot++) {
        fill(slot, BATCH);
        struct calls before = count_calls();
        assert_ok(it.api->score(executor, it.staging, slot));
        if (warm)
            check_calls("score", &before, of_score);
        if (warm && renews && slot == 0) {
            before = calls_since(&before);
            assert_true(calls_of(&before, "cudaLaunchKernelEx") > 0);
        }
        renews = false;
    }
    struct calls before = count_calls();
    assert_ok(it.api->scores_take(executor, &scores, confusion));
    check_calls("scores", &before, of_taking);
    assert_int_equal(scores.count, FM_SLOTS * BATCH);
    assert_true(isfinite(scores.loss) && scores.loss > 0);
}

static void test_evaluation_waits_once(void **state)
{
    (void)state;
    open_engine(NULL);
    create_model(FM_PRECISION_FP16);
    create_staging(false);
    struct fm_executor *training = compile(BATCH, FM_MODE_TRAIN);
    struct fm_executor *executor = compile(BATCH, FM_MODE_INFER);
    for (int i = 0; i < 4; i++)
        score_two(executor, i >= 2, false);
    submit(training, 0, BATCH);
    score_two(executor, true, true);
    score_two(executor, true, false);
    it.api->executor_destroy(executor);
    it.api->executor_destroy(training);
    close_all();
}

// ---- a whole training

static const uint32_t *make_ids(void)
{
    static uint32_t ids[SAMPLES];
    for (uint32_t i = 0; i < SAMPLES; i++)
        ids[i] = i;
    return ids;
}

struct epochs {
    int done, checked;
    struct calls at_last;
};

// From the third epoch's end to the fourth's, and so on: every batch size, purpose and slot has had
// its turn by then.
static enum fm_status check_epoch(void *context, const struct fm_train_progress *progress)
{
    struct epochs *epochs = context;
    if (!progress->epoch_done)
        return FM_OK;
    if (++epochs->done > 3) {
        // Steps and their tail (44 = 2 * 16 + 12), and a batch of 10 evaluated.
        struct calls found = calls_since(&epochs->at_last);
        assert_int_equal(calls_of(&found, "cudaGraphLaunch"), 3 + 1);
        assert_int_equal(calls_of(&found, "cudnnBackendExecute"), 0);
        assert_int_equal(calls_of(&found, "cublasLtMatmul"), 0);
        assert_int_equal(calls_of(&found, "cudaDeviceSynchronize"), 0);
        // Not allowed below: anything that allocates, frees, captures, plans or makes an event.
        static const struct wanted of_epoch[] = {
            {"cudaGraphLaunch", ANY},
            {"cudaMemcpy", ANY}, // sums and counters, at its beginning and end
            {"cudaMemcpyAsync", ANY},
            {"cudaMemsetAsync", ANY},
            {"cudaEventRecord", ANY},
            {"cudaEventQuery", ANY},
            {"cudaEventSynchronize", ANY}, // the loaders' threads
            {"cudaStreamWaitEvent", ANY},
            {"cudaStreamSynchronize", ANY},
            {"cudaLaunchKernelEx", ANY}, // the evaluation's copies of the weights
            {NULL, 0},
        };
        check_calls("an epoch", &epochs->at_last, of_epoch);
        epochs->checked++;
    }
    epochs->at_last = count_calls();
    return FM_OK;
}

static void test_epoch_makes_nothing(void **state)
{
    (void)state;
    const uint32_t *ids = make_ids();
    const struct fm_split split = {.train = (uint32_t *)ids,
        .train_count = TRAIN,
        .select = (uint32_t *)ids + TRAIN,
        .select_count = 10};
    const struct fm_recipe recipe = {.name = "test",
        .epochs = 6,
        .batch = BATCH,
        .learning_rate = 1e-3,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .schedule = FM_SCHEDULE_ONE_CYCLE,
        .warmup_share = 0.3,
        .dropout = -1,
        .keep = FM_KEEP_LAST};
    struct epochs epochs = {0};
    const struct fm_train_options options = {.recipe = &recipe,
        .precision = FM_PRECISION_FP16,
        .resident = true,
        .progress = check_epoch,
        .context = &epochs};
    struct fm_train_result result;
    struct fm_model *model = NULL;
    open_engine(NULL);
    assert_ok(fm_train(&it.engine, &it.net, &samples, &split, &options, &model, &result));
    assert_int_equal(epochs.checked, 3);
    it.api->model_destroy(model);
    close_all();
}

// ---- the start

// Up to the first step.
static struct calls start(const char *cache)
{
    sim_reset();
    open_engine(cache);
    create_model(FM_PRECISION_FP16);
    create_staging(false);
    struct fm_executor *executor = compile(BATCH, FM_MODE_TRAIN);
    submit(executor, 0, BATCH);
    struct calls calls = count_calls();
    it.api->executor_destroy(executor);
    close_all();
    return calls;
}

static void check_most(const struct calls *calls, const char *function, long most)
{
    if (calls_of(calls, function) > most)
        fail_msg("a start: %ld calls of %s, expected %ld at most", calls_of(calls, function),
            function, most);
}

// With the plans of an earlier start there is nothing to measure: memory is allocated once for each
// object, each plan is made once, and the step is the first that anything computes.
static void test_second_start(void **state)
{
    (void)state;
    char cache[SCRATCH_PATH_MAX];
    scratch_make(cache, "plans");
    struct calls first = start(cache), second = start(cache);
    scratch_remove(cache);
    assert_true(calls_of(&first, "cudaStreamBeginCapture") > 0); // to measure
    check_most(&second, "cudaStreamBeginCapture", 0);
    check_most(&second, "cudaGraphLaunch", 0);
    check_most(&second, "cudaDeviceSynchronize", 0);
    check_most(&second, "cudaEventSynchronize", 1); // of the slot that is filled
    check_most(&second, "cudaMalloc", 4);           // a first kernel's, model, staging, executor
    check_most(&second, "cudaHostAlloc", 2);        // model, staging
    check_most(&second, "cudaStreamSynchronize", 11);
    long graphs = calls_of(&second, "cudnnBackendExecute");
    assert_true(graphs > 0 && graphs < calls_of(&first, "cudnnBackendExecute"));
    check_most(&second, "cudnnBackendFinalize", 2 * graphs); // a plan, and what it runs on
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_step_is_one_launch, begin, end),
        cmocka_unit_test_setup_teardown(test_another_staging_is_captured_anew, begin, end),
        cmocka_unit_test_setup_teardown(test_prediction_is_one_launch_and_one_wait, begin, end),
        cmocka_unit_test_setup_teardown(test_timed_runs, begin, end),
        cmocka_unit_test_setup_teardown(test_profile, begin, end),
        cmocka_unit_test_setup_teardown(test_evaluation_waits_once, begin, end),
        cmocka_unit_test_setup_teardown(test_epoch_makes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(test_second_start, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
