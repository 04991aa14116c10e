// safetensors files (https://github.com/huggingface/safetensors, README "Format"): the header is
// read and checked against itself and the file's size; tensors are read where it says. Nothing is
// taken on trust: a wrong offset must end in a message, never in a wild read.
#include "net/files/tensors_class.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LENGTH_BYTES = 8,
    HEADER_MAX = 100000000, // as the reference implementation has it
};

static const char metadata_key[] = "__metadata__";

// A tensor as the header describes it.
struct entry {
    struct fm_tensor_info info;
    uint64_t begin, end; // within the bytes behind the header
};

struct file {
    json_t *header;   // NULL once it has been taken apart
    uint64_t first;   // byte of the file behind the header
    uint64_t *begins; // of each tensor of the list, from `first`
    struct entry *entries;
};

static bool probe(const unsigned char *head, size_t head_size, uint64_t size)
{
    (void)size;
    return head_size > LENGTH_BYTES && head[LENGTH_BYTES] == '{';
}

// ---- The header's entries

static enum fm_status parse_shape(
    const struct fm_tensors *tensors, const json_t *shape, struct entry *entry)
{
    int64_t dims[FM_TENSOR_DIMS_MAX] = {0};
    size_t count = json_array_size(shape);
    if (!json_is_array(shape))
        return fm_fail(FM_DATA, "%s: tensor '%s': 'shape' is missing or not a list", tensors->path,
            entry->info.name);
    for (size_t d = 0; d < count && d < FM_TENSOR_DIMS_MAX; d++) {
        const json_t *dim = json_array_get(shape, d);
        dims[d] = json_is_integer(dim) ? json_integer_value(dim) : -1;
    }
    return fm_tensors_set_shape(tensors, &entry->info, dims, count);
}

static enum fm_status parse_offsets(const struct fm_tensors *tensors, const json_t *offsets,
    uint64_t available, struct entry *entry)
{
    const char *path = tensors->path, *name = entry->info.name;
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
    if (entry->end - entry->begin != entry->info.bytes)
        return fm_fail(FM_DATA,
            "%s: tensor '%s' has %llu bytes, but its shape of %zu %s elements takes %llu", path,
            name, (unsigned long long)(entry->end - entry->begin), entry->info.count,
            entry->info.type, (unsigned long long)entry->info.bytes);
    return FM_OK;
}

static enum fm_status parse_type(
    const struct fm_tensors *tensors, const json_t *dtype, struct entry *entry)
{
    const char *name = json_string_value(dtype);
    if (name == NULL)
        return fm_fail(FM_DATA, "%s: tensor '%s': 'dtype' is missing or not text", tensors->path,
            entry->info.name);
    const struct fm_tensor_type *type = fm_tensor_type_find(name);
    if (type == NULL)
        return fm_fail(FM_UNSUPPORTED,
            "%s: tensor '%s' is of dtype '%.40s', which is none of safetensors' that are known "
            "here (F32, F16, BF16, F64, I64, U8, ...)",
            tensors->path, entry->info.name, name);
    snprintf(entry->info.type, sizeof entry->info.type, "%s", name);
    entry->info.readable = type->widen != NULL;
    entry->info.bytes = fm_tensor_type_bytes(type, entry->info.count);
    return FM_OK;
}

static enum fm_status parse_entry(struct fm_tensors *tensors, const char *name, const json_t *value,
    uint64_t available, struct entry *entry)
{
    struct fm_tensor_info *info;
    FM_TRY(fm_tensors_add(tensors, name, &info)); // in the order of bytes below
    entry->info = *info;
    if (!json_is_object(value) || json_object_size(value) != 3)
        return fm_fail(FM_DATA,
            "%s: tensor '%s' is not described by exactly 'dtype', 'shape' and 'data_offsets'",
            tensors->path, name);
    FM_TRY(parse_shape(tensors, json_object_get(value, "shape"), entry));
    FM_TRY(parse_type(tensors, json_object_get(value, "dtype"), entry));
    return parse_offsets(tensors, json_object_get(value, "data_offsets"), available, entry);
}

static enum fm_status parse_metadata(struct fm_tensors *tensors, json_t *object)
{
    if (!json_is_object(object))
        return fm_fail(FM_DATA, "%s: '%s' is not an object", tensors->path, metadata_key);
    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
        const char *value = json_string_value(json_object_iter_value(i));
        if (value == NULL)
            return fm_fail(
                FM_DATA, "%s: metadata '%s' is not text", tensors->path, json_object_iter_key(i));
        FM_TRY(fm_tensors_add_metadata(tensors, json_object_iter_key(i), value));
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
    const struct fm_tensors *tensors, const struct entry *entries, uint64_t available)
{
    uint64_t reached = 0;
    for (int e = 0; e < tensors->count; e++) {
        if (entries[e].begin != reached)
            return fm_fail(FM_DATA, "%s: tensor '%s' begins at offset %llu, expected %llu: %s",
                tensors->path, entries[e].info.name, (unsigned long long)entries[e].begin,
                (unsigned long long)reached,
                entries[e].begin < reached ? "tensors overlap" : "there is a gap");
        reached = entries[e].end;
    }
    if (reached != available)
        return fm_fail(FM_DATA, "%s: the tensors end at offset %llu, %llu surplus bytes follow",
            tensors->path, (unsigned long long)reached, (unsigned long long)(available - reached));
    return FM_OK;
}

// ---- The header

static enum fm_status load_header(struct fm_tensors *tensors, struct file *file)
{
    const char *path = tensors->path;
    unsigned char prefix[LENGTH_BYTES];
    uint64_t length = 0, size = tensors->size;
    if (size < LENGTH_BYTES)
        return fm_fail(FM_DATA, "%s: %llu bytes, expected a safetensors file of at least %d", path,
            (unsigned long long)size, LENGTH_BYTES + 2);
    FM_TRY(fm_tensors_get(tensors, 0, prefix, sizeof prefix));
    for (int b = LENGTH_BYTES - 1; b >= 0; b--)
        length = length << 8 | prefix[b];
    if (length > size - LENGTH_BYTES || length > HEADER_MAX)
        return fm_fail(FM_DATA,
            "%s: the header is said to have %llu bytes, but %llu follow (and at most %d are "
            "allowed): not a safetensors file, or cut off",
            path, (unsigned long long)length, (unsigned long long)(size - LENGTH_BYTES),
            HEADER_MAX);
    char *text = malloc((size_t)length + 1);
    if (text == NULL)
        return fm_fail_memory("a safetensors header", length + 1);
    enum fm_status status = fm_tensors_get(tensors, LENGTH_BYTES, text, (size_t)length);
    if (status == FM_OK && (length == 0 || text[0] != '{'))
        status = fm_fail(
            FM_DATA, "%s: the header does not begin with '{': not a safetensors file", path);
    json_error_t error;
    if (status == FM_OK)
        file->header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (status == FM_OK && file->header == NULL)
        status = fm_fail(FM_DATA, "%s: header, byte %d: %s", path, error.position, error.text);
    file->first = LENGTH_BYTES + length;
    free(text);
    return status;
}

static enum fm_status list_tensors(struct fm_tensors *tensors, struct file *file)
{
    json_t *header = file->header;
    uint64_t available = tensors->size - file->first;
    size_t most = json_object_size(header), count = 0;
    if (most > FM_TENSORS_MAX)
        most = FM_TENSORS_MAX; // fm_tensors_add() fails at the next
    file->entries = calloc(most + 1, sizeof *file->entries);
    file->begins = calloc(most + 1, sizeof *file->begins);
    if (file->entries == NULL || file->begins == NULL)
        return fm_fail_memory("a list of tensors", (most + 1) * sizeof *file->entries);
    for (void *i = json_object_iter(header); i; i = json_object_iter_next(header, i)) {
        const char *name = json_object_iter_key(i);
        json_t *value = json_object_iter_value(i);
        if (strcmp(name, metadata_key) == 0)
            FM_TRY(parse_metadata(tensors, value));
        else
            FM_TRY(parse_entry(tensors, name, value, available, &file->entries[count++]));
    }
    qsort(file->entries, count, sizeof *file->entries, by_offset);
    FM_TRY(check_cover(tensors, file->entries, available));
    for (size_t e = 0; e < count; e++) {
        tensors->list[e] = file->entries[e].info;
        file->begins[e] = file->entries[e].begin;
    }
    return FM_OK;
}

static void drop_header(struct file *file)
{
    json_decref(file->header);
    free(file->entries);
    file->header = NULL;
    file->entries = NULL;
}

static enum fm_status open_safetensors(struct fm_tensors *tensors)
{
    struct file *file = calloc(1, sizeof *file);
    tensors->file = file;
    if (file == NULL)
        return fm_fail_memory("a weights file", sizeof *file);
    FM_TRY(load_header(tensors, file));
    FM_TRY(list_tensors(tensors, file));
    drop_header(file);
    return FM_OK;
}

static void close_safetensors(struct fm_tensors *tensors)
{
    struct file *file = tensors->file;
    if (file == NULL)
        return;
    drop_header(file);
    free(file->begins);
    free(file);
    tensors->file = NULL;
}

// ---- Elements

static enum fm_status read_safetensors(const struct fm_tensors *tensors, int index, float *out)
{
    const struct fm_tensor_info *info = &tensors->list[index];
    const struct file *file = tensors->file;
    return fm_tensors_get_fp32(tensors, fm_tensor_type_find(info->type),
        file->first + file->begins[index], info->count, out);
}

const struct fm_tensors_class fm_tensors_safetensors = {
    .format = FM_TENSORS_SAFETENSORS,
    .probe = probe,
    .open = open_safetensors,
    .read = read_safetensors,
    .close = close_safetensors,
};
