// Tables in the four formats, with the cells that each format finds hard.
#include "report/table.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct fm_column columns[] = {
    {"name", "model", false},
    {"gap", "gap, points", true},
    {"note", "note", false},
};

static struct fm_table *sample(void)
{
    struct fm_table *table;
    assert_int_equal(fm_table_create(columns, 3, &table), FM_OK);
    assert_int_equal(fm_table_rows(table), 0);
    fm_table_cell(table, json_string("Ärmel|1"), "%s", "Ärmel|1");
    fm_table_cell(table, json_real(-0.91), "-0.9");
    fm_table_cell(table, json_string("=1+1, \"so\""), "=1+1");
    fm_table_cell(table, json_string("plain"), "plain");
    fm_table_cell(table, json_integer(12), "12");
    fm_table_cell(table, NULL, "two\nlines <b>");
    assert_int_equal(fm_table_rows(table), 2);
    return table;
}

static void expect(const struct fm_table *table, enum fm_format format, const char *expected)
{
    struct fm_text out = {0};
    assert_int_equal(fm_table_print(table, format, &out), FM_OK);
    assert_string_equal(fm_text_cstr(&out), expected);
    fm_text_free(&out);
}

static void test_text(void **state)
{
    (void)state;
    struct fm_table *table;
    assert_int_equal(fm_table_create(columns, 2, &table), FM_OK);
    fm_table_cell(table, json_string("Ärmel"), "Ärmel");
    fm_table_cell(table, json_real(-0.9), "-0.9");
    fm_table_cell(table, json_string("pullover"), "pullover");
    expect(table, FM_FORMAT_TEXT,
        "model     gap, points\n"
        "--------  -----------\n"
        "Ärmel            -0.9\n"
        "pullover  \n");
    fm_table_free(table);
}

static void expect_within(const struct fm_table *table, int width, const char *expected)
{
    struct fm_text out = {0};
    assert_int_equal(fm_table_print_within(table, width, &out), FM_OK);
    assert_string_equal(fm_text_cstr(&out), expected);
    fm_text_free(&out);
}

// Parts of a table stand in one another's columns; a wider cell moves those behind it alone.
static void test_in_parts(void **state)
{
    (void)state;
    static const char *const parts[][3] = {
        {"pullover", "-0.91",
            "model     gap, points\n"
            "--------  -----------\n"
            "pullover        -0.91\n"},
        {"Ärmel", "1",
            "model     gap, points\n"
            "--------  -----------\n"
            "Ärmel               1\n"},
        {"long-sleeved", "2",
            "model         gap, points\n"
            "------------  -----------\n"
            "long-sleeved            2\n"},
        {"bag", "3",
            "model         gap, points\n"
            "------------  -----------\n"
            "bag                     3\n"},
    };
    int widths[2] = {0};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        struct fm_table *table;
        struct fm_text out = {0};
        assert_int_equal(fm_table_create(columns, 2, &table), FM_OK);
        fm_table_cell(table, NULL, "%s", parts[i][0]);
        fm_table_cell(table, NULL, "%s", parts[i][1]);
        assert_int_equal(fm_table_print_wide(table, widths, &out), FM_OK);
        assert_string_equal(fm_text_cstr(&out), parts[i][2]);
        fm_text_free(&out);
        fm_table_free(table);
    }
}

// The last column's words on further lines, where a terminal is too narrow for all of them.
static void test_folded(void **state)
{
    (void)state;
    struct fm_table *table;
    assert_int_equal(fm_table_create(columns + 1, 2, &table), FM_OK);
    fm_table_cell(table, json_real(-0.9), "-0.9");
    fm_table_cell(table, NULL, "Ärmel, wörtlich zwanzig  und\tviel_zu_langes_für_eine_Zeile");
    fm_table_cell(table, json_real(1), "1");
    fm_table_cell(table, NULL, "kurz");
    static const char *const folded = "gap, points  note\n"
                                      "-----------  --------------------\n"
                                      "       -0.9  Ärmel, wörtlich\n"
                                      "             zwanzig \n"
                                      "             und?viel_zu_langes_für_eine_Zeile\n"
                                      "          1  kurz\n";
    static const char *const whole =
        "gap, points  note\n"
        "-----------  ----------------------------------------------------------\n"
        "       -0.9  Ärmel, wörtlich zwanzig  und?viel_zu_langes_für_eine_Zeile\n"
        "          1  kurz\n";
    expect_within(table, 33, folded);
    expect_within(table, 0, whole);
    expect_within(table, 32, whole); // no room
    expect_within(table, 72, whole);
    fm_table_free(table);
}

// Rows as columns, where a terminal is too narrow for a line and has room for that.
static void test_turned(void **state)
{
    (void)state;
    struct fm_table *table;
    assert_int_equal(fm_table_create(columns, 3, &table), FM_OK);
    fm_table_cell(table, json_string("simple"), "simple");
    fm_table_cell(table, json_real(-0.9), "-0.9");
    fm_table_cell(table, NULL, "kurz");
    static const char *const line = "model   gap, points  note\n"
                                    "------  -----------  ----\n"
                                    "simple         -0.9  kurz\n";
    static const char *const turned = "model        simple\n"
                                      "-----------  ------\n"
                                      "gap, points    -0.9\n"
                                      "note           kurz\n";
    expect_within(table, 25, line);
    expect_within(table, 24, turned);
    expect_within(table, 19, turned);
    expect_within(table, 18, line); // neither fits
    expect_within(table, 0, line);
    struct fm_table *figures;
    assert_int_equal(fm_table_create(columns + 1, 2, &figures), FM_OK);
    expect_within(figures, 15, "gap, points  note\n-----------  ----\n");
    fm_table_cell(figures, json_real(-0.9), "-0.9");
    fm_table_cell(figures, NULL, "kurz");
    expect_within(figures, 15, // a figure is no row's name
        "gap, points  note\n"
        "-----------  ----\n"
        "       -0.9  kurz\n");
    fm_table_free(figures);
    for (int row = 0; row < 20; row++) { // rows that would be a wider line
        fm_table_cell(table, NULL, "m");
        fm_table_cell(table, NULL, "1");
        fm_table_cell(table, NULL, "n");
    }
    struct fm_text whole = {0};
    assert_int_equal(fm_table_print(table, FM_FORMAT_TEXT, &whole), FM_OK);
    expect_within(table, 24, fm_text_cstr(&whole));
    fm_text_free(&whole);
    fm_table_free(table);
    // Numbers are not folded.
    assert_int_equal(fm_table_create(columns, 2, &table), FM_OK);
    fm_table_cell(table, json_string("a"), "a");
    fm_table_cell(table, json_real(1), "1 2 3 4 5 6 7 8 9 10 11 12");
    expect_within(table, 30,
        "model                 gap, points\n"
        "-----  --------------------------\n"
        "a      1 2 3 4 5 6 7 8 9 10 11 12\n");
    fm_table_free(table);
}

static void test_text_is_safe_to_print(void **state)
{
    (void)state;
    struct fm_table *table;
    assert_int_equal(fm_table_create(&columns[2], 1, &table), FM_OK);
    fm_table_cell(table, json_string("a"), "a");
    fm_table_cell(table, json_string("b"), "b\x1b[2Jc");
    expect(table, FM_FORMAT_TEXT, "note\n------\na\nb?[2Jc\n");
    fm_table_free(table);
}

static void test_markdown(void **state)
{
    (void)state;
    struct fm_table *table = sample();
    expect(table, FM_FORMAT_MARKDOWN,
        "| model | gap, points | note |\n"
        "|---|---:|---|\n"
        "| Ärmel\\|1 | -0.9 | =1+1 |\n"
        "| plain | 12 | two lines &lt;b> |\n");
    fm_table_free(table);
}

// Numbers stay numbers, also negative ones; a text that a spreadsheet would compute is made text.
static void test_csv(void **state)
{
    (void)state;
    struct fm_table *table = sample();
    expect(table, FM_FORMAT_CSV,
        "name,gap,note\r\n"
        "Ärmel|1,-0.91,\"'=1+1, \"\"so\"\"\"\r\n"
        "plain,12,\r\n");
    fm_table_free(table);
}

static void test_transpose(void **state)
{
    (void)state;
    struct fm_table *table = sample(), *tall;
    assert_int_equal(fm_table_transpose(table, "note", &tall), FM_OK);
    fm_table_free(table);
    expect(tall, FM_FORMAT_MARKDOWN,
        "| model | Ärmel\\|1 | plain |\n"
        "|---|---:|---:|\n"
        "| gap, points | -0.9 | 12 |\n");
    expect(tall, FM_FORMAT_CSV, "name,Ärmel|1,plain\r\ngap,-0.91,12\r\n");
    fm_table_free(tall);
}

static void test_csv_guards_every_formula(void **state)
{
    (void)state;
    static const char *const dangerous[] = {"=x", "+x", "-x", "@x", "\tx", "\rx"};
    for (size_t i = 0; i < sizeof dangerous / sizeof dangerous[0]; i++) {
        struct fm_table *table;
        struct fm_text out = {0};
        assert_int_equal(fm_table_create(columns, 1, &table), FM_OK);
        fm_table_cell(table, json_string(dangerous[i]), "x");
        assert_int_equal(fm_table_print(table, FM_FORMAT_CSV, &out), FM_OK);
        if (strncmp(fm_text_cstr(&out), "name\r\n\"'", 8) != 0)
            fail_msg("'%s' is not guarded: %s", dangerous[i], fm_text_cstr(&out));
        fm_text_free(&out);
        fm_table_free(table);
    }
}

static void test_json_round_trip(void **state)
{
    (void)state;
    struct fm_table *table = sample();
    struct fm_text out = {0};
    assert_int_equal(fm_table_print(table, FM_FORMAT_JSON, &out), FM_OK);
    json_t *read = json_loads(fm_text_cstr(&out), 0, NULL);
    json_t *direct = fm_table_json(table);
    assert_non_null(read);
    assert_true(json_equal(read, direct));
    assert_int_equal(json_array_size(read), 2);
    json_t *first = json_array_get(read, 0);
    assert_string_equal(json_string_value(json_object_get(first, "name")), "Ärmel|1");
    double gap = json_real_value(json_object_get(first, "gap"));
    assert_true(isfinite(gap) && fabs(gap + 0.91) < 1e-12);
    assert_true(json_is_null(json_object_get(json_array_get(read, 1), "note")));
    json_decref(read);
    json_decref(direct);
    fm_text_free(&out);
    fm_table_free(table);
}

static void test_not_a_number_becomes_null(void **state)
{
    (void)state;
    struct fm_table *table;
    assert_int_equal(fm_table_create(columns, 1, &table), FM_OK);
    fm_table_cell(table, json_real(NAN), "-");
    expect(table, FM_FORMAT_CSV, "name\r\n\r\n");
    json_t *json = fm_table_json(table);
    assert_true(json_is_null(json_object_get(json_array_get(json, 0), "name")));
    json_decref(json);
    fm_table_free(table);
}

static void test_format_names(void **state)
{
    (void)state;
    assert_string_equal(fm_format_names[FM_FORMAT_TEXT], "text");
    assert_string_equal(fm_format_names[FM_FORMAT_MARKDOWN], "markdown");
    assert_string_equal(fm_format_names[FM_FORMAT_CSV], "csv");
    assert_string_equal(fm_format_names[FM_FORMAT_JSON], "json");
    assert_null(fm_format_names[FM_FORMAT_JSON + 1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_in_parts),
        cmocka_unit_test(test_folded),
        cmocka_unit_test(test_turned),
        cmocka_unit_test(test_text_is_safe_to_print),
        cmocka_unit_test(test_markdown),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_transpose),
        cmocka_unit_test(test_csv_guards_every_formula),
        cmocka_unit_test(test_json_round_trip),
        cmocka_unit_test(test_not_a_number_becomes_null),
        cmocka_unit_test(test_format_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
