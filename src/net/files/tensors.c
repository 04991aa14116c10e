// Which format a file has, and the way to its reader.
#include "net/files/tensors.h"

const char *const fm_tensors_format_names[] = {"safetensors", "HDF5", "ONNX", NULL};

enum fm_status fm_tensors_open(const char *path, struct fm_tensors *tensors)
{
    (void)tensors;
    return fm_fail(FM_UNSUPPORTED, "%s: not read yet", path);
}

void fm_tensors_close(struct fm_tensors *tensors)
{
    (void)tensors;
}

int fm_tensors_find(const struct fm_tensors *tensors, const char *name)
{
    (void)tensors;
    (void)name;
    return -1;
}

const char *fm_tensors_metadata(const struct fm_tensors *tensors, const char *key)
{
    (void)tensors;
    (void)key;
    return NULL;
}

enum fm_status fm_tensors_read(const struct fm_tensors *tensors, int index, float *out)
{
    (void)index;
    (void)out;
    return fm_fail(FM_UNSUPPORTED, "%s: not read yet", tensors->path);
}
