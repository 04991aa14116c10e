// Convolutions of 3x3 by Winograd's minimal filtering: winograd_tile.h has the arithmetic of a
// tile, this file the way of the data.
//
// Forward, which with rotated filters is the gradient of the data too, each thread for blocks of
// tiles of its own:
//   x -> V[point][tile][in channel] -> M[point][tile][out channel] = V U -> y
// or, where the filters U are larger than all the tiles, all threads on one block, each with a part
// of the filters, which then are read once, not once a thread.
// Gradient of the filters, all threads on one block of tiles after the other, so that sums are made
// in the order of the tiles whatever the number of threads:
//   x -> V, dy -> D[point][panel][tile][PANEL]; dU[point][in channel][out channel] += V^T D -> dw
#include "backend/cpu/isa/element.h"
#include "backend/cpu/isa/product.h"
#include "backend/cpu/isa/winograd_tile.h"
#include "base/round.h"

#include <omp.h>

enum {
    GRADIENT_TILES = 192, // of a block: dU is read and written once for each
    LINE = 16,            // fp32 values between points' matrices, lest all share a set of the cache
};

// ---- geometry

struct tiles {
    int down, across, all; // of an image, of an image, of the batch
};

static struct tiles tiles_of(const struct fm_view *out)
{
    struct tiles t = {fm_winograd_tiles(out->h), fm_winograd_tiles(out->w), 0};
    t.all = out->n * t.down * t.across;
    return t;
}

// Where a tile lies in its output image.
struct place {
    int image, y, x;
};

static struct place place_of(const struct tiles *tiles, int tile)
{
    int each = tiles->down * tiles->across, rest = tile % each;
    return (struct place){
        tile / each, rest / tiles->across * TILE_OUT, rest % tiles->across * TILE_OUT};
}

// The first pixel of an image, from `channel` on; pixels are v->block elements apart.
static size_t image_at(const struct fm_view *v, int image, int channel)
{
    size_t plane = (size_t)image * (size_t)(v->c / v->block) + (size_t)(channel / v->block);
    return plane * (size_t)(v->h * v->w) * (size_t)v->block + (size_t)(channel % v->block);
}

// ---- tiles in memory

static inline vec read_elements(const element *x)
{
#if defined(FM_ELEMENT_IS_BF16)
    float wide[LANES];
    for (int i = 0; i < LANES; i++)
        wide[i] = load(x[i]);
    return vec_load(wide);
#else
    return vec_load(x);
#endif
}

static inline void write_elements(element *y, vec v)
{
#if defined(FM_ELEMENT_IS_BF16)
    float wide[LANES];
    vec_store(wide, v);
    for (int i = 0; i < LANES; i++)
        y[i] = store(wide[i]);
#else
    vec_store(y, v);
#endif
}

// As the norm's own gate, but for a rounding where products and sums are not fused: it decides only
// on values that are as good as zero.
static inline vec read_pixel(const element *x, struct fm_norm_relu pending)
{
    vec value = read_elements(x);
    if (!pending.scale)
        return value;
    return vec_relu(value * vec_load(pending.scale) + vec_load(pending.shift));
}

// size x size pixels from (y0, x0) on; what lies outside the image is zero.
static inline __attribute__((always_inline)) void read_tile(const struct fm_view *v,
    const element *image, struct fm_norm_relu pending, int y0, int x0, const int size, vec *tile)
{
    size_t pixel = (size_t)v->block, row = (size_t)v->w * pixel;
    if (y0 >= 0 && x0 >= 0 && y0 + size <= v->h && x0 + size <= v->w) {
        const element *from = image + (size_t)y0 * row + (size_t)x0 * pixel;
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

static inline void write_tile(
    const struct fm_view *v, element *image, int y0, int x0, const vec tile[TILE_OUT * TILE_OUT])
{
    size_t pixel = (size_t)v->block, row = (size_t)v->w * pixel;
    int rows = least(TILE_OUT, v->h - y0), cols = least(TILE_OUT, v->w - x0);
    element *to = image + (size_t)y0 * row + (size_t)x0 * pixel;
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < cols; c++)
            write_elements(to + (size_t)r * row + (size_t)c * pixel, tile[r * TILE_OUT + c]);
}

// B^T d B of one tile, LANES channels from c on.
static inline __attribute__((always_inline)) void transform_channels(const struct fm_view *v,
    const element *x, struct fm_norm_relu pending, struct place place, int padding, int c,
    float *to, size_t stride)
{
    vec d[TILE_POINTS], points[TILE_POINTS];
    const element *image = x + image_at(v, place.image, c);
    read_tile(v, image, pending, place.y - padding, place.x - padding, TILE_IN, d);
    input_tile(d, points);
    scatter_points(points, to, stride);
}

// Channels that a transform is to take.
struct channels {
    int from, to;
};

static struct channels all_channels(const struct fm_view *v)
{
    return (struct channels){0, v->c};
}

static struct channels panel_channels(int panel)
{
    return (struct channels){panel * PANEL, (panel + 1) * PANEL};
}

// To V[point * stride + channel].
static void transform_input(const struct fm_view *v, const element *x, struct fm_norm_relu pending,
    struct place place, int padding, struct channels range, float *to, size_t stride)
{
    static const struct fm_norm_relu none;
    if (pending.scale) // two loops, so that neither asks again for each pixel
        for (int c = range.from; c < range.to; c += LANES)
            transform_channels(v, x, pending_from(pending, c), place, padding, c, to + c, stride);
    else
        for (int c = range.from; c < range.to; c += LANES)
            transform_channels(v, x, none, place, padding, c, to + c, stride);
}

// ---- forward

// Whether all threads share one block: what they then read of each other's tiles is less than what
// each need not read of the filters.
static bool shares_block(const struct fm_winograd *w)
{
    int tiles = tiles_of(&w->out).all;
    return tiles <= FM_WINOGRAD_BLOCK && tiles * (w->in.c + w->out.c) <= w->in.c * w->out.c;
}

// The most tiles of a block: no more than a thread's share, in whole images where those fit.
static int forward_tiles(const struct fm_winograd *w)
{
    struct tiles tiles = tiles_of(&w->out);
    if (shares_block(w))
        return tiles.all;
    int each = tiles.down * tiles.across, share = (tiles.all + w->threads - 1) / w->threads;
    if (FM_WINOGRAD_BLOCK % each == 0)
        share = (int)fm_round_up((size_t)share, (size_t)each);
    return least(FM_WINOGRAD_BLOCK, share);
}

// What one point of a block's V and M takes, in fp32 values.
struct forward_strides {
    size_t v, m;
};

static struct forward_strides forward_strides(const struct fm_winograd *w)
{
    int tiles = forward_tiles(w);
    return (struct forward_strides){
        (size_t)(tiles * w->in.c + LINE), (size_t)(tiles * w->out.c + LINE)};
}

struct forward_block {
    float *v, *m;
    struct forward_strides point;
};

static struct forward_block forward_block(const struct fm_winograd *w, float *scratch, int thread)
{
    struct forward_strides point = forward_strides(w);
    float *own = scratch + (size_t)thread * TILE_POINTS * (point.v + point.m);
    return (struct forward_block){own, own + TILE_POINTS * point.v, point};
}

// M = V U of one point and panel, `count` tiles.
static void multiply_panel(const struct fm_winograd *w, const float *filters, int point, int panel,
    int count, const struct forward_block *b)
{
    int in_c = w->in.c, out_c = w->out.c;
    size_t matrix = (size_t)in_c * (size_t)out_c;
    const struct product p = {
        .left = b->v + (size_t)point * b->point.v,
        .row_stride = (size_t)in_c,
        .step_stride = 1,
        .right = filters + (size_t)point * matrix + (size_t)panel * (size_t)(PANEL * in_c),
        .steps = in_c,
        .out = b->m + (size_t)point * b->point.m + (size_t)(panel * PANEL),
        .out_stride = (size_t)out_c,
    };
    product_panel(&p, count);
}

// A^T M A of one tile with bias and ReLU: from M[point * stride + channel].
static void transform_output(const struct fm_view *v, const float *from, size_t stride,
    struct place place, struct channels range, const struct fm_winograd_run *run)
{
    element *y = run->y;
    for (int c = range.from; c < range.to; c += LANES) {
        vec points[TILE_POINTS], tile[TILE_OUT * TILE_OUT];
        gather_points(from + c, stride, points);
        output_tile(points, tile);
        vec bias = run->bias ? vec_load(run->bias + c) : (vec){0};
        for (int i = 0; i < TILE_OUT * TILE_OUT; i++) {
            vec sum = tile[i] + bias;
            tile[i] = run->relu ? vec_relu(sum) : sum;
        }
        write_tile(v, y + image_at(v, place.image, c), place.y, place.x, tile);
    }
}

// Each thread blocks of tiles of its own.
static void convolve_apart(
    const struct fm_winograd *w, const struct fm_winograd_run *run, float *scratch)
{
    struct tiles tiles = tiles_of(&w->out);
    struct channels ins = all_channels(&w->in), outs = all_channels(&w->out);
    // As many blocks for each thread, none larger than its memory. In place they are of whole
    // images, lest one writes what another is yet to read.
    int most = forward_tiles(w) * w->threads;
    int blocks = (tiles.all + most - 1) / most * w->threads;
    int unit = run->x == run->y ? tiles.down * tiles.across : 1, units = tiles.all / unit;
#pragma omp parallel for schedule(static) num_threads(w->threads)
    for (int i = 0; i < blocks; i++) {
        struct forward_block b = forward_block(w, scratch, omp_get_thread_num());
        int first = (int)((int64_t)units * i / blocks) * unit;
        int count = (int)((int64_t)units * (i + 1) / blocks) * unit - first;
        for (int t = 0; t < count; t++)
            transform_input(&w->in, run->x, run->pending, place_of(&tiles, first + t), w->padding,
                ins, b.v + (size_t)(t * w->in.c), b.point.v);
        for (int point = 0; point < TILE_POINTS; point++)
            for (int panel = 0; panel < w->out.c / PANEL; panel++)
                multiply_panel(w, run->transformed, point, panel, count, &b);
        for (int t = 0; t < count; t++)
            transform_output(&w->out, b.m + (size_t)(t * w->out.c), b.point.m,
                place_of(&tiles, first + t), outs, run);
    }
}

// All threads one block: parts of its channels, of the filters, of its channels again.
static void convolve_together(
    const struct fm_winograd *w, const struct fm_winograd_run *run, float *scratch)
{
    struct tiles tiles = tiles_of(&w->out);
    struct forward_block b = forward_block(w, scratch, 0);
    int in_panels = w->in.c / PANEL, out_panels = w->out.c / PANEL;
#pragma omp parallel num_threads(w->threads)
    {
#pragma omp for schedule(static)
        for (int i = 0; i < tiles.all * in_panels; i++) {
            int tile = i / in_panels, panel = i % in_panels;
            transform_input(&w->in, run->x, run->pending, place_of(&tiles, tile), w->padding,
                panel_channels(panel), b.v + (size_t)(tile * w->in.c), b.point.v);
        }
#pragma omp for schedule(static)
        for (int i = 0; i < TILE_POINTS * out_panels; i++)
            multiply_panel(w, run->transformed, i / out_panels, i % out_panels, tiles.all, &b);
#pragma omp for schedule(static)
        for (int i = 0; i < tiles.all * out_panels; i++) {
            int tile = i / out_panels, panel = i % out_panels;
            transform_output(&w->out, b.m + (size_t)(tile * w->out.c), b.point.m,
                place_of(&tiles, tile), panel_channels(panel), run);
        }
    }
}

void FM_ELEMENT_KERNEL(winograd_convolve)(
    const struct fm_winograd *w, const struct fm_winograd_run *run, float *scratch)
{
    if (shares_block(w))
        convolve_together(w, run, scratch);
    else
        convolve_apart(w, run, scratch);
}

// ---- the filters' gradient

// A dy A^T of one tile, all channels: to D[point * stride + panel * tiles * PANEL + ...].
static void transform_gradient(
    const struct fm_view *v, const element *dy, struct place place, float *to, size_t stride)
{
    for (int c = 0; c < v->c; c += LANES) {
        vec tile[TILE_OUT * TILE_OUT], points[TILE_POINTS];
        read_tile(v, dy + image_at(v, place.image, c), (struct fm_norm_relu){0}, place.y, place.x,
            TILE_OUT, tile);
        gradient_tile(tile, points);
        scatter_points(
            points, to + (size_t)(c / PANEL) * (GRADIENT_TILES * PANEL) + c % PANEL, stride);
    }
}

// What one point of V, D and dU takes, in fp32 values.
struct gradient_strides {
    size_t v, d, du;
};

static struct gradient_strides gradient_strides(const struct fm_winograd *w)
{
    return (struct gradient_strides){(size_t)(GRADIENT_TILES * w->in.c + LINE),
        (size_t)(GRADIENT_TILES * w->out.c + LINE), (size_t)w->in.c * (size_t)w->out.c};
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

void FM_ELEMENT_KERNEL(winograd_gradient)(const struct fm_winograd *w, const void *x,
    struct fm_norm_relu pending, const void *dy, float *dw, float *scratch)
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
    FM_KERNEL(winograd_filter_gradients)(w, b.du, dw);
}

// ---- scratch

size_t FM_ELEMENT_KERNEL(winograd_scratch)(const struct fm_winograd *w, bool gradient)
{
    struct forward_strides forward = forward_strides(w);
    struct gradient_strides all = gradient_strides(w);
    size_t blocks = shares_block(w) ? 1 : (size_t)w->threads;
    size_t point = gradient ? all.v + all.d + all.du : blocks * (forward.v + forward.m);
    return TILE_POINTS * point * sizeof(float);
}
