// Help pages, generated from the tables that the parser reads.
#include "cli/args.h"

#include "base/version.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
    HELP_WIDTH = 80,
    HELP_COLUMN = 26, // where the explanations begin
    LABEL_MAX = 256
};

// "  label      explanation", the explanation broken between words.
static void append_entry(struct fm_text *out, const char *label, const char *explanation)
{
    fm_text_append(out, "  %s", label);
    int column = 2 + (int)strlen(label);
    if (column > HELP_COLUMN - 2) {
        fm_text_append(out, "\n");
        column = 0;
    }
    fm_text_append(out, "%*s", HELP_COLUMN - column, "");
    fm_text_append_folded(out, explanation, HELP_COLUMN, HELP_WIDTH - HELP_COLUMN);
    fm_text_append(out, "\n");
}

static void join_choices(const char *const *choices, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; choices[i] && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? "|" : "", choices[i]);
}

// "text; -o does as well", of an option that has a letter.
static void add_letter(const char *name, char *text, size_t size)
{
    size_t used = strlen(text);
    if (fm_option_letter(name))
        snprintf(text + used, size - used, "; -%c does as well", fm_option_letter(name));
}

static void append_options(struct fm_text *out, const struct fm_option *option)
{
    for (; option->name; option++) {
        char label[LABEL_MAX], text[LABEL_MAX * 2], choices[LABEL_MAX];
        snprintf(label, sizeof label, "--%s%s%s", option->name, option->value ? " " : "",
            option->value ? option->value : "");
        snprintf(text, sizeof text, "%s", option->help);
        if (option->choices) {
            join_choices(option->choices, choices, sizeof choices);
            snprintf(text, sizeof text, "%s: %s", choices, option->help);
        }
        add_letter(option->name, text, sizeof text);
        append_entry(out, label, text);
    }
}

static void append_recipe(struct fm_text *out)
{
    for (const struct fm_recipe_field *field = fm_recipe_fields; field->key; field++) {
        char label[LABEL_MAX], text[LABEL_MAX * 2], range[LABEL_MAX] = "";
        switch (field->type) {
        case FM_FIELD_INT:
            snprintf(label, sizeof label, "--%s N", field->flag);
            if (field->max < INT_MAX)
                snprintf(range, sizeof range, " (%.0f to %.0f)", field->min, field->max);
            break;
        case FM_FIELD_REAL:
            snprintf(label, sizeof label, "--%s X", field->flag);
            snprintf(range, sizeof range, " (%g to %g)", field->min, field->max);
            break;
        case FM_FIELD_BOOL:
            snprintf(label, sizeof label, "--%s true|false", field->flag);
            break;
        case FM_FIELD_CHOICE:
            snprintf(label, sizeof label, "--%s NAME", field->flag);
            snprintf(range, sizeof range, ": ");
            join_choices(field->choices, range + 2, sizeof range - 2);
            break;
        }
        snprintf(text, sizeof text, "%s%s", field->help, range);
        append_entry(out, label, text);
    }
}

void fm_help_overview(struct fm_text *out)
{
    fm_text_append(out,
        "fmnist %s trains and evaluates convolutional networks on Fashion-MNIST.\n\n"
        "usage: fmnist COMMAND [options]\n\n"
        "commands:\n",
        FM_VERSION);
    for (const struct fm_command *command = fm_commands; command->name; command++)
        append_entry(out, command->name, command->summary);
    fm_text_append(out, "\n'fmnist help COMMAND', or -h behind a command, explains it; 'fmnist "
                        "--version'\nprints the version.\n"
                        "Results go to standard output, everything else to standard error. Exit "
                        "status: 0\nsuccess, 1 failure, 2 wrong usage, 3 drift was found, 130 "
                        "and 143 stopped by\nSIGINT and SIGTERM.\n\n"
                        "example:\n  fmnist compare\n");
}

void fm_help_command(const struct fm_command *command, struct fm_text *out)
{
    fm_text_append(out, "usage: fmnist %s", command->name);
    if (command->operand)
        fm_text_append(out, command->operand_required ? " %s" : " [%s]", command->operand);
    if (command->required)
        fm_text_append(out, " --%s NAME", command->required);
    if (command->options[0])
        fm_text_append(out, " [options]");
    fm_text_append(out, "\n\n%s\n", command->description);
    if (command->options[0]) {
        fm_text_append(out, "\noptions:\n");
        for (const struct fm_option *const *table = command->options; *table; table++)
            append_options(out, *table);
        char text[LABEL_MAX] = "print this";
        add_letter("help", text, sizeof text);
        append_entry(out, "--help", text);
    }
    if (command->recipe) {
        fm_text_append(out, "\nvalues of the recipe, each replacing the file's:\n");
        append_recipe(out);
    }
    fm_text_append(out, "\nexample%s:\n", command->examples[1] ? "s" : "");
    for (const char *const *example = command->examples; *example; example++)
        fm_text_append(out, "  %s\n", *example);
}
