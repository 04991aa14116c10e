// The command line: what is read, what is refused and with which words, and that help says all of
// it.
#include "cli/args.h"
#include "cli/common.h"

#include "app/evaluation.h"
#include "backend/precision.h"
#include "backend/registry.h"
#include "net/zoo.h"
#include "report/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum {
    ARGUMENTS_MAX = 24
};

// Splits at single spaces; "''" stands for an empty argument. `line` keeps the strings.
static int split(char *line, char *argv[ARGUMENTS_MAX + 1])
{
    int argc = 0;
    for (char *word = strtok(line, " "); word; word = strtok(NULL, " ")) {
        assert_true(argc < ARGUMENTS_MAX);
        if (strcmp(word, "''") == 0)
            *word = '\0';
        argv[argc++] = word;
    }
    argv[argc] = NULL;
    return argc;
}

struct line {
    char text[512];
    char *argv[ARGUMENTS_MAX + 1];
    struct fm_args args;
};

static enum fm_status parse(struct line *line, const char *text)
{
    snprintf(line->text, sizeof line->text, "%s", text);
    int argc = split(line->text, line->argv);
    fm_error_clear();
    return fm_args_parse(argc, line->argv, &line->args);
}

static void starts_from_defaults(void **state)
{
    (void)state;
    struct line line;
    assert_int_equal(parse(&line, "fmnist train --model deeper"), FM_OK);
    const struct fm_args *args = &line.args;
    assert_string_equal(args->command->name, "train");
    assert_string_equal(args->model, "deeper");
    assert_string_equal(args->recipe, "quick");
    assert_string_equal(args->backend, "auto");
    assert_string_equal(args->precision, "auto");
    assert_int_equal(args->seed, 1);
    assert_int_equal(args->threads, 0);
    assert_true(args->max_minutes == 0);
    assert_int_equal(args->format, FM_FORMAT_TEXT);
    assert_int_equal(args->recipe_flag_count, 0);
    assert_null(args->out);
    assert_null(args->data);
    assert_false(args->force || args->quiet || args->help || args->fresh);
    assert_false(args->tf32 || args->nondeterministic || args->resident || args->no_plan_cache);
    assert_int_equal(args->device, 0);
    assert_int_equal(args->workspace, 0);
    assert_null(args->plan_cache);
    assert_int_equal(parse(&line, "fmnist eval runs/a"), FM_OK);
    assert_int_equal(line.args.split, FM_PART_TEST);
}

static void reads_both_forms(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "fmnist train --model simple --epochs 3 --flip true --dropout -1 --out a=b --threads 2 "
        "--max-minutes 0.5 --seed 7 --format json --force",
        "fmnist train --force --model=simple --epochs=3 --flip=true --dropout=-1 --out=a=b "
        "--threads=2 --max-minutes=0.5 --seed=7 --format=json",
    };
    for (int i = 0; i < 2; i++) {
        struct line line;
        assert_int_equal(parse(&line, lines[i]), FM_OK);
        const struct fm_args *args = &line.args;
        assert_string_equal(args->model, "simple");
        assert_string_equal(args->out, "a=b");
        assert_int_equal(args->threads, 2);
        assert_true(args->max_minutes == 0.5);
        assert_int_equal(args->seed, 7);
        assert_int_equal(args->format, FM_FORMAT_JSON);
        assert_true(args->force);
        assert_int_equal(args->recipe_flag_count, 3);
        struct fm_recipe recipe = {0};
        for (int k = 0; k < 3; k++)
            assert_int_equal(
                fm_recipe_set(&recipe, args->recipe_flags[k].field, args->recipe_flags[k].text),
                FM_OK);
        assert_int_equal(recipe.epochs, 3);
        assert_true(recipe.flip);
        assert_true(recipe.dropout == -1);
    }
}

static void reads_what_a_gpu_is_told(void **state)
{
    (void)state;
    struct line line;
    static const char *const commands[] = {"train --model simple", "eval runs/a", "compare"};
    for (int i = 0; i < 3; i++) {
        char text[256];
        snprintf(text, sizeof text,
            "fmnist %s --device 3 --tf32 --allow-nondeterministic --workspace 64 --plan-cache a",
            commands[i]);
        assert_int_equal(parse(&line, text), FM_OK);
        assert_int_equal(line.args.device, 3);
        assert_true(line.args.tf32 && line.args.nondeterministic);
        assert_int_equal(line.args.workspace, 64);
        assert_string_equal(line.args.plan_cache, "a");
    }
    assert_int_equal(parse(&line, "fmnist compare --resident --no-plan-cache"), FM_OK);
    assert_true(line.args.resident && line.args.no_plan_cache);
    assert_int_equal(parse(&line, "fmnist info --device 1"), FM_OK);
}

static void reads_operands_and_lists(void **state)
{
    (void)state;
    struct line line;
    assert_int_equal(parse(&line, "fmnist eval --split select runs/a"), FM_OK);
    assert_string_equal(line.args.operand, "runs/a");
    assert_int_equal(line.args.split, FM_PART_SELECT);
    assert_int_equal(parse(&line, "fmnist eval -- --odd"), FM_OK);
    assert_string_equal(line.args.operand, "--odd");
    assert_int_equal(parse(&line, "fmnist compare --models vgg16,simple"), FM_OK);
    assert_string_equal(line.args.models[0], "vgg16");
    assert_string_equal(line.args.models[1], "simple");
    assert_null(line.args.models[2]);
    assert_int_equal(parse(&line, "fmnist models"), FM_OK);
    assert_null(line.args.operand);
}

static void help_and_version_need_nothing_else(void **state)
{
    (void)state;
    struct line line;
    assert_int_equal(parse(&line, "fmnist train --help --nonsense"), FM_OK);
    assert_true(line.args.help);
    assert_int_equal(parse(&line, "fmnist --help"), FM_OK);
    assert_true(line.args.help && !line.args.command);
    assert_int_equal(parse(&line, "fmnist --version"), FM_OK);
    assert_true(line.args.version);
    assert_int_equal(parse(&line, "fmnist -h"), FM_OK);
    assert_true(line.args.help && !line.args.command);
    static const char *const of_train[] = {"fmnist --help train", "fmnist -h train",
        "fmnist train -h", "fmnist train --out a -h --nonsense"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(parse(&line, of_train[i]), FM_OK);
        assert_true(line.args.help);
        assert_string_equal(line.args.command->name, "train");
    }
    for (const struct fm_command *command = fm_commands; command->name; command++) {
        char text[64];
        snprintf(text, sizeof text, "fmnist %s -h", command->name);
        assert_int_equal(parse(&line, text), FM_OK);
        assert_true(line.args.help && line.args.command == command);
    }
}

static void refuses_with_exact_words(void **state)
{
    (void)state;
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"fmnist", "no command given"},
        {"fmnist trian", "unknown command 'trian'; did you mean 'train'?"},
        {"fmnist zzzzzz", "unknown command 'zzzzzz'; expected train, eval, compare, report, bench, "
                          "predict, label, audit, drift, export, inspect, recipe, models, info, "
                          "completion or help"},
        {"fmnist --verison", "unknown option '--verison'; did you mean '--version'?"},
        {"fmnist --quiet train",
            "expected a command before '--quiet'; only --help and --version stand alone"},
        {"fmnist --version now", "unexpected argument 'now' after --version"},
        {"fmnist --help trian", "unknown command 'trian'; did you mean 'train'?"},
        {"fmnist --help train now", "unexpected argument 'now' after train"},
        {"fmnist -h --version", "unexpected argument '--version' after -h"},
        {"fmnist train", "'train' needs --model NAME"},
        {"fmnist train --model", "--model needs a value"},
        {"fmnist train --model=", "--model needs a value"},
        {"fmnist train --model ''", "--model needs a value"},
        {"fmnist train --out --force", "--out needs a value, found the option '--force'"},
        {"fmnist train --model depeer",
            "unknown model 'depeer' for --model; did you mean 'deeper'?"},
        {"fmnist train --model deeper --epochs 1O",
            "invalid number '1O' for --epochs: expected a whole number from 1 to 100000"},
        {"fmnist train --model deeper --epoch 1",
            "unknown option '--epoch' for 'train'; did you mean '--epochs'?"},
        {"fmnist train --lr 0.1",
            "unknown option '--lr' for 'train'; did you mean '--learning-rate'?"},
        {"fmnist compare --lr=0.1",
            "unknown option '--lr' for 'compare'; did you mean '--learning-rate'?"},
        {"fmnist eval a --lr 0.1", "unknown option '--lr' for 'eval'"},
        {"fmnist train --batch-size 64",
            "unknown option '--batch-size' for 'train'; did you mean '--batch'?"},
        {"fmnist bench a --batch-size 64",
            "unknown option '--batch-size' for 'bench'; did you mean '--batches'?"},
        {"fmnist train --optimizer sgd",
            "unknown option '--optimizer' for 'train'; did you mean '--optimiser'?"},
        {"fmnist train --output a", "unknown option '--output' for 'train'; did you mean '--out'?"},
        {"fmnist train --frobnicate", "unknown option '--frobnicate' for 'train'"},
        {"fmnist train -m deeper", "unknown option '-m': options are written in full, as --help"},
        {"fmnist train deeper", "unexpected argument 'deeper' for 'train'"},
        {"fmnist train --seed 1 --seed 2", "--seed is given twice"},
        {"fmnist train --epochs 1 --epochs=1", "--epochs is given twice"},
        {"fmnist train --force --force", "--force is given twice"},
        {"fmnist train --teacher a --teacher b --teacher c --teacher d --teacher e --teacher f "
         "--teacher g --teacher h --teacher i",
            "--teacher is given more than 8 times"},
        {"fmnist train --teacher-share 0",
            "0 for --teacher-share is out of range: expected 0.001 to 1"},
        {"fmnist train --force=yes", "--force takes no value, found 'yes'"},
        {"fmnist train --seed -1", "-1 for --seed is out of range: expected 0 to 9000000000000000"},
        {"fmnist train --seed 1.5",
            "invalid number '1.5' for --seed: expected a whole number from 0"},
        {"fmnist train --seed 99999999999999999999",
            "99999999999999999999 for --seed is out of range: expected 0 to 9000000000000000"},
        {"fmnist train --threads 0", "0 for --threads is out of range: expected 1 to 4096"},
        {"fmnist train --max-minutes 0",
            "0 for --max-minutes is out of range: expected 0.001 to 100000"},
        {"fmnist train --max-minutes nan",
            "invalid number 'nan' for --max-minutes: expected a number from 0.001 to 100000"},
        {"fmnist train --max-minutes inf",
            "invalid number 'inf' for --max-minutes: expected a number from 0.001 to 100000"},
        {"fmnist train --backend gpu",
            "unknown backend 'gpu' for --backend; expected auto, cpu or cuda"},
        {"fmnist compare --full", "--full is an option of 'train', not of 'compare'"},
        {"fmnist train --max-minutes 1e999",
            "1e999 for --max-minutes is out of range: expected 0.001 to 100000"},
        {"fmnist train --flip maybe", "invalid value 'maybe' for --flip: expected true or false"},
        {"fmnist train --format jsn", "unknown format 'jsn' for --format; did you mean 'json'?"},
        {"fmnist train --precision fp23",
            "unknown precision 'fp23' for --precision; did you mean 'fp32'?"},
        {"fmnist train --backend opencl",
            "unknown backend 'opencl' for --backend; expected auto, cpu or cuda"},
        {"fmnist train --models simple", "--models is an option of 'compare', not of 'train'"},
        {"fmnist eval", "'eval' needs RUN"},
        {"fmnist eval ''", "RUN is empty"},
        {"fmnist eval a b", "unexpected argument 'b' for 'eval'"},
        {"fmnist eval a --split tset", "unknown split 'tset' for --split; did you mean 'test'?"},
        {"fmnist eval a --resident",
            "--resident is an option of 'train' and others, not of 'eval'"},
        {"fmnist train --workspace 0", "0 for --workspace is out of range: expected 1 to 65536"},
        {"fmnist train --device -1", "-1 for --device is out of range: expected 0 to 255"},
        {"fmnist eval a --epochs 3", "--epochs is an option of 'train' and others, not of 'eval'"},
        {"fmnist compare --models simple,", "an empty name in 'simple,' for --models"},
        {"fmnist compare --models simple,simple", "model 'simple' stands twice in --models"},
        {"fmnist compare --models simple,deper",
            "unknown model 'deper' for --models; did you mean 'deeper'?"},
        {"fmnist models simple deeper", "unexpected argument 'deeper' for 'models'"},
        {"fmnist help --format json", "--format is an option of 'train' and others, not of 'help'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct line line;
        enum fm_status status = parse(&line, cases[i].line);
        if (status != FM_USAGE || strcmp(fm_error_message(), cases[i].message) != 0)
            fail_msg("\"%s\": %s, \"%s\", expected \"%s\"", cases[i].line, fm_status_text(status),
                fm_error_message(), cases[i].message);
    }
    fm_error_clear();
}

static void every_option_is_explained_once(void **state)
{
    (void)state;
    for (const struct fm_command *command = fm_commands; command->name; command++) {
        struct fm_text page = {0};
        const char *names[128];
        int count = 0;
        fm_help_command(command, &page);
        for (const struct fm_option *const *table = command->options; *table; table++)
            for (const struct fm_option *option = *table; option->name; option++)
                names[count++] = option->name;
        for (const struct fm_recipe_field *f = fm_recipe_fields; command->recipe && f->key; f++)
            names[count++] = f->flag;
        for (int i = 0; i < count; i++) {
            char label[96];
            snprintf(label, sizeof label, "  --%s", names[i]);
            const char *at = strstr(fm_text_cstr(&page), label);
            while (at && at[strlen(label)] != ' ' && at[strlen(label)] != '\n')
                at = strstr(at + 1, label);
            if (!at)
                fail_msg("'help %s' does not explain --%s", command->name, names[i]);
            for (int j = 0; j < i; j++)
                if (strcmp(names[i], names[j]) == 0)
                    fail_msg("'%s' has --%s twice", command->name, names[i]);
        }
        assert_non_null(strstr(fm_text_cstr(&page), "\nexample"));
        fm_text_free(&page);
    }
}

// Each example of the help is a command line that parses, for the command that it stands under.
static void examples_parse(void **state)
{
    (void)state;
    for (const struct fm_command *command = fm_commands; command->name; command++)
        for (const char *const *example = command->examples; *example; example++) {
            struct line line;
            if (parse(&line, *example) != FM_OK || line.args.command != command)
                fail_msg("\"%s\": %s", *example, fm_error_message());
            fm_args_free(&line.args);
        }
}

// Operands keep their order, wherever options stand between them, and -o is --out.
static void reads_several_operands(void **state)
{
    (void)state;
    struct line line;
    const struct fm_args *args = &line.args;
    assert_int_equal(
        parse(&line, "fmnist label run a.png -o out --cost 2 - b.png -- --c.png"), FM_OK);
    assert_string_equal(args->operand, "run");
    static const char *const expected[] = {"run", "a.png", "-", "b.png", "--c.png"};
    assert_int_equal(args->operand_count, 5);
    for (int i = 0; i < 5; i++)
        assert_string_equal(args->operands[i], expected[i]);
    assert_string_equal(args->out, "out");
    assert_true(fm_args_given(args, "out"));
    fm_args_free(&line.args);

    assert_int_equal(parse(&line, "fmnist label run -o one --out two"), FM_USAGE);
    assert_string_equal(fm_error_message(), "--out is given twice");
    fm_args_free(&line.args);
    assert_int_equal(parse(&line, "fmnist label -o one"), FM_USAGE);
    assert_string_equal(fm_error_message(), "'label' needs RUN [SOURCE...]");
    fm_args_free(&line.args);
}

static void pages_fit_the_width(void **state)
{
    (void)state;
    for (int i = -1; i < 0 || fm_commands[i].name; i++) {
        struct fm_text page = {0};
        if (i < 0)
            fm_help_overview(&page);
        else
            fm_help_command(&fm_commands[i], &page);
        for (const char *line = fm_text_cstr(&page); *line;) {
            int length = (int)strcspn(line, "\n");
            if (length > 88)
                fail_msg("%d columns: %.*s", length, length, line);
            line += length + (line[length] == '\n');
        }
        fm_text_free(&page);
    }
}

// Lists that stand in two places, because a table of constants cannot refer to the other one.
static void choices_are_those_of_the_modules(void **state)
{
    (void)state;
    struct line line;
    char text[128];
    for (int i = 0; fm_backend_names[i]; i++) {
        snprintf(text, sizeof text, "fmnist info --backend %s", fm_backend_names[i]);
        assert_int_equal(parse(&line, text), FM_OK);
    }
    for (int i = FM_PRECISION_FP32; i < FM_PRECISION_COUNT; i++) {
        snprintf(text, sizeof text, "fmnist train --model simple --precision %s",
            fm_precision_name((enum fm_precision)i));
        assert_int_equal(parse(&line, text), FM_OK);
    }
    for (int i = 0; fm_format_names[i]; i++) {
        snprintf(text, sizeof text, "fmnist models --format %s", fm_format_names[i]);
        assert_int_equal(parse(&line, text), FM_OK);
        assert_int_equal(line.args.format, i);
    }
    for (int i = 0; fm_zoo_names[i]; i++) {
        snprintf(text, sizeof text, "fmnist train --model %s", fm_zoo_names[i]);
        assert_int_equal(parse(&line, text), FM_OK);
        assert_string_equal(line.args.model, fm_zoo_names[i]);
    }
}

static void outside_names_are_made_harmless(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"plain, \xc3\xa9 \xe2\x82\xac \xf0\x9f\x91\x95",
            "plain, \xc3\xa9 \xe2\x82\xac \xf0\x9f\x91\x95"},
        {"two\nlines", "two\nlines"},
        {"a\r\nb", "a\r\nb"},
        {"\x1b[2J", "\xef\xbf\xbd[2J"},
        {"a\rb", "a\xef\xbf\xbd"
                 "b"},
        {"\a\b\t\x7f", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc2\x9b"
         "2J",
            "\xef\xbf\xbd"
            "2J"},
        {"\xff", "\xef\xbf\xbd"},
        {"\xc3", "\xef\xbf\xbd"},
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fm_text text = {0};
        fm_text_append_lines(&text, cases[i].in);
        if (strcmp(fm_text_cstr(&text), cases[i].out) != 0)
            fail_msg("case %zu: \"%s\"", i, fm_text_cstr(&text));
        fm_text_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_from_defaults),
        cmocka_unit_test(reads_both_forms),
        cmocka_unit_test(reads_what_a_gpu_is_told),
        cmocka_unit_test(reads_operands_and_lists),
        cmocka_unit_test(help_and_version_need_nothing_else),
        cmocka_unit_test(refuses_with_exact_words),
        cmocka_unit_test(every_option_is_explained_once),
        cmocka_unit_test(examples_parse),
        cmocka_unit_test(reads_several_operands),
        cmocka_unit_test(pages_fit_the_width),
        cmocka_unit_test(choices_are_those_of_the_modules),
        cmocka_unit_test(outside_names_are_made_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
