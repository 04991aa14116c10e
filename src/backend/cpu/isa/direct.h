// What a convolution by its definition is given: see direct.c and direct_gradient.c.
#ifndef FM_CPU_ISA_DIRECT_H
#define FM_CPU_ISA_DIRECT_H

#include "backend/cpu/isa/view.h"

#include <stdbool.h>

enum {
    FM_DIRECT_INPUTS = 3,   // channels at most: of the first convolution of a network
    FM_DIRECT_OUTPUTS = 16, // that they are a multiple of, as of any vector
};

// Of 3x3, stride 1, summed in fp32. Padding is added as zeros times weights, so a weight
// that is not finite shows at the border, too.
struct fm_direct {
    struct fm_view in, out; // without padding channels; forward the output with channels last
    int padding;            // on every side, 0 to 2
    int threads;            // that share the work
};

struct fm_direct_run {
    const void *x;     // [in]
    const void *rows;  // [in channels][3][3][out channels], elements
    const float *bias; // [out channels] or NULL
    bool relu;         // after the bias
    void *y;           // [out]
};

// The gradient of the filters. A gradient that is not finite shows, or is gated out.
struct fm_direct_gradient {
    const void *x;    // [in]
    const void *dy;   // [out]
    const void *gate; // [out], the output: with it dy counts where that is above zero; or NULL
    float *dw;        // [out channels][in channels][3][3]
    float *db;        // [out channels], or NULL
};

static inline bool fm_direct_suits(const struct fm_direct *d)
{
    return d->in.c <= FM_DIRECT_INPUTS && d->out.block == d->out.c &&
           d->out.c % FM_DIRECT_OUTPUTS == 0 && d->padding >= 0 && d->padding <= 2;
}

// `lanes` of a vector, which a channel block is to hold whole ones of.
static inline bool fm_direct_gradient_suits(const struct fm_direct *d, int lanes)
{
    return d->in.c <= FM_DIRECT_INPUTS && d->out.block % lanes == 0 && d->padding >= 0 &&
           d->padding <= 2;
}

#endif
