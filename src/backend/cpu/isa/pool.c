// Pooling. A pixel's channels are taken in groups, so that the inner loop is a vector; plain
// layouts, whose channels do not lie side by side, are taken one by one.
#include "backend/cpu/isa/element.h"

#include <string.h>

// b where it takes a's place: where it is larger, or a NaN, which no comparison may lose. Two
// selections, as compilers make vectors of those but not of one by either condition.
static inline float larger(float a, float b)
{
    float most = b > a ? b : a;
    return b != b ? b : most;
}

// The same for where they stand.
static inline int larger_at(float a, float b, int at_a, int at_b)
{
    int at = b > a ? at_b : at_a;
    return b != b ? at_b : at;
}

// A 2x2 window's corners, as distances from the first in elements.
struct window {
    size_t right, below;
};

// A window's elements of channel k.
struct four {
    float a, b, c, d;
};

static inline __attribute__((always_inline)) struct four four_of(
    const element *x, struct window w, struct fm_norm_relu pending, int k)
{
    struct four f = {load(x[k]), load((x + w.right)[k]), load((x + w.below)[k]),
        load((x + w.below + w.right)[k])};
    if (!pending.scale)
        return f;
    return (struct four){apply_pending(pending, k, f.a), apply_pending(pending, k, f.b),
        apply_pending(pending, k, f.c), apply_pending(pending, k, f.d)};
}

// One output pixel of `count` channels.
static inline __attribute__((always_inline)) void max_of_four(const int count,
    const element *restrict x, struct window w, struct fm_norm_relu pending, element *restrict y)
{
    for (int k = 0; k < count; k++) {
        struct four f = four_of(x, w, pending, k);
        y[k] = store(larger(larger(f.a, f.b), larger(f.c, f.d)));
    }
}

// The same, keeping which it was: the first largest in row-major order.
static inline __attribute__((always_inline)) void argmax_of_four(const int count,
    const element *restrict x, struct window w, struct fm_norm_relu pending, element *restrict y,
    uint8_t *restrict index)
{
    int at[GROUP]; // as wide as fp32, so that all is one width of vectors
    for (int k = 0; k < count; k++) {
        struct four f = four_of(x, w, pending, k);
        float top = larger(f.a, f.b), bottom = larger(f.c, f.d);
        at[k] = larger_at(top, bottom, larger_at(f.a, f.b, 0, 1), larger_at(f.c, f.d, 2, 3));
        y[k] = store(larger(top, bottom));
    }
    for (int k = 0; k < count; k++)
        index[k] = (uint8_t)at[k];
}

static inline __attribute__((always_inline)) void forward_group(const int count,
    const element *restrict x, struct window w, struct fm_norm_relu pending, element *restrict y,
    uint8_t *restrict index)
{
    if (index && pending.scale)
        argmax_of_four(count, x, w, pending, y, index);
    else if (index)
        argmax_of_four(count, x, w, (struct fm_norm_relu){0}, y, index);
    else if (pending.scale)
        max_of_four(count, x, w, pending, y);
    else
        max_of_four(count, x, w, (struct fm_norm_relu){0}, y);
}

void FM_ELEMENT_KERNEL(maxpool_forward)(
    const struct fm_view *v, const void *x, struct fm_norm_relu pending, void *y, uint8_t *index)
{
    int groups = v->c / v->block, planes = v->n * groups, block = v->block;
    int h = v->h / 2, w = v->w / 2;
    size_t row = (size_t)v->w * (size_t)block;
    struct window window = {(size_t)block, row};
    // By rows of outputs: a single image with channels last is a single plane.
#pragma omp parallel for schedule(static)
    for (int r = 0; r < planes * h; r++) {
        int p = r / h;
        const element *from = (const element *)x +
                              ((size_t)p * (size_t)v->h + (size_t)(2 * (r % h))) * row;
        size_t to = (size_t)r * (size_t)(w * block);
        struct fm_norm_relu own = pending_from(pending, p % groups * block);
        for (int i = 0; i < w; i++, to += (size_t)block) {
            const element *corner = from + (size_t)(2 * i * block);
            element *out = (element *)y + to;
            uint8_t *which = index ? index + to : NULL;
            int k = 0;
            for (; k + GROUP <= block; k += GROUP)
                forward_group(GROUP, corner + k, window, pending_from(own, k), out + k,
                    which ? which + k : NULL);
            forward_group(block - k, corner + k, window, pending_from(own, k), out + k,
                which ? which + k : NULL);
        }
    }
}

// One window's gradients of `count` channels; with `gate`, what passes a ReLU in front of the pool.
static inline __attribute__((always_inline)) void scatter_to_four(const int count,
    const element *restrict dy, const element *restrict gate, const uint8_t *restrict index,
    struct window w, element *restrict dx)
{
    const element none = store(0.0f);
    int at[GROUP]; // as wide as fp32, with 4 for nowhere
    for (int k = 0; k < count; k++)
        at[k] = index[k];
    if (gate)
        for (int k = 0; k < count; k++)
            at[k] = load(gate[k]) > 0.0f ? at[k] : 4;
    for (int k = 0; k < count; k++) {
        element g = dy[k];
        dx[k] = at[k] == 0 ? g : none;
        (dx + w.right)[k] = at[k] == 1 ? g : none;
        (dx + w.below)[k] = at[k] == 2 ? g : none;
        (dx + w.below + w.right)[k] = at[k] == 3 ? g : none;
    }
}

void FM_ELEMENT_KERNEL(maxpool_backward)(
    const struct fm_view *v, const void *dy, const void *gate, const uint8_t *index, void *dx)
{
    const element *gradient = dy, *pooled = gate;
    int planes = v->n * (v->c / v->block), block = v->block, h = v->h / 2, w = v->w / 2;
    size_t row = (size_t)v->w * (size_t)block;
    struct window window = {(size_t)block, row};
    bool odd = v->h % 2 || v->w % 2; // the dropped last row or column gets no gradient
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++) {
        element *to = (element *)dx + (size_t)p * (size_t)v->h * row;
        size_t from = (size_t)p * (size_t)(h * w) * (size_t)block;
        if (odd)
            memset(to, 0, (size_t)v->h * row * sizeof *to);
        for (int i = 0; i < h * w; i++, from += (size_t)block) {
            element *corner = to + (size_t)(2 * (i / w)) * row + (size_t)(2 * (i % w) * block);
            const element *passed = pooled ? pooled + from : NULL;
            int k = 0;
            for (; k + GROUP <= block; k += GROUP)
                scatter_to_four(GROUP, gradient + from + k, passed ? passed + k : NULL,
                    index + from + k, window, corner + k);
            scatter_to_four(block - k, gradient + from + k, passed ? passed + k : NULL,
                index + from + k, window, corner + k);
        }
    }
}

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
            int count = least(GROUP, block - first);
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
