// The weights kept: every parameter and running statistic of a model, by name, and what else it
// takes to predict with them.
#include "run/weights.h"

#include "run/run.h"
#include "run/states.h"

#include <float.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHTS_FORMAT "2"

// ---- Writing

// Values of the file's metadata. jansson writes numbers and text, so that neither a comma for a
// point in the locale nor a quote in a name changes what is read back.
struct values {
    char classes[16];
    char mean[32], deviation[32];
    char *names; // a JSON array, owned
};

// As many digits as every fp32 fits in.
static void number_text(char out[32], float value)
{
    json_t *json = json_real((double)value);
    size_t length = json_dumpb(
        json, out, 31, JSON_ENCODE_ANY | JSON_REAL_PRECISION(FLT_DECIMAL_DIG));
    out[length < 31 ? length : 0] = '\0';
    json_decref(json);
}

static enum fm_status make_values(
    const char *path, const struct fm_net *net, char *const *class_names, struct values *values)
{
    snprintf(values->classes, sizeof values->classes, "%d", net->classes);
    number_text(values->mean, net->input.mean[0]);
    number_text(values->deviation, net->input.deviation[0]);
    json_t *names = json_array();
    int failed = 0;
    for (int k = 0; k < net->classes && !failed; k++)
        failed = json_array_append_new(names, json_string(class_names[k]));
    values->names = failed ? NULL : json_dumps(names, JSON_COMPACT);
    json_decref(names);
    if (!values->names)
        return fm_fail(FM_DATA, "%s: not written: a class name is not UTF-8", path);
    return FM_OK;
}

static enum fm_status write_tensors(
    const char *path, const struct fm_net *net, struct fm_tensor *tensors, char *const *class_names)
{
    struct values values = {.names = NULL};
    FM_TRY(make_values(path, net, class_names, &values));
    const char *const metadata[] = {"fmnist_format", WEIGHTS_FORMAT, "model", net->name, "classes",
        values.classes, "class_names", values.names, "input_mean", values.mean, "input_deviation",
        values.deviation, NULL};
    enum fm_status status = fm_safetensors_write(path, tensors, fm_state_count(net), metadata);
    free(values.names);
    return status;
}

enum fm_status fm_run_save_weights(const char *directory, const struct fm_net *net,
    char *const *class_names, const struct fm_backend *api, struct fm_model *model)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, directory, FM_WEIGHTS_FILE));
    int count = fm_state_count(net);
    size_t elements = net->param_elements + net->running_elements;
    enum fm_status status = FM_OK;
    struct fm_tensor *tensors = calloc((size_t)count, sizeof *tensors);
    float *data = malloc(elements * sizeof *data);
    if (!tensors || !data) {
        status = fm_fail_memory("weights", elements * sizeof *data);
        goto out;
    }
    for (int i = 0; i < count; i++) {
        struct fm_state_item item = fm_state_at(net, i);
        struct fm_tensor *tensor = &tensors[i];
        snprintf(tensor->name, sizeof tensor->name, "%s", item.name);
        tensor->ndims = item.ndims;
        memcpy(tensor->dims, item.dims, sizeof item.dims);
        tensor->count = item.count;
        tensor->data = data + item.offset;
        FM_TRY_GOTO(status,
            api->model_get(model, fm_state_item_kind(&item), item.name, tensor->data, item.count),
            out);
    }
    status = write_tensors(path, net, tensors, class_names);
out:
    free(data);
    free(tensors);
    return status;
}

// ---- Reading

static enum fm_status wrong(
    const struct fm_weights *weights, const char *key, const char *found, const char *expected)
{
    const char *quote = found ? "\"" : "";
    return fm_fail(FM_DATA, "%s: metadata \"%s\": found %s%.80s%s, expected %s", weights->path, key,
        quote, found ? found : "nothing", quote, expected);
}

// The value of a key as JSON; NULL where there is none or it is not valid. A new reference.
static json_t *metadata_json(const struct fm_weights *weights, const char *key)
{
    const char *text = fm_safetensors_metadata(&weights->tensors, key);
    return text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
}

static enum fm_status get_format(const struct fm_weights *weights)
{
    const char *found = fm_safetensors_metadata(&weights->tensors, "fmnist_format");
    if (found && strcmp(found, WEIGHTS_FORMAT) == 0)
        return FM_OK;
    if (found && strcmp(found, "1") == 0)
        return wrong(weights, "fmnist_format", found,
            "\"" WEIGHTS_FORMAT
            "\": an older fmnist wrote it, without the class names; train again");
    return wrong(weights, "fmnist_format", found,
        "\"" WEIGHTS_FORMAT "\": a weights file of fmnist, of this version");
}

static enum fm_status get_model(struct fm_weights *weights)
{
    const char *model = fm_safetensors_metadata(&weights->tensors, "model");
    if (!model || !model[0] || strlen(model) >= sizeof weights->model)
        return wrong(weights, "model", model, "a model's name");
    snprintf(weights->model, sizeof weights->model, "%s", model);
    return FM_OK;
}

static enum fm_status get_classes(struct fm_weights *weights)
{
    json_t *json = metadata_json(weights, "classes");
    json_int_t classes = json_integer_value(json);
    json_decref(json);
    if (classes < 2 || classes > FM_CLASSES_MAX)
        return wrong(weights, "classes", fm_safetensors_metadata(&weights->tensors, "classes"),
            "an integer from 2 to 256");
    weights->classes = (int)classes;
    return FM_OK;
}

static enum fm_status get_class_names(struct fm_weights *weights)
{
    json_t *json = metadata_json(weights, "class_names");
    bool right = json_is_array(json) && json_array_size(json) == (size_t)weights->classes;
    for (int k = 0; right && k < weights->classes; k++) {
        const char *name = json_string_value(json_array_get(json, (size_t)k));
        weights->class_names[k] = name ? strdup(name) : NULL;
        right = weights->class_names[k] != NULL;
    }
    json_decref(json);
    return right ? FM_OK
                 : wrong(weights, "class_names",
                       fm_safetensors_metadata(&weights->tensors, "class_names"),
                       "a JSON array of strings, a class each");
}

static enum fm_status get_number(
    const struct fm_weights *weights, const char *key, float min, float *out)
{
    json_t *json = metadata_json(weights, key);
    bool right = json_is_number(json);
    double value = json_number_value(json);
    json_decref(json);
    if (!right || !(value >= (double)min && value <= (double)FLT_MAX))
        return wrong(weights, key, fm_safetensors_metadata(&weights->tensors, key),
            min > 0 ? "a positive number" : "a number not below 0");
    *out = (float)value;
    return FM_OK;
}

static enum fm_status get_metadata(struct fm_weights *weights)
{
    FM_TRY(get_format(weights));
    FM_TRY(get_model(weights));
    FM_TRY(get_classes(weights));
    FM_TRY(get_class_names(weights));
    FM_TRY(get_number(weights, "input_mean", 0, &weights->input_mean));
    return get_number(weights, "input_deviation", FLT_MIN, &weights->input_deviation);
}

enum fm_status fm_weights_read(const char *path, struct fm_weights *weights)
{
    memset(weights, 0, sizeof *weights);
    FM_TRY(fm_path_copy(weights->path, path));
    FM_TRY(fm_safetensors_read(path, &weights->tensors));
    enum fm_status status = get_metadata(weights);
    if (status != FM_OK)
        fm_weights_free(weights);
    return status;
}

void fm_weights_free(struct fm_weights *weights)
{
    for (int k = 0; k < FM_CLASSES_MAX; k++) {
        free(weights->class_names[k]);
        weights->class_names[k] = NULL;
    }
    fm_safetensors_free(&weights->tensors);
}

// ---- Into a model

static enum fm_status check_surplus(const struct fm_weights *weights, const struct fm_net *net)
{
    for (int i = 0; i < weights->tensors.count; i++) {
        const char *name = weights->tensors.tensors[i].name;
        if (fm_net_find_param(net, name) < 0 && fm_net_find_running(net, name) < 0)
            return fm_fail(
                FM_DATA, "%s: tensor \"%s\" is none of model %s", weights->path, name, net->name);
    }
    return FM_OK;
}

static enum fm_status check_input(const struct fm_weights *weights, const struct fm_net *net)
{
    if (weights->input_mean == net->input.mean[0] &&
        weights->input_deviation == net->input.deviation[0])
        return FM_OK;
    return fm_fail(FM_DATA,
        "%s: of an input with mean %.9g and deviation %.9g, expected %.9g and %.9g: the weights "
        "are of another run",
        weights->path, (double)weights->input_mean, (double)weights->input_deviation,
        (double)net->input.mean[0], (double)net->input.deviation[0]);
}

static enum fm_status check_net(const struct fm_weights *weights, const struct fm_net *net)
{
    char expected[FM_NAME_MAX + 2];
    snprintf(expected, sizeof expected, "\"%.*s\"", FM_NAME_MAX - 1, net->name);
    if (strcmp(weights->model, net->name) != 0)
        return wrong(weights, "model", weights->model, expected);
    snprintf(expected, sizeof expected, "\"%d\"", net->classes);
    if (weights->classes != net->classes)
        return wrong(
            weights, "classes", fm_safetensors_metadata(&weights->tensors, "classes"), expected);
    FM_TRY(check_input(weights, net));
    for (int i = 0; i < fm_state_count(net); i++) {
        struct fm_state_item item = fm_state_at(net, i);
        FM_TRY(fm_state_check(
            weights->path, item.name, &item, fm_safetensors_find(&weights->tensors, item.name)));
    }
    return check_surplus(weights, net);
}

enum fm_status fm_weights_apply(const struct fm_weights *weights, const struct fm_net *net,
    const struct fm_backend *api, struct fm_model *model)
{
    FM_TRY(check_net(weights, net));
    for (int i = 0; i < fm_state_count(net); i++) {
        struct fm_state_item item = fm_state_at(net, i);
        FM_TRY(api->model_set(model, fm_state_item_kind(&item), item.name,
            fm_safetensors_find(&weights->tensors, item.name)->data, item.count));
    }
    return FM_OK;
}

enum fm_status fm_run_load_weights(const char *directory, const struct fm_net *net,
    const struct fm_backend *api, struct fm_model *model)
{
    char path[FM_PATH_MAX];
    struct fm_weights weights;
    FM_TRY(fm_path_join(path, directory, FM_WEIGHTS_FILE));
    FM_TRY(fm_weights_read(path, &weights));
    enum fm_status status = fm_weights_apply(&weights, net, api, model);
    fm_weights_free(&weights);
    return status;
}
