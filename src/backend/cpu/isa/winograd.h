// What a convolution by Winograd's minimal filtering is given: see winograd.c.
#ifndef FM_CPU_ISA_WINOGRAD_H
#define FM_CPU_ISA_WINOGRAD_H

#include "backend/cpu/isa/view.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    FM_WINOGRAD_TILE = 4,    // outputs are computed in tiles of 4x4
    FM_WINOGRAD_POINTS = 36, // products for a tile of an in and out channel
    FM_WINOGRAD_BLOCK = 72   // tiles that a thread computes at a time, at most: fastest of 24 to 96
};

// Bytes of the transformed filters of so many outputs and inputs: whole lines of the cache, as
// channels are multiples of a panel.
static inline size_t fm_winograd_filter_bytes(int out_c, int in_c)
{
    return (size_t)out_c * (size_t)in_c * FM_WINOGRAD_POINTS * sizeof(float);
}

// How many tiles cover so many rows or columns.
static inline int fm_winograd_tiles(int size)
{
    return (size + FM_WINOGRAD_TILE - 1) / FM_WINOGRAD_TILE;
}

// A convolution of 3x3, stride 1, in fp32 whatever the elements are. With `in` and `out` exchanged,
// padding 2 - padding and rotated filters it is the gradient of the data of the convolution that
// was.
struct fm_winograd {
    struct fm_view in, out; // without padding channels; of whole units, see fm_winograd_suits()
    int padding;            // on every side, 0 to 2
    int threads;            // that share the work, each with scratch of its own
};

struct fm_winograd_run {
    const void *x;               // [in]
    struct fm_norm_relu pending; // of x
    const float *transformed;    // filters, as winograd_transform makes them
    const float *bias;           // [out channels] or NULL
    bool relu;                   // after the bias
    void *y;                     // [out]; x where fm_winograd_in_place()
};

// What an instruction set's kernels count channels in.
struct fm_winograd_units {
    int lanes; // of a vector: a channel block is a multiple of these
    int panel; // of two vectors: so are the channels, as each side's are a product's columns once
};

// Whether kernels of such units take the convolution and its gradients.
static inline bool fm_winograd_suits(
    const struct fm_winograd_units *units, const struct fm_winograd *w)
{
    return w->in.block % units->lanes == 0 && w->out.block % units->lanes == 0 &&
           w->in.c % units->panel == 0 && w->out.c % units->panel == 0 && w->padding >= 0 &&
           w->padding <= 2;
}

// Whether the output may take the input's memory: whole images, all of whose pixels are read before
// the first is written, fill a block.
static inline bool fm_winograd_in_place(const struct fm_winograd *w)
{
    const struct fm_view *in = &w->in, *out = &w->out;
    return in->c == out->c && in->h == out->h && in->w == out->w && in->block == out->block &&
           FM_WINOGRAD_BLOCK % (fm_winograd_tiles(out->h) * fm_winograd_tiles(out->w)) == 0;
}

#endif
