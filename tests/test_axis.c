// Axes: ranges and ticks of ordinary and of odd values.
#include "report/charts/axis.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    VALUES_MAX = 6
};

struct scale_case {
    const char *name;
    struct fm_axis axis;
    double values[VALUES_MAX];
    int count;
    double low, high, room;
    const char *ticks; // the texts, each with a bar after it; NULL: only what holds for all
};

#define FREE NAN, NAN

static const struct scale_case cases[] = {
    {"epochs", {0}, {1, 2, 3, 4, 5}, 5, FREE, 0.03, "1|2|3|4|5|"},
    {"one epoch", {0}, {1}, 1, FREE, 0.03, "0|1|2|"},
    {"batches", {.log = true}, {1, 8, 64, 1024}, 4, FREE, 0.03,
        "1|2|4|8|16|32|64|128|256|512|1024|"},
    {"coverage", {.percent = true}, {0.2, 0.95}, 2, 0.8, 1, 0, "80 %|85 %|90 %|95 %|100 %|"},
    {"all shares", {.percent = true}, {0, 1}, 2, FREE, 0, "0 %|20 %|40 %|60 %|80 %|100 %|"},
    {"parameters", {.log = true}, {421642, 1199882, 14728266}, 3, FREE, 0.07, "500k|1M|2M|5M|10M|"},
    {"a decade", {.log = true}, {1199882, 14728266}, 2, FREE, 0.07, "2M|5M|10M|"},
    {"about zero", {0}, {-0.2, 0.3}, 2, FREE, 0, "-0.2|-0.1|0.0|0.1|0.2|0.3|"},
    {"thousands", {0}, {-8000, 100000}, 2, FREE, 0, "-20k|0|20k|40k|60k|80k|100k|"},
    {"nothing", {0}, {NAN, INFINITY}, 2, FREE, 0, NULL},
    {"nothing on a logarithm", {.log = true}, {0, -1, NAN}, 3, FREE, 0, NULL},
    {"equal shares", {.percent = true}, {1, 1}, 2, FREE, 0, NULL},
    {"equal zeros", {0}, {0, 0}, 2, FREE, 0, NULL},
    {"equal and large", {0}, {1e17, 1e17}, 2, FREE, 0, NULL},
    {"equal on a logarithm", {.log = true}, {7, 7}, 2, FREE, 0, NULL},
    {"minute", {0}, {-3e-9, 2e-9}, 2, FREE, 0.03, NULL},
    {"denormal", {0}, {5e-324, 1e-310}, 2, FREE, 0, NULL},
    {"denormal on a logarithm", {.log = true}, {5e-324, 1}, 2, FREE, 0, NULL},
    {"immense", {0}, {-1e308, 1e308}, 2, FREE, 0.03, NULL},
    {"immense on a logarithm", {.log = true}, {1e-308, 1e308}, 2, FREE, 0.03, NULL},
    {"far from zero", {0}, {1e9, 1e9 + 1}, 2, FREE, 0, NULL},
    {"limits the wrong way round", {0}, {1, 2}, 2, 5, -5, 0, NULL},
    {"a limit beyond the values", {0}, {1, 2}, 2, 5, NAN, 0, NULL},
    {"a limit that a logarithm has not", {.log = true}, {1, 20}, 2, -5, NAN, 0, NULL},
};

static void fit(const struct scale_case *c, struct fm_scale *s)
{
    struct fm_extent extent = {0};
    for (int i = 0; i < c->count; i++)
        fm_extent_add(&extent, &c->axis, c->values[i]);
    fm_scale_fit(s, &c->axis, &extent, c->low, c->high, 11 - (c->room == 0) * 3, c->room);
}

static void test_ticks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct scale_case *c = &cases[i];
        struct fm_scale s;
        char all[FM_TICKS_MAX * FM_TICK_TEXT] = "";
        fit(c, &s);
        if (!isfinite(s.low) || !isfinite(s.high) || s.low >= s.high)
            fail_msg("%s: from %g to %g", c->name, s.low, s.high);
        if (s.tick_count < 2)
            fail_msg("%s: %d ticks from %g to %g", c->name, s.tick_count, s.low, s.high);
        for (int t = 0; t < s.tick_count; t++) {
            double at = fm_scale_at(&s, s.ticks[t]);
            if (!(at >= -1e-6 && at <= 1 + 1e-6))
                fail_msg("%s: the tick %s is at %g", c->name, s.texts[t], at);
            if (t > 0 && (s.ticks[t] <= s.ticks[t - 1] || !strcmp(s.texts[t], s.texts[t - 1])))
                fail_msg("%s: %s follows %s", c->name, s.texts[t], s.texts[t - 1]);
            if (strlen(s.texts[t]) > 14 || strncmp(s.texts[t], "-0 ", 3) == 0)
                fail_msg("%s: a tick '%s'", c->name, s.texts[t]);
            strcat(strcat(all, s.texts[t]), "|");
        }
        if (c->ticks && strcmp(all, c->ticks) != 0)
            fail_msg("%s: ticks %s, expected %s", c->name, all, c->ticks);
    }
}

// All values that can be shown are within, unless a limit cuts them off.
static void test_values_are_within(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct scale_case *c = &cases[i];
        struct fm_scale s;
        fit(c, &s);
        for (int v = 0; v < c->count; v++) {
            struct fm_extent ignored = {0};
            if (isfinite(c->low) || !fm_extent_add(&ignored, &c->axis, c->values[v]))
                continue;
            double at = fm_scale_at(&s, c->values[v]);
            if (!(at >= -1e-6 && at <= 1 + 1e-6))
                fail_msg("%s: %g is at %g", c->name, c->values[v], at);
        }
    }
}

static void test_positions(void **state)
{
    (void)state;
    struct fm_scale linear = {.low = -1, .high = 3}, logarithm = {true, 1, 100, 0, {0}, {{0}}};
    assert_float_equal(fm_scale_at(&linear, 0), 0.25, 1e-12);
    assert_float_equal(fm_scale_at(&linear, 5), 1.5, 1e-12);
    assert_float_equal(fm_scale_at(&logarithm, 10), 0.5, 1e-12);
    assert_float_equal(fm_scale_at(&logarithm, 0.1), -0.5, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ticks),
        cmocka_unit_test(test_values_are_within),
        cmocka_unit_test(test_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
