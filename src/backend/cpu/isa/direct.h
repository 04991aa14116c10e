// What a convolution by its definition is given: see direct.c and direct_gradient.c.
#ifndef FM_CPU_ISA_DIRECT_H
#define FM_CPU_ISA_DIRECT_H

#include "backend/cpu/isa/view.h"

#include <stdbool.h>

enum {
    FM_DIRECT_INPUTS = 3,   // channels at most: of the first convolution of a network
    FM_DIRECT_OUTPUTS = 16, // that they are a multiple of, as of any vector
    FM_DIRECT_SIDE = 3,
    FM_DIRECT_TAPS = FM_DIRECT_SIDE * FM_DIRECT_SIDE,
};

// Of 3x3, stride 1, summed in fp32. Forward, padding is added as zeros times weights, so a weight
// that is not finite shows at the border, too.
struct fm_direct {
    // Without padding channels. Forward the output has channels last, for the gradient blocks of
    // whole vectors.
    struct fm_view in, out;
    int padding; // on every side, 0 to 2
    int threads; // that share the work
};

struct fm_direct_run {
    const void *x;     // [in]
    const void *rows;  // [in channels][3][3][out channels], elements
    const float *bias; // [out channels] or NULL
    bool relu;         // after the bias
    void *y;           // [out]
};

// The gradient of filters and bias, images added up in double. A dy that is not finite shows in the
// sums that it is in, unless the gate stops it.
struct fm_direct_gradient {
    const float *x;    // [in]
    const float *dy;   // [out]
    const float *gate; // [out], the output: with it dy counts where that is above zero; or NULL
    float *dw;         // [out channels][in channels][3][3]
    float *db;         // [out channels], or NULL
};

// Of an input row with its padding.
static inline int fm_direct_row_pixels(const struct fm_direct *d)
{
    return d->out.w + FM_DIRECT_SIDE - 1;
}

static inline bool fm_direct_takes(const struct fm_direct *d)
{
    return d->in.c <= FM_DIRECT_INPUTS && d->padding >= 0 && d->padding <= 2;
}

static inline bool fm_direct_suits(const struct fm_direct *d)
{
    return fm_direct_takes(d) && d->out.block == d->out.c && d->out.c % FM_DIRECT_OUTPUTS == 0;
}

// `lanes`: of a vector, whole ones of which a channel block is to hold.
static inline bool fm_direct_gradient_suits(const struct fm_direct *d, int lanes)
{
    return fm_direct_takes(d) && d->out.block % lanes == 0;
}

#endif
