// Writes photographs for tests: an image of an IDX file, enlarged and on white, in every kind that
// people have, and files that are no pictures.
//
//   make_photographs IDX INDEX DIR
//
// DIR/good: the same picture in many kinds. DIR/bad: files that cannot be read, each in its way.
#include "base/file.h"
#include "data/idx.h"
#include "data/pictures/picture.h"

#include "pictures.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    SIDE = FM_IMAGE_SIDE,
    SCALE = 10,
    LARGE = SIDE * SCALE
};

static uint8_t rgba[LARGE * LARGE * 4], turned[LARGE * LARGE * 4];
static const struct test_pixels plain = {LARGE, LARGE, rgba};

static void check(enum fm_status status)
{
    if (status == FM_OK)
        return;
    fprintf(stderr, "%s\n", fm_error_message());
    exit(1);
}

static int clamped(int value)
{
    return value < 0 ? 0 : value >= SIDE ? SIDE - 1 : value;
}

// Between the four nearest pixels, in proportion.
static uint8_t enlarged(const uint8_t *image, int x, int y)
{
    double u = (x + 0.5) / SCALE - 0.5, v = (y + 0.5) / SCALE - 0.5;
    int left = u < 0 ? -1 : (int)u, top = v < 0 ? -1 : (int)v;
    double sum = 0;
    for (int j = 0; j < 2; j++)
        for (int i = 0; i < 2; i++)
            sum += image[clamped(top + j) * SIDE + clamped(left + i)] *
                   (i ? u - left : left + 1 - u) * (j ? v - top : top + 1 - v);
    return (uint8_t)(sum + 0.5);
}

// What is white is transparent in `rgba`, where a kind can say so, and of another colour below.
static void paint(const uint8_t *image)
{
    for (int y = 0; y < LARGE; y++)
        for (int x = 0; x < LARGE; x++) {
            uint8_t *pixel = rgba + 4 * (y * LARGE + x);
            memset(pixel, 255 - enlarged(image, x, y), 3);
            pixel[3] = 255;
            // A camera held so that EXIF says 6: the stored first row belongs to the right.
            memcpy(turned + 4 * ((LARGE - 1 - x) * LARGE + y), pixel, 4);
        }
}

static void write_file(const char *folder, const char *name, struct fm_text *file, size_t size)
{
    char path[FM_PATH_MAX];
    check(fm_path_join(path, folder, name));
    check(fm_file_write(path, file->data, size));
    fm_text_free(file);
}

static void write_png(const char *folder, const char *name, const struct test_png *kind)
{
    struct fm_text file = {0};
    test_png_make(&plain, kind, &file);
    write_file(folder, name, &file, file.length);
}

static void write_jpeg(const char *folder, const char *name, const struct test_pixels *pixels,
    const struct test_jpeg *kind)
{
    struct fm_text file = {0};
    test_jpeg_make(pixels, kind, &file);
    write_file(folder, name, &file, file.length);
}

static void write_good(const char *folder)
{
    static const struct test_pixels on_its_side = {LARGE, LARGE, turned};
    check(fm_make_dirs(folder));
    write_png(folder, "plain.png", &(struct test_png){.colour = PNG_COLOR_TYPE_RGB, .depth = 8});
    write_png(folder, "deep.png", &(struct test_png){.colour = PNG_COLOR_TYPE_GRAY, .depth = 16});
    write_png(folder, "woven.png",
        &(struct test_png){.colour = PNG_COLOR_TYPE_GRAY, .depth = 8, .interlaced = true});
    write_jpeg(folder, "photo.jpg", &plain, &(struct test_jpeg){TEST_RGB, 90, TEST_ONE_SCAN, 0});
    write_jpeg(
        folder, "slow.JPEG", &plain, &(struct test_jpeg){TEST_GREY, 90, TEST_PROGRESSIVE, 0});
    write_jpeg(
        folder, "print.jpg", &plain, &(struct test_jpeg){TEST_CMYK_ADOBE, 90, TEST_ONE_SCAN, 0});
    write_jpeg(
        folder, "ycck.jpg", &plain, &(struct test_jpeg){TEST_YCCK_ADOBE, 90, TEST_ONE_SCAN, 0});
    write_jpeg(
        folder, "turned.jpg", &on_its_side, &(struct test_jpeg){TEST_RGB, 90, TEST_ONE_SCAN, 6});
    for (int i = 0; i < LARGE * LARGE; i++)
        if (rgba[4 * i] == 255)
            memcpy(rgba + 4 * i, (const uint8_t[]){200, 0, 0, 0}, 4);
    write_png(folder, "palette.png",
        &(struct test_png){.colour = PNG_COLOR_TYPE_PALETTE, .depth = 8, .interlaced = true});
    write_png(
        folder, "cut out.png", &(struct test_png){.colour = PNG_COLOR_TYPE_RGB_ALPHA, .depth = 16});
}

// A small file with a header for 16384x16384 pixels.
static void write_bomb(const char *folder)
{
    struct fm_text file = {0};
    test_png_make(&plain, &(struct test_png){.colour = PNG_COLOR_TYPE_GRAY, .depth = 8}, &file);
    memcpy(file.data + 16, "\0\0\x40\0\0\0\x40\0", 8);
    uLong crc = crc32(0, (const Bytef *)file.data + 12, 17);
    for (int i = 0; i < 4; i++)
        file.data[29 + i] = (char)(crc >> (24 - 8 * i));
    write_file(folder, "bomb.png", &file, file.length);
}

static void write_bad(const char *folder)
{
    struct fm_text file = {0};
    check(fm_make_dirs(folder));
    test_jpeg_make(&plain, &(struct test_jpeg){TEST_RGB, 90, TEST_ONE_SCAN, 0}, &file);
    write_file(folder, "cut.jpg", &file, file.length / 2);
    test_png_make(&plain, &(struct test_png){.colour = PNG_COLOR_TYPE_GRAY, .depth = 8}, &file);
    write_file(folder, "cut.png", &file, file.length / 2);
    fm_text_append(&file, "not a picture\n");
    write_file(folder, "text.png", &file, file.length);
    fm_text_append(&file, " ");
    write_file(folder, "empty.png", &file, 0);
    write_bomb(folder);
    memset(rgba, 255, sizeof rgba);
    write_png(folder, "white.png", &(struct test_png){.colour = PNG_COLOR_TYPE_RGB, .depth = 8});
}

int main(int argc, char **argv)
{
    char good[FM_PATH_MAX], bad[FM_PATH_MAX];
    struct fm_idx idx;
    if (argc != 4) {
        fprintf(stderr, "usage: make_photographs IDX INDEX DIR\n");
        return 2;
    }
    check(fm_idx_read(argv[1], FM_IDX_IMAGES, &idx));
    uint32_t index = (uint32_t)strtoul(argv[2], NULL, 10);
    if (index >= idx.count || idx.rows != SIDE || idx.cols != SIDE) {
        fprintf(stderr, "%s has no image %u of 28x28\n", argv[1], index);
        return 1;
    }
    paint(idx.data + (size_t)index * FM_IMAGE_BYTES);
    fm_idx_free(&idx);
    check(fm_path_join(good, argv[3], "good"));
    check(fm_path_join(bad, argv[3], "bad"));
    write_good(good);
    write_bad(bad);
    return 0;
}
