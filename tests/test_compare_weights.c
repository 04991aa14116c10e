// A comparison with weights that others have trained: the original's row, whose base is frozen, and
// the fine-tuned one beside it, told apart wherever they stand, and each found again for itself.
#include "app/compare/compare.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"
#include "torchvision_file.h"

#define SCRATCH_NAME "compare_weights"
#include "scratch_root.h"

enum {
    TRAIN_IMAGES = 60, // vgg16 is slow
    TEST_IMAGES = 20
};

static struct fm_engine engine;
static struct fm_dataset dataset, small;
static struct fm_split split;
static char *argv[] = {(char *)"build/fmnist", (char *)"compare", NULL};

static struct fm_compare_entry entry(int mode, const char *weights)
{
    struct fm_compare_entry e = {.model = "vgg16", .transfer = {.mode = mode}};
    assert_ok(fm_recipe_load("quick", e.model, &e.named));
    e.recipe = e.named;
    e.recipe.epochs = 1;
    e.recipe.epoch_images = 32;
    e.recipe.batch = 16;
    e.recipe.train_eval = 16;
    e.recipe.optimiser = FM_OPTIMISER_SGD; // which keeps the least
    e.recipe.keep = FM_KEEP_LAST;
    snprintf(e.transfer.weights, sizeof e.transfer.weights, "%s", weights);
    if (mode == FM_TRANSFER_FINETUNE)
        e.transfer.base_rate = 0.1;
    return e;
}

struct told {
    char names[4][FM_RUN_NAME_MAX];
    enum fm_row_source sources[4];
    int rows;
};

static void tell(void *context, int index, int count, const char *name, enum fm_row_source source,
    const char *directory)
{
    struct told *told = context;
    (void)directory;
    assert_true(index < count && count <= 4);
    snprintf(told->names[index], sizeof told->names[index], "%s", name);
    told->sources[index] = source;
    told->rows = index + 1;
}

static enum fm_status compare(const struct fm_compare_entry entries[2], const char *directory,
    int (*interrupted)(void), struct told *told, struct fm_comparison *comparison)
{
    const struct fm_compare_options options = {
        .entries = entries,
        .entry_count = 2,
        .seed = 1,
        .root = root,
        .directory = in_root(directory),
        .interrupted = interrupted,
        .row = tell,
        .row_context = told,
        .argc = 2,
        .argv = argv,
    };
    *told = (struct told){.rows = 0};
    return fm_compare(&engine, &small, &split, &options, comparison);
}

static const json_t *row_of(const struct fm_comparison *comparison, size_t index)
{
    return json_array_get(json_object_get(comparison->json, "models"), index);
}

static const char *string_of(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    if (!value)
        fail_msg("no text '%s'", key);
    return value;
}

static void expect_row(const struct fm_comparison *comparison, size_t index, const char *mode)
{
    const json_t *row = row_of(comparison, index), *transfer = json_object_get(row, "transfer");
    assert_string_equal(string_of(row, "model"), "vgg16");
    assert_string_equal(string_of(row, "mode"), mode);
    assert_string_equal(string_of(transfer, "mode"), mode);
    assert_string_equal(string_of(transfer, "source"), "torchvision");
    assert_int_equal(strlen(string_of(transfer, "sha256")), 64);
    assert_int_equal(json_integer_value(json_object_get(row, "parameters")), 14848586);
}

static void expect_claim(const struct fm_comparison *comparison)
{
    const json_t *claims = json_object_get(comparison->json, "claims"), *claim = NULL;
    for (size_t i = 0; i < json_array_size(claims) && !claim; i++) {
        const json_t *row = json_array_get(claims, i);
        const char *model = json_string_value(json_object_get(row, "model"));
        if (model && strcmp(model, "vgg16") == 0)
            claim = row;
    }
    char expected[64];
    double accuracy = json_number_value(json_object_get(row_of(comparison, 0), "test_accuracy"));
    snprintf(expected, sizeof expected, "%.2f %% (frozen base of no known ImageNet weights",
        100 * accuracy);
    const char *found = string_of(claim, "measured");
    if (strncmp(found, expected, strlen(expected)) != 0)
        fail_msg("the claim stands beside '%s', expected '%s'", found, expected);
}

static bool is_noted(const struct fm_comparison *comparison, const char *part)
{
    for (int i = 0; i < comparison->note_count; i++)
        if (strstr(comparison->notes[i], part))
            return true;
    return false;
}

static int stop(void)
{
    return SIGINT;
}

static void test_two_rows_of_one_model(void **state)
{
    (void)state;
    static const char *const files[] = {
        "confusion-vgg16-frozen.png", "confusion-vgg16-finetuned.png", "compare.csv", NULL};
    char path[FM_PATH_MAX];
    struct fm_comparison first, second;
    struct told told;
    assert_ok(fm_path_join(path, root, "vgg16.safetensors"));
    assert_ok(torchvision_write(path, 0));
    struct fm_compare_entry entries[2] = {
        entry(FM_TRANSFER_FROZEN, path), entry(FM_TRANSFER_FINETUNE, path)};
    assert_ok(compare(entries, "first", NULL, &told, &first));
    assert_string_equal(told.names[0], "vgg16-frozen");
    assert_string_equal(told.names[1], "vgg16-finetuned");
    expect_row(&first, 0, "frozen");
    expect_row(&first, 1, "finetune");
    expect_claim(&first);
    assert_true(is_noted(&first, "vgg16-frozen: base of vgg16.safetensors (torchvision), frozen"));
    assert_true(is_noted(&first, "vgg16-finetuned, which it has not, begins with the same"));
    for (int i = 0; files[i]; i++) {
        assert_ok(fm_path_join(path, first.directory, files[i]));
        if (!fm_path_exists(path))
            fail_msg("%s is missing", path);
    }

    // Each is found again, wherever the file lies now.
    char moved[FM_PATH_MAX];
    assert_ok(fm_path_join(moved, root, "moved.safetensors"));
    assert_int_equal(rename(entries[0].transfer.weights, moved), 0);
    for (int i = 0; i < 2; i++)
        snprintf(entries[i].transfer.weights, sizeof entries[i].transfer.weights, "%s", moved);
    assert_ok(compare(entries, "second", NULL, &told, &second));
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(told.sources[i], FM_ROW_FINISHED);
        assert_string_equal(
            string_of(row_of(&first, i), "run"), string_of(row_of(&second, i), "run"));
    }
    assert_string_not_equal(
        string_of(row_of(&second, 0), "run"), string_of(row_of(&second, 1), "run"));
    fm_comparison_free(&first);
    fm_comparison_free(&second);

    // What is fine-tuned in another way is another run; what is frozen is the same.
    entries[1].transfer.base_rate = 0.5;
    assert_fails(compare(entries, "third", stop, &told, &second), FM_INTERRUPTED, "vgg16");
    assert_int_equal(told.sources[0], FM_ROW_FINISHED);
    assert_int_equal(told.sources[1], FM_ROW_TRAINED);
}

// Before anything is trained.
static void test_what_cannot_be_trained_costs_no_training(void **state)
{
    (void)state;
    struct fm_comparison comparison;
    struct told told;
    char path[FM_PATH_MAX];
    assert_ok(fm_path_join(path, root, "none.safetensors"));
    struct fm_compare_entry entries[2] = {
        entry(FM_TRANSFER_SCRATCH, ""), entry(FM_TRANSFER_FROZEN, path)};
    assert_int_not_equal(compare(entries, "none", NULL, &told, &comparison), FM_OK);
    assert_message("none.safetensors");
    assert_int_equal(told.rows, 0);
    assert_ok(fm_path_join(path, root, "vgg16.safetensors"));
    assert_ok(torchvision_write(path, 0));
    entries[1] = entry(FM_TRANSFER_FROZEN, path);
    entries[1].recipe.flip = true;
    assert_fails(compare(entries, "none", NULL, &told, &comparison), FM_USAGE, "--feature-views K");
    assert_int_equal(told.rows, 0);
    entries[1] = entry(FM_TRANSFER_SCRATCH, "");
    assert_fails(compare(entries, "none", NULL, &told, &comparison), FM_USAGE, "is named twice");
}

static int open_all(void **state)
{
    (void)state;
    struct fm_device_options options = {.threads = 2};
    fm_module_set_directory(FM_TEST_BINARY_DIR "/modules");
    fm_recipe_set_directory(FM_TEST_SOURCE_DIR "/data/recipes");
    if (fm_engine_open("cpu", &options, &engine) != FM_OK ||
        fm_dataset_open(FM_TEST_SOURCE_DIR "/data/tiny", &dataset) != FM_OK) {
        fprintf(stderr, "%s\n", fm_error_message());
        return -1;
    }
    small = dataset;
    small.train.count = TRAIN_IMAGES;
    small.test.count = TEST_IMAGES;
    if (fm_split_make(&small.train, small.classes, &split) != FM_OK) {
        fprintf(stderr, "%s\n", fm_error_message());
        return -1;
    }
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    fm_split_free(&split);
    fm_dataset_close(&dataset);
    fm_engine_close(&engine);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_rows_of_one_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_what_cannot_be_trained_costs_no_training, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
