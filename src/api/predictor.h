// A model that predicts from a weights file alone: what a handle of the library holds on to,
// without the care for threads that a library takes.
#ifndef FM_API_PREDICTOR_H
#define FM_API_PREDICTOR_H

#include "backend/registry.h"
#include "run/weights.h"

enum {
    FM_PREDICTOR_BATCH = 256,       // unless told otherwise
    FM_PREDICTOR_BATCH_MAX = 65536, // images
    FM_PREDICTOR_SIZES_MAX = 18     // batch sizes: 1, 2, 4, ... and the largest
};

struct fm_predictor {
    char model[FM_NAME_MAX];
    int classes;
    char *class_names[FM_CLASSES_MAX]; // owned
    struct fm_engine engine;
    struct fm_net net;
    struct fm_model *state;
    struct fm_staging *staging;
    int batch;
    float *logits;                                         // [batch][classes]
    struct fm_executor *executors[FM_PREDICTOR_SIZES_MAX]; // by size; NULL: not needed so far
};

// `weights` is a weights file. The engine is opened and used in the calling thread, which has to
// make all further calls. On failure nothing needs to be closed.
enum fm_status fm_predictor_open(const char *weights, const char *backend,
    const struct fm_device_options *device, int batch, struct fm_predictor *predictor);
void fm_predictor_close(struct fm_predictor *predictor);

// images [count][28][28] -> probabilities [count][classes]. FM_NUMERIC names the image whose logits
// are not finite.
enum fm_status fm_predictor_run(
    struct fm_predictor *predictor, const uint8_t *images, size_t count, float *probabilities);

#endif
