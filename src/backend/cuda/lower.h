// Inside lowering: the network as blocks (layers that are computed together) over values.
//
// lower.c groups layers into blocks and drives; lower_forward.c and lower_backward.c make a block's
// commands; lower_emit.c adds commands and buffers to the program.
#ifndef FM_CUDA_LOWER_H
#define FM_CUDA_LOWER_H

#include "backend/cuda/program.h"

enum fm_cuda_block_kind {
    FM_BLOCK_INPUT,
    FM_BLOCK_CONV,
    FM_BLOCK_DENSE,
    FM_BLOCK_BIAS, // of the convolution or dense layer in front, where it is not fused
    FM_BLOCK_NORM,
    FM_BLOCK_RELU,
    FM_BLOCK_MAXPOOL,
    FM_BLOCK_MEANPOOL,
    FM_BLOCK_DROPOUT,
};

// A tensor between blocks and, in training, its gradient: buffers of the program, -1 where none is.
struct fm_cuda_value {
    struct fm_shape shape;
    int pitch; // channels of a pixel, padding included
    enum fm_cuda_type type, gradient_type;
    int activation, gradient;
};

struct fm_cuda_block {
    enum fm_cuda_block_kind kind;
    int first, last; // layers; -1: the input
    struct fm_cuda_value *in, *out;
    bool bias;       // conv, dense: added by the product
    bool relu;       // conv, dense, norm: applied behind it
    bool relu_gated; // conv: the max-pool behind does the ReLU's backward
    // dense: the dense layer behind does the ReLU's backward, by the mask, and the bias's gradient
    bool leaves_mask;
    bool backward_in_front; // dropout: the block in front does its backward
    float dropout_behind;   // dense, max-pool: the rate of the dropout whose backward it does, or 0
    int norm_layer;         // conv: a batch norm folded in, or -1
    bool trains, input_gradient;
    int mask, mean, inverse;        // buffers left for the backward, or -1
    int folded_weight, folded_bias; // buffers of a convolution with a batch norm folded in
};

struct fm_cuda_lowering {
    const struct fm_cuda_source *source;
    struct fm_cuda_program *program;
    const struct fm_net *net;
    enum fm_cuda_type type;
    int batch;
    bool training, fuses, probes;
    bool cudnn_norm; // batch norm's training has engines
    struct fm_cuda_block *blocks;
    struct fm_cuda_value *values; // [block]: its output
    int block_count;
    int weights; // the buffer of averaged working copies, or -1
    bool out_of_memory;
    struct fm_cuda_command lost; // takes what could not be emitted
};

// ---- lower_emit.c

// A new command and a new buffer; a failure of either (out of memory) is kept for
// fm_cuda_emit_status(), so that building a list needs no check a line.
struct fm_cuda_command *fm_cuda_emit(struct fm_cuda_lowering *low, enum fm_cuda_command_kind kind,
    enum fm_cuda_pass pass, int layer);
int fm_cuda_buffer(struct fm_cuda_lowering *low, uint64_t bytes);
void fm_cuda_use(struct fm_cuda_command *command, enum fm_cuda_role role, int buffer);
// A scratch of the command emitted last.
void fm_cuda_scratch(struct fm_cuda_lowering *low, enum fm_cuda_role role, uint64_t bytes);
enum fm_status fm_cuda_emit_status(const struct fm_cuda_lowering *low);

// Of a parameter, by the network's index: to compute with, in fp32, and its gradient.
struct fm_cuda_ref fm_cuda_working_ref(const struct fm_cuda_lowering *low, int param);
struct fm_cuda_ref fm_cuda_master_ref(const struct fm_cuda_lowering *low, int param);
struct fm_cuda_ref fm_cuda_gradient_ref(const struct fm_cuda_lowering *low, int param);
// Of a running statistic.
struct fm_cuda_ref fm_cuda_running_ref(
    const struct fm_cuda_lowering *low, enum fm_cuda_space space, int running);

// Elements of a value, and of its pixels over the batch.
size_t fm_cuda_value_elements(const struct fm_cuda_lowering *low, const struct fm_cuda_value *v);
size_t fm_cuda_value_rows(const struct fm_cuda_lowering *low, const struct fm_cuda_value *v);
int fm_cuda_value_buffer(
    struct fm_cuda_lowering *low, const struct fm_cuda_value *v, enum fm_cuda_type type);
bool fm_cuda_param_trains(const struct fm_cuda_lowering *low, int param);

// ---- what a block's forward and backward have in common: lower_forward.c

struct fm_cuda_graph_spec fm_cuda_conv_spec(
    const struct fm_cuda_lowering *low, const struct fm_layer *layer, enum fm_cuda_graph_kind kind);
struct fm_cuda_graph_spec fm_cuda_norm_spec(const struct fm_cuda_lowering *low,
    const struct fm_cuda_block *block, enum fm_cuda_graph_kind kind);
bool fm_cuda_norm_by_cudnn(const struct fm_cuda_lowering *low, const struct fm_cuda_block *block);
struct fm_cuda_norm fm_cuda_norm_work(
    const struct fm_cuda_lowering *low, const struct fm_cuda_block *block);
size_t fm_cuda_norm_scratch(const struct fm_cuda_norm *work);
struct fm_cuda_maxpool fm_cuda_maxpool_work(
    const struct fm_cuda_lowering *low, const struct fm_cuda_block *block);
struct fm_cuda_meanpool fm_cuda_meanpool_work(
    const struct fm_cuda_lowering *low, const struct fm_cuda_block *block);
struct fm_cuda_dropout fm_cuda_dropout_work(
    const struct fm_cuda_lowering *low, const struct fm_cuda_block *block);

// ---- a block's commands

void fm_cuda_lower_renew(struct fm_cuda_lowering *low); // averaged copies, folded batch norms
void fm_cuda_lower_forward(struct fm_cuda_lowering *low, struct fm_cuda_block *block);
void fm_cuda_lower_backward(struct fm_cuda_lowering *low, struct fm_cuda_block *block);

#endif
