// The results of one training, or of one repeated with several seeds, as a table and as JSON.
#ifndef FM_APP_TRAIN_TABLE_H
#define FM_APP_TRAIN_TABLE_H

#include "app/train/seeds.h"
#include "report/table.h"

// A row for each result, and below them, of a group, mean and standard deviation (of a sample, with
// n - 1). The caller frees the table.
enum fm_status fm_train_table(
    const struct fm_seeds *seeds, json_t *const *results, struct fm_table **table);

// Of a group: {"runs": results with "run", "mean": {...}, "deviation": {...}}; of one run its
// result with "run". A new reference.
json_t *fm_train_json(const struct fm_seeds *seeds, json_t *const *results);

// Writes the group's summary.md.
enum fm_status fm_train_write_summary(const struct fm_seeds *seeds, const struct fm_table *table);

#endif
