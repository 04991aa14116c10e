// The finished runs that a job is taught by. What they may have seen is what the job may see: one
// that was trained on images that are held out here would tell of them.
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
    return fm_fail(FM_USAGE, "--teacher is asked of images, and --mode frozen trains on their "
                             "features: --mode finetune, "
                             "or without a teacher");
}

// ---- What they are

static enum fm_status identify(struct fm_run_teacher *teacher)
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
    snprintf(teacher->model, sizeof teacher->model, "%s", config.model);
    fm_run_config_free(&config);
    return FM_OK;
}

enum fm_status fm_job_identify_teachers(struct fm_teaching *teaching)
{
    for (int i = 0; i < teaching->count; i++)
        if (!teaching->teachers[i].sha256[0])
            FM_TRY(identify(&teaching->teachers[i]));
    return FM_OK;
}

// ---- Their networks

// A run that goes on has to find the weights that it began with.
static enum fm_status check_same(const struct fm_run_teacher *teacher)
{
    struct fm_run_teacher now = *teacher;
    enum fm_status status = identify(&now);
    if (status == FM_OK && strcmp(now.sha256, teacher->sha256) == 0)
        return FM_OK;
    if (status != FM_OK)
        return fm_context(status,
            "the run is taught by weights of SHA-256 %.16s..., and --teacher DIR, for each in its "
            "order, names where they are now",
            teacher->sha256);
    return fm_fail(FM_DATA,
        "%s: the SHA-256 of its weights is %.16s..., the run is taught by those of %.16s...: "
        "--teacher DIR, for each in its order, names where they are now",
        teacher->run, now.sha256, teacher->sha256);
}

static enum fm_status check_seen(const struct fm_training *t, const struct fm_trained *teacher)
{
    if (!fm_trained_same_data(&teacher->config, t->dataset))
        return fm_fail(FM_DATA,
            "teacher %s was trained on other data than those in %s, and may have seen images that "
            "are "
            "held out here",
            teacher->directory, t->dataset->directory);
    if (teacher->config.full && !t->job->full)
        return fm_fail(FM_DATA,
            "teacher %s was trained with --full, on the images that are held out here to select "
            "on: "
            "with --full, or with a teacher trained without",
            teacher->directory);
    return FM_OK;
}

static enum fm_status open(struct fm_training *t, int index, struct fm_teacher *teacher)
{
    enum {
        BATCH = 1 // of its own predictions, of which there are none
    };
    const struct fm_run_teacher *from = &t->config.teaching.teachers[index];
    struct fm_trained *trained = &t->taught_by[index];
    FM_TRY(check_same(from));
    FM_TRY(fm_trained_open(t->engine, from->run, BATCH, trained));
    FM_TRY(check_seen(t, trained));
    fm_note("teacher: %s, %s, computed in %s", from->model, from->run,
        fm_precision_name(trained->precision));
    *teacher = (struct fm_teacher){
        .name = from->run, .net = &trained->predictor.net, .model = trained->predictor.state};
    return FM_OK;
}

enum fm_status fm_training_open_teachers(struct fm_training *t,
    struct fm_teacher teachers[FM_TEACHERS_MAX], struct fm_train_options *options)
{
    int count = t->config.teaching.count;
    if (count == 0)
        return FM_OK;
    t->taught_by = calloc((size_t)count, sizeof *t->taught_by);
    if (!t->taught_by)
        return fm_fail_memory("teachers", (size_t)count * sizeof *t->taught_by);
    for (int i = 0; i < count; i++)
        FM_TRY(open(t, i, &teachers[i]));
    options->teachers = teachers;
    options->teacher_count = count;
    options->teacher_share = t->config.teaching.share;
    return FM_OK;
}

void fm_training_close_teachers(struct fm_training *t)
{
    for (int i = 0; t->taught_by && i < t->config.teaching.count; i++)
        fm_trained_close(&t->taught_by[i]);
    free(t->taught_by);
    t->taught_by = NULL;
}
