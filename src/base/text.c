// Text that others would write by hand in each file: building strings, reading numbers strictly,
// guessing what a misspelt name meant, telling UTF-8 from other bytes.
#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_CAPACITY = 256,
    NAME_MAX_BYTES = 64,
    NUMBER_MAX_BYTES = 32
};

static void text_fail(struct fm_text *text)
{
    free(text->data);
    *text = (struct fm_text){.failed = true};
}

// Makes room for `extra` bytes and the terminating NUL.
static bool text_reserve(struct fm_text *text, size_t extra)
{
    if (text->failed)
        return false;
    if (extra >= SIZE_MAX / 2 - text->length) {
        text_fail(text);
        return false;
    }
    size_t needed = text->length + extra + 1;
    if (needed <= text->capacity)
        return true;
    size_t capacity = text->capacity ? text->capacity : FIRST_CAPACITY;
    while (capacity < needed)
        capacity *= 2;
    char *data = realloc(text->data, capacity);
    if (!data) {
        text_fail(text);
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void fm_text_append(struct fm_text *text, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (length < 0) {
        text_fail(text);
    } else if (text_reserve(text, (size_t)length)) {
        vsnprintf(text->data + text->length, (size_t)length + 1, fmt, again);
        text->length += (size_t)length;
    }
    va_end(again);
}

void fm_text_append_bytes(struct fm_text *text, const char *bytes, size_t count)
{
    if (!text_reserve(text, count))
        return;
    if (count)
        memcpy(text->data + text->length, bytes, count);
    text->length += count;
    text->data[text->length] = '\0';
}

void fm_text_free(struct fm_text *text)
{
    free(text->data);
    *text = (struct fm_text){0};
}

const char *fm_text_cstr(const struct fm_text *text)
{
    return text->data ? text->data : "";
}

// What was expected of a number that is none: "a whole number from 1 to 100000". A bound that is no
// more than what the type holds tells nobody anything.
static enum fm_status invalid_number(
    const char *what, const char *string, const char *kind, double min, double max)
{
    char bound[NUMBER_MAX_BYTES + 8] = "";
    if (max < INT_MAX)
        snprintf(bound, sizeof bound, " to %.10g", max);
    return fm_fail(FM_USAGE, "invalid number '%s' for %s: expected a %s from %.10g%s", string, what,
        kind, min, bound);
}

enum fm_status fm_parse_int(
    const char *what, const char *string, int64_t min, int64_t max, int64_t *out)
{
    const char *digits = string[0] == '-' ? string + 1 : string;
    size_t count = strspn(digits, "0123456789");
    if (count == 0 || digits[count] != '\0')
        return invalid_number(what, string, "whole number", (double)min, (double)max);
    errno = 0;
    intmax_t value = strtoimax(string, NULL, 10);
    if (errno == ERANGE || value < min || value > max)
        return fm_fail(FM_USAGE, "%s for %s is out of range: expected %" PRId64 " to %" PRId64,
            string, what, min, max);
    *out = value;
    return FM_OK;
}

// Decimal notation only: strtod would also take spaces, hexadecimal, "inf" and "nan".
static bool is_decimal(const char *s)
{
    if (*s == '-')
        s++;
    size_t whole = strspn(s, "0123456789");
    s += whole;
    size_t fraction = 0;
    if (*s == '.') {
        fraction = strspn(s + 1, "0123456789");
        s += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        s += s[1] == '-' || s[1] == '+' ? 2 : 1;
        size_t exponent = strspn(s, "0123456789");
        if (exponent == 0)
            return false;
        s += exponent;
    }
    return *s == '\0';
}

enum fm_status fm_parse_double(
    const char *what, const char *string, double min, double max, double *out)
{
    char *end;
    if (!is_decimal(string))
        return invalid_number(what, string, "number", min, max);
    double value = strtod(string, &end);
    if (*end != '\0') // a locale with another decimal separator
        return invalid_number(what, string, "number", min, max);
    if (!isfinite(value) || !(value >= min && value <= max))
        return fm_fail(
            FM_USAGE, "%s for %s is out of range: expected %.10g to %.10g", string, what, min, max);
    *out = value;
    return FM_OK;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

// Damerau-Levenshtein distance: insertions, deletions, substitutions, and swaps of neighbours.
// Both names have at most NAME_MAX_BYTES bytes.
static int edit_distance(const char *a, int a_length, const char *b, int b_length)
{
    int rows[3][NAME_MAX_BYTES + 1];
    int *before = rows[0], *above = rows[1], *row = rows[2];
    for (int j = 0; j <= b_length; j++)
        above[j] = j;
    for (int i = 1; i <= a_length; i++) {
        row[0] = i;
        for (int j = 1; j <= b_length; j++) {
            row[j] = min_int(above[j] + 1, row[j - 1] + 1);
            row[j] = min_int(row[j], above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = min_int(row[j], before[j - 2] + 1);
        }
        int *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[b_length];
}

const char *fm_nearest_name(const char *name, const char *const *candidates)
{
    const char *nearest = NULL;
    int nearest_distance = 0;
    size_t length = strlen(name);
    if (length == 0 || length > NAME_MAX_BYTES)
        return NULL;
    for (; *candidates; candidates++) {
        size_t other = strlen(*candidates);
        if (other > NAME_MAX_BYTES)
            continue;
        // A third of the letters may be wrong, and at least one; but not every one.
        int longest = (int)(length > other ? length : other);
        // Of so short names another first letter makes another word: gpu is no slip for cpu.
        if (longest < 4 && name[0] != (*candidates)[0])
            continue;
        int limit = longest < 6 ? min_int(1, longest - 1) : longest / 3;
        int distance = edit_distance(name, (int)length, *candidates, (int)other);
        if (distance <= limit && (!nearest || distance < nearest_distance)) {
            nearest = *candidates;
            nearest_distance = distance;
        }
    }
    return nearest;
}

int fm_utf8_length(const char *s)
{
    const unsigned char *u = (const unsigned char *)s;
    if (u[0] < 0x80)
        return 1;
    int length = u[0] < 0xc2 ? 0 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : u[0] < 0xf5 ? 4 : 0;
    for (int i = 1; i < length; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) || // overlong; surrogates
        (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f))   // overlong; > U+10FFFF
        return 0;
    return length;
}

bool fm_utf8_is_control(const char *s)
{
    const unsigned char *u = (const unsigned char *)s;
    return u[0] < 0x20 || u[0] == 0x7f || (u[0] == 0xc2 && u[1] < 0xa0);
}

char *fm_group_digits(int64_t value, char *out)
{
    char digits[NUMBER_MAX_BYTES];
    int length = snprintf(digits, sizeof digits, "%" PRId64, value);
    char *to = out;
    for (int i = 0; i < length; i++) {
        *to++ = digits[i];
        int left = length - 1 - i;
        if (digits[i] != '-' && left > 0 && left % 3 == 0)
            *to++ = ',';
    }
    *to = '\0';
    return out;
}

char *fm_duration(double seconds, char *out)
{
    if (!(seconds >= 0 && seconds < 1e12)) { // also NaN
        snprintf(out, NUMBER_MAX_BYTES, "unknown");
    } else if (seconds < 59.95) { // what does not round up to 60.0
        snprintf(out, NUMBER_MAX_BYTES, "%.1f s", seconds);
    } else if (seconds < 3599.5) {
        long whole = lround(seconds);
        snprintf(out, NUMBER_MAX_BYTES, "%ld min %ld s", whole / 60, whole % 60);
    } else {
        long minutes = lround(seconds / 60);
        snprintf(out, NUMBER_MAX_BYTES, "%ld h %02ld min", minutes / 60, minutes % 60);
    }
    return out;
}

void fm_text_append_shell(struct fm_text *text, const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "-_./=:,@%+";
    if (word[0] && word[strspn(word, plain)] == '\0') {
        fm_text_append(text, "%s", word);
        return;
    }
    fm_text_append(text, "'");
    for (const char *at = word; *at; at++) {
        if (*at == '\'')
            fm_text_append(text, "'\\''");
        else
            fm_text_append(text, "%c", *at);
    }
    fm_text_append(text, "'");
}

static void append_clean(struct fm_text *text, const char *string, bool lines)
{
    while (*string) {
        int length = fm_utf8_length(string);
        // A line ends as elsewhere, or as CSV's do.
        bool line_end = string[0] == '\n' || (string[0] == '\r' && string[1] == '\n');
        if (length == 0 || (fm_utf8_is_control(string) && !(lines && line_end)))
            fm_text_append(text, "\xef\xbf\xbd");
        else
            fm_text_append_bytes(text, string, (size_t)length);
        string += length ? length : 1;
    }
}

void fm_text_append_line(struct fm_text *text, const char *string)
{
    append_clean(text, string, false);
}

void fm_text_append_lines(struct fm_text *text, const char *string)
{
    append_clean(text, string, true);
}

// Bytes of the words of a string that fit into `columns`, of the first one whatever it takes.
static size_t words_within(const char *string, int columns)
{
    size_t taken = 0;
    int width = 0;
    for (size_t i = 0; width <= columns || taken == 0; i++) {
        if (string[i] == '\0' || string[i] == ' ')
            taken = i;
        if (string[i] == '\0')
            break;
        width += ((unsigned char)string[i] & 0xc0) != 0x80;
    }
    return taken;
}

void fm_text_append_folded(struct fm_text *text, const char *string, int indent, int columns)
{
    for (;;) {
        size_t taken = words_within(string, columns);
        fm_text_append_bytes(text, string, taken);
        string += taken;
        if (*string == '\0')
            return;
        fm_text_append(text, "\n%*s", indent, "");
        string++; // the space
    }
}
