// Files of named tensors, whoever wrote them: what is in one is told first, from its headers alone;
// then the tensors that are wanted are read, one by one. A file may be damaged or made to do harm:
// every number in it is checked against the file's size before it is believed.
#ifndef FM_NET_FILES_TENSORS_H
#define FM_NET_FILES_TENSORS_H

#include "base/file.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fm_tensors_format {
    FM_TENSORS_SAFETENSORS,
    FM_TENSORS_HDF5,
    FM_TENSORS_ONNX,
    FM_TENSORS_FORMAT_COUNT,
};
extern const char *const fm_tensors_format_names[]; // "safetensors", "HDF5", "ONNX"; ends with NULL

enum {
    FM_TENSOR_NAME_MAX = 256,
    FM_TENSOR_DIMS_MAX = 8,
    FM_TENSORS_MAX = 100000,        // tensors of a file
    FM_TENSORS_METADATA_MAX = 10000 // pairs of its metadata
};

struct fm_tensor_info {
    char name[FM_TENSOR_NAME_MAX]; // of HDF5 the path, "block1_conv1/block1_conv1_W_1:0"
    char type[16];                 // "F32", "F16", "BF16", "F64", "I64", "U8", ...
    bool readable;                 // as fp32: F64, F32, F16, BF16
    const char *filter;            // of HDF5 in chunks: what compresses them, "gzip"; or NULL
    int ndims;
    int64_t dims[FM_TENSOR_DIMS_MAX];
    size_t count;   // elements
    uint64_t bytes; // as stored
};

struct fm_tensors_class;

struct fm_tensors {
    char path[FM_PATH_MAX];
    enum fm_tensors_format format;
    struct fm_tensor_info *list; // [count], in the file's order
    int count;
    char **metadata; // key, value, key, value, ..., NULL: text that stands beside the tensors
    // What the format's reader works with (tensors_class.h); the descriptor is open while `of` is
    // not NULL.
    const struct fm_tensors_class *of;
    int descriptor;
    uint64_t size; // bytes of the file
    void *file;
};

// Opens a file of any of the formats, told by its first bytes, whatever it is called. FM_DATA: not
// one of them, or what is wrong with it; FM_UNSUPPORTED: this build has no library for the format,
// or the file uses what is not read. What a format allows and only some tensors use (HDF5 in
// chunks, as compressed data are, or in other files; links out of the file) is listed as not
// readable. On failure there is nothing to close.
enum fm_status fm_tensors_open(const char *path, struct fm_tensors *tensors);
void fm_tensors_close(struct fm_tensors *tensors); // one that is all zero, too

int fm_tensors_find(const struct fm_tensors *tensors, const char *name);            // index, or -1
const char *fm_tensors_metadata(const struct fm_tensors *tensors, const char *key); // or NULL

// The elements of a tensor as fp32, row-major: `out` [list[index].count]. FM_UNSUPPORTED of a type
// that is not readable.
enum fm_status fm_tensors_fail_type(
    const struct fm_tensors *tensors, const struct fm_tensor_info *info); // which is it, and why
enum fm_status fm_tensors_read(const struct fm_tensors *tensors, int index, float *out);

#endif
