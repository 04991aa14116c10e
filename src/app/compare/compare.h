// The comparison of models: reuses finished runs of the same configuration, goes on with unfinished
// ones, trains what is missing, and puts what result.json of each says into one table, beside what
// the original claims.
#ifndef FM_APP_COMPARE_H
#define FM_APP_COMPARE_H

#include "app/train/train_job.h"
#include "report/table.h"

#include <jansson.h>

// The models compared by default: simple, deeper, vgg16; ends with NULL.
extern const char *const fm_compare_models[];

// A row: the model, what it begins with and its recipe, resolved by the caller (a recipe file may
// hold values for single models). Of one model there may be a row of each mode.
struct fm_compare_entry {
    const char *model;
    struct fm_transfer transfer; // struct fm_job
    int input_size;              // the same
    struct fm_recipe recipe;
    struct fm_recipe named; // as its file has it: what differs is told; zero: there is no file
};

// Where a row comes from.
enum fm_row_source {
    FM_ROW_TRAINED,  // in a new folder
    FM_ROW_RESUMED,  // an unfinished run, gone on with
    FM_ROW_FINISHED, // a finished run, reused
};

struct fm_compare_options {
    const struct fm_compare_entry *entries;
    int entry_count;
    uint64_t seed;
    enum fm_precision precision;
    bool emulate;  // struct fm_model_options
    bool resident; // struct fm_train_options, like the next two
    double checkpoint_seconds;
    int (*interrupted)(void);
    bool tensorboard;          // struct fm_job; a finished run that has no event files gets them
    const char *feature_cache; // struct fm_job, like the next
    bool feature_cache_named;
    const char *data;      // as asked for; NULL: it was looked for
    double max_minutes;    // of each training; 0: no limit
    const char *root;      // where runs are looked for and made; NULL: "runs"
    const char *directory; // the comparison's own; NULL: <root>/compare-<time>
    bool fresh;            // trains all rows anew
    bool force;            // a comparison that is in `directory` is replaced
    int argc;
    char *const *argv;
    // Before each row, `name` as fm_transfer_run_name() has it; `directory`: of the run, NULL for
    // one that has none yet. May be NULL.
    void (*row)(void *context, int index, int count, const char *name, enum fm_row_source source,
        const char *directory);
    void *row_context;
    struct fm_job_hooks hooks; // of each training
};

struct fm_comparison {
    // Where compare.md, .csv, .json, .png, claims.csv and the files of a report
    // (app/report/report.h) are.
    char directory[FM_PATH_MAX];
    struct fm_table *table;        // a row a model
    struct fm_table *tall;         // the same for a terminal: a column a model, no notes
    struct fm_table *claims;       // app/compare/claims.h
    struct fm_table *claims_shown; // the same for people: without the command, which is one for all
    char **notes;                  // sentences that belong under the tables, in order; owned
    int note_count;
    json_t *json; // what compare.json holds
};

// A run that --max-minutes ended early is reused only where no more time is allowed now than then.
// On failure nothing needs to be freed, and the runs finished so far stay and will be reused; the
// comparison's folder is made only when all rows are there.
enum fm_status fm_compare(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_compare_options *options,
    struct fm_comparison *comparison);
void fm_comparison_free(struct fm_comparison *comparison);

// All of it as a command prints it in `format`: the table, the claims, the notes (JSON:
// compare.json's object; CSV: the table alone).
enum fm_status fm_comparison_print(
    const struct fm_comparison *comparison, enum fm_format format, struct fm_text *out);

// The comparison table of any number of results, each as result.json holds it. The caller frees it.
enum fm_status fm_compare_table(json_t *const *results, int count, struct fm_table **table);

#endif
