// Keras files as HDF5 sees them: names, orders, shapes, values in Keras's layout; equal bytes for
// equal models; nothing left behind by a failure. Whether Keras itself reads them is
// test_exported.c's.
#include "base/file.h"

#include <hdf5.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scratch.h"
#include "small_model.h"

static char root[SCRATCH_PATH_MAX], path[FM_PATH_MAX];
static struct small_model small;

static int set_up(void **state)
{
    (void)state;
    small_model_build(&small);
    assert_ok(fm_path_join(path, root, "model.h5"));
    remove(path);
    return 0;
}

static hid_t open_file(void)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

// A text attribute of the file or of an object in it; freed by the caller.
static char *read_text(hid_t file, const char *object, const char *name)
{
    char *text = NULL;
    hid_t attribute = H5Aopen_by_name(file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(attribute >= 0);
    hid_t type = H5Aget_type(attribute);
    assert_true(H5Tis_variable_str(type) > 0);
    assert_int_equal(H5Tget_cset(type), H5T_CSET_UTF8);
    assert_true(H5Aread(attribute, type, &text) >= 0);
    H5Tclose(type);
    H5Aclose(attribute);
    return text;
}

static void check_text(hid_t file, const char *object, const char *name, const char *expected)
{
    char *text = read_text(file, object, name);
    assert_string_equal(text, expected);
    H5free_memory(text);
}

// A list of names, joined by spaces.
static void check_names(hid_t file, const char *object, const char *name, const char *expected)
{
    char joined[1024] = "";
    hid_t attribute = H5Aopen_by_name(file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(attribute >= 0);
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    size_t width = H5Tget_size(type), count = (size_t)H5Sget_simple_extent_npoints(space);
    char *names = calloc(count + 1, width);
    assert_non_null(names);
    if (count > 0)
        assert_true(H5Aread(attribute, type, names) >= 0);
    for (size_t i = 0; i < count; i++)
        snprintf(joined + strlen(joined), sizeof joined - strlen(joined), "%s%.*s",
            i > 0 ? " " : "", (int)width, names + i * width);
    assert_string_equal(joined, expected);
    free(names);
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(attribute);
}

// The values of a data set, whose shape must be this; in a buffer that the next call overwrites.
static const float *read_data(hid_t file, const char *name, int ndims, const hsize_t *dims)
{
    static float values[SMALL_VALUES_MAX];
    hsize_t found[8];
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
    if (set < 0)
        fail_msg("no data set %s", name);
    hid_t space = H5Dget_space(set), type = H5Dget_type(set);
    assert_true(H5Tequal(type, H5T_IEEE_F32LE) > 0);
    assert_int_equal(H5Sget_simple_extent_dims(space, found, NULL), ndims);
    for (int d = 0; d < ndims; d++)
        assert_int_equal(found[d], dims[d]);
    assert_true(H5Sget_simple_extent_npoints(space) <= SMALL_VALUES_MAX);
    assert_true(H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(set);
    return values;
}

// "class name" of every layer, in order, one a line; and the layers' configurations.
static json_t *check_layers(const char *text)
{
    static const char expected[] = "InputLayer images\nRescaling to_float\nConv2D normalise\n"
                                   "Resizing resize\nConv2D conv1\nBatchNormalization bn1\n"
                                   "ReLU relu1\nMaxPooling2D pool1\nConv2D conv2\nReLU relu2\n"
                                   "Dropout drop1\nFlatten flatten\nDense fc1\nReLU relu3\n"
                                   "Dense fc2\nSoftmax probabilities\n";
    char found[1024] = "";
    json_t *model = json_loads(text, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(model, "class_name")), "Sequential");
    json_t *layers = json_object_get(json_object_get(model, "config"), "layers");
    size_t index;
    json_t *layer;
    json_array_foreach(layers, index, layer)
    {
        json_t *config = json_object_get(layer, "config");
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s %s\n",
            json_string_value(json_object_get(layer, "class_name")),
            json_string_value(json_object_get(config, "name")));
    }
    assert_string_equal(found, expected);
    return model;
}

// The value of a key of a layer's configuration, as JSON.
static void check_config(const json_t *model, size_t layer, const char *key, const char *expected)
{
    const json_t *layers = json_object_get(json_object_get(model, "config"), "layers");
    const json_t *config = json_object_get(json_array_get(layers, layer), "config");
    char *text = json_dumps(
        json_object_get(config, key), JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
    if (!text || strcmp(text, expected) != 0)
        fail_msg("layer %zu, %s: %s, expected %s", layer, key, text ? text : "nothing", expected);
    free(text);
}

static void the_layers_are_described(void **state)
{
    (void)state;
    assert_ok(fm_keras_write(path, &small.model));
    hid_t file = open_file();
    char *text = read_text(file, "/", "model_config");
    json_t *model = check_layers(text);
    static const struct {
        size_t layer;
        const char *key, *value;
    } configs[] = {{0, "batch_input_shape", "[null,4,6,1]"}, {0, "dtype", "\"uint8\""},
        {1, "scale", "0.00392156862745098"}, {2, "filters", "3"}, {2, "trainable", "false"},
        {3, "height", "8"}, {3, "width", "12"}, {3, "interpolation", "\"bilinear\""},
        {4, "filters", "2"}, {4, "kernel_size", "[3,3]"}, {4, "padding", "\"same\""},
        {4, "use_bias", "false"}, {5, "momentum", "0.9"}, {5, "epsilon", "1e-5"},
        {7, "pool_size", "[2,2]"}, {8, "padding", "\"valid\""}, {8, "use_bias", "true"},
        {10, "rate", "0.3"}, {12, "units", "5"}, {14, "units", "3"}, {14, "use_bias", "false"}};
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++)
        check_config(model, configs[i].layer, configs[i].key, configs[i].value);
    json_decref(model);
    H5free_memory(text);
    H5Fclose(file);
}

static void the_names_are_in_keras_order(void **state)
{
    (void)state;
    assert_ok(fm_keras_write(path, &small.model));
    hid_t file = open_file();
    check_names(file, "model_weights", "layer_names",
        "images to_float normalise resize conv1 bn1 relu1 pool1 conv2 relu2 drop1 flatten fc1 "
        "relu3 fc2 probabilities");
    check_names(file, "model_weights/conv1", "weight_names", "conv1/kernel:0");
    check_names(file, "model_weights/bn1", "weight_names",
        "bn1/gamma:0 bn1/beta:0 bn1/moving_mean:0 bn1/moving_variance:0");
    check_names(file, "model_weights/fc1", "weight_names", "fc1/kernel:0 fc1/bias:0");
    check_names(file, "model_weights/relu1", "weight_names", "");
    check_names(file, "model_weights/top_level_model_weights", "weight_names", "");
    check_text(file, "model_weights", "backend", "tensorflow");
    check_text(file, "/", "backend", "tensorflow");
    check_text(file, "/", "keras_version", "2.15.0");
    check_text(file, "/", "fmnist_model", "small");
    check_text(file, "/", "fmnist_test_accuracy", "0.875");
    check_text(file, "/", "fmnist_class_names",
        "[\"T-shirt/top\",\"\xc3\x89t\xc3\xa9 \\\"quoted\\\" \\\\ back\",\"'bag'\\ntwo lines\"]");
    H5Fclose(file);
}

#define DIMS(...)                                                                                  \
    (const hsize_t[])                                                                              \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static void the_values_are_in_keras_layout(void **state)
{
    (void)state;
    assert_ok(fm_keras_write(path, &small.model));
    hid_t file = open_file();
    // (x - mean) / deviation of each channel.
    const float *values = read_data(
        file, "model_weights/normalise/normalise/kernel:0", 4, DIMS(1, 1, 1, 3));
    assert_true(values[0] == 2.0f && values[1] == 4.0f && values[2] == 8.0f);
    values = read_data(file, "model_weights/normalise/normalise/bias:0", 1, DIMS(3));
    assert_true(values[0] == -0.5f && values[1] == -2.0f && values[2] == -6.0f);

    values = read_data(file, "model_weights/conv1/conv1/kernel:0", 4, DIMS(3, 3, 3, 2));
    for (size_t k = 0; k < 9; k++) {
        for (size_t i = 0; i < 3; i++) {
            for (size_t o = 0; o < 2; o++)
                assert_true(*values++ == small_value(&small, "conv1.weight", (o * 3 + i) * 9 + k));
        }
    }
    values = read_data(file, "model_weights/bn1/bn1/beta:0", 1, DIMS(2));
    assert_true(values[1] == small_value(&small, "bn1.bias", 1));
    values = read_data(file, "model_weights/bn1/bn1/moving_variance:0", 1, DIMS(2));
    assert_true(values[1] == small_value(&small, "bn1.running_var", 1));

    // The flattened input is 4 channels of 2x4, which Keras counts row by row.
    values = read_data(file, "model_weights/fc1/fc1/kernel:0", 2, DIMS(32, 5));
    for (size_t pixel = 0; pixel < 8; pixel++) {
        for (size_t c = 0; c < 4; c++) {
            for (size_t o = 0; o < 5; o++)
                assert_true(
                    *values++ == small_value(&small, "fc1.weight", (o * 4 + c) * 8 + pixel));
        }
    }
    values = read_data(file, "model_weights/fc2/fc2/kernel:0", 2, DIMS(5, 3));
    assert_true(values[1 * 3 + 2] == small_value(&small, "fc2.weight", 2 * 5 + 1));
    H5Fclose(file);
}

static void equal_models_are_equal_bytes(void **state)
{
    (void)state;
    char other[FM_PATH_MAX];
    unsigned char *first, *second;
    size_t first_size, second_size;
    assert_ok(fm_path_join(other, root, "other-name.h5"));
    assert_ok(fm_keras_write(path, &small.model));
    assert_ok(fm_keras_write(other, &small.model));
    assert_ok(fm_file_read(path, &first, &first_size));
    assert_ok(fm_file_read(other, &second, &second_size));
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);
    free(first);
    free(second);
}

static void check_refused(enum fm_status status, const char *part)
{
    assert_fails(fm_keras_write(path, &small.model), status, part);
    assert_false(fm_path_exists(path));
}

static void what_cannot_be_written_leaves_no_file(void **state)
{
    (void)state;
    snprintf(small.tensors[0].name, sizeof small.tensors[0].name, "conv9.weight");
    check_refused(FM_DATA, "no tensor \"conv1.weight\" of model small");
    small_model_build(&small);
    small.tensors[0].count--;
    check_refused(FM_DATA, "tensor \"conv1.weight\" has 53 elements, expected 54");
    small_model_build(&small);
    small.class_names[1] = (char *)"\xff";
    check_refused(FM_DATA, "a class name is not UTF-8");
    small_model_build(&small);
    small.net.layers[4].padding = 2;
    check_refused(FM_UNSUPPORTED, "layer conv2 of model small has a padding of 2");
    small_model_build(&small);
    small.net.layers[8].kind = FM_LAYER_MAXPOOL;
    check_refused(FM_UNSUPPORTED, "layer relu3 (maxpool) of model small stands behind");
    small_model_build(&small);
    small.net.input.features = 5;
    check_refused(FM_UNSUPPORTED, "a part of one");
    small_model_build(&small);
    assert_ok(fm_path_join(path, root, "nowhere/model.h5"));
    check_refused(FM_IO, "nowhere/model.h5");
}

int main(void)
{
    scratch_make(root, "keras");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_layers_are_described, set_up),
        cmocka_unit_test_setup(the_names_are_in_keras_order, set_up),
        cmocka_unit_test_setup(the_values_are_in_keras_layout, set_up),
        cmocka_unit_test_setup(equal_models_are_equal_bytes, set_up),
        cmocka_unit_test_setup(what_cannot_be_written_leaves_no_file, set_up),
    };
    int failed = cmocka_run_group_tests_name("keras", tests, NULL, NULL);
    scratch_remove(root);
    return failed;
}
