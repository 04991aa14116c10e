// One object of a JSON file being read, strictly: each key is checked as it is taken, and a message
// names file, key, what was found and what was expected.
#ifndef FM_RUN_OBJECT_H
#define FM_RUN_OBJECT_H

#include "base/digest.h"
#include "run/json.h"

#include <stdbool.h>
#include <stddef.h>

struct fm_object {
    const json_t *json;
    const char *path;   // of the file
    const char *prefix; // of the object's keys within the root: "crc32."; "" of the root itself
};

// All fail with FM_DATA. `known` ends with NULL; a key that is not among them is refused.
enum fm_status fm_object_wrong(
    const struct fm_object *object, const char *key, const char *expected);
enum fm_status fm_object_check_keys(const struct fm_object *object, const char *const *known);
enum fm_status fm_object_get_object(const struct fm_object *parent, const char *key,
    const char *prefix, const char *const *known, struct fm_object *out);
// `json` as the member `key` of a root, which may be left out or null: object->json is NULL then.
enum fm_status fm_object_optional(const json_t *json, const char *path, const char *key,
    const char *prefix, struct fm_object *object);
enum fm_status fm_object_get_string(
    const struct fm_object *object, const char *key, char *out, size_t size);
// 64 hexadecimal digits in lower case.
enum fm_status fm_object_get_sha256(
    const struct fm_object *object, const char *key, char out[FM_SHA256_SIZE]);
// One of `names`, which ends with NULL: its index.
enum fm_status fm_object_get_name(
    const struct fm_object *object, const char *key, const char *const *names, int *out);
enum fm_status fm_object_get_int(
    const struct fm_object *object, const char *key, int min, int max, int *out);
enum fm_status fm_object_get_number(
    const struct fm_object *object, const char *key, double min, double *out);
enum fm_status fm_object_get_bool(const struct fm_object *object, const char *key, bool *out);

#endif
