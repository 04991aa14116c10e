// Dense layers by cuBLASLt, with bias, ReLU and their gradients in the product's epilogue.
//
// Row-major, as the rest sees it: x [rows][inputs], weight [outputs][inputs], y [rows][outputs].
//   forward   y = x weight^T (+ bias, + ReLU)
//   data      dx = dy weight (gated by the ReLU in front, whose mask the forward pass left; then,
//             too, the sum of dx's columns: the bias gradient of the layer in front)
//   weights   dweight = dy^T x (and the sum of dy's columns: the bias gradient)
// Where cuBLASLt has no algorithm with the epilogue, a plain product is followed by own kernels:
// the same numbers, more passes. Products are in fp32 (COMPUTE_32F; TF32 where the caps say so).
#ifndef FM_CUDA_DENSE_H
#define FM_CUDA_DENSE_H

#include "backend/cuda/caps.h"
#include "backend/cuda/tensors.h"
#include "base/status.h"

#include <cublasLt.h>

enum fm_cuda_dense_kind {
    FM_DENSE_FORWARD,
    FM_DENSE_DATA,
    FM_DENSE_WEIGHTS,
};

enum fm_cuda_epilogue {
    FM_EPILOGUE_NONE,
    FM_EPILOGUE_BIAS,           // forward
    FM_EPILOGUE_BIAS_RELU,      // forward
    FM_EPILOGUE_BIAS_RELU_MASK, // forward, and leaves the mask
    FM_EPILOGUE_GATE,           // data: by the mask
    FM_EPILOGUE_GATE_DBIAS,     // data: by the mask, and dbias [inputs]
    FM_EPILOGUE_DBIAS,          // weights: and dbias [outputs]
};

struct fm_cuda_dense_spec {
    enum fm_cuda_dense_kind kind;
    enum fm_cuda_epilogue epilogue;
    enum fm_cuda_type type;   // of x, weight, dy, dx, dweight, dbias
    enum fm_cuda_type y_type; // forward: of y and bias (the head's logits are fp32)
    int rows, inputs, outputs;
};

// "forward bias relu fp16 256x9216x128".
void fm_cuda_dense_key(const struct fm_cuda_dense_spec *spec, char *key, size_t size);

// Of a mask (role FM_TENSOR_MASK) over [rows][columns], and of the scratch (FM_TENSOR_SCRATCH) that
// the own kernels of a fallback want.
size_t fm_cuda_dense_mask_bytes(int rows, int columns);
size_t fm_cuda_dense_scratch_bytes(const struct fm_cuda_dense_spec *spec);

struct fm_cuda_dense; // an algorithm chosen for a spec

// `ungated`: data with a gate whose forward pass left no mask (it fell back): falls back, too.
enum fm_status fm_cuda_dense_create(cublasLtHandle_t handle, const struct fm_cuda_caps *caps,
    const struct fm_cuda_dense_spec *spec, bool ungated, struct fm_cuda_dense **dense);
void fm_cuda_dense_destroy(struct fm_cuda_dense *dense); // NULL is allowed

bool fm_cuda_dense_leaves_mask(const struct fm_cuda_dense *dense);
int64_t fm_cuda_dense_workspace(const struct fm_cuda_dense *dense); // bytes
const char *fm_cuda_dense_name(const struct fm_cuda_dense *dense);  // "algorithm 66, tile 20 ..."

// Tensors by role: X WEIGHT BIAS Y MASK (forward); DY WEIGHT DX MASK GATE DBIAS SCRATCH (data; GATE
// is the ReLU's output, for a fallback); DY X DWEIGHT DBIAS SCRATCH (weights); WORKSPACE.
enum fm_status fm_cuda_dense_run(const struct fm_cuda_dense *dense, cublasLtHandle_t handle,
    void *const tensors[FM_TENSOR_ROLES], cudaStream_t stream);

#endif
