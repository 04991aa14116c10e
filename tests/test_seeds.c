// Groups of runs: their folders.
#include "app/train/seeds.h"

#include "run/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"

#define SCRATCH_NAME "seeds"
#include "scratch_root.h"

// ---- Folders

static const struct fm_backend fake = {.abi = FM_BACKEND_ABI, .name = "cpu"};
static const struct fm_engine engine = {.api = &fake,
    .info = {.name = "a device"},
    .options = {.index = 2, .tf32 = true, .nondeterministic = true, .workspace = 7 << 20}};

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
    // As the device was opened, which a resumed run opens again so.
    assert_int_equal(config.device_index, 2);
    assert_true(config.tf32 && config.nondeterministic && config.workspace == 7 << 20);
    fm_run_config_free(&config);
}

static bool is_group(const char *name)
{
    return fm_path_exists(in_root(name)) && fm_path_exists(in_root("group/seeds.json"));
}

static void a_group_is_made_before_its_data_are_read(void **state)
{
    (void)state;
    char place[FM_PATH_MAX], directory[FM_PATH_MAX];
    struct fm_job job = make_job("group", place);
    struct fm_seeds seeds;
    assert_ok(fm_seeds_begin(&engine, &job, 3, directory));
    assert_string_equal(directory, in_root("group"));
    assert_ok(fm_seeds_read(directory, &seeds));
    assert_true(seeds.group);
    assert_int_equal(seeds.count, 3);
    assert_true(seeds.config.seed == 41);
    static const char *const runs[] = {"group/seed-41", "group/seed-42", "group/seed-43"};
    for (int i = 0; i < 3; i++) {
        assert_string_equal(seeds.directories[i], in_root(runs[i]));
        expect_seed(runs[i], 41 + (uint64_t)i);
    }

    // Taken away again, but for a run that has read its data.
    assert_int_equal(scratch_write(in_root("group/seed-41/data.json"), "{}", 2), 0);
    fm_seeds_discard(&seeds);
    assert_true(is_group("group"));
    assert_true(fm_run_is_run(seeds.directories[0]));
    assert_false(fm_path_exists(seeds.directories[1]));
    assert_int_equal(remove(in_root("group/seed-41/data.json")), 0);
    fm_seeds_discard(&seeds);
    assert_false(fm_path_exists(directory));
    fm_seeds_free(&seeds);
}

// One that was killed while it was made: the folder says all that is missing.
static void a_beginning_cut_short_is_made_whole(void **state)
{
    (void)state;
    char place[FM_PATH_MAX], directory[FM_PATH_MAX];
    struct fm_job job = make_job("group", place);
    struct fm_seeds seeds;
    assert_ok(fm_seeds_begin(&engine, &job, 3, directory));
    fm_run_discard(in_root("group/seed-42"));
    fm_run_discard(in_root("group/seed-43"));
    assert_false(fm_path_exists(in_root("group/seed-43")));
    assert_ok(fm_seeds_read(directory, &seeds));
    assert_ok(fm_seeds_complete(&seeds));
    expect_seed("group/seed-42", 42);
    expect_seed("group/seed-43", 43);
    fm_seeds_free(&seeds);
}

static void force_replaces_all_of_a_group(void **state)
{
    (void)state;
    char place[FM_PATH_MAX], directory[FM_PATH_MAX];
    struct fm_job job = make_job("group", place);
    assert_ok(fm_seeds_begin(&engine, &job, 3, directory));
    assert_int_equal(scratch_write(in_root("group/summary.md"), "old", 3), 0);
    assert_fails(fm_seeds_begin(&engine, &job, 2, directory), FM_EXISTS,
        "group: holds a group of runs already; --force replaces it");
    assert_true(fm_path_exists(in_root("group/seed-43"))); // nothing was touched

    // Not while somebody is at one of them.
    int lock;
    job.force = true;
    job.seed = 50;
    assert_ok(fm_run_lock(in_root("group/seed-42"), &lock));
    assert_fails(fm_seeds_begin(&engine, &job, 2, directory), FM_EXISTS, "another process");
    expect_seed("group/seed-41", 41);
    assert_true(is_group("group"));
    fm_run_unlock(lock);

    assert_ok(fm_seeds_begin(&engine, &job, 2, directory));
    expect_seed("group/seed-50", 50);
    expect_seed("group/seed-51", 51);
    assert_false(fm_path_exists(in_root("group/seed-41")));
    assert_false(fm_path_exists(in_root("group/seed-43")));
    assert_false(fm_path_exists(in_root("group/summary.md")));
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
    fm_seeds_discard(&seeds);
    assert_false(fm_path_exists(directory));
    fm_seeds_free(&seeds);
}

// A run's folder never becomes a group's, nor a group's a run's: --force or not.
static void runs_and_groups_keep_apart(void **state)
{
    (void)state;
    char places[3][FM_PATH_MAX], directory[FM_PATH_MAX];
    struct fm_job run = make_job("one", places[0]), group = make_job("many", places[1]);
    assert_ok(fm_job_begin(&engine, &run, directory));
    assert_ok(fm_seeds_begin(&engine, &group, 2, directory));
    for (int force = 0; force < 2; force++) {
        run.force = group.force = force;
        run.directory = places[1];
        group.directory = places[0];
        assert_fails(fm_job_begin(&engine, &run, directory), FM_EXISTS,
            "many: holds a group of runs (seeds.json)");
        assert_fails(
            fm_seeds_begin(&engine, &group, 2, directory), FM_EXISTS, "one: holds a single run");
    }

    // A run that lies where one of the group would.
    struct fm_job taken = make_job("group/seed-42", places[0]);
    group = make_job("group", places[2]);
    assert_ok(fm_job_begin(&engine, &taken, directory));
    assert_fails(fm_seeds_begin(&engine, &group, 3, directory), FM_EXISTS,
        "group/seed-42: holds a run already (config.json)");
    assert_false(fm_path_exists(in_root("group/seeds.json")));
    assert_false(fm_path_exists(in_root("group/seed-41")));
    expect_seed("group/seed-42", 41); // as it was
}

static void groups_of_one_second_get_folders_of_their_own(void **state)
{
    (void)state;
    char place[FM_PATH_MAX], directories[3][FM_PATH_MAX];
    struct fm_job job = make_job("unused", place);
    job.directory = NULL;
    job.root = root;
    for (int i = 0; i < 2; i++)
        assert_ok(fm_seeds_begin(&engine, &job, 1, directories[i]));
    assert_ok(fm_job_begin(&engine, &job, directories[2]));
    assert_string_not_equal(directories[0], directories[1]);
    assert_string_not_equal(directories[0], directories[2]);
    assert_string_not_equal(directories[1], directories[2]);
}

static void a_broken_list_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } broken[] = {
        {"{", "seeds.json:1: not valid JSON"},
        {"{}", "seeds.json: expected \"format\" 1 and \"count\" from 1 to 1000"},
        {"{\"format\": 2, \"count\": 1}", "expected \"format\" 1"},
        {"{\"format\": 1, \"count\": 0}", "from 1 to 1000"},
        {"{\"format\": 1, \"count\": 1001}", "from 1 to 1000"},
        {"{\"format\": 1, \"count\": 2}", "seeds.json: found nothing, expected an object"},
        {"{\"format\": 1, \"count\": 2, \"config\": {}}", "\"format\" is missing"},
    };
    struct fm_seeds seeds;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        const char *text = broken[i].text;
        assert_int_equal(scratch_write(in_root("seeds.json"), text, strlen(text)), 0);
        assert_fails(fm_seeds_read(root, &seeds), FM_DATA, broken[i].message);
        assert_null(seeds.directories);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_group_is_made_before_its_data_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_beginning_cut_short_is_made_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(force_replaces_all_of_a_group, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_folder_that_is_no_group_is_its_own_only_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(runs_and_groups_keep_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            groups_of_one_second_get_folders_of_their_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_broken_list_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
