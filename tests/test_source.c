// Where images come from: files, folders, standard input, lists, IDX files; in which order, and
// what becomes of those that are none.
#include "base/file.h"
#include "data/pictures/source.h"

#include <fcntl.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "expect.h"
#include "scratch.h"

enum {
    SIDE = FM_IMAGE_SIDE,
    OUTPUT_MAX = 8192
};

static char scratch[SCRATCH_PATH_MAX], before[SCRATCH_PATH_MAX];

// Paths are relative: the tests run in the scratch folder.
static int set_up(void **state)
{
    (void)state;
    fm_error_clear();
    scratch_make(scratch, "source");
    return getcwd(before, sizeof before) && chdir(scratch) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    if (chdir(before) != 0)
        return -1;
    scratch_remove(scratch);
    return 0;
}

static void make_folder(const char *path)
{
    assert_int_equal(mkdir(path, 0777), 0);
}

// A picture of 28x28 that is all of this grey.
static void make_picture(const char *path, int grey)
{
    uint8_t pixels[FM_IMAGE_BYTES];
    struct fm_text png = {0};
    memset(pixels, grey, sizeof pixels);
    assert_ok(fm_png_encode_grey(pixels, SIDE, SIDE, &png));
    assert_int_equal(scratch_write(path, png.data, png.length), 0);
    fm_text_free(&png);
}

static void make_text(const char *path, const char *text)
{
    assert_int_equal(scratch_write(path, text, strlen(text)), 0);
}

// Images of which the i-th is all of grey i.
static void make_idx(const char *path, bool gzipped, uint32_t count, uint32_t side)
{
    size_t size = 16 + (size_t)count * side * side;
    uint8_t *bytes = calloc(1, size);
    assert_non_null(bytes);
    memcpy(bytes, "\0\0\x08\x03", 4);
    bytes[7] = (uint8_t)count;
    bytes[11] = bytes[15] = (uint8_t)side;
    for (uint32_t i = 0; i < count; i++)
        memset(bytes + 16 + (size_t)i * side * side, (int)i, (size_t)side * side);
    if (gzipped) {
        gzFile file = gzopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(gzwrite(file, bytes, (unsigned)size), size);
        assert_int_equal(gzclose(file), Z_OK);
    } else {
        assert_int_equal(scratch_write(path, bytes, size), 0);
    }
    free(bytes);
}

static struct fm_source_options of(const char *const *names, const char *list)
{
    struct fm_source_options options = {.names = names, .list = list};
    while (names && names[options.count])
        options.count++;
    return options;
}

// What a source hands out, as lines "name grey" and "name! error".
static void expect_items(const struct fm_source_options *options, const char *expected)
{
    struct fm_source *source;
    struct fm_source_item item;
    struct fm_text found = {0};
    uint32_t count = 0;
    assert_ok(fm_source_open(options, &source));
    uint32_t total = fm_source_total(source);
    for (;;) {
        assert_ok(fm_source_next(source, &item));
        if (!item.name)
            break;
        count++;
        if (item.error)
            fm_text_append(&found, "%s! %s\n", item.name, item.error);
        else
            fm_text_append(&found, "%s %d\n", item.name, item.record[0]);
    }
    assert_ok(fm_source_next(source, &item)); // stays at its end
    assert_null(item.name);
    fm_source_close(source);
    assert_string_equal(fm_text_cstr(&found), expected);
    assert_int_equal(total, count);
    assert_string_equal(fm_error_message(), ""); // of items, none is left behind
    fm_text_free(&found);
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void files_are_taken_in_their_order(void **state)
{
    (void)state;
    make_picture("b.png", 2);
    make_picture("a", 1); // called as it likes
    make_picture("new\nline\x1b.png", 3);
    const struct fm_source_options options = of(
        NAMES("b.png", "a", "b.png", "new\nline\x1b.png"), NULL);
    expect_items(&options, "b.png 2\na 1\nb.png 2\nnew\nline\x1b.png 3\n");
}

static void folders_are_taken_with_those_in_them(void **state)
{
    (void)state;
    make_folder("f");
    make_folder("f/m");
    make_folder("f/m/deep.png"); // a folder all the same
    make_folder("f/.hidden");
    make_picture("f/z.JPG", 1); // what it is, it says itself
    make_picture("f/m/b.Png", 2);
    make_picture("f/m/deep.png/x.jpeg", 3);
    make_picture("f/B.png", 4);
    make_picture("f/a.png", 5);
    make_picture("f/.hidden/a.png", 6);
    make_picture("f/.a.png", 7);
    make_picture("f/notes.txt", 8);
    make_picture("f/png", 9);
    make_picture("f/m.png", 10);
    const struct fm_source_options options = of(NAMES("f"), NULL);
    expect_items(&options, "f/B.png 4\nf/a.png 5\nf/m.png 10\nf/m/b.Png 2\nf/m/deep.png/x.jpeg 3\n"
                           "f/z.JPG 1\n");
    const struct fm_source_options slash = of(NAMES("f/m/deep.png/"), NULL);
    expect_items(&slash, "f/m/deep.png/x.jpeg 3\n");
}

static void expect_passed_over(const struct fm_source_options *options, uint32_t expected)
{
    struct fm_source *source;
    assert_ok(fm_source_open(options, &source));
    assert_int_equal(fm_source_passed_over(source), expected);
    fm_source_close(source);
}

static void jpeg_has_several_endings(void **state)
{
    (void)state;
    make_folder("f");
    make_picture("f/a.jfif", 1);
    make_picture("f/b.JPE", 2);
    make_picture("f/c.jpeg", 3);
    make_picture("f/d.JFif", 4);
    make_picture("f/jfif", 5);
    make_picture("f/.jpe", 6);
    const struct fm_source_options options = of(NAMES("f"), NULL);
    expect_items(&options, "f/a.jfif 1\nf/b.JPE 2\nf/c.jpeg 3\nf/d.JFif 4\n");
    assert_int_equal(fm_picture_ending("x.jfif"), 5);
    assert_int_equal(fm_picture_ending("x.PNG"), 4);
    assert_int_equal(fm_picture_ending(".png"), 0);
    assert_int_equal(fm_picture_ending("x.webp"), 0);
}

static void other_files_of_folders_are_counted(void **state)
{
    (void)state;
    make_folder("f");
    make_folder("f/m.webp"); // a folder all the same
    make_folder("void");
    make_picture("f/a.png", 1);
    make_picture("f/b", 2);
    make_text("f/c.webp", "");
    make_text("f/m.webp/d.GIF", "");
    make_text("f/.e.webp", "");
    make_text("void/f.tiff", "");
    make_text("g.webp", "");
    assert_int_equal(mkfifo("f/pipe", 0600), 0);
    assert_int_equal(symlink("../g.webp", "f/link"), 0);
    const struct fm_source_options folder = of(NAMES("f"), NULL), file = of(NAMES("f/b"), NULL),
                                   both = of(NAMES("f", "void", "g.webp"), NULL);
    expect_passed_over(&folder, 4);
    expect_passed_over(&both, 5); // a file that is named is read
    expect_passed_over(&file, 0);
    struct fm_pictures pictures;
    assert_ok(fm_pictures_read(&both, NULL, NULL, &pictures));
    assert_int_equal(pictures.passed_over, 5);
    fm_pictures_free(&pictures);
}

static void links_in_a_circle_end(void **state)
{
    (void)state;
    make_folder("f");
    make_folder("f/g");
    make_folder("aside");
    make_picture("f/g/a.png", 1);
    make_picture("aside/b.png", 2);
    assert_int_equal(symlink("..", "f/g/up"), 0);
    assert_int_equal(symlink("../aside", "f/link"), 0);
    assert_int_equal(symlink("../../aside", "f/g/link"), 0); // the same once more
    assert_int_equal(symlink("self", "f/self"), 0);
    assert_int_equal(symlink("g/a.png", "f/other.png"), 0);
    const struct fm_source_options options = of(NAMES("f"), NULL);
    expect_items(&options, "f/g/a.png 1\nf/g/link/b.png 2\nf/other.png 1\n"
                           "f/self! cannot tell whether it is a folder: Too many levels of "
                           "symbolic links\n");
}

static void what_is_no_picture_is_told_and_the_rest_goes_on(void **state)
{
    (void)state;
    make_folder("f");
    make_picture("f/a.png", 1);
    make_text("f/b.png", "hi");
    assert_int_equal(mkfifo("f/c.png", 0600), 0);
    assert_int_equal(symlink("nowhere", "f/d.png"), 0);
    make_picture("f/e.png", 5);
    const struct fm_source_options options = of(NAMES("f", "/dev/null"), NULL);
    expect_items(&options,
        "f/a.png 1\n"
        "f/b.png! no picture: found the bytes 68 69 at its beginning, expected a PNG or JPEG file\n"
        "f/c.png! found a pipe, expected a file with a picture\n"
        "f/d.png! cannot open: No such file or directory\n"
        "f/e.png 5\n"
        "/dev/null! found a device, expected a file with a picture\n");
}

static void only_what_fits_is_taken_where_nothing_is_converted(void **state)
{
    (void)state;
    uint8_t pixels[2] = {0, 255};
    struct fm_text png = {0};
    assert_ok(fm_png_encode_grey(pixels, 2, 1, &png));
    assert_int_equal(scratch_write("small.png", png.data, png.length), 0);
    fm_text_free(&png);
    make_picture("fits.png", 9);
    struct fm_source_options options = of(NAMES("small.png", "fits.png"), NULL);
    options.convert = FM_CONVERT_NONE;
    expect_items(&options, "small.png! the picture is of 2x1 pixels, expected 28x28, as nothing is "
                           "to be converted\nfits.png 9\n");
    options.convert = FM_CONVERT_PHOTO;
    expect_items(&options,
        "small.png 255\nfits.png! nothing but background: no pixel differs from the corners by "
        "more than 5 %\n");
}

static void idx_files_are_told_by_their_contents(void **state)
{
    (void)state;
    make_idx("plain.png", false, 3, SIDE);
    make_idx("packed", true, 2, SIDE);
    make_picture("a.png", 9);
    const struct fm_source_options options = of(NAMES("packed", "a.png", "plain.png"), NULL);
    expect_items(
        &options, "packed#0 0\npacked#1 1\na.png 9\nplain.png#0 0\nplain.png#1 1\nplain.png#2 2\n");
}

static void expect_end(const char *name, enum fm_status expected, const char *part)
{
    struct fm_source *source;
    struct fm_source_item item;
    const struct fm_source_options options = of(NAMES(name), NULL);
    assert_ok(fm_source_open(&options, &source));
    enum fm_status status;
    do
        status = fm_source_next(source, &item);
    while (status == FM_OK && item.name);
    assert_fails(status, expected, part);
    fm_source_close(source);
}

static void a_damaged_idx_file_ends_it(void **state)
{
    (void)state;
    make_idx("odd", false, 3, 27);
    expect_end("odd", FM_DATA, "odd: found images of 27x27, expected 28x28");
    make_idx("cut", false, 3, SIDE);
    assert_int_equal(truncate("cut", 1000), 0);
    expect_end("cut", FM_DATA, "cut: offset 4");
    assert_int_equal(scratch_write("labels", "\0\0\x08\x01\0\0\0\x02\1\2", 10), 0);
    expect_end("labels", FM_DATA, "found magic 0x00000801, expected 0x00000803");
}

static void lists_are_read_line_by_line(void **state)
{
    (void)state;
    make_folder("f");
    make_folder("void");
    make_picture("f/a b.png", 1);
    make_picture("-", 2);
    make_picture("c.png", 3);
    make_text("list", "\r\n-\r\n\nf\nnone.png\nvoid\nc.png");
    const char *expected =
        "c.png 3\n- 2\nf/a b.png 1\nnone.png! no image there: No such file or directory\n"
        "void! no pictures in this folder or those in it: expected files named *.png, *.jpg, "
        "*.jpeg, *.jpe or *.jfif\nc.png 3\n";
    const struct fm_source_options options = of(NAMES("c.png"), "list");
    expect_items(&options, expected);
}

static void names_that_cannot_be_found_are_told_and_the_rest_goes_on(void **state)
{
    (void)state;
    make_folder("void");
    make_text("void/notes.txt", "");
    make_picture("a.png", 1);
    make_picture("b.png", 2);
    const struct fm_source_options some = of(NAMES("a.png", "none.png", "void", "b.png"), NULL);
    expect_items(&some,
        "a.png 1\nnone.png! no image there: No such file or directory\n"
        "void! no pictures in this folder or those in it: expected files named *.png, *.jpg, "
        "*.jpeg, *.jpe or *.jfif\nb.png 2\n");
    const struct fm_source_options none = of(NAMES("none.png", "a.png/b.png"), NULL);
    expect_items(&none, "none.png! no image there: No such file or directory\n"
                        "a.png/b.png! no image there: Not a directory\n");
}

// Standard input is this file for as long as `options` are read.
static void expect_items_from(
    const char *path, const struct fm_source_options *options, const char *expected)
{
    int kept = dup(STDIN_FILENO), fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO);
    expect_items(options, expected);
    if (kept >= 0)
        dup2(kept, STDIN_FILENO);
    close(kept);
    close(fd);
}

static void standard_input_is_a_picture_or_a_list(void **state)
{
    (void)state;
    make_picture("a.png", 7);
    make_text("list", "a.png\na.png\n");
    make_text("none", "");
    const struct fm_source_options picture = of(NAMES("-", "a.png"), NULL), list = of(NULL, "-");
    expect_items_from("a.png", &picture, "- 7\na.png 7\n");
    expect_items_from(
        "none", &picture, "-! the file is empty, expected a PNG or JPEG picture\na.png 7\n");
    expect_items_from("list", &list, "a.png 7\na.png 7\n");
}

static void expect_closed(
    const char *const *names, const char *list, enum fm_status expected, const char *part)
{
    struct fm_source *source;
    const struct fm_source_options options = of(names, list);
    assert_fails(fm_source_open(&options, &source), expected, part);
    assert_null(source);
}

static void what_cannot_be_a_source_fails_at_once(void **state)
{
    (void)state;
    make_text("nothing", "\n\r\n");
    make_picture("a.png", 1);
    expect_closed(NULL, "none", FM_NOT_FOUND, "none: cannot open the list");
    expect_closed(NULL, "nothing", FM_NOT_FOUND, "nothing: the list is empty");
    expect_closed(NULL, "a.png", FM_DATA, "a.png: no list: found a zero byte");
    expect_closed(NULL, NULL, FM_USAGE, "no images named");
    expect_closed(NAMES("-", "-"), NULL, FM_USAGE, "is named 2 times");
    expect_closed(NAMES("-"), "-", FM_USAGE, "is named 2 times");
}

struct seen {
    uint32_t calls, last_done, total, end_at;
};

static enum fm_status see(void *context, uint32_t done, uint32_t total)
{
    struct seen *seen = context;
    seen->calls++;
    seen->last_done = done;
    seen->total = total;
    return done == seen->end_at ? fm_fail(FM_INTERRUPTED, "enough") : FM_OK;
}

static void all_are_read_at_once(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct fm_pictures pictures;
    make_idx("idx", true, 150, SIDE); // more than once the room that is made first
    make_text("b.png", "hi");
    make_text("d.png", "");
    make_picture("c.png", 200);
    const struct fm_source_options options = of(NAMES("b.png", "idx", "c.png", "d.png"), NULL);
    assert_ok(fm_pictures_read(&options, see, &seen, &pictures));
    assert_int_equal(pictures.count, 151);
    assert_int_equal(pictures.failed, 2);
    assert_string_equal(pictures.names[149], "idx#149");
    assert_string_equal(pictures.names[150], "c.png");
    for (uint32_t i = 0; i < 150; i++)
        assert_int_equal(pictures.records[(size_t)i * FM_IMAGE_BYTES + 5], i);
    assert_int_equal(pictures.records[150 * FM_IMAGE_BYTES], 200);
    assert_string_equal(pictures.failed_names[1], "d.png");
    assert_non_null(strstr(pictures.errors[0], "no picture"));
    assert_int_equal(seen.calls, 153);
    assert_int_equal(seen.last_done, 153);
    assert_int_equal(seen.total, 153);
    fm_pictures_free(&pictures);

    seen.end_at = 70;
    assert_fails(fm_pictures_read(&options, see, &seen, &pictures), FM_INTERRUPTED, "enough");
    assert_null(pictures.records);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(files_are_taken_in_their_order),
        TEST(folders_are_taken_with_those_in_them),
        TEST(jpeg_has_several_endings),
        TEST(other_files_of_folders_are_counted),
        TEST(links_in_a_circle_end),
        TEST(what_is_no_picture_is_told_and_the_rest_goes_on),
        TEST(only_what_fits_is_taken_where_nothing_is_converted),
        TEST(idx_files_are_told_by_their_contents),
        TEST(a_damaged_idx_file_ends_it),
        TEST(lists_are_read_line_by_line),
        TEST(names_that_cannot_be_found_are_told_and_the_rest_goes_on),
        TEST(standard_input_is_a_picture_or_a_list),
        TEST(what_cannot_be_a_source_fails_at_once),
        TEST(all_are_read_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
