// The knobs of tests/simcuda/simcuda.h where a test runs on a real device: a program linked with
// this file, cudart, cuDNN and cuBLASLt in place of the simulated device has no simulation to
// steer. What only the simulation can do (to fail on request, to pose as another device) skips the
// test that asks for it; what it counts (misuses, leaks) is zero, and compute-sanitizer's to find.
#include "cublaslt.h"
#include "simcuda.h"

#include <cuda_runtime_api.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    EXIT_SKIPPED = 77
};

// Before anything of the test: without a device all of it is skipped. FM_TEST_FILTER chooses tests
// of a program that also has some which know the simulation's engines.
__attribute__((constructor)) static void find_device(void)
{
    const char *filter = getenv("FM_TEST_FILTER");
    if (filter)
        cmocka_set_test_filter(filter);
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count > 0)
        return;
    printf("SKIP: no CUDA device: %s\n",
        error == cudaSuccess ? "none was found" : cudaGetErrorString(error));
    exit(EXIT_SKIPPED);
}

bool sim_is_here(void)
{
    return false;
}

void sim_seed(uint64_t seed)
{
    (void)seed; // a device has an order of its own, another one each time
}

bool sim_pose_as(const char *device)
{
    if (strcmp(device, "h100") != 0) // what is there stands for the one that tests begin with
        skip();
    return true;
}

void sim_set_driver(int version)
{
    (void)version;
    skip();
}

void sim_set_memory(size_t bytes)
{
    (void)bytes;
    skip();
}

void sim_inject(const char *function, long nth, int code)
{
    (void)function;
    (void)nth;
    (void)code;
    skip();
}

void sim_refuse_epilogue(uint32_t epilogue, bool refused)
{
    (void)epilogue;
    (void)refused;
    skip();
}

void sim_clear_injections(void)
{
}

long sim_calls(const char *function)
{
    (void)function;
    skip();
    return 0;
}

int sim_failures(void)
{
    return 0;
}

int sim_take_failures(void)
{
    return 0;
}

const char *sim_last_failure(void)
{
    return "";
}

int sim_live(void)
{
    return 0;
}

int sim_report_leaks(void)
{
    return 0;
}

void sim_reset(void)
{
    cudaDeviceSynchronize();
}

size_t sim_memory_in_use(void)
{
    skip();
    return 0;
}

size_t sim_memory_peak(void)
{
    skip();
    return 0;
}
