// Augmentation and normalisation of one pixel: flip, then shift, then erasing, then (u8/255 - mean)
// / deviation. Erasing a rectangle at random: Zhong, Zheng, Kang, Li, Yang 2020, arXiv:1708.04896;
// here with sides drawn in whole pixels, and zeros (the data set's background) in place of noise.
#ifndef FM_KERNELS_AUGMENT_H
#define FM_KERNELS_AUGMENT_H

#include "rectangle.h"

// What is done to one image, decided in integer arithmetic from the sample's draws.
struct fm_augment_plan {
    int dy, dx;                 // the image moves down and right by so many pixels, zeros coming in
    int flip;                   // mirrored left to right first
    struct fm_rectangle erased; // last
};

// How far the draws of an image's plan may go.
struct fm_augment_ranges {
    int shift; // pixels each way
    int flip;  // 0 or 1
    int rows, cols;
    uint64_t erase_threshold; // fm_draw_threshold() of the share that is erased
    int erase_size;           // the longest side
};

// A side of the erased rectangle: evenly from ceil(size / 2) to size, at most the image's.
FM_SHARED_FN int fm_erase_side(uint32_t draw, int size, int limit)
{
    int most = size < limit ? size : limit;
    int least = (size + 1) / 2 < most ? (size + 1) / 2 : most;
    return least + (int)fm_draw_below(draw, (uint32_t)(most - least) + 1u);
}

FM_SHARED_FN void fm_erase_draw(uint64_t seed, uint32_t epoch, uint32_t sample,
    const struct fm_augment_ranges *ranges, struct fm_augment_plan *plan)
{
    struct fm_draws draws = fm_philox(seed, epoch, sample, FM_STREAM_ERASE, 0);
    if (draws.v[0] >= ranges->erase_threshold)
        return;
    int height = fm_erase_side(draws.v[1], ranges->erase_size, ranges->rows);
    int width = fm_erase_side(draws.v[2], ranges->erase_size, ranges->cols);
    plan->erased = fm_rectangle_draw(height, width, ranges->rows, ranges->cols, draws.v[3],
        fm_draw(seed, epoch, sample, FM_STREAM_ERASE, 4));
}

FM_SHARED_FN struct fm_augment_plan fm_augment_draw(
    uint64_t seed, uint32_t epoch, uint32_t sample, const struct fm_augment_ranges *ranges)
{
    struct fm_augment_plan plan = {0, 0, 0, {0, 0, 0, 0}};
    int shift = ranges->shift;
    if (shift > 0) {
        struct fm_draws draws = fm_philox(seed, epoch, sample, FM_STREAM_SHIFT, 0);
        plan.dy = (int)fm_draw_below(draws.v[0], 2u * (uint32_t)shift + 1u) - shift;
        plan.dx = (int)fm_draw_below(draws.v[1], 2u * (uint32_t)shift + 1u) - shift;
    }
    if (ranges->flip)
        plan.flip = (int)(fm_draw(seed, epoch, sample, FM_STREAM_FLIP, 0) >> 31);
    if (ranges->erase_threshold > 0)
        fm_erase_draw(seed, epoch, sample, ranges, &plan);
    return plan;
}

// Pixel (y, x) of the augmented image.
FM_SHARED_FN uint8_t fm_augmented_pixel(
    const uint8_t *record, int rows, int cols, struct fm_augment_plan plan, int y, int x)
{
    int from_y = y - plan.dy, from_x = x - plan.dx;
    if (from_y < 0 || from_y >= rows || from_x < 0 || from_x >= cols)
        return 0;
    if (fm_rectangle_holds(plan.erased, y, x))
        return 0;
    if (plan.flip)
        from_x = cols - 1 - from_x;
    return record[from_y * cols + from_x];
}

// (u8/255 - mean) / deviation as one multiply-add: scale = 1 / (255 deviation),
// offset = -mean / deviation. A pixel is between two of 256 levels where images are mixed (mix.h).
FM_SHARED_FN float fm_normalise(float pixel, float scale, float offset)
{
    return fmaf(pixel, scale, offset);
}

// Bilinear resize with half-pixel centres: where output coordinate `to` of `to_size` lies between
// the inputs `lower` and `upper` of `from_size`, as PyTorch's interpolate(align_corners=False).
struct fm_bilinear {
    int lower, upper;
    float weight; // of upper
};

FM_SHARED_FN struct fm_bilinear fm_bilinear_at(int to, int to_size, int from_size)
{
    float centre = ((float)to + 0.5f) * ((float)from_size / (float)to_size) - 0.5f;
    if (centre < 0.0f)
        centre = 0.0f;
    struct fm_bilinear at;
    at.lower = (int)centre;
    if (at.lower > from_size - 1)
        at.lower = from_size - 1;
    at.upper = at.lower + 1 < from_size ? at.lower + 1 : at.lower;
    at.weight = centre - (float)at.lower;
    return at;
}

FM_SHARED_FN float fm_lerp(float a, float b, float weight)
{
    return fmaf(weight, b - a, a);
}

#endif
