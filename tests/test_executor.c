// What the waist promises of a backend beyond its numbers: state by name, skipped steps, sums,
// sharing of a model between executors, profile and plans, refusals, the same bits again, and steps
// that allocate nothing.
#include "backend/registry.h"
#include "net/init.h"
#include "net/zoo.h"
#include "philox.h"

#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS_ALLOCATIONS 0
#else
#define COUNTS_ALLOCATIONS 1
#endif

#if COUNTS_ALLOCATIONS
// While armed, counts the allocator's calls made by the backend module itself, and anybody's of a
// page or more. oneDNN makes some small ones in each dnnl_primitive_execute (the table of
// arguments), which nobody outside can avoid.
enum {
    PAGE = 4096
};
static atomic_bool armed;
static atomic_ulong module_calls, large_calls;
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static void count_call(size_t size, const void *caller)
{
    if (!armed)
        return;
    Dl_info info;
    if (dladdr(caller, &info) && info.dli_fname && strstr(info.dli_fname, "fmnist-cpu"))
        module_calls++;
    if (size >= PAGE)
        large_calls++;
}

void *malloc(size_t size)
{
    count_call(size, __builtin_return_address(0));
    return __libc_malloc(size);
}

void *calloc(size_t items, size_t size)
{
    count_call(items * size, __builtin_return_address(0));
    return __libc_calloc(items, size);
}

void *realloc(void *old, size_t size)
{
    count_call(size, __builtin_return_address(0));
    return __libc_realloc(old, size);
}

// Arrays of 1 MiB and more are the kernel's own pages (base/pages.h).
void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    count_call(size, __builtin_return_address(0));
    return (void *)syscall(SYS_mmap, address, size, protection, flags, file, offset);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    count_call(size, __builtin_return_address(0));
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : 12;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count_call(size, __builtin_return_address(0));
    return __libc_memalign(alignment, size);
}
#endif

enum {
    BATCH = 8,
    BATCH_MOST = 16,
    CLASSES = 10
};

struct bench {
    struct fm_engine engine;
    struct fm_net net;
    struct fm_model *model;
    struct fm_staging *staging;
};

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        fm_error_clear();                                                                          \
        enum fm_status ok_status_ = (call);                                                        \
        if (ok_status_ != FM_OK)                                                                   \
            fail_msg("%s: %s", #call, fm_error_message());                                         \
    } while (0)

#define assert_fails(expected, words, call)                                                        \
    do {                                                                                           \
        fm_error_clear();                                                                          \
        assert_int_equal((call), (expected));                                                      \
        if (!strstr(fm_error_message(), words))                                                    \
            fail_msg("'%s' does not contain '%s'", fm_error_message(), words);                     \
        fm_error_clear();                                                                          \
    } while (0)

static void fill_slot(struct bench *b, int slot, uint32_t count)
{
    struct fm_slot *s = b->engine.api->staging_slot(b->staging, slot);
    for (uint32_t i = 0; i < count; i++) {
        s->ids[i] = 100 + i;
        s->labels[i] = (uint8_t)(i % CLASSES);
        for (uint32_t k = 0; k < s->record_size; k++)
            s->records[i * s->record_size + k] = (uint8_t)fm_draw(7, 0, i, FM_STREAM_INIT, k);
    }
    memset(s->step, 0, sizeof *s->step);
    s->step->count = count;
    s->step->seed = 3;
    s->step->learning_rate = 1e-3f;
}

// `untrained`: so many parameters, from the first.
static void open_partly(struct bench *b, const char *model, bool ema, int threads, int untrained)
{
    memset(b, 0, sizeof *b);
    struct fm_device_options device = {.threads = threads};
    fm_module_set_directory(FM_TEST_BINARY_DIR "/modules");
    assert_ok(fm_engine_open("cpu", &device, &b->engine));
    assert_ok(fm_zoo_build(model, CLASSES, &b->net));
    fm_net_set_input_statistics(&b->net, 0.5f, 0.25f);
    for (int i = 0; i < untrained; i++)
        b->net.params[i].trainable = false;
    struct fm_model_options options = {
        .optimiser = {FM_OPTIMISER_ADAM, 0.9f, 0.999f, 1e-8f}, .ema = ema};
    assert_ok(b->engine.api->model_create(b->engine.device, &b->net, &options, &b->model));
    for (int i = 0; i < b->net.param_count; i++) {
        const struct fm_param *p = &b->net.params[i];
        float *values = malloc(p->count * sizeof *values);
        fm_init_param(&b->net, i, FM_INIT_HE_UNIFORM, 1, values);
        assert_ok(b->engine.api->model_set(b->model, FM_STATE_PARAM, p->name, values, p->count));
        if (ema)
            assert_ok(b->engine.api->model_set(b->model, FM_STATE_EMA, p->name, values, p->count));
        free(values);
    }
    assert_ok(b->engine.api->staging_create(b->model, BATCH_MOST, NULL, &b->staging));
    fill_slot(b, 0, BATCH);
    fill_slot(b, 1, BATCH);
}

static void open_bench(struct bench *b, const char *model, bool ema, int threads)
{
    open_partly(b, model, ema, threads, 0);
}

static void close_bench(struct bench *b)
{
    b->engine.api->staging_destroy(b->staging);
    b->engine.api->model_destroy(b->model);
    fm_engine_close(&b->engine);
}

static struct fm_executor *compile(struct bench *b, struct fm_compile_options options)
{
    struct fm_executor *executor = NULL;
    if (options.batch == 0)
        options.batch = BATCH;
    assert_ok(b->engine.api->compile(b->model, &options, &executor));
    return executor;
}

// All state of a model in one allocation: params, moments, running statistics.
static float *snapshot(struct bench *b, size_t *count)
{
    const struct fm_net *net = &b->net;
    static const enum fm_state_kind kinds[] = {FM_STATE_PARAM, FM_STATE_MOMENT1, FM_STATE_MOMENT2};
    *count = 3 * net->param_elements + net->running_elements;
    float *all = malloc(*count * sizeof *all), *to = all;
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < net->param_count; i++, to += net->params[i - 1].count)
            assert_ok(b->engine.api->model_get(
                b->model, kinds[k], net->params[i].name, to, net->params[i].count));
    for (int i = 0; i < net->running_count; i++, to += net->running[i - 1].count)
        assert_ok(b->engine.api->model_get(
            b->model, FM_STATE_RUNNING, net->running[i].name, to, net->running[i].count));
    return all;
}

// ---- tests

static void test_state_by_name(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "deeper", false, 1);
    const struct fm_backend *api = b.engine.api;
    float in[64], out[64];
    for (int i = 0; i < 64; i++)
        in[i] = (float)i + 0.5f;
    assert_ok(api->model_set(b.model, FM_STATE_RUNNING, "bn1.running_var", in, 64));
    assert_ok(api->model_get(b.model, FM_STATE_RUNNING, "bn1.running_var", out, 64));
    assert_memory_equal(in, out, sizeof in);
    assert_fails(FM_DATA, "63 elements, expected 64",
        api->model_get(b.model, FM_STATE_RUNNING, "bn1.running_var", out, 63));
    assert_fails(FM_NOT_FOUND, "bn1.running_var",
        api->model_get(b.model, FM_STATE_PARAM, "bn1.running_var", out, 64));
    assert_fails(
        FM_NOT_FOUND, "no average", api->model_get(b.model, FM_STATE_EMA, "bn1.weight", out, 64));
    close_bench(&b);
}

static void test_nonfinite_gradient_changes_nothing(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "deeper", false, 2);
    const struct fm_backend *api = b.engine.api;
    struct fm_executor *e = compile(&b, (struct fm_compile_options){.mode = FM_MODE_TRAIN});
    assert_ok(api->submit(e, b.staging, 0));
    // An infinite scale on the loss makes every gradient infinite or NaN.
    struct fm_counters counters;
    assert_ok(api->counters_get(b.model, &counters));
    assert_int_equal(counters.applied, 1);
    counters.loss_scale = INFINITY;
    assert_ok(api->counters_set(b.model, &counters));
    size_t count;
    float *before = snapshot(&b, &count);
    assert_ok(api->submit(e, b.staging, 1));
    float *after = snapshot(&b, &count);
    assert_memory_equal(before, after, count * sizeof *before);
    assert_ok(api->counters_get(b.model, &counters));
    assert_int_equal(counters.applied, 1);
    assert_int_equal(counters.skipped, 1);
    // And the next healthy step goes on.
    counters.loss_scale = 1.0f;
    assert_ok(api->counters_set(b.model, &counters));
    assert_ok(api->submit(e, b.staging, 0));
    float *later = snapshot(&b, &count);
    assert_memory_not_equal(after, later, count * sizeof *before);
    free(before);
    free(after);
    free(later);
    api->executor_destroy(e);
    close_bench(&b);
}

static void test_sums(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "simple", false, 2);
    const struct fm_backend *api = b.engine.api;
    struct fm_executor *e = compile(&b, (struct fm_compile_options){.mode = FM_MODE_TRAIN});
    struct fm_sums sums;
    for (int i = 0; i < 3; i++)
        assert_ok(api->submit(e, b.staging, i % FM_SLOTS));
    assert_ok(api->sums_get(b.model, true, &sums));
    assert_int_equal(sums.count, 3 * BATCH);
    assert_true(isfinite(sums.loss) && sums.loss > 0.0);
    assert_true(sums.correct <= sums.count);
    assert_ok(api->sums_set(b.model, &(struct fm_sums){0}));
    assert_ok(api->sums_get(b.model, false, &sums));
    assert_int_equal(sums.count, 0);
    api->executor_destroy(e);
    close_bench(&b);
}

// Two runs from the same state end in the same bits; executors of one model see each other's steps.
static void test_same_bits_and_shared_parameters(void **state)
{
    (void)state;
    float *ends[2];
    size_t count;
    for (int run = 0; run < 2; run++) {
        struct bench b;
        open_bench(&b, "deeper", false, 2);
        const struct fm_backend *api = b.engine.api;
        struct fm_compile_options options = {
            .mode = FM_MODE_TRAIN, .augment = {2, true}, .label_smoothing = 0.1f};
        struct fm_executor *whole = compile(&b, options);
        options.batch = 3;
        struct fm_executor *tail = compile(&b, options);
        struct fm_executor *infer = compile(&b, (struct fm_compile_options){.mode = FM_MODE_INFER});
        float before[BATCH * CLASSES], after[BATCH * CLASSES];
        assert_ok(api->predict(infer, b.staging, 0, before));
        assert_ok(api->submit(whole, b.staging, 0));
        fill_slot(&b, 1, 3);
        assert_ok(api->submit(tail, b.staging, 1));
        assert_ok(api->predict(infer, b.staging, 0, after));
        assert_memory_not_equal(before, after, sizeof before);
        ends[run] = snapshot(&b, &count);
        api->executor_destroy(whole);
        api->executor_destroy(tail);
        api->executor_destroy(infer);
        close_bench(&b);
    }
    assert_memory_equal(ends[0], ends[1], count * sizeof **ends);
    free(ends[0]);
    free(ends[1]);
}

// Two steps with whole batches, one with a smaller between them, and predictions.
static const struct fm_compile_options sharing[] = {
    {.mode = FM_MODE_TRAIN}, {.mode = FM_MODE_TRAIN, .batch = 3}, {.mode = FM_MODE_INFER}};
enum {
    WHOLE,
    TAIL,
    INFER,
    SHARING
};
static const int sharing_order[] = {WHOLE, TAIL, WHOLE, INFER};

static void run_one(struct bench *b, int which, struct fm_executor *e, float *logits)
{
    if (which == INFER)
        assert_ok(b->engine.api->predict(e, b->staging, 0, logits));
    else
        assert_ok(b->engine.api->submit(e, b->staging, which));
}

static void open_sharing(struct bench *b)
{
    open_bench(b, "deeper", false, 2);
    fill_slot(b, TAIL, 3);
}

// Each executor compiled, run and destroyed alone; and what each takes then.
static float *run_alone(float logits[BATCH * CLASSES], size_t *count, uint64_t memory[SHARING])
{
    struct bench b;
    open_sharing(&b);
    for (int i = 0; i < 4; i++) {
        int which = sharing_order[i];
        struct fm_executor *e = compile(&b, sharing[which]);
        memory[which] = b.engine.api->executor_memory(e);
        run_one(&b, which, e, logits);
        b.engine.api->executor_destroy(e);
    }
    float *end = snapshot(&b, count);
    close_bench(&b);
    return end;
}

static float *run_together(
    float logits[BATCH * CLASSES], size_t *count, const uint64_t alone[SHARING])
{
    struct bench b;
    open_sharing(&b);
    const struct fm_backend *api = b.engine.api;
    struct fm_executor *executors[SHARING];
    for (int which = 0; which < SHARING; which++)
        executors[which] = compile(&b, sharing[which]);
    assert_true(api->executor_memory(executors[WHOLE]) == alone[WHOLE]);
#if !defined(__SANITIZE_ADDRESS__) // where blocks of exactly one size are shared
    assert_true(api->executor_memory(executors[TAIL]) < alone[TAIL] / 4);
    assert_true(api->executor_memory(executors[INFER]) < alone[INFER] / 4);
#endif
    for (int i = 0; i < 4; i++) {
        run_one(&b, sharing_order[i], executors[sharing_order[i]], logits);
        if (i == 2) // takes nothing from the others
            api->executor_destroy(executors[WHOLE]);
    }
    api->executor_destroy(executors[TAIL]);
    api->executor_destroy(executors[INFER]);
    float *end = snapshot(&b, count);
    close_bench(&b);
    return end;
}

// A step takes less than its activations would, each kept: gradients and scratch included.
static void test_step_memory(void **state)
{
    (void)state;
    static const char *const names[] = {"deeper", "vgg16"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct bench b;
        open_bench(&b, names[i], false, 2);
        struct fm_executor *e = compile(
            &b, (struct fm_compile_options){.mode = FM_MODE_TRAIN, .batch = 256});
        size_t kept = 0;
        for (int k = 0; k < b.net.layer_count; k++) {
            enum fm_layer_kind kind = b.net.layers[k].kind;
            bool fused = kind == FM_LAYER_RELU || kind == FM_LAYER_BATCHNORM ||
                         kind == FM_LAYER_DROPOUT;
            kept += fused ? 0 : 256 * sizeof(float) * fm_shape_size(b.net.layers[k].out);
        }
#if !defined(__SANITIZE_ADDRESS__) // where each has memory of its own
        assert_true(b.engine.api->executor_memory(e) < kept);
#endif
        b.engine.api->executor_destroy(e);
        close_bench(&b);
    }
}

// What executors share means nothing between steps.
static void test_shared_memory(void **state)
{
    (void)state;
    float logits[2][BATCH * CLASSES];
    size_t count;
    uint64_t memory[SHARING];
    float *alone = run_alone(logits[0], &count, memory);
    float *together = run_together(logits[1], &count, memory);
    assert_memory_equal(alone, together, count * sizeof *alone);
    assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
    free(alone);
    free(together);
}

// Weights that are not trained are brought into a layout once, not at every step; but whoever sets
// them finds the new ones computed with.
static void test_untrained_weights_that_are_set(void **state)
{
    (void)state;
    enum {
        UNTRAINED = 4 // conv1 and conv2, which takes Winograd's filters, with their biases
    };
    struct bench a, fresh;
    open_partly(&a, "simple", false, 2, UNTRAINED);
    open_partly(&fresh, "simple", false, 2, UNTRAINED);
    const struct fm_backend *api = a.engine.api;
    struct fm_executor *train = compile(&a, (struct fm_compile_options){.mode = FM_MODE_TRAIN});
    struct fm_executor *infer = compile(&a, (struct fm_compile_options){.mode = FM_MODE_INFER});
    struct fm_executor *other = compile(&fresh, (struct fm_compile_options){.mode = FM_MODE_INFER});
    float before[BATCH * CLASSES], after[BATCH * CLASSES], expected[BATCH * CLASSES];
    for (int step = 0; step < 2; step++)
        assert_ok(api->submit(train, a.staging, step));
    assert_ok(api->predict(infer, a.staging, 0, before));
    for (int i = 0; i < a.net.param_count; i++) {
        const struct fm_param *p = &a.net.params[i];
        float *values = malloc(p->count * sizeof *values);
        assert_ok(api->model_get(a.model, FM_STATE_PARAM, p->name, values, p->count));
        for (size_t k = 0; i < UNTRAINED && k < p->count; k++)
            values[k] *= -0.5f;
        if (i < UNTRAINED)
            assert_ok(api->model_set(a.model, FM_STATE_PARAM, p->name, values, p->count));
        assert_ok(api->model_set(fresh.model, FM_STATE_PARAM, p->name, values, p->count));
        free(values);
    }
    assert_ok(api->predict(infer, a.staging, 0, after));
    assert_ok(api->predict(other, fresh.staging, 0, expected));
    assert_memory_not_equal(before, after, sizeof before);
    assert_memory_equal(after, expected, sizeof after);
    api->executor_destroy(other);
    api->executor_destroy(infer);
    api->executor_destroy(train);
    close_bench(&fresh);
    close_bench(&a);
}

static void test_average(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "simple", true, 2);
    const struct fm_backend *api = b.engine.api;
    struct fm_executor *e = compile(&b, (struct fm_compile_options){.mode = FM_MODE_TRAIN});
    float before[CLASSES], after[CLASSES], average[CLASSES];
    assert_ok(api->model_get(b.model, FM_STATE_EMA, "fc2.bias", before, CLASSES));
    api->staging_slot(b.staging, 0)->step->ema_decay = 0.75f;
    assert_ok(api->submit(e, b.staging, 0));
    assert_ok(api->model_get(b.model, FM_STATE_PARAM, "fc2.bias", after, CLASSES));
    assert_ok(api->model_get(b.model, FM_STATE_EMA, "fc2.bias", average, CLASSES));
    for (int i = 0; i < CLASSES; i++) {
        assert_float_equal(average[i], 0.75f * before[i] + 0.25f * after[i], 1e-7);
        assert_true(average[i] != before[i]);
    }
    api->executor_destroy(e);
    close_bench(&b);
}

// The sums of logits in double, in the layout of scores_take().
static void expect_scores(const float *logits, const struct fm_slot *slot, struct fm_sums *sums,
    uint64_t confusion[CLASSES * CLASSES])
{
    for (uint32_t i = 0; i < slot->step->count; i++) {
        const float *row = logits + i * CLASSES;
        double sum = 0;
        int best = 0;
        for (int k = 0; k < CLASSES; k++) {
            assert_true(isfinite(row[k]));
            sum += exp((double)row[k]);
            best = row[k] > row[best] ? k : best;
        }
        sums->loss += log(sum) - (double)row[slot->labels[i]];
        sums->correct += best == slot->labels[i];
        sums->count++;
        confusion[slot->labels[i] * CLASSES + best]++;
    }
}

static void test_scores(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "simple", false, 2);
    const struct fm_backend *api = b.engine.api;
    struct fm_executor *e = compile(&b, (struct fm_compile_options){.mode = FM_MODE_INFER});
    float logits[BATCH * CLASSES];
    struct fm_sums expected = {0}, found;
    uint64_t matrix[CLASSES * CLASSES] = {0}, confusion[CLASSES * CLASSES];
    fill_slot(&b, 1, 3);
    for (int i = 0; i < FM_SLOTS; i++) {
        assert_ok(api->predict(e, b.staging, i, logits));
        expect_scores(logits, api->staging_slot(b.staging, i), &expected, matrix);
        assert_ok(api->score(e, b.staging, i));
    }
    for (int round = 0; round < 2; round++) { // the second: taking them has set them to zero
        assert_ok(api->scores_take(e, &found, confusion));
        if (!(fabs(found.loss - expected.loss) <= 1e-5 * expected.loss))
            fail_msg("round %d: loss %.9g, expected %.9g", round, found.loss, expected.loss);
        assert_int_equal(found.correct, expected.correct);
        assert_int_equal(found.count, expected.count);
        assert_memory_equal(confusion, matrix, sizeof matrix);
        expected = (struct fm_sums){0};
        memset(matrix, 0, sizeof matrix);
    }
    api->executor_destroy(e);
    close_bench(&b);
}

// All logits equal: the first is the prediction. One that is no number: the loss is none.
static void test_scores_of_ties_and_nan(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "simple", false, 1);
    const struct fm_backend *api = b.engine.api;
    struct fm_executor *e = compile(&b, (struct fm_compile_options){.mode = FM_MODE_INFER});
    struct fm_sums scores;
    uint64_t confusion[CLASSES * CLASSES];
    static float zeros[128 * CLASSES];
    assert_ok(api->model_set(b.model, FM_STATE_PARAM, "fc2.weight", zeros, 128 * CLASSES));
    assert_ok(api->score(e, b.staging, 0));
    assert_ok(api->scores_take(e, &scores, confusion));
    assert_float_equal(scores.loss, BATCH * log(CLASSES), 1e-5);
    assert_int_equal(scores.correct, 1); // labels 0 to 7
    for (int i = 0; i < CLASSES * CLASSES; i++)
        assert_int_equal(confusion[i], i % CLASSES == 0 && i < BATCH * CLASSES);
    float bias[CLASSES] = {0};
    bias[3] = NAN;
    assert_ok(api->model_set(b.model, FM_STATE_PARAM, "fc2.bias", bias, CLASSES));
    assert_ok(api->score(e, b.staging, 0));
    assert_ok(api->scores_take(e, &scores, confusion));
    assert_true(isnan(scores.loss));
    assert_int_equal(scores.count, BATCH);
    api->executor_destroy(e);
    close_bench(&b);
}

static double largest_difference(const float *a, const float *b, size_t count)
{
    double largest = 0.0;
    for (size_t i = 0; i < count; i++) {
        assert_true(isfinite(a[i]) && isfinite(b[i]));
        double d = fabs((double)a[i] - (double)b[i]);
        largest = d > largest ? d : largest;
    }
    return largest;
}

// The norm of the difference, of b's norm.
static double relative_difference(const float *a, const float *b, size_t count)
{
    double squares = 0.0, whole = 0.0;
    for (size_t i = 0; i < count; i++) {
        assert_true(isfinite(a[i]) && isfinite(b[i]));
        double d = (double)a[i] - (double)b[i];
        squares += d * d;
        whole += (double)b[i] * (double)b[i];
    }
    return sqrt(squares / whole);
}

static void expect_nan(struct bench *b, const char *param, bool unfused)
{
    const struct fm_backend *api = b->engine.api;
    struct fm_executor *infer = compile(
        b, (struct fm_compile_options){.mode = FM_MODE_INFER, .unfused = unfused});
    float logits[BATCH * CLASSES];
    assert_ok(api->predict(infer, b->staging, 0, logits));
    for (int i = 0; i < BATCH * CLASSES; i++)
        if (!isnan(logits[i]))
            fail_msg("%s, %s: logit %d is %g", param, unfused ? "unfused" : "fused", i, logits[i]);
    api->executor_destroy(infer);
}

// A NaN in a parameter reaches the logits and the gradients: nothing turns it into a zero, but
// oneDNN's ReLU behind a first convolution in training, whose weights no step makes NaN.
static void test_nan_is_not_lost(void **state)
{
    (void)state;
    static const struct {
        const char *model, *param;
        bool trained; // is asked for in training, too
    } cases[] = {{"deeper", "bn2.weight", true}, {"deeper", "fc1.bias", true},
        {"simple", "conv1.bias", false}, {"simple", "conv2.bias", true},
        {"simple", "fc1.bias", true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *param = cases[i].param;
        struct bench b;
        open_bench(&b, cases[i].model, false, 2);
        const struct fm_backend *api = b.engine.api;
        const struct fm_param *found = &b.net.params[fm_net_find_param(&b.net, param)];
        float *values = malloc(found->count * sizeof *values);
        assert_non_null(values);
        assert_ok(api->model_get(b.model, FM_STATE_PARAM, param, values, found->count));
        values[5] = NAN;
        assert_ok(api->model_set(b.model, FM_STATE_PARAM, param, values, found->count));
        free(values);
        expect_nan(&b, param, true);
        expect_nan(&b, param, false);
        struct fm_executor *e = compile(&b, (struct fm_compile_options){.mode = FM_MODE_TRAIN});
        struct fm_counters counters;
        assert_ok(api->submit(e, b.staging, 0));
        assert_ok(api->counters_get(b.model, &counters));
        if (cases[i].trained && counters.skipped != 1)
            fail_msg("a step with a NaN in %s was taken", param);
        api->executor_destroy(e);
        close_bench(&b);
    }
}

// An input that the kernels have no room for is refused.
static void test_large_records_are_refused(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "simple", false, 1);
    const struct fm_backend *api = b.engine.api;
    static struct fm_net net;
    struct fm_input input = {.rows = 65, .cols = 64, .shape = {1, 65, 64}};
    fm_net_begin(&net, "large", &input);
    assert_ok(fm_net_dense(&net, "fc", 2, true));
    assert_ok(fm_net_end(&net));
    struct fm_model *model = NULL;
    struct fm_executor *e = NULL;
    struct fm_model_options options = {.optimiser = {FM_OPTIMISER_ADAM, 0.9f, 0.999f, 1e-8f}};
    assert_ok(api->model_create(b.engine.device, &net, &options, &model));
    assert_fails(FM_UNSUPPORTED, "4160 bytes",
        api->compile(model, &(struct fm_compile_options){.batch = 1}, &e));
    api->model_destroy(model);
    close_bench(&b);
}

static float *read_gradients(struct bench *b)
{
    float *gradients = malloc(b->net.param_elements * sizeof *gradients);
    assert_non_null(gradients);
    for (int p = 0; p < b->net.param_count; p++)
        assert_ok(b->engine.api->model_get(b->model, FM_STATE_GRAD, b->net.params[p].name,
            gradients + b->net.params[p].offset, b->net.params[p].count));
    return gradients;
}

// A ReLU's input that rounding moves over zero changes all gradients in front of it.
static void check_gradients(
    const struct bench *b, const float *fused, const float *unfused, const char *what)
{
    for (int p = 0; p < b->net.param_count; p++) {
        const struct fm_param *param = &b->net.params[p];
        if (!param->trainable)
            continue;
        double difference = relative_difference(
            fused + param->offset, unfused + param->offset, param->count);
        if (!(difference <= 0.02))
            fail_msg("%s: fused and unfused gradients of %s differ by %g of their norm", what,
                param->name, difference);
    }
}

static float *gradients_of(struct bench *b, int slot, const struct fm_compile_options *options)
{
    struct fm_executor *e = compile(b, *options);
    assert_ok(b->engine.api->submit(e, b->staging, slot));
    float *gradients = read_gradients(b);
    b->engine.api->executor_destroy(e);
    return gradients;
}

// Of the batch in a slot, with a learning rate of 0: weights stay.
static void check_gradients_agree(struct bench *b, int slot, int batch, const char *what)
{
    struct fm_compile_options options = {.mode = FM_MODE_TRAIN, .batch = batch};
    b->engine.api->staging_slot(b->staging, slot)->step->learning_rate = 0.0f;
    float *fused = gradients_of(b, slot, &options);
    options.unfused = true;
    float *unfused = gradients_of(b, slot, &options);
    check_gradients(b, fused, unfused, what);
    free(fused);
    free(unfused);
}

// Fused and unfused executors compute the same; in inference the folded batch norm too.
static void test_unfused_agrees(const char *model)
{
    struct bench b;
    open_bench(&b, model, false, 2);
    const struct fm_backend *api = b.engine.api;
    struct fm_compile_options options = {.mode = FM_MODE_INFER};
    struct fm_executor *fused = compile(&b, options);
    options.unfused = true;
    struct fm_executor *unfused = compile(&b, options);
    float one[BATCH * CLASSES], other[BATCH * CLASSES];
    assert_ok(api->predict(fused, b.staging, 0, one));
    assert_ok(api->predict(unfused, b.staging, 0, other));
    double difference = largest_difference(one, other, BATCH * CLASSES);
    if (difference > 1e-4)
        fail_msg("%s: fused and unfused logits differ by %g", model, difference);
    api->executor_destroy(fused);
    api->executor_destroy(unfused);

    check_gradients_agree(&b, 0, BATCH, model);
    close_bench(&b);
}

// Batches of no more images than threads: where blocks of tiles are smallest, and forward and
// backward of `simple`'s conv2, without padding, have other numbers of them.
static void test_few_images(void **state)
{
    (void)state;
    for (int batch = 1; batch <= 4; batch++)
        for (int threads = 1; threads <= 4; threads++) {
            struct bench b;
            open_bench(&b, "simple", false, threads);
            fill_slot(&b, 1, (uint32_t)batch);
            check_gradients_agree(&b, 1, batch, "few images");
            close_bench(&b);
        }
}

static void test_unfused(void **state)
{
    (void)state;
    test_unfused_agrees("simple");
    test_unfused_agrees("deeper");
    test_unfused_agrees("simple-ref");
}

static void count_line(void *context, const char *line)
{
    assert_non_null(strchr(line, ':'));
    ++*(int *)context;
}

// Elsewhere, and held to older instructions, oneDNN's layouts may be plain ones, which Winograd's
// kernels do not take.
static bool has_blocked_layouts(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && !getenv("DNNL_MAX_CPU_ISA");
#else
    return false;
#endif
}

struct small_tiles {
    const char *layers; // what their names begin with
    int passes;
};

static void count_small_tiles(void *context, const char *line)
{
    struct small_tiles *tiles = context;
    tiles->passes += strncmp(line, tiles->layers, strlen(tiles->layers)) == 0 &&
                     strstr(line, ": winograd_2x2") != NULL; // with a max-pool or without
}

// Of an executor whose passes of `expected.layers` have so many in tiles of 2x2.
static struct fm_executor *compile_small_tiles(
    struct bench *b, enum fm_mode mode, int batch, struct small_tiles expected)
{
    struct fm_executor *e = compile(b, (struct fm_compile_options){.mode = mode, .batch = batch});
    struct small_tiles found = {expected.layers, 0};
    b->engine.api->executor_plans(e, count_small_tiles, &found);
    if (has_blocked_layouts())
        assert_int_equal(found.passes, expected.passes);
    return e;
}

static void count_pools(void *context, const char *line)
{
    *(int *)context += strstr(line, "+maxpool:") != NULL;
}

// A max-pool behind a convolution by Winograd is done with it in inference that fuses.
static void test_pools_on_the_way(void **state)
{
    (void)state;
    static const struct {
        struct fm_compile_options options;
        int pools;
    } cases[] = {
        {{.mode = FM_MODE_INFER, .batch = 2}, 3},
        {{.mode = FM_MODE_INFER, .batch = 2, .unfused = true}, 0},
        {{.mode = FM_MODE_INFER, .batch = 2, .probe = true}, 0},
        {{.mode = FM_MODE_TRAIN, .batch = 2}, 0},
    };
    struct bench b;
    open_bench(&b, "deeper", false, 2);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fm_executor *e = compile(&b, cases[i].options);
        int pools = 0;
        b.engine.api->executor_plans(e, count_pools, &pools);
        b.engine.api->executor_destroy(e);
        if (has_blocked_layouts())
            assert_int_equal(pools, cases[i].pools);
    }
    close_bench(&b);
}

// What `unfused`, which convolves directly, makes of `images`, and one of these executors.
static void check_logits(struct bench *b, struct fm_executor *e, struct fm_executor *unfused,
    uint32_t images, const char *what)
{
    const struct fm_backend *api = b->engine.api;
    float found[2 * CLASSES], expected[2 * CLASSES];
    assert_true(images <= 2);
    fill_slot(b, 1, images);
    assert_ok(api->predict(e, b->staging, 1, found));
    assert_ok(api->predict(unfused, b->staging, 1, expected));
    double difference = largest_difference(found, expected, images * CLASSES);
    if (difference > 1e-4)
        fail_msg("%s: %u images' logits differ by %g", what, (unsigned)images, difference);
}

// Winograd's tiles of 2x2 are for layers with few tiles of 4x4: conv5 and conv6 of a single image,
// and in training, which transforms filters in every step, conv3 and conv4 too, in three passes.
// Filters for both are kept side by side, and follow the weights.
static void test_small_tiles(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "deeper", false, 2);
    const struct fm_backend *api = b.engine.api;
    struct fm_executor *unfused[2],
        *e[2] = {compile_small_tiles(&b, FM_MODE_INFER, 1, (struct small_tiles){"conv", 2}),
            compile_small_tiles(&b, FM_MODE_INFER, 2, (struct small_tiles){"conv", 0})};
    struct fm_executor *training = compile_small_tiles(
        &b, FM_MODE_TRAIN, 1, (struct small_tiles){"conv", 4 * 3});
    for (int i = 0; i < 2; i++)
        unfused[i] = compile(&b,
            (struct fm_compile_options){.mode = FM_MODE_INFER, .batch = i + 1, .unfused = true});
    for (uint32_t i = 0; i < 4; i++)
        check_logits(&b, e[i / 2], unfused[i / 2], i / 2 + 1, "before a step");
    fill_slot(&b, 1, 1);
    assert_ok(api->submit(training, b.staging, 1));
    for (uint32_t i = 0; i < 4; i++) // twice each: a single image's filters are kept for a second
        check_logits(&b, e[i / 2], unfused[i / 2], i / 2 + 1, "after a step");
    fill_slot(&b, 1, 1);
    check_gradients_agree(&b, 1, 1, "deeper, one image");
    for (int i = 0; i < 2; i++) {
        api->executor_destroy(e[i]);
        api->executor_destroy(unfused[i]);
    }
    api->executor_destroy(training);
    close_bench(&b);
}

// And of `vgg16`: conv5, whose 2x2 pixels fill a quarter of a larger one, in training only where
// there are enough; and in training conv4, which has too few larger ones.
static void test_small_images(void **state)
{
    (void)state;
    static const struct {
        enum fm_mode mode;
        int batch;
        struct small_tiles expected;
    } cases[] = {
        {FM_MODE_TRAIN, BATCH_MOST, {"conv5", 3 * 3}},
        {FM_MODE_TRAIN, BATCH, {"conv5", 0}},
        {FM_MODE_INFER, BATCH, {"conv5", 3}},
        {FM_MODE_TRAIN, BATCH_MOST, {"conv4", 3 * 3}},
        {FM_MODE_INFER, BATCH_MOST, {"conv4", 0}},
    };
    struct bench b;
    open_bench(&b, "vgg16", false, 2);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        b.engine.api->executor_destroy(
            compile_small_tiles(&b, cases[i].mode, cases[i].batch, cases[i].expected));
    fill_slot(&b, 0, BATCH_MOST);
    check_gradients_agree(&b, 0, BATCH_MOST, "vgg16");
    close_bench(&b);
}

// A first convolution that is frozen is by own kernels, and computed again for the backward.
static void test_frozen_first(void **state)
{
    (void)state;
    struct bench b;
    open_partly(&b, "deeper", false, 2, 1);
    check_gradients_agree(&b, 0, BATCH, "deeper, conv1 frozen");
    close_bench(&b);
}

struct own {
    int gathered, direct, gradients, products; // plans of
    bool avx2, avx512;
};

static void count_own(void *context, const char *line)
{
    struct own *own = context;
    own->gathered += strstr(line, ": gathered:") != NULL;
    own->direct += strstr(line, ": direct:") != NULL;
    own->gradients += strstr(line, ": direct_gradient:") != NULL;
    own->products += strstr(line, ": matrix:") != NULL;
    own->avx2 = own->avx2 || strstr(line, "x86_64_v3") != NULL; // of conv2, at least
    own->avx512 = own->avx512 || strstr(line, "x86_64_v4") != NULL;
}

// The first convolution is by own kernels where it is not trained, and the dense layers of a single
// image that is predicted; without AVX-512 the gradient of the first, and dense layers in training.
static void test_own_kernels(void **state)
{
    (void)state;
    static const struct {
        enum fm_mode mode;
        int batch;
        bool unfused;
        int untrained, gathered, direct, gradients, products;
    } cases[] = {{FM_MODE_INFER, 1, false, 0, 3, 1, 0, 0}, {FM_MODE_INFER, 2, false, 0, 0, 1, 0, 0},
        {FM_MODE_INFER, 1, true, 0, 0, 0, 0, 0}, {FM_MODE_TRAIN, 1, false, 0, 0, 0, 1, 3 * 3},
        {FM_MODE_TRAIN, 1, false, 1, 0, 1, 0, 3 * 3}, {FM_MODE_TRAIN, 1, true, 0, 0, 0, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bench b;
        open_partly(&b, "deeper", false, 2, cases[i].untrained);
        struct fm_executor *e = compile(
            &b, (struct fm_compile_options){
                    .mode = cases[i].mode, .batch = cases[i].batch, .unfused = cases[i].unfused});
        struct own own = {0};
        b.engine.api->executor_plans(e, count_own, &own);
        assert_int_equal(own.gathered, cases[i].gathered);
        assert_int_equal(own.direct, cases[i].direct);
        if (own.avx2 || own.avx512 || cases[i].unfused) { // others may take other layouts
            assert_int_equal(own.gradients, own.avx512 ? 0 : cases[i].gradients);
            assert_int_equal(own.products, own.avx512 ? 0 : cases[i].products);
        }
        b.engine.api->executor_destroy(e);
        close_bench(&b);
    }
}

// Layers of many outputs too, of which oneDNN's kernels would want a copy.
static void test_gathered_in_bf16(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "deeper", false, 2);
    if (b.engine.info.missing[FM_PRECISION_BF16]) {
        print_message("SKIP: bf16: %s\n", b.engine.info.missing[FM_PRECISION_BF16]);
        close_bench(&b);
        skip();
    }
    const struct fm_backend *api = b.engine.api;
    const struct fm_model_options options = {.precision = FM_PRECISION_BF16};
    api->staging_destroy(b.staging);
    api->model_destroy(b.model);
    assert_ok(api->model_create(b.engine.device, &b.net, &options, &b.model));
    assert_ok(api->staging_create(b.model, 1, NULL, &b.staging));
    struct fm_executor *e = compile(
        &b, (struct fm_compile_options){.mode = FM_MODE_INFER, .batch = 1});
    struct own own = {0};
    api->executor_plans(e, count_own, &own);
    assert_int_equal(own.gathered, 3);
    assert_int_equal(own.direct, 1);
    api->executor_destroy(e);
    close_bench(&b);
}

static void predict_one(struct bench *b, struct fm_executor *e, float logits[CLASSES])
{
    fill_slot(b, 0, 1);
    assert_ok(b->engine.api->predict(e, b->staging, 0, logits));
}

// Every element by another factor.
static void scale_state(struct bench *b, enum fm_state_kind kind, const char *name, size_t count)
{
    float *values = malloc(count * sizeof *values);
    assert_non_null(values);
    const struct fm_backend *api = b->engine.api;
    assert_ok(api->model_get(b->model, kind, name, values, count));
    for (size_t i = 0; i < count; i++)
        values[i] *= 0.5f + 0.25f * (float)(i % 7);
    assert_ok(api->model_set(b->model, kind, name, values, count));
    free(values);
}

static void change_weights(struct bench *b)
{
    static const char *const params[] = {
        "conv3.weight", "conv6.weight", "bn6.weight", "fc1.weight"};
    for (size_t i = 0; i < sizeof params / sizeof params[0]; i++)
        scale_state(b, FM_STATE_PARAM, params[i],
            b->net.params[fm_net_find_param(&b->net, params[i])].count);
    scale_state(b, FM_STATE_RUNNING, "bn3.running_var",
        b->net.running[fm_net_find_running(&b->net, "bn3.running_var")].count);
}

// A first image is computed before anything is made of the weights that is worth keeping, a second
// with what is then made and kept, to the same bits; and so again when the weights are others.
// One and two threads make filters in parts, 33 are more than there are parts.
static void test_first_image(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 33};
    for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
        struct bench b;
        open_bench(&b, "deeper", false, threads[t]);
        struct fm_executor *e = compile(
            &b, (struct fm_compile_options){.mode = FM_MODE_INFER, .batch = 1});
        float logits[3][3][CLASSES]; // of all sets of weights: three predictions
        for (int set = 0; set < 3; set++) {
            for (int i = 0; i < 3; i++)
                predict_one(&b, e, logits[set][i]);
            assert_memory_equal(logits[set][0], logits[set][1], sizeof logits[set][0]);
            assert_memory_equal(logits[set][0], logits[set][2], sizeof logits[set][0]);
            change_weights(&b);
        }
        assert_memory_not_equal(logits[0][0], logits[1][0], sizeof logits[0][0]);
        assert_memory_not_equal(logits[1][0], logits[2][0], sizeof logits[0][0]);
        b.engine.api->executor_destroy(e);
        close_bench(&b);
    }
}

static void test_profile_and_plans(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "deeper", false, 2);
    const struct fm_backend *api = b.engine.api;
    struct fm_executor *e = compile(
        &b, (struct fm_compile_options){.mode = FM_MODE_TRAIN, .profile = true});
    for (int i = 0; i < 2; i++)
        assert_ok(api->submit(e, b.staging, 0));
    struct fm_profile_entry entries[128];
    size_t count = 0;
    assert_ok(api->executor_profile(e, entries, 128, &count));
    assert_true(count > 30 && count <= 128);
    double flops = 0.0;
    static const char *const expected[] = {"pool2", "pool1", "conv1"};
    int recomputed = 0;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(entries[i].calls, 2);
        if (strcmp(entries[i].pass, "backward recompute") == 0) {
            assert_true(recomputed < 3);
            assert_string_equal(entries[i].layer, expected[recomputed++]);
        }
        flops += strcmp(entries[i].pass, "forward") == 0 ? entries[i].flops : 0.0;
    }
    assert_int_equal(recomputed, 3);
    assert_float_equal(flops, 2.0 * (double)fm_net_macs(&b.net) * BATCH, 1.0);
    size_t again = 0; // a short buffer is filled as far as it goes, and the count is the whole
    assert_ok(api->executor_profile(e, entries, 1, &again));
    assert_int_equal(again, count);
    int lines = 0;
    api->executor_plans(e, count_line, &lines);
    assert_int_equal(
        lines, 3 * 9 - 1); // nine linear layers, three passes, no data gradient at first
    assert_true(api->executor_memory(e) > 1000000);
    api->executor_destroy(e);
    close_bench(&b);
}

static void test_refusals(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, "simple", false, 1);
    const struct fm_backend *api = b.engine.api;
    struct fm_executor *train = compile(&b, (struct fm_compile_options){.mode = FM_MODE_TRAIN});
    struct fm_executor *infer = compile(&b, (struct fm_compile_options){.mode = FM_MODE_INFER});
    struct fm_executor *none = NULL;
    struct fm_profile_entry entry;
    size_t count;
    float logits[BATCH * CLASSES];
    assert_fails(FM_USAGE, "compiled for inference", api->submit(infer, b.staging, 0));
    assert_fails(FM_USAGE, "compiled for training", api->predict(train, b.staging, 0, logits));
    uint64_t confusion[CLASSES * CLASSES];
    struct fm_sums scores;
    assert_fails(FM_USAGE, "compiled for training", api->score(train, b.staging, 0));
    assert_fails(FM_USAGE, "compiled for training", api->scores_take(train, &scores, confusion));
    assert_fails(FM_USAGE, "not compiled for probing",
        api->executor_read(train, 0, FM_PROBE_ACTIVATION, logits, 1));
    assert_fails(
        FM_USAGE, "not compiled for profiling", api->executor_profile(train, &entry, 1, &count));
    assert_fails(FM_USAGE, "at least 1",
        api->compile(b.model, &(struct fm_compile_options){.batch = 0}, &none));
    assert_fails(FM_USAGE, "`mix` and `soft_share` are for training",
        api->compile(b.model,
            &(struct fm_compile_options){
                .batch = BATCH, .mode = FM_MODE_INFER, .mix = {.share = 0.5f}},
            &none));
    assert_fails(FM_USAGE, "`mix` and `soft_share` are for training",
        api->compile(b.model,
            &(struct fm_compile_options){.batch = BATCH, .mode = FM_MODE_INFER, .soft_share = 0.5f},
            &none));
    assert_fails(FM_USAGE, "a share of -0.5 for soft targets",
        api->compile(b.model,
            &(struct fm_compile_options){
                .batch = BATCH, .mode = FM_MODE_TRAIN, .soft_share = -0.5f},
            &none));
    assert_fails(FM_USAGE, "a share of 1.5 mixed",
        api->compile(b.model,
            &(struct fm_compile_options){
                .batch = BATCH, .mode = FM_MODE_TRAIN, .mix = {.share = 1.5f}},
            &none));
    assert_fails(FM_USAGE, "a share of nan cut",
        api->compile(b.model,
            &(struct fm_compile_options){
                .batch = BATCH, .mode = FM_MODE_TRAIN, .mix = {.share = 1.0f, .cut_share = NAN}},
            &none));
    api->staging_slot(b.staging, 0)->labels[2] = CLASSES;
    assert_fails(FM_DATA, "has label 10", api->submit(train, b.staging, 0));
    assert_fails(FM_DATA, "has label 10", api->score(infer, b.staging, 0));
    assert_ok(api->scores_take(infer, &scores, confusion));
    assert_int_equal(scores.count, 0);
    fill_slot(&b, 1, BATCH - 1);
    assert_fails(
        FM_USAGE, "7 samples, but this executor's batch is 8", api->submit(train, b.staging, 1));
    struct fm_model *refused = NULL;
    struct fm_model_options options = {.precision = FM_PRECISION_FP16};
    assert_fails(
        FM_UNSUPPORTED, "fp32", api->model_create(b.engine.device, &b.net, &options, &refused));
    api->executor_destroy(train);
    api->executor_destroy(infer);
    close_bench(&b);
    struct fm_engine engine;
    struct fm_device_options device = {.index = 1};
    assert_fails(FM_USAGE, "only device 0", fm_engine_open("cpu", &device, &engine));
    assert_fails(FM_NOT_FOUND, "did you mean 'cpu'", fm_engine_open("cpuu", &device, &engine));
}

#if COUNTS_ALLOCATIONS
// Where oneDNN has no vector kernel for dense layers (below AVX-512 in 2.6), its general product
// takes and returns buffers in every call.
static void find_gemm(void *context, const char *line)
{
    if (strstr(line, ":gemm:"))
        *(bool *)context = true;
}
#endif

static void test_steps_allocate_nothing(void **state)
{
    (void)state;
#if COUNTS_ALLOCATIONS
    struct bench b;
    open_bench(&b, "deeper", false, 2);
    const struct fm_backend *api = b.engine.api;
    struct fm_executor *e = compile(
        &b, (struct fm_compile_options){
                .mode = FM_MODE_TRAIN, .augment = {2, true}, .label_smoothing = 0.1f});
    for (int i = 0; i < 3; i++) // the first ones may: threads start, code is generated
        assert_ok(api->submit(e, b.staging, i % FM_SLOTS));
    armed = true;
    enum fm_status status = FM_OK;
    for (int i = 0; i < 4 && status == FM_OK; i++)
        status = api->submit(e, b.staging, i % FM_SLOTS);
    armed = false;
    assert_ok(status);
    bool gemm = false;
    api->executor_plans(e, find_gemm, &gemm);
    if (gemm)
        print_message(
            "large allocations by oneDNN's general product: %lu\n", (unsigned long)large_calls);
    if (module_calls != 0 || (large_calls != 0 && !gemm))
        fail_msg("four steps: %lu allocations by the module, %lu of a page or more",
            (unsigned long)module_calls, (unsigned long)large_calls);
    // The counting itself works: compiling allocates, in the module and large.
    armed = true;
    struct fm_executor *other = compile(
        &b, (struct fm_compile_options){.mode = FM_MODE_TRAIN, .batch = 4});
    armed = false;
    assert_true(module_calls > 0 && large_calls > 0);
    api->executor_destroy(other);
    api->executor_destroy(e);
    close_bench(&b);
#else
    print_message("SKIP: a sanitizer's allocator is not to be replaced\n");
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_by_name),
        cmocka_unit_test(test_nonfinite_gradient_changes_nothing),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_same_bits_and_shared_parameters),
        cmocka_unit_test(test_step_memory),
        cmocka_unit_test(test_shared_memory),
        cmocka_unit_test(test_untrained_weights_that_are_set),
        cmocka_unit_test(test_average),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_scores_of_ties_and_nan),
        cmocka_unit_test(test_nan_is_not_lost),
        cmocka_unit_test(test_large_records_are_refused),
        cmocka_unit_test(test_unfused),
        cmocka_unit_test(test_few_images),
        cmocka_unit_test(test_small_tiles),
        cmocka_unit_test(test_pools_on_the_way),
        cmocka_unit_test(test_small_images),
        cmocka_unit_test(test_own_kernels),
        cmocka_unit_test(test_gathered_in_bf16),
        cmocka_unit_test(test_frozen_first),
        cmocka_unit_test(test_first_image),
        cmocka_unit_test(test_profile_and_plans),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_steps_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
