// The original's figures are data, quoted as it gives them; the measured ones come from result.json
// of each run. The two stand side by side and are never mixed.
#include "app/compare/claims.h"

#include "app/cells.h"
#include "run/json.h"
#include "run/run.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct claimed_model {
    const char *name;
    bool code_only; // what its code builds under this heading: shown only where measured
    const char *train, *validation, *test, *parameters, *minutes, *gap;
};

static const struct claimed_model models[] = {
    {"simple", false, "96.8 %", "91.8 %", "87.0 %", "1.2 M", "2.1 min, 15 epochs", NULL},
    {"deeper", false, "93.7 %", "91.9 %", "87.0 %", "3.8 M", "3.5 min, 15 epochs", "1.8 %"},
    {"vgg16", false, "87.7 %", "87.0 %", "87.0 %", "14.7 M", "4.8 min, 15 epochs", NULL},
    {"simple-ref", true, "96.8 %", "91.8 %", "87.0 %", "1.2 M", "2.1 min, 15 epochs", NULL},
    {"deeper-ref", true, "93.7 %", "91.9 %", "87.0 %", "3.8 M", "3.5 min, 15 epochs", "1.8 %"},
};
enum {
    MODELS = sizeof models / sizeof models[0]
};

const char *const fm_claims_notes[] = {
    "The original is the Keras notebook \"Fashion MNIST Deep Learning: CNN Architecture "
    "Comparison\". Its figures are quoted as it gives them; nothing of it was run.",
    "Its code builds 923,914 (simple) and 620,362 (deeper) parameters where it claims 1.2 M and "
    "3.8 M. simple-ref and deeper-ref are what its code builds.",
    "Its validation split is the test set, and it picks the best epoch on it. Here \"validation\" "
    "is the selection split, held out of the training images; the test images are used once, after "
    "the training.",
    "It gives 87.0 % on test three times because its loop evaluates the last model each time.",
    "Its vgg16 is an ImageNet base, frozen, fed RGB/255 instead of what its weights were trained "
    "with. Here vgg16 is such a base with --weights FILE, fed what these were trained with, and is "
    "trained from scratch without.",
    "Nothing in its code measures the minutes, the 10 ms or the 4.8x. The speed-up from mixed "
    "precision needs a GPU; 'fmnist bench RUN --versus fp32+unfused' measures it there.",
    "The labelling cost is simulated in the original; 'fmnist label RUN --evaluate' measures it.",
    NULL};

struct rows {
    const struct fm_claims_context *context;
    bool commands; // with the column of the commands
    struct fm_table *table;
};

static json_t *result_in_mode(
    const struct fm_claims_context *context, const char *model, enum fm_transfer_mode mode)
{
    for (int i = 0; i < context->result_count; i++) {
        json_t *result = context->results[i];
        if (strcmp(fm_json_string(result, "model"), model) == 0 &&
            fm_transfer_result_mode(result) == (int)mode)
            return result;
    }
    return NULL;
}

static json_t *result_of(const struct fm_claims_context *context, const char *model)
{
    json_t *frozen = result_in_mode(context, model, FM_TRANSFER_FROZEN);
    return frozen ? frozen : result_in_mode(context, model, FM_TRANSFER_SCRATCH);
}

// The original's vgg16 is an ImageNet base, frozen, that sees each image once as it is, at 32x32.
static void append_base_label(
    const struct fm_claims_context *context, const json_t *result, struct fm_text *out)
{
    enum {
        ORIGINAL_SIZE = 32
    };
    double views = fm_json_number(json_object_get(result, "transfer"), "feature_views");
    double size = fm_json_number(result, "input_size");
    if (fm_transfer_result_mode(result) == FM_TRANSFER_SCRATCH)
        fm_text_append(out, "; from scratch");
    else if (!context->weights || !context->weights[0])
        fm_text_append(out, "; frozen base of no known ImageNet weights");
    if (views > 0)
        fm_text_append(out, "; on %.0f augmented views", views);
    if (size > 0 && size != ORIGINAL_SIZE)
        fm_text_append(out, "; at %.0fx%.0f pixels", size, size);
}

// A time belongs to what measured it.
static void append_elsewhere(
    const struct fm_claims_context *context, const json_t *result, struct fm_text *out)
{
    for (int i = 0; context->elsewhere && i < context->result_count; i++)
        if (context->results[i] == result && context->elsewhere[i][0])
            fm_text_append(out, "; %s", context->elsewhere[i]);
}

// What makes the figure another thing than the claim beside it: " (from scratch; tiny)", or
// nothing.
static void append_label(
    const struct fm_claims_context *context, const json_t *result, bool time, struct fm_text *out)
{
    struct fm_text label = {0};
    if (strcmp(fm_json_string(result, "model"), FM_TRANSFER_MODEL) == 0)
        append_base_label(context, result, &label);
    if (json_is_true(json_object_get(result, "ended_early")))
        fm_text_append(&label, "; ended at epoch %.0f of %.0f", fm_json_number(result, "epochs"),
            fm_json_number(result, "epochs_planned"));
    if (context->data_label)
        fm_text_append(&label, "; %s", context->data_label);
    if (time)
        append_elsewhere(context, result, &label);
    if (label.length > 0)
        fm_text_append(out, " (%s)", label.data + 2);
    fm_text_free(&label);
}

// `measured` empty: nothing here measured it.
static void add_row(struct rows *rows, const char *subject, const char *model, const char *aim,
    const char *claim, const struct fm_text *measured)
{
    bool known = measured && measured->length > 0;
    fm_text_cell(rows->table, subject);
    fm_text_cell(rows->table, model);
    fm_text_cell(rows->table, aim);
    fm_text_cell(rows->table, claim);
    fm_text_cell(rows->table, known ? measured->data : "not measured");
    if (rows->commands)
        fm_text_cell(rows->table, known ? rows->context->command : NULL);
}

static void FM_PRINTF(3, 4) put(struct fm_text *out, double value, const char *fmt, ...)
{
    char text[128];
    va_list args;
    if (!isfinite(value))
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fm_text_append(out, "%s", text);
}

static void measure_test(json_t *result, struct fm_text *out)
{
    double share = fm_json_number(json_object_get(result, "test"), "accuracy");
    put(out, share, "%.2f %%", 100 * share);
}

static void measure_validation(json_t *result, struct fm_text *out)
{
    double share = fm_json_number(result, "select_accuracy");
    put(out, share, "%.2f %%", 100 * share);
}

static void measure_train(json_t *result, struct fm_text *out)
{
    double share = fm_json_number(result, "train_accuracy");
    put(out, share, "%.2f %%", 100 * share);
}

static void measure_gap(json_t *result, struct fm_text *out)
{
    double gap = fm_json_number(result, "gap");
    put(out, gap, "%.2f points", 100 * gap);
}

static void measure_parameters(json_t *result, struct fm_text *out)
{
    double count = fm_json_number(result, "parameters");
    char digits[32];
    if (isfinite(count))
        put(out, count, "%s", fm_group_digits((int64_t)count, digits));
}

static void measure_time(json_t *result, struct fm_text *out)
{
    double seconds = fm_json_number(result, "seconds"), epochs = fm_json_number(result, "epochs");
    double images = fm_json_number(result, "images");
    char duration[32], digits[32];
    if (isfinite(seconds) && isfinite(epochs) && isfinite(images))
        put(out, seconds, "%s, %.0f epoch%s, %s images", fm_duration(seconds, duration), epochs,
            epochs == 1 ? "" : "s", fm_group_digits((int64_t)images, digits));
}

static void measure_latency(json_t *result, struct fm_text *out)
{
    double seconds = fm_json_number(json_object_get(result, "latency"), "p50");
    put(out, seconds, "%.2f ms, batch 1, median", 1e3 * seconds);
}

static void measure_confusion(json_t *result, struct fm_text *out)
{
    json_t *test = json_object_get(result, "test");
    json_t *pair = json_array_get(json_object_get(test, "most_confused"), 0);
    const char *actual = json_string_value(json_object_get(pair, "actual"));
    const char *predicted = json_string_value(json_object_get(pair, "predicted"));
    if (actual && predicted)
        put(out, 0, "%s taken for %s", actual, predicted);
    else if (json_is_array(json_object_get(test, "most_confused")))
        put(out, 0, "none");
}

struct subject {
    const char *name, *aim, *claim; // claim NULL: each model's own
    size_t model_claim;             // its offset in struct claimed_model
    void (*measure)(json_t *result, struct fm_text *out);
    bool time;
};
#define EACH(member) NULL, offsetof(struct claimed_model, member)
static const struct subject subjects[] = {
    {"test accuracy", "above 90 %", EACH(test), measure_test, false},
    {"validation accuracy", NULL, EACH(validation), measure_validation, false},
    {"training accuracy", NULL, EACH(train), measure_train, false},
    {"train-validation gap", NULL, EACH(gap), measure_gap, false},
    {"parameters", NULL, EACH(parameters), measure_parameters, false},
    {"training time", NULL, EACH(minutes), measure_time, true},
    {"inference, one image", "under 20 ms", "under 10 ms", 0, measure_latency, true},
    {"worst confusion", NULL, "Coat against Pullover", 0, measure_confusion, false},
};

static void add_subject(struct rows *rows, const struct subject *subject)
{
    for (int i = 0; i < MODELS; i++) {
        json_t *result = result_of(rows->context, models[i].name);
        if (!result && models[i].code_only)
            continue;
        const char *claim = subject->claim;
        if (!claim)
            memcpy(&claim, (const char *)&models[i] + subject->model_claim, sizeof claim);
        struct fm_text measured = {0};
        if (result)
            subject->measure(result, &measured);
        if (measured.length > 0)
            append_label(rows->context, result, subject->time, &measured);
        add_row(rows, subject->name, models[i].name, subject->aim, claim, &measured);
        fm_text_free(&measured);
    }
}

static enum fm_status make_table(
    const struct fm_claims_context *context, bool commands, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"subject", "figure", false},
        {"model", "model", false},
        {"aim", "aimed at", false},
        {"claim", "claimed", false},
        {"measured", "measured here", false},
        {"command", "by", false},
    };
    int count = sizeof columns / sizeof columns[0];
    FM_TRY(fm_table_create(columns, commands ? count : count - 1, table));
    struct rows rows = {context, commands, *table};
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++)
        add_subject(&rows, &subjects[i]);
    add_row(&rows, "training speed-up, mixed precision", NULL, NULL, "4.8x", NULL);
    add_row(&rows, "labelling cost", NULL, NULL, "down 60-70 %, simulated", NULL);
    return FM_OK;
}

enum fm_status fm_claims_table(const struct fm_claims_context *context, struct fm_table **table)
{
    return make_table(context, true, table);
}

enum fm_status fm_claims_shown(const struct fm_claims_context *context, struct fm_table **table)
{
    return make_table(context, false, table);
}
