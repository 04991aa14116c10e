// Groups of runs: their folders, and the mean and the deviation of figures that were made up.
#include "app/seeds.h"

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

static const char *in_root(const char *name)
{
    static char path[4][FM_PATH_MAX];
    static int turn;
    char *out = path[turn++ % 4];
    assert_int_equal(fm_path_join(out, root, name), FM_OK);
    return out;
}

static int set_up(void **state)
{
    (void)state;
    scratch_make(root, "seeds");
    fm_error_clear();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(root);
    return 0;
}

// ---- Folders

static const struct fm_backend fake = {.abi = FM_BACKEND_ABI, .name = "cpu"};
static const struct fm_engine engine = {.api = &fake, .info = {.name = "a processor"}};

// The job of a folder below the root; `place` keeps the folder's path.
static struct fm_job make_job(const char *name, char place[FM_PATH_MAX])
{
    assert_ok(fm_path_join(place, root, name));
    fm_recipe_set_directory(FM_TEST_SOURCE_DIR "/data/recipes");
    struct fm_job job = {.model = "simple", .seed = 41, .directory = place};
    assert_ok(fm_recipe_load("quick", "simple", &job.recipe));
    job.named = job.recipe;
    return job;
}

static void expect_seed(const char *run, uint64_t seed)
{
    struct fm_run_config config;
    assert_ok(fm_run_read_config(in_root(run), &config));
    assert_true(config.seed == seed);
    assert_false(config.has_data);
    fm_run_config_free(&config);
}

static void a_group_is_made_before_its_data_are_read(void **state)
{
    (void)state;
    char place[FM_PATH_MAX], directory[FM_PATH_MAX];
    struct fm_job job = make_job("group", place);
    struct fm_seeds seeds;
    assert_false(fm_seeds_is_group(in_root("group")));
    assert_ok(fm_seeds_begin(&engine, &job, 3, directory));
    assert_string_equal(directory, in_root("group"));
    assert_true(fm_seeds_is_group(directory));
    assert_ok(fm_seeds_read(directory, &seeds));
    assert_true(seeds.group);
    assert_int_equal(seeds.count, 3);
    static const char *const runs[] = {"group/seed-41", "group/seed-42", "group/seed-43"};
    for (int i = 0; i < 3; i++) {
        assert_string_equal(seeds.directories[i], in_root(runs[i]));
        expect_seed(runs[i], 41 + (uint64_t)i);
    }

    assert_fails(fm_seeds_begin(&engine, &job, 3, directory), FM_EXISTS,
        "group: holds a group of runs already; --force replaces it");
    job.force = true;
    assert_ok(fm_seeds_begin(&engine, &job, 3, directory));

    // Taken away again, but for a run that has read its data.
    assert_int_equal(scratch_write(in_root("group/seed-41/data.json"), "{}", 2), 0);
    fm_seeds_discard(&seeds, directory);
    assert_true(fm_seeds_is_group(directory));
    assert_true(fm_run_is_run(seeds.directories[0]));
    assert_false(fm_path_exists(seeds.directories[1]));
    assert_int_equal(remove(in_root("group/seed-41/data.json")), 0);
    fm_seeds_discard(&seeds, directory);
    assert_false(fm_path_exists(directory));
    fm_seeds_free(&seeds);
}

static void a_folder_that_is_no_group_is_its_own_only_run(void **state)
{
    (void)state;
    char place[FM_PATH_MAX], directory[FM_PATH_MAX];
    struct fm_job job = make_job("run", place);
    struct fm_seeds seeds;
    assert_ok(fm_job_begin(&engine, &job, directory));
    assert_ok(fm_seeds_read(directory, &seeds));
    assert_false(seeds.group);
    assert_int_equal(seeds.count, 1);
    assert_string_equal(seeds.directories[0], directory);
    fm_seeds_discard(&seeds, directory);
    assert_false(fm_path_exists(directory));
    fm_seeds_free(&seeds);
}

// A folder of the group that is taken already: nothing of the others is left.
static void a_group_that_cannot_be_made_leaves_nothing(void **state)
{
    (void)state;
    char places[2][FM_PATH_MAX], directory[FM_PATH_MAX];
    struct fm_job taken = make_job("group/seed-42", places[0]), job = make_job("group", places[1]);
    assert_ok(fm_job_begin(&engine, &taken, directory));
    assert_fails(fm_seeds_begin(&engine, &job, 3, directory), FM_EXISTS,
        "group/seed-42: holds a run already (config.json)");
    assert_false(fm_seeds_is_group(in_root("group")));
    assert_false(fm_path_exists(in_root("group/seed-41")));
    expect_seed("group/seed-42", 41); // as it was
    assert_false(fm_path_exists(in_root("group/seed-43")));
}

static void a_broken_list_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } broken[] = {
        {"{", "seeds.json:1: not valid JSON"},
        {"{}", "seeds.json: expected \"format\" 1 and 1 to 1000 names in \"runs\""},
        {"{\"format\": 2, \"runs\": [\"seed-1\"]}", "expected \"format\" 1"},
        {"{\"format\": 1, \"runs\": []}", "1 to 1000 names"},
        {"{\"format\": 1, \"runs\": \"seed-1\"}", "1 to 1000 names"},
        {"{\"format\": 1, \"runs\": [\"seed-1\", 2]}", "\"runs\"[1] is no folder's name"},
        {"{\"format\": 1, \"runs\": [\"../seed-1\"]}", "\"runs\"[0] is no folder's name"},
        {"{\"format\": 1, \"runs\": [\"a/b\"]}", "\"runs\"[0] is no folder's name"},
    };
    struct fm_seeds seeds;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        const char *text = broken[i].text;
        assert_int_equal(scratch_write(in_root("seeds.json"), text, strlen(text)), 0);
        assert_fails(fm_seeds_read(root, &seeds), FM_DATA, broken[i].message);
        assert_null(seeds.directories);
    }
}

// ---- Figures

static json_t *make_result(int seed, double test, double flip, double seconds)
{
    json_t *result = json_pack("{s:s, s:s, s:b, s:i, s:{s:f}, s:n, s:f, s:f, s:i, s:i, s:b, "
                               "s:{s:s, s:b, s:i}}",
        "model", "simple", "precision", "bf16", "emulate", 1, "seed", seed, "test", "accuracy",
        test, "select_accuracy", "train_accuracy", 0.5, "seconds", seconds, "epochs",
        seed == 2 ? 1 : 3, "epochs_planned", 3, "ended_early", seed == 2, "data", "name",
        "Fashion-MNIST", "full", 1, "train_images", 60000);
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
    const struct fm_seeds seeds = {directories, 3, true};
    make_results(results);
    json_t *json = fm_seeds_json(&seeds, results);
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
    const struct fm_seeds one = {directories, 1, true};
    json = fm_seeds_json(&one, results);
    expect_near(json_object_get(json, "mean"), "test_accuracy", 0.90);
    assert_true(json_is_null(json_object_get(json_object_get(json, "deviation"), "test_accuracy")));
    json_decref(json);

    const struct fm_seeds alone = {directories, 1, false};
    json = fm_seeds_json(&alone, results);
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
    const struct fm_seeds seeds = {directories, 3, true};
    make_results(results);
    assert_ok(fm_seeds_table(&seeds, results, &table));
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
    assert_ok(fm_seeds_write_summary(root, table));
    unsigned char *summary;
    size_t size;
    assert_ok(fm_file_read(in_root("summary.md"), &summary, &size));
    static const char *const rows[] = {"| 90.00 % |", "| 93.00 % |", "| 3.61 % |",
        "| Fashion-MNIST, all 60,000 training images |", "| bf16, by rounding |", "| 1 of 3 |",
        "| runs/g/seed-3 |", "| mean |", "| deviation |", NULL};
    expect_rows((const char *)summary, rows);
    assert_ok(fm_table_print(table, FM_FORMAT_MARKDOWN, &text));
    assert_string_equal((const char *)summary, fm_text_cstr(&text));
    fm_text_free(&text);
    free(summary);
    fm_table_free(table);

    const struct fm_seeds alone = {directories, 1, false};
    assert_ok(fm_seeds_table(&alone, results, &table));
    assert_int_equal(fm_table_rows(table), 1);
    fm_table_free(table);
    free_results(results);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_group_is_made_before_its_data_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_folder_that_is_no_group_is_its_own_only_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_group_that_cannot_be_made_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_broken_list_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            mean_and_deviation_are_those_of_a_sample, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_table_tells_them_below_the_runs, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
