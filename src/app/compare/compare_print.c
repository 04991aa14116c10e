// A comparison for people and programs: the tables with the sentences that belong under them.
#include "app/compare/compare.h"

#include "app/compare/claims.h"
#include "run/json.h"

#include <string.h>

enum {
    TERMINAL_WIDTH = 100 // notes are broken there
};

// A sentence after a bullet, broken between words at `width` columns; 0: in one line.
static void append_note(struct fm_text *text, const char *bullet, const char *note, size_t width)
{
    size_t column = strlen(bullet);
    fm_text_append(text, "%s", bullet);
    while (*note) {
        size_t word = strcspn(note, " ");
        bool first = column == strlen(bullet);
        if (!first && width > 0 && column + 1 + word > width) {
            fm_text_append(text, "\n%*s", (int)strlen(bullet), "");
            column = strlen(bullet);
        } else if (!first) {
            fm_text_append(text, " ");
            column++;
        }
        fm_text_append_bytes(text, note, word);
        column += word;
        note += word;
        note += strspn(note, " ");
    }
    fm_text_append(text, "\n");
}

static void append_notes(
    const struct fm_comparison *out, const char *bullet, size_t width, struct fm_text *text)
{
    for (int i = 0; i < out->note_count; i++)
        append_note(text, bullet, out->notes[i], width);
}

static void append_claims_notes(const char *bullet, size_t width, struct fm_text *text)
{
    for (int i = 0; fm_claims_notes[i]; i++)
        append_note(text, bullet, fm_claims_notes[i], width);
}

// In one line: what a file name may hold must not reach a terminal, nor end a block of Markdown.
static void append_command(const struct fm_comparison *out, struct fm_text *text)
{
    const json_t *environment = json_object_get(out->json, "environment");
    for (const char *at = fm_json_string(environment, "command"); *at; at++)
        fm_text_append_bytes(text, (unsigned char)*at < 0x20 || *at == 0x7f ? "?" : at, 1);
    fm_text_append(text, "\n\n");
}

static enum fm_status append_markdown(const struct fm_comparison *out, struct fm_text *text)
{
    FM_TRY(fm_table_print(out->table, FM_FORMAT_MARKDOWN, text));
    fm_text_append(text, "\n");
    append_notes(out, "- ", 0, text);
    fm_text_append(text, "\n## What the original claims\n\n");
    fm_text_append(text, "Measured here by:\n\n    ");
    append_command(out, text);
    FM_TRY(fm_table_print(out->claims_shown, FM_FORMAT_MARKDOWN, text));
    fm_text_append(text, "\n");
    append_claims_notes("- ", 0, text);
    return FM_OK;
}

static enum fm_status print_text(const struct fm_comparison *comparison, struct fm_text *out)
{
    FM_TRY(fm_table_print(comparison->tall, FM_FORMAT_TEXT, out));
    fm_text_append(out, "\n");
    append_notes(comparison, "* ", TERMINAL_WIDTH, out);
    fm_text_append(out, "\nWhat the original claims\n\nMeasured here by: ");
    append_command(comparison, out);
    FM_TRY(fm_table_print(comparison->claims_shown, FM_FORMAT_TEXT, out));
    fm_text_append(out, "\n");
    append_claims_notes("* ", TERMINAL_WIDTH, out);
    return FM_OK;
}

enum fm_status fm_comparison_print(
    const struct fm_comparison *comparison, enum fm_format format, struct fm_text *out)
{
    switch (format) {
    case FM_FORMAT_TEXT:
        return print_text(comparison, out);
    case FM_FORMAT_MARKDOWN:
        return append_markdown(comparison, out);
    case FM_FORMAT_CSV:
        return fm_table_print(comparison->table, FM_FORMAT_CSV, out);
    case FM_FORMAT_JSON:
        break;
    }
    fm_json_dump(comparison->json, JSON_INDENT(2), out);
    fm_text_append(out, "\n");
    return out->failed ? fm_fail(FM_MEMORY, "the comparison as JSON: out of memory") : FM_OK;
}
