// VGG16's convolutions from files of others, against the networks of those who made the layouts:
// torchvision's, timm's and Keras's own VGG16 load the same file (of drawn values, as no trained
// ones can be had everywhere), and every layer's output is the same as ours, each with its own
// preprocessing. Skipped without the real packages (scripts/test --references).
#include "base/file.h"
#include "net/files/pretrained.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"
#include "reference/drawn.h"
#include "reference/python.h"
#include "scratch.h"

static char root[SCRATCH_PATH_MAX];

// The network at this size, its convolutions and preprocessing from the file.
static void open_from(
    struct fm_drawn *drawn, const char *path, enum fm_pretrained_source source, int input_size)
{
    struct fm_pretrained weights;
    fm_drawn_open(drawn, "vgg16", input_size);
    assert_ok(fm_pretrained_read(path, &drawn->net, &weights));
    assert_int_equal(weights.source, source);
    assert_int_equal(weights.count, 26);
    assert_string_equal(weights.known, "");
    for (int i = 0; i < weights.count; i++)
        fm_drawn_set(
            drawn, weights.tensors[i].name, weights.tensors[i].data, weights.tensors[i].count);
    fm_net_set_input_channels(&drawn->net, weights.mean, weights.deviation);
    fm_pretrained_free(&weights);
}

// `kind`: an argument of the script's, or NULL.
static void hold_against(const char *script, const char *kind, const char *name,
    enum fm_pretrained_source source, const int *sizes)
{
    char path[FM_PATH_MAX], expected[FM_PATH_MAX];
    assert_ok(fm_path_join(path, root, name));
    assert_ok(fm_path_join(expected, root, "expected.safetensors"));
    const char *make[] = {"make", kind ? kind : path, kind ? path : NULL, NULL};
    assert_int_equal(fm_python_run(script, make), 0);
    for (int i = 0; sizes[i] > 0; i++) {
        struct fm_drawn drawn;
        open_from(&drawn, path, source, sizes[i]);
        fm_drawn_compute(&drawn, expected);
        fm_drawn_close(&drawn);
        const char *with_kind[] = {"check", kind, path, expected, NULL};
        const char *without[] = {"check", path, expected, NULL};
        assert_int_equal(fm_python_run(script, kind ? with_kind : without), 0);
    }
    unlink(path);
}

static void torchvision(void **state)
{
    (void)state;
    hold_against("torchvision_vgg16.py", "torchvision", "torchvision.safetensors",
        FM_PRETRAINED_TORCHVISION, (const int[]){32, 64, 0});
}

static void timm(void **state)
{
    (void)state;
    hold_against("torchvision_vgg16.py", "timm", "timm.safetensors", FM_PRETRAINED_TORCHVISION,
        (const int[]){32, 0});
}

static void keras(void **state)
{
    (void)state;
    hold_against(
        "keras_vgg16_notop.py", NULL, "notop.h5", FM_PRETRAINED_KERAS, (const int[]){32, 48, 0});
}

int main(void)
{
    static const char *const packages[] = {
        "numpy", "torch", "torchvision", "timm", "safetensors", "h5py", "keras", NULL};
    if (!fm_python_has(packages))
        return FM_TEST_SKIPPED;
    scratch_make(root, "vgg16-weights");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(torchvision),
        cmocka_unit_test(timm),
        cmocka_unit_test(keras),
    };
    int failed = cmocka_run_group_tests_name("vgg16_weights", tests, NULL, NULL);
    scratch_remove(root);
    return failed;
}
