// How own kernels see an activation.
#ifndef FM_CPU_ISA_VIEW_H
#define FM_CPU_ISA_VIEW_H

#include <stdbool.h>
#include <stddef.h>

// What an activation and its gradient are made of.
enum fm_element {
    FM_ELEMENT_F32,
    FM_ELEMENT_BF16,
    FM_ELEMENT_COUNT,
};

// An activation in memory: [n][c / block][h][w][block]. Plain NCHW has block 1, NHWC block c,
// oneDNN's nChw16c block 16. `c` is padded to a multiple of `block`; padding channels hold zeros
// and stay zero, as oneDNN expects. Kernels see the tensor as n * c / block planes of h * w pixels.
struct fm_view {
    int n, c, h, w, block;
};

static inline size_t fm_view_size(const struct fm_view *v)
{
    return (size_t)v->n * (size_t)v->c * (size_t)v->h * (size_t)v->w;
}

// Where the first pixel of an image is, from `channel` on; pixels are v->block elements apart.
static inline size_t fm_view_at(const struct fm_view *v, int image, int channel)
{
    size_t plane = (size_t)image * (size_t)(v->c / v->block) + (size_t)(channel / v->block);
    return plane * (size_t)(v->h * v->w) * (size_t)v->block + (size_t)(channel % v->block);
}

// Whether images lie in either as in the other.
static inline bool fm_view_same(const struct fm_view *a, const struct fm_view *b)
{
    return a->c == b->c && a->h == b->h && a->w == b->w && a->block == b->block;
}

// What a max-pool of 2x2 makes of it: an odd last row or column is dropped.
static inline struct fm_view fm_view_pooled(const struct fm_view *v)
{
    return (struct fm_view){v->n, v->c, v->h / 2, v->w / 2, v->block};
}

// A batch norm and its ReLU that were not carried out: whoever reads the activation takes
// max(x * scale[c] + shift[c], 0) for its element x. Without a scale, elements are as they stand.
struct fm_norm_relu {
    const float *scale, *shift; // [c]
};

#endif
