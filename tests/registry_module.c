// A backend module for test_registry.c and test_module.c, which opens a device or refuses to, as it
// was compiled:
//   MODULE_NAME      "cuda"
//   MODULE_THREADS   of the device; 0: a GPU
//   MODULE_USABLE    0: there is no device; -1: it cannot be used
#include "backend/backend.h"

#include <stdio.h>
#include <string.h>

struct fm_device {
    int index;
};

static struct fm_device only;

static enum fm_status device_open(
    const struct fm_device_options *options, struct fm_device **device)
{
    if (MODULE_USABLE == 0)
        return fm_fail(FM_NOT_FOUND, "no GPU in this test");
    if (MODULE_USABLE < 0)
        return fm_fail(FM_UNSUPPORTED, "too old a GPU in this test");
    only.index = options->index;
    *device = &only;
    return FM_OK;
}

static void device_close(struct fm_device *device)
{
    (void)device;
}

static void device_describe(const struct fm_device *device, struct fm_device_info *info)
{
    memset(info, 0, sizeof *info);
    snprintf(info->name, sizeof info->name, "%s %d", MODULE_NAME, device->index);
    info->threads = MODULE_THREADS;
}

static const struct fm_backend backend = {
    .abi = FM_BACKEND_ABI,
    .name = MODULE_NAME,
    .device_open = device_open,
    .device_close = device_close,
    .device_describe = device_describe,
};

__attribute__((visibility("default"))) fm_module_entry fm_backend_module;

const void *fm_backend_module(const struct fm_module_host *host)
{
    return fm_module_join(host, FM_BACKEND_ABI) ? &backend : NULL;
}
