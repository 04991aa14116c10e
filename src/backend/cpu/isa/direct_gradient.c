// The gradient of the filters and bias of a 3x3 convolution of few input channels, a network's
// first, in fp32. It is bound by reading the output's gradient, once for each input channel.
//
// LANES channels at a time go over an image, with a sum a tap in as many registers. Sums are made
// per image and added in the order of the images, whatever the number of threads.
#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/isa/vector.h"
#include "base/round.h"

#include <omp.h>
#include <string.h>

enum {
    SIDE = FM_DIRECT_SIDE,
    TAPS = FM_DIRECT_TAPS,
};

// An input channel with its padding.
static size_t padded_bytes(const struct fm_direct *d)
{
    size_t rows = (size_t)(d->out.h + SIDE - 1);
    return fm_round_up(rows * (size_t)fm_direct_row_pixels(d) * sizeof(float), LINE_BYTES);
}

// [in channel][TAPS][out channel], and the bias's [out channel]
static size_t image_values(const struct fm_direct *d)
{
    return (size_t)(d->in.c * TAPS + 1) * (size_t)d->out.c;
}

size_t FM_KERNEL(direct_gradient_scratch)(const struct fm_direct *d)
{
    return (size_t)d->threads * padded_bytes(d) +
           (size_t)d->out.n * image_values(d) * sizeof(float);
}

static void read_channel(
    const struct fm_direct *d, const float *x, int image, int channel, float *restrict padded)
{
    const struct fm_view *v = &d->in;
    const float *from = x + fm_view_at(v, image, channel);
    memset(padded, 0, padded_bytes(d));
    for (int y = 0; y < v->h; y++) {
        float *row = padded + (y + d->padding) * fm_direct_row_pixels(d) + d->padding;
        for (int i = 0; i < v->w; i++, from += v->block)
            row[i] = *from;
    }
}

// What passes the ReLU behind the convolution, where there is one.
static inline vec read_gradient(const float *dy, const float *gate)
{
    vec gradient = vec_load(dy);
    return gate ? (vec)((vec_mask)gradient & (vec_load(gate) > 0.0f)) : gradient;
}

// LANES output channels by one input channel: sums[tap][out channel]; of the bias where wanted.
static inline __attribute__((always_inline)) void sum_taps(const struct fm_direct *d,
    const float *padded, const float *dy, const float *gate, float *sums, float *bias)
{
    const struct fm_view *v = &d->out;
    vec taps[TAPS] = {{0}}, all = {0};
    for (int y = 0; y < v->h; y++) {
        const float *from = padded + y * fm_direct_row_pixels(d);
        for (int x = 0; x < v->w; x++, from++, dy += v->block) {
            vec gradient = read_gradient(dy, gate);
            if (gate)
                gate += v->block;
#pragma GCC unroll 3
            for (int r = 0; r < SIDE; r++)
#pragma GCC unroll 3
                for (int k = 0; k < SIDE; k++)
                    taps[r * SIDE + k] += from[r * fm_direct_row_pixels(d) + k] * gradient;
            all += gradient;
        }
    }
#pragma GCC unroll 9
    for (int t = 0; t < TAPS; t++)
        vec_store(sums + t * v->c, taps[t]);
    if (bias)
        vec_store(bias, all);
}

static void sum_image(const struct fm_direct *d, const struct fm_direct_gradient *g, int image,
    float *padded, float *sums)
{
    const struct fm_view *v = &d->out;
    float *bias = sums + d->in.c * TAPS * v->c;
    for (int in = 0; in < d->in.c; in++) {
        read_channel(d, g->x, image, in, padded);
        for (int c = 0; c < v->c; c += LANES) {
            size_t at = fm_view_at(v, image, c);
            const float *dy = g->dy + at;
            float *to = sums + in * TAPS * v->c + c, *all = in == 0 ? bias + c : NULL;
            if (g->gate) // two loops, so that neither asks again for each pixel
                sum_taps(d, padded, dy, g->gate + at, to, all);
            else
                sum_taps(d, padded, dy, NULL, to, all);
        }
    }
}

// LANES output channels of a tap, or of the bias behind the last, in the order of the images.
static void add_up_images(const struct fm_direct *d, const float *sums, int tap, int channel,
    const struct fm_direct_gradient *g)
{
    int taps = d->in.c * TAPS;
    double all[LANES] = {0};
    for (int n = 0; n < d->out.n; n++, sums += image_values(d))
        for (int k = 0; k < LANES; k++)
            all[k] += (double)sums[k];
    for (int k = 0; k < LANES; k++)
        if (tap < taps)
            g->dw[(channel + k) * taps + tap] = (float)all[k];
        else if (g->db)
            g->db[channel + k] = (float)all[k];
}

void FM_KERNEL(direct_gradient)(
    const struct fm_direct *d, const struct fm_direct_gradient *g, void *scratch)
{
    size_t each = image_values(d);
    const int taps = d->in.c * TAPS;
    float *sums = (float *)(void *)((char *)scratch + (size_t)d->threads * padded_bytes(d));
#pragma omp parallel num_threads(d->threads)
    {
        char *own = (char *)scratch + (size_t)omp_get_thread_num() * padded_bytes(d);
#pragma omp for schedule(static)
        for (int n = 0; n < d->out.n; n++)
            sum_image(d, g, n, (float *)(void *)own, sums + (size_t)n * each);
#pragma omp for schedule(static)
        for (int t = 0; t <= taps; t++)
            for (int c = 0; c < d->out.c; c += LANES)
                add_up_images(d, sums + t * d->out.c + c, t, c, g);
    }
}
