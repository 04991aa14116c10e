// Dropout's mask, the same whatever the elements are.
#include "backend/cpu/isa/kernels.h"
#include "dropout.h"

// Sixteen Philox calls side by side, so that the compiler keeps them in vector registers.
enum {
    LANES = 16
};

static void keep_bits(const struct fm_dropout_work *work, uint32_t id, uint32_t first_quad,
    uint32_t threshold, uint8_t *restrict keep)
{
    for (int lane = 0; lane < LANES; lane++) {
        struct fm_draws draws = fm_philox(
            work->seed, work->epoch, id, work->stream, first_quad + (uint32_t)lane);
        for (int k = 0; k < 4; k++)
            keep[4 * lane + k] = (uint8_t)fm_dropout_keeps(draws.v[k], threshold);
    }
}

void FM_KERNEL(dropout_mask)(
    const struct fm_view *v, const struct fm_dropout_work *work, uint8_t *mask)
{
    uint32_t threshold = fm_dropout_threshold(work->rate);
    int pixels = v->h * v->w;
    size_t image = (size_t)v->c * (size_t)pixels;
    enum {
        CHUNK = 4 * LANES
    };
#pragma omp parallel for schedule(static)
    for (int n = 0; n < v->n; n++) {
        uint8_t *to = mask + (size_t)n * image;
        int elements = work->channels * pixels;
        uint8_t keep[CHUNK];
        for (int first = 0; first < elements; first += CHUNK) {
            keep_bits(work, work->ids[n], (uint32_t)first / 4, threshold, keep);
            int in_chunk = elements - first < CHUNK ? elements - first : CHUNK;
            // Logical element c * pixels + i lies at [c / block][i][c % block].
            int c = first / pixels, i = first % pixels;
            for (int e = 0; e < in_chunk; e++) {
                to[((size_t)(c / v->block) * (size_t)pixels + (size_t)i) * (size_t)v->block +
                    (size_t)(c % v->block)] = keep[e];
                if (++i == pixels) {
                    i = 0;
                    c++;
                }
            }
        }
    }
}
