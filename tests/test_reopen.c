// Run folders that are opened again: logs cut back to a checkpoint, one process at a time, what a
// killed one left taken away, and a machine that is another one told.
#include "run/run.h"

#include "run/checkpoint.h"
#include "run/compute.h"
#include "run/json.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"

#define SCRATCH_NAME "reopen"
#include "scratch_root.h"

static void put(const char *name, const char *text)
{
    assert_int_equal(scratch_write(in_root(name), text, strlen(text)), 0);
}

static void expect_text(const char *name, const char *expected)
{
    unsigned char *text;
    size_t size;
    assert_ok(fm_file_read(in_root(name), &text, &size));
    assert_string_equal((const char *)text, expected);
    free(text);
}

// ---- Logs

#define LINE(epoch, step) "{\"epoch\":" #epoch ",\"step\":" #step ",\"loss\":0.5}\n"

static void expect_cut(
    const char *before, uint64_t step, int epoch, const char *after, int64_t last_step)
{
    json_t *last;
    put(FM_RUN_LOG, before);
    assert_ok(fm_run_cut_log(root, FM_RUN_LOG, step, epoch, &last));
    expect_text(FM_RUN_LOG, after);
    if (last_step < 0)
        assert_null(last);
    else
        assert_int_equal(json_integer_value(json_object_get(last, "step")), last_step);
    json_decref(last);
    // What is cut is as it should be: once more changes nothing.
    assert_ok(fm_run_cut_log(root, FM_RUN_LOG, step, epoch, NULL));
    expect_text(FM_RUN_LOG, after);
}

static void a_log_is_cut_back_to_the_checkpoint(void **state)
{
    (void)state;
    static const char three[] = LINE(1, 10) LINE(2, 20) LINE(3, 30);
    expect_cut(three, 30, 3, three, 30);
    expect_cut(three, 29, 2, LINE(1, 10) LINE(2, 20), 20);
    expect_cut(three, 20, 2, LINE(1, 10) LINE(2, 20), 20);
    // All steps of the third epoch done, but not yet the epoch: its line came later.
    expect_cut(three, 30, 2, LINE(1, 10) LINE(2, 20), 20);
    expect_cut(three, 5, 0, "", -1);
    expect_cut(three, 0, 0, "", -1);
    expect_cut("", 30, 3, "", -1);
    // A line at the place of the checkpoint itself stays, and of several the last is told.
    expect_cut(LINE(1, 7) LINE(1, 10) LINE(1, 10), 10, 1, LINE(1, 7) LINE(1, 10) LINE(1, 10), 10);
    // After the cut nothing is looked at.
    expect_cut(LINE(1, 10) LINE(2, 20) "rubbish\n", 10, 1, LINE(1, 10), 10);
}

static void a_line_without_its_end_is_cut_off(void **state)
{
    (void)state;
    expect_cut(LINE(1, 10) "{\"epoch\":2,\"st", 20, 2, LINE(1, 10), 10);
    expect_cut("{\"epo", 20, 2, "", -1);
    // Even if it could be read: its number may go on.
    expect_cut(LINE(1, 10) "{\"epoch\":2,\"step\":20}", 20, 2, LINE(1, 10), 10);
}

static void a_log_that_is_not_there_needs_no_cut(void **state)
{
    (void)state;
    json_t *last;
    assert_ok(fm_run_cut_log(root, FM_RUN_TIMES, 10, 1, &last));
    assert_null(last);
    assert_false(fm_path_exists(in_root(FM_RUN_TIMES)));
}

static void a_line_that_is_none_is_told_by_its_number(void **state)
{
    (void)state;
    static const char *const wrong[] = {"rubbish\n", "\n", "[1, 2]\n", "{\"epoch\":2}\n",
        "{\"epoch\":2,\"step\":\"20\"}\n", "{\"epoch\":2.0,\"step\":20}\n", "{\"epoch\":2,\"st\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[256], line[64];
        snprintf(text, sizeof text, "%s%s%s", LINE(1, 10), wrong[i], LINE(3, 30));
        put(FM_RUN_LOG, text);
        json_t *last;
        assert_fails(
            fm_run_cut_log(root, FM_RUN_LOG, 40, 4, &last), FM_DATA, "log.jsonl:2: found '");
        assert_null(last);
        expect_text(FM_RUN_LOG, text); // nothing is cut off
        put(FM_RUN_LOG, text);
        snprintf(line, sizeof line, "%.*s", (int)strlen(wrong[i]) - 1, wrong[i]);
        fm_run_cut_log(root, FM_RUN_LOG, 40, 4, NULL);
        assert_message(line);
    }
}

// ---- One process at a time

static const struct fm_run_config *small_config(void)
{
    static struct fm_run_config config = {
        .model = "simple", .backend = "cpu", .precision = "fp32", .device = "a processor"};
    config.recipe = json_object();
    config.changes = json_object();
    return &config;
}

static void make_run(const char *name)
{
    struct fm_run_config config = *small_config();
    assert_ok(fm_run_create(in_root(name), &config, false));
    fm_run_config_free(&config);
}

// Exit status of another process that wants the folder: 0 if it got it, 1 if it was refused.
static int try_elsewhere(const char *directory)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int lock;
        enum fm_status status = fm_run_lock(directory, &lock);
        if (status == FM_OK)
            _exit(0);
        bool told = strstr(fm_error_message(), ": another process is training in this folder");
        _exit(status == FM_EXISTS && lock < 0 && told ? 1 : 2);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    return WEXITSTATUS(how);
}

static void one_process_trains_in_a_folder(void **state)
{
    (void)state;
    int lock, again;
    make_run("run");
    assert_ok(fm_run_lock(in_root("run"), &lock));
    assert_int_equal(try_elsewhere(in_root("run")), 1);
    assert_fails(fm_run_lock(in_root("run"), &again), FM_EXISTS, "another process"); // nor here
    assert_int_equal(again, -1);
    fm_run_unlock(again);
    make_run("other");
    assert_int_equal(try_elsewhere(in_root("other")), 0); // another folder is free
    fm_run_unlock(lock);
    assert_int_equal(try_elsewhere(in_root("run")), 0); // and a process that ends lets go
    assert_ok(fm_run_lock(in_root("run"), &lock));
    fm_run_unlock(lock);
    assert_fails(fm_run_lock(in_root("none"), &lock), FM_IO, "none/config.json: cannot open");
    assert_int_equal(lock, -1);
}

// ---- What a killed process left

static void what_is_half_written_is_swept_away(void **state)
{
    (void)state;
    static const char *const gone[] = {"result.json" FM_TEMPORARY_MARK "17-0",
        FM_CHECKPOINT_LAST FM_TEMPORARY_MARK "new",
        FM_CHECKPOINT_LAST FM_TEMPORARY_MARK "new" FM_TEMPORARY_MARK "1234-0",
        FM_RUN_LOG FM_TEMPORARY_MARK "17-3", "config.json" FM_TEMPORARY_MARK "2-0",
        "model.safetensors" FM_TEMPORARY_MARK "2-0", "data.json" FM_TEMPORARY_MARK "2-0"};
    static const char *const kept[] = {"config.json", FM_CHECKPOINT_LAST, FM_RUN_LOG,
        "notes" FM_TEMPORARY_MARK "1", "result.json.bak", "my-result.json" FM_TEMPORARY_MARK "1",
        FM_TEMPORARY_MARK "1"};
    enum {
        GONE = sizeof gone / sizeof gone[0],
        KEPT = sizeof kept / sizeof kept[0]
    };
    for (int i = 0; i < GONE; i++)
        put(gone[i], "half");
    for (int i = 0; i < KEPT; i++)
        put(kept[i], "whole");
    assert_ok(fm_run_sweep(root));
    for (int i = 0; i < GONE; i++)
        if (fm_path_exists(in_root(gone[i])))
            fail_msg("%s is still there", gone[i]);
    for (int i = 0; i < KEPT; i++)
        expect_text(kept[i], "whole");
    assert_fails(fm_run_sweep(in_root("none")), FM_IO, "none: cannot read the directory");
}

static void a_beginning_that_came_to_nothing_is_discarded(void **state)
{
    (void)state;
    make_run("above/run");
    fm_run_discard(in_root("above/run"));
    assert_false(fm_path_exists(in_root("above/run")));
    assert_true(fm_path_is_dir(in_root("above")));

    make_run("with-notes");
    put("with-notes/notes.txt", "mine");
    fm_run_discard(in_root("with-notes"));
    assert_false(fm_run_is_run(in_root("with-notes")));
    expect_text("with-notes/notes.txt", "mine");

    make_run("begun"); // it has read its data: there may be something to go on from
    put("begun/data.json", "{}");
    fm_run_discard(in_root("begun"));
    assert_true(fm_run_is_run(in_root("begun")));
    fm_run_discard(in_root("none"));
    assert_string_equal(fm_error_message(), "");
}

// ---- What computes

static json_t *make_compute(const char *device, int threads, const char *plan)
{
    json_t *json = json_pack(
        "{s:i, s:s, s:i, s:[s]}", "format", 1, "device", device, "threads", threads, "plans", plan);
    assert_non_null(json);
    return json;
}

// What a call writes to standard error, for the warning in it.
static const char *record_of(
    const json_t *compute, enum fm_status expected, bool resumed, bool strict)
{
    static char text[2048];
    int kept = dup(STDERR_FILENO);
    int fd = open(in_root("stderr"), O_RDWR | O_CREAT | O_TRUNC, 0666);
    assert_true(kept >= 0 && fd >= 0);
    fflush(stderr);
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
    enum fm_status status = fm_compute_record(root, compute, resumed, strict);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    close(fd);
    assert_true(length >= 0);
    text[length] = '\0';
    assert_int_equal(status, expected);
    return text;
}

static const char *record_and_catch(const json_t *compute, enum fm_status expected, bool strict)
{
    return record_of(compute, expected, fm_path_exists(in_root(FM_COMPUTE_FILE)), strict);
}

static json_t *recorded(void)
{
    json_t *json;
    assert_ok(fm_json_read_file(in_root(FM_COMPUTE_FILE), &json, NULL));
    return json;
}

static void another_machine_is_told_and_noted(void **state)
{
    (void)state;
    json_t *first = make_compute("an old one", 2, "conv1: direct");
    json_t *second = make_compute("a new one", 4, "conv1: direct");
    json_t *third = make_compute("a new one", 4, "conv1: winograd");
    json_t *json;
    assert_string_equal(record_and_catch(first, FM_OK, true), "");
    json = recorded();
    assert_true(json_equal(json, first));
    json_decref(json);
    assert_string_equal(record_and_catch(first, FM_OK, true), ""); // the same is no change
    json = recorded();
    assert_true(json_equal(json, first));
    json_decref(json);

    static const char change[] = "device was \"an old one\", is \"a new one\"; threads was 2, is 4";
    assert_string_equal(record_and_catch(second, FM_UNSUPPORTED, true), "");
    assert_message(change);
    json = recorded();
    assert_true(json_equal(json, first)); // strict: nothing is changed
    json_decref(json);
    const char *warning = record_and_catch(second, FM_OK, false);
    assert_non_null(strstr(warning, "warning: what computes has changed since the run began: "));
    assert_non_null(strstr(warning, change));
    assert_string_equal(record_and_catch(second, FM_OK, true), ""); // told once
    assert_non_null(strstr(record_and_catch(third, FM_OK, false), "other plans were chosen"));

    json = recorded();
    json_t *changes = json_object_get(json, "changed");
    assert_int_equal(json_array_size(changes), 2);
    assert_string_equal(json_string_value(json_array_get(changes, 0)), change);
    assert_string_equal(json_string_value(json_array_get(changes, 1)), "other plans were chosen");
    assert_int_equal(json_object_del(json, "changed"), 0);
    assert_true(json_equal(json, third));
    json_decref(json);

    // What an earlier version did not know is a change only where it is in use.
    json_object_set_new(third, "tf32", json_false());
    assert_string_equal(record_and_catch(third, FM_OK, true), "");
    json_object_set_new(third, "tf32", json_true());
    assert_string_equal(record_and_catch(third, FM_UNSUPPORTED, true), "");
    assert_message("tf32 was not told, is true");
    json_object_del(third, "tf32");

    put(FM_COMPUTE_FILE, "{\n\"format\": 1,,\n");
    assert_string_equal(record_and_catch(third, FM_DATA, false), "");
    assert_message("compute.json:2: not valid JSON");

    // A run that is resumed without one.
    assert_int_equal(remove(in_root(FM_COMPUTE_FILE)), 0);
    assert_string_equal(record_of(third, FM_UNSUPPORTED, true, true), "");
    assert_message("compute.json: is missing");
    assert_false(fm_path_exists(in_root(FM_COMPUTE_FILE)));
    assert_non_null(strstr(record_of(third, FM_OK, true, false), "compute.json is missing"));
    json = recorded();
    assert_true(json_equal(json, third));
    json_decref(json);
    json_decref(first);
    json_decref(second);
    json_decref(third);
}

static void emit_plans(const struct fm_executor *executor,
    void (*emit)(void *context, const char *line), void *context)
{
    emit(context, (const char *)executor);
    emit(context, "fc1 forward: gemm");
}

static void what_computes_is_described(void **state)
{
    (void)state;
    static const struct fm_backend fake = {.name = "fake", .executor_plans = emit_plans};
    const struct fm_engine engine = {.api = &fake,
        .info = {.name = "a processor", .details = "2 threads", .libraries = "lib 1", .threads = 2},
        .options = {.tf32 = true}};
    struct fm_executor *const executors[] = {
        (struct fm_executor *)"conv1 forward: direct", (struct fm_executor *)"conv1 forward: jit"};
    json_t *json = fm_compute_describe(&engine, executors, 2);
    assert_non_null(json);
    assert_string_equal(fm_json_string(json, "backend"), "fake");
    assert_string_equal(fm_json_string(json, "device"), "a processor");
    assert_string_equal(fm_json_string(json, "details"), "2 threads");
    assert_string_equal(fm_json_string(json, "libraries"), "lib 1");
    assert_int_equal(json_integer_value(json_object_get(json, "threads")), 2);
    assert_true(json_is_true(json_object_get(json, "tf32")));
    assert_true(json_is_false(json_object_get(json, "nondeterministic")));
    static const char *const told[] = {"version", "build", "compiler"};
    for (int i = 0; i < 3; i++)
        assert_true(fm_json_string(json, told[i])[0] != '\0');
    json_t *plans = json_object_get(json, "plans");
    assert_int_equal(json_array_size(plans), 4);
    assert_string_equal(json_string_value(json_array_get(plans, 2)), "conv1 forward: jit");
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_log_is_cut_back_to_the_checkpoint, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_line_without_its_end_is_cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_log_that_is_not_there_needs_no_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_line_that_is_none_is_told_by_its_number, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_process_trains_in_a_folder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_half_written_is_swept_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_beginning_that_came_to_nothing_is_discarded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_machine_is_told_and_noted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_computes_is_described, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
