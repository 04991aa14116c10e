// Only images that the network has not been trained on tell how it behaves on new ones: the
// calibration images, by the run's own weights, in the run's precision.
#include "app/drift/drift_job.h"

#include <stdlib.h>
#include <string.h>

enum fm_status fm_drift_check_run(const char *directory)
{
    struct fm_run_config config;
    FM_TRY(fm_run_read_whole_config(directory, &config));
    bool full = config.full;
    fm_run_config_free(&config);
    if (full)
        return fm_fail(FM_USAGE,
            "%s: was trained on all training images (--full): it has no calibration images, which "
            "new ones are compared with; name a run that held some out",
            directory);
    return FM_OK;
}

// ---- Predicting

// In pieces, so that progress can be told.
static enum fm_status predict(
    struct fm_drift_job *job, const char *what, const uint8_t *records, uint32_t count, float *out)
{
    const struct fm_drift_job_options *options = job->options;
    struct fm_predictor *predictor = &job->trained.predictor;
    for (uint32_t done = 0; done < count;) {
        uint32_t now = count - done < FM_PREDICTOR_BATCH ? count - done : FM_PREDICTOR_BATCH;
        FM_TRY(fm_predictor_run(predictor, records + (size_t)done * FM_IMAGE_BYTES, now,
            out + (size_t)done * (size_t)predictor->classes));
        done += now;
        if (options->progress)
            FM_TRY(options->progress(options->context, what, done, count));
    }
    return FM_OK;
}

static enum fm_status tell_permutations(void *context, uint32_t done, uint32_t total)
{
    const struct fm_drift_job *job = context;
    return job->options->progress(job->options->context, "permutations", done, total);
}

static enum fm_status compare(
    struct fm_drift_job *job, uint32_t reference_count, float *reference, float *seen)
{
    const struct fm_predictor *predictor = &job->trained.predictor;
    const struct fm_pictures *pictures = job->pictures;
    const struct fm_drift_set sets[2] = {
        {reference_count, job->reference, reference}, {pictures->count, pictures->records, seen}};
    const struct fm_drift_options options = {.classes = predictor->classes,
        .class_names = predictor->class_names,
        .level = job->options->level,
        .progress = job->options->progress ? tell_permutations : NULL,
        .context = job};
    FM_TRY(predict(job, "calibration images", job->reference, reference_count, reference));
    FM_TRY(predict(job, "images", pictures->records, pictures->count, seen));
    return fm_drift_compare(&sets[0], &sets[1], &options, &job->drift);
}

// ---- The job

static enum fm_status check_data(const struct fm_drift_job *job, const struct fm_dataset *dataset)
{
    if (fm_trained_same_data(&job->trained.config, dataset))
        return FM_OK;
    return fm_fail(FM_DATA,
        "%s: not the data that the run %s was trained on (%s), and so not its calibration images: "
        "name those with --data DIR",
        dataset->directory, job->trained.directory, job->trained.config.data.directory);
}

static enum fm_status gather_reference(
    const struct fm_dataset *dataset, const struct fm_split *split, struct fm_drift_job *job)
{
    size_t bytes = (size_t)split->calibrate_count * FM_IMAGE_BYTES;
    job->reference = malloc(bytes);
    if (!job->reference)
        return fm_fail_memory("the calibration images", bytes);
    for (size_t i = 0; i < split->calibrate_count; i++)
        memcpy(job->reference + i * FM_IMAGE_BYTES,
            dataset->train.records + (size_t)split->calibrate[i] * FM_IMAGE_BYTES, FM_IMAGE_BYTES);
    return FM_OK;
}

enum fm_status fm_drift_job_run(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_pictures *pictures,
    const struct fm_drift_job_options *options, struct fm_drift_job *job)
{
    enum fm_status status;
    float *reference = NULL, *seen = NULL;
    *job = (struct fm_drift_job){.options = options, .pictures = pictures};
    FM_TRY(fm_trained_open(engine, options->directory, 0, &job->trained));
    FM_TRY_GOTO(status, check_data(job, dataset), out);
    FM_TRY_GOTO(status, gather_reference(dataset, split, job), out);
    size_t row = (size_t)job->trained.predictor.classes * sizeof *reference;
    reference = malloc(split->calibrate_count * row);
    seen = malloc((pictures->count + (size_t)1) * row);
    if (reference && seen)
        status = compare(job, split->calibrate_count, reference, seen);
    else
        status = fm_fail_memory("the network's outputs", pictures->count * row);
out:
    free(reference);
    free(seen);
    if (status != FM_OK)
        fm_drift_job_free(job);
    return status;
}

void fm_drift_job_free(struct fm_drift_job *job)
{
    fm_drift_free(&job->drift);
    free(job->reference);
    fm_trained_close(&job->trained);
    *job = (struct fm_drift_job){0};
}
