// Each operation of a backend, alone and in small combinations, against the double-precision
// reference: forward and backward, training and inference, fused, unfused and probing, and three
// steps of the update.
//
//   test_ops [CASE]    all cases, or one in the notation of reference/cases.h
#include "reference/cases.h"
#include "reference/rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    STEPS = 3,
    CASES_MAX = 256
};

// Single precision: sums of up to a few thousand products, through a few layers. The floor is for
// gradients that cancel to nothing: a convolution's bias in front of batch norm.
static const double forward_tolerance = 2e-5, backward_tolerance = 1e-4, floor_tolerance = 5e-6;

struct op_case {
    const char *net;
    uint32_t least_batch; // smaller ones are left out: batch norm of one or two values
    bool black_and_white; // images full of ties
};

static const struct op_case cases[] = {
    // Dense layers.
    {"4x4>1x4x4 f2", 1, false},
    {"5x7>1x5x7 f3b", 1, false},
    {"8x8>s1x8x8 f10b", 1, false},
    {"8x8>1x8x8 f16", 1, false},
    {"8x8>1x8x8 f64b r f10b", 1, false},
    {"9x9>s1x9x9 f33b r f17 r f256b", 1, false},
    {"8x8>1x8x8 f1b f2b", 1, false},
    {"28x28>s1x28x28 f128b r d0.5 f10b", 1, false},
    // Convolutions: channels in and out, kernels, paddings, odd sizes.
    {"6x6>1x6x6 c1k1p0 f3", 1, false},
    {"6x6>1x6x6 c1k3p0b f3b", 1, false},
    {"6x5>1x6x5 c2k3p1 f3b", 1, false},
    {"7x5>s1x7x5 c3k3p1b f3b", 1, false},
    {"9x11>1x9x11 c16k3p0b f3b", 1, false},
    {"9x11>1x9x11 c16k3p1 f3b", 1, false},
    {"8x8>1x8x8 c32k3p1b f3b", 1, false},
    {"8x8>s1x8x8 c64k3p0b f3b", 1, false},
    {"10x10>1x10x10 c8k5p2b f3b", 1, false},
    {"10x9>1x10x9 c5k2p1b f3b", 1, false},
    {"6x6>1x6x6 c4k3p2b f3b", 1, false},
    {"3x3>1x3x3 c4k3p0b f3b", 1, false},
    {"7x7>1x7x7 c2k3p1b c3k3p1b f3b", 1, false},
    {"7x7>1x7x7 c3k3p1b c16k3p0 f3b", 1, false},
    {"7x7>1x7x7 c16k3p1 c16k3p1b f3b", 1, false},
    {"7x6>1x7x6 c16k3p1b c32k3p1b f3b", 1, false},
    {"6x7>1x6x7 c32k3p0b c64k3p1 f3b", 1, false},
    {"6x6>1x6x6 c64k3p1b c32k1p0b c1k3p1 f3b", 1, false},
    {"5x5>1x5x5 c64k3p1 c64k3p1 f3b", 1, false},
    {"8x8>1x8x8 c24k3p1b c40k3p1b f3b", 1, false},
    // ReLU.
    {"6x6>s1x6x6 r f3b", 1, false},
    {"7x7>1x7x7 c3k3p1b r f3b", 1, false},
    {"9x7>s1x9x7 c16k3p0b r c16k3p1b r f3b", 1, false},
    {"7x7>1x7x7 c32k3p1b r c64k3p0b r f5b", 1, false},
    {"6x6>1x6x6 c4k3p1b r r f3b", 1, false},
    {"6x6>1x6x6 f7b r r f3b", 1, false},
    // Max-pool: even and odd sizes, after each kind, ties.
    {"6x6>1x6x6 p f3b", 1, false},
    {"7x9>s1x7x9 p f3b", 1, false},
    {"7x9>1x7x9 c3k3p1b p f3b", 1, false},
    {"8x8>1x8x8 c16k3p1b p f3b", 1, false},
    {"9x8>1x9x8 c32k3p1b r p f3b", 1, false},
    {"11x11>s1x11x11 c64k3p0b r p c16k3p1b r p f3b", 1, false},
    {"5x5>1x5x5 c2k3p1 p p f3b", 1, false},
    {"6x6>1x6x6 c3k3p1b p r f3b", 1, false},
    {"8x8>1x8x8 c1k1p0 p f3b", 1, true},
    {"9x7>1x9x7 c16k1p0b r p f3b", 1, true},
    {"8x8>1x8x8 c3k1p0b r p f3b", 1, true},
    // Mean pool.
    {"6x5>1x6x5 m f3b", 1, false},
    {"6x5>s1x6x5 c3k3p1b m f3b", 1, false},
    {"7x7>1x7x7 c16k3p1b r m f16b r f3b", 1, false},
    {"8x8>1x8x8 c64k3p1b r p m f4b", 1, false},
    {"3x3>1x3x3 c8k3p0b m f4b", 1, false},
    // Dropout: after each kind, several in a net.
    {"8x8>1x8x8 d0.5 f3b", 1, false},
    {"7x7>s1x7x7 c3k3p1b d0.25 f3b", 1, false},
    {"7x7>1x7x7 c16k3p1b r p d0.25 f32b r d0.5 f3b", 1, false},
    {"7x7>1x7x7 c32k3p0b r d0.1 c16k3p1b r d0.9 f3b", 1, false},
    {"6x6>1x6x6 d0 f3b", 1, false},
    {"6x6>1x6x6 c4k3p1b m d0.3 f3b", 1, false},
    {"6x6>1x6x6 c5k3p1b d0.3 d0.3 f3b", 1, false},
    // Batch norm.
    {"6x6>s1x6x6 n f3b", 1, false},
    {"7x7>1x7x7 c1k3p1 n f3b", 1, false},
    {"7x5>s1x7x5 c3k3p1 n f3b", 1, false},
    {"7x7>1x7x7 c2k3p1b n r f3b", 1, false},
    {"9x7>1x9x7 c16k3p1 n r f3b", 1, false},
    {"8x8>s1x8x8 c32k3p0 n r p f3b", 1, false},
    {"7x7>1x7x7 c64k3p1 n r c32k3p1 n r p f3b", 1, false},
    {"7x7>1x7x7 c16k3p1 r n f3b", 1, false},
    {"7x7>1x7x7 c24k3p1 n p f3b", 1, false},
    {"7x7>1x7x7 c16k3p1 n d0.3 f3b", 1, false},
    {"7x7>1x7x7 c16k3p1 p n r f3b", 1, false},
    {"7x7>1x7x7 c16k3p1 n n r m f3b", 2, false},
    {"6x6>1x6x6 f16b n r f3b", 5, false},
    {"6x6>1x6x6 c8k3p1 m n r f3b", 5, false},
    {"12x12>s1x12x12 c16k3p1 n r c16k3p1 n r p c32k3p1 n r c32k3p1 n r p d0.5 f64b r f10b", 2,
        false},
    // Winograd: channels in multiples of 32, images standardised.
    {"12x12>s1x12x12 c32k3p1b c32k3p1b x c64k3p0b n r c32k3p1b f3b", 1, false},
    {"11x13>s1x11x13 c64k3p1b c32k3p2b c32k3p0b c64k3p1 m f3b", 1, false},
    {"3x3>s1x3x3 c32k3p1 n r c32k3p1b c32k3p2 n r c32k3p0b m f3b", 1, false},
    {"10x9>s1x10x9 c32k3p1b c32k3p1b r c64k3p1b f3b", 1, false},
    {"8x8>s1x8x8 c32k3p1b c32k3p1b r p f3b", 1, false},
    // Input: more channels, other sizes.
    {"7x7>3x7x7 c4k3p1b f3b", 1, false},
    {"7x7>s3x9x9 c16k3p1b r p f3b", 1, false},
    {"9x8>s2x5x6 c3k3p1b f3b", 1, false},
    {"28x28>3x32x32 c8k3p0b r p f10b", 1, false},
    {"14x14>s3x16x16 c16k3p1b r c16k3p1b r p m f10b", 1, false},
    {"1x1>1x4x4 f3b", 1, false},
    // Untrained prefixes and learning rates of their own.
    {"7x7>1x7x7 c16k3p1b r x c16k3p1b r l0.1 f3b", 1, false},
    {"7x7>1x7x7 c4k3p1b r p x f8b r d0.5 f3b", 1, false},
    {"6x6>1x6x6 f8b r f8b x r f3b", 1, false},
    {"9x9>1x9x9 c4k3p1b r p c24k3p1b r d0.4 c8k3p1 n r x c16k3p1b r p f8b r f3b", 2, false},
    {"12x12>s3x12x12 c16k3p1b r c16k3p1b r p x c32k3p1b r p l0.1 m f16b r d0.5 f4b", 1, false},
    {"8x8>s1x8x8 c8k3p1b l0.1 r p c8k3p1b l0.01 r p l0.5 f8b r f4b", 1, false},
    // Records of features: the head of a network on its own.
    {"v1 f2b", 1, false},
    {"v7 d0.3 f5b r f3b", 1, false},
    {"v33 n r f16b r f3b", 5, false},
    {"v128 r f10b", 1, false},
    {"v512 f64b r d0.5 f10b", 1, false},
    {"v1024 f17 r f2b", 1, false},
    // 2 to 256 classes.
    {"6x6>1x6x6 c8k3p1b r f2b", 1, false},
    {"6x6>1x6x6 c8k3p1b r f256b", 1, false},
};

// How a training executor is compiled.
static const struct manner {
    const char *name;
    bool unfused, probe;
} manners[] = {{"fused", false, false}, {"unfused", true, false}, {"probing", true, true}};

// One run of a case.
struct trial {
    const struct op_case *it;
    const struct manner *manner;
    uint32_t batch;
    struct fm_net net;
    struct fm_rig rig;
    struct fm_plain *plain;
    float *found; // room for any tensor of the trial
    int failures;
    char label[256];
};

static void *allocate(size_t count)
{
    void *memory = calloc(count > 0 ? count : 1, sizeof(float));
    assert_non_null(memory);
    return memory;
}

// Whatever is compared next is labelled by case, batch, manner, phase and tensor.
static const char *label(struct trial *t, const char *phase, const char *what)
{
    snprintf(t->label, sizeof t->label, "case '%s' batch %u %s, %s: %s", t->it->net, t->batch,
        t->manner->name, phase, what);
    return t->label;
}

static void compare(struct trial *t, const char *phase, const char *what, const float *found,
    const double *expected, size_t count, double relative)
{
    t->failures += !fm_case_close(
        label(t, phase, what), found, expected, count, relative, floor_tolerance);
}

static void set_up(struct trial *t)
{
    static const struct fm_optimiser_options adam = {
        .kind = FM_OPTIMISER_ADAM, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f};
    fm_case_net(t->it->net, &t->net);
    fm_rig_open(&t->rig, "cpu", &t->net, &adam, t->batch);
    t->plain = fm_plain_create(&t->net);
    t->plain->optimiser = adam;

    float *params = fm_case_params(&t->net, 1), *running = fm_case_running(&t->net, 1);
    fm_rig_set(&t->rig, FM_STATE_PARAM, params);
    fm_rig_set(&t->rig, FM_STATE_RUNNING, running);
    for (size_t i = 0; i < t->net.param_elements; i++)
        t->plain->params[i] = (double)params[i];
    for (size_t i = 0; i < t->net.running_elements; i++)
        t->plain->running[i] = (double)running[i];
    free(params);
    free(running);

    size_t largest = t->batch * fm_shape_size(t->net.input.shape);
    for (int l = 0; l < t->net.layer_count; l++) {
        size_t size = t->batch * fm_shape_size(t->net.layers[l].out);
        largest = size > largest ? size : largest;
    }
    largest = t->net.param_elements > largest ? t->net.param_elements : largest;
    t->found = allocate(largest > t->net.running_elements ? largest : t->net.running_elements);
}

static void tear_down(struct trial *t)
{
    free(t->found);
    fm_plain_destroy(t->plain);
    fm_rig_close(&t->rig);
}

// A gradient flows to a layer's output when something at or below it is trained.
static bool gradient_flows(const struct fm_net *net, int layer)
{
    for (int l = 0; l <= layer; l++) {
        if (net->layers[l].weight >= 0 && net->params[net->layers[l].weight].trainable)
            return true;
    }
    return false;
}

static void compare_layers(
    struct trial *t, struct fm_executor *executor, const char *phase, bool gradients)
{
    char what[160];
    size_t size = t->batch * fm_shape_size(t->net.input.shape);
    fm_rig_must(
        t->rig.api->executor_read(executor, -1, FM_PROBE_ACTIVATION, t->found, size), "input");
    compare(t, phase, "input", t->found, t->plain->input, size, forward_tolerance);
    for (int l = 0; l < t->net.layer_count; l++) {
        const char *name = t->net.layers[l].name;
        size = t->batch * fm_shape_size(t->net.layers[l].out);
        snprintf(what, sizeof what, "activation of layer %d (%s)", l, name);
        fm_rig_must(
            t->rig.api->executor_read(executor, l, FM_PROBE_ACTIVATION, t->found, size), what);
        compare(t, phase, what, t->found, t->plain->activation[l], size, forward_tolerance);
        if (!gradients || !gradient_flows(&t->net, l))
            continue;
        snprintf(what, sizeof what, "gradient of layer %d (%s)", l, name);
        fm_rig_must(
            t->rig.api->executor_read(executor, l, FM_PROBE_GRADIENT, t->found, size), what);
        compare(t, phase, what, t->found, t->plain->gradient[l], size, backward_tolerance);
    }
}

static void compare_sums(struct trial *t, const char *phase, const struct fm_sums *sums)
{
    float loss = (float)(sums->loss / t->batch);
    compare(t, phase, "loss", &loss, &t->plain->loss, 1, forward_tolerance);
    if (sums->count != t->batch || sums->correct != t->plain->correct) {
        fprintf(stderr, "%s are %llu of %llu, expected %u of %u\n", label(t, phase, "correct"),
            (unsigned long long)sums->correct, (unsigned long long)sums->count, t->plain->correct,
            t->batch);
        t->failures++;
    }
}

// The parameters' gradients; then the reference's state becomes the backend's, so that the update
// is compared for itself.
static void compare_gradients(struct trial *t, const char *phase)
{
    fm_rig_get(&t->rig, FM_STATE_GRAD, t->found);
    for (int p = 0; p < t->net.param_count; p++) {
        const struct fm_param *param = &t->net.params[p];
        if (!param->trainable)
            continue;
        compare(t, phase, param->name, t->found + param->offset, t->plain->grads + param->offset,
            param->count, backward_tolerance);
    }
    for (size_t i = 0; i < t->net.param_elements; i++)
        t->plain->grads[i] = (double)t->found[i];
}

static void compare_state(struct trial *t, const char *phase, const char *what,
    enum fm_state_kind kind, double *expected, size_t count, double relative, double absolute)
{
    if (count == 0)
        return;
    fm_rig_get(&t->rig, kind, t->found);
    t->failures += !fm_case_close(
        label(t, phase, what), t->found, expected, count, relative, absolute);
    for (size_t i = 0; i < count; i++)
        expected[i] = (double)t->found[i];
}

static void train_step(struct trial *t, struct fm_executor *executor,
    const struct fm_compile_options *options, int index)
{
    char phase[32];
    struct fm_case_batch drawn = fm_case_batch(
        &t->net, t->batch, 100 + (uint64_t)index, t->it->black_and_white);
    struct fm_step step = {
        .seed = 0xfeedfacecafe,
        .epoch = (uint32_t)index,
        .count = t->batch,
        .learning_rate = 0.002f,
        .weight_decay = index == 1 ? 0.1f : 0.0f,
    };
    struct fm_plain_batch batch = {.records = drawn.records,
        .labels = drawn.labels,
        .ids = drawn.ids,
        .step = &step,
        .augment = options->augment,
        .label_smoothing = options->label_smoothing,
        .mix = options->mix,
        .soft_share = options->soft_share,
        .soft_targets = drawn.soft_targets};
    struct fm_counters counters;
    snprintf(phase, sizeof phase, "training step %d", index + 1);

    struct fm_sums sums = fm_rig_step(&t->rig, executor, index % FM_SLOTS, &batch);
    fm_plain_forward(t->plain, &batch);
    fm_plain_backward(t->plain, &batch);
    compare_sums(t, phase, &sums);
    if (options->probe)
        compare_layers(t, executor, phase, true);
    compare_gradients(t, phase);

    fm_plain_update(t->plain, &step);
    size_t count = t->net.param_elements;
    compare_state(
        t, phase, "first moments", FM_STATE_MOMENT1, t->plain->moment1, count, 1e-6, 1e-30);
    compare_state(
        t, phase, "second moments", FM_STATE_MOMENT2, t->plain->moment2, count, 1e-6, 1e-30);
    compare_state(t, phase, "parameters", FM_STATE_PARAM, t->plain->params, count, 2e-7, 1e-8);
    compare_state(t, phase, "running statistics", FM_STATE_RUNNING, t->plain->running,
        t->net.running_elements, 1e-5, 1e-6);
    fm_rig_must(t->rig.api->counters_get(t->rig.model, &counters), "counters_get");
    if (counters.applied != t->plain->applied || counters.skipped != 0) {
        fprintf(stderr, "%s are %llu, expected %llu\n", label(t, phase, "applied steps"),
            (unsigned long long)counters.applied, (unsigned long long)t->plain->applied);
        t->failures++;
    }
    fm_case_batch_free(&drawn);
}

// Inference on a full batch and on a part of one.
static void infer(struct trial *t, const char *phase)
{
    const struct fm_compile_options options = {.batch = (int)t->batch,
        .mode = FM_MODE_INFER,
        .unfused = t->manner->unfused,
        .probe = t->manner->probe};
    struct fm_executor *executor = fm_rig_compile(&t->rig, &options);
    struct fm_case_batch drawn = fm_case_batch(&t->net, t->batch, 55, t->it->black_and_white);
    size_t classes = (size_t)t->net.classes;
    for (uint32_t count = t->batch; count >= 1; count = count > 1 ? (count + 1) / 2 - 1 : 0) {
        fm_rig_predict(&t->rig, executor, 0, drawn.records, count, t->found);
        const double *expected = fm_plain_infer(t->plain, drawn.records, count);
        compare(t, phase, "logits", t->found, expected, count * classes, forward_tolerance);
        if (t->manner->probe && count == t->batch)
            compare_layers(t, executor, phase, false);
    }
    fm_case_batch_free(&drawn);
    t->rig.api->executor_destroy(executor);
}

// `richly`: with augmentation (of images), label smoothing, mixing and soft targets.
static int run_trial(
    const struct op_case *it, const struct manner *manner, uint32_t batch, bool richly)
{
    struct trial *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->it = it;
    t->manner = manner;
    t->batch = batch;
    struct fm_compile_options options = {
        .batch = (int)batch,
        .mode = FM_MODE_TRAIN,
        .label_smoothing = richly ? 0.1f : 0.0f,
        .mix = {.share = richly ? 0.6f : 0.0f},
        .soft_share = richly ? 0.4f : 0.0f,
        .unfused = manner->unfused,
        .probe = manner->probe,
    };
    set_up(t);
    if (richly && t->net.input.features == 0) {
        options.augment = (struct fm_augment){.shift = 2, .flip = true};
        options.mix.cut_share = 0.5f;
    }
    infer(t, "inference before training");
    struct fm_executor *executor = fm_rig_compile(&t->rig, &options);
    for (int i = 0; i < STEPS; i++)
        train_step(t, executor, &options, i);
    infer(t, "inference after training");
    t->rig.api->executor_destroy(executor);
    tear_down(t);
    int failures = t->failures;
    free(t);
    return failures;
}

static void run_case(void **state)
{
    static const uint32_t batches[] = {1, 2, 5, 16};
    const struct op_case *it = *state;
    int failures = 0;
    for (size_t b = 0; b < sizeof batches / sizeof batches[0]; b++) {
        for (size_t m = 0; m < sizeof manners / sizeof manners[0]; m++) {
            if (batches[b] >= it->least_batch)
                failures += run_trial(it, &manners[m], batches[b], b % 2 == 0);
        }
    }
    if (failures > 0)
        fail_msg("%d comparisons failed; to repeat: test_ops '%s'", failures, it->net);
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[CASES_MAX];
    static struct op_case given;
    size_t count = sizeof cases / sizeof cases[0];
    given = (struct op_case){argc > 1 ? argv[1] : NULL, 1, false};
    for (size_t i = 0; i < count; i++) {
        if (argc > 1 && strcmp(cases[i].net, argv[1]) == 0)
            given = cases[i];
        tests[i] = (struct CMUnitTest){
            .name = cases[i].net, .test_func = run_case, .initial_state = (void *)&cases[i]};
    }
    if (argc > 1) {
        tests[0] = (struct CMUnitTest){
            .name = given.net, .test_func = run_case, .initial_state = &given};
        count = 1;
    }
    return _cmocka_run_group_tests("test_ops", tests, count, NULL, NULL);
}
