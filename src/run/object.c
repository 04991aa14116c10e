// The one place where a value of a JSON file is held against what it should be.
#include "run/object.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum fm_status fm_object_wrong(
    const struct fm_object *object, const char *key, const char *expected)
{
    const json_t *value = json_object_get(object->json, key);
    if (!value)
        return fm_fail(FM_DATA, "%s: key \"%s%s\" is missing, expected %s", object->path,
            object->prefix, key, expected);
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    enum fm_status status = fm_fail(FM_DATA, "%s: key \"%s%s\": found %.60s, expected %s",
        object->path, object->prefix, key, text ? text : fm_json_type_name(value), expected);
    free(text);
    return status;
}

enum fm_status fm_object_check_keys(const struct fm_object *object, const char *const *known)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object->json, key, value)
    {
        int i = 0;
        while (known[i] && strcmp(known[i], key) != 0)
            i++;
        if (!known[i])
            return fm_fail(FM_DATA, "%s: unknown key \"%s%s\"", object->path, object->prefix, key);
    }
    return FM_OK;
}

enum fm_status fm_object_get_object(const struct fm_object *parent, const char *key,
    const char *prefix, const char *const *known, struct fm_object *out)
{
    *out = (struct fm_object){json_object_get(parent->json, key), parent->path, prefix};
    if (!json_is_object(out->json))
        return fm_object_wrong(parent, key, "an object");
    return fm_object_check_keys(out, known);
}

enum fm_status fm_object_optional(const json_t *json, const char *path, const char *key,
    const char *prefix, struct fm_object *object)
{
    *object = (struct fm_object){NULL, path, prefix};
    if (!json || json_is_null(json))
        return FM_OK;
    if (!json_is_object(json))
        return fm_fail(FM_DATA, "%s: key \"%s\": found %s, expected an object or null", path, key,
            fm_json_type_name(json));
    object->json = json;
    return FM_OK;
}

enum fm_status fm_object_get_string(
    const struct fm_object *object, const char *key, char *out, size_t size)
{
    const char *value = json_string_value(json_object_get(object->json, key));
    if (!value)
        return fm_object_wrong(object, key, "a string");
    if (strlen(value) >= size) {
        char expected[64];
        snprintf(expected, sizeof expected, "a string of at most %zu bytes", size - 1);
        return fm_object_wrong(object, key, expected);
    }
    memcpy(out, value, strlen(value) + 1);
    return FM_OK;
}

enum fm_status fm_object_get_sha256(
    const struct fm_object *object, const char *key, char out[FM_SHA256_SIZE])
{
    enum {
        DIGITS = FM_SHA256_SIZE - 1
    };
    const char *digits = json_string_value(json_object_get(object->json, key));
    if (!digits || strlen(digits) != DIGITS || strspn(digits, "0123456789abcdef") != DIGITS)
        return fm_object_wrong(object, key, "64 hexadecimal digits");
    memcpy(out, digits, DIGITS + 1);
    return FM_OK;
}

static void list_names(const char *const *names, struct fm_text *out)
{
    for (int i = 0; names[i]; i++)
        fm_text_append(out, "%s\"%s\"", i == 0 ? "" : names[i + 1] ? ", " : " or ", names[i]);
}

enum fm_status fm_object_get_name(
    const struct fm_object *object, const char *key, const char *const *names, int *out)
{
    const char *value = json_string_value(json_object_get(object->json, key));
    for (*out = 0; value && names[*out]; ++*out)
        if (strcmp(names[*out], value) == 0)
            return FM_OK;
    struct fm_text expected = {0};
    list_names(names, &expected);
    enum fm_status status = fm_object_wrong(object, key, fm_text_cstr(&expected));
    fm_text_free(&expected);
    return status;
}

enum fm_status fm_object_get_int(
    const struct fm_object *object, const char *key, int min, int max, int *out)
{
    const json_t *value = json_object_get(object->json, key);
    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max) {
        char expected[64];
        snprintf(expected, sizeof expected, "an integer from %d to %d", min, max);
        return fm_object_wrong(object, key, expected);
    }
    *out = (int)json_integer_value(value);
    return FM_OK;
}

enum fm_status fm_object_get_number(
    const struct fm_object *object, const char *key, double min, double *out)
{
    const json_t *value = json_object_get(object->json, key);
    if (!json_is_number(value) || json_number_value(value) < min) {
        char expected[64];
        snprintf(expected, sizeof expected, "a number of at least %g", min);
        return fm_object_wrong(object, key, expected);
    }
    *out = json_number_value(value);
    return FM_OK;
}

enum fm_status fm_object_get_bool(const struct fm_object *object, const char *key, bool *out)
{
    const json_t *value = json_object_get(object->json, key);
    if (!json_is_boolean(value))
        return fm_object_wrong(object, key, "true or false");
    *out = json_is_true(value);
    return FM_OK;
}
