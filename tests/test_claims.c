// The claims table and the comparison table from results as result.json holds them: the original's
// figures beside the right measurements, and "not measured" where there are none.
#include "app/compare/claims.h"
#include "app/compare/compare.h"
#include "app/data_label.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static json_t *make_result(
    const char *model, int parameters, double train, double select, double test)
{
    json_t *result = json_pack("{s:s, s:i, s:f, s:i, s:f, s:f, s:f, s:f, s:i, s:i, s:i, s:b, s:I}",
        "model", model, "parameters", parameters, "train_accuracy", train, "train_eval_count", 3000,
        "select_accuracy", select, "gap", train - select, "seconds", 83.0, "images_per_second",
        1295.2, "epochs", 2, "epochs_planned", 2, "images", 108000, "ended_early", 0, "peak_memory",
        (json_int_t)512 * 1024 * 1024);
    assert_non_null(result);
    json_object_set_new(result, "epoch_images", json_integer(54000));
    json_object_set_new(result, "precision", json_string("bf16"));
    json_object_set_new(result, "emulate", json_true());
    json_object_set_new(result, "test",
        json_pack("{s:f, s:[{s:s, s:s, s:i, s:f}]}", "accuracy", test, "most_confused", "actual",
            "Shirt", "predicted", "T-shirt/top", "count", 112, "share", 0.112));
    json_object_set_new(result, "latency", json_pack("{s:f}", "p50", 0.00123));
    json_object_set_new(result, "data",
        json_pack(
            "{s:s, s:b, s:i}", "name", "Fashion-MNIST", "fashion_mnist", 1, "train_images", 54000));
    return result;
}

static struct fm_table *claims_with(
    json_t *const *results, int count, const char *label, const char *weights)
{
    struct fm_table *table;
    struct fm_claims_context context = {results, count, label, "fmnist compare", weights, NULL};
    assert_int_equal(fm_claims_table(&context, &table), FM_OK);
    return table;
}

static struct fm_table *claims_of(json_t *const *results, int count, const char *label)
{
    return claims_with(results, count, label, NULL);
}

// The row of a figure and a model; `model` NULL for figures of none.
static json_t *row_of(json_t *rows, const char *subject, const char *model)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const char *s = json_string_value(json_object_get(row, "subject"));
        const char *m = json_string_value(json_object_get(row, "model"));
        if (strcmp(s, subject) == 0 && (m ? model && strcmp(m, model) == 0 : !model))
            return row;
    }
    return NULL;
}

static void expect(json_t *rows, const char *subject, const char *model, const char *aim,
    const char *claim, const char *measured)
{
    json_t *row = row_of(rows, subject, model);
    const char *keys[] = {"aim", "claim", "measured"}, *values[] = {aim, claim, measured};
    if (!row)
        fail_msg("no row '%s', %s", subject, model ? model : "no model");
    for (int i = 0; i < 3; i++) {
        const char *found = json_string_value(json_object_get(row, keys[i]));
        if (values[i] ? !found || strcmp(found, values[i]) != 0 : found != NULL)
            fail_msg("'%s', %s, %s: found %s, expected %s", subject, model ? model : "no model",
                keys[i], found ? found : "null", values[i] ? values[i] : "null");
    }
    const char *command = json_string_value(json_object_get(row, "command"));
    if (strcmp(measured, "not measured") == 0)
        assert_null(command);
    else
        assert_string_equal(command, "fmnist compare");
}

static void test_measured_beside_claimed(void **state)
{
    (void)state;
    json_t *results[2] = {make_result("deeper", 3770442, 0.9521, 0.9283, 0.9246),
        make_result("simple", 1199882, 0.931, 0.915, 0.9123)};
    struct fm_table *table = claims_of(results, 2, NULL);
    json_t *rows = fm_table_json(table);
    expect(rows, "test accuracy", "simple", "above 90 %", "87.0 %", "91.23 %");
    expect(rows, "test accuracy", "deeper", "above 90 %", "87.0 %", "92.46 %");
    expect(rows, "test accuracy", "vgg16", "above 90 %", "87.0 %", "not measured");
    expect(rows, "validation accuracy", "simple", NULL, "91.8 %", "91.50 %");
    expect(rows, "validation accuracy", "deeper", NULL, "91.9 %", "92.83 %");
    expect(rows, "validation accuracy", "vgg16", NULL, "87.0 %", "not measured");
    expect(rows, "training accuracy", "deeper", NULL, "93.7 %", "95.21 %");
    expect(rows, "train-validation gap", "deeper", NULL, "1.8 %", "2.38 points");
    expect(rows, "parameters", "simple", NULL, "1.2 M", "1,199,882");
    expect(rows, "inference, one image", "simple", "under 20 ms", "under 10 ms",
        "1.23 ms, batch 1, median");
    expect(rows, "worst confusion", "simple", NULL, "Coat against Pullover",
        "Shirt taken for T-shirt/top");
    expect(rows, "training speed-up, mixed precision", NULL, NULL, "4.8x", "not measured");
    expect(rows, "labelling cost", NULL, NULL, "down 60-70 %, simulated", "not measured");
    assert_null(row_of(rows, "test accuracy", "simple-ref"));
    json_decref(rows);
    fm_table_free(table);
    json_decref(results[0]);
    json_decref(results[1]);
}

// What other threads took is told with each time, and with no other figure.
static void test_times_measured_elsewhere(void **state)
{
    (void)state;
    json_t *results[2] = {make_result("deeper", 3770442, 0.9521, 0.9283, 0.9246),
        make_result("simple", 1199882, 0.931, 0.915, 0.9123)};
    static const char *const elsewhere[] = {"", "with 32 threads on X"};
    struct fm_claims_context context = {results, 2, NULL, "fmnist compare", NULL, elsewhere};
    struct fm_table *table;
    assert_int_equal(fm_claims_table(&context, &table), FM_OK);
    json_t *rows = fm_table_json(table);
    const char *aim = "under 20 ms", *claim = "under 10 ms", *one = "inference, one image";
    expect(rows, one, "deeper", aim, claim, "1.23 ms, batch 1, median");
    expect(rows, one, "simple", aim, claim, "1.23 ms, batch 1, median (with 32 threads on X)");
    expect(rows, "test accuracy", "simple", "above 90 %", "87.0 %", "91.23 %");
    json_decref(rows);
    fm_table_free(table);
    json_decref(results[0]);
    json_decref(results[1]);
}

// The command is one for all figures: people read it once, above the table.
static void test_people_read_no_commands(void **state)
{
    (void)state;
    json_t *result = make_result("simple", 1199882, 0.931, 0.915, 0.9123);
    struct fm_claims_context context = {&result, 1, NULL, "fmnist compare", NULL, NULL};
    struct fm_table *table;
    assert_int_equal(fm_claims_shown(&context, &table), FM_OK);
    json_t *rows = fm_table_json(table), *row = row_of(rows, "test accuracy", "simple");
    assert_non_null(row);
    assert_int_equal(json_object_size(row), 5);
    assert_null(json_object_get(row, "command"));
    assert_string_equal(json_string_value(json_object_get(row, "measured")), "91.23 %");
    assert_int_equal(json_array_size(rows), 8 * 3 + 2);
    json_decref(rows);
    fm_table_free(table);
    json_decref(result);
}

static void test_other_data_is_labelled(void **state)
{
    (void)state;
    json_t *results[1] = {make_result("simple-ref", 923914, 0.9, 0.7, 0.725)};
    struct fm_table *table = claims_of(results, 1, "tiny");
    json_t *rows = fm_table_json(table);
    expect(rows, "test accuracy", "simple-ref", "above 90 %", "87.0 %", "72.50 % (tiny)");
    expect(rows, "parameters", "simple-ref", NULL, "1.2 M", "923,914 (tiny)");
    expect(rows, "test accuracy", "simple", "above 90 %", "87.0 %", "not measured");
    json_decref(rows);
    fm_table_free(table);
    json_decref(results[0]);
}

// A vgg16 without ImageNet's weights and a run that was cut short are told at every figure.
static void test_what_is_no_like_for_like_is_labelled(void **state)
{
    (void)state;
    json_t *results[2] = {make_result("vgg16", 14848586, 0.9, 0.88, 0.87),
        make_result("simple", 1199882, 0.931, 0.915, 0.9123)};
    json_object_set_new(results[1], "ended_early", json_true());
    json_object_set_new(results[1], "epochs_planned", json_integer(15));
    struct fm_table *table = claims_of(results, 2, NULL);
    json_t *rows = fm_table_json(table);
    expect(rows, "test accuracy", "vgg16", "above 90 %", "87.0 %", "87.00 % (from scratch)");
    expect(rows, "parameters", "vgg16", NULL, "14.7 M", "14,848,586 (from scratch)");
    expect(rows, "test accuracy", "simple", "above 90 %", "87.0 %",
        "91.23 % (ended at epoch 2 of 15)");
    json_decref(rows);
    fm_table_free(table);

    json_object_set_new(results[0], "ended_early", json_true());
    table = claims_of(results, 1, "tiny");
    rows = fm_table_json(table);
    expect(rows, "test accuracy", "vgg16", "above 90 %", "87.0 %",
        "87.00 % (from scratch; ended at epoch 2 of 2; tiny)");
    json_decref(rows);
    fm_table_free(table);
    json_decref(results[0]);
    json_decref(results[1]);
}

static json_t *make_transfer(const char *mode, double test)
{
    json_t *result = make_result("vgg16", 14848586, 0.9, 0.88, test);
    bool frozen = strcmp(mode, "frozen") == 0;
    json_object_set_new(result, "transfer",
        json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "mode", mode, "weights", "/w/vgg16.h5",
            "sha256", "0123", "source", "keras", "unfreeze",
            frozen ? json_null() : json_string("last"), "base_rate",
            frozen ? json_null() : json_real(0.1), "feature_views",
            frozen ? json_integer(0) : json_null()));
    json_object_set_new(result, "input_size", json_null());
    return result;
}

static void expect_vgg16(
    json_t *const *results, int count, const char *weights, const char *measured)
{
    struct fm_table *table = claims_with(results, count, NULL, weights);
    json_t *rows = fm_table_json(table);
    expect(rows, "test accuracy", "vgg16", "above 90 %", "87.0 %", measured);
    assert_int_equal(json_array_size(rows), 8 * 3 + 2); // the fine-tuned one has no claim
    json_decref(rows);
    fm_table_free(table);
}

// The original's vgg16 has a frozen base: in whatever order they come, that row stands beside its
// claims, and is told where it is another thing.
static void test_a_frozen_base_is_held_against_the_original(void **state)
{
    (void)state;
    json_t *tuned = make_transfer("finetune", 0.93), *frozen = make_transfer("frozen", 0.86);
    json_t *scratch = make_result("vgg16", 14848586, 0.9, 0.88, 0.91);
    json_t *results[3] = {tuned, scratch, frozen};
    expect_vgg16(results, 3, "Keras's VGG16", "86.00 %");
    expect_vgg16(results, 3, "", "86.00 % (frozen base of no known ImageNet weights)");
    expect_vgg16(results, 2, NULL, "91.00 % (from scratch)");
    expect_vgg16(results, 1, "Keras's VGG16", "not measured");
    json_object_set_new(json_object_get(frozen, "transfer"), "feature_views", json_integer(8));
    json_object_set_new(frozen, "input_size", json_integer(64));
    expect_vgg16(results, 3, "Keras's VGG16", "86.00 % (on 8 augmented views; at 64x64 pixels)");
    for (int i = 0; i < 3; i++)
        json_decref(results[i]);
}

static void expect_row(const json_t *rows, size_t index, const char *mode, const char *note)
{
    const json_t *row = json_array_get(rows, index);
    assert_string_equal(json_string_value(json_object_get(row, "model")), "vgg16");
    assert_string_equal(json_string_value(json_object_get(row, "mode")), mode);
    assert_string_equal(json_string_value(json_object_get(row, "note")), note);
}

// Rows of one model are told apart by programs and people.
static void test_rows_of_one_model(void **state)
{
    (void)state;
    json_t *results[3] = {make_transfer("frozen", 0.86), make_transfer("finetune", 0.93),
        make_result("vgg16", 14848586, 0.9, 0.88, 0.91)};
    json_object_set_new(json_object_get(results[0], "transfer"), "feature_views", json_integer(8));
    json_object_set_new(results[1], "input_size", json_integer(48));
    struct fm_table *table;
    assert_int_equal(fm_compare_table(results, 3, &table), FM_OK);
    json_t *rows = fm_table_json(table);
    expect_row(
        rows, 0, "frozen", "base of vgg16.h5 (keras), frozen, its features of 8 augmented views");
    expect_row(rows, 1, "finetune",
        "fine-tuned from vgg16.h5 (keras): the last block and the head, the base at 0.1 times the "
        "rate; images of 48x48 pixels");
    expect_row(rows, 2, "scratch", "from scratch, no ImageNet weights");
    assert_string_equal(fm_table_text(table, 0, 0), "vgg16-frozen");
    assert_string_equal(fm_table_text(table, 1, 0), "vgg16-finetuned");
    assert_string_equal(fm_table_text(table, 2, 0), "vgg16");
    json_decref(rows);
    fm_table_free(table);
    for (int i = 0; i < 3; i++)
        json_decref(results[i]);
}

// A result that lacks everything must not become a figure.
static void test_empty_result_measures_nothing(void **state)
{
    (void)state;
    json_t *results[1] = {json_pack("{s:s}", "model", "simple")};
    struct fm_table *table = claims_of(results, 1, NULL), *comparison;
    json_t *rows = fm_table_json(table);
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
        assert_string_equal(json_string_value(json_object_get(row, "measured")), "not measured");
    assert_int_equal(json_array_size(rows), 8 * 3 + 2);
    json_decref(rows);
    fm_table_free(table);

    assert_int_equal(fm_compare_table(results, 1, &comparison), FM_OK);
    rows = fm_table_json(comparison);
    assert_true(json_is_null(json_object_get(json_array_get(rows, 0), "test_accuracy")));
    assert_true(json_is_null(json_object_get(json_array_get(rows, 0), "peak_memory")));
    struct fm_text text = {0};
    assert_int_equal(fm_table_print(comparison, FM_FORMAT_MARKDOWN, &text), FM_OK);
    assert_non_null(strstr(fm_text_cstr(&text), "not measured"));
    fm_text_free(&text);
    json_decref(rows);
    fm_table_free(comparison);
    json_decref(results[0]);
}

static void test_comparison_row(void **state)
{
    (void)state;
    json_t *result = make_result("vgg16", 14848586, 0.9521, 0.9283, 0.9246);
    json_object_set_new(result, "ended_early", json_true());
    json_object_set_new(result, "epochs", json_integer(1));
    json_object_set_new(result, "max_minutes", json_real(2.5));
    json_object_set_new(result, "recipe", json_string("quick, changed"));
    json_object_set_new(result, "recipe_changes",
        json_pack("{s:i, s:s, s:f}", "epochs", 2, "keep", "best", "learning_rate", 1e-4));
    struct fm_table *table, *tall;
    struct fm_text text = {0};
    assert_int_equal(fm_compare_table(&result, 1, &table), FM_OK);
    assert_int_equal(fm_table_transpose(table, "note", &tall), FM_OK);
    assert_int_equal(fm_table_print(tall, FM_FORMAT_TEXT, &text), FM_OK);
    assert_string_equal(fm_text_cstr(&text), "model                                  vgg16\n"
                                             "--------------  ----------------------------\n"
                                             "parameters                        14,848,586\n"
                                             "precision                  bf16, by rounding\n"
                                             "train                                95.21 %\n"
                                             "train images                           3,000\n"
                                             "selection                            92.83 %\n"
                                             "test                                 92.46 %\n"
                                             "gap                              2.38 points\n"
                                             "training time                     1 min 23 s\n"
                                             "images/s                                1295\n"
                                             "latency                              1.23 ms\n"
                                             "peak memory                          512 MiB\n"
                                             "most confused   Shirt as T-shirt/top, 11.2 %\n"
                                             "epochs                                1 of 2\n"
                                             "split an epoch                          1.00\n"
                                             "images trained                       108,000\n");
    json_t *rows = fm_table_json(table), *row = json_array_get(rows, 0);
    assert_string_equal(json_string_value(json_object_get(row, "precision")), "bf16, by rounding");
    assert_string_equal(json_string_value(json_object_get(row, "note")),
        "from scratch, no ImageNet weights; ended at epoch 1 of 2 by --max-minutes 2.5; recipe "
        "quick, changed: epochs 2, keep best, learning_rate 0.0001");
    json_decref(rows);
    fm_text_free(&text);
    fm_table_free(tall);
    fm_table_free(table);
    json_decref(result);
}

static void test_data_label(void **state)
{
    (void)state;
    static const struct {
        const char *directory, *label;
    } cases[] = {{"data/tiny", "tiny"}, {"/sets/kmnist//", "kmnist"}, {"mnist", "mnist"},
        {"/", "/"}, {"..", ".."}};
    static struct fm_dataset dataset;
    char label[FM_PATH_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(dataset.directory, sizeof dataset.directory, "%s", cases[i].directory);
        fm_data_label(&dataset, label);
        assert_string_equal(label, cases[i].label);
    }
    dataset.fashion_mnist = true;
    fm_data_label(&dataset, label);
    assert_string_equal(label, "Fashion-MNIST");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measured_beside_claimed),
        cmocka_unit_test(test_times_measured_elsewhere),
        cmocka_unit_test(test_people_read_no_commands),
        cmocka_unit_test(test_other_data_is_labelled),
        cmocka_unit_test(test_what_is_no_like_for_like_is_labelled),
        cmocka_unit_test(test_a_frozen_base_is_held_against_the_original),
        cmocka_unit_test(test_rows_of_one_model),
        cmocka_unit_test(test_empty_result_measures_nothing),
        cmocka_unit_test(test_comparison_row),
        cmocka_unit_test(test_data_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
