// What a tensor is to the operation that it belongs to.
#ifndef FM_CUDA_TENSORS_H
#define FM_CUDA_TENSORS_H

#include "cuda_kernels.h"

enum fm_cuda_role {
    FM_TENSOR_X,
    FM_TENSOR_Y,
    FM_TENSOR_WEIGHT,
    FM_TENSOR_BIAS,
    FM_TENSOR_DX,
    FM_TENSOR_DY,
    FM_TENSOR_DWEIGHT,
    FM_TENSOR_DBIAS,
    FM_TENSOR_GATE,  // a gradient passes where this is > 0: what a ReLU left, or of it a pool or
                     // dropout
    FM_TENSOR_MASK,  // bits or bytes that a forward pass leaves for its backward
    FM_TENSOR_SCALE, // batch norm's gamma
    FM_TENSOR_SHIFT, // and beta
    FM_TENSOR_DSCALE,
    FM_TENSOR_DSHIFT,
    FM_TENSOR_MEAN,    // of the batch, for the backward
    FM_TENSOR_INVERSE, // 1 / sqrt(variance + epsilon) of the batch, for the backward
    FM_TENSOR_RUNNING_MEAN,
    FM_TENSOR_RUNNING_VARIANCE,
    FM_TENSOR_BATCH_MEAN,     // of the batch, for the running statistics
    FM_TENSOR_BATCH_VARIANCE, // the same, unbiased
    FM_TENSOR_SCRATCH,        // of an own kernel
    FM_TENSOR_COEFFICIENTS,   // a second scratch
    FM_TENSOR_WORKSPACE,      // of a library
    FM_TENSOR_ROLES,
};

// Where a tensor lies.
enum fm_cuda_space {
    FM_SPACE_NONE,         // the operation has no such tensor
    FM_SPACE_ARENA,        // `index` is a buffer of the program
    FM_SPACE_MASTER,       // `offset` bytes into the fp32 parameters (or their averages)
    FM_SPACE_WORKING,      // ... the parameters in the type computed with (or their averages)
    FM_SPACE_GRADIENT_LOW, // ... the gradients of that type
    FM_SPACE_GRADIENT_F32, // ... the fp32 gradients
    FM_SPACE_RUNNING,      // ... the running statistics (or their averages)
    FM_SPACE_BATCH,        // ... the batch's statistics, which lie like the running ones
    FM_SPACE_ZEROS,        // fp32 zeros, as many as batch norm has channels at most
};

struct fm_cuda_ref {
    enum fm_cuda_space space;
    int index;       // of an arena buffer
    uint64_t offset; // bytes, elsewhere
};

#endif
