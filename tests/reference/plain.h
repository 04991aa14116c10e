// What a network computes, in double precision and plain loops over NCHW: the reference that every
// backend is held to. Slow on purpose: nothing here is clever enough to be wrong in the same way as
// a backend. It is itself verified by finite differences (test_plain.c).
//
// For tests only: running out of memory or naming an unknown tensor ends the program.
#ifndef FM_TESTS_REFERENCE_PLAIN_H
#define FM_TESTS_REFERENCE_PLAIN_H

#include "backend/backend.h"
#include "data/slot.h"
#include "net/net.h"

#include <stdint.h>

struct fm_plain {
    struct fm_net net; // a copy
    struct fm_optimiser_options optimiser;

    // In the order and at the offsets of the net's params.
    double *params, *grads, *moment1, *moment2;
    double *running;  // at the offsets of the net's running statistics
    uint64_t applied; // Adam's t

    // Of the last batch, [count][c][h][w]; NULL before the first.
    uint32_t count;
    double *input;                         // after augmentation and normalisation
    double *activation[FM_LAYERS_MAX];     // the layer's output
    double *gradient[FM_LAYERS_MAX];       // of the mean loss with respect to it
    double *batch_mean[FM_LAYERS_MAX];     // batch norm: [c]
    double *batch_variance[FM_LAYERS_MAX]; // biased
    double loss;                           // mean over the batch (training)
    uint32_t correct;                      // first largest logit is the label (training)
};

// A batch, as a slot holds it.
struct fm_plain_batch {
    const uint8_t *records; // [count][rows * cols], or fp32 [count][features]
    const uint8_t *labels;  // [count]
    const uint32_t *ids;    // [count]
    const struct fm_step *step;
    struct fm_augment augment;
    float label_smoothing;
    struct fm_mix mix; // struct fm_compile_options', like the next
    float soft_share;
    const float *soft_targets; // [count][classes]; not looked at where their share is 0
};

// Parameters start at zero, running statistics at their initial values; Adam with 0.9, 0.999, 1e-8.
struct fm_plain *fm_plain_create(const struct fm_net *net);
void fm_plain_destroy(struct fm_plain *plain);

void fm_plain_set_param(struct fm_plain *plain, const char *name, const float *data);
void fm_plain_set_running(struct fm_plain *plain, const char *name, const float *data);
const double *fm_plain_param(const struct fm_plain *plain, const char *name);
const double *fm_plain_grad(const struct fm_plain *plain, const char *name);
const double *fm_plain_running(const struct fm_plain *plain, const char *name);

// Forward in training mode (augmentation, dropout, batch statistics) and the loss; changes no state
// that lives between steps. Returns the mean loss.
double fm_plain_forward(struct fm_plain *plain, const struct fm_plain_batch *batch);
// After fm_plain_forward with the same batch: every activation's and parameter's gradient.
void fm_plain_backward(struct fm_plain *plain, const struct fm_plain_batch *batch);
// After fm_plain_backward: the running statistics, then one step of Adam on the trainable
// parameters.
void fm_plain_update(struct fm_plain *plain, const struct fm_step *step);
// The three in turn. Returns the mean loss before the update.
double fm_plain_train_step(struct fm_plain *plain, const struct fm_plain_batch *batch);

// Forward in inference mode (running statistics). Returns the logits [count][classes], or the
// features [count][outputs], which stay valid until the next call.
const double *fm_plain_infer(struct fm_plain *plain, const uint8_t *records, uint32_t count);

#endif
