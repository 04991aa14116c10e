// Weights files against the format's own implementation, in both directions: the safetensors
// package reads ours and sees the same values, and we read what it writes. Skipped where no Python
// with the package is named (FMNIST_REFERENCE_PYTHON, as scripts/test --references does).
#include "base/file.h"
#include "net/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"

enum {
    SKIPPED = 77
};

static const char *python;
static char ours[FM_PATH_MAX], theirs[FM_PATH_MAX];

// Reads ours, checks it, and writes theirs: other types, other shapes.
static const char script[] =
    "import sys, numpy as np\n"
    "from safetensors import safe_open\n"
    "from safetensors.numpy import load_file, save_file\n"
    "read = load_file(sys.argv[1])\n"
    "assert sorted(read) == ['a.bias', 'step', 'z.weight'], sorted(read)\n"
    "assert all(t.dtype == np.float32 for t in read.values())\n"
    "assert read['z.weight'].tolist() == [[0.0, -1.5, 2.0], [0.25, 8.0, -3.0]]\n"
    "assert read['a.bias'].tolist() == [1.0, 2.0, 3.0]\n"
    "assert read['step'].shape == () and read['step'] == 7.0\n"
    "with safe_open(sys.argv[1], 'np') as f:\n"
    "    assert f.metadata() == {'format': 'pt', 'name': 'd\\u00e9j\\u00e0 \"vu\"'}, f.metadata()\n"
    "save_file({'half': np.arange(-4, 4, dtype=np.float16).reshape(2, 1, 4) / 8,\n"
    "           'single': np.linspace(0, 1, 5, dtype=np.float32),\n"
    "           'scalar': np.array(2.5, dtype=np.float32)}, sys.argv[2], {'made': 'there'})\n";

static int run_python(const char *code)
{
    pid_t child = fork();
    if (child == 0) {
        execl(python, python, "-c", code, ours, theirs, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static void both_directions(void **state)
{
    (void)state;
    float weights[6] = {0.0f, -1.5f, 2.0f, 0.25f, 8.0f, -3.0f};
    float biases[3] = {1.0f, 2.0f, 3.0f}, step[1] = {7.0f};
    const struct fm_tensor tensors[] = {
        {.name = "z.weight", .ndims = 2, .dims = {2, 3}, .count = 6, .data = weights},
        {.name = "a.bias", .ndims = 1, .dims = {3}, .count = 3, .data = biases},
        {.name = "step", .ndims = 0, .count = 1, .data = step},
    };
    static const char *const metadata[] = {
        "format", "pt", "name", "d\xc3\xa9j\xc3\xa0 \"vu\"", NULL};
    assert_ok(fm_safetensors_write(ours, tensors, 3, metadata));
    assert_int_equal(run_python(script), 0);

    struct fm_tensor_file file;
    assert_ok(fm_safetensors_read(theirs, &file));
    assert_int_equal(file.count, 3);
    const struct fm_tensor *half = fm_safetensors_find(&file, "half");
    assert_non_null(half);
    assert_int_equal(half->ndims, 3);
    assert_int_equal(half->dims[2], 4);
    for (int i = 0; i < 8; i++)
        assert_true(half->data[i] == (float)(i - 4) / 8.0f);
    const struct fm_tensor *single = fm_safetensors_find(&file, "single");
    assert_non_null(single);
    for (int i = 0; i < 5; i++)
        assert_true(single->data[i] == (float)i / 4.0f);
    const struct fm_tensor *scalar = fm_safetensors_find(&file, "scalar");
    assert_non_null(scalar);
    assert_int_equal(scalar->ndims, 0);
    assert_true(scalar->data[0] == 2.5f);
    assert_string_equal(file.metadata[0], "made");
    assert_string_equal(file.metadata[1], "there");
    fm_safetensors_free(&file);
}

int main(void)
{
    python = getenv("FMNIST_REFERENCE_PYTHON");
    if (python == NULL || python[0] == '\0') {
        fprintf(stderr, "skipped: needs the reference packages: scripts/test --references\n");
        return SKIPPED;
    }
    if (run_python("import numpy, safetensors") != 0) {
        fprintf(stderr, "skipped: %s has no packages numpy and safetensors\n", python);
        return SKIPPED;
    }
    snprintf(ours, sizeof ours, "%s/ours.%ld.safetensors", FM_TEST_BINARY_DIR, (long)getpid());
    snprintf(
        theirs, sizeof theirs, "%s/theirs.%ld.safetensors", FM_TEST_BINARY_DIR, (long)getpid());
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_directions)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(ours);
    unlink(theirs);
    return failed;
}
