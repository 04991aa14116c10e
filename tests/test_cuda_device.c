// Opening a GPU: what is said of one that can be used, and the one line, with what to do, that is
// said of each that cannot. Every call that opening makes fails once, and nothing is left of it.
#include "reference/cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cuda/staging.h"
#include "base/log.h"
#include "cuda/opened.h"

enum {
    FAILURE = 999 // cudaErrorUnknown, and a failure to the other libraries, too
};

// ---- what is said of a GPU

static void check_description(const char *pose, const char *name, const char *details, bool bf16)
{
    struct fm_device_info info;
    assert_true(sim_pose_as(pose));
    struct fm_device *device = opened_device();
    fm_cuda_device_describe(device, &info);
    assert_string_equal(info.name, name);
    assert_string_equal(info.details, details);
    assert_non_null(strstr(info.libraries, "CUDA 13.0, cuDNN 9."));
    assert_non_null(strstr(info.libraries, ", cuBLASLt 13."));
    assert_int_equal(info.memory, device->memory);
    assert_int_equal(info.threads, 0);
    assert_int_equal(info.preferred, FM_PRECISION_FP16);
    for (int i = 0; i < FM_PRECISION_COUNT; i++) {
        assert_int_equal(info.precisions[i], i != FM_PRECISION_BF16 || bf16);
        assert_int_equal(info.missing[i] == NULL, info.precisions[i]);
        assert_false(info.emulated[i]);
    }
    if (!bf16)
        assert_string_equal(info.missing[FM_PRECISION_BF16],
            "this GPU has compute capability 7.5, and bf16 needs 8.0");
    fm_cuda_device_close(device);
}

static void test_description(void **state)
{
    (void)state;
    check_description("h100", "NVIDIA H100 80GB HBM3 (simulated)",
        "compute capability 9.0, 132 multiprocessors, 79 GiB, driver 13.0", true);
    check_description("a100", "NVIDIA A100-SXM4-40GB (simulated)",
        "compute capability 8.0, 108 multiprocessors, 39 GiB, driver 13.0", true);
    check_description("t4", "Tesla T4 (simulated)",
        "compute capability 7.5, 40 multiprocessors, 15 GiB, driver 13.0", false);
}

static void check_caps(
    const struct fm_device_options *options, bool tf32, bool nondeterministic, int64_t workspace)
{
    struct fm_device *device = NULL;
    assert_ok(fm_cuda_device_open(options, &device));
    assert_int_equal(device->caps.major, 9);
    assert_int_equal(device->caps.minor, 0);
    assert_int_equal(device->caps.tf32, tf32);
    assert_int_equal(device->caps.nondeterministic, nondeterministic);
    assert_int_equal(device->caps.workspace, workspace);
    fm_cuda_device_close(device);
}

static void test_caps(void **state)
{
    (void)state;
    check_caps(&(struct fm_device_options){0}, false, false, 256 << 20);
    check_caps(&(struct fm_device_options){.tf32 = true, .workspace = 1}, true, false, 1);
    check_caps(&(struct fm_device_options){.nondeterministic = true, .workspace = UINT64_MAX},
        false, true, INT64_MAX);
}

// ---- what is said of one that cannot be used

static void refused(int index, enum fm_status status, const char *message)
{
    struct fm_device_options options = {.index = index};
    struct fm_device *device = NULL;
    assert_fails(fm_cuda_device_open(&options, &device), status, message);
    assert_null(device);
    assert_int_equal(sim_live(), 0);
    sim_clear_injections();
}

static void test_no_gpu(void **state)
{
    (void)state;
    sim_pose_as("none");
    refused(0, FM_NOT_FOUND, "no NVIDIA GPU was found; `nvidia-smi` lists");
    sim_pose_as("h100");
    refused(1, FM_USAGE, "device 1 of backend 'cuda': there is only device 0");
    refused(-1, FM_USAGE, "device -1 of backend 'cuda': there is only device 0");
    sim_pose_as("v100");
    refused(0, FM_UNSUPPORTED,
        "GPU 0 (Tesla V100-SXM2-16GB (simulated)) has compute capability 7.0, but the kernels need "
        "7.5");
    sim_pose_as("h100");
    sim_inject("cudaGetDeviceCount", 1, cudaErrorUnknown);
    refused(0, FM_UNSUPPORTED, "unknown error (cudaErrorUnknown); `nvidia-smi` may say more");
}

static void test_driver(void **state)
{
    (void)state;
    sim_set_driver(0);
    refused(0, FM_NOT_FOUND, "no NVIDIA driver was found; install one for CUDA 13.0 or newer");
    sim_set_driver(13000);
    sim_inject("cudaGetDeviceCount", 1, cudaErrorStubLibrary);
    refused(0, FM_NOT_FOUND, "no NVIDIA driver was found; install one for CUDA 13.0 or newer");
    sim_set_driver(12020);
    refused(0, FM_UNSUPPORTED,
        "the NVIDIA driver is for CUDA 12.2, but CUDA 13.0 is needed; install a newer driver");
    sim_set_driver(13020);
    struct fm_device *device = opened_device();
    struct fm_device_info info;
    fm_cuda_device_describe(device, &info);
    assert_non_null(strstr(info.details, "driver 13.2"));
    fm_cuda_device_close(device);
}

static int warnings;

static void count_warning(const char *line)
{
    warnings++;
    assert_non_null(strstr(line, "but found the older"));
}

static void test_libraries(void **state)
{
    (void)state;
    const struct fm_log_sink counting = {count_warning, count_warning, count_warning};
    fm_log_set_sink(&counting);
    sim_inject("cudnnGetVersion", 1, 8907);
    refused(0, FM_UNSUPPORTED, "but found 8.9.7; install that version (or a newer 9)");
    sim_inject("cudnnGetVersion", 1, 100000);
    refused(0, FM_UNSUPPORTED, "but found 10.0.0;");
    sim_inject("cublasLtGetVersion", 1, 120403);
    refused(0, FM_UNSUPPORTED, "but found 12.4.3; install that version (or a newer 13)");
    for (int other = -1; other <= 1; other += 2) { // older ones cost a warning
        warnings = 0;
        sim_inject("cudnnGetVersion", 1, CUDNN_VERSION + other);
        sim_inject("cublasLtGetVersion", 1, CUBLAS_VERSION + other);
        fm_cuda_device_close(opened_device());
        assert_int_equal(warnings, other < 0 ? 2 : 0);
    }
    fm_log_set_sink(&fm_log_own_sink);
}

static void test_kernels(void **state)
{
    static const cudaError_t missing[] = {cudaErrorNoKernelImageForDevice,
        cudaErrorInvalidDeviceFunction, cudaErrorUnsupportedPtxVersion};
    (void)state;
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        sim_inject("cudaLaunchKernelEx", 1, missing[i]);
        refused(0, FM_UNSUPPORTED,
            "this build has no kernels for GPU 0 (NVIDIA H100 80GB HBM3 (simulated), compute "
            "capability 9.0): "
            "compile it with FMNIST_CUDA_ARCHITECTURES=90 (cudaError");
    }
    sim_inject("cudaLaunchKernelEx", 1, cudaErrorLaunchFailure);
    refused(0, FM_BACKEND, "CUDA: the first kernel: unspecified launch failure");
}

static void test_full_when_opened(void **state)
{
    static const char *const calls[] = {"cudaSetDevice", "cudaStreamCreateWithFlags", "allocation"};
    const char *full =
        "GPU 0 (NVIDIA H100 80GB HBM3 (simulated)) has too little free memory to be opened "
        "(`nvidia-smi` lists what else uses it): CU";
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        sim_inject(calls[i], 1, cudaErrorMemoryAllocation);
        refused(0, FM_UNSUPPORTED, full);
    }
    sim_inject("cudnnCreate", 1, CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED);
    refused(0, FM_UNSUPPORTED, "uses it): cuDNN: cudnnCreate: ");
    sim_inject("cublasLtCreate", 1, CUBLAS_STATUS_ALLOC_FAILED);
    refused(0, FM_UNSUPPORTED, "uses it): cuBLASLt: cublasLtCreate: ");
    sim_inject("cudnnCreate", 1, CUDNN_STATUS_NOT_INITIALIZED);
    refused(0, FM_BACKEND, "cuDNN: cudnnCreate: ");
}

// ---- memory

static void test_allocation(void **state)
{
    (void)state;
    sim_set_memory((size_t)64 << 20);
    struct fm_device *device = opened_device();
    void *data = NULL, *more = NULL;
    assert_ok(fm_cuda_device_allocate(device, "a test", (uint64_t)10 << 20, &data));
    assert_fails(fm_cuda_device_allocate(device, "a test", ((uint64_t)60 << 20) + 1, &more),
        FM_MEMORY, "a test: 61 MiB of GPU memory are needed, but 54 of 64 MiB are free");
    sim_inject("allocation", 1, cudaErrorMemoryAllocation);
    assert_fails(fm_cuda_device_allocate(device, "a test", 1, &more), FM_MEMORY,
        "a test: 1 MiB of GPU memory are needed, but 54 of 64 MiB are free");
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    assert_null(more);
    cudaFree(data);
    fm_cuda_device_close(device);
}

// ---- every call fails once

// Opens everything that there is without an executor; destroys what it could open.
static enum fm_status open_all(const struct fm_net *net, bool resident)
{
    static const uint8_t records[3 * 64], labels[3];
    struct fm_device_options device_options = {0};
    struct fm_model_options options = opened_options(FM_PRECISION_FP16, FM_OPTIMISER_ADAM, true);
    struct fm_resident set = {records, labels, 3, 64};
    struct fm_device *device = NULL;
    struct fm_model *model = NULL;
    struct fm_staging *staging = NULL;
    enum fm_status status;
    FM_TRY_GOTO(status, fm_cuda_device_open(&device_options, &device), out);
    FM_TRY_GOTO(status, fm_cuda_model_create(device, net, &options, &model), out);
    FM_TRY_GOTO(status, fm_cuda_staging_create(model, 5, resident ? &set : NULL, &staging), out);
out:
    sim_clear_injections(); // destroying is not told to fail
    fm_cuda_staging_destroy(staging);
    fm_cuda_model_destroy(model);
    fm_cuda_device_close(device);
    return status;
}

// Of `event`, the nth fails with `code`: all n that there are.
static int fail_each(const struct fm_net *net, const char *event, int code, bool resident)
{
    for (int n = 1;; n++) {
        sim_inject(event, n, code);
        if (open_all(net, resident) == FM_OK)
            return n - 1;
        if (fm_error_message()[0] == '\0' || sim_live() > 0 || sim_failures() > 0)
            fail_msg("%s %d: message \"%s\", %d objects left, %d misuses", event, n,
                fm_error_message(), sim_report_leaks(), sim_failures());
        fm_error_clear();
    }
}

static void test_every_failure(void **state)
{
    static const char *const calls[] = {"cudaRuntimeGetVersion", "cudaDriverGetVersion",
        "cudaGetDeviceCount", "cudaGetDeviceProperties", "cudaSetDevice", "cudaMemGetInfo",
        "cudaStreamCreateWithFlags", "cudaMalloc", "cudaHostAlloc", "cudaMemsetAsync", "cudaMemcpy",
        "cudaLaunchKernelEx", "cudaStreamSynchronize", "cudaEventCreateWithFlags", "cudnnCreate",
        "cudnnSetStream", "cublasLtCreate"};
    struct fm_net net;
    (void)state;
    fm_case_net("8x8>1x8x8 c16k3p1 n r p f10b", &net);
    for (int resident = 0; resident < 2; resident++) {
        for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
            if (fail_each(&net, calls[i], FAILURE, resident) == 0)
                fail_msg("opening never calls %s", calls[i]);
        // The kernel's probe, the model, its reports, both kinds of slots; and the set.
        int allocations = fail_each(&net, "allocation", cudaErrorMemoryAllocation, resident);
        assert_int_equal(allocations, 5 + resident);
    }
}

static void test_failing_kernel(void **state)
{
    (void)state;
    struct fm_device_options options = {0};
    struct fm_device *device = NULL;
    sim_inject("kernel", 1, cudaErrorIllegalAddress);
    assert_fails(fm_cuda_device_open(&options, &device), FM_BACKEND,
        "CUDA: the first kernel: an illegal memory access was encountered");
    assert_null(device);
    sim_reset(); // a lost context gives nothing back
}

// ---- what a failure leaves behind

static void test_failure_is_taken_away(void **state)
{
    (void)state;
    void *data = NULL;
    sim_inject("allocation", 1, cudaErrorMemoryAllocation);
    assert_int_equal(FM_CUDA_CALL(cudaMalloc(&data, 16)), FM_MEMORY);
    assert_null(strstr(fm_error_message(), "--resume"));
    assert_message("CUDA: cudaMalloc: out of memory (cudaErrorMemoryAllocation)");
    assert_int_equal(cudaPeekAtLastError(), cudaSuccess); // a library would take it for its own
}

// A library only says that it could not execute.
static void test_lost_device_is_the_cause(void **state)
{
    (void)state;
    static const char *const cause =
        "CUDA: an illegal memory access was encountered (cudaErrorIllegalAddress); the GPU's work "
        "is lost: go on from the last checkpoint with `fmnist train --resume`: cu";
    struct fm_device *device = opened_device();
    assert_int_equal(FM_CUDNN_CALL(CUDNN_STATUS_EXECUTION_FAILED), FM_BACKEND);
    assert_null(strstr(fm_error_message(), "--resume"));
    assert_message("cuDNN: ");
    sim_inject("kernel", 1, cudaErrorIllegalAddress);
    struct fm_cuda_cast work = {.from_type = FM_CUDA_F32, .to_type = FM_CUDA_F32, .count = 8};
    assert_int_equal(cudaMalloc(&work.to, 64), cudaSuccess);
    work.from = work.to;
    assert_int_equal(fm_launch_cast(&work, device->compute), cudaSuccess);
    assert_fails(FM_CUDA_CALL(cudaStreamSynchronize(device->compute)), FM_BACKEND, "--resume");
    assert_fails(FM_CUDNN_CALL(CUDNN_STATUS_EXECUTION_FAILED), FM_BACKEND, cause);
    assert_fails(FM_BLAS_CALL(CUBLAS_STATUS_EXECUTION_FAILED), FM_BACKEND, cause);
    fm_cuda_device_close(device); // neither hangs nor crashes
    sim_reset();                  // a lost context gives nothing back
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPENED_CASE(test_description),
        OPENED_CASE(test_caps),
        OPENED_CASE(test_no_gpu),
        OPENED_CASE(test_driver),
        OPENED_CASE(test_libraries),
        OPENED_CASE(test_kernels),
        OPENED_CASE(test_full_when_opened),
        OPENED_CASE(test_allocation),
        OPENED_CASE(test_every_failure),
        OPENED_CASE(test_failing_kernel),
        OPENED_CASE(test_failure_is_taken_away),
        OPENED_CASE(test_lost_device_is_the_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
