// The first kernel of every step: from the records to the network's input in one pass.
#include "backend/cpu/isa/element.h"

#include <string.h>

// One augmented image, [rows][cols].
static void augment_image(const struct fm_input_work *work, int image, uint8_t *pixels)
{
    const struct fm_input *input = work->input;
    int rows = input->rows, cols = input->cols;
    const uint8_t *record = work->records + (size_t)image * (size_t)(rows * cols);
    if (!work->augment && !work->mirror) {
        memcpy(pixels, record, (size_t)(rows * cols));
        return;
    }
    struct fm_augment_plan plan = {.flip = work->mirror};
    if (work->augment)
        plan = fm_augment_draw(work->seed, work->epoch, work->ids[image], &work->ranges);
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < cols; x++)
            pixels[y * cols + x] = fm_augmented_pixel(record, rows, cols, plan, y, x);
}

static struct fm_mix_plan mix_of(const struct fm_input_work *work, int sample)
{
    return fm_mix_draw(work->seed, work->epoch, work->ids[sample], &work->mix);
}

static int mix_other(const struct fm_input_work *work, int sample)
{
    return (int)fm_mix_other((uint32_t)sample, (uint32_t)work->count);
}

// One augmented image, mixed with the next of the batch if its draws say so.
static void mixed_image(const struct fm_input_work *work, int image, float *restrict pixels)
{
    int rows = work->input->rows, cols = work->input->cols;
    uint8_t own[FM_RECORD_MAX], other[FM_RECORD_MAX];
    augment_image(work, image, own);
    for (int i = 0; i < rows * cols; i++)
        pixels[i] = (float)own[i];
    struct fm_mix_plan mix = mix_of(work, image);
    if (mix.weight == 0.0f)
        return;
    augment_image(work, mix_other(work, image), other);
    for (int y = 0, i = 0; y < rows; y++)
        for (int x = 0; x < cols; x++, i++)
            pixels[i] = fm_mixed_pixel(pixels[i], (float)other[i], &mix, y, x);
}

static void normalise_plane(
    const float *pixels, int count, float scale, float offset, float *restrict out)
{
    for (int i = 0; i < count; i++)
        out[i] = fm_normalise(pixels[i], scale, offset);
}

static void store_plane(const float *plane, int count, element *restrict out)
{
    for (int i = 0; i < count; i++)
        out[i] = store(plane[i]);
}

static void resize_plane(const struct fm_input *input, const float *plane, element *restrict out)
{
    for (int y = 0; y < input->shape.h; y++) {
        struct fm_bilinear v = fm_bilinear_at(y, input->shape.h, input->rows);
        const float *lower = plane + v.lower * input->cols, *upper = plane + v.upper * input->cols;
        for (int x = 0; x < input->shape.w; x++) {
            struct fm_bilinear h = fm_bilinear_at(x, input->shape.w, input->cols);
            float above = fm_lerp(lower[h.lower], lower[h.upper], h.weight);
            float below = fm_lerp(upper[h.lower], upper[h.upper], h.weight);
            out[y * input->shape.w + x] = store(fm_lerp(above, below, v.weight));
        }
    }
}

static void load_features(const struct fm_input_work *work, int sample, float *record)
{
    size_t size = (size_t)work->input->features * sizeof *record;
    memcpy(record, work->records + (size_t)sample * size, size);
}

static void store_features(const struct fm_input_work *work, element *restrict out)
{
    int features = work->input->features;
    for (int i = 0; i < work->count; i++) {
        float own[FM_RECORD_MAX / sizeof(float)], other[FM_RECORD_MAX / sizeof(float)];
        load_features(work, i, own);
        float weight = mix_of(work, i).weight;
        if (weight > 0.0f) {
            load_features(work, mix_other(work, i), other);
            for (int k = 0; k < features; k++)
                own[k] = fm_lerp(own[k], other[k], weight);
        }
        store_plane(own, features, out + (size_t)i * (size_t)features);
    }
}

static void store_images(const struct fm_input_work *work, element *out)
{
    const struct fm_input *input = work->input;
    int record = input->rows * input->cols;
    bool same_size = input->shape.h == input->rows && input->shape.w == input->cols;
    size_t plane = (size_t)input->shape.h * (size_t)input->shape.w;
    size_t image_size = plane * (size_t)input->shape.c;
#pragma omp parallel for schedule(static) if (work->count > 1)
    for (int i = 0; i < work->count; i++) {
        float pixels[FM_RECORD_MAX], normalised[FM_RECORD_MAX];
        mixed_image(work, i, pixels);
        for (int c = 0; c < input->shape.c; c++) {
            element *to = out + (size_t)i * image_size + (size_t)c * plane;
            float deviation = input->standardise ? input->deviation[c] : 1.0f;
            float mean = input->standardise ? input->mean[c] : 0.0f;
            float scale = 1.0f / (255.0f * deviation), offset = -mean / deviation;
            normalise_plane(pixels, record, scale, offset, normalised);
            if (same_size)
                store_plane(normalised, record, to);
            else
                resize_plane(input, normalised, to);
        }
    }
}

void FM_ELEMENT_KERNEL(input)(const struct fm_input_work *work, void *out)
{
    if (work->input->features > 0)
        store_features(work, out);
    else
        store_images(work, out);
}
