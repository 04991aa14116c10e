// Traces: what is in the file, as a JSON parser reads it; threads and their rows; files that are
// cut off; disks that are full.
#include "base/trace.h"

#include "base/clock.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"
#include "scratch.h"

static char folder[SCRATCH_PATH_MAX];
static char path[SCRATCH_PATH_MAX + 32];

static int set_up(void **state)
{
    (void)state;
    scratch_make(folder, "trace");
    snprintf(path, sizeof path, "%s/trace.json", folder);
    fm_error_clear();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fm_trace_close(); // what a failed test left open
    scratch_remove(folder);
    return 0;
}

static double microseconds(const json_t *event, const char *key)
{
    const json_t *value = json_object_get(event, key);
    assert_true(json_is_number(value));
    assert_true(json_number_value(value) >= 0);
    return json_number_value(value);
}

static const char *text_of(const json_t *event, const char *key)
{
    const char *text = json_string_value(json_object_get(event, key));
    assert_non_null(text);
    return text;
}

static int row_of(const json_t *event)
{
    assert_true(json_is_integer(json_object_get(event, "tid")));
    return (int)json_integer_value(json_object_get(event, "tid"));
}

// The array in the file, every entry of which has what the format wants.
static json_t *read_trace(void)
{
    json_error_t error;
    json_t *events = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!events)
        fail_msg("%s:%d: %s", path, error.line, error.text);
    assert_true(json_is_array(events));
    size_t i;
    json_t *event;
    json_array_foreach(events, i, event)
    {
        const char *phase = text_of(event, "ph");
        assert_true(strlen(text_of(event, "name")) > 0);
        assert_int_equal(json_integer_value(json_object_get(event, "pid")), getpid());
        assert_true(row_of(event) >= 1);
        if (strcmp(phase, "X") == 0) {
            microseconds(event, "ts");
            microseconds(event, "dur");
        } else {
            assert_string_equal(phase, "M");
            assert_string_equal(text_of(event, "name"), "thread_name");
            text_of(json_object_get(event, "args"), "name");
        }
    }
    return events;
}

// The name of a row; NULL if it has none.
static const char *row_name(const json_t *events, int row)
{
    size_t i;
    json_t *event;
    json_array_foreach((json_t *)events, i, event)
    {
        if (strcmp(text_of(event, "ph"), "M") == 0 && row_of(event) == row)
            return text_of(json_object_get(event, "args"), "name");
    }
    return NULL;
}

static int count_events(const json_t *events, const char *phase, const char *name)
{
    int count = 0;
    size_t i;
    json_t *event;
    json_array_foreach((json_t *)events, i, event)
    {
        count += strcmp(text_of(event, "ph"), phase) == 0 &&
                 (!name || strcmp(text_of(event, "name"), name) == 0);
    }
    return count;
}

static void wait_a_little(void)
{
    double start = fm_clock_seconds();
    while (fm_clock_seconds() - start < 20e-6)
        ;
}

enum {
    PAIRS = 300
};

// Outer events that hold two inner ones each.
static void *nest_events(void *name)
{
    if (name)
        fm_trace_thread(name);
    for (int i = 0; i < PAIRS; i++) {
        double outer = fm_trace_begin();
        for (int k = 0; k < 2; k++) {
            double inner = fm_trace_begin();
            wait_a_little();
            fm_trace_end(inner, "inner", -1);
        }
        fm_trace_end(outer, "outer", i);
    }
    if (name)
        fm_trace_thread(NULL);
    return NULL;
}

// Events of one row stand in the order of their ends; an outer one holds the two before it, which
// follow each other, and comes after the outer one before it.
static void check_nesting(const json_t *events, int row)
{
    double begins[2] = {0}, ends[2] = {0}, last_end = 0, outer_end = 0;
    int inner = 0, outers = 0;
    size_t i;
    json_t *event;
    json_array_foreach((json_t *)events, i, event)
    {
        if (row_of(event) != row || strcmp(text_of(event, "ph"), "X") != 0)
            continue;
        // Sums of decimals: a billionth of a microsecond is no disorder.
        double begin = microseconds(event, "ts"), end = begin + microseconds(event, "dur") + 1e-6;
        assert_true(end >= last_end);
        last_end = end - 2e-6;
        if (strcmp(text_of(event, "name"), "inner") == 0) {
            assert_true(inner < 2);
            assert_null(json_object_get(event, "args"));
            assert_true(end - begin >= 20);
            begins[inner] = begin;
            ends[inner++] = end;
            continue;
        }
        assert_string_equal(text_of(event, "name"), "outer");
        assert_int_equal(inner, 2);
        assert_true(begin >= outer_end - 2e-6 && begin <= begins[0] + 1e-6);
        assert_true(ends[0] <= begins[1] + 2e-6 && ends[1] <= end + 1e-6);
        json_t *step = json_object_get(json_object_get(event, "args"), "step");
        assert_int_equal(json_integer_value(step), outers);
        outer_end = end;
        outers++;
        inner = 0;
    }
    assert_int_equal(outers, PAIRS);
    assert_int_equal(inner, 0);
}

static void threads_have_rows_of_events(void **state)
{
    (void)state;
    pthread_t thread;
    assert_ok(fm_trace_open(path));
    double start = fm_clock_seconds();
    assert_int_equal(pthread_create(&thread, NULL, nest_events, (void *)"loader"), 0);
    nest_events(NULL);
    pthread_join(thread, NULL);
    double taken = 1e6 * (fm_clock_seconds() - start);
    assert_ok(fm_trace_close());

    json_t *events = read_trace();
    assert_int_equal(json_array_size(events), 2 + 2 * 3 * PAIRS);
    assert_string_equal(row_name(events, 1), "main");
    assert_string_equal(row_name(events, 2), "loader");
    assert_null(row_name(events, 3));
    check_nesting(events, 1);
    check_nesting(events, 2);
    const json_t *last = json_array_get(events, json_array_size(events) - 1);
    double end = microseconds(last, "ts") + microseconds(last, "dur");
    assert_true(end >= 40 * PAIRS && end <= taken + 1e5); // microseconds, from the opening
    json_decref(events);
}

static void *one_event(void *name)
{
    fm_trace_thread(name);
    fm_trace_end(fm_trace_begin(), "event", 7);
    fm_trace_thread(NULL);
    return NULL;
}

static void *unnamed_event(void *unused)
{
    fm_trace_end(fm_trace_begin(), "event", -1);
    return unused;
}

static void in_thread(void *(*function)(void *), const char *name)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, function, (void *)name), 0);
    pthread_join(thread, NULL);
}

static void ended_threads_give_their_rows_back(void **state)
{
    (void)state;
    assert_ok(fm_trace_open(path));
    for (int i = 0; i < 3; i++)
        in_thread(one_event, "loader");
    in_thread(one_event, "other");
    fm_trace_thread("loader"); // the main thread takes the free row
    in_thread(one_event, "loader");
    in_thread(unnamed_event, NULL);
    assert_ok(fm_trace_close());
    json_t *events = read_trace();
    assert_string_equal(row_name(events, 2), "loader");
    assert_string_equal(row_name(events, 3), "other");
    assert_string_equal(row_name(events, 4), "loader");
    assert_string_equal(row_name(events, 5), "thread");
    assert_int_equal(count_events(events, "M", NULL), 5);
    assert_int_equal(count_events(events, "X", "event"), 6);
    json_decref(events);

    // More threads than there are rows: they share the last.
    assert_ok(fm_trace_open(path));
    for (int i = 0; i < 100; i++)
        in_thread(unnamed_event, NULL);
    assert_ok(fm_trace_close());
    events = read_trace();
    assert_int_equal(count_events(events, "X", "event"), 100);
    assert_int_equal(count_events(events, "M", NULL), 64);
    json_decref(events);
}

static void nothing_happens_while_none_is_open(void **state)
{
    (void)state;
    assert_ok(fm_trace_open(NULL));
    assert_true(fm_trace_begin() < 0);
    fm_trace_thread("main");
    fm_trace_end(fm_trace_begin(), "event", 1);
    fm_trace_end(fm_clock_seconds(), "event", 1);
    assert_ok(fm_trace_close());
    assert_int_not_equal(access(path, F_OK), 0);

    // What began before a trace is not in it, whether or not another was open then.
    double none = fm_trace_begin();
    assert_ok(fm_trace_open(path));
    double former = fm_trace_begin();
    assert_ok(fm_trace_close());
    assert_ok(fm_trace_open(path)); // in place of the former
    fm_trace_end(none, "event", 1);
    fm_trace_end(former, "event", 1);
    assert_ok(fm_trace_close());
    json_t *events = read_trace();
    assert_int_equal(json_array_size(events), 1);
    assert_string_equal(row_name(events, 1), "main");
    json_decref(events);
}

static void misuse_is_refused(void **state)
{
    (void)state;
    char wrong[SCRATCH_PATH_MAX + 32];
    snprintf(wrong, sizeof wrong, "%s/none/trace.json", folder);
    assert_fails(fm_trace_open(wrong), FM_IO, wrong);
    assert_fails(fm_trace_open(folder), FM_IO, "cannot write the trace: Is a directory");
    assert_true(fm_trace_begin() < 0);
    assert_ok(fm_trace_open(path)); // a failed opening leaves nothing behind
    assert_fails(fm_trace_open(wrong), FM_USAGE, path);
    assert_ok(fm_trace_close());
}

static void write_events(int count)
{
    for (int i = 0; i < count; i++)
        fm_trace_end(fm_trace_begin(), "event", i);
}

// A process killed at any moment leaves whole events: with the bracket that the format lets it
// leave out, what is in the file is JSON.
static void a_killed_process_leaves_whole_events(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        pid_t child = fork();
        if (child == 0) {
            if (fm_trace_open(path) != FM_OK)
                _exit(1);
            write_events(1500 + 211 * round);
            raise(SIGKILL);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

        static char text[1 << 20];
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        size_t size = fread(text, 1, sizeof text - 2, file);
        fclose(file);
        assert_true(size > 60000 && size < sizeof text - 2); // what the buffer does not hold
        json_error_t error;
        assert_null(json_loadb(text, size, 0, &error));
        text[size++] = ']';
        json_t *events = json_loadb(text, size, 0, &error);
        if (!events)
            fail_msg("round %d, line %d: %s", round, error.line, error.text);
        assert_true(count_events(events, "X", "event") > 500);
        json_decref(events);
    }
}

// Runs in between with standard error in a file, which it returns.
static void capture(void (*function)(void), char *out, size_t size)
{
    char name[SCRATCH_PATH_MAX + 32];
    snprintf(name, sizeof name, "%s/stderr", folder);
    int file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0666), before = dup(STDERR_FILENO);
    assert_true(file >= 0 && before >= 0);
    fflush(stderr);
    dup2(file, STDERR_FILENO);
    function();
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    ssize_t length = pread(file, out, size - 1, 0);
    close(file);
    assert_true(length >= 0);
    out[length] = '\0';
}

static void write_many_events(void)
{
    write_events(5000);
}

static void a_full_disk_is_an_error(void **state)
{
    (void)state;
    char text[4096];
    if (access("/dev/full", W_OK) != 0)
        skip();
    // Noticed while the trace is open: warned of once, and nothing is kept from then on.
    assert_ok(fm_trace_open("/dev/full"));
    capture(write_many_events, text, sizeof text);
    const char *warning = strstr(text, "warning: /dev/full: cannot write the trace, which ends "
                                       "here: No space left on device\n");
    assert_ptr_equal(warning, text);
    assert_null(strstr(warning + 1, "warning"));
    assert_true(fm_trace_begin() < 0);
    assert_fails(fm_trace_close(), FM_IO, "/dev/full: cannot write the trace: No space left");

    // Noticed at the end: the failure alone.
    assert_ok(fm_trace_open("/dev/full"));
    write_events(3);
    assert_true(fm_trace_begin() >= 0);
    assert_fails(fm_trace_close(), FM_IO, "/dev/full: cannot write the trace: No space left");

    // It does not stick.
    assert_ok(fm_trace_open(path));
    write_events(3);
    assert_ok(fm_trace_close());
    json_t *events = read_trace();
    assert_int_equal(count_events(events, "X", "event"), 3);
    json_decref(events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(threads_have_rows_of_events),
        T(ended_threads_give_their_rows_back),
        T(nothing_happens_while_none_is_open),
        T(misuse_is_refused),
        T(a_killed_process_leaves_whole_events),
        T(a_full_disk_is_an_error),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
