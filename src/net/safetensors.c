// Writes safetensors files, and opens and reads those that hold nothing but weights. What a file
// says of itself is checked in files/tensors_safetensors.c.
#include "net/safetensors.h"

#include "base/file.h"
#include "base/pages.h"
#include "net/files/tensors_class.h"

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensors are copied as they lie in memory: the format is little-endian"
#endif

enum {
    LENGTH_BYTES = 8,
    ALIGNMENT = 8, // of the first tensor byte: the header is padded with spaces
    DIMS_MAX = 8,
    NAME_MAX_BYTES = sizeof((struct fm_tensor *)0)->name,
};

static const char metadata_key[] = "__metadata__";

// Writing

// Elements of a shape; false when the product does not fit.
static bool shape_count(const int64_t *dims, int ndims, uint64_t *count)
{
    *count = 1;
    for (int d = 0; d < ndims; d++) {
        if (dims[d] < 0 || __builtin_mul_overflow(*count, (uint64_t)dims[d], count))
            return false;
    }
    return true;
}

static enum fm_status check_tensor(
    const char *path, const struct fm_tensor *tensors, int t, uint64_t *bytes)
{
    const struct fm_tensor *tensor = &tensors[t];
    uint64_t count;
    size_t length = strnlen(tensor->name, NAME_MAX_BYTES);
    if (length == 0 || length == NAME_MAX_BYTES || strcmp(tensor->name, metadata_key) == 0)
        return fm_fail(FM_DATA, "%s: tensor %d cannot be written under the name '%.*s'", path, t,
            (int)length, tensor->name);
    for (int other = 0; other < t; other++) {
        if (strcmp(tensors[other].name, tensor->name) == 0)
            return fm_fail(FM_DATA, "%s: two tensors to write are named '%s'", path, tensor->name);
    }
    if (tensor->ndims < 0 || tensor->ndims > DIMS_MAX ||
        !shape_count(tensor->dims, tensor->ndims, &count) || count != tensor->count ||
        count > SIZE_MAX / sizeof(float))
        return fm_fail(FM_DATA,
            "%s: tensor '%s' to write has %zu elements, which is not what its %d "
            "dimensions say",
            path, tensor->name, tensor->count, tensor->ndims);
    *bytes = count * sizeof(float);
    return FM_OK;
}

// The header's entry of a tensor; NULL when memory runs out.
static json_t *tensor_entry(const struct fm_tensor *tensor, uint64_t begin, uint64_t bytes)
{
    json_t *shape = json_array();
    for (int d = 0; d < tensor->ndims; d++) {
        if (json_array_append_new(shape, json_integer(tensor->dims[d])) != 0) {
            json_decref(shape);
            return NULL;
        }
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", "F32", "shape", shape, "data_offsets",
        (json_int_t)begin, (json_int_t)(begin + bytes));
}

static enum fm_status pack_metadata(const char *path, json_t *header, const char *const *metadata)
{
    json_t *object = json_object();
    if (json_object_set_new(header, metadata_key, object) != 0)
        return fm_fail_memory("a safetensors header", sizeof(json_t *));
    for (; metadata[0] != NULL; metadata += 2) {
        json_t *value = metadata[1] != NULL ? json_string(metadata[1]) : NULL;
        if (json_object_get(object, metadata[0]) != NULL) {
            json_decref(value);
            return fm_fail(FM_DATA, "%s: metadata '%s' is given twice", path, metadata[0]);
        }
        if (json_object_set_new(object, metadata[0], value) != 0)
            return fm_fail(FM_DATA, "%s: metadata '%s' is not UTF-8 text", path, metadata[0]);
    }
    return FM_OK;
}

static enum fm_status pack_header(const char *path, const struct fm_tensor *tensors, int count,
    const char *const *metadata, char **text)
{
    json_t *header = json_object();
    enum fm_status status = FM_OK;
    uint64_t offset = 0;
    if (header == NULL)
        return fm_fail_memory("a safetensors header", sizeof(json_t *));
    if (metadata != NULL && metadata[0] != NULL)
        FM_TRY_GOTO(status, pack_metadata(path, header, metadata), out);
    for (int t = 0; t < count; t++) {
        uint64_t bytes = 0;
        FM_TRY_GOTO(status, check_tensor(path, tensors, t, &bytes), out);
        if (json_object_set_new(
                header, tensors[t].name, tensor_entry(&tensors[t], offset, bytes))) {
            status = fm_fail(
                FM_DATA, "%s: tensor name '%s' is not UTF-8 text", path, tensors[t].name);
            goto out;
        }
        offset += bytes;
    }
    // Insertion order: equal contents are equal bytes.
    *text = json_dumps(header, JSON_COMPACT | JSON_PRESERVE_ORDER);
    if (*text == NULL)
        status = fm_fail_memory("a safetensors header", (unsigned long long)count * 128);
out:
    json_decref(header);
    return status;
}

static enum fm_status put_tensors(struct fm_writer *w, const char *text,
    const struct fm_tensor *tensors, int count, fm_tensor_data *data, void *context)
{
    static const char spaces[ALIGNMENT] = {' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
    size_t length = strlen(text), padding = (ALIGNMENT - length % ALIGNMENT) % ALIGNMENT;
    uint64_t header_bytes = length + padding;
    FM_TRY(fm_writer_put(w, &header_bytes, LENGTH_BYTES));
    FM_TRY(fm_writer_put(w, text, length));
    FM_TRY(fm_writer_put(w, spaces, padding));
    for (int t = 0; t < count; t++) {
        const float *elements = NULL;
        FM_TRY(data(context, t, &elements));
        FM_TRY(fm_writer_put(w, elements, tensors[t].count * sizeof *elements));
    }
    return fm_writer_commit(w);
}

enum fm_status fm_safetensors_write_from(const char *path, const struct fm_tensor *tensors,
    int count, const char *const *metadata, fm_tensor_data *data, void *context)
{
    char *text = NULL;
    struct fm_writer writer;
    FM_TRY(pack_header(path, tensors, count, metadata, &text));
    enum fm_status status = fm_writer_open(&writer, path);
    if (status == FM_OK)
        status = put_tensors(&writer, text, tensors, count, data, context);
    fm_writer_abandon(&writer);
    free(text);
    return status;
}

static enum fm_status data_in_memory(void *context, int tensor, const float **data)
{
    const struct fm_tensor *tensors = context;
    *data = tensors[tensor].data;
    return FM_OK;
}

enum fm_status fm_safetensors_write(
    const char *path, const struct fm_tensor *tensors, int count, const char *const *metadata)
{
    return fm_safetensors_write_from(
        path, tensors, count, metadata, data_in_memory, (void *)tensors);
}

// Reading

// What the file's tensors and metadata point into.
struct memory {
    struct fm_pages elements; // once they have been read
    char **metadata;
    struct fm_tensors from; // open until then
    int *places;            // where each of the file's tensors stands in that
};

// PyTorch's batch norm counts its batches in a whole number of its own, which nothing here needs.
static bool is_counter(const struct fm_tensor_info *info)
{
    return strcmp(info->type, "I64") == 0 && info->ndims == 0;
}

static enum fm_status check_info(const char *path, const struct fm_tensor_info *info)
{
    if (strlen(info->name) >= NAME_MAX_BYTES)
        return fm_fail(FM_DATA, "%s: tensor name '%.40s...' has %zu bytes, expected 1 to %d", path,
            info->name, strlen(info->name), NAME_MAX_BYTES - 1);
    if (!info->readable)
        return fm_fail(FM_UNSUPPORTED,
            "%s: tensor '%s' is of dtype '%s', expected F32, F16, BF16 or F64", path, info->name,
            info->type);
    return FM_OK;
}

// What the header says.
static enum fm_status describe(struct memory *memory, struct fm_tensor_file *file)
{
    const struct fm_tensors *from = &memory->from;
    memory->places = calloc((size_t)from->count + 1, sizeof *memory->places);
    file->tensors = calloc((size_t)from->count + 1, sizeof *file->tensors);
    if (file->tensors == NULL || memory->places == NULL)
        return fm_fail_memory("tensors", ((size_t)from->count + 1) * sizeof *file->tensors);
    for (int t = 0; t < from->count; t++) {
        const struct fm_tensor_info *info = &from->list[t];
        struct fm_tensor *tensor = &file->tensors[file->count];
        if (is_counter(info))
            continue;
        FM_TRY(check_info(from->path, info));
        memcpy(tensor->name, info->name, strlen(info->name) + 1);
        tensor->ndims = info->ndims;
        memcpy(tensor->dims, info->dims, sizeof tensor->dims);
        tensor->count = info->count;
        memory->places[file->count++] = t;
    }
    return FM_OK;
}

enum fm_status fm_safetensors_open(const char *path, struct fm_tensor_file *file)
{
    memset(file, 0, sizeof *file);
    struct memory *memory = calloc(1, sizeof *memory);
    if (memory == NULL)
        return fm_fail_memory("a weights file", sizeof *memory);
    file->memory = memory;
    enum fm_status status = fm_tensors_open_as(path, &fm_tensors_safetensors, &memory->from);
    if (status == FM_OK)
        status = describe(memory, file);
    file->metadata = memory->metadata = memory->from.metadata;
    memory->from.metadata = NULL;
    if (status != FM_OK)
        fm_safetensors_free(file);
    return status;
}

enum fm_status fm_safetensors_load(
    const struct fm_tensor_file *file, const struct fm_tensor *tensor, float *out)
{
    const struct memory *memory = file->memory;
    if (memory->elements.memory == NULL)
        return fm_tensors_read(&memory->from, memory->places[tensor - file->tensors], out);
    memcpy(out, tensor->data, tensor->count * sizeof *out);
    return FM_OK;
}

static enum fm_status read_elements(struct fm_tensor_file *file)
{
    struct memory *memory = file->memory;
    size_t elements = 0; // of at least 2 bytes each within the file: no overflow
    for (int t = 0; t < file->count; t++)
        elements += file->tensors[t].count;
    struct fm_pages pages = fm_pages_allocate(elements * sizeof(float));
    if (pages.memory == NULL)
        return fm_fail_memory("tensors", elements * sizeof(float));
    float *next = pages.memory;
    enum fm_status status = FM_OK;
    for (int t = 0; t < file->count && status == FM_OK; t++) {
        status = fm_safetensors_load(file, &file->tensors[t], next);
        file->tensors[t].data = next;
        next += file->tensors[t].count;
    }
    memory->elements = pages;
    fm_tensors_close(&memory->from);
    return status;
}

enum fm_status fm_safetensors_read(const char *path, struct fm_tensor_file *file)
{
    FM_TRY(fm_safetensors_open(path, file));
    enum fm_status status = read_elements(file);
    if (status != FM_OK)
        fm_safetensors_free(file);
    return status;
}

const struct fm_tensor *fm_safetensors_find(const struct fm_tensor_file *file, const char *name)
{
    for (int t = 0; t < file->count; t++) {
        if (strcmp(file->tensors[t].name, name) == 0)
            return &file->tensors[t];
    }
    return NULL;
}

const char *fm_safetensors_metadata(const struct fm_tensor_file *file, const char *key)
{
    for (char **pair = file->metadata; pair && pair[0]; pair += 2)
        if (strcmp(pair[0], key) == 0)
            return pair[1];
    return NULL;
}

void fm_safetensors_free(struct fm_tensor_file *file)
{
    struct memory *memory = file->memory;
    if (memory != NULL) {
        fm_pages_free(&memory->elements);
        fm_tensors_close(&memory->from);
        free(memory->places);
        fm_tensors_free_metadata(memory->metadata);
        free(memory);
    }
    free(file->tensors);
    memset(file, 0, sizeof *file);
}
