// PNG and JPEG files of every kind, sound and broken. The pictures are made here; what must come of
// them is computed from their pixels.
#include "base/file.h"
#include "data/pictures/picture.h"

#include <fcntl.h>
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "expect.h"
#include "pictures.h"
#include "scratch.h"

enum {
    WIDTH = 9, // no multiple of 8: rows of few bits end within a byte
    HEIGHT = 11,
    BLOCK = 16, // pixels of one colour, so that JPEG keeps it
    ACROSS = 3,
    DOWN = 2
};

static uint8_t rgba[HEIGHT * WIDTH * 4];
static const struct test_pixels pixels = {WIDTH, HEIGHT, rgba};
static uint8_t blocks[DOWN * BLOCK * ACROSS * BLOCK * 4];
static const struct test_pixels block_pixels = {ACROSS * BLOCK, DOWN *BLOCK, blocks};
static const uint8_t block_colours[DOWN][ACROSS][3] = {
    {{255, 255, 255}, {200, 40, 40}, {30, 160, 60}}, {{40, 60, 200}, {0, 0, 0}, {128, 128, 128}}};

// Grey and alpha run through all values of two bits, so that each kind can hold them.
static int fresh(void **state)
{
    (void)state;
    fm_error_clear();
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
        rgba[4 * i] = rgba[4 * i + 1] = rgba[4 * i + 2] = (uint8_t)(i % 4 * 85);
        rgba[4 * i + 3] = 255;
    }
    for (int y = 0; y < DOWN * BLOCK; y++)
        for (int x = 0; x < ACROSS * BLOCK; x++) {
            uint8_t *pixel = blocks + 4 * (y * ACROSS * BLOCK + x);
            memcpy(pixel, block_colours[y / BLOCK][x / BLOCK], 3);
            pixel[3] = 255;
        }
    return 0;
}

static void make_colourful(bool alpha)
{
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
        rgba[4 * i] = (uint8_t)(i * 37);
        rgba[4 * i + 1] = (uint8_t)(i * 59 + 7);
        rgba[4 * i + 2] = (uint8_t)(255 - i);
        rgba[4 * i + 3] = alpha ? (uint8_t)(i * 83) : 255;
    }
}

static enum fm_status decode(const struct fm_text *file, struct fm_picture *picture)
{
    return fm_picture_decode("it", (const uint8_t *)file->data, file->length, picture);
}

static struct fm_picture decoded(struct fm_text *file)
{
    struct fm_picture picture;
    assert_ok(decode(file, &picture));
    fm_text_free(file);
    return picture;
}

// ---- PNG

// The definition of sRGB and of alpha: a pixel lets through what it does not cover.
static double light_of(int value)
{
    double v = value / 255.0;
    return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static int over_white(int value, int alpha)
{
    double light = (light_of(value) * alpha + 255 - alpha) / 255;
    double v = light <= 0.0031308 ? 12.92 * light : 1.055 * pow(light, 1 / 2.4) - 0.055;
    return (int)floor(v * 255 + 0.5);
}

static void expect_pixels(const char *what, struct fm_text *file)
{
    struct fm_picture picture = decoded(file);
    assert_int_equal(picture.width, WIDTH);
    assert_int_equal(picture.height, HEIGHT);
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        for (int c = 0; c < 3; c++) {
            int expected = over_white(rgba[4 * i + c], rgba[4 * i + 3]);
            if (picture.rgb[3 * i + c] != expected)
                fail_msg("%s: pixel %d, channel %d: %d, expected %d", what, i, c,
                    picture.rgb[3 * i + c], expected);
        }
    fm_picture_free(&picture);
}

static void expect_png(struct test_png kind)
{
    for (int interlaced = 0; interlaced < 2; interlaced++) {
        struct fm_text file = {0};
        char what[100];
        kind.interlaced = interlaced;
        snprintf(what, sizeof what, "PNG, colour type %d, %d bits, interlaced %d, key %d",
            kind.colour, kind.depth, interlaced, kind.key);
        test_png_make(&pixels, &kind, &file);
        expect_pixels(what, &file);
    }
}

static void every_kind_of_png_is_read(void **state)
{
    (void)state;
    static const int depths[] = {2, 4, 8, 16};
    for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++)
        expect_png((struct test_png){.colour = PNG_COLOR_TYPE_GRAY, .depth = depths[i]});
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        memset(rgba + 4 * i, i % 3 ? 255 : 0, 3);
    expect_png((struct test_png){.colour = PNG_COLOR_TYPE_GRAY, .depth = 1});
    make_colourful(false);
    expect_png((struct test_png){.colour = PNG_COLOR_TYPE_RGB, .depth = 8});
    expect_png((struct test_png){.colour = PNG_COLOR_TYPE_RGB, .depth = 16});
    expect_png((struct test_png){.colour = PNG_COLOR_TYPE_PALETTE, .depth = 8});
}

static void what_is_transparent_lets_white_through(void **state)
{
    (void)state;
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        rgba[4 * i + 3] = (uint8_t)(i * 83);
    expect_png((struct test_png){.colour = PNG_COLOR_TYPE_GRAY_ALPHA, .depth = 8});
    expect_png((struct test_png){.colour = PNG_COLOR_TYPE_GRAY_ALPHA, .depth = 16});
    make_colourful(true);
    expect_png((struct test_png){.colour = PNG_COLOR_TYPE_RGB_ALPHA, .depth = 8});
    expect_png((struct test_png){.colour = PNG_COLOR_TYPE_RGB_ALPHA, .depth = 16});
    expect_png((struct test_png){.colour = PNG_COLOR_TYPE_PALETTE, .depth = 8});
}

static void a_transparent_colour_lets_white_through(void **state)
{
    (void)state;
    static const int depths[] = {2, 4, 8, 16};
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        rgba[4 * i + 3] = rgba[4 * i] == 85 ? 0 : 255;
    for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++)
        expect_png(
            (struct test_png){.colour = PNG_COLOR_TYPE_GRAY, .depth = depths[i], .key = true});
    expect_png((struct test_png){.colour = PNG_COLOR_TYPE_RGB, .depth = 8, .key = true});
    expect_png((struct test_png){.colour = PNG_COLOR_TYPE_RGB, .depth = 16, .key = true});
}

// 16 bits become the nearest of 8: 0x00ff is 0.99 of 0x0101, and so 1 and not 0.
static void sixteen_bits_are_rounded(void **state)
{
    (void)state;
    static const struct test_png kind = {.colour = PNG_COLOR_TYPE_GRAY, .depth = 16, .low = 0xff};
    struct fm_text file = {0};
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        memset(rgba + 4 * i, i * 5 % 256, 3);
    test_png_make(&pixels, &kind, &file);
    struct fm_picture picture = decoded(&file);
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
        int stored = rgba[4 * i] * 256 + (rgba[4 * i] ^ 0xff);
        assert_int_equal(picture.rgb[3 * i], (stored + 128) / 257);
    }
    fm_picture_free(&picture);
}

// ---- JPEG

// The colour at a block's middle, as the picture is turned upright.
static void expect_block(const char *what, const struct fm_picture *picture, int row, int column,
    const uint8_t expected[3])
{
    size_t y = (size_t)row * BLOCK + BLOCK / 2, x = (size_t)column * BLOCK + BLOCK / 2;
    for (int c = 0; c < 3; c++) {
        int found = picture->rgb[3 * (y * picture->width + x) + (size_t)c];
        if (abs(found - expected[c]) > 4)
            fail_msg("%s: block (%d, %d), channel %d: %d, expected about %d", what, row, column, c,
                found, expected[c]);
    }
}

static void expect_blocks(const char *what, struct fm_text *file)
{
    struct fm_picture picture = decoded(file);
    assert_int_equal(picture.width, ACROSS * BLOCK);
    assert_int_equal(picture.height, DOWN * BLOCK);
    for (int row = 0; row < DOWN; row++)
        for (int column = 0; column < ACROSS; column++)
            expect_block(what, &picture, row, column, block_colours[row][column]);
    fm_picture_free(&picture);
}

static void every_kind_of_jpeg_is_read(void **state)
{
    (void)state;
    static const char *const names[] = {"grey", "RGB", "CMYK", "CMYK of Adobe", "YCCK of Adobe"};
    for (int inks = TEST_RGB; inks <= TEST_YCCK_ADOBE; inks++)
        for (int scans = TEST_ONE_SCAN; scans <= TEST_PROGRESSIVE; scans++) {
            struct fm_text file = {0};
            test_jpeg_make(&block_pixels,
                &(struct test_jpeg){(enum test_inks)inks, 98, (enum test_scans)scans, 0}, &file);
            expect_blocks(names[inks], &file);
        }
}

static void a_grey_jpeg_is_read(void **state)
{
    (void)state;
    struct fm_text file = {0};
    for (int i = 0; i < DOWN * BLOCK * ACROSS * BLOCK; i++)
        memset(blocks + 4 * i, 170, 3);
    test_jpeg_make(&block_pixels, &(struct test_jpeg){TEST_GREY, 95, TEST_ONE_SCAN, 0}, &file);
    struct fm_picture picture = decoded(&file);
    expect_block("grey", &picture, 1, 2, (const uint8_t[]){170, 170, 170});
    fm_picture_free(&picture);
}

// ---- Orientation

// Which stored block each of the upright ones is: EXIF 2.32, table 6, as pictures. The stored rows
// are 012 and 345.
static const char *const upright[] = {NULL, "012345", "210543", "543210", "345012", // 3 across
    "031425", "304152", "524130", "251403"};                                        // 2 across

static void expect_upright(const char *what, int orientation, struct fm_text *file)
{
    struct fm_picture picture = decoded(file);
    int across = orientation >= 5 ? DOWN : ACROSS;
    assert_int_equal(picture.width, across * BLOCK);
    assert_int_equal(picture.height, DOWN * ACROSS * BLOCK / across);
    for (int i = 0; i < DOWN * ACROSS; i++) {
        int from = upright[orientation][i] - '0';
        expect_block(
            what, &picture, i / across, i % across, block_colours[from / ACROSS][from % ACROSS]);
    }
    fm_picture_free(&picture);
}

static void pictures_are_turned_as_exif_says(void **state)
{
    (void)state;
    for (int orientation = 1; orientation <= 8; orientation++) {
        char what[60];
        struct fm_text jpeg = {0}, png = {0};
        test_jpeg_make(
            &block_pixels, &(struct test_jpeg){TEST_RGB, 98, TEST_ONE_SCAN, orientation}, &jpeg);
        snprintf(what, sizeof what, "JPEG, orientation %d", orientation);
        expect_upright(what, orientation, &jpeg);
        test_png_make(&block_pixels,
            &(struct test_png){
                .colour = PNG_COLOR_TYPE_RGB, .depth = 8, .orientation = orientation},
            &png);
        snprintf(what, sizeof what, "PNG, orientation %d", orientation);
        expect_upright(what, orientation, &png);
    }
}

static void an_orientation_that_is_none_is_upright(void **state)
{
    (void)state;
    for (int orientation = 9; orientation < 12; orientation++) {
        struct fm_text file = {0};
        test_jpeg_make(
            &block_pixels, &(struct test_jpeg){TEST_RGB, 98, TEST_ONE_SCAN, orientation}, &file);
        expect_upright("JPEG, no orientation", 1, &file);
    }
}

// ---- Broken files

// Whatever the byte at which a file ends too early, it is refused.
static void expect_no_part_taken(const char *what, struct fm_text *file)
{
    for (size_t size = 0; size < file->length; size++) {
        struct fm_picture picture;
        uint8_t *part = malloc(size + 1); // of its size, so that reading on is noticed
        assert_non_null(part);
        memcpy(part, file->data, size);
        enum fm_status status = fm_picture_decode("it", part, size, &picture);
        if (status != FM_DATA || picture.rgb)
            fail_msg("%s cut off at byte %zu of %zu: status %d, %s", what, size, file->length,
                status, fm_error_message());
        fm_error_clear();
        free(part);
    }
    fm_text_free(file);
}

static void a_file_cut_off_anywhere_is_refused(void **state)
{
    (void)state;
    struct fm_text png = {0}, interlaced = {0}, jpeg = {0}, progressive = {0};
    make_colourful(true);
    test_png_make(&pixels,
        &(struct test_png){.colour = PNG_COLOR_TYPE_RGBA, .depth = 8, .orientation = 6}, &png);
    expect_no_part_taken("PNG", &png);
    test_png_make(&pixels,
        &(struct test_png){.colour = PNG_COLOR_TYPE_RGBA, .depth = 8, .interlaced = true},
        &interlaced);
    expect_no_part_taken("interlaced PNG", &interlaced);
    test_jpeg_make(&pixels, &(struct test_jpeg){TEST_RGB, 90, TEST_ONE_SCAN, 6}, &jpeg);
    expect_no_part_taken("JPEG", &jpeg);
    test_jpeg_make(&pixels, &(struct test_jpeg){TEST_RGB, 90, TEST_PROGRESSIVE, 0}, &progressive);
    expect_no_part_taken("progressive JPEG", &progressive);
}

// What ends behind one of its first scans, and properly, lacks one that it needs.
static void expect_no_scan_left_out(const char *what, int needed, struct fm_text *file)
{
    const char *end = file->data + file->length, *at = file->data;
    int found = 0;
    struct fm_picture whole;
    assert_ok(decode(file, &whole));
    fm_picture_free(&whole);
    while ((at = memmem(at + 1, (size_t)(end - at - 1), "\xff\xda", 2)) != NULL) {
        struct fm_text part = {0};
        struct fm_picture picture;
        if (found++ == 0 || found > needed) // before the first there is nothing at all
            continue;
        fm_text_append_bytes(&part, file->data, (size_t)(at - file->data));
        fm_text_append_bytes(&part, "\xff\xd9", 2);
        if (decode(&part, &picture) != FM_DATA ||
            !strstr(fm_error_message(), "before a scan that it needs"))
            fail_msg("%s without scan %d: %s", what, found, fm_error_message());
        assert_null(picture.rgb);
        fm_error_clear();
        fm_text_free(&part);
    }
    assert_true(found >= needed);
    fm_text_free(file);
}

static void a_file_without_its_last_scans_is_refused(void **state)
{
    (void)state;
    struct fm_text progressive = {0}, separate = {0};
    make_colourful(true);
    test_jpeg_make(&pixels, &(struct test_jpeg){TEST_RGB, 90, TEST_PROGRESSIVE, 0}, &progressive);
    expect_no_scan_left_out("progressive JPEG", 7, &progressive); // its means' last bit
    test_jpeg_make(&pixels, &(struct test_jpeg){TEST_RGB, 90, TEST_SEPARATE, 0}, &separate);
    expect_no_scan_left_out("JPEG of three scans", 3, &separate);
}

// A changed byte may or may not be noticed, but does no harm. Run under a sanitizer this says more.
static void expect_no_harm(struct fm_text *file)
{
    for (size_t i = 0; i < file->length; i++)
        for (int k = 0; k < 3; k++) {
            struct fm_picture picture;
            char was = file->data[i];
            file->data[i] = (char)(k == 0 ? was ^ 0xff : k == 1 ? was ^ (1 << i % 8) : 0);
            enum fm_status status = decode(file, &picture);
            if (status == FM_OK)
                fm_picture_free(&picture);
            else if (picture.rgb || !strstr(fm_error_message(), "it: "))
                fail_msg("byte %zu: status %d, %s", i, status, fm_error_message());
            fm_error_clear();
            file->data[i] = was;
        }
    fm_text_free(file);
}

static void a_changed_byte_does_no_harm(void **state)
{
    (void)state;
    struct fm_text png = {0}, jpeg = {0}, inks = {0};
    make_colourful(true);
    test_png_make(&pixels,
        &(struct test_png){
            .colour = PNG_COLOR_TYPE_PALETTE, .depth = 8, .interlaced = true, .orientation = 5},
        &png);
    expect_no_harm(&png);
    test_jpeg_make(&pixels, &(struct test_jpeg){TEST_RGB, 90, TEST_PROGRESSIVE, 5}, &jpeg);
    expect_no_harm(&jpeg);
    test_jpeg_make(&pixels, &(struct test_jpeg){TEST_YCCK_ADOBE, 90, TEST_ONE_SCAN, 5}, &inks);
    expect_no_harm(&inks);
}

static void put32(char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (char)(value >> (24 - 8 * i));
}

// The header claims another size, with a CRC that agrees.
static void expect_png_size_refused(uint32_t width, uint32_t height, const char *part)
{
    struct fm_text file = {0};
    struct fm_picture picture;
    test_png_make(&pixels, &(struct test_png){.colour = PNG_COLOR_TYPE_RGB, .depth = 8}, &file);
    put32(file.data + 16, width);
    put32(file.data + 20, height);
    put32(file.data + 29, (uint32_t)crc32(0, (const Bytef *)file.data + 12, 17));
    assert_fails(decode(&file, &picture), FM_DATA, part);
    assert_null(picture.rgb);
    fm_text_free(&file);
}

static void expect_jpeg_size_refused(uint32_t width, uint32_t height, const char *part)
{
    struct fm_text file = {0};
    struct fm_picture picture;
    test_jpeg_make(&pixels, &(struct test_jpeg){TEST_RGB, 90, TEST_ONE_SCAN, 0}, &file);
    char *frame = memmem(file.data, file.length, "\xff\xc0", 2); // then length, precision, sizes
    assert_non_null(frame);
    frame[5] = (char)(height >> 8);
    frame[6] = (char)height;
    frame[7] = (char)(width >> 8);
    frame[8] = (char)width;
    assert_fails(decode(&file, &picture), FM_DATA, part);
    assert_null(picture.rgb);
    fm_text_free(&file);
}

static void a_size_that_is_claimed_is_not_believed(void **state)
{
    (void)state;
    expect_png_size_refused(16384, 16384, "16384x16384 pixels, expected sides of at most 16384");
    expect_png_size_refused(8192, 8192, "claims 8192x8192 pixels, more than its");
    expect_png_size_refused(16385, 1, "16385x1 pixels, expected sides of at most 16384");
    expect_png_size_refused(INT32_MAX, 1, "2147483647x1 pixels, expected sides of at most 16384");
    expect_png_size_refused(0, 5, "it: ");
    expect_png_size_refused(WIDTH, HEIGHT + 1, "damaged"); // too little, if not by much
    expect_jpeg_size_refused(16384, 16384, "16384x16384 pixels, expected sides of at most 16384");
    expect_jpeg_size_refused(65000, 2, "65000x2 pixels, expected sides of at most 16384");
    expect_jpeg_size_refused(8192, 8192, "claims 8192x8192 pixels, more than its");
    expect_jpeg_size_refused(0, 5, "it: ");
    expect_jpeg_size_refused(160, 160, "it: ");
}

// A chunk that libpng would unpack to nearly eight megabytes, the most that it does.
static void append_large_text(struct fm_text *out)
{
    enum {
        TEXT = 7900000
    };
    static const char keyword[] = "a\0"; // its end, and deflate
    uLong bound = compressBound(TEXT);
    char *text = calloc(1, TEXT), *data = malloc(4 + sizeof keyword + bound);
    char length[4], crc[4];
    assert_true(text && data);
    memcpy(data, "zTXt", 4);
    memcpy(data + 4, keyword, sizeof keyword);
    assert_int_equal(compress2((Bytef *)data + 4 + sizeof keyword, &bound, (const Bytef *)text,
                         TEXT, Z_BEST_COMPRESSION),
        Z_OK);
    put32(length, (uint32_t)(sizeof keyword + bound));
    put32(crc, (uint32_t)crc32(0, (const Bytef *)data, (uInt)(4 + sizeof keyword + bound)));
    fm_text_append_bytes(out, length, 4);
    fm_text_append_bytes(out, data, 4 + sizeof keyword + bound);
    fm_text_append_bytes(out, crc, 4);
    free(text);
    free(data);
}

static double processor_seconds(void)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

// Unpacked, these texts take half a minute. Without them the picture is the same.
static void texts_are_not_unpacked(void **state)
{
    (void)state;
    enum {
        TEXTS = 900,
        BEFORE = 8 + 25, // bytes: the signature and IHDR
        SECONDS_MAX = 5
    };
    struct fm_text plain = {0}, texts = {0}, text = {0};
    make_colourful(true);
    test_png_make(&pixels,
        &(struct test_png){.colour = PNG_COLOR_TYPE_RGBA, .depth = 8, .orientation = 6}, &plain);
    fm_text_append_bytes(&texts, plain.data, BEFORE);
    append_large_text(&text);
    for (int i = 0; i < TEXTS; i++)
        fm_text_append_bytes(&texts, text.data, text.length);
    fm_text_append_bytes(&texts, plain.data + BEFORE, plain.length - BEFORE);
    double begun = processor_seconds();
    struct fm_picture with = decoded(&texts), without = decoded(&plain);
    assert_true(processor_seconds() - begun < SECONDS_MAX);
    assert_int_equal(with.width, HEIGHT); // turned: EXIF's chunk is none of those passed over
    assert_memory_equal(with.rgb, without.rgb, 3 * WIDTH * HEIGHT);
    fm_picture_free(&with);
    fm_picture_free(&without);
    fm_text_free(&text);
}

// From one scan of three colours that begins at coefficient 0 to the next marker: in a progressive
// file the first are the coarse averages of blocks, the second their last bit.
static const char *averages_scan(const char *from, const char *file_end, const char **end)
{
    const char *begin = from;
    do {
        begin = memmem(begin + 1, (size_t)(file_end - begin - 1), "\xff\xda\0\x0c\3", 5);
        assert_non_null(begin);
    } while (begin[11] != 0);
    for (*end = begin + 2; (*end)[0] != '\xff' || (*end)[1] == 0;)
        (*end)++;
    return begin;
}

// The file with so many scans more, which bring the averages again and again.
static void append_scans(const struct fm_text *file, int scans, struct fm_text *out)
{
    const char *file_end = file->data + file->length, *ends[2], *begins[2];
    begins[0] = averages_scan(file->data, file_end, &ends[0]);
    begins[1] = averages_scan(ends[0], file_end, &ends[1]);
    fm_text_append_bytes(out, file->data, file->length - 2);
    for (int i = 0; i < scans; i++)
        fm_text_append_bytes(out, begins[i % 2], (size_t)(ends[i % 2] - begins[i % 2]));
    fm_text_append_bytes(out, file_end - 2, 2);
}

static void scans_without_end_are_refused(void **state)
{
    (void)state;
    enum {
        SCANS = 10 // that libjpeg writes
    };
    struct fm_text file = {0}, most = {0}, more = {0};
    struct fm_picture picture;
    make_colourful(false);
    test_jpeg_make(&pixels, &(struct test_jpeg){TEST_RGB, 90, TEST_PROGRESSIVE, 0}, &file);
    append_scans(&file, 100 - SCANS, &most);
    append_scans(&file, 100 - SCANS + 1, &more);
    struct fm_picture expected = decoded(&file), repeated = decoded(&most);
    assert_memory_equal(repeated.rgb, expected.rgb, 3 * WIDTH * HEIGHT);
    assert_fails(decode(&more, &picture), FM_DATA, "more than 100 scans");
    assert_null(picture.rgb);
    fm_picture_free(&expected);
    fm_picture_free(&repeated);
    fm_text_free(&more);
}

static void what_is_no_picture_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *part;
    } cases[] = {{"", 0, "the file is empty"}, {"GIF89a...", 9, "found a GIF file"},
        {"RIFF....WEBPVP8 ", 16, "found a WebP file"}, {"II*\0....", 8, "found a TIFF file"},
        {"\0\0\0\x18"
         "ftypheic",
            12, "found a HEIC file"},
        {"hi", 2, "no picture: found the bytes 68 69 at its beginning"},
        {"<!DOCTYPE html>", 15, "found the bytes 3c 21 44 4f 43 54 59 50 at"},
        {"\xff\xd8\xff", 3, "it: the JPEG file"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fm_picture picture;
        assert_fails(
            fm_picture_decode("it", (const uint8_t *)cases[i].bytes, cases[i].size, &picture),
            FM_DATA, cases[i].part);
    }
}

// ---- Files

static void only_regular_files_of_some_size_are_read(void **state)
{
    (void)state;
    char scratch[SCRATCH_PATH_MAX], path[FM_PATH_MAX];
    struct fm_picture picture;
    scratch_make(scratch, "picture");
    assert_fails(fm_picture_read(scratch, &picture), FM_DATA, "found a folder");
    assert_fails(fm_picture_read("/dev/zero", &picture), FM_DATA, "found a device");
    assert_ok(fm_path_join(path, scratch, "it.png"));
    assert_fails(fm_picture_read(path, &picture), FM_NOT_FOUND, "cannot open");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_fails(fm_picture_read(path, &picture), FM_DATA, "found a pipe"); // and does not wait
    assert_int_equal(unlink(path), 0);

    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 256L * 1024 * 1024 + 1), 0); // sparse
    close(fd);
    assert_fails(fm_picture_read(path, &picture), FM_DATA, "found 268435457 bytes");

    struct fm_text file = {0};
    test_png_make(&pixels, &(struct test_png){.colour = PNG_COLOR_TYPE_GRAY, .depth = 8}, &file);
    assert_int_equal(scratch_write(path, file.data, file.length), 0);
    fm_text_free(&file);
    assert_ok(fm_picture_read(path, &picture));
    assert_int_equal(picture.width, WIDTH);
    fm_picture_free(&picture);
    scratch_remove(scratch);
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    struct fm_text file = {0};
    uint8_t grey[WIDTH * HEIGHT];
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        grey[i] = (uint8_t)(i * 61);
    assert_ok(fm_png_encode_grey(grey, WIDTH, HEIGHT, &file));
    struct fm_picture picture = decoded(&file);
    assert_int_equal(picture.width, WIDTH);
    assert_int_equal(picture.height, HEIGHT);
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        for (int c = 0; c < 3; c++)
            assert_int_equal(picture.rgb[3 * i + c], grey[i]);
    fm_picture_free(&picture);
    assert_fails(fm_png_encode_grey(grey, 0, 5, &file), FM_DATA, "cannot make a PNG of 0x5");
    fm_text_free(&file);
}

static void the_libraries_are_told(void **state)
{
    (void)state;
    struct fm_library libraries[FM_PICTURE_LIBRARIES];
    fm_picture_libraries(libraries);
    assert_string_equal(libraries[0].found, PNG_LIBPNG_VER_STRING);
    assert_non_null(strstr(libraries[1].found, "libjpeg.so"));
    assert_non_null(strstr(libraries[2].found, "libexif.so"));
    for (int i = 0; i < FM_PICTURE_LIBRARIES; i++)
        assert_true(libraries[i].compiled && libraries[i].compiled[0] >= '0' &&
                    libraries[i].compiled[0] <= '9');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_kind_of_png_is_read, fresh),
        cmocka_unit_test_setup(what_is_transparent_lets_white_through, fresh),
        cmocka_unit_test_setup(a_transparent_colour_lets_white_through, fresh),
        cmocka_unit_test_setup(sixteen_bits_are_rounded, fresh),
        cmocka_unit_test_setup(every_kind_of_jpeg_is_read, fresh),
        cmocka_unit_test_setup(a_grey_jpeg_is_read, fresh),
        cmocka_unit_test_setup(pictures_are_turned_as_exif_says, fresh),
        cmocka_unit_test_setup(an_orientation_that_is_none_is_upright, fresh),
        cmocka_unit_test_setup(a_file_cut_off_anywhere_is_refused, fresh),
        cmocka_unit_test_setup(a_file_without_its_last_scans_is_refused, fresh),
        cmocka_unit_test_setup(a_changed_byte_does_no_harm, fresh),
        cmocka_unit_test_setup(a_size_that_is_claimed_is_not_believed, fresh),
        cmocka_unit_test_setup(texts_are_not_unpacked, fresh),
        cmocka_unit_test_setup(scans_without_end_are_refused, fresh),
        cmocka_unit_test_setup(what_is_no_picture_is_refused, fresh),
        cmocka_unit_test_setup(only_regular_files_of_some_size_are_read, fresh),
        cmocka_unit_test_setup(what_is_written_is_read_again, fresh),
        cmocka_unit_test_setup(the_libraries_are_told, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
