// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011; constants from its table 2 and reference implementation).
//
// A draw depends on nothing but its coordinates, so shuffling, augmentation, mixing and dropout are
// the same on every device, in any order, and a resumed run needs no saved generator.
//   key:      the run's seed
//   counter:  epoch, sample id, stream, element / 4 (one call gives the draws of four elements)
// Elements are counted in the logical order C, H, W, whatever the layout in memory.
#ifndef FM_KERNELS_PHILOX_H
#define FM_KERNELS_PHILOX_H

#include "portable.h"

enum fm_stream {
    FM_STREAM_SHUFFLE = 0, // elements 0, 1: the sort key of an epoch's order
    FM_STREAM_SHIFT = 1,   // elements 0, 1: rows, columns
    FM_STREAM_FLIP = 2,    // element 0
    FM_STREAM_ERASE = 3,   // elements 0 to 4: whether, height, width, top, left
    FM_STREAM_INIT = 4,    // sample id: the parameter's index
    FM_STREAM_SPLIT = 5,   // elements 0, 1: the sort key of the split
    FM_STREAM_PERMUTE = 6, // epoch: the permutation; elements: its draws, one after another
    FM_STREAM_FOLD = 7,    // elements 0, 1: the sort key of the folds
    FM_STREAM_PLANT = 8,   // elements 0, 1: the sort key of labels to change; 4: the other label
    FM_STREAM_MIX = 9, // elements 0 to 6: whether, how much, whether cut, height, width, top, left
    FM_STREAM_DROPOUT = 16, // + the dropout layer's ordinal
};

// The rounds, what they multiply by, and what the key's words grow by.
#define FM_PHILOX_ROUNDS 10
#define FM_PHILOX_M0 0xD2511F53u
#define FM_PHILOX_M1 0xCD9E8D57u
#define FM_PHILOX_W0 0x9E3779B9u
#define FM_PHILOX_W1 0xBB67AE85u

struct fm_draws {
    uint32_t v[4];
};

FM_SHARED_FN uint32_t fm_mulhi32(uint32_t a, uint32_t b)
{
    return (uint32_t)(((uint64_t)a * b) >> 32);
}

FM_SHARED_FN struct fm_draws fm_philox(
    uint64_t seed, uint32_t epoch, uint32_t sample, uint32_t stream, uint32_t quad)
{
    uint32_t c0 = epoch, c1 = sample, c2 = stream, c3 = quad;
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < FM_PHILOX_ROUNDS; round++) {
        uint32_t hi0 = fm_mulhi32(FM_PHILOX_M0, c0), lo0 = FM_PHILOX_M0 * c0;
        uint32_t hi1 = fm_mulhi32(FM_PHILOX_M1, c2), lo1 = FM_PHILOX_M1 * c2;
        c0 = hi1 ^ c1 ^ k0;
        c1 = lo1;
        c2 = hi0 ^ c3 ^ k1;
        c3 = lo0;
        k0 += FM_PHILOX_W0;
        k1 += FM_PHILOX_W1;
    }
    struct fm_draws draws = {{c0, c1, c2, c3}};
    return draws;
}

// The draw of element `at`.
FM_SHARED_FN uint32_t fm_draw(
    uint64_t seed, uint32_t epoch, uint32_t sample, uint32_t stream, uint32_t at)
{
    return fm_philox(seed, epoch, sample, stream, at / 4).v[at % 4];
}

// A sort key: the draws of elements 0 (high word) and 1.
FM_SHARED_FN uint64_t fm_draw64(uint64_t seed, uint32_t epoch, uint32_t sample, uint32_t stream)
{
    struct fm_draws draws = fm_philox(seed, epoch, sample, stream, 0);
    return (uint64_t)draws.v[0] << 32 | draws.v[1];
}

// An integer in [0, n): the high word of draw * n (Lemire 2019, without rejection: the bias is
// below n / 2^32).
FM_SHARED_FN uint32_t fm_draw_below(uint32_t draw, uint32_t n)
{
    return fm_mulhi32(draw, n);
}

// A share as a number of the 2^32 draws: those below it are in, so that integers decide.
FM_SHARED_FN uint64_t fm_draw_threshold(float share)
{
    return (uint64_t)((double)share * 4294967296.0);
}

// A float in [0, 1): the draw's upper 24 bits.
FM_SHARED_FN float fm_draw_unit(uint32_t draw)
{
    return (float)(draw >> 8) * (1.0f / 16777216.0f);
}

#endif
