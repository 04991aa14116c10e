// Runs a model over samples, and measures how long one takes.
#ifndef FM_EVAL_EVALUATE_H
#define FM_EVAL_EVALUATE_H

#include "backend/registry.h"
#include "data/dataset.h"
#include "eval/metrics.h"

// Evaluates `model` on samples `ids` (NULL: all of them, in order) in inference mode, through a
// loader, in batches of at most `batch`. `progress` (may be NULL) is called after each batch with
// the samples done and the total. On failure `metrics` needs no free.
enum fm_status fm_evaluate(const struct fm_engine *engine, struct fm_model *model,
    const struct fm_samples *samples, const uint32_t *ids, uint32_t count, int classes, int batch,
    void (*progress)(void *context, uint32_t done, uint32_t total), void *context,
    struct fm_metrics *metrics);

struct fm_latency {
    int batch;
    int runs;
    double p50, p90, p99, mean, deviation; // seconds a call, seen by the host
};

// Times predict() on a batch of the given samples, `runs` times after `warmup` more.
enum fm_status fm_measure_latency(const struct fm_engine *engine, struct fm_model *model,
    const struct fm_samples *samples, int classes, int batch, int warmup, int runs,
    struct fm_latency *latency);

#endif
