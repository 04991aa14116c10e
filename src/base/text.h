// Strings: a growing buffer, strict number parsing, the nearest name for a misspelt one, UTF-8.
#ifndef FM_BASE_TEXT_H
#define FM_BASE_TEXT_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A growing, always NUL-terminated string. Zero-initialise; fm_text_free() when done. An append
// that runs out of memory sets `failed` and drops the text, so it is checked once at the end.
struct fm_text {
    char *data; // NULL until the first append
    size_t length;
    size_t capacity;
    bool failed;
};

void fm_text_append(struct fm_text *text, const char *fmt, ...) FM_PRINTF(2, 3);
// A word as a shell takes it: quoted where it has to be.
void fm_text_append_shell(struct fm_text *text, const char *word);
void fm_text_append_bytes(struct fm_text *text, const char *bytes, size_t count);
// As a part of one line of UTF-8: control characters, ends of lines among them, and bytes that are
// none become U+FFFD.
void fm_text_append_line(struct fm_text *text, const char *string);
// The same of several lines, whose ends stay.
void fm_text_append_lines(struct fm_text *text, const char *string);
// The words of a string on lines of `columns` (of UTF-8's code points; a word that is longer keeps
// its line), those after the first behind `indent` spaces.
void fm_text_append_folded(struct fm_text *text, const char *string, int indent, int columns);
void fm_text_free(struct fm_text *text);
const char *fm_text_cstr(const struct fm_text *text); // never NULL

// The whole string must be one number in [min, max]: no spaces, no trailing text, no NaN or Inf.
// On failure the message names `what` and what was expected ("invalid number '1O' for --epochs:
// expected a whole number from 1 to 100000").
enum fm_status fm_parse_int(
    const char *what, const char *string, int64_t min, int64_t max, int64_t *out);
enum fm_status fm_parse_double(
    const char *what, const char *string, double min, double max, double *out);

// The candidate nearest to `name` by edit distance, or NULL when none is near enough to suggest.
// `candidates` ends with NULL.
const char *fm_nearest_name(const char *name, const char *const *candidates);

// Bytes of the well-formed UTF-8 sequence at `s` (Unicode 15, table 3-7), or 0; never reads past
// the terminating NUL, which is a sequence of 1.
int fm_utf8_length(const char *s);
// True when the well-formed sequence at `s` is a control character: C0, DEL or C1.
bool fm_utf8_is_control(const char *s);

// "1,199,882": digits grouped by thousands into `out` (at least 32 bytes); returns `out`.
char *fm_group_digits(int64_t value, char *out);

// "4 min 12 s", "12.3 s", "2 h 05 min" into `out` (at least 32 bytes); returns `out`.
char *fm_duration(double seconds, char *out);

#endif
