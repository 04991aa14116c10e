// A build without libhdf5: the file that stands in for the writer is linked before the library's.
#include "net/formats/formats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "expect.h"

static void a_keras_file_is_refused_with_what_is_missing(void **state)
{
    (void)state;
    assert_fails(fm_keras_write("shirts.h5", NULL), FM_UNSUPPORTED,
        "shirts.h5: a Keras file, which this fmnist cannot write: it was built without libhdf5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_keras_file_is_refused_with_what_is_missing),
    };
    return cmocka_run_group_tests_name("keras_none", tests, NULL, NULL);
}
