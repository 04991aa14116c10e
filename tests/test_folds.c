// Folds: each sample in one, each class spread evenly over all, units in one piece.
#include "data/folds.h"

#include "data/order.h"
#include "data/units.h"
#include "philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum {
    N = 1003,
    CLASSES = 7
};

static void fill_labels(uint8_t *labels)
{
    for (uint32_t i = 0; i < N; i++) // classes of very different sizes
        labels[i] = (uint8_t)(i % 3 ? i % CLASSES : 2);
}

// Of a class, or of all (-1): the sizes differ by no more than `apart`.
static void check_sizes(
    const uint8_t *labels, const uint8_t *fold, int folds, int class, uint32_t apart)
{
    uint32_t sizes[FM_FOLDS_MAX] = {0}, least = N, most = 0;
    for (uint32_t i = 0; i < N; i++)
        if (class < 0 || labels[i] == class)
            sizes[fold[i]]++;
    for (int k = 0; k < folds; k++) {
        least = sizes[k] < least ? sizes[k] : least;
        most = sizes[k] > most ? sizes[k] : most;
    }
    if (most - least > apart)
        fail_msg("%d folds, class %d: sizes from %u to %u", folds, class, (unsigned)least,
            (unsigned)most);
}

static void test_stratified(void **state)
{
    (void)state;
    uint8_t labels[N], fold[N], again[N];
    fill_labels(labels);
    for (int folds = 2; folds <= FM_FOLDS_MAX; folds += 3) {
        assert_int_equal(fm_folds_make(labels, N, CLASSES, NULL, folds, 3, fold), FM_OK);
        for (uint32_t i = 0; i < N; i++)
            assert_true(fold[i] < folds);
        for (int class = -1; class < CLASSES; class ++)
            check_sizes(labels, fold, folds, class, 1);
        assert_int_equal(fm_folds_make(labels, N, CLASSES, NULL, folds, 3, again), FM_OK);
        assert_memory_equal(fold, again, N);
        assert_int_equal(fm_folds_make(labels, N, CLASSES, NULL, folds, 4, again), FM_OK);
        assert_memory_not_equal(fold, again, N);
    }
}

// The rule that folds were first dealt by: each class in the order of its draws, round and round,
// from where the class before has ended. Folders of audits hold probabilities of these.
static void deal_round(const uint8_t *labels, int folds, uint64_t seed, uint8_t *fold)
{
    uint32_t members[N], next = 0;
    for (int class = 0; class < CLASSES; class ++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < N; i++)
            if (labels[i] == class)
                members[count++] = i;
        assert_int_equal(fm_order_by_draw(members, count, seed, 0, FM_STREAM_FOLD, members), FM_OK);
        for (uint32_t k = 0; k < count; k++)
            fold[members[k]] = (uint8_t)(next++ % (uint32_t)folds);
    }
}

static void test_single_samples_go_round(void **state)
{
    (void)state;
    uint8_t labels[N], fold[N], round[N];
    uint32_t unit[N];
    fill_labels(labels);
    fm_units_begin(unit, N);
    for (int folds = 2; folds <= FM_FOLDS_MAX; folds++)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            deal_round(labels, folds, seed, round);
            assert_int_equal(fm_folds_make(labels, N, CLASSES, NULL, folds, seed, fold), FM_OK);
            assert_memory_equal(fold, round, N);
            assert_int_equal(fm_folds_make(labels, N, CLASSES, unit, folds, seed, fold), FM_OK);
            assert_memory_equal(fold, round, N);
        }
}

static void test_units(void **state)
{
    (void)state;
    uint32_t unit[8];
    static const uint32_t expected[8] = {0, 1, 2, 1, 1, 5, 2, 1};
    fm_units_begin(unit, 8);
    fm_units_join(unit, 7, 4); // 7 - 4, 3 - 1, then both; 6 - 2; 0 and 5 alone
    fm_units_join(unit, 3, 1);
    fm_units_join(unit, 7, 3);
    fm_units_join(unit, 2, 6);
    fm_units_join(unit, 4, 1);
    fm_units_settle(unit, 8);
    assert_memory_equal(unit, expected, sizeof expected);
}

// Pairs and threes, some of them across classes, and a unit that is larger than a class's share.
static void join_some(uint32_t *unit)
{
    fm_units_begin(unit, N);
    for (uint32_t i = 100; i < 400; i += 2)
        fm_units_join(unit, i, i + 600);
    for (uint32_t i = 101; i < 200; i += 6)
        fm_units_join(unit, i + 601, i);
    for (uint32_t i = 0; i < 90; i += 3) // of class 2
        fm_units_join(unit, 90, i);
    fm_units_settle(unit, N);
}

static void test_units_stay_together(void **state)
{
    (void)state;
    uint8_t labels[N], fold[N], again[N];
    uint32_t unit[N];
    fill_labels(labels);
    join_some(unit);
    for (int folds = 2; folds <= FM_FOLDS_MAX; folds += 3) {
        assert_int_equal(fm_folds_make(labels, N, CLASSES, unit, folds, 3, fold), FM_OK);
        for (uint32_t i = 0; i < N; i++) {
            assert_true(fold[i] < folds);
            assert_int_equal(fold[i], fold[unit[i]]);
        }
        for (int class = -1; class < CLASSES; class ++) // a fold's share of class 2 may be but 21
            check_sizes(labels, fold, folds, class, class == 2 || class < 0 ? 10 : 2);
        assert_int_equal(fm_folds_make(labels, N, CLASSES, unit, folds, 3, again), FM_OK);
        assert_memory_equal(fold, again, N);
        assert_int_equal(fm_folds_make(labels, N, CLASSES, unit, folds, 4, again), FM_OK);
        assert_memory_not_equal(fold, again, N);
    }
}

static void test_split_is_the_others(void **state)
{
    (void)state;
    static uint8_t records[N][FM_IMAGE_BYTES];
    uint8_t labels[N], fold[N], seen[N] = {0};
    for (uint32_t i = 0; i < N; i++)
        memset(records[i], (int)(i % 256), FM_IMAGE_BYTES);
    fill_labels(labels);
    const struct fm_samples samples = {
        .count = N, .record_size = FM_IMAGE_BYTES, .records = records[0], .labels = labels};
    assert_int_equal(fm_folds_make(labels, N, CLASSES, NULL, 4, 1, fold), FM_OK);
    for (int k = 0; k < 4; k++) {
        struct fm_split split;
        double mean = 0;
        assert_int_equal(fm_folds_split(&samples, fold, k, &split), FM_OK);
        assert_int_equal(split.select_count + split.calibrate_count, 0);
        for (uint32_t i = 0; i < split.train_count; i++) {
            assert_int_not_equal(fold[split.train[i]], k);
            seen[split.train[i]]++;
            mean += records[split.train[i]][0] / 255.0 / split.train_count;
        }
        assert_true(fabs(split.mean - mean) < 1e-12);
        fm_split_free(&split);
    }
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(seen[i], 3);
}

static void test_refuses(void **state)
{
    (void)state;
    uint8_t labels[3] = {0, 1, 0}, fold[3];
    static const int wrong[3] = {1, FM_FOLDS_MAX + 1, 4};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fm_folds_make(labels, 3, 2, NULL, wrong[i], 1, fold), FM_USAGE);
        fm_error_clear();
    }
    uint32_t unit[3] = {0, 1, 1}; // two units fill two folds, and no third
    assert_int_equal(fm_folds_make(labels, 3, 2, unit, 3, 1, fold), FM_USAGE);
    fm_error_clear();
    assert_int_equal(fm_folds_make(labels, 3, 2, unit, 2, 1, fold), FM_OK);
    assert_int_equal(fold[1], fold[2]);
    assert_int_not_equal(fold[0], fold[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stratified),
        cmocka_unit_test(test_single_samples_go_round),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_units_stay_together),
        cmocka_unit_test(test_split_is_the_others),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
