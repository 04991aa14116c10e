// The pictures of a report, each as PNG and as SVG.
#include "app/report/reporting.h"

#include "report/charts/chart.h"
#include "run/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MARKED_EPOCHS = 40, // up to which a curve has a dot an epoch
    PICTURE_COLUMNS = 8,
    KINDS = 2 // of files that a picture is written to
};

// A picture's files. A run's name stands at the end of theirs, and may be that of a file itself
// ("a.svg"): so both are spelt out, and none is taken for a stem.
struct files {
    char path[KINDS][FM_PATH_MAX];
};

enum fm_status fm_report_stem(const struct fm_reporting *r, const char *kind,
    const struct fm_report_run *run, char stem[FM_PATH_MAX])
{
    char name[FM_REPORT_NAME_MAX + 64];
    snprintf(name, sizeof name, "%s%s%s", kind, run ? "-" : "", run ? run->name : "");
    return fm_path_join(stem, r->directory, name);
}

// Where a chart goes to; both its files are told in report.json.
static enum fm_status begin(const struct fm_reporting *r, const char *kind,
    const struct fm_report_run *run, struct files *files)
{
    static const char *const suffixes[KINDS] = {".png", ".svg"};
    char stem[FM_PATH_MAX];
    FM_TRY(fm_report_stem(r, kind, run, stem));
    for (int i = 0; i < KINDS; i++) {
        FM_TRY(fm_chart_path(files->path[i], stem, suffixes[i]));
        json_array_append_new(r->files, json_string(strrchr(files->path[i], '/') + 1));
    }
    return FM_OK;
}

static enum fm_status draw_lines(const struct fm_reporting *r, const char *kind,
    const struct fm_report_run *run, const struct fm_line_chart *chart)
{
    struct files files;
    FM_TRY(begin(r, kind, run, &files));
    for (int i = 0; i < KINDS; i++)
        FM_TRY(fm_chart_lines(files.path[i], chart));
    return FM_OK;
}

// ---- All runs together

static enum fm_status draw_bars(const struct fm_reporting *r)
{
    static const char *const series[3] = {"train", "selection", "test"};
    struct fm_bar_group groups[FM_REPORT_RUNS_MAX];
    struct files files;
    char title[FM_PATH_MAX + 64];
    for (int i = 0; i < r->options->run_count; i++) {
        const json_t *result = r->runs[i].result;
        groups[i] = (struct fm_bar_group){r->runs[i].name,
            {fm_json_number(result, "train_accuracy"), fm_json_number(result, "select_accuracy"),
                fm_json_number(json_object_get(result, "test"), "accuracy")}};
    }
    FM_TRY(begin(r, "accuracy", NULL, &files));
    snprintf(title, sizeof title, "Accuracy on %s", r->label);
    for (int i = 0; i < KINDS; i++)
        FM_TRY(fm_chart_bars(files.path[i], title, series, groups, r->options->run_count));
    return FM_OK;
}

static enum fm_status draw_cost(const struct fm_reporting *r, const char *kind, const char *title,
    const char *axis, double (*cost)(const json_t *result))
{
    struct fm_point points[FM_REPORT_RUNS_MAX];
    struct files files;
    for (int i = 0; i < r->options->run_count; i++) {
        const json_t *result = r->runs[i].result;
        points[i] = (struct fm_point){r->runs[i].name, cost(result),
            fm_json_number(json_object_get(result, "test"), "accuracy")};
    }
    const struct fm_point_chart chart = {.title = title,
        .subtitle = r->label,
        .x = {.label = axis, .log = true},
        .y = {.label = "test accuracy", .percent = true},
        .points = points,
        .point_count = r->options->run_count};
    FM_TRY(begin(r, kind, NULL, &files));
    for (int i = 0; i < KINDS; i++)
        FM_TRY(fm_chart_points(files.path[i], &chart));
    return FM_OK;
}

static double parameters_of(const json_t *result)
{
    return fm_json_number(result, "parameters");
}

static double latency_of(const json_t *result)
{
    return 1e3 * fm_json_number(json_object_get(result, "latency"), "p50");
}

static enum fm_status draw_coverage(const struct fm_reporting *r)
{
    struct fm_series series[FM_REPORT_RUNS_MAX];
    for (int i = 0; i < r->options->run_count; i++) {
        struct fm_report_run *run = &r->runs[i];
        series[i] = (struct fm_series){.name = run->name,
            .x = run->coverage,
            .y = run->covered_accuracy,
            .count = run->coverage_count,
            .markers = r->options->run_count > 1 ? FM_MARKERS_FEW : FM_MARKERS_NONE,
            .colour = i};
    }
    const struct fm_line_chart chart = {.title = "Accuracy of the most confident images",
        .subtitle = r->label,
        .x = {.label = "share of the test images, the most confident first", .percent = true},
        .y = {.label = "accuracy on them", .percent = true},
        .y_low = NAN,
        .y_high = NAN,
        .series = series,
        .series_count = r->options->run_count};
    return draw_lines(r, "coverage", NULL, &chart);
}

// ---- A run by itself

static bool any_number(const double *values, int count)
{
    for (int i = 0; i < count; i++)
        if (isfinite(values[i]))
            return true;
    return false;
}

// The training batches', and where there are selection images theirs.
static enum fm_status draw_curve(const struct fm_reporting *r, const struct fm_report_run *run,
    const char *kind, const struct fm_line_chart *of, const double *train, const double *select)
{
    enum fm_markers markers = run->epochs <= MARKED_EPOCHS ? FM_MARKERS_ALL : FM_MARKERS_NONE;
    const struct fm_series series[] = {
        {"training images, while trained on", run->epoch, train, run->epochs, markers, true, 0},
        {"selection images, after the epoch", run->epoch, select, run->epochs, markers, false, 1},
    };
    char title[FM_REPORT_NAME_MAX + 64];
    snprintf(title, sizeof title, "%s: %s by epoch", run->name, of->y.label);
    struct fm_line_chart chart = *of;
    chart.title = title;
    chart.x.label = "epoch";
    chart.y_low = chart.y_high = NAN;
    chart.series = series;
    chart.series_count = any_number(select, run->epochs) ? 2 : 1;
    return draw_lines(r, kind, run, &chart);
}

static enum fm_status draw_curves(const struct fm_reporting *r, const struct fm_report_run *run)
{
    struct fm_text about = {0}, losses = {0};
    const struct fm_line_chart accuracy = {
        .subtitle = r->label, .y = {.label = "accuracy", .percent = true}};
    FM_TRY(draw_curve(r, run, "curve-accuracy", &accuracy, run->accuracy, run->select_accuracy));
    fm_report_losses(run, &losses);
    fm_text_append(&about, "%s%s%s", r->label, losses.length ? ". " : "", fm_text_cstr(&losses));
    const struct fm_line_chart loss = {.subtitle = fm_text_cstr(&about), .y = {.label = "loss"}};
    enum fm_status status = draw_curve(r, run, "curve-loss", &loss, run->loss, run->select_nll);
    fm_text_free(&about);
    fm_text_free(&losses);
    return status;
}

static enum fm_status draw_metrics(const struct fm_reporting *r, const struct fm_report_run *run)
{
    struct files counts, shares, reliability;
    char title[FM_PATH_MAX + FM_REPORT_NAME_MAX + 64];
    snprintf(title, sizeof title, "%s on %s, test images", run->name, r->label);
    FM_TRY(begin(r, "confusion", run, &counts));
    FM_TRY(begin(r, "confusion-percent", run, &shares));
    FM_TRY(begin(r, "reliability", run, &reliability));
    for (int i = 0; i < KINDS; i++) {
        const struct fm_metrics *metrics = &run->metrics;
        FM_TRY(fm_chart_confusion(counts.path[i], metrics, r->class_names, title, false));
        FM_TRY(fm_chart_confusion(shares.path[i], metrics, r->class_names, title, true));
        FM_TRY(fm_chart_reliability(reliability.path[i], metrics, title));
    }
    return FM_OK;
}

// A cell with its two lines, which belong to `below`.
static struct fm_picture_cell cell_of(
    const struct fm_reporting *r, const struct fm_report_prediction *p, struct fm_text *below)
{
    const struct fm_samples *test = &r->dataset->test;
    uint8_t label = test->labels[p->image];
    fm_text_append(below, "%s, %.1f %%", r->class_names[p->predicted], 100 * (double)p->confidence);
    return (struct fm_picture_cell){test->records + (size_t)p->image * test->record_size,
        r->class_names[label], fm_text_cstr(below), p->predicted != label};
}

static enum fm_status draw_pictures(const struct fm_reporting *r, const struct fm_report_run *run,
    const char *kind, const char *what, const struct fm_report_prediction *const *shown, int count)
{
    struct fm_picture_cell cells[FM_REPORT_SHOWN_MAX];
    struct fm_text below[FM_REPORT_SHOWN_MAX] = {{0}};
    struct files files;
    char title[FM_PATH_MAX + FM_REPORT_NAME_MAX + 64];
    for (int i = 0; i < count; i++)
        cells[i] = cell_of(r, shown[i], &below[i]);
    snprintf(title, sizeof title, "%s on %s: %s (the label, and below it the prediction)",
        run->name, r->label, what);
    enum fm_status status = begin(r, kind, run, &files);
    for (int i = 0; i < KINDS && status == FM_OK; i++)
        status = fm_chart_pictures(files.path[i], title, cells, count, PICTURE_COLUMNS);
    for (int i = 0; i < count; i++)
        fm_text_free(&below[i]);
    return status;
}

enum fm_status fm_report_draw(const struct fm_reporting *r)
{
    const struct fm_report_prediction *shown[FM_REPORT_SHOWN_MAX];
    FM_TRY(draw_bars(r));
    FM_TRY(draw_cost(
        r, "accuracy-parameters", "Test accuracy against parameters", "parameters", parameters_of));
    FM_TRY(draw_cost(r, "accuracy-latency", "Test accuracy against latency",
        "latency of a single image, median, ms", latency_of));
    FM_TRY(draw_coverage(r));
    for (int i = 0; i < r->options->run_count; i++) {
        const struct fm_report_run *run = &r->runs[i];
        FM_TRY(draw_curves(r, run));
        FM_TRY(draw_metrics(r, run));
        int count = fm_report_samples(r, run, shown);
        FM_TRY(draw_pictures(r, run, "samples", "sample predictions", shown, count));
        count = fm_report_mistakes(r, run, shown);
        FM_TRY(draw_pictures(r, run, "mistakes", "the most confident mistakes", shown, count));
    }
    return FM_OK;
}
