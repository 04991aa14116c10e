// Pictures, read back: what is dark, where it is, and that a file is whole or absent.
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

struct picture {
    int width, height;
    long dark;   // pixels of the darkest shade: a share of 1
    double x, y; // their mean position
};

static char path[FM_PATH_MAX];

static void look(struct picture *p)
{
    cairo_surface_t *surface = cairo_image_surface_create_from_png(path);
    assert_int_equal(cairo_surface_status(surface), CAIRO_STATUS_SUCCESS);
    *p = (struct picture){
        cairo_image_surface_get_width(surface), cairo_image_surface_get_height(surface), 0, 0, 0};
    const unsigned char *data = cairo_image_surface_get_data(surface);
    int stride = cairo_image_surface_get_stride(surface);
    for (int y = 0; y < p->height; y++) {
        const uint32_t *row = (const uint32_t *)(const void *)(data + (ptrdiff_t)y * stride);
        for (int x = 0; x < p->width; x++) {
            uint32_t rgb = row[x] & 0xffffff;
            if (rgb >> 16 < 12 && (rgb & 0xff) > 95 && (rgb & 0xff) < 115) {
                p->dark++;
                p->x += x;
                p->y += y;
            }
        }
    }
    assert_true(p->dark > 0);
    p->x /= (double)p->dark;
    p->y /= (double)p->dark;
    cairo_surface_destroy(surface);
}

static char *three_names[] = {"one", "zwölf", "\xff\xfe broken"};

static void draw_one_cell(int actual, int predicted, struct picture *p)
{
    struct fm_metrics m;
    assert_int_equal(fm_metrics_begin(&m, 3), FM_OK);
    m.confusion[actual * 3 + predicted] = m.count = 7;
    fm_metrics_finish(&m);
    assert_int_equal(fm_chart_confusion(path, &m, three_names, "a title", false), FM_OK);
    fm_metrics_free(&m);
    look(p);
}

// One cell holds all the counts of its row: it is dark and the others are not; the actual class
// goes down, the predicted class goes right.
static void test_the_counted_cell_is_dark(void **state)
{
    (void)state;
    struct picture origin, right, down;
    draw_one_cell(0, 0, &origin);
    draw_one_cell(0, 2, &right);
    draw_one_cell(2, 0, &down);
    if (origin.dark < 3000 || origin.dark > 6000)
        fail_msg("%ld dark pixels: expected those of one cell", origin.dark);
    if (right.x - origin.x < 100 || fabs(right.y - origin.y) > 5)
        fail_msg("predicted 2 lies at %+.0f, %+.0f from predicted 0", right.x - origin.x,
            right.y - origin.y);
    if (down.y - origin.y < 100 || fabs(down.x - origin.x) > 5)
        fail_msg(
            "actual 2 lies at %+.0f, %+.0f from actual 0", down.x - origin.x, down.y - origin.y);
}

static void draw_identity(int classes, char *const *names, struct picture *p)
{
    struct fm_metrics m;
    assert_int_equal(fm_metrics_begin(&m, classes), FM_OK);
    for (int k = 0; k < classes; k++)
        m.confusion[k * classes + k] = 1000;
    fm_metrics_finish(&m);
    assert_int_equal(fm_chart_confusion(path, &m, names, "a title", false), FM_OK);
    fm_metrics_free(&m);
    look(p);
}

static void test_any_number_of_classes_fits(void **state)
{
    (void)state;
    static const int counts[] = {2, 10, 26, 100, 256};
    char *names[FM_CLASSES_MAX];
    for (int k = 0; k < FM_CLASSES_MAX; k++)
        names[k] = (char *)"a class with a name that is far too long to be drawn whole";
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct picture p;
        draw_identity(counts[i], names, &p);
        if (p.width < 200 || p.height < 200 || p.width > 1600 || p.height > 1600)
            fail_msg("%d classes: %d x %d pixels", counts[i], p.width, p.height);
        if (p.dark < 8L * counts[i])
            fail_msg("%d classes: the diagonal has %ld dark pixels", counts[i], p.dark);
    }
}

static void test_bars(void **state)
{
    (void)state;
    static const char *const series[3] = {"train", "selection", "test"};
    const struct fm_bar_group groups[] = {
        {"simple", {0.93, 0.92, 0.91}},
        {"vgg16", {0.88, NAN, 0.87}},
        {"hopeless", {0.1, 0, 1}},
    };
    // Without the last group the axis is cut; with it, it starts at 0; nothing at all is drawn,
    // too.
    for (int count = 0; count <= 3; count++) {
        assert_int_equal(fm_chart_bars(path, "a title", series, groups, count), FM_OK);
        cairo_surface_t *surface = cairo_image_surface_create_from_png(path);
        assert_int_equal(cairo_surface_status(surface), CAIRO_STATUS_SUCCESS);
        assert_in_range(cairo_image_surface_get_width(surface), 300, 1200);
        assert_in_range(cairo_image_surface_get_height(surface), 300, 800);
        cairo_surface_destroy(surface);
    }
}

// Pixels of the first series' colour.
static long bar_pixels(double value)
{
    static const char *const series[3] = {"train", "selection", "test"};
    const struct fm_bar_group group = {"a model", {value, 0, NAN}};
    assert_int_equal(fm_chart_bars(path, "a title", series, &group, 1), FM_OK);
    cairo_surface_t *surface = cairo_image_surface_create_from_png(path);
    assert_int_equal(cairo_surface_status(surface), CAIRO_STATUS_SUCCESS);
    const unsigned char *data = cairo_image_surface_get_data(surface);
    int height = cairo_image_surface_get_height(surface);
    size_t stride = (size_t)cairo_image_surface_get_stride(surface);
    long count = 0;
    for (size_t i = 0; i < stride * (size_t)height; i += 4)
        count += abs(data[i] - 232) < 3 && abs(data[i + 1] - 181) < 3 && abs(data[i + 2] - 87) < 3;
    cairo_surface_destroy(surface);
    return count;
}

static void test_a_bar_is_as_high_as_its_value(void **state)
{
    (void)state;
    long none = bar_pixels(0), quarter = bar_pixels(0.25) - none, whole = bar_pixels(1) - none;
    if (quarter < 2000 || labs(whole - 4 * quarter) > whole / 50)
        fail_msg("a bar of 0.25 has %ld pixels, one of 1 has %ld", quarter, whole);
}

// Percentages are of the row, whatever the counts: the same picture but for the number of images.
static void test_shares_are_of_the_row(void **state)
{
    (void)state;
    struct picture few, many;
    for (int times = 1; times <= 100; times += 99) {
        struct fm_metrics m;
        assert_int_equal(fm_metrics_begin(&m, 3), FM_OK);
        for (int k = 0; k < 9; k++)
            m.confusion[k] = (uint64_t)(times * (k % 4 == 0 ? 9 : k == 5 ? 1 : 0));
        fm_metrics_finish(&m);
        assert_int_equal(fm_chart_confusion(path, &m, three_names, "a title", true), FM_OK);
        fm_metrics_free(&m);
        look(times == 1 ? &few : &many);
    }
    assert_int_equal(few.dark, many.dark);
    assert_true(few.x == many.x && few.y == many.y);
}

static void test_a_folder_that_is_not_there(void **state)
{
    (void)state;
    struct fm_metrics m;
    assert_int_equal(fm_metrics_begin(&m, 3), FM_OK);
    fm_metrics_finish(&m);
    assert_int_equal(
        fm_chart_confusion("no/such/folder/x.png", &m, three_names, "a title", false), FM_IO);
    assert_non_null(strstr(fm_error_message(), "no/such/folder"));
    fm_error_clear();
    fm_metrics_free(&m);
}

static int make_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "test_chart-%ld.png", (long)getpid());
    return 0;
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_counted_cell_is_dark),
        cmocka_unit_test(test_any_number_of_classes_fits),
        cmocka_unit_test(test_bars),
        cmocka_unit_test(test_a_bar_is_as_high_as_its_value),
        cmocka_unit_test(test_shares_are_of_the_row),
        cmocka_unit_test(test_a_folder_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
