// One training repeated with several seeds: a folder of run folders.
//
//   DIR/seeds.json   "format", "seed", "count", "config": makes the folder a group and says all
//   that
//                    its runs are; "config" is the first one's config.json
//   DIR/seed-N/      run folders
//   DIR/summary.md   the table of all runs, mean and deviation: written when all are finished
#ifndef FM_APP_SEEDS_H
#define FM_APP_SEEDS_H

#include "app/train/train_job.h"

enum {
    FM_SEEDS_MAX = 1000
};
#define FM_SEEDS_SUMMARY "summary.md"

// A group, or a single run as a group of its own: `group` tells them apart.
struct fm_seeds {
    bool group;
    char directory[FM_PATH_MAX];
    struct fm_run_config config; // of a group: its first run's, without data
    char **directories;          // of the runs, in the order of their seeds; owned
    int count;
};

// Makes the group's folder (job->directory, or <root>/<model>-<time>) and every run's in it, each
// with its config.json; needs no data. FM_EXISTS where the folder is a run, or is a group or holds
// a run of these seeds and job->force is not set; with it these are removed first, unless another
// process is training one of them.
enum fm_status fm_seeds_begin(const struct fm_engine *engine, const struct fm_job *job, int count,
    char directory[FM_PATH_MAX]);

// The runs of a folder; freed with fm_seeds_free().
enum fm_status fm_seeds_read(const char *directory, struct fm_seeds *seeds);
void fm_seeds_free(struct fm_seeds *seeds);

// Makes the folders of a group that its beginning was too short for.
enum fm_status fm_seeds_complete(const struct fm_seeds *seeds);

// FM_DATA where the folder of a group's run `index` holds another training than the group's.
enum fm_status fm_seeds_check_run(const struct fm_seeds *seeds, int index);

// Takes the folders of runs away that have read no data yet, and the group's if that leaves it
// empty: for a beginning that came to nothing.
void fm_seeds_discard(const struct fm_seeds *seeds);

#endif
