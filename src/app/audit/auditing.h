// Looking through a training set: which of its labels are probably wrong, and which images stand in
// it, or in it and in the test part, twice. What `fmnist audit RUN` does.
//
// The labels are judged by networks that have not seen them: the run's model is trained, with the
// run's recipe, on all folds of the training images but one, and predicts that one (confident
// learning, eval/audit/confident.h). Images that are near duplicates are in one fold, so that none
// is judged by a network that has seen its copy. No label is changed: a person decides.
//
// The folder of an audit:
//
//   folds.json            what the folds are predicted by; written first
//   fold-K/               a training under way, with its checkpoints; goes when it is done
//   fold-K.safetensors    probabilities of fold K, by a network trained on the others
//   issues.csv            labels that are probably wrong, most suspicious first
//   duplicates.csv        pairs of images that show the same
//   audit.html            a page to look through both
//   audit.json            all figures; written last
//
// An audit that was stopped, or killed, goes on with what stands there. docs/formats.md gives the
// keys.
#ifndef FM_APP_AUDITING_H
#define FM_APP_AUDITING_H

#include "backend/registry.h"
#include "base/file.h"
#include "data/dataset.h"
#include "data/split.h"
#include "eval/audit/confident.h"
#include "eval/audit/near.h"
#include "eval/audit/planted.h"
#include "report/table.h"
#include "run/run.h"
#include "train/recipe.h"
#include "train/train.h"

#include <jansson.h>

#define FM_AUDIT_FILE "audit.json"
#define FM_AUDIT_FOLDS "folds.json"

// What decides that a label is reported, and what the reported are sorted by. With 2 % of
// Fashion-MNIST's labels changed and 3 folds of `simple` the rules had, in the order of enum
// fm_prune, precisions of 0.19, 0.45, 0.40, 0.38, 0.46 and recalls of 0.99, 0.80, 0.96, 0.90, 0.89:
// the last is the best of both. Among as many first ones as were changed were 88 % of them by
// self-confidence, 73 % by margin.
#define FM_AUDIT_PRUNE FM_PRUNE_BOTH
#define FM_AUDIT_RANK FM_RANK_SELF_CONFIDENCE

struct fm_audit_hooks {
    // While fold `fold`, from 1, is trained; `remaining`: seconds, of all folds. May be NULL.
    void (*train)(void *context, int fold, int folds, const struct fm_train_progress *progress,
        double remaining);
    // While near duplicates are looked for. May be NULL.
    void (*near)(void *context, uint32_t done, uint32_t total);
    void *context;
};

struct fm_audit_options {
    const char *run;          // the run folder
    const char *directory;    // of the audit; NULL: <run>/audit, <run>/audit-planted
    int folds;                // 2 to FM_FOLDS_MAX
    double plant;             // share of the training labels that are changed first
    uint64_t seed;            // of folds, planted labels and trainings
    bool force;               // what another audit has left in the folder is removed
    int (*interrupted)(void); // struct fm_train_options; may be NULL
    struct fm_audit_hooks hooks;
    int argc; // of the command line, for the record
    char *const *argv;
};

// A class pair of the estimated joint: samples given `given` that are in truth `truth`.
struct fm_audit_pair {
    int given, truth;
    double images;   // estimated: n * Q[given][truth]
    uint32_t issues; // reported with that suggestion
};

enum fm_audit_part {
    FM_AUDIT_TRAIN,
    FM_AUDIT_SELECT,
    FM_AUDIT_CALIBRATE,
    FM_AUDIT_TEST,
    FM_AUDIT_PARTS,
};
extern const char *const fm_audit_part_names[]; // by enum fm_audit_part; ends with NULL

// Near duplicates between two parts, or within one: all pairs, those of copies with one another,
// too, and those that the list has no room for.
struct fm_audit_overlap {
    uint64_t pairs, identical, mirrored;
    uint64_t conflicts; // with different labels in the files
    uint32_t images;    // of the later part that have one in the earlier
};

struct fm_audit {
    const struct fm_dataset *dataset; // borrowed, like the next
    const struct fm_split *split;
    char run[FM_PATH_MAX], directory[FM_PATH_MAX];
    struct fm_run_config config; // of the run
    struct fm_recipe recipe;     // of the folds: the run's, which keeps the last epoch
    enum fm_precision precision;
    bool emulated;
    int classes, folds;
    uint64_t seed;
    double plant;

    uint32_t count;         // training images
    uint8_t *labels;        // [count] that the folds were trained on
    uint8_t *planted;       // [count] 1: changed
    uint32_t planted_count; // 0: nothing was planted
    uint8_t *fold;          // [count]
    float *probabilities;   // [count][classes], out of sample
    double accuracy;        // of their argmax against `labels`
    int folds_reused;       // that stood in the folder already
    double train_seconds;   // of the others

    struct fm_confident confident;
    uint8_t *found;              // [count] 1: reported
    uint32_t *order;             // [count] most suspicious first
    uint32_t issues;             // reported
    struct fm_audit_pair *pairs; // of classes, most images first; those with any
    int pair_count;

    struct fm_near near; // the list; training images count from 0, test images from `count`
    struct fm_audit_overlap overlaps[FM_AUDIT_PARTS][FM_AUDIT_PARTS]; // [earlier][later]
    struct fm_audit_overlap overlap;                                  // all; of its images below
    uint32_t leaked; // test images that have a near duplicate among all training images
    double near_seconds;
};

// Runs the audit and writes its folder. FM_EXISTS: the folder holds an audit of another
// configuration, or another process is at it. FM_INTERRUPTED: what is done is kept; the message
// says how to go on. FM_NOT_FOUND: no such run. On failure nothing needs to be freed.
enum fm_status fm_audit_run(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_audit_options *options, struct fm_audit *audit);
void fm_audit_free(struct fm_audit *audit);

// ---- What it has found

// Of an image of struct fm_near: the part it is in (all training images are in `train` of a run of
// --full), its index within its file, and the label that it has there.
struct fm_audit_image {
    enum fm_audit_part part;
    uint32_t index;
    uint8_t label;
    const uint8_t *record;
    const char *file; // the picture's path below the data's folder; NULL where there is none
};
struct fm_audit_image fm_audit_image(const struct fm_audit *audit, uint32_t image);

// The JSON of audit.json; new reference, NULL when out of memory.
json_t *fm_audit_json(const struct fm_audit *audit);

// In tables, which the caller frees: figures; class pairs, `most` of them; how well planted labels
// were found, by rule and by rank; duplicates by parts (`all`, or but for rows without any that are
// not of test and train); the issues, `most` of them; the duplicates.
enum fm_status fm_audit_summary(const struct fm_audit *audit, struct fm_table **table);
enum fm_status fm_audit_pairs(const struct fm_audit *audit, int most, struct fm_table **table);
enum fm_status fm_audit_rules(const struct fm_audit *audit, struct fm_table **table);
enum fm_status fm_audit_ranks(const struct fm_audit *audit, struct fm_table **table);
enum fm_status fm_audit_overlaps(const struct fm_audit *audit, bool all, struct fm_table **table);
enum fm_status fm_audit_issues(
    const struct fm_audit *audit, uint32_t most, struct fm_table **table);
enum fm_status fm_audit_duplicates(const struct fm_audit *audit, struct fm_table **table);

// How many pairs are counted that the table of duplicates has not got, and a sentence that says so.
uint64_t fm_audit_unlisted(const struct fm_audit *audit);
void fm_audit_append_unlisted(const struct fm_audit *audit, struct fm_text *out);

#endif
