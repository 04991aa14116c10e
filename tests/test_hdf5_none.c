// A build without libhdf5 has no module for it, and says so.
#include "base/module.h"
#include "net/files/tensors.h"
#include "net/formats/formats.h"
#include "net/hdf5_module.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "expect.h"
#include "scratch.h"

static char folder[SCRATCH_PATH_MAX];

static void an_hdf5_file_is_refused_with_what_is_missing(void **state)
{
    (void)state;
    char path[SCRATCH_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/shirts.h5", folder);
    assert_int_equal(scratch_write(path, "\x89HDF\r\n\x1a\n and more", 17), 0);
    struct fm_tensors tensors;
    assert_fails(fm_tensors_open(path, &tensors), FM_UNSUPPORTED,
        "shirts.h5: an HDF5 file, which this fmnist cannot read: it was built without libhdf5 "
        "(Debian: libhdf5-dev); convert it to safetensors or build again");
}

static void a_keras_file_is_refused_with_what_is_missing(void **state)
{
    (void)state;
    assert_fails(fm_keras_write("shirts.h5", NULL), FM_UNSUPPORTED,
        "shirts.h5: a Keras file, which this fmnist cannot write: it was built without libhdf5 "
        "(Debian: libhdf5-dev); export to another format or build again");
}

static void the_library_is_told_to_be_missing(void **state)
{
    (void)state;
    struct fm_library library;
    fm_hdf5_library(&library);
    assert_string_equal(library.name, "libhdf5");
    assert_null(library.compiled);
    assert_string_equal(library.without, "read HDF5 files (Keras)");
    assert_string_equal(fm_error_message(), "");
}

// Where the module lies but its library does not, the loader's reason is passed on.
static void a_module_that_cannot_be_loaded_is_told_of(void **state)
{
    (void)state;
    char path[SCRATCH_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/fmnist-hdf5.so", folder);
    assert_int_equal(scratch_write(path, "no library", 10), 0);
    assert_fails(fm_keras_write("shirts.h5", NULL), FM_UNSUPPORTED,
        "shirts.h5: a Keras file, which this fmnist cannot write: cannot load module 'hdf5': ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_hdf5_file_is_refused_with_what_is_missing),
        cmocka_unit_test(a_keras_file_is_refused_with_what_is_missing),
        cmocka_unit_test(the_library_is_told_to_be_missing),
        cmocka_unit_test(a_module_that_cannot_be_loaded_is_told_of),
    };
    scratch_make(folder, "hdf5-none");
    fm_module_set_directory(folder);
    int failed = cmocka_run_group_tests_name("hdf5_none", tests, NULL, NULL);
    scratch_remove(folder);
    return failed;
}
