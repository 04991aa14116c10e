// The project's own CUDA kernels: what cuDNN and cuBLASLt do not do, or do in more passes.
//
// A file an operation; each has a launch function that takes one struct. All of them
//
//   - only enqueue work on the stream (they can be captured) and wait for nothing;
//   - take device pointers, of tensors aligned to 16 bytes; scratch is the caller's;
//   - return cudaErrorInvalidValue for a pointer that is missing or misaligned and for a shape that
//     they do not take, and launch nothing then;
//   - give the same bits whatever the order of blocks and threads: sums are made in a fixed order
//     that depends on the shape alone, and no float is added atomically.
//
// Activations are NHWC ([n][h][w][c]; a dense layer's [n][c] is the same with h = w = 1), of fp32,
// fp16 or bf16, and arithmetic on them is in fp32. Accesses are of 16 bytes where the number of
// channels is a multiple of FM_CUDA_VECTOR, as all models' are; other numbers work, slower.
//
// Layout of the parameters on the device: KRSC (output channel, row, column, input channel), which
// is what cuDNN and cuBLASLt read and write; a dense layer's [out][in] with `in` flattened in the
// order H, W, C. Masters, moments, averages, working copies and gradients all lie in it, at the
// same offsets, so that an update is one flat pass. Only what crosses the backend's interface is
// converted (layout.cu). Every parameter begins at a multiple of FM_CUDA_VECTOR elements, and the
// gap behind it holds zeros in every range: an update keeps them zero.
//
// C and C++. Arithmetic shared with the CPU is in the other headers of this folder.
#ifndef FM_KERNELS_CUDA_KERNELS_H
#define FM_KERNELS_CUDA_KERNELS_H

#include "mix.h"
#include "step.h"

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FM_CUDA_VECTOR = 8,             // elements that a thread reads and writes at once
    FM_CUDA_CHUNK = 2048,           // elements of a parameter that a block updates
    FM_CUDA_RECORD_MAX = 32 * 32,   // bytes of a record of pixels; the input kernel's shared memory
                                    // is six times as much
    FM_CUDA_INPUT_CHANNELS_MAX = 3, // of the network's input
    FM_CUDA_CLASSES_MAX = 256,      // of logits, padding included
    FM_CUDA_COLUMN_CHUNKS_MAX = 512, // parts that a sum over rows is made in
};

// What an element is stored as.
enum fm_cuda_type {
    FM_CUDA_F32,
    FM_CUDA_F16,
    FM_CUDA_BF16,
};

static inline size_t fm_cuda_size(enum fm_cuda_type type)
{
    return type == FM_CUDA_F32 ? 4 : 2;
}

// ---- what a model keeps on the device about its steps

// Sums over samples since they were last set: struct fm_sums of the backend's interface.
struct fm_cuda_sums {
    double loss;
    uint64_t correct, count;
    uint64_t incurable; // skipped steps that a smaller loss scale cannot cure
};

// Starts as zeros but for loss_scale. The kernels of a step pass it on: cross_entropy, finite,
// step, update, commit.
struct fm_cuda_state {
    struct fm_cuda_sums sums;
    uint64_t applied, skipped, growths; // struct fm_counters of the backend's interface
    uint32_t good_steps;
    float loss_scale;
    // Of the step in flight.
    uint32_t overflow;    // set by `finite`, taken and cleared by `step`
    uint32_t loss_finite; // written by `cross_entropy`
    // Of the last step decided.
    uint32_t finite;                // 1: it counts
    float gradient_scale;           // what its gradients are multiplied by
    float unscale;                  // 1 / gradient_scale
    float correction1, correction2; // Adam's, of the applied step
    uint32_t reserved;
};

// ---- input.cu: u8 records to the network's input

struct fm_cuda_input {
    enum fm_cuda_type type;
    const uint8_t *records;     // [.][rows][cols]
    const uint32_t *ids;        // [images]: the counters of the draws
    const struct fm_step *step; // images from step->count on become zeros
    void *out;                  // [images][height][width][channels]
    int images, height, width, channels;
    int gather;  // 1: image n's record is records[ids[n]] (the whole data set is there)
    int augment; // what `ranges` allows is drawn
    int mirror;  // without augment: every image is mirrored left to right
    struct fm_augment_ranges ranges; // with the records' rows and cols
    struct fm_mix_ranges mix;        // likewise
    // fm_normalise's, for each channel: 1 / (255 deviation), -mean / deviation.
    float scale[FM_CUDA_INPUT_CHANNELS_MAX], offset[FM_CUDA_INPUT_CHANNELS_MAX];
};
cudaError_t fm_launch_input(const struct fm_cuda_input *work, cudaStream_t stream);

// ---- features.cu: fp32 records of features to the network's input

struct fm_cuda_features {
    enum fm_cuda_type type;
    const float *records;       // [.][count]
    const uint32_t *ids;        // [samples]: the counters of the draws
    const struct fm_step *step; // samples from step->count on become zeros
    void *out;                  // [samples][count]
    int samples, count;
    int gather; // 1: sample n's record is records[ids[n]] (the whole data set is there)
    struct fm_mix_ranges mix; // whose cut_threshold is 0
};
cudaError_t fm_launch_features(const struct fm_cuda_features *work, cudaStream_t stream);

// ---- maxpool.cu: 2x2, stride 2; an odd last row or column is dropped

struct fm_cuda_maxpool {
    enum fm_cuda_type type;
    int images, height, width, channels; // of x; y has height / 2 and width / 2
    const void *x;                       // forward
    void *y;                             // forward
    uint8_t *index;     // [outputs]: which of the window's four; forward writes it unless NULL
    const void *dy;     // backward
    const void *gate;   // backward: y, or NULL. dy passes where y > 0 (behind a ReLU), times
                        // fm_dropout_scale(dropout_rate)
    float dropout_rate; // backward, with a gate: of a dropout of y in place, whose backward is
                        // done, too; 0: none
    void *dx;           // backward
};
cudaError_t fm_launch_maxpool_forward(const struct fm_cuda_maxpool *work, cudaStream_t stream);
cudaError_t fm_launch_maxpool_backward(const struct fm_cuda_maxpool *work, cudaStream_t stream);

// ---- meanpool.cu: over all pixels

struct fm_cuda_meanpool {
    enum fm_cuda_type type;
    int images, pixels, channels;
    const void *from; // forward: [images][pixels][channels]; backward: [images][channels]
    void *to;         // the other way round
};
cudaError_t fm_launch_meanpool_forward(const struct fm_cuda_meanpool *work, cudaStream_t stream);
cudaError_t fm_launch_meanpool_backward(const struct fm_cuda_meanpool *work, cudaStream_t stream);

// ---- dropout.cu

struct fm_cuda_dropout {
    enum fm_cuda_type type;
    int images, pixels, channels;
    const void *from;           // x, or dy
    void *to;                   // y, or dx; may be `from`
    uint8_t *keep;              // [ceil(elements / 8)]: a bit an element, in memory order; forward
                                // writes it unless NULL
    const uint32_t *ids;        // forward: [images]
    const struct fm_step *step; // forward
    uint32_t stream;            // forward: FM_STREAM_DROPOUT + the layer's ordinal
    float rate;
};
// Forward draws which elements stay and applies that; backward applies `keep`.
cudaError_t fm_launch_dropout_forward(const struct fm_cuda_dropout *work, cudaStream_t stream);
cudaError_t fm_launch_dropout_backward(const struct fm_cuda_dropout *work, cudaStream_t stream);

// ---- relu.cu

struct fm_cuda_relu {
    enum fm_cuda_type type;
    size_t count;
    const void *x;      // forward
    void *y;            // forward; may be x
    const void *gate;   // backward: y
    const void *dy;     // backward
    void *dx;           // backward: dy * fm_dropout_scale(dropout_rate) where y > 0; may be dy
    float dropout_rate; // backward: of a dropout of y in place, whose backward is done, too; or 0
};
cudaError_t fm_launch_relu_forward(const struct fm_cuda_relu *work, cudaStream_t stream);
cudaError_t fm_launch_relu_backward(const struct fm_cuda_relu *work, cudaStream_t stream);

// ---- bias.cu

// Parts that a sum over so many rows is made in. Scratch is floats: parts * channels for each sum.
static inline int fm_cuda_column_chunks(size_t rows)
{
    size_t chunks = (rows + 63) / 64;
    if (chunks < 1)
        return 1;
    return chunks < FM_CUDA_COLUMN_CHUNKS_MAX ? (int)chunks : FM_CUDA_COLUMN_CHUNKS_MAX;
}

struct fm_cuda_bias {
    enum fm_cuda_type type;
    int rows, channels; // rows: n * h * w
    enum fm_cuda_type bias_type;
    const void *bias; // forward: [channels]
    void *y;          // forward: y += bias, in place
    int relu;         // forward: and then max(y, 0)
    const void *dy;   // backward
    const void *gate; // backward: y, where a ReLU is behind the bias; NULL: none is, and no dx
    void *dx;         // backward: dy where y > 0; may be dy
    void *gradient;   // backward: [channels] of bias_type, the sum of dx or, without a gate, of dy
    float *scratch;   // backward: [fm_cuda_column_chunks(rows) * channels]
};
cudaError_t fm_launch_bias_forward(const struct fm_cuda_bias *work, cudaStream_t stream);
cudaError_t fm_launch_bias_backward(const struct fm_cuda_bias *work, cudaStream_t stream);

// ---- norm.cu: batch norm (Ioffe and Szegedy 2015, arXiv:1502.03167), with a ReLU behind it

struct fm_cuda_norm {
    enum fm_cuda_type type;
    int rows, channels; // rows: n * h * w
    int relu;
    float epsilon;
    const void *x;
    void *y;                            // backward: read if `relu`
    const float *gamma, *beta;          // [channels]
    float *mean, *inverse;              // [channels]: of the batch; training writes, backward reads
    float *batch_mean, *batch_variance; // training: [channels], for `commit`; variance unbiased
    const float *running_mean, *running_variance; // inference: [channels]
    const void *dy;                               // backward
    void *dx;                                     // backward; may be dy
    float *dgamma, *dbeta;                        // backward: [channels]
    float *coefficients;                          // scratch [3 * channels]
    float *scratch; // training and backward: [2 * fm_cuda_column_chunks(rows) * channels]
};
cudaError_t fm_launch_norm_training(const struct fm_cuda_norm *work, cudaStream_t stream);
cudaError_t fm_launch_norm_inference(const struct fm_cuda_norm *work, cudaStream_t stream);
cudaError_t fm_launch_norm_backward(const struct fm_cuda_norm *work, cudaStream_t stream);

// ---- fold.cu: batch norm's running statistics folded into the layer in front of it

struct fm_cuda_fold {
    enum fm_cuda_type type, bias_type;
    int outputs;         // channels of the batch norm
    size_t each;         // elements of the weight for each of them
    const float *weight; // [outputs][each]
    const float *bias;   // [outputs], or NULL
    const float *gamma, *beta, *running_mean, *running_variance; // [outputs]
    float epsilon;
    void *folded_weight; // [outputs][each] of `type`
    void *folded_bias;   // [outputs] of `bias_type`
};
cudaError_t fm_launch_fold(const struct fm_cuda_fold *work, cudaStream_t stream);

// ---- cross_entropy.cu: the loss, its gradient, and what a training step sums

struct fm_cuda_cross_entropy {
    int rows;                   // samples
    int classes, pitch;         // columns of a row: `classes` logits, zeros up to `pitch`
    enum fm_cuda_type type;     // of the logits
    const void *logits;         // [rows][pitch]
    const uint8_t *labels;      // each below `classes`
    const uint32_t *ids;        // [rows]: the counters of the draws
    const struct fm_step *step; // its seed and epoch
    int gather;                 // 1: row n's label is labels[ids[n]], else labels[n]
    float smoothing;
    struct fm_mix_ranges mix;
    float soft_share;          // the share that soft_targets have in the targets, 0 to 1
    const float *soft_targets; // [rows][classes]; may be NULL where their share is 0
    enum fm_cuda_type gradient_type;
    void *gradient; // [rows][pitch], of the mean loss times state->loss_scale; padding gets zeros
    struct fm_cuda_state *state; // its sums grow, its loss_finite is written
};
cudaError_t fm_launch_cross_entropy(const struct fm_cuda_cross_entropy *work, cudaStream_t stream);

// ---- metrics.cu: what inference reports

struct fm_cuda_metrics {
    int rows; // the executor's batch; only the first step->count are taken
    int classes, pitch;
    enum fm_cuda_type type;
    const void *logits; // [rows][pitch]
    const struct fm_step *step;
    float *compact;            // [rows][classes], or NULL
    const uint8_t *labels;     // each below `classes`; NULL: nothing below is written
    const uint32_t *ids;       // [rows]: row n's label is labels[ids[n]]; NULL: labels[n]
    struct fm_cuda_sums *sums; // loss (unsmoothed), correct and count grow; or NULL
    uint32_t *confusion;       // [label][predicted] grows; or NULL
};
cudaError_t fm_launch_metrics(const struct fm_cuda_metrics *work, cudaStream_t stream);

// ---- the end of a step: finite.cu (once a range), step.cu, update.cu, commit.cu

struct fm_cuda_finite {
    enum fm_cuda_type type;
    const void *gradients;
    size_t count;
    struct fm_cuda_state *state; // overflow becomes 1 if an element is infinite or a NaN
};
cudaError_t fm_launch_finite(const struct fm_cuda_finite *work, cudaStream_t stream);

// Decides whether the step counts: counters, Adam's corrections, the next loss scale.
struct fm_cuda_decision {
    struct fm_cuda_state *state;
    int scaled;         // fp16: the loss scale follows the steps
    float beta1, beta2; // Adam's
};
cudaError_t fm_launch_step(const struct fm_cuda_decision *work, cudaStream_t stream);

enum {
    FM_CUDA_PARAM_TRAINED = 1, // else only its average follows
    FM_CUDA_PARAM_DECAYS = 2,
    FM_CUDA_PARAM_GRADIENT_F32 = 4, // its gradient lies in the fp32 range
};

struct fm_cuda_param {
    uint64_t offset;          // of its first element: a multiple of FM_CUDA_VECTOR
    uint64_t gradient_offset; // the same, in the range of its gradient
    uint32_t count;
    uint32_t flags;
    float lr_multiplier;
    uint32_t reserved;
};

// A block's part of a parameter: elements [first, first + FM_CUDA_CHUNK) of it.
struct fm_cuda_chunk {
    uint32_t param, first;
};

// Chunks of `count` params; written unless `chunks` is NULL.
static inline size_t fm_cuda_chunks(
    const struct fm_cuda_param *params, int count, struct fm_cuda_chunk *chunks)
{
    size_t total = 0;
    for (int i = 0; i < count; i++)
        for (uint32_t first = 0; first < params[i].count; first += FM_CUDA_CHUNK, total++)
            if (chunks) {
                chunks[total].param = (uint32_t)i;
                chunks[total].first = first;
            }
    return total;
}

enum fm_cuda_optimiser {
    FM_CUDA_ADAM, // adam.h
    FM_CUDA_SGD,  // sgd.h
};

struct fm_cuda_update {
    enum fm_cuda_optimiser optimiser;
    float beta1, beta2, epsilon; // Adam's
    float momentum;              // SGD's
    int nesterov;
    const struct fm_cuda_param *params; // on the device
    const struct fm_cuda_chunk *chunks; // on the device
    int chunk_count;
    enum fm_cuda_type type;     // of low_gradients and working; FM_CUDA_F32: neither is used
    const void *low_gradients;  // gradients of `type`
    const float *f32_gradients; // gradients of params with FM_CUDA_PARAM_GRADIENT_F32
    float *masters, *moment1, *moment2; // SGD has no moment2
    float *average;                     // or NULL
    void *working;                      // copies of the masters in `type`
    const struct fm_step *step;
    const struct fm_cuda_state *state; // decided; unless it is finite, nothing changes
};
cudaError_t fm_launch_update(const struct fm_cuda_update *work, cudaStream_t stream);

// Running statistics: running = (1 - momentum) running + momentum batch, and their average; nothing
// unless state->finite.
struct fm_cuda_commit {
    size_t count;
    float momentum;
    const float *batch;
    float *running, *average; // average: or NULL
    const struct fm_step *step;
    const struct fm_cuda_state *state;
};
cudaError_t fm_launch_commit(const struct fm_cuda_commit *work, cudaStream_t stream);

// ---- for profiles

// hold.cu: nothing, for about so long.
cudaError_t fm_launch_hold(unsigned microseconds, cudaStream_t stream);

// ---- conversions

// cast.cu: the same elements as another type.
struct fm_cuda_cast {
    enum fm_cuda_type from_type, to_type;
    size_t count;
    const void *from;
    void *to;
};
cudaError_t fm_launch_cast(const struct fm_cuda_cast *work, cudaStream_t stream);

// layout.cu: [outer][rows][columns] becomes [outer_to][columns][rows], cut or filled up with zeros
// to outer_to. So
//   OIHW to KRSC: outer = O, rows = I, columns = H * W; back: rows = H * W, columns = I
//   NHWC to NCHW: outer = N, rows = H * W, columns = C
struct fm_cuda_layout {
    enum fm_cuda_type from_type, to_type;
    int outer, outer_to, rows, columns;
    const void *from;
    void *to;
};
cudaError_t fm_launch_layout(const struct fm_cuda_layout *work, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
