// One order and one check of shapes for the files of weights and of checkpoints.
#include "run/states.h"

#include <stdio.h>
#include <string.h>

enum fm_state_kind fm_state_item_kind(const struct fm_state_item *item)
{
    return item->running ? FM_STATE_RUNNING : FM_STATE_PARAM;
}

int fm_state_count(const struct fm_net *net)
{
    return net->param_count + net->running_count;
}

struct fm_state_item fm_state_at(const struct fm_net *net, int index)
{
    struct fm_state_item item = {0};
    if (index < net->param_count) {
        const struct fm_param *param = &net->params[index];
        item.name = param->name;
        item.ndims = param->ndims;
        item.count = param->count;
        item.offset = param->offset;
        for (int i = 0; i < param->ndims; i++)
            item.dims[i] = param->dims[i];
    } else {
        const struct fm_running *running = &net->running[index - net->param_count];
        item.running = true;
        item.name = running->name;
        item.ndims = 1;
        item.dims[0] = (int64_t)running->count;
        item.count = running->count;
        item.offset = net->param_elements + running->offset;
    }
    return item;
}

void fm_shape_text(char out[128], int ndims, const int64_t *dims)
{
    size_t used = (size_t)snprintf(out, 128, "[");
    for (int i = 0; i < ndims && used < 128; i++)
        used += (size_t)snprintf(
            out + used, 128 - used, "%s%lld", i ? ", " : "", (long long)dims[i]);
    if (used < 128)
        snprintf(out + used, 128 - used, "]");
}

enum fm_status fm_state_check(const char *path, const char *name, const struct fm_state_item *item,
    const struct fm_tensor *tensor)
{
    if (!tensor)
        return fm_fail(FM_DATA, "%s: tensor \"%s\" is missing", path, name);
    size_t bytes = (size_t)item->ndims * sizeof item->dims[0];
    if (tensor->ndims == item->ndims && memcmp(tensor->dims, item->dims, bytes) == 0)
        return FM_OK;
    char found[128], expected[128];
    fm_shape_text(found, tensor->ndims, tensor->dims);
    fm_shape_text(expected, item->ndims, item->dims);
    return fm_fail(
        FM_DATA, "%s: tensor \"%s\": found shape %s, expected %s", path, name, found, expected);
}
