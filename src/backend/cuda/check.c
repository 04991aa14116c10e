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
static bool ends_context(cudaError_t error)
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
        return true;
    default:
        return false;
    }
}

enum fm_status fm_cuda_failed(cudaError_t error, const char *call)
{
    enum fm_status status = error == cudaErrorMemoryAllocation ? FM_MEMORY : FM_BACKEND;
    const char *advice = ends_context(error) ? "; the GPU's work is lost: go on from the last "
                                               "checkpoint with `fmnist train --resume`"
                                             : "";
    return fm_fail(status, "CUDA: %.*s: %s (%s)%s", name_length(call), call,
        cudaGetErrorString(error), cudaGetErrorName(error), advice);
}

enum fm_status fm_cudnn_failed(cudnnStatus_t error, const char *call)
{
    return fm_fail(FM_BACKEND, "cuDNN: %.*s: %s (%d)", name_length(call), call,
        cudnnGetErrorString(error), (int)error);
}

enum fm_status fm_cublas_failed(cublasStatus_t error, const char *call)
{
    return fm_fail(FM_BACKEND, "cuBLASLt: %.*s: %s (%d)", name_length(call), call,
        cublasLtGetStatusString(error), (int)error);
}
