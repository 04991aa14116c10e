// The end of the filters' gradient: from the points' matrices to the network's layout.
#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/isa/winograd_tile.h"

void FM_KERNEL(winograd_filter_gradients)(const struct fm_winograd *w, const float *du, float *dw)
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
