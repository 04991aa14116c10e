// Convolutions of 3x3 by products of tiles, forward, which with rotated filters is the gradient of
// the data too.
//
// A thread brings the pixels of a block of images into the order of tiles, with a pending norm
// applied, so that every tile that a product needs lies in one piece; then each pair of tiles of
// outputs is summed over all taps and inputs in registers, for 32 output channels at a time.
//
// A tile's rows are either 16 neighbouring pixels of one image,
//   [32 channels][pixel, with zeros between rows and around the image][channel],
// whose sums over what lies between rows are not kept, or, of small images, the same pixel of 16,
//   [pixel][32 channels][image][channel],
// where taps outside the image are left out.
#include "backend/cpu/isa/amx_kernels.h"
#include "backend/cpu/isa/amx_output.h"

#include <omp.h>

enum {
    STEP_BYTES = PAIR * TILE_BYTES, // filters of 32 outputs by 32 inputs, of a tap
    BLOCK_BYTES = 1 << 20,          // of pixels, in the second cache, or of one image or 16
    FEW_FILTER_BYTES = 320 << 10,   // that stay there beside them, so that pixels are taken in turn
};

// How a block's pixels lie, in bytes.
struct geometry {
    bool images;        // a tile's rows are images
    int panels;         // of 32 input channels
    int pitch;          // positions from a row of pixels to the next
    int tiles;          // of the outputs of an image, or pixels
    size_t pixel, row;  // from a pixel, or a row of them, to the next
    size_t panel;       // from 32 channels to the next
    size_t group;       // of an image, or of the 16 that share tiles
    int groups_at_once; // of a block
    int groups;         // of the batch
};

static struct geometry geometry_of(const struct fm_amx *a)
{
    struct geometry g = {.images = fm_amx_takes_images(a), .panels = a->in.c / TILE_STEPS};
    if (g.images) {
        g.pitch = a->in.w;
        g.tiles = a->out.h * a->out.w;
        g.panel = TILE_BYTES;
        g.pixel = (size_t)g.panels * g.panel;
        g.group = (size_t)(a->in.h * a->in.w) * g.pixel;
        g.groups = (a->in.n + FM_AMX_IMAGES - 1) / FM_AMX_IMAGES;
    } else {
        g.pitch = a->in.w + a->padding;
        g.tiles = (g.pitch * (a->out.h - 1) + a->out.w + TILE_ROWS - 1) / TILE_ROWS;
        g.pixel = TILE_ROW_BYTES;
        // The last pair of tiles, read with the last tap, and the rows of padding.
        int read = (g.tiles + 1) * TILE_ROWS + (SIDE - 1) * (g.pitch + 1);
        int put = (a->in.h + 2 * a->padding) * g.pitch + a->padding;
        g.panel = (size_t)(read > put ? read : put) * g.pixel;
        g.group = (size_t)g.panels * g.panel;
        g.groups = a->in.n;
    }
    g.row = (size_t)g.pitch * g.pixel;
    int share = (g.groups + a->threads - 1) / a->threads;
    int fit = (int)(BLOCK_BYTES / g.group);
    g.groups_at_once = fit < 1 || !g.images ? 1 : least(fit, share);
    return g;
}

// ---- from the input

// 32 channels of a pixel from `channel` on, which `low` and `high` point to 16 of each.
static inline void bring_line(
    const uint16_t *low, const uint16_t *high, struct fm_norm_relu pending, int channel, void *to)
{
    halves_store(to, read_pending(low, pending, channel));
    halves_store((uint16_t *)to + 16, read_pending(high, pending, channel + 16));
}

// An image, its pixels `pixel` bytes apart from `to` on, rows `row`.
static void bring_image(const struct fm_amx *a, const struct fm_amx_run *run,
    const struct geometry *g, int image, char *to)
{
    const struct fm_view *v = &a->in;
    const uint16_t *x = run->x;
    for (int panel = 0; panel < g->panels; panel++, to += g->panel) {
        int channel = panel * TILE_STEPS;
        const uint16_t *low = x + fm_view_at(v, image, channel);
        const uint16_t *high = x + fm_view_at(v, image, channel + 16);
        for (int y = 0; y < v->h; y++) {
            char *line = to + (size_t)y * g->row;
            for (int i = 0; i < v->w; i++, low += v->block, high += v->block, line += g->pixel)
                bring_line(low, high, run->pending, channel, line);
        }
    }
}

// 16 images, those that the batch lacks as zeros.
static void bring_images(const struct fm_amx *a, const struct fm_amx_run *run,
    const struct geometry *g, int group, char *to)
{
    int first = group * FM_AMX_IMAGES, count = least(FM_AMX_IMAGES, a->in.n - first);
    if (count < FM_AMX_IMAGES)
        memset(to, 0, g->group);
    for (int i = 0; i < count; i++)
        bring_image(a, run, g, first + i, to + i * TILE_ROW_BYTES);
}

// ---- products

// Two tiles of outputs: which taps' columns and rows lie inside the image, and where the first tap
// reads.
struct place {
    const char *pixels;
    ptrdiff_t from[PAIR];   // may be in front of the pixels, where no tap is inside
    unsigned columns[PAIR]; // bits; none of a second that there is not
    unsigned rows;
};

// Adds the products of a row of taps to tiles 0 to 3: those of the first tile of pixels with either
// of outputs, then of the second.
static inline void sum_products(
    const struct geometry *g, const struct place *p, int row, const char *filters)
{
    const ptrdiff_t pixel = (ptrdiff_t)g->pixel;
    const bool whole = p->columns[0] == 7 && p->columns[1] == 7;
    if (!(p->rows >> row & 1u))
        return;
    for (int panel = 0; panel < g->panels; panel++) {
        const ptrdiff_t at = row * (ptrdiff_t)g->row + panel * (ptrdiff_t)g->panel;
        ptrdiff_t first = p->from[0] + at, second = p->from[1] + at;
        if (whole) {
#pragma GCC unroll 3
            for (int k = 0; k < SIDE; k++, filters += STEP_BYTES) {
                tile_load(4, p->pixels + first);
                tile_load(6, filters);
                tile_multiply(0, 4, 6);
                tile_load(5, p->pixels + second);
                tile_multiply(2, 5, 6);
                tile_load(7, filters + TILE_BYTES);
                tile_multiply(1, 4, 7);
                tile_multiply(3, 5, 7);
                first += pixel;
                second += pixel;
            }
            continue;
        }
        for (int k = 0; k < SIDE; k++, filters += STEP_BYTES) {
            tile_load(6, filters);
            tile_load(7, filters + TILE_BYTES);
            if (p->columns[0] >> k & 1u) {
                tile_load(4, p->pixels + first);
                tile_multiply(0, 4, 6);
                tile_multiply(1, 4, 7);
            }
            if (p->columns[1] >> k & 1u) {
                tile_load(5, p->pixels + second);
                tile_multiply(2, 5, 6);
                tile_multiply(3, 5, 7);
            }
            first += pixel;
            second += pixel;
        }
    }
}

// ---- blocks

// One of the pair, whose rows are 16 images, of a pixel.
static void put_images(const struct fm_view *v, const struct sums *s, int tile, uint16_t *y)
{
    int first = s->group * FM_AMX_IMAGES, count = least(FM_AMX_IMAGES, v->n - first);
    int channel = s->outputs.channel;
    size_t image = (size_t)(v->c * v->h * v->w);
    y += (size_t)(s->first_tile + tile) * (size_t)v->block;
    put_rows(s, tile, 0, count, y + fm_view_at(v, first, channel),
        y + fm_view_at(v, first, channel + TILE_COLUMNS), image);
}

// Taps of which the output's row or column `at` finds a pixel.
static unsigned taps_inside(int at, int padding, int size)
{
    unsigned inside = 0;
    for (int k = 0; k < SIDE; k++)
        if (at + k - padding >= 0 && at + k - padding < size)
            inside |= 1u << k;
    return inside;
}

// How many pairs of tiles there are of a group: of the pixels of each row, or of positions.
static int pairs_of_row(const struct fm_amx *a)
{
    return (a->out.w + PAIR - 1) / PAIR;
}

static int pairs_of_group(const struct fm_amx *a, const struct geometry *g)
{
    return g->images ? a->out.h * pairs_of_row(a) : (g->tiles + PAIR - 1) / PAIR;
}

// A block on its way: what comes of a pair of tiles is put out while the next is summed.
struct block {
    const struct fm_amx *a;
    const struct fm_amx_run *run;
    const struct geometry *g;
    char *pixels;
    uint16_t *outputs;   // the block's own where they are pooled afterwards; else NULL
    int first, count;    // groups
    struct sums sums[2]; // of the last pair and the one before
    int pairs_summed;
};

static void put_tile(const struct block *b, const struct sums *s, int tile)
{
    if (tile >= s->tiles)
        return;
    const struct fm_view *v = &b->a->out;
    uint16_t *y = b->outputs ? b->outputs : b->run->y;
    if (b->g->images)
        put_images(v, s, tile, y);
    else
        put_pixels(v, s, tile, b->g->pitch, y);
}

static struct place place_of_pair(const struct block *b, int pair, struct sums *s)
{
    const struct fm_amx *a = b->a;
    const struct geometry *g = b->g;
    int in_block = pair / pairs_of_group(a, g);
    const char *pixels = b->pixels + (size_t)in_block * g->group;
    s->group = in_block + (b->outputs ? 0 : b->first); // of what it is written to
    pair %= pairs_of_group(a, g);
    if (!g->images) {
        s->first_tile = pair * PAIR;
        s->tiles = least(PAIR, g->tiles - s->first_tile);
        ptrdiff_t from = s->first_tile * TILE_BYTES;
        return (struct place){pixels, {from, from + TILE_BYTES}, {7, s->tiles == PAIR ? 7 : 0}, 7};
    }
    int row = pair / pairs_of_row(a), column = pair % pairs_of_row(a) * PAIR;
    s->first_tile = row * a->out.w + column;
    s->tiles = least(PAIR, a->out.w - column);
    ptrdiff_t pixel = (ptrdiff_t)g->pixel;
    ptrdiff_t from = (row - a->padding) * (ptrdiff_t)g->row + (column - a->padding) * pixel;
    return (struct place){pixels, {from, from + pixel},
        {taps_inside(column, a->padding, a->in.w),
            s->tiles == PAIR ? taps_inside(column + 1, a->padding, a->in.w) : 0},
        taps_inside(row, a->padding, a->in.h)};
}

// 32 outputs of a pair of tiles. The pair before is put out in the midst of the products, which
// the matrix unit is busy with meanwhile.
static void convolve_pair(struct block *b, int pair, const struct outputs *o)
{
    struct sums *s = &b->sums[b->pairs_summed % 2], *before = &b->sums[(b->pairs_summed + 1) % 2];
    const struct place place = place_of_pair(b, pair, s);
    const size_t row = (size_t)(b->g->panels * SIDE) * STEP_BYTES;
    const char *filters = (const char *)b->run->filters +
                          fm_amx_filter_bytes(o->channel, b->a->in.c);
    s->outputs = *o;
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    for (int r = 0; r < SIDE; r++, filters += row) {
        sum_products(b->g, &place, r, filters);
        if (r < PAIR && b->pairs_summed > 0)
            put_tile(b, before, r);
    }
    take_sums(s);
    b->pairs_summed++;
}

static void bring_block(const struct block *b)
{
    const struct geometry *g = b->g;
    for (int i = 0; i < b->count; i++)
        if (g->images)
            bring_images(b->a, b->run, g, b->first + i, b->pixels + (size_t)i * g->group);
        else
            bring_image(b->a, b->run, g, b->first + i,
                b->pixels + (size_t)b->a->padding * (g->row + g->pixel));
    tiles_see_memory();
}

// The larger of each, as a max-pool takes them in turn (pool.c).
static inline halves pool_corners(const uint16_t *corner, size_t pixel, size_t row)
{
    singles most = widen(halves_load(corner));
    most = larger_or_nan(most, widen(halves_load(corner + pixel)));
    most = larger_or_nan(most, widen(halves_load(corner + row)));
    return narrow(larger_or_nan(most, widen(halves_load(corner + row + pixel))));
}

static int first_image(const struct block *b)
{
    return b->first * (b->g->images ? FM_AMX_IMAGES : 1);
}

// Channels [from, end) of the block's own outputs.
static void pool_block(const struct block *b, int from, int end)
{
    const struct fm_view *v = &b->a->out;
    const struct fm_view to = fm_view_pooled(&b->a->out);
    int first = first_image(b), images = b->count * (b->g->images ? FM_AMX_IMAGES : 1);
    size_t pixel = (size_t)v->block, row = (size_t)v->w * pixel;
    for (int i = 0; i < least(images, v->n - first); i++)
        for (int c = from; c < end; c += FM_AMX_BLOCK) {
            const uint16_t *x = b->outputs + fm_view_at(v, i, c);
            uint16_t *y = (uint16_t *)b->run->y + fm_view_at(&to, first + i, c);
            for (int r = 0; r < to.h; r++)
                for (int k = 0; k < to.w; k++, y += to.block)
                    halves_store(
                        y, pool_corners(
                               x + (size_t)(2 * r) * row + (size_t)(2 * k) * pixel, pixel, row));
        }
}

// Outputs [from, end) of a block. Where filters are few, each pair of tiles is taken for all of
// them, whose pixels stay in the first cache; else all pairs for 32 outputs, whose filters stay in
// the second.
static void convolve_block(struct block *b, int from, int end)
{
    const struct fm_amx *a = b->a;
    int pairs = b->count * pairs_of_group(a, b->g);
    bring_block(b);
    if (fm_amx_filter_bytes(a->out.c, a->in.c) <= FEW_FILTER_BYTES) {
        for (int i = 0; i < pairs; i++)
            for (int c = from; c < end; c += FM_AMX_CHANNELS) {
                const struct outputs o = outputs_at(b->run->bias, b->run->relu, a->out.block, c);
                convolve_pair(b, i, &o);
            }
    } else {
        for (int c = from; c < end; c += FM_AMX_CHANNELS) {
            const struct outputs o = outputs_at(b->run->bias, b->run->relu, a->out.block, c);
            for (int i = 0; i < pairs; i++)
                convolve_pair(b, i, &o);
        }
    }
    for (int tile = 0; tile < PAIR; tile++)
        put_tile(b, &b->sums[(b->pairs_summed + 1) % 2], tile);
    if (b->outputs)
        pool_block(b, from, end);
}

static size_t block_bytes(const struct geometry *g)
{
    return (size_t)g->groups_at_once * g->group;
}

// Of its outputs, where they are pooled afterwards.
static size_t output_bytes(const struct fm_amx *a, const struct geometry *g, bool pool)
{
    size_t images = (size_t)g->groups_at_once * (g->images ? FM_AMX_IMAGES : 1);
    size_t image = (size_t)(a->out.c * a->out.h * a->out.w) * sizeof(uint16_t);
    return pool ? images * image : 0; // whole lines, as channels are
}

size_t FM_KERNEL(amx_convolve_scratch)(const struct fm_amx *a, bool pool)
{
    const struct geometry g = geometry_of(a);
    return (size_t)a->threads * (block_bytes(&g) + output_bytes(a, &g, pool));
}

void FM_KERNEL(amx_convolve)(const struct fm_amx *a, const struct fm_amx_run *run, void *scratch)
{
    const struct geometry g = geometry_of(a);
    int blocks = (g.groups + g.groups_at_once - 1) / g.groups_at_once;
    // Few images: threads take parts of the outputs, and each brings the pixels for itself.
    int panels = a->out.c / FM_AMX_CHANNELS;
    // In place there are no parts: one would read what another has written.
    int parts = blocks >= a->threads || run->x == run->y
                    ? 1
                    : least(panels, (a->threads + blocks - 1) / blocks);
#pragma omp parallel num_threads(a->threads)
    {
        size_t own = block_bytes(&g) + output_bytes(a, &g, run->pool);
        char *pixels = (char *)scratch + (size_t)omp_get_thread_num() * own;
        char *outputs = pixels + block_bytes(&g);
        if (!g.images)
            memset(pixels, 0, block_bytes(&g)); // what is between rows and around an image
        tiles_begin();
#pragma omp for schedule(dynamic)
        for (int i = 0; i < blocks * parts; i++) {
            int first = i / parts * g.groups_at_once, part = i % parts;
            struct block block = {.a = a, .run = run, .g = &g, .pixels = pixels, .first = first};
            if (run->pool)
                block.outputs = (uint16_t *)(void *)outputs;
            block.count = least(g.groups_at_once, g.groups - first);
            convolve_block(&block, panels * part / parts * FM_AMX_CHANNELS,
                panels * (part + 1) / parts * FM_AMX_CHANNELS);
        }
        tiles_end();
    }
}
