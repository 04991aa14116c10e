// Which device the simulation poses as: properties, attributes, versions; and the errors of calls.
#include "runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <jansson.h>
#include <sstream>

namespace
{

const char *const names[] = {"h100", "a100", "t4", "v100"};

struct device {
    bool present = true;
    struct sim_pose pose;
    int driver = CUDART_VERSION;
    size_t memory = 0; // as set; 0 is the pose's
    cudaError_t last_error = cudaSuccess;
    cudaError_t lost_to = cudaSuccess;
};

device &state()
{
    static device *the = new device;
    return *the;
}

long number(json_t *description, const char *key)
{
    json_t *value = json_object_get(description, key);
    if (!json_is_integer(value)) {
        fprintf(stderr, "simcuda: the description of the device has no number '%s'\n", key);
        exit(2);
    }
    return static_cast<long>(json_integer_value(value));
}

// One description serves both: cuDNN takes its text, and the runtime's answers are read from it.
void load(const char *name, struct sim_pose *pose)
{
    std::string path = std::string(SIM_DEVICES_DIR "/") + name + ".json";
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    json_error_t error;
    json_t *d = json_loads(text.str().c_str(), 0, &error);
    if (!d) {
        fprintf(stderr, "simcuda: %s: %s\n", path.c_str(), error.text);
        exit(2);
    }
    pose->name = name;
    pose->description = text.str();
    pose->device_name = json_string_value(json_object_get(d, "deviceName"));
    pose->major = static_cast<int>(number(d, "deviceVer") / 100);
    pose->minor = static_cast<int>(number(d, "deviceVer") / 10 % 10);
    pose->memory = static_cast<size_t>(number(d, "totalGlobalMem"));
    pose->multiprocessors = static_cast<int>(number(d, "multiProcessorCount"));
    pose->threads_per_multiprocessor = static_cast<int>(number(d, "maxThreadsPerSM"));
    pose->blocks_per_multiprocessor = static_cast<int>(number(d, "maxCtasPerSM"));
    pose->registers_per_block = static_cast<int>(number(d, "regsPerBlock"));
    pose->shared_per_block = static_cast<size_t>(number(d, "maxSharedMemoryPerBlock"));
    pose->shared_per_block_optin = static_cast<size_t>(number(d, "maxSharedMemoryPerBlockOptin"));
    pose->shared_reserved = static_cast<size_t>(number(d, "reservedSharedMemoryPerBlock"));
    pose->l2_bytes = static_cast<size_t>(number(d, "l2CacheSize"));
    pose->clock_khz = static_cast<int>(number(d, "smClockRateKHz"));
    pose->memory_clock_khz = static_cast<int>(number(d, "memClockRateKHz"));
    json_decref(d);
}

size_t shared_per_multiprocessor(const struct sim_pose &p)
{
    return p.shared_per_block_optin + p.shared_reserved;
}

// A device that is there and has this number.
cudaError_t check_ordinal(int ordinal)
{
    return ordinal == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}

} // namespace

const struct sim_pose *sim_pose()
{
    return &state().pose;
}

bool sim_pose_as(const char *name)
{
    if (strcmp(name, "none") == 0) {
        state().present = false;
        load("h100", &state().pose);
        return true;
    }
    for (const char *known : names) {
        if (strcmp(name, known) == 0) {
            state().present = true;
            load(known, &state().pose);
            return true;
        }
    }
    return false;
}

void sim_set_driver(int version)
{
    state().driver = version;
}

void sim_set_memory(size_t bytes)
{
    state().memory = bytes;
}

size_t sim_memory_total()
{
    return state().memory ? state().memory : state().pose.memory;
}

cudaError_t sim_has_device()
{
    if (state().driver < CUDART_VERSION / 1000 * 1000) {
        return cudaErrorInsufficientDriver;
    }
    return state().present ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t sim_context()
{
    return state().lost_to;
}

void sim_lose_context(cudaError_t error)
{
    if (state().lost_to == cudaSuccess) {
        state().lost_to = error;
    }
}

cudaError_t sim_refusal(const sim_call &call)
{
    if (call.injected) {
        return static_cast<cudaError_t>(call.code);
    }
    if (sim_in_host_function()) {
        sim_fail("a host function of a stream calls CUDA");
        return cudaErrorNotPermitted;
    }
    cudaError_t error = sim_has_device();
    return error ? error : state().lost_to;
}

cudaError_t sim_return(cudaError_t error)
{
    if (error != cudaSuccess) {
        state().last_error = error;
    }
    return error;
}

void sim_reset_device()
{
    state().last_error = cudaSuccess;
    state().lost_to = cudaSuccess;
}

extern "C" {

cudaError_t cudaGetDeviceCount(int *count)
{
    sim_call call("cudaGetDeviceCount");
    cudaError_t error = call.injected ? static_cast<cudaError_t>(call.code) : sim_has_device();
    if (error) {
        return sim_return(error); // and leaves *count alone, as the library does
    }
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int length, int ordinal)
{
    SIM_ENTER("cudaDeviceGetPCIBusId");
    if (cudaError_t error = check_ordinal(ordinal)) {
        return sim_return(error);
    }
    if (length < static_cast<int>(sizeof SIM_BUS_ID)) {
        return sim_return(cudaErrorInvalidValue);
    }
    snprintf(id, static_cast<size_t>(length), "%s", SIM_BUS_ID);
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int ordinal)
{
    SIM_ENTER("cudaSetDevice");
    return sim_return(check_ordinal(ordinal));
}

cudaError_t cudaGetDevice(int *ordinal)
{
    SIM_ENTER("cudaGetDevice");
    *ordinal = 0;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    sim_call call("cudaDriverGetVersion");
    if (call.injected) {
        return sim_return(static_cast<cudaError_t>(call.code));
    }
    *version = state().driver;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    sim_call call("cudaRuntimeGetVersion");
    if (call.injected) {
        return sim_return(static_cast<cudaError_t>(call.code));
    }
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int ordinal)
{
    SIM_ENTER("cudaGetDeviceProperties");
    if (cudaError_t error = check_ordinal(ordinal)) {
        return sim_return(error);
    }
    const struct sim_pose &p = state().pose;
    cudaDeviceProp d = {};
    // Whoever prints the name says with it that no figure is a GPU's.
    snprintf(d.name, sizeof d.name, "%s (simulated)", p.device_name.c_str());
    d.major = p.major;
    d.minor = p.minor;
    d.totalGlobalMem = sim_memory_total();
    d.multiProcessorCount = p.multiprocessors;
    d.maxThreadsPerMultiProcessor = p.threads_per_multiprocessor;
    d.maxBlocksPerMultiProcessor = p.blocks_per_multiprocessor;
    d.sharedMemPerBlock = p.shared_per_block;
    d.sharedMemPerBlockOptin = p.shared_per_block_optin;
    d.reservedSharedMemPerBlock = p.shared_reserved;
    d.sharedMemPerMultiprocessor = shared_per_multiprocessor(p);
    d.regsPerBlock = p.registers_per_block;
    d.regsPerMultiprocessor = p.registers_per_block;
    d.l2CacheSize = static_cast<int>(p.l2_bytes);
    d.warpSize = 32;
    d.maxThreadsPerBlock = 1024;
    d.maxThreadsDim[0] = d.maxThreadsDim[1] = 1024;
    d.maxThreadsDim[2] = 64;
    d.maxGridSize[0] = 0x7fffffff;
    d.maxGridSize[1] = d.maxGridSize[2] = 65535;
    d.unifiedAddressing = 1;
    d.canMapHostMemory = 1;
    d.concurrentKernels = 1;
    d.asyncEngineCount = 2;
    d.streamPrioritiesSupported = 1;
    d.memoryPoolsSupported = 1;
    d.textureAlignment = 512;
    *properties = d;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int ordinal)
{
    SIM_ENTER("cudaDeviceGetAttribute");
    if (cudaError_t error = check_ordinal(ordinal)) {
        return sim_return(error);
    }
    const struct sim_pose &p = state().pose;
    switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
        *value = p.major;
        break;
    case cudaDevAttrComputeCapabilityMinor:
        *value = p.minor;
        break;
    case cudaDevAttrMultiProcessorCount:
        *value = p.multiprocessors;
        break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
        *value = p.threads_per_multiprocessor;
        break;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
        *value = p.blocks_per_multiprocessor;
        break;
    case cudaDevAttrMaxThreadsPerBlock:
        *value = 1024;
        break;
    case cudaDevAttrWarpSize:
        *value = 32;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = static_cast<int>(p.shared_per_block);
        break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = static_cast<int>(p.shared_per_block_optin);
        break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        *value = static_cast<int>(shared_per_multiprocessor(p));
        break;
    case cudaDevAttrL2CacheSize:
        *value = static_cast<int>(p.l2_bytes);
        break;
    case cudaDevAttrClockRate:
        *value = p.clock_khz;
        break;
    case cudaDevAttrMemoryClockRate:
        *value = p.memory_clock_khz;
        break;
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrUnifiedAddressing:
        *value = 1;
        break;
    default:
        sim_fail("attribute %d is not simulated", static_cast<int>(attribute));
        return sim_return(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    SIM_ENTER("cudaDeviceGetStreamPriorityRange");
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
}

// These four can be called in any state of the device, so none of them is told to fail.

cudaError_t cudaGetLastError()
{
    cudaError_t error = sim_context() ? sim_context() : state().last_error;
    state().last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError()
{
    return sim_context() ? sim_context() : state().last_error;
}

#define ERRORS(X)                                                                                  \
    X(cudaSuccess, "no error")                                                                     \
    X(cudaErrorInvalidValue, "invalid argument")                                                   \
    X(cudaErrorMemoryAllocation, "out of memory")                                                  \
    X(cudaErrorInitializationError, "initialization error")                                        \
    X(cudaErrorInvalidConfiguration, "invalid configuration argument")                             \
    X(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy")                        \
    X(cudaErrorStubLibrary, "CUDA driver is a stub library")                                       \
    X(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version") \
    X(cudaErrorInvalidDeviceFunction, "invalid device function")                                   \
    X(cudaErrorNoDevice, "no CUDA-capable device is detected")                                     \
    X(cudaErrorInvalidDevice, "invalid device ordinal")                                            \
    X(cudaErrorNoKernelImageForDevice, "no kernel image is available for execution on the device") \
    X(cudaErrorECCUncorrectable, "uncorrectable ECC error encountered")                            \
    X(cudaErrorUnsupportedPtxVersion, "the provided PTX was compiled with an unsupported "         \
                                      "toolchain.")                                                \
    X(cudaErrorInvalidResourceHandle, "invalid resource handle")                                   \
    X(cudaErrorIllegalState, "the operation cannot be performed in the present state")             \
    X(cudaErrorNotReady, "device not ready")                                                       \
    X(cudaErrorIllegalAddress, "an illegal memory access was encountered")                         \
    X(cudaErrorLaunchOutOfResources, "too many resources requested for launch")                    \
    X(cudaErrorLaunchTimeout, "the launch timed out and was terminated")                           \
    X(cudaErrorAssert, "device-side assert triggered")                                             \
    X(cudaErrorIllegalInstruction, "an illegal instruction was encountered")                       \
    X(cudaErrorMisalignedAddress, "misaligned address")                                            \
    X(cudaErrorLaunchFailure, "unspecified launch failure")                                        \
    X(cudaErrorNotPermitted, "operation not permitted")                                            \
    X(cudaErrorNotSupported, "operation not supported")                                            \
    X(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing")       \
    X(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during "        \
                                         "capture")                                                \
    X(cudaErrorStreamCaptureMerge, "operation would result in a merge of separate capture "        \
                                   "sequences")                                                    \
    X(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began")     \
    X(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work")                        \
    X(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream")  \
    X(cudaErrorStreamCaptureImplicit, "operation would make the legacy stream depend on a "        \
                                      "capturing blocking stream")                                 \
    X(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a "            \
                              "capturing stream")                                                  \
    X(cudaErrorStreamCaptureWrongThread, "attempt to terminate a thread-local capture sequence "   \
                                         "from another thread")                                    \
    X(cudaErrorUnknown, "unknown error")

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
#define TEXT(name, text)                                                                           \
    case name:                                                                                     \
        return text;
        ERRORS(TEXT)
    default:
        return "unrecognized error code";
    }
}

const char *cudaGetErrorName(cudaError_t error)
{
    switch (error) {
#define NAME(name, text)                                                                           \
    case name:                                                                                     \
        return #name;
        ERRORS(NAME)
    default:
        return "unrecognized error code";
    }
}

} // extern "C"
