// What `fmnist train` tells at its end: a row for each result, and what the seeds have in common.
#include "app/train/train_table.h"

#include "app/cells.h"
#include "app/remarks.h"
#include "run/json.h"
#include "run/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHORT_MAX = 32
};

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

// `spread`: a deviation, which of a share is told in points.
static void figure_cell(
    struct fm_table *table, const struct figure *figure, double value, bool spread)
{
    char time[SHORT_MAX];
    if (isnan(value))
        fm_table_cell(table, json_null(), "-");
    else if (figure->seconds)
        fm_table_cell(table, json_real(value), "%s", fm_duration(value, time));
    else
        fm_table_cell(table, json_real(value), spread ? "%.2f points" : "%.2f %%", 100 * value);
}

static void integer_cell(struct fm_table *table, json_t *value)
{
    fm_table_cell(table, json_incref(value), "%lld", (long long)json_integer_value(value));
}

static void images_cell(struct fm_table *table, json_t *count)
{
    char digits[SHORT_MAX];
    fm_group_digits(json_integer_value(count), digits);
    fm_table_cell(
        table, json_incref(count), "%s image%s", digits, json_integer_value(count) == 1 ? "" : "s");
}

// What was trained on, as far as it is not what the name says.
static void data_cell(struct fm_table *table, const json_t *result)
{
    const json_t *data = json_object_get(result, "data");
    struct fm_text text = {0};
    char images[SHORT_MAX];
    fm_group_digits(json_integer_value(json_object_get(data, "train_images")), images);
    fm_text_append(&text, "%s", fm_json_string(data, "name"));
    if (json_is_true(json_object_get(data, "full")))
        fm_text_append(&text, ", all %s training images", images);
    fm_text_cell(table, fm_text_cstr(&text));
    fm_text_free(&text);
}

// "frozen base (torchvision)": what the run began with, and what became of it.
static void transfer_cell(struct fm_table *table, const json_t *result)
{
    const json_t *transfer = json_object_get(result, "transfer");
    struct fm_text text = {0};
    if (json_is_object(transfer)) {
        bool frozen = fm_transfer_result_mode(result) == FM_TRANSFER_FROZEN;
        fm_text_append(&text, "%s (%s)", frozen ? "frozen base" : "fine-tuned base",
            fm_json_string(transfer, "source"));
    }
    fm_text_cell(table, fm_text_cstr(&text));
    fm_text_free(&text);
}

static void teaching_cell(struct fm_table *table, const json_t *result)
{
    struct fm_text text = {0};
    fm_remarks_append_teaching(result, &text);
    fm_text_cell(table, fm_text_cstr(&text));
    fm_text_free(&text);
}

// Seconds that the features of a frozen base took: not in the training time.
static void features_cell(struct fm_table *table, const json_t *result)
{
    char time[SHORT_MAX];
    const json_t *transfer = json_object_get(result, "transfer");
    double seconds = fm_json_number(transfer, "feature_seconds");
    if (isnan(seconds))
        fm_table_cell(table, json_null(), "-");
    else if (fm_json_number(transfer, "features_computed") > 0)
        fm_table_cell(table, json_real(seconds), "%s", fm_duration(seconds, time));
    else
        fm_table_cell(table, json_real(seconds), "kept");
}

// Which columns the table has.
struct shape {
    bool seeds;          // several runs: the seed of each
    bool begun;          // one began with weights of others: which, and what became of them
    bool taught;         // one was taught by others
    bool features;       // one has a frozen base: the time that its features took
    bool few;            // one was chosen on few images: how many
    bool planned;        // --max-minutes ended one: the epochs that there were to be
    bool shown[FIGURES]; // those that any result has, and the test accuracy
};

static struct shape shape_of(const struct fm_seeds *seeds, json_t *const *results)
{
    struct shape shape = {.seeds = seeds->group, .shown = {true}};
    for (int i = 0; i < seeds->count; i++) {
        const json_t *transfer = json_object_get(results[i], "transfer");
        shape.begun = shape.begun || json_is_object(transfer);
        shape.taught = shape.taught || json_is_object(json_object_get(results[i], "teaching"));
        shape.features = shape.features || json_object_get(transfer, "feature_seconds");
        shape.few = shape.few || fm_remarks_chosen_by_few(results[i]);
        shape.planned = shape.planned || json_is_true(json_object_get(results[i], "ended_early"));
        for (int f = 0; f < (int)FIGURES; f++)
            shape.shown[f] = shape.shown[f] || !isnan(figure_of(results[i], &figures[f]));
    }
    return shape;
}

enum {
    COLUMNS_MAX = FIGURES + 12
};

static int columns_of(const struct shape *shape, struct fm_column columns[COLUMNS_MAX])
{
    int used = 0;
    columns[used++] = (struct fm_column){"model", "model", false};
    if (shape->begun)
        columns[used++] = (struct fm_column){"transfer", "begun with", false};
    if (shape->taught)
        columns[used++] = (struct fm_column){"teaching", "taught by", false};
    columns[used++] = (struct fm_column){"data", "data", false};
    columns[used++] = (struct fm_column){"precision", "precision", false};
    if (shape->seeds)
        columns[used++] = (struct fm_column){"seed", "seed", true};
    for (int f = 0; f < (int)FIGURES; f++)
        if (shape->shown[f])
            columns[used++] = (struct fm_column){figures[f].key, figures[f].title, true};
    if (shape->features)
        columns[used++] = (struct fm_column){"feature_seconds", "features", true};
    columns[used++] = (struct fm_column){"epochs", "epochs", true};
    if (shape->planned)
        columns[used++] = (struct fm_column){"epochs_planned", "planned", true};
    columns[used++] = (struct fm_column){"kept_epoch", "kept", true};
    if (shape->few)
        columns[used++] = (struct fm_column){"select_images", "chosen on", true};
    columns[used++] = (struct fm_column){"run", "run folder", false};
    return used;
}

static void append_run(
    struct fm_table *table, const json_t *result, const char *directory, const struct shape *shape)
{
    fm_text_cell(table, fm_json_string(result, "model"));
    if (shape->begun)
        transfer_cell(table, result);
    if (shape->taught)
        teaching_cell(table, result);
    data_cell(table, result);
    fm_precision_cell(table, result);
    json_t *seed = json_object_get(result, "seed");
    if (shape->seeds)
        fm_table_cell(table, json_incref(seed), "%lld", (long long)json_integer_value(seed));
    for (int f = 0; f < (int)FIGURES; f++)
        if (shape->shown[f])
            figure_cell(table, &figures[f], figure_of(result, &figures[f]), false);
    if (shape->features)
        features_cell(table, result);
    integer_cell(table, json_object_get(result, "epochs"));
    if (shape->planned)
        integer_cell(table, json_object_get(result, "epochs_planned"));
    integer_cell(table, json_object_get(result, "kept_epoch"));
    if (shape->few)
        images_cell(table, json_object_get(json_object_get(result, "data"), "select_images"));
    fm_text_cell(table, directory);
}

static void append_statistics(struct fm_table *table, json_t *const *results, int count,
    bool deviation, const struct shape *shape)
{
    fm_text_cell(table, fm_json_string(results[0], "model"));
    if (shape->begun)
        transfer_cell(table, results[0]);
    if (shape->taught)
        teaching_cell(table, results[0]);
    data_cell(table, results[0]);
    fm_precision_cell(table, results[0]);
    fm_text_cell(table, deviation ? "deviation" : "mean");
    for (int f = 0; f < (int)FIGURES; f++) {
        struct statistics s = statistics_of(results, count, &figures[f]);
        if (shape->shown[f])
            figure_cell(table, &figures[f], deviation ? s.deviation : s.mean, deviation);
    }
    if (shape->features)
        fm_text_cell(table, "");
    fm_text_cell(table, "");
    for (int i = 0; i < shape->planned + 1 + shape->few; i++)
        fm_text_cell(table, "");
    fm_text_cell(table, "");
}

enum fm_status fm_train_table(
    const struct fm_seeds *seeds, json_t *const *results, struct fm_table **table)
{
    struct fm_column columns[COLUMNS_MAX];
    struct shape shape = shape_of(seeds, results);
    FM_TRY(fm_table_create(columns, columns_of(&shape, columns), table));
    for (int i = 0; i < seeds->count; i++)
        append_run(*table, results[i], seeds->directories[i], &shape);
    if (!seeds->group)
        return FM_OK;
    append_statistics(*table, results, seeds->count, false, &shape);
    append_statistics(*table, results, seeds->count, true, &shape);
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

json_t *fm_train_json(const struct fm_seeds *seeds, json_t *const *results)
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

// The same text is not written again, so that a folder that may only be read can be told of.
static enum fm_status write_if_new(const char *path, const struct fm_text *text)
{
    unsigned char *there = NULL;
    size_t size = 0;
    bool same = fm_path_exists(path) && fm_file_read(path, &there, &size) == FM_OK &&
                size == text->length && memcmp(there, text->data, size) == 0;
    free(there);
    fm_error_clear();
    return same ? FM_OK : fm_file_write(path, fm_text_cstr(text), text->length);
}

enum fm_status fm_train_write_summary(const struct fm_seeds *seeds, const struct fm_table *table)
{
    char path[FM_PATH_MAX];
    struct fm_text text = {0};
    FM_TRY(fm_path_join(path, seeds->directory, FM_SEEDS_SUMMARY));
    enum fm_status status = fm_table_print(table, FM_FORMAT_MARKDOWN, &text);
    if (status == FM_OK)
        status = write_if_new(path, &text);
    fm_text_free(&text);
    return status;
}
