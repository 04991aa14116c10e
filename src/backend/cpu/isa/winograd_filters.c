// Winograd's filters and their gradients, between the network's layout and the points' matrices.
// Compiled for each size of tiles.
#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/isa/product.h"
#include "backend/cpu/isa/winograd_tile.h"
#include "rounding.h"

enum {
    STEPS = 32 // of a thread's piece: its reads follow each other in LANES places, or in one
};

// Columns [first, first + LANES) at steps [from, end): to `u`, where their panel's first point
// begins, the points `stride` values apart.
static void transform_columns(
    const struct fm_winograd_filters *f, int first, int from, int end, float *u, size_t stride)
{
    for (int s = from; s < end; s++) {
        float rows[TAPS][LANES];
        for (int lane = 0; lane < LANES; lane++) {
            int out = f->rotated ? s : first + lane, in = f->rotated ? first + lane : s;
            const float *g = f->values + ((size_t)out * (size_t)f->in_c + (size_t)in) * TAPS;
            float factor = f->scale ? f->scale[out] : 1.0f;
            for (int t = 0; t < TAPS; t++) {
                float tap = g[f->rotated ? TAPS - 1 - t : t] * factor;
                rows[t][lane] = f->element == FM_ELEMENT_BF16 ? fm_round_bf16(tap) : tap;
            }
        }
        vec g[TAPS], points[TILE_POINTS];
        for (int t = 0; t < TAPS; t++)
            g[t] = vec_load(rows[t]);
        filter_tile(g, points);
        scatter_points(points, u + (size_t)(s * PANEL) + (size_t)(first % PANEL), stride);
    }
}

static int steps_of(const struct fm_winograd_filters *f)
{
    return f->rotated ? f->out_c : f->in_c;
}

// U[point][panel][step][PANEL]: what the products of a block take panel by panel.
void FM_TILED(FM_KERNEL(winograd_transform), FM_TILE)(const struct fm_winograd_filters *f, float *u)
{
    int steps = steps_of(f), columns = f->rotated ? f->in_c : f->out_c;
    size_t matrix = (size_t)steps * (size_t)columns;
#pragma omp parallel for collapse(2) schedule(static)
    for (int first = 0; first < columns; first += LANES)
        for (int from = 0; from < steps; from += STEPS)
            transform_columns(f, first, from, from + STEPS < steps ? from + STEPS : steps,
                u + (size_t)(first / PANEL) * (size_t)(steps * PANEL), matrix);
}

void FM_TILED(FM_KERNEL(winograd_transform_panel), FM_TILE)(
    const struct fm_winograd_filters *f, int panel, float *u)
{
    int steps = steps_of(f);
    for (int first = panel * PANEL; first < (panel + 1) * PANEL; first += LANES)
        transform_columns(f, first, 0, steps, u, panel_stride(steps));
}

void FM_TILED(FM_KERNEL(winograd_filter_gradients), FM_TILE)(
    const struct fm_winograd *w, const float *du, float *dw)
{
    int in_c = w->in.c, out_c = w->out.c;
    size_t matrix = (size_t)in_c * (size_t)out_c;
#pragma omp parallel for schedule(static) num_threads(w->threads)
    for (int first = 0; first < out_c; first += LANES)
        for (int in = 0; in < in_c; in++) {
            vec points[TILE_POINTS], g[TAPS];
            gather_points(du + (size_t)in * (size_t)out_c + (size_t)first, matrix, points);
            filter_gradient_tile(points, g);
            float rows[TAPS][LANES];
            for (int t = 0; t < TAPS; t++)
                vec_store(rows[t], g[t]);
            for (int lane = 0; lane < LANES; lane++) {
                float *to = dw + ((size_t)(first + lane) * (size_t)in_c + (size_t)in) * TAPS;
                for (int t = 0; t < TAPS; t++)
                    to[t] = rows[t][lane];
            }
        }
}
