// A convolution of 3x3 by its definition, in double, for tests of kernels that compute it
// otherwise.
#ifndef FM_TESTS_CONVOLUTION_H
#define FM_TESTS_CONVOLUTION_H

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

// A convolution, its operands in plain layout and in double, and in the layout of its views.
struct convolution {
    struct fm_view in, out;
    int padding;
    enum fm_element element;
    double *x, *dy;        // [n][c][h][w]
    float *filters, *bias; // [out][in][3][3], [out]
    void *view_x, *view_dy;
};

static inline double uniform(uint32_t stream, uint32_t i)
{
    return (double)fm_draw_unit(fm_draw(17, 0, 0, stream, i)) * 2.0 - 1.0;
}

static inline int out_size(int size, int padding)
{
    return size + 2 * padding - 2;
}

static inline struct fm_view view_of(int n, int c, int h, int w, int block)
{
    return (struct fm_view){n, c, h, w, block > 0 ? block : c};
}

static inline size_t plain_at(const struct fm_view *v, int n, int c, int y, int x)
{
    return (((size_t)n * (size_t)v->c + (size_t)c) * (size_t)v->h + (size_t)y) * (size_t)v->w +
           (size_t)x;
}

static inline double load(const struct convolution *t, const void *data, size_t at)
{
    return get_element(t->element, data, at);
}

// Values that the element type holds exactly, in both layouts.
static inline double *draw_activation(
    const struct convolution *t, const struct fm_view *v, uint32_t stream, void **in_view)
{
    double *plain = malloc(fm_view_size(v) * sizeof *plain);
    *in_view = malloc(fm_view_size(v) * sizeof(float));
    assert_true(plain != NULL && *in_view != NULL);
    for (int n = 0; n < v->n; n++)
        for (int c = 0; c < v->c; c++)
            for (int y = 0; y < v->h; y++)
                for (int x = 0; x < v->w; x++) {
                    size_t at = plain_at(v, n, c, y, x), to = element_at(v, n, c, y * v->w + x);
                    float value = fm_round_bf16((float)uniform(stream, (uint32_t)at));
                    plain[at] = (double)value;
                    put_element(t->element, *in_view, to, value);
                }
    return plain;
}

// With filters and biases of `t`'s views, drawn; filters rounded to the element's type.
static inline void convolution_make(struct convolution *t)
{
    t->x = draw_activation(t, &t->in, 1, &t->view_x);
    t->dy = draw_activation(t, &t->out, 2, &t->view_dy);
    size_t filters = (size_t)t->out.c * (size_t)t->in.c * TAPS;
    t->filters = malloc(filters * sizeof *t->filters);
    t->bias = malloc((size_t)t->out.c * sizeof *t->bias);
    assert_true(t->filters != NULL && t->bias != NULL);
    for (size_t i = 0; i < filters; i++) {
        float value = (float)uniform(3, (uint32_t)i);
        t->filters[i] = t->element == FM_ELEMENT_BF16 ? fm_round_bf16(value) : value;
    }
    for (int c = 0; c < t->out.c; c++)
        t->bias[c] = (float)uniform(4, (uint32_t)c);
}

static inline void convolution_free(struct convolution *t)
{
    free(t->x);
    free(t->dy);
    free(t->filters);
    free(t->bias);
    free(t->view_x);
    free(t->view_dy);
}

// ---- by definition

static inline double inside(
    const double *plain, const struct fm_view *v, int n, int c, int y, int x)
{
    bool in = y >= 0 && x >= 0 && y < v->h && x < v->w;
    return in ? plain[plain_at(v, n, c, y, x)] : 0.0;
}

static inline double filter(const struct convolution *t, int out, int in, int tap)
{
    return (double)t->filters[((size_t)out * (size_t)t->in.c + (size_t)in) * TAPS + (size_t)tap];
}

static inline double expected_output(const struct convolution *t, int n, int c, int y, int x)
{
    double sum = (double)t->bias[c];
    for (int in = 0; in < t->in.c; in++)
        for (int tap = 0; tap < TAPS; tap++)
            sum += filter(t, c, in, tap) *
                   inside(t->x, &t->in, n, in, y + tap / 3 - t->padding, x + tap % 3 - t->padding);
    return fmax(sum, 0.0);
}

static inline double expected_data(const struct convolution *t, int n, int c, int y, int x)
{
    double sum = 0.0;
    for (int out = 0; out < t->out.c; out++)
        for (int tap = 0; tap < TAPS; tap++)
            sum += filter(t, out, c, tap) * inside(t->dy, &t->out, n, out, y - tap / 3 + t->padding,
                                                x - tap % 3 + t->padding);
    return sum;
}

static inline double expected_gradient(const struct convolution *t, int out, int in, int tap)
{
    double sum = 0.0;
    for (int n = 0; n < t->out.n; n++)
        for (int y = 0; y < t->out.h; y++)
            for (int x = 0; x < t->out.w; x++)
                sum += t->dy[plain_at(&t->out, n, out, y, x)] * inside(t->x, &t->in, n, in,
                                                                    y + tap / 3 - t->padding,
                                                                    x + tap % 3 - t->padding);
    return sum;
}

// Errors of what was found, of the values' own size (both as roots of mean squares).
struct errors {
    double squares, values, largest;
    size_t count;
};

static inline void note(struct errors *e, double found, double expected)
{
    double d = found - expected;
    e->squares += d * d;
    e->values += expected * expected;
    e->largest = fabs(d) > e->largest || !isfinite(d) ? fabs(d) : e->largest;
    e->count++;
}

static inline double relative(const struct errors *e)
{
    return sqrt(e->squares / e->values);
}

static inline void compare_activation(const struct convolution *t, const struct fm_view *v,
    const void *found, double (*expected)(const struct convolution *t, int n, int c, int y, int x),
    struct errors *e)
{
    // Every third channel and all pixels, of many images the first and last, are enough, and quick.
    int step = v->n > 16 ? v->n - 1 : 1;
    for (int n = 0; n < v->n; n += step)
        for (int c = 0; c < v->c; c += 3)
            for (int y = 0; y < v->h; y++)
                for (int x = 0; x < v->w; x++)
                    note(e, load(t, found, element_at(v, n, c, y * v->w + x)),
                        expected(t, n, c, y, x));
}

#endif
