// A run's configuration as JSON and back. What is read decides which weights are taken for what, so
// every key is checked, and a message names file, key, what was found and what was expected.
#include "run/run.h"

#include "run/json.h"

#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONFIG_FORMAT = 1
};

static const char *const root_keys[] = {"format", "model", "classes", "class_names", "input",
    "backend", "precision", "device", "threads", "seed", "recipe", "data", NULL};
static const char *const input_keys[] = {"mean", "deviation", NULL};
static const char *const data_keys[] = {"directory", "crc32", NULL};
static const char *const crc_keys[] = {
    "train_images", "train_labels", "test_images", "test_labels", NULL};

void fm_run_config_free(struct fm_run_config *config)
{
    for (int i = 0; i < FM_CLASSES_MAX; i++) {
        free(config->class_names[i]);
        config->class_names[i] = NULL;
    }
    json_decref(config->recipe);
    config->recipe = NULL;
}

// A number that is the same fp32 as `value`, in as few digits as every fp32 fits in.
static json_t *fp32_to_json(double value)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%.*g", FLT_DECIMAL_DIG, value);
    return json_real(strtod(digits, NULL));
}

static json_t *names_to_json(const struct fm_run_config *config)
{
    json_t *names = json_array();
    for (int i = 0; i < config->classes; i++) {
        if (json_array_append_new(names, json_string(config->class_names[i])) != 0) {
            json_decref(names); // a name that is not UTF-8
            return NULL;
        }
    }
    return names;
}

static json_t *data_to_json(const struct fm_run_config *config)
{
    json_t *crc32 = json_object();
    for (int i = 0; i < 4; i++) {
        char digits[16];
        snprintf(digits, sizeof digits, "%08" PRIx32, config->data_crc32[i]);
        json_object_set_new(crc32, crc_keys[i], json_string(digits));
    }
    return json_pack("{s:s, s:o}", "directory", config->data_directory, "crc32", crc32);
}

json_t *fm_run_config_to_json(const struct fm_run_config *config)
{
    json_t *input = json_object();
    json_object_set_new(input, "mean", fp32_to_json(config->input_mean));
    json_object_set_new(input, "deviation", fp32_to_json(config->input_deviation));
    // JSON integers are signed here; a seed keeps its 64 bits.
    return json_pack("{s:i, s:s, s:i, s:o, s:o, s:s, s:s, s:s, s:i, s:I, s:O, s:o}", "format",
        CONFIG_FORMAT, "model", config->model, "classes", config->classes, "class_names",
        names_to_json(config), "input", input, "backend", config->backend, "precision",
        config->precision, "device", config->device, "threads", config->threads, "seed",
        (json_int_t)config->seed, "recipe", config->recipe, "data", data_to_json(config));
}

// One JSON object being read: where it stands, for messages.
struct object {
    const json_t *json;
    const char *path;   // of the file
    const char *prefix; // "data." within the root
};

static enum fm_status wrong(const struct object *object, const char *key, const char *expected)
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

static enum fm_status check_keys(const struct object *object, const char *const *known)
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

static enum fm_status get_object(const struct object *parent, const char *key, const char *prefix,
    const char *const *known, struct object *out)
{
    *out = (struct object){json_object_get(parent->json, key), parent->path, prefix};
    if (!json_is_object(out->json))
        return wrong(parent, key, "an object");
    return check_keys(out, known);
}

static enum fm_status get_string(
    const struct object *object, const char *key, char *out, size_t size)
{
    const char *value = json_string_value(json_object_get(object->json, key));
    if (!value)
        return wrong(object, key, "a string");
    if (strlen(value) >= size) {
        char expected[64];
        snprintf(expected, sizeof expected, "a string of at most %zu bytes", size - 1);
        return wrong(object, key, expected);
    }
    memcpy(out, value, strlen(value) + 1);
    return FM_OK;
}

static enum fm_status get_int(
    const struct object *object, const char *key, int min, int max, int *out)
{
    const json_t *value = json_object_get(object->json, key);
    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max) {
        char expected[64];
        snprintf(expected, sizeof expected, "an integer from %d to %d", min, max);
        return wrong(object, key, expected);
    }
    *out = (int)json_integer_value(value);
    return FM_OK;
}

static enum fm_status get_number(
    const struct object *object, const char *key, double min, double *out)
{
    const json_t *value = json_object_get(object->json, key);
    if (!json_is_number(value) || json_number_value(value) < min) {
        char expected[64];
        snprintf(expected, sizeof expected, "a number of at least %g", min);
        return wrong(object, key, expected);
    }
    *out = json_number_value(value);
    return FM_OK;
}

static enum fm_status get_names(const struct object *root, struct fm_run_config *config)
{
    const json_t *names = json_object_get(root->json, "class_names");
    if (!json_is_array(names) || json_array_size(names) != (size_t)config->classes)
        return wrong(root, "class_names", "an array of as many names as \"classes\" says");
    for (int i = 0; i < config->classes; i++) {
        const char *name = json_string_value(json_array_get(names, (size_t)i));
        if (!name)
            return wrong(root, "class_names", "an array of strings");
        config->class_names[i] = strdup(name);
        if (!config->class_names[i])
            return fm_fail_memory("class names", strlen(name) + 1);
    }
    return FM_OK;
}

static enum fm_status get_data(const struct object *root, struct fm_run_config *config)
{
    struct object data, crc32;
    FM_TRY(get_object(root, "data", "data.", data_keys, &data));
    FM_TRY(get_string(&data, "directory", config->data_directory, sizeof config->data_directory));
    FM_TRY(get_object(&data, "crc32", "data.crc32.", crc_keys, &crc32));
    for (int i = 0; i < 4; i++) {
        const char *digits = json_string_value(json_object_get(crc32.json, crc_keys[i]));
        if (!digits || strlen(digits) != 8 || strspn(digits, "0123456789abcdef") != 8)
            return wrong(&crc32, crc_keys[i], "8 hexadecimal digits");
        config->data_crc32[i] = (uint32_t)strtoul(digits, NULL, 16);
    }
    return FM_OK;
}

static enum fm_status get_root(const struct object *root, struct fm_run_config *config)
{
    int format;
    FM_TRY(get_int(root, "format", CONFIG_FORMAT, CONFIG_FORMAT, &format));
    FM_TRY(check_keys(root, root_keys));
    FM_TRY(get_string(root, "model", config->model, sizeof config->model));
    FM_TRY(get_int(root, "classes", 2, FM_CLASSES_MAX, &config->classes));
    FM_TRY(get_names(root, config));

    struct object input;
    FM_TRY(get_object(root, "input", "input.", input_keys, &input));
    FM_TRY(get_number(&input, "mean", 0, &config->input_mean));
    FM_TRY(get_number(&input, "deviation", DBL_MIN, &config->input_deviation));

    FM_TRY(get_string(root, "backend", config->backend, sizeof config->backend));
    FM_TRY(get_string(root, "precision", config->precision, sizeof config->precision));
    FM_TRY(get_string(root, "device", config->device, sizeof config->device));
    FM_TRY(get_int(root, "threads", 0, 1 << 20, &config->threads));
    const json_t *seed = json_object_get(root->json, "seed");
    if (!json_is_integer(seed))
        return wrong(root, "seed", "an integer");
    config->seed = (uint64_t)json_integer_value(seed);

    json_t *recipe = json_object_get(root->json, "recipe");
    if (!json_is_object(recipe))
        return wrong(root, "recipe", "an object");
    config->recipe = json_incref(recipe);
    return get_data(root, config);
}

enum fm_status fm_run_config_from_json(
    const json_t *json, const char *path, struct fm_run_config *config)
{
    memset(config, 0, sizeof *config);
    struct object root = {json, path, ""};
    if (!json_is_object(json))
        return fm_fail(FM_DATA, "%s: found %s, expected an object", path, fm_json_type_name(json));
    enum fm_status status = get_root(&root, config);
    if (status != FM_OK)
        fm_run_config_free(config);
    return status;
}

bool fm_run_config_same(const struct fm_run_config *a, const struct fm_run_config *b)
{
    return strcmp(a->model, b->model) == 0 && a->classes == b->classes &&
           strcmp(a->backend, b->backend) == 0 && strcmp(a->precision, b->precision) == 0 &&
           a->seed == b->seed && json_equal(a->recipe, b->recipe) &&
           memcmp(a->data_crc32, b->data_crc32, sizeof a->data_crc32) == 0;
}
