// One training step from the same state: every layer's activation and gradient, then all state that
// the step leaves, for each model and precision, fused and one operation a primitive.
#include "parity/parity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct trial {
    struct parity_case what;
    uint32_t steps; // one after another
    bool probed;    // every layer is compared
    bool unfused;   // a step of one operation a primitive, too
    bool large;     // a large batch has more ReLUs that may open on one backend alone
};

// ---- every layer

static float *read_layer(
    const struct parity_side *side, const struct fm_executor *executor, int layer, size_t count)
{
    float *data = parity_allocate(count, sizeof *data);
    parity_must(side->api->executor_read(
        (struct fm_executor *)executor, layer, FM_PROBE_ACTIVATION, data, count));
    return data;
}

// Which of a 2x2 window, whose first element is x[0], is the largest.
static int largest_of(const float *x, int width)
{
    const float *const window[] = {x, x + 1, x + width, x + width + 1};
    int largest = 0;
    for (int i = 1; i < 4; i++)
        if (*window[i] > *window[largest])
            largest = i;
    return largest;
}

// Whether a ReLU or max-pool of inputs `a` and `b`, [image][channel][row][column], lets the same
// elements pass.
static bool same_passes(const struct fm_layer *layer, const float *a, const float *b, size_t count)
{
    int h = layer->in.h, w = layer->in.w;
    for (size_t i = 0; i < count; i++) {
        int x = (int)(i % (size_t)w), y = (int)(i / (size_t)w % (size_t)h);
        bool window = x % 2 == 0 && y % 2 == 0 && x + 1 < w && y + 1 < h;
        if (layer->kind == FM_LAYER_RELU ? (a[i] > 0.0f) != (b[i] > 0.0f)
                                         : window && largest_of(a + i, w) != largest_of(b + i, w))
            return false;
    }
    return true;
}

// An element so close to a ReLU's zero, or to another of its window, that rounding decides lets its
// gradient pass on one backend alone, or elsewhere. Activations are as close as ever there.
static bool decides_alike(
    const struct parity *p, const struct fm_executor *const executors[2], int layer)
{
    const struct fm_layer *l = &p->net.layers[layer];
    if (l->kind != FM_LAYER_RELU && l->kind != FM_LAYER_MAXPOOL)
        return true;
    size_t count = fm_shape_size(l->in) * (size_t)p->what.batch;
    float *a = read_layer(&p->reference, executors[0], layer - 1, count);
    float *b = read_layer(&p->tested, executors[1], layer - 1, count);
    bool alike = same_passes(l, a, b, count);
    free(a);
    free(b);
    return alike;
}

// The layer's tensor from both; false if it differs. None has a gradient where the reference has
// none.
static bool same_layer(
    struct parity *p, const struct fm_executor *const executors[2], int layer, enum fm_probe probe)
{
    const struct parity_side *const sides[2] = {&p->reference, &p->tested};
    const struct fm_net *net = &p->net;
    const struct fm_shape shape = layer < 0 ? net->input.shape : net->layers[layer].out;
    const struct parity_tolerance *tolerance = parity_tolerance(p);
    const struct parity_named name = {p->name, probe == FM_PROBE_ACTIVATION ? "output" : "gradient",
        layer < 0 ? "the input" : net->layers[layer].name};
    size_t count = fm_shape_size(shape) * (size_t)p->what.batch;
    float *data[2];
    enum fm_status status[2];
    for (int i = 0; i < 2; i++) {
        data[i] = parity_allocate(count, sizeof *data[i]);
        status[i] = sides[i]->api->executor_read(
            (struct fm_executor *)executors[i], layer, probe, data[i], count);
        if (status[i] != FM_NOT_FOUND)
            parity_must_(status[i], name.tensor);
        fm_error_clear();
    }
    bool same = status[0] == status[1];
    if (!same)
        fprintf(stderr, "%s: %s of %s: one backend has none\n", name.of, name.what, name.tensor);
    else if (status[0] == FM_OK)
        same = parity_close_to(&name, data[1], data[0], NULL, count,
            probe == FM_PROBE_ACTIVATION ? tolerance->activation : tolerance->gradient);
    free(data[0]);
    free(data[1]);
    return same;
}

enum {
    BATCHES = 6 // one of which has no such element; where a backend decides wrongly, none
};

// A step from `begin` on each, of the first batch that both decide alike on. In half precision
// tolerances allow for such elements.
static void step_alike(struct parity *p, struct fm_executor *const executors[2])
{
    bool alike = false;
    for (uint32_t b = 0; !alike && b < BATCHES; b++) {
        const struct parity_batch batch = parity_batch(
            b * (uint32_t)p->what.batch, p->what.batch, 0);
        parity_set(&p->reference, p->begin);
        parity_set(&p->tested, p->begin);
        parity_submit(&p->reference, executors[0], 0, &batch);
        parity_submit(&p->tested, executors[1], 0, &batch);
        alike = true;
        for (int l = 0; p->what.precision == FM_PRECISION_FP32 && l < p->net.layer_count; l++)
            alike = alike && decides_alike(p, (const struct fm_executor *const *)executors, l);
    }
}

static bool probe(struct parity *p)
{
    struct fm_compile_options options = parity_training_of(p);
    options.probe = true;
    struct fm_executor *executors[2] = {
        parity_compile(&p->reference, &options), parity_compile(&p->tested, &options)};
    step_alike(p, executors);
    bool same = true;
    for (int layer = -1; layer < p->net.layer_count; layer++) {
        same &= same_layer(p, (const struct fm_executor **)executors, layer, FM_PROBE_ACTIVATION);
        same &= same_layer(p, (const struct fm_executor **)executors, layer, FM_PROBE_GRADIENT);
    }
    p->reference.api->executor_destroy(executors[0]);
    p->tested.api->executor_destroy(executors[1]);
    return same;
}

static void check(void **state)
{
    const struct trial *t = *state;
    struct parity *p = parity_open(&t->what);
    bool close = !t->probed || probe(p);
    close &= parity_steps(p, false, t->steps, t->large ? 8.0 : 1.0);
    if (t->unfused)
        close &= parity_steps(p, true, 1, t->large ? 8.0 : 1.0);
    parity_close(p);
    assert_true(close);
}

// ---- what is tried

static const struct CMUnitTest tests[] = {
    PARITY_TEST("simple fp32", check, trial, PARITY_CASE("simple", FP32, 4, "h100", ADAMW),
        .steps = 3, .probed = true, .unfused = true),
    PARITY_TEST("simple bf16", check, trial, PARITY_CASE("simple", BF16, 4, "h100", ADAMW),
        .steps = 3, .probed = true, .unfused = true),
    PARITY_TEST("simple fp16", check, trial, PARITY_CASE("simple", FP16, 4, "h100", ADAMW),
        .steps = 3, .probed = true, .unfused = true),
    PARITY_TEST("simple fp32, taught, cut", check, trial,
        PARITY_CASE_OF("simple", FP32, 4, "h100", ADAMW, .soft_share = 0.4f, .mix_cut = 0.5f),
        .steps = 2, .probed = true, .unfused = true),
    PARITY_TEST("simple fp16, taught, cut", check, trial,
        PARITY_CASE_OF("simple", FP16, 7, "t4", ADAMW, .soft_share = 1.0f, .mix_cut = 0.5f),
        .steps = 2, .probed = true),
    PARITY_TEST("simple fp16 SGD on t4", check, trial, PARITY_CASE("simple", FP16, 7, "t4", SGD),
        .steps = 2),
    PARITY_TEST("deeper fp32", check, trial, PARITY_CASE("deeper", FP32, 4, "h100", ADAMW),
        .steps = 2, .probed = true),
    PARITY_TEST("deeper bf16, cut", check, trial,
        PARITY_CASE_OF("deeper", BF16, 4, "h100", ADAMW, .mix_cut = 0.5f), .steps = 2,
        .probed = true),
    PARITY_TEST("deeper fp16", check, trial, PARITY_CASE("deeper", FP16, 4, "h100", ADAMW),
        .steps = 2, .probed = true, .unfused = true),
    PARITY_TEST("deeper fp16 on t4", check, trial, PARITY_CASE("deeper", FP16, 4, "t4", ADAMW),
        .steps = 1, .probed = true),
    PARITY_TEST("vgg16 fp16, base slower", check, trial,
        PARITY_CASE_OF("vgg16", FP16, 2, "h100", ADAMW, .base_rate = 0.1f, .cut = "mean"),
        .steps = 1, .probed = true),
    PARITY_TEST("vgg16 fp16, last block, cut", check, trial,
        PARITY_CASE_OF("vgg16", FP16, 2, "h100", ADAMW, .trained_from = "conv5_1.weight",
            .soft_share = 0.4f, .mix_cut = 1.0f),
        .steps = 2),
    PARITY_TEST("simple-ref fp32", check, trial, PARITY_CASE("simple-ref", FP32, 4, "h100", ADAMW),
        .steps = 1, .probed = true),
    PARITY_TEST("simple-ref fp16", check, trial, PARITY_CASE("simple-ref", FP16, 4, "h100", ADAMW),
        .steps = 1),
    PARITY_TEST("deeper-ref fp32", check, trial, PARITY_CASE("deeper-ref", FP32, 4, "h100", ADAMW),
        .steps = 1, .probed = true),
    PARITY_TEST("deeper-ref fp16", check, trial, PARITY_CASE("deeper-ref", FP16, 4, "h100", ADAMW),
        .steps = 1),
};
static const struct CMUnitTest long_tests[] = {
    PARITY_TEST("vgg16 fp32", check, trial, PARITY_CASE("vgg16", FP32, 2, "h100", ADAMW),
        .steps = 2, .probed = true, .unfused = true),
    PARITY_TEST("vgg16 bf16", check, trial, PARITY_CASE("vgg16", BF16, 2, "h100", ADAMW),
        .steps = 2, .probed = true, .unfused = true),
    PARITY_TEST("vgg16 fp16 on t4", check, trial, PARITY_CASE("vgg16", FP16, 3, "t4", ADAMW),
        .steps = 2, .probed = true),
    PARITY_TEST("vgg16 fp32, last block at 48", check, trial,
        PARITY_CASE_OF("vgg16", FP32, 2, "h100", ADAMW, .trained_from = "conv5_1.weight",
            .base_rate = 0.1f, .cut = "mean", .input_size = 48),
        .steps = 2, .probed = true, .unfused = true),
    PARITY_TEST("vgg16 bf16, last block at 64", check, trial,
        PARITY_CASE_OF(
            "vgg16", BF16, 2, "a100", ADAMW, .trained_from = "conv5_1.weight", .input_size = 64),
        .steps = 2, .probed = true),
    PARITY_TEST("vgg16 fp32, base slower", check, trial,
        PARITY_CASE_OF("vgg16", FP32, 2, "t4", ADAMW, .base_rate = 0.1f, .cut = "mean"), .steps = 2,
        .probed = true),
    PARITY_TEST("vgg16 fp16, base slower at 64", check, trial,
        PARITY_CASE_OF(
            "vgg16", FP16, 2, "h100", ADAMW, .base_rate = 0.1f, .cut = "mean", .input_size = 64),
        .steps = 2, .probed = true),
    PARITY_TEST("simple-ref bf16", check, trial, PARITY_CASE("simple-ref", BF16, 8, "h100", ADAMW),
        .steps = 3, .probed = true),
    PARITY_TEST("deeper-ref bf16", check, trial, PARITY_CASE("deeper-ref", BF16, 8, "h100", ADAMW),
        .steps = 3, .probed = true),
    PARITY_TEST("simple fp32 on t4", check, trial, PARITY_CASE("simple", FP32, 32, "t4", ADAMW),
        .steps = 3, .unfused = true, .large = true),
    PARITY_TEST("deeper fp32 on t4", check, trial, PARITY_CASE("deeper", FP32, 16, "t4", ADAMW),
        .steps = 3, .unfused = true, .large = true),
    PARITY_TEST("deeper bf16 on a100", check, trial, PARITY_CASE("deeper", BF16, 16, "a100", ADAMW),
        .steps = 3, .unfused = true),
    PARITY_TEST("deeper fp16 on a100", check, trial, PARITY_CASE("deeper", FP16, 15, "a100", ADAMW),
        .steps = 3, .unfused = true),
};

PARITY_MAIN(tests, long_tests)
