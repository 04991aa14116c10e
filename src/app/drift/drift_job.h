// `fmnist drift RUN SOURCE`: a run's calibration images against images from elsewhere, its answer
// as tables and JSON, and the folder with both and a page.
#ifndef FM_APP_DRIFT_JOB_H
#define FM_APP_DRIFT_JOB_H

#include "app/drift/drifting.h"
#include "app/trained.h"
#include "data/pictures/source.h"
#include "data/split.h"
#include "report/table.h"

struct fm_drift_job_options {
    const char *directory; // of the run
    double level;
    // After each batch of images and, with another `what`, now and then while permuting; may be
    // NULL. A failure of it ends the work.
    enum fm_status (*progress)(void *context, const char *what, uint32_t done, uint32_t total);
    void *context;
};

struct fm_drift_job {
    const struct fm_drift_job_options *options;
    const struct fm_pictures *pictures; // borrowed
    struct fm_trained trained;
    uint8_t *reference; // [drift.reference][28][28]: the calibration images
    struct fm_drift drift;
};

// FM_USAGE of a run that was trained on all images (--full): nothing was held out to compare with.
// To be asked before pictures are read.
enum fm_status fm_drift_check_run(const char *directory);

// Predicts the calibration images of `dataset` and the pictures by the run's network, and compares
// them. FM_DATA: the data set is not the one that the run was trained on, and so are its
// calibration images; fewer than FM_DRIFT_LEAST pictures or calibration images. The engine, the
// pictures and the options must outlive the job. On failure nothing needs to be freed.
enum fm_status fm_drift_job_run(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_pictures *pictures,
    const struct fm_drift_job_options *options, struct fm_drift_job *job);
void fm_drift_job_free(struct fm_drift_job *job);

// The JSON that `fmnist drift --format json` prints and drift.json is; new reference, NULL when out
// of memory.
json_t *fm_drift_json(const struct fm_drift_job *job);

// A row a test: with every column, or those for people. A row a class: its share of either set. A
// row an image, furthest first, at most `most`. The caller frees each.
enum fm_status fm_drift_tests_table(
    const struct fm_drift *drift, bool all, struct fm_table **table);
enum fm_status fm_drift_classes_table(const struct fm_drift_job *job, struct fm_table **table);
enum fm_status fm_drift_images_table(
    const struct fm_drift_job *job, uint32_t most, struct fm_table **table);

// FM_EXISTS where the folder holds an answer already, unless `force`.
enum fm_status fm_drift_check_folder(const char *directory, bool force);

// Writes drift.csv (a row an image), drift.html and, last, drift.json into the folder, which is
// made.
enum fm_status fm_drift_write(const struct fm_drift_job *job, const char *directory);

#endif
