// The weights kept: every parameter and running statistic of a model, by name, in one safetensors
// file that other tools can read.
#include "run/run.h"

#include "net/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WEIGHTS_FORMAT = 1
};

// A named state of the model, in the order of the file: parameters, then running statistics.
struct item {
    enum fm_state_kind kind;
    const char *name;
    int ndims;
    int64_t dims[4];
    size_t count;
    size_t offset; // elements before it
};

static int item_count(const struct fm_net *net)
{
    return net->param_count + net->running_count;
}

static struct item item_at(const struct fm_net *net, int index)
{
    struct item item = {0};
    if (index < net->param_count) {
        const struct fm_param *param = &net->params[index];
        item = (struct item){.kind = FM_STATE_PARAM,
            .name = param->name,
            .ndims = param->ndims,
            .count = param->count,
            .offset = param->offset};
        for (int i = 0; i < param->ndims; i++)
            item.dims[i] = param->dims[i];
    } else {
        const struct fm_running *running = &net->running[index - net->param_count];
        item = (struct item){.kind = FM_STATE_RUNNING,
            .name = running->name,
            .ndims = 1,
            .dims = {(int64_t)running->count},
            .count = running->count,
            .offset = net->param_elements + running->offset};
    }
    return item;
}

enum fm_status fm_run_save_weights(const char *directory, const struct fm_net *net,
    const struct fm_backend *api, struct fm_model *model)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, directory, "model.safetensors"));
    int count = item_count(net);
    size_t elements = net->param_elements + net->running_elements;
    enum fm_status status = FM_OK;
    struct fm_tensor *tensors = calloc((size_t)count, sizeof *tensors);
    float *data = malloc(elements * sizeof *data);
    if (!tensors || !data) {
        status = fm_fail_memory("weights", elements * sizeof *data);
        goto out;
    }
    for (int i = 0; i < count; i++) {
        struct item item = item_at(net, i);
        struct fm_tensor *tensor = &tensors[i];
        snprintf(tensor->name, sizeof tensor->name, "%s", item.name);
        tensor->ndims = item.ndims;
        memcpy(tensor->dims, item.dims, sizeof item.dims);
        tensor->count = item.count;
        tensor->data = data + item.offset;
        FM_TRY_GOTO(
            status, api->model_get(model, item.kind, item.name, tensor->data, item.count), out);
    }
    char format[16], classes[16];
    snprintf(format, sizeof format, "%d", WEIGHTS_FORMAT);
    snprintf(classes, sizeof classes, "%d", net->classes);
    const char *const metadata[] = {
        "fmnist_format", format, "model", net->name, "classes", classes, NULL};
    status = fm_safetensors_write(path, tensors, count, metadata);
out:
    free(data);
    free(tensors);
    return status;
}

static const char *metadata_value(const struct fm_tensor_file *file, const char *key)
{
    for (char **pair = file->metadata; pair && pair[0]; pair += 2) {
        if (strcmp(pair[0], key) == 0)
            return pair[1];
    }
    return NULL;
}

static enum fm_status check_metadata(
    const char *path, const struct fm_tensor_file *file, const char *key, const char *expected)
{
    const char *found = metadata_value(file, key);
    if (found && strcmp(found, expected) == 0)
        return FM_OK;
    return fm_fail(FM_DATA, "%s: metadata \"%s\": found %s%s%s, expected \"%s\"", path, key,
        found ? "\"" : "", found ? found : "nothing", found ? "\"" : "", expected);
}

static void shape_text(char out[128], int ndims, const int64_t *dims)
{
    size_t used = (size_t)snprintf(out, 128, "[");
    for (int i = 0; i < ndims && used < 128; i++)
        used += (size_t)snprintf(
            out + used, 128 - used, "%s%lld", i ? ", " : "", (long long)dims[i]);
    if (used < 128)
        snprintf(out + used, 128 - used, "]");
}

static enum fm_status check_tensor(
    const char *path, const struct item *item, const struct fm_tensor *tensor)
{
    if (!tensor)
        return fm_fail(FM_DATA, "%s: tensor \"%s\" is missing", path, item->name);
    size_t bytes = (size_t)item->ndims * sizeof item->dims[0];
    if (tensor->ndims == item->ndims && memcmp(tensor->dims, item->dims, bytes) == 0)
        return FM_OK;
    char found[128], expected[128];
    shape_text(found, tensor->ndims, tensor->dims);
    shape_text(expected, item->ndims, item->dims);
    return fm_fail(FM_DATA, "%s: tensor \"%s\": found shape %s, expected %s", path, item->name,
        found, expected);
}

static enum fm_status check_surplus(
    const char *path, const struct fm_net *net, const struct fm_tensor_file *file)
{
    for (int i = 0; i < file->count; i++) {
        const char *name = file->tensors[i].name;
        if (fm_net_find_param(net, name) < 0 && fm_net_find_running(net, name) < 0)
            return fm_fail(FM_DATA, "%s: tensor \"%s\" is none of model %s", path, name, net->name);
    }
    return FM_OK;
}

// All checks come before the first change of the model.
static enum fm_status check_file(
    const char *path, const struct fm_net *net, const struct fm_tensor_file *file)
{
    char format[16], classes[16];
    snprintf(format, sizeof format, "%d", WEIGHTS_FORMAT);
    snprintf(classes, sizeof classes, "%d", net->classes);
    FM_TRY(check_metadata(path, file, "fmnist_format", format));
    FM_TRY(check_metadata(path, file, "model", net->name));
    FM_TRY(check_metadata(path, file, "classes", classes));
    for (int i = 0; i < item_count(net); i++) {
        struct item item = item_at(net, i);
        FM_TRY(check_tensor(path, &item, fm_safetensors_find(file, item.name)));
    }
    return check_surplus(path, net, file);
}

enum fm_status fm_run_load_weights(const char *directory, const struct fm_net *net,
    const struct fm_backend *api, struct fm_model *model)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, directory, "model.safetensors"));
    struct fm_tensor_file file;
    FM_TRY(fm_safetensors_read(path, &file));
    enum fm_status status = check_file(path, net, &file);
    for (int i = 0; status == FM_OK && i < item_count(net); i++) {
        struct item item = item_at(net, i);
        status = api->model_set(
            model, item.kind, item.name, fm_safetensors_find(&file, item.name)->data, item.count);
    }
    fm_safetensors_free(&file);
    return status;
}
