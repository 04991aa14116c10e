// Elements of an activation, of either type, in memory.
#ifndef FM_TESTS_ELEMENTS_H
#define FM_TESTS_ELEMENTS_H

#include "backend/cpu/isa/kernels.h"
#include "rounding.h"

static inline double get_element(enum fm_element element, const void *data, size_t at)
{
    return element == FM_ELEMENT_BF16 ? (double)fm_bf16_widen(((const uint16_t *)data)[at])
                                      : (double)((const float *)data)[at];
}

// Rounded where the type wants it.
static inline void put_element(enum fm_element element, void *data, size_t at, float value)
{
    if (element == FM_ELEMENT_BF16)
        ((uint16_t *)data)[at] = fm_bf16_narrow(value);
    else
        ((float *)data)[at] = value;
}

#endif
