// The features of all training images: what a frozen base makes of them, computed once and kept, so
// that a head is trained on them in seconds, again and again.
#ifndef FM_APP_TRAIN_FEATURES_H
#define FM_APP_TRAIN_FEATURES_H

#include "app/train/features_cache.h"
#include "backend/registry.h"
#include "data/dataset.h"
#include "net/net.h"
#include "net/safetensors.h"

struct fm_features_progress {
    int part, parts;      // the images as they are, then their augmented views; part from 0
    uint32_t done, total; // images of the part
    double images_per_second;
    double remaining; // seconds, of all parts as far as they are known to be computed
};

struct fm_features_options {
    const struct fm_engine *engine;
    const struct fm_net *base;       // ends in features
    const struct fm_tensor *weights; // of all its parameters, by their names
    int weight_count;
    enum fm_precision precision; // struct fm_model_options, like the next
    bool emulate;
    const struct fm_samples *images;
    uint32_t views; // augmented ones of each image
    struct fm_augment augment;
    uint64_t seed; // of the augmentation; the view is the draws' epoch, from 0
    const char *weights_sha256;
    const uint32_t *crc32;    // [4], of the data set's files
    const char *cache;        // folder of the kept features; NULL: none are kept
    int (*interrupted)(void); // struct fm_train_options; may be NULL
    // After each batch; may be NULL.
    void (*progress)(void *context, const struct fm_features_progress *progress);
    void *context;
};

struct fm_features {
    // Parts of images->count records of base->outputs fp32 values: those of the images as they are,
    // then of each view. Labels as the images', in each part.
    struct fm_samples samples;
    double seconds;         // that this call took
    uint64_t computed;      // records that it computed; the others were kept by an earlier one
    void *records, *labels; // what `samples` points to, owned
};

// FM_INTERRUPTED: what is computed so far is kept, in the cache, and the next call goes on there. A
// cache that cannot be read or written costs a warning. On failure nothing needs to be freed.
enum fm_status fm_features_open(
    const struct fm_features_options *options, struct fm_features *features);
void fm_features_free(struct fm_features *features); // one that is all zero, too

#endif
