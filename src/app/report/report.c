// A report in its steps: what needs no device is checked before one is opened; then each run
// predicts, the pictures are drawn, and the page is made of them.
#include "app/report/reporting.h"

#include "app/data_label.h"
#include "base/clock.h"
#include "report/charts/chart.h"
#include "run/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_JSON "report.json"

// ---- Checks

static enum fm_status check_same_data(const struct fm_run_config *a, const char *a_directory,
    const struct fm_run_config *b, const char *b_directory)
{
    if (a->data.classes != b->data.classes)
        return fm_fail(FM_DATA,
            "%s was trained on %d classes, %s on %d: a report is of runs on the same data",
            a_directory, a->data.classes, b_directory, b->data.classes);
    if (memcmp(a->data.crc32, b->data.crc32, sizeof a->data.crc32) != 0)
        return fm_fail(FM_DATA,
            "%s was trained on the data in %s, %s on others, in %s: a report is of runs on the "
            "same data",
            a_directory, a->data.directory, b_directory, b->data.directory);
    return FM_OK;
}

static enum fm_status check_distinct(const struct fm_report_options *options, int index)
{
    char path[FM_PATH_MAX], other[FM_PATH_MAX];
    fm_path_absolute(path, options->runs[index]);
    for (int i = 0; i < index; i++) {
        fm_path_absolute(other, options->runs[i]);
        if (strcmp(path, other) == 0)
            return fm_fail(FM_USAGE, "the run %s is named twice", options->runs[index]);
    }
    return FM_OK;
}

static enum fm_status check_runs(const struct fm_report_options *options)
{
    if (options->run_count < 1 || options->run_count > FM_REPORT_RUNS_MAX)
        return fm_fail(FM_USAGE, "a report of %d runs: expected 1 to %d", options->run_count,
            FM_REPORT_RUNS_MAX);
    struct fm_run_config first, config;
    FM_TRY(fm_run_read_whole_config(options->runs[0], &first));
    enum fm_status status = FM_OK;
    for (int i = 1; i < options->run_count && status == FM_OK; i++) {
        FM_TRY_GOTO(status, check_distinct(options, i), out);
        FM_TRY_GOTO(status, fm_run_read_whole_config(options->runs[i], &config), out);
        status = check_same_data(&first, options->runs[0], &config, options->runs[i]);
        fm_run_config_free(&config);
    }
out:
    fm_run_config_free(&first);
    return status;
}

enum fm_status fm_report_check(const struct fm_report_options *options, char directory[FM_PATH_MAX])
{
    char stamp[32], path[FM_PATH_MAX];
    FM_TRY(check_runs(options));
    FM_TRY(fm_charts_load());
    if (options->directory)
        FM_TRY(fm_path_copy(directory, options->directory));
    else
        snprintf(directory, FM_PATH_MAX, "report-%s", fm_clock_stamp(stamp));
    if (fm_path_exists(directory) && !fm_path_is_dir(directory))
        return fm_fail(FM_EXISTS, "%s is a file: expected a folder for the report", directory);
    FM_TRY(fm_path_join(path, directory, FM_REPORT_PAGE));
    if (fm_path_exists(path) && !options->force)
        return fm_fail(FM_EXISTS,
            "%s: holds a report already; --force replaces it, --out DIR takes another folder",
            directory);
    return FM_OK;
}

// ---- Gathering

// Whole characters of it, with room for "-16": it goes into JSON, charts and the names of files.
static enum fm_status copy_name(char out[FM_REPORT_NAME_MAX], const char *name)
{
    struct fm_text line = {0};
    size_t most = FM_REPORT_NAME_MAX - 4;
    fm_text_append_line(&line, name);
    while (most < line.length && ((unsigned char)line.data[most] & 0xc0) == 0x80)
        most--;
    snprintf(out, FM_REPORT_NAME_MAX, "%.*s", (int)most, fm_text_cstr(&line));
    enum fm_status status = line.failed ? fm_fail_memory(name, most) : FM_OK;
    fm_text_free(&line);
    return status;
}

static bool same_kind(const struct fm_report_run *a, const struct fm_report_run *b)
{
    return strcmp(a->config.model, b->config.model) == 0 &&
           a->config.transfer.mode == b->config.transfer.mode &&
           (a->config.teaching.count > 0) == (b->config.teaching.count > 0);
}

// A model's name, and what it began with, are enough unless two runs have the same; then their
// folders' are told, numbered where not even they differ, because files are called by them.
static enum fm_status name_runs(struct fm_reporting *r)
{
    int count = r->options->run_count;
    for (int i = 0; i < count; i++) {
        char path[FM_PATH_MAX], kind[FM_RUN_NAME_MAX];
        bool shared = false, taken = false;
        for (int k = 0; k < count; k++)
            shared = shared || (k != i && same_kind(&r->runs[i], &r->runs[k]));
        fm_path_absolute(path, r->runs[i].directory);
        const struct fm_run_config *config = &r->runs[i].config;
        fm_transfer_run_name(
            config->model, config->transfer.mode, config->teaching.count > 0, kind);
        const char *name = shared ? strrchr(path, '/') : NULL;
        name = name && name[1] ? name + 1 : kind;
        FM_TRY(copy_name(r->runs[i].name, name));
        for (int k = 0; k < i; k++)
            taken = taken || strcmp(r->runs[i].name, r->runs[k].name) == 0;
        size_t length = strlen(r->runs[i].name);
        if (taken)
            snprintf(r->runs[i].name + length, FM_REPORT_NAME_MAX - length, "-%d", i + 1);
    }
    return FM_OK;
}

static enum fm_status check_data(const struct fm_reporting *r)
{
    const struct fm_run_config *config = &r->runs[0].config;
    if (fm_trained_same_data(config, r->dataset))
        return FM_OK;
    return fm_fail(FM_DATA,
        "the data in %s are not those that %s was trained on, which were in %s: --data DIR names "
        "where they are now",
        r->dataset->directory, r->runs[0].directory, config->data.directory);
}

// The first images of each class, as many of each.
static void choose_samples(struct fm_reporting *r)
{
    const struct fm_samples *test = &r->dataset->test;
    int each = FM_REPORT_SHOWN_MAX / r->classes;
    each = each < 1 ? 1 : each;
    for (int k = 0; k < r->classes; k++) {
        int found = 0;
        for (uint32_t i = 0; i < test->count && found < each; i++) {
            if (test->labels[i] != k || r->sample_count == FM_REPORT_SHOWN_MAX)
                continue;
            r->samples[r->sample_count++] = i;
            found++;
        }
    }
}

static enum fm_status gather(struct fm_reporting *r)
{
    for (int i = 0; i < r->options->run_count; i++)
        FM_TRY(fm_report_read_run(r->options->runs[i], &r->runs[i]));
    FM_TRY(check_data(r));
    FM_TRY(name_runs(r));
    fm_data_label(r->dataset, r->label);
    r->classes = r->runs[0].config.data.classes;
    r->class_names = r->runs[0].config.data.class_names;
    choose_samples(r);
    for (int i = 0; i < r->options->run_count; i++)
        FM_TRY(fm_report_predict(r, &r->runs[i]));
    return FM_OK;
}

// ---- Writing

static enum fm_status remove_file(const char *directory, const char *name)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, directory, name));
    FM_TRY(fm_file_remove(path));
    return FM_OK;
}

// The pictures that an earlier report lists: of runs that this one has not, they would be taken for
// its own. Names that lead elsewhere are none of ours.
static enum fm_status remove_earlier(const char *directory)
{
    char path[FM_PATH_MAX];
    json_t *json = NULL, *file;
    size_t i;
    enum fm_status status = FM_OK;
    FM_TRY(fm_path_join(path, directory, REPORT_JSON));
    if (!fm_path_exists(path))
        return FM_OK;
    if (fm_json_read_file(path, &json, NULL) != FM_OK)
        fm_error_clear();
    json_array_foreach(json_object_get(json, "files"), i, file)
    {
        const char *name = json_string_value(file);
        const char *end = name ? strrchr(name, '.') : NULL;
        if (status == FM_OK && end && !strchr(name, '/') &&
            (strcmp(end, ".png") == 0 || strcmp(end, ".svg") == 0))
            status = remove_file(directory, name);
    }
    json_decref(json);
    return status == FM_OK ? remove_file(directory, REPORT_JSON) : status;
}

static enum fm_status write_all(struct fm_reporting *r)
{
    char page[FM_PATH_MAX], path[FM_PATH_MAX];
    json_t *json;
    FM_TRY(fm_path_join(page, r->directory, FM_REPORT_PAGE));
    FM_TRY(fm_path_join(path, r->directory, REPORT_JSON));
    FM_TRY(fm_make_dirs(r->directory));
    FM_TRY(remove_earlier(r->directory));
    FM_TRY(fm_report_draw(r));
    FM_TRY(fm_report_page(r, page));
    json_array_append_new(r->files, json_string(FM_REPORT_PAGE));
    FM_TRY(fm_report_json(r, &json));
    enum fm_status status = fm_json_write_file(path, json);
    json_decref(json);
    return status;
}

enum fm_status fm_report_write(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_report_options *options, const char *directory)
{
    struct fm_reporting r = {
        .engine = engine, .dataset = dataset, .options = options, .directory = directory};
    size_t bytes = (size_t)options->run_count * sizeof *r.runs;
    r.runs = calloc(1, bytes);
    r.files = json_array();
    enum fm_status status = r.runs && r.files ? gather(&r) : fm_fail_memory("a report", bytes);
    if (status == FM_OK)
        status = write_all(&r);
    for (int i = 0; r.runs && i < options->run_count; i++)
        fm_report_free_run(&r.runs[i]);
    free(r.runs);
    json_decref(r.files);
    return status;
}
