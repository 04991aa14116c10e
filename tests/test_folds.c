// Folds: each sample in one, each class spread evenly over all.
#include "data/folds.h"

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

static void check_sizes(const uint8_t *labels, const uint8_t *fold, int folds, int class)
{
    uint32_t sizes[FM_FOLDS_MAX] = {0}, least = N, most = 0;
    for (uint32_t i = 0; i < N; i++)
        if (class < 0 || labels[i] == class)
            sizes[fold[i]]++;
    for (int k = 0; k < folds; k++) {
        least = sizes[k] < least ? sizes[k] : least;
        most = sizes[k] > most ? sizes[k] : most;
    }
    if (most - least > 1)
        fail_msg("%d folds, class %d: sizes from %u to %u", folds, class, (unsigned)least,
            (unsigned)most);
}

static void test_stratified(void **state)
{
    (void)state;
    uint8_t labels[N], fold[N], again[N];
    fill_labels(labels);
    for (int folds = 2; folds <= FM_FOLDS_MAX; folds += 3) {
        assert_int_equal(fm_folds_make(labels, N, CLASSES, folds, 3, fold), FM_OK);
        for (uint32_t i = 0; i < N; i++)
            assert_true(fold[i] < folds);
        for (int class = -1; class < CLASSES; class ++)
            check_sizes(labels, fold, folds, class);
        assert_int_equal(fm_folds_make(labels, N, CLASSES, folds, 3, again), FM_OK);
        assert_memory_equal(fold, again, N);
        assert_int_equal(fm_folds_make(labels, N, CLASSES, folds, 4, again), FM_OK);
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
    assert_int_equal(fm_folds_make(labels, N, CLASSES, 4, 1, fold), FM_OK);
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
        assert_int_equal(fm_folds_make(labels, 3, 2, wrong[i], 1, fold), FM_USAGE);
        fm_error_clear();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stratified),
        cmocka_unit_test(test_split_is_the_others),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
