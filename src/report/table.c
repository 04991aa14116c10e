// The cells of a table; table_print.c prints them.
#include "report/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cell {
    json_t *value;
    char *text;
};

struct column {
    char *key, *title;
    bool right;
};

struct fm_table {
    struct column *columns;
    int column_count;
    struct cell *cells; // row by row
    size_t count, capacity;
    bool failed;
};

enum fm_status fm_table_create(
    const struct fm_column *columns, int column_count, struct fm_table **out)
{
    struct fm_table *table = calloc(1, sizeof *table);
    size_t n = (size_t)column_count;
    *out = NULL;
    if (!table || !(table->columns = calloc(n, sizeof *table->columns)))
        goto fail;
    table->column_count = column_count;
    for (size_t i = 0; i < n; i++) {
        struct column *c = &table->columns[i];
        c->key = strdup(columns[i].key);
        c->title = strdup(columns[i].title);
        c->right = columns[i].right;
        if (!c->key || !c->title)
            goto fail;
    }
    *out = table;
    return FM_OK;
fail:
    fm_table_free(table);
    return fm_fail_memory("a table", n * sizeof(struct column));
}

void fm_table_free(struct fm_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->count; i++) {
        json_decref(table->cells[i].value);
        free(table->cells[i].text);
    }
    free(table->cells);
    for (int i = 0; i < table->column_count; i++) {
        free(table->columns[i].key);
        free(table->columns[i].title);
    }
    free(table->columns);
    free(table);
}

static bool reserve(struct fm_table *table)
{
    if (table->count < table->capacity)
        return true;
    size_t capacity = table->capacity ? 2 * table->capacity : 64;
    struct cell *cells = realloc(table->cells, capacity * sizeof *cells);
    if (!cells)
        return false;
    table->cells = cells;
    table->capacity = capacity;
    return true;
}

void fm_table_cell(struct fm_table *table, json_t *value, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        text = NULL;
    va_end(args);
    if (table->failed || !text || !reserve(table)) {
        table->failed = true;
        free(text);
        json_decref(value);
        return;
    }
    table->cells[table->count++] = (struct cell){value ? value : json_null(), text};
}

int fm_table_rows(const struct fm_table *table)
{
    size_t n = (size_t)table->column_count;
    return (int)((table->count + n - 1) / n);
}

// A cell that the last row does not have reads as an empty one.
static const struct cell *cell_at(const struct fm_table *table, int row, int column)
{
    static const struct cell none = {NULL, (char *)""};
    size_t at = (size_t)row * (size_t)table->column_count + (size_t)column;
    return at < table->count ? &table->cells[at] : &none;
}

int fm_table_columns(const struct fm_table *table)
{
    return table->column_count;
}

struct fm_column fm_table_column(const struct fm_table *table, int column)
{
    const struct column *c = &table->columns[column];
    return (struct fm_column){c->key, c->title, c->right};
}

const char *fm_table_text(const struct fm_table *table, int row, int column)
{
    return cell_at(table, row, column)->text;
}

json_t *fm_table_value(const struct fm_table *table, int row, int column)
{
    return cell_at(table, row, column)->value;
}

bool fm_table_failed(const struct fm_table *table)
{
    return table->failed;
}

enum fm_status fm_table_transpose(
    const struct fm_table *table, const char *skip, struct fm_table **out)
{
    int rows = fm_table_rows(table);
    struct fm_column *columns = calloc((size_t)rows + 1, sizeof *columns);
    *out = NULL;
    if (!columns || table->failed) {
        free(columns);
        return fm_fail_memory("a table", ((size_t)rows + 1) * sizeof *columns);
    }
    columns[0] = (struct fm_column){table->columns[0].key, table->columns[0].title, false};
    for (int row = 0; row < rows; row++) {
        const char *name = cell_at(table, row, 0)->text;
        columns[row + 1] = (struct fm_column){name, name, true};
    }
    enum fm_status status = fm_table_create(columns, rows + 1, out);
    free(columns);
    FM_TRY(status);
    for (int i = 1; i < table->column_count; i++) {
        const struct column *c = &table->columns[i];
        if (skip && strcmp(c->key, skip) == 0)
            continue;
        fm_table_cell(*out, json_string(c->key), "%s", c->title);
        for (int row = 0; row < rows; row++) {
            const struct cell *cell = cell_at(table, row, i);
            fm_table_cell(*out, json_incref(cell->value), "%s", cell->text);
        }
    }
    return FM_OK;
}
