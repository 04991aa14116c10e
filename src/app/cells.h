// Cells that several tables have.
#ifndef FM_APP_CELLS_H
#define FM_APP_CELLS_H

#include "report/table.h"

// The same text in every format; NULL: "-", and null in JSON.
void fm_text_cell(struct fm_table *table, const char *text);

// What a result was computed in: "bf16", "bf16, by rounding" or "fp32, products in TF32".
void fm_precision_cell(struct fm_table *table, const json_t *result);

#endif
