// The matrix unit's instructions: eight tiles of 16 rows of 64 bytes, and the product of two of
// bf16 that is added to one of fp32 (Intel, "Intel 64 and IA-32 Architectures Software Developer's
// Manual", volume 2, TDPBF16PS). Where they are not compiled for, the same spelled out, to the same
// bits but for subnormals, which the unit takes and makes as 0.
//
// A product takes 32 elements of each row of the left tile, and the right one in pairs: row k has
// elements 2k and 2k + 1 of each of 16 columns.
#ifndef FM_CPU_ISA_AMX_TILE_H
#define FM_CPU_ISA_AMX_TILE_H

#include "rounding.h"

#include <stdint.h>
#include <string.h>

enum {
    TILE_ROWS = 16,
    TILE_COLUMNS = 16, // of fp32, or pairs of bf16
    TILE_STEPS = 32,   // of bf16 that a product sums over
    TILE_ROW_BYTES = 64,
    TILE_BYTES = TILE_ROWS * TILE_ROW_BYTES,
};

#if defined(__AMX_BF16__)
#include <immintrin.h>

// Around all use of tiles by a thread.
static inline void tiles_begin(void)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.row_bytes[t] = TILE_ROW_BYTES;
        config.rows[t] = TILE_ROWS;
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(config));
}
static inline void tiles_end(void)
{
    _tile_release();
}
// What was written before is read by tile_load() after: gcc 12's does not say that it reads memory.
static inline void tiles_see_memory(void)
{
    __asm__ volatile("" : : : "memory");
}
#define tile_zero(t) _tile_zero(t)
#define tile_load(t, from) _tile_loadd(t, from, TILE_ROW_BYTES)
#define tile_store(t, to) _tile_stored(t, to, TILE_ROW_BYTES)
#define tile_multiply(sum, left, right) _tile_dpbf16ps(sum, left, right)
#else
static _Thread_local unsigned char tile_registers[8][TILE_BYTES];

static inline void tiles_begin(void)
{
}
static inline void tiles_end(void)
{
}
static inline void tiles_see_memory(void)
{
}
static inline void tile_zero(int t)
{
    memset(tile_registers[t], 0, TILE_BYTES);
}
static inline void tile_load(int t, const void *from)
{
    memcpy(tile_registers[t], from, TILE_BYTES);
}
static inline void tile_store(int t, void *to)
{
    memcpy(to, tile_registers[t], TILE_BYTES);
}
// Even and odd elements are summed apart. A product of two of bf16 is one of fp32, without
// rounding.
static inline void tile_multiply(int sum, int left, int right)
{
    float sums[TILE_ROWS][TILE_COLUMNS], wide[TILE_ROWS][2][TILE_COLUMNS];
    uint16_t a[TILE_ROWS][TILE_STEPS], b[TILE_ROWS][TILE_COLUMNS][2];
    memcpy(sums, tile_registers[sum], TILE_BYTES);
    memcpy(a, tile_registers[left], TILE_BYTES);
    memcpy(b, tile_registers[right], TILE_BYTES);
    for (int k = 0; k < TILE_STEPS; k++)
        for (int c = 0; c < TILE_COLUMNS; c++)
            wide[k / 2][k % 2][c] = fm_bf16_widen(b[k / 2][c][k % 2]);
    for (int r = 0; r < TILE_ROWS; r++) {
        float parts[2][TILE_COLUMNS] = {{0.0f}};
        for (int k = 0; k < TILE_STEPS; k++) {
            float element = fm_bf16_widen(a[r][k]);
            for (int c = 0; c < TILE_COLUMNS; c++)
                parts[k % 2][c] += element * wide[k / 2][k % 2][c];
        }
        for (int c = 0; c < TILE_COLUMNS; c++)
            sums[r][c] += parts[0][c] + parts[1][c];
    }
    memcpy(tile_registers[sum], sums, TILE_BYTES);
}
#endif

#endif
