// A group is made whole before anything is trained, so that it can go on wherever it was stopped.
#include "app/seeds.h"

#include "base/clock.h"
#include "run/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUP_FILE "seeds.json"

enum {
    GROUP_FORMAT = 1,
    SHORT_MAX = 32
};

// ---- The folders

bool fm_seeds_is_group(const char *directory)
{
    char path[FM_PATH_MAX];
    if (fm_path_join(path, directory, GROUP_FILE) != FM_OK) {
        fm_error_clear();
        return false;
    }
    return fm_path_exists(path);
}

static enum fm_status group_directory(const struct fm_job *job, char directory[FM_PATH_MAX])
{
    char stamp[SHORT_MAX], name[FM_NAME_MAX + 64];
    if (job->directory)
        return fm_path_copy(directory, job->directory);
    snprintf(name, sizeof name, "%s-%s", job->model, fm_clock_stamp(stamp));
    return fm_path_join(directory, job->root ? job->root : "runs", name);
}

static enum fm_status begin_run(const struct fm_engine *engine, const struct fm_job *job,
    const char *directory, uint64_t seed, json_t *names)
{
    char name[SHORT_MAX], wanted[FM_PATH_MAX], made[FM_PATH_MAX];
    struct fm_job one = *job;
    one.seed = seed;
    one.directory = wanted;
    snprintf(name, sizeof name, "seed-%llu", (unsigned long long)one.seed);
    FM_TRY(fm_path_join(wanted, directory, name));
    FM_TRY(fm_job_begin(engine, &one, made));
    if (json_array_append_new(names, json_string(name)) != 0)
        return fm_fail(FM_MEMORY, "out of memory for the seeds' folders");
    return FM_OK;
}

// All of them or none: what was begun would be in the way of the next attempt.
static enum fm_status begin_runs(const struct fm_engine *engine, const struct fm_job *job,
    int count, const char *directory, json_t *names)
{
    enum fm_status status = FM_OK;
    for (int i = 0; i < count && status == FM_OK; i++)
        status = begin_run(engine, job, directory, job->seed + (uint64_t)i, names);
    for (size_t i = 0; i < json_array_size(names) && status != FM_OK; i++) {
        char run[FM_PATH_MAX];
        const char *name = json_string_value(json_array_get(names, i));
        if (fm_path_join(run, directory, name) == FM_OK)
            fm_run_discard(run);
    }
    return status;
}

enum fm_status fm_seeds_begin(const struct fm_engine *engine, const struct fm_job *job, int count,
    char directory[FM_PATH_MAX])
{
    char path[FM_PATH_MAX];
    FM_TRY(group_directory(job, directory));
    FM_TRY(fm_path_join(path, directory, GROUP_FILE));
    if (fm_path_exists(path) && !job->force)
        return fm_fail(FM_EXISTS,
            "%s: holds a group of runs already; --force replaces it, --out DIR takes another "
            "folder",
            directory);
    json_t *names = json_array();
    enum fm_status status = begin_runs(engine, job, count, directory, names);
    json_t *json = json_pack("{s:i, s:o}", "format", GROUP_FORMAT, "runs", names);
    if (status == FM_OK)
        status = fm_json_write_file(path, json);
    json_decref(json);
    return status;
}

static enum fm_status add_directory(struct fm_seeds *seeds, const char *directory)
{
    seeds->directories[seeds->count] = strdup(directory);
    if (!seeds->directories[seeds->count])
        return fm_fail_memory("the runs' folders", strlen(directory) + 1);
    seeds->count++;
    return FM_OK;
}

static enum fm_status add_group(
    struct fm_seeds *seeds, const char *directory, const char *path, const json_t *json)
{
    const json_t *runs = json_object_get(json, "runs");
    size_t count = json_array_size(runs);
    if (json_integer_value(json_object_get(json, "format")) != GROUP_FORMAT || count < 1 ||
        count > FM_SEEDS_MAX)
        return fm_fail(FM_DATA, "%s: expected \"format\" %d and 1 to %d names in \"runs\"", path,
            GROUP_FORMAT, FM_SEEDS_MAX);
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(runs, i));
        char run[FM_PATH_MAX];
        if (!name || name[0] == '.' || strchr(name, '/'))
            return fm_fail(FM_DATA, "%s: \"runs\"[%zu] is no folder's name", path, i);
        FM_TRY(fm_path_join(run, directory, name));
        FM_TRY(add_directory(seeds, run));
    }
    return FM_OK;
}

enum fm_status fm_seeds_read(const char *directory, struct fm_seeds *seeds)
{
    *seeds = (struct fm_seeds){.group = fm_seeds_is_group(directory)};
    seeds->directories = calloc(FM_SEEDS_MAX, sizeof *seeds->directories);
    if (!seeds->directories)
        return fm_fail_memory("the runs' folders", FM_SEEDS_MAX * sizeof *seeds->directories);
    char path[FM_PATH_MAX];
    json_t *json = NULL;
    enum fm_status status = fm_path_join(path, directory, GROUP_FILE);
    if (status == FM_OK && seeds->group)
        status = fm_json_read_file(path, &json, NULL);
    if (status == FM_OK)
        status = seeds->group ? add_group(seeds, directory, path, json)
                              : add_directory(seeds, directory);
    json_decref(json);
    if (status != FM_OK)
        fm_seeds_free(seeds);
    return status;
}

void fm_seeds_free(struct fm_seeds *seeds)
{
    for (int i = 0; i < seeds->count; i++)
        free(seeds->directories[i]);
    free(seeds->directories);
    *seeds = (struct fm_seeds){0};
}

void fm_seeds_discard(const struct fm_seeds *seeds, const char *directory)
{
    char path[FM_PATH_MAX];
    for (int i = 0; i < seeds->count; i++)
        fm_run_discard(seeds->directories[i]);
    if (!seeds->group || fm_path_exists(seeds->directories[0]) ||
        fm_path_join(path, directory, GROUP_FILE) != FM_OK)
        return;
    unlink(path);
    rmdir(directory);
}

// ---- The table

// Figures of a result that are averaged over the seeds.
struct figure {
    const char *key, *title;
    const char *object; // the member of the result that it is in; NULL: the result itself
    const char *member;
    bool seconds; // else a share
};

static const struct figure figures[] = {
    {"test_accuracy", "test", "test", "accuracy", false},
    {"test_flip_accuracy", "test, with mirror images", "test_flip", "accuracy", false},
    {"select_accuracy", "selection", NULL, "select_accuracy", false},
    {"train_accuracy", "train", NULL, "train_accuracy", false},
    {"training_seconds", "training time", NULL, "seconds", true},
};

enum {
    FIGURES = sizeof figures / sizeof figures[0]
};

// NaN where the result has none.
static double figure_of(const json_t *result, const struct figure *figure)
{
    const json_t *object = figure->object ? json_object_get(result, figure->object) : result;
    return fm_json_number(object, figure->member);
}

struct statistics {
    double mean, deviation;
};

// NaN where a result has no such figure, and a deviation of NaN where there is one result alone.
static struct statistics statistics_of(
    json_t *const *results, int count, const struct figure *figure)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < count; i++)
        sum += figure_of(results[i], figure);
    double mean = sum / count;
    for (int i = 0; i < count; i++)
        squares += pow(figure_of(results[i], figure) - mean, 2);
    return (struct statistics){mean, count > 1 ? sqrt(squares / (count - 1)) : NAN};
}

static void figure_cell(struct fm_table *table, const struct figure *figure, double value)
{
    char time[SHORT_MAX];
    if (isnan(value))
        fm_table_cell(table, json_null(), "-");
    else if (figure->seconds)
        fm_table_cell(table, json_real(value), "%s", fm_duration(value, time));
    else
        fm_table_cell(table, json_real(value), "%.2f %%", 100 * value);
}

static void text_cell(struct fm_table *table, const char *text)
{
    fm_table_cell(table, json_string(text), "%s", text);
}

// "2", or "2 of 15" where --max-minutes ended the training.
static void epochs_cell(struct fm_table *table, const json_t *result)
{
    int epochs = (int)json_integer_value(json_object_get(result, "epochs"));
    int planned = (int)json_integer_value(json_object_get(result, "epochs_planned"));
    if (json_is_true(json_object_get(result, "ended_early")))
        fm_table_cell(table, json_integer(epochs), "%d of %d", epochs, planned);
    else
        fm_table_cell(table, json_integer(epochs), "%d", epochs);
}

// What was trained on, as far as it is not what the name says.
static void data_cell(struct fm_table *table, const json_t *result)
{
    const json_t *data = json_object_get(result, "data");
    char images[SHORT_MAX];
    fm_group_digits(json_integer_value(json_object_get(data, "train_images")), images);
    const char *name = fm_json_string(data, "name");
    if (json_is_true(json_object_get(data, "full")))
        fm_table_cell(table, json_string(name), "%s, all %s training images", name, images);
    else
        text_cell(table, name);
}

static void precision_cell(struct fm_table *table, const json_t *result)
{
    const char *name = fm_json_string(result, "precision");
    bool emulated = json_is_true(json_object_get(result, "emulate"));
    fm_table_cell(table, json_string(name), "%s%s", name, emulated ? ", by rounding" : "");
}

// Which figures the table has: those of any result.
static int columns_of(
    json_t *const *results, int count, bool seeds, struct fm_column *columns, bool *shown)
{
    int used = 0;
    columns[used++] = (struct fm_column){"model", "model", false};
    columns[used++] = (struct fm_column){"data", "data", false};
    columns[used++] = (struct fm_column){"precision", "precision", false};
    if (seeds)
        columns[used++] = (struct fm_column){"seed", "seed", true};
    for (int f = 0; f < (int)FIGURES; f++) {
        shown[f] = f == 0;
        for (int i = 0; i < count; i++)
            shown[f] = shown[f] || !isnan(figure_of(results[i], &figures[f]));
        if (shown[f])
            columns[used++] = (struct fm_column){figures[f].key, figures[f].title, true};
    }
    columns[used++] = (struct fm_column){"epochs", "epochs", true};
    columns[used++] = (struct fm_column){"run", "run folder", false};
    return used;
}

static void append_run(struct fm_table *table, const json_t *result, const char *directory,
    bool seeds, const bool *shown)
{
    text_cell(table, fm_json_string(result, "model"));
    data_cell(table, result);
    precision_cell(table, result);
    json_t *seed = json_object_get(result, "seed");
    if (seeds)
        fm_table_cell(table, json_incref(seed), "%lld", (long long)json_integer_value(seed));
    for (int f = 0; f < (int)FIGURES; f++)
        if (shown[f])
            figure_cell(table, &figures[f], figure_of(result, &figures[f]));
    epochs_cell(table, result);
    text_cell(table, directory);
}

static void append_statistics(struct fm_table *table, const char *what, json_t *const *results,
    int count, bool deviation, const bool *shown)
{
    text_cell(table, fm_json_string(results[0], "model"));
    data_cell(table, results[0]);
    precision_cell(table, results[0]);
    text_cell(table, what);
    for (int f = 0; f < (int)FIGURES; f++) {
        struct statistics s = statistics_of(results, count, &figures[f]);
        if (shown[f])
            figure_cell(table, &figures[f], deviation ? s.deviation : s.mean);
    }
    text_cell(table, "");
    text_cell(table, "");
}

enum fm_status fm_seeds_table(
    const struct fm_seeds *seeds, json_t *const *results, struct fm_table **table)
{
    struct fm_column columns[FIGURES + 6];
    bool shown[FIGURES];
    int count = columns_of(results, seeds->count, seeds->group, columns, shown);
    FM_TRY(fm_table_create(columns, count, table));
    for (int i = 0; i < seeds->count; i++)
        append_run(*table, results[i], seeds->directories[i], seeds->group, shown);
    if (!seeds->group)
        return FM_OK;
    append_statistics(*table, "mean", results, seeds->count, false, shown);
    append_statistics(*table, "deviation", results, seeds->count, true, shown);
    return FM_OK;
}

// ---- JSON

static json_t *with_directory(const json_t *result, const char *directory)
{
    json_t *json = json_copy((json_t *)result);
    json_object_set_new(json, "run", json_string(directory));
    return json;
}

static json_t *statistics_json(json_t *const *results, int count, bool deviation)
{
    json_t *json = json_object();
    for (int f = 0; f < (int)FIGURES; f++) {
        struct statistics s = statistics_of(results, count, &figures[f]);
        double value = deviation ? s.deviation : s.mean;
        json_object_set_new(json, figures[f].key, isnan(value) ? json_null() : json_real(value));
    }
    return json;
}

json_t *fm_seeds_json(const struct fm_seeds *seeds, json_t *const *results)
{
    if (!seeds->group)
        return with_directory(results[0], seeds->directories[0]);
    json_t *runs = json_array();
    for (int i = 0; i < seeds->count; i++)
        json_array_append_new(runs, with_directory(results[i], seeds->directories[i]));
    return json_pack("{s:o, s:o, s:o}", "runs", runs, "mean",
        statistics_json(results, seeds->count, false), "deviation",
        statistics_json(results, seeds->count, true));
}

enum fm_status fm_seeds_write_summary(const char *directory, const struct fm_table *table)
{
    char path[FM_PATH_MAX];
    struct fm_text text = {0};
    FM_TRY(fm_path_join(path, directory, "summary.md"));
    enum fm_status status = fm_table_print(table, FM_FORMAT_MARKDOWN, &text);
    if (status == FM_OK && text.failed)
        status = fm_fail(FM_MEMORY, "%s: out of memory", path);
    if (status == FM_OK)
        status = fm_file_write(path, fm_text_cstr(&text), text.length);
    fm_text_free(&text);
    return status;
}
