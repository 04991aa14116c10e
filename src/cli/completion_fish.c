// The completion script for fish: a line for each command, option and operand.
#include "cli/completion.h"

#include "cli/flags.h"

#include "base/version.h"

static const char helpers[] =
    "# The command is the word after fmnist, wherever its name stands besides.\n"
    "function __fmnist_needs_command\n"
    "    set -l words (commandline -opc)\n"
    "    test (count $words) -eq 1\n"
    "end\n"
    "\n"
    "function __fmnist_command_is\n"
    "    set -l words (commandline -opc)\n"
    "    test (count $words) -ge 2; and test \"$words[2]\" = $argv[1]\n"
    "end\n"
    "\n"
    "# The value being written, of '--name value' as of '--name=value'.\n"
    "function __fmnist_value\n"
    "    commandline -ct | string replace -r '^--[^=]*=' ''\n"
    "end\n"
    "\n"
    "function __fmnist_directories\n"
    "    __fish_complete_directories (__fmnist_value)\n"
    "end\n"
    "\n"
    "# Names with commas between them, none twice; only the last is completed.\n"
    "function __fmnist_list\n"
    "    set -l before (__fmnist_value | string match -r '.*,')\n"
    "    for name in $argv\n"
    "        if not contains -- $name (string split , -- \"$before\")\n"
    "            printf '%s\\n' \"$before$name\"\n"
    "        end\n"
    "    end\n"
    "end\n"
    "\n"
    "# Behind --help in the command's place.\n"
    "function __fmnist_needs_help\n"
    "    set -l words (commandline -opc)\n"
    "    test (count $words) -eq 2; and contains -- $words[2] -h --help\n"
    "end\n"
    "\n"
    "complete -c fmnist -f\n";

static void append_quoted(struct fm_text *out, const char *text)
{
    fm_text_append(out, "'");
    for (const char *at = text; *at; at++)
        fm_text_append(out, "%s%c", *at == '\'' || *at == '\\' ? "\\" : "", *at);
    fm_text_append(out, "'");
}

// How the value is completed: -x takes what is told here alone, -r files too.
static void append_value(
    struct fm_text *out, const struct fm_flag *flag, bool option, const char *const *recipes)
{
    const char *exclusive = option ? " -x" : "";
    switch (flag->kind) {
    case FM_VALUE_NONE:
        break;
    case FM_VALUE_FREE:
        fm_text_append(out, "%s", exclusive);
        break;
    case FM_VALUE_WORD:
        fm_text_append(out, "%s -a '", exclusive);
        fm_completion_words(out, flag->words);
        fm_text_append(out, "'");
        break;
    case FM_VALUE_WORDS:
        fm_text_append(out, "%s -a '(__fmnist_list ", exclusive);
        fm_completion_words(out, flag->words);
        fm_text_append(out, ")'");
        break;
    case FM_VALUE_COMMAND:
        fm_text_append(out, "%s -a '", exclusive);
        fm_completion_commands(out);
        fm_text_append(out, "'");
        break;
    case FM_VALUE_RECIPE:
        fm_text_append(out, "%s -F -a '", option ? " -r" : "");
        fm_completion_words(out, recipes);
        fm_text_append(out, "'");
        break;
    case FM_VALUE_DIR:
        fm_text_append(out, "%s -a '(__fmnist_directories)'", exclusive);
        break;
    case FM_VALUE_FILE:
        fm_text_append(out, "%s -F", option ? " -r" : "");
        break;
    }
}

static void append_command(
    struct fm_text *out, const struct fm_command *command, const char *const *recipes)
{
    struct fm_flag flags[FM_FLAGS_MAX];
    int count = fm_flags_list(command, flags);
    fm_text_append(out, "\ncomplete -c fmnist -n __fmnist_needs_command -a %s -d ", command->name);
    append_quoted(out, command->summary);
    fm_text_append(out, "\n");
    for (int i = 0; i < count; i++) {
        fm_text_append(out, "complete -c fmnist -n '__fmnist_command_is %s' -l %s", command->name,
            flags[i].name);
        if (flags[i].letter)
            fm_text_append(out, " -s %c", flags[i].letter);
        append_value(out, &flags[i], true, recipes);
        fm_text_append(out, " -d ");
        append_quoted(out, flags[i].help);
        fm_text_append(out, "\n");
    }
    struct fm_flag operand = fm_flags_operand(command), more = fm_flags_more(command);
    if (more.kind == FM_VALUE_FILE) // fish does not count: files are folders, too
        operand = more;
    if (operand.kind == FM_VALUE_NONE || operand.kind == FM_VALUE_FREE)
        return;
    fm_text_append(out, "complete -c fmnist -n '__fmnist_command_is %s'", command->name);
    append_value(out, &operand, false, recipes);
    fm_text_append(out, "\n");
}

void fm_completion_fish(const char *const *recipes, struct fm_text *out)
{
    fm_text_append(out, "# Completion of fmnist %s for fish, generated from its option tables.\n\n",
        FM_VERSION);
    fm_text_append(out, "%s", helpers);
    fm_text_append(out,
        "complete -c fmnist -n __fmnist_needs_command -l help -s h -d 'print the overview'\n"
        "complete -c fmnist -n __fmnist_needs_command -l version -d 'print the version'\n"
        "complete -c fmnist -n __fmnist_needs_help -a '");
    fm_completion_commands(out);
    fm_text_append(out, "'\n");
    for (const struct fm_command *command = fm_commands; command->name; command++)
        append_command(out, command, recipes);
}
