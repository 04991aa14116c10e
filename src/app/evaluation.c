// An evaluation needs nothing but the run folder, or a weights file, and the data set: network,
// input statistics and class names are the run's, so that it means the same wherever it is
// evaluated.
#include "app/evaluation.h"

#include "app/data_label.h"
#include "app/trained.h"
#include "backend/precision.h"
#include "base/clock.h"
#include "base/log.h"
#include "eval/evaluate.h"
#include "report/charts/chart.h"
#include "run/json.h"

#include <stdio.h>
#include <string.h>

enum {
    DEFAULT_BATCH = 256,
    CONFUSED_PAIRS = 5 // most confused pairs that JSON lists
};

const char *const fm_part_names[] = {"select", "calibrate", "test", NULL};

// ---- Running

// Labels are matched by number, which means something only where the classes are the same in the
// same order. Of the run's very own data they are, whatever its names have become.
static enum fm_status check_names(const struct fm_dataset *dataset, const struct fm_evaluation *e)
{
    const struct fm_run_data *data = &e->config.data;
    int k = 0;
    while (k < data->classes && strcmp(dataset->class_names[k], data->class_names[k]) == 0)
        k++;
    if (k == data->classes)
        return FM_OK;
    struct fm_text hint = {0};
    if (data->directory[0])
        fm_text_append(&hint, " (it was %s)", data->directory);
    if (!dataset->pictures)
        fm_text_append(&hint, "; a classes.txt in the folder says what its classes are");
    enum fm_status status = fm_fail(FM_DATA,
        "%s: class %d is \"%s\", that of %s is \"%s\": its labels mean other classes; name "
        "the right data with --data DIR%s",
        dataset->directory, k, dataset->class_names[k], e->directory, data->class_names[k],
        fm_text_cstr(&hint));
    fm_text_free(&hint);
    return status;
}

static enum fm_status check_data(const struct fm_dataset *dataset, struct fm_evaluation *e)
{
    if (dataset->classes != e->config.data.classes && e->is_file)
        return fm_fail(FM_DATA,
            "%s: the data set has %d classes, the weights in %s are of %d: name their data with "
            "--data DIR",
            dataset->directory, dataset->classes, e->directory, e->config.data.classes);
    if (dataset->classes != e->config.data.classes)
        return fm_fail(FM_DATA,
            "%s: the data set has %d classes, the run %s was trained on %d: name its data with "
            "--data DIR (it was %s)",
            dataset->directory, dataset->classes, e->directory, e->config.data.classes,
            e->config.data.directory);
    if (e->config.full && e->part != FM_PART_TEST)
        return fm_fail(FM_USAGE,
            "%s: %swas trained on all training images (--full): there is no %s split", e->directory,
            e->is_file ? "says that it " : "", fm_part_names[e->part]);
    e->same_data = !e->is_file && fm_trained_same_data(&e->config, dataset);
    return e->same_data ? FM_OK : check_names(dataset, e);
}

// What is told of it, for as long as the evaluation is there.
static void take_trained(struct fm_trained *trained, struct fm_evaluation *e)
{
    e->is_file = trained->is_file;
    e->config = trained->config;
    trained->config = (struct fm_run_config){0};
    e->trained_on = trained->trained_on;
    e->precision = trained->precision;
    e->emulated = trained->emulated;
    e->parameters = trained->predictor.net.param_elements;
}

static enum fm_status draw(const struct fm_dataset *dataset, struct fm_evaluation *e)
{
    char name[64], label[FM_PATH_MAX];
    struct fm_text title = {0};
    snprintf(name, sizeof name, "confusion-%s.png", fm_part_names[e->part]);
    FM_TRY(fm_path_join(e->picture, e->directory, name));
    fm_data_label(dataset, label);
    fm_text_append(&title, "%s on %s, %s split", e->config.model, label, fm_part_names[e->part]);
    enum fm_status status = fm_chart_confusion(
        e->picture, &e->metrics, e->config.data.class_names, fm_text_cstr(&title), false);
    fm_text_free(&title);
    return status;
}

// The result is worth more than its picture, which others' runs and stores that can only be read
// have no room for.
static void try_to_draw(const struct fm_dataset *dataset, struct fm_evaluation *e)
{
    if (draw(dataset, e) == FM_OK)
        return;
    fm_warn("the picture of the confusion matrix is not drawn: %s", fm_error_message());
    fm_error_clear();
    e->picture[0] = '\0';
}

// The images of a part, among the samples that it is a part of.
static struct fm_evaluate_options part_of(
    const struct fm_dataset *dataset, const struct fm_split *split, enum fm_part part)
{
    struct fm_evaluate_options options = {.samples = &dataset->test};
    if (part == FM_PART_TEST)
        return options;
    bool select = part == FM_PART_SELECT;
    options.samples = &dataset->train;
    options.ids = select ? split->select : split->calibrate;
    options.count = select ? split->select_count : split->calibrate_count;
    return options;
}

enum fm_status fm_evaluation_run(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_evaluation_options *options,
    struct fm_evaluation *e)
{
    struct fm_trained trained;
    enum fm_status status;
    memset(e, 0, sizeof *e);
    e->part = options->part;
    FM_TRY(fm_path_copy(e->directory, options->directory));
    FM_TRY(fm_trained_open(engine, options->directory, 1, &trained)); // its model alone is used
    take_trained(&trained, e);
    FM_TRY_GOTO(status, check_data(dataset, e), out);
    if (e->same_data) // the run's picture is of the run's data
        FM_TRY_GOTO(status, fm_charts_load(), out);

    struct fm_evaluate_options images = part_of(dataset, split, options->part);
    images.classes = e->config.data.classes;
    images.batch = options->batch ? options->batch : DEFAULT_BATCH;
    images.progress = options->progress;
    images.context = options->context;
    double start = fm_clock_seconds();
    FM_TRY_GOTO(status, fm_evaluate(engine, trained.predictor.state, &images, &e->metrics), out);
    e->seconds = fm_clock_seconds() - start;
    if (e->same_data)
        try_to_draw(dataset, e);
out:
    fm_trained_close(&trained);
    if (status != FM_OK)
        fm_evaluation_free(e);
    return status;
}

void fm_evaluation_free(struct fm_evaluation *e)
{
    fm_metrics_free(&e->metrics);
    fm_run_config_free(&e->config);
}

// ---- JSON

static json_t *classes_json(const struct fm_metrics *m, char *const *names)
{
    json_t *list = json_array();
    for (int k = 0; k < m->classes; k++) {
        const struct fm_class_metrics *c = &m->per_class[k];
        json_array_append_new(
            list, json_pack("{s:s, s:I, s:I, s:f, s:f, s:f}", "name", names[k], "support",
                      (json_int_t)c->support, "predicted", (json_int_t)c->predicted, "precision",
                      c->precision, "recall", c->recall, "f1", c->f1));
    }
    return list;
}

static json_t *confusion_json(const struct fm_metrics *m)
{
    json_t *rows = json_array();
    for (int a = 0; a < m->classes; a++) {
        json_t *row = json_array();
        for (int p = 0; p < m->classes; p++)
            json_array_append_new(row,
                json_integer((json_int_t)m->confusion[(size_t)a * (size_t)m->classes + (size_t)p]));
        json_array_append_new(rows, row);
    }
    return rows;
}

static double share_of(const struct fm_metrics *m, const struct fm_confused *pair)
{
    return (double)pair->count / (double)m->per_class[pair->actual].support;
}

static json_t *confused_json(const struct fm_metrics *m, char *const *names)
{
    struct fm_confused pairs[CONFUSED_PAIRS];
    int count = fm_metrics_confused(m, pairs, CONFUSED_PAIRS);
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:I, s:f}", "actual", names[pairs[i].actual], "predicted",
                      names[pairs[i].predicted], "count", (json_int_t)pairs[i].count, "share",
                      share_of(m, &pairs[i])));
    return list;
}

json_t *fm_metrics_json(const struct fm_metrics *m, char *const *names)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:o, s:o, s:o}", "accuracy",
        m->accuracy, "nll", m->nll, "ece", m->ece, "macro_precision", m->macro_precision,
        "macro_recall", m->macro_recall, "macro_f1", m->macro_f1, "count", (json_int_t)m->count,
        "correct", (json_int_t)m->correct, "most_confused", confused_json(m, names), "classes",
        classes_json(m, names), "confusion", confusion_json(m));
}

// null of a weights file, which knows nothing of teachers and does not say which data it is of.
static json_t *known(const struct fm_evaluation *e, bool value)
{
    return e->is_file ? json_null() : json_boolean(value);
}

bool fm_evaluation_of_other_data(const struct fm_evaluation *e)
{
    return !e->is_file && !e->same_data;
}

bool fm_evaluation_knows_full(const struct fm_evaluation *e)
{
    return !e->trained_on || e->trained_on[0];
}

static json_t *full_json(const struct fm_evaluation *e)
{
    return fm_evaluation_knows_full(e) ? json_boolean(e->config.full) : json_null();
}

json_t *fm_evaluation_json(const struct fm_evaluation *e)
{
    json_t *json = json_pack("{s:o, s:s, s:s, s:o, s:o, s:s, s:b, s:I, s:o, s:f, s:o}", "run",
        fm_json_text(e->directory), "model", e->config.model, "split", fm_part_names[e->part],
        "full", full_json(e), "taught", known(e, e->config.teaching.count > 0), "precision",
        fm_precision_name(e->precision), "emulate", e->emulated, "parameters",
        (json_int_t)e->parameters, "same_data", known(e, e->same_data), "seconds", e->seconds,
        "picture", e->picture[0] ? fm_json_text(e->picture) : json_null());
    json_t *metrics = fm_metrics_json(&e->metrics, e->config.data.class_names);
    int failed = json_object_update(json, metrics);
    json_decref(metrics);
    if (failed) {
        json_decref(json);
        return NULL;
    }
    return json;
}

// ---- Tables

// Of a file it is a file's word, of data that nobody knows.
static const char *trained_on_text(const struct fm_evaluation *e)
{
    if (!fm_evaluation_knows_full(e))
        return "not known";
    if (e->is_file)
        return e->config.full ? "all training images of data not known"
                              : "training split of data not known";
    return e->config.full ? "all training images" : "training split";
}

enum fm_status fm_evaluation_summary(const struct fm_evaluation *e, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"run", "run", false},
        {"split", "split", false},
        {"full", "trained on", false},
        {"count", "images", true},
        {"accuracy", "accuracy", true},
        {"macro_precision", "precision", true},
        {"macro_recall", "recall", true},
        {"macro_f1", "F1", true},
        {"ece", "ECE", true},
        {"nll", "NLL", true},
    };
    const struct fm_metrics *m = &e->metrics;
    char digits[32];
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], table));
    fm_table_cell(*table, json_string(e->directory), "%s", e->directory);
    fm_table_cell(*table, json_string(fm_part_names[e->part]), "%s", fm_part_names[e->part]);
    fm_table_cell(*table, full_json(e), "%s%s", trained_on_text(e),
        e->config.teaching.count > 0 ? ", taught by others" : "");
    fm_table_cell(*table, json_integer((json_int_t)m->count), "%s",
        fm_group_digits((int64_t)m->count, digits));
    fm_table_cell(*table, json_real(m->accuracy), "%.2f %%", 100 * m->accuracy);
    fm_table_cell(*table, json_real(m->macro_precision), "%.4f", m->macro_precision);
    fm_table_cell(*table, json_real(m->macro_recall), "%.4f", m->macro_recall);
    fm_table_cell(*table, json_real(m->macro_f1), "%.4f", m->macro_f1);
    fm_table_cell(*table, json_real(m->ece), "%.4f", m->ece);
    fm_table_cell(*table, json_real(m->nll), "%.4f", m->nll);
    return FM_OK;
}

enum fm_status fm_evaluation_classes(const struct fm_evaluation *e, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"name", "class", false},
        {"support", "images", true},
        {"predicted", "predicted", true},
        {"precision", "precision", true},
        {"recall", "recall", true},
        {"f1", "F1", true},
    };
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], table));
    for (int k = 0; k < e->metrics.classes; k++) {
        const struct fm_class_metrics *c = &e->metrics.per_class[k];
        const char *name = e->config.data.class_names[k];
        fm_table_cell(*table, json_string(name), "%s", name);
        fm_table_cell(
            *table, json_integer((json_int_t)c->support), "%llu", (unsigned long long)c->support);
        fm_table_cell(*table, json_integer((json_int_t)c->predicted), "%llu",
            (unsigned long long)c->predicted);
        fm_table_cell(*table, json_real(c->precision), "%.4f", c->precision);
        fm_table_cell(*table, json_real(c->recall), "%.4f", c->recall);
        fm_table_cell(*table, json_real(c->f1), "%.4f", c->f1);
    }
    return FM_OK;
}

enum fm_status fm_evaluation_confusion(const struct fm_evaluation *e, struct fm_table **table)
{
    struct fm_column columns[FM_CLASSES_MAX + 1] = {{"actual", "actual \\ predicted", false}};
    int n = e->metrics.classes;
    for (int p = 0; p < n; p++)
        columns[p + 1] = (struct fm_column){
            e->config.data.class_names[p], e->config.data.class_names[p], true};
    FM_TRY(fm_table_create(columns, n + 1, table));
    for (int a = 0; a < n; a++) {
        const char *name = e->config.data.class_names[a];
        fm_table_cell(*table, json_string(name), "%s", name);
        for (int p = 0; p < n; p++) {
            uint64_t count = e->metrics.confusion[(size_t)a * (size_t)n + (size_t)p];
            fm_table_cell(
                *table, json_integer((json_int_t)count), "%llu", (unsigned long long)count);
        }
    }
    return FM_OK;
}

enum fm_status fm_evaluation_confused(
    const struct fm_evaluation *e, int pairs, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"actual", "actual", false},
        {"predicted", "taken for", false},
        {"count", "images", true},
        {"share", "share of the class", true},
    };
    enum {
        MOST = 64
    };
    struct fm_confused found[MOST];
    int count = fm_metrics_confused(&e->metrics, found, pairs < MOST ? pairs : MOST);
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], table));
    for (int i = 0; i < count; i++) {
        const char *actual = e->config.data.class_names[found[i].actual];
        const char *predicted = e->config.data.class_names[found[i].predicted];
        double share = share_of(&e->metrics, &found[i]);
        fm_table_cell(*table, json_string(actual), "%s", actual);
        fm_table_cell(*table, json_string(predicted), "%s", predicted);
        fm_table_cell(*table, json_integer((json_int_t)found[i].count), "%llu",
            (unsigned long long)found[i].count);
        fm_table_cell(*table, json_real(share), "%.1f %%", 100 * share);
    }
    return FM_OK;
}
