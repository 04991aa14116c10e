// Checkpoints: all that a training needs to go on where it was, in one safetensors file.
//
// The two newest are kept. The newest is always there once there has been one: the former newest
// becomes FM_CHECKPOINT_PREVIOUS, by a hard link, before the new file takes its name. So neither a
// full disk nor a kill at any moment loses a checkpoint that was there.
//
// Tensors are named PART/NAME: part "param", "moment1", "moment2" (not of SGD), "ema" (where the
// model keeps an average) and "best" (where the best epoch's weights are kept apart). The metadata
// holds the position as JSON text under "state" and, under "crc32", a checksum of that text and of
// all tensors' bytes, so that no flipped bit goes unnoticed.
#ifndef FM_RUN_CHECKPOINT_H
#define FM_RUN_CHECKPOINT_H

#include "backend/backend.h"
#include "base/file.h"
#include "net/net.h"

#define FM_CHECKPOINT_LAST "last.safetensors"
#define FM_CHECKPOINT_PREVIOUS "previous.safetensors"

// Where a training is. The model's state lies in the model.
struct fm_checkpoint {
    uint64_t step;       // submitted, of the whole run
    uint64_t epoch_step; // of them in the epoch under way
    int epochs;          // trained and evaluated
    uint64_t images;     // trained on
    double loss;         // mean, of the last epoch done
    // Of the weights kept so far; kept_epoch 0: none yet.
    int kept_epoch;
    double kept_accuracy, kept_nll; // on the selection images; NaN where there are none
    struct fm_counters counters;
    struct fm_sums sums; // of the epoch under way
    // What else there is: set by the caller, of reading too.
    bool moment2, ema;
    float *best; // the weights kept, if the training keeps them apart; else NULL:
                 // [net.param_elements], then [net.running_elements]
};

bool fm_checkpoint_exists(const char *directory);

// The checkpoint becomes the newest of the folder. On failure the newest stays what it was.
enum fm_status fm_checkpoint_write(const char *directory, const struct fm_net *net,
    const struct fm_backend *api, struct fm_model *model, const struct fm_checkpoint *checkpoint);

// Sets the model and `checkpoint` from the newest checkpoint there is. FM_NOT_FOUND (no message
// recorded) where there is none. A damaged file fails with FM_DATA before anything is changed; the
// message says how to go on from the one before. `path` receives the file's.
enum fm_status fm_checkpoint_read(const char *directory, const struct fm_net *net,
    const struct fm_backend *api, struct fm_model *model, struct fm_checkpoint *checkpoint,
    char path[FM_PATH_MAX]);

// Trained and tested: removes the one before the newest. FM_IO.
enum fm_status fm_checkpoint_finish(const char *directory);

#endif
