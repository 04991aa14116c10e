// Runs a model over samples, and measures how long one takes.
#ifndef FM_EVAL_EVALUATE_H
#define FM_EVAL_EVALUATE_H

#include "backend/registry.h"
#include "data/dataset.h"
#include "eval/metrics.h"

struct fm_evaluate_options {
    const struct fm_samples *samples;
    const uint32_t *ids; // NULL: all samples, in order
    uint32_t count;      // of ids
    int classes;
    int batch;    // at most; the last one takes what is left
    bool average; // with the model's averaged weights (struct fm_compile_options)
    // What is measured is the mean of the probabilities of an image and of its mirror image.
    bool mirror_mean;
    // Accuracy, loss and confusion only, summed on the device, which hands out no logits: quick,
    // but metrics->ece is NaN. Not with mirror_mean.
    bool totals;
    // After each batch: the samples done and the total. May be NULL. A failure ends the evaluation,
    // with that failure.
    enum fm_status (*progress)(void *context, uint32_t done, uint32_t total);
    void *context;
};

// What evaluations of one model share: executors, staging and a loader's thread. Opened once for
// many of them, it saves each that it compiles, allocates and captures all of that; every run sees
// the weights that the model has then. Close it before the model is destroyed.
struct fm_evaluator;

// Of `ids` only their number counts, which bounds the batch; each run names its own. On failure
// there is nothing to close.
enum fm_status fm_evaluator_open(const struct fm_engine *engine, struct fm_model *model,
    const struct fm_evaluate_options *options, struct fm_evaluator **evaluator);
// In inference mode, through the loader; `ids` NULL: all samples, in order. On failure `metrics`
// needs no free, and the evaluator can only be closed: samples may be under way in it.
enum fm_status fm_evaluator_run(struct fm_evaluator *evaluator, const uint32_t *ids, uint32_t count,
    struct fm_metrics *metrics);
void fm_evaluator_close(struct fm_evaluator *evaluator); // NULL is allowed

// A single evaluation: opens, runs `options->ids` and closes.
enum fm_status fm_evaluate(const struct fm_engine *engine, struct fm_model *model,
    const struct fm_evaluate_options *options, struct fm_metrics *metrics);

struct fm_latency_options {
    const struct fm_samples *samples; // that batches are made of
    int classes;
    int batch;
    int warmup; // calls before the first that is timed
    int runs;
};

struct fm_latency {
    int batch;
    int runs;
    double p50, p90, p99, mean, deviation; // seconds a call, seen by the host
};

// Times predict().
enum fm_status fm_measure_latency(const struct fm_engine *engine, struct fm_model *model,
    const struct fm_latency_options *options, struct fm_latency *latency);

#endif
