// The answer of `fmnist drift` in words, tables and JSON.
#include "app/drift/drift_job.h"

#include "base/clock.h"
#include "run/json.h"

#include <math.h>

enum {
    DRIFT_FORMAT = 1,
    FURTHEST = 10 // images that JSON lists
};

// ---- Tables

static void real_cell(struct fm_table *table, double value, const char *text)
{
    fm_table_cell(table, isnan(value) ? json_null() : json_real(value), "%s", text);
}

// Three digits of what may be large or small; "-" of what there is not.
static void value_cell(struct fm_table *table, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.3g", value);
    real_cell(table, value, isnan(value) ? "-" : text);
}

// A p as people read it: "0.034", "<0.001".
static void p_cell(struct fm_table *table, double p)
{
    char text[32];
    snprintf(text, sizeof text, p < 0.0005 ? "<0.001" : "%.3f", p);
    real_cell(table, p, isnan(p) ? "-" : text);
}

// The permuted p has a least value, which is not to be read as 0.
static void corrected_cell(struct fm_table *table, double p, uint32_t permutations)
{
    char text[32];
    double least = 1 / ((double)permutations + 1);
    snprintf(text, sizeof text, p <= least * 1.0001 ? "<=%.2g" : "%.3f", p);
    real_cell(table, p, isnan(p) ? "-" : text);
}

static void effect_cell(struct fm_table *table, const struct fm_drift_test *test)
{
    char text[32];
    snprintf(
        text, sizeof text, test->kind == FM_DRIFT_SHARES ? "%.3f of 1" : "%+.2f sd", test->effect);
    real_cell(table, test->effect, text);
}

static void append_test(struct fm_table *table, const struct fm_drift *drift,
    const struct fm_drift_test *test, bool all)
{
    fm_table_cell(
        table, json_string(fm_drift_kind_keys[test->kind]), "%s", fm_drift_kind_names[test->kind]);
    fm_table_cell(table, json_string(test->name), "%s", test->name);
    value_cell(table, test->reference);
    value_cell(table, test->seen);
    effect_cell(table, test);
    value_cell(table, test->statistic);
    p_cell(table, test->p);
    if (all)
        p_cell(table, test->bonferroni);
    corrected_cell(table, test->corrected, drift->permutations);
    if (all || drift->within_permutations)
        corrected_cell(table, test->within, drift->within_permutations);
    fm_table_cell(table, json_boolean(test->drifted), "%s", test->drifted ? "drift" : "");
}

enum fm_status fm_drift_tests_table(const struct fm_drift *drift, bool all, struct fm_table **table)
{
    const struct fm_column every[] = {
        {"kind", "of", false},
        {"name", "test", false},
        {"reference", "calibration", true},
        {"images", "images", true},
        {"effect", "effect", true},
        {"statistic", "statistic", true},
        {"p", "p", true},
        {"bonferroni", "p * tests", true},
        {"corrected", "corrected p", true},
        {"within", "within classes", true},
        {"drift", "verdict", false},
    };
    struct fm_column columns[sizeof every / sizeof every[0]];
    int count = 0;
    for (size_t i = 0; i < sizeof every / sizeof every[0]; i++)
        if (all || (i != 7 && (i != 9 || drift->within_permutations)))
            columns[count++] = every[i];
    FM_TRY(fm_table_create(columns, count, table));
    for (int k = 0; k < drift->test_count; k++)
        append_test(*table, drift, &drift->tests[k], all);
    return FM_OK;
}

enum fm_status fm_drift_classes_table(const struct fm_drift_job *job, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"class", "class", false},
        {"reference", "calibration", true},
        {"images", "images", true},
    };
    const struct fm_drift *drift = &job->drift;
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], table));
    for (int k = 0; k < drift->classes; k++) {
        const char *name = job->trained.predictor.class_names[k];
        double reference = (double)drift->reference_classes[k] / drift->reference;
        double seen = (double)drift->seen_classes[k] / drift->count;
        fm_table_cell(*table, json_string(name), "%s", name);
        fm_table_cell(*table, json_real(reference), "%.1f %%", 100 * reference);
        fm_table_cell(*table, json_real(seen), "%.1f %%", 100 * seen);
    }
    return FM_OK;
}

enum fm_status fm_drift_images_table(
    const struct fm_drift_job *job, uint32_t most, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"name", "image", false},
        {"distance", "distance", true},
        {"predicted", "looks like", false},
        {"confidence", "confidence", true},
        {"furthest", "furthest in", false},
        {"deviations", "by", true},
    };
    const struct fm_drift *drift = &job->drift;
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], table));
    for (uint32_t i = 0; i < drift->count && i < most; i++) {
        const struct fm_drift_image *image = &drift->images[i];
        const char *name = job->pictures->names[image->index];
        const char *class_name = job->trained.predictor.class_names[image->predicted];
        fm_table_cell(*table, fm_json_text(name), "%s", name);
        fm_table_cell(*table, json_real(image->distance), "%.1f", image->distance);
        fm_table_cell(*table, json_string(class_name), "%s", class_name);
        fm_table_cell(*table, json_real((double)image->confidence), "%.1f %%",
            100 * (double)image->confidence);
        fm_table_cell(*table, json_string(image->furthest), "%s", image->furthest);
        fm_table_cell(*table, json_real(image->deviations), "%+.1f sd", image->deviations);
    }
    return FM_OK;
}

// ---- JSON

static json_t *kinds_json(const bool kinds[FM_DRIFT_KINDS], int count)
{
    json_t *json = json_object();
    for (int k = 0; k < count; k++)
        json_object_set_new(json, fm_drift_kind_keys[k], json_boolean(kinds[k]));
    return json;
}

// Null is what was not found and could not have been.
static json_t *within_json(const struct fm_drift *drift)
{
    if (!drift->within_permutations)
        return json_null();
    json_t *json = kinds_json(drift->within, FM_DRIFT_SHARES);
    for (int k = 0; k < FM_DRIFT_SHARES; k++)
        if (!drift->within[k] && !fm_drift_within_known(drift))
            json_object_set_new(json, fm_drift_kind_keys[k], json_null());
    return json;
}

static json_t *table_json(enum fm_status status, struct fm_table *table)
{
    json_t *json = status == FM_OK ? fm_table_json(table) : NULL;
    if (status == FM_OK)
        fm_table_free(table);
    return json;
}

static json_t *failed_json(const struct fm_pictures *pictures)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < pictures->failed; i++)
        json_array_append_new(
            list, json_pack("{s:o, s:o}", "name", fm_json_text(pictures->failed_names[i]), "error",
                      fm_json_text(pictures->errors[i])));
    return list;
}

json_t *fm_drift_json(const struct fm_drift_job *job)
{
    const struct fm_drift *drift = &job->drift;
    struct fm_table *tests = NULL, *classes = NULL, *images = NULL;
    struct fm_text verdict = {0};
    char time[32];
    enum fm_status tests_status = fm_drift_tests_table(drift, true, &tests);
    enum fm_status classes_status = fm_drift_classes_table(job, &classes);
    enum fm_status images_status = fm_drift_images_table(job, FURTHEST, &images);
    fm_drift_verdict(drift, &verdict);
    json_t *json = json_pack("{s:i, s:s, s:o, s:s, s:b, s:s, s:o, s:o, s:f, s:I, s:I, s:I, s:I, "
                             "s:o, s:o, s:o, s:o}",
        "format", DRIFT_FORMAT, "finished", fm_clock_iso8601(time), "run",
        fm_json_text(job->trained.directory), "model", job->trained.predictor.model, "drift",
        drift->drifted, "verdict", fm_text_cstr(&verdict), "kinds",
        kinds_json(drift->kinds, FM_DRIFT_KINDS), "within_classes", within_json(drift), "level",
        drift->level, "images", (json_int_t)drift->count, "reference", (json_int_t)drift->reference,
        "unreadable", (json_int_t)job->pictures->failed, "permutations",
        (json_int_t)drift->permutations, "tests", table_json(tests_status, tests), "class_shares",
        table_json(classes_status, classes), "furthest", table_json(images_status, images),
        "failed", failed_json(job->pictures));
    fm_text_free(&verdict);
    return json;
}
