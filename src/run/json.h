// JSON files with messages that lead to the place: what jansson leaves out.
#ifndef FM_RUN_JSON_H
#define FM_RUN_JSON_H

#include "base/status.h"
#include "base/text.h"

#include <jansson.h>
#include <stdbool.h>

// Reads and parses a file whose root is an object without duplicate keys. A syntax error fails with
// FM_DATA and "PATH:LINE: ...". `text` (may be NULL) gets the file's text, freed by the caller.
enum fm_status fm_json_read_file(const char *path, json_t **json, char **text);

// Writes `json` indented, whole or not at all. Numbers read back equal. The second fails with
// FM_EXISTS when the file is there (fm_file_create()).
enum fm_status fm_json_write_file(const char *path, const json_t *json);
enum fm_status fm_json_create_file(const char *path, const json_t *json);

// Appends `json` as text: each number reads back equal, with as few digits as that takes. `flags`
// are jansson's. Where it cannot, `out` has failed.
void fm_json_dump(const json_t *json, size_t flags, struct fm_text *out);

// "a string", "an integer", ...; "nothing" for NULL.
const char *fm_json_type_name(const json_t *json);

// A member for reading: NaN where `object` has no such number, "" where it has no such string.
double fm_json_number(const json_t *object, const char *key);
const char *fm_json_string(const json_t *object, const char *key);

// Whether two values are equal; of objects, a member that one lacks, as files of earlier versions
// do, counts as 0 or false. Members of members are compared as they are.
bool fm_json_same(const json_t *a, const json_t *b);

// A string for writing, as it is where that is UTF-8, which is all that JSON can say; of a file's
// name that is not, each other byte becomes U+FFFD. New reference; NULL when out of memory.
json_t *fm_json_text(const char *string);

// The line, from 1, on which the key keys[count - 1] stands within the objects keys[0],
// keys[1], ... of the text; 0 if it is not there. jansson tells no positions of values.
int fm_json_key_line(const char *text, const char *const *keys, int count);

#endif
