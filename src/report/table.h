// A table of results in any of the four formats that commands print.
#ifndef FM_REPORT_TABLE_H
#define FM_REPORT_TABLE_H

#include "base/status.h"
#include "base/text.h"

#include <jansson.h>
#include <stdbool.h>

enum fm_format {
    FM_FORMAT_TEXT,
    FM_FORMAT_MARKDOWN,
    FM_FORMAT_CSV,
    FM_FORMAT_JSON,
};
extern const char *const fm_format_names[]; // by enum fm_format; ends with NULL

struct fm_column {
    const char *key;   // stable JSON key and CSV heading: "test_accuracy"
    const char *title; // for people: "test"
    bool right;        // aligned right
};

// Cells: a text for people and a JSON value for machines (which CSV prints plainly). Owns its
// cells.
struct fm_table;

enum fm_status fm_table_create(
    const struct fm_column *columns, int column_count, struct fm_table **table);
void fm_table_free(struct fm_table *table);

// Appends a cell to the present row (the first cell of a full row begins the next). `value` is
// stolen (NULL becomes null). Out of memory is kept and reported by fm_table_print.
void fm_table_cell(struct fm_table *table, json_t *value, const char *fmt, ...) FM_PRINTF(3, 4);
int fm_table_rows(const struct fm_table *table);

// For those that show a table in another way: its columns and cells, borrowed as long as it
// is unchanged ("" and NULL where the last row ends before `column`).
int fm_table_columns(const struct fm_table *table);
struct fm_column fm_table_column(const struct fm_table *table, int column);
const char *fm_table_text(const struct fm_table *table, int row, int column);
json_t *fm_table_value(const struct fm_table *table, int row, int column);
bool fm_table_failed(const struct fm_table *table); // out of memory: it is not all there

// A new table with a row for each column of `table` (its titles stand in the first column, headed
// by the first column's title) and a column for each row, named by the row's first cell: what is
// too wide for a terminal. The column with key `skip` is left out (NULL: none). The caller frees
// it.
enum fm_status fm_table_transpose(
    const struct fm_table *table, const char *skip, struct fm_table **out);

// Appends the table to `out`: aligned columns, a Markdown table ('|' escaped), RFC 4180 CSV (a text
// that starts like a formula is quoted with a leading apostrophe), or a JSON array of objects.
enum fm_status fm_table_print(
    const struct fm_table *table, enum fm_format format, struct fm_text *out);
// As text whose columns are at least `widths` wide, which become what they are [columns]: of a
// table that is printed in parts, each with those of the part before it. The first begins with
// zeros.
enum fm_status fm_table_print_wide(const struct fm_table *table, int *widths, struct fm_text *out);
// As text for a terminal of so many columns (0: not known). Where lines would be wider, the words
// of the last column go on in it on further lines, if it is of texts and has room enough; or else
// the rows become columns (fm_table_transpose()), if their first cells are names and that fits.
enum fm_status fm_table_print_within(const struct fm_table *table, int width, struct fm_text *out);
json_t *fm_table_json(const struct fm_table *table); // new reference

#endif
