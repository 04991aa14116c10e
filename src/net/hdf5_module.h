// What takes libhdf5 is a module (base/module.h) of its own: with it come 35 libraries, which take
// longer to load than a prediction takes to compute, and few commands touch such files.
#ifndef FM_NET_HDF5_MODULE_H
#define FM_NET_HDF5_MODULE_H

#include "base/library.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct fm_format_model;

enum {
    FM_HDF5_ABI = 1 // another one for any change of this file, hdf5_list.h, formats.h or net.h
};
#define FM_HDF5_ENTRY "fm_hdf5_module"

struct fm_hdf5 {
    uint32_t abi; // FM_HDF5_ABI
    // Work of a child process: lists a file (hdf5_list.h).
    void (*list)(int pipe, void *work);
    // A model as a Keras file in memory (formats/keras.h).
    enum fm_status (*keras_image)(
        const char *path, const struct fm_format_model *model, unsigned char **image, size_t *size);
    void (*library)(struct fm_library *library); // libhdf5, its version
};

void fm_hdf5_library(struct fm_library *library); // the same, for `fmnist info`

// Loads the module, for the file at `path`. FM_UNSUPPORTED: it is not part of this build, or cannot
// be loaded; the message says `refused` of the file ("an HDF5 file, which this fmnist cannot
// read"), and what to do `instead`.
enum fm_status fm_hdf5_load(
    const char *path, const char *refused, const char *instead, const struct fm_hdf5 **hdf5);

#endif
