// Pooling. Reads and writes whole rows of channel blocks, so that the inner loop is a vector.
#include "backend/cpu/isa/element.h"

#include <string.h>

// True where b takes a's place: larger, or a NaN, which no comparison may lose.
static inline bool beats(float b, float a)
{
    return b > a || b != b;
}

// One output pixel of `block` channels from the 2x2 window at `x` (rows `stride` apart).
static void max_of_four(int block, const element *restrict x, size_t stride, element *restrict y)
{
    for (int k = 0; k < block; k++) {
        float a = load(x[k]), b = load(x[block + k]), c = load(x[stride + (size_t)k]);
        float d = load(x[stride + (size_t)(block + k)]);
        float top = beats(b, a) ? b : a, bottom = beats(d, c) ? d : c;
        y[k] = store(beats(bottom, top) ? bottom : top);
    }
}

// The same, keeping which it was: the first largest in row-major order.
static void argmax_of_four(int block, const element *restrict x, size_t stride, element *restrict y,
    uint8_t *restrict index)
{
    for (int k = 0; k < block; k++) {
        float a = load(x[k]), b = load(x[block + k]), c = load(x[stride + (size_t)k]);
        float d = load(x[stride + (size_t)(block + k)]);
        float top = beats(b, a) ? b : a, bottom = beats(d, c) ? d : c;
        int top_at = beats(b, a) ? 1 : 0, bottom_at = beats(d, c) ? 3 : 2;
        y[k] = store(beats(bottom, top) ? bottom : top);
        index[k] = (uint8_t)(beats(bottom, top) ? bottom_at : top_at);
    }
}

void FM_ELEMENT_KERNEL(maxpool_forward)(
    const struct fm_view *v, const void *x, void *y, uint8_t *index)
{
    int planes = v->n * (v->c / v->block), block = v->block, h = v->h / 2, w = v->w / 2;
    size_t stride = (size_t)v->w * (size_t)block;
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++) {
        const element *from = (const element *)x + (size_t)p * (size_t)v->h * stride;
        size_t to = (size_t)p * (size_t)(h * w) * (size_t)block;
        for (int oy = 0; oy < h; oy++)
            for (int ox = 0; ox < w; ox++, to += (size_t)block) {
                const element *window = from + (size_t)(2 * oy) * stride + (size_t)(2 * ox * block);
                if (index)
                    argmax_of_four(block, window, stride, (element *)y + to, index + to);
                else
                    max_of_four(block, window, stride, (element *)y + to);
            }
    }
}

static void scatter_of_four(int block, const element *restrict dy, const uint8_t *restrict index,
    size_t stride, element *restrict dx)
{
    const element none = store(0.0f);
    for (int k = 0; k < block; k++) {
        dx[k] = index[k] == 0 ? dy[k] : none;
        dx[block + k] = index[k] == 1 ? dy[k] : none;
        dx[stride + (size_t)k] = index[k] == 2 ? dy[k] : none;
        dx[stride + (size_t)(block + k)] = index[k] == 3 ? dy[k] : none;
    }
}

static void gated_scatter_of_four(int block, const element *restrict dy,
    const element *restrict gate, const uint8_t *restrict index, size_t stride,
    element *restrict dx)
{
    const element none = store(0.0f);
    for (int k = 0; k < block; k++) {
        element g = load(gate[k]) > 0.0f ? dy[k] : none;
        dx[k] = index[k] == 0 ? g : none;
        dx[block + k] = index[k] == 1 ? g : none;
        dx[stride + (size_t)k] = index[k] == 2 ? g : none;
        dx[stride + (size_t)(block + k)] = index[k] == 3 ? g : none;
    }
}

void FM_ELEMENT_KERNEL(maxpool_backward)(
    const struct fm_view *v, const void *dy, const void *gate, const uint8_t *index, void *dx)
{
    const element *gradient = dy, *pooled = gate;
    int planes = v->n * (v->c / v->block), block = v->block, h = v->h / 2, w = v->w / 2;
    size_t stride = (size_t)v->w * (size_t)block;
    bool odd = v->h % 2 || v->w % 2; // the dropped last row or column gets no gradient
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++) {
        element *to = (element *)dx + (size_t)p * (size_t)v->h * stride;
        size_t from = (size_t)p * (size_t)(h * w) * (size_t)block;
        if (odd)
            memset(to, 0, (size_t)v->h * stride * sizeof *to);
        for (int oy = 0; oy < h; oy++)
            for (int ox = 0; ox < w; ox++, from += (size_t)block) {
                element *window = to + (size_t)(2 * oy) * stride + (size_t)(2 * ox * block);
                if (pooled)
                    gated_scatter_of_four(
                        block, gradient + from, pooled + from, index + from, stride, window);
                else
                    scatter_of_four(block, gradient + from, index + from, stride, window);
            }
    }
}

// Channels are summed in groups of this many, in registers.
enum {
    GROUP = 16
};

static void mean_of_plane(const element *from, int pixels, int block, int count, element *to)
{
    float sum[GROUP] = {0}, share = 1.0f / (float)pixels;
    for (int i = 0; i < pixels; i++)
        for (int k = 0; k < count; k++)
            sum[k] += load(from[(size_t)i * (size_t)block + (size_t)k]);
    for (int k = 0; k < count; k++)
        to[k] = store(sum[k] * share);
}

void FM_ELEMENT_KERNEL(meanpool_forward)(const struct fm_view *v, const void *x, void *y)
{
    int planes = v->n * (v->c / v->block), block = v->block, pixels = v->h * v->w;
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++)
        for (int first = 0; first < block; first += GROUP) {
            int count = block - first < GROUP ? block - first : GROUP;
            mean_of_plane((const element *)x + (size_t)p * (size_t)(pixels * block) + first, pixels,
                block, count, (element *)y + (size_t)p * (size_t)block + first);
        }
}

void FM_ELEMENT_KERNEL(meanpool_backward)(const struct fm_view *v, const void *dy, void *dx)
{
    int planes = v->n * (v->c / v->block), block = v->block, pixels = v->h * v->w;
    float share = 1.0f / (float)pixels;
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++) {
        const element *from = (const element *)dy + (size_t)p * (size_t)block;
        element *to = (element *)dx + (size_t)p * (size_t)(pixels * block);
        for (int i = 0; i < pixels; i++)
            for (int k = 0; k < block; k++)
                to[i * block + k] = store(load(from[k]) * share);
    }
}
