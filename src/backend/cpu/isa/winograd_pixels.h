// Where Winograd's tiles lie in images, and the way from their pixels to a tile's points.
#ifndef FM_CPU_ISA_WINOGRAD_PIXELS_H
#define FM_CPU_ISA_WINOGRAD_PIXELS_H

#include "backend/cpu/isa/element_vector.h"
#include "backend/cpu/isa/product.h"
#include "backend/cpu/isa/winograd_tile.h"

// ---- geometry

struct tiles {
    int down, across, all; // of an image, of an image, of the batch
};

static inline struct tiles tiles_of(const struct fm_view *out)
{
    struct tiles t = {fm_winograd_tiles(out->h, TILE_OUT), fm_winograd_tiles(out->w, TILE_OUT), 0};
    t.all = out->n * t.down * t.across;
    return t;
}

// Where a tile lies in its output image.
struct place {
    int image, y, x;
};

static inline struct place place_of(const struct tiles *tiles, int tile)
{
    int each = tiles->down * tiles->across, rest = tile % each;
    return (struct place){
        tile / each, rest / tiles->across * TILE_OUT, rest % tiles->across * TILE_OUT};
}

// ---- from memory

// As the norm's own gate, but for a rounding where products and sums are not fused: it decides only
// on values that are as good as zero.
static inline vec read_pixel(const element *x, struct fm_norm_relu pending)
{
    vec value = read_elements(x);
    if (!pending.scale)
        return value;
    return vec_relu(value * vec_load(pending.scale) + vec_load(pending.shift));
}

// Fetches what the tile to the right reads of its own: rows of pixels, and planes of channels, are
// too short for the processor to do it by itself. Of channels last, lines in part.
static inline __attribute__((always_inline)) void fetch_next(
    const element *from, size_t row, size_t pixel, const int size)
{
    enum {
        LINE_PIXELS = LINE_BYTES / (LANES * sizeof(element)) // in blocks of LANES
    };
    if (!AVX2_ALONE)
        return;
#pragma GCC unroll 6
    for (int r = 0; r < size; r++)
#pragma GCC unroll 2
        for (int c = size; c < size + TILE_OUT; c += LINE_PIXELS)
            __builtin_prefetch(
                ahead_of(from, ((size_t)r * row + (size_t)c * pixel) * sizeof *from));
}

// size x size pixels of an image, LANES channels of each.
struct tile_pixels {
    // Inside the image: the first one, and the steps to the next. They are read column by column as
    // they are transformed.
    const element *from;
    size_t row, pixel;
    // In part outside: all of them, zero where they are.
    vec values[TILE_POINTS];
};

// Those from (y0, x0) on. Returns whether they lie inside.
static inline __attribute__((always_inline)) bool pixels_at(struct tile_pixels *t,
    const struct fm_view *v, const element *image, struct fm_norm_relu pending, int y0, int x0,
    const int size)
{
    t->pixel = (size_t)v->block;
    t->row = (size_t)v->w * t->pixel;
    if (y0 >= 0 && x0 >= 0 && y0 + size <= v->h && x0 + size <= v->w) {
        t->from = image + (size_t)y0 * t->row + (size_t)x0 * t->pixel;
        fetch_next(t->from, t->row, t->pixel, size);
        return true;
    }
    static const element outside[LANES];
#pragma GCC unroll 6
    for (int r = 0; r < size; r++) {
        int y = y0 + r;
        const element *from = y >= 0 && y < v->h ? image + (size_t)y * t->row : NULL;
#pragma GCC unroll 6
        for (int c = 0; c < size; c++) {
            int x = x0 + c;
            bool in = from && x >= 0 && x < v->w;
            const element *at = in ? from + (size_t)x * t->pixel : outside;
            t->values[r * size + c] = vec_if(in, read_pixel(at, pending));
        }
    }
    return false;
}

static inline __attribute__((always_inline)) void read_column(const struct tile_pixels *t,
    struct fm_norm_relu pending, int c, const int size, const bool inside, vec *column)
{
#pragma GCC unroll 6
    for (int r = 0; r < size; r++)
        column[r] = inside
                        ? read_pixel(t->from + (size_t)r * t->row + (size_t)c * t->pixel, pending)
                        : t->values[r * size + c];
}

// A tile of size x size pixels from (y0, x0) on, transformed in both directions: to[point *
// stride]. `inside` is a constant, so that either case has loops of its own.
#define PIXEL_TRANSFORM(name, transform, size)                                                     \
    static inline __attribute__((always_inline)) void name##_loops(const struct tile_pixels *t,    \
        struct fm_norm_relu pending, const bool inside, float *to, size_t stride)                  \
    {                                                                                              \
        vec half[TILE_IN * (size)];                                                                \
        _Pragma("GCC unroll TILE_UNROLL") for (int c = 0; c < (size); c++)                         \
        {                                                                                          \
            vec column[size];                                                                      \
            read_column(t, pending, c, size, inside, column);                                      \
            transform(column, 1, half + c, size);                                                  \
        }                                                                                          \
        _Pragma("GCC unroll TILE_UNROLL") for (int r = 0; r < TILE_IN; r++)                        \
        {                                                                                          \
            vec points[TILE_IN];                                                                   \
            transform(half + r * (size), 1, points, 1);                                            \
            scatter_row(points, to, r, stride);                                                    \
        }                                                                                          \
    }                                                                                              \
    static inline __attribute__((always_inline)) void name(const struct fm_view *v,                \
        const element *image, struct fm_norm_relu pending, int y0, int x0, float *to,              \
        size_t stride)                                                                             \
    {                                                                                              \
        struct tile_pixels t;                                                                      \
        if (pixels_at(&t, v, image, pending, y0, x0, size))                                        \
            name##_loops(&t, pending, true, to, stride);                                           \
        else                                                                                       \
            name##_loops(&t, pending, false, to, stride);                                          \
    }
PIXEL_TRANSFORM(input_tile, input_1d, TILE_IN)        // B^T d B
PIXEL_TRANSFORM(gradient_tile, gradient_1d, TILE_OUT) // A dy A^T

// B^T d B of one tile, LANES channels from c on.
static inline __attribute__((always_inline)) void transform_channels(const struct fm_view *v,
    const element *x, struct fm_norm_relu pending, struct place place, int padding, int c,
    float *to, size_t stride)
{
    input_tile(v, x + fm_view_at(v, place.image, c), pending, place.y - padding, place.x - padding,
        to, stride);
}

// Channels that a transform is to take: [from, end).
struct channels {
    int from, end;
};

static inline struct channels all_channels(const struct fm_view *v)
{
    return (struct channels){0, v->c};
}

// To V[point * stride + channel].
static inline void transform_input(const struct fm_view *v, const element *x,
    struct fm_norm_relu pending, struct place place, int padding, struct channels range, float *to,
    size_t stride)
{
    static const struct fm_norm_relu none;
    if (pending.scale) // two loops, so that neither asks again for each pixel
        for (int c = range.from; c < range.end; c += LANES)
            transform_channels(v, x, pending_from(pending, c), place, padding, c, to + c, stride);
    else
        for (int c = range.from; c < range.end; c += LANES)
            transform_channels(v, x, none, place, padding, c, to + c, stride);
}

#endif
