// A network's first convolution, of few input channels, by products of tiles: all its taps are the
// steps of one product. It is bound by what it writes, or the gradient of its filters by reading
// the output's.
//
// An image is copied with zeros between its rows and around it, so that a tap of neighbouring
// positions is a line of neighbours.
#include "backend/cpu/isa/amx_output.h"
#include "base/round.h"

#include <omp.h>

enum {
    CHUNKS = 16,        // of the images, each with sums that are added in their order
    GRADIENT_ROWS = 32, // taps, then ones, which give the bias's: two tiles
    SUMS_VALUES = 2 * TILE_ROWS * TILE_COLUMNS, // of 16 outputs
};

// ---- images

static int pitch_of(const struct fm_amx *a)
{
    return a->in.w + a->padding;
}

static int positions_of(const struct fm_amx *a)
{
    return pitch_of(a) * (a->out.h - 1) + a->out.w;
}

static int taps_of(const struct fm_amx *a)
{
    return a->in.c * FM_AMX_TAPS;
}

// Elements of a channel with its zeros, and with what is read past the last position.
static size_t plane_elements(const struct fm_amx *a)
{
    size_t rows = (size_t)(a->in.h + 2 * a->padding + 1);
    return fm_round_up(rows * (size_t)pitch_of(a) + PAIR * TILE_ROWS + TILE_STEPS, TILE_STEPS);
}

static size_t image_bytes(const struct fm_amx *a)
{
    return (size_t)a->in.c * plane_elements(a) * sizeof(uint16_t);
}

// The zeros are there already.
static void read_image(const struct fm_amx *a, const uint16_t *x, int image, uint16_t *to)
{
    const struct fm_view *v = &a->in;
    for (int c = 0; c < v->c; c++, to += plane_elements(a)) {
        const uint16_t *from = x + fm_view_at(v, image, c);
        for (int y = 0; y < v->h; y++, from += v->w)
            memcpy(to + (size_t)((y + a->padding) * pitch_of(a) + a->padding), from,
                (size_t)v->w * sizeof *to);
    }
}

// Where a tap of an image's first position is.
static const uint16_t *tap_at(const struct fm_amx *a, const uint16_t *image, int tap)
{
    int within = tap % FM_AMX_TAPS;
    return image + (size_t)(tap / FM_AMX_TAPS) * plane_elements(a) +
           (size_t)(within / SIDE * pitch_of(a) + within % SIDE);
}

// ---- forward

// The tile of 16 outputs from `channel` on: a row has two taps of each.
static void make_filters(
    const struct fm_amx *a, const struct fm_amx_first_run *run, int channel, uint16_t *tile)
{
    const int taps = taps_of(a);
    memset(tile, 0, TILE_BYTES);
    for (int c = 0; c < TILE_COLUMNS; c++) {
        const float *from = run->filters + (size_t)(channel + c) * (size_t)taps;
        float scale = run->scale ? run->scale[channel + c] : 1.0f;
        for (int t = 0; t < taps; t++)
            tile[t / 2 * TILE_STEPS + 2 * c + t % 2] = fm_bf16_narrow(from[t] * scale);
    }
}

// All taps of 16 positions from `position` on, a row of the tile each.
static void make_pixels(const struct fm_amx *a, const uint16_t *image, int position, uint16_t *tile)
{
    _Alignas(TILE_ROW_BYTES) uint16_t pairs[TILE_ROWS * TILE_STEPS];
    const int taps = taps_of(a);
    for (int t = 0; t < TILE_STEPS; t += 2) {
        halves even = halves_zero(), odd = halves_zero();
        if (t < taps)
            even = halves_load(tap_at(a, image, t) + position);
        if (t + 1 < taps)
            odd = halves_load(tap_at(a, image, t + 1) + position);
        store_pairs(pairs + t * TILE_ROWS, even, odd);
    }
    transpose_pairs(pairs, tile);
}

static void convolve_image(const struct fm_amx *a, const struct fm_amx_first_run *run,
    const uint16_t *filters, const uint16_t *image, int number)
{
    const int tiles = (positions_of(a) + TILE_ROWS - 1) / TILE_ROWS;
    _Alignas(TILE_ROW_BYTES) uint16_t pixels[PAIR][TILE_ROWS * TILE_STEPS];
    struct sums s = {.group = number};
    for (int tile = 0; tile < tiles; tile += PAIR) {
        s.first_tile = tile;
        s.tiles = least(PAIR, tiles - tile);
        for (int i = 0; i < PAIR; i++)
            make_pixels(a, image, (tile + i) * TILE_ROWS, pixels[i]);
        tiles_see_memory();
        tile_load(4, pixels[0]);
        tile_load(5, pixels[1]);
        for (int c = 0; c < a->out.c; c += FM_AMX_CHANNELS) {
            const uint16_t *from = filters + (size_t)(c * TILE_STEPS);
            s.outputs = outputs_at(run->bias, run->relu, a->out.block, c);
            tile_zero(0);
            tile_zero(1);
            tile_zero(2);
            tile_zero(3);
            tile_load(6, from);
            tile_load(7, from + TILE_ROWS * TILE_STEPS);
            tile_multiply(0, 4, 6);
            tile_multiply(2, 5, 6);
            tile_multiply(1, 4, 7);
            tile_multiply(3, 5, 7);
            take_sums(&s);
            for (int i = 0; i < s.tiles; i++)
                put_pixels(&a->out, &s, i, pitch_of(a), run->y);
        }
    }
}

// All filters, then an image of each thread.
size_t FM_KERNEL(amx_first_scratch)(const struct fm_amx *a)
{
    size_t filters = (size_t)a->out.c * TILE_STEPS * sizeof(uint16_t);
    return filters + (size_t)a->threads * image_bytes(a);
}

void FM_KERNEL(amx_first)(const struct fm_amx *a, const struct fm_amx_first_run *run, void *scratch)
{
    uint16_t *filters = scratch, *images = filters + (size_t)a->out.c * TILE_STEPS;
    for (int c = 0; c < a->out.c; c += TILE_COLUMNS)
        make_filters(a, run, c, filters + (size_t)(c * TILE_STEPS));
#pragma omp parallel num_threads(a->threads)
    {
        uint16_t *image = images + (size_t)omp_get_thread_num() * (image_bytes(a) / sizeof *images);
        memset(image, 0, image_bytes(a));
        tiles_begin();
#pragma omp for schedule(static)
        for (int n = 0; n < a->out.n; n++) {
            read_image(a, run->x, n, image);
            convolve_image(a, run, filters, image, n);
        }
        tiles_end();
    }
}

// ---- gradient

// 32 positions of a row of an image in the order of tiles: its taps, then ones, in rows.
static void make_rows(const struct fm_amx *a, const uint16_t *image, int position,
    uint16_t rows[GRADIENT_ROWS * TILE_STEPS])
{
    for (int t = 0; t < taps_of(a); t++) {
        const uint16_t *from = tap_at(a, image, t) + position;
        halves_store(rows + t * TILE_STEPS, halves_load(from));
        halves_store(rows + t * TILE_STEPS + 16, halves_load(from + 16));
    }
}

// 16 outputs of a pixel, what passes the gate.
static inline halves read_gradient(const uint16_t *dy, const uint16_t *gate)
{
    halves v = halves_load(dy);
    return gate ? where_above_zero(halves_load(gate), v) : v;
}

// Of `count` pixels, and zeros up to 32, 16 outputs: two pixels in a row.
static void make_columns(const uint16_t *dy, const uint16_t *gate, int count, uint16_t *tile)
{
    for (int i = 0; i < TILE_STEPS; i += 2, tile += TILE_STEPS) {
        halves pair[2] = {halves_zero(), halves_zero()};
        for (int k = 0; k < least(2, count - i); k++) {
            size_t at = (size_t)((i + k) * FM_AMX_BLOCK);
            pair[k] = read_gradient(dy + at, gate ? gate + at : NULL);
        }
        store_pairs(tile, pair[0], pair[1]);
    }
}

// Adds an image's products to tiles 0 to 3: rows of taps, by 32 outputs from `channel` on.
static void sum_image(const struct fm_amx *a, const struct fm_amx_first_gradient *g, int number,
    const uint16_t *image, int channel, uint16_t *rows)
{
    const struct fm_view *v = &a->out;
    const bool two = taps_of(a) + 1 > TILE_ROWS;
    _Alignas(TILE_ROW_BYTES) uint16_t columns[PAIR][TILE_ROWS * TILE_STEPS];
    for (int y = 0; y < v->h; y++)
        for (int x = 0; x < v->w; x += TILE_STEPS) {
            make_rows(a, image, y * pitch_of(a) + x, rows);
            for (int k = 0; k < PAIR; k++) {
                size_t at = fm_view_at(v, number, channel + k * TILE_COLUMNS) +
                            (size_t)((y * v->w + x) * v->block);
                make_columns((const uint16_t *)g->dy + at,
                    g->gate ? (const uint16_t *)g->gate + at : NULL, least(TILE_STEPS, v->w - x),
                    columns[k]);
            }
            tiles_see_memory();
            tile_load(4, rows);
            tile_load(6, columns[0]);
            tile_load(7, columns[1]);
            tile_multiply(0, 4, 6);
            tile_multiply(1, 4, 7);
            if (two) {
                tile_load(5, rows + TILE_ROWS * TILE_STEPS);
                tile_multiply(2, 5, 6);
                tile_multiply(3, 5, 7);
            }
            tiles_see_memory(); // before the next are written there
        }
}

// A thread's: an image, and rows of tiles.
static size_t own_bytes(const struct fm_amx *a)
{
    return image_bytes(a) + GRADIENT_ROWS * TILE_ROW_BYTES;
}

// Of a chunk: [out channels / 16][tap or bias][16 outputs]
static size_t sums_values(const struct fm_amx *a)
{
    return (size_t)(a->out.c / TILE_COLUMNS) * SUMS_VALUES;
}

// 32 outputs of a chunk's images.
static void sum_chunk(const struct fm_amx *a, const struct fm_amx_first_gradient *g, int chunk,
    int channel, uint16_t *image, float *sums)
{
    uint16_t *rows = image + image_bytes(a) / sizeof *image;
    memset(rows, 0, GRADIENT_ROWS * TILE_ROW_BYTES);
    for (int i = 0; i < TILE_STEPS; i++)
        rows[taps_of(a) * TILE_STEPS + i] = fm_bf16_narrow(1.0f);
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    for (int n = a->out.n * chunk / CHUNKS; n < a->out.n * (chunk + 1) / CHUNKS; n++) {
        read_image(a, g->x, n, image);
        sum_image(a, g, n, image, channel, rows);
    }
    sums += (size_t)(channel / TILE_COLUMNS) * SUMS_VALUES;
    tile_store(0, sums);
    tile_store(2, sums + SUMS_VALUES / 2);
    tile_store(1, sums + SUMS_VALUES);
    tile_store(3, sums + SUMS_VALUES + SUMS_VALUES / 2);
}

static void put_gradient(
    const struct fm_amx *a, const struct fm_amx_first_gradient *g, const float *sums)
{
    const int taps = taps_of(a);
    for (int c = 0; c < a->out.c; c++) {
        const float *from = sums + (size_t)(c / TILE_COLUMNS) * SUMS_VALUES + c % TILE_COLUMNS;
        for (int t = 0; t <= taps; t++, from += TILE_COLUMNS) {
            float sum = 0.0f;
            for (int chunk = 0; chunk < CHUNKS; chunk++)
                sum += from[(size_t)chunk * sums_values(a)];
            if (t < taps)
                g->dw[c * taps + t] = sum;
            else if (g->db)
                g->db[c] = sum;
        }
    }
}

size_t FM_KERNEL(amx_first_gradient_scratch)(const struct fm_amx *a)
{
    return (size_t)a->threads * own_bytes(a) + CHUNKS * sums_values(a) * sizeof(float);
}

void FM_KERNEL(amx_first_gradient)(
    const struct fm_amx *a, const struct fm_amx_first_gradient *g, void *scratch)
{
    char *own = scratch;
    float *sums = (float *)(void *)(own + (size_t)a->threads * own_bytes(a));
    int parts = a->out.c / FM_AMX_CHANNELS;
#pragma omp parallel num_threads(a->threads)
    {
        char *image = own + (size_t)omp_get_thread_num() * own_bytes(a);
        memset(image, 0, image_bytes(a));
        tiles_begin();
#pragma omp for schedule(dynamic)
        for (int i = 0; i < CHUNKS * parts; i++)
            sum_chunk(a, g, i / parts, i % parts * FM_AMX_CHANNELS, (uint16_t *)(void *)image,
                sums + (size_t)(i / parts) * sums_values(a));
        tiles_end();
    }
    put_gradient(a, g, sums);
}
