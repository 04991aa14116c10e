// Winograd's filters, from the network's layout to the points' matrices. Compiled for each size of
// tiles.
#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/isa/product.h"
#include "backend/cpu/isa/winograd_tile.h"
#include "rounding.h"

// U[point][panel][step][PANEL]: what the products of a block take panel by panel.
void FM_TILED(FM_KERNEL(winograd_transform), FM_TILE)(int out_c, int in_c, const float *w,
    const float *scale, enum fm_element element, bool rotated, float *u)
{
    int steps = rotated ? out_c : in_c, columns = rotated ? in_c : out_c;
    size_t matrix = (size_t)steps * (size_t)columns;
#pragma omp parallel for schedule(static)
    for (int s = 0; s < steps; s++)
        for (int first = 0; first < columns; first += LANES) {
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
            size_t at = (size_t)(first / PANEL) * (size_t)(steps * PANEL) + (size_t)(s * PANEL) +
                        (size_t)(first % PANEL);
            scatter_points(points, u + at, matrix);
        }
}
