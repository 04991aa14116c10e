// The first convolution of a network, with every table that this processor can run, against sums in
// double: forward, and the gradient of its filters and bias, with and without a ReLU's gate; of one
// to three channels, whatever the layout of the input, with each padding; the same bits with any
// number of threads.
#include "elements.h"
#include "philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    TAPS = 9
};

static const struct shape {
    int n, c, h, w, in_block, padding, out;
} shapes[] = {
    {1, 1, 28, 28, 1, 1, 64}, // `deeper`
    {1, 1, 28, 28, 1, 0, 32}, // `simple`
    {2, 3, 32, 32, 1, 1, 64}, // `vgg16`
    {3, 2, 5, 7, 1, 2, 16},   // the output larger than the input
    {2, 3, 4, 3, 3, 1, 48},   // channels last
    {5, 1, 1, 1, 1, 1, 16},   // a pixel
    {1, 2, 3, 3, 1, 0, 32},   // an output pixel
};

struct trial {
    const struct shape *shape;
    struct fm_direct d;
    enum fm_element element;
    void *x, *rows;  // [in], [c][3][3][out]
    float *bias;     // [out]
    size_t elements; // of the output
};

static float drawn(uint32_t stream, size_t i)
{
    return (float)(fm_draw_unit(fm_draw(29, 0, 0, stream, (uint32_t)i)) * 2.0f - 1.0f);
}

static void trial_make(struct trial *t, const struct shape *s, enum fm_element element)
{
    int h = s->h + 2 * s->padding - 2, w = s->w + 2 * s->padding - 2;
    *t = (struct trial){.shape = s, .element = element};
    t->d = (struct fm_direct){.in = {s->n, s->c, s->h, s->w, s->in_block},
        .out = {s->n, s->out, h, w, s->out},
        .padding = s->padding};
    assert_true(fm_direct_suits(&t->d));
    t->elements = fm_view_size(&t->d.out);
    size_t size = fm_element_size(element); // no more: the sanitizer watches the ends
    size_t inputs = fm_view_size(&t->d.in), weights = (size_t)(s->c * TAPS) * (size_t)s->out;
    t->x = malloc(inputs * size);
    t->rows = malloc(weights * size);
    t->bias = malloc((size_t)s->out * sizeof *t->bias);
    assert_true(t->x && t->rows && t->bias);
    for (size_t i = 0; i < inputs; i++)
        put_element(element, t->x, i, drawn(1, i));
    for (size_t i = 0; i < weights; i++)
        put_element(element, t->rows, i, drawn(2, i));
    for (int c = 0; c < s->out; c++)
        t->bias[c] = drawn(3, (size_t)c);
}

static void trial_free(struct trial *t)
{
    free(t->x);
    free(t->rows);
    free(t->bias);
}

// What the kernel puts out; to be freed.
static void *run(const struct trial *t, const struct fm_kernels *kernels, const float *bias,
    bool relu, int threads)
{
    const struct fm_element_kernels *on = kernels->on[t->element];
    struct fm_direct d = t->d;
    d.threads = threads;
    void *y = malloc(t->elements * fm_element_size(t->element));
    void *scratch = malloc(on->direct_scratch(&d));
    assert_true(y && scratch);
    const struct fm_direct_run r = {.x = t->x, .rows = t->rows, .bias = bias, .relu = relu, .y = y};
    on->direct(&d, &r, scratch);
    free(scratch);
    return y;
}

// By definition, and how much was added.
static double expected(
    const struct trial *t, const float *bias, int n, int c, int y, int x, double *magnitude)
{
    const struct fm_view *v = &t->d.in;
    double sum = bias ? (double)bias[c] : 0.0;
    *magnitude = fabs(sum);
    for (int in = 0; in < v->c; in++)
        for (int tap = 0; tap < TAPS; tap++) {
            int row = y - t->d.padding + tap / 3, column = x - t->d.padding + tap % 3;
            if (row < 0 || row >= v->h || column < 0 || column >= v->w)
                continue;
            size_t weight = (size_t)(in * TAPS + tap) * (size_t)t->shape->out + (size_t)c;
            double one = get_element(t->element, t->x, element_at(v, n, in, row * v->w + column)) *
                         get_element(t->element, t->rows, weight);
            sum += one;
            *magnitude += fabs(one);
        }
    return sum;
}

static void check(
    const struct trial *t, const struct fm_kernels *kernels, const float *bias, bool relu)
{
    void *found = run(t, kernels, bias, relu, 1);
    const struct fm_view *v = &t->d.out;
    for (int n = 0; n < v->n; n++)
        for (int c = 0; c < v->c; c++)
            for (int y = 0; y < v->h; y++)
                for (int x = 0; x < v->w; x++) {
                    double magnitude, wanted = expected(t, bias, n, c, y, x, &magnitude);
                    wanted = relu && wanted < 0.0 ? 0.0 : wanted;
                    double bound = magnitude * 1e-6;
                    if (t->element == FM_ELEMENT_BF16)
                        bound += fabs(wanted) / 256.0;
                    double value = get_element(
                        t->element, found, element_at(v, n, c, y * v->w + x));
                    if (!(fabs(value - wanted) <= bound))
                        fail_msg("%s: %dx%dx%dx%d, padding %d, image %d, channel %d of %d, row %d, "
                                 "column %d: %.9g, expected %.9g",
                            kernels->name, t->shape->n, t->shape->c, t->shape->h, t->shape->w,
                            t->shape->padding, n, c, v->c, y, x, value, wanted);
                }
    free(found);
}

// Each table on each shape, with both elements.
static void over_all(void (*call)(const struct trial *t, const struct fm_kernels *kernels))
{
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    int count = fm_kernels_usable(tables);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int element = 0; element < FM_ELEMENT_COUNT; element++) {
            struct trial t;
            trial_make(&t, &shapes[s], (enum fm_element)element);
            for (int k = 0; k < count; k++)
                call(&t, tables[k]);
            trial_free(&t);
        }
}

static void check_values(const struct trial *t, const struct fm_kernels *kernels)
{
    check(t, kernels, t->bias, true);
    check(t, kernels, t->bias, false);
    check(t, kernels, NULL, false);
}

static void test_values(void **state)
{
    (void)state;
    over_all(check_values);
}

static void check_bits(const struct trial *t, const struct fm_kernels *kernels)
{
    void *first = run(t, kernels, t->bias, true, 1);
    for (int threads = 2; threads <= 5; threads++) {
        void *other = run(t, kernels, t->bias, true, threads);
        assert_memory_equal(first, other, t->elements * fm_element_size(t->element));
        free(other);
    }
    free(first);
}

static void test_same_bits(void **state)
{
    (void)state;
    over_all(check_bits);
}

// A black background is worth the bias, exactly, also where a ReLU lets nothing pass of it.
static void check_black(const struct trial *t, const struct fm_kernels *kernels)
{
    struct trial black = *t;
    black.x = calloc(fm_view_size(&t->d.in), fm_element_size(t->element));
    assert_non_null(black.x);
    void *found = run(&black, kernels, t->bias, false, 2);
    const struct fm_view *v = &t->d.out;
    for (size_t i = 0; i < t->elements; i++) {
        float bias = t->bias[i % (size_t)v->c]; // channels come last
        if (t->element == FM_ELEMENT_BF16)
            bias = fm_round_bf16(bias);
        assert_true(get_element(t->element, found, i) == (double)bias);
    }
    free(found);
    free(black.x);
}

static void test_black(void **state)
{
    (void)state;
    over_all(check_black);
}

static void check_nan(const struct trial *t, const struct fm_kernels *kernels)
{
    const struct shape *s = t->shape;
    size_t last = element_at(&t->d.in, s->n - 1, s->c - 1, s->h * s->w - 1);
    float kept = (float)get_element(t->element, t->x, last);
    put_element(t->element, t->x, last, NAN);
    void *found = run(t, kernels, t->bias, true, 2);
    const struct fm_view *v = &t->d.out;
    for (int c = 0; c < v->c; c++)
        assert_true(isnan(get_element(
            t->element, found, element_at(v, v->n - 1, c, v->h * v->w - 1)))); // behind a ReLU
    put_element(t->element, t->x, last, kept);
    free(found);
}

static void test_nan_stays(void **state)
{
    (void)state;
    over_all(check_nan);
}

// ---- the gradient

struct gradient_trial {
    const struct trial *t;
    struct fm_direct d;
    float *dy, *gate; // [out]
    size_t filters;
};

static void gradient_make(struct gradient_trial *g, const struct trial *t, int block)
{
    size_t outputs = t->elements;
    *g = (struct gradient_trial){.t = t, .d = t->d};
    g->d.out.block = block;
    g->dy = malloc(outputs * sizeof *g->dy);
    g->gate = malloc(outputs * sizeof *g->gate);
    g->filters = (size_t)(t->shape->out * t->d.in.c * TAPS);
    assert_true(g->dy && g->gate);
    for (size_t i = 0; i < outputs; i++) {
        g->dy[i] = drawn(5, i);
        g->gate[i] = drawn(6, i);
    }
}

static void gradient_free(struct gradient_trial *g)
{
    free(g->dy);
    free(g->gate);
}

// Of the filters, then of the bias, which is none where it is not asked for; to be freed.
static float *gradient_run(const struct gradient_trial *g, const struct fm_kernels *kernels,
    bool gated, bool bias, int threads)
{
    struct fm_direct d = g->d;
    d.threads = threads;
    float *dw = malloc((g->filters + (size_t)d.out.c) * sizeof *dw);
    void *scratch = malloc(kernels->direct_gradient_scratch(&d));
    assert_true(dw && scratch);
    memset(dw, 0, (g->filters + (size_t)d.out.c) * sizeof *dw);
    const struct fm_direct_gradient run = {.x = g->t->x,
        .dy = g->dy,
        .gate = gated ? g->gate : NULL,
        .dw = dw,
        .db = bias ? dw + g->filters : NULL};
    kernels->direct_gradient(&d, &run, scratch);
    free(scratch);
    return dw;
}

static double passed(const struct gradient_trial *g, bool gated, int n, int c, int pixel)
{
    size_t at = element_at(&g->d.out, n, c, pixel);
    return !gated || g->gate[at] > 0.0f ? (double)g->dy[at] : 0.0;
}

static double input_of(const struct gradient_trial *g, int n, int c, int y, int x)
{
    const struct fm_view *v = &g->d.in;
    bool inside = y >= 0 && y < v->h && x >= 0 && x < v->w;
    const float *image = g->t->x;
    return inside ? (double)image[element_at(v, n, c, y * v->w + x)] : 0.0;
}

// Of input channel `in` and a tap; of the bias where that is -1.
static double expected_gradient(
    const struct gradient_trial *g, bool gated, int out, int in, int tap, double *magnitude)
{
    const struct fm_view *v = &g->d.out;
    double sum = 0.0;
    *magnitude = 1.0;
    for (int n = 0; n < v->n; n++)
        for (int y = 0; y < v->h; y++)
            for (int x = 0; x < v->w; x++) {
                double one = passed(g, gated, n, out, y * v->w + x);
                if (in >= 0)
                    one *= input_of(
                        g, n, in, y + tap / 3 - g->d.padding, x + tap % 3 - g->d.padding);
                sum += one;
                *magnitude += fabs(one);
            }
    return sum;
}

static void check_gradient(
    const struct gradient_trial *g, const struct fm_kernels *kernels, bool gated)
{
    float *found = gradient_run(g, kernels, gated, true, 1);
    int each = g->d.in.c * TAPS, outputs = g->d.out.c;
    for (int out = 0; out < outputs; out++)
        for (int i = -1; i < each; i++) {
            double magnitude;
            double wanted = expected_gradient(
                g, gated, out, i < 0 ? -1 : i / TAPS, i % TAPS, &magnitude);
            double value = (double)(i < 0 ? found[g->filters + (size_t)out]
                                          : found[out * each + i]);
            if (!(fabs(value - wanted) <= magnitude * 1e-6))
                fail_msg("%s: gradient of %d channels, padding %d, blocks of %d: output %d, "
                         "%s %d: %.9g, expected %.9g",
                    kernels->name, g->d.in.c, g->d.padding, g->d.out.block, out,
                    i < 0 ? "bias" : "weight", i, value, wanted);
        }
    for (int threads = 2; threads <= 5; threads++) {
        float *other = gradient_run(g, kernels, gated, true, threads);
        assert_memory_equal(found, other, (g->filters + (size_t)outputs) * sizeof *found);
        free(other);
    }
    free(found);
}

// A gradient that is not finite shows in its output alone, or is gated out; a bias that is not
// asked for is left alone.
static void check_what_shows(struct gradient_trial *g, const struct fm_kernels *kernels)
{
    int each = g->d.in.c * TAPS;
    size_t first = element_at(&g->d.out, 0, 0, 0);
    g->dy[first] = NAN;
    for (int gated = 0; gated < 2; gated++) {
        g->gate[first] = 0.0f;
        float *found = gradient_run(g, kernels, gated, false, 2);
        bool shows = false;
        for (int i = 0; i < each; i++)
            shows = shows || isnan(found[i]);
        assert_int_equal(shows, !gated);
        for (size_t i = (size_t)each; i < g->filters; i++)
            assert_true(isfinite(found[i]));
        for (size_t c = 0; c < (size_t)g->d.out.c; c++)
            assert_true(found[g->filters + c] == 0.0f);
        free(found);
    }
}

// With blocks of 8 and 16, where the table's vectors fill them, and channels last.
static void check_gradients(const struct trial *t, const struct fm_kernels *kernels)
{
    const int blocks[] = {8, 16, t->d.out.c};
    for (int i = 0; i < 3 && t->element == FM_ELEMENT_F32; i++) {
        struct gradient_trial g;
        gradient_make(&g, t, blocks[i]);
        bool suits = fm_direct_gradient_suits(&g.d, kernels->lanes);
        assert_int_equal(suits, kernels->lanes <= blocks[i]);
        if (suits) {
            check_gradient(&g, kernels, false);
            check_gradient(&g, kernels, true);
            check_what_shows(&g, kernels);
        }
        gradient_free(&g);
    }
}

static void test_gradient(void **state)
{
    (void)state;
    over_all(check_gradients);
}

static void test_what_suits(void **state)
{
    (void)state;
    const struct fm_direct fits = {{1, 1, 28, 28, 1}, {1, 32, 28, 28, 32}, 1, 1};
    assert_true(fm_direct_suits(&fits));
    struct fm_direct other = fits;
    other.in.c = FM_DIRECT_INPUTS + 1;
    assert_false(fm_direct_suits(&other));
    other = fits;
    other.out.c = other.out.block = 40; // which a vector does not fit
    assert_false(fm_direct_suits(&other));
    other = fits;
    other.out.block = 16;
    assert_false(fm_direct_suits(&other));
    other = fits;
    other.padding = 3;
    assert_false(fm_direct_suits(&other));
    assert_false(fm_direct_gradient_suits(&other, 8));
    other = fits;
    other.out.block = 4; // which no vector fits
    assert_false(fm_direct_gradient_suits(&other, 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_black),
        cmocka_unit_test(test_nan_stays),
        cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_what_suits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
