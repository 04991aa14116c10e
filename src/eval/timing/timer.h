// Timers: one prediction, or some training steps, of a model, past the loader and the run folder,
// so that what is timed is the device's work and the way of a batch to it.
//
// Open one, run it until it is warm, run it to measure, close it before the model is destroyed. The
// timer's api->executor_time() adds the device's own clock.
#ifndef FM_EVAL_TIMER_H
#define FM_EVAL_TIMER_H

#include "backend/registry.h"
#include "data/dataset.h"

// Both kinds. A zeroed one may be closed.
struct fm_timer {
    const struct fm_backend *api;
    struct fm_model *model;
    const struct fm_samples *samples;
    struct fm_executor *executor;
    struct fm_staging *staging;
    uint32_t batch, next; // the image that the next batch begins with
    struct fm_step step;  // of every training step, but for its count
    float *logits;        // [batch][classes]; inference
};

struct fm_timer_options {
    const struct fm_samples *samples; // that batches are made of; at least one
    int classes;
    int batch;
    enum fm_mode mode;
    bool unfused, profile; // struct fm_compile_options
    // Training:
    struct fm_augment augment;
    float label_smoothing;
    struct fm_mix mix;
    struct fm_step step;
    bool resident; // the device keeps the samples, where it can
};

// On failure there is nothing to close.
enum fm_status fm_timer_open(const struct fm_engine *engine, struct fm_model *model,
    const struct fm_timer_options *options, struct fm_timer *timer);
void fm_timer_close(struct fm_timer *timer);

// One prediction as its caller sees it: from the call with a filled slot to the logits.
enum fm_status fm_timer_predict(struct fm_timer *timer, double *seconds);
// So many training steps, from the first image copied into a slot to the end of the last step.
enum fm_status fm_timer_train(struct fm_timer *timer, int steps, double *seconds);

// Images [first, first + count) of the samples, from the beginning again after the last, and their
// labels and ids into a slot, with this step.
void fm_timer_fill(struct fm_slot *slot, const struct fm_samples *samples, uint32_t count,
    uint32_t first, const struct fm_step *step);

#endif
