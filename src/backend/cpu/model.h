// What lives between steps: state in canonical layout, and its update.
//
// Parameters, gradients and moments are contiguous ranges in the order and offsets of struct
// fm_net, so that the finite check, the update and a later all-reduce are one call each. Working
// copies in the layouts that executors want are in copies.h; `version` says when they are stale.
#ifndef FM_CPU_MODEL_H
#define FM_CPU_MODEL_H

#include "backend/cpu/tensor.h"
#include "backend/cpu/workspace.h"

struct fm_copies;

// The values that an executor computes with: the trained ones, or their averages.
struct fm_cpu_weights {
    float *params;  // [net.param_elements]
    float *running; // [net.running_elements]
};

struct fm_model {
    struct fm_device *device;
    struct fm_net net;
    struct fm_model_options options;
    bool is_trained;           // an executor of it that trains has been compiled
    enum fm_element element;   // of activations and working copies of weights
    enum fm_rounding rounding; // of what an emulated precision would store
    struct fm_buffers buffers;
    struct fm_cpu_weights trained;
    struct fm_cpu_weights average;    // NULL without options.ema
    float *grads, *moment1, *moment2; // [net.param_elements]; moment2 NULL for SGD
    float *batch_running;             // the last step's batch mean and unbiased variance
    float gradient_scale;             // what the last step's gradients are multiplied by
    struct fm_counters counters;
    struct fm_sums sums;
    uint64_t version; // changes with every change of parameters, running statistics or averages
    uint64_t given;   // with every one that is not a step's
    struct fm_copies *copies;
    struct fm_workspace workspace; // of its executors
};

enum fm_status fm_cpu_model_create(struct fm_device *device, const struct fm_net *net,
    const struct fm_model_options *options, struct fm_model **model);
void fm_cpu_model_destroy(struct fm_model *model);
enum fm_status fm_cpu_model_get(
    struct fm_model *model, enum fm_state_kind kind, const char *name, float *data, size_t count);
enum fm_status fm_cpu_model_set(struct fm_model *model, enum fm_state_kind kind, const char *name,
    const float *data, size_t count);
enum fm_status fm_cpu_model_memory(
    struct fm_model *model, enum fm_state_kind kind, const char *name, size_t count, float **data);
enum fm_status fm_cpu_counters_get(struct fm_model *model, struct fm_counters *counters);
enum fm_status fm_cpu_counters_set(struct fm_model *model, const struct fm_counters *counters);
enum fm_status fm_cpu_sums_get(struct fm_model *model, bool wait, struct fm_sums *sums);
enum fm_status fm_cpu_sums_set(struct fm_model *model, const struct fm_sums *sums);

// Rounds what the emulated precision would store; nothing in other models.
void fm_cpu_model_round(const struct fm_model *model, size_t count, float *data);

// The end of a step: one finite check over the gradients, then, only if it passes, parameters,
// moments, counter, EMA and running statistics change; else the step counts as skipped, and also
// as incurable (struct fm_sums) if the loss is not finite or the loss scale is at its least. Then
// the loss scale follows.
void fm_cpu_model_update(struct fm_model *model, const struct fm_step *step, bool loss_finite);

#endif
