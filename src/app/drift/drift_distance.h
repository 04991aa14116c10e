// How far single images are from the reference, between app/drift/drifting.c and its arithmetic.
#ifndef FM_APP_DRIFT_DISTANCE_H
#define FM_APP_DRIFT_DISTANCE_H

#include "app/drift/drifting.h"
#include "eval/drift/image_statistics.h"

enum {
    FM_DRIFT_FEATURES = FM_IMAGE_STATISTICS + 1 // the confidence last
};

// `features`: a row of `reference + count` values each, the reference's first; `predicted`
// likewise. Fills in images[count], whose index, predicted and confidence are set, and sorts them:
// furthest first, equal ones by index.
enum fm_status fm_drift_distances(const float *const features[FM_DRIFT_FEATURES],
    const uint8_t *predicted, uint32_t reference, uint32_t count, struct fm_drift_image *images);

#endif
