// What the process that has libhdf5 says, were it taken over by the file that it reads: the input
// is both the file and all that comes through the pipe. In the place of net/files/child.c and
// net/hdf5_loaded.c.
#include "fuzz.h"

#include "net/files/child.h"
#include "net/files/tensors_class.h"
#include "net/hdf5_module.h"

#include <stdlib.h>
#include <string.h>

const struct fm_child_limits fm_child_limits;
static const uint8_t *next;
static size_t left;

enum fm_status fm_child_start(struct fm_child *child, const char *path, const char *library,
    const struct fm_child_limits *limits, void (*work)(int pipe, void *context), void *context)
{
    (void)work, (void)context;
    *child = (struct fm_child){.path = path, .library = library, .limits = *limits, .out = -1};
    return FM_OK;
}

enum fm_status fm_child_get(struct fm_child *child, void *bytes, size_t size)
{
    if (size > left)
        return fm_fail(FM_DATA, "%s: %s gave up on it", child->path, child->library);
    memcpy(bytes, next, size);
    next += size;
    left -= size;
    return FM_OK;
}

void fm_child_end(struct fm_child *child)
{
    child->pid = 0;
}

enum fm_status fm_hdf5_load(
    const char *path, const char *refused, const char *instead, const struct fm_hdf5 **hdf5)
{
    static const struct fm_hdf5 none;
    (void)path, (void)refused, (void)instead;
    *hdf5 = &none;
    return FM_OK;
}

void fm_hdf5_library(struct fm_library *library)
{
    (void)library;
    abort();
}

// Those of the child's side, which nothing calls here.
void fm_child_put(int pipe, const void *bytes, size_t size)
{
    (void)pipe, (void)bytes, (void)size;
    abort();
}

void fm_child_shut_files(void)
{
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_tensors tensors;
    const char *path = fm_fuzz_file(data, size);
    next = data;
    left = size;
    enum fm_status status = fm_tensors_open_as(path, &fm_tensors_hdf5, &tensors);
    fm_fuzz_returned(status);
    if (status == FM_OK) {
        fm_fuzz_tensors(&tensors);
        fm_tensors_close(&tensors);
    }
    return 0;
}
