// Reads a command line by the tables of options.c.
#include "cli/args.h"

#include "app/evaluation.h"
#include "net/zoo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CANDIDATES_MAX = 128,
    TEXT_MAX = 512
};

// A command line being read.
struct parser {
    struct fm_args *args;
    // Recipe flags are checked by setting them here; the recipe they are meant for is not known
    // yet.
    struct fm_recipe scratch;
};

// "; did you mean 'a'?" or "; expected a, b or c", for a name that is none of `names`.
static enum fm_status unknown_name(
    const char *kind, const char *name, const char *where, const char *const *names)
{
    const char *nearest = fm_nearest_name(name, names);
    if (nearest)
        return fm_fail(
            FM_USAGE, "unknown %s '%s'%s; did you mean '%s'?", kind, name, where, nearest);
    char list[TEXT_MAX] = "";
    size_t used = 0;
    for (int i = 0; names[i] && used < sizeof list; i++) {
        const char *join = i == 0 ? "" : names[i + 1] ? ", " : " or ";
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", join, names[i]);
    }
    return fm_fail(FM_USAGE, "unknown %s '%s'%s; expected %s", kind, name, where, list);
}

enum fm_status fm_command_parse(const char *name, const struct fm_command **command)
{
    const char *names[CANDIDATES_MAX];
    int count = 0;
    *command = fm_command_find(name);
    if (*command)
        return FM_OK;
    for (const struct fm_command *c = fm_commands; c->name; c++)
        names[count++] = c->name;
    names[count] = NULL;
    return unknown_name("command", name, "", names);
}

static const struct fm_option *find_option(const struct fm_command *command, const char *name)
{
    for (const struct fm_option *const *table = command->options; *table; table++)
        for (const struct fm_option *option = *table; option->name; option++)
            if (strcmp(option->name, name) == 0)
                return option;
    return NULL;
}

static const struct fm_recipe_field *find_field(const struct fm_command *command, const char *name)
{
    if (!command->recipe)
        return NULL;
    for (const struct fm_recipe_field *field = fm_recipe_fields; field->key; field++)
        if (strcmp(field->flag, name) == 0)
            return field;
    return NULL;
}

// The first command that has the option, or NULL; `others`: whether it is not the only one.
static const struct fm_command *owner_of(const char *name, bool *others)
{
    const struct fm_command *first = NULL;
    *others = false;
    for (const struct fm_command *command = fm_commands; command->name; command++) {
        if (!find_option(command, name) && !find_field(command, name))
            continue;
        *others = first != NULL;
        if (!first)
            first = command;
    }
    return first;
}

// What options are called in other tools, where that is no slip for what they are called here.
static const struct {
    const char *elsewhere, *here;
} other_names[] = {
    {"lr", "learning-rate"},
    {"batch-size", "batch"},
    {"batch-size", "batches"},
    {"optim", "optimiser"},
    {"wd", "weight-decay"},
    {"output", "out"},
    {"output-dir", "out"},
    {"dataset", "data"},
    {"data-dir", "data"},
    {"arch", "model"},
    {"gpu", "device"},
};

// The command's own option that is meant, or NULL.
static const char *meant(const struct fm_command *command, const char *name)
{
    for (size_t i = 0; i < sizeof other_names / sizeof other_names[0]; i++) {
        const char *here = other_names[i].here;
        if (strcmp(other_names[i].elsewhere, name) == 0 &&
            (find_option(command, here) || find_field(command, here)))
            return here;
    }
    return NULL;
}

static enum fm_status unknown_option(const struct fm_command *command, const char *name)
{
    bool others;
    const struct fm_command *owner = owner_of(name, &others);
    if (owner)
        return fm_fail(FM_USAGE, "--%s is an option of '%s'%s, not of '%s'", name, owner->name,
            others ? " and others" : "", command->name);
    const char *names[CANDIDATES_MAX];
    int count = 0;
    names[count++] = "help";
    for (const struct fm_option *const *table = command->options; *table; table++)
        for (const struct fm_option *option = *table; option->name; option++)
            if (count < CANDIDATES_MAX - 1)
                names[count++] = option->name;
    for (const struct fm_recipe_field *field = fm_recipe_fields; command->recipe && field->key;
         field++)
        if (count < CANDIDATES_MAX - 1)
            names[count++] = field->flag;
    names[count] = NULL;
    const char *nearest = meant(command, name);
    if (!nearest)
        nearest = fm_nearest_name(name, names);
    if (nearest)
        return fm_fail(FM_USAGE, "unknown option '--%s' for '%s'; did you mean '--%s'?", name,
            command->name, nearest);
    return fm_fail(FM_USAGE, "unknown option '--%s' for '%s'", name, command->name);
}

// A comma-separated list of model names, none twice, into args->models.
static enum fm_status parse_models(const char *flag, const char *text, struct fm_args *args)
{
    int count = 0;
    for (const char *name = text;;) {
        char one[FM_NAME_MAX];
        size_t length = strcspn(name, ",");
        if (length == 0)
            return fm_fail(FM_USAGE, "an empty name in '%s' for %s", text, flag);
        snprintf(
            one, sizeof one, "%.*s", (int)(length < sizeof one ? length : sizeof one - 1), name);
        const struct fm_zoo_entry *entry = fm_zoo_find(one);
        if (!entry) {
            char where[TEXT_MAX];
            snprintf(where, sizeof where, " for %s", flag);
            return unknown_name("model", one, where, fm_zoo_names);
        }
        for (int i = 0; i < count; i++)
            if (args->models[i] == entry->name)
                return fm_fail(FM_USAGE, "model '%s' stands twice in %s", one, flag);
        if (count == FM_ARGS_MODELS_MAX)
            return fm_fail(FM_USAGE, "more than %d models for %s", FM_ARGS_MODELS_MAX, flag);
        args->models[count++] = entry->name;
        args->models[count] = NULL;
        if (name[length] == '\0')
            return FM_OK;
        name += length + 1;
    }
}

static enum fm_status parse_choice(
    const struct fm_option *option, const char *flag, const char *text, int *index)
{
    for (int i = 0; option->choices[i]; i++)
        if (strcmp(option->choices[i], text) == 0) {
            *index = i;
            return FM_OK;
        }
    char where[TEXT_MAX];
    snprintf(where, sizeof where, " for %s", flag);
    return unknown_name(option->name, text, where, option->choices);
}

static enum fm_status add_dir(const char *flag, const char *text, struct fm_dirs *dirs)
{
    if (dirs->count == FM_ARGS_DIRS_MAX)
        return fm_fail(FM_USAGE, "%s is given more than %d times", flag, FM_ARGS_DIRS_MAX);
    dirs->at[dirs->count++] = text;
    return FM_OK;
}

static enum fm_status set_option(
    const struct fm_option *option, const char *flag, const char *text, struct fm_args *args)
{
    char *member = (char *)args + option->offset;
    int64_t integer;
    int index = 0;
    switch (option->type) {
    case FM_OPTION_FLAG:
        *(bool *)(void *)member = true;
        return FM_OK;
    case FM_OPTION_TEXT:
    case FM_OPTION_FILE:
    case FM_OPTION_DIR:
    case FM_OPTION_RECIPE:
    case FM_OPTION_COMMAND:
        *(const char **)(void *)member = text;
        return FM_OK;
    case FM_OPTION_NAME:
        FM_TRY(parse_choice(option, flag, text, &index));
        *(const char **)(void *)member = option->choices[index];
        return FM_OK;
    case FM_OPTION_CHOICE:
        FM_TRY(parse_choice(option, flag, text, &index));
        *(int *)(void *)member = index;
        return FM_OK;
    case FM_OPTION_INT:
        FM_TRY(fm_parse_int(flag, text, (int64_t)option->min, (int64_t)option->max, &integer));
        *(int *)(void *)member = (int)integer;
        return FM_OK;
    case FM_OPTION_INT64:
        FM_TRY(fm_parse_int(flag, text, (int64_t)option->min, (int64_t)option->max, &integer));
        *(int64_t *)(void *)member = integer;
        return FM_OK;
    case FM_OPTION_REAL:
        return fm_parse_double(flag, text, option->min, option->max, (double *)(void *)member);
    case FM_OPTION_MODELS:
        return parse_models(flag, text, args);
    case FM_OPTION_DIRS:
        return add_dir(flag, text, (struct fm_dirs *)(void *)member);
    }
    return fm_fail(FM_USAGE, "%s: no such type of option", flag);
}

static enum fm_status set_field(
    struct parser *parser, const struct fm_recipe_field *field, const char *text)
{
    struct fm_args *args = parser->args;
    FM_TRY(fm_recipe_set(&parser->scratch, field, text));
    if (args->recipe_flag_count == FM_ARGS_RECIPE_MAX)
        return fm_fail(FM_USAGE, "more than %d recipe values", FM_ARGS_RECIPE_MAX);
    args->recipe_flags[args->recipe_flag_count++] = (struct fm_recipe_flag){field, text};
    return FM_OK;
}

bool fm_args_given(const struct fm_args *args, const char *name)
{
    for (int i = 0; i < args->given_count; i++)
        if (strcmp(args->given[i], name) == 0)
            return true;
    return false;
}

static enum fm_status note_seen(struct parser *parser, const char *name)
{
    struct fm_args *args = parser->args;
    if (fm_args_given(args, name))
        return fm_fail(FM_USAGE, "--%s is given twice", name);
    if (args->given_count == FM_ARGS_GIVEN_MAX)
        return fm_fail(FM_USAGE, "more than %d options", FM_ARGS_GIVEN_MAX);
    args->given[args->given_count++] = name;
    return FM_OK;
}

// Whether a word is --help, or the letter for it.
static bool asks_for_help(const char *text)
{
    const char letter[] = {'-', fm_option_letter("help"), '\0'};
    return strcmp(text, "--help") == 0 || strcmp(text, letter) == 0;
}

// "-o" as "--out", of an option that has a letter; NULL: there is none.
static const char *spelt_out(const struct fm_command *command, const char *text)
{
    if (text[1] == '\0' || text[2] != '\0')
        return NULL;
    if (asks_for_help(text))
        return "help";
    for (const struct fm_option *const *table = command->options; *table; table++)
        for (const struct fm_option *option = *table; option->name; option++)
            if (fm_option_letter(option->name) == text[1])
                return option->name;
    return NULL;
}

// Reads the option at argv[*at], whose name and perhaps value `text` is, and its value; *at moves
// to the last argument used.
static enum fm_status parse_option(struct parser *parser, const char *text, int *at)
{
    struct fm_args *args = parser->args;
    const char *equals = strchr(text, '=');
    char name[TEXT_MAX], flag[TEXT_MAX + 2];
    int length = equals ? (int)(equals - text) : (int)strnlen(text, sizeof name - 1);
    snprintf(name, sizeof name, "%.*s", length, text);
    snprintf(flag, sizeof flag, "--%s", name);

    const struct fm_option *option = find_option(args->command, name);
    const struct fm_recipe_field *field = option ? NULL : find_field(args->command, name);
    bool help = strcmp(name, "help") == 0;
    if (!option && !field && !help)
        return unknown_option(args->command, name);
    if (help || (option && option->type == FM_OPTION_FLAG)) {
        if (equals)
            return fm_fail(FM_USAGE, "%s takes no value, found '%s'", flag, equals + 1);
        if (help) {
            args->help = true;
            return FM_OK;
        }
        FM_TRY(note_seen(parser, option->name));
        return set_option(option, flag, NULL, args);
    }
    bool again = option && option->type == FM_OPTION_DIRS && fm_args_given(args, option->name);
    if (!again)
        FM_TRY(note_seen(parser, option ? option->name : field->flag));
    const char *value = equals ? equals + 1 : NULL;
    if (!equals && *at + 1 < args->argc) {
        value = args->argv[*at + 1];
        if (strncmp(value, "--", 2) == 0)
            return fm_fail(FM_USAGE, "%s needs a value, found the option '%s'", flag, value);
        ++*at;
    }
    if (!value || *value == '\0')
        return fm_fail(FM_USAGE, "%s needs a value", flag);
    return option ? set_option(option, flag, value, args) : set_field(parser, field, value);
}

static enum fm_status keep_operand(struct fm_args *args, const char *text)
{
    if (!args->operands) {
        size_t bytes = (size_t)args->argc * sizeof *args->operands;
        args->operands = malloc(bytes);
        if (!args->operands)
            return fm_fail_memory("the command line", bytes);
    }
    args->operands[args->operand_count++] = text;
    return FM_OK;
}

static enum fm_status parse_operand(struct fm_args *args, const char *text)
{
    const struct fm_command *command = args->command;
    int most = command->operands_most ? command->operands_most : command->operand != NULL;
    int have = command->operands_most ? args->operand_count : args->operand != NULL;
    if (have == most)
        return fm_fail(FM_USAGE, "unexpected argument '%s' for '%s'", text, command->name);
    if (*text == '\0')
        return fm_fail(FM_USAGE, "%s is empty", command->operand);
    if (!args->operand)
        args->operand = text;
    return command->operands_most ? keep_operand(args, text) : FM_OK;
}

void fm_args_free(struct fm_args *args)
{
    free(args->operands);
    args->operands = NULL;
}

static enum fm_status check_complete(const struct parser *parser)
{
    const struct fm_args *args = parser->args;
    const struct fm_command *command = args->command;
    if ((command->operand_required && !args->operand) ||
        args->operand_count < command->operands_least)
        return fm_fail(FM_USAGE, "'%s' needs %s", command->name, command->operand);
    if (!command->required || fm_args_given(args, command->required) ||
        (command->instead && fm_args_given(args, command->instead)))
        return FM_OK;
    return fm_fail(FM_USAGE, "'%s' needs --%s %s", command->name, command->required,
        find_option(command, command->required)->value);
}

// What may stand in the place of the command: --version alone, --help alone or before a command.
static enum fm_status parse_global(struct fm_args *args)
{
    static const char *const names[] = {"help", "version", NULL};
    const char *text = args->argv[1];
    int used = 2;
    if (asks_for_help(text))
        args->help = true;
    else if (strcmp(text, "--version") == 0)
        args->version = true;
    else if (strncmp(text, "--", 2) == 0 && fm_nearest_name(text + 2, names))
        return fm_fail(FM_USAGE, "unknown option '%s'; did you mean '--%s'?", text,
            fm_nearest_name(text + 2, names));
    else
        return fm_fail(FM_USAGE,
            "expected a command before '%s'; only --help and --version stand alone", text);
    if (args->help && args->argc > used && args->argv[used][0] != '-')
        FM_TRY(fm_command_parse(args->argv[used++], &args->command));
    if (args->argc > used)
        return fm_fail(
            FM_USAGE, "unexpected argument '%s' after %s", args->argv[used], args->argv[used - 1]);
    return FM_OK;
}

enum fm_status fm_args_parse(int argc, char *const *argv, struct fm_args *args)
{
    *args = (struct fm_args){
        .program = argc > 0 ? argv[0] : "fmnist",
        .argc = argc,
        .argv = argv,
        .backend = "auto",
        .precision = "auto",
        .recipe = "quick",
        .seed = 1,
        .seeds = 1,
        .checkpoint_seconds = 60,
        .split = FM_PART_TEST,
        .top = 1,
        .least = 0.99,
        .confidence = 0.95,
        .cost = 0.05,
        .base_rate = 0.1,
        .teacher_share = 0.9,
        .folds = 4,
        .level = 0.05,
        .seconds = 2,
        .format = FM_FORMAT_TEXT,
    };
    struct parser parser = {.args = args};
    if (argc < 2)
        return fm_fail(FM_USAGE, "no command given");
    if (argv[1][0] == '-')
        return parse_global(args);
    FM_TRY(fm_command_parse(argv[1], &args->command));

    bool options_over = false;
    for (int i = 2; i < argc && !args->help; i++) {
        if (options_over || argv[i][0] != '-' || argv[i][1] == '\0')
            FM_TRY(parse_operand(args, argv[i]));
        else if (strcmp(argv[i], "--") == 0)
            options_over = true;
        else if (strncmp(argv[i], "--", 2) == 0)
            FM_TRY(parse_option(&parser, argv[i] + 2, &i));
        else if (spelt_out(args->command, argv[i]))
            FM_TRY(parse_option(&parser, spelt_out(args->command, argv[i]), &i));
        else
            return fm_fail(
                FM_USAGE, "unknown option '%s': options are written in full, as --help", argv[i]);
    }
    return args->help ? FM_OK : check_complete(&parser);
}
