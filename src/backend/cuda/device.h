// A GPU: its streams, library handles and plans, opened once.
//
// Two streams: `compute` runs the steps, `copy` carries slots to the device; events order them.
#ifndef FM_CUDA_DEVICE_H
#define FM_CUDA_DEVICE_H

#include "backend/backend.h"
#include "backend/cuda/check.h"
#include "backend/cuda/memory.h"
#include "backend/cuda/plans.h"

struct fm_device {
    int index;
    char name[128];
    struct fm_cuda_caps caps;
    uint64_t memory;    // bytes
    uint64_t available; // of them, once everything was opened that a device is
    struct fm_cuda_memory taken;
    int multiprocessors;
    int runtime, driver;    // CUDA's versions
    char bf16_missing[128]; // "" where it computes in bf16
    cudaStream_t compute, copy;
    cudnnHandle_t cudnn; // on the stream `compute`
    cublasLtHandle_t blas;
    struct fm_cuda_plans *plans;
    struct fm_cuda_nvml *nvml; // energy.c; NULL until it was asked for
};

enum fm_status fm_cuda_device_open(
    const struct fm_device_options *options, struct fm_device **device);
void fm_cuda_device_close(struct fm_device *device);
void fm_cuda_device_describe(const struct fm_device *device, struct fm_device_info *info);

// Makes it the calling thread's device, which every thread that calls CUDA has to do first.
enum fm_status fm_cuda_device_use(const struct fm_device *device);

// Device memory, after a look at what is free; FM_MEMORY names `what`, the bytes and what is free.
// It is given back with the bytes that were asked for; data NULL is allowed.
enum fm_status fm_cuda_device_allocate(
    struct fm_device *device, const char *what, uint64_t bytes, void **data);
void fm_cuda_device_free(struct fm_device *device, void *data, uint64_t bytes);
// Scratch memory in which engines are measured is in it, what libraries take for themselves is not.
uint64_t fm_cuda_memory_peak(const struct fm_device *device, uint64_t *available);

// energy.c: of the whole GPU, from NVML, which is loaded when it is first asked.
enum fm_status fm_cuda_energy(struct fm_device *device, double *joules);
void fm_cuda_energy_close(struct fm_device *device);

// Copies from and to ordinary memory, behind everything that was enqueued on `compute`, and waits
// for them: such a copy by itself would be ordered with no stream of ours.
enum fm_status fm_cuda_device_get(
    const struct fm_device *device, void *to, const void *from, size_t bytes);
enum fm_status fm_cuda_device_put(
    const struct fm_device *device, void *to, const void *from, size_t bytes);

#endif
