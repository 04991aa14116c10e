// The table of trainings: the mean and the deviation of figures that were made up.
#include "app/train/train_table.h"

#include "app/remarks.h"
#include "run/json.h"
#include "scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"

static char root[FM_PATH_MAX];

static int set_up(void **state)
{
    (void)state;
    scratch_make(root, "table");
    fm_error_clear();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(root);
    return 0;
}

static json_t *make_result(int seed, double test, double flip, double seconds)
{
    json_t *result = json_pack("{s:s, s:s, s:b, s:i, s:{s:f}, s:n, s:f, s:f, s:i, s:i, s:i, s:b, "
                               "s:{s:s, s:b, s:i, s:i}}",
        "model", "simple", "precision", "bf16", "emulate", 1, "seed", seed, "test", "accuracy",
        test, "select_accuracy", "train_accuracy", 0.5, "seconds", seconds, "epochs",
        seed == 2 ? 1 : 3, "kept_epoch", seed == 2 ? 1 : 3, "epochs_planned", 3, "ended_early",
        seed == 2, "data", "name", "Fashion-MNIST", "full", 1, "train_images", 60000,
        "select_images", 0);
    assert_non_null(result);
    if (!isnan(flip))
        json_object_set_new(result, "test_flip", json_pack("{s:f}", "accuracy", flip));
    return result;
}

static char *directories[] = {"runs/g/seed-1", "runs/g/seed-2", "runs/g/seed-3"};

// Means 0.93 and 20, deviations sqrt((9 + 1 + 16) / 2) hundredths and sqrt((100 + 0 + 100) / 2).
static void make_results(json_t *results[3])
{
    results[0] = make_result(1, 0.90, 0.91, 10);
    results[1] = make_result(2, 0.92, NAN, 20);
    results[2] = make_result(3, 0.97, 0.98, 30);
}

static void free_results(json_t *results[3])
{
    for (int i = 0; i < 3; i++)
        json_decref(results[i]);
}

static void expect_near(const json_t *object, const char *key, double expected)
{
    double found = fm_json_number(object, key);
    if (isnan(found) || !(fabs(found - expected) < 1e-12))
        fail_msg("%s: found %.17g, expected %.17g", key, found, expected);
}

static const double deviation = 0.036055512754639894; // sqrt(13) / 100

static void mean_and_deviation_are_those_of_a_sample(void **state)
{
    (void)state;
    json_t *results[3];
    struct fm_seeds seeds = {.group = true, .directories = directories, .count = 3};
    make_results(results);
    json_t *json = fm_train_json(&seeds, results);
    assert_non_null(json);
    json_t *runs = json_object_get(json, "runs");
    assert_int_equal(json_array_size(runs), 3);
    for (size_t i = 0; i < 3; i++) {
        json_t *run = json_array_get(runs, i);
        assert_string_equal(fm_json_string(run, "run"), directories[i]);
        assert_int_equal(json_object_del(run, "run"), 0);
        assert_true(json_equal(run, results[i]));
        assert_null(json_object_get(results[i], "run")); // the result itself is as it was
    }
    const json_t *mean = json_object_get(json, "mean");
    const json_t *spread = json_object_get(json, "deviation");
    expect_near(mean, "test_accuracy", 0.93);
    expect_near(spread, "test_accuracy", deviation);
    expect_near(mean, "training_seconds", 20);
    expect_near(spread, "training_seconds", 10);
    expect_near(mean, "train_accuracy", 0.5);
    expect_near(spread, "train_accuracy", 0);
    // One run without it, all runs without it.
    assert_true(json_is_null(json_object_get(mean, "test_flip_accuracy")));
    assert_true(json_is_null(json_object_get(spread, "test_flip_accuracy")));
    assert_true(json_is_null(json_object_get(mean, "select_accuracy")));
    json_decref(json);

    // A group of one has no deviation.
    const struct fm_seeds one = {.group = true, .directories = directories, .count = 1};
    json = fm_train_json(&one, results);
    expect_near(json_object_get(json, "mean"), "test_accuracy", 0.90);
    assert_true(json_is_null(json_object_get(json_object_get(json, "deviation"), "test_accuracy")));
    json_decref(json);

    const struct fm_seeds alone = {.directories = directories, .count = 1};
    json = fm_train_json(&alone, results);
    assert_string_equal(fm_json_string(json, "run"), directories[0]);
    assert_int_equal(json_integer_value(json_object_get(json, "seed")), 1);
    json_decref(json);
    free_results(results);
}

static void expect_rows(const char *text, const char *const *rows)
{
    for (int i = 0; rows[i]; i++)
        if (!strstr(text, rows[i]))
            fail_msg("\"%s\" is not in\n%s", rows[i], text);
}

static void the_table_tells_them_below_the_runs(void **state)
{
    (void)state;
    json_t *results[3];
    struct fm_table *table;
    struct fm_text text = {0};
    struct fm_seeds seeds = {.group = true, .directories = directories, .count = 3};
    assert_ok(fm_path_copy(seeds.directory, root));
    make_results(results);
    assert_ok(fm_train_table(&seeds, results, &table));
    assert_int_equal(fm_table_rows(table), 5);
    json_t *json = fm_table_json(table);
    const json_t *mean = json_array_get(json, 3), *spread = json_array_get(json, 4);
    assert_string_equal(fm_json_string(mean, "seed"), "mean");
    assert_string_equal(fm_json_string(spread, "seed"), "deviation");
    expect_near(mean, "test_accuracy", 0.93);
    expect_near(spread, "test_accuracy", deviation);
    expect_near(json_array_get(json, 1), "test_accuracy", 0.92);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(json, 1), "seed")), 2);
    assert_string_equal(fm_json_string(json_array_get(json, 1), "run"), directories[1]);
    assert_null(json_object_get(mean, "select_accuracy")); // a figure of none: no column
    json_decref(json);

    // The same in the group's folder, for people.
    assert_ok(fm_train_write_summary(&seeds, table));
    unsigned char *summary;
    char path[FM_PATH_MAX];
    assert_ok(fm_path_join(path, root, FM_SEEDS_SUMMARY));
    size_t size;
    assert_ok(fm_file_read(path, &summary, &size));
    static const char *const rows[] = {"| 90.00 % |", "| 93.00 % |", "| 3.61 points |",
        "| Fashion-MNIST, all 60,000 training images |", "| bf16, by rounding |", "| 1 | 3 | 1 |",
        "| 3 | 3 | 3 |", "| runs/g/seed-3 |", "| mean |", "| deviation |", NULL};
    expect_rows((const char *)summary, rows);
    assert_ok(fm_table_print(table, FM_FORMAT_MARKDOWN, &text));
    assert_string_equal((const char *)summary, fm_text_cstr(&text));
    fm_text_free(&text);
    // CSV says no less.
    assert_ok(fm_table_print(table, FM_FORMAT_CSV, &text));
    assert_non_null(strstr(fm_text_cstr(&text), "all 60,000 training images"));
    assert_non_null(strstr(fm_text_cstr(&text), "bf16, by rounding"));
    assert_non_null(strstr(fm_text_cstr(&text), ",epochs_planned,"));
    fm_text_free(&text);
    free(summary);
    fm_table_free(table);

    // A run alone; and that fp32's products were in TF32, which fp16 has none of.
    static const char *const precisions[] = {"fp16", "fp32"};
    for (int i = 0; i < 2; i++) {
        const struct fm_seeds alone = {.directories = directories, .count = 1};
        json_object_set_new(results[0], "precision", json_string(precisions[i]));
        json_object_set_new(results[0], "emulate", json_false());
        json_object_set_new(results[0], "tf32", json_true());
        assert_ok(fm_train_table(&alone, results, &table));
        assert_int_equal(fm_table_rows(table), 1);
        assert_ok(fm_table_print(table, FM_FORMAT_MARKDOWN, &text));
        bool told = strstr(fm_text_cstr(&text), "| fp32, products in TF32 |") != NULL;
        assert_int_equal(told, i == 1);
        fm_text_free(&text);
        fm_table_free(table);
    }
    free_results(results);
}

// Which epoch is kept, and on how many images it was chosen where these are few.
static void the_table_tells_a_choice_of_few_images(void **state)
{
    (void)state;
    static const struct {
        int images, kept;
        const char *cells, *remark;
    } cases[] = {
        {1, 1, "| 3 | 1 | 1 image |", "epoch 1 of 3 is kept, chosen on 1 image"},
        {99, 2, "| 3 | 2 | 99 images |", "epoch 2 of 3 is kept, chosen on 99 images"},
        {100, 1, "| 3 | 1 | runs/", ""},
        {99, 3, "| 3 | 3 | runs/", ""}, // --keep last would keep it, too
    };
    const struct fm_seeds alone = {.directories = directories, .count = 1};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *result = make_result(1, 0.9, NAN, 10), *data = json_object_get(result, "data");
        struct fm_table *table;
        struct fm_text text = {0}, remarks = {0};
        json_object_set_new(data, "full", json_false());
        json_object_set_new(data, "select_images", json_integer(cases[i].images));
        json_object_set_new(result, "kept_epoch", json_integer(cases[i].kept));
        assert_ok(fm_train_table(&alone, &result, &table));
        assert_ok(fm_table_print(table, FM_FORMAT_MARKDOWN, &text));
        expect_rows(fm_text_cstr(&text), (const char *const[]){cases[i].cells, NULL});
        fm_remarks_append(result, &remarks);
        assert_string_equal(fm_text_cstr(&remarks), cases[i].remark);
        fm_text_free(&remarks);
        fm_text_free(&text);
        fm_table_free(table);
        json_decref(result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            mean_and_deviation_are_those_of_a_sample, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_table_tells_them_below_the_runs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_table_tells_a_choice_of_few_images, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
