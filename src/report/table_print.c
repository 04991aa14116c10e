// One table, four formats: what people read and what programs parse come from the same cells, so
// that they cannot disagree.
#include "report/table.h"

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

const char *const fm_format_names[] = {"text", "markdown", "csv", "json", NULL};

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

static void append_folded(struct fm_text *out, const char *text, int indent, int room)
{
    struct fm_text clean = {0};
    append_printable(&clean, text);
    fm_text_append_folded(out, fm_text_cstr(&clean), indent, room);
    out->failed = out->failed || clean.failed;
    fm_text_free(&clean);
}

static int column_width(const struct fm_table *table, int column)
{
    int width = text_width(fm_table_column(table, column).title);
    for (int row = 0; row < fm_table_rows(table); row++) {
        int w = text_width(fm_table_text(table, row, column));
        width = w > width ? w : width;
    }
    return width;
}

// `room`: the columns that the last column's texts are folded to; 0: they are not.
static void print_text(
    const struct fm_table *table, const int *widths, int room, struct fm_text *out)
{
    int n = fm_table_columns(table), indent = 0;
    for (int i = 0; i < n - 1; i++)
        indent += widths[i] + 2;
    for (int row = -2; row < fm_table_rows(table); row++) { // -2: the titles, -1: the rule
        for (int i = 0; i < n; i++) {
            const struct fm_column c = fm_table_column(table, i);
            append_spaces(out, i > 0 ? 2 : 0);
            bool folds = room > 0 && i == n - 1;
            if (row == -1)
                append_repeated(out, '-', folds ? room : widths[i]);
            else if (folds && row >= 0)
                append_folded(out, fm_table_text(table, row, i), indent, room);
            else
                append_aligned(out, row == -2 ? c.title : fm_table_text(table, row, i), widths[i],
                    c.right, i == n - 1);
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
    int n = fm_table_columns(table);
    for (int row = -2; row < fm_table_rows(table); row++) {
        fm_text_append(out, "|");
        for (int i = 0; i < n; i++) {
            const struct fm_column c = fm_table_column(table, i);
            if (row == -1) {
                fm_text_append(out, c.right ? "---:|" : "---|");
                continue;
            }
            fm_text_append(out, " ");
            append_markdown(out, row == -2 ? c.title : fm_table_text(table, row, i));
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
        for (int i = 0; i < fm_table_columns(table); i++) {
            fm_text_append(out, i > 0 ? "," : "");
            if (row < 0)
                append_csv_text(out, fm_table_column(table, i).key);
            else
                append_csv_value(out, fm_table_value(table, row, i));
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
        for (int i = 0; !failed && i < fm_table_columns(table); i++) {
            json_t *value = fm_table_value(table, row, i);
            failed = json_object_set(
                object, fm_table_column(table, i).key, value ? value : json_null());
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

// Each column's width, and all their sum, with two spaces between; NULL: out of memory.
static int *column_widths(const struct fm_table *table, int *sum)
{
    int n = fm_table_columns(table);
    int *widths = calloc((size_t)n, sizeof *widths);
    *sum = 2 * (n - 1);
    for (int i = 0; widths && i < n; i++)
        *sum += widths[i] = column_width(table, i);
    return widths;
}

static void print_aligned(const struct fm_table *table, struct fm_text *out)
{
    int sum, *widths = column_widths(table, &sum);
    if (widths)
        print_text(table, widths, 0, out);
    else
        out->failed = true;
    free(widths);
}

// Whether it has printed the table with rows as columns: if the first column names them and that is
// no wider than `width`.
static bool try_transposed(const struct fm_table *table, int width, struct fm_text *out)
{
    struct fm_table *tall;
    int sum;
    int rows = fm_table_rows(table);
    if (fm_table_columns(table) == 1 || rows == 0 || 3 * rows > width ||
        fm_table_column(table, 0).right)
        return false; // it would not fit, or its rows have no names
    if (fm_table_transpose(table, NULL, &tall) != FM_OK) {
        out->failed = true;
        return false;
    }
    int *widths = column_widths(tall, &sum);
    out->failed = out->failed || !widths || fm_table_failed(tall);
    bool fits = widths && sum <= width;
    if (fits)
        print_text(tall, widths, 0, out);
    free(widths);
    fm_table_free(tall);
    return fits;
}

static void print_within(const struct fm_table *table, int width, struct fm_text *out)
{
    int sum, *widths = column_widths(table, &sum), last = fm_table_columns(table) - 1;
    if (!widths) {
        out->failed = true;
        return;
    }
    int room = width - (sum - widths[last]);
    bool wide = sum > width;
    bool folds = wide && room >= FOLD_LEAST && !fm_table_column(table, last).right;
    if (folds || !wide || !try_transposed(table, width, out))
        print_text(table, widths, folds ? room : 0, out);
    free(widths);
}

static enum fm_status printed(const struct fm_table *table, const struct fm_text *out)
{
    if (fm_table_failed(table) || out->failed)
        return fm_fail(FM_MEMORY, "out of memory for a table");
    return FM_OK;
}

enum fm_status fm_table_print_wide(const struct fm_table *table, int *widths, struct fm_text *out)
{
    for (int i = 0; i < fm_table_columns(table); i++) {
        int width = column_width(table, i);
        widths[i] = width > widths[i] ? width : widths[i];
    }
    if (!fm_table_failed(table))
        print_text(table, widths, 0, out);
    return printed(table, out);
}

enum fm_status fm_table_print_within(const struct fm_table *table, int width, struct fm_text *out)
{
    if (width <= 0)
        return fm_table_print(table, FM_FORMAT_TEXT, out);
    if (!fm_table_failed(table))
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
    if (!fm_table_failed(table))
        printers[format](table, out);
    return printed(table, out);
}
