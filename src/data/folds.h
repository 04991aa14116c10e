// Samples divided into folds, each in turn held out of a training.
#ifndef FM_DATA_FOLDS_H
#define FM_DATA_FOLDS_H

#include "base/status.h"
#include "data/split.h"

#include <stdint.h>

enum {
    FM_FOLDS_MAX = 20
};

// fold[count] becomes 0 to folds - 1. Stratified by `labels`: in each class, and in all, the folds'
// sizes differ by at most 1; members are drawn by `seed`. Samples of a unit get the same fold:
// `unit` is settled (data/units.h), or NULL where each sample is one of its own. Where units have
// several samples the sizes are as near to each other as the largest units leave them. FM_USAGE:
// not 2 to FM_FOLDS_MAX folds, or more than units.
enum fm_status fm_folds_make(const uint8_t *labels, uint32_t count, int classes,
    const uint32_t *unit, int folds, uint64_t seed, uint8_t *fold);

// The split that trains on all folds but `held_out`, with its statistics; nothing to select on. The
// caller frees it with fm_split_free().
enum fm_status fm_folds_split(
    const struct fm_samples *samples, const uint8_t *fold, int held_out, struct fm_split *split);

#endif
