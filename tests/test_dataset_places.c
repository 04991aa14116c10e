// What is said when no place has a data set. The place of Debian's package may have one on this
// machine, so this test compiles data/dataset.c with another place instead of it.
#include "data/dataset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect_parts(const char *const *parts)
{
    struct fm_dataset dataset;
    fm_error_clear();
    assert_int_equal(fm_dataset_open(NULL, &dataset), FM_NOT_FOUND);
    for (; *parts; parts++)
        if (!strstr(fm_error_message(), *parts))
            fail_msg("the message lacks '%s': %s", *parts, fm_error_message());
}

#define SAYS(...) expect_parts((const char *const[]){__VA_ARGS__, NULL})

static void every_place_and_the_command_are_named(void **state)
{
    (void)state;
    unsetenv("FMNIST_DATA");
    setenv("HOME", "/nonexistent/home", 1);
    unsetenv("XDG_DATA_HOME");
    SAYS("$FMNIST_DATA (not set)", "/nonexistent/home/.local/share/fmnist (no such directory)",
        FM_DATA_SYSTEM_DIR " (no such directory)", "--data DIR",
        "apt-get install dataset-fashion-mnist");
    setenv("XDG_DATA_HOME", "/nonexistent/xdg", 1);
    SAYS("/nonexistent/xdg/fmnist (no such directory)", FM_DATA_SYSTEM_DIR);
    setenv("XDG_DATA_HOME", "relative", 1); // to be ignored, says the specification
    SAYS("/nonexistent/home/.local/share/fmnist", FM_DATA_SYSTEM_DIR);
    unsetenv("HOME");
    SAYS("$FMNIST_DATA (not set)\n  " FM_DATA_SYSTEM_DIR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_place_and_the_command_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
