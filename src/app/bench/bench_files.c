// The folder of a measurement: the same figures for people, for programs and as charts.
#include "app/bench/bench_job.h"

#include "app/output.h"
#include "report/charts/chart.h"
#include "run/json.h"

#include <math.h>
#include <stdio.h>

// bench.json last: its presence says that the folder is complete.
static const char *const names[] = {"bench.md", "bench.csv", "latency.png", "latency.svg",
    "throughput.png", "throughput.svg", "bench.json", NULL};

enum fm_status fm_bench_check_folder(const char *directory, bool force)
{
    FM_TRY(fm_charts_load());
    return fm_output_check(directory, names, force);
}

static enum fm_status write_markdown(const struct fm_bench_result *r, const char *directory)
{
    struct fm_text text = {0};
    fm_text_append(&text, "# What %s costs\n\n    %s\n\n", r->model,
        fm_json_string(r->environment, "command"));
    enum fm_status status = fm_bench_print(r, FM_FORMAT_MARKDOWN, &text);
    fm_text_append(&text, "\n![Latency by batch](latency.png)\n\n"
                          "![Images a second by batch](throughput.png)\n");
    if (status == FM_OK)
        status = fm_output_text(directory, "bench.md", &text);
    fm_text_free(&text);
    return status;
}

static enum fm_status write_csv(const struct fm_bench_result *r, const char *directory)
{
    struct fm_table *table;
    FM_TRY(fm_bench_values(r, &table));
    enum fm_status status = fm_output_csv(directory, "bench.csv", table);
    fm_table_free(table);
    return status;
}

// ---- charts

enum {
    LINES_A_SIDE = 2,
    LINES_MAX = LINES_A_SIDE * (FM_BENCH_VERSUS_MAX + 1)
};

// The lines of a chart, with what they point to.
struct lines {
    double x[FM_BENCH_BATCHES_MAX], y[LINES_MAX][FM_BENCH_BATCHES_MAX];
    char names[LINES_MAX][64];
    struct fm_series series[LINES_MAX];
    int count;
};

static double latency_p50(const struct fm_bench_figure *f)
{
    return 1e3 * f->host.p50;
}

static double latency_p99(const struct fm_bench_figure *f)
{
    return f->host.count < FM_SPREAD_P99_LEAST ? (double)NAN : 1e3 * f->host.p99;
}

static double latency_device(const struct fm_bench_figure *f)
{
    return f->device.count ? 1e3 * f->device.p50 : (double)NAN;
}

static double throughput(const struct fm_bench_figure *f)
{
    return f->images_per_second;
}

static double throughput_device(const struct fm_bench_figure *f)
{
    return f->device_images_per_second;
}

// A line of each side; dashed ones go with the plain ones of the same colour.
static void add_lines(struct lines *lines, const struct fm_bench_result *r, const char *what,
    bool dashed, double (*value)(const struct fm_bench_figure *figure))
{
    int colour = 0;
    for (int i = 0; i < r->side_count; i++) {
        if (r->sides[i].skipped[0])
            continue;
        int at = lines->count++;
        for (int b = 0; b < r->predicted.count; b++) {
            lines->x[b] = r->predicted.sizes[b];
            const struct fm_bench_figure *figure = &r->sides[i].predictions[b];
            lines->y[at][b] = figure->host.count ? value(figure) : (double)NAN;
        }
        snprintf(lines->names[at], sizeof lines->names[at], "%s%s", r->sides[i].name, what);
        lines->series[at] = (struct fm_series){.name = lines->names[at],
            .x = lines->x,
            .y = lines->y[at],
            .count = r->predicted.count,
            .markers = dashed ? FM_MARKERS_FEW : FM_MARKERS_ALL,
            .dashed = dashed,
            .colour = colour++};
    }
}

static enum fm_status draw(const struct fm_bench_result *r, const char *directory, const char *name,
    const struct lines *lines, const char *title, const char *label)
{
    char path[FM_PATH_MAX];
    struct fm_text about = {0};
    fm_text_append(&about, "%s, %s", r->model,
        fm_json_string(json_object_get(r->environment, "device"), "name"));
    const struct fm_line_chart chart = {.title = title,
        .subtitle = fm_text_cstr(&about),
        .x = {.label = "images in a batch", .log = true},
        .y = {.label = label, .log = true},
        .y_low = NAN,
        .y_high = NAN,
        .series = lines->series,
        .series_count = lines->count};
    enum fm_status status = fm_path_join(path, directory, name);
    if (status == FM_OK)
        status = fm_chart_lines(path, &chart); // both kinds of file
    fm_text_free(&about);
    return status;
}

static enum fm_status draw_charts(const struct fm_bench_result *r, const char *directory)
{
    struct lines latency = {0}, rates = {0};
    add_lines(&latency, r, ", p50", false, latency_p50);
    if (r->clock)
        add_lines(&latency, r, ", p50 on the device", true, latency_device);
    else
        add_lines(&latency, r, ", p99", true, latency_p99);
    FM_TRY(draw(r, directory, "latency", &latency, "Latency of a prediction", "milliseconds"));
    add_lines(&rates, r, "", false, throughput);
    if (r->clock)
        add_lines(&rates, r, ", on the device", true, throughput_device);
    return draw(r, directory, "throughput", &rates, "Throughput of predictions", "images a second");
}

enum fm_status fm_bench_write(const struct fm_bench_result *r, const char *directory)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_make_dirs(directory));
    FM_TRY(fm_path_join(path, directory, "bench.json"));
    FM_TRY(fm_file_remove(path)); // of a measurement that this one replaces
    FM_TRY(write_markdown(r, directory));
    FM_TRY(write_csv(r, directory));
    FM_TRY(draw_charts(r, directory));
    json_t *json = fm_bench_json(r);
    if (!json)
        return fm_fail(FM_MEMORY, "%s: out of memory", path);
    enum fm_status status = fm_json_write_file(path, json);
    json_decref(json);
    return status;
}
