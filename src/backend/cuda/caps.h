// What decides which operations a network becomes and which engines may compute them: plain data,
// so that both can be asked for a GPU that is only described.
#ifndef FM_CUDA_CAPS_H
#define FM_CUDA_CAPS_H

#include <stdbool.h>
#include <stdint.h>

#define FM_CUDA_WORKSPACE_LIMIT ((int64_t)256 << 20) // bytes, unless the options say otherwise

struct fm_cuda_caps {
    int major, minor;      // compute capability
    bool tf32;             // fp32 products may round their inputs to TF32
    bool nondeterministic; // engines whose sums may change their order from run to run
    int64_t workspace;     // the most bytes that an engine may want
    bool own_norm;         // batch norm by kernels/norm.cu, whatever cuDNN has engines for
};

#endif
