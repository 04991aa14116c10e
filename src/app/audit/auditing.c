// The order of an audit: labels (planted errors in them), near duplicates, folds that keep these
// together, probabilities, what contradicts the labels; the folder's files.
#include "app/audit/auditing_parts.h"

#include "app/output.h"
#include "app/trained.h"
#include "base/clock.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "data/folds.h"
#include "run/json.h"

#include <stdlib.h>

enum fm_status fm_audit_check_interrupt(const struct fm_audit_options *options, const char *during)
{
    int signal = options->interrupted ? options->interrupted() : 0;
    if (signal == 0)
        return FM_OK;
    return fm_fail(FM_INTERRUPTED, "stopped by %s while %s", fm_signal_name(signal), during);
}

// ---- Beginning

static enum fm_status read_run(struct fm_auditing *a)
{
    struct fm_audit *audit = a->audit;
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_copy(audit->run, a->options->run));
    FM_TRY(fm_run_read_whole_config(audit->run, &audit->config));
    FM_TRY(fm_path_join(path, audit->run, "config.json"));
    FM_TRY(fm_recipe_from_json(audit->config.recipe, path, &audit->recipe));
    if (audit->classes != audit->config.data.classes)
        return fm_fail(FM_DATA,
            "%s: the data set has %d classes, the run %s was trained on %d: name its data with "
            "--data DIR (it was %s)",
            audit->dataset->directory, audit->classes, audit->run, audit->config.data.classes,
            audit->config.data.directory);
    if (!fm_trained_same_data(&audit->config, audit->dataset))
        fm_warn("the data in %s are not those that the run was trained on (%s): its recipe is used "
                "on them",
            audit->dataset->directory, audit->config.data.directory);
    if (audit->config.teaching.count > 0)
        fm_warn(
            "the run was taught by others, which may have seen any label: its folds are trained "
            "without them");
    if (fm_transfer_is_own(&audit->config.transfer))
        fm_warn("the run began with weights of fmnist's own, which may have been trained on labels "
                "that a fold holds out");
    if (audit->recipe.keep == FM_KEEP_BEST) // every image has its fold, none is left to select on
        audit->recipe.keep = FM_KEEP_LAST;
    FM_TRY(fm_recipe_check(&audit->recipe));
    return fm_trained_precision(
        a->engine, audit->run, &audit->config, &audit->precision, &audit->emulated);
}

static enum fm_status allocate(struct fm_audit *audit)
{
    size_t n = audit->count, m = (size_t)audit->classes;
    audit->labels = malloc(n);
    audit->planted = calloc(n, 1);
    audit->fold = malloc(n);
    audit->found = calloc(n, 1);
    audit->order = malloc(n * sizeof *audit->order);
    audit->probabilities = malloc(n * m * sizeof *audit->probabilities);
    audit->pairs = calloc(m * m, sizeof *audit->pairs);
    if (audit->labels && audit->planted && audit->fold && audit->found && audit->order &&
        audit->probabilities && audit->pairs)
        return FM_OK;
    return fm_fail_memory("the audit", n * m * sizeof *audit->probabilities);
}

static enum fm_status begin(struct fm_auditing *a)
{
    struct fm_audit *audit = a->audit;
    const struct fm_audit_options *options = a->options;
    audit->classes = audit->dataset->classes;
    audit->count = audit->dataset->train.count;
    audit->folds = options->folds;
    audit->seed = options->seed;
    audit->plant = options->plant;
    FM_TRY(read_run(a));
    FM_TRY(options->directory ? fm_path_copy(audit->directory, options->directory)
                              : fm_path_join(audit->directory, audit->run,
                                    options->plant > 0 ? "audit-planted" : "audit"));
    FM_TRY(allocate(audit));
    FM_TRY(fm_plant_labels(audit->dataset->train.labels, audit->count, audit->classes, audit->plant,
        audit->seed, audit->labels, audit->planted, &audit->planted_count));
    return fm_folds_make(
        audit->labels, audit->count, audit->classes, NULL, audit->folds, audit->seed, audit->fold);
}

// ---- Judging the labels

static void measure_accuracy(struct fm_audit *audit)
{
    uint32_t correct = 0;
    for (uint32_t i = 0; i < audit->count; i++) {
        const float *row = audit->probabilities + (size_t)i * (size_t)audit->classes;
        int best = 0;
        for (int j = 1; j < audit->classes; j++)
            best = row[j] > row[best] ? j : best;
        correct += best == audit->labels[i];
    }
    audit->accuracy = (double)correct / audit->count;
}

static int by_images(const void *a, const void *b)
{
    const struct fm_audit_pair *x = a, *y = b;
    if (x->images != y->images)
        return x->images > y->images ? -1 : 1;
    if (x->given != y->given)
        return x->given < y->given ? -1 : 1;
    return x->truth < y->truth ? -1 : x->truth > y->truth;
}

static void collect_pairs(struct fm_audit *audit)
{
    int m = audit->classes;
    for (int cell = 0; cell < m * m; cell++)
        audit->pairs[cell] = (struct fm_audit_pair){.given = cell / m,
            .truth = cell % m,
            .images = cell / m == cell % m ? 0 : audit->confident.joint[cell] * audit->count};
    for (uint32_t i = 0; i < audit->count; i++) {
        const float *row = audit->probabilities + (size_t)i * (size_t)m;
        if (audit->found[i])
            audit->pairs[audit->labels[i] * m + fm_confident_suggest(row, m, audit->labels[i])]
                .issues++;
        audit->issues += audit->found[i];
    }
    for (int cell = 0; cell < m * m; cell++)
        if (audit->pairs[cell].images > 0 || audit->pairs[cell].issues > 0)
            audit->pairs[audit->pair_count++] = audit->pairs[cell];
    qsort(audit->pairs, (size_t)audit->pair_count, sizeof *audit->pairs, by_images);
}

static enum fm_status judge(struct fm_audit *audit)
{
    measure_accuracy(audit);
    FM_TRY(fm_confident_count(
        audit->probabilities, audit->labels, audit->count, audit->classes, &audit->confident));
    FM_TRY(fm_confident_find(
        &audit->confident, audit->probabilities, audit->labels, FM_AUDIT_PRUNE, audit->found));
    FM_TRY(fm_confident_order(audit->probabilities, audit->labels, audit->count, audit->classes,
        FM_AUDIT_RANK, audit->order));
    collect_pairs(audit);
    return FM_OK;
}

// ---- Files

// `made`: of making the table, which is freed here.
static enum fm_status write_csv(
    const struct fm_audit *audit, const char *name, enum fm_status made, struct fm_table *table)
{
    FM_TRY(made);
    enum fm_status status = fm_output_csv(audit->directory, name, table);
    fm_table_free(table);
    return status;
}

static enum fm_status write_json(const struct fm_auditing *a, const char *path)
{
    char time[32];
    json_t *json = fm_audit_json(a->audit);
    if (!json)
        return fm_fail(
            FM_NUMERIC, "%s: not written: a figure is not finite, or out of memory", path);
    json_object_set_new(
        json, "environment", fm_run_environment(a->engine, a->options->argc, a->options->argv));
    json_object_set_new(json, "finished", json_string(fm_clock_iso8601(time)));
    enum fm_status status = fm_json_write_file(path, json);
    json_decref(json);
    return status;
}

static enum fm_status write_files(const struct fm_auditing *a)
{
    const struct fm_audit *audit = a->audit;
    char path[FM_PATH_MAX];
    struct fm_table *table = NULL;
    FM_TRY(fm_path_join(path, audit->directory, FM_AUDIT_FILE));
    FM_TRY(fm_file_remove(path)); // of the call before
    enum fm_status status = fm_audit_issues(audit, audit->count, &table);
    FM_TRY(write_csv(audit, "issues.csv", status, table));
    table = NULL;
    status = fm_audit_duplicates(audit, &table);
    FM_TRY(write_csv(audit, "duplicates.csv", status, table));
    FM_TRY(fm_audit_write_page(audit));
    return write_json(a, path);
}

static enum fm_status work(struct fm_auditing *a)
{
    FM_TRY(fm_audit_find_duplicates(a));
    FM_TRY(fm_audit_keep_together(a));
    FM_TRY(fm_audit_predict(a));
    FM_TRY(judge(a->audit));
    return write_files(a);
}

// Of an interrupted audit: how to go on.
static enum fm_status explain(const struct fm_auditing *a, enum fm_status status)
{
    if (status != FM_INTERRUPTED)
        return status;
    char *cause = fm_error_take();
    fm_fail(status, "audit: %s; the same command%s goes on from what is in %s",
        cause ? cause : "interrupted", a->options->force ? " without --force" : "",
        a->audit->directory);
    free(cause);
    return status;
}

enum fm_status fm_audit_run(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_audit_options *options, struct fm_audit *audit)
{
    struct fm_auditing a = {.engine = engine, .options = options, .audit = audit};
    int lock = -1;
    *audit = (struct fm_audit){.dataset = dataset, .split = split};
    enum fm_status status = begin(&a);
    if (status == FM_OK)
        status = fm_audit_open_folder(&a, &lock);
    if (status == FM_OK)
        status = work(&a);
    fm_run_unlock(lock);
    fm_pretrained_free(&a.weights);
    free(a.unit);
    status = explain(&a, status);
    if (status != FM_OK)
        fm_audit_free(audit);
    return status;
}

void fm_audit_free(struct fm_audit *audit)
{
    fm_near_free(&audit->near);
    fm_confident_free(&audit->confident);
    free(audit->pairs);
    free(audit->order);
    free(audit->found);
    free(audit->probabilities);
    free(audit->fold);
    free(audit->planted);
    free(audit->labels);
    fm_run_config_free(&audit->config);
    *audit = (struct fm_audit){0};
}
