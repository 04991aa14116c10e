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
    CONFIG_FORMAT = 2,
    DATA_FORMAT = 1
};

static const char *const root_keys[] = {"format", "model", "backend", "precision", "emulate",
    "device", "device_index", "threads", "tf32", "nondeterministic", "workspace", "seed", "full",
    "max_minutes", "recipe", "recipe_changes", "data", NULL};
static const char *const data_keys[] = {
    "format", "directory", "classes", "class_names", "input", "crc32", NULL};
static const char *const input_keys[] = {"mean", "deviation", NULL};
static const char *const crc_keys[] = {
    "train_images", "train_labels", "test_images", "test_labels", NULL};

const char *const fm_transfer_mode_names[] = {"scratch", "frozen", "finetune", NULL};
const char *const fm_unfreeze_names[] = {"last", "all", NULL};

static void free_data(struct fm_run_data *data)
{
    for (int i = 0; i < FM_CLASSES_MAX; i++) {
        free(data->class_names[i]);
        data->class_names[i] = NULL;
    }
}

void fm_run_config_free(struct fm_run_config *config)
{
    free_data(&config->data);
    json_decref(config->recipe);
    json_decref(config->changes);
    config->recipe = config->changes = NULL;
}

// A number that is the same fp32 as `value`, in as few digits as every fp32 fits in.
static json_t *fp32_to_json(double value)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%.*g", FLT_DECIMAL_DIG, value);
    return json_real(strtod(digits, NULL));
}

static json_t *names_to_json(const struct fm_run_data *data)
{
    json_t *names = json_array();
    for (int i = 0; i < data->classes; i++) {
        if (json_array_append_new(names, json_string(data->class_names[i])) != 0) {
            json_decref(names); // a name that is not UTF-8
            return NULL;
        }
    }
    return names;
}

json_t *fm_run_data_to_json(const struct fm_run_data *data)
{
    json_t *crc32 = json_object(), *input = json_object();
    for (int i = 0; i < 4; i++) {
        char digits[16];
        snprintf(digits, sizeof digits, "%08" PRIx32, data->crc32[i]);
        json_object_set_new(crc32, crc_keys[i], json_string(digits));
    }
    json_object_set_new(input, "mean", fp32_to_json(data->input_mean));
    json_object_set_new(input, "deviation", fp32_to_json(data->input_deviation));
    return json_pack("{s:i, s:s, s:i, s:o, s:o, s:o}", "format", DATA_FORMAT, "directory",
        data->directory, "classes", data->classes, "class_names", names_to_json(data), "input",
        input, "crc32", crc32);
}

json_t *fm_run_config_to_json(const struct fm_run_config *config)
{
    // JSON integers are signed here; a seed keeps its 64 bits.
    return json_pack("{s:i, s:s, s:s, s:s, s:b, s:s, s:i, s:i, s:b, s:b, s:I, s:I, s:b, s:f, s:O, "
                     "s:O, s:s}",
        "format", CONFIG_FORMAT, "model", config->model, "backend", config->backend, "precision",
        config->precision, "emulate", config->emulate, "device", config->device, "device_index",
        config->device_index, "threads", config->threads, "tf32", config->tf32, "nondeterministic",
        config->nondeterministic, "workspace", (json_int_t)config->workspace, "seed",
        (json_int_t)config->seed, "full", config->full, "max_minutes", config->max_minutes,
        "recipe", config->recipe, "recipe_changes", config->changes, "data",
        config->data_directory);
}

// One JSON object being read: where it stands, for messages.
struct object {
    const json_t *json;
    const char *path;   // of the file
    const char *prefix; // "crc32." within the root
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

static enum fm_status get_bool(const struct object *object, const char *key, bool *out)
{
    const json_t *value = json_object_get(object->json, key);
    if (!json_is_boolean(value))
        return wrong(object, key, "true or false");
    *out = json_is_true(value);
    return FM_OK;
}

// What a GPU may do. Files of earlier versions have none of it: it is as if nothing had been asked.
static enum fm_status get_device_options(const struct object *root, struct fm_run_config *config)
{
    const json_t *workspace = json_object_get(root->json, "workspace");
    if (json_object_get(root->json, "device_index"))
        FM_TRY(get_int(root, "device_index", 0, 1 << 20, &config->device_index));
    if (json_object_get(root->json, "tf32"))
        FM_TRY(get_bool(root, "tf32", &config->tf32));
    if (json_object_get(root->json, "nondeterministic"))
        FM_TRY(get_bool(root, "nondeterministic", &config->nondeterministic));
    if (workspace && (!json_is_integer(workspace) || json_integer_value(workspace) < 0))
        return wrong(root, "workspace", "an integer of at least 0");
    config->workspace = (uint64_t)json_integer_value(workspace);
    return FM_OK;
}

static enum fm_status get_json(const struct object *object, const char *key, json_t **out)
{
    json_t *value = json_object_get(object->json, key);
    if (!json_is_object(value))
        return wrong(object, key, "an object");
    *out = json_incref(value);
    return FM_OK;
}

static enum fm_status get_names(const struct object *root, struct fm_run_data *data)
{
    const json_t *names = json_object_get(root->json, "class_names");
    if (!json_is_array(names) || json_array_size(names) != (size_t)data->classes)
        return wrong(root, "class_names", "an array of as many names as \"classes\" says");
    for (int i = 0; i < data->classes; i++) {
        const char *name = json_string_value(json_array_get(names, (size_t)i));
        if (!name)
            return wrong(root, "class_names", "an array of strings");
        data->class_names[i] = strdup(name);
        if (!data->class_names[i])
            return fm_fail_memory("class names", strlen(name) + 1);
    }
    return FM_OK;
}

static enum fm_status get_crc32(const struct object *root, struct fm_run_data *data)
{
    struct object crc32;
    FM_TRY(get_object(root, "crc32", "crc32.", crc_keys, &crc32));
    for (int i = 0; i < 4; i++) {
        const char *digits = json_string_value(json_object_get(crc32.json, crc_keys[i]));
        if (!digits || strlen(digits) != 8 || strspn(digits, "0123456789abcdef") != 8)
            return wrong(&crc32, crc_keys[i], "8 hexadecimal digits");
        data->crc32[i] = (uint32_t)strtoul(digits, NULL, 16);
    }
    return FM_OK;
}

static enum fm_status get_data(const struct object *root, struct fm_run_data *data)
{
    int format;
    struct object input;
    FM_TRY(get_int(root, "format", DATA_FORMAT, DATA_FORMAT, &format));
    FM_TRY(check_keys(root, data_keys));
    FM_TRY(get_string(root, "directory", data->directory, sizeof data->directory));
    FM_TRY(get_int(root, "classes", 2, FM_CLASSES_MAX, &data->classes));
    FM_TRY(get_names(root, data));
    FM_TRY(get_object(root, "input", "input.", input_keys, &input));
    FM_TRY(get_number(&input, "mean", 0, &data->input_mean));
    FM_TRY(get_number(&input, "deviation", DBL_MIN, &data->input_deviation));
    return get_crc32(root, data);
}

static enum fm_status get_root(const struct object *root, struct fm_run_config *config)
{
    int format;
    FM_TRY(get_int(root, "format", CONFIG_FORMAT, CONFIG_FORMAT, &format));
    FM_TRY(check_keys(root, root_keys));
    FM_TRY(get_string(root, "model", config->model, sizeof config->model));
    FM_TRY(get_string(root, "backend", config->backend, sizeof config->backend));
    FM_TRY(get_string(root, "precision", config->precision, sizeof config->precision));
    FM_TRY(get_bool(root, "emulate", &config->emulate));
    FM_TRY(get_string(root, "device", config->device, sizeof config->device));
    FM_TRY(get_int(root, "threads", 0, 1 << 20, &config->threads));
    FM_TRY(get_device_options(root, config));
    const json_t *seed = json_object_get(root->json, "seed");
    if (!json_is_integer(seed))
        return wrong(root, "seed", "an integer");
    config->seed = (uint64_t)json_integer_value(seed);
    FM_TRY(get_bool(root, "full", &config->full));
    FM_TRY(get_number(root, "max_minutes", 0, &config->max_minutes));
    FM_TRY(get_json(root, "recipe", &config->recipe));
    FM_TRY(get_json(root, "recipe_changes", &config->changes));
    return get_string(root, "data", config->data_directory, sizeof config->data_directory);
}

static enum fm_status start(const json_t *json, const char *path, struct object *root)
{
    *root = (struct object){json, path, ""};
    if (!json_is_object(json))
        return fm_fail(FM_DATA, "%s: found %s, expected an object", path, fm_json_type_name(json));
    return FM_OK;
}

enum fm_status fm_run_config_from_json(
    const json_t *json, const char *path, struct fm_run_config *config)
{
    struct object root;
    memset(config, 0, sizeof *config);
    enum fm_status status = start(json, path, &root);
    if (status == FM_OK)
        status = get_root(&root, config);
    if (status != FM_OK)
        fm_run_config_free(config);
    return status;
}

enum fm_status fm_run_data_from_json(
    const json_t *json, const char *path, struct fm_run_config *config)
{
    struct object root;
    enum fm_status status = start(json, path, &root);
    if (status == FM_OK)
        status = get_data(&root, &config->data);
    config->has_data = status == FM_OK;
    if (status != FM_OK)
        fm_run_config_free(config);
    return status;
}

bool fm_run_config_goes_on(const struct fm_run_config *a, const struct fm_run_config *b)
{
    return strcmp(a->model, b->model) == 0 && strcmp(a->precision, b->precision) == 0 &&
           a->seed == b->seed && a->full == b->full && json_equal(a->recipe, b->recipe) &&
           a->has_data && b->has_data && a->data.classes == b->data.classes &&
           memcmp(a->data.crc32, b->data.crc32, sizeof a->data.crc32) == 0;
}

bool fm_run_config_same(const struct fm_run_config *a, const struct fm_run_config *b)
{
    return fm_run_config_goes_on(a, b) && strcmp(a->backend, b->backend) == 0 &&
           a->emulate == b->emulate && a->tf32 == b->tf32 &&
           a->nondeterministic == b->nondeterministic;
}
