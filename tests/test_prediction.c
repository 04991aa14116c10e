// The order of classes, and the files that --show writes. What networks say is tested with the
// tool.
#include "app/prediction.h"
#include "base/file.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"
#include "scratch.h"

static void the_likeliest_class_comes_first(void **state)
{
    (void)state;
    static const float probabilities[] = {0.1f, 0.3f, 0.05f, 0.3f, 0.25f};
    static const int expected[] = {1, 3, 4, 0, 2}; // of equal ones the first first
    int top[5];
    for (int count = 1; count <= 5; count++) {
        memset(top, -1, sizeof top);
        fm_top_classes(probabilities, 5, count, top);
        for (int i = 0; i < 5; i++)
            assert_int_equal(top[i], i < count ? expected[i] : -1);
    }
}

static void expect_shown(const char *name, uint32_t number, const char *file)
{
    char scratch[SCRATCH_PATH_MAX], path[FM_PATH_MAX];
    uint8_t record[FM_IMAGE_BYTES], again[FM_IMAGE_BYTES];
    struct fm_picture picture;
    struct fm_predicted image = {.number = number, .name = name, .record = record};
    for (int i = 0; i < FM_IMAGE_BYTES; i++)
        record[i] = (uint8_t)(i * 7);
    scratch_make(scratch, "show");
    assert_ok(fm_show_record(scratch, &image, false));
    assert_ok(fm_path_join(path, scratch, file));
    assert_ok(fm_picture_read(path, &picture));
    assert_ok(fm_picture_convert(path, &picture, FM_CONVERT_NONE, again));
    assert_memory_equal(again, record, sizeof record);
    fm_picture_free(&picture);

    assert_fails(fm_show_record(scratch, &image, false), FM_EXISTS, "is there already: --force");
    assert_ok(fm_show_record(scratch, &image, true));
    scratch_remove(scratch);
}

static void shown_files_have_names_that_do_no_harm(void **state)
{
    (void)state;
    char longest[301], cut[216];
    expect_shown("shirt.jpg", 1, "1-shirt.png");
    expect_shown("/a/b.c/shirt.PNG", 12, "12-shirt.png");
    expect_shown("a/t10k-images-idx3-ubyte.gz#7", 8, "8-t10k-images-idx3-ubyte.gz#7.png");
    expect_shown("-", 1, "1-stdin.png");
    expect_shown("shirt.JFIF", 1, "1-shirt.png");
    expect_shown(".jpeg", 2, "2-.jpeg.png");
    expect_shown("a\nb\x1b[2J\xff\xc3\xa4.jpeg", 3, "3-a_b_[2J_\xc3\xa4.png");
    expect_shown("..", 4, "4-...png");
    memset(longest, 'x', 300);
    memcpy(longest + 199, "\xc3\xa4", 2); // would be cut in two
    longest[300] = '\0';
    memset(cut, 'x', sizeof cut);
    memcpy(cut, "5-", 2);
    memcpy(cut + 2 + 199, "_.png", 6);
    expect_shown(longest, 5, cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_likeliest_class_comes_first),
        cmocka_unit_test(shown_files_have_names_that_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
