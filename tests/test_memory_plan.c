// Plans of memory: nothing that is alive at the same time overlaps, whatever the lifetimes; where
// the least possible is known, it is reached; the same lifetimes give the same plan.
#include "backend/memory_plan.h"

#include "philox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum {
    MOST = 120,
    LINE = 64
};

static bool alive(const struct fm_lifetime *t, int time)
{
    return (t->first <= time && time <= t->last) ||
           (t->again_first <= time && time <= t->again_last);
}

static bool overlap(const struct fm_lifetime *a, const struct fm_lifetime *b)
{
    return a->bytes > 0 && b->bytes > 0 && a->offset < b->offset + b->bytes &&
           b->offset < a->offset + a->bytes;
}

// Time by time, as one would do it with pencil and paper.
static void check(const struct fm_lifetime *tensors, int count, int times, size_t bytes)
{
    for (int i = 0; i < count; i++) {
        assert_int_equal(tensors[i].offset % LINE, 0);
        assert_true(tensors[i].bytes == 0 || tensors[i].offset + tensors[i].bytes <= bytes);
    }
    for (int m = 0; m < times; m++)
        for (int i = 0; i < count; i++)
            for (int k = 0; k < i; k++)
                if (alive(&tensors[i], m) && alive(&tensors[k], m) &&
                    overlap(&tensors[i], &tensors[k]))
                    fail_msg("%d and %d overlap at time %d", i, k, m);
}

static int draw(uint32_t trial, uint32_t what, int i, int end)
{
    return (int)(fm_draw_unit(fm_draw(3, trial, 0, what, (uint32_t)i)) * (float)end);
}

static void test_any_lifetimes(void **state)
{
    (void)state;
    enum {
        TIMES = 60
    };
    for (uint32_t trial = 0; trial < 200; trial++) {
        struct fm_lifetime tensors[MOST], again[MOST];
        int count = 1 + draw(trial, 0, 0, MOST);
        memset(tensors, 0, sizeof tensors);
        for (int i = 0; i < count; i++) {
            struct fm_lifetime *t = &tensors[i];
            t->bytes = (size_t)draw(trial, 1, i, 5000);
            t->first = draw(trial, 2, i, TIMES);
            t->last = t->first + draw(trial, 3, i, TIMES - t->first);
            t->again_last = -1;
            if (draw(trial, 4, i, 3) == 0) {
                t->again_first = t->last + draw(trial, 5, i, TIMES - t->last);
                t->again_last = t->again_first + draw(trial, 6, i, TIMES - t->again_first);
            }
        }
        memcpy(again, tensors, sizeof tensors);
        size_t bytes = fm_plan_memory(tensors, count, LINE);
        check(tensors, count, TIMES, bytes);
        size_t least = fm_plan_least(tensors, count, LINE);
        assert_true(bytes >= least && bytes <= least + least / 2);
        assert_int_equal(fm_plan_memory(again, count, LINE), bytes);
        for (int i = 0; i < count; i++)
            assert_int_equal(again[i].offset, tensors[i].offset);
    }
}

static void test_known(void **state)
{
    (void)state;
    // A chain takes the two largest neighbours.
    struct fm_lifetime chain[] = {fm_lifetime_once(640, 0, 1), fm_lifetime_once(1280, 1, 2),
        fm_lifetime_once(320, 2, 3), fm_lifetime_once(64, 3, 4)};
    assert_int_equal(fm_plan_memory(chain, 4, LINE), 1920);
    check(chain, 4, 5, 1920);
    // What is computed again leaves its place to others in between.
    struct fm_lifetime renewed[] = {
        fm_lifetime_once(640, 0, 0), fm_lifetime_once(640, 1, 2), fm_lifetime_once(64, 0, 3)};
    renewed[0].again_first = renewed[0].again_last = 3;
    assert_int_equal(fm_plan_memory(renewed, 3, LINE), 704);
    check(renewed, 3, 4, 704);
    // Sizes count in whole lines; nothing takes nothing.
    struct fm_lifetime odd[] = {
        fm_lifetime_once(1, 0, 1), fm_lifetime_once(65, 0, 1), fm_lifetime_once(0, 0, 1)};
    assert_int_equal(fm_plan_memory(odd, 3, LINE), 192);
    check(odd, 3, 2, 192);
    assert_int_equal(fm_plan_memory(odd, 0, LINE), 0);
}

// The longest first, each as far to the front as it goes, takes 6 lines here, as [1, 2] then lies
// behind [2, 4], and [1, 1] behind both; in the second trial [1, 1] goes first.
static void test_second_trial(void **state)
{
    (void)state;
    struct fm_lifetime tensors[] = {fm_lifetime_once(3 * LINE, 1, 1),
        fm_lifetime_once(2 * LINE, 4, 5), fm_lifetime_once(1 * LINE, 2, 4),
        fm_lifetime_once(2 * LINE, 1, 2)};
    assert_int_equal(fm_plan_least(tensors, 4, LINE), 5 * LINE);
    assert_int_equal(fm_plan_memory(tensors, 4, LINE), 5 * LINE);
    check(tensors, 4, 6, 5 * LINE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_lifetimes),
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_second_trial),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
