// Filters as the products of amx_convolve.c take them, in the order in which they do:
//   [pair of 16 outputs][row of taps][32 inputs][column of taps][which of the pair][tile]
// A tile has two inputs of 16 outputs in a row.
#include "backend/cpu/isa/amx_elements.h"
#include "backend/cpu/isa/amx_kernels.h"

enum {
    MOST_VALUES = TILE_STEPS * FM_AMX_TAPS, // of an output's 32 inputs
};

// `count` values, in whole vectors, scaled and rounded.
static void round_values(const float *from, int count, float scale, uint16_t *to)
{
    const singles by = singles_of(scale);
    for (int i = 0; i < count; i += 16)
        halves_store(to + i, narrow(multiply(singles_load(from + i), by)));
}

// All taps of a tile's row and column: the pairs of two filters' values, tap by tap.
static inline void put_pairs(
    const uint16_t *even, const uint16_t *odd, bool rotated, uint16_t *tile, size_t next_row)
{
    for (int tap = 0; tap < FM_AMX_TAPS; tap++) {
        int at = rotated ? FM_AMX_TAPS - 1 - tap : tap;
        uint16_t *to = tile + (size_t)(at / SIDE) * next_row +
                       (size_t)(at % SIDE) * 2 * TILE_BYTES / sizeof *tile;
        const uint16_t pair[2] = {even[tap], odd[tap]};
        memcpy(to, pair, sizeof pair);
    }
}

// The tiles of 16 outputs of the product and 32 inputs. Forward an output's filter has them side by
// side; rotated, an input's has the outputs.
static void pack_block(
    const struct fm_amx_filters *f, int column, int step, uint16_t *tile, size_t next_row)
{
    uint16_t values[2][MOST_VALUES];
    size_t filter = (size_t)f->in_c * FM_AMX_TAPS;
    if (!f->rotated) {
        for (int c = 0; c < TILE_COLUMNS; c++) {
            const float *from = f->values + (size_t)(column + c) * filter + step * FM_AMX_TAPS;
            round_values(from, MOST_VALUES, f->scale ? f->scale[column + c] : 1.0f, values[0]);
            for (int row = 0; row < TILE_ROWS; row++) {
                const uint16_t *even = values[0] + 2 * row * FM_AMX_TAPS;
                put_pairs(
                    even, even + FM_AMX_TAPS, false, tile + row * TILE_STEPS + 2 * c, next_row);
            }
        }
        return;
    }
    for (int row = 0; row < TILE_ROWS; row++) {
        for (int odd = 0; odd < 2; odd++) {
            int out = step + 2 * row + odd;
            const float *from = f->values + (size_t)out * filter + column * FM_AMX_TAPS;
            round_values(
                from, TILE_COLUMNS * FM_AMX_TAPS, f->scale ? f->scale[out] : 1.0f, values[odd]);
        }
        for (int c = 0; c < TILE_COLUMNS; c++)
            put_pairs(values[0] + c * FM_AMX_TAPS, values[1] + c * FM_AMX_TAPS, true,
                tile + row * TILE_STEPS + 2 * c, next_row);
    }
}

void FM_KERNEL(amx_pack)(const struct fm_amx_filters *f, void *packed)
{
    int columns = f->rotated ? f->in_c : f->out_c, steps = f->rotated ? f->out_c : f->in_c;
    int panels = steps / TILE_STEPS, blocks = columns / TILE_COLUMNS;
    // Elements from a row of taps to the next, and from a pair of outputs.
    size_t panel = (size_t)SIDE * 2 * TILE_BYTES / sizeof(uint16_t);
    size_t row = (size_t)panels * panel, pair = SIDE * row;
#pragma omp parallel for schedule(static) num_threads(f->threads)
    for (int i = 0; i < blocks * panels; i++) {
        int block = i / panels, c = i % panels;
        uint16_t *tile = (uint16_t *)packed + (size_t)(block / 2) * pair + (size_t)c * panel +
                         (size_t)(block % 2) * TILE_BYTES / sizeof *tile;
        pack_block(f, block * TILE_COLUMNS, c * TILE_STEPS, tile, row);
    }
}
