// For tests of single CUDA kernels: tensors that live on the (simulated) device and have a copy on
// the host, random and special values, comparisons bit by bit and within a tolerance, and running
// one thing under several orders of blocks and threads.
#ifndef FM_TESTS_CUDA_RIG_H
#define FM_TESTS_CUDA_RIG_H

#include "cuda_kernels.h"

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- memory: given back, all of it, when a case begins (rig_case) and when a test ends

// Device memory with a copy of `bytes` of `data`, or (NULL) as it comes.
void *rig_device(const void *data, size_t bytes);
// Waits, and copies from the device.
void rig_get(const void *device, void *data, size_t bytes);
void rig_put(void *device, const void *data, size_t bytes);
void *rig_host(size_t bytes); // zeros

// ---- tensors: `count` elements of `type`

struct rig_tensor {
    enum fm_cuda_type type;
    size_t count;
    void *device;
    float *values; // what was put there, as fp32; after rig_read() what is there
};

// What a tensor begins with.
enum rig_fill {
    RIG_UNSET,   // as fresh memory comes (the simulator's is NaN)
    RIG_RANDOM,  // evenly from -2 to 2
    RIG_TIES,    // few different values: -1, -0.5, 0, -0.0, 0.5, 1
    RIG_SPECIAL, // random, one in eight a NaN, an infinity, a zero of either sign, tiny or huge
    RIG_POSITIVE // evenly from 0.1 to 2
};

struct rig_tensor rig_tensor(enum fm_cuda_type type, size_t count, enum rig_fill fill);
struct rig_tensor rig_tensor_of(enum fm_cuda_type type, size_t count, const float *values);
const float *rig_read(struct rig_tensor *tensor);
void rig_write(struct rig_tensor *tensor, const float *values);

float rig_round(enum fm_cuda_type type, float x); // to what the type can store
const char *rig_type_name(enum fm_cuda_type type);
uint32_t rig_random(void);
float rig_uniform(float low, float high);

// ---- comparisons: say which element of which `what` differs, and count the test as failed

// The same bits; a NaN equals a NaN. Expected values are rounded to the type first.
void rig_same(const char *what, const struct rig_tensor *found, const float *expected);
// |found - expected| <= tolerance * (|expected| + scale): NaN and Inf must be where they are
// expected.
void rig_close(const char *what, const struct rig_tensor *found, const double *expected,
    double tolerance, double scale);
void rig_check(const char *what, bool holds);
// The call launched; it did not, with cudaErrorInvalidValue.
void rig_launched(const char *what, cudaError_t error);
void rig_refused(const char *what, cudaError_t error);

// ---- a test

// Begins a case: names what rig_same() and the others report from now on ("relu fp16, 17
// elements"). Memory of the case before is given back.
void rig_case(const char *format, ...) __attribute__((format(printf, 1, 2)));
cudaStream_t rig_stream(void);

// Under a sanitizer, where a thread costs a hundred times as much, every kernel runs in every type,
// but with fewer values, shapes and orders: what they compute is checked without one.
bool rig_is_thorough(void);
// Leaves out a case of so many elements that it would take long under a sanitizer.
bool rig_skips(size_t elements);

// Calls `run` under several seeds of block and thread order; after each `found` must hold the same
// bits as after the first. `run` must start from the same state each time.
void rig_orders(
    void (*run)(void *context), void *context, struct rig_tensor *const *found, int count);

// cmocka's setup and teardown of a group: teardown fails if a misuse was reported, a comparison
// failed or something is left allocated.
int rig_begin(void **state);
int rig_end(void **state);
// Of a single test: frees its memory; fails if it had failing comparisons.
int rig_test_end(void **state);

#endif
