// The order of a job is what makes its figures honest, so it stands in one place: configuration,
// training and selection, weights; then the test images, once; then the result.
#include "app/train/training.h"

#include "app/data_label.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "eval/evaluate.h"
#include "report/charts/chart.h"
#include "run/checkpoint.h"
#include "run/network.h"

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
static const double latency_seconds = 1;
static const double mebibyte = 1024 * 1024;

// The network as it is trained: the recipe's dropout, the input's statistics and what is not
// trained are in it.
static enum fm_status build_net(struct fm_training *w)
{
    FM_TRY(fm_run_config_net(&w->config, &w->net));
    if (w->job->recipe.dropout >= 0)
        fm_net_set_dropout(&w->net, (float)w->job->recipe.dropout);
    if (w->config.transfer.mode != FM_TRANSFER_FINETUNE)
        return FM_OK; // what a frozen base's head is trained on is no network with a base
    return fm_run_set_trained(&w->config.transfer, &w->net);
}

// The data of the first call that got so far are those of the run; `*first` is this one.
static enum fm_status check_data(const struct fm_training *w, bool *first)
{
    json_t *told = fm_run_data_to_json(&w->config.data);
    json_decref(told);
    if (!told) // as result.json would find at the end
        return fm_fail(FM_DATA, "%s: the folder's name is not UTF-8, as a run's files have to be",
            w->config.data.directory);
    struct fm_run_config before;
    FM_TRY(fm_run_read_config(w->directory, &before));
    bool same = before.has_data && fm_run_config_goes_on(&before, &w->config);
    *first = !before.has_data;
    char was[FM_PATH_MAX];
    snprintf(was, sizeof was, "%s", before.data.directory);
    fm_run_config_free(&before);
    if (*first && fm_checkpoint_exists(w->directory))
        return fm_fail(FM_DATA,
            "%s: data.json is missing: nothing says what data the checkpoint comes from",
            w->directory);
    if (*first || same)
        return FM_OK;
    return fm_fail(FM_DATA,
        "%s: the data or the configuration are not those that the run began with: data.json names "
        "%s, found %s; --data DIR names the folder of the right ones",
        w->directory, was, w->config.data.directory);
}

// ---- Training

static enum fm_status on_train(void *context, const struct fm_train_progress *progress)
{
    struct fm_training *w = context;
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

static enum fm_status train(struct fm_training *w)
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
        .initial = w->weights.tensors,
        .initial_count = w->weights.count,
        .interrupted = w->job->interrupted,
        .progress = on_train,
        .context = w,
    };
    struct fm_teacher teachers[FM_TEACHERS_MAX];
    fm_training_take_teachers(w, teachers, &options);
    if (w->config.transfer.mode == FM_TRANSFER_FROZEN)
        FM_TRY(fm_training_train_head(w, &options));
    else
        FM_TRY(fm_train(
            w->engine, &w->net, &w->dataset->train, w->split, &options, &w->model, &w->trained));
    fm_training_close_teacher_runs(w); // their memory is free for the test
    return fm_run_save_weights(w->directory, &w->net, w->config.data.class_names,
        fm_run_trained_on(&w->config), w->engine->api, w->model);
}

// ---- Testing: the only place that hands test images to a model that was just trained

static enum fm_status draw_confusion(const struct fm_training *w)
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
static enum fm_status measure_latency(struct fm_training *w)
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
    const struct fm_training *w = context;
    int signal = w->job->interrupted ? w->job->interrupted() : 0;
    if (signal != 0)
        return fm_fail(
            FM_INTERRUPTED, "stopped by %s while testing, all steps done", fm_signal_name(signal));
    if (w->hooks->evaluate)
        w->hooks->evaluate(w->hooks->context, done, total);
    return FM_OK;
}

static enum fm_status test(struct fm_training *w)
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
static void take_memory(struct fm_training *w)
{
    w->memory_peak = w->engine->api->memory_peak(w->engine->device, &w->memory_free);
    if (w->memory_peak > 0)
        fm_note("device memory: %.0f MiB taken at most, %.0f MiB were free",
            ceil((double)w->memory_peak / mebibyte), floor((double)w->memory_free / mebibyte));
}

static enum fm_status finish(struct fm_training *w, json_t **result)
{
    json_t *json = fm_training_result(w);
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

// Nothing in a file says that its weights were trained: one that is not known by its checksum may
// hold anything.
static void tell_weights(const struct fm_training *w)
{
    const struct fm_transfer *transfer = &w->config.transfer;
    if (transfer->mode == FM_TRANSFER_SCRATCH)
        return;
    if (transfer->known[0])
        fm_note("weights: %s, %s", transfer->weights, transfer->known);
    else
        fm_note("weights: %s, named as %s names them, of unknown origin (SHA-256 %.16s...)",
            transfer->weights, transfer->source, transfer->sha256);
}

// Whoever may still choose otherwise is told before the training takes its time.
static void warn_of_few(const struct fm_training *w)
{
    const struct fm_recipe *recipe = &w->job->recipe;
    uint32_t images = w->split->select_count;
    if (recipe->keep == FM_KEEP_BEST && recipe->epochs > 1 && images < FM_SELECT_LEAST)
        fm_warn(
            "the kept epoch is chosen on %u image%s, fewer than %d, so largely by chance: --keep "
            "last keeps the last epoch",
            (unsigned)images, images == 1 ? "" : "s", FM_SELECT_LEAST);
}

// All that is done with the folder locked.
static enum fm_status run(struct fm_training *w, json_t **result)
{
    FM_TRY(fm_run_sweep(w->directory));
    bool first = false;
    FM_TRY(check_data(w, &first));
    FM_TRY(fm_training_open_teacher_runs(w)); // one that is refused leaves a folder without data
    if (first)
        FM_TRY(fm_run_write_data(w->directory, &w->config.data));
    if (w->job->tensorboard || fm_events_exist(w->directory))
        FM_TRY(fm_tensorboard_open(w->directory, &w->config, &w->board));
    char name[FM_RUN_NAME_MAX];
    fm_transfer_run_name(w->job->model, w->job->transfer.mode, w->job->teaching.count > 0, name);
    if (w->hooks->begin)
        w->hooks->begin(w->hooks->context, name, w->directory, w->net.param_elements);
    tell_weights(w);
    if (first)
        warn_of_few(w);
    FM_TRY(train(w));
    FM_TRY(test(w));
    take_memory(w);
    FM_TRY(fm_checkpoint_finish(w->directory));
    return finish(w, result);
}

// Whose training failed; and, of an interrupted one, how to go on.
static enum fm_status explain(const struct fm_training *w, enum fm_status status)
{
    if (status == FM_OK)
        return FM_OK;
    if (status != FM_INTERRUPTED)
        return fm_context(status, "training %s", w->job->model);
    struct fm_text words = {0};
    char *cause = fm_error_take();
    fm_text_append_shell(&words, w->job->resume ? w->job->resume : w->directory);
    if (w->job->feature_cache_named) {
        fm_text_append(&words, " --feature-cache ");
        fm_text_append_shell(&words, w->job->feature_cache);
    }
    for (int i = 0; w->job->teachers_named && i < w->job->teaching.count; i++) {
        fm_text_append(&words, " --teacher ");
        fm_text_append_shell(&words, w->job->teaching.teachers[i].run);
    }
    fm_fail(status, "training %s: %s; 'fmnist train --resume %s' goes on from there", w->job->model,
        cause ? cause : "interrupted", fm_text_cstr(&words));
    fm_text_free(&words);
    free(cause);
    return status;
}

enum fm_status fm_job_run(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_job *job, const struct fm_job_hooks *hooks,
    const char *directory, json_t **result)
{
    static const struct fm_job_hooks no_hooks;
    struct fm_training w = {
        .engine = engine,
        .dataset = dataset,
        .split = split,
        .job = job,
        .hooks = hooks ? hooks : &no_hooks,
        .directory = directory,
    };
    int lock;
    enum fm_status status;
    FM_TRY(fm_charts_load()); // lest the work be done when it turns out that nothing can be drawn
    FM_TRY(fm_job_config(engine, dataset, split, job, &w.config));
    FM_TRY_GOTO(status, fm_training_open_weights(&w), out);
    FM_TRY_GOTO(status, build_net(&w), out);
    FM_TRY_GOTO(status, fm_run_lock(directory, &lock), out);
    // Another process may have ended it since it was asked: the test images are used once.
    status = fm_run_is_finished(directory) ? fm_run_read_result(directory, result)
                                           : run(&w, result);
    fm_tensorboard_close(&w.board);
    fm_run_unlock(lock);
out:
    fm_training_close_teacher_runs(&w);
    fm_metrics_free(&w.metrics);
    fm_metrics_free(&w.flipped);
    engine->api->model_destroy(w.model);
    fm_pretrained_free(&w.weights);
    fm_run_config_free(&w.config);
    return explain(&w, status);
}
