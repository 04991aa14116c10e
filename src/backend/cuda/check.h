// One macro family for every call into CUDA, cuDNN and cuBLASLt: FM_CUDA(call), FM_CUDNN(call),
// FM_BLAS(call) return from the enclosing function with FM_BACKEND (or FM_MEMORY) and a message
// that names the call and what the library says; where there is something to free, FM_TRY_GOTO()
// takes the _CALL forms. An error that ended the context says so, and what to do.
#ifndef FM_CUDA_CHECK_H
#define FM_CUDA_CHECK_H

#include "base/status.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

enum fm_status fm_cuda_failed(cudaError_t error, const char *call);
enum fm_status fm_cudnn_failed(cudnnStatus_t error, const char *call);
enum fm_status fm_cublas_failed(cublasStatus_t error, const char *call);

// After a library's failure with `status`: puts in front of its message what ended the context, if
// that is why. The library only says that it could not execute.
enum fm_status fm_cuda_cause(enum fm_status status);

static inline enum fm_status fm_cuda_status(cudaError_t error, const char *call)
{
    return error == cudaSuccess ? FM_OK : fm_cuda_failed(error, call);
}
static inline enum fm_status fm_cudnn_status(cudnnStatus_t error, const char *call)
{
    return error == CUDNN_STATUS_SUCCESS ? FM_OK : fm_cudnn_failed(error, call);
}
static inline enum fm_status fm_cublas_status(cublasStatus_t error, const char *call)
{
    return error == CUBLAS_STATUS_SUCCESS ? FM_OK : fm_cublas_failed(error, call);
}

// The status of a call, named by its text up to the parenthesis.
#define FM_CUDA_CALL(call) fm_cuda_status((call), #call)
#define FM_CUDNN_CALL(call) fm_cudnn_status((call), #call)
#define FM_BLAS_CALL(call) fm_cublas_status((call), #call)

#define FM_CUDA(call) FM_TRY(FM_CUDA_CALL(call))
#define FM_CUDNN(call) FM_TRY(FM_CUDNN_CALL(call))
#define FM_BLAS(call) FM_TRY(FM_BLAS_CALL(call))

#endif
