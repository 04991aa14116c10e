// The CPU backend's own kernels but those of convolutions (test_winograd.c, test_direct.c) and of
// dense layers (test_gathered.c, test_matrix.c), one instruction set against the other: every table
// that this processor can run gives the bits of the portable one, with any number of threads; and
// bf16's give the bits of fp32's on the same numbers, rounded. Pools and dropout's mask are held to
// their definitions, too, and what is written past the caches to what is not. (What fp32's compute
// is held to plain loops in test_ops.c, with the best table.)
#include "backend/cpu/isa/kernels.h"
#include "dropout.h"
#include "elements.h"
#include "philox.h"
#include "rounding.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    OUTPUTS = 4, // the most that a kernel writes
    SCRATCH = 4  // elements of scratch for each of an activation's
};

// Inputs that every kernel draws from, and what it wrote.
struct work {
    struct fm_view view;
    enum fm_element element;
    size_t size; // elements of the view
    float *x, *dy, *y;
    void *in_x, *in_dy, *in_y; // the same as elements
    void *typed[OUTPUTS];      // outputs that are elements; out gets their values then
    bool is_typed[OUTPUTS];
    float *channel[5]; // [c] each
    uint8_t *bytes;    // [size]
    float *out[OUTPUTS];
    uint8_t *out_bytes;
    double *sums;
};

static float uniform(uint32_t stream, uint32_t i)
{
    return fm_draw_unit(fm_draw(11, 0, 0, stream, i)) * 2.0f - 1.0f;
}

static float *random_floats(size_t count, uint32_t stream)
{
    float *values = malloc(count * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < count; i++)
        values[i] = uniform(stream, (uint32_t)i);
    return values;
}

static void *to_elements(const float *x, size_t count, enum fm_element element)
{
    void *elements = malloc(count * sizeof *x);
    assert_non_null(elements);
    for (size_t i = 0; i < count; i++)
        put_element(element, elements, i, x[i]);
    return elements;
}

// Numbers that are representable in bf16, if `representable`.
static float *random_inputs(size_t count, uint32_t stream, bool representable)
{
    float *values = random_floats(count, stream);
    for (size_t i = 0; representable && i < count; i++)
        values[i] = fm_round_bf16(values[i]);
    return values;
}

static void work_make(
    struct work *w, struct fm_view view, enum fm_element element, bool representable)
{
    memset(w, 0, sizeof *w);
    w->view = view;
    w->element = element;
    w->size = fm_view_size(&view);
    w->x = random_inputs(w->size, 100, representable);
    w->dy = random_inputs(w->size, 101, representable);
    w->y = random_inputs(w->size, 102, representable);
    w->in_x = to_elements(w->x, w->size, element);
    w->in_dy = to_elements(w->dy, w->size, element);
    w->in_y = to_elements(w->y, w->size, element);
    for (uint32_t i = 0; i < 5; i++)
        w->channel[i] = random_floats((size_t)view.c, 110 + i);
    w->bytes = malloc(w->size);
    w->out_bytes = malloc(w->size);
    w->sums = malloc(w->size * SCRATCH * sizeof *w->sums);
    assert_non_null(w->bytes);
    assert_non_null(w->out_bytes);
    assert_non_null(w->sums);
    for (size_t i = 0; i < w->size; i++)
        w->bytes[i] = (uint8_t)(fm_draw(11, 0, 1, 0, (uint32_t)i) & 3);
    for (int i = 0; i < OUTPUTS; i++) {
        w->out[i] = malloc(w->size * sizeof(float));
        w->typed[i] = malloc(w->size * sizeof(float));
        assert_non_null(w->out[i]);
        assert_non_null(w->typed[i]);
    }
}

static void work_free(struct work *w)
{
    free(w->x);
    free(w->dy);
    free(w->y);
    free(w->in_x);
    free(w->in_dy);
    free(w->in_y);
    for (int i = 0; i < 5; i++)
        free(w->channel[i]);
    free(w->bytes);
    free(w->out_bytes);
    free(w->sums);
    for (int i = 0; i < OUTPUTS; i++) {
        free(w->out[i]);
        free(w->typed[i]);
    }
}

// Output i as elements, for a kernel to write to.
static void *typed(struct work *w, int i)
{
    w->is_typed[i] = true;
    return w->typed[i];
}

static const struct fm_element_kernels *on(const struct fm_kernels *k, const struct work *w)
{
    return k->on[w->element];
}

// ---- a run of each kernel on the work

static void run_bias_forward(const struct fm_kernels *k, struct work *w)
{
    memcpy(typed(w, 0), w->in_x, w->size * fm_element_size(w->element));
    on(k, w)->bias_forward(&w->view, w->channel[0], typed(w, 0));
}

static void run_bias_backward(const struct fm_kernels *k, struct work *w)
{
    on(k, w)->bias_backward(&w->view, w->in_dy, w->sums, w->out[0]);
}

static void run_relu_forward(const struct fm_kernels *k, struct work *w)
{
    on(k, w)->relu_forward(w->size, w->in_x, typed(w, 0));
}

static void run_relu_backward(const struct fm_kernels *k, struct work *w)
{
    on(k, w)->relu_backward(w->size, w->in_y, w->in_dy, typed(w, 0));
}

static void run_maxpool_forward(const struct fm_kernels *k, struct work *w)
{
    const struct fm_norm_relu none = {0}, pending = {w->channel[0], w->channel[1]};
    on(k, w)->maxpool_forward(&w->view, w->in_x, pending, typed(w, 2), w->out_bytes);
    on(k, w)->maxpool_forward(&w->view, w->in_x, none, typed(w, 0), w->out_bytes);
    on(k, w)->maxpool_forward(&w->view, w->in_x, none, typed(w, 1), NULL);
}

static void run_maxpool_backward(const struct fm_kernels *k, struct work *w)
{
    on(k, w)->maxpool_backward(&w->view, w->in_dy, NULL, w->bytes, typed(w, 0));
    on(k, w)->maxpool_backward(&w->view, w->in_dy, w->in_y, w->bytes, typed(w, 1));
}

static void run_meanpool(const struct fm_kernels *k, struct work *w)
{
    on(k, w)->meanpool_forward(&w->view, w->in_x, typed(w, 0));
    on(k, w)->meanpool_backward(&w->view, w->in_dy, typed(w, 1));
}

static void run_norm_statistics(const struct fm_kernels *k, struct work *w)
{
    on(k, w)->norm_statistics(&w->view, w->in_x, w->sums, w->out[0], w->out[1]);
}

static void run_norm_apply(const struct fm_kernels *k, struct work *w)
{
    on(k, w)->norm_apply(&w->view, w->in_x, w->channel[0], w->channel[1], true, typed(w, 0));
    on(k, w)->norm_apply(&w->view, w->in_x, w->channel[0], w->channel[1], false, typed(w, 1));
}

static void run_norm_backward_sums(const struct fm_kernels *k, struct work *w)
{
    const struct fm_norm_relu gate = {w->channel[2], w->channel[3]};
    on(k, w)->norm_backward_sums(&w->view, w->in_x, w->in_dy, gate, w->channel[0], w->channel[1],
        w->sums, w->out[0], w->out[1]);
}

static void run_norm_backward_apply(const struct fm_kernels *k, struct work *w)
{
    const struct fm_norm_relu none = {0}, gate = {w->channel[3], w->channel[4]};
    on(k, w)->norm_backward_apply(&w->view, w->in_x, w->in_dy, gate, w->channel[0], w->channel[1],
        w->channel[2], typed(w, 0));
    on(k, w)->norm_backward_apply(&w->view, w->in_x, w->in_dy, none, w->channel[0], w->channel[1],
        w->channel[2], typed(w, 1));
    // Over x, and over dy.
    size_t bytes = w->size * fm_element_size(w->element);
    void *over_x = memcpy(typed(w, 2), w->in_x, bytes);
    on(k, w)->norm_backward_apply(
        &w->view, over_x, w->in_dy, gate, w->channel[0], w->channel[1], w->channel[2], over_x);
    assert_memory_equal(over_x, w->typed[0], bytes);
    void *over_dy = memcpy(typed(w, 2), w->in_dy, bytes);
    on(k, w)->norm_backward_apply(
        &w->view, w->in_x, over_dy, gate, w->channel[0], w->channel[1], w->channel[2], over_dy);
    assert_memory_equal(over_dy, w->typed[0], bytes);
}

enum {
    DROPOUT_SEED = 5,
    DROPOUT_EPOCH = 2
};
#define DROPOUT_RATE 0.3f

static uint32_t dropout_id(int n)
{
    return (uint32_t)(1000 + 7 * n);
}

static void run_dropout(const struct fm_kernels *k, struct work *w)
{
    uint32_t ids[16];
    for (uint32_t i = 0; i < 16; i++)
        ids[i] = dropout_id((int)i);
    assert_true(w->view.n <= 16);
    struct fm_dropout_work work = {.ids = ids,
        .seed = DROPOUT_SEED,
        .epoch = DROPOUT_EPOCH,
        .stream = FM_STREAM_DROPOUT,
        .channels = w->view.c,
        .rate = DROPOUT_RATE};
    k->dropout_mask(&w->view, &work, w->out_bytes);
    on(k, w)->dropout_apply(w->size, w->out_bytes, 1.4f, w->in_x, typed(w, 0));
}

static void run_loss(const struct fm_kernels *k, struct work *w)
{
    int classes = w->view.c, count = (int)(w->size / (size_t)classes);
    uint8_t *labels = w->out_bytes;
    for (int i = 0; i < count; i++)
        labels[i] = (uint8_t)(w->bytes[i] % classes);
    uint32_t *ids = calloc((size_t)count, sizeof *ids);
    assert_non_null(ids);
    for (int i = 0; i < count; i++)
        ids[i] = (uint32_t)(7 * i);
    for (size_t i = 0; i < w->size; i++) // distributions or not, all do the same to them
        w->out[2][i] = fabsf(w->y[i]);
    double sum;
    uint64_t correct;
    const struct fm_loss_work work = {
        .logits = w->x,
        .labels = labels,
        .ids = ids,
        .count = count,
        .classes = classes,
        .smoothing = 0.1f,
        .mix = fm_mix_ranges_of(0.5f, 0.5f, 7, 5),
        .soft_share = 0.3f,
        .soft_targets = w->out[2],
        .seed = 5,
        .epoch = 2,
        .loss_scale = 2.0f,
        .gradient = w->out[0],
    };
    k->loss(&work, &sum, &correct);
    free(ids);
    w->out[1][0] = (float)sum;
    w->out[1][1] = (float)correct;
}

static void run_adam(const struct fm_kernels *k, struct work *w)
{
    struct fm_adam_step step = {.beta1 = 0.9f,
        .beta2 = 0.999f,
        .epsilon = 1e-8f,
        .learning_rate = 1e-2f,
        .weight_decay = 0.1f,
        .correction1 = 2.0f,
        .correction2 = 3.0f,
        .unscale = 0.5f};
    memcpy(w->out[0], w->x, w->size * sizeof(float));
    memcpy(w->out[1], w->dy, w->size * sizeof(float));
    for (size_t i = 0; i < w->size; i++)
        w->out[2][i] = fabsf(w->y[i]);
    k->adam(w->size, w->out[0], w->out[1], w->out[2], w->y, &step);
}

static void run_sgd(const struct fm_kernels *k, struct work *w)
{
    struct fm_sgd_step step = {
        .momentum = 0.9f, .learning_rate = 1e-2f, .weight_decay = 0.1f, .unscale = 0.5f};
    memcpy(w->out[0], w->x, w->size * sizeof(float));
    memcpy(w->out[1], w->dy, w->size * sizeof(float));
    k->sgd(w->size, w->out[0], w->out[1], w->y, &step);
    step.nesterov = true;
    k->sgd(w->size, w->out[0], w->out[1], w->y, &step);
}

static void run_average(const struct fm_kernels *k, struct work *w)
{
    memcpy(w->out[0], w->x, w->size * sizeof(float));
    k->average(w->size, w->out[0], w->y, 0.99f);
}

static void run_input(const struct fm_kernels *k, struct work *w)
{
    struct fm_input input = {.rows = 7,
        .cols = 5,
        .shape = {1, 7, 5},
        .standardise = true,
        .mean = {0.3f, 0.3f, 0.3f},
        .deviation = {0.4f, 0.4f, 0.4f}};
    uint8_t records[16 * 7 * 5];
    uint32_t ids[16];
    for (uint32_t i = 0; i < sizeof records; i++)
        records[i] = (uint8_t)fm_draw(3, 0, 0, 0, i);
    for (uint32_t i = 0; i < 16; i++)
        ids[i] = i * 31;
    struct fm_input_work work = {.input = &input,
        .records = records,
        .ids = ids,
        .augment = true,
        .ranges = {.shift = 2,
            .flip = 1,
            .rows = 7,
            .cols = 5,
            .erase_threshold = fm_draw_threshold(0.5f),
            .erase_size = 4},
        .mix = fm_mix_ranges_of(0.6f, 0.5f, 7, 5),
        .seed = 9,
        .epoch = 1};
    // Not resized, then resized and repeated: as many images as the outputs have room for.
    work.count = (int)(w->size / 35 < 16 ? w->size / 35 : 16);
    on(k, w)->input(&work, typed(w, 0));
    input.shape = (struct fm_shape){3, 9, 8};
    work.count = (int)(w->size / 216 < 16 ? w->size / 216 : 16);
    on(k, w)->input(&work, typed(w, 1));
    work.augment = false;
    work.mirror = true;
    on(k, w)->input(&work, typed(w, 2));
}

static void run_features(const struct fm_kernels *k, struct work *w)
{
    int features = w->size < 37 ? (int)w->size : 37;
    struct fm_input input = {.features = features, .shape = {features, 1, 1}};
    const uint32_t ids[16] = {5, 8, 2, 9, 1, 0, 3};
    struct fm_input_work work = {.input = &input,
        .records = (const uint8_t *)w->x,
        .ids = ids,
        .mix = fm_mix_ranges_of(0.6f, 0.0f, 0, 0),
        .seed = 9};
    work.count = (int)(w->size / (size_t)features < 16 ? w->size / (size_t)features : 16);
    on(k, w)->input(&work, typed(w, 0));
}

static const struct {
    const char *name;
    void (*run)(const struct fm_kernels *kernels, struct work *work);
} kernels[] = {
    {"input", run_input},
    {"input of features", run_features},
    {"bias_forward", run_bias_forward},
    {"bias_backward", run_bias_backward},
    {"relu_forward", run_relu_forward},
    {"relu_backward", run_relu_backward},
    {"maxpool_forward", run_maxpool_forward},
    {"maxpool_backward", run_maxpool_backward},
    {"meanpool", run_meanpool},
    {"norm_statistics", run_norm_statistics},
    {"norm_apply", run_norm_apply},
    {"norm_backward_sums", run_norm_backward_sums},
    {"norm_backward_apply", run_norm_backward_apply},
    {"dropout", run_dropout},
    {"loss", run_loss},
    {"adam", run_adam},
    {"sgd", run_sgd},
    {"average", run_average},
};

static const struct fm_view views[] = {
    {2, 1, 9, 7, 1},     // plain, one channel, odd sizes
    {3, 5, 6, 4, 1},     // plain
    {2, 12, 5, 6, 12},   // channels last
    {2, 32, 6, 6, 16},   // blocks of 16
    {3, 48, 4, 6, 16},   // an odd number of them
    {2, 40, 4, 4, 40},   // channels last, not a whole number of vectors
    {16, 24, 3, 5, 8},   // blocks of 8
    {4, 16, 4, 5, 8},    // blocks of 8, whole quads of pixels
    {5, 40, 1, 1, 40},   // vectors
    {1, 64, 28, 28, 16}, // enough for several threads
};

// Everything that the kernel wrote, with the rest of each output cleared before.
static void run_cleared(size_t kernel, const struct fm_kernels *table, int threads, struct work *w)
{
    for (int i = 0; i < OUTPUTS; i++) {
        memset(w->out[i], 0, w->size * sizeof(float));
        memset(w->typed[i], 0, w->size * sizeof(float));
    }
    memset(w->out_bytes, 0, w->size);
    omp_set_num_threads(threads);
    kernels[kernel].run(table, w);
    for (int i = 0; i < OUTPUTS; i++)
        for (size_t k = 0; w->is_typed[i] && k < w->size; k++)
            w->out[i][k] = (float)get_element(w->element, w->typed[i], k);
}

static void expect_same(
    size_t kernel, const struct work *found, const struct work *expected, const char *what)
{
    bool same = memcmp(found->out_bytes, expected->out_bytes, found->size) == 0;
    for (int i = 0; i < OUTPUTS; i++)
        same = same && memcmp(found->out[i], expected->out[i], found->size * sizeof(float)) == 0;
    const struct fm_view *v = &found->view;
    if (!same)
        fail_msg("%s of %dx%dx%dx%d, block %d: %s", kernels[kernel].name, v->n, v->c, v->h, v->w,
            v->block, what);
}

static void compare(size_t kernel, const struct fm_view *view, enum fm_element element,
    const struct fm_kernels *table, const struct fm_kernels *portable, int threads)
{
    struct work one, other;
    char what[128];
    work_make(&one, *view, element, false);
    work_make(&other, *view, element, false);
    run_cleared(kernel, portable, 1, &one);
    run_cleared(kernel, table, threads, &other);
    snprintf(what, sizeof what, "%s with %d threads differs from %s%s", table->name, threads,
        portable->name, element == FM_ELEMENT_BF16 ? ", in bf16" : "");
    expect_same(kernel, &other, &one, what);
    work_free(&one);
    work_free(&other);
}

static void test_same_bits(void **state)
{
    (void)state;
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    int count = fm_kernels_usable(tables);
    print_message("tables:");
    for (int t = 0; t < count; t++)
        print_message(" %s", tables[t]->name);
    print_message("\n");
    for (size_t k = 0; k < sizeof kernels / sizeof kernels[0]; k++)
        for (size_t v = 0; v < sizeof views / sizeof views[0]; v++)
            for (int t = 0; t < count; t++)
                for (int threads = 1; threads <= 3; threads += 2)
                    for (int element = 0; element < FM_ELEMENT_COUNT; element++)
                        compare(k, &views[v], (enum fm_element)element, tables[t],
                            tables[count - 1], threads);
}

// bf16's kernels compute in fp32: the same numbers in, the same numbers out, rounded once.
static void test_bf16_is_rounded_fp32(void **state)
{
    (void)state;
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    fm_kernels_usable(tables);
    for (size_t k = 0; k < sizeof kernels / sizeof kernels[0]; k++)
        for (size_t v = 0; v < sizeof views / sizeof views[0]; v++) {
            struct work single, half;
            work_make(&single, views[v], FM_ELEMENT_F32, true);
            work_make(&half, views[v], FM_ELEMENT_BF16, true);
            run_cleared(k, tables[0], 2, &single);
            run_cleared(k, tables[0], 2, &half);
            for (int i = 0; i < OUTPUTS; i++)
                for (size_t e = 0; single.is_typed[i] && e < single.size; e++)
                    single.out[i][e] = fm_round_bf16(single.out[i][e]);
            expect_same(k, &half, &single, "bf16 differs from rounded fp32");
            work_free(&single);
            work_free(&half);
        }
}

// ---- against the definition, element by element

static void test_dropout_keeps_by_element(void **state)
{
    (void)state;
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    int count = fm_kernels_usable(tables);
    for (size_t view = 0; view < sizeof views / sizeof views[0]; view++)
        for (int t = 0; t < count; t++) {
            const struct fm_view *v = &views[view];
            struct work w;
            work_make(&w, *v, FM_ELEMENT_F32, false);
            run_dropout(tables[t], &w);
            uint32_t threshold = fm_dropout_threshold(DROPOUT_RATE);
            for (int n = 0; n < v->n; n++)
                for (int c = 0; c < v->c; c++)
                    for (int i = 0; i < v->h * v->w; i++) {
                        uint32_t draw = fm_draw(DROPOUT_SEED, DROPOUT_EPOCH, dropout_id(n),
                            FM_STREAM_DROPOUT, (uint32_t)(c * v->h * v->w + i));
                        assert_int_equal(
                            w.out_bytes[element_at(v, n, c, i)], fm_dropout_keeps(draw, threshold));
                    }
            work_free(&w);
        }
}

// Values among which nearly every window has equals, zeros of both signs, infinities or NaNs.
static void make_awkward(struct work *w)
{
    static const float awkward[] = {
        0.0f, -0.0f, 1.0f, 1.0f, -1.0f, 2.5f, INFINITY, -INFINITY, NAN, 1e-40f, -1e-40f, 3e38f};
    enum {
        AWKWARD = sizeof awkward / sizeof awkward[0]
    };
    for (size_t i = 0; i < w->size; i++) {
        w->x[i] = awkward[fm_draw_below(fm_draw(12, 0, 1, 0, (uint32_t)i), AWKWARD)];
        w->y[i] = awkward[fm_draw_below(fm_draw(12, 0, 2, 0, (uint32_t)i), AWKWARD)];
    }
    free(w->in_x);
    free(w->in_y);
    w->in_x = to_elements(w->x, w->size, w->element);
    w->in_y = to_elements(w->y, w->size, w->element);
}

static void expect_number(double found, float expected)
{
    if (isnan(expected)) {
        assert_true(isnan(found));
        return;
    }
    assert_int_equal(fm_bits_of((float)found), fm_bits_of(expected));
}

// Output pixel (r, q) of channel c, and the gradients that go back from it.
static void expect_window(const struct work *w, int n, int c, int r, int q)
{
    const struct fm_view *v = &w->view;
    const struct fm_view out = {v->n, v->c, v->h / 2, v->w / 2, v->block};
    size_t to = element_at(&out, n, c, r * out.w + q);
    float gradient = (float)get_element(w->element, w->in_dy, to),
          gate = (float)get_element(w->element, w->in_y, to);
    int best = 0;
    float most = 0.0f;
    for (int corner = 0; corner < 4; corner++) {
        size_t at = element_at(v, n, c, (2 * r + corner / 2) * v->w + 2 * q + corner % 2);
        float x = (float)get_element(w->element, w->in_x, at);
        // The first largest, or the last NaN.
        if (corner == 0 || x > most || isnan(x)) {
            best = corner;
            most = x;
        }
        bool here = w->bytes[to] == corner;
        expect_number(get_element(w->element, w->typed[2], at), here ? gradient : 0.0f);
        expect_number(
            get_element(w->element, w->typed[3], at), here && gate > 0.0f ? gradient : 0.0f);
    }
    expect_number(get_element(w->element, w->typed[0], to), most);
    expect_number(get_element(w->element, w->typed[1], to), most);
    assert_int_equal(w->out_bytes[to], best);
}

// A last row or column without a window gets no gradient.
static void expect_channel(const struct work *w, int n, int c)
{
    const struct fm_view *v = &w->view;
    int rows = v->h / 2, columns = v->w / 2;
    for (int i = 0; i < rows * columns; i++)
        expect_window(w, n, c, i / columns, i % columns);
    for (int i = 0; i < v->h * v->w; i++)
        for (int out = 2; out < 4; out++)
            if (i / v->w >= 2 * rows || i % v->w >= 2 * columns)
                expect_number(get_element(w->element, w->typed[out], element_at(v, n, c, i)), 0.0f);
}

static void test_maxpool_by_window(void **state)
{
    (void)state;
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    int count = fm_kernels_usable(tables);
    const struct fm_norm_relu none = {0};
    for (size_t view = 0; view < sizeof views / sizeof views[0]; view++)
        for (int t = 0; t < 2 * count; t++) {
            const struct fm_view *v = &views[view];
            struct work w;
            work_make(&w, *v, t % 2 ? FM_ELEMENT_BF16 : FM_ELEMENT_F32, true);
            make_awkward(&w);
            const struct fm_element_kernels *k = on(tables[t / 2], &w);
            k->maxpool_forward(v, w.in_x, none, typed(&w, 0), w.out_bytes);
            k->maxpool_forward(v, w.in_x, none, typed(&w, 1), NULL);
            for (int i = 2; i < 4; i++)
                memset(typed(&w, i), 0xff, w.size * sizeof(float));
            k->maxpool_backward(v, w.in_dy, NULL, w.bytes, typed(&w, 2));
            k->maxpool_backward(v, w.in_dy, w.in_y, w.bytes, typed(&w, 3));
            for (int n = 0; n < v->n; n++)
                for (int c = 0; c < v->c; c++)
                    expect_channel(&w, n, c);
            work_free(&w);
        }
}

// Gradients so many that they are written past the caches, which wants them to begin at a vector,
// are those that are written otherwise.
static void test_far_gradients(void **state)
{
    (void)state;
    const struct fm_view v = {20, 64, 29, 31, 8}; // with a row and a column to spare
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    int count = fm_kernels_usable(tables);
    size_t bytes = fm_view_size(&v) * sizeof(float);
    struct work w;
    work_make(&w, v, FM_ELEMENT_F32, false);
    char *far = aligned_alloc(64, bytes + 64), *near = aligned_alloc(64, bytes + 64);
    assert_true(far && near);
    for (int t = 0; t < count; t++)
        for (int gated = 0; gated < 2; gated++) {
            memset(far, 0xff, bytes);
            memset(near, 0xff, bytes);
            tables[t]->on[FM_ELEMENT_F32]->maxpool_backward(
                &v, w.in_dy, gated ? w.in_y : NULL, w.bytes, far);
            tables[t]->on[FM_ELEMENT_F32]->maxpool_backward(
                &v, w.in_dy, gated ? w.in_y : NULL, w.bytes, near + sizeof(float));
            assert_memory_equal(far, near + sizeof(float), bytes);
        }
    free(far);
    free(near);
    work_free(&w);
}

static void test_finite_check(void **state)
{
    (void)state;
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    int count = fm_kernels_usable(tables);
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int t = 0; t < count; t++)
        for (size_t size = 1; size < 70; size++) {
            float values[70] = {0};
            values[0] = -3.4e38f;
            values[size - 1] = 3.4e38f;
            assert_true(tables[t]->all_finite(size, values));
            for (size_t at = 0; at < size; at++)
                for (size_t b = 0; b < 3; b++) {
                    float kept = values[at];
                    values[at] = bad[b];
                    assert_false(tables[t]->all_finite(size, values));
                    values[at] = kept;
                }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_bf16_is_rounded_fp32),
        cmocka_unit_test(test_dropout_keeps_by_element),
        cmocka_unit_test(test_maxpool_by_window),
        cmocka_unit_test(test_far_gradients),
        cmocka_unit_test(test_finite_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
