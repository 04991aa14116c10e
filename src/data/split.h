// The training part divided into what is trained on, selected on and calibrated on.
#ifndef FM_DATA_SPLIT_H
#define FM_DATA_SPLIT_H

#include "data/dataset.h"

// Ids into the training part. Fashion-MNIST: 54,000 / 3,000 / 3,000.
struct fm_split {
    uint32_t *train, train_count;         // ascending
    uint32_t *select, select_count;       // ascending; to choose by
    uint32_t *calibrate, calibrate_count; // ascending; thresholds and temperature, never selection
    int untrained; // classes that have no sample in `train`, since there are too few of all
    double mean, deviation; // of u8/255 over the pixels of `train`: what a net's input is scaled by
};

enum {
    // Selection images that an epoch is chosen on without a warning: of fewer, each alone is more
    // than a point of accuracy, and chance decides between epochs that differ by less.
    FM_SELECT_LEAST = 100
};

// A twentieth of the samples (rounded down, at least 1) each to select and to calibrate,
// stratified: each class in proportion (largest remainder), its members drawn by sorting on a
// Philox draw of a fixed seed. Each class keeps a sample to train on where there are enough to hold
// out without it. The same for every run, whatever the run's seed. The statistics are
// taken here, once for all runs of a process, since it takes a pass over all pixels.
enum fm_status fm_split_make(const struct fm_samples *samples, int classes, struct fm_split *split);
// All samples to train on, none held out: for a recipe that was fixed beforehand.
enum fm_status fm_split_all(const struct fm_samples *samples, int classes, struct fm_split *split);
void fm_split_free(struct fm_split *split);

// Mean and standard deviation of u8/255 over the pixels of the samples `ids` (exact integer sums).
void fm_pixel_statistics(const struct fm_samples *samples, const uint32_t *ids, uint32_t count,
    double *mean, double *deviation);

#endif
