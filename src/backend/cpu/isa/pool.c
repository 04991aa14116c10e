// Pooling. Reads and writes whole rows of channel blocks, so that the inner loop is a vector.
#include "backend/cpu/isa/kernels.h"

#include <string.h>

// True where b takes a's place: larger, or a NaN, which no comparison may lose.
static inline bool beats(float b, float a)
{
    return b > a || b != b;
}

// One output pixel of `block` channels from the 2x2 window at `x` (rows `stride` apart).
static void max_of_four(int block, const float *restrict x, size_t stride, float *restrict y)
{
    for (int k = 0; k < block; k++) {
        float a = x[k], b = x[block + k], c = x[stride + (size_t)k];
        float d = x[stride + (size_t)(block + k)];
        float top = beats(b, a) ? b : a, bottom = beats(d, c) ? d : c;
        y[k] = beats(bottom, top) ? bottom : top;
    }
}

// The same, keeping which it was: the first largest in row-major order.
static void argmax_of_four(
    int block, const float *restrict x, size_t stride, float *restrict y, uint8_t *restrict index)
{
    for (int k = 0; k < block; k++) {
        float a = x[k], b = x[block + k], c = x[stride + (size_t)k];
        float d = x[stride + (size_t)(block + k)];
        float top = beats(b, a) ? b : a, bottom = beats(d, c) ? d : c;
        int top_at = beats(b, a) ? 1 : 0, bottom_at = beats(d, c) ? 3 : 2;
        y[k] = beats(bottom, top) ? bottom : top;
        index[k] = (uint8_t)(beats(bottom, top) ? bottom_at : top_at);
    }
}

void FM_KERNEL(maxpool_forward)(const struct fm_view *v, const float *x, float *y, uint8_t *index)
{
    int planes = v->n * (v->c / v->block), block = v->block, h = v->h / 2, w = v->w / 2;
    size_t stride = (size_t)v->w * (size_t)block;
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++) {
        const float *from = x + (size_t)p * (size_t)v->h * stride;
        size_t to = (size_t)p * (size_t)(h * w) * (size_t)block;
        for (int oy = 0; oy < h; oy++)
            for (int ox = 0; ox < w; ox++, to += (size_t)block) {
                const float *window = from + (size_t)(2 * oy) * stride + (size_t)(2 * ox * block);
                if (index)
                    argmax_of_four(block, window, stride, y + to, index + to);
                else
                    max_of_four(block, window, stride, y + to);
            }
    }
}

static void scatter_of_four(int block, const float *restrict dy, const uint8_t *restrict index,
    size_t stride, float *restrict dx)
{
    for (int k = 0; k < block; k++) {
        dx[k] = index[k] == 0 ? dy[k] : 0.0f;
        dx[block + k] = index[k] == 1 ? dy[k] : 0.0f;
        dx[stride + (size_t)k] = index[k] == 2 ? dy[k] : 0.0f;
        dx[stride + (size_t)(block + k)] = index[k] == 3 ? dy[k] : 0.0f;
    }
}

static void gated_scatter_of_four(int block, const float *restrict dy, const float *restrict gate,
    const uint8_t *restrict index, size_t stride, float *restrict dx)
{
    for (int k = 0; k < block; k++) {
        float g = gate[k] > 0.0f ? dy[k] : 0.0f;
        dx[k] = index[k] == 0 ? g : 0.0f;
        dx[block + k] = index[k] == 1 ? g : 0.0f;
        dx[stride + (size_t)k] = index[k] == 2 ? g : 0.0f;
        dx[stride + (size_t)(block + k)] = index[k] == 3 ? g : 0.0f;
    }
}

void FM_KERNEL(maxpool_backward)(
    const struct fm_view *v, const float *dy, const float *gate, const uint8_t *index, float *dx)
{
    int planes = v->n * (v->c / v->block), block = v->block, h = v->h / 2, w = v->w / 2;
    size_t stride = (size_t)v->w * (size_t)block;
    bool odd = v->h % 2 || v->w % 2; // the dropped last row or column gets no gradient
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++) {
        float *to = dx + (size_t)p * (size_t)v->h * stride;
        size_t from = (size_t)p * (size_t)(h * w) * (size_t)block;
        if (odd)
            memset(to, 0, (size_t)v->h * stride * sizeof *to);
        for (int oy = 0; oy < h; oy++)
            for (int ox = 0; ox < w; ox++, from += (size_t)block) {
                float *window = to + (size_t)(2 * oy) * stride + (size_t)(2 * ox * block);
                if (gate)
                    gated_scatter_of_four(
                        block, dy + from, gate + from, index + from, stride, window);
                else
                    scatter_of_four(block, dy + from, index + from, stride, window);
            }
    }
}

void FM_KERNEL(meanpool_forward)(const struct fm_view *v, const float *x, float *y)
{
    int planes = v->n * (v->c / v->block), block = v->block, pixels = v->h * v->w;
    float share = 1.0f / (float)pixels;
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++) {
        const float *from = x + (size_t)p * (size_t)(pixels * block);
        float *to = y + (size_t)p * (size_t)block;
        memset(to, 0, (size_t)block * sizeof *to);
        for (int i = 0; i < pixels; i++)
            for (int k = 0; k < block; k++)
                to[k] += from[i * block + k];
        for (int k = 0; k < block; k++)
            to[k] *= share;
    }
}

void FM_KERNEL(meanpool_backward)(const struct fm_view *v, const float *dy, float *dx)
{
    int planes = v->n * (v->c / v->block), block = v->block, pixels = v->h * v->w;
    float share = 1.0f / (float)pixels;
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++) {
        const float *from = dy + (size_t)p * (size_t)block;
        float *to = dx + (size_t)p * (size_t)(pixels * block);
        for (int i = 0; i < pixels; i++)
            for (int k = 0; k < block; k++)
                to[i * block + k] = from[k] * share;
    }
}
