// Run folders: configuration there and back, what is refused, what is removed, weights through a
// model of a few lines, and finding a run again.
#include "run/run.h"

#include "net/safetensors.h"
#include "net/zoo.h"
#include "run/json.h"
#include "run/weights.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"
#include "fake_state.h"

#define SCRATCH_NAME "run"
#include "scratch_root.h"

static void make_config(struct fm_run_config *config)
{
    *config = (struct fm_run_config){.model = "simple",
        .backend = "cpu",
        .precision = "fp32",
        .device = "a processor",
        .device_index = 1,
        .threads = 2,
        .nondeterministic = true,
        .workspace = 0x123456789,
        .seed = 0xFFFFFFFFFFFFFFFFu,
        .max_minutes = 1.5,
        .data_directory = "/data",
        .has_data = true,
        .data = {.directory = "/found",
            .classes = 3,
            .input_mean = {0.28604063, 0.28604063, 0.28604063},
            .input_deviation = {0.3530242, 0.3530242, 0.3530242},
            .crc32 = {0xdeadbeef, 0, 7, 0xffffffff}}};
    static const char *const names[] = {"T-shirt/top", "Robe d'\xc3\xa9t\xc3\xa9", "\"quoted\""};
    for (int i = 0; i < 3; i++)
        config->data.class_names[i] = strdup(names[i]);
    config->recipe = json_pack("{s:s, s:i, s:f}", "name", "quick", "epochs", 3, "rate", 0.1 + 0.2);
    config->changes = json_pack("{s:i}", "epochs", 3);
}

static void create(const char *directory, const struct fm_run_config *config, bool finished)
{
    if (fm_run_create(directory, config, false) != FM_OK ||
        fm_run_write_data(directory, &config->data) != FM_OK)
        fail_msg("%s", fm_error_message());
    json_t *result = json_pack(
        "{s:i, s:s, s:f}", "format", FM_RESULT_FORMAT, "model", "simple", "accuracy", 0.5);
    if (finished)
        assert_int_equal(fm_run_write_result(directory, result), FM_OK);
    json_decref(result);
}

static void assert_same_input(const struct fm_run_data *found, const struct fm_run_data *expected)
{
    for (int c = 0; c < FM_CHANNELS_MAX; c++) {
        assert_true((float)found->input_mean[c] == (float)expected->input_mean[c]);
        assert_true((float)found->input_deviation[c] == (float)expected->input_deviation[c]);
    }
}

static void test_config_round_trip(void **state)
{
    (void)state;
    struct fm_run_config config, back;
    make_config(&config);
    create(in_root("a/b"), &config, false); // folders above are made, too
    assert_true(fm_run_is_run(in_root("a/b")));
    assert_false(fm_run_is_finished(in_root("a/b")));
    if (fm_run_read_config(in_root("a/b"), &back) != FM_OK)
        fail_msg("%s", fm_error_message());
    assert_true(fm_run_config_same(&config, &back)); // the recipe's 17 digits as well
    assert_string_equal(back.device, config.device);
    assert_string_equal(back.data_directory, config.data_directory);
    assert_int_equal(back.threads, 2);
    assert_int_equal(back.device_index, 1);
    assert_true(back.nondeterministic && !back.tf32);
    assert_true(back.workspace == 0x123456789);
    assert_true(back.max_minutes == 1.5);
    assert_true(json_equal(back.changes, config.changes));
    assert_true(back.has_data);
    assert_string_equal(back.data.directory, "/found");
    assert_same_input(&back.data, &config.data);
    for (int i = 0; i < 3; i++)
        assert_string_equal(back.data.class_names[i], config.data.class_names[i]);
    fm_run_config_free(&back);
    fm_run_config_free(&config);
}

// What an earlier version wrote, which knew no GPU.
static void test_config_without_a_gpu(void **state)
{
    (void)state;
    static const char *const keys[] = {"device_index", "tf32", "nondeterministic", "workspace"};
    struct fm_run_config config, back;
    make_config(&config);
    json_t *json = fm_run_config_to_json(&config);
    for (int i = 0; i < 4; i++)
        assert_int_equal(json_object_del(json, keys[i]), 0);
    assert_ok(fm_run_config_from_json(json, "config.json", &back));
    assert_int_equal(back.device_index, 0);
    assert_false(back.tf32 || back.nondeterministic);
    assert_true(back.workspace == 0);
    json_decref(json);
    fm_run_config_free(&back);
    fm_run_config_free(&config);
}

static void test_same(void **state)
{
    (void)state;
    struct fm_run_config a, b;
    make_config(&a);
    make_config(&b);
    // Not of the identity:
    b.threads = 64;
    b.device_index = 0;
    b.workspace = 0;
    snprintf(b.device, sizeof b.device, "another");
    snprintf(b.data_directory, sizeof b.data_directory, "/elsewhere");
    assert_true(fm_run_config_same(&a, &b));
#define DIFFERS(change, undo)                                                                      \
    do {                                                                                           \
        change;                                                                                    \
        assert_false(fm_run_config_same(&a, &b));                                                  \
        assert_false(fm_run_config_goes_on(&a, &b));                                               \
        undo;                                                                                      \
        assert_true(fm_run_config_same(&a, &b));                                                   \
    } while (0)
    DIFFERS(b.model[0] = 'S', b.model[0] = 's');
    DIFFERS(b.data.classes = 2, b.data.classes = 3);
    DIFFERS(b.precision[0] = 'b', b.precision[0] = 'f');
    DIFFERS(b.seed--, b.seed++);
    DIFFERS(b.full = true, b.full = false);
    DIFFERS(b.has_data = false, b.has_data = true);
    DIFFERS(b.data.crc32[3]--, b.data.crc32[3]++);
    DIFFERS(json_object_set_new(b.recipe, "epochs", json_integer(4)),
        json_object_set_new(b.recipe, "epochs", json_integer(3)));
    DIFFERS(json_object_set_new(b.recipe, "mix", json_real(0.5)),
        json_object_set_new(b.recipe, "mix", json_real(0))); // as good as none
    DIFFERS(json_object_set_new(a.recipe, "mix", json_real(0.5)), json_object_del(a.recipe, "mix"));
#undef DIFFERS
// Not the same run, but it may go on there.
#define MOVES(change, undo)                                                                        \
    do {                                                                                           \
        change;                                                                                    \
        assert_false(fm_run_config_same(&a, &b));                                                  \
        assert_true(fm_run_config_goes_on(&a, &b));                                                \
        undo;                                                                                      \
        assert_true(fm_run_config_same(&a, &b));                                                   \
    } while (0)
    MOVES(b.backend[0] = 'C', b.backend[0] = 'c');
    MOVES(b.emulate = true, b.emulate = false);
    MOVES(b.tf32 = true, b.tf32 = false);
    MOVES(b.nondeterministic = false, b.nondeterministic = true);
#undef MOVES
    fm_run_config_free(&a);
    fm_run_config_free(&b);
}

// Each case replaces the value of one key ("data.crc32.test_labels") by JSON text, or deletes it.
static const struct {
    const char *key, *value, *message;
} wrong_configs[] = {
    {"format", "1", "key \"format\": found 1, expected an integer from 2 to 2"},
    {"model", "3", "key \"model\": found 3, expected a string"},
    {"model", NULL, "key \"model\" is missing, expected a string"},
    {"backend", "\"a name too long for one\"", "expected a string of at most 15 bytes"},
    {"precision", "{}", "key \"precision\": found {}, expected a string"},
    {"emulate", "1", "key \"emulate\": found 1, expected true or false"},
    {"device", NULL, "key \"device\" is missing"},
    {"threads", "-1", "key \"threads\": found -1, expected an integer"},
    {"device_index", "-1", "key \"device_index\": found -1, expected an integer"},
    {"tf32", "1", "key \"tf32\": found 1, expected true or false"},
    {"nondeterministic", "null", "key \"nondeterministic\": found null, expected true or false"},
    {"workspace", "-1", "key \"workspace\": found -1, expected an integer of at least 0"},
    {"workspace", "1.5", "key \"workspace\": found 1.5, expected an integer of at least 0"},
    {"seed", "1.0", "key \"seed\": found 1.0, expected an integer"},
    {"full", "null", "key \"full\": found null, expected true or false"},
    {"max_minutes", "-1", "key \"max_minutes\": found -1, expected a number of at least 0"},
    {"recipe", "\"quick\"", "key \"recipe\": found \"quick\", expected an object"},
    {"recipe_changes", "[]", "key \"recipe_changes\": found [], expected an object"},
    {"data", NULL, "key \"data\" is missing"},
    {"colour", "1", "unknown key \"colour\""},
};

// The same of data.json.
static const struct {
    const char *key, *value, *message;
} wrong_data[] = {
    {"format", "2", "key \"format\": found 2, expected an integer from 1 to 1"},
    {"classes", "1", "key \"classes\": found 1, expected an integer from 2 to 256"},
    {"classes", "\"10\"", "key \"classes\": found \"10\", expected an integer"},
    {"class_names", "[\"a\", \"b\"]",
        "key \"class_names\": found [\"a\",\"b\"], expected an array"},
    {"class_names", "[1, 2, 3]", "key \"class_names\": found [1,2,3], expected an array of str"},
    {"input", "[]", "key \"input\": found [], expected an object"},
    {"input.mean", "null", "key \"input.mean\": found null, expected a number"},
    {"input.deviation", "0", "key \"input.deviation\": found 0, expected a number"},
    {"input.median", "0", "unknown key \"input.median\""},
    {"directory", NULL, "key \"directory\" is missing"},
    {"crc32.test_labels", "\"xyz\"", "key \"crc32.test_labels\": found \"xyz\", expected 8"},
    {"crc32.test_labels", "7", "expected 8 hexadecimal digits"},
};

static void put(json_t *json, const char *key, const char *value)
{
    char name[64];
    const char *dot;
    for (; (dot = strchr(key, '.')); key = dot + 1) {
        snprintf(name, sizeof name, "%.*s", (int)(dot - key), key);
        json = json_object_get(json, name);
    }
    if (value)
        json_object_set_new(json, key, json_loads(value, JSON_DECODE_ANY, NULL));
    else
        assert_int_equal(json_object_del(json, key), 0);
}

static void test_wrong_configs(void **state)
{
    (void)state;
    struct fm_run_config config, read;
    make_config(&config);
    for (size_t i = 0; i < sizeof wrong_configs / sizeof wrong_configs[0]; i++) {
        json_t *json = fm_run_config_to_json(&config);
        assert_non_null(json);
        put(json, wrong_configs[i].key, wrong_configs[i].value);
        if (fm_run_config_from_json(json, "x/config.json", &read) != FM_DATA)
            fail_msg("taken: %s = %s", wrong_configs[i].key, wrong_configs[i].value);
        assert_non_null(strstr(fm_error_message(), "x/config.json: "));
        assert_message(wrong_configs[i].message);
        json_decref(json);
    }
    for (size_t i = 0; i < sizeof wrong_data / sizeof wrong_data[0]; i++) {
        json_t *json = fm_run_data_to_json(&config.data);
        assert_non_null(json);
        put(json, wrong_data[i].key, wrong_data[i].value);
        memset(&read, 0, sizeof read);
        if (fm_run_data_from_json(json, "x/data.json", &read) != FM_DATA)
            fail_msg("taken: %s = %s", wrong_data[i].key, wrong_data[i].value);
        assert_non_null(strstr(fm_error_message(), "x/data.json: "));
        assert_message(wrong_data[i].message);
        json_decref(json);
    }
    fm_run_config_free(&config);

    assert_int_equal(fm_run_read_config(in_root("none"), &read), FM_NOT_FOUND);
    assert_message("none: no such file or folder; 'fmnist train");
    assert_int_equal(fm_run_read_config(root, &read), FM_NOT_FOUND);
    assert_message("holds no run: there is no config.json in it");
    assert_int_equal(fm_file_write(in_root("config.json"), "{\n\"format\": 1,,\n", 16), FM_OK);
    assert_int_equal(fm_run_read_config(root, &read), FM_DATA);
    assert_message("config.json:2: not valid JSON");
}

static void test_not_utf8(void **state)
{
    (void)state;
    struct fm_run_config config;
    make_config(&config);
    assert_int_equal(fm_run_create(in_root("a"), &config, false), FM_OK);
    config.data.class_names[1][0] = '\xff';
    assert_int_equal(fm_run_write_data(in_root("a"), &config.data), FM_DATA);
    assert_message("not UTF-8");
    config.data_directory[0] = '\xff';
    assert_int_equal(fm_run_create(in_root("b"), &config, false), FM_DATA);
    assert_message("not UTF-8");
    fm_run_config_free(&config);
}

static void test_existing(void **state)
{
    (void)state;
    struct fm_run_config config;
    make_config(&config);
    const char *run = in_root("run");
    create(run, &config, true);
    json_t *line = json_pack("{s:i}", "epoch", 1);
    assert_int_equal(fm_run_log(run, FM_RUN_LOG, line), FM_OK);
    json_decref(line);
    assert_int_equal(fm_file_write(in_root("run/notes.txt"), "mine", 4), FM_OK);

    assert_int_equal(fm_run_create(run, &config, false), FM_EXISTS);
    assert_message("holds a run already (result.json); --force replaces it");
    assert_true(fm_run_is_finished(run)); // nothing was touched
    assert_true(fm_path_exists(in_root("run/log.jsonl")));

    assert_int_equal(fm_run_create(run, &config, true), FM_OK);
    assert_false(fm_run_is_finished(run));
    assert_true(fm_run_is_run(run));
    assert_false(fm_path_exists(in_root("run/log.jsonl")));
    assert_true(fm_path_exists(in_root("run/notes.txt"))); // not a run's file

    // Somebody's weights alone are not overwritten either; a folder with other files is taken.
    assert_int_equal(fm_make_dirs(in_root("other")), FM_OK);
    assert_int_equal(fm_file_write(in_root("other/model.safetensors"), "", 0), FM_OK);
    assert_int_equal(fm_run_create(in_root("other"), &config, false), FM_EXISTS);
    assert_message("model.safetensors");
    assert_int_equal(unlink(in_root("other/model.safetensors")), 0);
    assert_int_equal(fm_file_write(in_root("other/notes.txt"), "", 0), FM_OK);
    assert_int_equal(fm_run_create(in_root("other"), &config, false), FM_OK);
    fm_run_config_free(&config);
}

static void test_log_and_result(void **state)
{
    (void)state;
    for (int i = 1; i <= 2; i++) {
        json_t *line = json_pack("{s:i, s:f, s:s}", "epoch", i, "loss", 0.1, "note", "a\nb");
        assert_int_equal(fm_run_log(root, FM_RUN_LOG, line), FM_OK);
        json_decref(line);
    }
    unsigned char *text;
    size_t size;
    assert_int_equal(fm_file_read(in_root("log.jsonl"), &text, &size), FM_OK);
    assert_string_equal((char *)text, "{\"epoch\":1,\"loss\":0.1,\"note\":\"a\\nb\"}\n"
                                      "{\"epoch\":2,\"loss\":0.1,\"note\":\"a\\nb\"}\n");
    free(text);

    json_t *result = NULL;
    assert_int_equal(fm_run_read_result(root, &result), FM_NOT_FOUND);
    assert_message("not finished");
    json_t *written = json_pack("{s:i, s:s, s:f, s:{s:f}}", "format", FM_RESULT_FORMAT, "model",
        "simple", "accuracy", 1.0 / 3, "deep", "x", 0.1);
    assert_int_equal(fm_run_write_result(root, written), FM_OK);
    assert_int_equal(fm_run_read_result(root, &result), FM_OK);
    assert_true(json_equal(written, result));
    json_decref(written);
    json_decref(result);
    assert_int_equal(fm_file_write(in_root("result.json"), "{}", 2), FM_OK);
    assert_int_equal(fm_run_read_result(root, &result), FM_DATA);
    assert_null(result);
    assert_message("result.json: not a result: expected \"format\" 1");
}

// Each number in the digits that it takes, whatever the others take.
static void test_numbers_are_short(void **state)
{
    (void)state;
    json_t *json = json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:s, s:[f, b, i, n]}", "a", 0.1 + 0.2,
        "b", 0.4125, "c", 2.0, "d", 1e-7, "e", -1e300, "f", 0.41249999999999998, "g", "1.50000 \"x",
        "h", 1.0 / 3, 1, 12);
    struct fm_text text = {0};
    fm_json_dump(json, JSON_COMPACT, &text);
    const char *expected = "{\"a\":0.30000000000000004,\"b\":0.4125,\"c\":2.0,\"d\":1e-07,"
                           "\"e\":-1e+300,\"f\":0.4125,\"g\":\"1.50000 \\\"x\","
                           "\"h\":[0.3333333333333333,true,12,null]}";
    assert_string_equal(fm_text_cstr(&text), expected);
    json_t *back = json_loads(fm_text_cstr(&text), JSON_REJECT_DUPLICATES, NULL);
    assert_true(json_equal(json, back));
    json_decref(back);
    json_decref(json);
    fm_text_free(&text);
}

enum {
    CALLERS = 4,
    ROUNDS = 40
};

struct caller {
    pthread_barrier_t *start;
    const struct fm_run_config *config;
    const char *directory;
    enum fm_status status;
};

static void *create_at_once(void *argument)
{
    struct caller *caller = argument;
    pthread_barrier_wait(caller->start);
    caller->status = fm_run_create(caller->directory, caller->config, false);
    fm_error_clear();
    return NULL;
}

// Several trainings that want one folder at the same time: one gets it, the others are told.
static void test_one_of_several_gets_the_folder(void **state)
{
    (void)state;
    struct fm_run_config config;
    pthread_barrier_t start;
    make_config(&config);
    for (int round = 0; round < ROUNDS; round++) {
        struct caller callers[CALLERS];
        pthread_t threads[CALLERS];
        char name[32];
        int made = 0;
        snprintf(name, sizeof name, "round-%d", round);
        const char *directory = in_root(name);
        assert_int_equal(pthread_barrier_init(&start, NULL, CALLERS), 0);
        for (int i = 0; i < CALLERS; i++) {
            callers[i] = (struct caller){&start, &config, directory, FM_OK};
            assert_int_equal(pthread_create(&threads[i], NULL, create_at_once, &callers[i]), 0);
        }
        for (int i = 0; i < CALLERS; i++) {
            pthread_join(threads[i], NULL);
            made += callers[i].status == FM_OK;
            assert_true(callers[i].status == FM_OK || callers[i].status == FM_EXISTS);
        }
        pthread_barrier_destroy(&start);
        if (made != 1)
            fail_msg("round %d: %d runs in one folder", round, made);
        assert_true(fm_run_is_run(directory));
    }
    fm_run_config_free(&config);
}

static bool has_accuracy(const json_t *result, const void *context)
{
    return json_number_value(json_object_get(result, "accuracy")) == *(const double *)context;
}

static void set_time(const char *directory, const char *name, time_t time)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    struct timespec stamps[2] = {{time, 0}, {time, 0}};
    assert_int_equal(utimensat(AT_FDCWD, in_root(path), stamps, 0), 0);
}

static void test_find(void **state)
{
    (void)state;
    struct fm_run_config config, other;
    make_config(&config);
    make_config(&other);
    other.seed = 5;
    char found[FM_PATH_MAX];

    assert_int_equal(fm_run_find(in_root("none"), &config, NULL, NULL, found), FM_NOT_FOUND);
    assert_int_equal(fm_run_find(root, &config, NULL, NULL, found), FM_NOT_FOUND);
    create(in_root("unfinished"), &config, false);
    create(in_root("another"), &other, true);
    assert_int_equal(fm_make_dirs(in_root("broken")), FM_OK);
    assert_int_equal(fm_file_write(in_root("broken/config.json"), "{", 1), FM_OK);
    assert_int_equal(fm_file_write(in_root("broken/result.json"), "{}", 2), FM_OK);
    assert_int_equal(fm_file_write(in_root("file"), "", 0), FM_OK);
    assert_int_equal(fm_run_find(root, &config, NULL, NULL, found), FM_NOT_FOUND);
    assert_string_equal(fm_error_message(), "");

    // The newest of three, whatever their names.
    static const char *const names[] = {"m", "z", "a"};
    static const time_t times[] = {2000, 3000, 1000};
    for (int i = 0; i < 3; i++) {
        create(in_root(names[i]), &config, true);
        set_time(names[i], "result.json", times[i]);
    }
    assert_int_equal(fm_run_find(root, &config, NULL, NULL, found), FM_OK);
    assert_string_equal(found, in_root("z"));
    assert_int_equal(fm_run_find(root, &other, NULL, NULL, found), FM_OK);
    assert_string_equal(found, in_root("another"));

    // One that does not do, or cannot be read, hides none that is older.
    double accuracy = 0.5;
    static const char better[] = "{\"format\": 1, \"model\": \"simple\", \"accuracy\": 0.75}";
    assert_int_equal(fm_file_write(in_root("z/result.json"), better, sizeof better - 1), FM_OK);
    set_time("z", "result.json", 3000);
    assert_int_equal(fm_run_find(root, &config, has_accuracy, &accuracy, found), FM_OK);
    assert_string_equal(found, in_root("m"));
    assert_int_equal(fm_file_write(in_root("m/result.json"), "{", 1), FM_OK);
    set_time("m", "result.json", 2000);
    assert_int_equal(fm_run_find(root, &config, has_accuracy, &accuracy, found), FM_OK);
    assert_string_equal(found, in_root("a"));
    // Nor does one that was moved to another backend and ended there.
    static const char moved[] =
        "{\"format\": 1, \"model\": \"simple\", \"accuracy\": 0.5, \"backend\": \"other\"}";
    assert_int_equal(fm_file_write(in_root("z/result.json"), moved, sizeof moved - 1), FM_OK);
    set_time("z", "result.json", 3000);
    assert_int_equal(fm_run_find(root, &config, has_accuracy, &accuracy, found), FM_OK);
    assert_string_equal(found, in_root("a"));
    accuracy = 1;
    assert_int_equal(fm_run_find(root, &config, has_accuracy, &accuracy, found), FM_NOT_FOUND);
    assert_string_equal(fm_error_message(), "");
    fm_run_config_free(&config);
    fm_run_config_free(&other);
}

// The newest that was begun and has its data, while nobody is training in it.
static void test_find_unfinished(void **state)
{
    (void)state;
    struct fm_run_config config;
    make_config(&config);
    char found[FM_PATH_MAX];
    static const char *const names[] = {"m", "z", "a"};
    static const time_t times[] = {2000, 3000, 1000};
    create(in_root("done"), &config, true);
    assert_int_equal(fm_run_find_unfinished(root, &config, found), FM_NOT_FOUND);
    for (int i = 0; i < 3; i++) {
        create(in_root(names[i]), &config, false);
        set_time(names[i], "config.json", times[i]);
    }
    assert_int_equal(fm_run_find_unfinished(root, &config, found), FM_OK);
    assert_string_equal(found, in_root("z"));
    int lock;
    assert_int_equal(fm_run_lock(in_root("z"), &lock), FM_OK);
    assert_int_equal(fm_run_find_unfinished(root, &config, found), FM_OK);
    assert_string_equal(found, in_root("m"));
    assert_int_equal(remove(in_root("m/data.json")), 0);
    assert_int_equal(fm_run_find_unfinished(root, &config, found), FM_OK);
    assert_string_equal(found, in_root("a"));
    fm_run_unlock(lock);
    config.seed++;
    assert_int_equal(fm_run_find_unfinished(root, &config, found), FM_NOT_FOUND);
    assert_string_equal(fm_error_message(), "");
    fm_run_config_free(&config);
}

// A model that holds its states and nothing else.
struct fm_model {
    const struct fm_net *net;
    float *params, *running;
    int sets;
};

static float *find_state(
    struct fm_model *model, enum fm_state_kind kind, const char *name, size_t count)
{
    return fake_state(model->net, model->params, model->running, kind, name, count);
}

static enum fm_status fake_get(
    struct fm_model *model, enum fm_state_kind kind, const char *name, float *data, size_t count)
{
    memcpy(data, find_state(model, kind, name, count), count * sizeof *data);
    return FM_OK;
}

static enum fm_status fake_set(struct fm_model *model, enum fm_state_kind kind, const char *name,
    const float *data, size_t count)
{
    model->sets++;
    memcpy(find_state(model, kind, name, count), data, count * sizeof *data);
    return FM_OK;
}

static const struct fm_backend fake = {
    .abi = FM_BACKEND_ABI, .name = "fake", .model_get = fake_get, .model_set = fake_set};

// A net with batch norm, small: conv, bn, dense.
static char *const class_names[] = {"T-shirt/top", "Robe d'\xc3\xa9t\xc3\xa9", "\"quoted\""};

static void make_net(struct fm_net *net, const char *name, int channels)
{
    struct fm_input input = {.rows = 4, .cols = 4, .shape = {1, 4, 4}, .standardise = true};
    fm_net_begin(net, name, &input);
    fm_net_set_input_statistics(net, 0.28604063f, 1.0f / 3);
    assert_int_equal(fm_net_conv(net, "conv1", channels, 3, 0, true), FM_OK);
    assert_int_equal(fm_net_batchnorm(net, "bn1"), FM_OK);
    assert_int_equal(fm_net_dense(net, "fc1", 3, true), FM_OK);
    assert_int_equal(fm_net_end(net), FM_OK);
}

static void make_model(struct fm_model *model, const struct fm_net *net)
{
    *model = (struct fm_model){.net = net,
        .params = calloc(net->param_elements, sizeof(float)),
        .running = calloc(net->running_elements, sizeof(float))};
    assert_true(model->params && model->running);
}

static void free_model(struct fm_model *model)
{
    free(model->params);
    free(model->running);
}

static void test_weights_round_trip(void **state)
{
    (void)state;
    static struct fm_net net;
    struct fm_model from, to;
    make_net(&net, "small", 2);
    make_model(&from, &net);
    make_model(&to, &net);
    for (size_t i = 0; i < net.param_elements; i++)
        from.params[i] = 1.0f / (float)(i + 3);
    for (size_t i = 0; i < net.running_elements; i++)
        from.running[i] = -1.0f / (float)(i + 7);
    assert_int_equal(fm_run_save_weights(root, &net, class_names, "split", &fake, &from), FM_OK);
    if (fm_run_load_weights(root, &net, &fake, &to) != FM_OK)
        fail_msg("%s", fm_error_message());
    assert_memory_equal(from.params, to.params, net.param_elements * sizeof(float));
    assert_memory_equal(from.running, to.running, net.running_elements * sizeof(float));

    // The file says the rest of what it takes to predict.
    struct fm_weights weights;
    assert_ok(fm_weights_read(in_root("model.safetensors"), &weights));
    assert_string_equal(weights.model, "small");
    assert_int_equal(weights.classes, 3);
    for (int k = 0; k < 3; k++)
        assert_string_equal(weights.class_names[k], class_names[k]);
    assert_int_equal(weights.input_size, 4);
    for (int c = 0; c < FM_CHANNELS_MAX; c++) {
        assert_true(weights.input_mean[c] == 0.28604063f);
        assert_true(weights.input_deviation[c] == 1.0f / 3);
    }
    assert_string_equal(fm_safetensors_metadata(&weights.tensors, "trained_on"), "split");
    fm_weights_free(&weights);
    assert_ok(fm_run_save_weights(root, &net, class_names, "all", &fake, &from));
    assert_ok(fm_weights_read(in_root("model.safetensors"), &weights));
    assert_string_equal(fm_safetensors_metadata(&weights.tensors, "trained_on"), "all");
    fm_weights_free(&weights);
    free_model(&from);
    free_model(&to);
}

static void assert_load_fails(const struct fm_net *net, const char *message)
{
    struct fm_model model;
    make_model(&model, net);
    if (fm_run_load_weights(root, net, &fake, &model) != FM_DATA)
        fail_msg("loaded; expected: %s", message);
    assert_message(message);
    assert_int_equal(model.sets, 0); // refused before anything was changed
    free_model(&model);
}

// Writes the file again with `tensors` [0, count) of the read one.
static void write_again(const struct fm_tensor_file *file, struct fm_tensor *tensors, int count)
{
    assert_int_equal(fm_safetensors_write(in_root("model.safetensors"), tensors, count,
                         (const char *const *)file->metadata),
        FM_OK);
}

// The file as it was read, but for one value of its metadata; NULL leaves the key out.
static void write_with(const struct fm_tensor_file *file, const char *key, const char *value)
{
    const char *metadata[32];
    int used = 0;
    for (char **pair = file->metadata; pair[0]; pair += 2) {
        bool changed = strcmp(pair[0], key) == 0;
        if (changed && !value)
            continue;
        metadata[used++] = pair[0];
        metadata[used++] = changed ? value : pair[1];
    }
    metadata[used] = NULL;
    assert_ok(
        fm_safetensors_write(in_root("model.safetensors"), file->tensors, file->count, metadata));
}

static const struct {
    const char *key, *value, *message;
} wrong_metadata[] = {
    {"fmnist_format", "1", "found \"1\", expected \"2\": an older fmnist wrote it"},
    {"fmnist_format", "3", "metadata \"fmnist_format\": found \"3\", expected \"2\""},
    {"model", NULL, "metadata \"model\": found nothing, expected a model's name"},
    {"classes", "1", "metadata \"classes\": found \"1\", expected an integer from 2 to 256"},
    {"classes", "ten", "metadata \"classes\": found \"ten\""},
    {"class_names", NULL, "metadata \"class_names\": found nothing"},
    {"class_names", "[\"a\", \"b\"]", "expected a JSON array of strings, a class each"},
    {"class_names", "[\"a\", \"b\", 3]", "expected a JSON array of strings"},
    {"input_mean", "nan", "metadata \"input_mean\": found \"nan\", expected a number"},
    {"input_deviation", "0", "metadata \"input_deviation\": found \"0\", expected a positive"},
};

static void test_wrong_weights(void **state)
{
    (void)state;
    static struct fm_net net, wider, renamed;
    struct fm_model model;
    make_net(&net, "small", 2);
    make_net(&wider, "small", 4);
    make_net(&renamed, "other", 2);
    make_model(&model, &net);
    assert_int_equal(fm_run_save_weights(root, &net, class_names, NULL, &fake, &model), FM_OK);

    assert_load_fails(&renamed, "metadata \"model\": found \"small\", expected \"other\"");
    assert_load_fails(
        &wider, "tensor \"conv1.weight\": found shape [2, 1, 3, 3], expected [4, 1, 3, 3]");

    struct fm_tensor_file file;
    assert_int_equal(fm_safetensors_read(in_root("model.safetensors"), &file), FM_OK);
    struct fm_tensor more[16];
    assert_true(file.count < 15);
    memcpy(more, file.tensors, (size_t)file.count * sizeof more[0]);
    more[file.count] = more[0];
    snprintf(more[file.count].name, sizeof more[0].name, "conv9.weight");
    write_again(&file, more, file.count + 1);
    assert_load_fails(&net, "tensor \"conv9.weight\" is none of model small");
    char missing[256];
    snprintf(missing, sizeof missing, "tensor \"%s\" is missing", more[file.count - 1].name);
    write_again(&file, more, file.count - 1);
    assert_load_fails(&net, missing);
    for (size_t i = 0; i < sizeof wrong_metadata / sizeof wrong_metadata[0]; i++) {
        write_with(&file, wrong_metadata[i].key, wrong_metadata[i].value);
        assert_load_fails(&net, wrong_metadata[i].message);
    }
    write_with(&file, "input_mean", "0.25");
    assert_load_fails(
        &net, "input with mean 0.25 and deviation 0.333333343 in channel 1, expected 0.28604");
    const char *const no_metadata[] = {NULL};
    assert_int_equal(
        fm_safetensors_write(in_root("model.safetensors"), more, file.count, no_metadata), FM_OK);
    assert_load_fails(&net, "its metadata do not say what network it is of");
    fm_safetensors_free(&file);
    free_model(&model);
}

static void test_environment(void **state)
{
    (void)state;
    struct fm_engine engine = {.api = &fake, .info = {.name = "a processor", .threads = 3}};
    char *const argv[] = {"/some where/fmnist", "train", "--out", "my runs/it's", "--x", "", NULL};
    json_t *json = fm_run_environment(&engine, 6, argv);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "command")),
        "fmnist train --out 'my runs/it'\\''s' --x ''");
    assert_string_equal(json_string_value(json_object_get(json, "backend")), "fake");
    assert_int_equal(json_integer_value(json_object_get(json, "threads")), 3);
    const json_t *machine = json_object_get(json, "machine");
    assert_true(json_integer_value(json_object_get(machine, "cores")) >= 1);
    assert_true(json_integer_value(json_object_get(machine, "memory")) > 0);
    assert_true(json_is_string(json_object_get(json_object_get(json, "libraries"), "zlib")));
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_config_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_config_without_a_gpu, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_configs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_utf8, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_existing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_log_and_result, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_numbers_are_short, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_of_several_gets_the_folder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_find, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_find_unfinished, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_weights_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_weights, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_environment, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
