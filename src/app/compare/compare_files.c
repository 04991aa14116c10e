// The folder of a comparison. It is made when there is something to put into it, so that a training
// that fails or is stopped leaves none that is empty.
#include "app/compare/comparing.h"

#include "app/compare/claims.h"
#include "app/output.h"
#include "app/report/report.h"
#include "base/clock.h"
#include "base/interrupt.h"
#include "report/charts/chart.h"
#include "run/json.h"

enum {
    COMPARISON_FORMAT = 1
};
static const double gibibyte = 1024.0 * 1024 * 1024;

static json_t *rows_json(const struct fm_comparing *c, const struct fm_table *table)
{
    json_t *rows = fm_table_json(table);
    for (int i = 0; rows && i < c->options->entry_count; i++) {
        json_t *row = json_array_get(rows, (size_t)i), *result = c->rows[i].result;
        json_object_set_new(row, "run", json_string(c->rows[i].directory));
        json_object_set_new(row, "reused", json_boolean(c->rows[i].reused));
        const char *elsewhere = c->rows[i].elsewhere;
        json_object_set_new(
            row, "measured_elsewhere", elsewhere[0] ? json_string(elsewhere) : json_null());
        json_t *test = json_object_get(result, "test");
        json_t *pair = json_array_get(json_object_get(test, "most_confused"), 0);
        json_object_set_new(row, "most_confused", pair ? json_incref(pair) : json_null());
        static const char *const copied[] = {"recipe", "seed", "input_size", "transfer", "emulate",
            "tf32", "nondeterministic", "epochs_planned", "ended_early", "finished", NULL};
        for (int k = 0; copied[k]; k++)
            json_object_set(row, copied[k], json_object_get(result, copied[k]));
    }
    return rows;
}

static json_t *strings_json(char *const *notes, int count, const char *const *more)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_string(notes[i]));
    for (int i = 0; more[i]; i++)
        json_array_append_new(list, json_string(more[i]));
    return list;
}

enum fm_status fm_compare_json(const struct fm_comparing *c, struct fm_comparison *out)
{
    char time[32];
    out->json = json_pack("{s:i, s:s, s:s, s:b, s:o, s:o, s:o, s:O}", "format", COMPARISON_FORMAT,
        "finished", fm_clock_iso8601(time), "data", c->label, "fashion_mnist",
        c->dataset->fashion_mnist, "models", rows_json(c, out->table), "claims",
        fm_table_json(out->claims), "notes",
        strings_json(out->notes, out->note_count, fm_claims_notes), "environment", c->environment);
    return out->json ? FM_OK : fm_fail(FM_MEMORY, "compare.json: out of memory");
}

static void append_machine(const json_t *environment, struct fm_text *out)
{
    const json_t *machine = json_object_get(environment, "machine");
    const json_t *device = json_object_get(environment, "device");
    const json_t *build = json_object_get(environment, "build");
    const char *key;
    json_t *value;
    fm_text_append(out, "- processor: %s, %.0f cores, %.1f GiB of memory\n",
        fm_json_string(machine, "processor"), fm_json_number(machine, "cores"),
        fm_json_number(machine, "memory") / gibibyte);
    fm_text_append(out, "- features: %s\n", fm_json_string(machine, "features"));
    fm_text_append(out, "- system: %s\n", fm_json_string(machine, "system"));
    fm_text_append(out, "- device: %s, %s\n", fm_json_string(device, "name"),
        fm_json_string(device, "details"));
    fm_text_append(out, "- fmnist %s, %s build, %s\n", fm_json_string(build, "version"),
        fm_json_string(build, "type"), fm_json_string(build, "compiler"));
    json_object_foreach(json_object_get(environment, "libraries"), key, value)
        fm_text_append(out, "- %s: %s\n", key, json_string_value(value));
}

static enum fm_status write_markdown(const struct fm_comparison *out)
{
    const json_t *environment = json_object_get(out->json, "environment");
    struct fm_text text = {0};
    fm_text_append(&text, "# Comparison on %s\n\n    %s\n\nFinished %s.\n\n",
        fm_json_string(out->json, "data"), fm_json_string(environment, "command"),
        fm_json_string(out->json, "finished"));
    enum fm_status status = fm_comparison_print(out, FM_FORMAT_MARKDOWN, &text);
    fm_text_append(&text,
        "\n![Accuracy by model](compare.png)\n\nCurves, matrices and "
        "images: [" FM_REPORT_PAGE "](" FM_REPORT_PAGE ")\n\n## Machine and versions\n\n");
    append_machine(environment, &text);
    if (status == FM_OK)
        status = fm_output_text(out->directory, "compare.md", &text);
    fm_text_free(&text);
    return status;
}

static enum fm_status draw_bars(const struct fm_comparing *c, const struct fm_comparison *out)
{
    static const char *const series[3] = {"train", "selection", "test"};
    struct fm_bar_group groups[FM_COMPARE_MAX];
    struct fm_text title = {0};
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, out->directory, "compare.png"));
    for (int i = 0; i < c->options->entry_count; i++) {
        const json_t *result = c->results[i];
        groups[i] = (struct fm_bar_group){c->rows[i].name,
            {fm_json_number(result, "train_accuracy"), fm_json_number(result, "select_accuracy"),
                fm_json_number(json_object_get(result, "test"), "accuracy")}};
    }
    fm_text_append(&title, "Accuracy on %s, recipe %s", c->label, c->recipe);
    enum fm_status status = fm_chart_bars(
        path, fm_text_cstr(&title), series, groups, c->options->entry_count);
    fm_text_free(&title);
    return status;
}

static enum fm_status tell_progress(void *context, uint32_t done, uint32_t total)
{
    const struct fm_compare_options *options = context;
    int signal = options->interrupted ? options->interrupted() : 0;
    if (signal)
        return fm_fail(FM_INTERRUPTED,
            "stopped by %s while drawing the page; all runs are finished, and the same command "
            "reuses them",
            fm_signal_name(signal));
    if (options->hooks.evaluate)
        options->hooks.evaluate(options->hooks.context, done, total);
    return FM_OK;
}

// The runs' own page, with what the comparison says beside it.
static enum fm_status write_page(const struct fm_comparing *c, const struct fm_comparison *out)
{
    const char *runs[FM_COMPARE_MAX];
    struct fm_compare_options progress = *c->options;
    for (int i = 0; i < c->options->entry_count; i++)
        runs[i] = c->rows[i].directory;
    const struct fm_report_options options = {
        .runs = runs,
        .run_count = c->options->entry_count,
        .directory = out->directory,
        .force = true, // the folder has been checked
        .argc = c->options->argc,
        .argv = c->options->argv,
        .claims = out->claims_shown,
        .notes = out->notes,
        .note_count = out->note_count,
        .progress = tell_progress,
        .context = &progress,
    };
    return fm_report_write(c->engine, c->dataset, &options, out->directory);
}

// compare.json last: its presence says that the folder is complete.
enum fm_status fm_compare_write(const struct fm_comparing *c, const struct fm_comparison *out)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_make_dirs(out->directory));
    FM_TRY(fm_path_join(path, out->directory, "compare.json"));
    FM_TRY(fm_file_remove(path)); // of a comparison that this one replaces
    FM_TRY(write_markdown(out));
    FM_TRY(fm_output_csv(out->directory, "compare.csv", out->table));
    FM_TRY(fm_output_csv(out->directory, "claims.csv", out->claims));
    FM_TRY(draw_bars(c, out));
    FM_TRY(write_page(c, out));
    return fm_json_write_file(path, out->json);
}
