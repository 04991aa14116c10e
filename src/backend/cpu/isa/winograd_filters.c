// Winograd's filters and their gradients, between the network's layout and the points' matrices.
// Compiled for each size of tiles.
#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/isa/product.h"
#include "backend/cpu/isa/winograd_tile.h"
#include "rounding.h"

enum {
    STEPS = 32 // of a thread's piece: its reads follow each other in LANES places, or in one
};

// U[point][panel][step][PANEL]: what the products of a block take panel by panel.
void FM_TILED(FM_KERNEL(winograd_transform), FM_TILE)(int out_c, int in_c, const float *w,
    const float *scale, enum fm_element element, bool rotated, float *u)
{
    int steps = rotated ? out_c : in_c, columns = rotated ? in_c : out_c;
    size_t matrix = (size_t)steps * (size_t)columns;
#pragma omp parallel for collapse(2) schedule(static)
    for (int first = 0; first < columns; first += LANES)
        for (int from = 0; from < steps; from += STEPS)
            for (int s = from; s < steps && s < from + STEPS; s++) {
                float rows[TAPS][LANES];
                for (int lane = 0; lane < LANES; lane++) {
                    int out = rotated ? s : first + lane, in = rotated ? first + lane : s;
                    const float *g = w + ((size_t)out * (size_t)in_c + (size_t)in) * TAPS;
                    float factor = scale ? scale[out] : 1.0f;
                    for (int f = 0; f < TAPS; f++) {
                        float tap = g[rotated ? TAPS - 1 - f : f] * factor;
                        rows[f][lane] = element == FM_ELEMENT_BF16 ? fm_round_bf16(tap) : tap;
                    }
                }
                vec g[TAPS], points[TILE_POINTS];
                for (int f = 0; f < TAPS; f++)
                    g[f] = vec_load(rows[f]);
                filter_tile(g, points);
                size_t at = (size_t)(first / PANEL) * (size_t)(steps * PANEL) +
                            (size_t)(s * PANEL) + (size_t)(first % PANEL);
                scatter_points(points, u + at, matrix);
            }
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
            for (int f = 0; f < TAPS; f++)
                vec_store(rows[f], g[f]);
            for (int lane = 0; lane < LANES; lane++) {
                float *to = dw + ((size_t)(first + lane) * (size_t)in_c + (size_t)in) * TAPS;
                for (int f = 0; f < TAPS; f++)
                    to[f] = rows[f][lane];
            }
        }
}
