// What is said of a file: of weights of every model, with and without this project's metadata, of
// nearly those, and of what is none.
#include "app/inspect/inspect.h"

#include "base/file.h"
#include "net/safetensors.h"
#include "net/zoo.h"
#include "run/states.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"
#include "scratch.h"

static char folder[SCRATCH_PATH_MAX], path[FM_PATH_MAX];

static float zeros[3];

static enum fm_status bring(void *context, int tensor, const float **data)
{
    (void)context, (void)tensor;
    static float large[512 * 512 * 9];
    *data = large;
    return FM_OK;
}

static const char *const own[] = {"fmnist_format", "2", NULL};

// Writes the states of a model, `skip` of which is left out.
static int write_model(
    const char *model, int classes, const char *skip, const char *more, const char *const *metadata)
{
    struct fm_net net;
    struct fm_tensor tensors[2 * FM_PARAMS_MAX] = {0};
    int count = 0;
    assert_ok(fm_zoo_build(model, classes, &net));
    for (int i = 0; i < fm_state_count(&net); i++) {
        struct fm_state_item item = fm_state_at(&net, i);
        if (skip && strcmp(skip, item.name) == 0)
            continue;
        snprintf(tensors[count].name, sizeof tensors[count].name, "%s", item.name);
        tensors[count].ndims = item.ndims;
        memcpy(tensors[count].dims, item.dims, sizeof item.dims);
        tensors[count++].count = item.count;
    }
    if (more) {
        snprintf(tensors[count].name, sizeof tensors[count].name, "%s", more);
        tensors[count++].count = 1;
    }
    assert_ok(fm_safetensors_write_from(path, tensors, count, metadata, bring, NULL));
    return count;
}

static void expect(enum fm_format format, const char *part)
{
    struct fm_text text = {0};
    assert_ok(fm_inspect(path, format, &text));
    if (!strstr(fm_text_cstr(&text), part))
        fail_msg("'%s' is not in:\n%.3000s", part, fm_text_cstr(&text));
    fm_text_free(&text);
}

static void every_model(void **state)
{
    (void)state;
    for (int m = 0; fm_zoo_names[m]; m++) {
        char part[128];
        int classes = 10 - m; // of each another number
        int count = write_model(fm_zoo_names[m], classes, NULL, NULL, own);
        snprintf(part, sizeof part, "all tensors of fmnist's %s with %d classes\n", fm_zoo_names[m],
            classes);
        expect(FM_FORMAT_TEXT, part);
        snprintf(part, sizeof part, "tensors   %d\n", count);
        expect(FM_FORMAT_TEXT, part);
    }
}

static void without_metadata(void **state)
{
    (void)state;
    write_model("deeper", 10, NULL, "bn1.num_batches_tracked", NULL);
    expect(FM_FORMAT_TEXT, "all tensors of fmnist's deeper with 10 classes, without the metadata");
    write_model("deeper", 10, NULL, "extra", own);
    expect(FM_FORMAT_TEXT, "deeper with 10 classes, and 1 that it does not have");
}

static void nearly(void **state)
{
    (void)state;
    write_model("deeper", 10, "bn3.running_mean", NULL, own);
    expect(FM_FORMAT_TEXT, "nearest is deeper, of which 35 of 36 tensors are there: "
                           "'bn3.running_mean' [128] is missing");
    struct fm_tensor tensor = {.name = "conv1_1.weight", .count = 3, .ndims = 1, .dims = {3}};
    tensor.data = zeros;
    assert_ok(fm_safetensors_write(path, &tensor, 1, NULL));
    expect(FM_FORMAT_TEXT, "none: ");
    // The same elements in another number of dimensions are no match.
    static float biases[128];
    tensor = (struct fm_tensor){.name = "fc1.bias", .count = 128, .dims = {128, 1}, .data = biases};
    for (int n = 0; n < 2; n++) {
        tensor.ndims = 1 + n;
        assert_ok(fm_safetensors_write(path, &tensor, 1, NULL));
        expect(FM_FORMAT_TEXT, n == 0 ? "none; nearest is" : "none: no tensor");
    }
    tensor = (struct fm_tensor){.count = 3, .ndims = 1, .dims = {3}, .data = zeros};
    snprintf(tensor.name, sizeof tensor.name, "features.0.weight");
    assert_ok(fm_safetensors_write(path, &tensor, 1, NULL));
    expect(FM_FORMAT_TEXT, "nearest is torchvision's or timm's VGG16, of whose 26 tensors of "
                           "convolutions it has 1 and lacks 'features.0.bias'");
    snprintf(tensor.name, sizeof tensor.name, "x");
    assert_ok(fm_safetensors_write(path, &tensor, 1, NULL));
    expect(FM_FORMAT_TEXT, "none: no tensor is called as in a model of fmnist");
}

// ---- The formats

static void as_json(void **state)
{
    (void)state;
    static const char *const metadata[] = {"fmnist_format", "2", "note",
        "a value that is longer than what a table has room for, so that it is shortened there",
        NULL};
    write_model("simple", 10, NULL, NULL, metadata);
    struct fm_text text = {0};
    assert_ok(fm_inspect(path, FM_FORMAT_JSON, &text));
    json_t *json = json_loads(fm_text_cstr(&text), 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "file_format")), "safetensors");
    assert_int_equal(json_integer_value(json_object_get(json, "elements")), 1199882);
    const json_t *fits = json_object_get(json, "fits"), *tensors = json_object_get(json, "tensors");
    assert_true(json_is_true(json_object_get(fits, "fits")));
    assert_string_equal(json_string_value(json_object_get(fits, "model")), "simple");
    assert_int_equal(json_integer_value(json_object_get(fits, "classes")), 10);
    const json_t *first = json_array_get(tensors, 0);
    assert_int_equal(json_array_size(tensors), 8);
    assert_string_equal(json_string_value(json_object_get(first, "name")), "conv1.weight");
    assert_string_equal(json_string_value(json_object_get(first, "type")), "F32");
    assert_int_equal(json_integer_value(json_array_get(json_object_get(first, "shape"), 0)), 32);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(json, "metadata"), "note")), metadata[3]);
    json_decref(json);
    fm_text_free(&text);
    expect(FM_FORMAT_TEXT, "room for, so th... (84 bytes)");
    expect(FM_FORMAT_MARKDOWN, "### Metadata\n");
    expect(FM_FORMAT_CSV, "name,type,shape,elements,bytes\r\nconv1.weight,F32,");
}

// A character of several bytes is shortened as a whole.
static void shortened_text(void **state)
{
    (void)state;
    char value[200] = "a\n|";
    for (int i = 0; i < 60; i++)
        strcat(value, "\xc3\xa9");
    const char *const metadata[] = {"k", value, NULL};
    struct fm_tensor tensor = {.name = "x", .count = 1, .data = zeros};
    struct fm_text text = {0};
    assert_ok(fm_safetensors_write(path, &tensor, 1, metadata));
    assert_ok(fm_inspect(path, FM_FORMAT_TEXT, &text));
    for (const char *s = fm_text_cstr(&text); *s != '\0';) {
        int length = fm_utf8_length(s);
        if (length == 0)
            fail_msg("no UTF-8: %.20s", s);
        s += length;
    }
    fm_text_free(&text);
    expect(FM_FORMAT_TEXT, "k    a\xef\xbf\xbd|");
    expect(FM_FORMAT_TEXT, "... (123 bytes)\n");
    struct fm_tensor hostile = {.name = "w\n\x1b[31m", .count = 1, .data = zeros};
    assert_ok(fm_safetensors_write(path, &hostile, 1, NULL));
    expect(FM_FORMAT_TEXT, "\nw\xef\xbf\xbd\xef\xbf\xbd[31m  F32 ");
}

// Texts of an ONNX file need not be UTF-8, nor need a path be: what they have of it is told.
static void texts_that_are_no_utf8(void **state)
{
    (void)state;
    static const unsigned char onnx[] = "\x08\x07\x12\x03"
                                        "a\xff"
                                        "b\x3a\x03\x12\x01g\x72\x08\x0a\x02"
                                        "\xfek\x12\x02v\xfd";
    char odd[FM_PATH_MAX];
    struct fm_text text = {0};
    assert_ok(fm_path_join(odd, folder, "\xff"));
    assert_int_equal(scratch_write(odd, onnx, sizeof onnx - 1), 0);
    enum fm_status status = fm_inspect(odd, FM_FORMAT_JSON, &text);
    if (status == FM_UNSUPPORTED) {
        fm_error_clear();
        skip();
    }
    assert_ok(status);
    json_t *json = json_loads(fm_text_cstr(&text), 0, NULL);
    const json_t *metadata = json_object_get(json, "metadata");
    const char *file = json_string_value(json_object_get(json, "file"));
    assert_non_null(file);
    assert_string_equal(file + strlen(folder), "/\xef\xbf\xbd");
    assert_string_equal(json_string_value(json_object_get(metadata, "producer")), "a\xef\xbf\xbd"
                                                                                  "b");
    assert_string_equal(
        json_string_value(json_object_get(metadata, "\xef\xbf\xbdk")), "v\xef\xbf\xbd");
    json_decref(json);
    fm_text_free(&text);
}

// ---- What is none

static void data_sets(void **state)
{
    (void)state;
    static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 0};
    assert_int_equal(scratch_write(path, labels, sizeof labels), 0);
    expect(FM_FORMAT_TEXT, "format    IDX\n");
    expect(FM_FORMAT_CSV, "labels,U8,[3],3,3");
    struct fm_text text = {0};
    assert_int_equal(scratch_write(path, labels, sizeof labels - 1), 0);
    assert_fails(fm_inspect(path, FM_FORMAT_TEXT, &text), FM_DATA, path);
    assert_fails(fm_inspect(folder, FM_FORMAT_TEXT, &text), FM_USAGE, "model.safetensors");
    assert_int_equal(scratch_write(path, "hello, world", 12), 0);
    assert_fails(fm_inspect(path, FM_FORMAT_TEXT, &text), FM_DATA, "neither safetensors nor");
    fm_text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_model),
        cmocka_unit_test(without_metadata),
        cmocka_unit_test(nearly),
        cmocka_unit_test(as_json),
        cmocka_unit_test(shortened_text),
        cmocka_unit_test(texts_that_are_no_utf8),
        cmocka_unit_test(data_sets),
    };
    scratch_make(folder, "inspect");
    if (fm_path_join(path, folder, "file") != FM_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(folder);
    return failed;
}
