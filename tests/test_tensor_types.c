// Files of tensors by the real packages, of every type they have: listed under the right names and
// shapes, and read to the values that were written. Skipped without the packages (scripts/test
// --references).
#include "net/files/tensors.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"
#include "reference/python.h"
#include "scratch.h"

static char root[SCRATCH_PATH_MAX], safetensors[FM_PATH_MAX], hdf5[FM_PATH_MAX],
    latest[FM_PATH_MAX], weights[FM_PATH_MAX];

static void expect_values(const struct fm_tensors *tensors, const char *prefix, const char *type)
{
    char name[64];
    float values[12];
    snprintf(name, sizeof name, "%s%s", prefix, type);
    int at = fm_tensors_find(tensors, name);
    if (at < 0)
        fail_msg("%s: there is no '%s'", tensors->path, name);
    const struct fm_tensor_info *info = &tensors->list[at];
    assert_string_equal(info->type, type);
    assert_int_equal(info->ndims, 2);
    assert_int_equal(info->dims[0], 3);
    assert_int_equal(info->dims[1], 4);
    if (!info->readable)
        return;
    assert_ok(fm_tensors_read(tensors, at, values));
    for (int i = 0; i < 12; i++)
        if (values[i] != (float)(i - 8) / 4.0f)
            fail_msg("%s: '%s'[%d] is %g", tensors->path, name, i, (double)values[i]);
}

static int readable(const struct fm_tensors *tensors)
{
    int count = 0;
    for (int t = 0; t < tensors->count; t++)
        count += tensors->list[t].readable;
    return count;
}

static void by_safetensors(void **state)
{
    (void)state;
    static const char *const types[] = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8",
        "U8", "BOOL", "F8_E4M3", "F8_E5M2", NULL};
    struct fm_tensors tensors;
    assert_ok(fm_tensors_open(safetensors, &tensors));
    assert_int_equal(tensors.count, 12);
    assert_int_equal(readable(&tensors), 4);
    for (int t = 0; types[t]; t++)
        expect_values(&tensors, "", types[t]);
    assert_string_equal(fm_tensors_metadata(&tensors, "format"), "pt");
    fm_tensors_close(&tensors);
}

static void by_h5py(void **state)
{
    (void)state;
    static const char *const types[] = {
        "F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL", NULL};
    struct fm_tensors tensors;
    float values[12];
    assert_ok(fm_tensors_open(hdf5, &tensors));
    assert_int_equal(tensors.count, 17);
    assert_int_equal(readable(&tensors), 7);
    for (int t = 0; types[t]; t++)
        expect_values(&tensors, "group/", types[t]);
    for (int t = 0; t < 3; t++)
        expect_values(&tensors, "big/", types[t]);
    assert_fails(fm_tensors_read(&tensors, fm_tensors_find(&tensors, "packed"), values),
        FM_UNSUPPORTED, "stored in chunks, through the filter gzip");
    assert_string_equal(fm_tensors_metadata(&tensors, "keras_version"), "2.4.0");
    assert_string_equal(fm_tensors_metadata(&tensors, "layer_names"), "conv1, pool1");
    assert_string_equal(fm_tensors_metadata(&tensors, "texts"), "d\xc3\xa9j\xc3\xa0, vu");
    fm_tensors_close(&tensors);
    assert_ok(fm_tensors_open(latest, &tensors));
    assert_int_equal(tensors.count, 3);
    for (int t = 0; t < 3; t++)
        expect_values(&tensors, "group/", types[t]);
    fm_tensors_close(&tensors);
}

// Whatever Keras calls it, there is a kernel of 4 to 3 and a bias of 3.
static void by_keras(void **state)
{
    (void)state;
    struct fm_tensors tensors;
    int kernels = 0, biases = 0;
    float values[12];
    assert_ok(fm_tensors_open(weights, &tensors));
    for (int t = 0; t < tensors.count; t++) {
        const struct fm_tensor_info *info = &tensors.list[t];
        if (info->ndims == 2 && info->dims[0] == 4 && info->dims[1] == 3) {
            assert_ok(fm_tensors_read(&tensors, t, values));
            for (int i = 0; i < 12; i++)
                assert_true(values[i] == (float)(i % 3 * 4 + i / 3 - 8) / 4.0f);
            kernels++;
        } else if (info->ndims == 1 && info->dims[0] == 3) {
            assert_ok(fm_tensors_read(&tensors, t, values));
            assert_true(values[0] == 0.0f && values[1] == 1.0f && values[2] == 2.0f);
            biases++;
        }
    }
    assert_int_equal(kernels, 1);
    assert_int_equal(biases, 1);
    fm_tensors_close(&tensors);
}

static int set_up(void **state)
{
    (void)state;
    const char *arguments[] = {safetensors, hdf5, weights, NULL};
    return fm_python_run("tensor_types.py", arguments);
}

int main(void)
{
    static const char *const packages[] = {"numpy", "torch", "safetensors", "h5py", "keras", NULL};
    if (!fm_python_has(packages))
        return FM_TEST_SKIPPED;
    scratch_make(root, "tensor-types");
    if (fm_path_join(safetensors, root, "a.safetensors") != FM_OK ||
        fm_path_join(hdf5, root, "a.h5") != FM_OK ||
        fm_path_join(latest, root, "a.h5.latest") != FM_OK ||
        fm_path_join(weights, root, "a.weights.h5") != FM_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_safetensors),
        cmocka_unit_test(by_h5py),
        cmocka_unit_test(by_keras),
    };
    int failed = cmocka_run_group_tests(tests, set_up, NULL);
    scratch_remove(root);
    return failed;
}
