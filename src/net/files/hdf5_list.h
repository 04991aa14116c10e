// What the process that has libhdf5 says to the one that has not: records, each of these with what
// follows it. Both are of one version (hdf5_module.h), so that the bytes of a struct are the same
// to both; that they make sense is for the reader to check.
#ifndef FM_NET_FILES_HDF5_LIST_H
#define FM_NET_FILES_HDF5_LIST_H

#include "base/library.h"
#include "net/files/tensors.h"

#include <stdint.h>

enum fm_hdf5_kind {
    FM_HDF5_TENSOR = 0x7e5045, // `name` bytes of its name, `extra` bytes of elements (compact)
    FM_HDF5_TEXT,              // `name` bytes of a key, `extra` bytes of a value
    FM_HDF5_FAILED,            // `extra` bytes of a message; the last
    FM_HDF5_DONE,              // the last
};

enum fm_hdf5_place {
    FM_HDF5_CONTIGUOUS, // elements at `offset` of the file
    FM_HDF5_COMPACT,    // in the record
    FM_HDF5_CHUNKED,    // as compressed data sets are
    FM_HDF5_EXTERNAL,   // in another file
    FM_HDF5_VIRTUAL,    // in other data sets
    FM_HDF5_UNWRITTEN,  // nowhere
    FM_HDF5_LINK,       // not an object but a link out of the file, which is not followed
    FM_HDF5_PLACES,
};

enum {
    FM_HDF5_COMPACT_MAX = 1 << 16, // bytes, by the format
    FM_HDF5_TEXT_MAX = 1 << 20,    // of an attribute; a longer one is left out
    FM_HDF5_DEPTH_MAX = 32,        // groups within groups
};

struct fm_hdf5_record {
    uint32_t kind, place;
    uint32_t name, extra;
    uint32_t ndims;
    uint32_t filter; // of chunks, an H5Z_filter_t: what compresses them; 0: nothing
    int64_t dims[FM_TENSOR_DIMS_MAX];
    uint64_t offset, stored; // bytes
    uint64_t element;        // bytes of one
    char type[16];
};

// Runs in the child: lists the file that `descriptor` is open on.
struct fm_hdf5_work {
    int descriptor;
};
void fm_hdf5_list(int pipe, void *work);

void fm_hdf5_linked(struct fm_library *library); // libhdf5, its version

#endif
