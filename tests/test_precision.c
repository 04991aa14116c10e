// Precisions narrower than fp32: what a model stores is representable in its precision, its numbers
// are those of the double-precision reference within the precision's rounding, and loss scaling
// skips, halves and doubles as kernels/loss_scale.h says.
#include "reference/cases.h"
#include "reference/rig.h"

#include "loss_scale.h"
#include "rounding.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/precision.h"
#include "expect.h"

enum {
    BATCH = 6,
    CLASSES = 4
};

static const char net_text[] = "12x12>s1x12x12 c16k3p1 n r p c32k3p1b r p f24b r f4b";

static const struct fm_optimiser_options adam = {
    .kind = FM_OPTIMISER_ADAMW, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f};

struct trial {
    struct fm_net net;
    struct fm_rig rig;
    struct fm_case_batch drawn;
    struct fm_step step;
    struct fm_plain_batch batch;
};

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);
    assert_non_null(memory);
    return memory;
}

static void set_weights(struct fm_rig *rig)
{
    const struct fm_net *net = rig->net;
    float *params = fm_case_params(net, 1), *running = fm_case_running(net, 1);
    fm_rig_set(rig, FM_STATE_PARAM, params);
    fm_rig_set(rig, FM_STATE_RUNNING, running);
    free(params);
    free(running);
}

static struct trial *open_trial(
    const char *text, enum fm_precision precision, bool emulate, uint32_t batch)
{
    struct trial *t = allocate(1, sizeof *t);
    const struct fm_model_options options = {
        .precision = precision, .emulate = emulate, .optimiser = adam, .ema = true};
    fm_case_net(text, &t->net);
    fm_rig_open_as(&t->rig, "cpu", &t->net, &options, batch);
    set_weights(&t->rig);
    t->drawn = fm_case_batch(&t->net, batch, 3, false);
    t->step = (struct fm_step){.seed = 5,
        .epoch = 1,
        .count = batch,
        .learning_rate = 1e-3f,
        .weight_decay = 0.01f,
        .ema_decay = 0.9f};
    t->batch = (struct fm_plain_batch){.records = t->drawn.records,
        .labels = t->drawn.labels,
        .ids = t->drawn.ids,
        .step = &t->step};
    return t;
}

static void close_trial(struct trial *t)
{
    fm_case_batch_free(&t->drawn);
    fm_rig_close(&t->rig);
    free(t);
}

static struct fm_executor *compile_training(struct trial *t, bool probe)
{
    return fm_rig_compile(
        &t->rig, &(struct fm_compile_options){
                     .batch = (int)t->step.count, .mode = FM_MODE_TRAIN, .probe = probe});
}

static struct fm_counters get_counters(struct trial *t)
{
    struct fm_counters counters;
    fm_rig_must(t->rig.api->counters_get(t->rig.model, &counters), "counters_get");
    return counters;
}

static void set_scale(struct trial *t, float scale, uint32_t good_steps)
{
    struct fm_counters counters = get_counters(t);
    counters.loss_scale = scale;
    counters.good_steps = good_steps;
    fm_rig_must(t->rig.api->counters_set(t->rig.model, &counters), "counters_set");
}

// ---- what is asked for

static void expect_precision(const struct fm_engine *engine, const char *name, bool emulate,
    enum fm_precision precision, bool emulated)
{
    enum fm_precision found;
    bool found_emulated;
    assert_ok(fm_precision_choose(name, engine, emulate, &found, &found_emulated));
    if (found != precision || found_emulated != emulated)
        fail_msg("%s%s: %s, %s", name, emulate ? " --emulate" : "", fm_precision_name(found),
            found_emulated ? "emulated" : "native");
}

static void test_parse(void **state)
{
    (void)state;
    static const struct fm_backend api = {.name = "somewhere"};
    struct fm_engine both = {.api = &api,
        .info = {.precisions = {true, true, false},
            .emulated = {false, true, true},
            .preferred = FM_PRECISION_BF16}};
    struct fm_engine old = both, gpu = both;
    old.info.precisions[FM_PRECISION_BF16] = false;
    old.info.missing[FM_PRECISION_BF16] = "this processor lacks it";
    old.info.preferred = FM_PRECISION_FP32;
    gpu.info.precisions[FM_PRECISION_FP16] = true;
    gpu.info.preferred = FM_PRECISION_FP16;
    gpu.info.emulated[FM_PRECISION_BF16] = gpu.info.emulated[FM_PRECISION_FP16] = false;
    enum fm_precision precision;
    bool emulated;

    expect_precision(&both, "auto", false, FM_PRECISION_BF16, false);
    expect_precision(&old, "auto", false, FM_PRECISION_FP32, false);
    expect_precision(&old, "fp32", false, FM_PRECISION_FP32, false);
    expect_precision(&both, "bf16", false, FM_PRECISION_BF16, false);
    expect_precision(&both, "bf16", true, FM_PRECISION_BF16, true);
    expect_precision(&old, "bf16", true, FM_PRECISION_BF16, true);
    expect_precision(&both, "fp16", false, FM_PRECISION_FP16, true);
    expect_precision(&both, "fp16", true, FM_PRECISION_FP16, true);
    expect_precision(&gpu, "auto", false, FM_PRECISION_FP16, false);
    expect_precision(&gpu, "fp16", false, FM_PRECISION_FP16, false);
    assert_fails(fm_precision_choose("bf16", &old, false, &precision, &emulated), FM_UNSUPPORTED,
        "this processor lacks it; --emulate computes in fp32 and rounds");
    assert_fails(fm_precision_choose("auto", &both, true, &precision, &emulated), FM_USAGE,
        "name what to emulate");
    assert_fails(fm_precision_choose("fp32", &both, true, &precision, &emulated), FM_USAGE,
        "nothing to emulate");
    assert_fails(fm_precision_choose("bf16", &gpu, true, &precision, &emulated), FM_UNSUPPORTED,
        "does not emulate bf16");
    assert_fails(fm_precision_choose("fp8", &both, false, &precision, &emulated), FM_USAGE,
        "expected auto, fp32, bf16 or fp16");
}

static void test_refusals(void **state)
{
    (void)state;
    struct trial *t = open_trial("4x4>1x4x4 f4b", FM_PRECISION_FP32, false, 1);
    struct fm_model_options options = {.precision = FM_PRECISION_FP16, .optimiser = adam};
    struct fm_model *none = NULL;
    struct fm_device *device = t->rig.engine.device;
    assert_fails(t->rig.api->model_create(device, &t->net, &options, &none), FM_UNSUPPORTED,
        "a model that emulates it");
    options = (struct fm_model_options){.emulate = true, .optimiser = adam};
    assert_fails(t->rig.api->model_create(device, &t->net, &options, &none), FM_UNSUPPORTED,
        "fp32 has nothing to emulate");
    const struct fm_device_info *info = &t->rig.engine.info;
    assert_true(info->precisions[FM_PRECISION_FP32] && !info->precisions[FM_PRECISION_FP16]);
    assert_true(info->emulated[FM_PRECISION_BF16] && info->emulated[FM_PRECISION_FP16]);
    for (int i = 0; i < FM_PRECISION_COUNT; i++)
        assert_true(info->precisions[i] == (info->missing[i] == NULL));
    bool bf16 = info->precisions[FM_PRECISION_BF16];
    assert_int_equal(info->preferred, bf16 ? FM_PRECISION_BF16 : FM_PRECISION_FP32);
    close_trial(t);
}

// ---- what is stored

static float round_to(enum fm_precision precision, float x)
{
    return precision == FM_PRECISION_BF16 ? fm_round_bf16(x) : fm_round_fp16(x);
}

static size_t not_representable(enum fm_precision precision, const float *x, size_t count)
{
    size_t not = 0;
    for (size_t i = 0; i < count; i++) {
        assert_true(isfinite(x[i]));
        not += round_to(precision, x[i]) != x[i];
    }
    return not ;
}

static void read_layer(
    struct trial *t, struct fm_executor *e, int layer, enum fm_probe probe, float *data)
{
    size_t count = t->step.count *
                   fm_shape_size(layer < 0 ? t->net.input.shape : t->net.layers[layer].out);
    fm_rig_must(t->rig.api->executor_read(e, layer, probe, data, count), "executor_read");
}

static void check_stored(enum fm_precision precision, bool emulate)
{
    struct trial *t = open_trial(net_text, precision, emulate, BATCH);
    struct fm_executor *e = compile_training(t, true);
    float scale = precision == FM_PRECISION_FP16 ? 256.0f : 1.0f;
    set_scale(t, scale, 0);
    size_t most = (size_t)BATCH * 16 * 12 * 12;
    float *data = allocate(
        most > t->net.param_elements ? most : t->net.param_elements, sizeof *data);
    fm_rig_step(&t->rig, e, 0, &t->batch);
    read_layer(t, e, -1, FM_PROBE_ACTIVATION, data);
    assert_int_equal(not_representable(precision, data, (size_t)BATCH * 12 * 12), 0);
    int last = t->net.layer_count - 1;
    for (int l = 0; l <= last; l++) {
        size_t count = BATCH * fm_shape_size(t->net.layers[l].out);
        read_layer(t, e, l, FM_PROBE_GRADIENT, data);
        size_t gradients = not_representable(precision, data, count);
        read_layer(t, e, l, FM_PROBE_ACTIVATION, data);
        size_t activations = not_representable(precision, data, count);
        // The logits stay fp32: random ones would not all be representable by chance.
        if (gradients != 0 || (activations != 0) != (l == last))
            fail_msg("%s, layer %s: %zu activations and %zu gradients of %zu are not representable",
                fm_precision_name(precision), t->net.layers[l].name, activations, gradients, count);
    }
    // Gradients of weights, as long as they are scaled; the masters stay fp32.
    fm_rig_get(&t->rig, FM_STATE_GRAD, data);
    for (int i = 0; emulate && i < t->net.param_count; i++) {
        const struct fm_param *p = &t->net.params[i];
        for (size_t k = 0; k < p->count; k++)
            data[p->offset + k] *= scale;
        if (p->decay) // a weight of a linear layer
            assert_int_equal(not_representable(precision, data + p->offset, p->count), 0);
    }
    fm_rig_get(&t->rig, FM_STATE_PARAM, data);
    assert_true(
        not_representable(precision, data, t->net.param_elements) > t->net.param_elements / 2);
    free(data);
    t->rig.api->executor_destroy(e);
    close_trial(t);
}

static void test_stored_emulated(void **state)
{
    (void)state;
    check_stored(FM_PRECISION_BF16, true);
    check_stored(FM_PRECISION_FP16, true);
}

// ---- against the double-precision reference

// How far off a precision may be, of a tensor's largest magnitude. A stored value is off by at most
// half a unit in the last place (2^-9 in bf16, 2^-12 in fp16) and has passed some ten stores. In
// networks with kinks (ReLU, max-pool) a value near one falls to the other side now and then and
// takes a gradient's share with it, of some hundred in these small networks. The largest errors
// found are half of what is allowed.
struct tolerance {
    double forward, backward, kinked;
};

static double root_mean_square(const double *x, const float *y, size_t count)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        double d = x[i] - (y ? (double)y[i] : 0.0);
        sum += d * d;
    }
    return sqrt(sum / (double)count);
}

// Root mean squares rather than the largest error: a kink moves single elements by all they have.
static void compare(
    const char *what, const float *found, const double *expected, size_t count, double relative)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(found[i]))
            fail_msg("%s: element %zu is %g", what, i, (double)found[i]);
    double error = root_mean_square(expected, found, count);
    double size = root_mean_square(expected, NULL, count);
    if (!(error <= relative * size + 1e-7))
        fail_msg("%s: off by %.3g of %.3g (%.3g), allowed %.3g", what, error, size, error / size,
            relative);
}

static struct fm_plain *plain_beside(const struct trial *t)
{
    struct fm_plain *plain = fm_plain_create(&t->net);
    float *params = fm_case_params(&t->net, 1), *running = fm_case_running(&t->net, 1);
    for (size_t i = 0; i < t->net.param_elements; i++)
        plain->params[i] = (double)params[i];
    for (size_t i = 0; i < t->net.running_elements; i++)
        plain->running[i] = (double)running[i];
    free(params);
    free(running);
    return plain;
}

static void check_against_plain(const char *text, enum fm_precision precision, bool emulate,
    bool probe, int batch, struct tolerance allowed)
{
    struct trial *t = open_trial(text, precision, emulate, batch);
    bool kinked = strstr(text, " r ") || strstr(text, " p ");
    double backward = kinked ? allowed.kinked : allowed.backward;
    struct fm_plain *plain = plain_beside(t);
    struct fm_executor *e = compile_training(t, probe);
    float *found = allocate(t->net.param_elements + (size_t)batch * 65536, sizeof *found);
    char what[192];
    if (precision == FM_PRECISION_FP16)
        set_scale(t, 1024.0f, 0);
    struct fm_sums sums = fm_rig_step(&t->rig, e, 0, &t->batch);
    double loss = fm_plain_forward(plain, &t->batch);
    fm_plain_backward(plain, &t->batch);
    if (!(fabs(sums.loss / batch - loss) <= allowed.forward * loss))
        fail_msg("%s: loss %g, expected %g", text, sums.loss / batch, loss);
    for (int l = 0; probe && l < t->net.layer_count; l++) {
        size_t count = (size_t)batch * fm_shape_size(t->net.layers[l].out);
        snprintf(what, sizeof what, "%s in %s: layer %s", text, fm_precision_name(precision),
            t->net.layers[l].name);
        read_layer(t, e, l, FM_PROBE_ACTIVATION, found);
        compare(what, found, plain->activation[l], count, allowed.forward);
        read_layer(t, e, l, FM_PROBE_GRADIENT, found);
        for (size_t i = 0; precision == FM_PRECISION_FP16 && i < count; i++)
            found[i] /= 1024.0f;
        compare(what, found, plain->gradient[l], count, backward);
    }
    fm_rig_get(&t->rig, FM_STATE_GRAD, found);
    for (int i = 0; i < t->net.param_count; i++) {
        const struct fm_param *p = &t->net.params[i];
        if (!p->trainable)
            continue;
        snprintf(what, sizeof what, "%s in %s%s: gradient of %s", text,
            fm_precision_name(precision), probe ? ", probing" : "", p->name);
        compare(what, found + p->offset, plain->grads + p->offset, p->count,
            p->decay ? backward : 4.0 * backward); // others are sums over pixels that cancel
    }
    assert_int_equal(get_counters(t).applied, 1);
    free(found);
    fm_plain_destroy(plain);
    t->rig.api->executor_destroy(e);
    close_trial(t);
}

// Each kind of layer, with every layout that their channels lead to.
static const char *const net_texts[] = {
    "8x8>s1x8x8 f10b",
    "3x3>1x3x3 c8k3p0b m f4b", // padding channels in front of a dense layer
    "7x7>s1x7x7 c3k3p1b c16k3p0b f16b f3b",
    "8x8>1x8x8 c32k3p1 n c16k3p1b d0.25 c64k3p0 n m f24b f4b",
    "9x9>1x9x9 f33b r f16 r f5b",
    "7x9>s1x7x9 c3k3p1b r p f3b",
    "9x11>1x9x11 c16k3p0b r c32k3p1b r p f3b",
    "8x8>s1x8x8 c64k3p1 n r p c24k3p1 n r m f16b r f3b",
    "8x8>1x8x8 c32k3p1b r p d0.25 f32b r d0.5 f3b",
    "14x14>s3x16x16 c16k3p1b r x c16k3p1b r p f4b",
    "v48 f16b f5b",
    "v512 f32b r d0.25 f4b",
    net_text,
};

static void check_all_against_plain(
    enum fm_precision precision, bool emulate, struct tolerance allowed)
{
    for (size_t i = 0; i < sizeof net_texts / sizeof net_texts[0]; i++)
        for (int probe = 0; probe < 2; probe++)
            if (probe == 0 || !strstr(net_texts[i], " x ")) // else not all gradients are there
                check_against_plain(net_texts[i], precision, emulate, probe == 1, BATCH, allowed);
}

static void test_emulated_against_plain(void **state)
{
    (void)state;
    check_all_against_plain(FM_PRECISION_BF16, true, (struct tolerance){0.02, 0.04, 0.4});
    check_all_against_plain(FM_PRECISION_FP16, true, (struct tolerance){0.0025, 0.005, 0.2});
}

// ---- bf16 in the processor's own arithmetic

// Why not, or NULL.
static const char *native_missing(void)
{
    struct fm_engine engine;
    const struct fm_device_options device = {.threads = 1};
    fm_module_set_directory(FM_TEST_BINARY_DIR "/modules");
    fm_rig_must(fm_engine_open("cpu", &device, &engine), "fm_engine_open");
    const char *missing = engine.info.missing[FM_PRECISION_BF16];
    fm_engine_close(&engine);
    return missing;
}

static bool bf16_is_native(void)
{
    const char *missing = native_missing();
    if (missing)
        print_message("SKIP: bf16: %s\n", missing);
    return missing == NULL;
}

// bf16 is refused where it is missing, with the reason, and nowhere else.
static void test_native_or_refused(void **state)
{
    (void)state;
    const char *missing = native_missing();
    struct trial *t = open_trial("4x4>1x4x4 f4b", FM_PRECISION_FP32, false, 1);
    struct fm_model_options options = {.precision = FM_PRECISION_BF16, .optimiser = adam};
    struct fm_model *model = NULL;
    enum fm_status status = t->rig.api->model_create(
        t->rig.engine.device, &t->net, &options, &model);
    if (missing)
        assert_fails(status, FM_UNSUPPORTED, missing);
    else
        assert_ok(status);
    t->rig.api->model_destroy(model);
    close_trial(t);
}

static void test_native_stored(void **state)
{
    (void)state;
    if (!bf16_is_native())
        skip();
    check_stored(FM_PRECISION_BF16, false);
}

static void test_native_against_plain(void **state)
{
    (void)state;
    if (!bf16_is_native())
        skip();
    const struct tolerance allowed = {0.02, 0.04, 0.4};
    check_all_against_plain(FM_PRECISION_BF16, false, allowed);
    // So many weights for so few pixels that their gradient is computed in fp32, without a matrix
    // unit.
    check_against_plain(
        "3x3>s1x3x3 c512k3p1 c512k3p0 f4b", FM_PRECISION_BF16, false, false, BATCH, allowed);
    // What a matrix unit takes, by tiles of pixels and of images; the first is run again.
    for (int batch = BATCH; batch <= 16; batch += 16 - BATCH) {
        check_against_plain(
            "8x8>s1x8x8 c32k3p1b r c64k3p1b r c64k3p1 n r c64k3p0b r p c32k3p1 n r p f4b",
            FM_PRECISION_BF16, false, false, batch, allowed);
        check_against_plain("6x6>s1x6x6 c32k3p1b c32k3p1 c64k3p0 n c32k3p2b f4b", FM_PRECISION_BF16,
            false, false, batch, allowed);
    }
}

// Of a single image, whose dense layers are gathered, or of a part of a batch.
static void check_inference_of(const char *text, enum fm_precision precision, bool emulate,
    bool unfused, int batch, double allowed)
{
    struct trial *t = open_trial(text, precision, emulate, BATCH);
    struct fm_plain *plain = plain_beside(t);
    struct fm_executor *e = fm_rig_compile(&t->rig,
        &(struct fm_compile_options){.batch = batch, .mode = FM_MODE_INFER, .unfused = unfused});
    float logits[BATCH * 16];
    uint32_t count = batch > 1 ? (uint32_t)batch - 1 : 1;
    char what[192];
    fm_rig_predict(&t->rig, e, 0, t->drawn.records, count, logits);
    snprintf(what, sizeof what, "%s in %s%s, batch %d: logits", text, fm_precision_name(precision),
        unfused ? ", unfused" : "", batch);
    compare(what, logits, fm_plain_infer(plain, t->drawn.records, count),
        count * (size_t)t->net.classes, allowed);
    fm_plain_destroy(plain);
    t->rig.api->executor_destroy(e);
    close_trial(t);
}

// Inference, too: batch norm folded into bf16 weights, a dense layer's as well, or on its own.
static void check_inference(enum fm_precision precision, bool emulate, double allowed)
{
    static const int batches[] = {1, BATCH};
    for (int unfused = 0; unfused < 2; unfused++)
        for (int b = 0; b < 2; b++) {
            int batch = batches[b];
            for (size_t i = 0; i < sizeof net_texts / sizeof net_texts[0]; i++)
                check_inference_of(net_texts[i], precision, emulate, unfused == 1, batch, allowed);
            check_inference_of(
                "6x6>s1x6x6 f16b n r f4b", precision, emulate, unfused == 1, batch, allowed);
        }
}

static void test_inference(void **state)
{
    (void)state;
    check_inference(FM_PRECISION_FP32, false, 1e-5);
    check_inference(FM_PRECISION_BF16, true, 0.02);
    check_inference(FM_PRECISION_FP16, true, 0.0025);
    if (native_missing() == NULL)
        check_inference(FM_PRECISION_BF16, false, 0.02);
}

// The first layers' activations and the last's gradient, before kinks and roundings add up: native
// and emulated bf16 differ by the order of sums alone, which now and then moves a rounding.
static void test_native_is_as_emulated(void **state)
{
    (void)state;
    if (!bf16_is_native())
        skip();
    struct trial *native = open_trial(net_text, FM_PRECISION_BF16, false, BATCH);
    struct trial *emulated = open_trial(net_text, FM_PRECISION_BF16, true, BATCH);
    struct fm_executor *of_native = compile_training(native, true);
    struct fm_executor *of_emulated = compile_training(emulated, true);
    fm_rig_step(&native->rig, of_native, 0, &native->batch);
    fm_rig_step(&emulated->rig, of_emulated, 0, &emulated->batch);
    size_t most = (size_t)BATCH * 16 * 12 * 12;
    float *one = allocate(most, sizeof *one), *other = allocate(most, sizeof *other);
    read_layer(native, of_native, -1, FM_PROBE_ACTIVATION, one);
    read_layer(emulated, of_emulated, -1, FM_PROBE_ACTIVATION, other);
    assert_memory_equal(one, other, (size_t)BATCH * 12 * 12 * sizeof *one);
    for (int l = 0; l < 4; l++) {
        size_t count = BATCH * fm_shape_size(native->net.layers[l].out), differ = 0;
        read_layer(native, of_native, l, FM_PROBE_ACTIVATION, one);
        read_layer(emulated, of_emulated, l, FM_PROBE_ACTIVATION, other);
        for (size_t i = 0; i < count; i++) {
            differ += one[i] != other[i];
            // A unit in the last place of bf16 is at most 2^-7 of the value; batch norm subtracts.
            if (!(fabsf(one[i] - other[i]) <= 0.02f * fabsf(other[i]) + 0.02f))
                fail_msg("layer %d, element %zu is %g, emulated %g", l, i, (double)one[i],
                    (double)other[i]);
        }
        if (differ * 20 > count)
            fail_msg("layer %d: %zu of %zu elements differ", l, differ, count);
    }
    free(one);
    free(other);
    native->rig.api->executor_destroy(of_native);
    emulated->rig.api->executor_destroy(of_emulated);
    close_trial(native);
    close_trial(emulated);
}

// ---- training: a few dozen steps on one batch lower the loss as in fp32, and again the same way

enum {
    TRAINING_STEPS = 40,
    TRAINING_BATCH = 32
};

static double train(enum fm_precision precision, bool emulate, float *params)
{
    struct trial *t = open_trial(net_text, precision, emulate, TRAINING_BATCH);
    struct fm_executor *e = compile_training(t, false);
    double loss = 0.0;
    t->step.learning_rate = 3e-3f;
    for (int i = 0; i < TRAINING_STEPS; i++)
        loss = fm_rig_step(&t->rig, e, i % FM_SLOTS, &t->batch).loss / TRAINING_BATCH;
    fm_rig_get(&t->rig, FM_STATE_PARAM, params);
    t->rig.api->executor_destroy(e);
    close_trial(t);
    return loss;
}

static void test_training(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum fm_precision precision;
        bool emulate;
    } manners[] = {{"fp32", FM_PRECISION_FP32, false}, {"emulated bf16", FM_PRECISION_BF16, true},
        {"fp16", FM_PRECISION_FP16, true}, {"bf16", FM_PRECISION_BF16, false}};
    static struct fm_net net;
    fm_case_net(net_text, &net);
    size_t bytes = net.param_elements * sizeof(float);
    float *params = allocate(1, bytes), *again = allocate(1, bytes);
    double single = 0.0;
    bool native = native_missing() == NULL;
    for (int m = 0; m < (native ? 4 : 3); m++) {
        double loss = train(manners[m].precision, manners[m].emulate, params);
        double repeated = train(manners[m].precision, manners[m].emulate, again);
        assert_true(loss == repeated);
        assert_memory_equal(params, again, bytes);
        single = m == 0 ? loss : single;
        if (!isfinite(loss) || loss > 0.5 || fabs(loss - single) > 0.15 * single + 0.02)
            fail_msg("the loss in %s ends at %g, in fp32 at %g", manners[m].name, loss, single);
    }
    free(params);
    free(again);
}

// ---- loss scaling

// Everything that a skipped step must leave alone, in one allocation.
static float *snapshot(struct trial *t, size_t *count)
{
    static const enum fm_state_kind kinds[] = {
        FM_STATE_PARAM, FM_STATE_MOMENT1, FM_STATE_MOMENT2, FM_STATE_EMA};
    const struct fm_net *net = &t->net;
    *count = 4 * net->param_elements + 2 * net->running_elements + 1;
    float *all = allocate(*count, sizeof *all), *to = all;
    for (int k = 0; k < 4; k++, to += net->param_elements)
        fm_rig_get(&t->rig, kinds[k], to);
    for (int k = 0; k < 2; k++, to += net->running_elements)
        for (int i = 0; i < net->running_count; i++)
            fm_rig_must(
                t->rig.api->model_get(t->rig.model, k == 0 ? FM_STATE_RUNNING : FM_STATE_EMA,
                    net->running[i].name, to + net->running[i].offset, net->running[i].count),
                net->running[i].name);
    *to = (float)get_counters(t).applied;
    return all;
}

static void test_overflow_is_skipped(void **state)
{
    (void)state;
    struct trial *t = open_trial(net_text, FM_PRECISION_FP16, true, BATCH);
    struct fm_executor *e = compile_training(t, false);
    assert_true(get_counters(t).loss_scale == 65536.0f);
    set_scale(t, 256.0f, 0);
    fm_rig_step(&t->rig, e, 0, &t->batch); // so that moments and averages are not at their start
    assert_int_equal(get_counters(t).applied, 1);
    assert_int_equal(get_counters(t).good_steps, 1);

    size_t count;
    float scale = FM_LOSS_SCALE_MOST; // the loss's gradient itself is beyond fp16
    set_scale(t, scale, 7);
    float *before = snapshot(t, &count);
    for (uint32_t skipped = 1; skipped <= 3; skipped++) {
        struct fm_sums sums = fm_rig_step(&t->rig, e, 1, &t->batch);
        assert_true(isfinite(sums.loss));
        assert_int_equal(sums.incurable, 0);
        float *after = snapshot(t, &count);
        assert_memory_equal(before, after, count * sizeof *before);
        struct fm_counters c = get_counters(t);
        scale *= 0.5f;
        assert_int_equal(c.skipped, skipped);
        assert_true(c.loss_scale == scale);
        assert_int_equal(c.good_steps, 0);
        assert_int_equal(c.growths, 0);
        free(after);
    }
    // Some scale is small enough, and from there on it goes on.
    struct fm_counters c = get_counters(t);
    for (int i = 0; i < 24 && c.applied == 1; i++) {
        fm_rig_step(&t->rig, e, 0, &t->batch);
        c = get_counters(t);
    }
    assert_int_equal(c.applied, 2);
    assert_true(c.loss_scale >= 1024.0f && c.loss_scale < scale);
    float *after = snapshot(t, &count);
    for (int k = 0; k < 4; k++) // parameters, both moments, averages
        assert_memory_not_equal(before + (size_t)k * t->net.param_elements,
            after + (size_t)k * t->net.param_elements, t->net.param_elements * sizeof *after);
    free(before);
    free(after);
    t->rig.api->executor_destroy(e);
    close_trial(t);
}

static void set_param(struct trial *t, const char *name, float (*value)(size_t i))
{
    int at = fm_net_find_param(&t->net, name);
    assert_true(at >= 0);
    size_t count = t->net.params[at].count;
    float *data = allocate(count, sizeof *data);
    for (size_t i = 0; i < count; i++)
        data[i] = value(i);
    fm_rig_must(t->rig.api->model_set(t->rig.model, FM_STATE_PARAM, name, data, count), name);
    free(data);
}

static float not_a_number(size_t i)
{
    (void)i;
    return NAN;
}

// [out 3][in 8]: the first class gets 60,000 of everything, the others as much taken away.
static float far_apart(size_t i)
{
    return i < 8 ? 60000.0f : -60000.0f;
}

static void test_incurable(void **state)
{
    (void)state;
    // The loss itself is not finite: incurable at any scale.
    struct trial *t = open_trial(net_text, FM_PRECISION_FP16, true, BATCH);
    struct fm_executor *e = compile_training(t, false);
    set_scale(t, 256.0f, 0);
    set_param(t, t->net.params[t->net.param_count - 1].name, not_a_number);
    struct fm_sums sums = fm_rig_step(&t->rig, e, 0, &t->batch);
    assert_int_equal(sums.incurable, 1);
    assert_int_equal(get_counters(t).skipped, 1);
    assert_true(get_counters(t).loss_scale == 128.0f);
    t->rig.api->executor_destroy(e);
    close_trial(t);

    // The loss is finite, a gradient is 120,000: with a scale of 2 a smaller one is tried, with 1
    // there is none.
    t = open_trial("4x4>1x4x4 f8 r f3", FM_PRECISION_FP16, true, 1);
    e = compile_training(t, false);
    set_param(t, t->net.params[1].name, far_apart);
    t->drawn.labels[0] = 1;
    for (uint32_t step = 1; step <= 3; step++) {
        set_scale(t, step == 1 ? 2.0f : 1.0f, 0);
        sums = fm_rig_step(&t->rig, e, 0, &t->batch);
        assert_true(isfinite(sums.loss));
        assert_int_equal(get_counters(t).skipped, step);
        assert_int_equal(sums.incurable, step == 1 ? 0 : 1);
        assert_true(get_counters(t).loss_scale == 1.0f); // never below
    }
    t->rig.api->executor_destroy(e);
    close_trial(t);
}

// Every sample is of the class that the bias makes certain, so that gradients vanish and any scale
// is good.
static float certain(size_t i)
{
    return i == 2 ? 100.0f : 0.0f;
}

static void test_growth(void **state)
{
    (void)state;
    struct trial *t = open_trial("4x4>1x4x4 f4b", FM_PRECISION_FP16, true, BATCH);
    struct fm_executor *e = compile_training(t, false);
    set_param(t, t->net.params[1].name, certain);
    memset(t->drawn.labels, 2, BATCH);
    static const struct {
        float scale;
        uint32_t good_steps;
        float then;
        uint32_t good_then;
        uint64_t growths;
    } cases[] = {
        {1024.0f, 1997, 1024.0f, 1998, 0}, {1024.0f, 1998, 1024.0f, 1999, 0},
        {1024.0f, 1999, 2048.0f, 0, 1}, {8388608.0f, 1999, 16777216.0f, 0, 2},
        {16777216.0f, 1999, 16777216.0f, 0, 2}, // the limit; not a growth
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set_scale(t, cases[i].scale, cases[i].good_steps);
        fm_rig_step(&t->rig, e, 0, &t->batch);
        struct fm_counters c = get_counters(t);
        assert_int_equal(c.applied, i + 1);
        assert_true(c.loss_scale == cases[i].then);
        assert_int_equal(c.good_steps, cases[i].good_then);
        assert_int_equal(c.growths, cases[i].growths);
    }
    t->rig.api->executor_destroy(e);
    close_trial(t);

    // Without fp16 there is no scale to grow.
    t = open_trial("4x4>1x4x4 f4b", FM_PRECISION_BF16, true, BATCH);
    e = compile_training(t, false);
    assert_true(get_counters(t).loss_scale == 1.0f);
    set_scale(t, 1.0f, 1999);
    fm_rig_step(&t->rig, e, 0, &t->batch);
    assert_true(get_counters(t).loss_scale == 1.0f);
    assert_int_equal(get_counters(t).growths, 0);
    t->rig.api->executor_destroy(e);
    close_trial(t);
}

// What scaling is for: gradients of 1e-10 vanish in fp16 without it and are there with it.
static float nearly_certain(size_t i)
{
    return i == 2 ? 22.0f : 0.0f;
}

static float no_weight(size_t i)
{
    (void)i;
    return 0.0f;
}

static void test_scale_keeps_small_gradients(void **state)
{
    (void)state;
    struct trial *t = open_trial("4x4>1x4x4 f4b", FM_PRECISION_FP16, true, 1);
    struct fm_executor *e = compile_training(t, false);
    float found[2][4];
    t->drawn.labels[0] = 2;
    t->step.learning_rate = 0.0f;
    set_param(t, t->net.params[0].name, no_weight);
    set_param(t, t->net.params[1].name, nearly_certain);
    for (int i = 0; i < 2; i++) {
        set_scale(t, i == 0 ? 1.0f : FM_LOSS_SCALE_MOST, 0);
        fm_rig_step(&t->rig, e, 0, &t->batch);
        fm_rig_must(
            t->rig.api->model_get(t->rig.model, FM_STATE_GRAD, t->net.params[1].name, found[i], 4),
            "bias");
    }
    assert_true(found[0][0] == 0.0f);
    double expected = exp(-22.0) / (1.0 + 3.0 * exp(-22.0)); // softmax of (0, 0, 22, 0)
    if (!(fabs((double)found[1][0] - expected) < 1e-3 * expected))
        fail_msg("a gradient of %g, expected %g", (double)found[1][0], expected);
    t->rig.api->executor_destroy(e);
    close_trial(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_stored_emulated),
        cmocka_unit_test(test_emulated_against_plain),
        cmocka_unit_test(test_native_or_refused),
        cmocka_unit_test(test_native_stored),
        cmocka_unit_test(test_native_against_plain),
        cmocka_unit_test(test_inference),
        cmocka_unit_test(test_native_is_as_emulated),
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_overflow_is_skipped),
        cmocka_unit_test(test_incurable),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_scale_keeps_small_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
