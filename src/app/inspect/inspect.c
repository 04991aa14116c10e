// What is in a weights file, told from its headers: a table of facts, one of what its maker wrote
// beside the tensors, and one of the tensors.
#include "app/inspect/inspect.h"

#include "app/cells.h"
#include "app/inspect/fits.h"
#include "app/inspect/idx.h"
#include "base/digest.h"
#include "base/file.h"
#include "net/files/tensors.h"
#include "run/json.h"
#include "run/states.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    INSPECT_FORMAT = 1,
    VALUE_SHOWN = 60 // bytes of a metadata value, for people
};

struct inspected {
    bool idx; // it is no file of weights
    struct fm_tensors tensors;
    char sha256[FM_SHA256_SIZE], md5[FM_MD5_SIZE];
    uint64_t elements;
    struct fm_fit fit;
};

static enum fm_status open_file(const char *path, struct inspected *f)
{
    memset(f, 0, sizeof *f);
    if (fm_path_is_dir(path))
        return fm_fail(FM_USAGE,
            "%s: is a folder: of a run, its weights are the file model.safetensors in it", path);
    FM_TRY(fm_inspect_idx(path, &f->tensors, &f->idx));
    if (!f->idx)
        FM_TRY(fm_tensors_open(path, &f->tensors));
    for (int i = 0; i < f->tensors.count; i++)
        f->elements += f->tensors.list[i].count;
    FM_TRY(fm_digest_file(path, f->sha256, f->md5));
    if (f->idx) {
        fm_text_append(&f->fit.what, "none: it is of a data set (fmnist train --data FOLDER)");
        return FM_OK;
    }
    return fm_fit_find(&f->tensors, f->sha256, f->md5, &f->fit);
}

static const char *format_name(const struct inspected *f)
{
    return f->idx ? "IDX" : fm_tensors_format_names[f->tensors.format];
}

static void close_file(struct inspected *f)
{
    fm_fit_free(&f->fit);
    fm_tensors_close(&f->tensors);
}

// ---- Tables

static void fact(struct fm_table *table, const char *name, const char *value)
{
    fm_text_cell(table, name);
    fm_text_cell(table, value);
}

static void count_fact(struct fm_table *table, const char *name, uint64_t count)
{
    char digits[32];
    fact(table, name, fm_group_digits((int64_t)count, digits));
}

// A text from the file, on one line and not too long for people, whole for machines.
static void foreign_cell(struct fm_table *table, const char *text, size_t shown)
{
    struct fm_text line = {0};
    fm_text_append_line(&line, text);
    const char *clean = fm_text_cstr(&line);
    size_t end = 0;
    while (clean[end] != '\0' && end + (size_t)fm_utf8_length(clean + end) <= shown)
        end += (size_t)fm_utf8_length(clean + end);
    if (clean[end] == '\0')
        fm_table_cell(table, fm_json_text(text), "%s", clean);
    else
        fm_table_cell(
            table, fm_json_text(text), "%.*s... (%zu bytes)", (int)end, clean, strlen(text));
    fm_text_free(&line);
}

static enum fm_status facts(const struct inspected *f, struct fm_table **table)
{
    static const struct fm_column columns[] = {{"what", "what", false}, {"value", "value", false}};
    FM_TRY(fm_table_create(columns, 2, table));
    fact(*table, "file", f->tensors.path);
    fact(*table, "format", format_name(f));
    count_fact(*table, "bytes", f->tensors.size);
    count_fact(*table, "tensors", (uint64_t)f->tensors.count);
    count_fact(*table, "elements", f->elements);
    fact(*table, "SHA-256", f->sha256);
    fact(*table, "fits", fm_text_cstr(&f->fit.what));
    return FM_OK;
}

static enum fm_status metadata(const struct inspected *f, struct fm_table **table)
{
    static const struct fm_column columns[] = {{"key", "key", false}, {"value", "value", false}};
    FM_TRY(fm_table_create(columns, 2, table));
    for (char **pair = f->tensors.metadata; pair && pair[0]; pair += 2) {
        foreign_cell(*table, pair[0], FM_TENSOR_NAME_MAX);
        foreign_cell(*table, pair[1], VALUE_SHOWN);
    }
    return FM_OK;
}

static json_t *shape_json(const struct fm_tensor_info *info)
{
    json_t *shape = json_array();
    for (int d = 0; d < info->ndims; d++)
        json_array_append_new(shape, json_integer(info->dims[d]));
    return shape;
}

static enum fm_status tensors(const struct inspected *f, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"name", "name", false},
        {"type", "type", false},
        {"shape", "shape", false},
        {"elements", "elements", true},
        {"bytes", "bytes", true},
    };
    char shape[128], digits[32];
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], table));
    for (int i = 0; i < f->tensors.count; i++) {
        const struct fm_tensor_info *info = &f->tensors.list[i];
        foreign_cell(*table, info->name, FM_TENSOR_NAME_MAX);
        fm_text_cell(*table, info->type);
        fm_shape_text(shape, info->ndims, info->dims);
        fm_table_cell(*table, shape_json(info), "%s", shape);
        fm_table_cell(*table, json_integer((json_int_t)info->count), "%s",
            fm_group_digits((int64_t)info->count, digits));
        fm_table_cell(*table, json_integer((json_int_t)info->bytes), "%s",
            fm_group_digits((int64_t)info->bytes, digits));
    }
    return FM_OK;
}

// ---- Printing

static enum fm_status append(
    enum fm_status status, struct fm_table *table, enum fm_format format, struct fm_text *out)
{
    if (status == FM_OK)
        status = fm_table_print(table, format, out);
    fm_table_free(table);
    return status;
}

static enum fm_status print_prose(
    const struct inspected *f, enum fm_format format, struct fm_text *out)
{
    struct fm_table *table = NULL;
    enum fm_status status = facts(f, &table);
    FM_TRY(append(status, table, format, out));
    table = NULL;
    if (f->tensors.metadata && f->tensors.metadata[0]) {
        fm_text_append(out, "\n%sMetadata\n\n", format == FM_FORMAT_MARKDOWN ? "### " : "");
        status = metadata(f, &table);
        FM_TRY(append(status, table, format, out));
    }
    table = NULL;
    fm_text_append(out, "\n%sTensors\n\n", format == FM_FORMAT_MARKDOWN ? "### " : "");
    status = tensors(f, &table);
    return append(status, table, format, out);
}

// Of an ONNX file neither need be UTF-8.
static void set_text(json_t *object, const char *key, const char *value)
{
    json_t *name = fm_json_text(key);
    json_object_set_new(object, json_string_value(name), fm_json_text(value));
    json_decref(name);
}

static json_t *metadata_json(const struct inspected *f)
{
    json_t *json = json_object();
    for (char **pair = f->tensors.metadata; pair && pair[0]; pair += 2)
        set_text(json, pair[0], pair[1]);
    return json;
}

static enum fm_status print_json(const struct inspected *f, struct fm_text *out)
{
    struct fm_table *table = NULL;
    enum fm_status status = tensors(f, &table);
    json_t *list = status == FM_OK ? fm_table_json(table) : NULL;
    fm_table_free(table);
    FM_TRY(status);
    json_t *fits = json_pack("{s:b, s:s, s:o, s:s}", "fits", f->fit.fits, "model", f->fit.model,
        "classes", f->fit.classes > 0 ? json_integer(f->fit.classes) : json_null(), "what",
        fm_text_cstr(&f->fit.what));
    json_t *json = json_pack("{s:i, s:o, s:s, s:I, s:s, s:I, s:o, s:o, s:o}", "format",
        INSPECT_FORMAT, "file", fm_json_text(f->tensors.path), "file_format", format_name(f),
        "bytes", (json_int_t)f->tensors.size, "sha256", f->sha256, "elements",
        (json_int_t)f->elements, "fits", fits, "metadata", metadata_json(f), "tensors", list);
    char *dump = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    if (!dump)
        return fm_fail(FM_MEMORY, "%s: out of memory", f->tensors.path);
    fm_text_append(out, "%s\n", dump);
    free(dump);
    return FM_OK;
}

static enum fm_status print(const struct inspected *f, enum fm_format format, struct fm_text *out)
{
    struct fm_table *table = NULL;
    if (format == FM_FORMAT_JSON)
        return print_json(f, out);
    if (format != FM_FORMAT_CSV)
        return print_prose(f, format, out);
    enum fm_status status = tensors(f, &table);
    return append(status, table, format, out);
}

enum fm_status fm_inspect(const char *path, enum fm_format format, struct fm_text *out)
{
    struct inspected f;
    enum fm_status status = open_file(path, &f);
    if (status == FM_OK)
        status = print(&f, format, out);
    close_file(&f);
    return status;
}
