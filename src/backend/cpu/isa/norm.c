// Batch norm. One image's plane of a channel block is summed while it is in the cache, and the
// images' moments are combined in double (Chan, Golub, LeVeque 1979, "Updating formulae and a
// pairwise algorithm for computing sample variances", eq. 2.1), so that one pass over memory gives
// a variance without cancellation.
#include "backend/cpu/isa/element.h"

#include <string.h>

// Sum and sum of squared deviations from the plane's own mean, of `count` channels from `x`.
static void plane_moments(
    const element *x, int pixels, int block, int count, double *mean, double *deviations)
{
    float sum[GROUP] = {0}, square[GROUP] = {0}, centre[GROUP] = {0};
    for (int i = 0; i < pixels; i++)
        for (int k = 0; k < count; k++)
            sum[k] += load(x[(size_t)i * (size_t)block + (size_t)k]);
    for (int k = 0; k < count; k++)
        centre[k] = sum[k] / (float)pixels;
    for (int i = 0; i < pixels; i++)
        for (int k = 0; k < count; k++) {
            float d = load(x[(size_t)i * (size_t)block + (size_t)k]) - centre[k];
            square[k] += d * d;
        }
    for (int k = 0; k < count; k++) {
        mean[k] = (double)centre[k];
        deviations[k] = (double)square[k];
    }
}

void FM_ELEMENT_KERNEL(norm_statistics)(
    const struct fm_view *v, const void *x, double *image_sums, float *mean, float *variance)
{
    int groups = v->c / v->block, planes = v->n * groups, pixels = v->h * v->w;
    size_t half = (size_t)v->n * (size_t)v->c; // means, then squared deviations
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++)
        for (int first = 0; first < v->block; first += GROUP) {
            size_t at = (size_t)p * (size_t)v->block + (size_t)first;
            const element *from = (const element *)x + (size_t)p * (size_t)(pixels * v->block) +
                                  first;
            int count = least(GROUP, v->block - first);
            if (count == GROUP) // a constant count makes the inner loops whole vectors
                plane_moments(
                    from, pixels, v->block, GROUP, image_sums + at, image_sums + half + at);
            else
                plane_moments(
                    from, pixels, v->block, count, image_sums + at, image_sums + half + at);
        }
#pragma omp parallel for schedule(static)
    for (int c = 0; c < v->c; c++) {
        double total = 0.0, spread = 0.0;
        for (int n = 0; n < v->n; n++)
            total += image_sums[(size_t)n * (size_t)v->c + (size_t)c];
        double centre = total / (double)v->n; // every image has as many pixels
        for (int n = 0; n < v->n; n++) {
            size_t at = (size_t)n * (size_t)v->c + (size_t)c;
            double d = image_sums[at] - centre;
            spread += image_sums[half + at] + d * d * (double)pixels;
        }
        mean[c] = (float)centre;
        variance[c] = (float)(spread / ((double)v->n * (double)pixels));
    }
}

static void apply_plane(const element *restrict x, int pixels, int block,
    const float *restrict scale, const float *restrict shift, float floor_at, element *restrict y)
{
    for (int i = 0; i < pixels; i++)
        for (int k = 0; k < block; k++) {
            size_t at = (size_t)i * (size_t)block + (size_t)k;
            float value = fmaf(load(x[at]), scale[k], shift[k]);
            y[at] = store(value < floor_at ? floor_at : value); // a NaN stays one
        }
}

void FM_ELEMENT_KERNEL(norm_apply)(const struct fm_view *v, const void *x, const float *scale,
    const float *shift, bool relu, void *y)
{
    const element *from = x;
    element *to = y;
    int groups = v->c / v->block, planes = v->n * groups, pixels = v->h * v->w;
    float floor_at = relu ? 0.0f : -INFINITY;
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++) {
        int c = (p % groups) * v->block;
        size_t at = (size_t)p * (size_t)(pixels * v->block);
        if (v->block == GROUP)
            apply_plane(from + at, pixels, GROUP, scale + c, shift + c, floor_at, to + at);
        else
            apply_plane(from + at, pixels, v->block, scale + c, shift + c, floor_at, to + at);
    }
}

// The gradient that passes a gate, if there is one: fused ReLU's output is above zero.
static inline float gated(struct fm_norm_relu gate, int k, float x, float dy)
{
    if (!gate.scale)
        return dy;
    return fmaf(x, gate.scale[k], gate.shift[k]) > 0.0f ? dy : 0.0f;
}

// Sums of dy and of dy * xhat over a plane, for `count` channels.
static inline __attribute__((always_inline)) void plane_gradient_sums(const element *x,
    const element *dy, struct fm_norm_relu gate, int pixels, int block, const int count,
    const float *mean, const float *inverse, double *sum_dy, double *sum_dy_xhat)
{
    float plain[GROUP] = {0}, times_xhat[GROUP] = {0};
    for (int i = 0; i < pixels; i++)
        for (int k = 0; k < count; k++) {
            size_t at = (size_t)i * (size_t)block + (size_t)k;
            float value = load(x[at]), g = gated(gate, k, value, load(dy[at]));
            plain[k] += g;
            times_xhat[k] += g * (value - mean[k]);
        }
    for (int k = 0; k < count; k++) {
        sum_dy[k] = (double)plain[k];
        sum_dy_xhat[k] = (double)times_xhat[k] * (double)inverse[k];
    }
}

void FM_ELEMENT_KERNEL(norm_backward_sums)(const struct fm_view *v, const void *x, const void *dy,
    struct fm_norm_relu gate, const float *mean, const float *inverse_deviation, double *image_sums,
    float *dgamma, float *dbeta)
{
    const element *in = x, *gradient = dy;
    int groups = v->c / v->block, planes = v->n * groups, pixels = v->h * v->w;
    size_t half = (size_t)v->n * (size_t)v->c;
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++)
        for (int first = 0; first < v->block; first += GROUP) {
            size_t at = (size_t)p * (size_t)v->block + (size_t)first;
            size_t pixel = (size_t)p * (size_t)(pixels * v->block) + (size_t)first;
            int c = (p % groups) * v->block + first, count = least(GROUP, v->block - first);
            struct fm_norm_relu own = pending_from(gate, c);
            if (count == GROUP && gate.scale)
                plane_gradient_sums(in + pixel, gradient + pixel, own, pixels, v->block, GROUP,
                    mean + c, inverse_deviation + c, image_sums + at, image_sums + half + at);
            else
                plane_gradient_sums(in + pixel, gradient + pixel, own, pixels, v->block, count,
                    mean + c, inverse_deviation + c, image_sums + at, image_sums + half + at);
        }
#pragma omp parallel for schedule(static)
    for (int c = 0; c < v->c; c++) {
        double beta = 0.0, gamma = 0.0;
        for (int n = 0; n < v->n; n++) {
            beta += image_sums[(size_t)n * (size_t)v->c + (size_t)c];
            gamma += image_sums[half + (size_t)n * (size_t)v->c + (size_t)c];
        }
        dbeta[c] = (float)beta;
        dgamma[c] = (float)gamma;
    }
}

static inline __attribute__((always_inline)) void backward_plane(const element *x,
    const element *dy, struct fm_norm_relu gate, int pixels, const int block, const float *a,
    const float *b, const float *k0, element *dx)
{
    for (int i = 0; i < pixels; i++)
#pragma omp simd
        for (int k = 0; k < block; k++) {
            size_t at = (size_t)i * (size_t)block + (size_t)k;
            float value = load(x[at]), g = gated(gate, k, value, load(dy[at]));
            dx[at] = store(fmaf(a[k], g, fmaf(b[k], value, k0[k])));
        }
}

void FM_ELEMENT_KERNEL(norm_backward_apply)(const struct fm_view *v, const void *x, const void *dy,
    struct fm_norm_relu gate, const float *a, const float *b, const float *k, void *dx)
{
    const element *in = x, *gradient = dy;
    element *to = dx;
    int groups = v->c / v->block, planes = v->n * groups, pixels = v->h * v->w;
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++) {
        int c = (p % groups) * v->block;
        size_t at = (size_t)p * (size_t)(pixels * v->block);
        struct fm_norm_relu own = pending_from(gate, c);
        if (v->block == GROUP && gate.scale)
            backward_plane(
                in + at, gradient + at, own, pixels, GROUP, a + c, b + c, k + c, to + at);
        else
            backward_plane(
                in + at, gradient + at, own, pixels, v->block, a + c, b + c, k + c, to + at);
    }
}
