// What roff would take for its own is written so that it is printed; the source's lines are short;
// and a recipe's name that a shell would run does not reach a completion script.
#include "cli/completion.h"
#include "cli/manual.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void escapes_what_roff_reads(void **state)
{
    (void)state;
    static const struct {
        const char *text, *roff;
    } cases[] = {
        {"", ""},
        {"plain words", "plain words"},
        {"--max-minutes", "\\-\\-max\\-minutes"},
        {".TH is a request", "\\&.TH is a request"},
        {"a.b\n.c", "a.b\n\\&.c"},
        {"'quoted'", "\\(aqquoted\\(aq"},
        {"C:\\fB", "C:\\efB"},
        {"~/x ^ `y`", "\\(ti/x \\(ha \\(gay\\(ga"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fm_text text = {0};
        fm_manual_escape(&text, cases[i].text);
        if (strcmp(fm_text_cstr(&text), cases[i].roff) != 0) {
            print_error("\"%s\": \"%s\", expected \"%s\"\n", cases[i].text, fm_text_cstr(&text),
                cases[i].roff);
            fail();
        }
        fm_text_free(&text);
    }
}

// Every line but a list's label and an example is short, and one that begins like a request is one.
static void check_lines(const char *name, const char *page)
{
    static const char *const requests[] = {
        ".\\\"", ".TH ", ".SH ", ".TP\n", ".PP\n", ".BR ", ".nf\n", ".fi\n", ".nh\n", ".ad l\n"};
    bool label = false, example = false;
    for (const char *line = page; *line; line += strcspn(line, "\n") + 1) {
        int length = (int)strcspn(line, "\n");
        bool known = line[0] != '.' && line[0] != '\'';
        for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
            known |= strncmp(line, requests[i], strlen(requests[i])) == 0;
        if (!known || length == 0 || (length > 80 && !label && !example)) {
            print_error("%s: '%.*s'\n", name, length, line);
            fail();
        }
        label = strncmp(line, ".TP\n", 4) == 0;
        example = strncmp(line, ".nf\n", 4) == 0 || (example && strncmp(line, ".fi\n", 4) != 0);
    }
}

static void writes_short_lines(void **state)
{
    (void)state;
    struct fm_text text = {0};
    fm_manual_overview(&text);
    check_lines("fmnist.1", fm_text_cstr(&text));
    fm_text_free(&text);
    int count = 0;
    for (const struct fm_command *command = fm_commands; command->name; command++, count++) {
        fm_manual_command(command, &text);
        check_lines(command->name, fm_text_cstr(&text));
        fm_text_free(&text);
    }
    assert_true(count > 0);
}

// A paragraph of a table that needs all of it: an empty line, a point where a line is broken.
static void keeps_paragraphs_and_words(void **state)
{
    (void)state;
    static const char *const examples[] = {"fmnist odd", NULL};
    static const struct fm_command odd = {
        .name = "odd",
        .summary = "be odd",
        .description = "First.\n\n.hidden is no request, and this line goes on until it has to be "
                       "broken .here or 'there' and nowhere else.",
        .examples = examples,
    };
    struct fm_text text = {0};
    fm_manual_command(&odd, &text);
    const char *page = fm_text_cstr(&text);
    check_lines("odd", page);
    assert_non_null(strstr(page, "First.\n.PP\n\\&.hidden is no request"));
    assert_non_null(strstr(page, "broken .here"));
    fm_text_free(&text);
}

static void leaves_out_names_for_a_shell_to_run(void **state)
{
    (void)state;
    static const char *const plain[] = {"plain-1_x.y", NULL};
    static const char *const mixed[] = {
        "$(reboot)", "a b", "it's", "-x", "plain-1_x.y", "back\\slash", "`id`", "", NULL};
    for (int shell = 0; fm_shell_names[shell]; shell++) {
        struct fm_text wanted = {0}, found = {0};
        fm_completion((enum fm_shell)shell, plain, &wanted);
        fm_completion((enum fm_shell)shell, mixed, &found);
        assert_non_null(strstr(fm_text_cstr(&wanted), plain[0]));
        assert_string_equal(fm_text_cstr(&found), fm_text_cstr(&wanted));
        fm_text_free(&wanted);
        fm_text_free(&found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_what_roff_reads),
        cmocka_unit_test(writes_short_lines),
        cmocka_unit_test(keeps_paragraphs_and_words),
        cmocka_unit_test(leaves_out_names_for_a_shell_to_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
