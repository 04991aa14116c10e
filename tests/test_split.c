// The split: sizes, strata, no sample twice, the same everywhere; and the exact pixel statistics.
#include "data/order.h"
#include "data/split.h"

#include "philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

static void make(const uint8_t *labels, uint32_t count, int classes, struct fm_split *split)
{
    struct fm_samples samples = {
        .count = count, .record_size = 1, .records = labels, .labels = labels};
    fm_error_clear();
    if (fm_split_make(&samples, classes, split) != FM_OK)
        fail_msg("%u samples: %s", count, fm_error_message());
}

static void mark(const uint32_t *ids, uint32_t count, uint8_t *seen, uint32_t total)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_true(ids[i] < total);
        assert_true(i == 0 || ids[i] > ids[i - 1]);
        assert_int_equal(seen[ids[i]]++, 0);
    }
}

// Ascending, every sample in exactly one part.
static void expect_partition(const struct fm_split *split, uint32_t total)
{
    uint8_t *seen = calloc(total, 1);
    assert_non_null(seen);
    mark(split->train, split->train_count, seen, total);
    mark(split->select, split->select_count, seen, total);
    mark(split->calibrate, split->calibrate_count, seen, total);
    assert_int_equal(split->train_count + split->select_count + split->calibrate_count, total);
    free(seen);
}

static uint32_t of_class(const uint32_t *ids, uint32_t count, const uint8_t *labels, int c)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++)
        found += labels[ids[i]] == c;
    return found;
}

static uint8_t *balanced_labels(uint32_t count, int classes)
{
    uint8_t *labels = malloc(count);
    assert_non_null(labels);
    for (uint32_t i = 0; i < count; i++)
        labels[i] = (uint8_t)(i * 7 % (uint32_t)classes);
    return labels;
}

static void sixty_thousand_are_54_3_3(void **state)
{
    (void)state;
    struct fm_split split;
    uint8_t *labels = balanced_labels(60000, 10);
    make(labels, 60000, 10, &split);
    assert_int_equal(split.train_count, 54000);
    assert_int_equal(split.select_count, 3000);
    assert_int_equal(split.calibrate_count, 3000);
    expect_partition(&split, 60000);
    for (int c = 0; c < 10; c++) {
        assert_int_equal(of_class(split.train, 54000, labels, c), 5400);
        assert_int_equal(of_class(split.select, 3000, labels, c), 300);
        assert_int_equal(of_class(split.calibrate, 3000, labels, c), 300);
    }
    fm_split_free(&split);
    assert_null(split.train);
    free(labels);
}

// The ids' CRC, from an implementation in Python that was checked against the known answers of the
// Random123 library. Another split would make every published accuracy incomparable.
static void the_split_is_the_same_everywhere(void **state)
{
    (void)state;
    struct fm_split split;
    uint8_t *labels = balanced_labels(60000, 10);
    make(labels, 60000, 10, &split);
    uLong crc = crc32(0, NULL, 0);
    for (uint32_t i = 0; i < 3000; i++)
        for (int shift = 0; shift < 32; shift += 8) { // little-endian, on any machine
            Bytef select = (Bytef)(split.select[i] >> shift);
            Bytef calibrate = (Bytef)(split.calibrate[i] >> shift);
            crc = crc32(crc, &select, 1);
            crc = crc32(crc, &calibrate, 1);
        }
    assert_int_equal(split.select[0], 0);
    assert_int_equal(split.calibrate[0], 20);
    assert_int_equal(crc, 0x45a7e389);
    fm_split_free(&split);
    free(labels);
}

// Members are drawn at random: both halves of the data are hit about equally.
static void members_come_from_all_over(void **state)
{
    (void)state;
    struct fm_split split;
    uint8_t *labels = balanced_labels(60000, 10);
    make(labels, 60000, 10, &split);
    uint32_t lower = 0;
    for (uint32_t i = 0; i < split.select_count; i++)
        lower += split.select[i] < 30000;
    assert_in_range(lower, 1360, 1640); // 1500 +- 5 standard deviations of 27
    fm_split_free(&split);
    free(labels);
}

static void unequal_classes_are_in_proportion(void **state)
{
    (void)state;
    // 400 samples: 20 to select and 20 to calibrate; shares 10.0, 6.5, 3.45, 0.05.
    static const uint32_t sizes[] = {200, 130, 69, 1}, expected[] = {10, 7, 3, 0};
    uint8_t labels[400];
    uint32_t at = 0;
    for (int c = 0; c < 4; c++)
        for (uint32_t i = 0; i < sizes[c]; i++)
            labels[at++] = (uint8_t)c;
    struct fm_split split;
    make(labels, 400, 4, &split);
    expect_partition(&split, 400);
    for (int c = 0; c < 4; c++) {
        assert_int_equal(of_class(split.select, 20, labels, c), expected[c]);
        assert_int_equal(of_class(split.calibrate, 20, labels, c), expected[c]);
    }
    fm_split_free(&split);
}

// Each class keeps a sample to train on where there are enough, and the split says of how many none
// is left.
static void expect_classes_trained(
    const struct fm_split *split, const uint8_t *labels, uint32_t count, int classes)
{
    int present = 0, untrained = 0;
    for (int c = 0; c < classes; c++) {
        bool there = false;
        for (uint32_t i = 0; i < count && !there; i++)
            there = labels[i] == c;
        present += there;
        untrained += there && of_class(split->train, split->train_count, labels, c) == 0;
    }
    int missing = present - (int)split->train_count;
    assert_int_equal(untrained, missing > 0 ? missing : 0);
    assert_int_equal(split->untrained, untrained);
}

// Few samples, many classes, classes of one: always a partition of the right sizes.
static void small_sets_are_split_too(void **state)
{
    (void)state;
    for (uint32_t count = 3; count <= 260; count++) {
        for (int classes = 2; classes <= 256; classes = classes * 2 - 1) {
            struct fm_split split;
            uint8_t *labels = balanced_labels(count, classes);
            uint32_t held = count / 20 > 0 ? count / 20 : 1;
            make(labels, count, classes, &split);
            expect_partition(&split, count);
            assert_int_equal(split.select_count, held);
            assert_int_equal(split.calibrate_count, held);
            expect_classes_trained(&split, labels, count, classes);
            fm_split_free(&split);
            free(labels);
        }
    }
}

// One class of most samples, and many of two each: shares of less than a sample, all equal.
static void rare_classes_are_trained_on(void **state)
{
    (void)state;
    enum {
        RARE = 199,
        COUNT = 2000 + 2 * RARE
    };
    uint8_t labels[COUNT] = {0};
    struct fm_split split;
    for (uint32_t i = 0; i < 2 * RARE; i++)
        labels[5 * i] = (uint8_t)(1 + i / 2);
    make(labels, COUNT, 1 + RARE, &split);
    expect_partition(&split, COUNT);
    expect_classes_trained(&split, labels, COUNT, 1 + RARE);
    assert_int_equal(split.untrained, 0);
    fm_split_free(&split);
}

static void what_cannot_be_split_is_refused(void **state)
{
    (void)state;
    const uint8_t labels[] = {0, 1, 2};
    struct fm_samples samples = {.count = 2, .record_size = 1, .records = labels, .labels = labels};
    struct fm_split split;
    fm_error_clear();
    assert_int_equal(fm_split_make(&samples, 3, &split), FM_DATA);
    assert_non_null(strstr(fm_error_message(), "at least 3"));
    samples.count = 3;
    fm_error_clear();
    assert_int_equal(fm_split_make(&samples, 2, &split), FM_DATA);
    assert_non_null(strstr(fm_error_message(), "sample 2 has the label 2, expected 0 to 1"));
    fm_error_clear();
    assert_int_equal(fm_split_make(&samples, 257, &split), FM_DATA);
    assert_null(split.train);
}

static void expect_close(const char *what, double found, double expected)
{
    if (isnan(found) || !(fabs(found - expected) <= 1e-14))
        fail_msg("%s: found %.17g, expected %.17g", what, found, expected);
}

static void pixel_statistics_are_exact(void **state)
{
    (void)state;
    double mean = NAN, deviation = NAN;
    // Records longer than the block in which pixels are summed, and the largest sums.
    enum {
        SIZE = 10000,
        COUNT = 4
    };
    uint8_t *records = malloc((size_t)SIZE * COUNT);
    assert_non_null(records);
    memset(records, 255, (size_t)SIZE * COUNT);
    memset(records + SIZE, 0, SIZE);
    struct fm_samples samples = {.count = COUNT, .record_size = SIZE, .records = records};
    const uint32_t ones[] = {0, 2, 3}, half[] = {0, 1};
    fm_pixel_statistics(&samples, ones, 3, &mean, &deviation);
    expect_close("mean of white", mean, 1);
    expect_close("deviation of white", deviation, 0);
    fm_pixel_statistics(&samples, half, 2, &mean, &deviation);
    expect_close("mean of half", mean, 0.5);
    expect_close("deviation of half", deviation, 0.5);

    // Against the definition, in double.
    double sum = 0, squares = 0;
    for (int i = 0; i < SIZE * COUNT; i++) {
        records[i] = (uint8_t)((unsigned)i * 2654435761u >> 24);
        sum += records[i] / 255.0;
    }
    for (int i = 0; i < SIZE * COUNT; i++)
        squares += pow(records[i] / 255.0 - sum / (SIZE * COUNT), 2);
    const uint32_t all[] = {3, 1, 0, 2};
    fm_pixel_statistics(&samples, all, COUNT, &mean, &deviation);
    assert_true(fabs(mean - sum / (SIZE * COUNT)) < 1e-12);
    assert_true(fabs(deviation - sqrt(squares / (SIZE * COUNT))) < 1e-12);
    free(records);
}

// Of what is trained on and of nothing else: a sample held out does not count.
static void the_split_has_the_statistics_of_its_training_part(void **state)
{
    (void)state;
    const uint8_t labels[] = {0, 1, 0, 1};
    uint8_t records[] = {10, 10, 10, 10};
    struct fm_samples samples = {
        .count = 4, .record_size = 1, .records = records, .labels = labels};
    struct fm_split split;
    assert_int_equal(fm_split_make(&samples, 2, &split), FM_OK);
    assert_int_equal(split.train_count, 2);
    records[split.train[0]] = 51;
    records[split.train[1]] = 153;
    fm_split_free(&split);
    assert_int_equal(fm_split_make(&samples, 2, &split), FM_OK);
    expect_close("mean", split.mean, 0.4);
    expect_close("deviation", split.deviation, 0.2);
    fm_split_free(&split);
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void all_samples_are_trained_on_when_asked(void **state)
{
    (void)state;
    static const uint8_t records[12] = {0, 255, 7, 7, 100, 200, 3, 90, 91, 92, 1, 250};
    static const uint8_t labels[4] = {1, 0, 2, 1};
    static const struct fm_samples samples = {4, 3, records, labels};
    struct fm_split split;
    double mean = 0, squares = 0;
    fm_error_clear();
    assert_int_equal(fm_split_all(&samples, 3, &split), FM_OK);
    assert_int_equal(split.train_count, 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(split.train[i], i);
    assert_int_equal(split.select_count + split.calibrate_count, 0);
    for (int i = 0; i < 12; i++)
        mean += records[i] / 255.0 / 12;
    for (int i = 0; i < 12; i++)
        squares += pow(records[i] / 255.0 - mean, 2) / 12;
    assert_true(fabs(split.mean - mean) < 1e-12); // of all of them
    assert_true(fabs(split.deviation - sqrt(squares)) < 1e-12);
    fm_split_free(&split);
    fm_split_free(&split);

    assert_int_equal(fm_split_all(&samples, 2, &split), FM_DATA);
    assert_non_null(strstr(fm_error_message(), "sample 2 has the label 2, expected 0 to 1"));
    assert_null(split.train);
    fm_error_clear();
    static const struct fm_samples few = {2, 3, records, labels};
    assert_int_equal(fm_split_all(&few, 3, &split), FM_DATA);
    fm_error_clear();
}

// Against the C library's sort. Some ids occur twice, in place: `out` may be `ids`.
static void an_order_is_that_of_the_draws(void **state)
{
    (void)state;
    enum {
        COUNT = 70000
    };
    uint32_t *ids = malloc(COUNT * sizeof *ids);
    uint64_t *keys = malloc(COUNT * sizeof *keys);
    assert_true(ids && keys);
    for (uint32_t i = 0; i < COUNT; i++) {
        ids[i] = i * 7919u % 65521u;
        keys[i] = fm_draw64(3, 5, ids[i], FM_STREAM_SHUFFLE);
    }
    qsort(keys, COUNT, sizeof *keys, compare_keys);
    assert_int_equal(fm_order_by_draw(ids, COUNT, 3, 5, FM_STREAM_SHUFFLE, ids), FM_OK);
    for (uint32_t i = 0; i < COUNT; i++)
        if (fm_draw64(3, 5, ids[i], FM_STREAM_SHUFFLE) != keys[i])
            fail_msg("id %u at %u is out of order", ids[i], i);
    assert_int_equal(fm_order_by_draw(NULL, 0, 3, 5, FM_STREAM_SHUFFLE, NULL), FM_OK);
    free(keys);
    free(ids);
}

static void fashion_mnist_has_its_known_statistics(void **state)
{
    (void)state;
    struct fm_dataset dataset;
    double mean = NAN, deviation = NAN;
    if (!fm_path_is_dir("/usr/share/datasets/fashion-mnist"))
        skip();
    assert_int_equal(fm_dataset_open("/usr/share/datasets/fashion-mnist", &dataset), FM_OK);
    uint32_t *all = malloc(dataset.train.count * sizeof *all);
    assert_non_null(all);
    for (uint32_t i = 0; i < dataset.train.count; i++)
        all[i] = i;
    fm_pixel_statistics(&dataset.train, all, dataset.train.count, &mean, &deviation);
    assert_true(fabs(mean - 0.2860) < 5e-5); // the figures in common use
    assert_true(fabs(deviation - 0.3530) < 5e-5);
    free(all);
    fm_dataset_close(&dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sixty_thousand_are_54_3_3),
        cmocka_unit_test(the_split_is_the_same_everywhere),
        cmocka_unit_test(members_come_from_all_over),
        cmocka_unit_test(unequal_classes_are_in_proportion),
        cmocka_unit_test(small_sets_are_split_too),
        cmocka_unit_test(rare_classes_are_trained_on),
        cmocka_unit_test(what_cannot_be_split_is_refused),
        cmocka_unit_test(pixel_statistics_are_exact),
        cmocka_unit_test(the_split_has_the_statistics_of_its_training_part),
        cmocka_unit_test(all_samples_are_trained_on_when_asked),
        cmocka_unit_test(an_order_is_that_of_the_draws),
        cmocka_unit_test(fashion_mnist_has_its_known_statistics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
