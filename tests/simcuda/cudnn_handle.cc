// cuDNN's handle, versions and errors.
#include "cudnn_internal.h"

#include <cstdarg>
#include <cstdio>

namespace simcudnn
{

namespace
{

const char *const handle_kind = "cuDNN handle";

std::string &last_error()
{
    static thread_local std::string text;
    return text;
}

std::string formatted(const char *format, va_list arguments)
{
    char text[600];
    vsnprintf(text, sizeof text, format, arguments);
    return text;
}

} // namespace

cudnnStatus_t refuse(cudnnStatus_t status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    last_error() = formatted(format, arguments);
    va_end(arguments);
    return status;
}

cudnnStatus_t misuse(cudnnStatus_t status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    last_error() = formatted(format, arguments);
    va_end(arguments);
    sim_fail("%s", last_error().c_str());
    return status;
}

bool is_handle(cudnnHandle_t handle)
{
    return handle && sim_is_tracked(handle_kind, handle);
}

} // namespace simcudnn

using namespace simcudnn;

extern "C" {

size_t cudnnGetVersion(void)
{
    sim_call call("cudnnGetVersion");
    return call.injected ? static_cast<size_t>(call.code) : CUDNN_VERSION;
}

size_t cudnnGetCudartVersion(void)
{
    return CUDART_VERSION;
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    sim_call call("cudnnCreate");
    if (call.injected) {
        return static_cast<cudnnStatus_t>(call.code);
    }
    if (!handle) {
        return misuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "the handle's address is null");
    }
    if (sim_has_device() != cudaSuccess) {
        return refuse(CUDNN_STATUS_NOT_INITIALIZED, "no device, or its driver is too old");
    }
    if (sim_context() != cudaSuccess) {
        return refuse(CUDNN_STATUS_EXECUTION_FAILED, "the context is lost");
    }
    if (sim_any_capture()) {
        return misuse(CUDNN_STATUS_INTERNAL_ERROR,
            "a handle is created (which allocates memory) while a stream is capturing");
    }
    *handle = new cudnnContext;
    sim_track(handle_kind, *handle);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    sim_call call("cudnnDestroy");
    if (call.injected) {
        return static_cast<cudnnStatus_t>(call.code);
    }
    if (!handle || !sim_untrack(handle_kind, handle)) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "this is not a live handle");
    }
    delete handle;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    sim_call call("cudnnSetStream");
    if (call.injected) {
        return static_cast<cudnnStatus_t>(call.code);
    }
    if (!is_handle(handle)) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "this is not a live handle");
    }
    if (!sim_is_stream(stream)) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "this is not a live stream");
    }
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetStream(cudnnHandle_t handle, cudaStream_t *stream)
{
    sim_call call("cudnnGetStream");
    if (call.injected) {
        return static_cast<cudnnStatus_t>(call.code);
    }
    if (!is_handle(handle) || !stream) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "this is not a live handle, or a null pointer");
    }
    *stream = handle->stream;
    return CUDNN_STATUS_SUCCESS;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
#define NAME(status)                                                                               \
    case status:                                                                                   \
        return #status
    switch (static_cast<int>(status)) {
        NAME(CUDNN_STATUS_SUCCESS);
        NAME(CUDNN_STATUS_NOT_INITIALIZED);
        NAME(CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH);
        NAME(CUDNN_STATUS_SERIALIZATION_VERSION_MISMATCH);
        NAME(CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED);
        NAME(CUDNN_STATUS_BAD_PARAM);
        NAME(CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
        NAME(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER);
        NAME(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED);
        NAME(CUDNN_STATUS_BAD_PARAM_OUT_OF_BOUND);
        NAME(CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT);
        NAME(CUDNN_STATUS_BAD_PARAM_STREAM_MISMATCH);
        NAME(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH);
        NAME(CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES);
        NAME(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE);
        NAME(CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE);
        NAME(CUDNN_STATUS_NOT_SUPPORTED);
        NAME(CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN);
        NAME(CUDNN_STATUS_NOT_SUPPORTED_SHAPE);
        NAME(CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE);
        NAME(CUDNN_STATUS_NOT_SUPPORTED_LAYOUT);
        NAME(CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH);
        NAME(CUDNN_STATUS_NOT_SUPPORTED_RUNTIME_PREREQUISITE_MISSING);
        NAME(CUDNN_STATUS_INTERNAL_ERROR);
        NAME(CUDNN_STATUS_INTERNAL_ERROR_COMPILATION_FAILED);
        NAME(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED);
        NAME(CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED);
        NAME(CUDNN_STATUS_EXECUTION_FAILED);
        NAME(CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER);
        NAME(CUDNN_STATUS_EXECUTION_FAILED_CUDART);
    default:
        return "CUDNN_UNKNOWN_STATUS";
    }
#undef NAME
}

void cudnnGetLastErrorString(char *message, size_t max_size)
{
    if (message && max_size > 0) {
        snprintf(message, max_size, "%s", last_error().c_str());
        last_error().clear(); // as the real library's: it tells an error once
    }
}

} // extern "C"
