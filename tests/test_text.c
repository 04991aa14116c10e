// Strings, strict numbers, suggestions for misspelt names.
#include "base/text.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void text_grows_and_stays_terminated(void **state)
{
    (void)state;
    struct fm_text text = {0};
    assert_string_equal(fm_text_cstr(&text), "");
    for (int i = 0; i < 1000; i++)
        fm_text_append(&text, "%d,", i % 10);
    assert_int_equal(text.length, 2000);
    assert_false(text.failed);
    assert_int_equal(strlen(text.data), 2000);
    assert_memory_equal(text.data + 1990, "5,6,7,8,9,", 10);
    fm_text_append_bytes(&text, "a\0b", 3);
    assert_int_equal(text.length, 2003);
    assert_memory_equal(text.data + 2000, "a\0b", 4);
    fm_text_free(&text);
    assert_null(text.data);
}

static void text_that_failed_stays_empty(void **state)
{
    (void)state;
    struct fm_text text = {0};
    fm_text_append(&text, "something");
    fm_text_append_bytes(&text, "", SIZE_MAX - 4);
    assert_true(text.failed);
    fm_text_append(&text, "more");
    assert_true(text.failed);
    assert_string_equal(fm_text_cstr(&text), "");
    fm_text_free(&text);
}

static void integers_in_range_are_read(void **state)
{
    (void)state;
    int64_t value = 0;
    assert_int_equal(fm_parse_int("--seed", "0", 0, 10, &value), FM_OK);
    assert_int_equal(value, 0);
    assert_int_equal(fm_parse_int("--seed", "-12", -12, 10, &value), FM_OK);
    assert_int_equal(value, -12);
    assert_int_equal(fm_parse_int("--seed", "9223372036854775807", 0, INT64_MAX, &value), FM_OK);
    assert_true(value == INT64_MAX);
    assert_int_equal(
        fm_parse_int("--seed", "-9223372036854775808", INT64_MIN, INT64_MAX, &value), FM_OK);
    assert_true(value == INT64_MIN);
}

static void anything_else_is_no_integer(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "-", "1O", " 1", "1 ", "+1", "--1", "0x10", "1e3",
        "1.0", "nan", "9223372036854775808", "99999999999999999999", "-1", "11"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int64_t value = 77;
        fm_error_clear();
        if (fm_parse_int("--epochs", wrong[i], 0, 10, &value) != FM_USAGE)
            fail_msg("'%s' was read as %lld", wrong[i], (long long)value);
        assert_int_equal(value, 77);
        assert_non_null(strstr(fm_error_message(), "--epochs"));
    }
    fm_error_clear();
    int64_t value;
    fm_parse_int("--epochs", "1O", 0, 10, &value);
    assert_string_equal(fm_error_message(),
        "invalid number '1O' for --epochs: expected a whole number from 0 to 10");
    fm_error_clear();
    fm_parse_int("--seed", "1.5", 0, 9000000000000000, &value);
    assert_string_equal(
        fm_error_message(), "invalid number '1.5' for --seed: expected a whole number from 0");
    fm_error_clear();
    fm_parse_int("--steps", "x", 1, INT32_MAX, &value);
    assert_string_equal(
        fm_error_message(), "invalid number 'x' for --steps: expected a whole number from 1");
    fm_error_clear();
    fm_parse_int("--epochs", "11", 0, 10, &value);
    assert_string_equal(fm_error_message(), "11 for --epochs is out of range: expected 0 to 10");
}

static void decimal_numbers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *string;
        double value;
    } right[] = {{"0", 0}, {"1", 1}, {"-0.5", -0.5}, {".25", 0.25}, {"3.", 3}, {"1e-3", 1e-3},
        {"2.5E+2", 250}, {"1e2", 100}};
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        double value = NAN;
        fm_error_clear();
        if (fm_parse_double("--lr", right[i].string, -1, 1000, &value) != FM_OK)
            fail_msg("'%s': %s", right[i].string, fm_error_message());
        assert_false(isnan(value));
        if (value != right[i].value)
            fail_msg("'%s' was read as %g", right[i].string, value);
    }
}

static void anything_else_is_no_decimal_number(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "-", ".", "1e", "e1", "1e+", " 1", "1 ", "+1", "0x1p3",
        "nan", "inf", "-inf", "1e999", "1,5", "1.5.", "1001", "-1.5"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        double value = 77;
        fm_error_clear();
        if (fm_parse_double("--lr", wrong[i], -1, 1000, &value) != FM_USAGE)
            fail_msg("'%s' was read as %g", wrong[i], value);
        assert_true(value == 77);
        assert_non_null(strstr(fm_error_message(), "--lr"));
    }
    double value;
    fm_error_clear();
    fm_parse_double("--lr", "1,5", 1e-6, 1, &value);
    assert_string_equal(
        fm_error_message(), "invalid number '1,5' for --lr: expected a number from 1e-06 to 1");
}

static void a_misspelt_name_finds_its_nearest(void **state)
{
    (void)state;
    static const char *const names[] = {
        "simple", "deeper", "vgg16", "simple-ref", "deeper-ref", "cpu", NULL};
    static const struct {
        const char *name, *nearest;
    } cases[] = {{"deepr", "deeper"}, {"deeper", "deeper"}, {"edeper", "deeper"},
        {"simpel", "simple"}, {"vgg61", "vgg16"}, {"vgg", NULL}, {"simple_ref", "simple-ref"},
        {"resnet", NULL}, {"", NULL}, {"x", NULL}, {"depr", "deeper"}, {"dxxx", NULL},
        {"deeeeper", "deeper"}, {"gpu", NULL}, {"cpv", "cpu"}, {"cup", "cpu"}, {"cpuu", "cpu"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *nearest = fm_nearest_name(cases[i].name, names);
        const char *expected = cases[i].nearest;
        bool same = expected ? nearest && strcmp(nearest, expected) == 0 : !nearest;
        if (!same)
            fail_msg("'%s': found %s, expected %s", cases[i].name, nearest ? nearest : "none",
                expected ? expected : "none");
    }
}

static void digits_are_grouped(void **state)
{
    (void)state;
    char out[32];
    assert_string_equal(fm_group_digits(0, out), "0");
    assert_string_equal(fm_group_digits(999, out), "999");
    assert_string_equal(fm_group_digits(1000, out), "1,000");
    assert_string_equal(fm_group_digits(1199882, out), "1,199,882");
    assert_string_equal(fm_group_digits(-100, out), "-100");
    assert_string_equal(fm_group_digits(-123456, out), "-123,456");
    assert_string_equal(fm_group_digits(INT64_MIN, out), "-9,223,372,036,854,775,808");
}

static void durations_read_well(void **state)
{
    (void)state;
    char out[32];
    assert_string_equal(fm_duration(0, out), "0.0 s");
    assert_string_equal(fm_duration(12.34, out), "12.3 s");
    assert_string_equal(fm_duration(59.94, out), "59.9 s");
    assert_string_equal(fm_duration(59.96, out), "1 min 0 s");
    assert_string_equal(fm_duration(252, out), "4 min 12 s");
    assert_string_equal(fm_duration(3599.6, out), "1 h 00 min");
    assert_string_equal(fm_duration(7500, out), "2 h 05 min");
    assert_string_equal(fm_duration(NAN, out), "unknown");
    assert_string_equal(fm_duration(-1, out), "unknown");
}

static void utf8_is_told_from_other_bytes(void **state)
{
    (void)state;
    // First and last of each length; around the surrogates.
    assert_int_equal(fm_utf8_length(""), 1);
    assert_int_equal(fm_utf8_length("\x7f"), 1);
    assert_int_equal(fm_utf8_length("\xc2\x80"), 2);
    assert_int_equal(fm_utf8_length("\xdf\xbf"), 2);
    assert_int_equal(fm_utf8_length("\xe0\xa0\x80"), 3);
    assert_int_equal(fm_utf8_length("\xed\x9f\xbf"), 3);
    assert_int_equal(fm_utf8_length("\xee\x80\x80"), 3);
    assert_int_equal(fm_utf8_length("\xf0\x90\x80\x80"), 4);
    assert_int_equal(fm_utf8_length("\xf4\x8f\xbf\xbf"), 4);
    static const char *const broken[] = {"\x80", "\xc1\xbf", "\xc2", "\xc2z", "\xe0\x9f\xbf",
        "\xe2\x82", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xff"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        assert_int_equal(fm_utf8_length(broken[i]), 0);

    assert_true(fm_utf8_is_control("\x1f"));
    assert_false(fm_utf8_is_control(" "));
    assert_true(fm_utf8_is_control("\x7f"));
    assert_true(fm_utf8_is_control("\xc2\x9f"));
    assert_false(fm_utf8_is_control("\xc2\xa0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_grows_and_stays_terminated),
        cmocka_unit_test(text_that_failed_stays_empty),
        cmocka_unit_test(integers_in_range_are_read),
        cmocka_unit_test(anything_else_is_no_integer),
        cmocka_unit_test(decimal_numbers_are_read),
        cmocka_unit_test(anything_else_is_no_decimal_number),
        cmocka_unit_test(a_misspelt_name_finds_its_nearest),
        cmocka_unit_test(digits_are_grouped),
        cmocka_unit_test(durations_read_well),
        cmocka_unit_test(utf8_is_told_from_other_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
