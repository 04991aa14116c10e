// Shapes, names, counts and costs of networks, and every way to build one wrongly.
#include "net/zoo.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"

static struct fm_net net;

static const struct fm_input grey8 = {.rows = 8,
    .cols = 8,
    .shape = {1, 8, 8},
    .standardise = true,
    .mean = {0.25f, 0.25f, 0.25f},
    .deviation = {0.5f, 0.5f, 0.5f}};

struct row {
    const char *name;
    enum fm_layer_kind kind;
    struct fm_shape out;
    size_t params;
    uint64_t macs;
};

static void check_rows(const char *model, const struct row *rows, int count)
{
    assert_ok(fm_zoo_build(model, 10, &net));
    assert_string_equal(net.name, model);
    assert_int_equal(net.layer_count, count);
    uint64_t macs = 0;
    for (int l = 0; l < count; l++) {
        const struct fm_layer *layer = &net.layers[l];
        if (strcmp(layer->name, rows[l].name) != 0 || layer->kind != rows[l].kind ||
            layer->out.c != rows[l].out.c || layer->out.h != rows[l].out.h ||
            layer->out.w != rows[l].out.w || fm_layer_params(&net, l) != rows[l].params ||
            layer->macs != rows[l].macs)
            fail_msg(
                "%s layer %d: %s %s %dx%dx%d, %zu parameters, %llu MACs; expected %s %s %dx%dx%d, "
                "%zu, %llu",
                model, l, fm_layer_kind_name(layer->kind), layer->name, layer->out.c, layer->out.h,
                layer->out.w, fm_layer_params(&net, l), (unsigned long long)layer->macs,
                fm_layer_kind_name(rows[l].kind), rows[l].name, rows[l].out.c, rows[l].out.h,
                rows[l].out.w, rows[l].params, (unsigned long long)rows[l].macs);
        macs += rows[l].macs;
    }
    assert_int_equal(fm_net_macs(&net), macs);
}

#define C FM_LAYER_CONV
#define B FM_LAYER_BATCHNORM
#define R FM_LAYER_RELU
#define P FM_LAYER_MAXPOOL
#define M FM_LAYER_MEANPOOL
#define D FM_LAYER_DROPOUT
#define F FM_LAYER_DENSE
#define ROWS(name, rows) check_rows(name, rows, (int)(sizeof rows / sizeof rows[0]))

static void simple_layers(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"conv1", C, {32, 26, 26}, 320, 26 * 26 * 32 * 9},
        {"relu1", R, {32, 26, 26}, 0, 0},
        {"conv2", C, {64, 24, 24}, 18496, 24 * 24 * 64 * 32 * 9},
        {"relu2", R, {64, 24, 24}, 0, 0},
        {"pool1", P, {64, 12, 12}, 0, 0},
        {"drop1", D, {64, 12, 12}, 0, 0},
        {"fc1", F, {128, 1, 1}, 1179776, 9216 * 128},
        {"relu3", R, {128, 1, 1}, 0, 0},
        {"drop2", D, {128, 1, 1}, 0, 0},
        {"fc2", F, {10, 1, 1}, 1290, 1280},
    };
    ROWS("simple", rows);
    assert_float_equal(net.layers[5].rate, 0.25f, 0);
    assert_int_equal(net.layers[5].stream, 0);
    assert_float_equal(net.layers[8].rate, 0.5f, 0);
    assert_int_equal(net.layers[8].stream, 1);
}

static void deeper_layers(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"conv1", C, {64, 28, 28}, 576, 784 * 576},
        {"bn1", B, {64, 28, 28}, 128, 0},
        {"relu1", R, {64, 28, 28}, 0, 0},
        {"conv2", C, {64, 28, 28}, 36864, 784 * 36864},
        {"bn2", B, {64, 28, 28}, 128, 0},
        {"relu2", R, {64, 28, 28}, 0, 0},
        {"pool1", P, {64, 14, 14}, 0, 0},
        {"conv3", C, {128, 14, 14}, 73728, 196 * 73728},
        {"bn3", B, {128, 14, 14}, 256, 0},
        {"relu3", R, {128, 14, 14}, 0, 0},
        {"conv4", C, {128, 14, 14}, 147456, 196 * 147456},
        {"bn4", B, {128, 14, 14}, 256, 0},
        {"relu4", R, {128, 14, 14}, 0, 0},
        {"pool2", P, {128, 7, 7}, 0, 0},
        {"conv5", C, {256, 7, 7}, 294912, 49 * 294912},
        {"bn5", B, {256, 7, 7}, 512, 0},
        {"relu5", R, {256, 7, 7}, 0, 0},
        {"conv6", C, {256, 7, 7}, 589824, 49 * 589824},
        {"bn6", B, {256, 7, 7}, 512, 0},
        {"relu6", R, {256, 7, 7}, 0, 0},
        {"pool3", P, {256, 3, 3}, 0, 0},
        {"drop1", D, {256, 3, 3}, 0, 0},
        {"fc1", F, {1024, 1, 1}, 2360320, 2304 * 1024},
        {"relu7", R, {1024, 1, 1}, 0, 0},
        {"fc2", F, {256, 1, 1}, 262400, 1024 * 256},
        {"relu8", R, {256, 1, 1}, 0, 0},
        {"fc3", F, {10, 1, 1}, 2570, 2560},
    };
    ROWS("deeper", rows);
    assert_int_equal(net.running_count, 12);
    assert_int_equal(net.running_elements, 2 * (64 + 64 + 128 + 128 + 256 + 256));
}

static void vgg16_layers(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"conv1_1", C, {64, 32, 32}, 1792, 1024 * 1728},
        {"relu1_1", R, {64, 32, 32}, 0, 0},
        {"conv1_2", C, {64, 32, 32}, 36928, 1024 * 36864},
        {"relu1_2", R, {64, 32, 32}, 0, 0},
        {"pool1", P, {64, 16, 16}, 0, 0},
        {"conv2_1", C, {128, 16, 16}, 73856, 256 * 73728},
        {"relu2_1", R, {128, 16, 16}, 0, 0},
        {"conv2_2", C, {128, 16, 16}, 147584, 256 * 147456},
        {"relu2_2", R, {128, 16, 16}, 0, 0},
        {"pool2", P, {128, 8, 8}, 0, 0},
        {"conv3_1", C, {256, 8, 8}, 295168, 64 * 294912},
        {"relu3_1", R, {256, 8, 8}, 0, 0},
        {"conv3_2", C, {256, 8, 8}, 590080, 64 * 589824},
        {"relu3_2", R, {256, 8, 8}, 0, 0},
        {"conv3_3", C, {256, 8, 8}, 590080, 64 * 589824},
        {"relu3_3", R, {256, 8, 8}, 0, 0},
        {"pool3", P, {256, 4, 4}, 0, 0},
        {"conv4_1", C, {512, 4, 4}, 1180160, 16 * 1179648},
        {"relu4_1", R, {512, 4, 4}, 0, 0},
        {"conv4_2", C, {512, 4, 4}, 2359808, 16 * 2359296},
        {"relu4_2", R, {512, 4, 4}, 0, 0},
        {"conv4_3", C, {512, 4, 4}, 2359808, 16 * 2359296},
        {"relu4_3", R, {512, 4, 4}, 0, 0},
        {"pool4", P, {512, 2, 2}, 0, 0},
        {"conv5_1", C, {512, 2, 2}, 2359808, 4 * 2359296},
        {"relu5_1", R, {512, 2, 2}, 0, 0},
        {"conv5_2", C, {512, 2, 2}, 2359808, 4 * 2359296},
        {"relu5_2", R, {512, 2, 2}, 0, 0},
        {"conv5_3", C, {512, 2, 2}, 2359808, 4 * 2359296},
        {"relu5_3", R, {512, 2, 2}, 0, 0},
        {"pool5", P, {512, 1, 1}, 0, 0},
        {"mean", M, {512, 1, 1}, 0, 0},
        {"fc1", F, {256, 1, 1}, 131328, 512 * 256},
        {"relu6", R, {256, 1, 1}, 0, 0},
        {"drop1", D, {256, 1, 1}, 0, 0},
        {"fc2", F, {10, 1, 1}, 2570, 2560},
    };
    ROWS("vgg16", rows);
    size_t base = 0;
    for (int l = 0; l < 30; l++)
        base += fm_layer_params(&net, l);
    assert_int_equal(base, 14714688);
    assert_true(net.input.standardise);
}

static void reference_layers(void **state)
{
    (void)state;
    static const struct row simple[] = {
        {"conv1", C, {32, 30, 30}, 896, 900 * 864},
        {"relu1", R, {32, 30, 30}, 0, 0},
        {"pool1", P, {32, 15, 15}, 0, 0},
        {"fc1", F, {128, 1, 1}, 921728, 7200 * 128},
        {"relu2", R, {128, 1, 1}, 0, 0},
        {"fc2", F, {10, 1, 1}, 1290, 1280},
    };
    static const struct row deeper[] = {
        {"conv1", C, {32, 30, 30}, 896, 900 * 864},
        {"relu1", R, {32, 30, 30}, 0, 0},
        {"pool1", P, {32, 15, 15}, 0, 0},
        {"conv2", C, {64, 13, 13}, 18496, 169 * 18432},
        {"relu2", R, {64, 13, 13}, 0, 0},
        {"pool2", P, {64, 6, 6}, 0, 0},
        {"conv3", C, {128, 4, 4}, 73856, 16 * 73728},
        {"relu3", R, {128, 4, 4}, 0, 0},
        {"drop1", D, {128, 4, 4}, 0, 0},
        {"fc1", F, {256, 1, 1}, 524544, 2048 * 256},
        {"relu4", R, {256, 1, 1}, 0, 0},
        {"fc2", F, {10, 1, 1}, 2570, 2560},
    };
    ROWS("simple-ref", simple);
    assert_false(net.input.standardise);
    assert_float_equal(net.input.deviation[2], 1.0f, 0);
    ROWS("deeper-ref", deeper);
    assert_false(net.input.standardise);
}

static void published_counts(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t count;
    } published[] = {{"simple", 1199882}, {"deeper", 3770442}, {"vgg16", 14848586},
        {"simple-ref", 923914}, {"deeper-ref", 620362}};
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        assert_string_equal(fm_zoo[i].name, published[i].name);
        assert_string_equal(fm_zoo_names[i], published[i].name);
        assert_int_equal(fm_zoo[i].parameters, published[i].count);
        assert_ok(fm_zoo_build(published[i].name, 10, &net));
        assert_int_equal(net.param_elements, published[i].count);
        assert_int_equal(net.input.rows, 28);
        assert_int_equal(net.input.cols, 28);
    }
    assert_null(fm_zoo[5].name);
    assert_null(fm_zoo_names[5]);
}

static void other_class_counts(void **state)
{
    (void)state;
    static const int classes[] = {2, 3, 26, 255, 256};
    for (int m = 0; fm_zoo_names[m] != NULL; m++) {
        for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
            assert_ok(fm_zoo_build(fm_zoo_names[m], classes[i], &net));
            assert_int_equal(net.classes, classes[i]);
            assert_int_equal(net.layers[net.layer_count - 1].out.c, classes[i]);
        }
        assert_fails(
            fm_zoo_build(fm_zoo_names[m], 1, &net), FM_DATA, "1 classes, expected 2 to 256");
        assert_fails(
            fm_zoo_build(fm_zoo_names[m], 257, &net), FM_DATA, "257 classes, expected 2 to 256");
    }
}

static void unknown_model(void **state)
{
    (void)state;
    assert_fails(fm_zoo_build("deper", 10, &net), FM_USAGE, "'deper': did you mean 'deeper'");
    assert_fails(fm_zoo_build("transformer", 10, &net), FM_USAGE, "simple-ref");
    assert_null(fm_zoo_find("deper"));
    assert_string_equal(fm_zoo_find("vgg16")->name, "vgg16");
}

// Offsets without gaps, fans, flags, and names that can be found again.
static void parameters(void **state)
{
    (void)state;
    for (int m = 0; fm_zoo_names[m] != NULL; m++) {
        assert_ok(fm_zoo_build(fm_zoo_names[m], 10, &net));
        size_t offset = 0;
        for (int p = 0; p < net.param_count; p++) {
            const struct fm_param *param = &net.params[p];
            size_t count = 1;
            for (int d = 0; d < param->ndims; d++)
                count *= (size_t)param->dims[d];
            assert_int_equal(param->count, count);
            assert_int_equal(param->offset, offset);
            assert_int_equal(fm_net_find_param(&net, param->name), p);
            assert_true(param->trainable);
            assert_int_equal(param->decay, param->kind == FM_PARAM_WEIGHT);
            assert_float_equal(param->lr_multiplier, 1.0f, 0);
            offset += count;
        }
        assert_int_equal(offset, net.param_elements);
    }

    assert_ok(fm_zoo_build("deeper", 10, &net));
    const struct fm_param *conv = &net.params[fm_net_find_param(&net, "conv2.weight")];
    assert_int_equal(conv->ndims, 4);
    assert_int_equal(conv->dims[0], 64);
    assert_int_equal(conv->dims[2], 3);
    assert_int_equal(conv->fan_in, 64 * 9);
    assert_int_equal(conv->fan_out, 64 * 9);
    const struct fm_param *dense = &net.params[fm_net_find_param(&net, "fc1.weight")];
    assert_int_equal(dense->dims[0], 1024);
    assert_int_equal(dense->dims[1], 2304);
    assert_int_equal(dense->fan_in, 2304);
    assert_int_equal(dense->fan_out, 1024);
    assert_int_equal(net.params[fm_net_find_param(&net, "bn1.weight")].kind, FM_PARAM_SCALE);
    assert_int_equal(net.params[fm_net_find_param(&net, "bn1.bias")].kind, FM_PARAM_SHIFT);
    assert_int_equal(fm_net_find_param(&net, "conv1.bias"), -1);
    assert_int_equal(fm_net_find_param(&net, "bn1.running_mean"), -1);

    int mean = fm_net_find_running(&net, "bn1.running_mean");
    int variance = fm_net_find_running(&net, "bn1.running_var");
    assert_int_equal(mean, net.layers[1].running);
    assert_int_equal(variance, mean + 1);
    assert_float_equal(net.running[mean].initial, 0.0f, 0);
    assert_float_equal(net.running[variance].initial, 1.0f, 0);
    assert_int_equal(net.running[variance].offset, 64);
    assert_int_equal(fm_net_find_running(&net, "bn7.running_mean"), -1);
}

static void odd_shapes(void **state)
{
    (void)state;
    struct fm_input input = grey8;
    input.shape = (struct fm_shape){3, 7, 5};
    fm_net_begin(&net, "odd", &input);
    assert_ok(fm_net_conv(&net, "conv1", 5, 2, 1, false));
    assert_int_equal(net.layers[0].out.h, 8);
    assert_int_equal(net.layers[0].out.w, 6);
    assert_int_equal(net.layers[0].macs, 5 * 3 * 4 * 8 * 6);
    assert_ok(fm_net_conv(&net, "conv2", 2, 4, 0, true));
    assert_int_equal(net.layers[1].out.h, 5);
    assert_int_equal(net.layers[1].out.w, 3);
    assert_ok(fm_net_maxpool(&net, "pool"));
    assert_int_equal(net.layers[2].out.h, 2);
    assert_int_equal(net.layers[2].out.w, 1);
    assert_ok(fm_net_dense(&net, "fc", 2, false));
    assert_int_equal(net.params[net.layers[3].weight].dims[1], 4);
    assert_int_equal(net.layers[3].bias, -1);
    assert_ok(fm_net_end(&net));
    assert_int_equal(net.classes, 2);
}

static void setters(void **state)
{
    (void)state;
    assert_ok(fm_zoo_build("simple", 10, &net));
    fm_net_set_dropout(&net, 0.125f);
    assert_float_equal(net.layers[5].rate, 0.125f, 0);
    assert_float_equal(net.layers[8].rate, 0.125f, 0);
    assert_float_equal(net.layers[0].rate, 0.0f, 0);
    fm_net_set_input_statistics(&net, 0.3f, 0.4f);
    assert_float_equal(net.input.mean[0], 0.3f, 0);
    assert_float_equal(net.input.deviation[0], 0.4f, 0);
    assert_float_equal(net.input.mean[2], 0.3f, 0);
    fm_net_set_input_channels(
        &net, (const float[]){0.1f, 0.2f, 0.3f}, (const float[]){0.4f, 0.5f, 0.6f});
    assert_float_equal(net.input.mean[1], 0.2f, 0);
    assert_float_equal(net.input.deviation[2], 0.6f, 0);
    assert_ok(fm_zoo_build("simple-ref", 10, &net));
    fm_net_set_input_statistics(&net, 0.3f, 0.4f);
    assert_float_equal(net.input.mean[2], 0.0f, 0);
    assert_float_equal(net.input.deviation[2], 1.0f, 0);
}

static void wrong_layers(void **state)
{
    (void)state;
    fm_net_begin(&net, "wrong", &grey8);
    assert_fails(fm_net_end(&net), FM_DATA, "has no layers");
    assert_fails(fm_net_conv(&net, "conv", 4, 9, 0, true), FM_DATA,
        "a 9x9 kernel does not fit its input of 1x8x8 with padding 0 (8x8)");
    assert_fails(fm_net_conv(&net, "conv", 0, 3, 0, true), FM_DATA, "0 channels");
    assert_fails(fm_net_conv(&net, "conv", -1, 3, 0, true), FM_DATA, "-1 channels");
    assert_fails(fm_net_conv(&net, "conv", 4, 0, 0, true), FM_DATA, "kernel 0");
    assert_fails(fm_net_conv(&net, "conv", 4, 3, 3, true), FM_DATA, "padding 3");
    assert_fails(fm_net_conv(&net, "conv", 4, 3, -1, true), FM_DATA, "padding -1");
    assert_fails(fm_net_dense(&net, "fc", 0, true), FM_DATA, "0 features");
    assert_fails(fm_net_dense(&net, "fc", 100000, true), FM_DATA, "100000 features");
    assert_fails(fm_net_dropout(&net, "drop", 1.0f), FM_DATA, "rate 1,");
    assert_fails(fm_net_dropout(&net, "drop", -0.1f), FM_DATA, "rate -0.1");
    assert_fails(fm_net_dropout(&net, "drop", NAN), FM_DATA, "rate");
    assert_fails(fm_net_relu(&net, ""), FM_DATA, "layer name ''");
    assert_fails(fm_net_relu(&net, "a-name-of-more-than-fifty-characters-which-is-too-long"),
        FM_DATA, "expected 1 to 50");
    assert_int_equal(net.layer_count, 0);
    assert_int_equal(net.param_count, 0);

    assert_ok(fm_net_relu(&net, "relu"));
    assert_fails(fm_net_batchnorm(&net, "relu"), FM_DATA, "two layers are named 'relu'");
    assert_fails(fm_net_end(&net), FM_DATA, "ends in layer relu (relu, 1 features)");
    assert_ok(fm_net_dense(&net, "fc1", 1, true));
    assert_fails(fm_net_maxpool(&net, "pool"), FM_DATA, "does not fit its input of 1x1x1");
    assert_fails(fm_net_end(&net), FM_DATA, "expected a dense layer of at least 2");
    assert_ok(fm_net_dense(&net, "fc2", 2, true));
    assert_ok(fm_net_end(&net));
    assert_fails(fm_net_relu(&net, "late"), FM_DATA, "'late' comes after fm_net_end");
}

static void wrong_inputs(void **state)
{
    (void)state;
    struct fm_input input = grey8;
    input.shape.c = 4;
    fm_net_begin(&net, "wrong", &input);
    assert_fails(fm_net_relu(&net, "relu"), FM_DATA, "input of shape 4x8x8");
    input = grey8;
    input.shape.h = 0;
    fm_net_begin(&net, "wrong", &input);
    assert_fails(fm_net_relu(&net, "relu"), FM_DATA, "input of shape 1x0x8");
    input = grey8;
    input.rows = 0;
    fm_net_begin(&net, "wrong", &input);
    assert_fails(fm_net_relu(&net, "relu"), FM_DATA, "a record of 0x8");
    input = grey8;
    input.deviation[0] = 0.0f;
    fm_net_begin(&net, "wrong", &input);
    assert_fails(fm_net_relu(&net, "relu"), FM_DATA, "deviation 0");
    input = grey8;
    input.mean[0] = NAN;
    fm_net_begin(&net, "wrong", &input);
    assert_fails(fm_net_relu(&net, "relu"), FM_DATA, "mean");
}

static void too_much(void **state)
{
    (void)state;
    char name[32];
    fm_net_begin(&net, "long", &grey8);
    for (int l = 0; l < FM_LAYERS_MAX; l++) {
        snprintf(name, sizeof name, "relu%d", l);
        assert_ok(fm_net_relu(&net, name));
    }
    assert_fails(fm_net_relu(&net, "more"), FM_DATA, "one more than the 64 that fit");

    fm_net_begin(&net, "parameters", &grey8);
    for (int l = 0; l < FM_PARAMS_MAX / 2; l++) {
        snprintf(name, sizeof name, "bn%d", l);
        assert_ok(fm_net_batchnorm(&net, name));
    }
    assert_fails(fm_net_batchnorm(&net, "more"), FM_DATA, "more than the 96 that fit");

    struct fm_input large = grey8;
    large.shape = (struct fm_shape){1, 60000, 60000};
    fm_net_begin(&net, "large", &large);
    assert_fails(fm_net_relu(&net, "relu"), FM_DATA, "output of 1x60000x60000");
    large.shape = (struct fm_shape){3, 20000, 20000};
    fm_net_begin(&net, "large", &large);
    assert_fails(fm_net_dense(&net, "fc", 60000, true), FM_DATA, "a parameter of 72000000000000");
    fm_net_begin(&net, "large", &grey8);
    assert_ok(fm_net_conv(&net, "conv1", 65536, 1, 0, false));
    assert_fails(
        fm_net_conv(&net, "conv2", 65536, 1, 0, false), FM_DATA, "a parameter of 4294967296");
}

// ---- parts and sizes

static struct fm_net part;

static int layer_named(const struct fm_net *of, const char *name)
{
    for (int l = 0; l < of->layer_count; l++) {
        if (strcmp(of->layers[l].name, name) == 0)
            return l;
    }
    fail_msg("network %s has no layer %s", of->name, name);
    return -1;
}

// Everything of a layer and its parameters but the indices and offsets, which are each network's.
static void assert_same_layer(const struct fm_net *a, int at, const struct fm_net *b, int bt)
{
    const struct fm_layer *x = &a->layers[at], *y = &b->layers[bt];
    assert_string_equal(x->name, y->name);
    assert_int_equal(x->kind, y->kind);
    assert_memory_equal(&x->out, &y->out, sizeof x->out);
    assert_int_equal(x->macs, y->macs);
    assert_int_equal(x->stream, y->stream);
    assert_float_equal(x->rate, y->rate, 0);
    const int pairs[2][2] = {{x->weight, y->weight}, {x->bias, y->bias}};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pairs[i][0] >= 0, pairs[i][1] >= 0);
        if (pairs[i][0] < 0)
            continue;
        const struct fm_param *p = &a->params[pairs[i][0]], *q = &b->params[pairs[i][1]];
        assert_string_equal(p->name, q->name);
        assert_memory_equal(p->dims, q->dims, sizeof p->dims);
        assert_int_equal(p->count, q->count);
        assert_int_equal(p->fan_in, q->fan_in);
        assert_int_equal(p->fan_out, q->fan_out);
        assert_int_equal(p->trainable, q->trainable);
        assert_int_equal(p->decay, q->decay);
        assert_float_equal(p->lr_multiplier, q->lr_multiplier, 0);
    }
}

static void assert_contiguous(const struct fm_net *of)
{
    size_t offset = 0;
    for (int p = 0; p < of->param_count; p++) {
        assert_int_equal(of->params[p].offset, offset);
        offset += of->params[p].count;
    }
    assert_int_equal(of->param_elements, offset);
    offset = 0;
    for (int r = 0; r < of->running_count; r++) {
        assert_int_equal(of->running[r].offset, offset);
        offset += of->running[r].count;
    }
    assert_int_equal(of->running_elements, offset);
}

static void check_parts(const char *model, const char *behind, int features)
{
    assert_ok(fm_zoo_build(model, 10, &net));
    net.params[1].trainable = false;
    net.params[net.param_count - 2].trainable = false;
    net.params[net.param_count - 1].lr_multiplier = 0.25f;
    fm_net_set_dropout(&net, 0.375f);
    int count = layer_named(&net, behind) + 1;

    struct fm_net base, head;
    assert_ok(fm_net_base(&net, count, &base));
    assert_int_equal(base.layer_count, count);
    assert_int_equal(base.classes, 0);
    assert_int_equal(base.outputs, features);
    assert_memory_equal(&base.input, &net.input, sizeof base.input);
    for (int l = 0; l < count; l++)
        assert_same_layer(&base, l, &net, l);
    assert_contiguous(&base);

    assert_ok(fm_net_head(&net, count, &head));
    assert_int_equal(head.layer_count, net.layer_count - count);
    assert_int_equal(head.classes, 10);
    assert_int_equal(head.outputs, 10);
    assert_int_equal(head.input.features, features);
    assert_int_equal(fm_input_record_size(&head.input), 4 * features);
    for (int l = 0; l < head.layer_count; l++)
        assert_same_layer(&head, l, &net, count + l);
    assert_contiguous(&head);

    assert_int_equal(base.param_elements + head.param_elements, net.param_elements);
    assert_int_equal(base.running_elements + head.running_elements, net.running_elements);
    assert_int_equal(fm_net_macs(&base) + fm_net_macs(&head), fm_net_macs(&net));
}

static void parts(void **state)
{
    (void)state;
    check_parts("vgg16", "mean", 512);
    check_parts("vgg16", "pool5", 512);
    check_parts("vgg16", "fc1", 256);
    check_parts("deeper", "relu7", 1024);
    check_parts("simple", "fc1", 128);
    assert_int_equal(layer_named(&net, "drop2"), 8);
    assert_ok(fm_net_head(&net, 7, &part)); // the dropout stream of the whole network
    assert_int_equal(part.layers[layer_named(&part, "drop2")].stream, 1);
}

static void wrong_parts(void **state)
{
    (void)state;
    assert_ok(fm_zoo_build("deeper", 10, &net));
    memset(&part, 0x5a, sizeof part);
    static struct fm_net before;
    before = part;
    assert_fails(fm_net_base(&net, 0, &part), FM_USAGE, "layer 0 of 27, expected 1 to 26");
    assert_fails(fm_net_base(&net, 27, &part), FM_USAGE, "layer 27 of 27");
    assert_fails(fm_net_head(&net, -1, &part), FM_USAGE, "layer -1 of 27");
    assert_fails(fm_net_head(&net, 27, &part), FM_USAGE, "layer 27 of 27");
    assert_fails(fm_net_head(&net, layer_named(&net, "pool3") + 1, &part), FM_USAGE,
        "network deeper, cut behind layer pool3: network deeper: a record of 2304 features, "
        "expected 1 to 1024");
    fm_net_begin(&net, "small", &grey8);
    assert_ok(fm_net_conv(&net, "conv1", 2, 3, 1, true));
    assert_ok(fm_net_conv(&net, "conv2", 3, 1, 0, true));
    assert_ok(fm_net_maxpool(&net, "pool"));
    assert_ok(fm_net_dense(&net, "fc", 4, true));
    assert_ok(fm_net_end(&net));
    assert_fails(fm_net_head(&net, 1, &part), FM_USAGE,
        "conv2.weight would have 384 elements, but it has 6");
    assert_fails(fm_net_head(&net, 2, &part), FM_USAGE,
        "cut behind layer conv2: layer pool: a 2x2 max-pool does not fit");
    assert_memory_equal(&part, &before, sizeof part);
    fm_net_begin(&net, "empty", &grey8);
    assert_fails(fm_net_end_features(&net), FM_DATA, "no layers");
}

static void features(void **state)
{
    (void)state;
    fm_net_begin(&net, "features", &grey8);
    assert_ok(fm_net_conv(&net, "conv1", 3, 3, 0, true));
    assert_ok(fm_net_end_features(&net));
    assert_int_equal(net.outputs, 3 * 6 * 6);
    assert_int_equal(net.classes, 0);
    assert_fails(fm_net_relu(&net, "relu"), FM_DATA, "comes after fm_net_end");
    assert_int_equal(fm_input_record_size(&net.input), 64);

    struct fm_input input = {.features = FM_FEATURES_MAX, .shape = {FM_FEATURES_MAX, 1, 1}};
    fm_net_begin(&net, "vectors", &input);
    assert_ok(fm_net_dense(&net, "fc", 2, true));
    assert_ok(fm_net_end(&net));
    input = (struct fm_input){
        .features = FM_FEATURES_MAX + 1, .shape = {FM_FEATURES_MAX + 1, 1, 1}};
    fm_net_begin(&net, "vectors", &input);
    assert_fails(fm_net_dense(&net, "fc", 2, true), FM_DATA, "1025 features, expected 1 to 1024");
    input = (struct fm_input){.features = -1, .shape = {1, 1, 1}};
    fm_net_begin(&net, "vectors", &input);
    assert_fails(fm_net_dense(&net, "fc", 2, true), FM_DATA, "a record of -1 features");
    input = (struct fm_input){.features = 12, .shape = {3, 2, 2}};
    fm_net_begin(&net, "vectors", &input);
    assert_fails(fm_net_dense(&net, "fc", 2, true), FM_DATA,
        "input of shape 3x2x2 of 12 features, expected 12x1x1");
}

static void input_sizes(void **state)
{
    (void)state;
    static const struct {
        int side, pool5;
        uint64_t conv1_1;
    } rows[] = {{32, 1, 1769472}, {48, 1, 3981312}, {64, 2, 7077888}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_ok(fm_zoo_build("vgg16", 10, &net));
        net.params[0].trainable = false;
        net.params[0].lr_multiplier = 0.5f;
        static struct fm_net before;
        before = net;
        assert_ok(fm_net_set_input_size(&net, rows[i].side));
        assert_int_equal(net.input.shape.h, rows[i].side);
        assert_int_equal(net.input.shape.w, rows[i].side);
        assert_int_equal(net.param_elements, 14848586);
        assert_memory_equal(net.params, before.params, sizeof net.params);
        assert_int_equal(net.layers[layer_named(&net, "pool5")].out.h, rows[i].pool5);
        assert_int_equal(net.layers[layer_named(&net, "mean")].out.h, 1);
        assert_int_equal(net.layers[0].macs, rows[i].conv1_1);
        assert_int_equal(net.outputs, 10);
        assert_ok(fm_net_set_input_size(&net, 32)); // and back
        assert_memory_equal(&net, &before, sizeof net);
    }
}

static void wrong_input_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        int side;
        const char *message;
    } rows[] = {
        {"simple", 32, "network simple with an input of 32x32: parameter fc1.weight would have "},
        {"deeper", 48, "parameter fc1.weight would have 9437184 elements, but it has 2359296"},
        {"simple-ref", 48, "parameter fc1.weight would have"},
        {"deeper-ref", 64, "parameter fc1.weight would have"},
        {"vgg16", 16, "with an input of 16x16: layer pool5: a 2x2 max-pool does not fit"},
        {"vgg16", 0, "input of shape 3x0x0"},
        {"vgg16", -32, "input of shape 3x-32x-32"},
        {"vgg16", 65537, "input of shape 3x65537x65537"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_ok(fm_zoo_build(rows[i].model, 10, &net));
        part = net;
        assert_fails(fm_net_set_input_size(&net, rows[i].side), FM_USAGE, rows[i].message);
        assert_memory_equal(&net, &part, sizeof net);
    }
    assert_ok(fm_zoo_build("vgg16", 10, &net));
    assert_ok(fm_net_head(&net, layer_named(&net, "mean") + 1, &part));
    assert_fails(fm_net_set_input_size(&part, 32), FM_USAGE, "its records are features");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simple_layers),
        cmocka_unit_test(deeper_layers),
        cmocka_unit_test(vgg16_layers),
        cmocka_unit_test(reference_layers),
        cmocka_unit_test(published_counts),
        cmocka_unit_test(other_class_counts),
        cmocka_unit_test(unknown_model),
        cmocka_unit_test(parameters),
        cmocka_unit_test(odd_shapes),
        cmocka_unit_test(setters),
        cmocka_unit_test(wrong_layers),
        cmocka_unit_test(wrong_inputs),
        cmocka_unit_test(too_much),
        cmocka_unit_test(parts),
        cmocka_unit_test(wrong_parts),
        cmocka_unit_test(features),
        cmocka_unit_test(input_sizes),
        cmocka_unit_test(wrong_input_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
