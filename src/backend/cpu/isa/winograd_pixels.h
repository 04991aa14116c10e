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

// size x size pixels from (y0, x0) on; what lies outside the image is zero.
static inline __attribute__((always_inline)) void read_tile(const struct fm_view *v,
    const element *image, struct fm_norm_relu pending, int y0, int x0, const int size, vec *tile)
{
    size_t pixel = (size_t)v->block, row = (size_t)v->w * pixel;
    if (y0 >= 0 && x0 >= 0 && y0 + size <= v->h && x0 + size <= v->w) {
        const element *from = image + (size_t)y0 * row + (size_t)x0 * pixel;
        fetch_next(from, row, pixel, size);
#pragma GCC unroll 6
        for (int r = 0; r < size; r++)
#pragma GCC unroll 6
            for (int c = 0; c < size; c++)
                tile[r * size + c] = read_pixel(
                    from + (size_t)r * row + (size_t)c * pixel, pending);
        return;
    }
    static const element outside[LANES];
#pragma GCC unroll 6
    for (int r = 0; r < size; r++) {
        int y = y0 + r;
        const element *from = y >= 0 && y < v->h ? image + (size_t)y * row : NULL;
#pragma GCC unroll 6
        for (int c = 0; c < size; c++) {
            int x = x0 + c;
            bool in = from && x >= 0 && x < v->w;
            const element *at = in ? from + (size_t)x * pixel : outside;
            tile[r * size + c] = vec_if(in, read_pixel(at, pending));
        }
    }
}

// B^T d B of one tile, LANES channels from c on.
static inline __attribute__((always_inline)) void transform_channels(const struct fm_view *v,
    const element *x, struct fm_norm_relu pending, struct place place, int padding, int c,
    float *to, size_t stride)
{
    vec d[TILE_POINTS], points[TILE_POINTS];
    const element *image = x + fm_view_at(v, place.image, c);
    read_tile(v, image, pending, place.y - padding, place.x - padding, TILE_IN, d);
    input_tile(d, points);
    scatter_points(points, to, stride);
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
