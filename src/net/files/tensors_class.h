// What a format's reader offers to tensors.c, and what all of them share. Internal to this folder.
#ifndef FM_NET_FILES_TENSORS_CLASS_H
#define FM_NET_FILES_TENSORS_CLASS_H

#include "net/files/tensors.h"

struct fm_tensors_class {
    enum fm_tensors_format format;

    // Whether a file of `size` bytes that begins with these may be one of the format: a look at
    // them, no more. The formats are asked in the order of their enum; the first that says yes has
    // the file, and what it then finds wrong is the answer.
    bool (*probe)(const unsigned char *head, size_t head_size, uint64_t size);

    // Lists what is in the file: tensors->path, format, descriptor (open for reading, at any
    // position: pread) and size are set; fm_tensors_add() and fm_tensors_add_metadata() fill the
    // rest, `file` is the reader's own. Called once. After a failure `close` is called, too.
    enum fm_status (*open)(struct fm_tensors *tensors);

    // fm_tensors_read() of a tensor that is readable and has elements. NULL where `open` lists
    // none.
    enum fm_status (*read)(const struct fm_tensors *tensors, int index, float *out);

    // Frees `file` (which may be NULL), and nothing else. NULL where there is never one.
    void (*close)(struct fm_tensors *tensors);
};

extern const struct fm_tensors_class fm_tensors_safetensors;
extern const struct fm_tensors_class fm_tensors_hdf5; // tensors_hdf5.c
extern const struct fm_tensors_class fm_tensors_onnx; // tensors_onnx.c or tensors_onnx_none.c

// The next tensor of the list, which the caller fills but for its name: *info is valid until the
// next call. FM_DATA: a name that is empty, too long or no UTF-8, or more than FM_TENSORS_MAX.
// Whether a name came before is asked once at the end, by tensors.c, of all formats alike.
enum fm_status fm_tensors_add(
    struct fm_tensors *tensors, const char *name, struct fm_tensor_info **info);

// Sets ndims, dims and count. FM_DATA: too many dimensions, a negative one, a product whose bytes
// as fp32 or as stored (at up to 16 bytes an element) would overflow.
enum fm_status fm_tensors_set_shape(const struct fm_tensors *tensors, struct fm_tensor_info *info,
    const int64_t *dims, size_t ndims);

// Adds a pair to the metadata; both are copied. FM_DATA: more than FM_TENSORS_METADATA_MAX.
enum fm_status fm_tensors_add_metadata(
    struct fm_tensors *tensors, const char *key, const char *value);

void fm_tensors_free_metadata(char **metadata); // NULL, too

// fm_tensors_open() of a file whose format is known; NULL: it is told by its first bytes.
enum fm_status fm_tensors_open_as(
    const char *path, const struct fm_tensors_class *of, struct fm_tensors *tensors);

// Bytes [offset, offset + size) of the file; FM_DATA where it ends before that.
enum fm_status fm_tensors_get(
    const struct fm_tensors *tensors, uint64_t offset, void *bytes, size_t size);

// Types of elements by the names that struct fm_tensor_info has: tensors_types.c.
struct fm_tensor_type {
    const char *name;
    size_t bits;                                                      // of an element; 0: unknown
    void (*widen)(const unsigned char *bytes, size_t count, float *); // NULL: not readable
};
const struct fm_tensor_type *fm_tensor_type_find(const char *name); // NULL: no such type

// Bytes of `count` elements, as many as fm_tensors_set_shape() lets through: those of less than a
// byte are packed.
uint64_t fm_tensor_type_bytes(const struct fm_tensor_type *type, size_t count);

// `count` elements of a type that can be widened, from byte `offset` of the file on.
enum fm_status fm_tensors_get_fp32(const struct fm_tensors *tensors,
    const struct fm_tensor_type *type, uint64_t offset, size_t count, float *out);

#endif
