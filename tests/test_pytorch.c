// The PyTorch module of a network, letter by letter (tests/golden/pytorch_small.py); and what is
// refused. Whether PyTorch computes the same with it is test_exported.c's.
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scratch.h"
#include "small_model.h"

#define GOLDEN FM_TEST_SOURCE_DIR "/tests/golden/pytorch_small.py"

static char root[SCRATCH_PATH_MAX], path[FM_PATH_MAX];
static struct small_model small;

static void the_module_is_the_golden_one(void **state)
{
    (void)state;
    unsigned char *found, *expected;
    size_t found_size, expected_size;
    small_model_build(&small);
    assert_ok(fm_pytorch_write(path, &small.model));
    assert_ok(fm_file_read(path, &found, &found_size));
    assert_ok(fm_file_read(GOLDEN, &expected, &expected_size));
    bool same = found_size == expected_size && memcmp(found, expected, found_size) == 0;
    if (!same)
        fprintf(stderr, "%s", (const char *)found);
    free(found);
    free(expected);
    remove(path);
    if (!same)
        fail_msg("what was written, above, is not what %s holds", GOLDEN);
}

static void check_refused(enum fm_status status, const char *part)
{
    assert_fails(fm_pytorch_write(path, &small.model), status, part);
    assert_false(fm_path_exists(path));
}

static void what_cannot_be_written_leaves_no_file(void **state)
{
    (void)state;
    small_model_build(&small);
    small.file.count = 3;
    check_refused(FM_DATA, "no tensor \"conv2.weight\" of model small");
    small_model_build(&small);
    small.class_names[1] = (char *)"\xc3";
    check_refused(FM_DATA, "a class name is not UTF-8");
    small_model_build(&small);
    small.net.classes = 0;
    check_refused(FM_UNSUPPORTED, "a part of one");
    small_model_build(&small);
    small.file_metadata[0] = NULL;
    check_refused(FM_DATA, "the weights have no metadata \"fmnist_format\"");
}

int main(void)
{
    scratch_make(root, "pytorch");
    assert_ok(fm_path_join(path, root, "model.py"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_module_is_the_golden_one),
        cmocka_unit_test(what_cannot_be_written_leaves_no_file),
    };
    int failed = cmocka_run_group_tests_name("pytorch", tests, NULL, NULL);
    scratch_remove(root);
    return failed;
}
