// The conversion of photographs, against a reference that goes the other way about it (each pixel
// of the photograph hands its light out), and on photographs as people take them.
#include "data/pictures/picture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"

enum {
    SIDE = FM_IMAGE_SIDE
};

// A number of a sequence that is the same everywhere.
static uint32_t draw(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 16;
}

static struct fm_picture sheet(uint32_t width, uint32_t height, int red, int green, int blue)
{
    struct fm_picture picture = {width, height, malloc((size_t)width * height * 3)};
    assert_non_null(picture.rgb);
    for (size_t i = 0; i < (size_t)width * height; i++) {
        picture.rgb[3 * i] = (uint8_t)red;
        picture.rgb[3 * i + 1] = (uint8_t)green;
        picture.rgb[3 * i + 2] = (uint8_t)blue;
    }
    return picture;
}

static uint8_t *at(const struct fm_picture *picture, uint32_t x, uint32_t y)
{
    return picture->rgb + 3 * ((size_t)y * picture->width + x);
}

static void paint(const struct fm_picture *picture, uint32_t left, uint32_t top, uint32_t width,
    uint32_t height, int grey)
{
    for (uint32_t y = top; y < top + height; y++)
        memset(at(picture, left, y), grey, 3 * (size_t)width);
}

static void convert(const struct fm_picture *picture, uint8_t record[FM_IMAGE_BYTES])
{
    assert_ok(fm_picture_convert("it", picture, FM_CONVERT_PHOTO, record));
}

// ---- The reference

static double light_of(double value)
{
    double v = value / 255;
    return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static double value_of(double light)
{
    return 255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * pow(light, 1 / 2.4) - 0.055);
}

static double luminance_of(double red, double green, double blue)
{
    return 0.2126 * light_of(red) + 0.7152 * light_of(green) + 0.0722 * light_of(blue);
}

// Hands `part` of [from, from + 1) out to the bins of [0, bins), each `width` wide.
static void hand_out(double from, double width, int bins, double shares[SIDE])
{
    for (int i = 0; i < bins; i++) {
        double low = i * width > from ? i * width : from;
        double high = (i + 1) * width < from + 1 ? (i + 1) * width : from + 1;
        shares[i] = high > low ? high - low : 0;
    }
}

static void shrink(const struct fm_picture *picture, const uint32_t box[4], int columns, int rows,
    double sums[SIDE][SIDE])
{
    double across = (double)box[2] / columns, down = (double)box[3] / rows;
    memset(sums, 0, sizeof(double) * SIDE * SIDE);
    for (uint32_t y = 0; y < box[3]; y++)
        for (uint32_t x = 0; x < box[2]; x++) {
            double in_columns[SIDE], in_rows[SIDE];
            const uint8_t *pixel = at(picture, box[0] + x, box[1] + y);
            double light = luminance_of(pixel[0], pixel[1], pixel[2]);
            hand_out(x, across, columns, in_columns);
            hand_out(y, down, rows, in_rows);
            for (int r = 0; r < rows; r++)
                for (int c = 0; c < columns; c++)
                    sums[r][c] += light * in_columns[c] * in_rows[r] / (across * down);
        }
}

// exp(-1/2) and exp(-1) for the edges and corners of a Gaussian of deviation 1.
static double sharpen(double values[SIDE][SIDE], int columns, int rows, int x, int y)
{
    static const double g[3] = {1, 0.6065306597126334, 0.36787944117144233};
    double total = 1 + 4 * g[1] + 4 * g[2];
    double sum = 2 * total * values[y][x];
    for (int v = y - 1; v <= y + 1; v++)
        for (int u = x - 1; u <= x + 1; u++) {
            int column = u < 0 ? 0 : u >= columns ? columns - 1 : u;
            int row = v < 0 ? 0 : v >= rows ? rows - 1 : v;
            if (u != x || v != y)
                sum -= g[abs(u - x) + abs(v - y)] * values[row][column];
        }
    return sum / (2 * total - 4 * g[1] - 4 * g[2]);
}

// `box`: left, top, width, height of the object; `background`: its grey.
static void reference(const struct fm_picture *picture, const uint32_t box[4], int background,
    double record[FM_IMAGE_BYTES])
{
    static double values[SIDE][SIDE];
    uint32_t longer = box[2] > box[3] ? box[2] : box[3];
    int columns = (int)lrint(28.0 * box[2] / longer), rows = (int)lrint(28.0 * box[3] / longer);
    columns = columns < 1 ? 1 : columns;
    rows = rows < 1 ? 1 : rows;
    shrink(picture, box, columns, rows, values);
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++)
            values[y][x] = value_of(values[y][x]);
    for (int i = 0; i < FM_IMAGE_BYTES; i++)
        record[i] = 0;
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++) {
            double value = sharpen(values, columns, rows, x, y);
            // The background becomes 0, what is furthest from it 255.
            value = background > 127 ? (background - value) * 255 / background
                                     : (value - background) * 255 / (255 - background);
            record[((SIDE - rows) / 2 + y) * SIDE + (SIDE - columns) / 2 + x] = value < 0 ? 0
                                                                                : value > 255
                                                                                    ? 255
                                                                                    : value;
        }
}

static void expect_reference(
    const char *what, const struct fm_picture *picture, const uint32_t box[4], int background)
{
    uint8_t record[FM_IMAGE_BYTES];
    double expected[FM_IMAGE_BYTES];
    convert(picture, record);
    reference(picture, box, background, expected);
    for (int i = 0; i < FM_IMAGE_BYTES; i++)
        if (!(fabs(record[i] - expected[i]) <= 0.5 + 1e-6))
            fail_msg("%s: row %d, column %d: %d, expected %f", what, i / SIDE, i % SIDE, record[i],
                expected[i]);
}

// Colours at random, far from the background in each pixel.
static void paint_noise(const struct fm_picture *picture, const uint32_t box[4], bool dark)
{
    uint32_t state = box[2] * 31 + box[3];
    for (uint32_t y = box[1]; y < box[1] + box[3]; y++)
        for (uint32_t x = box[0]; x < box[0] + box[2]; x++)
            for (int c = 0; c < 3; c++)
                at(picture, x, y)[c] = (uint8_t)(draw(&state) % 180 + (dark ? 0 : 75));
}

static void photographs_agree_with_the_reference(void **state)
{
    (void)state;
    static const struct {
        uint32_t width, height, box[4];
        int background;
    } cases[] = {
        {280, 280, {10, 20, 250, 240}, 255}, {333, 211, {31, 17, 101, 190}, 255},
        {600, 700, {3, 5, 590, 680}, 240}, // cells of several pixels
        {90, 40, {20, 11, 57, 13}, 200},   // wide
        {40, 33, {4, 7, 13, 9}, 255},      // smaller than 28: enlarged
        {50, 60, {10, 10, 28, 28}, 255},   // as it is
        {64, 48, {9, 8, 40, 30}, 0},       // on black
        {64, 48, {9, 8, 40, 30}, 40},      // on dark grey
        {400, 30, {20, 12, 350, 4}, 255},  // 28 x 0.3: a row at least
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char what[80];
        int grey = cases[i].background;
        struct fm_picture picture = sheet(cases[i].width, cases[i].height, grey, grey, grey);
        paint_noise(&picture, cases[i].box, grey > 127);
        snprintf(
            what, sizeof what, "case %zu, %ux%u on %d", i, cases[i].box[2], cases[i].box[3], grey);
        expect_reference(what, &picture, cases[i].box, grey);
        fm_picture_free(&picture);
    }
}

// ---- Photographs as they are

// The record is `from` where the object is, over all of its longer side, and 0 elsewhere.
static void expect_box(const uint8_t record[FM_IMAGE_BYTES], int columns, int rows)
{
    int left = (SIDE - columns) / 2, top = (SIDE - rows) / 2;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            bool inside = x >= left && x < left + columns && y >= top && y < top + rows;
            int value = record[y * SIDE + x];
            if (inside ? value < 100 : value != 0)
                fail_msg("row %d, column %d: %d, expected %s in a box of %dx%d", y, x, value,
                    inside ? "the object" : "background", columns, rows);
        }
}

// As JPEG leaves it: near the background's colour, but not of it.
static void noise_does_not_hide_the_edges(void **state)
{
    (void)state;
    uint32_t seed = 1;
    uint8_t record[FM_IMAGE_BYTES];
    struct fm_picture picture = sheet(300, 200, 0, 0, 0);
    for (size_t i = 0; i < (size_t)300 * 200 * 3; i++)
        picture.rgb[i] = (uint8_t)(246 + draw(&seed) % 10);
    paint(&picture, 100, 50, 56, 112, 60);
    convert(&picture, record);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            if (x >= 7 && x < 21)
                assert_in_range(record[y * SIDE + x], 150, 255);
            else
                assert_int_equal(record[y * SIDE + x], 0);
    fm_picture_free(&picture);
}

static void specks_do_not_hide_the_edges(void **state)
{
    (void)state;
    uint8_t record[FM_IMAGE_BYTES];
    struct fm_picture picture = sheet(1200, 900, 255, 255, 255);
    paint(&picture, 300, 100, 600, 300, 0);
    paint(&picture, 5, 5, 3, 3, 0); // dust
    paint(&picture, 1100, 880, 10, 2, 50);
    paint(&picture, 50, 600, 1, 1, 120);
    convert(&picture, record);
    expect_box(record, 28, 14);
    fm_picture_free(&picture);
}

// A pair of shoes is one object.
// Whatever has been found before them, and wherever that is remembered.
static void specks_at_the_edge_stay_specks(void **state)
{
    (void)state;
    uint8_t record[FM_IMAGE_BYTES];
    struct fm_picture picture = sheet(200, 200, 255, 255, 255);
    paint(&picture, 60, 60, 80, 80, 40);
    for (uint32_t x = 8; x < 60; x += 4)
        paint(&picture, x, 0, 1, 1, 40);
    paint(&picture, 0, 1, 1, 1, 40);
    convert(&picture, record);
    expect_box(record, 28, 28);
    fm_picture_free(&picture);
}

static void all_large_parts_are_the_object(void **state)
{
    (void)state;
    uint8_t record[FM_IMAGE_BYTES];
    struct fm_picture picture = sheet(400, 200, 255, 255, 255);
    paint(&picture, 20, 80, 140, 40, 0);
    paint(&picture, 240, 80, 140, 40, 0);
    convert(&picture, record);
    assert_true(record[14 * SIDE] > 200 && record[14 * SIDE + SIDE - 1] > 200);
    assert_int_equal(record[14 * SIDE + 14], 0);
    fm_picture_free(&picture);
}

// Of the corners, that counts which most of the border agrees with.
static void an_object_may_reach_into_corners(void **state)
{
    (void)state;
    uint8_t record[FM_IMAGE_BYTES];
    struct fm_picture picture;
    for (uint32_t corner = 0; corner < 4; corner++) {
        picture = sheet(200, 200, 255, 255, 255);
        paint(&picture, corner % 2 * 100, corner / 2 * 100, 100, 100, 0);
        convert(&picture, record);
        expect_box(record, 28, 28);
        fm_picture_free(&picture);
    }

    picture = sheet(200, 200, 255, 255, 255);
    paint(&picture, 20, 60, 160, 140, 30); // cut off at the bottom
    convert(&picture, record);
    expect_box(record, 28, 24);
    fm_picture_free(&picture);
}

static void objects_of_a_pixel_are_seen(void **state)
{
    (void)state;
    uint8_t record[FM_IMAGE_BYTES];
    struct fm_picture picture = sheet(280, 280, 255, 255, 255);
    paint(&picture, 140, 0, 1, 280, 0);
    convert(&picture, record);
    expect_box(record, 1, 28);
    fm_picture_free(&picture);

    picture = sheet(280, 280, 255, 255, 255);
    paint(&picture, 20, 77, 200, 1, 0);
    convert(&picture, record);
    expect_box(record, 28, 1);
    fm_picture_free(&picture);

    picture = sheet(50, 50, 255, 255, 255);
    paint(&picture, 20, 30, 1, 1, 0);
    convert(&picture, record);
    expect_box(record, 28, 28);
    fm_picture_free(&picture);
}

static void pictures_of_extreme_shape_are_taken(void **state)
{
    (void)state;
    uint8_t record[FM_IMAGE_BYTES];
    struct fm_picture picture = sheet(16384, 1, 255, 255, 255);
    paint(&picture, 4000, 0, 8000, 1, 0);
    convert(&picture, record);
    expect_box(record, 28, 1);
    fm_picture_free(&picture);

    picture = sheet(1, 16384, 255, 255, 255);
    paint(&picture, 0, 4000, 1, 5000, 0);
    convert(&picture, record);
    expect_box(record, 1, 28);
    fm_picture_free(&picture);
}

static void mere_background_is_refused(void **state)
{
    (void)state;
    uint32_t seed = 5;
    uint8_t record[FM_IMAGE_BYTES];
    static const int sizes[][2] = {{1, 1}, {28, 28}, {300, 5}, {5, 300}, {600, 600}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct fm_picture picture = sheet(
            (uint32_t)sizes[i][0], (uint32_t)sizes[i][1], 200, 10, 90);
        for (size_t j = 0; j < (size_t)sizes[i][0] * (size_t)sizes[i][1] * 3; j++)
            picture.rgb[j] = (uint8_t)(picture.rgb[j] + draw(&seed) % 6);
        assert_fails(fm_picture_convert("it", &picture, FM_CONVERT_PHOTO, record), FM_DATA,
            "it: nothing but background");
        fm_picture_free(&picture);
    }
}

// ---- Which pictures are photographs

static void a_picture_of_28x28_is_taken_as_it_is(void **state)
{
    (void)state;
    uint8_t record[FM_IMAGE_BYTES];
    struct fm_picture picture = sheet(SIDE, SIDE, 255, 255, 255);
    for (int i = 0; i < FM_IMAGE_BYTES; i++)
        memset(picture.rgb + 3 * i, i % 256, 3);
    for (int i = 0; i < 2; i++) {
        assert_ok(
            fm_picture_convert("it", &picture, i ? FM_CONVERT_NONE : FM_CONVERT_AUTO, record));
        for (int j = 0; j < FM_IMAGE_BYTES; j++)
            assert_int_equal(record[j], j % 256);
    }
    memcpy(picture.rgb, "\xff\0\0\0\xff\0\0\0\xff", 9);
    assert_ok(fm_picture_convert("it", &picture, FM_CONVERT_AUTO, record));
    assert_int_equal(record[0], lrint(value_of(0.2126)));
    assert_int_equal(record[1], lrint(value_of(0.7152)));
    assert_int_equal(record[2], lrint(value_of(0.0722)));
    fm_picture_free(&picture);
}

static void all_others_only_where_it_is_asked_for(void **state)
{
    (void)state;
    uint8_t record[FM_IMAGE_BYTES];
    struct fm_picture picture = sheet(SIDE, SIDE + 1, 255, 255, 255);
    paint(&picture, 3, 3, 10, 10, 0);
    assert_fails(fm_picture_convert("it", &picture, FM_CONVERT_NONE, record), FM_DATA,
        "it: the picture is of 28x29 pixels, expected 28x28");
    assert_ok(fm_picture_convert("it", &picture, FM_CONVERT_AUTO, record));
    expect_box(record, 28, 28);
    fm_picture_free(&picture);

    picture = sheet(SIDE, SIDE, 255, 255, 255);
    paint(&picture, 3, 3, 10, 5, 0);
    convert(&picture, record);
    expect_box(record, 28, 14);
    fm_picture_free(&picture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(photographs_agree_with_the_reference),
        cmocka_unit_test(noise_does_not_hide_the_edges),
        cmocka_unit_test(specks_do_not_hide_the_edges),
        cmocka_unit_test(specks_at_the_edge_stay_specks),
        cmocka_unit_test(all_large_parts_are_the_object),
        cmocka_unit_test(an_object_may_reach_into_corners),
        cmocka_unit_test(objects_of_a_pixel_are_seen),
        cmocka_unit_test(pictures_of_extreme_shape_are_taken),
        cmocka_unit_test(mere_background_is_refused),
        cmocka_unit_test(a_picture_of_28x28_is_taken_as_it_is),
        cmocka_unit_test(all_others_only_where_it_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
