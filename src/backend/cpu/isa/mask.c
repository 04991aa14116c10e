// Dropout's mask, the same whatever the elements are.
#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/isa/philox_vector.h"
#include "dropout.h"

#include <string.h>

enum {
    QUADS = 16 // that mask_by_elements() draws at once
};

// fm_dropout_keeps() of each lane, a byte.
static inline void store_kept(vec_draws draws, uint32_t threshold, uint8_t *keep)
{
    vec_bytes each = vec_narrow((vec_mask)(draws >= threshold) & 1);
    memcpy(keep, &each, sizeof each);
}

// keep[k * count + i]: what is kept of element k of quad first + i * stride, of `count`.
static inline __attribute__((always_inline)) void keep_bits(const struct fm_dropout_work *work,
    uint32_t id, uint32_t threshold, uint32_t first, uint32_t stride, const int count,
    uint8_t *keep)
{
    for (int i = 0; i < count; i += LANES) {
        vec_draws draws[4];
        philox_lanes(
            work->seed, work->epoch, id, work->stream, first + (uint32_t)i * stride, stride, draws);
        for (int k = 0; k < 4; k++)
            store_kept(draws[k], threshold, keep + k * count + i);
    }
}

// Of whole quads of pixels, and blocks of `block` channels, whole vectors: the same pixels of a
// block's channels are drawn at once, as they lie side by side.
static inline __attribute__((always_inline)) void mask_by_pixels(const struct fm_view *v,
    const struct fm_dropout_work *work, uint32_t id, uint32_t threshold, const int block,
    uint8_t *to)
{
    uint32_t quads = (uint32_t)(v->h * v->w) / 4;
    for (int c = 0; c < v->c; c += block)
        for (uint32_t quad = 0; quad < quads; quad++, to += 4 * block)
            keep_bits(work, id, threshold, (uint32_t)c * quads + quad, quads, block, to);
}

// Of any layout: logical element c * pixels + i lies at [c / block][i][c % block].
static void mask_by_elements(const struct fm_view *v, const struct fm_dropout_work *work,
    uint32_t id, uint32_t threshold, uint8_t *to)
{
    const struct fm_view one = {1, v->c, v->h, v->w, v->block};
    int pixels = v->h * v->w, elements = work->channels * pixels;
    uint8_t keep[4 * QUADS];
    for (int first = 0; first < elements; first += 4 * QUADS) {
        keep_bits(work, id, threshold, (uint32_t)first / 4, 1, QUADS, keep);
        int drawn = elements - first < 4 * QUADS ? elements - first : 4 * QUADS;
        int c = first / pixels, i = first % pixels;
        for (int e = 0; e < drawn; c++, i = 0) {
            uint8_t *channel = to + fm_view_at(&one, 0, c);
            for (; e < drawn && i < pixels; e++, i++)
                channel[(size_t)i * (size_t)v->block] = keep[e % 4 * QUADS + e / 4];
        }
    }
}

void FM_KERNEL(dropout_mask)(
    const struct fm_view *v, const struct fm_dropout_work *work, uint8_t *mask)
{
    uint32_t threshold = fm_dropout_threshold(work->rate);
    size_t image = fm_view_size(v) / (size_t)v->n;
    bool whole = v->h * v->w % 4 == 0; // quads
#pragma omp parallel for schedule(static)
    for (int n = 0; n < v->n; n++) {
        uint8_t *to = mask + (size_t)n * image;
        if (whole && v->block == 16) // AVX-512's layout
            mask_by_pixels(v, work, work->ids[n], threshold, 16, to);
        else if (whole && v->block == 8 && LANES <= 8) // AVX2's
            mask_by_pixels(v, work, work->ids[n], threshold, 8, to);
        else
            mask_by_elements(v, work, work->ids[n], threshold, to);
    }
}
