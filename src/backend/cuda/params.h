// Where parameters and running statistics lie on the device: plain arithmetic over a network.
//
// Masters, moments, averages and working copies share one set of offsets; a gradient lies in the
// range of its type. Every tensor begins at a multiple of FM_CUDA_VECTOR elements, and the gaps are
// zeros. A weight is KRSC, a dense layer's input in the order H, W, C; the head (the last layer)
// has its outputs padded to a multiple of FM_CUDA_VECTOR with zero weights.
#ifndef FM_CUDA_PARAMS_H
#define FM_CUDA_PARAMS_H

#include "cuda_kernels.h"
#include "net/net.h"

struct fm_cuda_place {
    uint64_t offset; // elements
    uint32_t count;  // elements, padding included
    // A parameter that is not trained has none, but for batch norm's: the sums that its input's
    // gradient needs are those.
    bool has_gradient;
    bool gradient_f32;        // batch norm's are fp32 in every precision
    uint64_t gradient_offset; // elements, in the range of the gradient's type
    // Canonical [outer][rows][columns] lies as [outer_to][columns][rows] (struct fm_cuda_layout).
    int outer, outer_to, rows, columns;
};

struct fm_cuda_params {
    enum fm_cuda_type type; // of working copies and low gradients; FM_CUDA_F32: there are none
    struct fm_cuda_place places[FM_PARAMS_MAX];    // by the network's params
    uint64_t running_offsets[FM_PARAMS_MAX];       // by the network's running statistics, elements
    uint64_t elements, low_elements, f32_elements; // of masters; of gradients of both types
    uint64_t running_elements;
    int classes, pitch; // of a row of logits: without and with padding
};

void fm_cuda_params_place(
    const struct fm_net *net, enum fm_cuda_type type, struct fm_cuda_params *params);

#endif
