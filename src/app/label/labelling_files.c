// The folder of labels. All is written into a folder in it first, so that what an earlier call has
// put there is there until the new files are whole. Then these take its place: no page or table of
// other thresholds is left among them, and label.json comes last and says that all is there.
#include "app/label/labelling_parts.h"

#include "app/output.h"
#include "base/file.h"
#include "run/json.h"
#include "run/run.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// Beside the files, until they are whole; what a killed call has left there is written over.
#define STAGE ".label" FM_TEMPORARY_MARK "files"

static const char *const own_files[] = {"label.json", "auto.csv", "review.csv", "review.html",
    "failed.csv", "labels.csv", "risk-coverage.png", "risk-coverage.svg"};
enum {
    OWN_FILES = sizeof own_files / sizeof own_files[0]
};

enum fm_status fm_labelling_check_folder(const char *directory, bool force)
{
    char path[FM_PATH_MAX];
    if (fm_path_exists(directory) && !fm_path_is_dir(directory))
        return fm_fail(FM_EXISTS, "%s: is a file, expected a folder", directory);
    for (int i = 0; i < OWN_FILES; i++) {
        FM_TRY(fm_path_join(path, directory, own_files[i]));
        if (fm_path_exists(path) && !force)
            return fm_fail(FM_EXISTS,
                "%s: holds labels already (%s); --force replaces them, --out DIR takes another "
                "folder",
                directory, own_files[i]);
    }
    return FM_OK;
}

static enum fm_status clear_folder(const char *directory)
{
    char path[FM_PATH_MAX];
    for (int i = 0; i < OWN_FILES; i++) {
        FM_TRY(fm_path_join(path, directory, own_files[i]));
        FM_TRY(fm_file_remove(path));
    }
    return FM_OK;
}

static void text_cell(struct fm_table *table, const char *text)
{
    fm_table_cell(table, json_string(text), "%s", text);
}

// Four digits that count, of what may be tiny.
static void number_cell(struct fm_table *table, double value)
{
    double scale = value > 0 ? pow(10, 3 - floor(log10(value))) : 1;
    fm_table_cell(table, json_real(round(value * scale) / scale), "%.4g", value);
}

static enum fm_status write_auto(const struct fm_labelling *l, const char *directory)
{
    static const struct fm_column columns[] = {
        {"name", "name", false}, {"label", "label", false}, {"probability", "probability", true}};
    struct fm_table *table;
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], &table));
    for (uint32_t i = 0; i < l->pictures.count; i++) {
        const struct fm_guess *guess = &l->guesses[i];
        if (!fm_selective_takes(&l->selective, guess))
            continue;
        text_cell(table, l->names[i]);
        text_cell(table, l->trained.predictor.class_names[guess->best]);
        number_cell(table, (double)guess->probability);
    }
    enum fm_status status = fm_output_csv(directory, "auto.csv", table);
    fm_table_free(table);
    return status;
}

static enum fm_status write_review(const struct fm_labelling *l, const char *directory)
{
    static const struct fm_column columns[] = {{"name", "name", false},
        {"suggestion", "suggestion", false}, {"probability", "probability", true},
        {"second", "second", false}, {"second_probability", "probability", true},
        {"worth", "worth", true}};
    char *const *classes = l->trained.predictor.class_names;
    struct fm_table *table;
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], &table));
    for (uint32_t i = 0; i < l->review_count; i++) {
        const struct fm_guess *guess = &l->guesses[l->review[i]];
        text_cell(table, l->names[l->review[i]]);
        text_cell(table, classes[guess->best]);
        number_cell(table, (double)guess->probability);
        text_cell(table, classes[guess->second]);
        number_cell(table, (double)guess->second_probability);
        number_cell(table, fm_label_worth(guess));
    }
    enum fm_status status = fm_output_csv(directory, "review.csv", table);
    fm_table_free(table);
    return status;
}

static enum fm_status write_failed(const struct fm_labelling *l, const char *directory)
{
    static const struct fm_column columns[] = {{"name", "name", false}, {"error", "error", false}};
    struct fm_table *table;
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], &table));
    for (uint32_t i = 0; i < l->pictures.failed; i++) {
        struct fm_text error = {0};
        fm_text_append_line(&error, l->pictures.errors[i]);
        text_cell(table, l->names[l->pictures.count + i]);
        text_cell(table, fm_text_cstr(&error));
        fm_text_free(&error);
    }
    enum fm_status status = fm_output_csv(directory, "failed.csv", table);
    fm_table_free(table);
    return status;
}

static enum fm_status write_labels(const struct fm_labelling *l, const char *directory)
{
    static const struct fm_column columns[] = {
        {"name", "name", false}, {"label", "label", false}, {"by", "by", false}};
    struct fm_table *table;
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], &table));
    for (uint32_t i = 0; i < l->pictures.count + l->pictures.failed; i++) {
        if (l->labels[i] == FM_LABEL_NONE)
            continue;
        text_cell(table, l->names[i]);
        text_cell(table, l->trained.predictor.class_names[l->labels[i]]);
        text_cell(table, l->by_person[i] ? "person" : "auto");
    }
    enum fm_status status = fm_output_csv(directory, "labels.csv", table);
    fm_table_free(table);
    return status;
}

static enum fm_status write_json(const struct fm_labelling *l, const char *directory)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, directory, "label.json"));
    json_t *json = fm_labelling_json(l);
    if (!json)
        return fm_fail(FM_MEMORY, "%s: out of memory", path);
    enum fm_status status = fm_json_write_file(path, json);
    json_decref(json);
    return status;
}

static enum fm_status write_all(const struct fm_labelling *l, const char *directory)
{
    FM_TRY(fm_make_dirs(directory));
    FM_TRY(fm_run_sweep(directory));
    FM_TRY(clear_folder(directory));
    if (l->options.source) {
        FM_TRY(write_auto(l, directory));
        FM_TRY(write_review(l, directory));
        FM_TRY(fm_labelling_page(l, directory));
    }
    if (l->pictures.failed > 0)
        FM_TRY(write_failed(l, directory));
    if (l->labels)
        FM_TRY(write_labels(l, directory));
    if (l->measure.count > 0)
        FM_TRY(fm_labelling_chart(l, directory));
    return write_json(l, directory);
}

// A file of `stage` in place of the one of that name; without one there, that one goes.
static enum fm_status replace_file(const char *stage, const char *directory, const char *name)
{
    char from[FM_PATH_MAX], to[FM_PATH_MAX];
    FM_TRY(fm_path_join(from, stage, name));
    FM_TRY(fm_path_join(to, directory, name));
    if (!fm_path_exists(from))
        return fm_file_remove(to);
    if (rename(from, to) != 0)
        return fm_fail(FM_IO, "%s: cannot put it in place: %s; the new files are in %s", to,
            strerror(errno), stage);
    return FM_OK;
}

// All of them. label.json says that all is there: it goes first and comes last.
static enum fm_status put_in_place(const char *stage, const char *directory)
{
    char last[FM_PATH_MAX];
    FM_TRY(fm_path_join(last, directory, own_files[0]));
    FM_TRY(fm_file_remove(last));
    for (int i = OWN_FILES - 1; i >= 0; i--)
        FM_TRY(replace_file(stage, directory, own_files[i]));
    fm_sync_parent(last);
    return FM_OK;
}

// Of files that are not whole. The message says why they are not.
static void discard(const char *stage)
{
    char *message = fm_error_take();
    (void)clear_folder(stage);
    rmdir(stage);
    fm_error_put(message);
}

enum fm_status fm_labelling_write(struct fm_labelling *l)
{
    char stage[FM_PATH_MAX];
    FM_TRY(fm_path_join(stage, l->options.out, STAGE));
    enum fm_status status = write_all(l, stage);
    if (status == FM_OK)
        status = put_in_place(stage, l->options.out); // where it fails, they stay where they are
    else
        discard(stage);
    if (status == FM_OK)
        rmdir(stage);
    return status;
}
