// The inside of struct fm_cuda_dense: dense.c chooses it, dense_run.c runs it.
//
// cuBLASLt's matrices are column-major: a row-major [rows][columns] is to it the transpose, columns
// x rows with `columns` elements from one column to the next. So seen, no product needs a copy:
//
//   forward   y^T       = weight x^T     m = outputs, n = rows,    k = inputs;  A is transposed
//   data      dx^T      = weight^T dy^T  m = inputs,  n = rows,    k = outputs
//   weights   dweight^T = x^T dy         m = inputs,  n = outputs, k = rows;    B is transposed
//
// An epilogue's bias, and the bias gradient that it makes of D, has a value for each of D's m rows:
// for each output forward, for each input in the data pass. What the weights pass sums is its
// operand B, which is dy, over k: BGRADB, a value for each of D's n columns.
#ifndef FM_CUDA_DENSE_INTERNAL_H
#define FM_CUDA_DENSE_INTERNAL_H

#include "backend/cuda/dense.h"

// What an epilogue is to cuBLASLt.
struct fm_cuda_dense_epilogue {
    enum fm_cuda_dense_kind kind; // the only one that may have it
    cublasLtEpilogue_t fused;
    bool bias, mask;         // it has a bias (or its gradient), a ReLU's mask
    const char *words, *own; // in a key; of the kernels that do it instead
};

struct fm_cuda_dense {
    struct fm_cuda_dense_spec spec;
    const struct fm_cuda_dense_epilogue *epilogue;
    bool fallback; // a plain product, then own kernels
    enum fm_cuda_role a_role, b_role, d_role;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulDesc_t operation; // where bias and mask lie is set anew for each run
    cublasLtMatmulAlgo_t algorithm;
    size_t workspace;
    char name[128];
};

// Tells the operation where its epilogue's bias and mask lie. The heuristic reads no more than
// their alignment.
enum fm_status fm_cuda_dense_point(const struct fm_cuda_dense *dense, void *bias, void *mask);

#endif
