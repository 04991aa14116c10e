// A comparison is made of run folders and nothing else: what is missing is trained like any other
// run, and every figure of the table is read from a result.json, so that a reused row and a new one
// are made of the same things.
#include "app/compare.h"

#include "app/claims.h"
#include "app/data_label.h"
#include "base/clock.h"
#include "report/chart.h"
#include "run/json.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    COMPARISON_FORMAT = 1,
    MODELS_MAX = 16,
    NOTES_MAX = 64,
    TERMINAL_WIDTH = 100 // notes are broken there
};
static const double mebibyte = 1024.0 * 1024;

const char *const fm_compare_models[] = {"simple", "deeper", "vgg16", NULL};

// A finished run and what it says of itself.
struct row {
    char directory[FM_PATH_MAX];
    bool reused;
    json_t *result;
};

struct comparing {
    const struct fm_engine *engine;
    const struct fm_dataset *dataset;
    const struct fm_split *split;
    const struct fm_compare_options *options;
    struct row *rows;            // [entry_count]
    json_t *results[MODELS_MAX]; // borrowed from rows
    json_t *environment;
    char label[FM_PATH_MAX]; // of the data
    bool fashion_mnist;
};

// ---- Reading a result

// What must be known to read the row rightly; empty for most.
static void append_remarks(const json_t *result, struct fm_text *out)
{
    if (strcmp(fm_json_string(result, "model"), "vgg16") == 0)
        fm_text_append(out, "from scratch, no ImageNet weights");
    if (json_is_true(json_object_get(result, "ended_early")))
        fm_text_append(out, "%sended at epoch %.0f of %.0f by --max-minutes %g",
            out->length ? "; " : "", fm_json_number(result, "epochs"),
            fm_json_number(result, "epochs_planned"), fm_json_number(result, "max_minutes"));
}

static void append_data_remark(const json_t *result, struct fm_text *out)
{
    const json_t *data = json_object_get(result, "data");
    if (!json_is_true(json_object_get(data, "fashion_mnist")))
        fm_text_append(out, "%smeasured on %s, not on Fashion-MNIST", out->length ? "; " : "",
            fm_json_string(data, "name"));
}

// ---- The table

static void FM_PRINTF(4, 5)
    number_cell(struct fm_table *table, double value, bool integer, const char *fmt, ...)
{
    char text[64] = "-";
    if (isfinite(value)) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
    }
    json_t *json = !isfinite(value) ? NULL
                   : integer        ? json_integer((json_int_t)value)
                                    : json_real(value);
    fm_table_cell(table, json, "%s", text);
}

static void share_cell(struct fm_table *table, double share)
{
    number_cell(table, share, false, "%.2f %%", 100 * share);
}

static void count_cell(struct fm_table *table, double count)
{
    char digits[32];
    number_cell(
        table, count, true, "%s", fm_group_digits(isfinite(count) ? (int64_t)count : 0, digits));
}

static void confused_cell(struct fm_table *table, const json_t *test)
{
    json_t *pair = json_array_get(json_object_get(test, "most_confused"), 0);
    if (!pair) {
        fm_table_cell(table, NULL, "-");
        return;
    }
    const char *actual = fm_json_string(pair, "actual");
    const char *predicted = fm_json_string(pair, "predicted");
    fm_table_cell(table, json_sprintf("%s as %s", actual, predicted), "%s as %s, %.1f %%", actual,
        predicted, 100 * fm_json_number(pair, "share"));
}

static void add_row(struct fm_table *table, const json_t *result)
{
    const json_t *test = json_object_get(result, "test");
    const json_t *data = json_object_get(result, "data");
    const char *model = fm_json_string(result, "model");
    double seconds = fm_json_number(result, "seconds"), gap = fm_json_number(result, "gap");
    double latency = fm_json_number(json_object_get(result, "latency"), "p50");
    double memory = fm_json_number(result, "peak_memory");
    double epochs = fm_json_number(result, "epochs");
    double share = fm_json_number(result, "epoch_images") / fm_json_number(data, "train_images");
    char duration[32];
    struct fm_text remarks = {0};

    fm_table_cell(table, json_string(model), "%s", model);
    count_cell(table, fm_json_number(result, "parameters"));
    share_cell(table, fm_json_number(result, "train_accuracy"));
    count_cell(table, fm_json_number(result, "train_eval_count"));
    share_cell(table, fm_json_number(result, "select_accuracy"));
    share_cell(table, fm_json_number(test, "accuracy"));
    number_cell(table, gap, false, "%.2f points", 100 * gap);
    number_cell(
        table, seconds, false, "%s", fm_duration(isfinite(seconds) ? seconds : 0, duration));
    number_cell(table, fm_json_number(result, "images_per_second"), false, "%.0f",
        fm_json_number(result, "images_per_second"));
    number_cell(table, latency, false, "%.2f ms", 1e3 * latency);
    number_cell(table, memory, true, "%.0f MiB", memory / mebibyte);
    confused_cell(table, test);
    number_cell(
        table, epochs, true, "%.0f of %.0f", epochs, fm_json_number(result, "epochs_planned"));
    number_cell(table, share, false, "%.2f", share);
    count_cell(table, fm_json_number(result, "images"));
    append_remarks(result, &remarks);
    append_data_remark(result, &remarks);
    fm_table_cell(table, json_string(fm_text_cstr(&remarks)), "%s", fm_text_cstr(&remarks));
    fm_text_free(&remarks);
}

enum fm_status fm_compare_table(json_t *const *results, int count, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"model", "model", false},
        {"parameters", "parameters", true},
        {"train_accuracy", "train", true},
        {"train_eval_count", "train images", true},
        {"select_accuracy", "selection", true},
        {"test_accuracy", "test", true},
        {"gap", "gap", true},
        {"training_seconds", "training time", true},
        {"images_per_second", "images/s", true},
        {"latency_seconds", "latency", true},
        {"peak_memory", "peak memory", true},
        {"most_confused", "most confused", false},
        {"epochs", "epochs", true},
        {"epoch_share", "split an epoch", true},
        {"images", "images trained", true},
        {"note", "note", false},
    };
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], table));
    for (int i = 0; i < count; i++)
        add_row(*table, results[i]);
    return FM_OK;
}

// ---- Finding and training the rows

static struct fm_job job_of(const struct fm_compare_options *options, int index)
{
    return (struct fm_job){
        .model = options->entries[index].model,
        .recipe = options->entries[index].recipe,
        .seed = options->seed,
        .precision = options->precision,
        .max_minutes = options->max_minutes,
        .root = options->root,
        .argc = options->argc,
        .argv = options->argv,
    };
}

// A run cut short answers only a question that allows no more time. `context`: the job.
static bool long_enough(const json_t *result, const void *context)
{
    double max_minutes = ((const struct fm_job *)context)->max_minutes;
    return !json_is_true(json_object_get(result, "ended_early")) ||
           (max_minutes > 0 && max_minutes <= fm_json_number(result, "max_minutes"));
}

// Sets row->result where a finished run answers; a folder that cannot be read answers nothing.
static enum fm_status find_run(const struct comparing *c, const struct fm_job *job, struct row *row)
{
    struct fm_run_config config;
    FM_TRY(fm_job_config(c->engine, c->dataset, c->split, job, &config));
    enum fm_status found = fm_run_find(
        job->root ? job->root : "runs", &config, long_enough, job, row->directory);
    fm_run_config_free(&config);
    if (found == FM_OK && fm_run_read_result(row->directory, &row->result) != FM_OK)
        fm_error_clear();
    row->reused = row->result != NULL;
    return FM_OK;
}

static enum fm_status fill_row(struct comparing *c, int index)
{
    const struct fm_compare_options *options = c->options;
    struct fm_job job = job_of(options, index);
    struct row *row = &c->rows[index];
    if (!options->fresh)
        FM_TRY(find_run(c, &job, row));
    if (options->row)
        options->row(options->row_context, index, options->entry_count, job.model,
            row->reused ? row->directory : NULL);
    if (!row->reused)
        FM_TRY(fm_job_run(
            c->engine, c->dataset, c->split, &job, &options->hooks, row->directory, &row->result));
    c->results[index] = row->result;
    return FM_OK;
}

// ---- Notes

static void FM_PRINTF(2, 3) add_note(struct fm_comparison *out, const char *fmt, ...)
{
    char *note = NULL;
    va_list args;
    va_start(args, fmt);
    if (out->note_count < NOTES_MAX && vasprintf(&note, fmt, args) >= 0)
        out->notes[out->note_count++] = note;
    va_end(args);
}

static void add_row_notes(const struct comparing *c, struct fm_comparison *out)
{
    const char *here = fm_json_string(json_object_get(c->environment, "machine"), "processor");
    for (int i = 0; i < c->options->entry_count; i++) {
        const struct row *row = &c->rows[i];
        const char *model = fm_json_string(row->result, "model");
        struct fm_text remarks = {0};
        append_remarks(row->result, &remarks);
        if (remarks.length > 0)
            add_note(out, "%s: %s.", model, remarks.data);
        fm_text_free(&remarks);
        if (!row->reused)
            continue;
        json_t *environment = json_object_get(row->result, "environment");
        const char *there = fm_json_string(json_object_get(environment, "machine"), "processor");
        bool elsewhere = strcmp(here, there) != 0;
        add_note(out, "%s: a run finished before, reused: %s, %s%s%s.", model, row->directory,
            fm_json_string(row->result, "finished"),
            elsewhere ? ", measured on another machine: " : "", elsewhere ? there : "");
    }
}

static enum fm_status make_notes(const struct comparing *c, struct fm_comparison *out)
{
    out->notes = calloc(NOTES_MAX, sizeof *out->notes);
    if (!out->notes)
        return fm_fail_memory("the notes", NOTES_MAX * sizeof *out->notes);
    if (!c->fashion_mnist)
        add_note(out,
            "The data is %s (%u training, %u test images), not Fashion-MNIST: no figure here can "
            "be held against the original's.",
            c->dataset->directory, c->dataset->train.count, c->dataset->test.count);
    add_row_notes(c, out);
    add_note(out,
        "Recipe %s, seed %llu. What options changed of it stands in the command; config.json of "
        "each "
        "run holds every value.",
        c->options->entries[0].recipe.name, (unsigned long long)c->options->seed);
    add_note(out,
        "Split: %u images to train on, %u to select on, %u kept for calibration; the %u test "
        "images are used once, after the training.",
        c->split->train_count, c->split->select_count, c->split->calibrate_count,
        c->dataset->test.count);
    add_note(out,
        "Train accuracy is that of the kept weights on so many images of the training "
        "split (train images), without augmentation. Gap: train minus selection accuracy. "
        "Split an epoch: the share of the training split that an epoch takes.");
    add_note(out,
        "Training time and images a second count the training steps, evaluation excluded. "
        "Latency: median of single images as the caller sees it. Peak memory: of the whole "
        "process while it trained.");
    return FM_OK;
}

// ---- Files

static json_t *rows_json(const struct comparing *c, const struct fm_table *table)
{
    json_t *rows = fm_table_json(table);
    for (int i = 0; rows && i < c->options->entry_count; i++) {
        json_t *row = json_array_get(rows, (size_t)i), *result = c->rows[i].result;
        json_object_set_new(row, "run", json_string(c->rows[i].directory));
        json_object_set_new(row, "reused", json_boolean(c->rows[i].reused));
        json_t *test = json_object_get(result, "test");
        json_t *pair = json_array_get(json_object_get(test, "most_confused"), 0);
        json_object_set_new(row, "most_confused", pair ? json_incref(pair) : json_null());
        static const char *const copied[] = {
            "recipe", "seed", "precision", "epochs_planned", "ended_early", "finished", NULL};
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

static enum fm_status make_json(const struct comparing *c, struct fm_comparison *out)
{
    char time[32];
    out->json = json_pack("{s:i, s:s, s:s, s:b, s:o, s:o, s:o, s:O}", "format", COMPARISON_FORMAT,
        "finished", fm_clock_iso8601(time), "data", c->label, "fashion_mnist", c->fashion_mnist,
        "models", rows_json(c, out->table), "claims", fm_table_json(out->claims), "notes",
        strings_json(out->notes, out->note_count, fm_claims_notes), "environment", c->environment);
    return out->json ? FM_OK : fm_fail_memory("compare.json", 0);
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
        fm_json_number(machine, "memory") / mebibyte / 1024);
    fm_text_append(out, "- features: %s\n", fm_json_string(machine, "features"));
    fm_text_append(out, "- system: %s\n", fm_json_string(machine, "system"));
    fm_text_append(out, "- device: %s, %s, %.0f threads\n", fm_json_string(device, "name"),
        fm_json_string(device, "details"), fm_json_number(environment, "threads"));
    fm_text_append(out, "- fmnist %s, %s build, %s\n", fm_json_string(build, "version"),
        fm_json_string(build, "type"), fm_json_string(build, "compiler"));
    json_object_foreach(json_object_get(environment, "libraries"), key, value)
        fm_text_append(out, "- %s: %s\n", key, json_string_value(value));
}

// A sentence after a bullet, broken between words at `width` columns; 0: in one line.
static void append_note(struct fm_text *text, const char *bullet, const char *note, size_t width)
{
    size_t column = strlen(bullet);
    fm_text_append(text, "%s", bullet);
    while (*note) {
        size_t word = strcspn(note, " ");
        bool first = column == strlen(bullet);
        if (!first && width > 0 && column + 1 + word > width) {
            fm_text_append(text, "\n%*s", (int)strlen(bullet), "");
            column = strlen(bullet);
        } else if (!first) {
            fm_text_append(text, " ");
            column++;
        }
        fm_text_append_bytes(text, note, word);
        column += word;
        note += word;
        note += strspn(note, " ");
    }
    fm_text_append(text, "\n");
}

static void append_notes(
    const struct fm_comparison *out, const char *bullet, size_t width, struct fm_text *text)
{
    for (int i = 0; i < out->note_count; i++)
        append_note(text, bullet, out->notes[i], width);
}

static void append_claims_notes(const char *bullet, size_t width, struct fm_text *text)
{
    for (int i = 0; fm_claims_notes[i]; i++)
        append_note(text, bullet, fm_claims_notes[i], width);
}

static enum fm_status append_markdown(const struct fm_comparison *out, struct fm_text *text)
{
    FM_TRY(fm_table_print(out->table, FM_FORMAT_MARKDOWN, text));
    fm_text_append(text, "\n");
    append_notes(out, "- ", 0, text);
    fm_text_append(text, "\n## What the original claims\n\n");
    FM_TRY(fm_table_print(out->claims, FM_FORMAT_MARKDOWN, text));
    fm_text_append(text, "\n");
    append_claims_notes("- ", 0, text);
    return FM_OK;
}

static enum fm_status write_text(
    const struct fm_comparison *out, const char *name, const struct fm_text *text)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, out->directory, name));
    if (text->failed)
        return fm_fail_memory(path, 0);
    return fm_file_write(path, fm_text_cstr(text), text->length);
}

static enum fm_status write_markdown(const struct fm_comparison *out)
{
    const json_t *environment = json_object_get(out->json, "environment");
    struct fm_text text = {0};
    fm_text_append(&text, "# Comparison on %s\n\n    %s\n\nFinished %s.\n\n",
        fm_json_string(out->json, "data"), fm_json_string(environment, "command"),
        fm_json_string(out->json, "finished"));
    enum fm_status status = append_markdown(out, &text);
    fm_text_append(&text, "\n![Accuracy by model](compare.png)\n\n## Machine and versions\n\n");
    append_machine(environment, &text);
    if (status == FM_OK)
        status = write_text(out, "compare.md", &text);
    fm_text_free(&text);
    return status;
}

static enum fm_status write_csv(
    const struct fm_comparison *out, const char *name, const struct fm_table *table)
{
    struct fm_text text = {0};
    enum fm_status status = fm_table_print(table, FM_FORMAT_CSV, &text);
    if (status == FM_OK)
        status = write_text(out, name, &text);
    fm_text_free(&text);
    return status;
}

static enum fm_status draw_bars(const struct comparing *c, const struct fm_comparison *out)
{
    static const char *const series[3] = {"train", "selection", "test"};
    struct fm_bar_group groups[MODELS_MAX];
    struct fm_text title = {0};
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, out->directory, "compare.png"));
    for (int i = 0; i < c->options->entry_count; i++) {
        const json_t *result = c->results[i];
        groups[i] = (struct fm_bar_group){fm_json_string(result, "model"),
            {fm_json_number(result, "train_accuracy"), fm_json_number(result, "select_accuracy"),
                fm_json_number(json_object_get(result, "test"), "accuracy")}};
    }
    fm_text_append(
        &title, "Accuracy on %s, recipe %s", c->label, c->options->entries[0].recipe.name);
    enum fm_status status = fm_chart_bars(
        path, fm_text_cstr(&title), series, groups, c->options->entry_count);
    fm_text_free(&title);
    return status;
}

// compare.json last: its presence says that the folder is complete.
static enum fm_status write_files(const struct comparing *c, const struct fm_comparison *out)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, out->directory, "compare.json"));
    if (unlink(path) != 0 && errno != ENOENT) // of a comparison that this one replaces
        return fm_fail(FM_IO, "%s: cannot remove: %s", path, strerror(errno));
    FM_TRY(write_markdown(out));
    FM_TRY(write_csv(out, "compare.csv", out->table));
    FM_TRY(write_csv(out, "claims.csv", out->claims));
    FM_TRY(draw_bars(c, out));
    return fm_json_write_file(path, out->json);
}

// ---- The whole

static enum fm_status check_options(const struct fm_compare_options *options)
{
    if (options->entry_count < 1 || options->entry_count > MODELS_MAX)
        return fm_fail(FM_USAGE, "a comparison of %d models: expected 1 to %d",
            options->entry_count, MODELS_MAX);
    for (int i = 0; i < options->entry_count; i++) {
        const struct fm_compare_entry *entry = &options->entries[i];
        for (int k = 0; k < i; k++)
            if (strcmp(entry->model, options->entries[k].model) == 0)
                return fm_fail(FM_USAGE, "model '%s' is named twice", entry->model);
        enum fm_status status = fm_recipe_check(&entry->recipe);
        if (status != FM_OK)
            return fm_context(status, "%s", entry->model);
    }
    return FM_OK;
}

// Made before anything is trained, so that a folder that cannot be written costs no training.
static enum fm_status make_directory(
    const struct fm_compare_options *options, char out[FM_PATH_MAX])
{
    char stamp[32], name[64], path[FM_PATH_MAX];
    if (options->directory) {
        FM_TRY(fm_path_copy(out, options->directory));
    } else {
        snprintf(name, sizeof name, "compare-%s", fm_clock_stamp(stamp));
        FM_TRY(fm_path_join(out, options->root ? options->root : "runs", name));
    }
    FM_TRY(fm_path_join(path, out, "compare.json"));
    if (fm_path_exists(path) && !options->force)
        return fm_fail(FM_EXISTS,
            "%s: holds a comparison already; --force replaces it, --out DIR takes another folder",
            out);
    return fm_make_dirs(out);
}

static enum fm_status build(struct comparing *c, struct fm_comparison *out)
{
    int count = c->options->entry_count;
    c->environment = fm_run_environment(c->engine, c->options->argc, c->options->argv);
    struct fm_claims_context claims = {
        .results = c->results,
        .result_count = count,
        .data_label = c->fashion_mnist ? NULL : c->label,
        .command = fm_json_string(
            c->environment, "command"), // this very one: options change figures
    };
    FM_TRY(fm_compare_table(c->results, count, &out->table));
    FM_TRY(fm_table_transpose(out->table, "note", &out->tall));
    FM_TRY(fm_claims_table(&claims, &out->claims));
    FM_TRY(make_notes(c, out));
    FM_TRY(make_json(c, out));
    return write_files(c, out);
}

enum fm_status fm_compare(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_compare_options *options,
    struct fm_comparison *out)
{
    struct comparing c = {.engine = engine,
        .dataset = dataset,
        .split = split,
        .options = options,
        .fashion_mnist = fm_is_fashion_mnist(dataset)};
    enum fm_status status;
    memset(out, 0, sizeof *out);
    FM_TRY(check_options(options));
    FM_TRY(make_directory(options, out->directory));
    fm_data_label(dataset, c.label);
    c.rows = calloc((size_t)options->entry_count, sizeof *c.rows);
    if (!c.rows)
        return fm_fail_memory("the rows", (size_t)options->entry_count * sizeof *c.rows);
    for (int i = 0; i < options->entry_count; i++)
        FM_TRY_GOTO(status, fill_row(&c, i), out);
    FM_TRY_GOTO(status, build(&c, out), out);
out:
    json_decref(c.environment);
    for (int i = 0; i < options->entry_count; i++)
        json_decref(c.rows[i].result);
    free(c.rows);
    if (status != FM_OK)
        fm_comparison_free(out);
    return status;
}

void fm_comparison_free(struct fm_comparison *comparison)
{
    fm_table_free(comparison->table);
    fm_table_free(comparison->tall);
    fm_table_free(comparison->claims);
    for (int i = 0; i < comparison->note_count; i++)
        free(comparison->notes[i]);
    free(comparison->notes);
    json_decref(comparison->json);
    *comparison = (struct fm_comparison){0};
}

static enum fm_status print_text(const struct fm_comparison *comparison, struct fm_text *out)
{
    FM_TRY(fm_table_print(comparison->tall, FM_FORMAT_TEXT, out));
    fm_text_append(out, "\n");
    append_notes(comparison, "* ", TERMINAL_WIDTH, out);
    fm_text_append(out, "\nWhat the original claims\n\n");
    FM_TRY(fm_table_print(comparison->claims, FM_FORMAT_TEXT, out));
    fm_text_append(out, "\n");
    append_claims_notes("* ", TERMINAL_WIDTH, out);
    return FM_OK;
}

enum fm_status fm_comparison_print(
    const struct fm_comparison *comparison, enum fm_format format, struct fm_text *out)
{
    switch (format) {
    case FM_FORMAT_TEXT:
        return print_text(comparison, out);
    case FM_FORMAT_MARKDOWN:
        return append_markdown(comparison, out);
    case FM_FORMAT_CSV:
        return fm_table_print(comparison->table, FM_FORMAT_CSV, out);
    case FM_FORMAT_JSON:
        break;
    }
    fm_json_dump(comparison->json, JSON_INDENT(2), out);
    fm_text_append(out, "\n");
    return out->failed ? fm_fail(FM_MEMORY, "the comparison as JSON: out of memory") : FM_OK;
}
