// Mixing of training samples with the one that follows in the batch, the last one's being the
// first. Order in a batch is drawn, so any neighbour would do. Each is augmented by its own draws
// first. Targets are mixed by the weight w of the other, below 1/2, so that a sample's own label
// keeps the larger part. Two ways:
//
// - averaging (mixup: Zhang, Cisse, Dauphin, Lopez-Paz 2018, arXiv:1710.09412): (1 - w) times the
//   sample and w times the other, w drawn evenly from [0, 1/2): Beta(1, 1), the paper's with
//   alpha 1, folded about 1/2;
// - cutting (CutMix: Yun, Han, Oh, Chun, Choe, Yoo 2019, arXiv:1905.04899): a rectangle of the
//   image is the other's, w the rectangle's share of the pixels. Here its height, then its width,
//   are drawn uniformly in whole pixels, the width so that less than half of the image is cut, and
//   it lies within the image; the paper draws its area and clips it.
#ifndef FM_KERNELS_MIX_H
#define FM_KERNELS_MIX_H

#include "augment.h"

// How far the draws of a mix may go.
struct fm_mix_ranges {
    uint64_t threshold;     // fm_draw_threshold() of the share of samples that are mixed
    uint64_t cut_threshold; // ... of the share of these that are cut; 0 for records of features
    int rows, cols;         // of an image
};

// How a sample is mixed. Whether it is, and by which rectangle, is decided in integer arithmetic
// from its draws.
struct fm_mix_plan {
    float weight;            // of the other, below 1/2; 0: not mixed
    struct fm_rectangle cut; // what is the other's; height 0: they are averaged
};

// Of these shares, and images of this size. Nothing is cut where nothing is mixed.
FM_SHARED_FN struct fm_mix_ranges fm_mix_ranges_of(float share, float cut_share, int rows, int cols)
{
    struct fm_mix_ranges ranges = {fm_draw_threshold(share), 0, rows, cols};
    if (share > 0.0f)
        ranges.cut_threshold = fm_draw_threshold(cut_share);
    return ranges;
}

// The plan of a sample that is cut, its rectangle's height by this draw.
FM_SHARED_FN struct fm_mix_plan fm_cutmix_draw(uint64_t seed, uint32_t epoch, uint32_t sample,
    uint32_t height_draw, const struct fm_mix_ranges *ranges)
{
    struct fm_mix_plan mix = {0.0f, {0, 0, 0, 0}};
    struct fm_draws draws = fm_philox(seed, epoch, sample, FM_STREAM_MIX, 1);
    int height = 1 + (int)fm_draw_below(height_draw, (uint32_t)ranges->rows);
    int pixels = ranges->rows * ranges->cols, most = (pixels - 1) / 2 / height;
    if (most > ranges->cols)
        most = ranges->cols;
    if (most == 0) // even one column of this height is half of the image or more: not mixed
        return mix;
    int width = 1 + (int)fm_draw_below(draws.v[0], (uint32_t)most);
    mix.cut = fm_rectangle_draw(height, width, ranges->rows, ranges->cols, draws.v[1], draws.v[2]);
    mix.weight = (float)(height * width) / (float)pixels;
    return mix;
}

FM_SHARED_FN struct fm_mix_plan fm_mix_draw(
    uint64_t seed, uint32_t epoch, uint32_t sample, const struct fm_mix_ranges *ranges)
{
    struct fm_mix_plan mix = {0.0f, {0, 0, 0, 0}};
    if (ranges->threshold == 0)
        return mix;
    struct fm_draws draws = fm_philox(seed, epoch, sample, FM_STREAM_MIX, 0);
    if (draws.v[0] >= ranges->threshold)
        return mix;
    if (draws.v[2] < ranges->cut_threshold)
        return fm_cutmix_draw(seed, epoch, sample, draws.v[3], ranges);
    mix.weight = 0.5f * fm_draw_unit(draws.v[1]);
    return mix;
}

// Pixel (y, x) of the mixed image, by its values in the two augmented ones.
FM_SHARED_FN float fm_mixed_pixel(
    float own, float other, const struct fm_mix_plan *mix, int y, int x)
{
    if (mix->cut.height > 0)
        return fm_rectangle_holds(mix->cut, y, x) ? other : own;
    return fm_lerp(own, other, mix->weight);
}

// The place in a batch of `count` of what sample `n` of it is mixed with.
FM_SHARED_FN uint32_t fm_mix_other(uint32_t n, uint32_t count)
{
    return n + 1 < count ? n + 1 : 0;
}

#endif
