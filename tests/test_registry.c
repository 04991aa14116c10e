// Which backend is chosen where nobody names one, what is said of the others, and which options of
// a device are in force; over modules that compute nothing (registry_module.c).
#include "backend/registry.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"

static const struct fm_device_options all = {.index = 3,
    .threads = 5,
    .tf32 = true,
    .nondeterministic = true,
    .workspace = 1 << 20,
    .plan_cache = "plans"};

// Opens a backend of a folder of modules: "gpu", "no-gpu" or "none".
static enum fm_status open_in(const char *folder, const char *name, struct fm_engine *engine)
{
    char directory[512];
    snprintf(directory, sizeof directory, "%s/%s", FM_TEST_MODULES, folder);
    fm_module_set_directory(directory);
    return fm_engine_open(name, &all, engine);
}

static void a_gpu_is_chosen_where_there_is_one(void **state)
{
    (void)state;
    static const char *const names[] = {"auto", NULL, "cuda"};
    for (int i = 0; i < 3; i++) {
        struct fm_engine engine;
        assert_ok(open_in("gpu", names[i], &engine));
        assert_string_equal(engine.api->name, "cuda");
        assert_string_equal(engine.info.name, "cuda 3");
        assert_int_equal(engine.options.index, 3);
        assert_true(engine.options.tf32 && engine.options.nondeterministic);
        assert_true(engine.options.workspace == 1 << 20);
        assert_int_equal(engine.options.threads, 0);
        assert_null(engine.options.plan_cache);
        fm_engine_close(&engine);
    }
}

static void a_processor_has_no_use_for_options_of_a_gpu(void **state)
{
    (void)state;
    struct fm_engine engine;
    assert_ok(open_in("gpu", "cpu", &engine));
    assert_string_equal(engine.info.name, "cpu 3");
    assert_false(engine.options.tf32 || engine.options.nondeterministic);
    assert_true(engine.options.workspace == 0);
    assert_int_equal(engine.options.threads, 2); // those that there are
    fm_engine_close(&engine);
}

// Opens the backend chosen, the processor; `told` becomes what standard error got.
static void open_processor(const char *folder, char *told, size_t size)
{
    struct fm_engine engine;
    int kept = dup(STDERR_FILENO), ends[2];
    assert_true(kept >= 0 && pipe2(ends, O_NONBLOCK) == 0);
    fflush(stderr);
    dup2(ends[1], STDERR_FILENO);
    enum fm_status status = open_in(folder, "auto", &engine);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(ends[1]);
    ssize_t length = read(ends[0], told, size - 1);
    close(ends[0]);
    assert_true(length >= 0);
    told[length] = '\0';
    assert_ok(status);
    assert_string_equal(engine.api->name, "cpu");
    assert_string_equal(fm_error_message(), "");
    fm_engine_close(&engine);
}

// Who did not ask for a GPU is not told of its absence: no message, no line on standard error.
static void without_a_gpu_the_processor_is_chosen_in_silence(void **state)
{
    (void)state;
    char told[256];
    open_processor("no-gpu", told, sizeof told);
    assert_string_equal(told, "");
}

static void a_gpu_that_does_not_serve_is_missed(void **state)
{
    (void)state;
    char told[256];
    open_processor("old-gpu", told, sizeof told);
    assert_string_equal(told, "warning: too old a GPU in this test; 'cpu' is used instead\n");
    struct fm_engine engine;
    assert_fails(open_in("old-gpu", "cuda", &engine), FM_UNSUPPORTED, "too old a GPU");
}

static void who_asks_for_a_gpu_is_told_why_there_is_none(void **state)
{
    (void)state;
    struct fm_engine engine;
    assert_fails(open_in("no-gpu", "cuda", &engine), FM_NOT_FOUND, "no GPU in this test");
    assert_null(engine.api);
    assert_fails(open_in("none", "auto", &engine), FM_NOT_FOUND,
        "no usable backend; cuda: no GPU in this test");
    assert_fails(open_in("none", "cpu", &engine), FM_NOT_FOUND,
        "backend 'cpu' is not part of this build (there is: cuda)");
    fm_engine_close(&engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gpu_is_chosen_where_there_is_one),
        cmocka_unit_test(a_processor_has_no_use_for_options_of_a_gpu),
        cmocka_unit_test(without_a_gpu_the_processor_is_chosen_in_silence),
        cmocka_unit_test(a_gpu_that_does_not_serve_is_missed),
        cmocka_unit_test(who_asks_for_a_gpu_is_told_why_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
