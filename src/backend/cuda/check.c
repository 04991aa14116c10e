// What a failed call of a library becomes.
#include "backend/cuda/check.h"

#include <stdbool.h>
#include <string.h>

// The length of "cudaMalloc" in "cudaMalloc(&data, bytes)".
static int name_length(const char *call)
{
    return (int)strcspn(call, "(");
}

// After these the context is gone: every later call fails, whatever it is.
static bool is_of_context(cudaError_t error)
{
    switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorContained:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice:
        return true;
    default:
        return false;
    }
}

#define GOES_ON                                                                                    \
    "the GPU's work is lost: go on from the last checkpoint with `fmnist train --resume`"

// What a failure leaves behind is taken away: a library that looks at the last error, or the next
// run of this process, would find it. What ended the context comes back.
//
// cuDNN and cuBLASLt hold a CUDA runtime of their own, so this one may not have heard of the end of
// the context: a call that looks at it is told.
static cudaError_t lasting_error(void)
{
    cudaError_t asked = cudaStreamQuery(NULL);
    (void)cudaGetLastError();
    return is_of_context(asked) ? asked : cudaPeekAtLastError();
}

enum fm_status fm_cuda_failed(cudaError_t error, const char *call)
{
    enum fm_status status = error == cudaErrorMemoryAllocation ? FM_MEMORY : FM_BACKEND;
    bool ended = lasting_error() != cudaSuccess || is_of_context(error);
    return fm_fail(status, "CUDA: %.*s: %s (%s)%s", name_length(call), call,
        cudaGetErrorString(error), cudaGetErrorName(error), ended ? "; " GOES_ON : "");
}

enum fm_status fm_cuda_cause(enum fm_status status)
{
    cudaError_t lasting = lasting_error();
    if (lasting == cudaSuccess)
        return status;
    return fm_context(
        status, "CUDA: %s (%s); " GOES_ON, cudaGetErrorString(lasting), cudaGetErrorName(lasting));
}

enum fm_status fm_cudnn_failed(cudnnStatus_t error, const char *call)
{
    return fm_cuda_cause(fm_fail(FM_BACKEND, "cuDNN: %.*s: %s (%d)", name_length(call), call,
        cudnnGetErrorString(error), (int)error));
}

enum fm_status fm_cublas_failed(cublasStatus_t error, const char *call)
{
    return fm_cuda_cause(fm_fail(FM_BACKEND, "cuBLASLt: %.*s: %s (%d)", name_length(call), call,
        cublasLtGetStatusString(error), (int)error));
}
