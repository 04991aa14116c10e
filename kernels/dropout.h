// Dropout decided in integer arithmetic: an element is kept when its draw reaches a threshold.
#ifndef FM_KERNELS_DROPOUT_H
#define FM_KERNELS_DROPOUT_H

#include "philox.h"

FM_SHARED_FN int fm_dropout_takes(float rate)
{
    return rate >= 0.0f && rate < 1.0f;
}

// rate * 2^32, rounded down.
FM_SHARED_FN uint32_t fm_dropout_threshold(float rate)
{
    return (uint32_t)((double)rate * 4294967296.0);
}

FM_SHARED_FN int fm_dropout_keeps(uint32_t draw, uint32_t threshold)
{
    return draw >= threshold;
}

// What kept elements are multiplied by.
FM_SHARED_FN float fm_dropout_scale(float rate)
{
    return 1.0f / (1.0f - rate);
}

#endif
