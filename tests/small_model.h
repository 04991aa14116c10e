// A small network with every kind of layer but the mean, no two values of which are the same: for
// tests of what writes networks. Include cmocka.h first.
#ifndef FM_TESTS_SMALL_MODEL_H
#define FM_TESTS_SMALL_MODEL_H

#include "net/formats/formats.h"

#include <stdio.h>
#include <string.h>

#include "expect.h"

enum {
    SMALL_VALUES_MAX = 4096
};

struct small_model {
    struct fm_net net;
    struct fm_tensor tensors[16];
    struct fm_tensor_file file;
    struct fm_format_model model;
    float values[SMALL_VALUES_MAX];
    size_t used; // of the values
    char *class_names[3];
    char *file_metadata[3];
};

static inline void small_tensor(
    struct small_model *small, const char *name, int ndims, const int *dims, size_t count)
{
    struct fm_tensor *tensor = &small->tensors[small->file.count++];
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    tensor->ndims = ndims;
    for (int d = 0; d < ndims; d++)
        tensor->dims[d] = dims[d];
    tensor->count = count;
    tensor->data = small->values + small->used;
    small->used += count;
}

// Records of 4x6, resized to 3 channels of 8x12.
static inline void small_model_build(struct small_model *small)
{
    static const struct fm_input input = {.rows = 4,
        .cols = 6,
        .shape = {3, 8, 12},
        .standardise = true,
        .mean = {0.25f, 0.5f, 0.75f},
        .deviation = {0.5f, 0.25f, 0.125f}};
    static const char *const metadata[] = {"test_accuracy", "0.875", "precision", "bf16", NULL};

    memset(small, 0, sizeof *small);
    struct fm_net *net = &small->net;
    fm_net_begin(net, "small", &input);
    assert_ok(fm_net_conv(net, "conv1", 2, 3, 1, false));
    assert_ok(fm_net_batchnorm(net, "bn1"));
    assert_ok(fm_net_relu(net, "relu1"));
    assert_ok(fm_net_maxpool(net, "pool1"));
    assert_ok(fm_net_conv(net, "conv2", 4, 3, 0, true));
    assert_ok(fm_net_relu(net, "relu2"));
    assert_ok(fm_net_dropout(net, "drop1", 0.3f));
    assert_ok(fm_net_dense(net, "fc1", 5, true));
    assert_ok(fm_net_relu(net, "relu3"));
    assert_ok(fm_net_dense(net, "fc2", 3, false));
    assert_ok(fm_net_end(net));

    small->file.tensors = small->tensors;
    for (int i = 0; i < SMALL_VALUES_MAX; i++)
        small->values[i] = (float)i / 1024.0f;
    for (int i = 0; i < net->param_count; i++)
        small_tensor(small, net->params[i].name, net->params[i].ndims, net->params[i].dims,
            net->params[i].count);
    for (int i = 0; i < net->running_count; i++) {
        int count = (int)net->running[i].count;
        small_tensor(small, net->running[i].name, 1, &count, net->running[i].count);
    }
    static char *const file_metadata[] = {(char *)"fmnist_format", (char *)"2", NULL};
    memcpy(small->file_metadata, file_metadata, sizeof file_metadata);
    small->file.metadata = small->file_metadata;
    small->class_names[0] = (char *)"T-shirt/top";
    small->class_names[1] = (char *)"\xc3\x89t\xc3\xa9 \"quoted\" \\ back";
    small->class_names[2] = (char *)"'bag'\ntwo lines";
    small->model = (struct fm_format_model){.net = net,
        .tensors = &small->file,
        .class_names = small->class_names,
        .metadata = metadata};
}

// The value of element `index` of a tensor.
static inline float small_value(const struct small_model *small, const char *name, size_t index)
{
    const struct fm_tensor *tensor = fm_safetensors_find(&small->file, name);
    assert_non_null(tensor);
    assert_true(index < tensor->count);
    return tensor->data[index];
}

#endif
