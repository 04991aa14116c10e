// The order of a job is what makes its figures honest, so it stands in one place: configuration,
// training and selection, weights; then the test images, once; then the result.
#include "app/train/train_job.h"

#include "app/data_label.h"
#include "app/evaluation.h"
#include "app/train/tensorboard.h"
#include "backend/precision.h"
#include "base/clock.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "eval/evaluate.h"
#include "net/zoo.h"
#include "report/charts/chart.h"
#include "run/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEST_BATCH = 256,
    LATENCY_WARMUP = 20,
    LATENCY_RUNS = 200,
    LATENCY_RUNS_MIN = 30, // of a model that would take longer than latency_seconds
    LATENCY_PROBES = 5
};
static const double latency_seconds = 3;
static const double mebibyte = 1024 * 1024;

// A job under way: what it was given, and what has come of it so far.
struct work {
    const struct fm_engine *engine;
    const struct fm_dataset *dataset;
    const struct fm_split *split;
    const struct fm_job *job;
    const struct fm_job_hooks *hooks; // never NULL
    const char *directory;
    struct fm_net net;
    struct fm_run_config config;
    struct fm_model *model;
    struct fm_train_result trained;
    struct fm_metrics metrics; // on the test images
    struct fm_metrics flipped; // on these and their mirror images, if the recipe wants that
    struct fm_latency latency;
    struct fm_tensorboard board;
    uint64_t memory_peak, memory_free; // struct fm_backend
};

static enum fm_status check_statistics(
    const struct fm_dataset *dataset, const struct fm_split *split)
{
    if (isfinite(split->mean) && isfinite(split->deviation) && split->deviation > 0)
        return FM_OK;
    return fm_fail(FM_DATA,
        "%s: the pixels of the training split have mean %g and standard deviation %g: the images "
        "must not all be of one grey",
        dataset->files[0].path, split->mean, split->deviation);
}

// The network as it is trained: the recipe's dropout and the input statistics of `split->train` are
// in it.
static enum fm_status build_net(struct work *w)
{
    FM_TRY(fm_zoo_build(w->job->model, w->dataset->classes, &w->net));
    if (w->job->recipe.dropout >= 0)
        fm_net_set_dropout(&w->net, (float)w->job->recipe.dropout);
    FM_TRY(check_statistics(w->dataset, w->split));
    fm_net_set_input_statistics(&w->net, (float)w->split->mean, (float)w->split->deviation);
    return FM_OK;
}

static enum fm_status describe_data(
    const struct fm_dataset *dataset, const struct fm_split *split, struct fm_run_data *data)
{
    FM_TRY(check_statistics(dataset, split));
    fm_path_absolute(data->directory, dataset->directory);
    data->classes = dataset->classes;
    fm_run_data_set_input(data, split->mean, split->deviation);
    for (int i = 0; i < 4; i++)
        data->crc32[i] = dataset->files[i].crc32;
    for (int k = 0; k < dataset->classes; k++) {
        data->class_names[k] = strdup(dataset->class_names[k]);
        if (!data->class_names[k])
            return fm_fail_memory("class names", strlen(dataset->class_names[k]) + 1);
    }
    return FM_OK;
}

static json_t *changes_of(const struct fm_job *job)
{
    if (job->changes)
        return json_incref(job->changes);
    return job->named.name[0] ? fm_recipe_changes(&job->named, &job->recipe) : json_object();
}

enum fm_status fm_job_config(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_job *job, struct fm_run_config *config)
{
    memset(config, 0, sizeof *config);
    config->threads = engine->info.threads;
    config->seed = job->seed;
    config->emulate = job->emulate;
    config->full = job->full;
    config->max_minutes = job->max_minutes;
    snprintf(config->model, sizeof config->model, "%s", job->model);
    snprintf(config->backend, sizeof config->backend, "%s", engine->api->name);
    snprintf(config->precision, sizeof config->precision, "%s", fm_precision_name(job->precision));
    snprintf(config->device, sizeof config->device, "%s", engine->info.name);
    config->device_index = engine->options.index;
    config->tf32 = engine->options.tf32;
    config->nondeterministic = engine->options.nondeterministic;
    config->workspace = engine->options.workspace;
    if (job->data) // a run goes on from any folder
        fm_path_absolute(config->data_directory, job->data);
    config->recipe = fm_recipe_to_json(&job->recipe);
    config->changes = changes_of(job);
    enum fm_status status = config->recipe && config->changes
                                ? FM_OK
                                : fm_fail_memory("the run's configuration", sizeof *config);
    if (status == FM_OK && dataset)
        status = describe_data(dataset, split, &config->data);
    config->has_data = dataset != NULL;
    if (status != FM_OK)
        fm_run_config_free(config);
    return status;
}

enum fm_status fm_job_read(const char *directory, struct fm_run_config *config, struct fm_job *job)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_run_read_config(directory, config));
    *job = (struct fm_job){.model = config->model,
        .changes = config->changes,
        .seed = config->seed,
        .emulate = config->emulate,
        .full = config->full,
        .max_minutes = config->max_minutes,
        .data = config->data_directory[0] ? config->data_directory : NULL,
        .directory = directory};
    enum fm_status status = fm_path_join(path, directory, "config.json");
    if (status == FM_OK)
        status = fm_recipe_from_json(config->recipe, path, &job->recipe);
    if (status == FM_OK && !fm_zoo_find(config->model))
        status = fm_fail(FM_DATA, "%s: there is no model '%s'", path, config->model);
    if (status != FM_OK)
        fm_run_config_free(config);
    return status;
}

enum fm_status fm_job_name_folder(
    const struct fm_job *job, const char *stamp, int attempt, char directory[FM_PATH_MAX])
{
    char name[FM_NAME_MAX + 64];
    if (attempt == 1)
        snprintf(name, sizeof name, "%s-%s", job->model, stamp);
    else
        snprintf(name, sizeof name, "%s-%s-%d", job->model, stamp, attempt);
    return fm_path_join(directory, job->root ? job->root : "runs", name);
}

// The folder that the job names, or else <root>/<model>-<time>; a second run of the same second
// gets a number.
static enum fm_status make_folder(
    const struct fm_job *job, const struct fm_run_config *config, char directory[FM_PATH_MAX])
{
    char stamp[32];
    if (job->directory) {
        FM_TRY(fm_path_copy(directory, job->directory));
        return fm_run_create(directory, config, job->force);
    }
    fm_clock_stamp(stamp);
    enum fm_status status = FM_EXISTS;
    for (int i = 1; i <= FM_JOB_NAMES_TRIED && status == FM_EXISTS; i++) {
        fm_error_clear();
        FM_TRY(fm_job_name_folder(job, stamp, i, directory));
        status = fm_run_create(directory, config, false);
    }
    return status;
}

enum fm_status fm_job_begin(
    const struct fm_engine *engine, const struct fm_job *job, char directory[FM_PATH_MAX])
{
    struct fm_run_config config;
    if (!fm_zoo_find(job->model))
        return fm_fail(FM_USAGE, "there is no model '%s'", job->model);
    FM_TRY(fm_recipe_check(&job->recipe));
    FM_TRY(fm_job_config(engine, NULL, NULL, job, &config));
    enum fm_status status = make_folder(job, &config, directory);
    fm_run_config_free(&config);
    return status;
}

// The data of the first call that got so far are those of the run.
static enum fm_status settle_data(struct work *w)
{
    struct fm_run_config before;
    FM_TRY(fm_run_read_config(w->directory, &before));
    bool same = before.has_data && fm_run_config_goes_on(&before, &w->config);
    bool first = !before.has_data;
    char was[FM_PATH_MAX];
    snprintf(was, sizeof was, "%s", before.data.directory);
    fm_run_config_free(&before);
    if (first && fm_checkpoint_exists(w->directory))
        return fm_fail(FM_DATA,
            "%s: data.json is missing: nothing says what data the checkpoint comes from",
            w->directory);
    if (first)
        return fm_run_write_data(w->directory, &w->config.data);
    if (same)
        return FM_OK;
    return fm_fail(FM_DATA,
        "%s: the data or the configuration are not those that the run began with: data.json names "
        "%s, found %s; --data DIR names the folder of the right ones",
        w->directory, was, w->config.data.directory);
}

// ---- Training

static enum fm_status on_train(void *context, const struct fm_train_progress *progress)
{
    struct work *w = context;
    enum fm_status status = fm_tensorboard_begin(&w->board);
    if (status == FM_OK && progress->epoch_done) {
        json_t *line = fm_train_epoch_json(progress);
        status = line ? fm_run_log(w->directory, FM_RUN_LOG, line)
                      : fm_fail(FM_NUMERIC, "epoch %d: a figure is not finite", progress->epoch);
        if (status == FM_OK)
            status = fm_tensorboard_epoch(&w->board, line, progress->images_per_second);
        json_decref(line);
    }
    if (status == FM_OK && w->hooks->train)
        w->hooks->train(w->hooks->context, progress);
    return status;
}

static enum fm_status train(struct work *w)
{
    struct fm_train_options options = {
        .recipe = &w->job->recipe,
        .seed = w->job->seed,
        .precision = w->job->precision,
        .emulate = w->job->emulate,
        .resident = w->job->resident,
        .max_minutes = w->job->max_minutes,
        .directory = w->directory,
        .checkpoint_seconds = w->job->checkpoint_seconds,
        .strict = w->job->strict,
        .interrupted = w->job->interrupted,
        .progress = on_train,
        .context = w,
    };
    FM_TRY(fm_train(
        w->engine, &w->net, &w->dataset->train, w->split, &options, &w->model, &w->trained));
    return fm_run_save_weights(
        w->directory, &w->net, w->config.data.class_names, w->engine->api, w->model);
}

// ---- Testing: the only place that hands test images to a model that was just trained

static enum fm_status draw_confusion(const struct work *w)
{
    char path[FM_PATH_MAX], label[FM_PATH_MAX];
    struct fm_text title = {0};
    FM_TRY(fm_path_join(path, w->directory, "confusion-test.png"));
    fm_data_label(w->dataset, label);
    fm_text_append(&title, "%s on %s, test split", w->job->model, label);
    enum fm_status status = fm_chart_confusion(
        path, &w->metrics, w->dataset->class_names, fm_text_cstr(&title), false);
    fm_text_free(&title);
    return status;
}

// A slow model is measured fewer times, so that nobody waits long for its latency.
static enum fm_status measure_latency(struct work *w)
{
    struct fm_latency_options options = {
        .samples = &w->dataset->test,
        .classes = w->dataset->classes,
        .batch = 1,
        .warmup = LATENCY_PROBES,
        .runs = LATENCY_PROBES,
    };
    FM_TRY(fm_measure_latency(w->engine, w->model, &options, &w->latency));
    double affordable = latency_seconds / fmax(w->latency.p50, 1e-9);
    options.runs = (int)fmin(LATENCY_RUNS, fmax(LATENCY_RUNS_MIN, affordable));
    if (options.runs == LATENCY_RUNS)
        options.warmup = LATENCY_WARMUP;
    return fm_measure_latency(w->engine, w->model, &options, &w->latency);
}

static enum fm_status on_test(void *context, uint32_t done, uint32_t total)
{
    const struct work *w = context;
    int signal = w->job->interrupted ? w->job->interrupted() : 0;
    if (signal != 0)
        return fm_fail(
            FM_INTERRUPTED, "stopped by %s while testing, all steps done", fm_signal_name(signal));
    if (w->hooks->evaluate)
        w->hooks->evaluate(w->hooks->context, done, total);
    return FM_OK;
}

static enum fm_status test(struct work *w)
{
    struct fm_evaluate_options options = {
        .samples = &w->dataset->test,
        .classes = w->dataset->classes,
        .batch = TEST_BATCH,
        .progress = on_test,
        .context = w,
    };
    FM_TRY(fm_evaluate(w->engine, w->model, &options, &w->metrics));
    options.mirror_mean = true;
    if (w->job->recipe.test_flip)
        FM_TRY(fm_evaluate(w->engine, w->model, &options, &w->flipped));
    FM_TRY(measure_latency(w));
    return draw_confusion(w);
}

// ---- The result

// Of all that the device has computed since it was opened, the test included.
static void take_memory(struct work *w)
{
    w->memory_peak = w->engine->api->memory_peak(w->engine->device, &w->memory_free);
    if (w->memory_peak > 0)
        fm_note("device memory: %.0f MiB taken at most, %.0f MiB were free",
            ceil((double)w->memory_peak / mebibyte), floor((double)w->memory_free / mebibyte));
}

static json_t *data_json(const struct work *w)
{
    char label[FM_PATH_MAX];
    fm_data_label(w->dataset, label);
    json_t *data = json_pack("{s:s, s:b, s:b, s:b, s:b, s:I, s:I, s:I, s:I, s:f}", "name", label,
        "fashion_mnist", w->dataset->fashion_mnist, "pictures", w->dataset->pictures,
        "test_held_out", w->dataset->test_held_out, "full", w->job->full, "train_images",
        (json_int_t)w->split->train_count, "select_images", (json_int_t)w->split->select_count,
        "calibrate_images", (json_int_t)w->split->calibrate_count, "test_images",
        (json_int_t)w->dataset->test.count, "load_seconds", w->dataset->load_seconds);
    json_t *told = fm_run_data_to_json(&w->config.data);
    json_object_set(data, "directory", json_object_get(told, "directory"));
    json_object_set(data, "crc32", json_object_get(told, "crc32"));
    json_decref(told);
    return data;
}

static json_t *latency_json(const struct fm_latency *l)
{
    return json_pack("{s:i, s:i, s:f, s:f, s:f, s:f, s:f}", "batch", l->batch, "runs", l->runs,
        "p50", l->p50, "p90", l->p90, "p99", l->p99, "mean", l->mean, "deviation", l->deviation);
}

// null where there is none to count.
static json_t *memory_json(uint64_t bytes)
{
    return bytes > 0 ? json_integer((json_int_t)bytes) : json_null();
}

// The recipe by name, with what options changed of it: a changed one is not what its name says.
static int set_recipe(const struct work *w, json_t *result)
{
    json_t *changes = w->config.changes;
    const char *mark = json_object_size(changes) > 0 ? ", changed" : "";
    int failed = json_object_set_new(
        result, "recipe", json_sprintf("%s%s", w->job->recipe.name, mark));
    return failed | json_object_set(result, "recipe_changes", changes);
}

static json_t *result_json(const struct work *w)
{
    char time[32];
    const struct fm_job *job = w->job;
    uint32_t wanted = (uint32_t)job->recipe.epoch_images, all = w->split->train_count;
    double gap = w->trained.train_accuracy - w->trained.select_accuracy;
    json_t *result = json_pack("{s:i, s:s, s:I, s:s, s:s, s:b, s:b, s:b, s:I, s:i, s:I, s:f, s:o}",
        "format", FM_RESULT_FORMAT, "model", job->model, "parameters",
        (json_int_t)w->net.param_elements, "backend", w->config.backend, "precision",
        w->config.precision, "emulate", job->emulate, "tf32", w->config.tf32, "nondeterministic",
        w->config.nondeterministic, "seed", (json_int_t)job->seed, "epochs_planned",
        job->recipe.epochs, "epoch_images", (json_int_t)(wanted > 0 && wanted < all ? wanted : all),
        "max_minutes", job->max_minutes, "gap", isnan(gap) ? json_null() : json_real(gap));
    json_t *training = fm_train_result_json(&w->trained);
    int failed = json_object_update(result, training);
    failed |= set_recipe(w, result);
    failed |= json_object_set_new(
        result, "test", fm_metrics_json(&w->metrics, w->config.data.class_names));
    if (job->recipe.test_flip)
        failed |= json_object_set_new(
            result, "test_flip", fm_metrics_json(&w->flipped, w->config.data.class_names));
    failed |= json_object_set_new(result, "latency", latency_json(&w->latency));
    failed |= json_object_set_new(result, "device_memory", memory_json(w->memory_peak));
    failed |= json_object_set_new(result, "device_memory_free", memory_json(w->memory_free));
    failed |= json_object_set_new(result, "data", data_json(w));
    failed |= json_object_set_new(
        result, "environment", fm_run_environment(w->engine, job->argc, job->argv));
    failed |= json_object_set_new(result, "finished", json_string(fm_clock_iso8601(time)));
    json_decref(training);
    if (failed) {
        json_decref(result);
        return NULL;
    }
    return result;
}

static enum fm_status finish(struct work *w, json_t **result)
{
    json_t *json = result_json(w);
    if (!json)
        return fm_fail(FM_NUMERIC, "%s: no result.json: a figure is not finite, or out of memory",
            w->directory);
    enum fm_status status = fm_tensorboard_test(
        &w->board, json_object_get(json, "test"), w->trained.steps);
    if (status == FM_OK)
        status = fm_run_write_result(w->directory, json);
    if (status == FM_OK && result)
        *result = json_incref(json);
    json_decref(json);
    return status;
}

// All that is done with the folder locked.
static enum fm_status run(struct work *w, json_t **result)
{
    FM_TRY(fm_run_sweep(w->directory));
    FM_TRY(settle_data(w));
    if (w->job->tensorboard || fm_events_exist(w->directory))
        FM_TRY(fm_tensorboard_open(w->directory, &w->config, &w->board));
    char name[FM_RUN_NAME_MAX];
    fm_transfer_run_name(w->job->model, w->job->transfer.mode, name);
    if (w->hooks->begin)
        w->hooks->begin(w->hooks->context, name, w->directory, w->net.param_elements);
    FM_TRY(train(w));
    FM_TRY(test(w));
    take_memory(w);
    FM_TRY(fm_checkpoint_finish(w->directory));
    return finish(w, result);
}

// Whose training failed; and, of an interrupted one, how to go on.
static enum fm_status explain(const struct work *w, enum fm_status status)
{
    if (status == FM_OK)
        return FM_OK;
    if (status != FM_INTERRUPTED)
        return fm_context(status, "training %s", w->job->model);
    struct fm_text directory = {0};
    char *cause = fm_error_take();
    fm_text_append_shell(&directory, w->job->resume ? w->job->resume : w->directory);
    fm_fail(status, "training %s: %s; 'fmnist train --resume %s' goes on from there", w->job->model,
        cause ? cause : "interrupted", fm_text_cstr(&directory));
    fm_text_free(&directory);
    free(cause);
    return status;
}

enum fm_status fm_job_run(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_job *job, const struct fm_job_hooks *hooks,
    const char *directory, json_t **result)
{
    static const struct fm_job_hooks no_hooks;
    struct work w = {
        .engine = engine,
        .dataset = dataset,
        .split = split,
        .job = job,
        .hooks = hooks ? hooks : &no_hooks,
        .directory = directory,
    };
    int lock;
    enum fm_status status;
    FM_TRY(build_net(&w));
    FM_TRY(fm_job_config(engine, dataset, split, job, &w.config));
    FM_TRY_GOTO(status, fm_run_lock(directory, &lock), out);
    status = run(&w, result);
    fm_tensorboard_close(&w.board);
    fm_run_unlock(lock);
out:
    fm_metrics_free(&w.metrics);
    fm_metrics_free(&w.flipped);
    engine->api->model_destroy(w.model);
    fm_run_config_free(&w.config);
    return explain(&w, status);
}
