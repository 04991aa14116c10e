// One table, four formats: what people read and what programs parse come from the same cells, so
// that they cannot disagree.
#include "report/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The narrowest that a last column is folded to.
enum {
    FOLD_LEAST = 20
};

// Digits of a real number in CSV and JSON: what survives a double's way through text unchanged,
// without the noise of the last two ("0.91", not "0.91000000000000003").
enum {
    REAL_DIGITS = 15
};

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

const char *const fm_format_names[] = {"text", "markdown", "csv", "json", NULL};

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

const json_t *fm_table_value(const struct fm_table *table, int row, int column)
{
    return cell_at(table, row, column)->value;
}

bool fm_table_failed(const struct fm_table *table)
{
    return table->failed;
}

// Columns that a UTF-8 text takes: its code points (class names may hold more than ASCII).
static int text_width(const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void append_spaces(struct fm_text *out, int count)
{
    if (count > 0)
        fm_text_append(out, "%*s", count, "");
}

static void append_repeated(struct fm_text *out, char c, int count)
{
    for (int i = 0; i < count; i++)
        fm_text_append_bytes(out, &c, 1);
}

// A control character in a class name or a path must not reach a terminal.
static void append_printable(struct fm_text *out, const char *text)
{
    for (; *text; text++)
        fm_text_append_bytes(out, (unsigned char)*text < 0x20 || *text == 0x7f ? "?" : text, 1);
}

static void append_aligned(struct fm_text *out, const char *text, int width, bool right, bool last)
{
    int padding = width - text_width(text);
    if (right && (text[0] || !last)) // no spaces at the end of a line
        append_spaces(out, padding);
    append_printable(out, text);
    if (!right && !last)
        append_spaces(out, padding);
}

// Bytes of the words of `text` that fit into `room` columns, of the first one whatever it takes.
static size_t words_within(const char *text, int room)
{
    size_t taken = 0;
    int width = 0;
    for (size_t i = 0; width <= room || taken == 0; i++) {
        if (text[i] == '\0' || text[i] == ' ')
            taken = i;
        if (text[i] == '\0')
            break;
        width += ((unsigned char)text[i] & 0xc0) != 0x80;
    }
    return taken;
}

// The words of `text` on lines of `room` columns; those after the first begin behind `indent`.
static void append_folded(struct fm_text *out, const char *text, int indent, int room)
{
    for (;;) {
        size_t taken = words_within(text, room);
        char *line = strndup(text, taken);
        if (!line) {
            out->failed = true;
            return;
        }
        append_printable(out, line);
        free(line);
        text += taken;
        if (*text == '\0')
            return;
        text++; // the space
        fm_text_append(out, "\n");
        append_spaces(out, indent);
    }
}

static int column_width(const struct fm_table *table, int column)
{
    int width = text_width(table->columns[column].title);
    for (int row = 0; row < fm_table_rows(table); row++) {
        int w = text_width(cell_at(table, row, column)->text);
        width = w > width ? w : width;
    }
    return width;
}

// `room`: the columns that the last column's texts are folded to; 0: they are not.
static void print_text(
    const struct fm_table *table, const int *widths, int room, struct fm_text *out)
{
    int n = table->column_count, indent = 0;
    for (int i = 0; i < n - 1; i++)
        indent += widths[i] + 2;
    for (int row = -2; row < fm_table_rows(table); row++) { // -2: the titles, -1: the rule
        for (int i = 0; i < n; i++) {
            const struct column *c = &table->columns[i];
            append_spaces(out, i > 0 ? 2 : 0);
            bool folds = room > 0 && i == n - 1;
            if (row == -1)
                append_repeated(out, '-', folds ? room : widths[i]);
            else if (folds && row >= 0)
                append_folded(out, cell_at(table, row, i)->text, indent, room);
            else
                append_aligned(out, row == -2 ? c->title : cell_at(table, row, i)->text, widths[i],
                    c->right, i == n - 1);
        }
        fm_text_append(out, "\n");
    }
}

static void append_markdown(struct fm_text *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|' || *text == '\\')
            fm_text_append(out, "\\%c", *text);
        else if (*text == '<')
            fm_text_append(out, "&lt;");
        else
            fm_text_append_bytes(out, *text == '\n' || *text == '\r' ? " " : text, 1);
    }
}

static void print_markdown(const struct fm_table *table, struct fm_text *out)
{
    int n = table->column_count;
    for (int row = -2; row < fm_table_rows(table); row++) {
        fm_text_append(out, "|");
        for (int i = 0; i < n; i++) {
            const struct column *c = &table->columns[i];
            if (row == -1) {
                fm_text_append(out, c->right ? "---:|" : "---|");
                continue;
            }
            fm_text_append(out, " ");
            append_markdown(out, row == -2 ? c->title : cell_at(table, row, i)->text);
            fm_text_append(out, " |");
        }
        fm_text_append(out, "\n");
    }
}

// RFC 4180. A spreadsheet takes a text that starts with one of these for a formula; an apostrophe
// makes it text again. Numbers are never changed: -0.5 stays a number.
static void append_csv_text(struct fm_text *out, const char *text)
{
    bool formula = text[0] != '\0' && strchr("=+-@\t\r", text[0]);
    if (!formula && !strpbrk(text, ",\"\r\n")) {
        fm_text_append(out, "%s", text);
        return;
    }
    fm_text_append(out, formula ? "\"'" : "\"");
    for (; *text; text++)
        fm_text_append(out, *text == '"' ? "\"%c" : "%c", *text);
    fm_text_append(out, "\"");
}

static void append_csv_value(struct fm_text *out, const json_t *value)
{
    if (!value || json_is_null(value))
        return;
    if (json_is_string(value)) {
        append_csv_text(out, json_string_value(value));
        return;
    }
    char *dump = json_dumps(
        value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS));
    if (!dump)
        out->failed = true;
    else if (json_is_array(value) || json_is_object(value))
        append_csv_text(out, dump);
    else
        fm_text_append(out, "%s", dump);
    free(dump);
}

static void print_csv(const struct fm_table *table, struct fm_text *out)
{
    for (int row = -1; row < fm_table_rows(table); row++) {
        for (int i = 0; i < table->column_count; i++) {
            fm_text_append(out, i > 0 ? "," : "");
            if (row < 0)
                append_csv_text(out, table->columns[i].key);
            else
                append_csv_value(out, cell_at(table, row, i)->value);
        }
        fm_text_append(out, "\r\n");
    }
}

json_t *fm_table_json(const struct fm_table *table)
{
    json_t *rows = json_array();
    for (int row = 0; rows && row < fm_table_rows(table); row++) {
        json_t *object = json_object();
        int failed = json_array_append_new(rows, object);
        for (int i = 0; !failed && i < table->column_count; i++) {
            json_t *value = cell_at(table, row, i)->value;
            failed = json_object_set(object, table->columns[i].key, value ? value : json_null());
        }
        if (failed) {
            json_decref(rows);
            return NULL;
        }
    }
    return rows;
}

static void print_json(const struct fm_table *table, struct fm_text *out)
{
    json_t *rows = fm_table_json(table);
    char *dump = rows ? json_dumps(rows, JSON_INDENT(2) | JSON_REAL_PRECISION(REAL_DIGITS)) : NULL;
    if (dump)
        fm_text_append(out, "%s\n", dump);
    else
        out->failed = true;
    free(dump);
    json_decref(rows);
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

// Folded where lines would be wider than `width` columns, if enough is left for the last; 0: never.
static void print_within(const struct fm_table *table, int width, struct fm_text *out)
{
    int n = table->column_count, room = width;
    int *widths = calloc((size_t)n, sizeof *widths);
    if (!widths) {
        out->failed = true;
        return;
    }
    for (int i = 0; i < n; i++) {
        widths[i] = column_width(table, i);
        room -= i < n - 1 ? widths[i] + 2 : 0;
    }
    bool folds = room >= FOLD_LEAST && widths[n - 1] > room && !table->columns[n - 1].right;
    print_text(table, widths, folds ? room : 0, out);
    free(widths);
}

static void print_aligned(const struct fm_table *table, struct fm_text *out)
{
    print_within(table, 0, out);
}

static enum fm_status printed(const struct fm_table *table, const struct fm_text *out)
{
    if (table->failed || out->failed)
        return fm_fail_memory("a table", table->count * sizeof *table->cells);
    return FM_OK;
}

enum fm_status fm_table_print_within(const struct fm_table *table, int width, struct fm_text *out)
{
    if (!table->failed)
        print_within(table, width, out);
    return printed(table, out);
}

enum fm_status fm_table_print(
    const struct fm_table *table, enum fm_format format, struct fm_text *out)
{
    static void (*const printers[])(const struct fm_table *, struct fm_text *) = {
        [FM_FORMAT_TEXT] = print_aligned,
        [FM_FORMAT_MARKDOWN] = print_markdown,
        [FM_FORMAT_CSV] = print_csv,
        [FM_FORMAT_JSON] = print_json,
    };
    if (!table->failed)
        printers[format](table, out);
    return printed(table, out);
}
