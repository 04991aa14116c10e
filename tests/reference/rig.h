// A model on a backend, as the numeric tests use it: every failure of the backend fails the test
// with its message.
#ifndef FM_TESTS_REFERENCE_RIG_H
#define FM_TESTS_REFERENCE_RIG_H

#include "backend/registry.h"
#include "reference/plain.h"

struct fm_rig {
    struct fm_engine engine;
    const struct fm_backend *api;
    const struct fm_net *net; // the caller's
    struct fm_model *model;
    struct fm_staging *staging;
};

// Fails the test unless the status is FM_OK.
void fm_rig_must(enum fm_status status, const char *what);

// A model in fp32 on the backend of this name, with these parameters and running statistics (NULL:
// the initial ones) and a staging for `capacity` samples.
void fm_rig_open(struct fm_rig *rig, const char *backend, const struct fm_net *net,
    const struct fm_optimiser_options *optimiser, uint32_t capacity);
// The same with all of a model's options.
void fm_rig_open_as(struct fm_rig *rig, const char *backend, const struct fm_net *net,
    const struct fm_model_options *options, uint32_t capacity);
void fm_rig_close(struct fm_rig *rig);

// All tensors of a kind from or to `data` at the net's offsets. Of gradients and moments only the
// trainable parameters' are got; the rest of `data` becomes 0.
void fm_rig_set(struct fm_rig *rig, enum fm_state_kind kind, const float *data);
void fm_rig_get(struct fm_rig *rig, enum fm_state_kind kind, float *data);

struct fm_executor *fm_rig_compile(struct fm_rig *rig, const struct fm_compile_options *options);

// Fills the slot, submits it and waits; returns the batch's sums.
struct fm_sums fm_rig_step(
    struct fm_rig *rig, struct fm_executor *executor, int slot, const struct fm_plain_batch *batch);

// Fills the slot with `count` records and predicts into `logits` [count][classes].
void fm_rig_predict(struct fm_rig *rig, struct fm_executor *executor, int slot,
    const uint8_t *records, uint32_t count, float *logits);

#endif
