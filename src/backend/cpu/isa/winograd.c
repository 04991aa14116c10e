// Convolutions of 3x3 by Winograd's minimal filtering: winograd_tile.h has the arithmetic of a
// tile, this file the way of the data forward, which with rotated filters is the gradient of the
// data too. Each thread takes blocks of tiles of its own:
//   x -> V[point][tile][in channel] -> M[point][tile][out channel] = V U -> y, or its max-pool
// or, where the filters U are larger than all the tiles, all threads take one block, each with a
// part of the filters, which it may transform itself.
//
// Compiled for each size of tiles.
#include "backend/cpu/isa/winograd_pixels.h"
#include "base/round.h"

#include <omp.h>

// The most tiles of a block: no more than a thread's share, in whole images where those fit.
static int forward_tiles(const struct fm_winograd *w)
{
    struct tiles tiles = tiles_of(&w->out);
    if (fm_winograd_shares_block(w))
        return tiles.all;
    int each = tiles.down * tiles.across, share = (tiles.all + w->threads - 1) / w->threads;
    int most = fm_winograd_block_tiles(w);
    if (most % each == 0) // in place always
        share = (int)fm_round_up((size_t)share, (size_t)each);
    return least(most, share);
}

// Channels of M that are there at a time: a panel, which is transformed back as soon as it is
// multiplied, or, where threads share the block, all.
static int outputs_at_once(const struct fm_winograd *w)
{
    return fm_winograd_shares_block(w) ? w->out.c : PANEL;
}

// What one point of a block's V and M takes, in fp32 values: a line of the cache more than they
// have, lest all points share a set of it.
struct forward_strides {
    size_t v, m;
};

static struct forward_strides forward_strides(const struct fm_winograd *w)
{
    int tiles = forward_tiles(w);
    return (struct forward_strides){(size_t)(tiles * w->in.c + LINE_VALUES),
        (size_t)(tiles * outputs_at_once(w) + LINE_VALUES)};
}

static size_t block_values(const struct fm_winograd *w)
{
    struct forward_strides point = forward_strides(w);
    return TILE_POINTS * (point.v + point.m);
}

struct forward_block {
    float *v, *m;
    struct forward_strides point;
};

static struct forward_block forward_block(const struct fm_winograd *w, float *scratch, int thread)
{
    struct forward_strides point = forward_strides(w);
    float *own = scratch + (size_t)thread * block_values(w);
    return (struct forward_block){own, own + TILE_POINTS * point.v, point};
}

// M = V U of one point and panel, whose filters are `u`, and `count` tiles: to the channels of M
// from `column` on.
static void multiply_panel(const struct fm_winograd *w, const float *u, int point, int column,
    int count, const struct forward_block *b)
{
    const struct product p = {
        .left = b->v + (size_t)point * b->point.v,
        .row_stride = (size_t)w->in.c,
        .step_stride = 1,
        .right = u,
        .steps = w->in.c,
        .out = b->m + (size_t)point * b->point.m + (size_t)column,
        .out_stride = (size_t)outputs_at_once(w),
    };
    product_panel(&p, count);
}

static const float *transformed_panel(
    const struct fm_winograd *w, const float *transformed, int point, int panel)
{
    size_t panels = (size_t)point * (size_t)(w->out.c / PANEL) + (size_t)panel;
    return transformed + panels * (size_t)w->in.c * PANEL;
}

// What a block's outputs become, and where they go.
struct sink {
    struct fm_view view; // of y
    bool far;            // y is written past the caches
};

static struct sink sink_of(const struct fm_winograd *w, const struct fm_winograd_run *run)
{
    struct fm_view view = run->pool ? fm_view_pooled(&w->out) : w->out;
    // In place the caches have what is written.
    return (struct sink){view, run->x != run->y && is_far_view(&view, run->y)};
}

// `size` x `size` pixels from (y0, x0) on, but what is outside the image.
static inline __attribute__((always_inline)) void write_tile(const struct fm_view *v,
    element *image, int y0, int x0, const int size, const bool far, const vec *tile)
{
    size_t pixel = (size_t)v->block, row = (size_t)v->w * pixel;
    int rows = least(size, v->h - y0), cols = least(size, v->w - x0);
    element *to = image + (size_t)y0 * row + (size_t)x0 * pixel;
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < cols; c++)
            (far ? write_elements_far : write_elements)(
                to + (size_t)r * row + (size_t)c * pixel, tile[r * size + c]);
}

// The largest of 2x2 each, as a max-pool takes them in turn (pool.c).
static inline __attribute__((always_inline)) void pool_tile(
    const vec tile[TILE_OUT * TILE_OUT], vec pooled[TILE_OUT * TILE_OUT / 4])
{
#pragma GCC unroll 2
    for (int r = 0; r < TILE_OUT / 2; r++)
#pragma GCC unroll 2
        for (int c = 0; c < TILE_OUT / 2; c++) {
            const vec *corner = tile + 2 * (r * TILE_OUT + c);
            pooled[r * (TILE_OUT / 2) + c] = vec_larger(vec_larger(corner[0], corner[1]),
                vec_larger(corner[TILE_OUT], corner[TILE_OUT + 1]));
        }
}

// A^T M A of one tile, LANES channels from c on, with bias, ReLU and max-pool: from
// M[point * stride], which is that of channel c.
static inline __attribute__((always_inline)) void transform_channels_back(const struct fm_view *v,
    const float *from, size_t stride, struct place place, int c, const bool pool, const bool far,
    const struct fm_winograd_run *run)
{
    vec points[TILE_POINTS], tile[TILE_OUT * TILE_OUT];
    gather_points(from, stride, points);
    output_tile(points, tile);
    vec bias = run->bias ? vec_load(run->bias + c) : (vec){0};
    for (int i = 0; i < TILE_OUT * TILE_OUT; i++) {
        vec sum = tile[i] + bias;
        tile[i] = run->relu ? vec_relu(sum) : sum;
    }
    element *image = (element *)run->y + fm_view_at(v, place.image, c);
    if (pool) {
        vec pooled[TILE_OUT * TILE_OUT / 4];
        pool_tile(tile, pooled);
        write_tile(v, image, place.y / 2, place.x / 2, TILE_OUT / 2, far, pooled);
    } else
        write_tile(v, image, place.y, place.x, TILE_OUT, far, tile);
}

static inline __attribute__((always_inline)) void transform_range(const struct fm_view *v,
    const float *from, size_t stride, struct place place, struct channels range, const bool pool,
    const bool far, const struct fm_winograd_run *run)
{
    for (int c = range.from; c < range.end; c += LANES)
        transform_channels_back(v, from + (c - range.from), stride, place, c, pool, far, run);
}

// `from` is that of the range's first channel. A loop each, so that none asks again for each pixel.
static void transform_output(const struct sink *s, const float *from, size_t stride,
    struct place place, struct channels range, const struct fm_winograd_run *run)
{
    const struct fm_view *v = &s->view;
    if (run->pool && (place.y / 2 >= v->h || place.x / 2 >= v->w))
        return; // nothing but a last row or column, which is dropped
    if (run->pool && s->far)
        transform_range(v, from, stride, place, range, true, true, run);
    else if (run->pool)
        transform_range(v, from, stride, place, range, true, false, run);
    else if (s->far)
        transform_range(v, from, stride, place, range, false, true, run);
    else
        transform_range(v, from, stride, place, range, false, false, run);
}

// How the batch's tiles are shared out in blocks.
struct division {
    int blocks; // a multiple of the threads
    int units;  // that blocks are made of: images in place, else tiles
    int unit;   // tiles of one
    struct sink sink;
};

static struct division divide(const struct fm_winograd *w, const struct fm_winograd_run *run)
{
    struct tiles tiles = tiles_of(&w->out);
    // A multiple of the threads, none larger than a thread's memory. In place they are of whole
    // images, lest one writes what another is yet to read.
    int most = forward_tiles(w) * w->threads;
    int unit = w->in_place ? tiles.down * tiles.across : 1;
    return (struct division){
        .blocks = (tiles.all + most - 1) / most * w->threads,
        .unit = unit,
        .units = tiles.all / unit,
        .sink = sink_of(w, run),
    };
}

static struct channels panel_channels(int panel)
{
    return (struct channels){panel * PANEL, (panel + 1) * PANEL};
}

static void convolve_block(const struct fm_winograd *w, const struct fm_winograd_run *run,
    const struct division *d, int block, float *scratch)
{
    struct tiles tiles = tiles_of(&w->out);
    struct channels ins = all_channels(&w->in);
    struct forward_block b = forward_block(w, scratch, omp_get_thread_num());
    int first = (int)((int64_t)d->units * block / d->blocks) * d->unit;
    int count = (int)((int64_t)d->units * (block + 1) / d->blocks) * d->unit - first;
    for (int t = 0; t < count; t++)
        transform_input(&w->in, run->x, run->pending, place_of(&tiles, first + t), w->padding, ins,
            b.v + (size_t)(t * w->in.c), b.point.v);
    for (int panel = 0; panel < w->out.c / PANEL; panel++) {
        for (int point = 0; point < TILE_POINTS; point++)
            multiply_panel(
                w, transformed_panel(w, run->transformed, point, panel), point, 0, count, &b);
        for (int t = 0; t < count; t++)
            transform_output(&d->sink, b.m + (size_t)(t * PANEL), b.point.m,
                place_of(&tiles, first + t), panel_channels(panel), run);
    }
    if (d->sink.far)
        end_far_stores();
}

// Each thread blocks of tiles of its own, one after another as it is free: processors that are
// shared with other programs differ in speed. If there is but one for each, as of a single image,
// they are dealt in order, so that a thread finds in its cache what it wrote in the layer before.
static void convolve_apart(
    const struct fm_winograd *w, const struct fm_winograd_run *run, float *scratch)
{
    const struct division d = divide(w, run);
    if (d.blocks == w->threads) {
#pragma omp parallel for schedule(static) num_threads(w->threads)
        for (int i = 0; i < d.blocks; i++)
            convolve_block(w, run, &d, i, scratch);
    } else {
#pragma omp parallel for schedule(dynamic) num_threads(w->threads)
        for (int i = 0; i < d.blocks; i++)
            convolve_block(w, run, &d, i, scratch);
    }
}

// A panel at all points, its filters transformed to `u` first.
static void transform_and_multiply(const struct fm_winograd *w,
    const struct fm_winograd_filters *filters, int panel, int count, const struct forward_block *b,
    float *u)
{
    FM_TILED(FM_KERNEL(winograd_transform_panel), FM_TILE)(filters, panel, u);
    for (int point = 0; point < TILE_POINTS; point++)
        multiply_panel(
            w, u + (size_t)point * panel_stride(w->in.c), point, panel * PANEL, count, b);
}

// All threads one block: parts of its channels, of the filters, of its channels again.
static void convolve_together(
    const struct fm_winograd *w, const struct fm_winograd_run *run, float *scratch)
{
    struct tiles tiles = tiles_of(&w->out);
    struct forward_block b = forward_block(w, scratch, 0);
    float *parts = scratch + block_values(w); // one of each thread
    struct sink sink = sink_of(w, run);
    sink.far = false; // the caches hold so few tiles
    int in_panels = w->in.c / PANEL, out_panels = w->out.c / PANEL;
#pragma omp parallel num_threads(w->threads)
    {
#pragma omp for schedule(static)
        for (int i = 0; i < tiles.all * in_panels; i++) {
            int tile = i / in_panels, panel = i % in_panels;
            transform_input(&w->in, run->x, run->pending, place_of(&tiles, tile), w->padding,
                panel_channels(panel), b.v + (size_t)(tile * w->in.c), b.point.v);
        }
        if (run->transformed) {
#pragma omp for schedule(static)
            for (int i = 0; i < TILE_POINTS * out_panels; i++) {
                int point = i / out_panels, panel = i % out_panels;
                multiply_panel(w, transformed_panel(w, run->transformed, point, panel), point,
                    panel * PANEL, tiles.all, &b);
            }
        } else {
            float *u = parts + (size_t)omp_get_thread_num() * TILE_POINTS * panel_stride(w->in.c);
#pragma omp for schedule(static)
            for (int panel = 0; panel < out_panels; panel++)
                transform_and_multiply(w, run->filters, panel, tiles.all, &b, u);
        }
#pragma omp for schedule(static)
        for (int i = 0; i < tiles.all * out_panels; i++) {
            int tile = i / out_panels, panel = i % out_panels;
            transform_output(&sink, b.m + (size_t)(tile * w->out.c + panel * PANEL), b.point.m,
                place_of(&tiles, tile), panel_channels(panel), run);
        }
    }
}

void FM_TILED(FM_ELEMENT_KERNEL(winograd_convolve), FM_TILE)(
    const struct fm_winograd *w, const struct fm_winograd_run *run, float *scratch)
{
    if (fm_winograd_shares_block(w))
        convolve_together(w, run, scratch);
    else
        convolve_apart(w, run, scratch);
}

size_t FM_TILED(FM_ELEMENT_KERNEL(winograd_scratch), FM_TILE)(
    const struct fm_winograd *w, bool parts)
{
    size_t blocks = fm_winograd_shares_block(w) ? 1 : (size_t)w->threads;
    size_t filters = parts ? (size_t)w->threads * TILE_POINTS * panel_stride(w->in.c) : 0;
    return (blocks * block_values(w) + filters) * sizeof(float);
}
