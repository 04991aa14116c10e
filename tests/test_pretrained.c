// VGG16's weights in the files of others: told by names and shapes, brought to this project's
// layout with the preprocessing that goes with them. The networks here have VGG16's thirteen
// convolutions with a few channels each, as nothing depends on how many.
#include "net/files/pretrained.h"

#include "base/digest.h"
#include "base/file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"
#include "scratch.h"

enum {
    CONVOLUTIONS = 13,
    TENSORS = 2 * CONVOLUTIONS,
    ROOM = TENSORS + 4,
    ELEMENTS_MAX = 512
};

static char folder[SCRATCH_PATH_MAX], path[FM_PATH_MAX];
static struct fm_net net;

static void build(void)
{
    static const int blocks[5] = {2, 2, 3, 3, 3};
    struct fm_input input = {.rows = 28, .cols = 28, .shape = {3, 32, 32}};
    char name[FM_NAME_MAX];
    fm_net_begin(&net, "vgg16", &input);
    for (int b = 0; b < 5; b++)
        for (int i = 0; i < blocks[b]; i++) {
            snprintf(name, sizeof name, "conv%d_%d", b + 1, i + 1);
            assert_ok(fm_net_conv(&net, name, 2 + b, 3, 1, true));
        }
    assert_ok(fm_net_meanpool(&net, "mean"));
    assert_ok(fm_net_dense(&net, "fc1", 4, true));
    assert_ok(fm_net_dense(&net, "fc2", 10, true));
    assert_ok(fm_net_end(&net));
}

// ---- Files of a source

struct made {
    struct fm_tensor tensors[ROOM];
    int count;
    float data[ROOM][ELEMENTS_MAX];
};
static struct made made;

// What element (o, i, h, w) of parameter p is: no two alike within a tensor.
static float value_of(int param, int o, int i, int h, int w)
{
    return (float)(param * 1000 + ((o * 7 + i) * 3 + h) * 3 + w) / 1024.0f - 8.0f;
}

static const int features[CONVOLUTIONS] = {0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28};

static void name_tensor(enum fm_pretrained_source source, int param, char *out, size_t size)
{
    const char *own = net.params[param].name; // "conv3_1.weight"
    bool bias = strstr(own, ".bias") != NULL;
    if (source == FM_PRETRAINED_FMNIST)
        snprintf(out, size, "%s", own);
    else if (source == FM_PRETRAINED_TORCHVISION)
        snprintf(out, size, "features.%d.%s", features[param / 2], bias ? "bias" : "weight");
    else
        snprintf(out, size, "block%.1s_conv%.1s/block%.1s_conv%.1s_%c_1:0", own + 4, own + 6,
            own + 4, own + 6, bias ? 'b' : 'W');
}

static void fill(struct fm_tensor *tensor, int param, bool hwio)
{
    const struct fm_param *p = &net.params[param];
    const int *d = p->dims;
    tensor->count = p->count;
    tensor->ndims = p->ndims;
    for (int i = 0; i < p->ndims; i++)
        tensor->dims[i] = d[i];
    if (p->ndims == 1) {
        for (int o = 0; o < d[0]; o++)
            tensor->data[o] = value_of(param, o, 0, 0, 0);
        return;
    }
    const int64_t turned[4] = {d[2], d[3], d[1], d[0]};
    if (hwio)
        memcpy(tensor->dims, turned, sizeof turned);
    for (int o = 0; o < d[0]; o++)
        for (int i = 0; i < d[1]; i++)
            for (int h = 0; h < 3; h++)
                for (int w = 0; w < 3; w++)
                    tensor->data[hwio ? ((h * 3 + w) * d[1] + i) * d[0] + o
                                      : ((o * d[1] + i) * 3 + h) * 3 + w] = value_of(param, o, i, h,
                        w);
}

static void make(enum fm_pretrained_source source)
{
    memset(&made, 0, sizeof made);
    for (int p = 0; p < TENSORS; p++) {
        struct fm_tensor *tensor = &made.tensors[made.count];
        assert_true(net.params[p].count <= ELEMENTS_MAX);
        tensor->data = made.data[made.count++];
        name_tensor(source, p, tensor->name, sizeof tensor->name);
        fill(tensor, p, source == FM_PRETRAINED_KERAS);
    }
}

// One more tensor, of one element.
static void add(const char *name)
{
    struct fm_tensor *tensor = &made.tensors[made.count];
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    tensor->ndims = 1;
    tensor->dims[0] = 1;
    tensor->count = 1;
    tensor->data = made.data[made.count++];
}

static void save(const char *const *metadata)
{
    assert_ok(fm_safetensors_write(path, made.tensors, made.count, metadata));
}

static const char *const own_metadata[] = {"fmnist_format", "2", "model", "vgg16", "input_mean",
    "[0.25,0.5,0.125]", "input_deviation", "0.5", NULL};

static void refuse(enum fm_status expected, const char *part)
{
    struct fm_pretrained pretrained;
    assert_fails(fm_pretrained_read(path, &net, &pretrained), expected, part);
    assert_null(pretrained.tensors);
}

// ---- What is read

static void expect_weights(const struct fm_pretrained *pretrained)
{
    assert_int_equal(pretrained->count, TENSORS);
    for (int p = 0; p < TENSORS; p++) {
        const struct fm_tensor *tensor = &pretrained->tensors[p];
        const int *d = net.params[p].dims;
        assert_string_equal(tensor->name, net.params[p].name);
        assert_int_equal(tensor->ndims, net.params[p].ndims);
        for (int i = 0; i < tensor->ndims; i++)
            assert_int_equal(tensor->dims[i], d[i]);
        for (size_t e = 0; e < tensor->count; e++) {
            int n = (int)e, o = n, i = 0, h = 0, w = 0;
            if (tensor->ndims == 4) {
                w = n % 3, h = n / 3 % 3, i = n / 9 % d[1], o = n / 9 / d[1];
            }
            if (tensor->data[e] != value_of(p, o, i, h, w))
                fail_msg("%s[%zu] is %g, expected %g", tensor->name, e, (double)tensor->data[e],
                    (double)value_of(p, o, i, h, w));
        }
    }
}

static void each_source(void **state)
{
    (void)state;
    static const struct {
        float mean[3], deviation[3];
    } expected[FM_PRETRAINED_SOURCE_COUNT] = {
        {{103.939f / 255, 116.779f / 255, 123.68f / 255}, {1.0f / 255, 1.0f / 255, 1.0f / 255}},
        {{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}},
        {{0.25f, 0.5f, 0.125f}, {0.5f, 0.5f, 0.5f}},
    };
    static const char *const classifiers[] = {
        "predictions/predictions_W_1:0", "classifier.6.bias", "fc2.bias"};
    for (int s = 0; s < FM_PRETRAINED_SOURCE_COUNT; s++) {
        struct fm_pretrained pretrained;
        char sha256[FM_SHA256_SIZE];
        make((enum fm_pretrained_source)s);
        add(classifiers[s]);
        save(s == FM_PRETRAINED_FMNIST ? own_metadata : NULL);
        assert_ok(fm_pretrained_read(path, &net, &pretrained));
        assert_int_equal(pretrained.source, s);
        assert_ok(fm_digest_file(path, sha256, NULL));
        assert_string_equal(pretrained.sha256, sha256);
        assert_string_equal(pretrained.path, path);
        assert_string_equal(pretrained.known, "");
        expect_weights(&pretrained);
        for (int c = 0; c < 3; c++) {
            assert_true(pretrained.mean[c] == expected[s].mean[c]);
            assert_true(pretrained.deviation[c] == expected[s].deviation[c]);
        }
        fm_pretrained_free(&pretrained);
        fm_pretrained_free(&pretrained);
    }
}

// Keras 2 and 3, weights alone and whole models, have other names for the same.
static void other_names_of_keras(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"", "model_weights/"};
    static const char *const ends[] = {":0", ""};
    for (int n = 0; n < 4; n++) {
        struct fm_pretrained pretrained;
        make(FM_PRETRAINED_KERAS);
        for (int p = 0; p < TENSORS; p++) {
            char layer[16];
            snprintf(layer, sizeof layer, "%.12s", made.tensors[p].name);
            snprintf(made.tensors[p].name, sizeof made.tensors[p].name, "%s%s/%s/%s%s",
                prefixes[n / 2], layer, layer, p % 2 ? "bias" : "kernel", ends[n % 2]);
        }
        save(NULL);
        assert_ok(fm_pretrained_read(path, &net, &pretrained));
        assert_int_equal(pretrained.source, FM_PRETRAINED_KERAS);
        expect_weights(&pretrained);
        fm_pretrained_free(&pretrained);
    }
}

static void known_files(void **state)
{
    (void)state;
    static const char none[] = "0000000000000000000000000000000000000000000000000000000000000000";
    assert_non_null(
        strstr(fm_pretrained_known(none, "6d6bbae143d832006294945121d1f1fc"), "Keras's VGG16"));
    assert_non_null(strstr(
        fm_pretrained_known("57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8", ""),
        "timm's VGG16"));
    assert_string_equal(fm_pretrained_known(none, "6d6bbae143d832006294945121d1f1fd"), "");
}

// ---- What is refused

static void missing(void **state)
{
    (void)state;
    static const char *const lacks[] = {"has 25 and lacks 'block5_conv3/block5_conv3_b_1:0'",
        "has 25 and lacks 'features.28.bias'", "has 25 and lacks 'conv5_3.bias'"};
    for (int s = 0; s < FM_PRETRAINED_SOURCE_COUNT; s++) {
        make((enum fm_pretrained_source)s);
        made.count--;
        save(s == FM_PRETRAINED_FMNIST ? own_metadata : NULL);
        refuse(FM_DATA, lacks[s]);
    }
    made.count = 0;
    add("something");
    save(NULL);
    refuse(FM_NOT_FOUND, "'something'; expected 'block1_conv1/block1_conv1_W_1:0' and so on");
    save(own_metadata);
    refuse(FM_NOT_FOUND, "'conv1_1.weight'");
    struct fm_pretrained pretrained;
    assert_fails(fm_pretrained_read(folder, &net, &pretrained), FM_DATA, "model.safetensors");
}

static void prefixed(void **state)
{
    (void)state;
    make(FM_PRETRAINED_TORCHVISION);
    for (int p = 0; p < TENSORS; p++) {
        char name[128];
        snprintf(name, sizeof name, "module.%.100s", made.tensors[p].name);
        memcpy(made.tensors[p].name, name, sizeof name);
    }
    save(NULL);
    refuse(FM_DATA, "take 'module.' off the front");
}

static void relatives(void **state)
{
    (void)state;
    make(FM_PRETRAINED_TORCHVISION);
    add("features.30.weight");
    save(NULL);
    refuse(FM_DATA, "'features.30.weight' besides, which VGG16 has not");
    make(FM_PRETRAINED_KERAS);
    add("block3_conv4/block3_conv4_b_1:0");
    save(NULL);
    refuse(FM_DATA, "'block3_conv4/block3_conv4_b_1:0' besides");
}

static void shapes(void **state)
{
    (void)state;
    for (int s = 0; s < FM_PRETRAINED_SOURCE_COUNT; s++) {
        make((enum fm_pretrained_source)s);
        int64_t *dims = made.tensors[10].dims; // conv3_2.weight: 4 to 4 channels
        int64_t first = dims[0];
        dims[0] = dims[1];
        dims[1] = first;
        int64_t outer = dims[3];
        dims[3] = dims[0];
        dims[0] = outer;
        save(s == FM_PRETRAINED_FMNIST ? own_metadata : NULL);
        refuse(FM_DATA, "has the shape [");
        make((enum fm_pretrained_source)s);
        made.tensors[1].ndims = 2;
        made.tensors[1].dims[1] = 1;
        save(s == FM_PRETRAINED_FMNIST ? own_metadata : NULL);
        refuse(FM_DATA, "has the shape [2, 1], expected [2]");
    }
}

static void not_finite(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int b = 0; b < 3; b++) {
        make(FM_PRETRAINED_TORCHVISION);
        made.tensors[25].data[5] = bad[b];
        save(NULL);
        refuse(FM_DATA, "tensor 'features.28.bias': element 5 is");
    }
}

static void own_files(void **state)
{
    (void)state;
    static const struct {
        const char *metadata[9], *part;
    } cases[] = {
        {{NULL}, "\"input_mean\": found nothing"},
        {{"fmnist_format", "2", "model", "simple", NULL}, "model 'simple', expected vgg16"},
        {{"fmnist_format", "2", "model", "vgg16", "input_mean", "0.5", NULL},
            "\"input_deviation\": found nothing"},
        {{"fmnist_format", "2", "model", "vgg16", "input_mean", "[1,2]", "input_deviation", "1",
             NULL},
            "\"input_mean\": found \"[1,2]\""},
        {{"fmnist_format", "2", "model", "vgg16", "input_mean", "0", "input_deviation", "[1,0,1]",
             NULL},
            "expected a positive number"},
        {{"fmnist_format", "2", "model", "vgg16", "input_mean", "0", "input_deviation", "1e99",
             NULL},
            "expected a positive number"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        make(FM_PRETRAINED_FMNIST);
        save(cases[c].metadata);
        refuse(FM_DATA, cases[c].part);
    }
}

static void other_networks(void **state)
{
    (void)state;
    struct fm_net simple;
    struct fm_pretrained pretrained;
    struct fm_input input = {.rows = 28, .cols = 28, .shape = {1, 28, 28}};
    fm_net_begin(&simple, "simple", &input);
    assert_ok(fm_net_conv(&simple, "conv1", 2, 3, 0, true));
    assert_ok(fm_net_dense(&simple, "fc", 10, true));
    assert_ok(fm_net_end(&simple));
    make(FM_PRETRAINED_TORCHVISION);
    save(NULL);
    assert_fails(fm_pretrained_read(path, &simple, &pretrained), FM_USAGE, "for vgg16 alone");
}

static int set_up(void **state)
{
    (void)state;
    build();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_source),
        cmocka_unit_test(other_names_of_keras),
        cmocka_unit_test(known_files),
        cmocka_unit_test(missing),
        cmocka_unit_test(prefixed),
        cmocka_unit_test(relatives),
        cmocka_unit_test(shapes),
        cmocka_unit_test(not_finite),
        cmocka_unit_test(own_files),
        cmocka_unit_test(other_networks),
    };
    scratch_make(folder, "pretrained");
    if (fm_path_join(path, folder, "file") != FM_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, set_up, NULL);
    scratch_remove(folder);
    return failed;
}
