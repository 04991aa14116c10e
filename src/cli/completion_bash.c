// The completion script for bash: a function that walks the words of the line as the parser does,
// and a case for each value that something is known of. It needs bash 4.4 and nothing else; words
// that come from the tables hold no character that is special to the shell.
#include "cli/completion.h"

#include "cli/flags.h"

#include "base/version.h"

#include <string.h>

static const char helpers[] =
    "# Each sets COMPREPLY to what begins with $cur.\n"
    "_fmnist_words()\n"
    "{\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\")\n"
    "}\n"
    "\n"
    "_fmnist_directories()\n"
    "{\n"
    "    mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")\n"
    "    compopt -o filenames 2>/dev/null\n"
    "}\n"
    "\n"
    "_fmnist_files()\n"
    "{\n"
    "    mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
    "    compopt -o filenames 2>/dev/null\n"
    "}\n"
    "\n"
    "# A recipe's name, or a file of JSON on the way to which there are folders.\n"
    "_fmnist_recipes()\n"
    "{\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\"\n"
    "        compgen -f -X '!*.json' -- \"$cur\"\n"
    "        compgen -d -- \"$cur\")\n"
    "    compopt -o filenames 2>/dev/null\n"
    "}\n"
    "\n"
    "# Names with commas between them, none twice; only the last is completed.\n"
    "_fmnist_list()\n"
    "{\n"
    "    local before='' word words=''\n"
    "    [[ $cur != *,* ]] || before=${cur%,*},\n"
    "    for word in $1; do\n"
    "        [[ ,$before == *,$word,* ]] || words+=\"$before$word \"\n"
    "    done\n"
    "    _fmnist_words \"$words\"\n"
    "    compopt -o nospace 2>/dev/null\n"
    "}\n";

// Before and after the case of the commands. `plain` are the options without a value, `valued`
// those with one, `again` those that may be given several times, `short` letters and what they
// stand for, as in " -o=--out "; spaces part and surround names.
static const char walk_begin[] =
    "\n"
    "_fmnist()\n"
    "{\n"
    "    local IFS=$' \\t\\n' cur=${COMP_WORDS[COMP_CWORD]} plain valued again short word i\n"
    "    local options prefix='' over='' operands=0 subject=''\n"
    "    COMPREPLY=()\n";

static const char walk_end[] =
    "    *) return ;;\n"
    "    esac\n"
    "\n"
    "    # What stands before the cursor. '--name=value' is one word or, where '=' parts words,\n"
    "    # three. $subject becomes the option whose value is completed.\n"
    "    options=\" $valued $plain \"\n"
    "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        if [[ $over || $word != -* ]]; then\n"
    "            operands=$((operands + 1))\n"
    "        elif [[ $word == -- ]]; then\n"
    "            over=1\n"
    "        else\n"
    "            [[ $short != *\" $word=\"* ]] || word=${short##* $word=} word=${word%% *}\n"
    "            [[ \" $again \" == *\" ${word%%=*} \"* ]] ||\n"
    "                options=${options/ ${word%%=*} / }\n"
    "            if [[ ${COMP_WORDS[i + 1]} == = ]]; then\n"
    "                i=$((i + 2))\n"
    "            elif [[ \" $valued \" == *\" $word \"* ]]; then\n"
    "                i=$((i + 1))\n"
    "            fi\n"
    "            ((i < COMP_CWORD)) || subject=$word\n"
    "        fi\n"
    "    done\n"
    "    if [[ $subject ]]; then\n"
    "        [[ $cur != = ]] || cur=''\n"
    "    elif [[ ! $over && $cur == --*=* ]]; then\n"
    "        subject=${cur%%=*} prefix=${cur%%=*}= cur=${cur#*=}\n"
    "    elif [[ ! $over && $cur == -* ]]; then\n"
    "        _fmnist_words \"$options\"\n"
    "        return\n"
    "    else\n"
    "        subject=operand$operands\n"
    "    fi\n"
    "\n"
    "    case \"${COMP_WORDS[1]} $subject\" in\n";

static const char values_end[] =
    "    *' operand'*) [[ $over ]] || _fmnist_words \"$options\" ;;\n"
    "    esac\n"
    "    [[ ! $prefix ]] || COMPREPLY=(\"${COMPREPLY[@]/#/$prefix}\")\n"
    "}\n"
    "\n"
    "complete -F _fmnist fmnist\n";

static bool is_plain(const struct fm_flag *flag)
{
    return flag->kind == FM_VALUE_NONE;
}

static bool is_valued(const struct fm_flag *flag)
{
    return flag->kind != FM_VALUE_NONE;
}

static bool repeats(const struct fm_flag *flag)
{
    return flag->repeats;
}

// A list of the options that `among` says.
static void append_names(struct fm_text *out, const char *list, const struct fm_flag *flags,
    int count, bool (*among)(const struct fm_flag *flag))
{
    const char *space = "";
    fm_text_append(out, "        %s='", list);
    for (int i = 0; i < count; i++)
        if (among(&flags[i])) {
            fm_text_append(out, "%s--%s", space, flags[i].name);
            space = " ";
        }
    fm_text_append(out, "'\n");
}

static void append_command(struct fm_text *out, const struct fm_command *command)
{
    struct fm_flag flags[FM_FLAGS_MAX];
    int count = fm_flags_list(command, flags);
    fm_text_append(out, "    %s)\n", command->name);
    append_names(out, "plain", flags, count, is_plain);
    append_names(out, "valued", flags, count, is_valued);
    append_names(out, "again", flags, count, repeats);
    fm_text_append(out, "        short=' ");
    for (int i = 0; i < count; i++)
        if (flags[i].letter)
            fm_text_append(out, "-%c=--%s ", flags[i].letter, flags[i].name);
    fm_text_append(out, "'\n");
    fm_text_append(out, "        ;;\n");
}

// A line for the value, if anything is known of it. `subject` is "--model", "operand0", or
// "operand*" for all operands that have no line before it.
static void append_value(struct fm_text *out, const char *command, const char *dashes,
    const char *subject, const struct fm_flag *flag, const char *const *recipes)
{
    if (flag->kind == FM_VALUE_NONE || flag->kind == FM_VALUE_FREE)
        return;
    size_t length = strcspn(subject, "*");
    fm_text_append(
        out, "    '%s %s%.*s'%s) ", command, dashes, (int)length, subject, subject + length);
    switch (flag->kind) {
    case FM_VALUE_WORD:
    case FM_VALUE_WORDS:
        fm_text_append(out, "_fmnist_%s '", flag->kind == FM_VALUE_WORD ? "words" : "list");
        fm_completion_words(out, flag->words);
        fm_text_append(out, "'");
        break;
    case FM_VALUE_RECIPE:
        fm_text_append(out, "_fmnist_recipes '");
        fm_completion_words(out, recipes);
        fm_text_append(out, "'");
        break;
    case FM_VALUE_COMMAND:
        fm_text_append(out, "_fmnist_words '");
        fm_completion_commands(out);
        fm_text_append(out, "'");
        break;
    case FM_VALUE_DIR:
        fm_text_append(out, "_fmnist_directories");
        break;
    case FM_VALUE_FILE:
        fm_text_append(out, "_fmnist_files");
        break;
    case FM_VALUE_NONE:
    case FM_VALUE_FREE:
        break;
    }
    fm_text_append(out, " ;;\n");
}

static void append_values(
    struct fm_text *out, const struct fm_command *command, const char *const *recipes)
{
    struct fm_flag flags[FM_FLAGS_MAX];
    int count = fm_flags_list(command, flags);
    for (int i = 0; i < count; i++)
        append_value(out, command->name, "--", flags[i].name, &flags[i], recipes);
    struct fm_flag operand = fm_flags_operand(command);
    append_value(out, command->name, "", "operand0", &operand, recipes);
    struct fm_flag more = fm_flags_more(command);
    append_value(out, command->name, "", "operand*", &more, recipes);
}

void fm_completion_bash(const char *const *recipes, struct fm_text *out)
{
    fm_text_append(out, "# Completion of fmnist %s for bash, generated from its option tables.\n\n",
        FM_VERSION);
    fm_text_append(
        out, "%s%s    if ((COMP_CWORD == 1)); then\n        _fmnist_words '", helpers, walk_begin);
    fm_completion_commands(out);
    fm_text_append(out, " --help --version'\n"
                        "        return\n"
                        "    fi\n"
                        "    case ${COMP_WORDS[1]} in\n"
                        "    -h | --help)\n"
                        "        ((COMP_CWORD > 2)) || _fmnist_words '");
    fm_completion_commands(out);
    fm_text_append(out, "'\n"
                        "        return\n"
                        "        ;;\n");
    for (const struct fm_command *command = fm_commands; command->name; command++)
        append_command(out, command);
    fm_text_append(out, "%s", walk_end);
    for (const struct fm_command *command = fm_commands; command->name; command++)
        append_values(out, command, recipes);
    fm_text_append(out, "%s", values_end);
}
