// Elements of an activation, of either type, in memory, and where each is.
#ifndef FM_TESTS_ELEMENTS_H
#define FM_TESTS_ELEMENTS_H

#include "backend/cpu/isa/kernels.h"
#include "rounding.h"

static inline double get_element(enum fm_element element, const void *data, size_t at)
{
    return element == FM_ELEMENT_BF16 ? (double)fm_bf16_widen(((const uint16_t *)data)[at])
                                      : (double)((const float *)data)[at];
}

// Where channel c of a pixel of image n is: written out again, so that fm_view_at() is tested.
static inline size_t element_at(const struct fm_view *v, int n, int c, int pixel)
{
    size_t plane = (size_t)n * (size_t)(v->c / v->block) + (size_t)(c / v->block);
    return (plane * (size_t)(v->h * v->w) + (size_t)pixel) * (size_t)v->block +
           (size_t)(c % v->block);
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
