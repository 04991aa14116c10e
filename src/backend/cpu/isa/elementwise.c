// Bias, ReLU and dropout: one pass over memory each.
#include "backend/cpu/isa/kernels.h"
#include "dropout.h"

#include <string.h>

void FM_KERNEL(bias_forward)(const struct fm_view *v, const float *bias, float *y)
{
    int groups = v->c / v->block, planes = v->n * groups, pixels = v->h * v->w;
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++) {
        const float *b = bias + (p % groups) * v->block;
        float *row = y + (size_t)p * (size_t)(pixels * v->block);
        for (int i = 0; i < pixels; i++)
            for (int k = 0; k < v->block; k++)
                row[i * v->block + k] += b[k];
    }
}

void FM_KERNEL(bias_backward)(
    const struct fm_view *v, const float *dy, double *image_sums, float *db)
{
    int groups = v->c / v->block, planes = v->n * groups, pixels = v->h * v->w;
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++) {
        const float *row = dy + (size_t)p * (size_t)(pixels * v->block);
        double *sums = image_sums + (size_t)p * (size_t)v->block;
        memset(sums, 0, (size_t)v->block * sizeof *sums);
        for (int i = 0; i < pixels; i++)
            for (int k = 0; k < v->block; k++)
                sums[k] += (double)row[i * v->block + k];
    }
#pragma omp parallel for schedule(static)
    for (int c = 0; c < v->c; c++) {
        double sum = 0.0;
        for (int n = 0; n < v->n; n++)
            sum += image_sums[(size_t)n * (size_t)v->c + (size_t)c];
        db[c] = (float)sum;
    }
}

void FM_KERNEL(relu_forward)(size_t count, const float *x, float *y)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] < 0.0f ? 0.0f : x[i]; // a NaN stays one
}

void FM_KERNEL(relu_backward)(size_t count, const float *y, const float *dy, float *dx)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        dx[i] = y[i] > 0.0f ? dy[i] : 0.0f;
}

// Sixteen Philox calls side by side, so that the compiler keeps them in vector registers.
enum {
    LANES = 16
};

static void keep_bits(const struct fm_dropout_work *work, uint32_t id, uint32_t first_quad,
    uint32_t threshold, uint8_t *restrict keep)
{
    for (int lane = 0; lane < LANES; lane++) {
        struct fm_draws draws = fm_philox(
            work->seed, work->epoch, id, work->stream, first_quad + (uint32_t)lane);
        for (int k = 0; k < 4; k++)
            keep[4 * lane + k] = (uint8_t)fm_dropout_keeps(draws.v[k], threshold);
    }
}

void FM_KERNEL(dropout_mask)(
    const struct fm_view *v, const struct fm_dropout_work *work, uint8_t *mask)
{
    uint32_t threshold = fm_dropout_threshold(work->rate);
    int pixels = v->h * v->w;
    size_t image = (size_t)v->c * (size_t)pixels;
    enum {
        CHUNK = 4 * LANES
    };
#pragma omp parallel for schedule(static)
    for (int n = 0; n < v->n; n++) {
        uint8_t *to = mask + (size_t)n * image;
        int elements = work->channels * pixels;
        uint8_t keep[CHUNK];
        for (int first = 0; first < elements; first += CHUNK) {
            keep_bits(work, work->ids[n], (uint32_t)first / 4, threshold, keep);
            int in_chunk = elements - first < CHUNK ? elements - first : CHUNK;
            // Logical element c * pixels + i lies at [c / block][i][c % block].
            int c = first / pixels, i = first % pixels;
            for (int e = 0; e < in_chunk; e++) {
                to[((size_t)(c / v->block) * (size_t)pixels + (size_t)i) * (size_t)v->block +
                    (size_t)(c % v->block)] = keep[e];
                if (++i == pixels) {
                    i = 0;
                    c++;
                }
            }
        }
    }
}

void FM_KERNEL(dropout_apply)(
    size_t count, const uint8_t *mask, float scale, const float *x, float *y)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        y[i] = mask[i] ? x[i] * scale : 0.0f;
}
