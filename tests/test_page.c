// Pages: what is text stays text wherever it stands, and each image is kept once, where the page's
// style looks for it.
#include "report/pages/page.h"

#include "base/file.h"
#include "data/pictures/picture.h"
#include "report/pages/atlas.h"
#include "report/pages/markup.h"

#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"

static char folder[SCRATCH_PATH_MAX];
static const char hostile[] = "<img src=x onerror=\"alert('1')\">&amp;</script><!--\xff\x01";

// ---- Markup

static void assert_escaped(const char *text, const char *expected)
{
    struct fm_text out = {0};
    fm_page_escape(&out, text);
    assert_string_equal(fm_text_cstr(&out), expected);
    fm_text_free(&out);
}

static void test_escape(void **state)
{
    (void)state;
    assert_escaped("", "");
    assert_escaped("T-shirt/top, Ärmel 袖", "T-shirt/top, Ärmel 袖");
    assert_escaped("<b a=\"1\" c='2'>&lt;", "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;lt;");
    // Bytes that are no UTF-8 and control characters, but neither tabulator nor end of line.
    assert_escaped("a\xffz\x01\x7f\xc2\x9bq\t\n", "a\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd"
                                                  "\xef\xbf\xbdq\t\n");
    assert_escaped("\xe8\xa2", "\xef\xbf\xbd\xef\xbf\xbd"); // cut off
}

static void test_base64(void **state)
{
    (void)state;
    // RFC 4648, section 10.
    static const char *const pairs[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
        {"\xff\xfe\xfd", "//79"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct fm_text out = {0};
        fm_base64_append(&out, pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(fm_text_cstr(&out), pairs[i][1]);
        fm_text_free(&out);
    }
    // Longer than a block of the encoder.
    char bytes[1000];
    struct fm_text out = {0};
    memset(bytes, 'f', sizeof bytes);
    fm_base64_append(&out, bytes, sizeof bytes);
    assert_int_equal(out.length, 1336);
    for (size_t i = 0; i < 1332; i++)
        assert_int_equal(out.data[i], "ZmZm"[i % 4]);
    assert_string_equal(out.data + 1332, "Zg==");
    fm_text_free(&out);
}

static void test_script_json(void **state)
{
    (void)state;
    struct fm_text out = {0};
    json_t *json = json_pack("{s:s, s:[i, f]}", "</script><!--", "<script>a<b", "n", 3, 0.25);
    fm_script_json_append(&out, json);
    assert_null(strchr(fm_text_cstr(&out), '<'));
    json_t *again = json_loads(fm_text_cstr(&out), 0, NULL);
    assert_true(json_equal(json, again)); // and nothing was lost
    json_decref(again);
    json_decref(json);
    fm_text_free(&out);
    fm_script_json_append(&out, NULL);
    assert_true(out.failed);
    fm_text_free(&out);
}

// ---- The atlas

// An image that is unlike any other of the test.
static void draw(uint32_t number, uint8_t record[FM_IMAGE_BYTES])
{
    for (uint32_t i = 0; i < FM_IMAGE_BYTES; i++)
        record[i] = (uint8_t)(1 + (number * 7919 + i * (1 + number % 13)) % 255);
}

static void test_atlas_holds_each_image_once(void **state)
{
    (void)state;
    enum {
        IMAGES = 700
    };
    struct fm_atlas atlas = {0};
    uint8_t record[FM_IMAGE_BYTES];
    int index;
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < IMAGES; i++) {
            draw(i, record);
            assert_ok(fm_atlas_add(&atlas, (uint64_t)i << 40, record, &index));
            assert_int_equal(index, i);
        }
    assert_int_equal(atlas.count, IMAGES);
    assert_int_equal(fm_atlas_columns(&atlas), FM_ATLAS_COLUMNS);
    assert_int_equal(fm_atlas_rows(&atlas), 6);

    struct fm_text png = {0};
    struct fm_picture picture;
    assert_ok(fm_atlas_png(&atlas, &png));
    assert_ok(fm_picture_decode("atlas", (const uint8_t *)png.data, png.length, &picture));
    assert_int_equal(picture.width, FM_ATLAS_COLUMNS * 30);
    assert_int_equal(picture.height, 6 * 30);
    for (uint32_t i = 0; i < IMAGES; i++) {
        draw(i, record);
        uint32_t left = 30 * (i % 128), top = 30 * (i / 128);
        for (uint32_t y = 0; y < 30; y++)
            for (uint32_t x = 0; x < 30; x++) {
                bool edge = x == 0 || x == 29 || y == 0 || y == 29;
                int expected = edge ? 0 : record[(y - 1) * 28 + x - 1];
                int found = picture.rgb[((size_t)(top + y) * picture.width + left + x) * 3];
                if (found != expected)
                    fail_msg("image %u at %u, %u: %d, expected %d", i, x, y, found, expected);
            }
    }
    fm_picture_free(&picture);
    fm_text_free(&png);
    fm_atlas_free(&atlas);
}

static void test_atlas_has_a_limit(void **state)
{
    (void)state;
    struct fm_atlas atlas = {0};
    uint8_t record[FM_IMAGE_BYTES] = {0};
    int index;
    for (int i = 0; i < FM_ATLAS_MAX; i++)
        assert_ok(fm_atlas_add(&atlas, (uint64_t)i, record, &index));
    assert_fails(
        fm_atlas_add(&atlas, FM_ATLAS_MAX, record, &index), FM_UNSUPPORTED, "69888 images");
    assert_ok(fm_atlas_add(&atlas, 5, record, &index)); // one that it has
    assert_int_equal(index, 5);
    fm_atlas_free(&atlas);
}

// ---- The page

static char *written(struct fm_page *page)
{
    char path[FM_PATH_MAX];
    unsigned char *text;
    size_t size;
    assert_ok(fm_path_join(path, folder, "page.html"));
    assert_ok(fm_page_write(page, path));
    assert_ok(fm_file_read(path, &text, &size));
    assert_int_equal(strlen((char *)text), size);
    return (char *)text;
}

static int count_of(const char *text, const char *part)
{
    int count = 0;
    for (; (text = strstr(text, part)); text++)
        count++;
    return count;
}

static struct fm_table *hostile_table(void)
{
    const struct fm_column columns[] = {{"name", hostile, false}, {"value", "value", true}};
    struct fm_table *table;
    assert_ok(fm_table_create(columns, 2, &table));
    fm_table_cell(table, json_string("x"), "%s", hostile);
    fm_table_cell(table, json_real(0.125), "12.5 %%");
    fm_table_cell(table, json_string("y"), "plain");
    fm_table_cell(table, NULL, "-");
    return table;
}

static void add_everything(struct fm_page *page)
{
    uint8_t record[FM_IMAGE_BYTES] = {1, 2, 3};
    char svg[FM_PATH_MAX];
    fm_page_heading(page, 2, hostile);
    fm_page_heading(page, 3, hostile);
    fm_page_paragraph(page, "%s and %d", hostile, 5);
    struct fm_table *table = hostile_table();
    fm_page_table(page, table, hostile);
    fm_table_free(table);
    assert_ok(fm_path_join(svg, folder, "chart.svg"));
    assert_int_equal(scratch_write(svg, "<svg>", 5), 0);
    assert_ok(fm_page_chart(page, svg, hostile));
    const struct fm_page_tile tiles[] = {
        {fm_page_image(page, 7, record), hostile, hostile, hostile, true},
        {fm_page_image(page, 7, record), NULL, NULL, NULL, false},
        {fm_page_image(page, 8, record), "above", NULL, NULL, false}};
    assert_int_equal(tiles[0].image, tiles[1].image);
    assert_int_equal(tiles[2].image, 1);
    fm_page_gallery(page, tiles, 3);
    fm_page_data(page, hostile, json_pack("{s:s}", "name", "</script><script>alert(1)</script>"));
    fm_page_script(page, "look");
    fm_page_script(page, "look"); // once is enough
}

static void test_text_stays_text(void **state)
{
    (void)state;
    struct fm_page *page;
    assert_ok(fm_page_create(hostile, &page));
    add_everything(page);
    char *text = written(page);
    assert_null(strstr(text, "<img src=x"));
    assert_null(strstr(text, "<script>alert"));
    assert_null(strstr(text, "<!--"));
    assert_null(strstr(text, "onerror=\""));
    assert_null(strchr(text, '\x01'));
    // Title, h1, menu, two headings, paragraph, table: label, caption, heading, cell; chart; tile:
    // title, label, two lines; id of the data.
    assert_int_equal(
        count_of(text, "&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;amp;"
                       "&lt;/script&gt;&lt;!--\xef\xbf\xbd\xef\xbf\xbd"),
        16);
    // Three scripts have an end: the data, page.js and page_look.js.
    assert_int_equal(count_of(text, "</script>"), 3);
    free(text);
    fm_page_free(page);
}

static void test_page_is_whole_in_itself(void **state)
{
    (void)state;
    struct fm_page *page;
    assert_ok(fm_page_create("Title", &page));
    add_everything(page);
    char *text = written(page);
    assert_non_null(strstr(text, "<html lang=\"en\">"));
    assert_non_null(strstr(text, "<title>Title</title>"));
    assert_non_null(strstr(text, "<meta name=\"viewport\""));
    assert_non_null(strstr(text, "default-src 'none'; img-src data:;"));
    assert_int_equal(count_of(text, " 'sha256-"), 2);
    assert_non_null(strstr(text, "<a class=\"skip\" href=\"#content\">"));
    assert_int_equal(count_of(text, "<li><a href=\"#s"), 1); // headings of level 2 alone
    assert_int_equal(count_of(text, "url(data:image/png;base64,"), 1);
    assert_non_null(strstr(text, "data:image/svg+xml;base64,PHN2Zz4=\""));
    assert_non_null(strstr(text, "<td class=\"number\" data-value=\"0.125\">12.5 %</td>"));
    assert_non_null(strstr(text, "<td class=\"number\">-</td>"));
    assert_non_null(strstr(text, "style=\"--x:1;--y:0\""));
    assert_non_null(strstr(text, "<li class=\"tile wrong\""));
    assert_null(strstr(text, "http:"));
    assert_null(strstr(text, "https:"));
    assert_null(strstr(text, "//cdn"));
    free(text);
    fm_page_free(page);
}

static void test_failures_are_told(void **state)
{
    (void)state;
    char path[FM_PATH_MAX];
    struct fm_page *page;
    assert_ok(fm_page_create("Title", &page));
    assert_ok(fm_path_join(path, folder, "none.svg"));
    assert_fails(fm_page_chart(page, path, "nothing"), FM_IO, "none.svg");
    fm_page_script(page, "nothing");
    fm_page_heading(page, 2, "still here");
    assert_string_equal(fm_error_message(), ""); // kept until the page is written
    assert_ok(fm_path_join(path, folder, "unwritten.html"));
    assert_fails(fm_page_write(page, path), FM_UNSUPPORTED, "page_nothing.js");
    assert_false(fm_path_exists(path));
    fm_page_free(page);

    assert_ok(fm_page_create("Title", &page));
    fm_page_data(page, "d", NULL);
    assert_fails(fm_page_write(page, path), FM_MEMORY, "unwritten.html");
    fm_page_free(page);
    fm_page_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_script_json),
        cmocka_unit_test(test_atlas_holds_each_image_once),
        cmocka_unit_test(test_atlas_has_a_limit),
        cmocka_unit_test(test_text_stays_text),
        cmocka_unit_test(test_page_is_whole_in_itself),
        cmocka_unit_test(test_failures_are_told),
    };
    scratch_make(folder, "page");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(folder);
    return failed;
}
