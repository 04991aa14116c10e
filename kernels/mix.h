// Mixing of training samples (mixup: Zhang, Cisse, Dauphin, Lopez-Paz 2018, arXiv:1710.09412): a
// sample becomes (1 - w) times itself and w times the one that follows it in the batch, the last
// one's being the first, and so does its target. Order in a batch is drawn, so any neighbour would
// do. Each is augmented by its own draws first.
//
// w is drawn evenly from [0, 1/2): Beta(1, 1), the paper's with alpha 1, folded about 1/2, so that
// a sample's own label keeps the larger part.
#ifndef FM_KERNELS_MIX_H
#define FM_KERNELS_MIX_H

#include "augment.h"

// w of a sample; 0 where it is not mixed. `threshold` is fm_draw_threshold() of the share that is.
FM_SHARED_FN float fm_mix_weight(uint64_t seed, uint32_t epoch, uint32_t sample, uint64_t threshold)
{
    if (threshold == 0)
        return 0.0f;
    struct fm_draws draws = fm_philox(seed, epoch, sample, FM_STREAM_MIX, 0);
    return draws.v[0] < threshold ? 0.5f * fm_draw_unit(draws.v[1]) : 0.0f;
}

// The place in a batch of `count` of what sample `n` of it is mixed with.
FM_SHARED_FN uint32_t fm_mix_other(uint32_t n, uint32_t count)
{
    return n + 1 < count ? n + 1 : 0;
}

#endif
