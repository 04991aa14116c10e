// Which format a file has, and the way to its reader; what all readers need.
#include "net/files/libraries.h"
#include "net/files/tensors_class.h"
#include "net/hdf5_module.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEAD = 64,              // first bytes that a format is told by
    ELEMENT_BYTES_MAX = 16, // of any type
    FIRST_LIST = 64
};

const char *const fm_tensors_format_names[] = {"safetensors", "HDF5", "ONNX", NULL};

static const struct fm_tensors_class *const classes[FM_TENSORS_FORMAT_COUNT] = {
    &fm_tensors_safetensors, &fm_tensors_hdf5, &fm_tensors_onnx};

// ---- For the readers

enum fm_status fm_tensors_get(
    const struct fm_tensors *tensors, uint64_t offset, void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(
            tensors->descriptor, (char *)bytes + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fm_fail(FM_IO, "%s: %s", tensors->path, strerror(errno));
        if (got == 0)
            return fm_fail(FM_DATA, "%s: ends at byte %llu, expected %llu: it is cut off",
                tensors->path, (unsigned long long)(offset + done),
                (unsigned long long)(offset + size));
        done += (size_t)got;
    }
    return FM_OK;
}

static bool is_utf8(const char *text)
{
    for (int length; *text != '\0'; text += length) {
        length = fm_utf8_length(text);
        if (length == 0)
            return false;
    }
    return true;
}

enum fm_status fm_tensors_add(
    struct fm_tensors *tensors, const char *name, struct fm_tensor_info **info)
{
    size_t length = strlen(name), count = (size_t)tensors->count;
    if (length == 0 || length >= FM_TENSOR_NAME_MAX)
        return fm_fail(FM_DATA, "%s: tensor name '%.40s%s' has %zu bytes, expected 1 to %d",
            tensors->path, name, length > 40 ? "..." : "", length, FM_TENSOR_NAME_MAX - 1);
    if (!is_utf8(name))
        return fm_fail(FM_DATA, "%s: tensor name '%s' is not UTF-8", tensors->path, name);
    if (tensors->count == FM_TENSORS_MAX)
        return fm_fail(
            FM_DATA, "%s: more than %d tensors are not read", tensors->path, FM_TENSORS_MAX);
    // The room doubles: it is a power of two from FIRST_LIST on.
    if (count == 0 || (count >= FIRST_LIST && (count & (count - 1)) == 0)) {
        size_t room = count == 0 ? FIRST_LIST : 2 * count;
        struct fm_tensor_info *list = realloc(tensors->list, room * sizeof *list);
        if (list == NULL)
            return fm_fail_memory("a list of tensors", room * sizeof *list);
        tensors->list = list;
    }
    *info = &tensors->list[tensors->count++];
    memset(*info, 0, sizeof **info);
    memcpy((*info)->name, name, length + 1);
    return FM_OK;
}

enum fm_status fm_tensors_set_shape(const struct fm_tensors *tensors, struct fm_tensor_info *info,
    const int64_t *dims, size_t ndims)
{
    uint64_t count = 1;
    if (ndims > FM_TENSOR_DIMS_MAX)
        return fm_fail(FM_DATA, "%s: tensor '%s' has %zu dimensions, expected at most %d",
            tensors->path, info->name, ndims, FM_TENSOR_DIMS_MAX);
    for (size_t d = 0; d < ndims; d++) {
        if (dims[d] < 0)
            return fm_fail(FM_DATA, "%s: tensor '%s': dimension %zu is not a whole number from 0",
                tensors->path, info->name, d);
        if (__builtin_mul_overflow(count, (uint64_t)dims[d], &count) ||
            count > SIZE_MAX / ELEMENT_BYTES_MAX)
            return fm_fail(FM_DATA, "%s: tensor '%s': the product of its dimensions overflows",
                tensors->path, info->name);
        info->dims[d] = dims[d];
    }
    info->ndims = (int)ndims;
    info->count = (size_t)count;
    return FM_OK;
}

static size_t metadata_pairs(const struct fm_tensors *tensors)
{
    size_t pairs = 0;
    while (tensors->metadata != NULL && tensors->metadata[2 * pairs] != NULL)
        pairs++;
    return pairs;
}

enum fm_status fm_tensors_add_metadata(
    struct fm_tensors *tensors, const char *key, const char *value)
{
    size_t pairs = metadata_pairs(tensors);
    if (pairs == FM_TENSORS_METADATA_MAX)
        return fm_fail(FM_DATA, "%s: more than %d texts of metadata are not read", tensors->path,
            FM_TENSORS_METADATA_MAX);
    char **grown = realloc(tensors->metadata, (2 * pairs + 3) * sizeof *grown);
    if (grown == NULL)
        return fm_fail_memory("metadata", (2 * pairs + 3) * sizeof *grown);
    tensors->metadata = grown;
    grown[2 * pairs] = strdup(key);
    grown[2 * pairs + 1] = strdup(value);
    grown[2 * pairs + 2] = NULL;
    if (grown[2 * pairs] != NULL && grown[2 * pairs + 1] != NULL)
        return FM_OK;
    free(grown[2 * pairs]);
    free(grown[2 * pairs + 1]);
    grown[2 * pairs] = NULL;
    return fm_fail_memory("metadata", strlen(key) + strlen(value) + 2);
}

void fm_tensors_free_metadata(char **metadata)
{
    for (char **next = metadata; next != NULL && *next != NULL; next++)
        free(*next);
    free(metadata);
}

// ---- Opening

// What a file is that has none of the formats, as far as people are likely to try it.
static const char *other_format(const unsigned char *head, size_t size)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *what;
    } known[] = {
        {"PK\3\4", 4,
            ": a ZIP archive, as PyTorch's own files (.pt, .pth, .bin), NumPy's .npz and Keras 3's "
            ".keras are: save the tensors as safetensors instead"},
        {"\x80\2", 2, ": a Python pickle: save the tensors as safetensors instead"},
        {"\x93NUMPY", 6, ": a NumPy array"},
        {"\x1f\x8b", 2, ": gzipped: unpack it first"},
        {"version https://git-lfs", 23,
            ": the place holder that Git LFS leaves for a large file: fetch the file itself (git "
            "lfs pull)"},
        {"\x89PNG", 4, ": a PNG picture"},
        {"\xff\xd8\xff", 3, ": a JPEG picture"},
        {"<", 1, ": a web page, maybe what a server sent in place of the file"},
    };
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
        if (size >= known[k].size && memcmp(head, known[k].bytes, known[k].size) == 0)
            return known[k].what;
    }
    return "";
}

static enum fm_status fail_unknown(
    const struct fm_tensors *tensors, const unsigned char *head, size_t size)
{
    struct fm_text bytes = {0};
    for (size_t b = 0; b < size && b < 8; b++)
        fm_text_append(&bytes, " %02x", head[b]);
    fm_fail(FM_DATA, "%s: is neither safetensors nor HDF5 nor ONNX%s (it has %llu bytes%s%s)",
        tensors->path, other_format(head, size), (unsigned long long)tensors->size,
        size > 0 ? " and begins with" : "", fm_text_cstr(&bytes));
    fm_text_free(&bytes);
    return FM_DATA;
}

static enum fm_status open_file(const char *path, struct fm_tensors *tensors)
{
    struct stat info;
    FM_TRY(fm_path_copy(tensors->path, path));
    // Not blocking: a named pipe without a writer would be waited for.
    tensors->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (tensors->descriptor < 0)
        return fm_fail(FM_IO, "%s: %s", path, strerror(errno));
    if (fstat(tensors->descriptor, &info) == 0 && S_ISREG(info.st_mode)) {
        tensors->size = (uint64_t)info.st_size;
        return FM_OK;
    }
    close(tensors->descriptor);
    return fm_fail(FM_IO, "%s: is %s, expected a file", path,
        S_ISDIR(info.st_mode) ? "a folder" : "not a regular file");
}

static int by_name(const void *a, const void *b)
{
    const struct fm_tensor_info *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

// A name that stands twice would mean whichever is found first.
static enum fm_status check_names(const struct fm_tensors *tensors)
{
    size_t count = (size_t)tensors->count;
    const struct fm_tensor_info **sorted = malloc((count + 1) * sizeof *sorted);
    enum fm_status status = FM_OK;
    if (sorted == NULL)
        return fm_fail_memory("a list of tensors", (count + 1) * sizeof *sorted);
    for (size_t t = 0; t < count; t++)
        sorted[t] = &tensors->list[t];
    qsort(sorted, count, sizeof *sorted, by_name);
    for (size_t t = 1; t < count && status == FM_OK; t++) {
        if (strcmp(sorted[t - 1]->name, sorted[t]->name) == 0)
            status = fm_fail(
                FM_DATA, "%s: two tensors are named '%s'", tensors->path, sorted[t]->name);
    }
    free(sorted);
    return status;
}

enum fm_status fm_tensors_open_as(
    const char *path, const struct fm_tensors_class *of, struct fm_tensors *tensors)
{
    unsigned char head[HEAD] = {0};
    memset(tensors, 0, sizeof *tensors);
    FM_TRY(open_file(path, tensors));
    size_t got = tensors->size < HEAD ? (size_t)tensors->size : HEAD;
    enum fm_status status = fm_tensors_get(tensors, 0, head, got);
    for (int c = 0; status == FM_OK && of == NULL && c < FM_TENSORS_FORMAT_COUNT; c++) {
        if (classes[c]->probe(head, got, tensors->size))
            of = classes[c];
    }
    if (status == FM_OK && of == NULL)
        status = fail_unknown(tensors, head, got);
    if (status != FM_OK) {
        close(tensors->descriptor);
        memset(tensors, 0, sizeof *tensors);
        return status;
    }
    tensors->of = of;
    tensors->format = of->format;
    status = of->open(tensors);
    if (status == FM_OK)
        status = check_names(tensors);
    if (status != FM_OK)
        fm_tensors_close(tensors);
    return status;
}

enum fm_status fm_tensors_open(const char *path, struct fm_tensors *tensors)
{
    return fm_tensors_open_as(path, NULL, tensors);
}

void fm_tensors_close(struct fm_tensors *tensors)
{
    if (tensors->of != NULL) {
        if (tensors->of->close != NULL)
            tensors->of->close(tensors);
        close(tensors->descriptor);
    }
    free(tensors->list);
    fm_tensors_free_metadata(tensors->metadata);
    memset(tensors, 0, sizeof *tensors);
}

void fm_tensors_libraries(struct fm_library libraries[FM_TENSORS_LIBRARIES])
{
    fm_hdf5_library(&libraries[0]);
    fm_onnx_library(&libraries[1]);
}

// ---- What is in it

int fm_tensors_find(const struct fm_tensors *tensors, const char *name)
{
    for (int t = 0; t < tensors->count; t++) {
        if (strcmp(tensors->list[t].name, name) == 0)
            return t;
    }
    return -1;
}

const char *fm_tensors_metadata(const struct fm_tensors *tensors, const char *key)
{
    for (char **pair = tensors->metadata; pair != NULL && pair[0] != NULL; pair += 2) {
        if (strcmp(pair[0], key) == 0)
            return pair[1];
    }
    return NULL;
}

enum fm_status fm_tensors_fail_type(
    const struct fm_tensors *tensors, const struct fm_tensor_info *info)
{
    static const char *const reasons[][2] = {
        {" chunked", ": save it without (h5py: neither chunks nor compression)"},
        {" outside", ": it is stored in another file, which is not opened"},
        {" virtual", ": it is made of other data sets, which is not followed"},
        {" empty", ": nothing was ever written to it"},
        {"link", ": it leads out of the file, which is not followed"},
    };
    const char *reason = "";
    char chunks[80] = "";
    for (size_t r = 0; r < sizeof reasons / sizeof reasons[0]; r++) {
        if (strstr(info->type, reasons[r][0]) != NULL)
            reason = reasons[r][1];
    }
    if (strstr(info->type, " chunked") != NULL)
        snprintf(chunks, sizeof chunks, ": it is stored in chunks%s%s",
            info->filter != NULL ? ", through the filter " : "",
            info->filter != NULL ? info->filter : "");
    return fm_fail(FM_UNSUPPORTED,
        "%s: tensor '%s' is of type %s, expected F32, F16, BF16 or F64%s%s", tensors->path,
        info->name, info->type, chunks, reason);
}

enum fm_status fm_tensors_read(const struct fm_tensors *tensors, int index, float *out)
{
    const struct fm_tensor_info *info = &tensors->list[index];
    if (!info->readable)
        return fm_tensors_fail_type(tensors, info);
    return info->count > 0 ? tensors->of->read(tensors, index, out) : FM_OK;
}
