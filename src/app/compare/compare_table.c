// What the figures of a comparison are, and what must be said of them: every one is read from a
// result.json, so that a reused row and a new one are made of the same things.
#include "app/compare/comparing.h"

#include "app/cells.h"
#include "app/remarks.h"
#include "run/json.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NOTES_MAX = 64
};
static const double mebibyte = 1024.0 * 1024;

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

// What columns there are beside those that every table has.
struct extent {
    bool mode; // of what the model begins with
    bool flip; // of the test images and their mirror images
};

static void model_cells(struct fm_table *table, const json_t *result, bool mode)
{
    char name[FM_RUN_NAME_MAX];
    const char *model = fm_json_string(result, "model");
    int begun = fm_transfer_result_mode(result);
    fm_transfer_run_name(model, begun, false, name);
    fm_table_cell(table, json_string(model), "%s", name);
    if (mode)
        fm_text_cell(table, fm_transfer_mode_names[begun]);
}

static void add_row(struct fm_table *table, const json_t *result, struct extent extent)
{
    const json_t *test = json_object_get(result, "test");
    const json_t *data = json_object_get(result, "data");
    double seconds = fm_json_number(result, "seconds"), gap = fm_json_number(result, "gap");
    double latency = fm_json_number(json_object_get(result, "latency"), "p50");
    double memory = fm_json_number(result, "peak_memory");
    double epochs = fm_json_number(result, "epochs");
    double share = fm_json_number(result, "epoch_images") / fm_json_number(data, "train_images");
    char duration[32];
    struct fm_text remarks = {0};

    model_cells(table, result, extent.mode);
    count_cell(table, fm_json_number(result, "parameters"));
    fm_precision_cell(table, result);
    share_cell(table, fm_json_number(result, "train_accuracy"));
    count_cell(table, fm_json_number(result, "train_eval_count"));
    share_cell(table, fm_json_number(result, "select_accuracy"));
    share_cell(table, fm_json_number(test, "accuracy"));
    if (extent.flip)
        share_cell(table, fm_json_number(json_object_get(result, "test_flip"), "accuracy"));
    number_cell(table, gap, false, "%.2f points", 100 * gap);
    number_cell(
        table, seconds, false, "%s", fm_duration(isfinite(seconds) ? seconds : 0, duration));
    number_cell(table, fm_json_number(result, "images_per_second"), false, "%.0f",
        fm_json_number(result, "images_per_second"));
    number_cell(table, latency, false, "%.2f ms", 1e3 * latency);
    if (isfinite(memory))
        number_cell(table, memory, true, "%.0f MiB", memory / mebibyte);
    else
        fm_table_cell(table, NULL, "not measured");
    confused_cell(table, test);
    number_cell(
        table, epochs, true, "%.0f of %.0f", epochs, fm_json_number(result, "epochs_planned"));
    number_cell(table, share, false, "%.2f", share);
    count_cell(table, fm_json_number(result, "images"));
    fm_remarks_append(result, &remarks);
    fm_remarks_append_data(result, &remarks);
    fm_table_cell(table, json_string(fm_text_cstr(&remarks)), "%s", fm_text_cstr(&remarks));
    fm_text_free(&remarks);
}

static struct extent extent_of(json_t *const *results, int count)
{
    struct extent extent = {0};
    for (int i = 0; i < count; i++) {
        extent.mode = extent.mode || fm_transfer_result_mode(results[i]) != FM_TRANSFER_SCRATCH;
        extent.flip = extent.flip || json_object_get(results[i], "test_flip");
    }
    return extent;
}

static bool is_shown(const struct fm_column *column, struct extent extent)
{
    if (strcmp(column->key, "mode") == 0)
        return extent.mode;
    return extent.flip || strcmp(column->key, "test_flip_accuracy") != 0;
}

enum fm_status fm_compare_table(json_t *const *results, int count, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"model", "model", false},
        {"mode", "mode", false}, // where a model begins with weights
        {"parameters", "parameters", true},
        {"precision", "precision", true},
        {"train_accuracy", "train", true},
        {"train_eval_count", "train images", true},
        {"select_accuracy", "selection", true},
        {"test_accuracy", "test", true},
        {"test_flip_accuracy", "test, with mirror images", true}, // where a recipe wants it
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
    enum {
        COLUMNS = sizeof columns / sizeof columns[0]
    };
    struct fm_column shown[COLUMNS];
    struct extent extent = extent_of(results, count);
    int used = 0;
    for (int i = 0; i < COLUMNS; i++)
        if (is_shown(&columns[i], extent))
            shown[used++] = columns[i];
    FM_TRY(fm_table_create(shown, used, table));
    for (int i = 0; i < count; i++)
        add_row(*table, results[i], extent);
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

void fm_compare_tell_elsewhere(const struct fm_comparing *c, struct fm_compare_row *row)
{
    const json_t *here = c->environment, *there = json_object_get(row->result, "environment");
    double threads = fm_json_number(there, "threads");
    const char *device = fm_json_string(json_object_get(there, "device"), "name");
    const char *processor = fm_json_string(json_object_get(there, "machine"), "processor");
    bool same_threads = !isfinite(threads) || threads == fm_json_number(here, "threads");
    bool same_device = strcmp(device, fm_json_string(json_object_get(here, "device"), "name")) == 0;
    bool same_machine = strcmp(processor,
                            fm_json_string(json_object_get(here, "machine"), "processor")) == 0;
    if (!row->reused || (same_threads && same_device && same_machine))
        return;
    struct fm_text where = {0};
    if (threads > 0) // a GPU has none
        fm_text_append(&where, "with %.0f thread%s ", threads, threads > 1 ? "s" : "");
    fm_text_append(&where, "on %s", device);
    if (!same_machine && strcmp(processor, device) != 0)
        fm_text_append(&where, " beside %s", processor);
    snprintf(row->elsewhere, sizeof row->elsewhere, "%s", fm_text_cstr(&where));
    fm_text_free(&where);
}

static void add_reuse_note(const struct fm_compare_row *row, struct fm_comparison *out)
{
    bool elsewhere = row->elsewhere[0] != '\0';
    add_note(out, "%s: a run finished before, reused: %s, %s%s%s%s.", row->name, row->directory,
        fm_json_string(row->result, "finished"), elsewhere ? ", measured " : "", row->elsewhere,
        elsewhere ? ": --fresh trains and measures it here" : "");
}

static void add_row_notes(const struct fm_comparing *c, struct fm_comparison *out)
{
    for (int i = 0; i < c->options->entry_count; i++) {
        const struct fm_compare_row *row = &c->rows[i];
        struct fm_text remarks = {0};
        fm_remarks_append(row->result, &remarks);
        if (remarks.length > 0)
            add_note(out, "%s: %s.", row->name, remarks.data);
        fm_text_free(&remarks);
        if (row->reused)
            add_reuse_note(row, out);
    }
}

// What the rows that begin with weights are, beside the original's.
static void add_weights_note(const struct fm_comparing *c, struct fm_comparison *out)
{
    const json_t *transfer = NULL;
    for (int i = 0; i < c->options->entry_count && !transfer; i++)
        if (fm_transfer_result_mode(c->results[i]) != FM_TRANSFER_SCRATCH)
            transfer = json_object_get(c->results[i], "transfer");
    if (!transfer)
        return;
    add_note(out,
        FM_TRANSFER_MODEL
        "-frozen is what the original trains, a head on a frozen base; " FM_TRANSFER_MODEL
        "-finetuned, which it has not, begins with the same weights: %s, %s (SHA-256 %.16s...). "
        "Parameters are those of base and head.",
        fm_json_string(transfer, "weights"),
        c->weights.known[0] ? c->weights.known : "no file of ImageNet weights that is known here",
        fm_json_string(transfer, "sha256"));
}

enum fm_status fm_compare_notes(const struct fm_comparing *c, struct fm_comparison *out)
{
    out->notes = calloc(NOTES_MAX, sizeof *out->notes);
    if (!out->notes)
        return fm_fail_memory("the notes", NOTES_MAX * sizeof *out->notes);
    if (!c->dataset->fashion_mnist)
        add_note(out,
            "The data is %s (%u training, %u test images), not Fashion-MNIST: no figure here can "
            "be held against the original's.",
            c->dataset->directory, c->dataset->train.count, c->dataset->test.count);
    add_row_notes(c, out);
    add_weights_note(c, out);
    add_note(out, "Recipe %s, seed %llu. config.json of each run holds every value of it.",
        c->recipe, (unsigned long long)c->options->seed);
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
