// Weights files in the safetensors format (https://github.com/huggingface/safetensors, README
// "Format"): an u64 little-endian header length, a JSON header, then the tensors' bytes.
#ifndef FM_NET_SAFETENSORS_H
#define FM_NET_SAFETENSORS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct fm_tensor {
    char name[128];
    int ndims;
    int64_t dims[8];
    size_t count; // elements
    float *data;  // fp32, row-major; borrowed when writing, owned by the file when read, or NULL
};

struct fm_tensor_file {
    struct fm_tensor *tensors;
    int count;
    char **metadata; // key, value, key, value, ... NULL
    void *memory;    // what these point into, and the file while it is open
};

// Writes fp32 tensors and string metadata (key, value, ..., NULL; may be NULL) whole or not at all.
// Tensors stand in the given order, so equal contents are equal bytes.
enum fm_status fm_safetensors_write(
    const char *path, const struct fm_tensor *tensors, int count, const char *const *metadata);

// The same with the data brought when it is written, one tensor after the other, so that it need
// not all be in memory at once: `data` sets *data, which must stay as it is until the next call.
typedef enum fm_status fm_tensor_data(void *context, int tensor, const float **data);
enum fm_status fm_safetensors_write_from(const char *path, const struct fm_tensor *tensors,
    int count, const char *const *metadata, fm_tensor_data *data, void *context);

// Reads and checks a file: header within the file, known dtypes (F32; F16 and BF16 are widened, F64
// rounded), offsets in order without gaps or overlaps, sizes that agree with shapes, no surplus
// bytes. A single I64 without dimensions is left out: so PyTorch's batch norm counts its batches.
// Files of any other contents are listed and read by files/tensors.h.
enum fm_status fm_safetensors_read(const char *path, struct fm_tensor_file *file);
// The same, but the elements stay where they are (`data` is NULL): the file is open until it is
// freed. Nothing needs to be freed of one that could not be opened or read.
enum fm_status fm_safetensors_open(const char *path, struct fm_tensor_file *file);
// The elements of one of the file's tensors, to `out` [count]: read now, or copied if they have
// been read. FM_IO or FM_DATA if the file has changed since.
enum fm_status fm_safetensors_load(
    const struct fm_tensor_file *file, const struct fm_tensor *tensor, float *out);
const struct fm_tensor *fm_safetensors_find(const struct fm_tensor_file *file, const char *name);
// A value of the metadata; NULL if absent.
const char *fm_safetensors_metadata(const struct fm_tensor_file *file, const char *key);
void fm_safetensors_free(struct fm_tensor_file *file);

#endif
