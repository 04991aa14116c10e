// A convolution of 3x3 of few input channels by its definition: the first of a network, which has
// so few products that it is bound by what it writes.
//
// Of each row of outputs the input rows that it needs are brought side by side, with their padding;
// then LANES channels at a time go along it, with their weights in as many registers as there are.
// Each output is summed in the order of channels and taps, whatever the number of threads.
#include "backend/cpu/isa/element_vector.h"
#include "base/round.h"

#include <omp.h>
#include <string.h>

enum {
    SIDE = FM_DIRECT_SIDE,
    TAPS = FM_DIRECT_TAPS,
};

static size_t lines_bytes(const struct fm_direct *d)
{
    size_t lines = (size_t)(d->in.c * SIDE);
    return fm_round_up(lines * (size_t)fm_direct_row_pixels(d) * sizeof(float), LINE_BYTES);
}

// [pixel][channel]
static int row_values(const struct fm_direct *d)
{
    return d->out.w * d->out.c;
}

// A row of outputs in fp32, which bf16's are narrowed from at once: faster than vector by vector.
static size_t row_bytes(const struct fm_direct *d)
{
#if defined(FM_ELEMENT_IS_BF16)
    return fm_round_up((size_t)row_values(d) * sizeof(float), LINE_BYTES);
#else
    (void)d;
    return 0;
#endif
}

// What a thread has: lines, then a row.
size_t FM_ELEMENT_KERNEL(direct_scratch)(const struct fm_direct *d)
{
    return (size_t)d->threads * (lines_bytes(d) + row_bytes(d));
}

// The input rows of output row y: lines[channel][SIDE][fm_direct_row_pixels()].
static void read_lines(
    const struct fm_direct *d, const element *x, int image, int y, float *restrict lines)
{
    const struct fm_view *v = &d->in;
    memset(lines, 0, lines_bytes(d));
    for (int c = 0; c < v->c; c++)
        for (int r = 0; r < SIDE; r++) {
            float *line = lines + (c * SIDE + r) * fm_direct_row_pixels(d) + d->padding;
            int row = y - d->padding + r;
            if (row < 0 || row >= v->h)
                continue;
            const element *from = x + fm_view_at(v, image, c) + (size_t)(row * v->w * v->block);
            for (int i = 0; i < v->w; i++)
                line[i] = load(from[i * v->block]);
        }
}

// LANES channels from `channel` on, of a row of outputs.
static inline __attribute__((always_inline)) void convolve_row(const struct fm_direct *d,
    const struct fm_direct_run *run, const float *restrict lines, int channel, const int inputs,
    float *restrict to)
{
    vec weights[FM_DIRECT_INPUTS * TAPS];
#pragma GCC unroll 27
    for (int t = 0; t < inputs * TAPS; t++)
        weights[t] = read_elements((const element *)run->rows + t * d->out.c + channel);
    const vec bias = run->bias ? vec_load(run->bias + channel) : (vec){0};
    const int pixels = fm_direct_row_pixels(d), width = d->out.w, channels = d->out.c;
    const bool relu = run->relu;
    for (int i = 0; i < width; i++) {
        vec sum = {0};
#pragma GCC unroll 9
        for (int line = 0; line < inputs * SIDE; line++)
#pragma GCC unroll 3
            for (int k = 0; k < SIDE; k++)
                sum += lines[line * pixels + i + k] * weights[line * SIDE + k];
        sum += bias;
        vec_store(to + i * channels + channel, relu ? vec_relu(sum) : sum);
    }
}

// With a number of inputs that the compiler knows.
static inline __attribute__((always_inline)) void convolve_channels(const struct fm_direct *d,
    const struct fm_direct_run *run, const float *lines, const int inputs, float *to)
{
    for (int c = 0; c < d->out.c; c += LANES)
        convolve_row(d, run, lines, c, inputs, to);
}

static void convolve(
    const struct fm_direct *d, const struct fm_direct_run *run, const float *lines, float *to)
{
    if (d->in.c == 1)
        convolve_channels(d, run, lines, 1, to);
    else if (d->in.c == 2)
        convolve_channels(d, run, lines, 2, to);
    else
        convolve_channels(d, run, lines, FM_DIRECT_INPUTS, to);
}

void FM_ELEMENT_KERNEL(direct)(
    const struct fm_direct *d, const struct fm_direct_run *run, void *scratch)
{
    const struct fm_view *out = &d->out;
#pragma omp parallel for schedule(static) num_threads(d->threads)
    for (int i = 0; i < out->n * out->h; i++) {
        char *own = (char *)scratch +
                    (size_t)omp_get_thread_num() * (lines_bytes(d) + row_bytes(d));
        float *lines = (float *)(void *)own;
        element *to = (element *)run->y + (size_t)i * (size_t)row_values(d);
        read_lines(d, run->x, i / out->h, i % out->h, lines);
#if defined(FM_ELEMENT_IS_BF16)
        float *row = (float *)(void *)(own + lines_bytes(d));
        convolve(d, run, lines, row);
        for (int k = 0; k < row_values(d); k++)
            to[k] = store(row[k]);
#else
        convolve(d, run, lines, to);
#endif
    }
}
