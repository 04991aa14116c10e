// Opens a GPU, or says in one line why it cannot be used and what would help: that is found out
// here, before anything has begun, and not by the first kernel that fails.
#include "backend/cuda/device.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEAST_CAPABILITY = 75, // of the kernels: ten times the major version and the minor one
    BF16_CAPABILITY = 80,
    VERSION_MAX = 32
};

// Of CUDA: 13000 is 13.0.
static const char *cuda_version(int version, char text[VERSION_MAX])
{
    snprintf(text, VERSION_MAX, "%d.%d", version / 1000, version % 1000 / 10);
    return text;
}

// cuDNN counted in other units before version 9.
static size_t library_major(size_t version)
{
    return version < 10000 ? version / 1000 : version / 10000;
}

// Of cuDNN and cuBLASLt: 91900 is 9.19.0, and 8907 is 8.9.7.
static const char *library_version(size_t version, char text[VERSION_MAX])
{
    size_t minor = version < 10000 ? version / 100 % 10 : version / 100 % 100;
    snprintf(text, VERSION_MAX, "%zu.%zu.%zu", library_major(version), minor, version % 100);
    return text;
}

static enum fm_status fail_driver(const struct fm_device *device)
{
    char found[VERSION_MAX], needed[VERSION_MAX];
    cuda_version(device->runtime, needed);
    if (device->driver == 0)
        return fm_fail(FM_NOT_FOUND,
            "backend 'cuda': no NVIDIA driver was found; install one for CUDA %s or newer", needed);
    return fm_fail(FM_UNSUPPORTED,
        "backend 'cuda': the NVIDIA driver is for CUDA %s, but CUDA %s is needed; install a newer "
        "driver",
        cuda_version(device->driver, found), needed);
}

static enum fm_status fail_count(struct fm_device *device, cudaError_t error)
{
    switch (error) {
    case cudaErrorInsufficientDriver:
        return fail_driver(device);
    case cudaErrorStubLibrary: // the toolkit's stand-in for a driver
        device->driver = 0;
        return fail_driver(device);
    case cudaErrorNoDevice:
        return fm_fail(FM_NOT_FOUND,
            "backend 'cuda': no NVIDIA GPU was found; `nvidia-smi` lists what the driver sees, and "
            "CUDA_VISIBLE_DEVICES may hide some of them");
    default:
        return fm_fail(FM_UNSUPPORTED, "backend 'cuda': %s (%s); `nvidia-smi` may say more",
            cudaGetErrorString(error), cudaGetErrorName(error));
    }
}

// A driver, and a GPU of this index.
static enum fm_status find_gpu(struct fm_device *device)
{
    int count = 0;
    cudaError_t error = cudaRuntimeGetVersion(&device->runtime);
    if (error == cudaSuccess)
        error = cudaDriverGetVersion(&device->driver); // 0: there is none
    if (error == cudaSuccess)
        error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count == 0)
        error = cudaErrorNoDevice;
    if (error != cudaSuccess)
        return fail_count(device, error);
    if (device->index == 0 || (device->index > 0 && device->index < count))
        return FM_OK;
    if (count == 1)
        return fm_fail(
            FM_USAGE, "device %d of backend 'cuda': there is only device 0", device->index);
    return fm_fail(FM_USAGE, "device %d of backend 'cuda': there are %d, 0 to %d", device->index,
        count, count - 1);
}

static enum fm_status read_properties(struct fm_device *device)
{
    struct cudaDeviceProp properties;
    FM_CUDA(cudaGetDeviceProperties(&properties, device->index));
    snprintf(
        device->name, sizeof device->name, "%.*s", (int)sizeof device->name - 1, properties.name);
    device->memory = properties.totalGlobalMem;
    device->multiprocessors = properties.multiProcessorCount;
    device->caps.major = properties.major;
    device->caps.minor = properties.minor;
    int capability = 10 * properties.major + properties.minor;
    if (capability < LEAST_CAPABILITY)
        return fm_fail(FM_UNSUPPORTED,
            "GPU %d (%s) has compute capability %d.%d, but the kernels need %d.%d or newer: "
            "choose another GPU, or the processor with `--backend cpu`",
            device->index, device->name, properties.major, properties.minor, LEAST_CAPABILITY / 10,
            LEAST_CAPABILITY % 10);
    if (capability < BF16_CAPABILITY)
        snprintf(device->bf16_missing, sizeof device->bf16_missing,
            "this GPU has compute capability %d.%d, and bf16 needs %d.%d", properties.major,
            properties.minor, BF16_CAPABILITY / 10, BF16_CAPABILITY % 10);
    return FM_OK;
}

// Within a major version a newer library does what an older one did. An older one has every
// function that is called here, but NVIDIA does not promise that it does the same.
static enum fm_status check_library(const char *name, size_t found, size_t compiled)
{
    char is[VERSION_MAX], wanted[VERSION_MAX];
    library_version(found, is);
    library_version(compiled, wanted);
    if (library_major(found) != library_major(compiled))
        return fm_fail(FM_UNSUPPORTED,
            "backend 'cuda' was compiled against %s %s, but found %s; install that version (or a "
            "newer %zu), or compile against the one that is there",
            name, wanted, is, library_major(compiled));
    if (found < compiled)
        fm_warn("backend 'cuda' was compiled against %s %s, but found the older %s; should a call "
                "of it fail, install that version, or compile against the one that is there",
            name, wanted, is);
    return FM_OK;
}

static enum fm_status check_libraries(void)
{
    FM_TRY(check_library("cuDNN", cudnnGetVersion(), CUDNN_VERSION));
    return check_library("cuBLASLt", cublasLtGetVersion(), CUBLAS_VERSION);
}

// Non-blocking: neither waits for what something else in the process puts on the default stream.
static enum fm_status open_streams(struct fm_device *device)
{
    FM_CUDA(cudaStreamCreateWithFlags(&device->compute, cudaStreamNonBlocking));
    FM_CUDA(cudaStreamCreateWithFlags(&device->copy, cudaStreamNonBlocking));
    return FM_OK;
}

static bool has_no_kernels(cudaError_t error)
{
    switch (error) {
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorInvalidKernelImage:
    case cudaErrorInvalidPtx:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorJitCompilerNotFound:
    case cudaErrorJitCompilationDisabled:
        return true;
    default:
        return false;
    }
}

// All kernels are compiled for the same architectures, so one tells of all.
static cudaError_t try_kernel(const struct fm_device *device, unsigned char *data)
{
    struct fm_cuda_cast work = {.from_type = FM_CUDA_F32,
        .to_type = FM_CUDA_F16,
        .count = FM_CUDA_VECTOR,
        .from = data,
        .to = data + FM_CUDA_VECTOR * sizeof(float)};
    cudaError_t error = cudaMemsetAsync(data, 0, FM_CUDA_VECTOR * sizeof(float), device->compute);
    if (error == cudaSuccess)
        error = fm_launch_cast(&work, device->compute);
    return error == cudaSuccess ? cudaStreamSynchronize(device->compute) : error;
}

static enum fm_status check_kernels(const struct fm_device *device)
{
    void *data = NULL;
    FM_CUDA(cudaMalloc(&data, 2 * FM_CUDA_VECTOR * sizeof(float)));
    cudaError_t error = try_kernel(device, data);
    (void)cudaFree(data);
    if (has_no_kernels(error))
        return fm_fail(FM_UNSUPPORTED,
            "this build has no kernels for GPU %d (%s, compute capability %d.%d): compile it with "
            "FMNIST_CUDA_ARCHITECTURES=%d%d (%s)",
            device->index, device->name, device->caps.major, device->caps.minor, device->caps.major,
            device->caps.minor, cudaGetErrorName(error));
    return fm_cuda_status(error, "the first kernel");
}

static enum fm_status open_cudnn(struct fm_device *device)
{
    cudnnHandle_t handle = NULL;
    cudnnStatus_t created = cudnnCreate(&handle);
    enum fm_status status = fm_cudnn_status(created, "cudnnCreate");
    if (created == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)
        status = FM_MEMORY;
    FM_TRY(status);
    device->cudnn = handle;
    FM_CUDNN(cudnnSetStream(device->cudnn, device->compute));
    return FM_OK;
}

static enum fm_status open_cublas(struct fm_device *device)
{
    cublasLtHandle_t handle = NULL;
    cublasStatus_t created = cublasLtCreate(&handle);
    enum fm_status status = fm_cublas_status(created, "cublasLtCreate");
    if (created == CUBLAS_STATUS_ALLOC_FAILED)
        status = FM_MEMORY;
    FM_TRY(status);
    device->blas = handle;
    return FM_OK;
}

static enum fm_status open_plans(struct fm_device *device, const struct fm_device_options *options)
{
    const struct fm_cuda_plans_options plans = {
        .target = {.handle = device->cudnn},
        .caps = device->caps,
        .device = device->name,
        .driver = device->driver,
        .folder = options->plan_cache,
        .measure = true,
        .memory = &device->taken,
    };
    return fm_cuda_plans_open(&plans, &device->plans);
}

static enum fm_status open_device(struct fm_device *device, const struct fm_device_options *options)
{
    FM_TRY(find_gpu(device));
    FM_TRY(read_properties(device));
    FM_TRY(check_libraries());
    FM_TRY(fm_cuda_device_use(device));
    FM_TRY(open_streams(device));
    FM_TRY(check_kernels(device));
    FM_TRY(open_cudnn(device));
    FM_TRY(open_cublas(device));
    FM_TRY(open_plans(device, options));
    size_t available = 0, total = 0;
    FM_CUDA(cudaMemGetInfo(&available, &total));
    device->available = available;
    return FM_OK;
}

enum fm_status fm_cuda_device_open(
    const struct fm_device_options *options, struct fm_device **device)
{
    struct fm_device *d = calloc(1, sizeof *d);
    if (!d)
        return fm_fail_memory("device", sizeof *d);
    d->index = options->index;
    d->caps.tf32 = options->tf32;
    d->caps.nondeterministic = options->nondeterministic;
    d->caps.workspace = options->workspace == 0          ? FM_CUDA_WORKSPACE_LIMIT
                        : options->workspace > INT64_MAX ? INT64_MAX
                                                         : (int64_t)options->workspace;
    enum fm_status status = open_device(d, options);
    if (status == FM_MEMORY)
        status = fm_context(FM_UNSUPPORTED,
            "GPU %d (%s) has too little free memory to be opened (`nvidia-smi` lists what else "
            "uses it)",
            d->index, d->name);
    if (status != FM_OK) {
        fm_cuda_device_close(d);
        return status;
    }
    *device = d;
    return FM_OK;
}

void fm_cuda_device_close(struct fm_device *device)
{
    if (!device)
        return;
    if (device->compute) // it may be another thread that closes it
        (void)fm_cuda_device_use(device);
    fm_cuda_energy_close(device);
    fm_cuda_plans_close(device->plans);
    if (device->blas)
        (void)cublasLtDestroy(device->blas);
    if (device->cudnn)
        (void)cudnnDestroy(device->cudnn);
    if (device->copy)
        (void)cudaStreamDestroy(device->copy);
    if (device->compute)
        (void)cudaStreamDestroy(device->compute);
    free(device);
}

enum fm_status fm_cuda_device_use(const struct fm_device *device)
{
    FM_CUDA(cudaSetDevice(device->index));
    return FM_OK;
}

void fm_cuda_device_describe(const struct fm_device *device, struct fm_device_info *info)
{
    char runtime[VERSION_MAX], driver[VERSION_MAX], cudnn[VERSION_MAX], cublas[VERSION_MAX];
    memset(info, 0, sizeof *info);
    snprintf(info->name, sizeof info->name, "%s", device->name);
    snprintf(info->details, sizeof info->details,
        "compute capability %d.%d, %d multiprocessors, %.0f GiB, driver %s", device->caps.major,
        device->caps.minor, device->multiprocessors, (double)device->memory / (1 << 30),
        cuda_version(device->driver, driver));
    snprintf(info->libraries, sizeof info->libraries, "CUDA %s, cuDNN %s, cuBLASLt %s",
        cuda_version(device->runtime, runtime), library_version(cudnnGetVersion(), cudnn),
        library_version(cublasLtGetVersion(), cublas));
    info->memory = device->memory;
    info->precisions[FM_PRECISION_FP32] = info->precisions[FM_PRECISION_FP16] = true;
    info->precisions[FM_PRECISION_BF16] = device->bf16_missing[0] == '\0';
    if (device->bf16_missing[0] != '\0')
        info->missing[FM_PRECISION_BF16] = device->bf16_missing;
    info->preferred = FM_PRECISION_FP16;
}

static enum fm_status fail_full(
    const struct fm_device *device, const char *what, uint64_t bytes, uint64_t available)
{
    const uint64_t mib = 1 << 20;
    return fm_fail(FM_MEMORY,
        "%s: %llu MiB of GPU memory are needed, but %llu of %llu MiB are free", what,
        (unsigned long long)((bytes + mib - 1) / mib), (unsigned long long)(available / mib),
        (unsigned long long)(device->memory / mib));
}

enum fm_status fm_cuda_device_allocate(
    struct fm_device *device, const char *what, uint64_t bytes, void **data)
{
    FM_TRY(fm_cuda_device_use(device));
    size_t available = 0, total = 0;
    FM_CUDA(cudaMemGetInfo(&available, &total));
    if (bytes > available)
        return fail_full(device, what, bytes, available);
    void *allocated = NULL;
    cudaError_t error = cudaMalloc(&allocated, (size_t)bytes);
    if (error == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError(); // or a later look at it would find this failure
        return fail_full(device, what, bytes, available);
    }
    FM_TRY(fm_cuda_status(error, "cudaMalloc"));
    fm_cuda_memory_take(&device->taken, bytes);
    *data = allocated;
    return FM_OK;
}

void fm_cuda_device_free(struct fm_device *device, void *data, uint64_t bytes)
{
    if (!data)
        return;
    (void)cudaFree(data);
    fm_cuda_memory_give(&device->taken, bytes);
}

uint64_t fm_cuda_memory_peak(const struct fm_device *device, uint64_t *available)
{
    *available = device->available;
    return device->taken.peak;
}

enum fm_status fm_cuda_device_get(
    const struct fm_device *device, void *to, const void *from, size_t bytes)
{
    FM_TRY(fm_cuda_device_use(device));
    FM_CUDA(cudaStreamSynchronize(device->compute));
    FM_CUDA(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost));
    return FM_OK;
}

enum fm_status fm_cuda_device_put(
    const struct fm_device *device, void *to, const void *from, size_t bytes)
{
    FM_TRY(fm_cuda_device_use(device));
    FM_CUDA(cudaStreamSynchronize(device->compute));
    FM_CUDA(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
    // It returned when `from` was read; `to` may be written later.
    FM_CUDA(cudaStreamSynchronize(NULL));
    return FM_OK;
}
