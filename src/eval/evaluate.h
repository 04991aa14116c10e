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

// Evaluates `model` in inference mode, through a loader. On failure `metrics` needs no free.
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
