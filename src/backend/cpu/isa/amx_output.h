// From the sums of a pair of tiles of pixels by one of outputs to an activation.
#ifndef FM_CPU_ISA_AMX_OUTPUT_H
#define FM_CPU_ISA_AMX_OUTPUT_H

#include "backend/cpu/isa/amx_elements.h"
#include "backend/cpu/isa/amx_kernels.h"

enum {
    PAIR = 2, // tiles of pixels, and of outputs, whose four products share the registers
};

// What 32 outputs from `channel` on become.
struct outputs {
    singles bias[PAIR], least; // of a ReLU 0
    int channel;
    bool together; // they lie side by side
};

// `bias` of all channels may be NULL; `block` is the output's.
static inline struct outputs outputs_at(const float *bias, bool relu, int block, int channel)
{
    static const float zero[2 * TILE_COLUMNS];
    const float *from = bias ? bias + channel : zero;
    return (struct outputs){{singles_load(from), singles_load(from + TILE_COLUMNS)},
        singles_of(relu ? 0.0f : -INFINITY), channel, channel % block + FM_AMX_CHANNELS <= block};
}

// The sums of a pair of tiles, and where they go.
struct sums {
    _Alignas(TILE_ROW_BYTES) float of[PAIR][PAIR][TILE_ROWS][TILE_COLUMNS]; // pixels, outputs
    struct outputs outputs;
    int group;             // of images, or the image
    int first_tile, tiles; // that there are; where a tile's rows are images, a tile is a pixel
};

static inline void take_sums(struct sums *s)
{
    tile_store(0, s->of[0][0]);
    tile_store(1, s->of[0][1]);
    tile_store(2, s->of[1][0]);
    tile_store(3, s->of[1][1]);
}

// Neighbouring rows of a tile, `count`, to lines that are `next` elements apart.
static inline void put_rows(
    const struct sums *s, int tile, int row, int count, uint16_t *low, uint16_t *high, size_t next)
{
    const struct outputs *o = &s->outputs;
    const singles bias[PAIR] = {o->bias[0], o->bias[1]}, floor = o->least;
    const float(*first)[TILE_COLUMNS] = s->of[tile][0] + row;
    const float(*second)[TILE_COLUMNS] = s->of[tile][1] + row;
    const bool together = o->together;
    for (int i = 0; i < count; i++) {
        uint16_t *to = low + (size_t)i * next;
        singles a = larger(floor, add(singles_load(first[i]), bias[0]));
        singles b = larger(floor, add(singles_load(second[i]), bias[1]));
        if (together)
            store_both(to, a, b);
        else {
            halves_store(to, narrow(a));
            halves_store(high + (size_t)i * next, narrow(b));
        }
    }
}

// One of the pair, whose rows are neighbouring positions of an image.
static void put_pixels(
    const struct fm_view *v, const struct sums *s, int tile, int pitch, uint16_t *y)
{
    uint16_t *low = y + fm_view_at(v, s->group, s->outputs.channel);
    uint16_t *high = y + fm_view_at(v, s->group, s->outputs.channel + TILE_COLUMNS);
    int position = (s->first_tile + tile) * TILE_ROWS;
    int row = position / pitch, column = position % pitch;
    for (int i = 0; i < TILE_ROWS && row < v->h; row++) {
        size_t at = (size_t)(row * v->w + column) * (size_t)v->block;
        if (column < v->w) // else between rows
            put_rows(s, tile, i, least(TILE_ROWS - i, v->w - column), low + at, high + at,
                (size_t)v->block);
        i += pitch - column;
        column = 0;
    }
}

#endif
