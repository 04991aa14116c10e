// The dense layer of a single image, with every table that this processor can run, against sums in
// double: in every layout, with padding channels, with none, some and all of the inputs zero; the
// same bits with every instruction set and any number of threads.
#include "elements.h"
#include "philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct shape {
    int c, h, w, block, out; // block 0: channels last
} shapes[] = {
    {1, 1, 1, 1, 1}, {1, 28, 28, 1, 10}, // an image as it comes
    {3, 5, 4, 1, 17},                    // a plane for each channel
    {64, 3, 5, 16, 128},                 // blocks
    {5, 3, 3, 8, 130},                   // three padding channels
    {40, 2, 2, 16, 1030},                // eight of them, and outputs for many lines
    {72, 1, 1, 0, 256},                  // a vector
    {32, 4, 4, 0, 33},                   // channels last
    {20, 2, 2, 0, 33},                   // the same, no whole vectors
    {20, 2, 2, 0, 133},                  // the same in several parts
    {3, 11, 9, 1, 40},                   // several parts that end in no whole vector
    {48, 3, 1, 0, 200},                  // fewer pixels than parts
    {12, 1, 1, 0, 700},                  // fewer inputs than a vector
};

// Fewer than the parts of the inputs, not a multiple of them, more than there are outputs for.
static const int teams[] = {1, 2, 3, 4, 5, 8, 13, 64};
#define TEAMS (sizeof teams / sizeof teams[0])

struct trial {
    const struct shape *shape;
    struct fm_view view;
    enum fm_element element;
    void *x, *weights; // [view], [inputs][out]
    float *bias;
};

static float drawn(uint32_t stream, size_t i)
{
    return (float)(fm_draw_unit(fm_draw(23, 0, 0, stream, (uint32_t)i)) * 2.0f - 1.0f);
}

// A share `zeros` of the inputs is zero: 0.0 at even places in memory, -0.0 at odd ones.
static void trial_make(struct trial *t, const struct shape *s, enum fm_element element, float zeros)
{
    int block = s->block > 0 ? s->block : s->c, padded = (s->c + block - 1) / block * block;
    size_t inputs = (size_t)s->c * (size_t)(s->h * s->w), out = (size_t)s->out;
    *t = (struct trial){.shape = s, .view = {1, padded, s->h, s->w, block}, .element = element};
    size_t size = fm_element_size(element); // no more: the sanitizer watches the ends
    t->x = calloc(fm_view_size(&t->view), size);
    t->weights = malloc(inputs * out * size);
    t->bias = malloc(out * sizeof *t->bias);
    assert_true(t->x && t->weights && t->bias);
    for (int c = 0; c < s->c; c++)
        for (int i = 0; i < s->h * s->w; i++) {
            size_t at = element_at(&t->view, 0, c, i);
            bool zero = (drawn(1, at) + 1.0f) / 2.0f < zeros;
            put_element(element, t->x, at, zero ? (at % 2 ? -0.0f : 0.0f) : drawn(2, at));
        }
    for (size_t i = 0; i < inputs * out; i++)
        put_element(element, t->weights, i, drawn(3, i));
    for (size_t j = 0; j < out; j++)
        t->bias[j] = drawn(4, j);
}

static void trial_free(struct trial *t)
{
    free(t->x);
    free(t->weights);
    free(t->bias);
}

// What the kernel puts out, in fp32; to be freed.
static float *run(
    const struct trial *t, const struct fm_kernels *kernels, struct fm_gathered_run d, int threads)
{
    const struct fm_element_kernels *on = kernels->on[t->element];
    enum fm_element element = d.wide ? FM_ELEMENT_F32 : t->element;
    size_t out = (size_t)t->shape->out;
    void *scratch = malloc(on->gathered_scratch(&t->view, t->shape->out, threads));
    void *y = malloc(out * fm_element_size(element));
    float *values = malloc(out * sizeof *values);
    assert_true(scratch && y && values);
    d.x = t->x;
    d.inputs = t->shape->c * t->shape->h * t->shape->w;
    d.weights = d.plain ? NULL : t->weights;
    d.out = t->shape->out;
    d.y = y;
    on->gathered(&t->view, &d, threads, scratch);
    for (size_t j = 0; j < out; j++)
        values[j] = (float)get_element(element, y, j);
    free(scratch);
    free(y);
    return values;
}

// By definition, and how much was added.
static double expected(
    const struct trial *t, const struct fm_gathered_run *d, int j, double *magnitude)
{
    double sum = d->bias ? (double)d->bias[j] : 0.0;
    *magnitude = fabs(sum);
    int pixels = t->shape->h * t->shape->w;
    for (int c = 0; c < t->shape->c; c++)
        for (int i = 0; i < pixels; i++) {
            size_t row = (size_t)c * (size_t)pixels + (size_t)i;
            double one = get_element(t->element, t->x, element_at(&t->view, 0, c, i)) *
                         get_element(
                             t->element, t->weights, row * (size_t)t->shape->out + (size_t)j);
            sum += one;
            *magnitude += fabs(one);
        }
    return d->relu && sum < 0.0 ? 0.0 : sum;
}

static void check(const struct trial *t, const struct fm_kernels *kernels, struct fm_gathered_run d)
{
    float *y = run(t, kernels, d, 1);
    bool wide = d.wide || t->element == FM_ELEMENT_F32;
    for (int j = 0; j < t->shape->out; j++) {
        double magnitude, wanted = expected(t, &d, j, &magnitude);
        double bound = magnitude * 1e-6 + (wide ? 0.0 : fabs(wanted) / 256.0);
        if (!(fabs((double)y[j] - wanted) <= bound))
            fail_msg("%s: %dx%dx%d in blocks of %d, output %d of %d: %.9g, expected %.9g",
                kernels->name, t->shape->c, t->shape->h, t->shape->w, t->view.block, j,
                t->shape->out, (double)y[j], wanted);
    }
    free(y);
}

static void test_values(void **state)
{
    (void)state;
    static const float zeros[] = {0.0f, 0.8f, 1.0f};
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    int count = fm_kernels_usable(tables);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int element = 0; element < FM_ELEMENT_COUNT; element++)
            for (size_t z = 0; z < sizeof zeros / sizeof zeros[0]; z++) {
                struct trial t;
                trial_make(&t, &shapes[s], (enum fm_element)element, zeros[z]);
                for (int k = 0; k < count; k++) {
                    check(&t, tables[k], (struct fm_gathered_run){.bias = t.bias});
                    check(&t, tables[k], (struct fm_gathered_run){.wide = true});
                    check(&t, tables[k], (struct fm_gathered_run){.bias = t.bias, .relu = true});
                    check(&t, tables[k], (struct fm_gathered_run){.bias = t.bias, .all = true});
                }
                trial_free(&t);
            }
}

static void test_same_bits(void **state)
{
    (void)state;
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    int count = fm_kernels_usable(tables);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int element = 0; element < FM_ELEMENT_COUNT; element++) {
            struct trial t;
            trial_make(&t, &shapes[s], (enum fm_element)element, 0.5f);
            struct fm_gathered_run d = {.bias = t.bias, .wide = true};
            float *first = run(&t, tables[0], d, 1);
            for (int k = 0; k < count; k++)
                for (size_t i = 0; i < TEAMS; i++) {
                    float *other = run(&t, tables[k], d, teams[i]);
                    assert_memory_equal(first, other, (size_t)t.shape->out * sizeof *first);
                    free(other);
                }
            free(first);
            trial_free(&t);
        }
}

// Weights as a model has them, [out][in], not all of them exact in bf16.
static float *draw_plain(const struct shape *s)
{
    size_t count = (size_t)(s->c * s->h * s->w) * (size_t)s->out;
    float *plain = malloc(count * sizeof *plain);
    assert_non_null(plain);
    for (size_t i = 0; i < count; i++)
        plain[i] = drawn(7, i);
    return plain;
}

static void check_rows(const struct trial *t, const float *plain)
{
    size_t in = (size_t)(t->shape->c * t->shape->h * t->shape->w), out = (size_t)t->shape->out;
    for (size_t i = 0; i < in; i++)
        for (size_t o = 0; o < out; o++) {
            double wanted = t->element == FM_ELEMENT_BF16 ? (double)fm_round_bf16(plain[o * in + i])
                                                          : (double)plain[o * in + i];
            double got = get_element(t->element, t->weights, i * out + o);
            assert_true(got == wanted || (isnan(got) && isnan(wanted)));
        }
}

static void same_or_nan(const float *a, const float *b, int count)
{
    for (int j = 0; j < count; j++)
        if (memcmp(&a[j], &b[j], sizeof *a) != 0 && !(isnan(a[j]) && isnan(b[j])))
            fail_msg("output %d: %.9g by rows, %.9g without", j, (double)a[j], (double)b[j]);
}

// Which of a model's weights is not finite: that of an output and an input, which is zero.
static const struct spoilt {
    float weight; // 0: all are finite
    bool last;    // of the outputs, and of the inputs, else the first of either
} spoilt[] = {{0.0f, false}, {INFINITY, true}, {NAN, false}, {-INFINITY, false}};

// Returns the output.
static int spoil(struct trial *t, const struct spoilt *how, float *plain)
{
    const struct shape *s = t->shape;
    int pixels = s->h * s->w, in = s->c * pixels;
    int input = how->last ? in - 1 : 0, output = how->last ? s->out - 1 : 0;
    put_element(t->element, t->x, element_at(&t->view, 0, input / pixels, input % pixels), 0.0f);
    plain[(size_t)output * (size_t)in + (size_t)input] = how->weight;
    return output;
}

// A first image is computed without rows, to the same bits, also where a weight is not finite.
static void test_plain_weights(void **state)
{
    (void)state;
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    int count = fm_kernels_usable(tables);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int element = 0; element < FM_ELEMENT_COUNT; element++)
            for (size_t w = 0; w < sizeof spoilt / sizeof spoilt[0]; w++) {
                struct trial t;
                trial_make(&t, &shapes[s], (enum fm_element)element, 0.5f);
                float *plain = draw_plain(&shapes[s]);
                int in = shapes[s].c * shapes[s].h * shapes[s].w;
                int output = spoil(&t, &spoilt[w], plain);
                for (int k = 0; k < count; k++) {
                    bool finite = tables[k]->on[element]->rows(shapes[s].out, in, plain, t.weights);
                    assert_int_equal(finite, spoilt[w].weight == 0.0f);
                    check_rows(&t, plain);
                    struct fm_gathered_run d = {.bias = t.bias, .wide = true, .all = !finite};
                    float *by_rows = run(&t, tables[k], d, 2);
                    assert_int_equal(isnan(by_rows[output]) == 0, finite);
                    d.plain = plain;
                    d.all = false;
                    for (size_t i = 0; i < TEAMS; i++) {
                        float *without = run(&t, tables[k], d, teams[i]);
                        same_or_nan(by_rows, without, shapes[s].out);
                        free(without);
                    }
                    free(by_rows);
                }
                free(plain);
                trial_free(&t);
            }
}

// A NaN among the inputs: the first, with padding channels, or the last.
static void test_nan_stays(void **state)
{
    (void)state;
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    int count = fm_kernels_usable(tables);
    for (int element = 0; element < FM_ELEMENT_COUNT; element++)
        for (int last = 0; last < 2; last++) {
            struct trial t;
            trial_make(&t, &shapes[last ? 3 : 4], (enum fm_element)element, 0.8f);
            size_t at = last ? fm_view_size(&t.view) - 1 : 0;
            put_element((enum fm_element)element, t.x, at, -NAN);
            for (int k = 0; k < count; k++) {
                float *y = run(
                    &t, tables[k], (struct fm_gathered_run){.relu = true, .wide = true}, 2);
                for (int j = 0; j < t.shape->out; j++)
                    assert_true(isnan(y[j]));
                free(y);
            }
            trial_free(&t);
        }
}

// The weights of inputs that are zero are not read; with `all` they are.
static void test_zeros_are_passed_over(void **state)
{
    (void)state;
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    int count = fm_kernels_usable(tables);
    for (int element = 0; element < FM_ELEMENT_COUNT; element++) {
        struct trial t;
        trial_make(&t, &shapes[3], (enum fm_element)element, 0.5f);
        int pixels = t.shape->h * t.shape->w;
        for (int c = 0; c < t.shape->c; c++)
            for (int i = 0; i < pixels; i++)
                for (int j = 0; j < t.shape->out; j++)
                    if (get_element(t.element, t.x, element_at(&t.view, 0, c, i)) == 0.0)
                        put_element(t.element, t.weights,
                            (size_t)(c * pixels + i) * (size_t)t.shape->out + (size_t)j, NAN);
        for (int k = 0; k < count; k++)
            for (int all = 0; all < 2; all++) {
                float *y = run(
                    &t, tables[k], (struct fm_gathered_run){.all = all > 0, .wide = true}, 2);
                for (int j = 0; j < t.shape->out; j++)
                    assert_int_equal(isfinite(y[j]) != 0, all == 0);
                free(y);
            }
        trial_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_zeros_are_passed_over),
        cmocka_unit_test(test_plain_weights),
        cmocka_unit_test(test_nan_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
