// Percentiles, mean and deviation against what a plain look at the sorted values says.
#include "eval/timing/spread.h"

#include "philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    MOST = 2000
};

// The definition, word by word: the smallest value that at least `percent` % of the values do not
// exceed.
static double smallest_reaching(const double *values, int count, int percent)
{
    double found = INFINITY;
    for (int i = 0; i < count; i++) {
        int below = 0;
        for (int k = 0; k < count; k++)
            below += values[k] <= values[i];
        if (100 * below >= percent * count && values[i] < found)
            found = values[i];
    }
    return found;
}

static void check(const double *values, int count)
{
    static double sorted[MOST];
    memcpy(sorted, values, (size_t)count * sizeof *sorted);
    const struct fm_spread spread = fm_spread_of(sorted, count);
    double least = INFINITY, most = -INFINITY;
    long double sum = 0, squares = 0;
    for (int i = 0; i < count; i++) {
        least = fmin(least, values[i]);
        most = fmax(most, values[i]);
        sum += values[i];
    }
    long double mean = sum / count;
    for (int i = 0; i < count; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    double deviation = count > 1 ? (double)sqrtl(squares / (count - 1)) : 0;
    if (spread.p50 != smallest_reaching(values, count, 50) ||
        spread.p90 != smallest_reaching(values, count, 90) ||
        spread.p99 != smallest_reaching(values, count, 99))
        fail_msg("%d values: p50 %.17g, p90 %.17g, p99 %.17g", count, spread.p50, spread.p90,
            spread.p99);
    assert_int_equal(spread.count, count);
    assert_true(spread.least == least && spread.most == most);
    assert_true(fabs(spread.mean - (double)mean) <= 1e-12 * fabs((double)mean));
    assert_true(fabs(spread.deviation - deviation) <= 1e-9 * (deviation + 1));
}

static void test_every_count(void **state)
{
    (void)state;
    static double values[MOST];
    for (int count = 1; count <= 210; count++) {
        for (int i = 0; i < count; i++) {
            const struct fm_draws draw = fm_philox(7, (uint32_t)i, (uint32_t)count, 0, 0);
            values[i] = 1e-4 * (1 + draw.v[0] % 50); // with ties
        }
        check(values, count);
    }
}

static void test_known(void **state)
{
    (void)state;
    double hundred[100];
    for (int i = 0; i < 100; i++)
        hundred[i] = 100 - i;
    const struct fm_spread spread = fm_spread_of(hundred, 100);
    assert_true(spread.p50 == 50 && spread.p90 == 90 && spread.p99 == 99);
    assert_true(spread.mean == 50.5 && spread.least == 1 && spread.most == 100);
    assert_true(fabs(spread.deviation - sqrt(100 * 101 / 12.0)) < 1e-12);
    double one[1] = {3};
    const struct fm_spread single = fm_spread_of(one, 1);
    assert_true(single.p50 == 3 && single.p99 == 3 && single.deviation == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_count),
        cmocka_unit_test(test_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
