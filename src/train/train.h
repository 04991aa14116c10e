// The training loop. It sees the training and selection splits and nothing else: no test image, no
// report, no device type.
//
// With a run folder it writes a checkpoint after every epoch, every so many seconds and when it is
// interrupted, and goes on from the folder's newest checkpoint where there is one: same
// configuration, data and machine, same bits as if it had never stopped.
#ifndef FM_TRAIN_TRAIN_H
#define FM_TRAIN_TRAIN_H

#include "backend/registry.h"
#include "data/split.h"
#include "net/net.h"
#include "net/safetensors.h"
#include "train/recipe.h"

// What the loop tells while it runs, after steps (at most ten times a second) and after epochs.
struct fm_train_progress {
    int epoch, epochs;     // epoch counts from 1
    uint64_t step, steps;  // of the whole run
    uint64_t images;       // trained on so far, in the whole run
    double loss, accuracy; // of this epoch so far, on its batches, augmented and mixed
    double learning_rate;
    double images_per_second;  // of this epoch
    double elapsed, remaining; // seconds
    // after an epoch only:
    bool epoch_done;
    double select_accuracy, select_nll; // NaN where there are no selection images
    struct fm_counters counters;
    double epoch_seconds; // training alone
    double waited;        // seconds that steps waited for data in this epoch
};

// A trained network, borrowed for the training. Its model, on the device that is trained on, holds
// its weights and is only read. One whose classes or records are not the trained network's fails
// with FM_DATA.
struct fm_teacher {
    const char *name; // what messages call it
    const struct fm_net *net;
    struct fm_model *model;
};

struct fm_train_options {
    const struct fm_recipe *recipe;
    uint64_t seed;
    enum fm_precision precision;
    bool emulate; // struct fm_model_options
    // Values to begin with, by the parameters' names; those of others are drawn. NULL: all are.
    const struct fm_tensor *initial;
    int initial_count;
    // The samples are 1 + views parts of samples->count / (1 + views) each: the same ones as they
    // are, then their augmented views. Ids of `split` are of the first part, which selection and
    // train accuracy are measured on; epoch e, from 0, is trained on part 1 + e % views. 0: there
    // is the first part alone, and it is trained on, too.
    uint32_t views;
    // Taught training: the mean of the teachers' probabilities of each step's images, augmented by
    // the same draws, makes up `teacher_share` of the targets (struct fm_compile_options), the
    // labels the rest.
    const struct fm_teacher *teachers;
    int teacher_count;
    double teacher_share;      // 0 where there are none
    bool resident;             // the device keeps the samples, where it can (fm_feed_open())
    double max_minutes;        // ends at the end of the epoch in which it is reached; 0: no limit
    const char *directory;     // the run folder; NULL: nothing is kept
    double checkpoint_seconds; // between checkpoints within an epoch; 0: none there
    bool strict;               // go on only where what computes has not changed
    // Asked after every step and every batch of an evaluation: the number of a signal that has come
    // in, or 0. May be NULL. The training then writes a checkpoint and fails with FM_INTERRUPTED.
    int (*interrupted)(void);
    // May be NULL. A failure ends the training at once, with that failure. An epoch is told before
    // its checkpoint is written.
    enum fm_status (*progress)(void *context, const struct fm_train_progress *progress);
    void *context;
};

struct fm_train_result {
    int epochs;          // trained
    bool ended_early;    // by max_minutes
    int kept_epoch;      // whose weights the model holds now, from 1
    uint64_t first_step; // that this call trained; above 0 where the run went on
    uint64_t steps, images;
    // Over all calls that the run took:
    double seconds;       // of training steps and the checkpoints between them
    double total_seconds; // everything
    double waited;        // seconds that steps waited for data
    double images_per_second;
    double loss;                        // of the last epoch
    double select_accuracy, select_nll; // of the kept weights; NaN where there are no such images
    double train_accuracy;              // of the kept weights, without augmentation
    uint32_t train_eval_count;          // images it was measured on
    uint64_t peak_memory;     // bytes, process, while it trained; 0: not measured, or did not train
    uint64_t executor_memory; // bytes that compiling the executors of training has added
    struct fm_counters counters;
};

// Creates the model, draws its initial weights, trains it and leaves the kept weights in it; the
// caller destroys it (on failure there is none). `net` carries the input's statistics and the
// recipe's dropout already.
enum fm_status fm_train(const struct fm_engine *engine, const struct fm_net *net,
    const struct fm_samples *samples, const struct fm_split *split,
    const struct fm_train_options *options, struct fm_model **model,
    struct fm_train_result *result);

// What a line of log.jsonl and the training part of result.json say. New references; NULL when out
// of memory or where a number is not finite.
json_t *fm_train_epoch_json(const struct fm_train_progress *progress);
json_t *fm_train_result_json(const struct fm_train_result *result);

// The order of an epoch: `ids` sorted stably by a 64-bit draw (stream FM_STREAM_SHUFFLE) into
// `out`. Epochs count from 0 in draws.
enum fm_status fm_epoch_order(
    const uint32_t *ids, uint32_t count, uint64_t seed, uint32_t epoch, uint32_t *out);

#endif
