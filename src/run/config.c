// A run's configuration as JSON and back. What is read decides which weights are taken for what, so
// every key is checked, and a message names file, key, what was found and what was expected.
#include "run/run.h"

#include "net/zoo.h"
#include "run/object.h"

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
    "max_minutes", "input_size", "transfer", "teaching", "recipe", "recipe_changes", "data", NULL};
static const char *const data_keys[] = {
    "format", "directory", "classes", "class_names", "input", "crc32", NULL};
static const char *const input_keys[] = {"mean", "deviation", NULL};
static const char *const crc_keys[] = {
    "train_images", "train_labels", "test_images", "test_labels", NULL};

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

void fm_run_data_set_input(struct fm_run_data *data, double mean, double deviation)
{
    for (int c = 0; c < FM_CHANNELS_MAX; c++) {
        data->input_mean[c] = mean;
        data->input_deviation[c] = deviation;
    }
}

// A number that is the same fp32 as `value`, in as few digits as every fp32 fits in.
static json_t *fp32_to_json(double value)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%.*g", FLT_DECIMAL_DIG, value);
    return json_real(strtod(digits, NULL));
}

// One number where all channels have the same, else one for each.
static json_t *channels_to_json(const double values[FM_CHANNELS_MAX])
{
    bool same = true;
    for (int c = 1; c < FM_CHANNELS_MAX; c++)
        same = same && (float)values[c] == (float)values[0];
    if (same)
        return fp32_to_json(values[0]);
    json_t *list = json_array();
    for (int c = 0; c < FM_CHANNELS_MAX; c++)
        json_array_append_new(list, fp32_to_json(values[c]));
    return list;
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
    json_object_set_new(input, "mean", channels_to_json(data->input_mean));
    json_object_set_new(input, "deviation", channels_to_json(data->input_deviation));
    return json_pack("{s:i, s:s, s:i, s:o, s:o, s:o}", "format", DATA_FORMAT, "directory",
        data->directory, "classes", data->classes, "class_names", names_to_json(data), "input",
        input, "crc32", crc32);
}

json_t *fm_run_config_to_json(const struct fm_run_config *config)
{
    // JSON integers are signed here; a seed keeps its 64 bits.
    return json_pack("{s:i, s:s, s:s, s:s, s:b, s:s, s:i, s:i, s:b, s:b, s:I, s:I, s:b, s:f, s:o, "
                     "s:o, s:o, s:O, s:O, s:s}",
        "format", CONFIG_FORMAT, "model", config->model, "backend", config->backend, "precision",
        config->precision, "emulate", config->emulate, "device", config->device, "device_index",
        config->device_index, "threads", config->threads, "tf32", config->tf32, "nondeterministic",
        config->nondeterministic, "workspace", (json_int_t)config->workspace, "seed",
        (json_int_t)config->seed, "full", config->full, "max_minutes", config->max_minutes,
        "input_size", config->input_size ? json_integer(config->input_size) : json_null(),
        "transfer", fm_transfer_to_json(&config->transfer), "teaching",
        fm_teaching_to_json(&config->teaching), "recipe", config->recipe, "recipe_changes",
        config->changes, "data", config->data_directory);
}

// What a GPU may do. Files of earlier versions have none of it: it is as if nothing had been asked.
static enum fm_status get_device_options(const struct fm_object *root, struct fm_run_config *config)
{
    const json_t *workspace = json_object_get(root->json, "workspace");
    if (json_object_get(root->json, "device_index"))
        FM_TRY(fm_object_get_int(root, "device_index", 0, 1 << 20, &config->device_index));
    if (json_object_get(root->json, "tf32"))
        FM_TRY(fm_object_get_bool(root, "tf32", &config->tf32));
    if (json_object_get(root->json, "nondeterministic"))
        FM_TRY(fm_object_get_bool(root, "nondeterministic", &config->nondeterministic));
    if (workspace && (!json_is_integer(workspace) || json_integer_value(workspace) < 0))
        return fm_object_wrong(root, "workspace", "an integer of at least 0");
    config->workspace = (uint64_t)json_integer_value(workspace);
    return FM_OK;
}

static enum fm_status get_json(const struct fm_object *object, const char *key, json_t **out)
{
    json_t *value = json_object_get(object->json, key);
    if (!json_is_object(value))
        return fm_object_wrong(object, key, "an object");
    *out = json_incref(value);
    return FM_OK;
}

static enum fm_status get_names(const struct fm_object *root, struct fm_run_data *data)
{
    const json_t *names = json_object_get(root->json, "class_names");
    if (!json_is_array(names) || json_array_size(names) != (size_t)data->classes)
        return fm_object_wrong(
            root, "class_names", "an array of as many names as \"classes\" says");
    for (int i = 0; i < data->classes; i++) {
        const char *name = json_string_value(json_array_get(names, (size_t)i));
        if (!name)
            return fm_object_wrong(root, "class_names", "an array of strings");
        data->class_names[i] = strdup(name);
        if (!data->class_names[i])
            return fm_fail_memory("class names", strlen(name) + 1);
    }
    return FM_OK;
}

static enum fm_status get_crc32(const struct fm_object *root, struct fm_run_data *data)
{
    struct fm_object crc32;
    FM_TRY(fm_object_get_object(root, "crc32", "crc32.", crc_keys, &crc32));
    for (int i = 0; i < 4; i++) {
        const char *digits = json_string_value(json_object_get(crc32.json, crc_keys[i]));
        if (!digits || strlen(digits) != 8 || strspn(digits, "0123456789abcdef") != 8)
            return fm_object_wrong(&crc32, crc_keys[i], "8 hexadecimal digits");
        data->crc32[i] = (uint32_t)strtoul(digits, NULL, 16);
    }
    return FM_OK;
}

// A number, of every channel, or an array of one for each.
static enum fm_status get_channels(
    const struct fm_object *input, const char *key, double min, double out[FM_CHANNELS_MAX])
{
    const json_t *value = json_object_get(input->json, key);
    if (!json_is_array(value)) {
        FM_TRY(fm_object_get_number(input, key, min, &out[0]));
        for (int c = 1; c < FM_CHANNELS_MAX; c++)
            out[c] = out[0];
        return FM_OK;
    }
    bool right = json_array_size(value) == FM_CHANNELS_MAX;
    for (int c = 0; right && c < FM_CHANNELS_MAX; c++) {
        const json_t *number = json_array_get(value, (size_t)c);
        out[c] = json_number_value(number);
        right = json_is_number(number) && out[c] >= min;
    }
    return right ? FM_OK
                 : fm_object_wrong(input, key,
                       min > 0 ? "a positive number, or an array of 3"
                               : "a number of at least 0, or an array of 3");
}

static enum fm_status get_data(const struct fm_object *root, struct fm_run_data *data)
{
    int format;
    struct fm_object input;
    FM_TRY(fm_object_get_int(root, "format", DATA_FORMAT, DATA_FORMAT, &format));
    FM_TRY(fm_object_check_keys(root, data_keys));
    FM_TRY(fm_object_get_string(root, "directory", data->directory, sizeof data->directory));
    FM_TRY(fm_object_get_int(root, "classes", 2, FM_CLASSES_MAX, &data->classes));
    FM_TRY(get_names(root, data));
    FM_TRY(fm_object_get_object(root, "input", "input.", input_keys, &input));
    FM_TRY(get_channels(&input, "mean", 0, data->input_mean));
    FM_TRY(get_channels(&input, "deviation", DBL_MIN, data->input_deviation));
    return get_crc32(root, data);
}

// Files of earlier versions have none: the model's own size, drawn weights, no teacher.
static enum fm_status get_origin(const struct fm_object *root, struct fm_run_config *config)
{
    const json_t *size = json_object_get(root->json, "input_size");
    if (size && !json_is_null(size))
        FM_TRY(fm_object_get_int(root, "input_size", 1, FM_INPUT_SIZE_MAX, &config->input_size));
    FM_TRY(fm_transfer_from_json(
        json_object_get(root->json, "transfer"), root->path, &config->transfer));
    return fm_teaching_from_json(
        json_object_get(root->json, "teaching"), root->path, &config->teaching);
}

static enum fm_status get_root(const struct fm_object *root, struct fm_run_config *config)
{
    int format;
    FM_TRY(fm_object_get_int(root, "format", CONFIG_FORMAT, CONFIG_FORMAT, &format));
    FM_TRY(fm_object_check_keys(root, root_keys));
    FM_TRY(fm_object_get_string(root, "model", config->model, sizeof config->model));
    FM_TRY(fm_object_get_string(root, "backend", config->backend, sizeof config->backend));
    FM_TRY(fm_object_get_string(root, "precision", config->precision, sizeof config->precision));
    FM_TRY(fm_object_get_bool(root, "emulate", &config->emulate));
    FM_TRY(fm_object_get_string(root, "device", config->device, sizeof config->device));
    FM_TRY(fm_object_get_int(root, "threads", 0, 1 << 20, &config->threads));
    FM_TRY(get_device_options(root, config));
    const json_t *seed = json_object_get(root->json, "seed");
    if (!json_is_integer(seed))
        return fm_object_wrong(root, "seed", "an integer");
    config->seed = (uint64_t)json_integer_value(seed);
    FM_TRY(fm_object_get_bool(root, "full", &config->full));
    FM_TRY(fm_object_get_number(root, "max_minutes", 0, &config->max_minutes));
    FM_TRY(get_origin(root, config));
    FM_TRY(get_json(root, "recipe", &config->recipe));
    FM_TRY(get_json(root, "recipe_changes", &config->changes));
    return fm_object_get_string(
        root, "data", config->data_directory, sizeof config->data_directory);
}

static enum fm_status start(const json_t *json, const char *path, struct fm_object *root)
{
    *root = (struct fm_object){json, path, ""};
    if (!json_is_object(json))
        return fm_fail(FM_DATA, "%s: found %s, expected an object", path, fm_json_type_name(json));
    return FM_OK;
}

enum fm_status fm_run_config_from_json(
    const json_t *json, const char *path, struct fm_run_config *config)
{
    struct fm_object root;
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
    struct fm_object root;
    enum fm_status status = start(json, path, &root);
    if (status == FM_OK)
        status = get_data(&root, &config->data);
    config->has_data = status == FM_OK;
    if (status != FM_OK)
        fm_run_config_free(config);
    return status;
}

// What was asked for as 0 is what the model has by itself.
static int input_size_of(const struct fm_run_config *config)
{
    struct fm_net net;
    if (config->input_size > 0)
        return config->input_size;
    if (fm_zoo_build(config->model, FM_CLASSES_MAX, &net) == FM_OK)
        return net.input.shape.h;
    fm_error_clear(); // a model that there is not has no size
    return 0;
}

bool fm_run_config_begins_same(const struct fm_run_config *a, const struct fm_run_config *b)
{
    return strcmp(a->model, b->model) == 0 && strcmp(a->precision, b->precision) == 0 &&
           a->seed == b->seed && a->full == b->full && input_size_of(a) == input_size_of(b) &&
           fm_transfer_same(&a->transfer, &b->transfer) &&
           fm_teaching_same(&a->teaching, &b->teaching) && fm_json_same(a->recipe, b->recipe);
}

bool fm_run_config_goes_on(const struct fm_run_config *a, const struct fm_run_config *b)
{
    return fm_run_config_begins_same(a, b) && a->has_data && b->has_data &&
           a->data.classes == b->data.classes &&
           memcmp(a->data.crc32, b->data.crc32, sizeof a->data.crc32) == 0;
}

bool fm_run_config_same(const struct fm_run_config *a, const struct fm_run_config *b)
{
    return fm_run_config_goes_on(a, b) && strcmp(a->backend, b->backend) == 0 &&
           a->emulate == b->emulate && a->tf32 == b->tf32 &&
           a->nondeterministic == b->nondeterministic;
}
