// What a convolution by its definition is given: see direct.c.
#ifndef FM_CPU_ISA_DIRECT_H
#define FM_CPU_ISA_DIRECT_H

#include "backend/cpu/isa/view.h"

#include <stdbool.h>

enum {
    FM_DIRECT_INPUTS = 3,   // channels at most: of the first convolution of a network
    FM_DIRECT_OUTPUTS = 16, // that they are a multiple of, as of any vector
};

// Of 3x3, stride 1, forward, summed in fp32. Padding is added as zeros times weights, so a weight
// that is not finite shows at the border, too.
struct fm_direct {
    struct fm_view in, out; // without padding channels; the output with channels last
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

static inline bool fm_direct_suits(const struct fm_direct *d)
{
    return d->in.c <= FM_DIRECT_INPUTS && d->out.block == d->out.c &&
           d->out.c % FM_DIRECT_OUTPUTS == 0 && d->padding >= 0 && d->padding <= 2;
}

#endif
