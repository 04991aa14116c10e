// The narrow waist: what a backend is to everything above it.
//
// A backend is a table of function pointers over four opaque objects, each defined by the backend:
//
//   device    one processor or GPU, opened once
//   model     what lives on the device between steps: fp32 masters, working copies, optimiser
//             moments, EMA, running statistics, loss scale, counters, sums
//   staging   two slots through which batches travel to the device
//   executor  what runs on a model for one batch size and mode: activations, workspace, plans. Any
//             number of executors share one model; none copies a parameter through the host
//
// Nothing in the table is per layer, so that a backend may fuse, choose layouts and replay a whole
// step. Tensors cross the waist as fp32 in canonical layout: conv OIHW, dense [out, in] with the
// inputs flattened in the order C, H, W, activations NCHW.
//
// What an executor leaves in its activations is lost when another of its model runs, unless it was
// compiled for probing.
//
// Threads: a device and its objects are used by one thread at a time, except slot_wait(), which the
// loader's thread may call at any time. Destroy executors and staging before their model, models
// before the device. Destroying NULL is allowed. Failures are recorded as base/status.h says.
#ifndef FM_BACKEND_BACKEND_H
#define FM_BACKEND_BACKEND_H

#include "base/module.h"
#include "base/status.h"
#include "data/slot.h"
#include "net/net.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FM_BACKEND_ABI = 10
};

struct fm_device;
struct fm_model;
struct fm_staging;
struct fm_executor;

enum fm_precision {
    FM_PRECISION_FP32,
    FM_PRECISION_BF16,
    FM_PRECISION_FP16,
    FM_PRECISION_COUNT,
};

enum fm_mode {
    FM_MODE_TRAIN, // forward, backward, update; batch statistics; augmentation, mixing, dropout
    FM_MODE_INFER, // forward; running statistics
};

enum fm_optimiser {
    FM_OPTIMISER_ADAM,  // Kingma and Ba 2015, arXiv:1412.6980, algorithm 1
    FM_OPTIMISER_ADAMW, // with the step's weight decay, decoupled: kernels/adam.h
    FM_OPTIMISER_SGD,   // momentum, Nesterov's or not; decay added to gradients: kernels/sgd.h
};

struct fm_device_options {
    int index;   // which of several devices
    int threads; // of a processor; 0: one for each core
    // Of a GPU:
    bool tf32;              // fp32 products may round their inputs to TF32
    bool nondeterministic;  // plans whose sums may change their order are allowed
    uint64_t workspace;     // the most bytes that a plan may want; 0: 256 MiB
    const char *plan_cache; // a folder that chosen plans are kept in; NULL: they are not
};

struct fm_device_info {
    char name[128];                      // "AMD EPYC 9R14"
    char details[512];                   // "2 threads, avx512f avx512_bf16"
    char libraries[256];                 // "oneDNN 2.6.3 (compiled against 2.6.3)"
    uint64_t memory;                     // bytes
    int threads;                         // 0 where there is no such thing
    bool precisions[FM_PRECISION_COUNT]; // trains in it natively
    bool emulated[FM_PRECISION_COUNT];   // trains in it by rounding, as a model's `emulate` says
    // Why it does not train in it natively: "this processor has neither ..."; NULL where it does.
    const char *missing[FM_PRECISION_COUNT];
    enum fm_precision preferred; // what "auto" means here
};

// A whole data set that the device may keep, so that slots need carry ids alone.
struct fm_resident {
    const uint8_t *records; // [count][record_size]; not needed after the call
    const uint8_t *labels;  // [count]
    uint32_t count, record_size;
};

struct fm_optimiser_options {
    enum fm_optimiser kind;
    float beta1, beta2, epsilon; // Adam's
    float momentum;              // SGD's
    bool nesterov;
};

struct fm_model_options {
    enum fm_precision precision;
    // Computes in fp32 and rounds every tensor that would be stored in `precision`, forward and
    // backward: no faster, the same numbers within the order of sums. Where the device has the
    // precision natively, too. fp32 has nothing to emulate.
    bool emulate;
    struct fm_optimiser_options optimiser;
    bool ema; // keeps an exponential moving average of parameters, as far as they are trainable,
              // and running statistics
};

struct fm_augment {
    int shift; // each image is moved by up to so many pixels each way, zeros coming in
    bool flip; // mirrored left to right, every other image on average
    // A rectangle of zeros, within the image, over so great a share of the images; its sides are
    // ceil(erase_size / 2) to erase_size pixels (kernels/augment.h).
    float erase;
    int erase_size;
};

// Whether it asks for anything.
static inline bool fm_augment_any(const struct fm_augment *augment)
{
    return augment->shift > 0 || augment->flip || augment->erase > 0.0f;
}

// Samples that are mixed with the next of the batch, and their targets likewise (kernels/mix.h).
struct fm_mix {
    float share; // of the samples, 0 to 1
    // Of these, the share that take a rectangle of the other (CutMix), 0 to 1; the rest are
    // averaged with it (mixup). Records of features can only be averaged.
    float cut_share;
};

struct fm_compile_options {
    int batch;
    enum fm_mode mode;
    // Drawn by the step's seed and epoch and the samples' ids, in inference (which most often asks
    // for none) just as in training; not together with `mirror`, nor of records of features.
    struct fm_augment augment;
    float label_smoothing; // training only: target = (1 - s) onehot + s / classes
    struct fm_mix mix;     // training only
    // Training only: the share that the slot's soft targets have in the targets, the rest is the
    // labels' (kernels/cross_entropy.h); mixed like the labels.
    float soft_share;
    bool average; // inference only: with the EMA's parameters and running statistics
    bool mirror;  // inference only: every image mirrored left to right
    bool unfused; // one operation a primitive
    bool probe;   // every layer's activation (and its gradient) can be read; implies unfused
    bool profile; // times every operation
};

// What is read and written of a model by name.
enum fm_state_kind {
    FM_STATE_PARAM,   // fp32 master
    FM_STATE_GRAD,    // of the last training step, unscaled
    FM_STATE_MOMENT1, // Adam's m; SGD's momentum
    FM_STATE_MOMENT2, // Adam's v; SGD has none
    FM_STATE_EMA,     // of parameters and running statistics, of a model created with `ema`
    FM_STATE_RUNNING, // batch norm's running mean and variance
};

struct fm_counters {
    uint64_t applied;    // optimiser steps that changed the parameters (Adam's t)
    uint64_t skipped;    // steps skipped because a gradient was not finite
    uint64_t growths;    // times that the loss scale was doubled
    uint32_t good_steps; // since the loss scale last changed
    float loss_scale;    // fp16: kernels/loss_scale.h; else 1, always
};

// Sums over the training samples since they were last set.
struct fm_sums {
    double loss; // sum of the samples' losses
    uint64_t correct;
    uint64_t count;
    // Steps skipped that a smaller loss scale cannot cure: it was 1, or the loss itself not finite.
    uint64_t incurable;
};

enum fm_probe {
    FM_PROBE_ACTIVATION, // the layer's output
    FM_PROBE_GRADIENT,   // the loss's gradient with respect to it (training executors)
};

struct fm_profile_entry {
    char layer[FM_NAME_MAX]; // "conv2", or "-" for the whole step's
    char pass[24];  // "forward", "loss", "backward recompute|prepare|weights|data", "update"
    char plan[96];  // the implementation chosen
    double seconds; // sum over `calls`
    uint64_t calls; // a backend may leave out the first, which load what they run
    double flops;   // of one call
    double bytes;   // read and written by one call, each tensor once, by the layer's definition
};

struct fm_backend {
    uint32_t abi;      // FM_BACKEND_ABI
    const char *name;  // "cpu"
    const char *title; // "CPU (oneDNN)"

    // Device. One that is not there fails with FM_NOT_FOUND, an unusable one with FM_UNSUPPORTED,
    // and both say why.
    enum fm_status (*device_open)(
        const struct fm_device_options *options, struct fm_device **device);
    void (*device_close)(struct fm_device *device);
    void (*device_describe)(const struct fm_device *device, struct fm_device_info *info);
    // Bytes of the device's own memory that its objects have held at most, all together, since it
    // was opened; *available becomes what was free then. Both are 0 of a device without memory of
    // its own, as a processor: there the process's memory is what counts.
    uint64_t (*memory_peak)(const struct fm_device *device, uint64_t *available);
    // Joules that the device has used since some moment, by its own counter: what it uses while
    // idle and what others have it do is in it, and it moves in steps of some ten milliseconds. Two
    // readings tell what was used between them. FM_UNSUPPORTED, with the reason, of one without.
    enum fm_status (*energy)(struct fm_device *device, double *joules);

    // Model. Parameters start at zero, running statistics at their initial values; `net` is copied.
    // A precision that the device cannot compute in as asked for fails with FM_UNSUPPORTED and the
    // reason.
    enum fm_status (*model_create)(struct fm_device *device, const struct fm_net *net,
        const struct fm_model_options *options, struct fm_model **model);
    void (*model_destroy)(struct fm_model *model);
    // `count` must be the tensor's; FM_NOT_FOUND for a name that the kind does not have.
    enum fm_status (*model_get)(struct fm_model *model, enum fm_state_kind kind, const char *name,
        float *data, size_t count);
    enum fm_status (*model_set)(struct fm_model *model, enum fm_state_kind kind, const char *name,
        const float *data, size_t count);
    // Where the tensor lies, `count` values, for the caller to read or write there before the model
    // is next used, in place of model_get() and model_set(); not of gradients. The model counts as
    // changed from now on. NULL in a backend whose models are not in the processor's memory.
    enum fm_status (*model_memory)(struct fm_model *model, enum fm_state_kind kind,
        const char *name, size_t count, float **data);
    enum fm_status (*counters_get)(struct fm_model *model, struct fm_counters *counters);
    enum fm_status (*counters_set)(struct fm_model *model, const struct fm_counters *counters);
    // With `wait` the sums of all submitted steps, else those of the steps known to be finished:
    // the newest that earlier calls could learn of, so that one who calls after each step is kept
    // told.
    enum fm_status (*sums_get)(struct fm_model *model, bool wait, struct fm_sums *sums);
    enum fm_status (*sums_set)(struct fm_model *model, const struct fm_sums *sums);

    // Staging: FM_SLOTS slots of `capacity` samples, shared by the model's executors and, for
    // predict(), by those of any model of the device whose records are as large; records of
    // fm_input_record_size() bytes, the first of them aligned to 64. Where the
    // device keeps `resident` (which may be NULL), the slots' ids are places in it and their
    // records and labels are NULL; a backend may also ignore it.
    enum fm_status (*staging_create)(struct fm_model *model, uint32_t capacity,
        const struct fm_resident *resident, struct fm_staging **staging);
    void (*staging_destroy)(struct fm_staging *staging);
    struct fm_slot *(*staging_slot)(struct fm_staging *staging, int slot);
    // Returns when the slot's contents have been taken, so that it may be refilled.
    enum fm_status (*slot_wait)(struct fm_staging *staging, int slot);

    // Executor. FM_USAGE for training of a network that ends in features, as of score() below.
    enum fm_status (*compile)(struct fm_model *model, const struct fm_compile_options *options,
        struct fm_executor **executor);
    void (*executor_destroy)(struct fm_executor *executor);
    // One training step on the slot; returns at once where the device allows. step->count must be
    // the executor's batch: a training batch is never padded.
    enum fm_status (*submit)(struct fm_executor *executor, struct fm_staging *staging, int slot);
    // Inference on the slot's step->count (at most the batch) samples: logits [count][classes],
    // before the softmax; of a network that ends in features, these, [count][outputs] in the order
    // C, H, W, as the precision has them. Returns when they are there.
    enum fm_status (*predict)(
        struct fm_executor *executor, struct fm_staging *staging, int slot, float *logits);
    // Inference like predict(), but its results stay on the device, where the executor's scores
    // grow. Returns at once where the device allows.
    enum fm_status (*score)(struct fm_executor *executor, struct fm_staging *staging, int slot);
    // The scores of all calls of score() since the last of this one: sums of unsmoothed losses, and
    // confusion [label][predicted]. Waits for them.
    enum fm_status (*scores_take)(
        struct fm_executor *executor, struct fm_sums *scores, uint64_t *confusion);
    // From an executor compiled for probing, after its last submit or predict: layer's tensor, NCHW
    // [batch][c][h][w]. layer -1: the input after augmentation, mixing and normalisation.
    enum fm_status (*executor_read)(
        struct fm_executor *executor, int layer, enum fm_probe probe, float *data, size_t count);
    // From an executor compiled with `profile`: entries [0, *count) in the order of execution;
    // `capacity` bounds what is written, *count is what there is.
    enum fm_status (*executor_profile)(struct fm_executor *executor,
        struct fm_profile_entry *entries, size_t capacity, size_t *count);
    // From here on, with `on`, the device times the executor's submits and predicts by its own
    // clock. FM_UNSUPPORTED of one that has none, as a processor, whose work the host sees whole.
    enum fm_status (*executor_time)(struct fm_executor *executor, bool on);
    // Seconds from the begin of the last timed run's work on the device to its end; waits for it.
    // Of predict() with both copies, of submit() without the upload, which others hide.
    enum fm_status (*executor_seconds)(struct fm_executor *executor, double *seconds);
    // Bytes that compiling it has added: its own, and of the activations that the model's executors
    // share those that were not there yet; without working copies of weights, which are the
    // model's.
    uint64_t (*executor_memory)(const struct fm_executor *executor);
    // Calls `emit` with a line for every plan chosen ("conv2 forward: jit:avx512_core").
    void (*executor_plans)(const struct fm_executor *executor,
        void (*emit)(void *context, const char *line), void *context);
};

// The function that a backend's module exports (base/module.h): it gives out a struct fm_backend.
#define FM_BACKEND_ENTRY "fm_backend_module"

#endif
