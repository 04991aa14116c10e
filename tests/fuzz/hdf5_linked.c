// The module with libhdf5 as a part of this program, so that what its code covers is counted: this
// function is found before the one that loads it.
#include "base/module.h"
#include "net/hdf5_module.h"

fm_module_entry fm_hdf5_module;

enum fm_status fm_hdf5_load(
    const char *path, const char *refused, const char *instead, const struct fm_hdf5 **hdf5)
{
    (void)path, (void)refused, (void)instead;
    const struct fm_module_host host = {FM_HDF5_ABI, &fm_error_own_sink, &fm_log_own_sink};
    *hdf5 = fm_hdf5_module(&host);
    return FM_OK;
}

void fm_hdf5_library(struct fm_library *library)
{
    const struct fm_hdf5 *hdf5;
    fm_hdf5_load("", "", "", &hdf5);
    hdf5->library(library);
}
