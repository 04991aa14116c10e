// Memory of all sizes about those at which it comes from elsewhere: zero, aligned, whole.
#include "base/pages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void check(size_t bytes)
{
    struct fm_pages pages = fm_pages_allocate(bytes);
    assert_non_null(pages.memory);
    assert_true(pages.bytes >= bytes && pages.bytes > 0);
    assert_int_equal((uintptr_t)pages.memory % 64, 0);
    unsigned char *memory = pages.memory;
    for (size_t i = 0; i < pages.bytes; i++)
        if (memory[i] != 0)
            fail_msg("%zu bytes: byte %zu is %u", bytes, i, memory[i]);
    memset(memory, 0xa5, pages.bytes); // all of them can be written, and the next gets none of it
    fm_pages_free(&pages);
    assert_null(pages.memory);
    fm_pages_free(&pages);
}

static void test_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1,
        (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 9 << 20};
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            check(sizes[i]);
}

static void test_too_much(void **state)
{
    (void)state;
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 64, SIZE_MAX - (2 << 20)};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct fm_pages pages = fm_pages_allocate(sizes[i]);
        assert_null(pages.memory);
        fm_pages_free(&pages);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
