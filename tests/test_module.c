// Loading a module: what is not there, is none of fmnist's or of another version is told so, and a
// module's failures are the host's. The module is registry_module.c.
#include "backend/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "expect.h"

static const struct fm_module_kind backends = {"backend", FM_BACKEND_ENTRY, FM_BACKEND_ABI};

static int choose_directory(void **state)
{
    (void)state;
    fm_module_set_directory(FM_TEST_MODULES "/old-gpu");
    return 0;
}

static void a_module_that_is_not_there_is_not_found(void **state)
{
    (void)state;
    const void *table;
    assert_false(fm_module_exists("tpu"));
    assert_fails(fm_module_load(&backends, "tpu", &table), FM_NOT_FOUND,
        "backend 'tpu' is not part of this build");
    fm_error_clear();
}

static void a_module_of_another_kind_is_refused(void **state)
{
    (void)state;
    const struct fm_module_kind choirs = {"choir", "fm_choir_module", 1};
    const void *table;
    assert_true(fm_module_exists("cpu"));
    assert_fails(fm_module_load(&choirs, "cpu", &table), FM_BACKEND,
        "fmnist-cpu.so: no symbol fm_choir_module: not a choir of fmnist");
    fm_error_clear();
}

static void a_module_of_another_version_is_refused(void **state)
{
    (void)state;
    const struct fm_module_kind newer = {"backend", FM_BACKEND_ENTRY, FM_BACKEND_ABI + 1};
    const void *table;
    assert_fails(fm_module_load(&newer, "cpu", &table), FM_BACKEND,
        "fmnist-cpu.so: not a backend of interface version");
    fm_error_clear();
}

// After those that were refused, too: they have left nothing behind. (And once it is loaded another
// version is refused still.)
static void a_module_is_asked_once_and_fails_into_the_hosts_record(void **state)
{
    (void)state;
    const void *table, *again;
    assert_ok(fm_module_load(&backends, "cuda", &table));
    assert_ok(fm_module_load(&backends, "cuda", &again));
    assert_ptr_equal(table, again);
    const struct fm_backend *backend = table;
    assert_string_equal(backend->name, "cuda");
    struct fm_device *device;
    assert_fails(backend->device_open(&(struct fm_device_options){0}, &device), FM_UNSUPPORTED,
        "too old a GPU in this test");
    assert_ok(fm_module_load(&backends, "cpu", &table));
    fm_error_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_module_that_is_not_there_is_not_found),
        cmocka_unit_test(a_module_of_another_kind_is_refused),
        cmocka_unit_test(a_module_of_another_version_is_refused),
        cmocka_unit_test(a_module_is_asked_once_and_fails_into_the_hosts_record),
        cmocka_unit_test(a_module_of_another_version_is_refused),
    };
    return cmocka_run_group_tests_name("module", tests, choose_directory, NULL);
}
