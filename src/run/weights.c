// The weights kept: every parameter and running statistic of a model, by name, and what else it
// takes to predict with them.
#include "run/weights.h"

#include "base/pages.h"
#include "net/files/pretrained.h"
#include "net/zoo.h"
#include "run/network.h"
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
    char classes[16], input_size[16];
    char *mean, *deviation; // JSON, owned
    char *names;            // a JSON array, owned
};

// A number, or where the channels that the net has differ an array of one for each: as many digits
// as every fp32 fits in. NULL when out of memory.
static char *channels_text(const struct fm_net *net, const float values[FM_CHANNELS_MAX])
{
    bool same = true;
    for (int c = 1; c < net->input.shape.c; c++)
        same = same && values[c] == values[0];
    json_t *json = same ? json_real((double)values[0]) : json_array();
    for (int c = 0; !same && c < net->input.shape.c; c++)
        json_array_append_new(json, json_real((double)values[c]));
    char *text = json_dumps(
        json, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(FLT_DECIMAL_DIG));
    json_decref(json);
    return text;
}

static void free_values(struct values *values)
{
    free(values->mean);
    free(values->deviation);
    free(values->names);
}

static enum fm_status make_values(
    const char *path, const struct fm_net *net, char *const *class_names, struct values *values)
{
    snprintf(values->classes, sizeof values->classes, "%d", net->classes);
    snprintf(values->input_size, sizeof values->input_size, "%d", net->input.shape.h);
    json_t *names = json_array();
    int failed = 0;
    for (int k = 0; k < net->classes && !failed; k++)
        failed = json_array_append_new(names, json_string(class_names[k]));
    values->names = failed ? NULL : json_dumps(names, JSON_COMPACT);
    json_decref(names);
    if (!values->names)
        return fm_fail(FM_DATA, "%s: not written: a class name is not UTF-8", path);
    values->mean = channels_text(net, net->input.mean);
    values->deviation = channels_text(net, net->input.deviation);
    if (!values->mean || !values->deviation)
        return fm_fail(FM_MEMORY, "%s: not written: out of memory", path);
    return FM_OK;
}

static enum fm_status write_tensors(const char *path, const struct fm_net *net,
    struct fm_tensor *tensors, char *const *class_names, const char *trained_on)
{
    struct values values = {0};
    enum fm_status status = make_values(path, net, class_names, &values);
    const char *const metadata[] = {"fmnist_format", WEIGHTS_FORMAT, "model", net->name, "classes",
        values.classes, "class_names", values.names, "input_size", values.input_size, "input_mean",
        values.mean, "input_deviation", values.deviation, trained_on ? FM_WEIGHTS_TRAINED_ON : NULL,
        trained_on, NULL};
    if (status == FM_OK)
        status = fm_safetensors_write(path, tensors, fm_state_count(net), metadata);
    free_values(&values);
    return status;
}

const char *fm_run_trained_on(const struct fm_run_config *config)
{
    const struct fm_transfer *transfer = &config->transfer;
    if (config->full)
        return FM_WEIGHTS_ALL;
    return fm_transfer_is_own(transfer) && strcmp(transfer->trained_on, FM_WEIGHTS_SPLIT) != 0
               ? NULL
               : FM_WEIGHTS_SPLIT;
}

enum fm_status fm_run_save_weights(const char *directory, const struct fm_net *net,
    char *const *class_names, const char *trained_on, const struct fm_backend *api,
    struct fm_model *model)
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
    status = write_tensors(path, net, tensors, class_names, trained_on);
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

// What a file needs that some other program writes; so much is said where none of it is there.
static enum fm_status fail_foreign(const struct fm_weights *weights)
{
    return fm_fail(FM_DATA,
        "%s: its metadata do not say what network it is of. A file for fmnist has the texts "
        "\"fmnist_format\" (\"" WEIGHTS_FORMAT "\"), \"model\" (one of 'fmnist models'), "
        "\"classes\" (\"10\"), \"class_names\" (a JSON array), \"input_mean\" and "
        "\"input_deviation\" (of pixels from 0 to 1: a JSON number, or an array of one for each "
        "channel). Weights that a training is to begin with are for 'fmnist train --weights'",
        weights->path);
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
    if (!found && fm_safetensors_metadata(&weights->tensors, "fmnist_checkpoint"))
        return fm_fail(FM_DATA,
            "%s: is a checkpoint of a training, expected a weights file: the run's " FM_WEIGHTS_FILE
            " is one",
            weights->path);
    return found ? wrong(weights, "fmnist_format", found,
                       "\"" WEIGHTS_FORMAT "\": a weights file of fmnist, of this version")
                 : fail_foreign(weights);
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

static bool take_number(const json_t *json, float min, float *out)
{
    double value = json_number_value(json);
    if (!json_is_number(json) || !(value >= (double)min && value <= (double)FLT_MAX))
        return false;
    *out = (float)value;
    return true;
}

// A number, of every channel, or an array of one for each; of grey images that is one.
static enum fm_status get_channels(
    const struct fm_weights *weights, const char *key, float min, float out[FM_CHANNELS_MAX])
{
    json_t *json = metadata_json(weights, key);
    size_t count = json_is_array(json) ? json_array_size(json) : 1;
    bool right = count == 1 || count == FM_CHANNELS_MAX;
    for (size_t c = 0; right && c < FM_CHANNELS_MAX; c++)
        right = take_number(
            json_is_array(json) ? json_array_get(json, c % count) : json, min, &out[c]);
    json_decref(json);
    return right ? FM_OK
                 : wrong(weights, key, fm_safetensors_metadata(&weights->tensors, key),
                       min > 0 ? "a positive number, or an array of 3"
                               : "a number not below 0, or an array of 3");
}

// Files of earlier versions have none: the model's own.
static enum fm_status get_input_size(struct fm_weights *weights)
{
    const char *found = fm_safetensors_metadata(&weights->tensors, "input_size");
    json_t *json = metadata_json(weights, "input_size");
    json_int_t side = json_integer_value(json);
    json_decref(json);
    if (found && (side < 1 || side > FM_INPUT_SIZE_MAX))
        return wrong(weights, "input_size", found, "a number of pixels");
    weights->input_size = (int)side;
    return FM_OK;
}

static enum fm_status get_metadata(struct fm_weights *weights)
{
    FM_TRY(get_format(weights));
    FM_TRY(get_model(weights));
    FM_TRY(get_classes(weights));
    FM_TRY(get_class_names(weights));
    FM_TRY(get_input_size(weights));
    weights->trained_on = fm_weights_trained_on(
        fm_safetensors_metadata(&weights->tensors, FM_WEIGHTS_TRAINED_ON));
    FM_TRY(get_channels(weights, "input_mean", 0, weights->input_mean));
    return get_channels(weights, "input_deviation", FLT_MIN, weights->input_deviation);
}

static enum fm_status open_file(const char *path, struct fm_weights *weights,
    enum fm_status (*open)(const char *path, struct fm_tensor_file *file))
{
    memset(weights, 0, sizeof *weights);
    FM_TRY(fm_path_copy(weights->path, path));
    FM_TRY(open(path, &weights->tensors));
    enum fm_status status = get_metadata(weights);
    if (status != FM_OK)
        fm_weights_free(weights);
    return status;
}

enum fm_status fm_weights_open(const char *path, struct fm_weights *weights)
{
    return open_file(path, weights, fm_safetensors_open);
}

enum fm_status fm_weights_read(const char *path, struct fm_weights *weights)
{
    return open_file(path, weights, fm_safetensors_read);
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

enum fm_status fm_weights_net(const struct fm_weights *weights, struct fm_net *net)
{
    if (!fm_zoo_find(weights->model))
        return fm_fail(FM_DATA, "%s: is of model \"%.64s\", which this version does not know",
            weights->path, weights->model);
    enum fm_status status = fm_run_build_net(weights->model, weights->classes, weights->input_size,
        weights->input_mean, weights->input_deviation, net);
    // What would be wrong usage on a command line is here a file's fault.
    return status == FM_OK ? FM_OK
                           : fm_context(status == FM_USAGE ? FM_DATA : status, "%s", weights->path);
}

// A count that batch norm of PyTorch keeps beside its statistics, and that inference does not use.
static bool is_count(const char *name)
{
    static const char ending[] = ".num_batches_tracked";
    size_t length = strlen(name), tail = sizeof ending - 1;
    return length > tail && strcmp(name + length - tail, ending) == 0;
}

static enum fm_status check_surplus(const struct fm_weights *weights, const struct fm_net *net)
{
    for (int i = 0; i < weights->tensors.count; i++) {
        const char *name = weights->tensors.tensors[i].name;
        if (fm_net_find_param(net, name) < 0 && fm_net_find_running(net, name) < 0 &&
            !is_count(name))
            return fm_fail(
                FM_DATA, "%s: tensor \"%s\" is none of model %s", weights->path, name, net->name);
    }
    return FM_OK;
}

static enum fm_status check_input(const struct fm_weights *weights, const struct fm_net *net)
{
    const struct fm_input *input = &net->input;
    if (weights->input_size > 0 && weights->input_size != input->shape.h)
        return fm_fail(FM_DATA,
            "%s: of an input of %dx%d pixels, expected %dx%d: the weights are of another run",
            weights->path, weights->input_size, weights->input_size, input->shape.h,
            input->shape.w);
    for (int c = 0; c < input->shape.c; c++)
        if (weights->input_mean[c] != input->mean[c] ||
            weights->input_deviation[c] != input->deviation[c])
            return fm_fail(FM_DATA,
                "%s: of an input with mean %.9g and deviation %.9g in channel %d, expected %.9g "
                "and %.9g: the weights are of another run",
                weights->path, (double)weights->input_mean[c], (double)weights->input_deviation[c],
                c + 1, (double)input->mean[c], (double)input->deviation[c]);
    return FM_OK;
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

// By way of memory of its own.
static enum fm_status apply_copy(const struct fm_tensor_file *file, const struct fm_tensor *tensor,
    enum fm_state_kind kind, const struct fm_backend *api, struct fm_model *model)
{
    struct fm_pages pages = fm_pages_allocate(tensor->count * sizeof(float));
    if (!pages.memory)
        return fm_fail_memory("weights", tensor->count * sizeof(float));
    enum fm_status status = fm_safetensors_load(file, tensor, pages.memory);
    if (status == FM_OK)
        status = api->model_set(model, kind, tensor->name, pages.memory, tensor->count);
    fm_pages_free(&pages);
    return status;
}

// To where the model keeps it, without a copy on the way, if the processor can reach that.
static enum fm_status apply(const struct fm_tensor_file *file, const struct fm_tensor *tensor,
    enum fm_state_kind kind, const struct fm_backend *api, struct fm_model *model)
{
    float *data = NULL;
    if (!api->model_memory)
        return apply_copy(file, tensor, kind, api, model);
    FM_TRY(api->model_memory(model, kind, tensor->name, tensor->count, &data));
    return fm_safetensors_load(file, tensor, data);
}

enum fm_status fm_weights_apply(const struct fm_weights *weights, const struct fm_net *net,
    const struct fm_backend *api, struct fm_model *model)
{
    FM_TRY(check_net(weights, net));
    for (int i = 0; i < fm_state_count(net); i++) {
        struct fm_state_item item = fm_state_at(net, i);
        FM_TRY(apply(&weights->tensors, fm_safetensors_find(&weights->tensors, item.name),
            fm_state_item_kind(&item), api, model));
    }
    return FM_OK;
}

enum fm_status fm_run_load_weights(const char *directory, const struct fm_net *net,
    const struct fm_backend *api, struct fm_model *model)
{
    char path[FM_PATH_MAX];
    struct fm_weights weights;
    FM_TRY(fm_path_join(path, directory, FM_WEIGHTS_FILE));
    FM_TRY(fm_weights_open(path, &weights));
    enum fm_status status = fm_weights_apply(&weights, net, api, model);
    fm_weights_free(&weights);
    return status;
}
