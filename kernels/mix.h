// Mixing of training samples with the one that follows in the batch, the last one's being the
// first. Order in a batch is drawn, so any neighbour would do. Each is augmented by its own draws
// first. Targets are mixed by the weight w that the other has; a sample's own label keeps the
// larger part. Two ways:
//
// - averaging (mixup: Zhang, Cisse, Dauphin, Lopez-Paz 2018, arXiv:1710.09412): (1 - w) times the
//   sample and w times the other, w drawn evenly from [0, 1/2): Beta(1, 1), the paper's with
//   alpha 1, folded about 1/2;
// - cutting (CutMix: Yun, Han, Oh, Chun, Choe, Yoo 2019, arXiv:1905.04899): a rectangle of the
//   image is the other's, w the share of the pixels that it has. Here its sides are drawn in whole
//   pixels and it lies within the image, where the paper draws w and clips: first the height, from
//   1 to the image's, then the width, from 1 to the image's or as long as less than half of the
//   image is cut.
#ifndef FM_KERNELS_MIX_H
#define FM_KERNELS_MIX_H

#include "augment.h"

// How far the draws of a mix may go.
struct fm_mix_ranges {
    uint64_t threshold;     // fm_draw_threshold() of the share of samples that are mixed
    uint64_t cut_threshold; // ... of the share of these that are cut; 0 for records of features
    int rows, cols;         // of an image
};

// How a sample is mixed, decided in integer arithmetic from its draws, but for an average's weight.
struct fm_mix {
    float weight;            // of the other, below 1/2; 0: not mixed
    struct fm_rectangle cut; // what is the other's; height 0: they are averaged
};

FM_SHARED_FN struct fm_mix_ranges fm_mix_ranges_of(float share, float cut, int rows, int cols)
{
    struct fm_mix_ranges ranges = {fm_draw_threshold(share), fm_draw_threshold(cut), rows, cols};
    return ranges;
}

FM_SHARED_FN struct fm_mix fm_mix_cut_draw(uint64_t seed, uint32_t epoch, uint32_t sample,
    uint32_t height_draw, const struct fm_mix_ranges *ranges)
{
    struct fm_mix mix = {0.0f, {0, 0, 0, 0}};
    struct fm_draws draws = fm_philox(seed, epoch, sample, FM_STREAM_MIX, 1);
    int height = 1 + (int)fm_draw_below(height_draw, (uint32_t)ranges->rows);
    int pixels = ranges->rows * ranges->cols, most = (pixels - 1) / 2 / height;
    if (most > ranges->cols)
        most = ranges->cols;
    if (most == 0) // of a column of pixels, more than half
        return mix;
    int width = 1 + (int)fm_draw_below(draws.v[0], (uint32_t)most);
    mix.cut = fm_rectangle_draw(height, width, ranges->rows, ranges->cols, draws.v[1], draws.v[2]);
    mix.weight = (float)(height * width) / (float)pixels;
    return mix;
}

FM_SHARED_FN struct fm_mix fm_mix_draw(
    uint64_t seed, uint32_t epoch, uint32_t sample, const struct fm_mix_ranges *ranges)
{
    struct fm_mix mix = {0.0f, {0, 0, 0, 0}};
    if (ranges->threshold == 0)
        return mix;
    struct fm_draws draws = fm_philox(seed, epoch, sample, FM_STREAM_MIX, 0);
    if (draws.v[0] >= ranges->threshold)
        return mix;
    if (draws.v[2] < ranges->cut_threshold)
        return fm_mix_cut_draw(seed, epoch, sample, draws.v[3], ranges);
    mix.weight = 0.5f * fm_draw_unit(draws.v[1]);
    return mix;
}

// Of pixel (y, x) the value in both images, augmented.
FM_SHARED_FN float fm_mixed_pixel(float own, float other, const struct fm_mix *mix, int y, int x)
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
