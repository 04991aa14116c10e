// A folder that a command writes its answer into.
#ifndef FM_APP_OUTPUT_H
#define FM_APP_OUTPUT_H

#include "report/table.h"

#include <stdbool.h>

// FM_EXISTS where `directory` is a file or, unless `force`, holds any of `names`, which end with
// NULL.
enum fm_status fm_output_check(const char *directory, const char *const *names, bool force);

// <directory>/<name>, whole or not at all: the text, or the table as CSV.
enum fm_status fm_output_text(const char *directory, const char *name, const struct fm_text *text);
enum fm_status fm_output_csv(const char *directory, const char *name, const struct fm_table *table);

#endif
