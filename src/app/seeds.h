// One training repeated with several seeds: a folder of run folders, and what their figures have in
// common.
//
//   DIR/seeds.json   {"format", "runs": ["seed-1", "seed-2", ...]}: makes the folder a group
//   DIR/seed-N/      run folders
//   DIR/summary.md   the table of all runs, mean and deviation: written when all are finished
#ifndef FM_APP_SEEDS_H
#define FM_APP_SEEDS_H

#include "app/train_job.h"
#include "report/table.h"

enum {
    FM_SEEDS_MAX = 1000
};

// Makes the group's folder (job->directory, or <root>/<model>-<time>) and every run's in it, each
// with its config.json; needs no data. FM_EXISTS where one of them is a run and job->force is not
// set.
enum fm_status fm_seeds_begin(const struct fm_engine *engine, const struct fm_job *job, int count,
    char directory[FM_PATH_MAX]);

bool fm_seeds_is_group(const char *directory);

// The run folders of a group, in the order of its seeds; the caller frees them with
// fm_seeds_free(). A folder that is no group is taken for its own only run.
struct fm_seeds {
    char **directories;
    int count;
    bool group;
};
enum fm_status fm_seeds_read(const char *directory, struct fm_seeds *seeds);
void fm_seeds_free(struct fm_seeds *seeds);

// Takes the folders of runs away that have read no data yet, and the group's if that leaves it
// empty: for a beginning that came to nothing.
void fm_seeds_discard(const struct fm_seeds *seeds, const char *directory);

// A row for each result, and below them, of several, mean and standard deviation (of a sample, with
// n - 1). The caller frees the table.
enum fm_status fm_seeds_table(
    const struct fm_seeds *seeds, json_t *const *results, struct fm_table **table);

// Of several: {"runs": results with "run", "mean": {...}, "deviation": {...}}; of one its result
// with "run". A new reference.
json_t *fm_seeds_json(const struct fm_seeds *seeds, json_t *const *results);

// Writes summary.md into the group's folder.
enum fm_status fm_seeds_write_summary(const char *directory, const struct fm_table *table);

#endif
