// What an audit makes of near duplicates: counts by part, folds that keep them together, and what
// it says of pairs that the list has not got.
#include "app/audit/auditing_parts.h"

#include "base/log.h"
#include "data/folds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"

enum {
    TRAIN = 60,
    TEST = 4,
    CLASSES = 3,
    FOLDS = 3
};

static uint8_t train_records[TRAIN][FM_IMAGE_BYTES], test_records[TEST][FM_IMAGE_BYTES];
static uint8_t train_labels[TRAIN], test_labels[TEST], fold[TRAIN];
static uint32_t select_ids[2] = {3, 20}, calibrate_ids[2] = {7, 21};
static char *const names[CLASSES] = {"Bag", "Coat", "Shirt"};
static struct fm_dataset dataset;
static struct fm_split split;
static struct fm_audit audit;
static const struct fm_audit_options options = {.folds = FOLDS};
static struct fm_auditing all;

// A square of its own for each image, its left side brighter: no two have a pixel in common, nor
// when one is mirrored or moved by a pixel all of them.
static void draw(uint8_t *record, int number)
{
    int row = number / 9 * 3, column = number % 9 * 3;
    memset(record, 0, FM_IMAGE_BYTES);
    for (int i = 0; i < 4; i++)
        record[(row + i / 2) * FM_IMAGE_SIDE + column + i % 2] = i % 2 ? 40 : 200;
}

// Images in which nothing is near anything, as they are before a test makes some the same.
static int set_up(void **state)
{
    (void)state;
    for (int i = 0; i < TRAIN; i++) {
        draw(train_records[i], i);
        train_labels[i] = (uint8_t)(i % CLASSES);
    }
    for (int i = 0; i < TEST; i++) {
        draw(test_records[i], TRAIN + i);
        test_labels[i] = (uint8_t)(i % CLASSES);
    }
    dataset = (struct fm_dataset){
        .train = {TRAIN, FM_IMAGE_BYTES, train_records[0], train_labels},
        .test = {TEST, FM_IMAGE_BYTES, test_records[0], test_labels},
        .classes = CLASSES,
    };
    memcpy(dataset.class_names, names, sizeof names);
    split = (struct fm_split){
        .select = select_ids, .select_count = 2, .calibrate = calibrate_ids, .calibrate_count = 2};
    audit = (struct fm_audit){.dataset = &dataset,
        .split = &split,
        .directory = "folder",
        .classes = CLASSES,
        .folds = FOLDS,
        .seed = 1,
        .count = TRAIN,
        .labels = train_labels,
        .fold = fold};
    all = (struct fm_auditing){.options = &options, .audit = &audit};
    assert_ok(fm_folds_make(train_labels, TRAIN, CLASSES, NULL, FOLDS, audit.seed, fold));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fm_near_free(&audit.near);
    free(all.unit);
    return 0;
}

static void expect_overlap(enum fm_audit_part part, enum fm_audit_part other, unsigned images,
    unsigned pairs, unsigned identical, unsigned conflicts)
{
    const struct fm_audit_overlap *found = &audit.overlaps[other][part];
    if (found->images != images || found->pairs != pairs || found->identical != identical ||
        found->conflicts != conflicts)
        fail_msg("%s in %s: %u images, %u pairs, %u identical, %u with different labels; expected "
                 "%u, %u, %u, %u",
            fm_audit_part_names[part], fm_audit_part_names[other], (unsigned)found->images,
            (unsigned)found->pairs, (unsigned)found->identical, (unsigned)found->conflicts, images,
            pairs, identical, conflicts);
}

// Of an image that stands in select, train and test, none stands for the others.
static void test_copies_count_in_each_part(void **state)
{
    (void)state;
    memcpy(train_records[5], train_records[3], FM_IMAGE_BYTES); // 3 is to select on
    memcpy(test_records[1], train_records[3], FM_IMAGE_BYTES);
    train_labels[3] = 0;
    train_labels[5] = 0;
    test_labels[1] = 0;
    assert_ok(fm_audit_find_duplicates(&all));
    expect_overlap(FM_AUDIT_TEST, FM_AUDIT_TRAIN, 1, 1, 1, 0);
    expect_overlap(FM_AUDIT_TEST, FM_AUDIT_SELECT, 1, 1, 1, 0);
    expect_overlap(FM_AUDIT_SELECT, FM_AUDIT_TRAIN, 1, 1, 1, 0);
    expect_overlap(FM_AUDIT_TEST, FM_AUDIT_TEST, 0, 0, 0, 0);
    expect_overlap(FM_AUDIT_TRAIN, FM_AUDIT_TRAIN, 0, 0, 0, 0);
    assert_int_equal(audit.leaked, 1);
    assert_int_equal(audit.overlap.pairs, 3);
    assert_int_equal(audit.near.count, 2);
}

// The labels of the second and the third copy differ, whatever the first has.
static void test_labels_of_later_copies_are_compared(void **state)
{
    (void)state;
    memcpy(train_records[5], train_records[3], FM_IMAGE_BYTES);
    memcpy(test_records[1], train_records[3], FM_IMAGE_BYTES);
    memcpy(test_records[2], train_records[3], FM_IMAGE_BYTES);
    train_labels[3] = 0;
    train_labels[5] = 1;
    test_labels[1] = 0;
    test_labels[2] = 2;
    assert_ok(fm_audit_find_duplicates(&all));
    expect_overlap(FM_AUDIT_TEST, FM_AUDIT_TRAIN, 2, 2, 2, 2);
    expect_overlap(FM_AUDIT_TEST, FM_AUDIT_SELECT, 2, 2, 2, 1);
    expect_overlap(FM_AUDIT_TEST, FM_AUDIT_TEST, 2, 1, 1, 1);
    expect_overlap(FM_AUDIT_SELECT, FM_AUDIT_TRAIN, 1, 1, 1, 1);
    assert_int_equal(audit.overlap.conflicts, 5);
}

// Copies of one near copies of another, here brighter by a little.
static void test_groups_that_are_near(void **state)
{
    (void)state;
    memcpy(train_records[9], train_records[8], FM_IMAGE_BYTES);
    for (int i = 0; i < FM_IMAGE_BYTES; i++)
        train_records[7][i] = test_records[0][i] = (uint8_t)(train_records[8][i] * 3 / 4);
    assert_ok(fm_audit_find_duplicates(&all));
    expect_overlap(FM_AUDIT_TRAIN, FM_AUDIT_TRAIN, 2, 1, 1, 1); // 8 and 9
    expect_overlap(FM_AUDIT_CALIBRATE, FM_AUDIT_TRAIN, 1, 2, 0, 2);
    expect_overlap(FM_AUDIT_TEST, FM_AUDIT_CALIBRATE, 1, 1, 1, 1);
    expect_overlap(FM_AUDIT_TEST, FM_AUDIT_TRAIN, 1, 2, 0, 1);
    assert_int_equal(audit.leaked, 1);
}

static void test_folds_keep_duplicates_together(void **state)
{
    (void)state;
    uint8_t apart[TRAIN];
    uint32_t sizes[FOLDS] = {0};
    memcpy(apart, fold, TRAIN);
    for (uint32_t i = 0; i < 10; i++) // of the same class
        memcpy(train_records[30 + i], train_records[i], FM_IMAGE_BYTES);
    train_labels[2] = train_labels[32] = 1; // the same wrong label
    assert_ok(fm_audit_find_duplicates(&all));
    assert_ok(fm_audit_keep_together(&all));
    uint32_t were_apart = 0;
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(fold[i], fold[30 + i]);
        were_apart += apart[i] != apart[30 + i];
    }
    assert_true(were_apart > 0);
    for (uint32_t i = 0; i < TRAIN; i++)
        sizes[fold[i]]++;
    for (int k = 0; k < FOLDS; k++)
        assert_in_range(sizes[k], TRAIN / FOLDS - 1, TRAIN / FOLDS + 1);
}

static char warned[300];

static void note_nothing(const char *line)
{
    (void)line;
}

static void note_warning(const char *line)
{
    snprintf(warned, sizeof warned, "%s", line);
}

// Three quarters of a class are one image: a fold has them all, and that is said.
static void test_tells_of_folds_that_are_uneven(void **state)
{
    (void)state;
    static const struct fm_log_sink sink = {note_nothing, note_warning, note_nothing};
    for (uint32_t i = 3; i <= 42; i += 3)
        memcpy(train_records[i], train_records[0], FM_IMAGE_BYTES);
    assert_ok(fm_audit_find_duplicates(&all));
    fm_log_set_sink(&sink);
    enum fm_status status = fm_audit_keep_together(&all);
    fm_log_set_sink(&fm_log_own_sink);
    assert_ok(status);
    assert_non_null(strstr(warned, "fold 1 has 15 of the 20 images labelled \"Bag\""));
}

// Nothing is near anything but by way of a test image, which no network is trained on.
static void test_other_folds_stay_as_they_were(void **state)
{
    (void)state;
    uint8_t before[TRAIN];
    memcpy(before, fold, TRAIN);
    memcpy(test_records[0], train_records[10], FM_IMAGE_BYTES);
    all.from_before = true;
    assert_ok(fm_audit_find_duplicates(&all));
    assert_int_equal(audit.leaked, 1);
    assert_ok(fm_audit_keep_together(&all));
    assert_memory_equal(fold, before, TRAIN);
}

static void test_folds_from_before_that_are_others(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 10; i++)
        memcpy(train_records[30 + i], train_records[i], FM_IMAGE_BYTES);
    all.from_before = true;
    assert_ok(fm_audit_find_duplicates(&all));
    assert_fails(
        fm_audit_keep_together(&all), FM_EXISTS, "folder: holds folds of an earlier version");
}

// ---- Words

static void expect_unlisted(const char *sentence)
{
    struct fm_text text = {0};
    assert_true(fm_audit_unlisted(&audit) > 0);
    fm_audit_append_unlisted(&audit, &text);
    assert_string_equal(fm_text_cstr(&text), sentence);
    fm_text_free(&text);
}

static void test_says_what_is_not_listed(void **state)
{
    (void)state;
    audit.near.count = 1000000;
    audit.overlap.pairs = 1000000;
    assert_int_equal(fm_audit_unlisted(&audit), 0);
    audit.near.dropped = 25;
    audit.overlap.pairs = 1000025;
    expect_unlisted(
        "duplicates.csv lists 1,000,000 of these 1,000,025 pairs: it has no room for 25.");
    audit.overlap.pairs = 1234567;
    expect_unlisted("duplicates.csv lists 1,000,000 of these 1,234,567 pairs: of identical images "
                    "the first stands for the others there, and it has no room for 25.");
    audit.near.dropped = 0;
    expect_unlisted("duplicates.csv lists 1,000,000 of these 1,234,567 pairs: of identical images "
                    "the first stands for the others there.");
    audit.near.count = 0;
}

// The table and the JSON have the same number, and it is that of all pairs.
static void test_figures_agree(void **state)
{
    (void)state;
    struct fm_table *table;
    audit.overlap.pairs = 1000025;
    audit.near.dropped = 25;
    assert_ok(fm_audit_summary(&audit, &table));
    bool found = false;
    for (int k = 0; k < fm_table_columns(table); k++)
        if (strcmp(fm_table_column(table, k).key, "pairs") == 0) {
            assert_string_equal(fm_table_text(table, 0, k), "1,000,025");
            assert_int_equal(json_integer_value(fm_table_value(table, 0, k)), 1000025);
            found = true;
        }
    assert_true(found);
    fm_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_copies_count_in_each_part, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_labels_of_later_copies_are_compared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_groups_that_are_near, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_folds_keep_duplicates_together, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tells_of_folds_that_are_uneven, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_folds_stay_as_they_were, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_folds_from_before_that_are_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_says_what_is_not_listed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_figures_agree, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
