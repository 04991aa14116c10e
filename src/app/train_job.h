// A training job from a data set to a finished run folder: what `fmnist train` does, and what
// `fmnist compare` does for each row that no finished run answers.
//
// The order is the honest one: config.json is written before anything is trained; the network is
// trained and its weights saved by code that is given the training part only (src/train); the test
// images are looked at once, after that, and result.json, which says that the run is finished,
// last.
#ifndef FM_APP_TRAIN_JOB_H
#define FM_APP_TRAIN_JOB_H

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
    uint64_t seed;
    enum fm_precision precision;
    double max_minutes;    // ends at the end of the epoch in which it is reached; 0: no limit
    const char *directory; // NULL: a new folder <root>/<model>-<time>
    const char *root;      // NULL: "runs"
    bool force;            // a run that is there is replaced
    int argc;              // of the command line, for the record
    char *const *argv;
};

// What a job tells while it runs; any member may be NULL. All are called in the caller's thread.
struct fm_job_hooks {
    // Once, when the run folder is made and before the first step.
    void (*begin)(void *context, const char *model, const char *directory, size_t parameters);
    void (*train)(void *context, const struct fm_train_progress *progress);
    // After each batch of the evaluation on the test images.
    void (*evaluate)(void *context, uint32_t done, uint32_t total);
    void *context;
};

// Runs the job. `directory` receives the run folder's path (also when the training fails),
// `*result` (may be NULL) a new reference to what result.json holds; docs/formats.md gives its
// keys. FM_EXISTS: the folder holds a run and `force` is not set. FM_USAGE: no such model.
enum fm_status fm_job_run(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_job *job, const struct fm_job_hooks *hooks,
    char directory[FM_PATH_MAX], json_t **result);

// The configuration of a job, as config.json holds it and fm_run_find() compares it. The caller
// frees it with fm_run_config_free().
enum fm_status fm_job_config(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_job *job, struct fm_run_config *config);

#endif
