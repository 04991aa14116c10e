// What result.json says of a job that has come to its end.
#include "app/train/training.h"

#include "app/data_label.h"
#include "app/evaluation.h"
#include "base/clock.h"

#include <math.h>

static json_t *data_json(const struct fm_training *w)
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
static int set_recipe(const struct fm_training *w, json_t *result)
{
    json_t *changes = w->config.changes;
    const char *mark = json_object_size(changes) > 0 ? ", changed" : "";
    int failed = json_object_set_new(
        result, "recipe", json_sprintf("%s%s", w->job->recipe.name, mark));
    return failed | json_object_set(result, "recipe_changes", changes);
}

// What it began with, and what computing the features of a frozen base took.
static json_t *transfer_json(const struct fm_training *w)
{
    json_t *json = fm_transfer_to_json(&w->config.transfer);
    if (!json || json_is_null(json))
        return json;
    if (w->config.transfer.mode == FM_TRANSFER_FROZEN) {
        json_object_set_new(json, "feature_seconds", json_real(w->feature_seconds));
        json_object_set_new(
            json, "features_computed", json_integer((json_int_t)w->feature_computed));
    }
    return json;
}

json_t *fm_training_result(const struct fm_training *w)
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
    failed |= json_object_set_new(result, "input_size",
        w->config.input_size > 0 ? json_integer(w->config.input_size) : json_null());
    failed |= json_object_set_new(result, "transfer", transfer_json(w));
    failed |= json_object_set_new(result, "teaching", fm_teaching_to_json(&w->config.teaching));
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
