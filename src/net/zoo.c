// The five models, each written out layer by layer, and each held to its published number of
// parameters.
#include "net/zoo.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum {
    ZOO_CLASSES = 10,
    ZOO_CLASSES_MIN = 2,
    ZOO_CLASSES_MAX = 256
};

const struct fm_zoo_entry fm_zoo[] = {
    {"simple", "2 convolutions, 2 dense layers", 1199882},
    {"deeper", "6 convolutions with batch norm, 3 dense layers", 3770442},
    {"vgg16", "VGG16's 13 convolutions, 2 dense layers, on 32x32x3", 14848586},
    {"simple-ref", "what the original's code builds as its simple model, on 32x32x3", 923914},
    {"deeper-ref", "what the original's code builds as its deeper model, on 32x32x3", 620362},
    {NULL, NULL, 0},
};

const char *const fm_zoo_names[] = {"simple", "deeper", "vgg16", "simple-ref", "deeper-ref", NULL};

static const struct fm_input grey28 = {
    .rows = 28,
    .cols = 28,
    .shape = {1, 28, 28},
    .standardise = true,
    .mean = {0.0f, 0.0f, 0.0f},
    .deviation = {1.0f, 1.0f, 1.0f},
};

static const struct fm_input rgb32 = {
    .rows = 28,
    .cols = 28,
    .shape = {3, 32, 32},
    .standardise = true,
    .mean = {0.0f, 0.0f, 0.0f},
    .deviation = {1.0f, 1.0f, 1.0f},
};

static const struct fm_input rgb32_plain = {
    .rows = 28,
    .cols = 28,
    .shape = {3, 32, 32},
    .standardise = false,
};

static enum fm_status build_simple(struct fm_net *net, int classes)
{
    fm_net_begin(net, "simple", &grey28);
    FM_TRY(fm_net_conv(net, "conv1", 32, 3, 0, true));
    FM_TRY(fm_net_relu(net, "relu1"));
    FM_TRY(fm_net_conv(net, "conv2", 64, 3, 0, true));
    FM_TRY(fm_net_relu(net, "relu2"));
    FM_TRY(fm_net_maxpool(net, "pool1"));
    FM_TRY(fm_net_dropout(net, "drop1", 0.25f));
    FM_TRY(fm_net_dense(net, "fc1", 128, true));
    FM_TRY(fm_net_relu(net, "relu3"));
    FM_TRY(fm_net_dropout(net, "drop2", 0.5f));
    FM_TRY(fm_net_dense(net, "fc2", classes, true));
    return fm_net_end(net);
}

static enum fm_status build_deeper(struct fm_net *net, int classes)
{
    fm_net_begin(net, "deeper", &grey28);
    char name[FM_NAME_MAX];
    for (int i = 1; i <= 6; i++) {
        int block = (i - 1) / 2;
        snprintf(name, sizeof name, "conv%d", i);
        FM_TRY(fm_net_conv(net, name, 64 << block, 3, 1, false));
        snprintf(name, sizeof name, "bn%d", i);
        FM_TRY(fm_net_batchnorm(net, name));
        snprintf(name, sizeof name, "relu%d", i);
        FM_TRY(fm_net_relu(net, name));
        if (i % 2 == 0) {
            snprintf(name, sizeof name, "pool%d", block + 1);
            FM_TRY(fm_net_maxpool(net, name));
        }
    }
    FM_TRY(fm_net_dropout(net, "drop1", 0.5f));
    FM_TRY(fm_net_dense(net, "fc1", 1024, true));
    FM_TRY(fm_net_relu(net, "relu7"));
    FM_TRY(fm_net_dense(net, "fc2", 256, true));
    FM_TRY(fm_net_relu(net, "relu8"));
    FM_TRY(fm_net_dense(net, "fc3", classes, true));
    return fm_net_end(net);
}

static enum fm_status build_vgg16(struct fm_net *net, int classes)
{
    static const struct {
        int convolutions, channels;
    } blocks[5] = {{2, 64}, {2, 128}, {3, 256}, {3, 512}, {3, 512}};

    fm_net_begin(net, "vgg16", &rgb32);
    char name[FM_NAME_MAX];
    for (int b = 0; b < 5; b++) {
        for (int i = 0; i < blocks[b].convolutions; i++) {
            snprintf(name, sizeof name, "conv%d_%d", b + 1, i + 1);
            FM_TRY(fm_net_conv(net, name, blocks[b].channels, 3, 1, true));
            snprintf(name, sizeof name, "relu%d_%d", b + 1, i + 1);
            FM_TRY(fm_net_relu(net, name));
        }
        snprintf(name, sizeof name, "pool%d", b + 1);
        FM_TRY(fm_net_maxpool(net, name));
    }
    FM_TRY(fm_net_meanpool(net, "mean"));
    FM_TRY(fm_net_dense(net, "fc1", 256, true));
    FM_TRY(fm_net_relu(net, "relu6"));
    FM_TRY(fm_net_dropout(net, "drop1", 0.5f));
    FM_TRY(fm_net_dense(net, "fc2", classes, true));
    return fm_net_end(net);
}

static enum fm_status build_simple_ref(struct fm_net *net, int classes)
{
    fm_net_begin(net, "simple-ref", &rgb32_plain);
    FM_TRY(fm_net_conv(net, "conv1", 32, 3, 0, true));
    FM_TRY(fm_net_relu(net, "relu1"));
    FM_TRY(fm_net_maxpool(net, "pool1"));
    FM_TRY(fm_net_dense(net, "fc1", 128, true));
    FM_TRY(fm_net_relu(net, "relu2"));
    FM_TRY(fm_net_dense(net, "fc2", classes, true));
    return fm_net_end(net);
}

static enum fm_status build_deeper_ref(struct fm_net *net, int classes)
{
    fm_net_begin(net, "deeper-ref", &rgb32_plain);
    FM_TRY(fm_net_conv(net, "conv1", 32, 3, 0, true));
    FM_TRY(fm_net_relu(net, "relu1"));
    FM_TRY(fm_net_maxpool(net, "pool1"));
    FM_TRY(fm_net_conv(net, "conv2", 64, 3, 0, true));
    FM_TRY(fm_net_relu(net, "relu2"));
    FM_TRY(fm_net_maxpool(net, "pool2"));
    FM_TRY(fm_net_conv(net, "conv3", 128, 3, 0, true));
    FM_TRY(fm_net_relu(net, "relu3"));
    FM_TRY(fm_net_dropout(net, "drop1", 0.5f));
    FM_TRY(fm_net_dense(net, "fc1", 256, true));
    FM_TRY(fm_net_relu(net, "relu4"));
    FM_TRY(fm_net_dense(net, "fc2", classes, true));
    return fm_net_end(net);
}

// In the order of fm_zoo.
static enum fm_status (*const builders[])(struct fm_net *net, int classes) = {
    build_simple, build_deeper, build_vgg16, build_simple_ref, build_deeper_ref};

const struct fm_zoo_entry *fm_zoo_find(const char *name)
{
    for (const struct fm_zoo_entry *entry = fm_zoo; entry->name != NULL; entry++) {
        if (strcmp(entry->name, name) == 0)
            return entry;
    }
    return NULL;
}

static enum fm_status fail_unknown(const char *name)
{
    const char *nearest = fm_nearest_name(name, fm_zoo_names);
    if (nearest != NULL)
        return fm_fail(FM_USAGE, "unknown model '%s': did you mean '%s'?", name, nearest);
    struct fm_text list = {0};
    for (int i = 0; fm_zoo_names[i] != NULL; i++)
        fm_text_append(&list, "%s%s", i > 0 ? ", " : "", fm_zoo_names[i]);
    fm_fail(FM_USAGE, "unknown model '%s': there are %s", name, fm_text_cstr(&list));
    fm_text_free(&list);
    return FM_USAGE;
}

enum fm_status fm_zoo_build(const char *name, int classes, struct fm_net *net)
{
    const struct fm_zoo_entry *entry = fm_zoo_find(name);
    if (entry == NULL)
        return fail_unknown(name);
    if (classes < ZOO_CLASSES_MIN || classes > ZOO_CLASSES_MAX)
        return fm_fail(FM_DATA, "model %s: %d classes, expected %d to %d", name, classes,
            ZOO_CLASSES_MIN, ZOO_CLASSES_MAX);
    enum fm_status status = builders[entry - fm_zoo](net, classes);
    if (status != FM_OK)
        return fm_context(status, "model %s", name);

    // Every class beyond the published ten is a row of the last layer and its bias.
    size_t row = fm_shape_size(net->layers[net->layer_count - 1].in) + 1;
    size_t expected = entry->parameters - ZOO_CLASSES * row + (size_t)classes * row;
    if (net->param_elements != expected)
        return fm_fail(FM_DATA, "model %s: %zu parameters with %d classes, expected %zu", name,
            net->param_elements, classes, expected);
    return FM_OK;
}
