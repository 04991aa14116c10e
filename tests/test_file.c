// Files: whole or not at all; and the error record that every failure ends in.
#include "base/file.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"

static char scratch[SCRATCH_PATH_MAX];

static int set_up(void **state)
{
    (void)state;
    scratch_make(scratch, "file");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(scratch);
    return 0;
}

static int forget_error(void **state)
{
    (void)state;
    fm_error_clear();
    return 0;
}

static int entries(const char *path)
{
    int count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2; // "." and ".."
}

static void in_scratch(char out[FM_PATH_MAX], const char *name)
{
    assert_int_equal(fm_path_join(out, scratch, name), FM_OK);
}

static void paths_are_joined(void **state)
{
    (void)state;
    char out[FM_PATH_MAX], long_name[FM_PATH_MAX + 1];
    assert_int_equal(fm_path_join(out, "a", "b"), FM_OK);
    assert_string_equal(out, "a/b");
    assert_int_equal(fm_path_join(out, "a/", "b"), FM_OK);
    assert_string_equal(out, "a/b");
    assert_int_equal(fm_path_join(out, "", "b"), FM_OK);
    assert_string_equal(out, "b");
    memset(long_name, 'x', sizeof long_name);
    long_name[FM_PATH_MAX - 3] = '\0';
    assert_int_equal(fm_path_join(out, "a", long_name), FM_OK);
    assert_int_equal(fm_path_join(out, "ab", long_name), FM_IO);
    assert_non_null(strstr(fm_error_message(), "too long"));
    fm_error_clear();
    assert_int_equal(fm_path_copy(out, "a/b"), FM_OK);
    assert_string_equal(out, "a/b");
    long_name[FM_PATH_MAX - 3] = 'x';
    long_name[FM_PATH_MAX] = '\0';
    assert_int_equal(fm_path_copy(out, long_name), FM_IO);
    long_name[FM_PATH_MAX - 1] = '\0';
    assert_int_equal(fm_path_copy(out, long_name), FM_OK);
    assert_string_equal(out, long_name);
}

static void the_library_is_found(void **state)
{
    (void)state;
    char directory[FM_PATH_MAX], program[FM_PATH_MAX];
    assert_int_equal(fm_library_directory(directory), FM_OK);
    assert_int_equal(fm_path_join(program, directory, "test_file"), FM_OK);
    assert_true(fm_path_exists(program));
}

static void directories_are_made_with_their_parents(void **state)
{
    (void)state;
    char path[FM_PATH_MAX], file[FM_PATH_MAX];
    in_scratch(path, "one/two//three/");
    assert_int_equal(fm_make_dirs(path), FM_OK);
    assert_true(fm_path_is_dir(path));
    assert_int_equal(fm_make_dirs(path), FM_OK);

    in_scratch(file, "in-the-way");
    assert_int_equal(fm_file_write(file, "x", 1), FM_OK);
    assert_false(fm_path_is_dir(file));
    in_scratch(path, "in-the-way/below");
    assert_int_equal(fm_make_dirs(path), FM_IO);
    assert_non_null(strstr(fm_error_message(), file));
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    char path[FM_PATH_MAX];
    unsigned char *data = NULL, *large = malloc(3000000);
    size_t size = 0;
    in_scratch(path, "chunks");
    const struct fm_chunk chunks[] = {{"abc", 3}, {"", 0}, {"\0d", 2}};
    assert_int_equal(fm_file_write_chunks(path, chunks, 3), FM_OK);
    assert_int_equal(fm_file_read(path, &data, &size), FM_OK);
    assert_int_equal(size, 5);
    assert_memory_equal(data, "abc\0d\0", 6); // the reader adds the last NUL
    free(data);

    assert_non_null(large);
    for (size_t i = 0; i < 3000000; i++)
        large[i] = (unsigned char)(i * 7 >> 3);
    assert_int_equal(fm_file_write(path, large, 3000000), FM_OK); // replaces the former file
    assert_int_equal(fm_file_read(path, &data, &size), FM_OK);
    assert_int_equal(size, 3000000);
    assert_memory_equal(data, large, size);
    free(data);
    free(large);

    assert_int_equal(fm_file_write(path, NULL, 0), FM_OK);
    assert_int_equal(fm_file_read(path, &data, &size), FM_OK);
    assert_int_equal(size, 0);
    assert_int_equal(data[0], 0);
    free(data);
}

static void a_file_of_unknown_size_is_read(void **state)
{
    (void)state;
    unsigned char *data = NULL;
    size_t size = 0;
    assert_int_equal(fm_file_read("/proc/self/maps", &data, &size), FM_OK); // st_size is 0
    assert_true(size > 100);
    assert_int_equal(data[size], 0);
    free(data);
}

static void a_failed_write_leaves_nothing(void **state)
{
    (void)state;
    char dir[FM_PATH_MAX], path[FM_PATH_MAX];
    in_scratch(dir, "failed");
    assert_int_equal(fm_make_dirs(dir), FM_OK);
    assert_int_equal(fm_path_join(path, dir, "target"), FM_OK);
    assert_int_equal(fm_make_dirs(path), FM_OK); // a directory cannot be replaced by a file
    assert_int_equal(fm_file_write(path, "x", 1), FM_IO);
    assert_non_null(strstr(fm_error_message(), path));
    assert_int_equal(entries(dir), 1);

    fm_error_clear();
    in_scratch(path, "no-such-directory/file");
    assert_int_equal(fm_file_write(path, "x", 1), FM_IO);
    assert_non_null(strstr(fm_error_message(), "No such file"));
}

static void what_is_there_is_not_created_again(void **state)
{
    (void)state;
    char directory[FM_PATH_MAX], path[FM_PATH_MAX];
    unsigned char *data = NULL;
    size_t size = 0;
    in_scratch(directory, "create");
    assert_int_equal(fm_make_dirs(directory), FM_OK);
    assert_int_equal(fm_path_join(path, directory, "file"), FM_OK);
    assert_int_equal(fm_file_create(path, "first", 5), FM_OK);
    assert_int_equal(fm_file_create(path, "second", 6), FM_EXISTS);
    assert_non_null(strstr(fm_error_message(), "file: is there already"));
    assert_int_equal(fm_file_read(path, &data, &size), FM_OK);
    assert_string_equal((char *)data, "first");
    free(data);
    assert_int_equal(entries(directory), 1); // and nothing temporary
    fm_error_clear();
    assert_int_equal(fm_path_join(path, directory, "none/file"), FM_OK);
    assert_int_equal(fm_file_create(path, "first", 5), FM_IO);
}

static void expect_file(const char *path, const char *expected)
{
    unsigned char *data = NULL;
    size_t size = 0;
    assert_int_equal(fm_file_read(path, &data, &size), FM_OK);
    assert_int_equal(size, strlen(expected));
    assert_string_equal((char *)data, expected);
    free(data);
}

static void a_file_written_in_pieces_appears_with_its_last(void **state)
{
    (void)state;
    char directory[FM_PATH_MAX], path[FM_PATH_MAX];
    struct fm_writer w;
    in_scratch(directory, "pieces");
    assert_int_equal(fm_make_dirs(directory), FM_OK);
    assert_int_equal(fm_path_join(path, directory, "file"), FM_OK);
    assert_int_equal(fm_writer_open(&w, path), FM_OK);
    assert_non_null(strstr(w.temporary, "/file" FM_TEMPORARY_MARK)); // in the same folder
    assert_int_equal(fm_writer_put(&w, "abc", 3), FM_OK);
    assert_int_equal(fm_writer_put(&w, NULL, 0), FM_OK);
    assert_false(fm_path_exists(path));
    assert_int_equal(fm_writer_put(&w, "def", 3), FM_OK);
    assert_int_equal(fm_writer_commit(&w), FM_OK);
    expect_file(path, "abcdef");
    assert_int_equal(entries(directory), 1);
    fm_writer_abandon(&w); // too late
    expect_file(path, "abcdef");

    // One that is given up leaves the former file, and nothing else.
    assert_int_equal(fm_writer_open(&w, path), FM_OK);
    assert_int_equal(fm_writer_put(&w, "ghi", 3), FM_OK);
    assert_int_equal(entries(directory), 2);
    fm_writer_abandon(&w);
    fm_writer_abandon(&w);
    expect_file(path, "abcdef");
    assert_int_equal(entries(directory), 1);
}

static void two_writers_of_one_file_do_not_mix(void **state)
{
    (void)state;
    char path[FM_PATH_MAX];
    struct fm_writer one, other;
    in_scratch(path, "two-writers");
    assert_int_equal(fm_writer_open(&one, path), FM_OK);
    assert_int_equal(fm_writer_open(&other, path), FM_OK);
    assert_int_equal(fm_writer_put(&one, "one", 3), FM_OK);
    assert_int_equal(fm_writer_put(&other, "other", 5), FM_OK);
    assert_int_equal(fm_writer_commit(&other), FM_OK);
    expect_file(path, "other");
    assert_int_equal(fm_writer_commit(&one), FM_OK);
    expect_file(path, "one");
}

static void a_writer_that_fails_leaves_nothing(void **state)
{
    (void)state;
    char directory[FM_PATH_MAX], path[FM_PATH_MAX];
    struct fm_writer w;
    in_scratch(path, "no-such-directory/file");
    assert_int_equal(fm_writer_open(&w, path), FM_IO);
    assert_non_null(strstr(fm_error_message(), "no-such-directory/file: cannot create"));
    fm_writer_abandon(&w);
    fm_error_clear();

    in_scratch(directory, "failing-writer");
    assert_int_equal(fm_path_join(path, directory, "target"), FM_OK);
    assert_int_equal(fm_make_dirs(path), FM_OK); // a directory cannot be replaced by a file
    assert_int_equal(fm_writer_open(&w, path), FM_OK);
    assert_int_equal(fm_writer_put(&w, "x", 1), FM_OK);
    assert_int_equal(fm_writer_commit(&w), FM_IO);
    assert_non_null(strstr(fm_error_message(), "target: cannot put the finished file in place"));
    fm_writer_abandon(&w);
    assert_int_equal(entries(directory), 1);
}

static void lines_are_appended(void **state)
{
    (void)state;
    char path[FM_PATH_MAX];
    unsigned char *data = NULL;
    size_t size = 0;
    in_scratch(path, "log");
    assert_int_equal(fm_file_append(path, "one\n"), FM_OK);
    assert_int_equal(fm_file_append(path, "two\n"), FM_OK);
    assert_int_equal(fm_file_read(path, &data, &size), FM_OK);
    assert_string_equal((char *)data, "one\ntwo\n");
    free(data);
}

static void reading_what_is_not_there_says_so(void **state)
{
    (void)state;
    char path[FM_PATH_MAX];
    unsigned char *data = NULL;
    size_t size = 0;
    in_scratch(path, "absent");
    assert_false(fm_path_exists(path));
    assert_int_equal(fm_file_read(path, &data, &size), FM_IO);
    assert_non_null(strstr(fm_error_message(), path));
    fm_error_clear();
    assert_int_equal(fm_file_read(scratch, &data, &size), FM_IO);
    assert_non_null(strstr(fm_error_message(), "is a directory"));
    assert_null(data);
}

static void the_first_message_wins_and_grows_context(void **state)
{
    (void)state;
    assert_int_equal(fm_fail(FM_DATA, "magic %d", 7), FM_DATA);
    assert_int_equal(fm_fail(FM_IO, "later"), FM_IO);
    assert_string_equal(fm_error_message(), "magic 7");
    assert_int_equal(fm_context(FM_DATA, "file %s", "f"), FM_DATA);
    assert_string_equal(fm_error_message(), "file f: magic 7");
    char *taken = fm_error_take();
    assert_string_equal(fm_error_message(), "");
    fm_error_put(taken);
    assert_string_equal(fm_error_message(), "file f: magic 7");
    fm_error_clear();
    assert_null(fm_error_take());
    assert_int_equal(fm_context(FM_MEMORY, "here"), FM_MEMORY);
    assert_string_equal(fm_error_message(), "here: out of memory");
}

static void *fail_elsewhere(void *argument)
{
    (void)argument;
    fm_fail(FM_IO, "in the other thread");
    return fm_error_take();
}

static void a_message_belongs_to_its_thread(void **state)
{
    (void)state;
    pthread_t thread;
    void *message = NULL;
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    assert_int_equal(pthread_join(thread, &message), 0);
    assert_string_equal(fm_error_message(), "");
    fm_error_put(message);
    assert_string_equal(fm_error_message(), "in the other thread");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(paths_are_joined, forget_error),
        cmocka_unit_test_setup(the_library_is_found, forget_error),
        cmocka_unit_test_setup(directories_are_made_with_their_parents, forget_error),
        cmocka_unit_test_setup(what_is_written_is_read, forget_error),
        cmocka_unit_test_setup(a_file_of_unknown_size_is_read, forget_error),
        cmocka_unit_test_setup(a_failed_write_leaves_nothing, forget_error),
        cmocka_unit_test_setup(what_is_there_is_not_created_again, forget_error),
        cmocka_unit_test_setup(a_file_written_in_pieces_appears_with_its_last, forget_error),
        cmocka_unit_test_setup(two_writers_of_one_file_do_not_mix, forget_error),
        cmocka_unit_test_setup(a_writer_that_fails_leaves_nothing, forget_error),
        cmocka_unit_test_setup(lines_are_appended, forget_error),
        cmocka_unit_test_setup(reading_what_is_not_there_says_so, forget_error),
        cmocka_unit_test_setup(the_first_message_wins_and_grows_context, forget_error),
        cmocka_unit_test_setup(a_message_belongs_to_its_thread, forget_error),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
