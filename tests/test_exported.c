// Networks in other programs: Keras loads the HDF5 file and gives our probabilities, PyTorch loads
// the module and the weights and gives our logits: of every model, layer by layer. Skipped without
// the real packages (scripts/test --references).
#include "base/file.h"
#include "net/formats/formats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "expect.h"
#include "reference/drawn.h"
#include "reference/python.h"
#include "scratch.h"

static const struct {
    const char *name, *model;
    int input_size;
} models[] = {{"simple", "simple", 0}, {"deeper", "deeper", 0}, {"vgg16", "vgg16", 0},
    {"vgg16 at 48x48", "vgg16", 48}, {"simple-ref", "simple-ref", 0},
    {"deeper-ref", "deeper-ref", 0}};

enum {
    MODELS = sizeof models / sizeof models[0]
};

static char root[SCRATCH_PATH_MAX];
static char folders[MODELS][FM_PATH_MAX];

typedef enum fm_status writer(const char *path, const struct fm_format_model *model);

static void write_as(const char *folder, const char *name, const struct fm_drawn *drawn, writer *by)
{
    char path[FM_PATH_MAX];
    assert_ok(fm_path_join(path, folder, name));
    assert_ok(by(path, &drawn->model));
}

static void write_model(int index)
{
    struct fm_drawn drawn;
    char path[FM_PATH_MAX];
    assert_ok(fm_path_join(folders[index], root, models[index].name));
    assert_ok(fm_make_dirs(folders[index]));
    fm_drawn_open(&drawn, models[index].model, models[index].input_size);
    assert_ok(fm_path_join(path, folders[index], "expected.safetensors"));
    fm_drawn_compute(&drawn, path);
    assert_ok(fm_path_join(path, folders[index], "model.safetensors"));
    fm_drawn_write(&drawn, path);
    write_as(folders[index], "model.py", &drawn, fm_pytorch_write);
    write_as(folders[index], "model.h5", &drawn, fm_keras_write);
    fm_drawn_close(&drawn);
}

static int write_models(void **state)
{
    (void)state;
    scratch_make(root, "exports");
    for (int i = 0; i < MODELS; i++)
        write_model(i);
    return 0;
}

static int remove_models(void **state)
{
    (void)state;
    scratch_remove(root);
    return 0;
}

static void read_by(const char *script)
{
    const char *arguments[MODELS + 1] = {NULL};
    for (int i = 0; i < MODELS; i++)
        arguments[i] = folders[i];
    assert_int_equal(fm_python_run(script, arguments), 0);
}

static void keras_gives_our_probabilities(void **state)
{
    (void)state;
    read_by("keras_reads.py");
}

static void pytorch_gives_our_logits(void **state)
{
    (void)state;
    read_by("torch_reads.py");
}

int main(void)
{
    static const char *const packages[] = {"numpy", "torch", "safetensors", "h5py", "keras", NULL};
    if (!fm_python_has(packages))
        return FM_TEST_SKIPPED;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keras_gives_our_probabilities),
        cmocka_unit_test(pytorch_gives_our_logits),
    };
    return cmocka_run_group_tests_name("exports", tests, write_models, remove_models);
}
