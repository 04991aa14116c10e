// A convolution of 3x3 in bf16 by the processor's matrix unit (AMX): see amx_convolve.c,
// amx_gradient.c, amx_filters.c and, of a network's first, amx_first.c.
#ifndef FM_CPU_ISA_AMX_H
#define FM_CPU_ISA_AMX_H

#include "backend/cpu/isa/view.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    FM_AMX_CHANNELS = 32, // that inputs and outputs are a multiple of: a row of a tile
    FM_AMX_IMAGES = 16,   // side by side in a tile, where images are small
    FM_AMX_BLOCK = 16,    // that a layout's channel block is a multiple of
    FM_AMX_SIDE = 3,      // of the filters
    FM_AMX_TAPS = FM_AMX_SIDE * FM_AMX_SIDE,
    FM_AMX_SMALL_PIXELS = 16 * 16, // of an image that is taken with others, at most: measured
};

// Stride 1. With `in` and `out` exchanged, padding 2 - padding and rotated filters it is the
// gradient of the data of the convolution that was. Products are summed in fp32: of each output in
// the order of rows of taps, 32 input channels, columns of taps, pairs of channels, whatever the
// number of threads and, of finite filters, the batch. Subnormals are taken as 0, and so are
// results.
struct fm_amx {
    struct fm_view in, out; // without padding channels; see fm_amx_suits(), fm_amx_first_suits()
    int padding;            // on every side, 0 to 2
    int threads;            // that share the work
};

// Filters as the network has them.
struct fm_amx_filters {
    int out_c, in_c;     // of the network's convolution
    const float *values; // [out_c][in_c][3][3]
    const float *scale;  // [out_c], which they are multiplied by before they are rounded, or NULL
    bool rotated;        // by half a turn, and in and out exchanged: for the data's gradient
    int threads;
};

// Bytes of filters as a convolution takes them.
static inline size_t fm_amx_filter_bytes(int out_c, int in_c)
{
    return (size_t)out_c * (size_t)in_c * FM_AMX_TAPS * 2;
}

struct fm_amx_run {
    const void *x;               // [in] bf16
    struct fm_norm_relu pending; // of x
    const void *filters;         // as `pack` makes them
    const float *bias;           // [out channels] or NULL
    bool relu;                   // after the bias; a NaN stays one
    bool pool;                   // then a max-pool of 2x2, which is not in place
    // bf16 [out], or its fm_view_pooled(); may be x where fm_amx_fits_in_place().
    void *y;
};

static inline bool fm_amx_suits(const struct fm_amx *a)
{
    return a->in.block % FM_AMX_BLOCK == 0 && a->out.block % FM_AMX_BLOCK == 0 &&
           a->in.c % FM_AMX_CHANNELS == 0 && a->out.c % FM_AMX_CHANNELS == 0 && a->padding >= 0 &&
           a->padding <= 2;
}

// Whether a tile's rows are the same pixel of as many images, not neighbouring pixels of one: of
// small images fewer rows are spent on what lies outside.
static inline bool fm_amx_takes_images(const struct fm_amx *a)
{
    bool full = a->out.n % FM_AMX_IMAGES == 0 || a->out.n >= 4 * FM_AMX_IMAGES;
    return full && a->out.h * a->out.w <= FM_AMX_SMALL_PIXELS;
}

// Whether the output, which is as large as the input, may take its memory: a thread has read all of
// an image before it writes any of it.
static inline bool fm_amx_fits_in_place(const struct fm_amx *a)
{
    return fm_view_same(&a->in, &a->out);
}

// A network's first convolution, of few input channels, which are plain, to blocks of 16.
enum {
    FM_AMX_FIRST_INPUTS = 3, // at most: 27 taps of 32 that a product sums over
};

struct fm_amx_first_run {
    const void *x;        // [in] bf16
    const float *filters; // [out channels][in channels][3][3], as the network has them
    const float *scale;   // [out channels], which they are multiplied by before rounding, or NULL
    const float *bias;    // [out channels] or NULL
    bool relu;            // after the bias; a NaN stays one
    void *y;              // [out] bf16
};

// The gradients of filters and bias, images added up in fp32.
struct fm_amx_first_gradient {
    const void *x;    // [in] bf16
    const void *dy;   // [out] bf16
    const void *gate; // [out], the output: with it dy counts where that is above zero; or NULL
    float *dw;        // [out channels][in channels][3][3]
    float *db;        // [out channels], or NULL
};

static inline bool fm_amx_first_suits(const struct fm_amx *a)
{
    return a->in.c <= FM_AMX_FIRST_INPUTS && a->in.block == 1 && a->out.block == FM_AMX_BLOCK &&
           a->out.c % FM_AMX_CHANNELS == 0 && a->padding >= 0 && a->padding <= 2;
}

// Own kernels of these, all of whose scratch begins at a line of the cache.
struct fm_amx_kernels {
    const char *name; // "amx"; "portable": the same arithmetic, but for subnormals, for tests
    void (*pack)(const struct fm_amx_filters *filters, void *packed);
    size_t (*convolve_scratch)(const struct fm_amx *a, bool pool);
    void (*convolve)(const struct fm_amx *a, const struct fm_amx_run *run, void *scratch);
    // The gradient of the filters, [out][in][3][3].
    size_t (*gradient_scratch)(const struct fm_amx *a);
    void (*gradient)(const struct fm_amx *a, const void *x, struct fm_norm_relu pending,
        const void *dy, float *dw, void *scratch);

    size_t (*first_scratch)(const struct fm_amx *a);
    void (*first)(const struct fm_amx *a, const struct fm_amx_first_run *run, void *scratch);
    size_t (*first_gradient_scratch)(const struct fm_amx *a);
    void (*first_gradient)(
        const struct fm_amx *a, const struct fm_amx_first_gradient *g, void *scratch);
};

// Those that this processor can run, its own first, the portable ones last; returns how many. Asks
// the kernel for leave to use the unit.
enum {
    FM_AMX_TABLES_MAX = 2
};
int fm_amx_usable(const struct fm_amx_kernels *tables[FM_AMX_TABLES_MAX]);

// Those of the unit; NULL where the processor has none. And those of any processor.
const struct fm_amx_kernels *fm_amx_choose(void);
const struct fm_amx_kernels *fm_amx_portable(void);

#endif
