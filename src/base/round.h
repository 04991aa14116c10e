// Multiples.
#ifndef FM_BASE_ROUND_H
#define FM_BASE_ROUND_H

#include <stddef.h>

// The least multiple of `unit` that is not below `size`.
static inline size_t fm_round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

#endif
