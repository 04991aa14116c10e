// What is in an HDF5 file, by libhdf5: the one part of the reader that runs in a process of its
// own (child.h). It says where the elements are and what they are; it reads none but those that
// stand among the headers.
#include "net/files/hdf5_list.h"

#include "net/files/child.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT(x) #x
#define VERSION(major, minor, release) TEXT(major) "." TEXT(minor) "." TEXT(release)
#define HDF5_VERSION VERSION(H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE)

struct listing {
    int pipe;
    hid_t file;
};

// ---- Saying so

static void say(const struct listing *l, struct fm_hdf5_record *record, const char *name,
    const void *extra, size_t extra_size)
{
    record->name = (uint32_t)strlen(name);
    record->extra = (uint32_t)extra_size;
    fm_child_put(l->pipe, record, sizeof *record);
    fm_child_put(l->pipe, name, record->name);
    fm_child_put(l->pipe, extra, extra_size);
}

static void say_failed(const struct listing *l, const char *message)
{
    struct fm_hdf5_record record = {.kind = FM_HDF5_FAILED};
    say(l, &record, "", message, strlen(message));
    _exit(0);
}

static herr_t keep_innermost(unsigned n, const H5E_error2_t *error, void *message)
{
    if (n == 0 && error->desc != NULL)
        snprintf(message, 256, "%s", error->desc);
    return 0;
}

// With libhdf5's own words, the innermost of them.
static void fail_library(const struct listing *l, const char *doing, const char *name)
{
    char desc[256] = "no reason given", message[1024];
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, desc);
    snprintf(message, sizeof message,
        "%s '%.300s': libhdf5: %s: the file is damaged, or of a newer HDF5 than " HDF5_VERSION,
        doing, name, desc);
    say_failed(l, message);
}

// ---- Types

struct float_layout {
    const char *name;
    size_t size, exponent_at, exponent, mantissa, bias;
};

// The sign stands on top, the mantissa at the bottom.
static const struct float_layout floats[] = {
    {"F64", 8, 52, 11, 52, 1023},
    {"F32", 4, 23, 8, 23, 127},
    {"F16", 2, 10, 5, 10, 15},
    {"BF16", 2, 7, 8, 7, 127},
};

static const char *float_name(hid_t type)
{
    size_t sign, exponent_at, exponent, mantissa_at, mantissa;
    if (H5Tget_fields(type, &sign, &exponent_at, &exponent, &mantissa_at, &mantissa) < 0 ||
        H5Tget_norm(type) != H5T_NORM_IMPLIED)
        return "float";
    for (size_t f = 0; f < sizeof floats / sizeof floats[0]; f++) {
        const struct float_layout *x = &floats[f];
        if (H5Tget_size(type) == x->size && H5Tget_precision(type) == 8 * x->size &&
            H5Tget_offset(type) == 0 && sign == 8 * x->size - 1 && exponent_at == x->exponent_at &&
            exponent == x->exponent && mantissa_at == 0 && mantissa == x->mantissa &&
            H5Tget_ebias(type) == x->bias)
            return x->name;
    }
    return "float";
}

// h5py's truth values are an enumeration of FALSE and TRUE in a byte.
static bool is_truth(hid_t type)
{
    signed char value = 0;
    return H5Tget_size(type) == 1 && H5Tget_nmembers(type) == 2 &&
           H5Tenum_valueof(type, "TRUE", &value) >= 0 && value == 1;
}

// NULL: neither of the two (the VAX has one of its own).
static const char *order_suffix(hid_t type)
{
    H5T_order_t order = H5Tget_order(type);
    if (H5Tget_size(type) == 1 || order == H5T_ORDER_LE)
        return "";
    return order == H5T_ORDER_BE ? "BE" : NULL;
}

static void name_type(hid_t type, char out[16])
{
    H5T_class_t of = H5Tget_class(type);
    size_t size = H5Tget_size(type);
    bool whole = size == 1 || size == 2 || size == 4 || size == 8;
    const char *order = order_suffix(type);
    if (of == H5T_INTEGER && whole && order != NULL && H5Tget_precision(type) == 8 * size)
        snprintf(
            out, 16, "%c%zu%s", H5Tget_sign(type) == H5T_SGN_NONE ? 'U' : 'I', 8 * size, order);
    else if (of == H5T_FLOAT && order != NULL)
        snprintf(out, 16, "%s%s", float_name(type), order);
    else if (of == H5T_ENUM && is_truth(type))
        snprintf(out, 16, "BOOL");
    else
        snprintf(out, 16, "%s",
            of == H5T_STRING     ? "text"
            : of == H5T_COMPOUND ? "compound"
            : of == H5T_ENUM     ? "enum"
            : of == H5T_INTEGER  ? "integer"
            : of == H5T_FLOAT    ? "float"
                                 : "other");
}

// ---- Data sets

static void take_shape(const struct listing *l, hid_t set, const char *name, hid_t space,
    struct fm_hdf5_record *record)
{
    hsize_t dims[H5S_MAX_RANK];
    int ndims = H5Sget_simple_extent_ndims(space);
    if (space < 0 || ndims < 0 || set < 0)
        fail_library(l, "data set", name);
    if (H5Sget_simple_extent_type(space) == H5S_NULL) {
        record->ndims = 1; // of none
        return;
    }
    if (H5Sget_simple_extent_dims(space, dims, NULL) < 0)
        fail_library(l, "data set", name);
    record->ndims = (uint32_t)ndims;
    for (int d = 0; d < ndims && d < FM_TENSOR_DIMS_MAX; d++)
        record->dims[d] = dims[d] > INT64_MAX ? -1 : (int64_t)dims[d];
}

static enum fm_hdf5_place place_of(hid_t set, hid_t plan, uint64_t *offset)
{
    haddr_t address;
    *offset = 0;
    switch (H5Pget_layout(plan)) {
    case H5D_COMPACT:
        return FM_HDF5_COMPACT;
    case H5D_CONTIGUOUS:
        if (H5Pget_external_count(plan) != 0)
            return FM_HDF5_EXTERNAL;
        address = H5Dget_offset(set);
        *offset = address == HADDR_UNDEF ? 0 : address;
        return address == HADDR_UNDEF ? FM_HDF5_UNWRITTEN : FM_HDF5_CONTIGUOUS;
    case H5D_VIRTUAL:
        return FM_HDF5_VIRTUAL;
    default:
        return FM_HDF5_CHUNKED;
    }
}

// What compresses the chunks: of several filters the first that is not there to help others.
static uint32_t filter_of(hid_t plan)
{
    uint32_t first = 0;
    int count = H5Pget_nfilters(plan);
    for (int f = 0; f < count; f++) {
        unsigned flags;
        size_t values = 0;
        H5Z_filter_t filter = H5Pget_filter2(
            plan, (unsigned)f, &flags, &values, NULL, 0, NULL, NULL);
        if (filter > 0 && filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_FLETCHER32)
            return (uint32_t)filter;
        if (filter > 0 && first == 0)
            first = (uint32_t)filter;
    }
    return first;
}

// Elements that stand in the data set's header. Their number is checked before there is memory for
// them. NULL: there are none.
static unsigned char *read_compact(
    const struct listing *l, hid_t set, hid_t type, hid_t space, const char *name, size_t *size)
{
    hssize_t count = H5Sget_simple_extent_npoints(space);
    size_t element = H5Tget_size(type);
    H5T_class_t of = H5Tget_class(type);
    *size = 0;
    if (count <= 0 || element == 0 || (of != H5T_FLOAT && of != H5T_INTEGER))
        return NULL;
    if ((uint64_t)count > FM_HDF5_COMPACT_MAX / element)
        say_failed(l, "a compact data set claims more than 64 KiB: the file is damaged");
    *size = (size_t)count * element;
    unsigned char *bytes = calloc(1, *size);
    if (bytes == NULL || H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes) < 0)
        fail_library(l, "data set", name);
    return bytes;
}

static void list_set(const struct listing *l, hid_t set, const char *name)
{
    struct fm_hdf5_record record = {.kind = FM_HDF5_TENSOR};
    hid_t type = H5Dget_type(set), space = H5Dget_space(set), plan = H5Dget_create_plist(set);
    unsigned char *bytes = NULL;
    size_t size = 0;
    if (type < 0 || space < 0 || plan < 0)
        fail_library(l, "data set", name);
    take_shape(l, set, name, space, &record);
    name_type(type, record.type);
    record.element = H5Tget_size(type);
    record.place = place_of(set, plan, &record.offset);
    record.stored = H5Dget_storage_size(set);
    if (record.place == FM_HDF5_CHUNKED)
        record.filter = filter_of(plan);
    if (record.place == FM_HDF5_COMPACT)
        bytes = read_compact(l, set, type, space, name, &size);
    say(l, &record, name, bytes, size);
    free(bytes);
    H5Pclose(plan);
    H5Sclose(space);
    H5Tclose(type);
}

static void check_depth(const struct listing *l, const char *name)
{
    int depth = 0;
    for (const char *s = name; *s != '\0'; s++)
        depth += *s == '/';
    if (depth > FM_HDF5_DEPTH_MAX)
        say_failed(l, "its groups lie more than 32 deep in each other: the file is made "
                      "to keep readers busy");
}

// libhdf5 itself enters a group once, whatever leads to it.
static herr_t visit(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    const struct listing *l = context;
    check_depth(l, name);
    if (info->type == H5L_TYPE_SOFT)
        return 0; // what it leads to is listed by itself
    if (info->type != H5L_TYPE_HARD) {
        struct fm_hdf5_record link = {.kind = FM_HDF5_TENSOR, .place = FM_HDF5_LINK, .ndims = 1};
        say(l, &link, name, NULL, 0);
        return 0;
    }
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    if (object < 0)
        fail_library(l, "object", name);
    if (H5Iget_type(object) == H5I_DATASET)
        list_set(l, object, name);
    H5Oclose(object);
    return 0;
}

// ---- Attributes

struct joined {
    char *text;
    size_t length;
    bool more; // than fits
};

static void join(struct joined *joined, const char *text, size_t length)
{
    static const char between[] = ", ";
    size_t gap = joined->length > 0 ? sizeof between - 1 : 0;
    size_t room = FM_HDF5_TEXT_MAX - joined->length;
    if (gap > room || length > room - gap) {
        joined->more = true;
        return;
    }
    memcpy(joined->text + joined->length, between, gap);
    memcpy(joined->text + joined->length + gap, text, length);
    joined->length += gap + length;
}

// Strings of one length each: padded with NULs or spaces.
static void join_fixed(hid_t attribute, hid_t type, size_t count, struct joined *joined)
{
    size_t size = H5Tget_size(type);
    char *all = size > 0 && count <= FM_HDF5_TEXT_MAX / size ? calloc(count, size) : NULL;
    if (all == NULL || H5Aread(attribute, type, all) < 0)
        joined->more = true;
    for (size_t i = 0; i < count && !joined->more; i++) {
        size_t length = strnlen(all + i * size, size);
        while (H5Tget_strpad(type) == H5T_STR_SPACEPAD && length > 0 &&
               all[i * size + length - 1] == ' ')
            length--;
        join(joined, all + i * size, length);
    }
    free(all);
}

static void join_variable(
    hid_t attribute, hid_t type, hid_t space, size_t count, struct joined *joined)
{
    char **all = count <= FM_HDF5_TEXT_MAX ? calloc(count, sizeof *all) : NULL;
    if (all == NULL || H5Aread(attribute, type, all) < 0) {
        free(all);
        joined->more = true;
        return;
    }
    for (size_t i = 0; i < count; i++)
        join(joined, all[i] != NULL ? all[i] : "", all[i] != NULL ? strlen(all[i]) : 0);
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, all);
    free(all);
}

static void join_number(hid_t attribute, struct joined *joined)
{
    double value;
    char text[32];
    if (H5Aread(attribute, H5T_NATIVE_DOUBLE, &value) < 0)
        joined->more = true;
    else
        join(joined, text, (size_t)snprintf(text, sizeof text, "%.17g", value));
}

// Texts, lists of texts ("layer_names"), single numbers; what else there is is passed over.
static herr_t list_attribute(hid_t object, const char *name, const H5A_info_t *info, void *context)
{
    const struct listing *l = context;
    struct joined joined = {0};
    (void)info;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    if (attribute < 0 || type < 0 || space < 0)
        fail_library(l, "attribute", name);
    hssize_t count = H5Sget_simple_extent_npoints(space);
    H5T_class_t of = H5Tget_class(type);
    joined.text = malloc(FM_HDF5_TEXT_MAX);
    joined.more = joined.text == NULL || count <= 0;
    if (!joined.more && of == H5T_STRING && H5Tis_variable_str(type) > 0)
        join_variable(attribute, type, space, (size_t)count, &joined);
    else if (!joined.more && of == H5T_STRING)
        join_fixed(attribute, type, (size_t)count, &joined);
    else if (!joined.more && count == 1 && (of == H5T_INTEGER || of == H5T_FLOAT))
        join_number(attribute, &joined);
    else
        joined.more = true;
    struct fm_hdf5_record record = {.kind = FM_HDF5_TEXT};
    if (!joined.more)
        say(l, &record, name, joined.text, joined.length);
    free(joined.text);
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(attribute);
    return 0;
}

static void list_attributes(const struct listing *l, const char *group)
{
    hid_t object = H5Oopen(l->file, group, H5P_DEFAULT);
    if (object < 0)
        fail_library(l, "group", group);
    if (H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, NULL, list_attribute, (void *)l) < 0)
        fail_library(l, "attributes of", group);
    H5Oclose(object);
}

// A whole model's file has what a file of weights has in a group.
static void list_model(const struct listing *l)
{
    static const char name[] = "model_weights";
    H5L_info_t info;
    if (H5Lexists(l->file, name, H5P_DEFAULT) <= 0 ||
        H5Lget_info(l->file, name, &info, H5P_DEFAULT) < 0 || info.type != H5L_TYPE_HARD)
        return;
    list_attributes(l, name);
}

void fm_hdf5_list(int pipe, void *work)
{
    char path[64];
    struct listing l = {.pipe = pipe};
    int descriptor = ((struct fm_hdf5_work *)work)->descriptor;
    // The very file that was looked at, whatever has its name by now.
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    if (access(path, R_OK) != 0)
        say_failed(&l, "libhdf5 opens it by way of /proc/self/fd, which is not there, or not "
                       "allowed: mount /proc, or convert the file to safetensors");
    setenv("HDF5_USE_FILE_LOCKING", "FALSE", 1); // fails on file systems without locks
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLset_loading_state(0);
    l.file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (l.file < 0)
        fail_library(&l, "group", "/");
    fm_child_shut_files(); // whatever the file says: no other is opened
    list_attributes(&l, "/");
    if (H5Lvisit(l.file, H5_INDEX_NAME, H5_ITER_INC, visit, &l) < 0)
        fail_library(&l, "group", "/");
    list_model(&l);
    struct fm_hdf5_record done = {.kind = FM_HDF5_DONE};
    say(&l, &done, "", NULL, 0);
}

void fm_hdf5_linked(struct fm_library *library)
{
    unsigned major = 0, minor = 0, release = 0;
    *library = (struct fm_library){.name = "libhdf5", .compiled = HDF5_VERSION};
    H5get_libversion(&major, &minor, &release);
    snprintf(library->found, sizeof library->found, "%u.%u.%u", major, minor, release);
}
