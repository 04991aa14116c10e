// The completion script for zsh: a specification for _arguments for each command. It works as a
// file _fmnist on $fpath and when it is sourced.
#include "cli/completion.h"

#include "cli/flags.h"

#include "base/version.h"

#include <stdio.h>
#include <string.h>

// Within '...' of the shell; `special` are the characters that _arguments wants a backslash before.
static void append_quoted(struct fm_text *out, const char *text, const char *special)
{
    for (const char *at = text; *at; at++) {
        if (*at == '\'')
            fm_text_append(out, "'\\''");
        else
            fm_text_append(out, "%s%c", strchr(special, *at) ? "\\" : "", *at);
    }
}

// ":what the value is:how it is completed".
static void append_value(struct fm_text *out, const struct fm_flag *flag)
{
    fm_text_append(out, ":");
    append_quoted(out, flag->value, ":\\");
    fm_text_append(out, ":");
    switch (flag->kind) {
    case FM_VALUE_WORD:
        fm_text_append(out, "(");
        fm_completion_words(out, flag->words);
        fm_text_append(out, ")");
        break;
    case FM_VALUE_WORDS:
        fm_text_append(out, "_values -s , name ");
        fm_completion_words(out, flag->words);
        break;
    case FM_VALUE_RECIPE:
        fm_text_append(out, "_fmnist_recipes");
        break;
    case FM_VALUE_COMMAND:
        fm_text_append(out, "_fmnist_commands");
        break;
    case FM_VALUE_DIR:
        fm_text_append(out, "_files -/");
        break;
    case FM_VALUE_FILE:
        fm_text_append(out, "_files");
        break;
    case FM_VALUE_FREE: // a space: said, not completed
        fm_text_append(out, " ");
        break;
    case FM_VALUE_NONE:
        break;
    }
}

// `name` is "--seed=" or, of an option that has a letter, "-o" the second time.
static void append_option(struct fm_text *out, const struct fm_flag *flag, const char *name)
{
    fm_text_append(out, " \\\n            '%s", flag->repeats ? "*" : "");
    if (flag->letter)
        fm_text_append(out, "(-%c --%s)", flag->letter, flag->name);
    fm_text_append(out, "%s[", name);
    append_quoted(out, flag->help, "[]:\\");
    fm_text_append(out, "]");
    if (flag->kind != FM_VALUE_NONE)
        append_value(out, flag);
    fm_text_append(out, "'");
}

static void append_command(struct fm_text *out, const struct fm_command *command)
{
    struct fm_flag flags[FM_FLAGS_MAX];
    int count = fm_flags_list(command, flags);
    fm_text_append(out, "    %s)\n        _arguments -S", command->name);
    for (int i = 0; i < count; i++) {
        const char letter[] = {'-', flags[i].letter, '\0'};
        char name[64];
        snprintf(
            name, sizeof name, "--%s%s", flags[i].name, flags[i].kind != FM_VALUE_NONE ? "=" : "");
        append_option(out, &flags[i], name);
        if (flags[i].letter)
            append_option(out, &flags[i], letter);
    }
    struct fm_flag operand = fm_flags_operand(command);
    if (operand.kind != FM_VALUE_NONE) {
        fm_text_append(out, " \\\n            '%s", command->operand_required ? "" : ":");
        append_value(out, &operand);
        fm_text_append(out, "'");
    }
    struct fm_flag more = fm_flags_more(command);
    if (more.kind != FM_VALUE_NONE) {
        fm_text_append(out, " \\\n            '*");
        append_value(out, &more);
        fm_text_append(out, "'");
    }
    fm_text_append(out, "\n        ;;\n");
}

static void append_helpers(struct fm_text *out, const char *const *recipes)
{
    fm_text_append(out, "_fmnist_commands() {\n    local -a entries=(\n");
    for (const struct fm_command *command = fm_commands; command->name; command++) {
        fm_text_append(out, "        '%s:", command->name);
        append_quoted(out, command->summary, ":\\");
        fm_text_append(out, "'\n");
    }
    fm_text_append(out, "    )\n"
                        "    _describe -t commands command entries\n"
                        "}\n"
                        "\n"
                        "_fmnist_recipes() {\n"
                        "    _alternative 'recipes:recipe:(");
    fm_completion_words(out, recipes);
    fm_text_append(out, ")' 'files:file:_files -g \"*.json\"'\n}\n\n");
}

void fm_completion_zsh(const char *const *recipes, struct fm_text *out)
{
    fm_text_append(out,
        "#compdef fmnist\n"
        "# Completion of fmnist %s for zsh, generated from its option tables.\n\n",
        FM_VERSION);
    append_helpers(out, recipes);
    fm_text_append(out, "_fmnist() {\n"
                        "    local curcontext=$curcontext ret=1\n"
                        "    if (( CURRENT == 2 )); then\n"
                        "        _fmnist_commands && ret=0\n"
                        "        [[ $PREFIX != -* ]] || compadd -- --help --version && ret=0\n"
                        "        return ret\n"
                        "    fi\n"
                        "    # The rest of the line is the command's, as if it were a program.\n"
                        "    local name=$words[2]\n"
                        "    curcontext=\"${curcontext%%:*:*}:fmnist-$name:\"\n"
                        "    shift words\n"
                        "    (( CURRENT-- ))\n"
                        "    case $name in\n"
                        "    -h|--help)\n"
                        "        (( CURRENT > 2 )) || _fmnist_commands\n"
                        "        ;;\n");
    for (const struct fm_command *command = fm_commands; command->name; command++)
        append_command(out, command);
    fm_text_append(out,
        "    esac\n"
        "}\n"
        "\n"
        "# Loaded from $fpath the first call comes through here; sourced, there is none.\n"
        "if [[ $funcstack[1] == _fmnist ]]; then\n"
        "    _fmnist \"$@\"\n"
        "else\n"
        "    compdef _fmnist fmnist\n"
        "fi\n");
}
