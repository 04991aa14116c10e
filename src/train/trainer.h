// What the files of src/train that make up a training share. Nobody else includes it.
//
//   train.c       the loop: epochs, steps, evaluation, progress
//   kept.c        which weights the training ends with
//   resume.c      checkpoints: written while it runs, resumed from when it starts
//   teachers.c    what taught training takes its targets from
//   nonfinite.c   where a loss that is not finite began
#ifndef FM_TRAIN_TRAINER_H
#define FM_TRAIN_TRAINER_H

#include "eval/evaluate.h"
#include "eval/feed.h"
#include "train/train.h"

struct trainer {
    const struct fm_engine *engine;
    const struct fm_backend *api;
    const struct fm_net *net;
    const struct fm_samples *samples;
    const struct fm_split *split;
    const struct fm_train_options *options;
    const struct fm_recipe *recipe;

    struct fm_model *model;
    struct fm_feed feed;
    struct fm_executor *full;      // of `batch`
    struct fm_executor *tail;      // of what is left; NULL if nothing is
    struct fm_executor **teachers; // [options->teacher_count], of `batch`
    float *teacher_logits;         // [batch][classes]
    // Of the trained weights, and of their averages: opened for the first evaluation of a kind,
    // kept for the others.
    struct fm_evaluator *evaluators[2];
    uint32_t *order;       // [split->train_count]
    uint32_t epoch_images; // the first so many of it are trained on
    uint32_t batch;        // the recipe's, or all of an epoch where that is less
    bool averages;         // the weights that are evaluated and kept are the model's averages
    // [net.param_elements + net.running_elements]. FM_KEEP_BEST: the best epoch's parameters, then
    // running statistics; else, where there are averages, scratch for installing them; else NULL.
    float *kept;

    uint64_t step, steps; // submitted; of the whole run
    uint64_t epoch_step;  // submitted of the epoch under way
    double start;         // on the clock; earlier where the run goes on, by the time that it took
    uint64_t untimed_images; // trained on by calls whose times are lost
    bool peak_is_own;        // the process's peak of memory begins with this training
    double epoch_start, epoch_waited;
    double evaluating;  // seconds spent in evaluations so far
    uint64_t evaluated; // images evaluated in them
    double last_progress, last_checkpoint;
    struct fm_train_progress progress;
    struct fm_train_result result;
};

// kept.c. After an epoch: keeps its weights if the recipe wants them. At the end: they become the
// model's parameters and running statistics.
enum fm_status fm_trainer_keep(struct trainer *t);
enum fm_status fm_trainer_install_kept(struct trainer *t);

// resume.c. Does nothing without options->directory. The first records compute.json, loads the
// newest checkpoint if there is one, and cuts the logs back to it.
enum fm_status fm_trainer_resume(struct trainer *t);
enum fm_status fm_trainer_save(struct trainer *t);
enum fm_status fm_trainer_save_if_due(struct trainer *t);
// FM_INTERRUPTED, and a message that tells the step, when options->interrupted says so.
enum fm_status fm_trainer_check_interrupt(const struct trainer *t);

// teachers.c. They do nothing where there are none. The first fails with FM_DATA where one does not
// fit. The second fills the slot's soft targets for the step that it holds, which has its seed and
// epoch already: FM_NUMERIC where an answer is not finite. The third may follow any failure.
enum fm_status fm_trainer_open_teachers(struct trainer *t);
enum fm_status fm_trainer_teach(struct trainer *t, struct fm_staging *staging, int slot);
void fm_trainer_close_teachers(struct trainer *t);

// nonfinite.c. Fails with FM_NUMERIC when a step has been skipped that a smaller loss scale would
// not cure; the message names the layer in which it began. `wait`: see sums_get().
enum fm_status fm_trainer_check_finite(struct trainer *t, bool wait);
// The same when an evaluation has failed with FM_NUMERIC: an update that made the weights too large
// shows only in what is computed next. Any other failure is returned as it is.
enum fm_status fm_trainer_explain_nonfinite(struct trainer *t, enum fm_status status);

// train.c. The present step's values, all but its count.
void fm_trainer_fill_step(const struct trainer *t, struct fm_step *step);
// Compiles a training executor; `probe`: one that can be looked into.
enum fm_status fm_trainer_compile(
    struct trainer *t, uint32_t batch, bool probe, struct fm_executor **executor);

#endif
