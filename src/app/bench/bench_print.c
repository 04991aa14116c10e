// The result for people: tables of at most a screen's width, and beside every figure what it was
// measured on.
#include "app/bench/bench_job.h"

#include "base/text.h"
#include "run/json.h"

#include <math.h>
#include <stdio.h>

static const double mebibyte = 1024.0 * 1024;

enum {
    CELL_MAX = 64
};

// ---- cells

// Four significant digits, without an exponent: "0.02513", "1.234", "812.0", "12345".
static const char *digits(double value, char cell[CELL_MAX])
{
    int before = value > 0 && isfinite(value) ? (int)floor(log10(value)) + 1 : 1;
    int decimals = before >= 4 ? 0 : before > -6 ? 4 - before : 9;
    if (fabs(value) < 1e-9)
        snprintf(cell, CELL_MAX, "0");
    else if (isfinite(value))
        snprintf(cell, CELL_MAX, "%.*f", decimals, value);
    else
        snprintf(cell, CELL_MAX, "-");
    return cell;
}

static void put(struct fm_table *table, double value)
{
    char cell[CELL_MAX];
    fm_table_cell(table, isfinite(value) ? json_real(value) : NULL, "%s", digits(value, cell));
}

static void put_rate(struct fm_table *table, double per_second)
{
    char cell[32];
    if (isfinite(per_second) && per_second >= 1000)
        fm_table_cell(table, json_real(per_second), "%s",
            fm_group_digits((int64_t)llround(per_second), cell));
    else
        put(table, per_second);
}

static void put_milliseconds(struct fm_table *table, const struct fm_spread *spread)
{
    bool many = spread->count >= FM_SPREAD_P99_LEAST, some = spread->count >= FM_SPREAD_P90_LEAST;
    put(table, 1e3 * spread->p50);
    put(table, some ? 1e3 * spread->p90 : (double)NAN);
    put(table, many ? 1e3 * spread->p99 : (double)NAN);
    put(table, 1e3 * spread->mean);
    put(table, 1e3 * spread->deviation);
}

// "2.31x (2.25 to 2.40)"
static void put_gain(struct fm_table *table, const struct fm_bench_figure *figure, bool base)
{
    const struct fm_spread *gain = &figure->gain;
    if (base)
        fm_table_cell(table, NULL, "-");
    else
        fm_table_cell(table, json_real(gain->p50), "%.2fx (%.2f to %.2f)", gain->p50, gain->least,
            gain->most);
}

// ---- tables

static void head(struct fm_text *out, enum fm_format format, const char *title)
{
    fm_text_append(out, format == FM_FORMAT_MARKDOWN ? "\n### %s\n\n" : "\n%s\n\n", title);
}

static enum fm_status finish(struct fm_table *table, enum fm_format format, struct fm_text *out)
{
    enum fm_status status = fm_table_print(table, format, out);
    fm_table_free(table);
    return status;
}

static bool has_others(const struct fm_bench_result *r)
{
    int measured = 0;
    for (int i = 0; i < r->side_count; i++)
        measured += !r->sides[i].skipped[0];
    return measured > 1;
}

// As the device sees predictions where `device`.
static enum fm_status append_latency(
    const struct fm_bench_result *r, bool device, enum fm_format format, struct fm_text *out)
{
    static const struct fm_column columns[] = {
        {"batch", "batch", true},
        {"side", "side", false},
        {"runs", "runs", true},
        {"p50", "p50", true},
        {"p90", "p90", true},
        {"p99", "p99", true},
        {"mean", "mean", true},
        {"deviation", "deviation", true},
        {"images_per_second", "images/s", true},
        {"gain", "base over it", true},
    };
    const bool others = has_others(r) && !device;
    struct fm_table *table;
    FM_TRY(fm_table_create(columns, (int)(sizeof columns / sizeof columns[0]) - !others, &table));
    for (int b = 0; b < r->predicted.count; b++)
        for (int i = 0; i < r->side_count; i++) {
            const struct fm_bench_figure *figure = &r->sides[i].predictions[b];
            const struct fm_spread *spread = device ? &figure->device : &figure->host;
            if (r->sides[i].skipped[0] || spread->count == 0)
                continue;
            fm_table_cell(table, json_integer(r->predicted.sizes[b]), "%d", r->predicted.sizes[b]);
            fm_table_cell(table, json_string(r->sides[i].name), "%s", r->sides[i].name);
            fm_table_cell(table, json_integer(spread->count), "%d", spread->count);
            put_milliseconds(table, spread);
            put_rate(table, device ? figure->device_images_per_second : figure->images_per_second);
            if (others)
                put_gain(table, figure, i == 0);
        }
    head(out, format,
        device ? "Predictions as the device sees them, milliseconds a batch"
               : "Predictions as the host sees them, milliseconds a batch");
    return finish(table, format, out);
}

static enum fm_status append_training(
    const struct fm_bench_result *r, enum fm_format format, struct fm_text *out)
{
    static const struct fm_column columns[] = {
        {"batch", "batch", true},
        {"side", "side", false},
        {"rounds", "rounds", true},
        {"images_per_second", "images/s", true},
        {"least", "least", true},
        {"most", "most", true},
        {"step", "ms a step", true},
        {"device_step", "on the device", true},
        {"gain", "base over it", true},
    };
    const bool others = has_others(r);
    struct fm_table *table;
    FM_TRY(fm_table_create(columns, (int)(sizeof columns / sizeof columns[0]) - !others, &table));
    for (int b = 0; b < r->trained.count; b++)
        for (int i = 0; i < r->side_count; i++) {
            const struct fm_bench_figure *figure = &r->sides[i].training[b];
            if (r->sides[i].skipped[0] || figure->host.count == 0)
                continue;
            fm_table_cell(table, json_integer(r->trained.sizes[b]), "%d", r->trained.sizes[b]);
            fm_table_cell(table, json_string(r->sides[i].name), "%s", r->sides[i].name);
            fm_table_cell(table, json_integer(figure->rate.count), "%d", figure->rate.count);
            put_rate(table, figure->images_per_second);
            put_rate(table, figure->rate.least);
            put_rate(table, figure->rate.most);
            put(table, 1e3 * figure->host.mean);
            put(table, figure->device.count ? 1e3 * figure->device.mean : (double)NAN);
            if (others)
                put_gain(table, figure, i == 0);
        }
    head(out, format, "Training");
    return finish(table, format, out);
}

static void put_energy(struct fm_table *table, const struct fm_bench_side_result *side,
    const char *phase, int batch, const struct fm_bench_figure *figure)
{
    if (figure->host.count == 0 || !isfinite(figure->joules))
        return;
    fm_table_cell(table, json_string(phase), "%s", phase);
    fm_table_cell(table, json_integer(batch), "%d", batch);
    fm_table_cell(table, json_string(side->name), "%s", side->name);
    put(table, figure->joules);
}

static enum fm_status append_energy(
    const struct fm_bench_result *r, enum fm_format format, struct fm_text *out)
{
    static const struct fm_column columns[] = {
        {"phase", "of", false},
        {"batch", "batch", true},
        {"side", "side", false},
        {"joules", "joules for 1,000 images", true},
    };
    struct fm_table *table;
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], &table));
    for (int b = 0; b < r->predicted.count; b++)
        for (int i = 0; i < r->side_count; i++)
            if (!r->sides[i].skipped[0])
                put_energy(table, &r->sides[i], "predictions", r->predicted.sizes[b],
                    &r->sides[i].predictions[b]);
    for (int b = 0; b < r->trained.count; b++)
        for (int i = 0; i < r->side_count; i++)
            if (!r->sides[i].skipped[0])
                put_energy(
                    table, &r->sides[i], "training", r->trained.sizes[b], &r->sides[i].training[b]);
    if (fm_table_rows(table) == 0) {
        fm_table_free(table);
        return FM_OK;
    }
    head(out, format, "Energy of the whole GPU, idle or not");
    return finish(table, format, out);
}

static enum fm_status append_profile(const struct fm_bench_profile *profile, const char *title,
    enum fm_format format, struct fm_text *out)
{
    static const struct fm_column columns[] = {
        {"layer", "layer", false},
        {"pass", "pass", false},
        {"microseconds", "us", true},
        {"share", "share", true},
        {"gflops", "GFLOP/s", true},
        {"gbytes", "GB/s", true},
        {"plan", "by", false},
    };
    struct fm_table *table;
    double all = 0;
    char text[CELL_MAX];
    if (profile->batch == 0)
        return FM_OK;
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], &table));
    for (size_t i = 0; i < profile->count; i++)
        all += profile->entries[i].calls
                   ? profile->entries[i].seconds / (double)profile->entries[i].calls
                   : 0;
    for (size_t i = 0; i < profile->count; i++) {
        const struct fm_profile_entry *e = &profile->entries[i];
        double seconds = e->calls ? e->seconds / (double)e->calls : (double)NAN;
        fm_table_cell(table, json_string(e->layer), "%s", e->layer);
        fm_table_cell(table, json_string(e->pass), "%s", e->pass);
        put(table, 1e6 * seconds);
        fm_table_cell(table, NULL, "%.1f %%", 100 * seconds / all);
        put(table, seconds > 0 ? e->flops / seconds / 1e9 : (double)NAN);
        put(table, seconds > 0 ? e->bytes / seconds / 1e9 : (double)NAN);
        fm_table_cell(table, json_string(e->plan), "%s", e->plan);
    }
    snprintf(text, sizeof text, "%s, batch %d: %.3f ms in all", title, profile->batch, 1e3 * all);
    head(out, format, text);
    return finish(table, format, out);
}

// ---- lines

static void line(struct fm_text *out, enum fm_format format, const char *what)
{
    fm_text_append(out, format == FM_FORMAT_MARKDOWN ? "- %s: " : "%s: ", what);
}

static void append_start(
    const struct fm_bench_start *start, enum fm_format format, struct fm_text *out)
{
    line(out, format, "start-up");
    if (start->whole.count == 0)
        fm_text_append(out, "not measured: %s\n", start->reason);
    else
        fm_text_append(out,
            "%.3f s from the start of a process to its first prediction, the median of %d (%.3f to "
            "%.3f); of these, device %.3f, network %.3f, prediction %.3f\n",
            start->whole.p50, start->whole.count, start->whole.least, start->whole.most,
            start->device, start->network, start->first);
}

static void append_peak(struct fm_text *out, const char *what, uint64_t bytes)
{
    if (bytes > 0)
        fm_text_append(out, "%s %.0f MiB", what, ceil((double)bytes / mebibyte));
    else
        fm_text_append(out, "%s not told by the kernel", what);
}

static void append_lines(
    const struct fm_bench_result *r, enum fm_format format, struct fm_text *out)
{
    fm_text_append(out, "\n");
    append_start(&r->start, format, out);
    line(out, format, "memory at most");
    append_peak(out, "of the process, predicting", r->predict_peak);
    append_peak(out, ", training", r->train_peak);
    if (r->device_peak > 0)
        append_peak(out, "; of the device, all sides together", r->device_peak);
    fm_text_append(out, "\n");
    if (!r->clock) {
        line(out, format, "times on the device");
        fm_text_append(out, "it has no clock of its own; the host sees all of its work\n");
    }
    if (r->no_energy[0]) {
        line(out, format, "energy");
        fm_text_append(out, "not measured: %s\n", r->no_energy);
    }
    for (int i = 0; i < r->note_count; i++) {
        line(out, format, "left out");
        fm_text_append(out, "%s\n", r->notes[i]);
    }
    for (int i = 0; i < r->side_count; i++)
        if (r->sides[i].skipped[0]) {
            line(out, format, r->sides[i].name);
            fm_text_append(out, "left out: %s\n", r->sides[i].skipped);
        }
}

static void append_about(
    const struct fm_bench_result *r, enum fm_format format, struct fm_text *out)
{
    const json_t *environment = r->environment;
    const json_t *machine = json_object_get(environment, "machine");
    const json_t *device = json_object_get(environment, "device");
    char parameters[32];
    fm_text_append(out, "%s%s, %s: %s%s%s, %s parameters; images: %s; training steps: %s%s\n",
        format == FM_FORMAT_MARKDOWN ? "- " : "", r->model, r->run[0] ? r->run : "initial weights",
        r->sides[0].name, r->sides[0].emulated ? " by rounding fp32 (not its speed)" : "",
        r->tf32 ? ", products in TF32 allowed" : "",
        fm_group_digits((int64_t)r->parameters, parameters), r->images, r->step,
        r->resident ? ", images on the device" : "");
    if (r->remarks[0]) {
        line(out, format, "the run");
        fm_text_append(out, "%s\n", r->remarks);
    }
    line(out, format, "measured on");
    fm_text_append(out, "%s, %s, %s; %s, %.0f cores, %s; fmnist %s\n",
        fm_json_string(device, "name"), fm_json_string(device, "details"),
        fm_json_string(json_object_get(environment, "libraries"), "backend"),
        fm_json_string(machine, "processor"), fm_json_number(machine, "cores"),
        fm_json_string(machine, "system"),
        fm_json_string(json_object_get(environment, "build"), "version"));
}

enum fm_status fm_bench_print(
    const struct fm_bench_result *r, enum fm_format format, struct fm_text *out)
{
    append_about(r, format, out);
    FM_TRY(append_latency(r, false, format, out));
    if (r->clock)
        FM_TRY(append_latency(r, true, format, out));
    FM_TRY(append_training(r, format, out));
    FM_TRY(append_energy(r, format, out));
    FM_TRY(append_profile(&r->predict_profile, "Profile of a prediction", format, out));
    FM_TRY(append_profile(&r->train_profile, "Profile of a training step", format, out));
    append_lines(r, format, out);
    return FM_OK;
}
