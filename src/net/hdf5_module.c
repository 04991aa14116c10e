// The module's one exported symbol: all that takes libhdf5.
#include "net/hdf5_module.h"
#include "base/module.h"
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
    return fm_module_join(host, FM_HDF5_ABI) ? &table : NULL;
}
