// A model that predicts from a weights file alone, for callers that bring any number of images.
#ifndef FM_EVAL_PREDICTOR_H
#define FM_EVAL_PREDICTOR_H

#include "backend/registry.h"
#include "run/weights.h"

enum {
    FM_PREDICTOR_BATCH = 256,       // unless told otherwise
    FM_PREDICTOR_BATCH_MAX = 65536, // images
    FM_PREDICTOR_SIZES_MAX = 18     // batch sizes: 1, 2, 4, ... and the largest
};

struct fm_predictor_options {
    enum fm_precision precision; // struct fm_model_options, like the next
    bool emulate;
    int batch; // images computed at once at most; 0: FM_PREDICTOR_BATCH
};

struct fm_predictor {
    char model[FM_NAME_MAX];
    int classes;
    char *class_names[FM_CLASSES_MAX]; // owned
    const struct fm_engine *engine;    // borrowed
    struct fm_net net;
    struct fm_model *state;
    struct fm_staging *staging;
    int batch;
    float *logits;                                         // [batch][classes]
    struct fm_executor *executors[FM_PREDICTOR_SIZES_MAX]; // by size; NULL: not needed so far
};

// `weights` is a weights file; the engine must outlive the predictor. On failure nothing needs to
// be closed.
enum fm_status fm_predictor_open(const struct fm_engine *engine, const char *weights,
    const struct fm_predictor_options *options, struct fm_predictor *predictor);
// The same of weights that have been opened, in the network that they must be of
// (fm_weights_apply()).
enum fm_status fm_predictor_open_net(const struct fm_engine *engine,
    const struct fm_weights *weights, const struct fm_net *net,
    const struct fm_predictor_options *options, struct fm_predictor *predictor);
void fm_predictor_close(struct fm_predictor *predictor); // one that is all zero, too

// images [count][28][28] -> probabilities [count][classes]. FM_NUMERIC names the image whose logits
// are not finite.
enum fm_status fm_predictor_run(
    struct fm_predictor *predictor, const uint8_t *images, size_t count, float *probabilities);

#endif
