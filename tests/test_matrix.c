// A dense layer's products, with every table that this processor can run, against sums in double:
// each of the three, of activations in every layout, batches and outputs that fill no block; the
// same bits with any number of threads, and a NaN in its row.
#include "elements.h"
#include "philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct shape {
    int batch, c, h, w, block, out; // block 0: channels last
} shapes[] = {
    {7, 16, 3, 3, 8, 20},    // blocks of 8
    {5, 64, 6, 6, 16, 40},   // of 16; more inputs than are multiplied at a time
    {6, 24, 2, 3, 0, 33},    // channels last
    {3, 5, 4, 4, 1, 10},     // plain
    {70, 130, 1, 1, 0, 10},  // vectors; rows that threads share
    {300, 16, 2, 2, 8, 24},  // more images than are multiplied at a time
    {9, 32, 1, 1, 8, 300},   // more outputs
    {300, 24, 4, 4, 8, 300}, // more of all
    {1, 8, 3, 2, 8, 1},      // one of each
};

// x [batch][in], y [batch][out] and w [out][in] or their gradients: two are drawn.
struct trial {
    struct fm_view in;
    struct fm_matrix_product p;
    float *x, *y, *w, *bias;
    float *to;     // which of them is computed ...
    size_t values; // ... and how many it has
};

static float *drawn(uint32_t stream, size_t count)
{
    float *values = malloc(count * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < count; i++)
        values[i] = fm_draw_unit(fm_draw(31, 0, 0, stream, (uint32_t)i)) * 2.0f - 1.0f;
    return values;
}

static void trial_make(struct trial *t, const struct shape *s, enum fm_matrix_pass pass)
{
    struct fm_view in = {s->batch, s->c, s->h, s->w, s->block ? s->block : s->c};
    *t = (struct trial){.in = in};
    t->p = (struct fm_matrix_product){.pass = pass,
        .batch = s->batch,
        .in = s->c * s->h * s->w,
        .out = s->out,
        .pixels = s->h * s->w,
        .block = in.block,
        .threads = 1};
    size_t inputs = fm_view_size(&in), outputs = (size_t)(s->batch * s->out);
    size_t weights = (size_t)(t->p.in * s->out);
    t->x = drawn(1, inputs);
    t->y = drawn(2, outputs);
    t->w = drawn(3, weights);
    t->bias = drawn(4, (size_t)s->out);
    t->to = pass == FM_MATRIX_FORWARD ? t->y : pass == FM_MATRIX_WEIGHTS ? t->w : t->x;
    t->values = pass == FM_MATRIX_FORWARD ? outputs : pass == FM_MATRIX_WEIGHTS ? weights : inputs;
}

static void trial_free(struct trial *t)
{
    free(t->x);
    free(t->y);
    free(t->w);
    free(t->bias);
}

static void multiply(
    const struct trial *t, const struct fm_kernels *k, int threads, bool bias, bool relu)
{
    struct fm_matrix_product p = t->p;
    p.threads = threads;
    enum fm_matrix_pass pass = p.pass;
    float *scratch = malloc(k->matrix_scratch(&p));
    assert_non_null(scratch);
    const struct fm_matrix_run run = {
        .left = pass == FM_MATRIX_FORWARD ? t->x : t->y,
        .right = pass == FM_MATRIX_WEIGHTS ? t->x : t->w,
        .to = t->to,
        .bias = bias ? t->bias : NULL,
        .relu = relu,
    };
    memset(t->to, 0xff, t->values * sizeof *t->to); // NaN
    k->matrix_multiply(&p, &run, scratch);
    free(scratch);
}

// ---- by definition: feature f of the weights is channel f / pixels, pixel f % pixels

static size_t x_at(const struct trial *t, int n, int feature)
{
    return element_at(&t->in, n, feature / t->p.pixels, feature % t->p.pixels);
}

static double x_of(const struct trial *t, int n, int feature)
{
    return (double)t->x[x_at(t, n, feature)];
}

static double y_of(const struct trial *t, int n, int out)
{
    return (double)t->y[(size_t)n * (size_t)t->p.out + (size_t)out];
}

static double w_of(const struct trial *t, int out, int feature)
{
    return (double)t->w[(size_t)out * (size_t)t->p.in + (size_t)feature];
}

static void expect(const struct fm_kernels *k, const struct trial *t, const char *what, int row,
    int column, double found, double wanted, double magnitude)
{
    if (!(fabs(found - wanted) <= magnitude * 1e-6))
        fail_msg("%s: %s of %d images of %d inputs in blocks of %d, %d outputs: [%d][%d] is %.9g, "
                 "expected %.9g",
            k->name, what, t->p.batch, t->p.in, t->p.block, t->p.out, row, column, found, wanted);
}

static void check_forward(const struct trial *t, const struct fm_kernels *k, bool bias, bool relu)
{
    multiply(t, k, 2, bias, relu);
    for (int n = 0; n < t->p.batch; n++)
        for (int o = 0; o < t->p.out; o++) {
            double sum = bias ? (double)t->bias[o] : 0.0, magnitude = 1.0;
            for (int f = 0; f < t->p.in; f++) {
                sum += x_of(t, n, f) * w_of(t, o, f);
                magnitude += fabs(x_of(t, n, f) * w_of(t, o, f));
            }
            expect(k, t, "y", n, o, y_of(t, n, o), relu ? fmax(sum, 0.0) : sum, magnitude);
        }
}

static void check_weights(const struct trial *t, const struct fm_kernels *k)
{
    multiply(t, k, 2, false, false);
    for (int o = 0; o < t->p.out; o++)
        for (int f = 0; f < t->p.in; f++) {
            double sum = 0.0, magnitude = 1.0;
            for (int n = 0; n < t->p.batch; n++) {
                sum += y_of(t, n, o) * x_of(t, n, f);
                magnitude += fabs(y_of(t, n, o) * x_of(t, n, f));
            }
            expect(k, t, "dw", o, f, w_of(t, o, f), sum, magnitude);
        }
}

static void check_data(const struct trial *t, const struct fm_kernels *k)
{
    multiply(t, k, 2, false, false);
    for (int n = 0; n < t->p.batch; n++)
        for (int f = 0; f < t->p.in; f++) {
            double sum = 0.0, magnitude = 1.0;
            for (int o = 0; o < t->p.out; o++) {
                sum += y_of(t, n, o) * w_of(t, o, f);
                magnitude += fabs(y_of(t, n, o) * w_of(t, o, f));
            }
            expect(k, t, "dx", n, f, x_of(t, n, f), sum, magnitude);
        }
}

static void check_values(const struct trial *t, const struct fm_kernels *k)
{
    if (t->p.pass == FM_MATRIX_WEIGHTS) {
        check_weights(t, k);
    } else if (t->p.pass == FM_MATRIX_DATA) {
        check_data(t, k);
    } else {
        check_forward(t, k, false, false);
        check_forward(t, k, true, false);
        check_forward(t, k, true, true);
    }
}

// Each table on each shape, in each pass.
static void over_all(void (*call)(const struct trial *t, const struct fm_kernels *k))
{
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    int count = fm_kernels_usable(tables);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int pass = 0; pass < FM_MATRIX_PASS_COUNT; pass++)
            for (int k = 0; k < count; k++) {
                struct trial t;
                trial_make(&t, &shapes[s], (enum fm_matrix_pass)pass);
                call(&t, tables[k]);
                trial_free(&t);
            }
}

static void test_values(void **state)
{
    (void)state;
    over_all(check_values);
}

static void check_bits(const struct trial *t, const struct fm_kernels *k)
{
    float *first = malloc(t->values * sizeof *first);
    assert_non_null(first);
    bool bias = t->p.pass == FM_MATRIX_FORWARD; // the others have none
    multiply(t, k, 1, bias, false);
    memcpy(first, t->to, t->values * sizeof *first);
    static const int threads[] = {2, 3, 5, 33};
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        multiply(t, k, threads[i], bias, false);
        assert_memory_equal(first, t->to, t->values * sizeof *first);
    }
    free(first);
}

static void test_same_bits(void **state)
{
    (void)state;
    over_all(check_bits);
}

// A NaN of the last image stays one behind a ReLU, and stays in its row.
static void check_nan(const struct trial *t, const struct fm_kernels *k)
{
    if (t->p.pass != FM_MATRIX_FORWARD)
        return;
    int last = t->p.batch - 1;
    t->x[x_at(t, last, t->p.in - 1)] = NAN;
    multiply(t, k, 2, true, true);
    for (int n = 0; n < t->p.batch; n++)
        for (int o = 0; o < t->p.out; o++)
            assert_true((n == last) == (isnan(y_of(t, n, o)) != 0));
}

static void test_nan_stays(void **state)
{
    (void)state;
    over_all(check_nan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_nan_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
