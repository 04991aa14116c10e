// Bias, ReLU and dropout: one pass over memory each.
#include "backend/cpu/isa/element.h"
#include "backend/cpu/isa/image_sums.h"

#include <string.h>

void FM_ELEMENT_KERNEL(bias_forward)(const struct fm_view *v, const float *bias, void *y)
{
    int groups = v->c / v->block, planes = v->n * groups, pixels = v->h * v->w;
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++) {
        const float *b = bias + (p % groups) * v->block;
        element *row = (element *)y + (size_t)p * (size_t)(pixels * v->block);
        for (int i = 0; i < pixels; i++)
            for (int k = 0; k < v->block; k++)
                row[i * v->block + k] = store(load(row[i * v->block + k]) + b[k]);
    }
}

static inline __attribute__((always_inline)) void plane_sums(
    const element *dy, int pixels, int block, const int count, double *sums)
{
    double sum[GROUP] = {0};
    for (int i = 0; i < pixels; i++)
        for (int k = 0; k < count; k++)
            sum[k] += (double)load(dy[(size_t)i * (size_t)block + (size_t)k]);
    for (int k = 0; k < count; k++)
        sums[k] = sum[k];
}

void FM_ELEMENT_KERNEL(bias_backward)(
    const struct fm_view *v, const void *dy, double *image_sums, float *db)
{
    int planes = v->n * (v->c / v->block), pixels = v->h * v->w, block = v->block;
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++) {
        const element *from = (const element *)dy + (size_t)p * (size_t)(pixels * block);
        double *sums = image_sums + (size_t)p * (size_t)block;
        int k = 0;
        for (; k + GROUP <= block; k += GROUP)
            plane_sums(from + k, pixels, block, GROUP, sums + k);
        plane_sums(from + k, pixels, block, block - k, sums + k);
    }
    add_all_images(v, image_sums, db);
}

void FM_ELEMENT_KERNEL(relu_forward)(size_t count, const void *x, void *y)
{
    const element *from = x;
    element *to = y;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        to[i] = load(from[i]) < 0.0f ? store(0.0f) : from[i]; // a NaN stays one
}

void FM_ELEMENT_KERNEL(relu_backward)(size_t count, const void *y, const void *dy, void *dx)
{
    const element *gate = y, *from = dy;
    element *to = dx;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        to[i] = load(gate[i]) > 0.0f ? from[i] : store(0.0f);
}

void FM_ELEMENT_KERNEL(dropout_apply)(
    size_t count, const uint8_t *mask, float scale, const void *x, void *y)
{
    const element *from = x;
    element *to = y;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        to[i] = store(mask[i] ? load(from[i]) * scale : 0.0f);
}
