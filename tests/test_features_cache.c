// Kept features: what is believed, what is computed again, and that nothing which is wrong with the
// folder stops a training.
#include "app/train/features_cache.h"

#include "base/log.h"
#include "net/safetensors.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"

#define SCRATCH_NAME "features_cache"
#include "scratch_root.h"

enum {
    ROWS = 11,
    COLUMNS = 3,
    BATCH = 4,
    VALUES = ROWS * COLUMNS,
    BATCH_BYTES = 9 + BATCH * COLUMNS * (int)sizeof(float),
};
static const char about[] = "features of images\nweights 0123\n";
// printf 'features of images\nweights 0123\n' | sha256sum
#define KEY "dcea8ffe3f650419f9a3765afabc97afe08c7b9c7c150f8c8985d58f552d8180"

static float truth[VALUES];

static void make_truth(void)
{
    for (int i = 0; i < VALUES; i++)
        truth[i] = (float)i * 0.37f - 1;
}

static void open_cache(const char *folder, const char *text, struct fm_features_cache *cache)
{
    struct fm_text key = {0};
    fm_text_append(&key, "%s", text);
    assert_ok(fm_features_cache_open(folder, &key, ROWS, COLUMNS, cache));
}

// What is told between the two calls goes into the file "told".
static int saved_stderr = -1;

static void listen(void)
{
    fflush(stderr);
    saved_stderr = dup(2);
    assert_non_null(freopen(in_root("told"), "w", stderr));
}

// The part must be among what was told; NULL: nothing must have been.
static void expect_told(const char *part)
{
    unsigned char *text;
    size_t size;
    fflush(stderr);
    dup2(saved_stderr, 2);
    close(saved_stderr);
    assert_ok(fm_file_read(in_root("told"), &text, &size));
    if (part ? !strstr((char *)text, part) : size > 0)
        fail_msg("told: '%s', expected '%s'", text, part ? part : "");
    free(text);
}

// Computes all that is not kept and returns the number of rows that were.
static size_t fill(const char *folder, size_t stop_after)
{
    struct fm_features_cache cache;
    float values[VALUES];
    size_t kept;
    memset(values, 0xff, sizeof values);
    open_cache(folder, about, &cache);
    if (fm_features_cache_read(&cache, values)) {
        kept = ROWS;
    } else {
        kept = fm_features_cache_begin(&cache, BATCH, values);
        for (size_t done = kept; done < ROWS && done < stop_after;) {
            size_t rows = ROWS - done < BATCH ? ROWS - done : BATCH;
            memcpy(
                values + done * COLUMNS, truth + done * COLUMNS, rows * COLUMNS * sizeof *values);
            fm_features_cache_append(&cache, values + done * COLUMNS, rows);
            done += rows;
        }
        if (stop_after >= ROWS)
            fm_features_cache_finish(&cache, values);
    }
    if (stop_after >= ROWS)
        assert_memory_equal(values, truth, sizeof truth);
    else
        assert_memory_equal(values, truth, kept * COLUMNS * sizeof *values);
    fm_features_cache_close(&cache);
    return kept;
}

static const char *file_of(const char *folder, const char *ending)
{
    static char path[FM_PATH_MAX];
    char name[sizeof "features/" KEY + 16];
    snprintf(name, sizeof name, "features/" KEY "%s", ending);
    assert_ok(fm_path_join(path, folder, name));
    return path;
}

static bool exists(const char *folder, const char *ending)
{
    return fm_path_exists(file_of(folder, ending));
}

// Flips a bit of the byte, counted from the end where it is negative.
static void flip(const char *path, long at)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, -1, SEEK_CUR), 0);
    assert_int_equal(fputc(byte ^ 1, file), byte ^ 1);
    fclose(file);
}

static void what_is_whole_is_taken(void **state)
{
    (void)state;
    listen();
    assert_int_equal(fill(root, ROWS), 0);
    assert_true(exists(root, ".safetensors"));
    assert_false(exists(root, ".partial"));
    assert_int_equal(fill(root, ROWS), ROWS);
    expect_told(NULL);

    struct fm_tensor_file file;
    assert_ok(fm_safetensors_read(file_of(root, ".safetensors"), &file));
    assert_string_equal(fm_safetensors_metadata(&file, "about"), about);
    const struct fm_tensor *tensor = fm_safetensors_find(&file, "features");
    assert_non_null(tensor);
    assert_int_equal(tensor->ndims, 2);
    assert_int_equal(tensor->dims[0], ROWS);
    assert_int_equal(tensor->dims[1], COLUMNS);
    fm_safetensors_free(&file);

    // Of other weights: other files.
    struct fm_features_cache cache;
    float values[VALUES];
    open_cache(root, "features of images\nweights 0124\n", &cache);
    assert_false(fm_features_cache_read(&cache, values));
    assert_int_equal(fm_features_cache_begin(&cache, BATCH, values), 0);
    fm_features_cache_close(&cache);
}

// Whatever is wrong with the file: it is told, and all is computed again and kept.
static void expect_again(const char *told)
{
    listen();
    size_t kept = fill(root, ROWS);
    expect_told(told);
    assert_int_equal(kept, 0);
    listen();
    assert_int_equal(fill(root, ROWS), ROWS);
    expect_told(NULL);
}

static void write_other(const char *text, const float *values, size_t rows, const char *crc)
{
    struct fm_tensor tensor = {.name = "features",
        .ndims = 2,
        .dims = {(int64_t)rows, COLUMNS},
        .count = rows * COLUMNS,
        .data = (float *)(uintptr_t)values};
    const char *const metadata[] = {"about", text, "crc32", crc, NULL};
    assert_ok(fm_safetensors_write(file_of(root, ".safetensors"), &tensor, 1, metadata));
}

static void what_is_damaged_is_computed_again(void **state)
{
    (void)state;
    char crc[9];
    struct stat info;
    fill(root, ROWS);
    struct fm_tensor_file file;
    assert_ok(fm_safetensors_read(file_of(root, ".safetensors"), &file));
    snprintf(crc, sizeof crc, "%s", fm_safetensors_metadata(&file, "crc32"));
    fm_safetensors_free(&file);

    flip(file_of(root, ".safetensors"), -1);
    expect_again("its checksum is wrong: these features are computed again");
    write_other("features of images\nweights 0124\n", truth, ROWS, crc);
    expect_again("is of other features: these features are computed again");
    write_other(about, truth, ROWS - 1, crc);
    expect_again("has another number of values");
    assert_int_equal(stat(file_of(root, ".safetensors"), &info), 0);
    for (off_t size = 0; size < info.st_size; size += 29) {
        assert_int_equal(truncate(file_of(root, ".safetensors"), size), 0);
        expect_again("these features are computed again");
    }
}

static void what_was_begun_is_gone_on_with(void **state)
{
    (void)state;
    listen();
    assert_int_equal(fill(root, BATCH), 0);
    assert_true(exists(root, ".partial"));
    assert_false(exists(root, ".safetensors"));
    assert_int_equal(fill(root, 2 * BATCH), BATCH);
    assert_int_equal(fill(root, ROWS), 2 * BATCH);
    assert_true(exists(root, ".safetensors"));
    assert_false(exists(root, ".partial"));
    assert_int_equal(fill(root, ROWS), ROWS);
    expect_told(NULL);
}

// As a power cut may leave it.
static void a_bad_batch_is_not_believed(void **state)
{
    (void)state;
    static const struct {
        long flipped, size; // 0: not
        size_t kept;
    } cases[] = {
        {BATCH_BYTES + 20, 0, BATCH}, // values of the second
        {BATCH_BYTES + 2, 0, BATCH},  // its checksum
        {20, 0, 0},                   // the first
        {0, 2 * BATCH_BYTES - 1, BATCH},
        {0, BATCH_BYTES + 4, BATCH},
        {0, 5, 0},
        {0, 0, 2 * BATCH},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unlink(file_of(root, ".safetensors"));
        fill(root, 2 * BATCH);
        if (cases[i].flipped > 0)
            flip(file_of(root, ".partial"), cases[i].flipped);
        if (cases[i].size > 0)
            assert_int_equal(truncate(file_of(root, ".partial"), cases[i].size), 0);
        size_t kept = fill(root, ROWS);
        if (kept != cases[i].kept)
            fail_msg("case %zu: %zu rows believed, expected %zu", i, kept, cases[i].kept);
    }
    // All rows are there, but never became the whole file.
    unlink(file_of(root, ".safetensors"));
    fill(root, ROWS - 1);
    assert_int_equal(fill(root, ROWS), 2 * BATCH);
}

static void another_process_has_it(void **state)
{
    (void)state;
    struct fm_features_cache first;
    float values[VALUES];
    open_cache(root, about, &first);
    assert_int_equal(fm_features_cache_begin(&first, BATCH, values), 0);
    fm_features_cache_append(&first, truth, BATCH);
    listen();
    assert_int_equal(fill(root, ROWS), 0); // a lock is of the open file, not of the process
    expect_told("another process is computing the same: computed features are not kept");
    assert_false(exists(root, ".safetensors"));
    fm_features_cache_append(&first, truth + (size_t)BATCH * COLUMNS, BATCH);
    fm_features_cache_close(&first);
    assert_int_equal(fill(root, ROWS), 2 * BATCH); // what the first wrote is whole
}

static void a_folder_that_cannot_be_written(void **state)
{
    (void)state;
    assert_int_equal(scratch_write(in_root("file"), "x", 1), 0);
    listen();
    assert_int_equal(fill(in_root("file"), ROWS), 0);
    expect_told("computed features are not kept");
    listen();
    assert_int_equal(fill(NULL, ROWS), 0); // none wanted
    expect_told(NULL);
    if (geteuid() == 0)
        return; // whom permissions do not stop
    assert_int_equal(mkdir(in_root("shut"), 0777), 0);
    assert_int_equal(mkdir(in_root("shut/features"), 0555), 0);
    listen();
    assert_int_equal(fill(in_root("shut"), ROWS), 0);
    expect_told("cannot be written");
}

// A limit of a file's size stands for a disk that is full; in a process of its own.
static void a_full_disk(void **state)
{
    (void)state;
    struct rlimit limit = {BATCH_BYTES + 10, BATCH_BYTES + 10};
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        FILE *told = freopen(in_root("told"), "w", stderr);
        setvbuf(stderr, NULL, _IONBF, 0);
        if (!told || setrlimit(RLIMIT_FSIZE, &limit) != 0)
            _exit(3);
        _exit(fill(root, ROWS) == 0 ? 0 : 2);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_false(exists(root, ".safetensors"));
    listen(); // empties what was told
    expect_told(NULL);
    // There is room again: what was written before the disk was full is of use.
    assert_int_equal(fill(root, ROWS), BATCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_whole_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_damaged_is_computed_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_begun_is_gone_on_with, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bad_batch_is_not_believed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_process_has_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk, set_up, tear_down),
    };
    make_truth();
    return cmocka_run_group_tests_name("features_cache", tests, NULL, NULL);
}
