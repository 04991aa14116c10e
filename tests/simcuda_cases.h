// What the tests of the simulated device share: memory up and down, and what a misuse must look
// like.
#ifndef SIMCUDA_CASES_H
#define SIMCUDA_CASES_H

#include "simcuda.h"

#include <cuda_runtime_api.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OK(call) assert_int_equal(call, cudaSuccess)

// The misuses since the last time: exactly one, whose message has the words.
static inline void expect_misuse(const char *words)
{
    if (!strstr(sim_last_failure(), words)) {
        fail_msg("expected a misuse with '%s', got '%s'", words, sim_last_failure());
    }
    assert_int_equal(sim_take_failures(), 1);
}

static inline int fresh_device(void **state)
{
    (void)state;
    sim_reset();
    return 0;
}

// A test leaves no misuse that it has not taken. (What it leaves allocated the next sim_reset
// forgets.)
static inline int no_misuse_left(void **state)
{
    (void)state;
    return sim_take_failures();
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, fresh_device, no_misuse_left)

// Memory with `bytes` of `data` in it (none if null), and what is there at the end of all work.
static inline void *to_device(const void *data, size_t bytes)
{
    void *p;
    OK(cudaMalloc(&p, bytes));
    if (data) {
        OK(cudaMemcpy(p, data, bytes, cudaMemcpyHostToDevice));
    }
    OK(cudaDeviceSynchronize());
    return p;
}

static inline void from_device(void *data, const void *p, size_t bytes)
{
    OK(cudaDeviceSynchronize());
    OK(cudaMemcpy(data, p, bytes, cudaMemcpyDeviceToHost));
}

static inline cudaStream_t new_stream(void)
{
    cudaStream_t stream;
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
}

#endif
