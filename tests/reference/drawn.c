// See drawn.h.
#include "reference/drawn.h"

#include "data/dataset.h"
#include "net/init.h"
#include "net/zoo.h"
#include "philox.h"
#include "reference/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"

enum {
    CLASSES = 10,
    SEED = 7
};

static const char *const class_names[CLASSES] = {"T-shirt/top", "Trouser", "Pullover", "Dress",
    "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle \"boot\" \xc3\xa9t\xc3\xa9"};
static const char *const metadata[] = {
    "test_accuracy", "0.9321", "precision", "fp32", "seed", "7", NULL};

// Uniform in [low, high).
static void draw(float *out, size_t count, uint32_t what, float low, float high)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = fm_draw(SEED, 0, what, FM_STREAM_INIT, (uint32_t)i);
        out[i] = low + (high - low) * (float)(bits >> 8) * 0x1p-24f;
    }
}

static void draw_param(struct fm_drawn *drawn, int index)
{
    const struct fm_param *param = &drawn->net.params[index];
    float *out = drawn->params + param->offset;
    if (param->kind == FM_PARAM_WEIGHT)
        fm_init_param(&drawn->net, index, FM_INIT_HE_UNIFORM, SEED, out);
    else if (param->kind == FM_PARAM_SCALE)
        draw(out, param->count, (uint32_t)index, 0.5f, 1.5f);
    else
        draw(out, param->count, (uint32_t)index, -0.25f, 0.25f);
}

static void draw_running(struct fm_drawn *drawn, int index)
{
    const struct fm_running *running = &drawn->net.running[index];
    bool variance = running->initial > 0;
    draw(drawn->running + running->offset, running->count, 1000u + (uint32_t)index,
        variance ? 0.5f : -0.5f, variance ? 2.0f : 0.5f);
}

static void add_tensor(
    struct fm_drawn *drawn, const char *name, int ndims, const int *dims, float *data)
{
    struct fm_tensor *tensor = &drawn->tensors.tensors[drawn->tensors.count++];
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    tensor->ndims = ndims;
    tensor->count = 1;
    for (int d = 0; d < ndims; d++) {
        tensor->dims[d] = dims[d];
        tensor->count *= (size_t)dims[d];
    }
    tensor->data = data;
}

// A JSON list of values, a channel each.
static void write_channels(char out[96], const struct fm_net *net, const float *values, float plain)
{
    size_t length = 0;
    for (int c = 0; c < net->input.shape.c; c++)
        length += (size_t)snprintf(out + length, 96 - length, "%s%.9g", c > 0 ? "," : "[",
            (double)(net->input.standardise ? values[c] : plain));
    snprintf(out + length, 96 - length, "]");
}

static void fill_metadata(struct fm_drawn *drawn)
{
    const struct fm_net *net = &drawn->net;
    write_channels(drawn->mean, net, net->input.mean, 0.0f);
    write_channels(drawn->deviation, net, net->input.deviation, 1.0f);
    size_t length = 0;
    for (int k = 0; k < CLASSES; k++)
        length += (size_t)snprintf(drawn->names + length, sizeof drawn->names - length, "%s\"%s\"",
            k > 0 ? "," : "[",
            k == CLASSES - 1 ? "Ankle \\\"boot\\\" \xc3\xa9t\xc3\xa9" : class_names[k]);
    snprintf(drawn->names + length, sizeof drawn->names - length, "]");
    char *const items[] = {(char *)"fmnist_format", (char *)"2", (char *)"model", drawn->net.name,
        (char *)"classes", (char *)"10", (char *)"input_size", drawn->input_size,
        (char *)"class_names", drawn->names, (char *)"input_mean", drawn->mean,
        (char *)"input_deviation", drawn->deviation, NULL};
    snprintf(drawn->input_size, sizeof drawn->input_size, "%d", net->input.shape.h);
    memcpy(drawn->file_metadata, items, sizeof items);
}

void fm_drawn_open(struct fm_drawn *drawn, const char *model, int input_size)
{
    memset(drawn, 0, sizeof *drawn);
    struct fm_net *net = &drawn->net;
    assert_ok(fm_zoo_build(model, CLASSES, net));
    if (input_size > 0)
        assert_ok(fm_net_set_input_size(net, input_size));
    // Another of each channel, as weights of others have them.
    fm_net_set_input_channels(
        net, (const float[3]){0.286f, 0.456f, 0.406f}, (const float[3]){0.353f, 0.224f, 0.225f});
    drawn->params = calloc(net->param_elements, sizeof *drawn->params);
    drawn->running = calloc(net->running_elements + 1, sizeof *drawn->running);
    drawn->tensors.tensors = calloc(
        (size_t)(net->param_count + net->running_count), sizeof *drawn->tensors.tensors);
    assert_true(drawn->params && drawn->running && drawn->tensors.tensors);
    for (int i = 0; i < net->param_count; i++) {
        const struct fm_param *param = &net->params[i];
        draw_param(drawn, i);
        add_tensor(drawn, param->name, param->ndims, param->dims, drawn->params + param->offset);
    }
    for (int i = 0; i < net->running_count; i++) {
        const struct fm_running *running = &net->running[i];
        draw_running(drawn, i);
        add_tensor(drawn, running->name, 1, (const int[1]){(int)running->count},
            drawn->running + running->offset);
    }
    for (int k = 0; k < CLASSES; k++)
        drawn->class_names[k] = (char *)class_names[k];
    fill_metadata(drawn);
    drawn->tensors.metadata = drawn->file_metadata;
    drawn->model = (struct fm_format_model){.net = net,
        .tensors = &drawn->tensors,
        .class_names = drawn->class_names,
        .metadata = metadata};
}

void fm_drawn_close(struct fm_drawn *drawn)
{
    free(drawn->tensors.tensors);
    free(drawn->running);
    free(drawn->params);
}

void fm_drawn_write(const struct fm_drawn *drawn, const char *path)
{
    assert_ok(fm_safetensors_write(path, drawn->tensors.tensors, drawn->tensors.count,
        (const char *const *)drawn->file_metadata));
}

void fm_drawn_set(struct fm_drawn *drawn, const char *name, const float *values, size_t count)
{
    int index = fm_net_find_param(&drawn->net, name);
    if (index < 0 || drawn->net.params[index].count != count)
        fail_msg("%s: no parameter of %zu elements", name, count);
    memcpy(drawn->params + drawn->net.params[index].offset, values, count * sizeof *values);
}

// ---- What the backend computes

// The tensors of the file to be written.
struct results {
    struct fm_tensor tensors[FM_LAYERS_MAX + 3];
    int count;
};

static float *add_result(
    struct results *results, const char *name, uint32_t images, struct fm_shape shape)
{
    struct fm_tensor *tensor = &results->tensors[results->count++];
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    tensor->ndims = 4;
    memcpy(tensor->dims, (const int64_t[4]){(int64_t)images, shape.c, shape.h, shape.w},
        4 * sizeof *tensor->dims);
    tensor->count = (size_t)images * fm_shape_size(shape);
    tensor->data = calloc(tensor->count, sizeof *tensor->data);
    assert_non_null(tensor->data);
    return tensor->data;
}

static void read_layers(const struct fm_drawn *drawn, const struct fm_rig *rig,
    struct fm_executor *executor, struct results *results)
{
    const struct fm_net *net = &drawn->net;
    for (int l = -1; l < net->layer_count; l++) {
        const char *name = l < 0 ? "input" : net->layers[l].name;
        struct fm_shape shape = l < 0 ? net->input.shape : net->layers[l].out;
        float *data = add_result(results, name, FM_DRAWN_LAYERS_OF, shape);
        fm_rig_must(rig->api->executor_read(executor, l, FM_PROBE_ACTIVATION, data,
                        results->tensors[results->count - 1].count),
            name);
    }
}

void fm_drawn_compute(const struct fm_drawn *drawn, const char *path)
{
    static const struct fm_optimiser_options adam = {
        .kind = FM_OPTIMISER_ADAM, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f};
    struct fm_dataset data;
    struct fm_rig rig;
    struct results results = {.count = 0};
    assert_ok(fm_dataset_open(FM_TEST_SOURCE_DIR "/data/tiny", &data));
    fm_rig_open(&rig, "cpu", &drawn->net, &adam, FM_DRAWN_LAYERS_OF);
    fm_rig_set(&rig, FM_STATE_PARAM, drawn->params);
    fm_rig_set(&rig, FM_STATE_RUNNING, drawn->running);
    struct fm_executor *executor = fm_rig_compile(
        &rig, &(struct fm_compile_options){
                  .batch = FM_DRAWN_LAYERS_OF, .mode = FM_MODE_INFER, .probe = true});

    uint32_t count = data.test.count;
    float *images = add_result(&results, "images", count, (struct fm_shape){1, 28, 28});
    float *logits = add_result(&results, "logits", count, (struct fm_shape){CLASSES, 1, 1});
    for (size_t i = 0; i < (size_t)count * FM_IMAGE_BYTES; i++)
        images[i] = (float)data.test.records[i];
    for (uint32_t first = 0; first < count; first += FM_DRAWN_LAYERS_OF) {
        uint32_t left = count - first;
        fm_rig_predict(&rig, executor, 0, data.test.records + (size_t)first * FM_IMAGE_BYTES,
            left < FM_DRAWN_LAYERS_OF ? left : FM_DRAWN_LAYERS_OF,
            logits + (size_t)first * CLASSES);
        if (first == 0)
            read_layers(drawn, &rig, executor, &results);
    }
    assert_ok(fm_safetensors_write(path, results.tensors, results.count, NULL));

    for (int i = 0; i < results.count; i++)
        free(results.tensors[i].data);
    rig.api->executor_destroy(executor);
    fm_rig_close(&rig);
    fm_dataset_close(&data);
}
