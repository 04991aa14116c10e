// Products of small matrices whose right side lies in panels: what Winograd's convolution and the
// products of dense layers (matrix.c) spend their time in.
//
// The accumulators of a block of rows by one panel stay in registers over the whole depth (Goto and
// van de Geijn 2008, "Anatomy of High-Performance Matrix Multiplication").
#ifndef FM_CPU_ISA_PRODUCT_H
#define FM_CPU_ISA_PRODUCT_H

#include "backend/cpu/isa/vector.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PANEL_VECTORS = 2,
    PANEL = PANEL_VECTORS * LANES, // columns
    // rows * PANEL_VECTORS accumulators, the panel's vectors and one element of the left side
    PRODUCT_ROWS = VECTOR_REGISTERS == 32 ? 12 : 6,
    PREFETCH_STEPS = 32, // ahead: a panel that comes from the last cache is late otherwise
    FEW_ROWS = 4,        // of what is left: still sums enough to hide a multiplication's latency
};

// Values from one point to the next of a panel that winograd_transform_panel() has written.
static inline size_t panel_stride(int steps)
{
    return (size_t)steps * PANEL + LINE_VALUES;
}

// left[row * row_stride + step * step_stride]; right[step][PANEL]; out[row * out_stride + column].
struct product {
    const float *left;
    size_t row_stride, step_stride;
    const float *right;
    int steps;
    bool accumulate; // added to what is there, in the order of the steps
    float *out;
    size_t out_stride;
};

// The first rows fetch the panel from afar, the others find it in the cache. With AVX2 alone each
// block of rows also fetches the next one's sums, where these are added to.
static inline __attribute__((always_inline)) void product_block(
    const struct product *p, int first, const int rows, const bool prefetch)
{
    vec sums[PRODUCT_ROWS][PANEL_VECTORS];
    const float *left = p->left + (size_t)first * p->row_stride, *right = p->right;
    float *out = p->out + (size_t)first * p->out_stride;
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < PANEL_VECTORS; v++)
            sums[r][v] = p->accumulate ? vec_load(out + (size_t)r * p->out_stride + v * LANES)
                                       : (vec){0};
    if (AVX2_ALONE && p->accumulate)
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++)
            __builtin_prefetch(ahead_of(out, (size_t)(rows + r) * p->out_stride * sizeof *out));
    for (int s = 0; s < p->steps; s++) {
        vec columns[PANEL_VECTORS];
#pragma GCC unroll 2
        for (int v = 0; v < PANEL_VECTORS; v++)
            columns[v] = vec_load(right + v * LANES);
        if (prefetch)
            for (int at = 0; at < PANEL; at += LINE_VALUES)
                __builtin_prefetch(
                    ahead_of(right, (size_t)(PREFETCH_STEPS * PANEL + at) * sizeof *right));
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            float scalar = left[(size_t)r * p->row_stride];
#pragma GCC unroll 2
            for (int v = 0; v < PANEL_VECTORS; v++)
                sums[r][v] += scalar * columns[v];
        }
        left += p->step_stride;
        right += PANEL;
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < PANEL_VECTORS; v++)
            vec_store(out + (size_t)r * p->out_stride + v * LANES, sums[r][v]);
}

// All rows by one panel.
static inline void product_panel(const struct product *p, int rows)
{
    int row = 0;
    for (; row + PRODUCT_ROWS <= rows; row += PRODUCT_ROWS)
        product_block(p, row, PRODUCT_ROWS, row == 0);
    for (; row + FEW_ROWS <= rows; row += FEW_ROWS)
        product_block(p, row, FEW_ROWS, row == 0);
    for (; row < rows; row++)
        product_block(p, row, 1, row == 0);
}

#endif
