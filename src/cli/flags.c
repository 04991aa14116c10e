// Brings options and recipe values into one form, for what is generated from both.
#include "cli/flags.h"

#include <limits.h>

static const char *const truth_words[] = {"true", "false", NULL};

static enum fm_value_kind kind_of(enum fm_option_type type)
{
    switch (type) {
    case FM_OPTION_FLAG:
        return FM_VALUE_NONE;
    case FM_OPTION_NAME:
    case FM_OPTION_CHOICE:
        return FM_VALUE_WORD;
    case FM_OPTION_MODELS:
        return FM_VALUE_WORDS;
    case FM_OPTION_FILE:
        return FM_VALUE_FILE;
    case FM_OPTION_DIR:
    case FM_OPTION_DIRS:
        return FM_VALUE_DIR;
    case FM_OPTION_RECIPE:
        return FM_VALUE_RECIPE;
    case FM_OPTION_COMMAND:
        return FM_VALUE_COMMAND;
    case FM_OPTION_TEXT:
    case FM_OPTION_INT:
    case FM_OPTION_INT64:
    case FM_OPTION_REAL:
        break;
    }
    return FM_VALUE_FREE;
}

// An upper bound that is the type's own, or a stand-in for none, says nothing to a reader.
static void set_bounds(struct fm_flag *flag, double min, double max)
{
    if (flag->kind == FM_VALUE_FREE && max < INT_MAX) {
        flag->min = min;
        flag->max = max;
    }
}

static struct fm_flag from_option(const struct fm_option *option)
{
    struct fm_flag flag = {
        .name = option->name,
        .value = option->value,
        .help = option->help,
        .letter = fm_option_letter(option->name),
        .kind = kind_of(option->type),
        .words = option->choices,
        .repeats = option->type == FM_OPTION_DIRS,
    };
    set_bounds(&flag, option->min, option->max);
    return flag;
}

static struct fm_flag from_field(const struct fm_recipe_field *field)
{
    struct fm_flag flag = {.name = field->flag, .help = field->help, .recipe = true};
    switch (field->type) {
    case FM_FIELD_INT:
        flag.value = "N";
        flag.kind = FM_VALUE_FREE;
        break;
    case FM_FIELD_REAL:
        flag.value = "X";
        flag.kind = FM_VALUE_FREE;
        break;
    case FM_FIELD_BOOL:
        flag.value = "BOOL";
        flag.kind = FM_VALUE_WORD;
        flag.words = truth_words;
        break;
    case FM_FIELD_CHOICE:
        flag.value = "NAME";
        flag.kind = FM_VALUE_WORD;
        flag.words = field->choices;
        break;
    }
    set_bounds(&flag, field->min, field->max);
    return flag;
}

int fm_flags_list(const struct fm_command *command, struct fm_flag flags[FM_FLAGS_MAX])
{
    int count = 0;
    for (const struct fm_option *const *table = command->options; *table; table++)
        for (const struct fm_option *option = *table; option->name; option++)
            if (count < FM_FLAGS_MAX)
                flags[count++] = from_option(option);
    if (count < FM_FLAGS_MAX)
        flags[count++] = (struct fm_flag){.name = "help",
            .help = "print what the command does",
            .letter = fm_option_letter("help"),
            .kind = FM_VALUE_NONE};
    for (const struct fm_recipe_field *field = fm_recipe_fields; command->recipe && field->key;
         field++)
        if (count < FM_FLAGS_MAX)
            flags[count++] = from_field(field);
    return count;
}

struct fm_flag fm_flags_operand(const struct fm_command *command)
{
    struct fm_flag flag = {.value = command->operand, .kind = FM_VALUE_NONE};
    if (command->operand) {
        flag.kind = kind_of(command->operand_type);
        flag.words = command->operand_choices;
        // A command that says nothing of its operand's type has the type's first value.
        if (flag.kind == FM_VALUE_NONE)
            flag.kind = FM_VALUE_FREE;
    }
    return flag;
}

struct fm_flag fm_flags_more(const struct fm_command *command)
{
    struct fm_flag flag = {.value = command->operand, .kind = FM_VALUE_NONE};
    if (command->operands_most > 1)
        flag.kind = kind_of(command->more_type);
    return flag;
}
