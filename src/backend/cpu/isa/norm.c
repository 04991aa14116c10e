// Batch norm. One image's plane of a channel block is summed while it is in the cache, and the
// images' moments are combined in double (Chan, Golub, LeVeque 1979, "Updating formulae and a
// pairwise algorithm for computing sample variances", eq. 2.1), so that one pass over memory gives
// a variance without cancellation.
#include "backend/cpu/isa/element_vector.h"
#include "backend/cpu/isa/image_sums.h"

// Sums over a plane wait for each other, so those of two vectors of channels are made at once.
enum {
    PAIR = 2 * LANES
};

static int pairs_of(const struct fm_view *v)
{
    return (v->c + PAIR - 1) / PAIR;
}

// Whether the channels from c on are a pair ...
static bool in_pairs(const struct fm_view *v, int c)
{
    return v->block % LANES == 0 && c + PAIR <= v->c;
}

// ... and how far apart its two vectors are.
static size_t step_of(const struct fm_view *v, int c)
{
    return fm_view_at(v, 0, c + LANES) - fm_view_at(v, 0, c);
}

// Channels from c on that lie side by side, LANES at most.
static int together(const struct fm_view *v, int c)
{
    return least(LANES, v->block - c % v->block);
}

// Mean and sum of squared deviations from it, of an image's plane: of `vectors` times `count`
// channels.
static inline __attribute__((always_inline)) void plane_moments(const struct fm_view *v,
    const element *x, size_t step, const int vectors, const int count, double *mean,
    double *deviations)
{
    int pixels = v->h * v->w;
    size_t block = (size_t)v->block;
    vec sum[2] = {{0}}, square[2] = {{0}}, centre[2];
    for (int i = 0; i < pixels; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            sum[j] += read_some(x + (size_t)i * block + (size_t)j * step, count);
#pragma GCC unroll 2
    for (int j = 0; j < vectors; j++)
        centre[j] = sum[j] / (float)pixels;
    for (int i = 0; i < pixels; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) {
            vec d = read_some(x + (size_t)i * block + (size_t)j * step, count) - centre[j];
            square[j] += d * d;
        }
    for (int j = 0; j < vectors; j++)
        for (int k = 0; k < count; k++) {
            mean[j * LANES + k] = (double)centre[j][k];
            deviations[j * LANES + k] = (double)square[j][k];
        }
}

// Mean and variance of the batch, of a line's channels from c on.
static void combine_moments(const struct fm_view *v, const double *means, const double *deviations,
    int c, float *mean, float *variance)
{
    double centre[LINE_SUMS], spread[LINE_SUMS] = {0.0}, pixels = (double)(v->h * v->w);
    int count = line_channels(v, c);
    add_images(v, means, c, centre);
    for (int k = 0; k < count; k++)
        centre[k] /= (double)v->n; // every image has as many pixels
    for (int n = 0; n < v->n; n++)
        for (int k = 0; k < count; k++) {
            size_t at = (size_t)n * (size_t)v->c + (size_t)(c + k);
            double d = means[at] - centre[k];
            spread[k] += deviations[at] + d * d * pixels;
        }
    for (int k = 0; k < count; k++) {
        mean[c + k] = (float)centre[k];
        variance[c + k] = (float)(spread[k] / ((double)v->n * pixels));
    }
}

void FM_ELEMENT_KERNEL(norm_statistics)(
    const struct fm_view *v, const void *x, double *image_sums, float *mean, float *variance)
{
    int pairs = pairs_of(v);
    size_t half = (size_t)v->n * (size_t)v->c; // means, then squared deviations
#pragma omp parallel for schedule(static)
    for (int u = 0; u < v->n * pairs; u++) {
        int n = u / pairs, c = u % pairs * PAIR, end = least(c + PAIR, v->c);
        double *means = image_sums + (size_t)n * (size_t)v->c, *deviations = means + half;
        const element *from = x;
        if (in_pairs(v, c)) {
            plane_moments(
                v, from + fm_view_at(v, n, c), step_of(v, c), 2, LANES, means + c, deviations + c);
            continue;
        }
        for (int count; c < end; c += count) {
            count = together(v, c);
            plane_moments(v, from + fm_view_at(v, n, c), 0, 1, count, means + c, deviations + c);
        }
    }
#pragma omp parallel for schedule(static)
    for (int line = 0; line < lines_of(v); line++)
        combine_moments(v, image_sums, image_sums + half, line * LINE_SUMS, mean, variance);
}

static inline __attribute__((always_inline)) void apply_plane(const element *x, int pixels,
    const int block, const float *restrict scale, const float *restrict shift, bool relu,
    element *y)
{
    for (int i = 0; i < pixels; i++)
#pragma GCC unroll 4
        for (int k = 0; k < block; k += LANES) {
            size_t at = (size_t)i * (size_t)block + (size_t)k;
            int count = least(LANES, block - k);
            vec by = vec_load_some(scale + k, count), plus = vec_load_some(shift + k, count);
            vec value = vec_fmaf(read_some(x + at, count), by, plus);
            write_some(y + at, count, relu ? vec_relu(value) : value);
        }
}

void FM_ELEMENT_KERNEL(norm_apply)(const struct fm_view *v, const void *x, const float *scale,
    const float *shift, bool relu, void *y)
{
    const element *from = x;
    element *to = y;
    int groups = v->c / v->block, planes = v->n * groups, pixels = v->h * v->w;
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++) {
        int c = (p % groups) * v->block;
        size_t at = (size_t)p * (size_t)(pixels * v->block);
        if (v->block == GROUP)
            apply_plane(from + at, pixels, GROUP, scale + c, shift + c, relu, to + at);
        else
            apply_plane(from + at, pixels, v->block, scale + c, shift + c, relu, to + at);
    }
}

// The gradient that passes a gate, if there is one: fused ReLU's output is above zero.
static inline vec gated(struct fm_norm_relu gate, const int count, vec x, vec dy)
{
    if (!gate.scale)
        return dy;
    vec y = vec_fmaf(x, vec_load_some(gate.scale, count), vec_load_some(gate.shift, count));
    return (vec)((vec_mask)dy & (y > 0.0f));
}

// Sums of dy and of dy * xhat over an image's plane, of `vectors` times `count` channels.
static inline __attribute__((always_inline)) void plane_gradient_sums(const struct fm_view *v,
    const element *x, const element *dy, size_t step, const int vectors, const int count,
    struct fm_norm_relu gate, const float *mean, const float *inverse, double *sum_dy,
    double *sum_dy_xhat)
{
    int pixels = v->h * v->w;
    size_t block = (size_t)v->block;
    vec plain[2] = {{0}}, times_xhat[2] = {{0}};
    for (int i = 0; i < pixels; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) {
            size_t at = (size_t)i * block + (size_t)j * step;
            vec value = read_some(x + at, count);
            vec g = gated(pending_from(gate, j * LANES), count, value, read_some(dy + at, count));
            plain[j] += g;
            times_xhat[j] += g * (value - vec_load_some(mean + j * LANES, count));
        }
    for (int j = 0; j < vectors; j++)
        for (int k = 0; k < count; k++) {
            sum_dy[j * LANES + k] = (double)plain[j][k];
            sum_dy_xhat[j * LANES + k] = (double)times_xhat[j][k] * (double)inverse[j * LANES + k];
        }
}

void FM_ELEMENT_KERNEL(norm_backward_sums)(const struct fm_view *v, const void *x, const void *dy,
    struct fm_norm_relu gate, const float *mean, const float *inverse_deviation, double *image_sums,
    float *dgamma, float *dbeta)
{
    int pairs = pairs_of(v);
    size_t half = (size_t)v->n * (size_t)v->c; // sums of dy, then of dy * xhat
#pragma omp parallel for schedule(static)
    for (int u = 0; u < v->n * pairs; u++) {
        int n = u / pairs, c = u % pairs * PAIR, end = least(c + PAIR, v->c);
        double *sums = image_sums + (size_t)n * (size_t)v->c, *times_xhat = sums + half;
        const element *in = (const element *)x, *gradient = (const element *)dy;
        if (in_pairs(v, c)) {
            size_t at = fm_view_at(v, n, c);
            plane_gradient_sums(v, in + at, gradient + at, step_of(v, c), 2, LANES,
                pending_from(gate, c), mean + c, inverse_deviation + c, sums + c, times_xhat + c);
            continue;
        }
        for (int count; c < end; c += count) {
            size_t at = fm_view_at(v, n, c);
            count = together(v, c);
            plane_gradient_sums(v, in + at, gradient + at, 0, 1, count, pending_from(gate, c),
                mean + c, inverse_deviation + c, sums + c, times_xhat + c);
        }
    }
    add_all_images(v, image_sums, dbeta);
    add_all_images(v, image_sums + half, dgamma);
}

static inline __attribute__((always_inline)) void backward_plane(const element *x,
    const element *dy, struct fm_norm_relu gate, int pixels, const int block,
    const float *restrict a, const float *restrict b, const float *restrict k0, element *dx)
{
    for (int i = 0; i < pixels; i++)
#pragma GCC unroll 4
        for (int k = 0; k < block; k += LANES) {
            size_t at = (size_t)i * (size_t)block + (size_t)k;
            int count = least(LANES, block - k);
            vec value = read_some(x + at, count);
            vec g = gated(pending_from(gate, k), count, value, read_some(dy + at, count));
            vec of_x = vec_fmaf(vec_load_some(b + k, count), value, vec_load_some(k0 + k, count));
            write_some(dx + at, count, vec_fmaf(vec_load_some(a + k, count), g, of_x));
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
