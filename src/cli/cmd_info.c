// `fmnist info`: what this build has, what this machine offers, and why something cannot be used.
#include "cli/common.h"

#include "backend/precision.h"
#include "base/digest.h"
#include "base/version.h"
#include "data/pictures/picture.h"
#include "net/files/libraries.h"
#include "report/charts/chart.h"
#include "run/json.h"
#include "run/run.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

static json_t *precisions_json(const bool has[FM_PRECISION_COUNT])
{
    json_t *names = json_array();
    for (int i = 0; i < FM_PRECISION_COUNT; i++)
        if (has[i])
            json_array_append_new(names, json_string(fm_precision_name((enum fm_precision)i)));
    return names;
}

// A backend with its device, or with the reason why it cannot be used.
static json_t *backend_json(const char *name, const struct fm_args *args)
{
    struct fm_engine engine;
    const struct fm_device_options options = {.index = args->device, .threads = args->threads};
    json_t *json;
    if (fm_engine_open(name, &options, &engine) == FM_OK) {
        json = json_pack("{s:s, s:b, s:s, s:s, s:s, s:s, s:i, s:I, s:o, s:o, s:s}", "name", name,
            "usable", 1, "title", engine.api->title, "device", engine.info.name, "details",
            engine.info.details, "libraries", engine.info.libraries, "threads", engine.info.threads,
            "memory", (json_int_t)engine.info.memory, "precisions",
            precisions_json(engine.info.precisions), "emulated",
            precisions_json(engine.info.emulated), "preferred",
            fm_precision_name(engine.info.preferred));
        fm_engine_close(&engine);
        return json;
    }
    struct fm_text reason = {0};
    fm_text_append_lines(&reason, fm_error_message());
    fm_error_clear();
    json = json_pack("{s:s, s:b, s:s}", "name", name, "usable", 0, "reason", fm_text_cstr(&reason));
    fm_text_free(&reason);
    return json;
}

static json_t *backends_json(const struct fm_args *args)
{
    json_t *backends = json_array();
    bool all = strcmp(args->backend, "auto") == 0;
    for (int i = 0; fm_backend_names[i]; i++)
        if (all || strcmp(args->backend, fm_backend_names[i]) == 0)
            json_array_append_new(backends, backend_json(fm_backend_names[i], args));
    return backends;
}

static json_t *data_json(const struct fm_args *args)
{
    char directory[FM_PATH_MAX];
    bool found = fm_dataset_find(args->data, directory) == FM_OK;
    struct fm_text text = {0};
    fm_text_append_lines(&text, found ? directory : fm_error_message());
    fm_error_clear();
    json_t *json = json_pack(
        "{s:b, s:s}", "found", found, found ? "directory" : "reason", fm_text_cstr(&text));
    fm_text_free(&text);
    return json;
}

static json_t *library_json(const char *name, const char *compiled, const char *found)
{
    return json_pack("{s:s, s:s, s:s}", "name", name, "compiled", compiled, "found", found);
}

// One that this build is without has null for a version, and what is missed for it.
static json_t *optional_library_json(const struct fm_library *library)
{
    if (library->compiled)
        return library_json(library->name, library->compiled, library->found);
    return json_pack("{s:s, s:n, s:n, s:s, s:s*}", "name", library->name, "compiled", "found",
        "without", library->without, "fault", library->fault[0] ? library->fault : NULL);
}

static json_t *libraries_json(void)
{
    struct fm_library charts, pictures[FM_PICTURE_LIBRARIES], tensors[FM_TENSORS_LIBRARIES], digest;
    fm_charts_library(&charts);
    json_t *all = json_pack("[o, o, o]", library_json("zlib", ZLIB_VERSION, zlibVersion()),
        library_json("jansson", JANSSON_VERSION, jansson_version_str()),
        optional_library_json(&charts));
    fm_picture_libraries(pictures);
    for (int i = 0; i < FM_PICTURE_LIBRARIES; i++)
        json_array_append_new(all, optional_library_json(&pictures[i]));
    fm_tensors_libraries(tensors);
    for (int i = 0; i < FM_TENSORS_LIBRARIES; i++)
        json_array_append_new(all, optional_library_json(&tensors[i]));
    fm_digest_library(&digest);
    json_array_append_new(all, optional_library_json(&digest));
    return all;
}

static json_t *info_json(const struct fm_args *args)
{
    return json_pack("{s:s, s:{s:s, s:s}, s:o, s:o, s:o, s:o}", "version", FM_VERSION, "build",
        "type", FM_BUILD_TYPE, "compiler", FM_COMPILER, "backends", backends_json(args), "data",
        data_json(args), "libraries", libraries_json(), "machine", fm_run_machine());
}

// A row "item, value". Messages of several lines become one.
static void append_item(struct fm_table *table, const char *item, const char *fmt, ...)
    FM_PRINTF(3, 4);
static void append_item(struct fm_table *table, const char *item, const char *fmt, ...)
{
    char value[8192];
    struct fm_text line = {0};
    va_list args;
    va_start(args, fmt);
    vsnprintf(value, sizeof value, fmt, args);
    va_end(args);
    for (const char *s = value; *s; s++) {
        if (*s != '\n') {
            fm_text_append_bytes(&line, s, 1);
            continue;
        }
        fm_text_append(&line, s > value && s[-1] == ':' ? " " : "; ");
        s += strspn(s + 1, " \n");
    }
    fm_table_cell(table, json_string(item), "%s", item);
    fm_table_cell(table, json_string(fm_text_cstr(&line)), "%s", fm_text_cstr(&line));
    fm_text_free(&line);
}

static void append_names(struct fm_text *out, const json_t *names)
{
    const json_t *name;
    size_t i;
    json_array_foreach(names, i, name)
    {
        fm_text_append(out, "%s%s", i ? ", " : "", json_string_value(name));
    }
}

static void append_backend(struct fm_table *table, const json_t *backend)
{
    struct fm_text item = {0}, precisions = {0};
    const json_t *emulated = json_object_get(backend, "emulated");
    fm_text_append(&item, "backend %s", fm_json_string(backend, "name"));
    append_names(&precisions, json_object_get(backend, "precisions"));
    if (json_array_size(emulated) > 0)
        fm_text_append(&precisions, ", by rounding in ");
    append_names(&precisions, emulated);
    if (json_is_true(json_object_get(backend, "usable")))
        append_item(table, fm_text_cstr(&item), "%s, %s, %s, trains in %s; auto is %s",
            fm_json_string(backend, "device"), fm_json_string(backend, "details"),
            fm_json_string(backend, "libraries"), fm_text_cstr(&precisions),
            fm_json_string(backend, "preferred"));
    else
        append_item(
            table, fm_text_cstr(&item), "not usable: %s", fm_json_string(backend, "reason"));
    fm_text_free(&item);
    fm_text_free(&precisions);
}

static void append_library(struct fm_table *table, const json_t *library)
{
    const char *name = fm_json_string(library, "name");
    const json_t *fault = json_object_get(library, "fault");
    if (json_is_null(json_object_get(library, "compiled")))
        append_item(table, name, "%s, which cannot %s",
            json_is_string(fault) ? json_string_value(fault) : "not in this build",
            fm_json_string(library, "without"));
    else
        append_item(table, name, "%s (compiled against %s)", fm_json_string(library, "found"),
            fm_json_string(library, "compiled"));
}

static void append_machine(struct fm_table *table, const json_t *machine)
{
    json_int_t cores = json_integer_value(json_object_get(machine, "cores"));
    double memory = json_number_value(json_object_get(machine, "memory"));
    append_item(table, "processor", "%s, %lld core%s, %.1f GiB of memory",
        fm_json_string(machine, "processor"), (long long)cores, cores == 1 ? "" : "s",
        memory / (1024.0 * 1024 * 1024));
    append_item(table, "features", "%s", fm_json_string(machine, "features"));
    append_item(table, "system", "%s", fm_json_string(machine, "system"));
}

static void append_rows(struct fm_table *table, const json_t *info)
{
    const json_t *build = json_object_get(info, "build");
    const json_t *data = json_object_get(info, "data");
    const json_t *entry;
    size_t i;
    bool found = json_is_true(json_object_get(data, "found"));
    append_item(table, "version", "%s", fm_json_string(info, "version"));
    append_item(
        table, "build", "%s, %s", fm_json_string(build, "type"), fm_json_string(build, "compiler"));
    json_array_foreach(json_object_get(info, "backends"), i, entry)
    {
        append_backend(table, entry);
    }
    json_array_foreach(json_object_get(info, "libraries"), i, entry)
    {
        append_library(table, entry);
    }
    append_item(table, "data", "%s", fm_json_string(data, found ? "directory" : "reason"));
    append_machine(table, json_object_get(info, "machine"));
}

enum fm_status fm_cmd_info(const struct fm_args *args)
{
    static const struct fm_column columns[] = {{"item", "item", false}, {"value", "value", false}};
    json_t *info = info_json(args);
    if (!info)
        return fm_fail(FM_MEMORY, "out of memory while collecting information");
    if (args->format == FM_FORMAT_JSON)
        return fm_print_json(info);
    struct fm_table *table;
    enum fm_status status;
    FM_TRY_GOTO(status, fm_table_create(columns, 2, &table), out);
    append_rows(table, info);
    status = fm_print_table(table, (enum fm_format)args->format);
    fm_table_free(table);
out:
    json_decref(info);
    return status;
}
