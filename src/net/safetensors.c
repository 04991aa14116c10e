// Reads and writes safetensors files. The reader takes nothing on trust: a weights file may come
// from anywhere, and a wrong offset in it must end in a message, never in a wild read.
#include "net/safetensors.h"

#include "base/file.h"

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
    ALIGNMENT = 8,          // of the first tensor byte: the header is padded with spaces
    HEADER_MAX = 100000000, // as the reference implementation has it
    DIMS_MAX = 8,
    NAME_MAX_BYTES = sizeof((struct fm_tensor *)0)->name,
};

static const char metadata_key[] = "__metadata__";

struct dtype {
    const char *name;
    size_t bytes;
    float (*widen)(const unsigned char *bytes);
};

static float widen_f32(const unsigned char *bytes)
{
    float value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static float widen_bf16(const unsigned char *bytes)
{
    uint32_t bits = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 24;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float widen_f16(const unsigned char *bytes)
{
    uint32_t half = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8;
    uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31u, mantissa = half & 0x3ffu;
    float value;
    if (exponent == 0) {
        value = (float)mantissa * 0x1p-24f; // zero or subnormal: exact
        return sign != 0 ? -value : value;
    }
    // Infinities and NaNs keep their mantissa; the bias goes from 15 to 127.
    uint32_t bits = sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | mantissa << 13;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static const struct dtype dtypes[] = {
    {"F32", 4, widen_f32},
    {"F16", 2, widen_f16},
    {"BF16", 2, widen_bf16},
};

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
    float *elements;
    json_t *header; // owns the metadata's strings
};

// A tensor as the header describes it.
struct entry {
    struct fm_tensor tensor;
    const struct dtype *dtype;
    uint64_t begin, end; // within the bytes behind the header
};

static enum fm_status parse_shape(const char *path, const json_t *shape, struct entry *entry)
{
    struct fm_tensor *tensor = &entry->tensor;
    uint64_t count;
    if (!json_is_array(shape))
        return fm_fail(
            FM_DATA, "%s: tensor '%s': 'shape' is missing or not a list", path, tensor->name);
    if (json_array_size(shape) > DIMS_MAX)
        return fm_fail(FM_DATA, "%s: tensor '%s' has %zu dimensions, expected at most %d", path,
            tensor->name, json_array_size(shape), DIMS_MAX);
    for (size_t d = 0; d < json_array_size(shape); d++) {
        const json_t *dim = json_array_get(shape, d);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return fm_fail(FM_DATA, "%s: tensor '%s': dimension %zu is not a whole number from 0",
                path, tensor->name, d);
        tensor->dims[d] = json_integer_value(dim);
    }
    tensor->ndims = (int)json_array_size(shape);
    if (!shape_count(tensor->dims, tensor->ndims, &count) || count > SIZE_MAX / 8)
        return fm_fail(FM_DATA, "%s: tensor '%s': the product of its dimensions overflows", path,
            tensor->name);
    tensor->count = (size_t)count;
    return FM_OK;
}

static enum fm_status parse_offsets(
    const char *path, const json_t *offsets, uint64_t available, struct entry *entry)
{
    const char *name = entry->tensor.name;
    if (!json_is_array(offsets) || json_array_size(offsets) != 2)
        return fm_fail(
            FM_DATA, "%s: tensor '%s': 'data_offsets' is missing or not a pair", path, name);
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (!json_is_integer(begin) || !json_is_integer(end) || json_integer_value(begin) < 0 ||
        json_integer_value(end) < json_integer_value(begin))
        return fm_fail(FM_DATA,
            "%s: tensor '%s': 'data_offsets' are not two ascending whole numbers", path, name);
    entry->begin = (uint64_t)json_integer_value(begin);
    entry->end = (uint64_t)json_integer_value(end);
    if (entry->end > available)
        return fm_fail(FM_DATA,
            "%s: tensor '%s' ends at offset %llu, but the file holds %llu bytes of tensors", path,
            name, (unsigned long long)entry->end, (unsigned long long)available);
    uint64_t expected = entry->tensor.count * entry->dtype->bytes;
    if (entry->end - entry->begin != expected)
        return fm_fail(FM_DATA,
            "%s: tensor '%s' has %llu bytes, but its shape of %zu %s elements takes %llu", path,
            name, (unsigned long long)(entry->end - entry->begin), entry->tensor.count,
            entry->dtype->name, (unsigned long long)expected);
    return FM_OK;
}

static enum fm_status parse_entry(const char *path, const char *name, const json_t *value,
    uint64_t available, struct entry *entry)
{
    if (name[0] == '\0' || strlen(name) >= NAME_MAX_BYTES)
        return fm_fail(FM_DATA, "%s: tensor name '%.40s...' has %zu bytes, expected 1 to %d", path,
            name, strlen(name), NAME_MAX_BYTES - 1);
    snprintf(entry->tensor.name, sizeof entry->tensor.name, "%s", name);
    if (!json_is_object(value) || json_object_size(value) != 3)
        return fm_fail(FM_DATA,
            "%s: tensor '%s' is not described by exactly 'dtype', 'shape' and 'data_offsets'", path,
            name);
    const char *dtype = json_string_value(json_object_get(value, "dtype"));
    if (dtype == NULL)
        return fm_fail(FM_DATA, "%s: tensor '%s': 'dtype' is missing or not text", path, name);
    for (size_t d = 0; d < sizeof dtypes / sizeof dtypes[0]; d++) {
        if (strcmp(dtypes[d].name, dtype) == 0)
            entry->dtype = &dtypes[d];
    }
    if (entry->dtype == NULL)
        return fm_fail(FM_UNSUPPORTED,
            "%s: tensor '%s' is of dtype '%s', expected F32, F16 or BF16", path, name, dtype);
    FM_TRY(parse_shape(path, json_object_get(value, "shape"), entry));
    return parse_offsets(path, json_object_get(value, "data_offsets"), available, entry);
}

static enum fm_status parse_metadata(
    const char *path, const json_t *object, struct fm_tensor_file *file)
{
    if (!json_is_object(object))
        return fm_fail(FM_DATA, "%s: '%s' is not an object", path, metadata_key);
    size_t pointers = 2 * json_object_size(object) + 1;
    file->metadata = calloc(pointers, sizeof *file->metadata);
    if (file->metadata == NULL)
        return fm_fail_memory("metadata", pointers * sizeof *file->metadata);
    char **next = file->metadata;
    json_t *root = (json_t *)object;
    for (void *i = json_object_iter(root); i != NULL; i = json_object_iter_next(root, i)) {
        const char *value = json_string_value(json_object_iter_value(i));
        if (value == NULL)
            return fm_fail(FM_DATA, "%s: metadata '%s' is not text", path, json_object_iter_key(i));
        *next++ = (char *)json_object_iter_key(i);
        *next++ = (char *)value;
    }
    return FM_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

// In the order of their bytes the tensors must cover all of them, once.
static enum fm_status check_cover(
    const char *path, const struct entry *entries, int count, uint64_t available)
{
    uint64_t reached = 0;
    for (int e = 0; e < count; e++) {
        if (entries[e].begin != reached)
            return fm_fail(FM_DATA, "%s: tensor '%s' begins at offset %llu, expected %llu: %s",
                path, entries[e].tensor.name, (unsigned long long)entries[e].begin,
                (unsigned long long)reached,
                entries[e].begin < reached ? "tensors overlap" : "there is a gap");
        reached = entries[e].end;
    }
    if (reached != available)
        return fm_fail(FM_DATA, "%s: the tensors end at offset %llu, %llu surplus bytes follow",
            path, (unsigned long long)reached, (unsigned long long)(available - reached));
    return FM_OK;
}

static enum fm_status copy_elements(
    const struct entry *entries, int count, const unsigned char *bytes, struct fm_tensor_file *file)
{
    struct memory *memory = file->memory;
    size_t elements = 0;
    for (int e = 0; e < count; e++)
        elements += entries[e].tensor.count;
    memory->elements = malloc(elements > 0 ? elements * sizeof(float) : 1);
    file->tensors = calloc((size_t)count + 1, sizeof *file->tensors);
    if (memory->elements == NULL || file->tensors == NULL)
        return fm_fail_memory("tensors", elements * sizeof(float));
    float *next = memory->elements;
    for (int e = 0; e < count; e++) {
        const struct dtype *dtype = entries[e].dtype;
        const unsigned char *from = bytes + entries[e].begin;
        file->tensors[e] = entries[e].tensor;
        file->tensors[e].data = next;
        for (size_t i = 0; i < entries[e].tensor.count; i++)
            *next++ = dtype->widen(from + i * dtype->bytes);
    }
    file->count = count;
    return FM_OK;
}

static enum fm_status parse_header(
    const char *path, const unsigned char *data, size_t size, json_t **header, size_t *first)
{
    uint64_t length = 0;
    if (size < LENGTH_BYTES)
        return fm_fail(FM_DATA, "%s: %zu bytes, expected a safetensors file of at least %d", path,
            size, LENGTH_BYTES + 2);
    for (int b = LENGTH_BYTES - 1; b >= 0; b--)
        length = length << 8 | data[b];
    if (length > size - LENGTH_BYTES || length > HEADER_MAX)
        return fm_fail(FM_DATA,
            "%s: the header is said to have %llu bytes, but %zu follow (and at most %d are "
            "allowed): not a safetensors file, or cut off",
            path, (unsigned long long)length, size - LENGTH_BYTES, HEADER_MAX);
    if (length == 0 || data[LENGTH_BYTES] != '{')
        return fm_fail(
            FM_DATA, "%s: the header does not begin with '{': not a safetensors file", path);

    json_error_t error;
    *header = json_loadb(
        (const char *)data + LENGTH_BYTES, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (*header == NULL)
        return fm_fail(FM_DATA, "%s: header, byte %d: %s", path, error.position, error.text);
    *first = LENGTH_BYTES + (size_t)length;
    return FM_OK;
}

static enum fm_status read_tensors(
    const char *path, const unsigned char *bytes, uint64_t available, struct fm_tensor_file *file)
{
    enum fm_status status = FM_OK;
    json_t *header = ((struct memory *)file->memory)->header;
    struct entry *entries = calloc(json_object_size(header) + 1, sizeof *entries);
    int count = 0;
    if (entries == NULL)
        return fm_fail_memory("a list of tensors", json_object_size(header) * sizeof *entries);
    for (void *i = json_object_iter(header); i != NULL; i = json_object_iter_next(header, i)) {
        const char *name = json_object_iter_key(i);
        const json_t *value = json_object_iter_value(i);
        if (strcmp(name, metadata_key) == 0)
            status = parse_metadata(path, value, file);
        else
            status = parse_entry(path, name, value, available, &entries[count++]);
        if (status != FM_OK)
            goto out;
    }
    qsort(entries, (size_t)count, sizeof *entries, by_offset);
    FM_TRY_GOTO(status, check_cover(path, entries, count, available), out);
    status = copy_elements(entries, count, bytes, file);
out:
    free(entries);
    return status;
}

enum fm_status fm_safetensors_read(const char *path, struct fm_tensor_file *file)
{
    unsigned char *data = NULL;
    size_t size = 0, first = 0;
    memset(file, 0, sizeof *file);
    FM_TRY(fm_file_read(path, &data, &size));

    enum fm_status status;
    struct memory *memory = calloc(1, sizeof *memory);
    if (memory == NULL) {
        status = fm_fail_memory("a weights file", sizeof *memory);
        goto out;
    }
    file->memory = memory;
    FM_TRY_GOTO(status, parse_header(path, data, size, &memory->header, &first), out);
    status = read_tensors(path, data + first, size - first, file);
out:
    free(data);
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
        free(memory->elements);
        json_decref(memory->header);
        free(memory);
    }
    free(file->metadata);
    free(file->tensors);
    memset(file, 0, sizeof *file);
}
