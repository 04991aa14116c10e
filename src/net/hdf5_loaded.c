// How the library comes to the module with libhdf5.
#include "net/hdf5_module.h"

#include "base/module.h"

static enum fm_status load(const struct fm_hdf5 **hdf5)
{
    static const struct fm_module_kind kind = {"module", FM_HDF5_ENTRY, FM_HDF5_ABI};
    const void *table = NULL;
    FM_TRY(fm_module_load(&kind, "hdf5", &table));
    *hdf5 = table;
    return FM_OK;
}

enum fm_status fm_hdf5_load(
    const char *path, const char *refused, const char *instead, const struct fm_hdf5 **hdf5)
{
    enum fm_status status = load(hdf5);
    if (status == FM_OK)
        return FM_OK;
    if (status != FM_NOT_FOUND)
        return fm_context(FM_UNSUPPORTED, "%s: %s", path, refused);
    fm_error_clear();
    return fm_fail(FM_UNSUPPORTED,
        "%s: %s: it was built without libhdf5 (Debian: libhdf5-dev); %s or build again", path,
        refused, instead);
}

void fm_hdf5_library(struct fm_library *library)
{
    const struct fm_hdf5 *hdf5;
    enum fm_status status = load(&hdf5);
    if (status == FM_OK)
        hdf5->library(library);
    else
        fm_library_missing(library, "libhdf5", "read HDF5 files (Keras)", status);
}
