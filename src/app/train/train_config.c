// What a job is, as config.json and data.json hold it, and the folder that it gets.
#include "app/train/training.h"

#include "backend/precision.h"
#include "base/clock.h"
#include "net/zoo.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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
    config->input_size = job->input_size;
    config->transfer = job->transfer;
    config->teaching = job->teaching;
    if (job->data) // a run goes on from any folder
        fm_path_absolute(config->data_directory, job->data);
    config->recipe = fm_recipe_to_json(&job->recipe);
    config->changes = changes_of(job);
    enum fm_status status = config->recipe && config->changes
                                ? FM_OK
                                : fm_fail_memory("the run's configuration", sizeof *config);
    if (status == FM_OK)
        status = fm_training_check_transfer(job);
    if (status == FM_OK)
        status = fm_training_check_teaching(job);
    if (status == FM_OK)
        status = fm_job_identify(&config->transfer, job->full);
    if (status == FM_OK)
        status = fm_job_identify_teachers(&config->teaching, job->full);
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
        .input_size = config->input_size,
        .transfer = config->transfer,
        .teaching = config->teaching,
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
