// What a convolution by Winograd's minimal filtering is given: see winograd.c and
// winograd_gradient.c.
#ifndef FM_CPU_ISA_WINOGRAD_H
#define FM_CPU_ISA_WINOGRAD_H

#include "backend/cpu/isa/view.h"

#include <stdbool.h>
#include <stddef.h>

// What an image's outputs are divided into: tiles of 4x4, which take the fewest products, or of
// 2x2, whose filters are less than half as large.
enum fm_winograd_tiling {
    FM_WINOGRAD_4X4,
    FM_WINOGRAD_2X2,
    FM_WINOGRAD_TILING_COUNT,
};

enum {
    FM_WINOGRAD_BLOCK = 36,       // tiles of a block at most, measured (docs/cpu-performance.md)
    FM_WINOGRAD_LARGE_BLOCK = 72, // where filters are many, as each block reads all of them
    FM_WINOGRAD_FEW_FILTERS = 128 * 128, // input times output channels up to which they are not
};

static inline int fm_winograd_tile_size(enum fm_winograd_tiling tiling)
{
    return tiling == FM_WINOGRAD_2X2 ? 2 : 4;
}

// Products for a tile of an in and out channel: 36 or 16.
static inline int fm_winograd_points(enum fm_winograd_tiling tiling)
{
    int inputs = fm_winograd_tile_size(tiling) + 2;
    return inputs * inputs;
}

// Bytes of the transformed filters of so many outputs and inputs: whole lines of the cache, as
// channels are multiples of a panel.
static inline size_t fm_winograd_filter_bytes(enum fm_winograd_tiling tiling, int out_c, int in_c)
{
    return (size_t)out_c * (size_t)in_c * (size_t)fm_winograd_points(tiling) * sizeof(float);
}

// How many tiles of such a size cover so many rows or columns.
static inline int fm_winograd_tiles(int rows, int tile_size)
{
    return (rows + tile_size - 1) / tile_size;
}

// A convolution of 3x3, stride 1, in fp32 whatever the elements are. With `in` and `out` exchanged,
// padding 2 - padding and rotated filters it is the gradient of the data of the convolution that
// was.
struct fm_winograd {
    struct fm_view in, out; // without padding channels; of whole units, see fm_winograd_suits()
    int padding;            // on every side, 0 to 2
    enum fm_winograd_tiling tiling;
    int threads; // that share the work
    // Whether the output may take the input's memory: blocks are of whole images then, all of whose
    // pixels are read before the first is written. Only where fm_winograd_fits_in_place().
    bool in_place;
};

// Filters as the network has them.
struct fm_winograd_filters {
    int out_c, in_c;         // of the network's convolution
    const float *values;     // [out_c][in_c][3][3]
    const float *scale;      // [out_c], which they are multiplied by, or NULL
    enum fm_element element; // what they are rounded to then
    bool rotated;            // by half a turn, and in and out exchanged: for the data's gradient
};

struct fm_winograd_run {
    const void *x;               // [in]
    struct fm_norm_relu pending; // of x
    const float *transformed;    // filters, as winograd_transform makes them, or NULL
    // Where that is NULL, which fm_winograd_has_parts() must allow: what each thread transforms its
    // parts of.
    const struct fm_winograd_filters *filters;
    const float *bias; // [out channels] or NULL
    bool relu;         // after the bias
    bool pool;         // then a max-pool of 2x2, which is not in place
    void *y;           // [out], or its fm_view_pooled(); may be x where w->in_place
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

// Tiles of an image.
static inline int fm_winograd_image_tiles(const struct fm_winograd *w)
{
    int size = fm_winograd_tile_size(w->tiling);
    return fm_winograd_tiles(w->out.h, size) * fm_winograd_tiles(w->out.w, size);
}

// The most tiles of a block that a thread has of its own; in place those of as many images as fit,
// or of one.
static inline int fm_winograd_block_tiles(const struct fm_winograd *w)
{
    int most = w->in.c * w->out.c <= FM_WINOGRAD_FEW_FILTERS ? FM_WINOGRAD_BLOCK
                                                             : FM_WINOGRAD_LARGE_BLOCK;
    int image = fm_winograd_image_tiles(w);
    if (!w->in_place)
        return most;
    return image < most ? most - most % image : image;
}

// Whether the output, which is as large as the input, may take its memory: an image is no more than
// a block.
static inline bool fm_winograd_fits_in_place(const struct fm_winograd *w)
{
    return fm_view_same(&w->in, &w->out) && fm_winograd_image_tiles(w) <= FM_WINOGRAD_LARGE_BLOCK;
}

// Whether all threads take one block of all tiles, and parts of the filters: what they then read of
// each other's tiles is less than what each is spared of the filters.
static inline bool fm_winograd_shares_block(const struct fm_winograd *w)
{
    int tiles = w->out.n * fm_winograd_image_tiles(w);
    return tiles <= FM_WINOGRAD_LARGE_BLOCK && tiles * (w->in.c + w->out.c) <= w->in.c * w->out.c;
}

// Whether filters may be transformed part by part on the way, which spares memory for all of them,
// where they are needed once: the parts, panels of outputs, are shared out evenly, or are so many
// that no thread has more than a quarter more than its share.
static inline bool fm_winograd_has_parts(
    const struct fm_winograd_units *units, const struct fm_winograd *w)
{
    int panels = w->out.c / units->panel;
    return fm_winograd_shares_block(w) && (panels % w->threads == 0 || panels >= 4 * w->threads);
}

#endif
