// Chosen plans on disk, so that a second start builds none: one JSON file a device, in the user's
// cache folder.
//
// Whatever is wrong with the file costs a note and the time to choose again, never the run: no
// function here fails for it.
#ifndef FM_CUDA_PLAN_CACHE_H
#define FM_CUDA_PLAN_CACHE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Whose plans a file holds: a plan made for another of these is none.
struct fm_cuda_plan_owner {
    const char *device;
    int major, minor; // compute capability
    long long cudnn, driver;
};

struct fm_cuda_kept_plan {
    const char *name; // of the engine
    int64_t workspace;
    double seconds;   // measured; 0: not
    const char *plan; // cuDNN's own text of it
    size_t size;      // of `plan`
};

struct fm_cuda_plan_cache;

// Reads what `folder` holds. NULL: nothing is kept, *cache becomes NULL, which all functions take.
enum fm_status fm_cuda_plan_cache_open(
    const char *folder, const struct fm_cuda_plan_owner *owner, struct fm_cuda_plan_cache **cache);
void fm_cuda_plan_cache_close(struct fm_cuda_plan_cache *cache);

// What is kept under `key`, valid until the cache is changed; false: nothing that is sound.
bool fm_cuda_plan_cache_find(
    struct fm_cuda_plan_cache *cache, const char *key, struct fm_cuda_kept_plan *kept);

// Says, once a cache, that an entry cannot be used, and why.
void fm_cuda_plan_cache_refuse(
    struct fm_cuda_plan_cache *cache, const char *key, const char *reason);

void fm_cuda_plan_cache_put(
    struct fm_cuda_plan_cache *cache, const char *key, const struct fm_cuda_kept_plan *kept);

// Writes what was put since the last call, together with what others have written meanwhile. False:
// it is not kept.
bool fm_cuda_plan_cache_save(struct fm_cuda_plan_cache *cache);

#endif
