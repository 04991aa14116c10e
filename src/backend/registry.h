// The registry: backends, which are modules (base/module.h) by their names. Engines may be opened
// from several threads at the same time.
#ifndef FM_BACKEND_REGISTRY_H
#define FM_BACKEND_REGISTRY_H

#include "backend/backend.h"

// Names of all backends that this version knows, built or not; ends with NULL.
extern const char *const fm_backend_names[];

// A loaded backend with an open device: what the layers above pass around.
struct fm_engine {
    const struct fm_backend *api;
    struct fm_device *device;
    struct fm_device_info info;
    // In force: those of a GPU are zero on a processor, which has no use for them. plan_cache,
    // which belongs to the caller, is NULL.
    struct fm_device_options options;
};

// Loads the module and opens a device. An unknown or missing one fails with FM_NOT_FOUND and the
// list of those there are. `name` NULL or "auto": the first of fm_backend_names that has a module
// and a usable device; a device that is there and cannot be used is warned of.
enum fm_status fm_engine_open(
    const char *name, const struct fm_device_options *options, struct fm_engine *engine);
void fm_engine_close(struct fm_engine *engine);

#endif
