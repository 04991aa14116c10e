// Energy from NVML, the driver's library for monitoring. It is loaded at run time, since a GPU can
// be computed on where it is missing, and declared here, since CUDA's toolkit may lack its header:
// names, values and units are those of NVIDIA's "NVML API Reference Guide", which promises that
// they stay.
#include "backend/cuda/device.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum {
    NVML_SUCCESS = 0,
    BUS_ID_MAX = 32
};

struct fm_cuda_nvml {
    void *library, *gpu;
    int (*shutdown)(void);
    const char *(*error_string)(int result);
    int (*total_energy)(void *gpu, unsigned long long *millijoules);
};

static enum fm_status fail_missing(const char *what)
{
    const char *why = dlerror();
    return fm_fail(FM_UNSUPPORTED, "NVML: %s", why ? why : what);
}

// A function's address into `function`, a pointer to one; POSIX has a void * hold it.
static enum fm_status find(struct fm_cuda_nvml *nvml, const char *name, void *function)
{
    void *found = dlsym(nvml->library, name);
    if (!found)
        return fail_missing(name);
    memcpy(function, &found, sizeof found);
    return FM_OK;
}

static enum fm_status check(const struct fm_cuda_nvml *nvml, int result, const char *call)
{
    if (result == NVML_SUCCESS)
        return FM_OK;
    return fm_fail(FM_UNSUPPORTED, "NVML: %s: %s", call, nvml->error_string(result));
}

// Its own numbering of GPUs is not CUDA's: the place on the bus says which one is meant.
static enum fm_status begin(const struct fm_device *device, struct fm_cuda_nvml *nvml)
{
    char bus[BUS_ID_MAX];
    int (*init)(void) = NULL, (*shutdown)(void) = NULL;
    int (*by_bus)(const char *, void **) = NULL;
    FM_TRY(find(nvml, "nvmlErrorString", &nvml->error_string));
    FM_TRY(find(nvml, "nvmlInit_v2", &init));
    FM_TRY(find(nvml, "nvmlShutdown", &shutdown));
    FM_TRY(find(nvml, "nvmlDeviceGetHandleByPciBusId_v2", &by_bus));
    FM_TRY(find(nvml, "nvmlDeviceGetTotalEnergyConsumption", &nvml->total_energy));
    FM_CUDA(cudaDeviceGetPCIBusId(bus, sizeof bus, device->index));
    FM_TRY(check(nvml, init(), "nvmlInit_v2"));
    nvml->shutdown = shutdown; // from here on it is due
    return check(nvml, by_bus(bus, &nvml->gpu), "nvmlDeviceGetHandleByPciBusId_v2");
}

static void end(struct fm_cuda_nvml *nvml)
{
    if (nvml->shutdown)
        (void)nvml->shutdown();
    if (nvml->library)
        (void)dlclose(nvml->library);
    free(nvml);
}

static enum fm_status open_nvml(struct fm_device *device)
{
    struct fm_cuda_nvml *nvml = calloc(1, sizeof *nvml);
    if (!nvml)
        return fm_fail_memory("NVML", sizeof *nvml);
    nvml->library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    enum fm_status status = nvml->library ? begin(device, nvml) : fail_missing("libnvidia-ml.so.1");
    if (status != FM_OK) {
        end(nvml);
        return status;
    }
    device->nvml = nvml;
    return FM_OK;
}

enum fm_status fm_cuda_energy(struct fm_device *device, double *joules)
{
    unsigned long long millijoules = 0;
    if (!device->nvml)
        FM_TRY(open_nvml(device));
    int result = device->nvml->total_energy(device->nvml->gpu, &millijoules);
    FM_TRY(check(device->nvml, result, "nvmlDeviceGetTotalEnergyConsumption"));
    *joules = (double)millijoules / 1000.0;
    return FM_OK;
}

void fm_cuda_energy_close(struct fm_device *device)
{
    if (device->nvml)
        end(device->nvml);
    device->nvml = NULL;
}
