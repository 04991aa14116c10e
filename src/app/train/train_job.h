// A training job from a data set to a finished run folder: what `fmnist train` does, and what
// `fmnist compare` does for each row that no finished run answers.
//
// The order is the honest one: config.json is written before the job reads any data; the network is
// trained and its weights saved by code that is given the training part only (src/train); the test
// images are looked at once, after that, and result.json, which says that the run is finished,
// last. A job that was killed anywhere goes on from what the folder holds.
#ifndef FM_APP_TRAIN_JOB_H
#define FM_APP_TRAIN_JOB_H

#include "app/train/features.h"
#include "backend/registry.h"
#include "base/file.h"
#include "data/dataset.h"
#include "data/split.h"
#include "run/run.h"
#include "train/recipe.h"
#include "train/train.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct fm_job {
    const char *model;
    struct fm_recipe recipe; // resolved: fm_recipe_load(), then the flags
    struct fm_recipe named;  // as its file has it: what differs is told; zero: there is no file
    json_t *changes;         // borrowed: what differs, where the run's config.json tells; else NULL
    uint64_t seed;
    enum fm_precision precision;
    bool emulate;   // struct fm_model_options
    bool resident;  // struct fm_train_options
    int input_size; // struct fm_run_config
    // struct fm_run_config; of the first `weights` alone is the caller's to give, with the modes,
    // of the second the folders, with the share.
    struct fm_transfer transfer;
    struct fm_teaching teaching;
    const char *feature_cache; // folder that features are kept in; NULL: they are not
    bool feature_cache_named;  // going on has to name it, too: it is not the usual one
    bool teachers_named;       // the same of the teachers: they are not where they were
    bool full;                 // `split` holds all images to train on: results say so
    double max_minutes;        // ends at the end of the epoch in which it is reached; 0: no limit
    double checkpoint_seconds; // struct fm_train_options
    bool strict;               // the same
    int (*interrupted)(void);  // the same; may be NULL
    bool tensorboard;          // event files are written; where the run has some, in any case
    const char *data;          // data directory as asked for; NULL: it was looked for
    const char *directory;     // NULL: a new folder <root>/<model>-<time>
    const char *resume;        // what to name for going on; NULL: the run's own folder
    const char *root;          // NULL: "runs"
    bool force;                // a run that is there is replaced
    int argc;                  // of the command line, for the record
    char *const *argv;
};

// What a job tells while it runs; any member may be NULL. All are called in the caller's thread.
struct fm_job_hooks {
    // Once, when the run folder is made and before the first step; `name`: fm_transfer_run_name().
    void (*begin)(void *context, const char *name, const char *directory, size_t parameters);
    void (*train)(void *context, const struct fm_train_progress *progress);
    // While the features of a frozen base are computed; not called where all are kept already.
    void (*features)(void *context, const struct fm_features_progress *progress);
    // After each batch of the evaluation on the test images.
    void (*evaluate)(void *context, uint32_t done, uint32_t total);
    void *context;
};

// The folders that a job which names none may take: <root>/<model>-<time>, or with a number behind
// it from the second attempt on, for jobs of the same second. Attempts count from 1.
enum {
    FM_JOB_NAMES_TRIED = 100
};
enum fm_status fm_job_name_folder(
    const struct fm_job *job, const char *stamp, int attempt, char directory[FM_PATH_MAX]);

// Makes the run folder and writes its config.json; needs no data. `directory` receives the folder's
// path. FM_EXISTS: the folder holds a run and `force` is not set. FM_USAGE: no such model.
enum fm_status fm_job_begin(
    const struct fm_engine *engine, const struct fm_job *job, char directory[FM_PATH_MAX]);

// Runs the job in the folder, from its newest checkpoint if it has one, from step 0 if not, to its
// end. `*result` (may be NULL) gets a new reference to what result.json holds; docs/formats.md
// gives its keys. FM_EXISTS: another process is at it. FM_DATA: the data are not those the run
// began with. FM_INTERRUPTED: job->interrupted said so; the message says how to go on.
enum fm_status fm_job_run(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_job *job, const struct fm_job_hooks *hooks,
    const char *directory, json_t **result);

// The job of a run folder, to go on with. It borrows from `config`, which the caller frees with
// fm_run_config_free(). Device and precision are the caller's to open and set: config->backend,
// config->precision.
enum fm_status fm_job_read(const char *directory, struct fm_run_config *config, struct fm_job *job);

// Fills what the file of a transfer says of itself (sha256, source, known) into one that does not
// have it yet, so that not every job with these weights reads it for that. `full`: the job's.
// FM_DATA as fm_pretrained_read(), and for weights of this project's that were trained on what the
// job holds out; a file that does not say so is warned of.
enum fm_status fm_job_identify(struct fm_transfer *transfer, bool full);

// The same of the runs that a job is taught by: model and SHA-256. `full`: the job's. FM_NOT_FOUND
// for a folder of no finished run, FM_DATA for one that was trained on what the job holds out.
enum fm_status fm_job_identify_teachers(struct fm_teaching *teaching, bool full);

// FM_DATA where one of them was trained on other data, as fm_job_run() would find.
enum fm_status fm_job_check_teachers(
    const struct fm_teaching *teaching, const struct fm_dataset *dataset);

// The configuration of a job, as config.json and data.json hold it and fm_run_find() compares it.
// The caller frees it with fm_run_config_free(). `dataset` and `split` NULL: without the data.
// FM_USAGE, and what fm_job_identify() and fm_job_identify_teachers() say, of a job that is none.
enum fm_status fm_job_config(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_job *job, struct fm_run_config *config);

#endif
