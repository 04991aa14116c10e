// Two-sample tests against SciPy's values (tests/reference/twosample.py), and the permutation test
// against what it promises: its level, with tests that go together and with ties, and power.
#include "eval/drift/image_statistics.h"
#include "eval/drift/permutation.h"
#include "eval/drift/twosample.h"
#include "run/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"
#include "philox.h"

static json_t *golden;

static int open_golden(void **state)
{
    (void)state;
    return fm_json_read_file(
               FM_TEST_SOURCE_DIR "/tests/reference/golden/twosample.json", &golden, NULL) == FM_OK
               ? 0
               : -1;
}

static int close_golden(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

static void assert_near(const char *what, double actual, double expected, double relative)
{
    if (!(fabs(actual - expected) <= relative * fabs(expected)))
        fail_msg("%s: %.15g, expected %.15g", what, actual, expected);
}

// ---- Against SciPy

static uint32_t append(const json_t *list, float *values, uint32_t count)
{
    size_t i;
    json_t *value;
    json_array_foreach(list, i, value) values[count++] = (float)json_number_value(value);
    return count;
}

static void test_ks_exact(void **state)
{
    (void)state;
    size_t i;
    json_t *item;
    assert_true(json_array_size(json_object_get(golden, "ks")) >= 8);
    json_array_foreach(json_object_get(golden, "ks"), i, item)
    {
        float values[1024];
        uint8_t of_first[1024] = {0};
        struct fm_pooled pooled;
        double p, via;
        uint32_t n = append(json_object_get(item, "first"), values, 0);
        uint32_t m = append(json_object_get(item, "second"), values, n) - n;
        memset(of_first, 1, n);
        assert_ok(fm_pooled_make(values, n, m, &pooled));
        int64_t scaled = fm_ks_scaled(&pooled, of_first);
        assert_ok(fm_ks_exact(&pooled, scaled, &p));
        assert_ok(fm_ks_p(&pooled, scaled, &via));
        const char *name = fm_json_string(item, "name");
        assert_near(name, (double)scaled / n / m, fm_json_number(item, "distance"), 1e-12);
        assert_near(name, p, fm_json_number(item, "p"), 1e-10);
        assert_near(name, via, p, 0);
        fm_pooled_free(&pooled);
    }
}

static void test_ks_limit(void **state)
{
    (void)state;
    size_t i;
    json_t *item;
    assert_true(json_array_size(json_object_get(golden, "limit")) >= 24);
    json_array_foreach(json_object_get(golden, "limit"), i, item)
    {
        char name[64];
        uint32_t n = (uint32_t)fm_json_number(item, "first");
        uint32_t m = (uint32_t)fm_json_number(item, "second");
        double distance = fm_json_number(item, "distance");
        snprintf(name, sizeof name, "n = %u, m = %u, D = %g", n, m, distance);
        assert_near(name, fm_ks_limit(distance, n, m), fm_json_number(item, "p"), 0.1);
    }
    // The two series meet, and the ends are what they must be.
    assert_near("nothing", fm_ks_limit(0, 50, 70), 1, 0);
    for (double d = 0.001, last = 1; d < 1; d += 0.001) {
        double p = fm_ks_limit(d, 100, 100);
        assert_true(p <= last && p >= 0 && last - p < 0.03);
        last = p;
    }
}

static void read_counts(const json_t *list, uint64_t *out)
{
    size_t i;
    json_t *value;
    json_array_foreach(list, i, value) out[i] = (uint64_t)json_integer_value(value);
}

static void test_chi_square(void **state)
{
    (void)state;
    size_t i;
    json_t *item;
    assert_true(json_array_size(json_object_get(golden, "chi_square")) >= 4);
    json_array_foreach(json_object_get(golden, "chi_square"), i, item)
    {
        uint64_t first[16] = {0}, second[16] = {0};
        int degrees;
        int count = (int)json_array_size(json_object_get(item, "first"));
        read_counts(json_object_get(item, "first"), first);
        read_counts(json_object_get(item, "second"), second);
        double x = fm_chi_square(first, second, count, &degrees);
        assert_near("statistic", x, fm_json_number(item, "statistic"), 1e-12);
        assert_int_equal(degrees, (int)fm_json_number(item, "degrees"));
        assert_near("p", fm_chi_square_tail(x, degrees), fm_json_number(item, "p"), 1e-10);
    }
    const uint64_t one[3] = {0, 7, 0};
    int degrees;
    assert_true(fm_chi_square(one, one, 3, &degrees) == 0 && degrees == 0);
}

static void test_chi_square_tail(void **state)
{
    (void)state;
    size_t i;
    json_t *item;
    assert_true(json_array_size(json_object_get(golden, "tail")) >= 30);
    json_array_foreach(json_object_get(golden, "tail"), i, item)
    {
        char name[64];
        double x = fm_json_number(item, "x");
        int degrees = (int)fm_json_number(item, "degrees");
        snprintf(name, sizeof name, "x = %g, %d degrees of freedom", x, degrees);
        assert_near(name, fm_chi_square_tail(x, degrees), fm_json_number(item, "p"), 1e-10);
    }
    assert_true(fm_chi_square_tail(0, 3) == 1 && fm_chi_square_tail(5, 0) == 1);
}

static void test_effects(void **state)
{
    (void)state;
    const float first[4] = {1, 2, 3, 4}, second[2] = {5, 7}, same[3] = {2, 2, 2};
    const uint64_t a[3] = {5, 5, 0}, b[3] = {1, 0, 3};
    assert_near("shift", fm_mean_shift(first, 4, second, 2), 3.5 / sqrt(5.0 / 3), 1e-12);
    assert_near("back", fm_mean_shift(second, 2, first, 4), -3.5 / sqrt(2.0), 1e-12);
    assert_true(fm_mean_shift(same, 3, same, 3) == 0);
    assert_true(isfinite(fm_mean_shift(same, 3, first, 4)) && fm_mean_shift(same, 3, first, 4) > 0);
    assert_near("total variation", fm_total_variation(a, b, 3), 0.75, 1e-12);
    assert_true(fm_total_variation(a, a, 3) == 0);
}

// ---- The permutation test

enum {
    FIRST = 60,
    SECOND = 25,
    BOTH = FIRST + SECOND,
    VALUES = 6
};

// Values of which three say nearly the same and one takes but three values, and a category that
// goes with them; the second sample's last three values are `shift` higher.
static void draw_values(
    uint32_t trial, float shift, float values[VALUES][BOTH], uint8_t categories[BOTH])
{
    for (uint32_t i = 0; i < BOTH; i++) {
        struct fm_draws a = fm_philox(11, trial, i, 40, 0), b = fm_philox(11, trial, i, 40, 1);
        float common = fm_draw_unit(a.v[0]);
        values[0][i] = common;
        values[1][i] = common + 0.05f * fm_draw_unit(a.v[1]);
        values[2][i] = (float)(int)(3 * common);
        for (int k = 3; k < VALUES; k++)
            values[k][i] = fm_draw_unit(b.v[k - 3]) + (i >= FIRST ? shift : 0);
        categories[i] = (uint8_t)(4 * common);
    }
}

static struct fm_permutation_options at_level(double level)
{
    return (struct fm_permutation_options){.level = level, .most = 199, .seed = 3};
}

static double family_p(
    uint32_t trial, float shift, const struct fm_permutation_options *options, double *corrected)
{
    float values[VALUES][BOTH];
    uint8_t categories[BOTH];
    struct fm_pooled pooled[VALUES];
    uint32_t made;
    double least = 1;
    draw_values(trial, shift, values, categories);
    for (int k = 0; k < VALUES; k++)
        assert_ok(fm_pooled_make(values[k], FIRST, SECOND, &pooled[k]));
    const struct fm_family family = {FIRST, SECOND, pooled, VALUES, categories, 4, NULL};
    assert_ok(fm_permutation_test(&family, options, corrected, &made));
    for (int k = 0; k < VALUES; k++)
        fm_pooled_free(&pooled[k]);
    for (int k = 0; k <= VALUES; k++)
        least = fmin(least, corrected[k]);
    return least;
}

// Of 2,000 families without a difference a share of the level fires: binomial, so within three
// standard errors on both sides.
static void test_level(void **state)
{
    (void)state;
    enum {
        TRIALS = 2000
    };
    static const double levels[2] = {0.05, 0.2};
    for (int l = 0; l < 2; l++) {
        const struct fm_permutation_options options = at_level(levels[l]);
        double corrected[VALUES + 1], se = sqrt(levels[l] * (1 - levels[l]) / TRIALS);
        int fired = 0;
        for (uint32_t trial = 0; trial < TRIALS; trial++)
            fired += family_p(trial, 0, &options, corrected) <= levels[l];
        double rate = (double)fired / TRIALS;
        if (fabs(rate - levels[l]) > 3 * se)
            fail_msg("level %g: %d of %d fire, expected %g +- %g", levels[l], fired, TRIALS,
                levels[l], 3 * se);
    }
}

// What has shifted is found, and named; what has not is not.
static void test_power(void **state)
{
    (void)state;
    const struct fm_permutation_options options = at_level(0.05);
    double corrected[VALUES + 1];
    int named[VALUES + 1] = {0};
    for (uint32_t trial = 0; trial < 100; trial++) {
        family_p(trial, 0.6f, &options, corrected);
        for (int k = 0; k <= VALUES; k++)
            named[k] += corrected[k] <= 0.05;
    }
    for (int k = 0; k <= VALUES; k++)
        if (k >= 3 && k < VALUES ? named[k] < 90 : named[k] > 10)
            fail_msg("test %d named in %d of 100 trials", k, named[k]);
}

// Ending early decides as all permutations would, and the same seed gives the same answer.
static void test_early_end(void **state)
{
    (void)state;
    int differ = 0;
    for (uint32_t trial = 0; trial < 200; trial++) {
        struct fm_permutation_options options = {.level = 0.1, .most = 999, .seed = 3};
        double early[VALUES + 1], again[VALUES + 1], all[VALUES + 1];
        double p = family_p(trial, 0, &options, early);
        family_p(trial, 0, &options, again);
        assert_memory_equal(early, again, sizeof early);
        options.level = 0.999; // never certain before the end
        double whole = family_p(trial, 0, &options, all);
        if ((p <= 0.1) != (whole <= 0.1))
            fail_msg("trial %u: p %g after an early end, %g of all permutations", trial, p, whole);
        differ += p != whole;
    }
    assert_true(differ > 100); // it does end early
    assert_int_equal(fm_permutations_for(0.05), 999);
    assert_int_equal(fm_permutations_for(0.001), 9999);
}

// A difference that lies between strata alone is none within them.
static void test_strata(void **state)
{
    (void)state;
    float values[BOTH];
    uint8_t strata[BOTH];
    struct fm_pooled pooled;
    const struct fm_permutation_options options = at_level(0.05);
    double free_p, within_p;
    uint32_t made;
    for (uint32_t i = 0; i < BOTH; i++) {
        strata[i] = i < FIRST ? i % 6 == 0
                              : i % 6 != 0; // 1: rare in the first, usual in the second
        values[i] = (float)strata[i] * 5 + fm_draw_unit(fm_draw(5, 0, i, 40, 0));
    }
    assert_ok(fm_pooled_make(values, FIRST, SECOND, &pooled));
    struct fm_family family = {FIRST, SECOND, &pooled, 1, NULL, 0, NULL};
    assert_ok(fm_permutation_test(&family, &options, &free_p, &made));
    family.strata = strata;
    assert_ok(fm_permutation_test(&family, &options, &within_p, &made));
    fm_pooled_free(&pooled);
    if (free_p > 0.05 || within_p < 0.1)
        fail_msg("p %g, within strata %g", free_p, within_p);
}

// Permutations that are as far apart as what was seen count, and with few values they are many: of
// the 20 divisions of six values into halves two are.
static void test_equal_counts(void **state)
{
    (void)state;
    const struct fm_permutation_options options = {.level = 0.999, .most = 1999, .seed = 3};
    float values[6] = {1, 2, 3, 4, 5, 6};
    struct fm_pooled pooled;
    const struct fm_family family = {3, 3, &pooled, 1, NULL, 0, NULL};
    double p;
    uint32_t made;
    assert_ok(fm_pooled_make(values, 3, 3, &pooled));
    assert_ok(fm_permutation_test(&family, &options, &p, &made));
    fm_pooled_free(&pooled);
    assert_near("p", p, 0.1, 0.3); // five standard errors are 0.034
    memset(values, 0, sizeof values);
    assert_ok(fm_pooled_make(values, 3, 3, &pooled));
    assert_ok(fm_permutation_test(&family, &options, &p, &made));
    fm_pooled_free(&pooled);
    assert_true(p == 1);
}

static enum fm_status stop(void *context, uint32_t done, uint32_t total)
{
    (void)context, (void)done, (void)total;
    return fm_fail(FM_INTERRUPTED, "stop here");
}

static void test_progress_ends(void **state)
{
    (void)state;
    struct fm_permutation_options options = at_level(0.05);
    float values[4] = {1, 2, 3, 4};
    struct fm_pooled pooled;
    double p;
    uint32_t made;
    options.progress = stop;
    assert_ok(fm_pooled_make(values, 2, 2, &pooled));
    const struct fm_family family = {2, 2, &pooled, 1, NULL, 0, NULL};
    assert_fails(fm_permutation_test(&family, &options, &p, &made), FM_INTERRUPTED, "stop here");
    fm_pooled_free(&pooled);
}

// ---- Image statistics, on images whose values can be told by hand

static void assert_statistic(const uint8_t *record, enum fm_image_statistic which, double expected)
{
    float statistics[FM_IMAGE_STATISTICS];
    fm_image_statistics(record, statistics);
    if (!(fabs((double)statistics[which] - expected) < 1e-6))
        fail_msg("%s: %.9g, expected %.9g", fm_image_statistic_names[which],
            (double)statistics[which], expected);
}

static void test_statistics_of_plain_images(void **state)
{
    (void)state;
    uint8_t record[FM_IMAGE_BYTES] = {0};
    static const double black[FM_IMAGE_STATISTICS] = {0, 0, 1, 0, 0, 0.5, 0.5, 0, 0, 0};
    for (int k = 0; k < FM_IMAGE_STATISTICS; k++)
        assert_statistic(record, (enum fm_image_statistic)k, black[k]);
    // A white pixel in row 4, column 10.
    record[4 * 28 + 10] = 255;
    assert_statistic(record, FM_IMAGE_MEAN, 1 / 784.0);
    assert_statistic(record, FM_IMAGE_CONTRAST, sqrt(1 / 784.0 - 1 / 784.0 / 784));
    assert_statistic(record, FM_IMAGE_DARK, 783 / 784.0);
    assert_statistic(record, FM_IMAGE_EDGES, 4 / (2.0 * 28 * 27));
    assert_statistic(record, FM_IMAGE_SHARPNESS, 8 / (4.0 * 26 * 26));
    assert_statistic(record, FM_IMAGE_CENTRE_X, 10.5 / 28);
    assert_statistic(record, FM_IMAGE_CENTRE_Y, 4.5 / 28);
    assert_statistic(record, FM_IMAGE_WIDTH, 1 / 28.0);
    assert_statistic(record, FM_IMAGE_HEIGHT, 1 / 28.0);
    assert_statistic(record, FM_IMAGE_SLANT, 0);
    // A falling diagonal from there, three times as bright as the box's threshold is at least.
    for (int i = 0; i < 12; i++)
        record[(4 + i) * 28 + 10 + i] = 96;
    assert_statistic(record, FM_IMAGE_WIDTH, 12 / 28.0);
    assert_statistic(record, FM_IMAGE_HEIGHT, 12 / 28.0);
    assert_statistic(record, FM_IMAGE_SLANT, 1);
    record[15 * 28 + 25] = 31; // not bright
    assert_statistic(record, FM_IMAGE_WIDTH, 12 / 28.0);
    memset(record, 255, sizeof record);
    assert_statistic(record, FM_IMAGE_MEAN, 1);
    assert_statistic(record, FM_IMAGE_DARK, 0);
    assert_statistic(record, FM_IMAGE_SLANT, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ks_exact),
        cmocka_unit_test(test_ks_limit),
        cmocka_unit_test(test_chi_square),
        cmocka_unit_test(test_chi_square_tail),
        cmocka_unit_test(test_effects),
        cmocka_unit_test(test_level),
        cmocka_unit_test(test_power),
        cmocka_unit_test(test_early_end),
        cmocka_unit_test(test_strata),
        cmocka_unit_test(test_equal_counts),
        cmocka_unit_test(test_progress_ends),
        cmocka_unit_test(test_statistics_of_plain_images),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
