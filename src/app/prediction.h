// Labels for the images of a source, batch by batch, in the source's order.
#ifndef FM_APP_PREDICTION_H
#define FM_APP_PREDICTION_H

#include "data/pictures/source.h"
#include "eval/predictor.h"

#include <stdbool.h>

enum {
    FM_PREDICTION_BATCH = 256 // images told of at once, at most
};

// An image, or why there is none.
struct fm_predicted {
    uint32_t number; // in the source, from 1
    const char *name;
    const char *error;          // NULL: there is one; else the next two are NULL
    const uint8_t *record;      // [FM_IMAGE_BYTES]
    const float *probabilities; // [classes]
};

struct fm_prediction_hooks {
    // Of the images of a batch, as soon as they are known. A failure ends the prediction.
    enum fm_status (*take)(void *context, const struct fm_predicted *images, size_t count);
    // After each image read: `total` 0 where it is not known. May be NULL.
    void (*progress)(void *context, uint32_t done, uint32_t total);
    void *context;
};

struct fm_prediction_counts {
    uint32_t images, failed; // those without a prediction are among the images
};

enum fm_status fm_predict_source(struct fm_predictor *predictor, struct fm_source *source,
    const struct fm_prediction_hooks *hooks, struct fm_prediction_counts *counts);

// The `count` most likely classes, the likeliest first; of equal ones the first first.
void fm_top_classes(const float *probabilities, int classes, int count, int *top);

// What the network sees of an image, as a PNG of 28x28 in the folder: "<number>-<name>.png", of the
// name the last part, without the ending of a picture. FM_EXISTS where a file is in its place,
// unless `replace`.
enum fm_status fm_show_record(
    const char *directory, const struct fm_predicted *image, bool replace);

#endif
