// The order of a job is what makes its figures honest, so it stands in one place: configuration,
// training and selection, weights; then the test images, once; then the result.
#include "app/train_job.h"

#include "app/data_label.h"
#include "app/evaluation.h"
#include "base/clock.h"
#include "eval/evaluate.h"
#include "net/zoo.h"
#include "report/chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RESULT_FORMAT = 1,
    TEST_BATCH = 256,
    LATENCY_WARMUP = 20,
    LATENCY_RUNS = 200,
    LATENCY_RUNS_MIN = 30, // of a model that would take longer than latency_seconds
    LATENCY_PROBES = 5,
    NAMES_TRIED = 100 // run folders of the same second
};
static const double latency_seconds = 3;

static enum fm_status input_statistics(
    const struct fm_dataset *dataset, const struct fm_split *split, double *mean, double *deviation)
{
    fm_pixel_statistics(&dataset->train, split->train, split->train_count, mean, deviation);
    if (isfinite(*mean) && isfinite(*deviation) && *deviation > 0)
        return FM_OK;
    return fm_fail(FM_DATA,
        "%s: the pixels of the training split have mean %g and standard deviation %g: the images "
        "must not all be of one grey",
        dataset->files[0].path, *mean, *deviation);
}

// The network as it is trained: the recipe's dropout and the input statistics of `split->train` are
// in it.
static enum fm_status build_net(const struct fm_job *job, const struct fm_dataset *dataset,
    const struct fm_split *split, struct fm_net *net)
{
    double mean, deviation;
    FM_TRY(fm_zoo_build(job->model, dataset->classes, net));
    if (job->recipe.dropout >= 0)
        fm_net_set_dropout(net, (float)job->recipe.dropout);
    FM_TRY(input_statistics(dataset, split, &mean, &deviation));
    fm_net_set_input_statistics(net, (float)mean, (float)deviation);
    return FM_OK;
}

enum fm_status fm_job_config(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_job *job, struct fm_run_config *config)
{
    memset(config, 0, sizeof *config);
    config->classes = dataset->classes;
    config->threads = engine->info.threads;
    config->seed = job->seed;
    snprintf(config->model, sizeof config->model, "%s", job->model);
    snprintf(config->backend, sizeof config->backend, "%s", engine->api->name);
    snprintf(config->precision, sizeof config->precision, "%s", fm_precision_name(job->precision));
    snprintf(config->device, sizeof config->device, "%s", engine->info.name);
    snprintf(config->data_directory, sizeof config->data_directory, "%s", dataset->directory);
    for (int i = 0; i < 4; i++)
        config->data_crc32[i] = dataset->files[i].crc32;
    FM_TRY(input_statistics(dataset, split, &config->input_mean, &config->input_deviation));
    config->recipe = fm_recipe_to_json(&job->recipe);
    bool complete = config->recipe != NULL;
    for (int k = 0; k < dataset->classes; k++) {
        config->class_names[k] = strdup(dataset->class_names[k]);
        complete = complete && config->class_names[k];
    }
    if (complete)
        return FM_OK;
    fm_run_config_free(config);
    return fm_fail_memory("the run's configuration", sizeof *config);
}

// <root>/<model>-<time>; a second run of the same second gets a number.
static enum fm_status choose_directory(const struct fm_job *job, char out[FM_PATH_MAX])
{
    if (job->directory)
        return fm_path_copy(out, job->directory);
    char stamp[32], name[FM_NAME_MAX + 64];
    fm_clock_stamp(stamp);
    snprintf(name, sizeof name, "%s-%s", job->model, stamp);
    FM_TRY(fm_path_join(out, job->root ? job->root : "runs", name));
    for (int i = 2; i < NAMES_TRIED && fm_path_exists(out); i++) {
        snprintf(name, sizeof name, "%s-%s-%d", job->model, stamp, i);
        FM_TRY(fm_path_join(out, job->root ? job->root : "runs", name));
    }
    return FM_OK;
}

// ---- Training

struct running {
    const struct fm_job_hooks *hooks;
    const char *directory;
    enum fm_status log_status; // of the epochs' lines: the loop's callback returns nothing
};

static void on_train(void *context, const struct fm_train_progress *progress)
{
    struct running *running = context;
    if (progress->epoch_done && running->log_status == FM_OK) {
        json_t *line = fm_train_epoch_json(progress);
        running->log_status = line ? fm_run_log(running->directory, line)
                                   : fm_fail(FM_NUMERIC, "epoch %d: a figure is not finite",
                                         progress->epoch);
        json_decref(line);
    }
    if (running->hooks && running->hooks->train)
        running->hooks->train(running->hooks->context, progress);
}

static enum fm_status train(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_job *job, const struct fm_net *net,
    struct running *running, struct fm_model **model, struct fm_train_result *trained)
{
    struct fm_train_options options = {
        .recipe = &job->recipe,
        .seed = job->seed,
        .max_minutes = job->max_minutes,
        .progress = on_train,
        .context = running,
    };
    FM_TRY(fm_train(engine, net, &dataset->train, split, &options, job->precision, model, trained));
    FM_TRY(running->log_status);
    return fm_run_save_weights(running->directory, net, engine->api, *model);
}

// ---- Testing: the only place that hands test images to a model that was just trained

static enum fm_status draw_confusion(const struct fm_job *job, const struct fm_dataset *dataset,
    const char *directory, const struct fm_metrics *metrics)
{
    char path[FM_PATH_MAX], label[FM_PATH_MAX];
    struct fm_text title = {0};
    FM_TRY(fm_path_join(path, directory, "confusion-test.png"));
    fm_data_label(dataset, label);
    fm_text_append(&title, "%s on %s, test split", job->model, label);
    enum fm_status status = fm_chart_confusion(
        path, metrics, dataset->class_names, fm_text_cstr(&title));
    fm_text_free(&title);
    return status;
}

// A slow model is measured fewer times, so that nobody waits long for its latency.
static enum fm_status measure_latency(const struct fm_engine *engine,
    const struct fm_dataset *dataset, struct fm_model *model, struct fm_latency *latency)
{
    FM_TRY(fm_measure_latency(engine, model, &dataset->test, dataset->classes, 1, LATENCY_PROBES,
        LATENCY_PROBES, latency));
    double affordable = latency_seconds / fmax(latency->p50, 1e-9);
    int runs = (int)fmin(LATENCY_RUNS, fmax(LATENCY_RUNS_MIN, affordable));
    return fm_measure_latency(engine, model, &dataset->test, dataset->classes, 1,
        runs < LATENCY_RUNS ? LATENCY_PROBES : LATENCY_WARMUP, runs, latency);
}

static enum fm_status test(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_job *job, const struct running *running, struct fm_model *model,
    struct fm_metrics *metrics, struct fm_latency *latency)
{
    const struct fm_job_hooks *hooks = running->hooks;
    FM_TRY(fm_evaluate(engine, model, &dataset->test, NULL, 0, dataset->classes, TEST_BATCH,
        hooks ? hooks->evaluate : NULL, hooks ? hooks->context : NULL, metrics));
    enum fm_status status = measure_latency(engine, dataset, model, latency);
    if (status == FM_OK)
        status = draw_confusion(job, dataset, running->directory, metrics);
    if (status != FM_OK)
        fm_metrics_free(metrics);
    return status;
}

// ---- The result

static json_t *data_json(const struct fm_dataset *dataset, const struct fm_split *split,
    const struct fm_run_config *config)
{
    char label[FM_PATH_MAX];
    fm_data_label(dataset, label);
    json_t *data = json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:f}", "name", label, "fashion_mnist",
        fm_is_fashion_mnist(dataset), "train_images", (json_int_t)split->train_count,
        "select_images", (json_int_t)split->select_count, "calibrate_images",
        (json_int_t)split->calibrate_count, "test_images", (json_int_t)dataset->test.count,
        "load_seconds", dataset->load_seconds);
    // Directory and checksums, as config.json has them.
    json_t *told = fm_run_config_to_json(config);
    json_object_update(data, json_object_get(told, "data"));
    json_decref(told);
    return data;
}

static json_t *latency_json(const struct fm_latency *l)
{
    return json_pack("{s:i, s:i, s:f, s:f, s:f, s:f, s:f}", "batch", l->batch, "runs", l->runs,
        "p50", l->p50, "p90", l->p90, "p99", l->p99, "mean", l->mean, "deviation", l->deviation);
}

static json_t *result_json(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_job *job, const struct fm_net *net,
    const struct fm_run_config *config, const struct fm_train_result *trained,
    const struct fm_metrics *metrics, const struct fm_latency *latency)
{
    char time[32];
    uint32_t wanted = (uint32_t)job->recipe.epoch_images, all = split->train_count;
    json_t *result = json_pack("{s:i, s:s, s:I, s:s, s:s, s:I, s:s, s:i, s:I, s:f, s:f}", "format",
        RESULT_FORMAT, "model", job->model, "parameters", (json_int_t)net->param_elements,
        "backend", config->backend, "precision", config->precision, "seed", (json_int_t)job->seed,
        "recipe", job->recipe.name, "epochs_planned", job->recipe.epochs, "epoch_images",
        (json_int_t)(wanted > 0 && wanted < all ? wanted : all), "max_minutes", job->max_minutes,
        "gap", trained->train_accuracy - trained->select_accuracy);
    json_t *training = fm_train_result_json(trained);
    int failed = json_object_update(result, training);
    failed |= json_object_set_new(result, "test", fm_metrics_json(metrics, config->class_names));
    failed |= json_object_set_new(result, "latency", latency_json(latency));
    failed |= json_object_set_new(result, "data", data_json(dataset, split, config));
    failed |= json_object_set_new(
        result, "environment", fm_run_environment(engine, job->argc, job->argv));
    failed |= json_object_set_new(result, "finished", json_string(fm_clock_iso8601(time)));
    json_decref(training);
    if (failed) {
        json_decref(result);
        return NULL;
    }
    return result;
}

static enum fm_status finish(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_job *job, const struct fm_net *net,
    const struct fm_run_config *config, const struct running *running, struct fm_model *model,
    const struct fm_train_result *trained, json_t **result)
{
    struct fm_metrics metrics;
    struct fm_latency latency;
    FM_TRY(test(engine, dataset, job, running, model, &metrics, &latency));
    json_t *json = result_json(
        engine, dataset, split, job, net, config, trained, &metrics, &latency);
    fm_metrics_free(&metrics);
    if (!json)
        return fm_fail(FM_NUMERIC, "%s: no result.json: a figure is not finite, or out of memory",
            running->directory);
    enum fm_status status = fm_run_write_result(running->directory, json);
    if (status == FM_OK && result)
        *result = json_incref(json);
    json_decref(json);
    return status;
}

enum fm_status fm_job_run(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_job *job, const struct fm_job_hooks *hooks,
    char directory[FM_PATH_MAX], json_t **result)
{
    struct fm_net net;
    struct fm_run_config config;
    struct fm_model *model = NULL;
    struct fm_train_result trained;
    struct running running = {.hooks = hooks, .directory = directory};
    enum fm_status status;
    FM_TRY(fm_recipe_check(&job->recipe)); // before a folder is made
    FM_TRY(build_net(job, dataset, split, &net));
    FM_TRY(choose_directory(job, directory));
    FM_TRY(fm_job_config(engine, dataset, split, job, &config));
    FM_TRY_GOTO(status, fm_run_create(directory, &config, job->force), out);
    if (hooks && hooks->begin)
        hooks->begin(hooks->context, job->model, directory, net.param_elements);
    FM_TRY_GOTO(status, train(engine, dataset, split, job, &net, &running, &model, &trained), out);
    FM_TRY_GOTO(status,
        finish(engine, dataset, split, job, &net, &config, &running, model, &trained, result), out);
out:
    engine->api->model_destroy(model);
    fm_run_config_free(&config);
    return status == FM_OK ? FM_OK : fm_context(status, "training %s", job->model);
}
