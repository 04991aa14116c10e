// What a dense layer of a single image is given: see gathered.c.
#ifndef FM_CPU_ISA_GATHERED_H
#define FM_CPU_ISA_GATHERED_H

#include <stdbool.h>

// y = x W + b, then ReLU if asked for, summed in fp32.
struct fm_gathered_run {
    const void *x;       // one image, in any layout
    int inputs;          // without padding channels
    const void *weights; // [inputs][out], inputs in the order of [c][h][w] whatever the layout; or
                         // NULL: `plain` is read
    const float *plain;  // [out][inputs], as the model has them: slower, to the same bits
    const float *bias;   // [out] or NULL
    bool all; // inputs of zero count, too: weights are not finite (of plain ones that is seen)
    bool relu;
    bool wide; // y is fp32 whatever the elements are
    int out;
    void *y; // [out]
};

#endif
