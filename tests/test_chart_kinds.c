// Lines, points, reliability, pictures: read back, values are where the axes say; odd data are
// drawn; both kinds of files are whole and the same each time.
#include "base/file.h"
#include "report/charts/chart.h"

#include <cairo.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char stem[64], png[FM_PATH_MAX], svg[FM_PATH_MAX];

// Pixels of one colour (within 2 of each channel; dark ones within 40), and where they are.
struct spots {
    long count;
    double x, y; // mean
    int left, right;
    double left_y, right_y; // of the leftmost and the rightmost one
    int width, height;      // of the picture
};

static const unsigned dark = 0x202020, gap_fill = 0xfae3d1;
static const unsigned blue = 0x0073b3, vermilion = 0xd65e00, green = 0x009e73, sky = 0x57b5e8;

static bool is_near(uint32_t pixel, unsigned colour)
{
    for (int shift = 0; shift < 24; shift += 8)
        if (abs((int)(pixel >> shift & 255) - (int)(colour >> shift & 255)) >
            (colour == dark ? 40 : 2))
            return false;
    return true;
}

static struct spots look(unsigned colour)
{
    cairo_surface_t *surface = cairo_image_surface_create_from_png(png);
    assert_int_equal(cairo_surface_status(surface), CAIRO_STATUS_SUCCESS);
    struct spots s = {.left = 1 << 20, .right = -1};
    s.width = cairo_image_surface_get_width(surface);
    s.height = cairo_image_surface_get_height(surface);
    const unsigned char *data = cairo_image_surface_get_data(surface);
    for (int y = 0; y < s.height; y++) {
        const uint32_t *row =
            (const uint32_t *)(const void *)(data + (ptrdiff_t)y *
                                                        cairo_image_surface_get_stride(surface));
        for (int x = 0; x < s.width; x++) {
            if (!is_near(row[x], colour))
                continue;
            s.count++;
            s.x += x;
            s.y += y;
            if (x < s.left) {
                s.left = x;
                s.left_y = y;
            }
            if (x > s.right) {
                s.right = x;
                s.right_y = y;
            }
        }
    }
    cairo_surface_destroy(surface);
    s.x /= (double)(s.count ? s.count : 1);
    s.y /= (double)(s.count ? s.count : 1);
    return s;
}

static void assert_near(const char *what, double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%s: %.2f, expected %.2f within %.2f", what, found, expected, tolerance);
}

// Both files are there and whole, and say the same size.
static void check_files(const char *what)
{
    static const unsigned char signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    unsigned char *data;
    size_t size;
    assert_int_equal(fm_file_read(png, &data, &size), FM_OK);
    if (size < 100 || memcmp(data, signature, 8) != 0)
        fail_msg("%s: no PNG", what);
    unsigned width = (unsigned)data[18] << 8 | data[19],
             height = (unsigned)data[22] << 8 | data[23];
    free(data);
    assert_int_equal(fm_file_read(svg, &data, &size), FM_OK);
    char sizes[64];
    snprintf(sizes, sizeof sizes, "width=\"%upx\" height=\"%upx\"", width, height);
    if (strncmp((char *)data, "<?xml", 5) != 0 || !strstr((char *)data, sizes) ||
        strcmp((char *)data + size - 7, "</svg>\n") != 0)
        fail_msg("%s: no whole SVG of %s:\n%.300s", what, sizes, (char *)data);
    free(data);
    assert_in_range(width, 200, 16000);
    assert_in_range(height, 100, 16000);
}

static void draw_flat_lines(const double values[3], bool logarithmic, double low, double high)
{
    double x[4] = {1, 2, 3, 4}, y[3][4];
    struct fm_series series[3];
    for (int s = 0; s < 3; s++) {
        for (int i = 0; i < 4; i++)
            y[s][i] = values[s];
        series[s] = (struct fm_series){
            "", x, y[s], 4, FM_MARKERS_NONE, false, s}; // no name: no legend
    }
    struct fm_line_chart chart = {
        "a title", NULL, {.label = "x"}, {.label = "y", .log = logarithmic}, low, high, series, 3};
    assert_int_equal(fm_chart_lines(stem, &chart), FM_OK);
    check_files("flat lines");
}

static void test_lines_are_where_their_values_say(void **state)
{
    (void)state;
    draw_flat_lines((const double[]){0, 1, 0.25}, false, 0, 1);
    double zero = look(blue).y, one = look(vermilion).y, quarter = look(green).y;
    assert_near("from 0 to 1", zero - one, 380, 2);
    assert_near("a quarter", quarter, zero - 0.25 * (zero - one), 1.5);
    draw_flat_lines((const double[]){0.02, 200, 2}, true, NAN, NAN);
    zero = look(blue).y, one = look(vermilion).y, quarter = look(green).y;
    assert_true(zero - one > 250);
    assert_near("in the middle of a logarithm", quarter, (zero + one) / 2, 1.5);
}

static void test_dashes_and_gaps(void **state)
{
    (void)state;
    double x[5] = {1, 2, 3, 4, 5}, whole[5] = {1, 1, 1, 1, 1}, gap[5] = {1, 1, NAN, 1, 1};
    struct fm_series series = {"", x, whole, 5, FM_MARKERS_NONE, false, 0};
    struct fm_line_chart chart = {"t", "s", {.label = "x"}, {.label = "y"}, 0, 2, &series, 1};
    assert_int_equal(fm_chart_lines(stem, &chart), FM_OK);
    struct spots solid = look(blue);
    series.dashed = true;
    assert_int_equal(fm_chart_lines(stem, &chart), FM_OK);
    assert_near("dashes", (double)look(blue).count / (double)solid.count, 6.5 / 12, 0.06);
    series.dashed = false;
    series.y = gap;
    assert_int_equal(fm_chart_lines(stem, &chart), FM_OK);
    assert_near("without the middle", (double)look(blue).count / (double)solid.count, 0.5, 0.03);
    series.count = 1; // a point alone shows
    assert_int_equal(fm_chart_lines(stem, &chart), FM_OK);
    assert_in_range(look(blue).count, 15, 80);
}

enum {
    TOLD_APART = 21, // colours in as many ways
    POINTS = 101
};

// A line of one colour of the palette: by itself, or its entry in a legend.
static void draw_one(int colour, enum fm_markers markers, bool dashed, bool entry)
{
    double x[POINTS], y[POINTS];
    for (int i = 0; i < POINTS; i++) {
        x[i] = i;
        y[i] = 1;
    }
    const struct fm_series series = {
        entry ? "a name" : "", x, y, entry ? 0 : POINTS, markers, dashed, colour};
    const struct fm_line_chart chart = {
        "t", NULL, {.label = "x"}, {.label = "y"}, 0, 2, &series, 1};
    assert_int_equal(fm_chart_lines(png, &chart), FM_OK);
}

// With the palette's colours alone every eighth line would be another's double.
static void test_many_lines_are_told_apart(void **state)
{
    (void)state;
    for (int entry = 0; entry < 2; entry++)
        for (int dashed = 0; dashed < 2; dashed++) {
            unsigned char *files[TOLD_APART];
            size_t sizes[TOLD_APART];
            for (int i = 0; i < TOLD_APART; i++) {
                draw_one(i, FM_MARKERS_FEW, dashed, entry);
                assert_int_equal(fm_file_read(png, &files[i], &sizes[i]), FM_OK);
                for (int k = 0; k < i; k++)
                    if (sizes[i] == sizes[k] && memcmp(files[i], files[k], sizes[i]) == 0)
                        fail_msg("lines %d and %d look the same", k, i);
            }
            for (int i = 0; i < TOLD_APART; i++)
                free(files[i]);
        }
    // Not by a shade: so much of a line is there. (Half a pixel of each dash is mixed with white.)
    static const struct {
        int colour;
        bool dashed;
        double share;
    } ways[] = {
        {7, false, 11.5 / 17}, {14, false, 2.0 / 6}, {7, true, 15.0 / 24}, {14, true, 13.5 / 27}};
    draw_one(0, FM_MARKERS_NONE, false, false);
    double solid = (double)look(blue).count;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        draw_one(ways[i].colour, FM_MARKERS_NONE, ways[i].dashed, false);
        assert_near("a pattern", (double)look(blue).count / solid, ways[i].share, 0.06);
    }
}

static void test_few_markers(void **state)
{
    (void)state;
    double counts[3];
    for (int m = FM_MARKERS_NONE; m <= FM_MARKERS_FEW; m++) {
        draw_one(0, (enum fm_markers)m, false, false);
        counts[m] = (double)look(blue).count;
    }
    double few = counts[FM_MARKERS_FEW] - counts[FM_MARKERS_NONE];
    if (few < 5 * 20 || few > 8 * 50 || counts[FM_MARKERS_ALL] < counts[FM_MARKERS_FEW] + 10 * few)
        fail_msg("pixels: %.0f without, %.0f with few, %.0f with all", counts[FM_MARKERS_NONE],
            counts[FM_MARKERS_FEW], counts[FM_MARKERS_ALL]);
    // One at least of a line that is too short for more.
    const double x[POINTS] = {1, 1.001, 2}, level[POINTS] = {1, 1, 1};
    struct fm_series series[] = {{"", x, level, 2, FM_MARKERS_FEW, false, 0},
        {"", x + 2, level, 1, FM_MARKERS_NONE, false, 1}};
    struct fm_line_chart chart = {"t", NULL, {.label = "x"}, {.label = "y"}, 0, 2, series, 2};
    assert_int_equal(fm_chart_lines(stem, &chart), FM_OK);
    assert_in_range(look(blue).count, 25, 90);
    // Those of a line that is covered by another stand beside the other's.
    double many[POINTS], same[POINTS];
    for (int i = 0; i < POINTS; i++) {
        many[i] = i;
        same[i] = 1;
    }
    series[0] = (struct fm_series){"", many, same, POINTS, FM_MARKERS_FEW, false, 0};
    series[1] = (struct fm_series){"", many, same, POINTS, FM_MARKERS_FEW, false, 1};
    assert_int_equal(fm_chart_lines(stem, &chart), FM_OK);
    assert_true(look(blue).count > 5 * 15);
}

static void test_points_are_where_their_values_say(void **state)
{
    (void)state;
    const struct fm_point points[] = {{NULL, 1, 0.5}, {NULL, 10, 0.6}, {NULL, 100, 0.7}};
    struct fm_point_chart chart = {
        "t", NULL, {.label = "x", .log = true}, {.label = "y", .percent = true}, points, 3};
    assert_int_equal(fm_chart_points(stem, &chart), FM_OK);
    struct spots s = look(blue);
    assert_near("the middle point", s.x, (s.left + s.right) / 2.0, 12);
    if (s.right - s.left < 400 || s.left_y - s.right_y < 200)
        fail_msg("from %d, %.0f to %d, %.0f", s.left, s.left_y, s.right, s.right_y);
}

// Names of points at one place cover neither each other nor the point: as much ink as of each.
static void test_names_do_not_overlap(void **state)
{
    (void)state;
    struct fm_point points[6];
    double ink[3];
    for (int named = 0; named <= 6; named += named == 0 ? 1 : 5) {
        for (int i = 0; i < 6; i++)
            points[i] = (struct fm_point){i < named ? "a name" : NULL, 3, 0.5};
        struct fm_point_chart chart = {"t", NULL, {.label = "x"}, {.label = "y"}, points, 6};
        assert_int_equal(fm_chart_points(stem, &chart), FM_OK);
        ink[named == 0 ? 0 : named == 1 ? 1 : 2] = (double)look(dark).count;
    }
    assert_true(ink[1] - ink[0] > 20);
    assert_near("ink of six names by that of one", (ink[2] - ink[0]) / (ink[1] - ink[0]), 6, 0.9);
}

static void test_reliability(void **state)
{
    (void)state;
    struct fm_metrics m;
    long gaps[3];
    for (int i = 0; i < 3; i++) { // accuracies 0, 0.5, 1 in the bin of confidences to 0.2
        assert_int_equal(fm_metrics_begin(&m, 3), FM_OK);
        m.bins[2].count = m.count = 10;
        m.bins[2].correct = m.correct = (uint64_t)(5 * i);
        m.bins[2].confidence = 0; // all of the bar is gap
        fm_metrics_finish(&m);
        assert_int_equal(fm_chart_reliability(stem, &m, "a title"), FM_OK);
        check_files("reliability");
        gaps[i] = look(gap_fill).count;
        fm_metrics_free(&m);
    }
    if (gaps[1] < gaps[0] + 200)
        fail_msg("a gap of 0.5 has %ld pixels, one of 0 %ld", gaps[1], gaps[0]);
    assert_near("a gap of 1 by one of 0.5",
        (double)(gaps[2] - gaps[0]) / (double)(gaps[1] - gaps[0]), 2, 0.15);
    assert_int_equal(fm_metrics_begin(&m, 3), FM_OK); // without any, and without a bar
    fm_metrics_finish(&m);
    assert_int_equal(fm_chart_reliability(stem, &m, NULL), FM_OK);
    assert_int_equal(look(sky).count, 0);
    fm_metrics_free(&m);
}

static void test_pictures_are_crisp_and_wrong_ones_are_marked(void **state)
{
    (void)state;
    uint8_t record[28 * 28];
    for (int i = 0; i < 28 * 28; i++)
        record[i] = (i + i / 28) % 2 ? 100 : 200; // a chessboard
    struct fm_picture_cell cells[2] = {
        {record, "above", "below", false}, {record, NULL, NULL, false}};
    assert_int_equal(fm_chart_pictures(stem, "a title", cells, 2, 5), FM_OK);
    check_files("pictures");
    assert_int_equal(look(vermilion).count, 0);
    assert_in_range(look(0x646464).count, 2 * 9 * 392, 2 * 9 * 392 + 60); // and some of the text
    assert_in_range(look(0xc8c8c8).count, 2 * 9 * 392, 2 * 9 * 392 + 60);
    unsigned char *text;
    size_t size;
    assert_int_equal(fm_file_read(svg, &text, &size), FM_OK);
    assert_non_null(strstr((char *)text, "<image style=\"image-rendering:pixelated\" id=\"i"));
    free(text);

    cells[1].wrong = true;
    assert_int_equal(fm_chart_pictures(stem, "a title", cells, 2, 5), FM_OK);
    struct spots frame = look(vermilion);
    assert_in_range(frame.count, 4 * 84 * 2, 4 * 90 * 4);
    assert_true(frame.x > frame.width / 2.0 - 100);
}

static void test_many_pictures_and_none(void **state)
{
    (void)state;
    enum {
        MANY = 700
    };
    static uint8_t record[28 * 28];
    struct fm_picture_cell *cells = calloc(MANY, sizeof *cells);
    for (int i = 0; i < MANY; i++)
        cells[i].record = record;
    assert_int_equal(fm_chart_pictures(png, "many", cells, MANY, 1), FM_OK); // too tall for all
    assert_in_range(look(0).height, 10000, 13000);
    assert_int_equal(fm_chart_pictures(stem, NULL, cells, 0, 0), FM_OK);
    check_files("no pictures");
    cells[0].record = NULL;
    assert_int_equal(fm_chart_pictures(stem, "", cells, 1, -3), FM_OK);
    check_files("a picture that is not there");
    free(cells);
}

static void draw_odd(const char *what, const double *x, const double *y, int count)
{
    struct fm_series series[2] = {{what, x, y, count, FM_MARKERS_ALL, false, -1},
        {NULL, y, x, count, FM_MARKERS_FEW, true, 99}};
    struct fm_point points[8];
    for (int i = 0; i < count; i++)
        points[i] = (struct fm_point){i % 2 ? what : "\xff\x01 not UTF-8", x[i], y[i]};
    for (int variant = 0; variant < 8; variant++) {
        struct fm_axis ax = {.log = variant & 1, .percent = variant & 4}, ay = {.log = variant & 2};
        struct fm_line_chart lines = {what, what, ax, ay, NAN, NAN, series, 2};
        struct fm_point_chart dots = {NULL, what, ax, ay, points, count};
        enum fm_status status = fm_chart_lines(stem, &lines);
        if (status == FM_OK) {
            check_files(what);
            status = fm_chart_points(stem, &dots);
        }
        if (status != FM_OK)
            fail_msg("%s, variant %d: %s", what, variant, fm_error_message());
        check_files(what);
    }
}

static void test_odd_values_are_drawn(void **state)
{
    (void)state;
    const double some[4] = {1, 2, 3, 4}, none[4] = {NAN, NAN, INFINITY, -INFINITY};
    const double equal[4] = {7, 7, 7, 7}, negative[4] = {-5, -1, 0, 1};
    const double huge[4] = {-1e308, 1e308, 1, 0}, tiny[4] = {5e-324, 1e-300, 1e-12, 1e-300};
    draw_odd("nothing", none, some, 4);
    draw_odd("no points", some, some, 0);
    draw_odd("one point", some, some, 1);
    draw_odd("equal values", equal, equal, 4);
    draw_odd("negative", some, negative, 4);
    draw_odd("huge", huge, some, 4);
    draw_odd("tiny", tiny, huge, 4);
    draw_odd("a name of many words that is far longer than there is room for in one line of a "
             "picture, or in two, and does not end äöü",
        some, negative, 4);
    draw_odd("\xc3\xa4\xc3\xb6\xf0\x9f\x91\x9f\xff", some, some, 4);
}

static void read_both(unsigned char *data[2], size_t size[2])
{
    assert_int_equal(fm_file_read(png, &data[0], &size[0]), FM_OK);
    assert_int_equal(fm_file_read(svg, &data[1], &size[1]), FM_OK);
}

// Cairo numbers what it draws through the life of the process: not to be seen in the files.
static void test_the_same_chart_gives_the_same_bytes(void **state)
{
    (void)state;
    uint8_t record[28 * 28] = {1, 2, 3};
    const struct fm_picture_cell cell = {record, "above", "below", true};
    unsigned char *data[2][2];
    size_t size[2][2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fm_chart_pictures(stem, "a title", &cell, 1, 1), FM_OK);
        read_both(data[i], size[i]);
    }
    for (int f = 0; f < 2; f++) {
        assert_int_equal(size[0][f], size[1][f]);
        assert_memory_equal(data[0][f], data[1][f], size[0][f]);
    }
    for (int i = 0; i < 4; i++)
        free(data[i / 2][i % 2]);
}

static void test_the_suffix_says_which_file(void **state)
{
    (void)state;
    const struct fm_line_chart chart = {.title = "t", .y_low = NAN, .y_high = NAN};
    unlink(png);
    unlink(svg);
    assert_int_equal(fm_chart_lines(svg, &chart), FM_OK);
    assert_true(fm_path_exists(svg) && !fm_path_exists(png));
    unlink(svg);
    assert_int_equal(fm_chart_lines(png, &chart), FM_OK);
    assert_true(fm_path_exists(png) && !fm_path_exists(svg));
    assert_int_equal(fm_chart_lines(stem, &chart), FM_OK);
    assert_true(fm_path_exists(png) && fm_path_exists(svg));
}

static int make_paths(void **state)
{
    (void)state;
    snprintf(stem, sizeof stem, "test_chart_kinds-%ld.d", (long)getpid());
    return fm_chart_path(png, stem, ".png") || fm_chart_path(svg, stem, ".svg");
}

static int remove_files(void **state)
{
    (void)state;
    return unlink(png) || unlink(svg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_where_their_values_say),
        cmocka_unit_test(test_dashes_and_gaps),
        cmocka_unit_test(test_many_lines_are_told_apart),
        cmocka_unit_test(test_few_markers),
        cmocka_unit_test(test_points_are_where_their_values_say),
        cmocka_unit_test(test_names_do_not_overlap),
        cmocka_unit_test(test_reliability),
        cmocka_unit_test(test_pictures_are_crisp_and_wrong_ones_are_marked),
        cmocka_unit_test(test_many_pictures_and_none),
        cmocka_unit_test(test_odd_values_are_drawn),
        cmocka_unit_test(test_the_same_chart_gives_the_same_bytes),
        cmocka_unit_test(test_the_suffix_says_which_file),
    };
    return cmocka_run_group_tests(tests, make_paths, remove_files);
}
