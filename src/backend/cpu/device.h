// The processor as a device: oneDNN's engine and stream, the threads, the kernels chosen.
#ifndef FM_CPU_DEVICE_H
#define FM_CPU_DEVICE_H

#include "backend/backend.h"
#include "backend/cpu/dnnl_compat.h"
#include "backend/cpu/isa/kernels.h"

struct fm_device {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    const struct fm_kernels *kernels;
    int threads;
    // The kernels of the processor's matrix unit, in which oneDNN then multiplies bf16, too, or for
    // tests the portable ones; NULL where there is none or it is not to be used.
    const struct fm_amx_kernels *amx;
    // Why a precision is not native here: NULL where it is.
    const char *missing[FM_PRECISION_COUNT];
};

enum fm_status fm_cpu_device_open(
    const struct fm_device_options *options, struct fm_device **device);
void fm_cpu_device_close(struct fm_device *device);
void fm_cpu_device_describe(const struct fm_device *device, struct fm_device_info *info);
uint64_t fm_cpu_memory_peak(const struct fm_device *device, uint64_t *available);
enum fm_status fm_cpu_energy(struct fm_device *device, double *joules);

#endif
