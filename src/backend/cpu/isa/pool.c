// Pooling. Of max-pools a pixel's channels are taken in vectors; of plain layouts, whose channels
// do not lie side by side, a vector holds one. Mean pools are loops over groups of channels.
#include "backend/cpu/isa/element_vector.h"

#include <string.h>

// ---- the largest of four

// The elements with what is pending carried out; a NaN stays one.
static inline vec read_pending(const element *x, struct fm_norm_relu pending, const int count)
{
    vec value = read_some(x, count);
    if (!pending.scale)
        return value;
    vec scale = vec_load_some(pending.scale, count), shift = vec_load_some(pending.shift, count);
    return vec_relu(vec_fmaf(value, scale, shift));
}

// A 2x2 window's corners, as distances from the first in elements.
struct window {
    size_t right, below;
};

// One output pixel of `count` channels, LANES at most. With `index`, which it was in row-major
// order: the first largest, or the last NaN.
static inline __attribute__((always_inline)) void largest_of_four(const int count, const element *x,
    struct window w, struct fm_norm_relu pending, element *y, uint8_t *index)
{
    vec a = read_pending(x, pending, count), b = read_pending(x + w.right, pending, count);
    vec_mask right = vec_takes(a, b);
    vec top = vec_choose(right, b, a);
    x += w.below;
    vec c = read_pending(x, pending, count), d = read_pending(x + w.right, pending, count);
    vec_mask right_below = vec_takes(c, d);
    vec bottom = vec_choose(right_below, d, c);
    vec_mask below = vec_takes(top, bottom);
    write_some(y, count, vec_choose(below, bottom, top));
    if (!index)
        return;
    vec_mask at = (vec_mask)vec_choose(below, (vec)(2 - right_below), (vec)-right); // true is -1
    vec_bytes which = vec_narrow(at);
    memcpy(index, &which, (size_t)count);
}

static inline __attribute__((always_inline)) void forward_pixel(const int block, const element *x,
    struct window w, struct fm_norm_relu pending, element *y, uint8_t *index)
{
    int k = 0;
    for (; k + LANES <= block; k += LANES)
        largest_of_four(LANES, x + k, w, pending_from(pending, k), y + k, index ? index + k : NULL);
    if (k < block)
        largest_of_four(
            block - k, x + k, w, pending_from(pending, k), y + k, index ? index + k : NULL);
}

// A row of `count` outputs. In training, with AVX2 alone, it fetches the next two rows of inputs,
// which are too short for the processor to do it by itself: a line of each for a pixel, all of fp32
// in blocks of LANES.
static inline __attribute__((always_inline)) void forward_row(const int block, int count,
    const element *x, struct window w, struct fm_norm_relu pending, element *y, uint8_t *index)
{
    for (int i = 0; i < count; i++, x += 2 * block, y += block) {
        forward_pixel(block, x, w, pending, y, index);
        if (AVX2_ALONE && index) {
            __builtin_prefetch(ahead_of(x, 2 * w.below * sizeof *x));
            __builtin_prefetch(ahead_of(x, 3 * w.below * sizeof *x));
        }
        if (index)
            index += block;
    }
}

void FM_ELEMENT_KERNEL(maxpool_forward)(
    const struct fm_view *v, const void *x, struct fm_norm_relu pending, void *y, uint8_t *index)
{
    static const struct fm_norm_relu none;
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
        size_t at = (size_t)r * (size_t)(w * block);
        element *to = (element *)y + at;
        uint8_t *which = index ? index + at : NULL;
        struct fm_norm_relu own = pending_from(pending, p % groups * block);
        // By constants and without conditions where time counts.
        if (block == GROUP && which && own.scale)
            forward_row(GROUP, w, from, window, own, to, which);
        else if (block == GROUP && which)
            forward_row(GROUP, w, from, window, none, to, which);
        else if (block == LANES && which && own.scale)
            forward_row(LANES, w, from, window, own, to, which);
        else if (block == LANES && which)
            forward_row(LANES, w, from, window, none, to, which);
        else
            forward_row(block, w, from, window, own, to, which);
    }
}

// One window's gradients of `count` channels, LANES at most; with `gate`, what passes a ReLU in
// front of the pool. `far`: past the caches.
static inline __attribute__((always_inline)) void scatter_to_four(const int count, const bool far,
    const element *dy, const element *gate, const uint8_t *index, struct window w, element *dx)
{
    size_t bytes = (size_t)count * sizeof *dx;
    vec_lanes gradient = {0}, passes = {0};
    vec_bytes which = {0};
    memcpy(&gradient, dy, bytes);
    memcpy(&which, index, (size_t)count);
    if (gate) {
        memcpy(&passes, gate, bytes);
        gradient &= lanes_above_zero(passes);
    }
    vec_lanes at = __builtin_convertvector(which, vec_lanes); // counts down to 0 at its corner
    for (int corner = 0; corner < 4; corner++, at -= 1) {
        vec_lanes own = gradient & (at == 0);
        element *to = dx + (corner & 2 ? w.below : 0) + (corner & 1 ? w.right : 0);
        if (far)
            write_lanes_far(to, own);
        else
            memcpy(to, &own, bytes);
    }
}

static inline __attribute__((always_inline)) void backward_pixel(const int block, const bool far,
    const element *dy, const element *gate, const uint8_t *index, struct window w, element *dx)
{
    int k = 0;
    for (; k + LANES <= block; k += LANES)
        scatter_to_four(LANES, far, dy + k, gate ? gate + k : NULL, index + k, w, dx + k);
    if (k < block)
        scatter_to_four(block - k, false, dy + k, gate ? gate + k : NULL, index + k, w, dx + k);
}

// The gradients of a plane of view `v` from its windows'.
static inline __attribute__((always_inline)) void backward_plane(const struct fm_view *v,
    const int block, const bool far, const element *dy, const element *gate, const uint8_t *index,
    element *dx)
{
    int h = v->h / 2, w = v->w / 2;
    size_t row = (size_t)(v->w * block);
    const struct window window = {(size_t)block, row};
    for (int i = 0; i < h * w; i++, dy += block, index += block) {
        element *corner = dx + (size_t)(2 * (i / w)) * row + (size_t)(2 * (i % w) * block);
        backward_pixel(block, far, dy, gate, index, window, corner);
        if (gate)
            gate += block;
    }
}

void FM_ELEMENT_KERNEL(maxpool_backward)(
    const struct fm_view *v, const void *dy, const void *gate, const uint8_t *index, void *dx)
{
    int planes = v->n * (v->c / v->block), block = v->block;
    size_t plane = (size_t)(v->h * v->w * block), windows = (size_t)(v->h / 2 * (v->w / 2) * block);
    bool odd = v->h % 2 || v->w % 2; // the dropped last row or column gets no gradient
    bool far = block == LANES && is_far_view(v, dx);
#pragma omp parallel for schedule(static)
    for (int p = 0; p < planes; p++) {
        element *to = (element *)dx + (size_t)p * plane;
        const element *from = (const element *)dy + (size_t)p * windows;
        const element *passed = gate ? (const element *)gate + (size_t)p * windows : NULL;
        const uint8_t *which = index + (size_t)p * windows;
        if (odd)
            memset(to, 0, plane * sizeof *to);
        // By constants and without conditions where time counts.
        if (far && passed)
            backward_plane(v, LANES, true, from, passed, which, to);
        else if (far)
            backward_plane(v, LANES, true, from, NULL, which, to);
        else if (block == GROUP && passed)
            backward_plane(v, GROUP, false, from, passed, which, to);
        else if (block == GROUP)
            backward_plane(v, GROUP, false, from, NULL, which, to);
        else
            backward_plane(v, block, false, from, passed, which, to);
        if (far)
            end_far_stores();
    }
}

// ---- the mean

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
