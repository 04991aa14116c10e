// The module's one exported symbol: all that takes libhdf5.
#include "base/module.h"
#include "net/files/hdf5.h"
#include "net/files/hdf5_list.h"
#include "net/formats/keras.h"

static const struct fm_hdf5 table = {
    .abi = FM_HDF5_ABI,
    .list = fm_hdf5_list,
    .keras_image = fm_keras_image,
    .library = fm_hdf5_linked,
};

// Named by FM_HDF5_ENTRY; visible although everything else of the module is hidden.
__attribute__((visibility("default"))) fm_module_entry fm_hdf5_module;

const void *fm_hdf5_module(const struct fm_module_host *host)
{
    if (host->abi != FM_HDF5_ABI)
        return NULL;
    fm_error_set_sink(host->errors);
    fm_log_set_sink(host->log);
    return &table;
}
