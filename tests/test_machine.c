// The machine's description and the peak of memory, which every result carries.
#include "base/clock.h"
#include "base/machine.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

static void the_machine_is_described(void **state)
{
    (void)state;
    struct fm_machine machine;
    fm_machine_describe(&machine);
    assert_true(strlen(machine.processor) > 0);
    assert_memory_equal(machine.system, "Linux ", 6);
    assert_true(machine.memory > (uint64_t)64 << 20);
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    assert_int_equal(machine.cores, CPU_COUNT(&set));
#if defined(__x86_64__)
    // What the compiler's own probe finds must be named, and nothing else.
    assert_true(!strstr(machine.features, "avx2") == !__builtin_cpu_supports("avx2"));
    assert_true(!strstr(machine.features, "fma") == !__builtin_cpu_supports("fma"));
    assert_true(!strstr(machine.features, "avx512f") == !__builtin_cpu_supports("avx512f"));
#endif
}

static void cores_follow_the_affinity(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    int first = 0;
    while (!CPU_ISSET(first, &before))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    struct fm_machine machine;
    fm_machine_describe(&machine);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(machine.cores, 1);
}

static void the_peak_of_memory_rises_and_is_reset(void **state)
{
    (void)state;
    const size_t size = (size_t)64 << 20;
    uint64_t before = fm_machine_peak_memory();
    assert_true(before > 0);
    // Not malloc: a sanitizer's allocator keeps what is freed.
    unsigned char *block = mmap(
        NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(block != MAP_FAILED);
    memset(block, 1, size);
    assert_int_equal(block[size / 2], 1);
    uint64_t with = fm_machine_peak_memory();
    assert_true(with >= before + size / 2);
    munmap(block, size);
    if (fm_machine_reset_peak_memory() == 0)
        assert_true(fm_machine_peak_memory() < with);
}

static void clocks_have_their_formats(void **state)
{
    (void)state;
    char stamp[32], iso[32];
    double start = fm_clock_seconds();
    assert_true(fm_clock_seconds() >= start);
    assert_int_equal(strlen(fm_clock_stamp(stamp)), 15);
    assert_int_equal(stamp[8], '-');
    assert_int_equal(strlen(fm_clock_iso8601(iso)), 20);
    assert_int_equal(iso[10], 'T');
    assert_int_equal(iso[19], 'Z');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_machine_is_described),
        cmocka_unit_test(cores_follow_the_affinity),
        cmocka_unit_test(the_peak_of_memory_rises_and_is_reset),
        cmocka_unit_test(clocks_have_their_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
