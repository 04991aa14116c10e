// A comparison is made of run folders and nothing else: what is missing is trained like any other
// run, and what there is, finished or begun, is found again.
#include "app/compare/comparing.h"

#include "app/compare/claims.h"
#include "app/data_label.h"
#include "app/train/tensorboard.h"
#include "base/clock.h"
#include "report/charts/chart.h"
#include "run/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const fm_compare_models[] = {"simple", "deeper", "vgg16", NULL};

// ---- Finding and training the rows

static struct fm_job job_of(const struct fm_comparing *c, int index)
{
    const struct fm_compare_options *options = c->options;
    struct fm_job job = {
        .model = options->entries[index].model,
        .recipe = options->entries[index].recipe,
        .named = options->entries[index].named,
        .seed = options->seed,
        .precision = options->precision,
        .emulate = options->emulate,
        .resident = options->resident,
        .checkpoint_seconds = options->checkpoint_seconds,
        .interrupted = options->interrupted,
        .tensorboard = options->tensorboard,
        .input_size = options->entries[index].input_size,
        .transfer = options->entries[index].transfer,
        .feature_cache = options->feature_cache,
        .feature_cache_named = options->feature_cache_named,
        .data = options->data,
        .max_minutes = options->max_minutes,
        .root = options->root,
        .argc = options->argc,
        .argv = options->argv,
    };
    if (job.transfer.mode != FM_TRANSFER_SCRATCH) { // which spares each row reading the file for it
        snprintf(job.transfer.sha256, sizeof job.transfer.sha256, "%s", c->weights.sha256);
        snprintf(job.transfer.source, sizeof job.transfer.source, "%s", c->weights.source);
        snprintf(
            job.transfer.trained_on, sizeof job.transfer.trained_on, "%s", c->weights.trained_on);
        snprintf(job.transfer.known, sizeof job.transfer.known, "%s", c->weights.known);
    }
    return job;
}

// A run cut short answers only a question that allows no more time. `context`: the job.
static bool long_enough(const json_t *result, const void *context)
{
    double max_minutes = ((const struct fm_job *)context)->max_minutes;
    return !json_is_true(json_object_get(result, "ended_early")) ||
           (max_minutes > 0 && max_minutes <= fm_json_number(result, "max_minutes"));
}

// Sets row->result where a finished run answers; a folder that cannot be read answers nothing.
// Where none does, the folder of an unfinished one of the same configuration.
static enum fm_status find_run(const struct fm_comparing *c, const struct fm_job *job,
    struct fm_compare_row *row, enum fm_row_source *source)
{
    const char *root = job->root ? job->root : "runs";
    struct fm_run_config config;
    FM_TRY(fm_job_config(c->engine, c->dataset, c->split, job, &config));
    if (fm_run_find(root, &config, long_enough, job, row->directory) == FM_OK &&
        fm_run_read_result(row->directory, &row->result) != FM_OK)
        fm_error_clear();
    if (row->result)
        *source = FM_ROW_FINISHED;
    else if (fm_run_find_unfinished(root, &config, row->directory) == FM_OK)
        *source = FM_ROW_RESUMED;
    fm_run_config_free(&config);
    row->reused = row->result != NULL;
    return FM_OK;
}

static enum fm_status fill_row(struct fm_comparing *c, int index)
{
    const struct fm_compare_options *options = c->options;
    struct fm_job job = job_of(c, index);
    struct fm_compare_row *row = &c->rows[index];
    enum fm_row_source source = FM_ROW_TRAINED;
    if (!options->fresh)
        FM_TRY(find_run(c, &job, row, &source));
    if (options->row)
        options->row(options->row_context, index, options->entry_count, row->name, source,
            source == FM_ROW_TRAINED ? NULL : row->directory);
    if (source == FM_ROW_TRAINED)
        FM_TRY(fm_job_begin(c->engine, &job, row->directory));
    if (source != FM_ROW_FINISHED) {
        FM_TRY(fm_job_run(
            c->engine, c->dataset, c->split, &job, &options->hooks, row->directory, &row->result));
    } else if (options->tensorboard) {
        FM_TRY(fm_tensorboard_of_finished(row->directory));
    }
    c->results[index] = row->result;
    return FM_OK;
}

// ---- The whole

static enum fm_status check_options(const struct fm_compare_options *options)
{
    if (options->entry_count < 1 || options->entry_count > FM_COMPARE_MAX)
        return fm_fail(FM_USAGE, "a comparison of %d models: expected 1 to %d",
            options->entry_count, FM_COMPARE_MAX);
    for (int i = 0; i < options->entry_count; i++) {
        const struct fm_compare_entry *entry = &options->entries[i];
        for (int k = 0; k < i; k++)
            if (strcmp(entry->model, options->entries[k].model) == 0 &&
                entry->transfer.mode == options->entries[k].transfer.mode)
                return fm_fail(FM_USAGE, "model '%s' is named twice", entry->model);
        enum fm_status status = fm_recipe_check(&entry->recipe);
        if (status != FM_OK)
            return fm_context(status, "%s", entry->model);
    }
    return FM_OK;
}

// The nearest folder above `path` that is there.
static void existing_parent(const char *path, char out[FM_PATH_MAX])
{
    snprintf(out, FM_PATH_MAX, "%s", path);
    while (!fm_path_exists(out)) {
        char *slash = strrchr(out, '/');
        if (!slash || slash == out) {
            snprintf(out, FM_PATH_MAX, "%s", slash ? "/" : ".");
            return;
        }
        *slash = '\0';
    }
}

// Chosen before anything is trained, so that a folder that cannot be written costs no training; it
// is made when there is something to write.
static enum fm_status choose_directory(
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
    existing_parent(out, path);
    if (!fm_path_is_dir(path))
        return fm_fail(FM_IO, "%s: a folder cannot be made: %s is a file", out, path);
    if (access(path, W_OK | X_OK) != 0)
        return fm_fail(FM_IO, "%s: cannot write to %s: %s", out, path, strerror(errno));
    return FM_OK;
}

// Before anything is trained: a file that cannot be used costs no training either.
static enum fm_status know_weights(struct fm_comparing *c)
{
    for (int i = 0; i < c->options->entry_count; i++)
        if (c->options->entries[i].transfer.mode != FM_TRANSFER_SCRATCH)
            c->weights = c->options->entries[i].transfer;
    return fm_job_identify(&c->weights, false);
}

// The same of a row that cannot be trained as it is asked for.
static enum fm_status check_jobs(const struct fm_comparing *c)
{
    for (int i = 0; i < c->options->entry_count; i++) {
        const struct fm_job job = job_of(c, i);
        struct fm_run_config config;
        enum fm_status status = fm_job_config(c->engine, NULL, NULL, &job, &config);
        if (status != FM_OK)
            return fm_context(status, "%s", c->rows[i].name);
        fm_run_config_free(&config);
    }
    return FM_OK;
}

static void name_recipe(struct fm_comparing *c)
{
    bool changed = false;
    for (int i = 0; i < c->options->entry_count; i++)
        changed = changed || json_object_size(json_object_get(c->results[i], "recipe_changes")) > 0;
    snprintf(c->recipe, sizeof c->recipe, "%s%s", c->options->entries[0].recipe.name,
        changed ? ", changed" : "");
}

static enum fm_status build(struct fm_comparing *c, struct fm_comparison *out)
{
    int count = c->options->entry_count;
    name_recipe(c);
    c->environment = fm_run_environment(c->engine, c->options->argc, c->options->argv);
    struct fm_claims_context claims = {
        .results = c->results,
        .result_count = count,
        .data_label = c->dataset->fashion_mnist ? NULL : c->label,
        .command = fm_json_string(
            c->environment, "command"), // this very one: options change figures
        .weights = c->weights.known,
        .elsewhere = c->elsewhere,
    };
    for (int i = 0; i < count; i++) {
        fm_compare_tell_elsewhere(c, &c->rows[i]);
        c->elsewhere[i] = c->rows[i].elsewhere;
    }
    FM_TRY(fm_compare_table(c->results, count, &out->table));
    FM_TRY(fm_table_transpose(out->table, "note", &out->tall));
    FM_TRY(fm_claims_table(&claims, &out->claims));
    FM_TRY(fm_claims_shown(&claims, &out->claims_shown));
    FM_TRY(fm_compare_notes(c, out));
    FM_TRY(fm_compare_json(c, out));
    return fm_compare_write(c, out);
}

enum fm_status fm_compare(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_compare_options *options,
    struct fm_comparison *out)
{
    struct fm_comparing c = {
        .engine = engine, .dataset = dataset, .split = split, .options = options};
    enum fm_status status;
    memset(out, 0, sizeof *out);
    FM_TRY(check_options(options));
    FM_TRY(fm_charts_load());
    FM_TRY(choose_directory(options, out->directory));
    fm_data_label(dataset, c.label);
    c.rows = calloc((size_t)options->entry_count, sizeof *c.rows);
    if (!c.rows)
        return fm_fail_memory("the rows", (size_t)options->entry_count * sizeof *c.rows);
    for (int i = 0; i < options->entry_count; i++)
        fm_transfer_run_name(
            options->entries[i].model, options->entries[i].transfer.mode, false, c.rows[i].name);
    FM_TRY_GOTO(status, know_weights(&c), out);
    FM_TRY_GOTO(status, check_jobs(&c), out);
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
    fm_table_free(comparison->claims_shown);
    for (int i = 0; i < comparison->note_count; i++)
        free(comparison->notes[i]);
    free(comparison->notes);
    json_decref(comparison->json);
    *comparison = (struct fm_comparison){0};
}
