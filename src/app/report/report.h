// A report: one page of one or several finished runs, and its pictures as files. What it says of a
// run's worth and cost are the figures of the run's result.json; what it shows image by image is
// predicted anew, from the weights kept, on the run's own test images.
//
// Files of a report's folder: report.html, each chart as .png and .svg, and report.json, written
// last (docs/formats.md).
#ifndef FM_APP_REPORT_H
#define FM_APP_REPORT_H

#include "backend/registry.h"
#include "base/file.h"
#include "data/dataset.h"
#include "report/table.h"

#include <stdbool.h>

#define FM_REPORT_PAGE "report.html"

enum {
    FM_REPORT_RUNS_MAX = 16
};

struct fm_report_options {
    const char *const *runs; // folders of finished runs [run_count]
    int run_count;           // 1 to FM_REPORT_RUNS_MAX
    const char *directory;   // NULL: report-<time> in the current folder
    bool force;              // a report that is there is replaced, and its files are removed
    int argc;                // the command line, which the page tells
    char *const *argv;
    // Of a comparison: its claims (app/compare/claims.h) and sentences; NULL and 0: none.
    const struct fm_table *claims;
    char *const *notes;
    int note_count;
    // While a run predicts; may be NULL. A failure of it ends the report.
    enum fm_status (*progress)(void *context, uint32_t done, uint32_t total);
    void *context;
};

// What can be known before a device is opened: each run is named once, all were trained on the same
// data and classes (FM_DATA), and `directory` gets the name of a folder, or of none yet, that holds
// no report (FM_EXISTS).
enum fm_status fm_report_check(
    const struct fm_report_options *options, char directory[FM_PATH_MAX]);

// Predicts, draws and writes, into `directory` of fm_report_check(), which is made. FM_DATA: the
// data set is not the runs'.
enum fm_status fm_report_write(const struct fm_engine *engine, const struct fm_dataset *dataset,
    const struct fm_report_options *options, const char *directory);

#endif
