// What the files of an audit share. Nobody else includes it.
//
//   auditing.c            the order of the work
//   auditing_near.c       near duplicates: the search, its counts, folds that part none
//   auditing_folder.c     the folder: whose it is, what is removed
//   auditing_folds.c      networks trained on folds, and what they predict
//   auditing_figures.c    the JSON of audit.json
//   auditing_tables.c     the same for people
//   auditing_page.c       audit.html
#ifndef FM_APP_AUDITING_PARTS_H
#define FM_APP_AUDITING_PARTS_H

#include "app/audit/auditing.h"
#include "net/files/pretrained.h"

struct fm_auditing {
    const struct fm_engine *engine;
    const struct fm_audit_options *options;
    struct fm_audit *audit;
    struct fm_pretrained weights; // that each fold begins with, as the run did; zero: none
    uint32_t *unit;   // [count] data/units.h: of near duplicates; NULL: not looked for yet
    bool from_before; // the folder's folds were dealt without a look at near duplicates
};

// Makes or takes the audit's folder and locks it: `*lock` is closed with fm_run_unlock().
enum fm_status fm_audit_open_folder(struct fm_auditing *a, int *lock);
enum fm_status fm_audit_fold_path(const struct fm_audit *audit, int fold, char out[FM_PATH_MAX]);
// The folder of the training of a fold.
enum fm_status fm_audit_fold_folder(const struct fm_audit *audit, int fold, char out[FM_PATH_MAX]);

// Fills audit->probabilities: from the folder, or by training.
enum fm_status fm_audit_predict(struct fm_auditing *a);

// FM_INTERRUPTED where the options say so.
enum fm_status fm_audit_check_interrupt(const struct fm_audit_options *options, const char *during);

// Fills a->unit, audit->near and all counts of it.
enum fm_status fm_audit_find_duplicates(struct fm_auditing *a);
// Deals audit->fold again, with near duplicates in one fold. FM_EXISTS: the folder's folds are
// others.
enum fm_status fm_audit_keep_together(struct fm_auditing *a);

// Writes audit.html into the folder.
enum fm_status fm_audit_write_page(const struct fm_audit *audit);

#endif
