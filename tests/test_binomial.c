// The binomial distribution and its bounds against SciPy's (tests/reference/binomial.py).
#include "eval/label/binomial.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const double tolerance = 1e-10;

static json_t *golden;

static double number(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void near(const char *what, double a, double b, double c, double found, double expected)
{
    if (!isfinite(found) || fabs(found - expected) > tolerance)
        fail_msg(
            "%s(%.17g, %.17g, %.17g): found %.17g, expected %.17g", what, a, b, c, found, expected);
}

static void test_beta(void **state)
{
    (void)state;
    size_t index;
    json_t *row, *rows = json_object_get(golden, "beta");
    assert_true(json_array_size(rows) > 40);
    json_array_foreach(rows, index, row)
    {
        double a = number(row, "a"), b = number(row, "b"), x = number(row, "x");
        near("I", a, b, x, fm_beta_regularised(a, b, x), number(row, "value"));
        near("symmetry", a, b, x, fm_beta_regularised(b, a, 1 - x), 1 - number(row, "value"));
    }
    assert_true(fm_beta_regularised(2, 3, 0) == 0 && fm_beta_regularised(2, 3, 1) == 1);
    assert_true(isnan(fm_beta_regularised(0, 1, 0.5)) && isnan(fm_beta_regularised(1, 1, 1.5)) &&
                isnan(fm_beta_regularised(1, 1, NAN)));
}

static void test_cdf(void **state)
{
    (void)state;
    size_t index;
    json_t *row, *rows = json_object_get(golden, "cdf");
    assert_true(json_array_size(rows) > 8);
    json_array_foreach(rows, index, row)
    {
        double k = number(row, "k"), n = number(row, "n"), p = number(row, "p");
        near("cdf", k, n, p, fm_binomial_cdf((uint64_t)k, (uint64_t)n, p), number(row, "value"));
    }
    // By adding up terms: another way to the same numbers.
    double term = pow(0.7, 20), sum = 0;
    for (uint64_t k = 0; k <= 20; k++) {
        sum += term;
        near("sum", (double)k, 20, 0.3, fm_binomial_cdf(k, 20, 0.3), sum);
        term *= (double)(20 - k) / (double)(k + 1) * 0.3 / 0.7;
    }
}

static void test_intervals(void **state)
{
    (void)state;
    size_t index;
    json_t *row, *rows = json_object_get(golden, "interval");
    assert_true(json_array_size(rows) > 20);
    json_array_foreach(rows, index, row)
    {
        uint64_t k = (uint64_t)number(row, "k"), n = (uint64_t)number(row, "n");
        double confidence = number(row, "confidence");
        struct fm_interval found = fm_binomial_interval(k, n, confidence);
        near("low", (double)k, (double)n, confidence, found.low, number(row, "low"));
        near("high", (double)k, (double)n, confidence, found.high, number(row, "high"));
        near("upper", (double)k, (double)n, confidence, fm_binomial_upper(k, n, 1 - confidence),
            number(row, "upper"));
    }
    struct fm_interval none = fm_binomial_interval(0, 0, 0.95);
    assert_true(none.low == 0 && none.high == 1);
}

static void test_needed(void **state)
{
    (void)state;
    assert_int_equal(fm_binomial_needed(0.01, 0.05), 299); // 0.99^298 = 0.05003, 0.99^299 = 0.04953
    assert_int_equal(fm_binomial_needed(0.5, 0.25), 2);
    assert_int_equal(fm_binomial_needed(0.5, 0.2499), 3);
    assert_int_equal(fm_binomial_needed(0.5, 0.9), 1);
    for (int i = 1; i < 200; i++) {
        double p = i / 400.0;
        uint64_t n = fm_binomial_needed(p, 0.05);
        if (fm_binomial_upper(0, n, 0.05) > p + 1e-12 ||
            (n > 1 && fm_binomial_upper(0, n - 1, 0.05) <= p))
            fail_msg("%llu trials are not what a bound of %g needs", (unsigned long long)n, p);
    }
}

int main(void)
{
    json_error_t error;
    golden = json_load_file(FM_TEST_SOURCE_DIR "/tests/reference/golden/binomial.json", 0, &error);
    if (!golden) {
        print_error("binomial.json:%d: %s\n", error.line, error.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beta),
        cmocka_unit_test(test_cdf),
        cmocka_unit_test(test_intervals),
        cmocka_unit_test(test_needed),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(golden);
    return failed;
}
