// In the place of tensors_hdf5.c in a build without libhdf5.
#include "net/files/libraries.h"
#include "net/files/tensors_class.h"

#include <string.h>

static bool probe(const unsigned char *head, size_t head_size, uint64_t size)
{
    (void)size;
    return head_size >= 8 && memcmp(head, "\x89HDF\r\n\x1a\n", 8) == 0;
}

static enum fm_status open_none(struct fm_tensors *tensors)
{
    return fm_fail(FM_UNSUPPORTED,
        "%s: an HDF5 file, which this fmnist cannot read: it was built without libhdf5 (Debian: "
        "libhdf5-dev); convert it to safetensors or build again",
        tensors->path);
}

const struct fm_tensors_class fm_tensors_hdf5 = {
    .format = FM_TENSORS_HDF5,
    .probe = probe,
    .open = open_none,
};

void fm_hdf5_library(struct fm_library *library)
{
    *library = (struct fm_library){.name = "libhdf5", .without = "HDF5 files (Keras)"};
}
