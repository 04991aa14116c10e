// Opens the processor: one oneDNN engine and stream, OpenMP's threads.
#include "backend/cpu/device.h"

#include "base/machine.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Whether oneDNN uses a set of instructions; each holds the bits of those that it includes.
static bool has_isa(dnnl_cpu_isa_t isa)
{
    return ((int)dnnl_get_effective_cpu_isa() & (int)isa) == (int)isa;
}

// Native is what oneDNN computes natively. Every processor with AMX-BF16 has AVX512-BF16, too.
static const char *bf16_missing(const struct fm_machine *machine)
{
    if (has_isa(dnnl_cpu_isa_avx512_core_bf16))
        return NULL;
    if (strstr(machine->features, "avx512_bf16"))
        return "oneDNN is held to instructions without bf16 (DNNL_MAX_CPU_ISA)";
    return "this processor has neither AVX512-BF16 nor AMX-BF16";
}

// The kernels of the matrix unit: the processor's own where oneDNN uses it, too, unless
// FMNIST_MATRIX_UNIT asks for others.
static enum fm_status choose_amx(const struct fm_amx_kernels **kernels)
{
    const char *asked = getenv("FMNIST_MATRIX_UNIT");
    *kernels = NULL;
    if (!asked || !*asked)
        *kernels = has_isa(dnnl_cpu_isa_avx512_core_amx) ? fm_amx_choose() : NULL;
    else if (strcmp(asked, "portable") == 0)
        *kernels = fm_amx_portable();
    else if (strcmp(asked, "off") != 0)
        return fm_fail(
            FM_USAGE, "FMNIST_MATRIX_UNIT is '%s'; expected 'off', 'portable' or nothing", asked);
    return FM_OK;
}

// Unless one is asked for: oneDNN would look for a profiler's library in some fifty places.
static void look_for_no_profiler(void)
{
    if (!getenv("DNNL_JIT_PROFILE") && !getenv("ONEDNN_JIT_PROFILE"))
        (void)dnnl_set_jit_profiling_flags(0); // a oneDNN built without them looks for none
}

static int team_size(void)
{
    int size = 1;
#pragma omp parallel
#pragma omp single
    size = omp_get_num_threads();
    return size;
}

enum fm_status fm_cpu_device_open(
    const struct fm_device_options *options, struct fm_device **device)
{
    if (options->index != 0)
        return fm_fail(
            FM_USAGE, "device %d of backend 'cpu': there is only device 0", options->index);
    struct fm_device *d = calloc(1, sizeof *d);
    if (!d)
        return fm_fail_memory("device", sizeof *d);
    struct fm_machine machine;
    fm_machine_describe(&machine);
    d->threads = options->threads > 0 ? options->threads : machine.cores;
    // oneDNN waits for ever for threads that OMP_THREAD_LIMIT keeps from it.
    if (d->threads > omp_get_thread_limit())
        d->threads = omp_get_thread_limit();
    omp_set_dynamic(0);
    omp_set_num_threads(d->threads);
    // As many as come: oneDNN's primitives would do part of the work where fewer do than they were
    // made for, as with OMP_MAX_ACTIVE_LEVELS=0.
    d->threads = team_size();
    omp_set_num_threads(d->threads);
    // With oneDNN's widest vectors, in whose layouts they compute.
    d->kernels = fm_kernels_choose(has_isa(dnnl_cpu_isa_avx512_core));
    d->missing[FM_PRECISION_BF16] = bf16_missing(&machine);
    d->missing[FM_PRECISION_FP16] = "no processor trains in it";
    look_for_no_profiler();
    enum fm_status status = choose_amx(&d->amx);
    if (status == FM_OK)
        status = fm_dnnl_check(
            dnnl_engine_create(&d->engine, dnnl_cpu, 0), "dnnl_engine_create", "cpu");
    if (status == FM_OK)
        status = fm_dnnl_check(dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags),
            "dnnl_stream_create", "cpu");
    if (status != FM_OK) {
        fm_cpu_device_close(d);
        return status;
    }
    *device = d;
    return FM_OK;
}

void fm_cpu_device_close(struct fm_device *device)
{
    if (!device)
        return;
    if (device->stream)
        dnnl_stream_destroy(device->stream);
    if (device->engine)
        dnnl_engine_destroy(device->engine);
    free(device);
}

void fm_cpu_device_describe(const struct fm_device *device, struct fm_device_info *info)
{
    struct fm_machine machine;
    fm_machine_describe(&machine);
    memset(info, 0, sizeof *info);
    snprintf(info->name, sizeof info->name, "%s", machine.processor);
    snprintf(info->details, sizeof info->details, "%d thread%s, kernels %s%s%s, %s",
        device->threads, device->threads == 1 ? "" : "s", device->kernels->name,
        device->amx ? " and " : "", device->amx ? device->amx->name : "", machine.features);
    const dnnl_version_t *found = dnnl_version();
    snprintf(info->libraries, sizeof info->libraries, "oneDNN %d.%d.%d (compiled against %d.%d.%d)",
        found->major, found->minor, found->patch, DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR,
        DNNL_VERSION_PATCH);
    info->memory = machine.memory;
    info->threads = device->threads;
    for (int i = 0; i < FM_PRECISION_COUNT; i++) {
        info->missing[i] = device->missing[i];
        info->precisions[i] = info->missing[i] == NULL;
    }
    // Native bf16 is faster and needs no loss scale; fp32 is always there.
    info->preferred = info->precisions[FM_PRECISION_BF16] ? FM_PRECISION_BF16 : FM_PRECISION_FP32;
    info->emulated[FM_PRECISION_BF16] = true;
    info->emulated[FM_PRECISION_FP16] = true;
}

// Tensors lie in the process's memory, which is not this backend's to count.
uint64_t fm_cpu_memory_peak(const struct fm_device *device, uint64_t *available)
{
    (void)device;
    *available = 0;
    return 0;
}

enum fm_status fm_cpu_energy(struct fm_device *device, double *joules)
{
    (void)device;
    (void)joules;
    return fm_fail(FM_UNSUPPORTED, "backend 'cpu' reads no counter of energy");
}
