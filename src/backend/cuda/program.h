// A network as a list of commands over buffers: what lower.c makes of it, arena.c lays out, and
// run.c enqueues.
//
// It is plain data and made without a device, so that every graph and every byte of a model can be
// listed for a GPU that is not there. Commands are in the order of execution; a tensor is a
// reference by role, so what lives when is read off the list.
#ifndef FM_CUDA_PROGRAM_H
#define FM_CUDA_PROGRAM_H

#include "backend/backend.h"
#include "backend/cuda/caps.h"
#include "backend/cuda/dense.h"
#include "backend/cuda/graph.h"
#include "backend/cuda/params.h"

enum fm_cuda_command_kind {
    FM_COMMAND_FOLD, // inference: what is computed with, renewed when the weights have changed
    FM_COMMAND_CAST,
    FM_COMMAND_INPUT,    // from images
    FM_COMMAND_FEATURES, // from records of features
    FM_COMMAND_GRAPH,
    FM_COMMAND_DENSE,
    FM_COMMAND_BIAS_FORWARD, // the kernels of cuda_kernels.h
    FM_COMMAND_BIAS_BACKWARD,
    FM_COMMAND_RELU_FORWARD,
    FM_COMMAND_RELU_BACKWARD,
    FM_COMMAND_NORM_TRAINING,
    FM_COMMAND_NORM_INFERENCE,
    FM_COMMAND_NORM_BACKWARD,
    FM_COMMAND_MAXPOOL_FORWARD,
    FM_COMMAND_MAXPOOL_BACKWARD,
    FM_COMMAND_MEANPOOL_FORWARD,
    FM_COMMAND_MEANPOOL_BACKWARD,
    FM_COMMAND_DROPOUT_FORWARD,
    FM_COMMAND_DROPOUT_BACKWARD,
    FM_COMMAND_CROSS_ENTROPY,
    FM_COMMAND_METRICS,
    FM_COMMAND_LAYOUT, // features to the order C, H, W
    FM_COMMAND_FINITE, // once a range of gradients
    FM_COMMAND_STEP,
    FM_COMMAND_UPDATE,
    FM_COMMAND_COMMIT,
};

enum fm_cuda_pass {
    FM_CUDA_FORWARD,
    FM_CUDA_LOSS,
    FM_CUDA_PREPARE, // backward: what both of the next need
    FM_CUDA_WEIGHTS,
    FM_CUDA_DATA,
    FM_CUDA_UPDATE,
    FM_CUDA_PASSES,
};

struct fm_cuda_command {
    enum fm_cuda_command_kind kind;
    enum fm_cuda_pass pass;
    int layer; // the first that it computes; -1: the input's or the whole step's
    struct fm_cuda_ref at[FM_TENSOR_ROLES];
    union { // what is known before anything is allocated; pointers are filled in from `at`
        struct fm_cuda_graph_spec graph;
        struct fm_cuda_dense_spec dense;
        struct fm_cuda_fold fold;
        struct fm_cuda_cast cast;
        struct fm_cuda_input input;
        struct fm_cuda_features features;
        struct fm_cuda_bias bias;
        struct fm_cuda_relu relu;
        struct fm_cuda_norm norm;
        struct fm_cuda_maxpool maxpool;
        struct fm_cuda_meanpool meanpool;
        struct fm_cuda_dropout dropout;
        struct fm_cuda_cross_entropy cross_entropy;
        struct fm_cuda_metrics metrics;
        struct fm_cuda_layout layout;
        struct fm_cuda_finite finite;
    } of;
    double flops, bytes; // of one run: multiply-adds count two; each tensor once
};

struct fm_cuda_buffer {
    uint64_t bytes;
    bool kept;       // never shares its memory: weights of inference, everything of a probe
    int first, last; // the commands between which it holds something; arena.c
    uint64_t offset; // in the arena; arena.c
};

// What a layer's tensors are for a probe: buffers, or -1. [0] is the input, [layer + 1] a layer's.
struct fm_cuda_probed {
    int activation, gradient;
    enum fm_cuda_type activation_type, gradient_type;
    int pitch; // channels of a pixel, padding included
};

struct fm_cuda_program {
    struct fm_cuda_command *commands;
    int count, capacity;
    int renew; // commands [0, renew) run only when the weights have changed
    struct fm_cuda_buffer *buffers;
    int buffer_count, buffer_capacity;
    struct fm_cuda_probed probed[FM_LAYERS_MAX + 1];
    // Inference: the buffer of what is predicted, fp32 [batch][outputs]: logits without padding, or
    // features in the order C, H, W.
    int compact;
    uint64_t arena; // bytes; arena.c
};

// Everything that a program depends on.
struct fm_cuda_source {
    const struct fm_net *net;
    const struct fm_cuda_params *params;
    const struct fm_cuda_caps *caps;
    const struct fm_model_options *model;
    const struct fm_compile_options *compile;
};

// On failure, too, fm_cuda_program_free() frees what there is.
enum fm_status fm_cuda_lower(const struct fm_cuda_source *source, struct fm_cuda_program *program);
void fm_cuda_program_free(struct fm_cuda_program *program);

// A new command, all zero, valid until the next; NULL: out of memory. A new buffer; -1 likewise.
struct fm_cuda_command *fm_cuda_program_command(struct fm_cuda_program *program);
int fm_cuda_program_buffer(struct fm_cuda_program *program, uint64_t bytes);

// Adds a buffer that `command` alone uses, as the tensor of `role`: workspaces, whose size is known
// once plans are chosen. Nothing for no bytes.
enum fm_status fm_cuda_program_scratch(
    struct fm_cuda_program *program, int command, enum fm_cuda_role role, uint64_t bytes);

// Gives every buffer its place, so that those which hold something at the same time do not overlap.
enum fm_status fm_cuda_arena_plan(struct fm_cuda_program *program);

// For messages and profiles: "conv1" ("input", "-": the whole step's); "conv bias relu fp16 ...",
// "maxpool kernel"; "forward".
const char *fm_cuda_command_layer(const struct fm_cuda_command *command, const struct fm_net *net);
void fm_cuda_command_operation(const struct fm_cuda_command *command, char *name, size_t size);
const char *fm_cuda_pass_name(enum fm_cuda_pass pass);

#endif
