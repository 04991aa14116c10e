// Kernels that work element by element or window by window, each alone, against plain loops that
// use the arithmetic shared with the CPU: the same bits are expected, for odd sizes, ties, NaN and
// Inf.
#include "cuda/rig.h"
#include "mix.h"

#include "dropout.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    TYPES = 3
};

static const enum rig_fill fills[] = {RIG_RANDOM, RIG_TIES, RIG_SPECIAL};
static const char *const fill_names[] = {"unset", "random", "ties", "special"};

// ---- input

struct input_case {
    int rows, cols, height, width, channels, images, present;
    bool augment, mirror, gather;
    float mix, cut;
};

static const struct input_case input_cases[] = {
    {28, 28, 28, 28, 1, 5, 5, true, false, false, 0.0f, 0.0f},
    {28, 28, 28, 28, 1, 3, 2, false, true, false, 0.0f, 0.0f},
    {28, 28, 28, 28, 1, 4, 4, true, false, true, 0.0f, 0.0f},
    {28, 28, 32, 32, 3, 3, 3, true, false, false, 0.0f, 0.0f},
    {28, 28, 32, 32, 3, 2, 1, false, false, true, 0.0f, 0.0f},
    {28, 28, 48, 48, 3, 2, 2, true, false, true, 0.0f, 0.0f},
    {28, 28, 64, 64, 3, 2, 2, true, false, false, 0.0f, 0.0f},
    {7, 5, 9, 8, 2, 3, 3, true, false, false, 0.0f, 0.0f},
    {7, 5, 7, 5, 3, 2, 2, false, true, false, 0.0f, 0.0f},
    {1, 1, 1, 1, 1, 2, 2, true, false, false, 0.0f, 0.0f},
    {32, 32, 32, 32, 1, 1, 1, true, false, false, 0.0f, 0.0f},
    {32, 32, 32, 32, 1, 4, 4, true, false, true, 1.0f, 0.5f},
    {28, 28, 28, 40, 1, 2, 2, true, false, false, 0.0f, 0.0f},
    {28, 28, 48, 28, 3, 4, 3, true, false, true, 0.7f, 0.5f},
    {9, 9, 5, 4, 1, 2, 2, true, false, false, 0.0f, 0.0f},
    {28, 28, 28, 28, 1, 6, 6, true, false, false, 0.6f, 0.0f},
    {28, 28, 28, 28, 1, 6, 4, true, false, true, 0.6f, 0.0f},
    {28, 28, 32, 32, 3, 5, 5, true, false, true, 0.6f, 0.0f},
    {7, 5, 9, 8, 2, 4, 4, false, false, false, 1.0f, 0.0f},
    {7, 5, 7, 5, 1, 1, 1, true, false, false, 1.0f, 0.0f},
    {28, 28, 28, 28, 1, 7, 7, true, false, true, 1.0f, 1.0f},
    {28, 28, 32, 32, 3, 6, 5, true, false, false, 0.8f, 0.5f},
    {7, 5, 9, 8, 2, 8, 8, false, true, false, 1.0f, 1.0f},
    {5, 1, 5, 1, 1, 8, 8, true, false, false, 1.0f, 1.0f},
    {1, 1, 1, 1, 1, 3, 3, true, false, false, 1.0f, 1.0f},
};

// An image and the one that follows it, whose weight is 0 where they are not mixed.
struct pair {
    const uint8_t *records[2];
    struct fm_augment_plan plans[2];
    struct fm_mix_plan mix;
};

static float input_pixel(
    const struct fm_cuda_input *w, const struct pair *pair, int y, int x, int c)
{
    float pixels[2];
    for (int i = 0; i < 2; i++)
        pixels[i] = fm_augmented_pixel(
            pair->records[i], w->ranges.rows, w->ranges.cols, pair->plans[i], y, x);
    float mixed = fm_mixed_pixel(pixels[0], pixels[1], &pair->mix, y, x);
    return fm_normalise(mixed, w->scale[c], w->offset[c]);
}

static float input_expected(
    const struct fm_cuda_input *w, const struct pair *pair, int y, int x, int c)
{
    if (w->height == w->ranges.rows && w->width == w->ranges.cols)
        return input_pixel(w, pair, y, x, c);
    struct fm_bilinear v = fm_bilinear_at(y, w->height, w->ranges.rows);
    struct fm_bilinear h = fm_bilinear_at(x, w->width, w->ranges.cols);
    float above = fm_lerp(input_pixel(w, pair, v.lower, h.lower, c),
        input_pixel(w, pair, v.lower, h.upper, c), h.weight);
    float below = fm_lerp(input_pixel(w, pair, v.upper, h.lower, c),
        input_pixel(w, pair, v.upper, h.upper, c), h.weight);
    return fm_lerp(above, below, v.weight);
}

static void expect_input(const struct fm_cuda_input *w, const struct fm_step *step,
    const uint8_t *records, const uint32_t *ids, float *out)
{
    size_t bytes = (size_t)(w->ranges.rows * w->ranges.cols);
    for (int n = 0; n < w->images; n++) {
        struct pair pair = {.mix = fm_mix_draw(step->seed, step->epoch, ids[n], &w->mix)};
        for (int i = 0; i < 2; i++) {
            uint32_t place = (uint32_t)(n + i) % step->count;
            pair.plans[i] = (struct fm_augment_plan){.flip = !w->augment && w->mirror};
            if (w->augment)
                pair.plans[i] = fm_augment_draw(step->seed, step->epoch, ids[place], &w->ranges);
            pair.records[i] = records + (w->gather ? ids[place] : place) * bytes;
        }
        for (int y = 0; y < w->height; y++)
            for (int x = 0; x < w->width; x++)
                for (int c = 0; c < w->channels; c++)
                    *out++ = (uint32_t)n < step->count ? input_expected(w, &pair, y, x, c) : 0.0f;
    }
}

enum {
    RECORDS = 11 // of the data set that is gathered from
};

static void run_input(void *context)
{
    rig_launched("input", fm_launch_input(context, rig_stream()));
}

static void check_input(const struct input_case *it, enum fm_cuda_type type)
{
    rig_case("input %s %dx%d to %dx%dx%d, %d of %d images, augment %d mirror %d gather %d mix %g "
             "cut %g",
        rig_type_name(type), it->rows, it->cols, it->height, it->width, it->channels, it->present,
        it->images, it->augment, it->mirror, it->gather, (double)it->mix, (double)it->cut);
    size_t bytes = (size_t)(it->rows * it->cols * RECORDS);
    uint8_t *records = rig_host(bytes);
    for (size_t i = 0; i < bytes; i++)
        records[i] = (uint8_t)rig_random();
    uint32_t ids[8];
    // Where an image is not there nobody may look for its record.
    for (int i = 0; i < it->images; i++)
        ids[i] = i < it->present ? rig_random() % RECORDS : UINT32_MAX;
    struct fm_step step = {.seed = 77, .epoch = 3, .count = (uint32_t)it->present};
    struct rig_tensor out = rig_tensor(
        type, (size_t)(it->images * it->height * it->width * it->channels), RIG_UNSET);
    struct fm_cuda_input work = {
        .type = type,
        .records = rig_device(records, bytes),
        .ids = rig_device(ids, (size_t)it->images * sizeof *ids),
        .step = rig_device(&step, sizeof step),
        .out = out.device,
        .images = it->images,
        .height = it->height,
        .width = it->width,
        .channels = it->channels,
        .gather = it->gather,
        .augment = it->augment,
        .mirror = it->mirror,
        .ranges = {.shift = 2,
            .flip = 1,
            .rows = it->rows,
            .cols = it->cols,
            .erase_threshold = fm_draw_threshold(0.5f),
            .erase_size = 4},
        .mix = fm_mix_ranges_of(it->mix, it->cut, it->rows, it->cols),
        .scale = {0.011f, 0.013f, 0.017f},
        .offset = {-0.8f, 0.1f, 0.3f},
    };
    float *expected = rig_host(out.count * sizeof *expected);
    expect_input(&work, &step, records, ids, expected);
    struct rig_tensor *found[] = {&out};
    rig_orders(run_input, &work, found, 1);
    rig_same("out", &out, expected);
}

static void test_input(void **state)
{
    (void)state;
    for (int type = 0; type < TYPES; type++)
        for (size_t i = 0; i < sizeof input_cases / sizeof input_cases[0]; i++)
            check_input(&input_cases[i], (enum fm_cuda_type)type);
}

static void test_input_refuses(void **state)
{
    (void)state;
    rig_case("input");
    uint8_t *memory = rig_device(NULL, 65536);
    struct fm_cuda_input work = {
        .records = memory,
        .ids = (uint32_t *)(void *)memory,
        .step = (struct fm_step *)(void *)memory,
        .out = memory + 32768,
        .images = 1,
        .height = 8,
        .width = 8,
        .channels = 1,
        .ranges = {.rows = 8, .cols = 8},
        .mix = {.rows = 8, .cols = 8},
    };
    struct fm_cuda_input bad = work;
    bad.ranges.rows = bad.mix.rows = 129;
    rig_refused("a record of 1,032 bytes", fm_launch_input(&bad, rig_stream()));
    bad = work;
    bad.channels = 4;
    rig_refused("4 channels", fm_launch_input(&bad, rig_stream()));
    bad = work;
    bad.out = memory + 32768 + 2;
    rig_refused("a misaligned output", fm_launch_input(&bad, rig_stream()));
    bad = work;
    bad.mix.cols = 7;
    rig_refused("a mix of images of another size", fm_launch_input(&bad, rig_stream()));
    bad = work;
    bad.step = NULL;
    rig_refused("no step", fm_launch_input(&bad, rig_stream()));
    bad = work;
    bad.type = (enum fm_cuda_type)7;
    rig_refused("an unknown type", fm_launch_input(&bad, rig_stream()));
}

// ---- features

struct features_case {
    int count, samples, present;
    bool gather;
    float mix;
};

// The last is of more than a block's threads take at once.
static const struct features_case features_cases[] = {{512, 5, 5, false, 0.0f},
    {512, 3, 2, true, 0.0f}, {8, 1, 1, false, 0.0f}, {8, 4, 3, true, 0.0f}, {13, 3, 2, false, 0.0f},
    {13, 4, 4, true, 0.0f}, {1, 2, 1, true, 0.0f}, {512, 7, 7, false, 0.6f}, {13, 7, 5, true, 0.6f},
    {4104, 2, 2, true, 0.0f}};

static void run_features(void *context)
{
    rig_launched("features", fm_launch_features(context, rig_stream()));
}

static void expect_features(const struct fm_cuda_features *w, const float *records,
    const uint32_t *ids, const struct fm_step *step, float *out)
{
    for (uint32_t n = 0; n < (uint32_t)w->samples; n++) {
        uint32_t own = n < step->count ? n : 0, next = (own + 1) % step->count;
        const float *a = records + (w->gather ? ids[own] : own) * (uint32_t)w->count;
        const float *b = records + (w->gather ? ids[next] : next) * (uint32_t)w->count;
        float weight = fm_mix_draw(step->seed, step->epoch, ids[own], &w->mix).weight;
        for (int i = 0; i < w->count; i++) {
            float value = weight > 0.0f ? fm_lerp(a[i], b[i], weight) : a[i];
            *out++ = n < step->count ? value : 0.0f;
        }
    }
}

static void check_features(
    const struct features_case *it, enum fm_cuda_type type, enum rig_fill fill)
{
    rig_case("features %s %d, %s values, %d of %d samples, gather %d, mix %g", rig_type_name(type),
        it->count, fill_names[fill], it->present, it->samples, it->gather, (double)it->mix);
    struct rig_tensor records = rig_tensor(FM_CUDA_F32, (size_t)(it->count * RECORDS), fill);
    // Where a sample is not there nobody may look for its record.
    uint32_t ids[8];
    for (int i = 0; i < it->samples; i++)
        ids[i] = i < it->present ? rig_random() % RECORDS : UINT32_MAX;
    struct fm_step step = {.seed = 78, .epoch = 3, .count = (uint32_t)it->present};
    struct rig_tensor out = rig_tensor(type, (size_t)(it->samples * it->count), RIG_UNSET);
    struct fm_cuda_features work = {.type = type,
        .records = records.device,
        .ids = rig_device(ids, (size_t)it->samples * sizeof *ids),
        .step = rig_device(&step, sizeof step),
        .out = out.device,
        .samples = it->samples,
        .count = it->count,
        .gather = it->gather,
        .mix = fm_mix_ranges_of(it->mix, 0.0f, 0, 0)};
    float *expected = rig_host(out.count * sizeof *expected);
    expect_features(&work, records.values, ids, &step, expected);
    struct rig_tensor *found[] = {&out};
    rig_orders(run_features, &work, found, 1);
    rig_same("out", &out, expected);
}

static void test_features(void **state)
{
    (void)state;
    for (int type = 0; type < TYPES; type++)
        for (size_t i = 0; i < sizeof features_cases / sizeof features_cases[0]; i++)
            for (size_t fill = 0; fill < sizeof fills / sizeof fills[0]; fill++)
                check_features(&features_cases[i], (enum fm_cuda_type)type, fills[fill]);
}

static void test_features_refuses(void **state)
{
    (void)state;
    rig_case("features");
    uint8_t *memory = rig_device(NULL, 4096);
    const struct fm_cuda_features work = {.records = (float *)(void *)memory,
        .ids = (uint32_t *)(void *)memory,
        .step = (struct fm_step *)(void *)memory,
        .out = memory + 2048,
        .samples = 1,
        .count = 8};
    struct fm_cuda_features bad = work;
    bad.records = (float *)(void *)(memory + 4);
    rig_refused("misaligned records", fm_launch_features(&bad, rig_stream()));
    bad = work;
    bad.out = memory + 2048 + 2;
    rig_refused("a misaligned output", fm_launch_features(&bad, rig_stream()));
    bad = work;
    bad.ids = NULL;
    rig_refused("no ids", fm_launch_features(&bad, rig_stream()));
    bad = work;
    bad.step = NULL;
    rig_refused("no step", fm_launch_features(&bad, rig_stream()));
    bad = work;
    bad.mix.cut_threshold = 1;
    rig_refused("features that are cut", fm_launch_features(&bad, rig_stream()));
    bad = work;
    bad.count = 0;
    rig_refused("no features", fm_launch_features(&bad, rig_stream()));
    bad = work;
    bad.samples = 0;
    rig_refused("no samples", fm_launch_features(&bad, rig_stream()));
    bad = work;
    bad.type = (enum fm_cuda_type)7;
    rig_refused("an unknown type", fm_launch_features(&bad, rig_stream()));
}

// ---- max-pool

static const int pool_shapes[][4] = { // images, height, width, channels
    {2, 4, 4, 8}, {3, 5, 7, 16}, {2, 7, 4, 3}, {1, 2, 2, 1}, {1, 3, 3, 10}, {2, 24, 24, 32},
    {1, 9, 2, 64}};

static bool beats(float b, float a)
{
    return b > a || b != b;
}

struct pool {
    struct fm_cuda_maxpool work;
    bool backward;
};

static void run_maxpool(void *context)
{
    struct pool *p = context;
    rig_launched("maxpool", p->backward ? fm_launch_maxpool_backward(&p->work, rig_stream())
                                        : fm_launch_maxpool_forward(&p->work, rig_stream()));
}

static void expect_maxpool(const int *shape, const float *x, float *y, uint8_t *index)
{
    int h = shape[1], w = shape[2], c = shape[3];
    for (int n = 0; n < shape[0]; n++)
        for (int oy = 0; oy < h / 2; oy++)
            for (int ox = 0; ox < w / 2; ox++)
                for (int k = 0; k < c; k++, y++, index++)
                    for (int i = 0; i < 4; i++) {
                        int at = (n * h + 2 * oy + i / 2) * w + 2 * ox + i % 2;
                        float value = x[at * c + k];
                        if (i == 0 || beats(value, *y)) {
                            *y = value;
                            *index = (uint8_t)i;
                        }
                    }
}

static void expect_maxpool_backward(const int *shape, const float *dy, const float *gate,
    float scale, const uint8_t *index, float *dx)
{
    int h = shape[1], w = shape[2], c = shape[3];
    memset(dx, 0, (size_t)(shape[0] * h * w * c) * sizeof *dx);
    for (int n = 0; n < shape[0]; n++)
        for (int oy = 0; oy < h / 2; oy++)
            for (int ox = 0; ox < w / 2; ox++)
                for (int k = 0; k < c; k++, dy++, index++) {
                    int at = (n * h + 2 * oy + *index / 2) * w + 2 * ox + *index % 2;
                    dx[at * c + k] = !gate || *gate > 0.0f ? *dy * scale : 0.0f;
                    gate = gate ? gate + 1 : NULL;
                }
}

// Inference wants no index.
static void check_maxpool_inference(
    struct fm_cuda_maxpool work, struct rig_tensor *y, const float *expected)
{
    work.index = NULL;
    rig_launched("maxpool", fm_launch_maxpool_forward(&work, rig_stream()));
    rig_read(y);
    rig_same("y without an index", y, expected);
}

static void check_maxpool(const int *shape, enum fm_cuda_type type, enum rig_fill fill)
{
    size_t in = (size_t)(shape[0] * shape[1] * shape[2] * shape[3]);
    size_t out = (size_t)(shape[0] * (shape[1] / 2) * (shape[2] / 2) * shape[3]);
    if (rig_skips(in))
        return;
    rig_case("maxpool %s %s %dx%dx%dx%d", rig_type_name(type), fill_names[fill], shape[0], shape[1],
        shape[2], shape[3]);
    struct rig_tensor x = rig_tensor(type, in, fill), y = rig_tensor(type, out, RIG_UNSET);
    struct rig_tensor dy = rig_tensor(type, out, fill), dx = rig_tensor(type, in, RIG_UNSET);
    float *expected = rig_host(in * sizeof *expected), *pooled = rig_host(out * sizeof *pooled);
    uint8_t *index = rig_host(out), *found_index = rig_host(out);
    expect_maxpool(shape, x.values, pooled, index);
    uint8_t *index_device = rig_device(NULL, out);
    struct pool p = {{.type = type,
                         .images = shape[0],
                         .height = shape[1],
                         .width = shape[2],
                         .channels = shape[3],
                         .x = x.device,
                         .y = y.device,
                         .index = index_device,
                         .dy = dy.device,
                         .gate = y.device,
                         .dx = dx.device},
        false};
    struct rig_tensor *forward[] = {&y}, *backward[] = {&dx};
    rig_orders(run_maxpool, &p, forward, 1);
    rig_same("y", &y, pooled);
    rig_get(index_device, found_index, out);
    rig_check("the index of the largest", memcmp(index, found_index, out) == 0);
    p.backward = true;
    rig_orders(run_maxpool, &p, backward, 1);
    expect_maxpool_backward(shape, dy.values, y.values, 1.0f, index, expected);
    rig_same("gated dx", &dx, expected);
    p.work.dropout_rate = 0.25f;
    run_maxpool(&p);
    rig_read(&dx);
    expect_maxpool_backward(shape, dy.values, y.values, fm_dropout_scale(0.25f), index, expected);
    rig_same("gated dx, in front of a dropout", &dx, expected);
    p.work.dropout_rate = 0.0f;
    p.work.gate = NULL;
    run_maxpool(&p);
    rig_read(&dx);
    expect_maxpool_backward(shape, dy.values, NULL, 1.0f, index, expected);
    rig_same("dx", &dx, expected);
    p.work.dropout_rate = 0.25f;
    rig_refused("a dropout behind and no gate", fm_launch_maxpool_backward(&p.work, rig_stream()));
    p.work.dropout_rate = 1.0f;
    p.work.gate = y.device;
    rig_refused("a rate of 1", fm_launch_maxpool_backward(&p.work, rig_stream()));
    rig_write(&y, dy.values);
    check_maxpool_inference(p.work, &y, pooled);
}

static void test_maxpool(void **state)
{
    (void)state;
    for (int type = 0; type < TYPES; type++)
        for (size_t i = 0; i < sizeof pool_shapes / sizeof pool_shapes[0]; i++)
            for (int fill = rig_is_thorough() ? 0 : 2; fill < 3; fill++)
                check_maxpool(pool_shapes[i], (enum fm_cuda_type)type, fills[fill]);
}

// ---- mean pool

struct mean {
    struct fm_cuda_meanpool work;
    bool backward;
};

static void run_meanpool(void *context)
{
    struct mean *m = context;
    rig_launched("meanpool", m->backward ? fm_launch_meanpool_backward(&m->work, rig_stream())
                                         : fm_launch_meanpool_forward(&m->work, rig_stream()));
}

static void check_meanpool(const int *shape, enum fm_cuda_type type, enum rig_fill fill)
{
    int images = shape[0], pixels = shape[1] * shape[2], channels = shape[3];
    size_t in = (size_t)(images * pixels * channels), out = (size_t)(images * channels);
    float share = 1.0f / (float)pixels;
    if (rig_skips(in))
        return;
    rig_case(
        "meanpool %s %s %dx%dx%d", rig_type_name(type), fill_names[fill], images, pixels, channels);
    struct rig_tensor x = rig_tensor(type, in, fill), y = rig_tensor(type, out, RIG_UNSET);
    struct rig_tensor dy = rig_tensor(type, out, fill), dx = rig_tensor(type, in, RIG_UNSET);
    float *sums = rig_host(out * sizeof *sums), *spread = rig_host(in * sizeof *spread);
    for (int n = 0; n < images; n++)
        for (int i = 0; i < pixels; i++)
            for (int c = 0; c < channels; c++) {
                sums[n * channels + c] += x.values[(n * pixels + i) * channels + c];
                spread[(n * pixels + i) * channels + c] = dy.values[n * channels + c] * share;
            }
    for (size_t i = 0; i < out; i++)
        sums[i] *= share;
    struct mean m = {{type, images, pixels, channels, x.device, y.device}, false};
    struct rig_tensor *forward[] = {&y}, *backward[] = {&dx};
    rig_orders(run_meanpool, &m, forward, 1);
    rig_same("y", &y, sums);
    m.backward = true;
    m.work.from = dy.device;
    m.work.to = dx.device;
    rig_orders(run_meanpool, &m, backward, 1);
    rig_same("dx", &dx, spread);
}

static void test_meanpool(void **state)
{
    (void)state;
    for (int type = 0; type < TYPES; type++)
        for (size_t i = 0; i < sizeof pool_shapes / sizeof pool_shapes[0]; i++)
            for (int fill = rig_is_thorough() ? 0 : 2; fill < 3; fill++)
                check_meanpool(pool_shapes[i], (enum fm_cuda_type)type, fills[fill]);
}

// ---- dropout

static const int dropout_shapes[][3] = { // images, pixels, channels
    {3, 16, 8}, {2, 144, 64}, {2, 9, 32}, {5, 1, 128}, {4, 1, 10}, {3, 7, 5}, {1, 1, 1}, {2, 12, 3},
    {1, 9, 1024}};

struct dropout {
    struct fm_cuda_dropout work;
    struct rig_tensor *x, *dy;
    const float *x_before, *dy_before;
};

// In place, so each run begins with the same values.
static void run_dropout(void *context)
{
    struct dropout *d = context;
    rig_write(d->x, d->x_before);
    rig_write(d->dy, d->dy_before);
    d->work.from = d->x->device;
    d->work.to = d->x->device;
    rig_launched("dropout forward", fm_launch_dropout_forward(&d->work, rig_stream()));
    d->work.from = d->dy->device;
    d->work.to = d->dy->device;
    rig_launched("dropout backward", fm_launch_dropout_backward(&d->work, rig_stream()));
}

static void expect_dropout(const int *shape, const uint32_t *ids, const struct fm_step *step,
    uint32_t stream, float rate, const float *from, float *to, uint8_t *keep)
{
    uint32_t threshold = fm_dropout_threshold(rate);
    for (int n = 0; n < shape[0]; n++)
        for (int i = 0; i < shape[1]; i++)
            for (int c = 0; c < shape[2]; c++) {
                size_t at = (size_t)((n * shape[1] + i) * shape[2] + c);
                uint32_t draw = fm_draw(
                    step->seed, step->epoch, ids[n], stream, (uint32_t)(c * shape[1] + i));
                int keeps = fm_dropout_keeps(draw, threshold);
                to[at] = keeps ? from[at] * fm_dropout_scale(rate) : 0.0f;
                keep[at / 8] |= (uint8_t)(keeps << at % 8);
            }
}

static void check_dropout(const int *shape, enum fm_cuda_type type, float rate)
{
    size_t count = (size_t)(shape[0] * shape[1] * shape[2]), bytes = (count + 7) / 8;
    rig_case("dropout %s %dx%dx%d rate %g", rig_type_name(type), shape[0], shape[1], shape[2],
        (double)rate);
    struct rig_tensor x = rig_tensor(type, count, RIG_SPECIAL);
    struct rig_tensor dy = rig_tensor(type, count, RIG_RANDOM);
    float *before = rig_host(2 * count * sizeof *before);
    memcpy(before, x.values, count * sizeof *before);
    memcpy(before + count, dy.values, count * sizeof *before);
    struct fm_step step = {.seed = 0x123456789abcu, .epoch = 5, .count = (uint32_t)shape[0]};
    uint32_t ids[8] = {4, 0, 59999, 17, 23};
    float *y = rig_host(count * sizeof *y), *dx = rig_host(count * sizeof *dx);
    uint8_t *keep = rig_host(bytes), *again = rig_host(bytes), *found = rig_host(bytes);
    expect_dropout(shape, ids, &step, 17, rate, before, y, keep);
    expect_dropout(shape, ids, &step, 17, rate, before + count, dx, again);
    struct dropout d = {{.type = type,
                            .images = shape[0],
                            .pixels = shape[1],
                            .channels = shape[2],
                            .keep = rig_device(NULL, bytes),
                            .ids = rig_device(ids, (size_t)shape[0] * sizeof *ids),
                            .step = rig_device(&step, sizeof step),
                            .stream = 17,
                            .rate = rate},
        &x, &dy, before, before + count};
    struct rig_tensor *outputs[] = {&x, &dy};
    rig_orders(run_dropout, &d, outputs, 2);
    rig_same("y", &x, y);
    rig_same("dx", &dy, dx);
    rig_get(d.work.keep, found, bytes);
    rig_check("the kept bits", memcmp(found, keep, bytes) == 0);
    d.work.keep = NULL;
    rig_write(&x, before);
    d.work.from = d.work.to = x.device;
    rig_launched("dropout", fm_launch_dropout_forward(&d.work, rig_stream()));
    rig_read(&x);
    rig_same("y without the kept bits", &x, y);
    rig_refused(
        "a gradient without the kept bits", fm_launch_dropout_backward(&d.work, rig_stream()));
}

static void test_dropout(void **state)
{
    (void)state;
    for (int type = 0; type < TYPES; type++)
        for (size_t i = 0; i < sizeof dropout_shapes / sizeof dropout_shapes[0]; i++) {
            check_dropout(dropout_shapes[i], (enum fm_cuda_type)type, 0.5f);
            check_dropout(dropout_shapes[i], (enum fm_cuda_type)type, i % 2 ? 0.25f : 0.0f);
        }
}

// ---- ReLU and bias

static const size_t counts[] = {1, 7, 8, 64, 1023, 4096, 70001};

struct relu {
    struct fm_cuda_relu work;
    bool backward;
};

static void run_relu(void *context)
{
    struct relu *r = context;
    rig_launched("relu", r->backward ? fm_launch_relu_backward(&r->work, rig_stream())
                                     : fm_launch_relu_forward(&r->work, rig_stream()));
}

static void check_relu(size_t count, enum fm_cuda_type type, enum rig_fill fill)
{
    if (rig_skips(count))
        return;
    rig_case("relu %s %s %zu", rig_type_name(type), fill_names[fill], count);
    struct rig_tensor x = rig_tensor(type, count, fill), y = rig_tensor(type, count, RIG_UNSET);
    struct rig_tensor dy = rig_tensor(type, count, fill), dx = rig_tensor(type, count, RIG_UNSET);
    float *expected = rig_host(count * sizeof *expected);
    for (size_t i = 0; i < count; i++)
        expected[i] = x.values[i] < 0.0f ? 0.0f : x.values[i];
    struct relu r = {
        {type, count, x.device, y.device, y.device, dy.device, dx.device, 0.0f}, false};
    struct rig_tensor *forward[] = {&y}, *backward[] = {&dx};
    rig_orders(run_relu, &r, forward, 1);
    rig_same("y", &y, expected);
    for (size_t i = 0; i < count; i++)
        expected[i] = y.values[i] > 0.0f ? dy.values[i] : 0.0f;
    r.backward = true;
    rig_orders(run_relu, &r, backward, 1);
    rig_same("dx", &dx, expected);
    for (size_t i = 0; i < count; i++)
        expected[i] = y.values[i] > 0.0f ? dy.values[i] * fm_dropout_scale(0.25f) : 0.0f;
    r.work.dropout_rate = 0.25f;
    r.work.dx = dy.device;
    run_relu(&r);
    rig_read(&dy);
    rig_same("dx in place, in front of a dropout", &dy, expected);
    r.work.dropout_rate = 1.0f;
    rig_refused("a rate of 1", fm_launch_relu_backward(&r.work, rig_stream()));
}

static void test_relu(void **state)
{
    (void)state;
    for (int type = 0; type < TYPES; type++)
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
            for (int fill = rig_is_thorough() ? 0 : 2; fill < 3; fill++)
                check_relu(counts[i], (enum fm_cuda_type)type, fills[fill]);
}

static void check_bias(int rows, int channels, enum fm_cuda_type type, enum fm_cuda_type bias_type)
{
    size_t count = (size_t)(rows * channels);
    rig_case("bias %s of %s, %dx%d", rig_type_name(bias_type), rig_type_name(type), rows, channels);
    for (int relu = 0; relu < 2; relu++) {
        struct rig_tensor y = rig_tensor(type, count, RIG_SPECIAL);
        struct rig_tensor bias = rig_tensor(bias_type, (size_t)channels, RIG_RANDOM);
        float *expected = rig_host(count * sizeof *expected);
        for (size_t i = 0; i < count; i++) {
            float sum = y.values[i] + bias.values[i % (size_t)channels];
            expected[i] = relu && sum < 0.0f ? 0.0f : sum;
        }
        struct fm_cuda_bias work = {.type = type,
            .rows = rows,
            .channels = channels,
            .bias_type = bias_type,
            .bias = bias.device,
            .y = y.device,
            .relu = relu};
        rig_launched("bias", fm_launch_bias_forward(&work, rig_stream()));
        rig_read(&y);
        rig_same("y", &y, expected);
    }
}

static void test_bias(void **state)
{
    (void)state;
    for (int type = 0; type < TYPES; type++) {
        check_bias(33, 16, (enum fm_cuda_type)type, (enum fm_cuda_type)type);
        check_bias(256, 128, (enum fm_cuda_type)type, FM_CUDA_F32);
        check_bias(5, 10, (enum fm_cuda_type)type, FM_CUDA_F16);
        check_bias(1, 1, (enum fm_cuda_type)type, FM_CUDA_BF16);
    }
}

// ---- conversions

static void check_cast(size_t count, enum fm_cuda_type from_type, enum fm_cuda_type to_type)
{
    if (rig_skips(count))
        return;
    rig_case("cast %s to %s, %zu", rig_type_name(from_type), rig_type_name(to_type), count);
    struct rig_tensor from = rig_tensor(from_type, count, RIG_SPECIAL);
    struct rig_tensor to = rig_tensor(to_type, count, RIG_UNSET);
    struct fm_cuda_cast work = {from_type, to_type, count, from.device, to.device};
    rig_launched("cast", fm_launch_cast(&work, rig_stream()));
    rig_read(&to);
    rig_same("to", &to, from.values);
}

// Halfway cases, subnormals and overflow: what rounding to nearest even decides.
static void test_cast_rounding(void **state)
{
    (void)state;
    static const float values[] = {1.00048828125f, 1.00146484375f, 65504.0f, 65519.9f, 65520.0f,
        1e6f, 5.9604645e-8f, 2.9802322e-8f, 2.9802326e-8f, 6.1e-5f, 1.00390625f, 1.01171875f,
        3.3895314e38f, 3.4e38f, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f};
    size_t count = sizeof values / sizeof values[0];
    for (int type = 1; type < TYPES; type++) {
        rig_case("rounding to %s", rig_type_name((enum fm_cuda_type)type));
        struct rig_tensor from = rig_tensor_of(FM_CUDA_F32, count, values);
        struct rig_tensor to = rig_tensor((enum fm_cuda_type)type, count, RIG_UNSET);
        struct fm_cuda_cast work = {
            FM_CUDA_F32, (enum fm_cuda_type)type, count, from.device, to.device};
        rig_launched("cast", fm_launch_cast(&work, rig_stream()));
        rig_read(&to);
        rig_same("to", &to, values);
    }
}

static void test_cast(void **state)
{
    (void)state;
    for (int from = 0; from < TYPES; from++)
        for (int to = 0; to < TYPES; to++)
            for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
                check_cast(counts[i], (enum fm_cuda_type)from, (enum fm_cuda_type)to);
}

static void run_layout(void *context)
{
    rig_launched("layout", fm_launch_layout(context, rig_stream()));
}

static void check_layout(
    const int *shape, enum fm_cuda_type from_type, enum fm_cuda_type to_type, int outer_to)
{
    int outer = shape[0], rows = shape[1], columns = shape[2];
    size_t matrix = (size_t)(rows * columns);
    rig_case("layout %s to %s %dx%dx%d, %d out", rig_type_name(from_type), rig_type_name(to_type),
        outer, rows, columns, outer_to);
    struct rig_tensor from = rig_tensor(from_type, (size_t)outer * matrix, RIG_RANDOM);
    struct rig_tensor to = rig_tensor(to_type, (size_t)outer_to * matrix, RIG_UNSET);
    float *expected = rig_host(to.count * sizeof *expected);
    for (int o = 0; o < outer_to && o < outer; o++)
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < columns; c++)
                expected[(size_t)o * matrix + (size_t)(c * rows + r)] =
                    from.values[(size_t)o * matrix + (size_t)(r * columns + c)];
    struct fm_cuda_layout work = {
        from_type, to_type, outer, outer_to, rows, columns, from.device, to.device};
    struct rig_tensor *found[] = {&to};
    rig_orders(run_layout, &work, found, 1);
    rig_same("to", &to, expected);
}

static void test_layout(void **state)
{
    (void)state;
    static const int shapes[][3] = {
        {3, 64, 9}, {64, 1, 9}, {10, 65, 33}, {1, 1, 1}, {2, 144, 32}, {16, 128, 1}, {4, 3, 100}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        check_layout(shapes[i], FM_CUDA_F32, FM_CUDA_F32, shapes[i][0]);
        check_layout(shapes[i], FM_CUDA_F16, FM_CUDA_F32, shapes[i][0] + 6);
        check_layout(shapes[i], FM_CUDA_F32, FM_CUDA_BF16, (shapes[i][0] + 1) / 2);
    }
}

// ---- folding

static void check_fold(int outputs, size_t each, enum fm_cuda_type type, bool with_bias)
{
    size_t n = (size_t)outputs;
    rig_case("fold %s %dx%zu, bias %d", rig_type_name(type), outputs, each, with_bias);
    struct rig_tensor weight = rig_tensor(FM_CUDA_F32, n * each, RIG_RANDOM);
    struct rig_tensor bias = rig_tensor(FM_CUDA_F32, n, RIG_RANDOM);
    struct rig_tensor gamma = rig_tensor(FM_CUDA_F32, n, RIG_RANDOM);
    struct rig_tensor beta = rig_tensor(FM_CUDA_F32, n, RIG_RANDOM);
    struct rig_tensor mean = rig_tensor(FM_CUDA_F32, n, RIG_RANDOM);
    struct rig_tensor variance = rig_tensor(FM_CUDA_F32, n, RIG_POSITIVE);
    struct rig_tensor to = rig_tensor(type, n * each, RIG_UNSET);
    struct rig_tensor bias_to = rig_tensor(type, n, RIG_UNSET);
    float *w = rig_host(n * each * sizeof *w), *b = rig_host(n * sizeof *b);
    for (size_t o = 0; o < n; o++) {
        float scale = gamma.values[o] / sqrtf(variance.values[o] + 1e-5f);
        float shift = beta.values[o] - mean.values[o] * scale;
        b[o] = (with_bias ? bias.values[o] : 0.0f) * scale + shift;
        for (size_t i = 0; i < each; i++)
            w[o * each + i] = weight.values[o * each + i] * scale;
    }
    struct fm_cuda_fold work = {.type = type,
        .bias_type = type,
        .outputs = outputs,
        .each = each,
        .weight = weight.device,
        .bias = with_bias ? bias.device : NULL,
        .gamma = gamma.device,
        .beta = beta.device,
        .running_mean = mean.device,
        .running_variance = variance.device,
        .epsilon = 1e-5f,
        .folded_weight = to.device,
        .folded_bias = bias_to.device};
    rig_launched("fold", fm_launch_fold(&work, rig_stream()));
    rig_read(&to);
    rig_read(&bias_to);
    rig_same("weight", &to, w);
    rig_same("bias", &bias_to, b);
}

static void test_fold(void **state)
{
    (void)state;
    for (int type = 0; type < TYPES; type++) {
        check_fold(64, 9, (enum fm_cuda_type)type, false);
        check_fold(16, 576, (enum fm_cuda_type)type, true);
        check_fold(3, 4001, (enum fm_cuda_type)type, true);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, rig_test_end)
    const struct CMUnitTest tests[] = {
        TEST(test_input),
        TEST(test_input_refuses),
        TEST(test_features),
        TEST(test_features_refuses),
        TEST(test_maxpool),
        TEST(test_meanpool),
        TEST(test_dropout),
        TEST(test_relu),
        TEST(test_bias),
        TEST(test_cast_rounding),
        TEST(test_cast),
        TEST(test_layout),
        TEST(test_fold),
    };
    return cmocka_run_group_tests(tests, rig_begin, rig_end);
}
