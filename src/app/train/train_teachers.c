// The finished runs that a job is taught by. A teacher may have been trained only on images that
// the job may train on: else its answers would tell of images that are held out.
#include "app/train/training.h"

#include "backend/precision.h"
#include "base/digest.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum fm_status fm_training_check_teaching(const struct fm_job *job)
{
    const struct fm_teaching *teaching = &job->teaching;
    if (teaching->count == 0 || job->transfer.mode != FM_TRANSFER_FROZEN)
        return FM_OK;
    return fm_fail(FM_USAGE, "--teacher is for images, and --mode frozen trains on features: take "
                             "--mode finetune, or no "
                             "teacher");
}

// ---- What they are

// What a teacher may have seen that the job holds out. `full`: the job holds nothing out.
static enum fm_status check_seen(const char *run, const struct fm_run_config *config, bool full)
{
    if (config->full && !full)
        return fm_fail(FM_DATA,
            "teacher %s was trained with --full, on images that are held out here: train with "
            "--full, too, or take a teacher trained without",
            run);
    if (!fm_run_trained_on(config) && !full)
        return fm_fail(FM_DATA,
            "teacher %s began with weights that do not say what they were trained on, and may know "
            "images that are held out here: train with --full, or take another teacher",
            run);
    return FM_OK;
}

static enum fm_status describe(
    const struct fm_run_config *config, bool full, struct fm_run_teacher *teacher)
{
    snprintf(teacher->model, sizeof teacher->model, "%s", config->model);
    snprintf(teacher->source, sizeof teacher->source, "%s", config->transfer.source);
    return check_seen(teacher->run, config, full);
}

static enum fm_status identify(struct fm_run_teacher *teacher, bool full)
{
    char path[FM_PATH_MAX];
    struct fm_run_config config;
    if (!fm_run_is_finished(teacher->run))
        return fm_fail(FM_NOT_FOUND,
            "%s holds no finished run: there is no result.json in it; a teacher is the folder of "
            "one",
            teacher->run);
    FM_TRY(fm_path_join(path, teacher->run, FM_WEIGHTS_FILE));
    FM_TRY(fm_digest_file(path, teacher->sha256, NULL));
    FM_TRY(fm_run_read_whole_config(teacher->run, &config));
    enum fm_status status = describe(&config, full, teacher);
    fm_run_config_free(&config);
    return status;
}

enum fm_status fm_job_identify_teachers(struct fm_teaching *teaching, bool full)
{
    for (int i = 0; i < teaching->count; i++)
        if (!teaching->teachers[i].sha256[0])
            FM_TRY(identify(&teaching->teachers[i], full));
    return FM_OK;
}

// ---- Their networks

// A run that goes on has to find the weights that it began with.
static enum fm_status check_same(const struct fm_run_teacher *teacher)
{
    struct fm_run_teacher now = *teacher;
    FM_TRY(identify(&now, true)); // what it may have seen was held against the run as it began
    if (strcmp(now.sha256, teacher->sha256) == 0)
        return FM_OK;
    return fm_fail(FM_DATA,
        "%s: the SHA-256 of its weights is %.16s..., the run is taught by those of %.16s...",
        teacher->run, now.sha256, teacher->sha256);
}

// What a folder that is not the teacher's any more may mean.
static enum fm_status fail_moved(
    enum fm_status status, const struct fm_teaching *teaching, int index)
{
    char *cause = fm_error_take();
    fm_fail(status,
        "teacher %d of %d, %s: %s; --teacher RUN, once for each in this order, names where the "
        "teachers are now",
        index + 1, teaching->count, teaching->teachers[index].model, cause ? cause : "not there");
    free(cause);
    return status;
}

static enum fm_status check_data(
    const char *run, const struct fm_run_config *config, const struct fm_dataset *dataset)
{
    if (fm_trained_same_data(config, dataset))
        return FM_OK;
    return fm_fail(FM_DATA,
        "teacher %s was trained on other data (those in %s) than are in %s, and may have seen "
        "images that are held out here",
        run, config->data.directory, dataset->directory);
}

enum fm_status fm_job_check_teachers(
    const struct fm_teaching *teaching, const struct fm_dataset *dataset)
{
    enum fm_status status = FM_OK;
    for (int i = 0; status == FM_OK && i < teaching->count; i++) {
        struct fm_run_config config;
        FM_TRY(fm_run_read_whole_config(teaching->teachers[i].run, &config));
        status = check_data(teaching->teachers[i].run, &config, dataset);
        fm_run_config_free(&config);
    }
    return status;
}

static enum fm_status open_run(const struct fm_training *t, int index)
{
    enum {
        BATCH = 1 // of its own predictions, of which there are none
    };
    const struct fm_run_teacher *from = &t->config.teaching.teachers[index];
    struct fm_trained *trained = &t->taught_by[index];
    enum fm_status status = check_same(from);
    if (status == FM_NOT_FOUND || status == FM_DATA)
        return fail_moved(status, &t->config.teaching, index);
    FM_TRY(status);
    FM_TRY(fm_trained_open(t->engine, from->run, BATCH, trained));
    FM_TRY(check_data(trained->directory, &trained->config, t->dataset));
    fm_note("teacher: %s, %s, computed in %s", from->model, from->run,
        fm_precision_name(trained->precision));
    return FM_OK;
}

enum fm_status fm_training_open_teacher_runs(struct fm_training *t)
{
    int count = t->config.teaching.count;
    if (count == 0)
        return FM_OK;
    t->taught_by = calloc((size_t)count, sizeof *t->taught_by);
    if (!t->taught_by)
        return fm_fail_memory("teachers", (size_t)count * sizeof *t->taught_by);
    for (int i = 0; i < count; i++)
        FM_TRY(open_run(t, i));
    return FM_OK;
}

void fm_training_take_teachers(const struct fm_training *t,
    struct fm_teacher teachers[FM_TEACHERS_MAX], struct fm_train_options *options)
{
    const struct fm_teaching *teaching = &t->config.teaching;
    for (int i = 0; i < teaching->count; i++)
        teachers[i] = (struct fm_teacher){.name = teaching->teachers[i].run,
            .net = &t->taught_by[i].predictor.net,
            .model = t->taught_by[i].predictor.state};
    options->teachers = teachers;
    options->teacher_count = teaching->count;
    options->teacher_share = teaching->share;
}

void fm_training_close_teacher_runs(struct fm_training *t)
{
    for (int i = 0; t->taught_by && i < t->config.teaching.count; i++)
        fm_trained_close(&t->taught_by[i]);
    free(t->taught_by);
    t->taught_by = NULL;
}
