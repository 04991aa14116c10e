// Dynamic loss scaling (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2): the loss is
// multiplied by a power of two so that small gradients do not vanish in fp16; a step whose
// gradients overflow is skipped and halves it, a long run of good ones doubles it.
#ifndef FM_KERNELS_LOSS_SCALE_H
#define FM_KERNELS_LOSS_SCALE_H

#include "portable.h"

#define FM_LOSS_SCALE_FIRST 65536.0f
#define FM_LOSS_SCALE_LEAST 1.0f
#define FM_LOSS_SCALE_MOST 16777216.0f // 2^24
#define FM_LOSS_SCALE_GOOD_STEPS 2000u

// What follows a step: *good_steps counts the good ones since the scale last changed. Returns 1
// when the scale has grown.
FM_SHARED_FN int fm_loss_scale_next(int finite, float *scale, uint32_t *good_steps)
{
    if (!finite) {
        *good_steps = 0;
        *scale = *scale * 0.5f < FM_LOSS_SCALE_LEAST ? FM_LOSS_SCALE_LEAST : *scale * 0.5f;
        return 0;
    }
    if (++*good_steps < FM_LOSS_SCALE_GOOD_STEPS)
        return 0;
    *good_steps = 0;
    if (*scale >= FM_LOSS_SCALE_MOST)
        return 0;
    *scale *= 2.0f;
    return 1;
}

#endif
