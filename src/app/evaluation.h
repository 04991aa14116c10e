// Evaluating a finished run, or a weights file: what `fmnist eval RUN` does, and the JSON and
// tables of its answer.
#ifndef FM_APP_EVALUATION_H
#define FM_APP_EVALUATION_H

#include "backend/registry.h"
#include "base/file.h"
#include "data/dataset.h"
#include "data/split.h"
#include "eval/metrics.h"
#include "report/table.h"
#include "run/run.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

// The part of a data set that is evaluated on.
enum fm_part {
    FM_PART_SELECT,
    FM_PART_CALIBRATE,
    FM_PART_TEST,
};
extern const char *const fm_part_names[]; // by enum fm_part; ends with NULL

struct fm_evaluation {
    char directory[FM_PATH_MAX]; // of the run; or the file
    bool is_file;                // a weights file, and `config` as struct fm_trained has it
    enum fm_part part;
    struct fm_run_config config; // of the run
    const char *trained_on;      // as struct fm_trained has it
    enum fm_precision precision; // evaluated in
    bool emulated;
    size_t parameters;
    bool same_data; // the data set's checksums are those the run was trained on; of a file false
    struct fm_metrics metrics;
    char picture[FM_PATH_MAX]; // <run>/confusion-<part>.png; "" where there is none
    double seconds;            // of the evaluation
};

struct fm_evaluation_options {
    const char *directory; // of the run; or a weights file
    enum fm_part part;
    int batch; // 0: 256
    // After each batch; may be NULL.
    enum fm_status (*progress)(void *context, uint32_t done, uint32_t total);
    void *context;
};

// Reads the run's configuration and weights into a new model on the engine, evaluates it on a part
// of the data set and draws the confusion matrix into the run folder, with a warning in its place
// where that cannot be written to; of other data than the run's nothing is drawn. A weights file is
// evaluated alone, in fp32, without a picture. FM_NOT_FOUND: no run there; FM_DATA: the data set
// has another number of classes, or others, or in another order; FM_USAGE: a part that is held out,
// of what was trained on all images, or says so. On failure nothing needs to be freed.
enum fm_status fm_evaluation_run(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_split *split, const struct fm_evaluation_options *options,
    struct fm_evaluation *evaluation);
void fm_evaluation_free(struct fm_evaluation *evaluation);

// Whether the data set is known not to be the run's: of a weights file nothing is known of it.
bool fm_evaluation_of_other_data(const struct fm_evaluation *evaluation);
// Whether config.full is known: of a weights file, which need not say so, it may not be.
bool fm_evaluation_knows_full(const struct fm_evaluation *evaluation);

// The JSON that `fmnist eval --format json` prints; new reference, NULL when out of memory.
json_t *fm_evaluation_json(const struct fm_evaluation *evaluation);

// The same in tables: one row of figures; a row a class; the confusion matrix (a column a predicted
// class); the most confused pairs. The caller frees each.
enum fm_status fm_evaluation_summary(
    const struct fm_evaluation *evaluation, struct fm_table **table);
enum fm_status fm_evaluation_classes(
    const struct fm_evaluation *evaluation, struct fm_table **table);
enum fm_status fm_evaluation_confusion(
    const struct fm_evaluation *evaluation, struct fm_table **table);
enum fm_status fm_evaluation_confused(
    const struct fm_evaluation *evaluation, int pairs, struct fm_table **table);

// What both `fmnist eval` and result.json say of metrics: accuracy, nll, ece, macro_precision,
// macro_recall, macro_f1, count, correct, classes [{name, support, predicted, precision, recall,
// f1}], confusion [[...]] and most_confused [{actual, predicted, count, share}]. New reference,
// NULL when out of memory.
json_t *fm_metrics_json(const struct fm_metrics *metrics, char *const *class_names);

#endif
