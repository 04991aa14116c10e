// The gradient of a 3x3 convolution's filters by Winograd's minimal filtering:
//   x -> V, dy -> D[point][panel][tile][PANEL]; dU[point][in channel][out channel] += V^T D -> dw
//
// Where dU is small, the tiles are taken in chunks, each with a dU of its own, which are added in
// their order: a thread finds all that it needs in its own cache, and waits for no other. Else all
// threads share one block of tiles after another. Either way the order of the sums depends on
// nothing but the sizes, so the bits are the same with any number of threads.
//
// Compiled for each size of tiles.
#include "backend/cpu/isa/winograd_pixels.h"

#include <omp.h>

enum {
    // Of a block of all threads: dU is read and written once for each, but what a product reads of
    // its tiles has to stay in the first cache, and the block takes memory. More where dU is so
    // large that a cache of all processors may not keep it.
    SHARED_TILES = AVX2_ALONE ? 128 : 64,
    SHARED_TILES_LARGE = AVX2_ALONE ? 128 : 192,
    LARGE_BYTES = 12 << 20,
    // Values between V's tiles: a product reads a few channels of every tile, and tiles a power of
    // two apart would share few sets of that cache.
    TILE_GAP = LINE_VALUES,
    CHUNKS = 16,      // whatever the threads, or bits would depend on them; more of these idle
    CHUNK_TILES = 32, // of a block of one thread: with dU it stays in the cache
    CHUNK_BYTES = 640 * 1024, // of a chunk's dU at most
};

// A dy A^T of one tile, all channels: to D[point * stride + panel * tiles * PANEL + ...].
static void transform_gradient(const struct fm_view *v, const element *dy, struct place place,
    int tiles, float *to, size_t stride)
{
    static const struct fm_norm_relu none;
    for (int c = 0; c < v->c; c += LANES)
        gradient_tile(v, dy + fm_view_at(v, place.image, c), none, place.y, place.x,
            to + (size_t)(c / PANEL * tiles * PANEL + c % PANEL), stride);
}

// A block of tiles, transformed, and the dU that their products are added to; in fp32 values what
// one tile takes of V, and one point of each.
struct gradient_block {
    int tiles; // at most
    size_t tile_v, point_v, point_d, point_du;
    float *v, *d, *du;
};

static struct gradient_block gradient_block(const struct fm_winograd *w, int tiles)
{
    size_t tile_v = (size_t)(w->in.c + TILE_GAP);
    return (struct gradient_block){
        .tiles = tiles,
        .tile_v = tile_v,
        .point_v = (size_t)tiles * tile_v + LINE_VALUES,
        .point_d = (size_t)(tiles * w->out.c + LINE_VALUES),
        .point_du = (size_t)w->in.c * (size_t)w->out.c,
    };
}

// Values of V and D.
static size_t transformed_values(const struct gradient_block *b)
{
    return TILE_POINTS * (b->point_v + b->point_d);
}

static size_t du_values(const struct gradient_block *b)
{
    return TILE_POINTS * b->point_du;
}

static void place_block(struct gradient_block *b, float *transformed, float *du)
{
    b->v = transformed;
    b->d = transformed + TILE_POINTS * b->point_v;
    b->du = du;
}

// What the gradient is computed from.
struct gradient_inputs {
    const void *x;
    struct fm_norm_relu pending; // of x
    const void *dy;
};

// V and D of tile `at` of a block.
static void transform_tile(const struct fm_winograd *w, const struct gradient_inputs *inputs,
    struct place place, const struct gradient_block *b, int at)
{
    transform_input(&w->in, inputs->x, inputs->pending, place, w->padding, all_channels(&w->in),
        b->v + (size_t)at * b->tile_v, b->point_v);
    transform_gradient(
        &w->out, inputs->dy, place, b->tiles, b->d + (size_t)(at * PANEL), b->point_d);
}

// dU += V^T D of one point and panel, `count` tiles.
static void multiply_gradient(const struct fm_winograd *w, int point, int panel, int count,
    bool accumulate, const struct gradient_block *b)
{
    const struct product p = {
        .left = b->v + (size_t)point * b->point_v,
        .row_stride = 1,
        .step_stride = b->tile_v,
        .right = b->d + (size_t)point * b->point_d + (size_t)(panel * b->tiles * PANEL),
        .steps = count,
        .accumulate = accumulate,
        .out = b->du + (size_t)point * b->point_du + (size_t)(panel * PANEL),
        .out_stride = (size_t)w->out.c,
    };
    product_panel(&p, w->in.c);
}

static void gradient_shared(const struct fm_winograd *w, const struct gradient_inputs *inputs,
    const struct gradient_block *b)
{
    struct tiles tiles = tiles_of(&w->out);
    int panels = w->out.c / PANEL;
#pragma omp parallel num_threads(w->threads)
    for (int first = 0; first < tiles.all; first += b->tiles) {
        int count = least(b->tiles, tiles.all - first);
#pragma omp for schedule(static)
        for (int t = 0; t < count; t++)
            transform_tile(w, inputs, place_of(&tiles, first + t), b, t);
#pragma omp for schedule(static)
        for (int i = 0; i < TILE_POINTS * panels; i++)
            multiply_gradient(w, i / panels, i % panels, count, first > 0, b);
    }
}

// How the tiles are taken.
struct gradient_plan {
    struct gradient_block block; // its sizes
    int chunks;                  // of the tiles, each with a dU; 1: all threads share it
    int blocks;                  // with a V and D each: one a thread that finds a chunk, or one
};

static struct gradient_plan plan_gradient(const struct fm_winograd *w)
{
    struct gradient_block block = gradient_block(w, CHUNK_TILES);
    size_t du_bytes = du_values(&block) * sizeof(float);
    if (du_bytes <= CHUNK_BYTES && tiles_of(&w->out).all >= CHUNKS * CHUNK_TILES)
        return (struct gradient_plan){block, CHUNKS, least(w->threads, CHUNKS)};
    int tiles = du_bytes > LARGE_BYTES ? SHARED_TILES_LARGE : SHARED_TILES;
    return (struct gradient_plan){gradient_block(w, tiles), 1, 1};
}

// Where in scratch a chunk's dU begins, behind the blocks: of the chunk after the last, the end.
static size_t du_offset(const struct gradient_plan *plan, int chunk)
{
    return (size_t)plan->blocks * transformed_values(&plan->block) +
           (size_t)chunk * du_values(&plan->block);
}

// dU of the tiles [from, end), by one thread.
static void gradient_chunk(const struct fm_winograd *w, const struct gradient_inputs *inputs,
    const struct tiles *tiles, int from, int end, const struct gradient_block *b)
{
    int panels = w->out.c / PANEL;
    for (int first = from; first < end; first += b->tiles) {
        int count = least(b->tiles, end - first);
        for (int t = 0; t < count; t++)
            transform_tile(w, inputs, place_of(tiles, first + t), b, t);
        for (int i = 0; i < TILE_POINTS * panels; i++)
            multiply_gradient(w, i / panels, i % panels, count, first > from, b);
    }
}

// The first chunk's dU becomes that of all.
static void gradient_in_chunks(const struct fm_winograd *w, const struct gradient_inputs *inputs,
    const struct gradient_plan *plan, float *scratch)
{
    struct tiles tiles = tiles_of(&w->out);
    size_t values = du_values(&plan->block);
    float *du = scratch + du_offset(plan, 0);
#pragma omp parallel num_threads(plan->blocks)
    {
        struct gradient_block own = plan->block;
        float *transformed = scratch +
                             (size_t)omp_get_thread_num() * transformed_values(&plan->block);
#pragma omp for schedule(dynamic) // as convolve_apart() has it
        for (int chunk = 0; chunk < plan->chunks; chunk++) {
            place_block(&own, transformed, scratch + du_offset(plan, chunk));
            gradient_chunk(w, inputs, &tiles, (int)((int64_t)tiles.all * chunk / plan->chunks),
                (int)((int64_t)tiles.all * (chunk + 1) / plan->chunks), &own);
        }
#pragma omp for schedule(static)
        for (size_t i = 0; i < values; i += LANES) {
            vec sum = vec_load(du + i);
            for (int chunk = 1; chunk < plan->chunks; chunk++)
                sum += vec_load(du + (size_t)chunk * values + i);
            vec_store(du + i, sum);
        }
    }
}

void FM_TILED(FM_ELEMENT_KERNEL(winograd_gradient), FM_TILE)(const struct fm_winograd *w,
    const void *x, struct fm_norm_relu pending, const void *dy, float *dw, float *scratch)
{
    const struct gradient_inputs inputs = {x, pending, dy};
    const struct gradient_plan plan = plan_gradient(w);
    float *du = scratch + du_offset(&plan, 0);
    if (plan.chunks > 1) {
        gradient_in_chunks(w, &inputs, &plan, scratch);
    } else {
        struct gradient_block block = plan.block;
        place_block(&block, scratch, du);
        gradient_shared(w, &inputs, &block);
    }
    FM_TILED(FM_KERNEL(winograd_filter_gradients), FM_TILE)(w, du, dw);
}

size_t FM_TILED(FM_ELEMENT_KERNEL(winograd_gradient_scratch), FM_TILE)(const struct fm_winograd *w)
{
    const struct gradient_plan plan = plan_gradient(w);
    return du_offset(&plan, plan.chunks) * sizeof(float);
}
