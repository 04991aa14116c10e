// HDF5 files. libhdf5 of the age that distributions have is not made for files that mean harm, and
// the format is too large to read by hand: so the library lists the file in a process of its own
// (hdf5_list.c), and this one reads the elements from where they are said to be, after its own
// checks.
#include "net/files/child.h"
#include "net/files/hdf5_list.h"
#include "net/files/tensors_class.h"
#include "net/hdf5_module.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    METADATA_MAX = 16 << 20, // bytes of a file's
    COMPACT_MAX = 64 << 20   // of a smaller file: many links may lead to one data set
};

struct place {
    uint64_t offset;
    unsigned char *compact; // the elements; NULL: they are at `offset`
    bool big;               // big-endian
};

struct file {
    struct place *places; // [room], of the list
    size_t room;
    uint64_t compact; // bytes of all
    uint64_t text;
};

static bool probe(const unsigned char *head, size_t head_size, uint64_t size)
{
    (void)size;
    return head_size >= 8 && memcmp(head, "\x89HDF\r\n\x1a\n", 8) == 0;
}

// ---- Types and filters

// Elements of `little`'s type, but big-endian.
static void widen_big(const char *little, const unsigned char *bytes, size_t count, float *out)
{
    const struct fm_tensor_type *type = fm_tensor_type_find(little);
    size_t size = type->bits / 8;
    unsigned char element[8];
    for (size_t i = 0; i < count; i++, bytes += size) {
        for (size_t b = 0; b < size; b++)
            element[b] = bytes[size - 1 - b];
        type->widen(element, 1, out + i);
    }
}

static void widen_f64_big(const unsigned char *bytes, size_t count, float *out)
{
    widen_big("F64", bytes, count, out);
}

static void widen_f32_big(const unsigned char *bytes, size_t count, float *out)
{
    widen_big("F32", bytes, count, out);
}

static void widen_f16_big(const unsigned char *bytes, size_t count, float *out)
{
    widen_big("F16", bytes, count, out);
}

static void widen_bf16_big(const unsigned char *bytes, size_t count, float *out)
{
    widen_big("BF16", bytes, count, out);
}

static const struct fm_tensor_type big_types[] = {
    {"F64", 64, widen_f64_big},
    {"F32", 32, widen_f32_big},
    {"F16", 16, widen_f16_big},
    {"BF16", 16, widen_bf16_big},
};

static const struct fm_tensor_type *find_type(const char *name, bool big)
{
    for (size_t t = 0; big && t < sizeof big_types / sizeof big_types[0]; t++) {
        if (strcmp(big_types[t].name, name) == 0)
            return &big_types[t];
    }
    return big ? NULL : fm_tensor_type_find(name);
}

// Takes "BE" off the name of a type that is read all the same.
static bool take_big(char name[16])
{
    char plain[16];
    size_t length = strlen(name);
    if (length < 2 || strcmp(name + length - 2, "BE") != 0)
        return false;
    snprintf(plain, sizeof plain, "%.*s", (int)length - 2, name);
    if (find_type(plain, true) == NULL)
        return false;
    strcpy(name, plain);
    return true;
}

static const char *filter_name(uint32_t filter)
{
    static const struct {
        uint32_t filter; // as registered with the HDF Group
        const char *name;
    } known[] = {{1, "gzip"}, {2, "shuffle"}, {3, "fletcher32"}, {4, "szip"}, {5, "nbit"},
        {6, "scaleoffset"}, {32000, "lzf"}, {32001, "blosc"}, {32004, "lz4"}, {32008, "bitshuffle"},
        {32015, "zstd"}};
    for (size_t f = 0; f < sizeof known / sizeof known[0]; f++) {
        if (known[f].filter == filter)
            return known[f].name;
    }
    return filter != 0 ? "of another library" : NULL;
}

// ---- What the child says

static enum fm_status fail_nonsense(const struct fm_tensors *tensors)
{
    return fm_fail(FM_DATA, "%s: libhdf5 makes no sense of it: the file is damaged", tensors->path);
}

// What the file has for the element's bytes must be there before anything believes in them.
static enum fm_status check_bytes(const struct fm_tensors *tensors,
    const struct fm_hdf5_record *record, const struct fm_tensor_info *info)
{
    if (record->place == FM_HDF5_COMPACT)
        return !info->readable || info->bytes == record->extra ? FM_OK : fail_nonsense(tensors);
    if (record->place != FM_HDF5_CONTIGUOUS ||
        (info->bytes <= record->stored && info->bytes <= tensors->size &&
            record->offset <= tensors->size - info->bytes))
        return FM_OK;
    return fm_fail(FM_DATA,
        "%s: data set '%s' claims %llu bytes from offset %llu on, but the file has %llu: it is cut "
        "off or damaged",
        tensors->path, info->name, (unsigned long long)info->bytes,
        (unsigned long long)record->offset, (unsigned long long)tensors->size);
}

static enum fm_status describe(const struct fm_tensors *tensors,
    const struct fm_hdf5_record *record, bool big, struct fm_tensor_info *info)
{
    static const char *const elsewhere[FM_HDF5_PLACES] = {
        "", "", " chunked", " outside", " virtual", " empty", "link"};
    FM_TRY(fm_tensors_set_shape(tensors, info, record->dims, record->ndims));
    if (__builtin_mul_overflow(info->count, record->element, &info->bytes))
        return fm_fail(FM_DATA, "%s: data set '%s': the bytes of its elements overflow",
            tensors->path, info->name);
    enum fm_hdf5_place place = (enum fm_hdf5_place)record->place;
    const struct fm_tensor_type *type = find_type(record->type, big);
    if (type != NULL && record->element != type->bits / 8)
        return fail_nonsense(tensors);
    if (place == FM_HDF5_UNWRITTEN && info->count == 0)
        place = FM_HDF5_CONTIGUOUS; // there is nothing to write
    snprintf(info->type, sizeof info->type, "%.7s%.8s", record->type, elsewhere[place]);
    if (elsewhere[place][0] == '\0')
        snprintf(info->type, sizeof info->type, "%s", record->type);
    if (place == FM_HDF5_CHUNKED)
        info->filter = filter_name(record->filter);
    info->readable = type != NULL && type->widen != NULL && elsewhere[place][0] == '\0';
    return check_bytes(tensors, record, info);
}

static enum fm_status grow(struct file *file, size_t count)
{
    if (count <= file->room)
        return FM_OK;
    size_t room = file->room > 0 ? 2 * file->room : 64;
    struct place *places = realloc(file->places, room * sizeof *places);
    if (places == NULL)
        return fm_fail_memory("a list of tensors", room * sizeof *places);
    memset(places + file->room, 0, (room - file->room) * sizeof *places);
    file->places = places;
    file->room = room;
    return FM_OK;
}

static enum fm_status take_tensor(struct fm_tensors *tensors, struct fm_child *child,
    struct fm_hdf5_record *record, const char *name)
{
    struct file *file = tensors->file;
    struct fm_tensor_info *info;
    FM_TRY(fm_tensors_add(tensors, name, &info));
    FM_TRY(grow(file, (size_t)tensors->count));
    struct place *place = &file->places[tensors->count - 1];
    place->big = take_big(record->type);
    FM_TRY(describe(tensors, record, place->big, info));
    place->offset = record->offset;
    file->compact += record->extra;
    if (record->extra > FM_HDF5_COMPACT_MAX || record->extra > tensors->size)
        return fail_nonsense(tensors);
    if (file->compact > tensors->size && file->compact > COMPACT_MAX)
        return fm_fail(FM_DATA,
            "%s: its compact data sets have more than %d MiB in a file of %llu bytes: the file is "
            "damaged, or made to do harm",
            tensors->path, COMPACT_MAX >> 20, (unsigned long long)tensors->size);
    if (record->extra == 0)
        return FM_OK;
    place->compact = malloc(record->extra);
    if (place->compact == NULL)
        return fm_fail_memory("a tensor", record->extra);
    return fm_child_get(child, place->compact, record->extra);
}

static char *get_text(struct fm_child *child, size_t size, enum fm_status *status)
{
    char *text = malloc(size + 1);
    if (text == NULL) {
        *status = fm_fail_memory("a text", size + 1);
        return NULL;
    }
    *status = fm_child_get(child, text, size);
    text[size] = '\0';
    if (*status == FM_OK)
        return text;
    free(text);
    return NULL;
}

// A key that is there already stays: the file's own come before those of its groups.
static enum fm_status take_text(struct fm_tensors *tensors, struct fm_child *child,
    const struct fm_hdf5_record *record, const char *name)
{
    struct file *file = tensors->file;
    struct fm_text key = {0}, value = {0};
    enum fm_status status;
    file->text += (uint64_t)record->name + record->extra;
    if (record->extra > FM_HDF5_TEXT_MAX)
        return fail_nonsense(tensors);
    if (file->text > METADATA_MAX)
        return fm_fail(FM_DATA, "%s: its attributes have more than %d bytes, which are not read",
            tensors->path, METADATA_MAX);
    char *raw = get_text(child, record->extra, &status);
    if (raw == NULL)
        return status;
    fm_text_append_line(&key, name);
    fm_text_append_lines(&value, raw);
    if (fm_tensors_metadata(tensors, fm_text_cstr(&key)) == NULL)
        status = fm_tensors_add_metadata(tensors, fm_text_cstr(&key), fm_text_cstr(&value));
    fm_text_free(&key);
    fm_text_free(&value);
    free(raw);
    return status;
}

static enum fm_status take_failure(
    const struct fm_tensors *tensors, struct fm_child *child, const struct fm_hdf5_record *record)
{
    enum fm_status status;
    if (record->extra > FM_HDF5_TEXT_MAX)
        return fail_nonsense(tensors);
    char *message = get_text(child, record->extra, &status);
    if (message == NULL)
        return status;
    fm_fail(FM_DATA, "%s: %s", tensors->path, message);
    free(message);
    return FM_DATA;
}

static enum fm_status take_record(
    struct fm_tensors *tensors, struct fm_child *child, struct fm_hdf5_record *record)
{
    char name[FM_TENSOR_NAME_MAX] = "";
    FM_TRY(fm_child_get(child, record, sizeof *record));
    record->type[sizeof record->type - 1] = '\0';
    if (record->name >= sizeof name)
        return fm_fail(FM_DATA, "%s: a name in it has %u bytes, expected at most %d", tensors->path,
            record->name, FM_TENSOR_NAME_MAX - 1);
    if (record->place >= FM_HDF5_PLACES)
        return fail_nonsense(tensors);
    FM_TRY(fm_child_get(child, name, record->name));
    switch (record->kind) {
    case FM_HDF5_TENSOR:
        return take_tensor(tensors, child, record, name);
    case FM_HDF5_TEXT:
        return take_text(tensors, child, record, name);
    case FM_HDF5_FAILED:
        return take_failure(tensors, child, record);
    case FM_HDF5_DONE:
        return FM_OK;
    default:
        return fail_nonsense(tensors);
    }
}

static enum fm_status open_hdf5(struct fm_tensors *tensors)
{
    struct fm_hdf5_work work = {.descriptor = tensors->descriptor};
    struct fm_hdf5_record record = {.kind = FM_HDF5_TENSOR};
    struct fm_child child;
    const struct fm_hdf5 *hdf5;
    FM_TRY(fm_hdf5_load(tensors->path, "an HDF5 file, which this fmnist cannot read",
        "convert it to safetensors", &hdf5));
    tensors->file = calloc(1, sizeof(struct file));
    if (tensors->file == NULL)
        return fm_fail_memory("an HDF5 file", sizeof(struct file));
    FM_TRY(fm_child_start(&child, tensors->path, "libhdf5", &fm_child_limits, hdf5->list, &work));
    enum fm_status status = FM_OK;
    while (status == FM_OK && record.kind != FM_HDF5_DONE)
        status = take_record(tensors, &child, &record);
    fm_child_end(&child);
    return status;
}

static void close_hdf5(struct fm_tensors *tensors)
{
    struct file *file = tensors->file;
    if (file == NULL)
        return;
    for (size_t p = 0; p < file->room; p++)
        free(file->places[p].compact);
    free(file->places);
    free(file);
    tensors->file = NULL;
}

// ---- Elements

static enum fm_status read_hdf5(const struct fm_tensors *tensors, int index, float *out)
{
    const struct fm_tensor_info *info = &tensors->list[index];
    const struct place *place = &((const struct file *)tensors->file)->places[index];
    const struct fm_tensor_type *type = find_type(info->type, place->big);
    if (place->compact == NULL)
        return fm_tensors_get_fp32(tensors, type, place->offset, info->count, out);
    type->widen(place->compact, info->count, out);
    return FM_OK;
}

const struct fm_tensors_class fm_tensors_hdf5 = {
    .format = FM_TENSORS_HDF5,
    .probe = probe,
    .open = open_hdf5,
    .read = read_hdf5,
    .close = close_hdf5,
};
