// Whole jobs on the tiny data set: what a run leaves behind, when a finished one is reused, and
// that nothing of the test images reaches the weights.
#include "app/compare/compare.h"
#include "app/evaluation.h"

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"

static struct fm_engine engine;
static struct fm_dataset dataset;
static struct fm_split split;
static char root[] = "test_compare-XXXXXX";
static char *argv[] = {
    (char *)"build/fmnist", (char *)"compare", (char *)"--models", (char *)"simple", NULL};
static const char argv_text[] = "fmnist compare --models simple"; // as it is told

static struct fm_compare_entry entry(void)
{
    struct fm_compare_entry e = {.model = "simple"};
    assert_int_equal(fm_recipe_load("quick", e.model, &e.named), FM_OK);
    e.recipe = e.named;
    e.recipe.epochs = 2;
    e.recipe.epoch_images = 64;
    e.recipe.batch = 32;
    e.recipe.train_eval = 50;
    return e;
}

static void compare(const char *directory, uint64_t seed, double max_minutes, bool fresh,
    struct fm_comparison *comparison)
{
    char path[FM_PATH_MAX];
    struct fm_compare_entry e = entry();
    assert_int_equal(fm_path_join(path, root, directory), FM_OK);
    struct fm_compare_options options = {
        .entries = &e,
        .entry_count = 1,
        .seed = seed,
        .max_minutes = max_minutes,
        .root = root,
        .directory = path,
        .fresh = fresh,
        .argc = 4,
        .argv = argv,
    };
    enum fm_status status = fm_compare(&engine, &dataset, &split, &options, comparison);
    if (status != FM_OK)
        fail_msg("%s: %s", directory, fm_error_message());
}

static json_t *row_of(const struct fm_comparison *comparison)
{
    return json_array_get(json_object_get(comparison->json, "models"), 0);
}

static bool is_reused(const struct fm_comparison *comparison)
{
    return json_is_true(json_object_get(row_of(comparison), "reused"));
}

static int epochs_of(const struct fm_comparison *comparison)
{
    return (int)json_integer_value(json_object_get(row_of(comparison), "epochs"));
}

static const char *run_of(const struct fm_comparison *comparison)
{
    return json_string_value(json_object_get(row_of(comparison), "run"));
}

static void assert_files(const char *directory, const char *const *names)
{
    for (int i = 0; names[i]; i++) {
        char path[FM_PATH_MAX];
        assert_int_equal(fm_path_join(path, directory, names[i]), FM_OK);
        if (!fm_path_exists(path))
            fail_msg("%s is missing", path);
    }
}

static void test_trains_what_is_missing_and_reuses_the_rest(void **state)
{
    (void)state;
    static const char *const files[] = {"compare.md", "compare.csv", "claims.csv", "compare.json",
        "compare.png", "report.html", "report.json", "accuracy.svg", "confusion-simple.png", NULL};
    static const char *const run_files[] = {
        "config.json", "log.jsonl", "model.safetensors", "result.json", "confusion-test.png", NULL};
    struct fm_comparison first, second;
    compare("a", 1, 0, false, &first);
    assert_false(is_reused(&first));
    assert_int_equal(epochs_of(&first), 2);
    assert_files(first.directory, files);
    assert_files(run_of(&first), run_files);
    // The recipe is no longer what its name says: everything that names it tells. (Behind it there
    // may stand which epoch the few selection images chose.)
    static const char remark[] =
        "simple: recipe quick, changed: epochs 2, epoch_images 64, batch 32, train_eval 50";
    json_t *notes = json_object_get(first.json, "notes");
    const char *told = json_string_value(json_array_get(notes, 1));
    assert_memory_equal(told, remark, strlen(remark));
    const char *note = json_string_value(json_array_get(notes, 2));
    assert_non_null(strstr(note, "Recipe quick, changed, seed 1."));
    const char *recipe = json_string_value(json_object_get(row_of(&first), "recipe"));
    assert_string_equal(recipe, "quick, changed");
    const json_t *claim = json_array_get(json_object_get(first.json, "claims"), 0);
    assert_string_equal(json_string_value(json_object_get(claim, "command")), argv_text);
    compare("b", 1, 0, false, &second);
    assert_true(is_reused(&second));
    assert_string_equal(run_of(&first), run_of(&second));
    assert_true(json_equal(json_object_get(row_of(&first), "test_accuracy"),
        json_object_get(row_of(&second), "test_accuracy")));
    fm_comparison_free(&first);
    fm_comparison_free(&second);
}

// A run that was cut short answers only who allows no more time than it had, and hides no whole
// one.
static void test_a_run_cut_short_is_no_whole_one(void **state)
{
    (void)state;
    struct fm_comparison cut, same, whole, again;
    compare("c", 2, 1e-6, false, &cut);
    assert_false(is_reused(&cut));
    assert_int_equal(epochs_of(&cut), 1);
    const char *note = json_string_value(json_object_get(row_of(&cut), "note"));
    assert_non_null(strstr(note, "ended at epoch 1 of 2 by --max-minutes"));
    compare("d", 2, 1e-6, false, &same);
    assert_true(is_reused(&same));
    assert_int_equal(epochs_of(&same), 1);
    compare("e", 2, 0, false, &whole);
    assert_false(is_reused(&whole));
    assert_int_equal(epochs_of(&whole), 2);
    fm_comparison_free(&cut);
    compare("f", 2, 1e-6, true, &cut); // newer than the whole one
    assert_false(is_reused(&cut));
    compare("g", 2, 0, false, &again);
    assert_true(is_reused(&again));
    assert_string_equal(run_of(&again), run_of(&whole));
    fm_comparison_free(&cut);
    fm_comparison_free(&same);
    fm_comparison_free(&whole);
    fm_comparison_free(&again);
}

// Other threads give the same network, but not at the same cost: a reused run's is not this
// comparison's, and every output says so.
static void test_a_run_of_other_threads_is_told(void **state)
{
    (void)state;
    static const enum fm_format formats[] = {FM_FORMAT_MARKDOWN, FM_FORMAT_JSON};
    const struct fm_device_options options = {.threads = 2};
    const struct fm_engine one_thread = engine;
    struct fm_comparison first, same, other;
    char expected[512];
    compare("one", 21, 0, false, &first);
    compare("one-again", 21, 0, false, &same);
    assert_true(is_reused(&same));
    assert_true(json_is_null(json_object_get(row_of(&first), "measured_elsewhere")));
    assert_true(json_is_null(json_object_get(row_of(&same), "measured_elsewhere")));

    assert_int_equal(fm_engine_open("cpu", &options, &engine), FM_OK);
    compare("two", 21, 0, false, &other);
    assert_true(is_reused(&other));
    snprintf(expected, sizeof expected, "with 1 thread on %s", engine.info.name);
    assert_string_equal(
        json_string_value(json_object_get(row_of(&other), "measured_elsewhere")), expected);
    snprintf(expected, sizeof expected,
        ", measured with 1 thread on %s: --fresh trains and measures it here.", engine.info.name);
    for (int i = 0; i < 2; i++) {
        struct fm_text text = {0};
        assert_int_equal(fm_comparison_print(&other, formats[i], &text), FM_OK);
        assert_non_null(strstr(fm_text_cstr(&text), expected));
        fm_text_free(&text);
        assert_int_equal(fm_comparison_print(&same, formats[i], &text), FM_OK);
        assert_null(strstr(fm_text_cstr(&text), "--fresh"));
        fm_text_free(&text);
    }
    fm_comparison_free(&first);
    fm_comparison_free(&same);
    fm_comparison_free(&other);
    fm_engine_close(&engine);
    engine = one_thread;
}

static int steps_done;

static int stop_later(void)
{
    return ++steps_done > 3 ? SIGINT : 0;
}

struct told {
    enum fm_row_source source;
    char directory[FM_PATH_MAX];
};

static void tell(void *context, int index, int count, const char *model, enum fm_row_source source,
    const char *directory)
{
    (void)index, (void)count, (void)model;
    struct told *told = context;
    told->source = source;
    snprintf(told->directory, sizeof told->directory, "%s", directory ? directory : "");
}

static void keep_directory(
    void *context, const char *model, const char *directory, size_t parameters)
{
    (void)model, (void)parameters;
    snprintf(context, FM_PATH_MAX, "%s", directory);
}

// A comparison that was stopped goes on in the folder in which it trained; not with --fresh, and
// not where another process trains.
static void test_a_stopped_comparison_goes_on(void **state)
{
    (void)state;
    char path[FM_PATH_MAX], begun[FM_PATH_MAX] = "", other[FM_PATH_MAX] = "";
    struct told told;
    struct fm_comparison comparison;
    struct fm_compare_entry e = entry();
    assert_int_equal(fm_path_join(path, root, "stopped"), FM_OK);
    struct fm_compare_options options = {
        .entries = &e,
        .entry_count = 1,
        .seed = 11,
        .root = root,
        .directory = path,
        .interrupted = stop_later,
        .row = tell,
        .row_context = &told,
        .hooks = {.begin = keep_directory, .context = begun},
        .argc = 4,
        .argv = argv,
    };
    steps_done = 0;
    assert_int_equal(fm_compare(&engine, &dataset, &split, &options, &comparison), FM_INTERRUPTED);
    assert_int_equal(told.source, FM_ROW_TRAINED);
    assert_false(fm_run_is_finished(begun));
    fm_error_clear();

    options.hooks.context = other;
    int lock;
    assert_int_equal(fm_run_lock(begun, &lock), FM_OK);
    steps_done = 0;
    assert_int_equal(fm_compare(&engine, &dataset, &split, &options, &comparison), FM_INTERRUPTED);
    assert_int_equal(told.source, FM_ROW_TRAINED);
    assert_string_not_equal(other, begun);
    fm_error_clear();
    assert_int_equal(fm_run_remove(other), FM_OK);
    fm_run_unlock(lock);

    options.interrupted = NULL;
    assert_int_equal(fm_compare(&engine, &dataset, &split, &options, &comparison), FM_OK);
    assert_int_equal(told.source, FM_ROW_RESUMED);
    assert_string_equal(told.directory, begun);
    assert_string_equal(run_of(&comparison), begun);
    assert_false(is_reused(&comparison));
    assert_true(json_is_false(json_object_get(row_of(&comparison), "emulate")));
    fm_comparison_free(&comparison);

    // A stopped run beside: --fresh does not take it.
    options.seed = 12;
    options.force = true;
    options.interrupted = stop_later;
    options.hooks.context = begun;
    steps_done = 0;
    assert_int_equal(fm_compare(&engine, &dataset, &split, &options, &comparison), FM_INTERRUPTED);
    fm_error_clear();
    options.fresh = true;
    options.interrupted = NULL;
    assert_int_equal(fm_compare(&engine, &dataset, &split, &options, &comparison), FM_OK);
    assert_int_equal(told.source, FM_ROW_TRAINED);
    fm_comparison_free(&comparison);
}

// The command stands once above the claims, not in every row.
static void test_the_command_is_told_once(void **state)
{
    (void)state;
    static const enum fm_format formats[] = {FM_FORMAT_TEXT, FM_FORMAT_MARKDOWN};
    struct fm_comparison comparison;
    compare("once", 1, 0, false, &comparison);
    for (int i = 0; i < 2; i++) {
        struct fm_text text = {0};
        assert_int_equal(fm_comparison_print(&comparison, formats[i], &text), FM_OK);
        const char *at = strstr(fm_text_cstr(&text), argv_text);
        assert_non_null(strstr(fm_text_cstr(&text), "Measured here by:"));
        assert_non_null(at);
        assert_null(strstr(at + 1, argv_text));
        fm_text_free(&text);
    }
    fm_comparison_free(&comparison);
}

static void test_a_comparison_is_not_overwritten(void **state)
{
    (void)state;
    struct fm_comparison comparison;
    struct fm_compare_entry e[2] = {entry(), entry()};
    char path[FM_PATH_MAX];
    assert_int_equal(fm_path_join(path, root, "a"), FM_OK);
    struct fm_compare_options options = {.entries = e,
        .entry_count = 1,
        .seed = 1,
        .root = root,
        .directory = path,
        .argc = 4,
        .argv = argv};
    assert_int_equal(fm_compare(&engine, &dataset, &split, &options, &comparison), FM_EXISTS);
    assert_non_null(strstr(fm_error_message(), "--force"));
    fm_error_clear();
    options.force = true;
    assert_int_equal(fm_compare(&engine, &dataset, &split, &options, &comparison), FM_OK);
    fm_comparison_free(&comparison);
    options.entry_count = 2;
    assert_int_equal(fm_compare(&engine, &dataset, &split, &options, &comparison), FM_USAGE);
    assert_non_null(strstr(fm_error_message(), "named twice"));
    fm_error_clear();
}

static bool is_there(const char *name)
{
    char path[FM_PATH_MAX];
    assert_int_equal(fm_path_join(path, root, name), FM_OK);
    return fm_path_exists(path);
}

// A training that cannot be done leaves no folder of a comparison; one that could not be written is
// refused before anything is trained.
static void test_no_folder_without_a_comparison(void **state)
{
    (void)state;
    char path[FM_PATH_MAX], blocked[FM_PATH_MAX];
    struct fm_comparison comparison;
    struct fm_compare_entry e = entry();
    e.model = "nosuch";
    struct fm_compare_options options = {
        .entries = &e, .entry_count = 1, .root = root, .directory = path, .argc = 4, .argv = argv};
    assert_int_equal(fm_path_join(path, root, "failed/deep"), FM_OK);
    assert_int_not_equal(fm_compare(&engine, &dataset, &split, &options, &comparison), FM_OK);
    assert_false(is_there("failed"));
    fm_error_clear();

    assert_int_equal(fm_path_join(blocked, root, "blocked"), FM_OK);
    assert_int_equal(fm_file_write(blocked, "", 0), FM_OK);
    assert_int_equal(fm_path_join(path, root, "blocked/deep"), FM_OK);
    e.model = "simple";
    assert_int_equal(fm_compare(&engine, &dataset, &split, &options, &comparison), FM_IO);
    assert_non_null(strstr(fm_error_message(), "blocked is a file"));
    fm_error_clear();
}

static struct fm_job job(const char *directory)
{
    struct fm_compare_entry e = entry();
    return (struct fm_job){.model = "simple",
        .recipe = e.recipe,
        .named = e.named,
        .seed = 7,
        .directory = directory,
        .argc = 4,
        .argv = argv};
}

static void block_log(void *context, const char *model, const char *directory, size_t parameters)
{
    (void)context, (void)model, (void)parameters;
    char path[FM_PATH_MAX];
    assert_int_equal(fm_path_join(path, directory, "log.jsonl"), FM_OK);
    assert_int_equal(fm_make_dirs(path), FM_OK);
}

static void count_epochs(void *context, const struct fm_train_progress *progress)
{
    *(int *)context += progress->epoch_done;
}

static enum fm_status run_job(const struct fm_dataset *data, const struct fm_job *job,
    const struct fm_job_hooks *hooks, json_t **result)
{
    char directory[FM_PATH_MAX];
    FM_TRY(fm_job_begin(&engine, job, directory));
    return fm_job_run(&engine, data, &split, job, hooks, directory, result);
}

// An epoch that cannot be written down is the last: nobody waits for the others in vain.
static void test_a_log_that_cannot_be_written_ends_the_training(void **state)
{
    (void)state;
    int told = 0;
    char directory[FM_PATH_MAX];
    assert_int_equal(fm_path_join(directory, root, "no-log"), FM_OK);
    struct fm_job first = job(directory);
    struct fm_job_hooks hooks = {.begin = block_log, .train = count_epochs, .context = &told};
    assert_int_equal(run_job(&dataset, &first, &hooks, NULL), FM_IO);
    assert_non_null(strstr(fm_error_message(), "log.jsonl"));
    assert_int_equal(told, 0);
    assert_false(is_there("no-log/model.safetensors"));
    fm_error_clear();
}

static void read_weights(const char *directory, unsigned char **data, size_t *size)
{
    char path[FM_PATH_MAX];
    assert_int_equal(fm_path_join(path, directory, "model.safetensors"), FM_OK);
    assert_int_equal(fm_file_read(path, data, size), FM_OK);
}

// With noise in the place of the test images: another test accuracy, the same bits in the weights.
static void test_weights_know_nothing_of_the_test_images(void **state)
{
    (void)state;
    char clean[FM_PATH_MAX], noisy[FM_PATH_MAX];
    assert_int_equal(fm_path_join(clean, root, "clean"), FM_OK);
    assert_int_equal(fm_path_join(noisy, root, "noisy"), FM_OK);
    size_t bytes = (size_t)dataset.test.count * dataset.test.record_size;
    uint8_t *noise = malloc(bytes);
    assert_non_null(noise);
    for (size_t i = 0; i < bytes; i++)
        noise[i] = (uint8_t)(i * 2654435761u >> 13);

    struct fm_dataset with_noise = dataset;
    with_noise.test.records = noise;
    struct fm_job first = job(clean), second = job(noisy);
    json_t *results[2] = {NULL, NULL};
    assert_int_equal(run_job(&dataset, &first, NULL, &results[0]), FM_OK);
    assert_int_equal(run_job(&with_noise, &second, NULL, &results[1]), FM_OK);
    unsigned char *a, *b;
    size_t a_size, b_size;
    read_weights(clean, &a, &a_size);
    read_weights(noisy, &b, &b_size);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a, b, a_size);
    double nll[2];
    for (int i = 0; i < 2; i++)
        nll[i] = json_number_value(json_object_get(json_object_get(results[i], "test"), "nll"));
    assert_true(isfinite(nll[0]) && isfinite(nll[1]) && nll[0] != nll[1]);
    free(a);
    free(b);
    free(noise);
    json_decref(results[0]);
    json_decref(results[1]);
}

static void test_evaluating_the_run_gives_its_result(void **state)
{
    (void)state;
    char directory[FM_PATH_MAX];
    json_t *result;
    struct fm_evaluation e;
    assert_int_equal(fm_path_join(directory, root, "clean"), FM_OK);
    assert_int_equal(fm_run_read_result(directory, &result), FM_OK);
    struct fm_evaluation_options options = {.directory = directory, .part = FM_PART_TEST};
    assert_int_equal(fm_evaluation_run(&engine, &dataset, &split, &options, &e), FM_OK);
    assert_true(e.same_data);
    json_t *test = json_object_get(result, "test");
    assert_int_equal(json_integer_value(json_object_get(test, "correct")), e.metrics.correct);
    fm_evaluation_free(&e);

    options.part = FM_PART_SELECT;
    options.batch = 7;
    assert_int_equal(fm_evaluation_run(&engine, &dataset, &split, &options, &e), FM_OK);
    assert_int_equal(e.metrics.count, split.select_count);
    double select = json_number_value(json_object_get(result, "select_accuracy"));
    assert_true(fabs(e.metrics.accuracy - select) < 1e-12);
    assert_true(fm_path_exists(e.picture));
    json_t *json = fm_evaluation_json(&e);
    assert_true(json_is_real(json_object_get(json, "accuracy")));
    json_decref(json);
    fm_evaluation_free(&e);
    json_decref(result);
}

// Out of the folder, whose configuration would say more.
static void copy_weights(const char *name, char path[FM_PATH_MAX])
{
    char clean[FM_PATH_MAX];
    unsigned char *data;
    size_t size;
    assert_int_equal(fm_path_join(clean, root, "clean"), FM_OK);
    assert_int_equal(fm_path_join(path, root, name), FM_OK);
    read_weights(clean, &data, &size);
    assert_int_equal(fm_file_write(path, data, size), FM_OK);
    free(data);
}

static void test_evaluating_the_weights_alone_gives_the_same(void **state)
{
    (void)state;
    char path[FM_PATH_MAX], directory[FM_PATH_MAX];
    struct fm_evaluation of_run, e;
    copy_weights("alone.safetensors", path);
    assert_int_equal(fm_path_join(directory, root, "clean"), FM_OK);
    struct fm_evaluation_options options = {.directory = directory, .part = FM_PART_TEST};
    assert_int_equal(fm_evaluation_run(&engine, &dataset, &split, &options, &of_run), FM_OK);
    options.directory = path;
    if (fm_evaluation_run(&engine, &dataset, &split, &options, &e) != FM_OK)
        fail_msg("%s", fm_error_message());
    assert_true(e.is_file && !e.same_data && !of_run.is_file);
    assert_int_equal(e.metrics.correct, of_run.metrics.correct);
    assert_true(e.metrics.nll == of_run.metrics.nll);
    assert_int_equal(e.parameters, of_run.parameters);
    assert_string_equal(e.config.model, "simple");
    assert_string_equal(e.config.data.class_names[9], dataset.class_names[9]);
    assert_string_equal(e.picture, ""); // nothing is written where the file happens to lie
    json_t *json = fm_evaluation_json(&e);
    assert_true(json_is_false(json_object_get(json, "full"))); // the file's word
    assert_true(json_is_null(json_object_get(json, "taught")));
    assert_true(json_is_null(json_object_get(json, "same_data")));
    json_decref(json);
    fm_evaluation_free(&e);
    fm_evaluation_free(&of_run);

    struct fm_dataset other = dataset;
    other.classes = 9;
    assert_int_equal(fm_evaluation_run(&engine, &other, &split, &options, &e), FM_DATA);
    assert_non_null(strstr(fm_error_message(), "9 classes, the weights in"));
    fm_error_clear();
}

// In a run's folder the weights must be the run's.
static void test_weights_of_another_run_are_refused(void **state)
{
    (void)state;
    char directory[FM_PATH_MAX], path[FM_PATH_MAX];
    struct fm_run_config config;
    struct fm_evaluation e;
    assert_int_equal(fm_path_join(directory, root, "clean"), FM_OK);
    assert_int_equal(fm_run_read_whole_config(directory, &config), FM_OK);
    assert_int_equal(fm_path_join(path, root, "mixed"), FM_OK);
    fm_run_data_set_input(&config.data, 0.5, 0.25);
    assert_int_equal(fm_run_create(path, &config, false), FM_OK);
    assert_int_equal(fm_run_write_data(path, &config.data), FM_OK);
    char weights[FM_PATH_MAX];
    copy_weights("mixed/model.safetensors", weights);
    struct fm_evaluation_options options = {.directory = path, .part = FM_PART_TEST};
    assert_int_equal(fm_evaluation_run(&engine, &dataset, &split, &options, &e), FM_DATA);
    assert_non_null(strstr(fm_error_message(), "the weights are of another run"));
    fm_error_clear();
    fm_run_config_free(&config);
}

static void test_evaluation_refuses(void **state)
{
    (void)state;
    char directory[FM_PATH_MAX];
    struct fm_evaluation e;
    struct fm_evaluation_options options = {.directory = root, .part = FM_PART_TEST};
    assert_int_equal(fm_evaluation_run(&engine, &dataset, &split, &options, &e), FM_NOT_FOUND);
    fm_error_clear();
    struct fm_dataset other = dataset;
    other.classes = 9;
    assert_int_equal(fm_path_join(directory, root, "clean"), FM_OK);
    options.directory = directory;
    assert_int_equal(fm_evaluation_run(&engine, &other, &split, &options, &e), FM_DATA);
    assert_non_null(strstr(fm_error_message(), "9 classes"));
    fm_error_clear();
}

// Classes of other names, or in another order, are others; the run's very own data may have new
// names.
static void test_evaluation_refuses_other_classes(void **state)
{
    (void)state;
    char directory[FM_PATH_MAX], path[FM_PATH_MAX];
    struct fm_evaluation e;
    struct fm_dataset other = dataset;
    assert_int_equal(fm_path_join(directory, root, "clean"), FM_OK);
    copy_weights("classes.safetensors", path);
    const char *const trained[] = {directory, path};
    other.class_names[3] = dataset.class_names[4];
    other.class_names[4] = dataset.class_names[3];
    for (int i = 0; i < 2; i++) {
        struct fm_evaluation_options options = {.directory = trained[i], .part = FM_PART_TEST};
        other.files[0].crc32 = dataset.files[0].crc32 + 1;
        assert_int_equal(fm_evaluation_run(&engine, &other, &split, &options, &e), FM_DATA);
        assert_non_null(strstr(fm_error_message(), "class 3 is \"Coat\", that of"));
        fm_error_clear();
    }
    struct fm_evaluation_options options = {.directory = directory, .part = FM_PART_TEST};
    other.files[0].crc32 = dataset.files[0].crc32;
    assert_ok(fm_evaluation_run(&engine, &other, &split, &options, &e));
    assert_true(e.same_data);
    fm_evaluation_free(&e);
    other = dataset;
    other.files[0].crc32++;
    assert_ok(fm_evaluation_run(&engine, &other, &split, &options, &e));
    assert_true(fm_evaluation_of_other_data(&e));
    assert_string_equal(e.picture, "");
    fm_evaluation_free(&e);
}

static int open_all(void **state)
{
    (void)state;
    struct fm_device_options options = {.threads = 1};
    fm_module_set_directory(FM_TEST_BINARY_DIR "/modules");
    fm_recipe_set_directory(FM_TEST_SOURCE_DIR "/data/recipes");
    if (!mkdtemp(root) || fm_engine_open("cpu", &options, &engine) != FM_OK ||
        fm_dataset_open(FM_TEST_SOURCE_DIR "/data/tiny", &dataset) != FM_OK ||
        fm_split_make(&dataset.train, dataset.classes, &split) != FM_OK) {
        fprintf(stderr, "%s\n", fm_error_message());
        return -1;
    }
    return 0;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *ftw)
{
    (void)info;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static int close_all(void **state)
{
    (void)state;
    fm_split_free(&split);
    fm_dataset_close(&dataset);
    fm_engine_close(&engine);
    return nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trains_what_is_missing_and_reuses_the_rest),
        cmocka_unit_test(test_a_run_cut_short_is_no_whole_one),
        cmocka_unit_test(test_a_stopped_comparison_goes_on),
        cmocka_unit_test(test_the_command_is_told_once),
        cmocka_unit_test(test_a_comparison_is_not_overwritten),
        cmocka_unit_test(test_no_folder_without_a_comparison),
        cmocka_unit_test(test_a_log_that_cannot_be_written_ends_the_training),
        cmocka_unit_test(test_weights_know_nothing_of_the_test_images),
        cmocka_unit_test(test_evaluating_the_run_gives_its_result),
        cmocka_unit_test(test_evaluating_the_weights_alone_gives_the_same),
        cmocka_unit_test(test_weights_of_another_run_are_refused),
        cmocka_unit_test(test_evaluation_refuses),
        cmocka_unit_test(test_a_run_of_other_threads_is_told),
        cmocka_unit_test(test_evaluation_refuses_other_classes),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
