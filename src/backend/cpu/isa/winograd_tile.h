// Winograd's minimal filtering F(m x m, 3x3): the transforms of one tile, LANES channels at a time.
//
// A tile of m x m outputs y of a 3x3 filter g over (m + 2) x (m + 2) inputs d is
//   y = A^T [ (G g G^T) * (B^T d B) ] A
// with (m + 2)^2 products an in and out channel in place of 9 m^2: 36 for 144 with m = 4, 16 for 36
// with m = 2 (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks",
// arXiv:1509.09308, section 4). Its adjoint gives the filter's gradient:
// dg = G^T [ (B^T d B) * (A dy A^T) ] G, summed over tiles.
//
// The matrices are sparse and written out, in winograd_4x4.h and winograd_2x2.h: a ..._1d function
// takes one row or column of a tile, its elements so many steps apart. A file that includes this is
// compiled for one m, FM_TILE.
#ifndef FM_CPU_ISA_WINOGRAD_TILE_H
#define FM_CPU_ISA_WINOGRAD_TILE_H

#include "backend/cpu/isa/kernels.h"
#if FM_TILE == 2
#include "backend/cpu/isa/winograd_2x2.h"
#elif FM_TILE == 4
#include "backend/cpu/isa/winograd_4x4.h"
#else
#error "FM_TILE: transforms are written for tiles of 2x2 and 4x4"
#endif

#include <stddef.h>

enum {
    TILE_OUT = FM_TILE,
    TILE_FILTER = 3,
    TAPS = TILE_FILTER * TILE_FILTER,
    TILE_IN = TILE_OUT + TILE_FILTER - 1,
    TILE_POINTS = TILE_IN * TILE_IN,
    // Of pixels' columns, and then rows, how many are unrolled: all with 32 registers. With 16, gcc
    // 12 moves less of a tile to the stack and back if they are a loop (docs/cpu-performance.md).
    TILE_UNROLL = VECTOR_REGISTERS == 32 ? TILE_IN : 1,
};

// Both directions of a tile, row by row in memory: each column of `in` to one of `out`, then each
// row of what that gave. Those of pixels are in winograd_pixels.h.
#define TILE_TRANSFORM(name, transform, in, out)                                                   \
    static inline __attribute__((always_inline)) void name(                                        \
        const vec x[(in) * (in)], vec y[(out) * (out)])                                            \
    {                                                                                              \
        vec half[(out) * (in)];                                                                    \
        _Pragma("GCC unroll 6") for (int c = 0; c < (in); c++) transform(x + c, in, half + c, in); \
        _Pragma("GCC unroll 6") for (int r = 0; r < (out); r++)                                    \
            transform(half + r * (in), 1, y + r * (out), 1);                                       \
    }
TILE_TRANSFORM(output_tile, output_1d, TILE_IN, TILE_OUT)
TILE_TRANSFORM(filter_tile, filter_1d, TILE_FILTER, TILE_IN)
TILE_TRANSFORM(filter_gradient_tile, filter_gradient_1d, TILE_IN, TILE_FILTER)

// A tile's points lie `stride` apart, each in a matrix of its own.
static inline void scatter_points(const vec points[TILE_POINTS], float *to, size_t stride)
{
#pragma GCC unroll 36
    for (int i = 0; i < TILE_POINTS; i++)
        vec_store(to + (size_t)i * stride, points[i]);
}

// One row of them.
static inline void scatter_row(const vec row[TILE_IN], float *to, int r, size_t stride)
{
#pragma GCC unroll 6
    for (int c = 0; c < TILE_IN; c++)
        vec_store(to + (size_t)(r * TILE_IN + c) * stride, row[c]);
}

static inline void gather_points(const float *from, size_t stride, vec points[TILE_POINTS])
{
#pragma GCC unroll 36
    for (int i = 0; i < TILE_POINTS; i++)
        points[i] = vec_load(from + (size_t)i * stride);
}

#endif
