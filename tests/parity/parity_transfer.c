// A network taken apart: its base asked for features, as they are and of augmented views, and its
// head trained on those of the reference; and what neither can be asked for.
#include "parity/parity.h"

#include "expect.h"

#include <stdlib.h>
#include <string.h>

struct trial {
    struct parity_case what; // the head's, with the layer `cut`
    uint32_t steps;          // of the head, one after another; 0: of the base alone
};

// ---- the base

// Features [samples of the data][outputs], in which those of the places [0, count) are filled in.
static float *predict(const struct parity_side *side, const struct fm_compile_options *options,
    uint32_t epoch, uint32_t count)
{
    size_t outputs = (size_t)side->net->outputs, batch = (size_t)options->batch;
    float *all = parity_allocate(parity_samples() * outputs, sizeof *all);
    float *some = parity_allocate(batch * outputs, sizeof *some);
    struct fm_executor *executor = parity_compile(side, options);
    for (uint32_t first = 0; first < count; first += (uint32_t)batch) {
        uint32_t rest = count - first; // the last is a part of a batch
        struct parity_batch samples = parity_batch(first, rest < batch ? (int)rest : (int)batch, 0);
        samples.step.epoch = epoch;
        int slot = (int)(first / batch) % FM_SLOTS;
        parity_fill(side, slot, &samples);
        parity_must(side->api->predict(executor, side->staging, slot, some));
        for (uint32_t i = 0; i < samples.count; i++)
            memcpy(all + parity_sample(first + i) * outputs, some + i * outputs,
                outputs * sizeof *all);
    }
    side->api->executor_destroy(executor);
    free(some);
    return all;
}

static bool same_features(const struct parity *p, const char *what,
    const struct fm_compile_options *options, uint32_t epoch, uint32_t count, float **expected)
{
    size_t elements = parity_samples() * (size_t)p->net.outputs;
    *expected = predict(&p->reference, options, epoch, count);
    float *found = predict(&p->tested, options, epoch, count);
    bool same = parity_close_to(&(struct parity_named){p->name, what, NULL}, found, *expected, NULL,
        elements, parity_tolerance(p)->activation);
    free(found);
    return same;
}

// Views of two epochs differ from one another and from the images as they are.
static bool same_views(
    const struct parity *p, struct fm_compile_options options, uint32_t count, const float *plain)
{
    size_t bytes = parity_samples() * (size_t)p->net.outputs * sizeof *plain;
    float *views[2];
    options.augment = parity_training(options.batch).augment;
    bool same = same_features(p, "features of a view", &options, 0, count, &views[0]);
    same &= same_features(p, "features of another view", &options, 1, count, &views[1]);
    assert_memory_not_equal(views[0], plain, bytes);
    assert_memory_not_equal(views[1], plain, bytes);
    assert_memory_not_equal(views[0], views[1], bytes);
    free(views[0]);
    free(views[1]);
    return same;
}

// Returns the reference's features.
static float *check_base(const struct parity_case *what, uint32_t count, bool *same)
{
    struct parity_case base = *what;
    base.part = PARITY_BASE;
    struct parity *p = parity_open(&base);
    struct fm_compile_options options = {.batch = what->batch, .mode = FM_MODE_INFER};
    float *features, *averaged;
    assert_int_equal(p->net.classes, 0);
    *same = same_features(p, "features", &options, 0, count, &features);
    *same &= same_views(p, options, count, features);
    options.average = options.unfused = true;
    *same &= same_features(p, "averages' features", &options, 0, count, &averaged);
    free(averaged);
    parity_close(p);
    return features;
}

// ---- the head

static bool check_head(const struct parity_case *what, const float *features, uint32_t steps)
{
    struct parity_case head = *what;
    head.part = PARITY_HEAD;
    head.records = features;
    struct parity *p = parity_open(&head);
    bool close = parity_steps(p, false, steps, 1.0);
    close &= parity_steps(p, true, 1, 1.0);
    // And what the trained head answers, of a part of a batch.
    const struct fm_compile_options options = {.batch = what->batch, .mode = FM_MODE_INFER};
    const struct parity_batch samples = parity_batch(0, what->batch - 1, 0);
    const struct parity_side *const sides[2] = {&p->reference, &p->tested};
    size_t count = samples.count * (size_t)p->net.classes;
    float *logits[2];
    parity_set(&p->tested, p->begin);
    parity_set(&p->reference, p->begin);
    for (int i = 0; i < 2; i++) {
        logits[i] = parity_allocate(count, sizeof *logits[i]);
        struct fm_executor *executor = parity_compile(sides[i], &options);
        parity_fill(sides[i], 0, &samples);
        parity_must(sides[i]->api->predict(executor, sides[i]->staging, 0, logits[i]));
        sides[i]->api->executor_destroy(executor);
    }
    close &= parity_close_to(&(struct parity_named){p->name, "prediction", "the logits"}, logits[1],
        logits[0], NULL, count, parity_tolerance(p)->activation);
    free(logits[0]);
    free(logits[1]);
    parity_close(p);
    return close;
}

static void check(void **state)
{
    const struct trial *t = *state;
    uint32_t count = t->steps > 0 ? t->steps * (uint32_t)t->what.batch
                                  : 4 * (uint32_t)t->what.batch - 1; // captured and replayed
    bool same;
    float *features = check_base(&t->what, count, &same);
    if (t->steps > 0)
        same &= check_head(&t->what, features, t->steps);
    free(features);
    assert_true(same);
}

// ---- what cannot be asked for: the same is said by both

static void refused(
    const struct parity *p, const struct fm_compile_options *options, const char *why)
{
    const struct parity_side *const sides[2] = {&p->reference, &p->tested};
    for (int i = 0; i < 2; i++) {
        struct fm_executor *executor = NULL;
        assert_fails(sides[i]->api->compile(sides[i]->model, options, &executor), FM_USAGE, why);
        assert_null(executor);
    }
}

static void check_base_refuses(void **state)
{
    const struct trial *t = *state;
    struct parity_case base = t->what;
    base.part = PARITY_BASE;
    struct parity *p = parity_open(&base);
    struct fm_compile_options options = {.batch = 2, .mode = FM_MODE_TRAIN};
    refused(p, &options, "ends in features, not in classes: it has no loss to train by");
    options = (struct fm_compile_options){
        .batch = 2, .mode = FM_MODE_INFER, .mirror = true, .augment = {.shift = 1}};
    refused(p, &options, "`mirror` is for images as they are");
    const struct parity_side *const sides[2] = {&p->reference, &p->tested};
    options = (struct fm_compile_options){.batch = 2, .mode = FM_MODE_INFER};
    const struct parity_batch samples = parity_batch(0, 2, 0);
    for (int i = 0; i < 2; i++) {
        struct fm_executor *executor = parity_compile(sides[i], &options);
        parity_fill(sides[i], 0, &samples);
        assert_fails(sides[i]->api->score(executor, sides[i]->staging, 0), FM_USAGE,
            "ends in features, not in classes: it can only predict");
        sides[i]->api->executor_destroy(executor);
    }
    parity_close(p);
}

static void check_head_refuses(void **state)
{
    const struct trial *t = *state;
    struct parity_case head = t->what;
    float *features = parity_allocate(parity_samples() * 1024, sizeof *features);
    head.part = PARITY_HEAD;
    head.records = features;
    struct parity *p = parity_open(&head);
    struct fm_compile_options options = {
        .batch = 2, .mode = FM_MODE_TRAIN, .augment = {.flip = true}};
    refused(p, &options, "are features: only images can be augmented or mirrored");
    options = (struct fm_compile_options){.batch = 2, .mode = FM_MODE_INFER, .mirror = true};
    refused(p, &options, "are features: only images can be augmented or mirrored");
    parity_close(p);
    free(features);
}

// ---- what is tried

#define FROZEN(model, precision, batch, device, ...)                                               \
    PARITY_CASE_OF(model, precision, batch, device, ADAMW, __VA_ARGS__)

static const struct CMUnitTest tests[] = {
    PARITY_TEST("simple fp32, 64x12x12 features", check, trial,
        FROZEN("simple", FP32, 5, "h100", .cut = "pool1"), .steps = 0),
    PARITY_TEST("simple fp16, 64x12x12 features", check, trial,
        FROZEN("simple", FP16, 5, "t4", .cut = "pool1"), .steps = 0),
    PARITY_TEST("simple bf16, 128x24x24 features", check, trial,
        FROZEN("simple", BF16, 3, "h100", .cut = "relu2"), .steps = 0),
    PARITY_TEST("simple fp32, frozen", check, trial,
        FROZEN("simple", FP32, 5, "h100", .cut = "relu3"), .steps = 3),
    PARITY_TEST("simple fp16, frozen, resident", check, trial,
        FROZEN("simple", FP16, 8, "h100", .cut = "relu3", .resident = true), .steps = 3),
    PARITY_TEST("simple bf16, frozen", check, trial,
        FROZEN("simple", BF16, 8, "h100", .cut = "relu3"), .steps = 3),
    PARITY_TEST("vgg16 fp16, frozen", check, trial, FROZEN("vgg16", FP16, 4, "h100", .cut = "mean"),
        .steps = 3),
    PARITY_TEST("a base refuses", check_base_refuses, trial,
        FROZEN("simple", FP16, 2, "h100", .cut = "relu3"), .steps = 0),
    PARITY_TEST("a head refuses", check_head_refuses, trial,
        FROZEN("simple", FP16, 2, "h100", .cut = "relu3"), .steps = 0),
};
static const struct CMUnitTest long_tests[] = {
    PARITY_TEST("vgg16 fp32, frozen at 64", check, trial,
        FROZEN("vgg16", FP32, 4, "h100", .cut = "mean", .input_size = 64), .steps = 5),
    PARITY_TEST("vgg16 bf16, frozen at 48", check, trial,
        FROZEN("vgg16", BF16, 4, "a100", .cut = "mean", .input_size = 48), .steps = 5),
    PARITY_TEST("vgg16 fp16, frozen at 64 on t4", check, trial,
        FROZEN("vgg16", FP16, 4, "t4", .cut = "mean", .input_size = 64), .steps = 5),
    PARITY_TEST("vgg16 fp32, frozen", check, trial,
        FROZEN("vgg16", FP32, 7, "t4", .cut = "mean", .resident = true), .steps = 5),
    PARITY_TEST("deeper fp16, frozen", check, trial,
        FROZEN("deeper", FP16, 8, "h100", .cut = "relu7"), .steps = 5),
    PARITY_TEST("vgg16 fp16, 512x4x4 features at 64", check, trial,
        FROZEN("vgg16", FP16, 3, "h100", .cut = "pool4", .input_size = 64), .steps = 0),
};

PARITY_MAIN(tests, long_tests)
