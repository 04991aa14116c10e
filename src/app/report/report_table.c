// The figures of a report: each one is read from a result.json, so that a page says what the run
// said when it was measured.
#include "app/report/reporting.h"

#include "app/cells.h"
#include "app/remarks.h"
#include "base/clock.h"
#include "run/json.h"

#include <math.h>
#include <string.h>

enum {
    REPORT_FORMAT = 1
};
static const double mebibyte = 1024.0 * 1024;

// A number, or "-" where the result has none.
static void figure(struct fm_table *table, double value, const char *shown)
{
    if (isfinite(value))
        fm_table_cell(table, json_real(value), "%s", shown);
    else
        fm_table_cell(table, NULL, "-");
}

static void share(struct fm_table *table, double value)
{
    char shown[32];
    snprintf(shown, sizeof shown, "%.2f %%", 100 * value);
    figure(table, value, shown);
}

static void count(struct fm_table *table, double value)
{
    char shown[32];
    if (isfinite(value))
        fm_table_cell(
            table, json_integer((json_int_t)value), "%s", fm_group_digits((int64_t)value, shown));
    else
        fm_table_cell(table, NULL, "-");
}

static void add_costs(struct fm_table *table, const json_t *result)
{
    char shown[32];
    double seconds = fm_json_number(result, "seconds");
    double rate = fm_json_number(result, "images_per_second");
    double latency = fm_json_number(json_object_get(result, "latency"), "p50");
    double memory = fm_json_number(result, "peak_memory");
    figure(table, seconds, fm_duration(isfinite(seconds) ? seconds : 0, shown));
    figure(table, rate, fm_group_digits(isfinite(rate) ? (int64_t)rate : 0, shown));
    snprintf(shown, sizeof shown, "%.2f ms", 1e3 * latency);
    figure(table, latency, shown);
    if (isfinite(memory))
        fm_table_cell(table, json_integer((json_int_t)memory), "%.0f MiB", memory / mebibyte);
    else
        fm_table_cell(table, NULL, "not measured");
}

static void add_note(struct fm_table *table, const json_t *result)
{
    struct fm_text remarks = {0};
    fm_remarks_append(result, &remarks);
    fm_remarks_append_data(result, &remarks);
    fm_text_cell(table, fm_text_cstr(&remarks));
    fm_text_free(&remarks);
}

static void add_row(struct fm_table *table, const struct fm_report_run *run, bool model, bool note)
{
    const json_t *result = run->result, *test = json_object_get(result, "test");
    double epochs = fm_json_number(result, "epochs"), ece = fm_json_number(test, "ece");
    char shown[32];
    fm_text_cell(table, run->name);
    if (model)
        fm_text_cell(table, fm_json_string(result, "model"));
    count(table, fm_json_number(result, "parameters"));
    fm_precision_cell(table, result);
    share(table, fm_json_number(result, "train_accuracy"));
    share(table, fm_json_number(result, "select_accuracy"));
    share(table, fm_json_number(test, "accuracy"));
    snprintf(shown, sizeof shown, "%.4f", ece);
    figure(table, ece, shown);
    add_costs(table, result);
    snprintf(shown, sizeof shown, "%.0f of %.0f", epochs, fm_json_number(result, "epochs_planned"));
    figure(table, epochs, shown);
    fm_text_cell(table, fm_json_string(result, "recipe"));
    count(table, fm_json_number(result, "seed"));
    if (note)
        add_note(table, result);
}

static bool named_by_models(const struct fm_reporting *r)
{
    for (int i = 0; i < r->options->run_count; i++) {
        char kind[FM_RUN_NAME_MAX];
        const struct fm_run_config *config = &r->runs[i].config;
        fm_transfer_run_name(
            config->model, config->transfer.mode, config->teaching.count > 0, kind);
        if (strcmp(r->runs[i].name, kind) != 0)
            return false;
    }
    return true;
}

enum fm_status fm_report_table(
    const struct fm_reporting *r, bool short_form, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"run", "run", false},
        {"model", "model", false},
        {"parameters", "parameters", true},
        {"precision", "precision", false},
        {"train_accuracy", "train", true},
        {"select_accuracy", "selection", true},
        {"test_accuracy", "test", true},
        {"test_ece", "ECE", true},
        {"training_seconds", "training time", true},
        {"images_per_second", "images/s", true},
        {"latency_seconds", "latency", true},
        {"peak_memory", "peak memory", true},
        {"epochs", "epochs", true},
        {"recipe", "recipe", false},
        {"seed", "seed", true},
        {"note", "note", false},
    };
    enum {
        COLUMNS = sizeof columns / sizeof columns[0]
    };
    struct fm_column shown[COLUMNS];
    bool model = !short_form || !named_by_models(r), note = !short_form;
    int used = 0;
    for (int i = 0; i < COLUMNS; i++)
        if ((model || strcmp(columns[i].key, "model") != 0) &&
            (note || strcmp(columns[i].key, "note") != 0))
            shown[used++] = columns[i];
    FM_TRY(fm_table_create(shown, used, table));
    for (int i = 0; i < r->options->run_count; i++)
        add_row(*table, &r->runs[i], model, note);
    return FM_OK;
}

static json_t *coverage_json(const struct fm_report_run *run)
{
    json_t *list = json_array();
    for (int i = 0; i < run->coverage_count; i++)
        json_array_append_new(list, json_pack("{s:f, s:f}", "coverage", run->coverage[i],
                                        "accuracy", run->covered_accuracy[i]));
    return list;
}

enum fm_status fm_report_json(const struct fm_reporting *r, json_t **json)
{
    char time[32];
    struct fm_table *table;
    FM_TRY(fm_report_table(r, false, &table));
    json_t *rows = fm_table_json(table);
    fm_table_free(table);
    for (int i = 0; rows && i < r->options->run_count; i++) {
        const struct fm_report_run *run = &r->runs[i];
        json_t *row = json_array_get(rows, (size_t)i);
        json_object_set_new(row, "directory", fm_json_text(run->directory));
        json_object_set_new(row, "here_correct", json_integer((json_int_t)run->metrics.correct));
        json_object_set_new(row, "here_count", json_integer((json_int_t)run->metrics.count));
        json_object_set_new(row, "coverage", coverage_json(run));
    }
    *json = json_pack("{s:i, s:s, s:s, s:b, s:o, s:o, s:O}", "format", REPORT_FORMAT, "finished",
        fm_clock_iso8601(time), "data", r->label, "fashion_mnist", r->dataset->fashion_mnist,
        "runs", rows, "environment",
        fm_run_environment(r->engine, r->options->argc, r->options->argv), "files", r->files);
    return *json ? FM_OK : fm_fail(FM_MEMORY, "report.json: out of memory");
}
