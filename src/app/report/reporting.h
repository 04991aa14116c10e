// What the parts of a report share: report.c checks and goes through the steps, report_run.c
// gathers what is known of a run, report_charts.c draws the files, report_table.c has the figures,
// report_page.c and report_confusion.c make the page. No header for others.
#ifndef FM_APP_REPORTING_H
#define FM_APP_REPORTING_H

#include "app/report/report.h"
#include "app/trained.h"
#include "eval/metrics.h"
#include "report/pages/page.h"

#include <jansson.h>

enum {
    FM_REPORT_NAME_MAX = 128,    // bytes of a run's name
    FM_REPORT_SHOWN_MAX = 40,    // sample predictions a run, and most confident mistakes
    FM_REPORT_CELL_MAX = 40,     // right images that a confusion cell shows
    FM_REPORT_COVERAGE_MAX = 128 // points of a coverage curve
};

// What the run took a test image for.
struct fm_report_prediction {
    uint32_t image; // index into the test images
    uint8_t predicted;
    float confidence; // the probability of that
};

struct fm_report_run {
    char directory[FM_PATH_MAX];
    char name[FM_REPORT_NAME_MAX]; // its model, or its folder's name where models are not enough
    json_t *result;
    struct fm_run_config config; // with its data
    // log.jsonl, a value an epoch [epochs]; NaN where there is none. One allocation.
    int epochs;
    double *epoch, *loss, *accuracy, *select_nll, *select_accuracy;
    // Of the test images, predicted in:
    enum fm_precision precision;
    bool emulated;
    struct fm_metrics metrics;
    struct fm_report_prediction *predictions; // [test count], the most confident first
    int coverage_count;
    double coverage[FM_REPORT_COVERAGE_MAX], covered_accuracy[FM_REPORT_COVERAGE_MAX];
};

// A report being made.
struct fm_reporting {
    const struct fm_engine *engine;
    const struct fm_dataset *dataset;
    const struct fm_report_options *options;
    const char *directory;
    char label[FM_PATH_MAX]; // of the data
    int classes;
    char *const *class_names;              // the first run's
    struct fm_report_run *runs;            // [options->run_count]
    uint32_t samples[FM_REPORT_SHOWN_MAX]; // test images that every run shows
    int sample_count;
    json_t *files; // names of what has been written, for report.json
};

// Configuration, result and log of the run in `directory`, no device needed.
enum fm_status fm_report_read_run(const char *directory, struct fm_report_run *run);
// Its predictions, metrics and coverage.
enum fm_status fm_report_predict(const struct fm_reporting *r, struct fm_report_run *run);
// Where the two losses of its log are not the same quantity, a sentence or two that say what each
// is; else nothing. For the chart of both and the page around it.
void fm_report_losses(const struct fm_report_run *run, struct fm_text *out);
void fm_report_free_run(struct fm_report_run *run); // one that is all zero, too
// Its predictions of r->samples, and its most confident mistakes: how many (and which are kept in
// `shown`).
int fm_report_samples(const struct fm_reporting *r, const struct fm_report_run *run,
    const struct fm_report_prediction *shown[FM_REPORT_SHOWN_MAX]);
int fm_report_mistakes(const struct fm_reporting *r, const struct fm_report_run *run,
    const struct fm_report_prediction *shown[FM_REPORT_SHOWN_MAX]);

// The figures: a row a run. `short_form`: without what a page tells in sentences (the notes), and
// without the models where they are the runs' names. The caller frees it.
enum fm_status fm_report_table(
    const struct fm_reporting *r, bool short_form, struct fm_table **table);
// What report.json holds; new reference.
enum fm_status fm_report_json(const struct fm_reporting *r, json_t **json);

// All pictures into the folder; their names into r->files.
enum fm_status fm_report_draw(const struct fm_reporting *r);
// "<folder>/<kind>" or "<folder>/<kind>-<run>": where a picture is, without .png and .svg.
enum fm_status fm_report_stem(const struct fm_reporting *r, const char *kind,
    const struct fm_report_run *run, char stem[FM_PATH_MAX]);

// The whole page, out of all that.
enum fm_status fm_report_page(const struct fm_reporting *r, const char *path);
// Its part of confusion matrices.
enum fm_status fm_report_confusion(const struct fm_reporting *r, struct fm_page *page);

#endif
