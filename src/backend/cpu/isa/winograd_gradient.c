// The gradient of a 3x3 convolution's filters by Winograd's minimal filtering, all threads on one
// block of tiles after the other, so that sums are made in the order of the tiles whatever the
// number of threads:
//   x -> V, dy -> D[point][panel][tile][PANEL]; dU[point][in channel][out channel] += V^T D -> dw
//
// Compiled for each size of tiles.
#include "backend/cpu/isa/winograd_pixels.h"

enum {
    GRADIENT_TILES = 192 // of a block: dU is read and written once for each
};

// A dy A^T of one tile, all channels: to D[point * stride + panel * tiles * PANEL + ...].
static void transform_gradient(
    const struct fm_view *v, const element *dy, struct place place, float *to, size_t stride)
{
    for (int c = 0; c < v->c; c += LANES) {
        vec tile[TILE_OUT * TILE_OUT], points[TILE_POINTS];
        read_tile(v, dy + fm_view_at(v, place.image, c), (struct fm_norm_relu){0}, place.y, place.x,
            TILE_OUT, tile);
        gradient_tile(tile, points);
        scatter_points(
            points, to + (size_t)(c / PANEL) * (GRADIENT_TILES * PANEL) + c % PANEL, stride);
    }
}

// What one point of V, D and dU takes, in fp32 values, as in winograd.c.
struct gradient_strides {
    size_t v, d, du;
};

static struct gradient_strides gradient_strides(const struct fm_winograd *w)
{
    return (struct gradient_strides){(size_t)(GRADIENT_TILES * w->in.c + LINE_VALUES),
        (size_t)(GRADIENT_TILES * w->out.c + LINE_VALUES), (size_t)w->in.c * (size_t)w->out.c};
}

struct gradient_block {
    float *v, *d, *du;
    struct gradient_strides point;
};

static struct gradient_block gradient_block(const struct fm_winograd *w, float *scratch)
{
    struct gradient_strides point = gradient_strides(w);
    float *d = scratch + TILE_POINTS * point.v;
    return (struct gradient_block){scratch, d, d + TILE_POINTS * point.d, point};
}

// dU += V^T D of one point and panel, `count` tiles.
static void multiply_gradient(const struct fm_winograd *w, int point, int panel, int count,
    bool accumulate, const struct gradient_block *b)
{
    const struct product p = {
        .left = b->v + (size_t)point * b->point.v,
        .row_stride = 1,
        .step_stride = (size_t)w->in.c,
        .right = b->d + (size_t)point * b->point.d + (size_t)panel * (GRADIENT_TILES * PANEL),
        .steps = count,
        .accumulate = accumulate,
        .out = b->du + (size_t)point * b->point.du + (size_t)(panel * PANEL),
        .out_stride = (size_t)w->out.c,
    };
    product_panel(&p, w->in.c);
}

void FM_TILED(FM_ELEMENT_KERNEL(winograd_gradient), FM_TILE)(const struct fm_winograd *w,
    const void *x, struct fm_norm_relu pending, const void *dy, float *dw, float *scratch)
{
    struct tiles tiles = tiles_of(&w->out);
    struct gradient_block b = gradient_block(w, scratch);
    int panels = w->out.c / PANEL;
#pragma omp parallel num_threads(w->threads)
    for (int first = 0; first < tiles.all; first += GRADIENT_TILES) {
        int count = least(GRADIENT_TILES, tiles.all - first);
#pragma omp for schedule(static)
        for (int t = 0; t < count; t++) {
            struct place place = place_of(&tiles, first + t);
            transform_input(&w->in, x, pending, place, w->padding, all_channels(&w->in),
                b.v + (size_t)(t * w->in.c), b.point.v);
            transform_gradient(&w->out, dy, place, b.d + (size_t)(t * PANEL), b.point.d);
        }
#pragma omp for schedule(static)
        for (int i = 0; i < TILE_POINTS * panels; i++)
            multiply_gradient(w, i / panels, i % panels, count, first > 0, &b);
    }
    FM_TILED(FM_KERNEL(winograd_filter_gradients), FM_TILE)(w, b.du, dw);
}

size_t FM_TILED(FM_ELEMENT_KERNEL(winograd_gradient_scratch), FM_TILE)(const struct fm_winograd *w)
{
    struct gradient_strides point = gradient_strides(w);
    return TILE_POINTS * (point.v + point.d + point.du) * sizeof(float);
}
