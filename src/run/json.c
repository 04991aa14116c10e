// JSON files with messages that lead to the place. Recipes and run folders are read by people as
// well as by the tool, so a wrong value is reported with its line and numbers are printed short.
#include "run/json.h"

#include "base/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHORT_DIGITS = 15, // no decimal of so many digits is another number's
    EXACT_DIGITS = 17
};

enum fm_status fm_json_read_file(const char *path, json_t **json, char **text)
{
    unsigned char *data = NULL;
    size_t size = 0;
    FM_TRY(fm_file_read(path, &data, &size));

    enum fm_status status = FM_OK;
    json_error_t error;
    *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &error);
    if (!*json) {
        status = fm_fail(FM_DATA, "%s:%d: not valid JSON: %s", path, error.line, error.text);
    } else if (!json_is_object(*json)) {
        status = fm_fail(
            FM_DATA, "%s: found %s, expected a JSON object", path, fm_json_type_name(*json));
        json_decref(*json);
        *json = NULL;
    }
    if (status == FM_OK && text)
        *text = (char *)data;
    else
        free(data);
    return status;
}

// The character after the string that begins at `quote`.
static const char *string_end(const char *quote)
{
    const char *at = quote + 1;
    while (*at && *at != '"')
        at += *at == '\\' && at[1] ? 2 : 1;
    return *at ? at + 1 : at;
}

// A number as jansson prints it, in 17 digits, which are always exact, shortened to those that say
// the same: 0.1, not 0.10000000000000001.
static void append_shortest(struct fm_text *out, const char *number, size_t length)
{
    char given[64], shorter[64];
    snprintf(given, sizeof given, "%.*s", (int)length, number);
    double value = strtod(given, NULL);
    for (int digits = SHORT_DIGITS; digits < EXACT_DIGITS; digits++) {
        snprintf(shorter, sizeof shorter, "%.*g", digits, value);
        if (strtod(shorter, NULL) == value) {
            bool whole = !strpbrk(shorter, ".e"); // would be read back as an integer
            fm_text_append(out, "%s%s", shorter, whole ? ".0" : "");
            return;
        }
    }
    fm_text_append(out, "%s", given);
}

// jansson prints all real numbers of a document in one precision; here each gets its own.
void fm_json_dump(const json_t *json, size_t flags, struct fm_text *out)
{
    char *text = json_dumps(json, flags | JSON_REAL_PRECISION(EXACT_DIGITS));
    if (!text)
        out->failed = true;
    for (const char *at = text; at && *at;) {
        const char *end = *at == '"' ? string_end(at) : at + strspn(at, "+-.0123456789eE");
        if (*at != '"' && end > at && memchr(at, '.', (size_t)(end - at)))
            append_shortest(out, at, (size_t)(end - at));
        else
            fm_text_append_bytes(out, at, end > at ? (size_t)(end - at) : 1);
        at = end > at ? end : at + 1;
    }
    free(text);
}

typedef enum fm_status writer(const char *path, const void *data, size_t size);

static enum fm_status write_with(writer *write, const char *path, const json_t *json)
{
    struct fm_text text = {0};
    fm_json_dump(json, JSON_INDENT(2), &text);
    fm_text_append(&text, "\n");
    enum fm_status status = text.failed ? fm_fail(FM_MEMORY, "%s: out of memory", path)
                                        : write(path, fm_text_cstr(&text), text.length);
    fm_text_free(&text);
    return status;
}

enum fm_status fm_json_write_file(const char *path, const json_t *json)
{
    return write_with(fm_file_write, path, json);
}

enum fm_status fm_json_create_file(const char *path, const json_t *json)
{
    return write_with(fm_file_create, path, json);
}

const char *fm_json_type_name(const json_t *json)
{
    if (!json)
        return "nothing";
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a truth value";
    case JSON_NULL:
        return "null";
    }
    return "an unknown type";
}

double fm_json_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

const char *fm_json_string(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

json_t *fm_json_text(const char *string)
{
    struct fm_text line = {0};
    json_t *json = json_string(string);
    if (json)
        return json;
    fm_text_append_line(&line, string);
    json = line.failed ? NULL : json_string(fm_text_cstr(&line));
    fm_text_free(&line);
    return json;
}

// True when the string in quotes [begin, end) means `key` and a colon follows.
static bool is_key(const char *begin, const char *end, const char *key)
{
    if (end[strspn(end, " \t\r\n")] != ':')
        return false;
    json_t *string = json_loadb(begin, (size_t)(end - begin), JSON_DECODE_ANY, NULL);
    bool same = json_is_string(string) && strcmp(json_string_value(string), key) == 0;
    json_decref(string);
    return same;
}

int fm_json_key_line(const char *text, const char *const *keys, int count)
{
    int line = 1, depth = 0, found = 0; // keys[0 .. found) are those of the objects we are in
    for (const char *at = text; *at;) {
        if (*at == '"') {
            const char *end = string_end(at);
            if (depth == found + 1 && is_key(at, end, keys[found]) && ++found == count)
                return line;
            at = end; // a JSON string holds no line break
            continue;
        }
        if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            depth--;
            if (found > 0 && depth <= found)
                found = depth > 0 ? depth - 1 : 0;
        } else if (*at == '\n') {
            line++;
        }
        at++;
    }
    return 0;
}

static bool is_nothing(const json_t *value)
{
    return json_is_false(value) || (json_is_number(value) && json_number_value(value) == 0.0);
}

// Of what `a` has.
static bool members_same(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)a, key, value)
    {
        const json_t *other = json_object_get(b, key);
        if (other ? !json_equal(value, other) : !is_nothing(value))
            return false;
    }
    return true;
}

bool fm_json_same(const json_t *a, const json_t *b)
{
    if (!json_is_object(a) || !json_is_object(b))
        return json_equal(a, b);
    return members_same(a, b) && members_same(b, a);
}
