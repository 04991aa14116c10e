// The gradient of a 3x3 convolution's filters by products of tiles, which sum over images: a tile
// of the input has 16 channels of a pixel in rows, of 32 images each, one of the output's gradient
// 16 channels in columns, of the same images in pairs. So a tap is a shift by whole tiles.
//   x -> X[32 in channels][32 images][row][pixel][16 in channels][channel][image]
//   dy -> D[16 out channels][32 images][row][pixel][pair of images][channel][which]
//   dW[32 in channels][16 out channels][tap][16 in channels] += X D -> dw
//
// Where images are large and dW is small, groups of 32 images are taken in chunks, each with a dW
// of its own and a thread, which finds bands of a group's rows in its cache; these are added in
// their order. Else all threads bring many images into that order, and then take parts of dW.
// Either way the order of the sums does not depend on the threads.
#include "backend/cpu/isa/amx_elements.h"
#include "backend/cpu/isa/amx_kernels.h"
#include "backend/cpu/isa/vector.h"

#include <omp.h>

enum {
    HALVES = 2,                    // of 16 input channels, that share a tile of D
    IMAGES = TILE_STEPS,           // of a product
    X_BYTES = HALVES * TILE_BYTES, // of a pixel of 32 input channels
    BAND_BYTES = 768 << 10,        // of X and D, which share the second cache with dW
    OWN_SUMS_BYTES = 640 << 10,    // of a dW that a chunk has of its own, at most
    CHUNKS = 16,                   // at most
    SHARED_BYTES = 8 << 20,        // of X and D that all threads share
    AHEAD_BYTES = 128,             // that are fetched ahead
};

// How the work is divided.
struct plan {
    int groups;         // of 32 images
    int chunks;         // of them, each with a dW; 0: all threads share one
    int groups_at_once; // that they share
    int rows;           // of outputs, of a band or an image
    int held;           // rows of X that there are at a time
    // Bytes of X and D: of a row, of the rows of a group, of the groups there are at a time, all.
    size_t x_row, d_row, x_group, d_group, x_panel, d_panel, x_bytes, d_bytes;
    size_t sums; // bytes of dW
};

static struct plan plan_of(const struct fm_amx *a)
{
    struct plan p = {.groups = (a->in.n + IMAGES - 1) / IMAGES, .groups_at_once = 1};
    size_t x_panels = (size_t)(a->in.c / FM_AMX_CHANNELS);
    size_t d_panels = (size_t)(a->out.c / TILE_COLUMNS);
    p.x_row = (size_t)a->in.w * X_BYTES;
    p.d_row = (size_t)a->out.w * TILE_BYTES;
    p.sums = (size_t)(a->in.c * a->out.c) * FM_AMX_TAPS * sizeof(float);
    p.rows = a->out.h;
    p.held = a->in.h;
    size_t x_rows = x_panels * p.x_row, d_rows = d_panels * p.d_row;
    size_t whole = (size_t)a->in.h * x_rows + (size_t)a->out.h * d_rows;
    if (p.sums <= OWN_SUMS_BYTES && whole > BAND_BYTES) {
        p.chunks = least(p.groups, CHUNKS);
        size_t around = (SIDE - 1) * x_rows;
        int rows = around < BAND_BYTES ? (int)((BAND_BYTES - around) / (x_rows + d_rows)) : 0;
        p.rows = least(rows < 1 ? 1 : rows, a->out.h);
        p.held = least(p.rows + SIDE - 1, a->in.h);
    } else {
        int fit = (int)(SHARED_BYTES / whole);
        p.groups_at_once = fit < 1 ? 1 : least(fit, p.groups);
    }
    p.x_group = (size_t)p.held * p.x_row;
    p.d_group = (size_t)p.rows * p.d_row;
    // A little apart, lest all panels share sets of the cache.
    p.x_panel = (size_t)p.groups_at_once * p.x_group + 2 * TILE_ROW_BYTES;
    p.d_panel = (size_t)p.groups_at_once * p.d_group + TILE_ROW_BYTES;
    p.x_bytes = x_panels * p.x_panel;
    p.d_bytes = d_panels * p.d_panel;
    return p;
}

// ---- into the order of tiles

// An activation, or a gradient, that is brought into order.
struct source {
    const struct fm_view *view;
    const uint16_t *values;
    struct fm_norm_relu pending;
    bool in_rows; // channels of a tile in rows, not in columns
    int halves;   // tiles of a panel's pixel
    size_t panel; // bytes from a panel to the next
};

// 16 channels of a pixel of 32 images, those past `count` as zeros: pairs of images in rows. `next`
// is from an image to the next.
static inline void bring_pairs(
    const uint16_t *x, size_t next, int count, const struct source *s, int channel, uint16_t *tile)
{
    for (int i = 0; i < IMAGES; i += 2, tile += TILE_STEPS) {
        halves pair[2] = {halves_zero(), halves_zero()};
        for (int k = 0; k < least(2, count - i); k++)
            pair[k] = read_pending(x + (size_t)(i + k) * next, s->pending, channel);
        store_pairs(tile, pair[0], pair[1]);
    }
}

// The same of a line of the cache, which has two pixels, so that it is read once: images whose size
// is a power of two meet in few sets.
static inline void bring_line_pairs(const uint16_t *x, size_t next, const struct source *s,
    int channel, uint16_t *tile, uint16_t *tile_after)
{
    for (size_t i = 0; i < IMAGES; i += 2) {
        const uint16_t *even = x + i * next, *odd = even + next;
        __builtin_prefetch(ahead_of(even, AHEAD_BYTES));
        __builtin_prefetch(ahead_of(odd, AHEAD_BYTES));
        store_pairs(tile + i * TILE_ROWS, read_pending(even, s->pending, channel),
            read_pending(odd, s->pending, channel));
        store_pairs(tile_after + i * TILE_ROWS,
            read_pending(even + FM_AMX_BLOCK, s->pending, channel),
            read_pending(odd + FM_AMX_BLOCK, s->pending, channel));
    }
}

// Of row y of a group of images, channels [from, end): to where the row is in the first panel.
static void bring_row(const struct source *s, int group, int y, int from, int end, char *to)
{
    const struct fm_view *v = s->view;
    int first = group * IMAGES, count = least(IMAGES, v->n - first);
    size_t next = (size_t)(v->c * v->h * v->w);
    int step = v->block == FM_AMX_BLOCK && count == IMAGES ? 2 : 1;
    _Alignas(TILE_ROW_BYTES) uint16_t pairs[2][TILE_ROWS * TILE_STEPS];
    for (int c = from; c < end; c += TILE_ROWS) {
        int half = c / TILE_ROWS;
        char *tile = to + (size_t)(half / s->halves) * s->panel +
                     (size_t)(half % s->halves) * TILE_BYTES;
        const uint16_t *x = s->values + fm_view_at(v, first, c) + (size_t)(y * v->w * v->block);
        for (int i = 0; i < v->w;) {
            int pixels = least(step, v->w - i);
            uint16_t *rows[2];
            for (int k = 0; k < 2; k++)
                rows[k] = s->in_rows ? pairs[k]
                                     : (uint16_t *)(void *)(tile + k * s->halves * TILE_BYTES);
            if (pixels == 2)
                bring_line_pairs(x, next, s, c, rows[0], rows[1]);
            else
                bring_pairs(x, next, count, s, c, rows[0]);
            for (int k = 0; k < pixels; k++, tile += s->halves * TILE_BYTES)
                if (s->in_rows)
                    transpose_pairs(pairs[k], tile);
            i += pixels;
            x += pixels * v->block;
        }
    }
}

// ---- products

// X and D of some groups' output rows [first, end).
struct band {
    const char *x, *d;
    int groups, first, end;
};

#define TAP(k, even, odd)                                                                          \
    do {                                                                                           \
        tile_load(7, x_row + (at + (k)) * X_BYTES);                                                \
        tile_multiply(even, 7, 6);                                                                 \
        tile_load(7, x_row + (at + (k)) * X_BYTES + TILE_BYTES);                                   \
        tile_multiply(odd, 7, 6);                                                                  \
    } while (0)

// A row of outputs by a row of the input, to tiles 0 to 5.
static inline void sum_row(const struct fm_amx *a, const char *x_row, const char *d)
{
    for (int i = 0; i < a->out.w; i++, d += TILE_BYTES) {
        int at = i - a->padding;
        tile_load(6, d);
        if (at >= 0 && at + SIDE <= a->in.w) {
            TAP(0, 0, 1);
            TAP(1, 2, 3);
            TAP(2, 4, 5);
            continue;
        }
        if (at >= 0 && at < a->in.w)
            TAP(0, 0, 1);
        if (at + 1 >= 0 && at + 1 < a->in.w)
            TAP(1, 2, 3);
        if (at + 2 >= 0 && at + 2 < a->in.w)
            TAP(2, 4, 5);
    }
}

enum {
    TILE_VALUES = TILE_ROWS * TILE_COLUMNS,
    ROW_VALUES = SIDE * HALVES * TILE_VALUES, // of dW: of a row of taps
};

// dW of 32 input channels, the `ins`-th, and 16 output channels.
static float *sums_of(const struct fm_amx *a, float *dw, int ins, int outs)
{
    size_t at = (size_t)(ins * (a->out.c / TILE_COLUMNS) + outs);
    return dw + at * SIDE * ROW_VALUES;
}

static void begin_sums(const float *from, bool first)
{
    if (first) {
        tile_zero(0);
        tile_zero(1);
        tile_zero(2);
        tile_zero(3);
        tile_zero(4);
        tile_zero(5);
        return;
    }
    tile_load(0, from);
    tile_load(1, from + TILE_VALUES);
    tile_load(2, from + 2 * TILE_VALUES);
    tile_load(3, from + 3 * TILE_VALUES);
    tile_load(4, from + 4 * TILE_VALUES);
    tile_load(5, from + 5 * TILE_VALUES);
}

static void end_sums(float *to)
{
    tile_store(0, to);
    tile_store(1, to + TILE_VALUES);
    tile_store(2, to + 2 * TILE_VALUES);
    tile_store(3, to + 3 * TILE_VALUES);
    tile_store(4, to + 4 * TILE_VALUES);
    tile_store(5, to + 5 * TILE_VALUES);
}

// Adds a band's products to that, or begins it with them.
static void sum_band(const struct fm_amx *a, const struct plan *p, const struct band *b, int ins,
    int outs, bool first, float *sums)
{
    for (int r = 0; r < SIDE; r++, sums += ROW_VALUES) {
        begin_sums(sums, first);
        for (int group = 0; group < b->groups; group++) {
            const char *x = b->x + (size_t)ins * p->x_panel + (size_t)group * p->x_group;
            const char *d = b->d + (size_t)outs * p->d_panel + (size_t)group * p->d_group;
            for (int y = b->first; y < b->end; y++, d += p->d_row) {
                int from = y + r - a->padding;
                if (from >= 0 && from < a->in.h)
                    sum_row(a, x + (size_t)(from % p->held) * p->x_row, d);
            }
        }
        end_sums(sums);
    }
}

// ---- 32 images by a thread

// Those input channels of which a part has [from, end), each 32. Begins dW, or adds to it.
static void sum_group(const struct fm_amx *a, const struct plan *p, const struct source *x,
    const struct source *dy, int group, int from, int end, bool begins, char *scratch, float *dw)
{
    char *d = scratch + p->x_bytes;
    int brought = 0; // rows of X
    for (int first = 0; first < a->out.h; first += p->rows) {
        int last = least(first + p->rows, a->out.h);
        int needed = least(last - 1 + SIDE - a->padding, a->in.h);
        for (; brought < needed; brought++)
            bring_row(x, group, brought, from * FM_AMX_CHANNELS, end * FM_AMX_CHANNELS,
                scratch + (size_t)(brought % p->held) * p->x_row);
        for (int y = first; y < last; y++)
            bring_row(dy, group, y, 0, a->out.c, d + (size_t)(y - first) * p->d_row);
        tiles_see_memory();
        const struct band b = {scratch, d, 1, first, last};
        for (int ins = from; ins < end; ins++)
            for (int outs = 0; outs < a->out.c / TILE_COLUMNS; outs++)
                sum_band(a, p, &b, ins, outs, begins && first == 0, sums_of(a, dw, ins, outs));
    }
}

// ---- to the filters

// The sums of all chunks, in their order, to the first's; then to dw.
static void put_filters(
    const struct fm_amx *a, const struct plan *p, float *sums, int ins, int outs, float *dw)
{
    size_t next = p->sums / sizeof *sums;
    sums = sums_of(a, sums, ins, outs);
    for (int i = 0; i < SIDE * ROW_VALUES; i += 16) {
        singles sum = singles_load(sums + i);
        for (int chunk = 1; chunk < p->chunks; chunk++)
            sum = add(sum, singles_load(sums + (size_t)chunk * next + i));
        singles_store(sums + i, sum);
    }
    for (int out = 0; out < TILE_COLUMNS; out++) {
        float *to = dw + ((size_t)(outs * TILE_COLUMNS + out) * (size_t)a->in.c +
                             (size_t)(ins * FM_AMX_CHANNELS)) *
                             FM_AMX_TAPS;
        for (int in = 0; in < FM_AMX_CHANNELS; in++)
            for (int tap = 0; tap < FM_AMX_TAPS; tap++)
                *to++ = sums[(tap * HALVES + in / TILE_ROWS) * TILE_VALUES +
                             in % TILE_ROWS * TILE_COLUMNS + out];
    }
}

// ---- all together

// A thread's X and D where it has chunks of its own, else those of all.
static size_t ordered_bytes(const struct fm_amx *a, const struct plan *p)
{
    return (size_t)(p->chunks > 0 ? a->threads : 1) * (p->x_bytes + p->d_bytes);
}

size_t FM_KERNEL(amx_gradient_scratch)(const struct fm_amx *a)
{
    const struct plan p = plan_of(a);
    return ordered_bytes(a, &p) + (size_t)(p.chunks > 0 ? p.chunks : 1) * p.sums;
}

static void sum_apart(const struct fm_amx *a, const struct plan *p, const struct source *x,
    const struct source *dy, char *scratch, float *sums)
{
    int ins = a->in.c / FM_AMX_CHANNELS;
    int parts = p->chunks >= a->threads ? 1 : least(ins, (a->threads + p->chunks - 1) / p->chunks);
    char *own = scratch + (size_t)omp_get_thread_num() * (p->x_bytes + p->d_bytes);
#pragma omp for schedule(dynamic)
    for (int i = 0; i < p->chunks * parts; i++) {
        int chunk = i / parts, part = i % parts, first = p->groups * chunk / p->chunks;
        float *dw = sums + (size_t)chunk * (p->sums / sizeof *sums);
        for (int group = first; group < p->groups * (chunk + 1) / p->chunks; group++)
            sum_group(a, p, x, dy, group, ins * part / parts, ins * (part + 1) / parts,
                group == first, own, dw);
    }
}

static void sum_together(const struct fm_amx *a, const struct plan *p, const struct source *x,
    const struct source *dy, char *scratch, float *sums)
{
    int ins = a->in.c / FM_AMX_CHANNELS, outs = a->out.c / TILE_COLUMNS;
    char *d = scratch + p->x_bytes;
    int rows = a->in.h + a->out.h;
    for (int first = 0; first < p->groups; first += p->groups_at_once) {
        int count = least(p->groups_at_once, p->groups - first);
#pragma omp for schedule(static)
        for (int i = 0; i < count * rows; i++) {
            int group = i / rows, y = i % rows;
            if (y < a->in.h)
                bring_row(x, first + group, y, 0, a->in.c,
                    scratch + (size_t)group * p->x_group + (size_t)y * p->x_row);
            else
                bring_row(dy, first + group, y - a->in.h, 0, a->out.c,
                    d + (size_t)group * p->d_group + (size_t)(y - a->in.h) * p->d_row);
        }
        tiles_see_memory();
        const struct band b = {scratch, d, count, 0, a->out.h};
#pragma omp for schedule(static)
        for (int i = 0; i < ins * outs; i++)
            sum_band(
                a, p, &b, i / outs, i % outs, first == 0, sums_of(a, sums, i / outs, i % outs));
    }
}

void FM_KERNEL(amx_gradient)(const struct fm_amx *a, const void *x, struct fm_norm_relu pending,
    const void *dy, float *dw, void *scratch)
{
    const struct plan p = plan_of(a);
    const struct source in = {&a->in, x, pending, true, HALVES, p.x_panel};
    const struct source gradient = {.view = &a->out, .values = dy, .halves = 1, .panel = p.d_panel};
    float *sums = (float *)(void *)((char *)scratch + ordered_bytes(a, &p));
    int ins = a->in.c / FM_AMX_CHANNELS, outs = a->out.c / TILE_COLUMNS;
#pragma omp parallel num_threads(a->threads)
    {
        tiles_begin();
        if (p.chunks > 0)
            sum_apart(a, &p, &in, &gradient, scratch, sums);
        else
            sum_together(a, &p, &in, &gradient, scratch, sums);
        tiles_end();
#pragma omp for schedule(static)
        for (int i = 0; i < ins * outs; i++)
            put_filters(a, &p, sums, i / outs, i % outs, dw);
    }
}
