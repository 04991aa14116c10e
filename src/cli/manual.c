// Man pages from the tables of options.c and of the recipes.
#include "cli/manual.h"

#include "cli/flags.h"

#include "base/version.h"

#include <stdio.h>
#include <string.h>

enum {
    SOURCE_WIDTH = 78
};

void fm_manual_escape(struct fm_text *out, const char *text)
{
    for (const char *at = text; *at; at++) {
        bool line_starts = at == text || at[-1] == '\n';
        switch (*at) {
        case '\\':
            fm_text_append(out, "\\e");
            break;
        case '-':
            fm_text_append(out, "\\-");
            break;
        case '\'': // also a control character at the beginning of a line
            fm_text_append(out, "\\(aq");
            break;
        case '`':
            fm_text_append(out, "\\(ga");
            break;
        case '^':
            fm_text_append(out, "\\(ha");
            break;
        case '~':
            fm_text_append(out, "\\(ti");
            break;
        case '.':
            fm_text_append(out, line_starts ? "\\&." : ".");
            break;
        default:
            fm_text_append_bytes(out, at, 1);
        }
    }
}

// "<font>text</font>" in the fonts of man(7): B bold, I italic.
static void append_font(struct fm_text *out, char font, const char *text)
{
    fm_text_append(out, "\\f%c", font);
    fm_manual_escape(out, text);
    fm_text_append(out, "\\fR");
}

// The tables' phrases as sentences. A phrase that begins with the names of values ("adam, adamw:
// ...") keeps them as they are written.
static void append_sentence(struct fm_text *out, const char *phrase)
{
    size_t word = strcspn(phrase, " ");
    char first = phrase[0];
    if (word > 0 && !strchr(",:", phrase[word - 1]) && first >= 'a' && first <= 'z') {
        fm_text_append(out, "%c", first - 'a' + 'A');
        phrase++;
    }
    fm_manual_escape(out, phrase);
    fm_text_append(out, ".\n");
}

// No date: the version says which fmnist a page is of, and a build's day would make each build
// another.
static void append_title(struct fm_text *out, const char *name, const char *summary)
{
    char upper[64];
    size_t length = 0;
    for (; name[length] && length < sizeof upper - 1; length++)
        upper[length] = (char)(name[length] >= 'a' && name[length] <= 'z' ? name[length] - 'a' + 'A'
                                                                          : name[length]);
    upper[length] = '\0';
    fm_text_append(out, ".\\\" Generated from the option tables of fmnist.\n.TH ");
    fm_manual_escape(out, upper);
    fm_text_append(out, " 1 \"\" \"fmnist %s\" \"fmnist manual\"\n", FM_VERSION);
    // Names of options and files stay whole.
    fm_text_append(out, ".nh\n.ad l\n.SH NAME\n");
    fm_manual_escape(out, name);
    fm_text_append(out, " \\- ");
    fm_manual_escape(out, summary);
    fm_text_append(out, "\n");
}

// Paragraphs as the tables have them: lines, an empty one between two paragraphs.
static void append_paragraphs(struct fm_text *out, const char *text)
{
    char line[512];
    while (*text) {
        size_t length = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)length, text);
        if (length == 0)
            fm_text_append(out, ".PP");
        fm_manual_escape(out, line);
        fm_text_append(out, "\n");
        text += length;
        text += *text == '\n';
    }
}

static void append_words(struct fm_text *out, const char *const *words)
{
    for (int i = 0; words[i]; i++) {
        if (i > 0)
            fm_text_append(out, words[i + 1] ? ", " : " or ");
        append_font(out, 'B', words[i]);
    }
}

// "--name VALUE".
static void append_option(struct fm_text *out, const struct fm_flag *flag)
{
    char name[128];
    snprintf(name, sizeof name, "--%s", flag->name);
    append_font(out, 'B', name);
    if (flag->value) {
        fm_text_append(out, " ");
        append_font(out, 'I', flag->value);
    }
}

static void append_flag(struct fm_text *out, const struct fm_flag *flag)
{
    fm_text_append(out, ".TP\n");
    append_option(out, flag);
    fm_text_append(out, "\n");
    append_sentence(out, flag->help);
    if (flag->letter)
        fm_text_append(out, "\\fB\\-%c\\fR does as well.\n", flag->letter);
    if (flag->min < flag->max) {
        char range[64];
        snprintf(range, sizeof range, "From %.10g to %.10g.\n", flag->min, flag->max);
        fm_manual_escape(out, range);
    }
    if (flag->words) {
        fm_text_append(out, flag->kind == FM_VALUE_WORDS ? "Some of " : "One of ");
        append_words(out, flag->words);
        fm_text_append(out, ".\n");
    }
}

static void append_flags(struct fm_text *out, const struct fm_command *command)
{
    struct fm_flag flags[FM_FLAGS_MAX];
    int count = fm_flags_list(command, flags);
    fm_text_append(out, ".SH OPTIONS\n");
    for (int i = 0; i < count; i++)
        if (!flags[i].recipe)
            append_flag(out, &flags[i]);
    if (!command->recipe)
        return;
    fm_text_append(out, ".SH RECIPE VALUES\nEach replaces the value that the recipe has.\n");
    for (int i = 0; i < count; i++)
        if (flags[i].recipe)
            append_flag(out, &flags[i]);
}

// One line of the synopsis; `option` must stand in it unless it is NULL.
static void append_usage(struct fm_text *out, const struct fm_command *command, const char *option)
{
    fm_text_append(out, "\\fBfmnist ");
    fm_manual_escape(out, command->name);
    fm_text_append(out, "\\fR");
    if (command->operand) {
        fm_text_append(out, command->operand_required ? " " : " [");
        append_font(out, 'I', command->operand);
        fm_text_append(out, command->operand_required ? "" : "]");
    }
    struct fm_flag flags[FM_FLAGS_MAX];
    int count = fm_flags_list(command, flags);
    for (int i = 0; option && i < count; i++)
        if (strcmp(flags[i].name, option) == 0) {
            fm_text_append(out, " ");
            append_option(out, &flags[i]);
        }
    fm_text_append(out, command->options[0] ? " [\\fIoptions\\fR]\n" : "\n");
}

static void append_synopsis(struct fm_text *out, const struct fm_command *command)
{
    fm_text_append(out, ".SH SYNOPSIS\n");
    append_usage(out, command, command->required);
    if (command->instead) {
        fm_text_append(out, ".PP\n");
        append_usage(out, command, command->instead);
    }
}

static void append_operand(struct fm_text *out, const struct fm_command *command)
{
    struct fm_flag operand = fm_flags_operand(command);
    if (!operand.words)
        return;
    fm_text_append(out, ".PP\n");
    append_font(out, 'I', operand.value);
    fm_text_append(out, " is one of ");
    append_words(out, operand.words);
    fm_text_append(out, ".\n");
}

static void command_page(const struct fm_command *command, struct fm_text *out)
{
    char name[64];
    snprintf(name, sizeof name, "fmnist-%s", command->name);
    append_title(out, name, command->summary);
    append_synopsis(out, command);
    fm_text_append(out, ".SH DESCRIPTION\n");
    append_paragraphs(out, command->description);
    append_operand(out, command);
    append_flags(out, command);
    fm_text_append(out, ".SH EXAMPLES\n.nf\n");
    for (const char *const *example = command->examples; *example; example++) {
        append_font(out, 'B', *example);
        fm_text_append(out, "\n");
    }
    fm_text_append(out, ".fi\n.SH SEE ALSO\n.BR fmnist (1)\n");
}

// An entry of a list whose label is bold; the explanation is roff already.
static void append_entry(struct fm_text *out, const char *label, const char *explanation)
{
    fm_text_append(out, ".TP\n");
    append_font(out, 'B', label);
    fm_text_append(out, "\n%s\n", explanation);
}

static void append_commands(struct fm_text *out)
{
    fm_text_append(out,
        ".SH COMMANDS\n"
        "Each has a page of its own: that of \\fBtrain\\fR is \\fBfmnist\\-train\\fR(1).\n");
    for (const struct fm_command *command = fm_commands; command->name; command++) {
        fm_text_append(out, ".TP\n");
        append_font(out, 'B', command->name);
        if (command->operand) {
            fm_text_append(out, command->operand_required ? " " : " [");
            append_font(out, 'I', command->operand);
            fm_text_append(out, command->operand_required ? "" : "]");
        }
        fm_text_append(out, "\n");
        append_sentence(out, command->summary);
    }
    fm_text_append(out,
        ".SH OPTIONS\n"
        "These stand in the place of a command. The options of a command follow it, in\n"
        "full: \\fB\\-\\-name\\fR \\fIvalue\\fR or \\fB\\-\\-name=\\fIvalue\\fR, none of them "
        "twice unless its text says so.\n");
    append_entry(out, "--help",
        "Print the overview or, of a \\fICOMMAND\\fR behind it, what that does. \\fB\\-h\\fR does "
        "as well.");
    append_entry(out, "--version", "Print the version.");
}

static void append_exit_status(struct fm_text *out)
{
    fm_text_append(out, ".SH EXIT STATUS\n");
    append_entry(out, "0", "Success.");
    append_entry(out, "1", "Failure; the reason stands on standard error.");
    append_entry(out, "2", "Wrong usage.");
    append_entry(out, "3", "\\fBfmnist drift\\fR has found drift.");
    append_entry(out, "130", "A training was stopped by SIGINT (Ctrl+C), after a checkpoint.");
    append_entry(out, "143", "A training was stopped by SIGTERM, after a checkpoint.");
}

static void append_files(struct fm_text *out)
{
    fm_text_append(out, ".SH FILES\n");
    append_entry(out, "/usr/share/datasets/fashion-mnist/",
        "The four data files, as Debian\\(aqs package \\fBdataset\\-fashion\\-mnist\\fR installs "
        "them.\nLooked in last; see \\fBENVIRONMENT\\fR.");
    append_entry(out, "../share/fmnist/recipes/",
        "From the folder of the program: the recipes that come with fmnist,\n"
        "\\fINAME\\fR.json each. A recipe of one\\(aqs own is given as a path.");
    append_entry(out, "runs/",
        "In the working folder: a folder for each training, named after model and time\n"
        "unless an option says otherwise, and one for each comparison.");
    append_entry(out, "RUN/config.json", "What was asked for, written before data is read.");
    append_entry(out, "RUN/data.json", "What the data turned out to be.");
    append_entry(out, "RUN/compute.json", "What computes: build, device, threads, libraries.");
    append_entry(out, "RUN/log.jsonl", "A line of JSON for each epoch.");
    append_entry(out, "RUN/times.jsonl", "A line for each checkpoint: the time taken so far.");
    append_entry(out, "RUN/last.safetensors",
        "The newest checkpoint, from which a training "
        "goes on;\n\\fBprevious.safetensors\\fR is the "
        "one before it.");
    append_entry(out, "RUN/model.safetensors", "The weights that were kept.");
    append_entry(out, "RUN/events.out.tfevents",
        "With \\fB.0001.fmnist\\fR and so on behind it: what \\fB\\-\\-tensorboard\\fR writes.");
    append_entry(out, "RUN/result.json", "The figures, written last: with it, a run is finished.");
}

static void append_environment(struct fm_text *out)
{
    fm_text_append(out, ".SH ENVIRONMENT\n");
    append_entry(out, "FMNIST_DATA",
        "The folder of the data files, where \\fB\\-\\-data\\fR is not given. If set, no other "
        "place is\nlooked in.");
    append_entry(out, "XDG_DATA_HOME",
        "Without the former, the data files are looked for in its folder \\fBfmnist\\fR.");
    append_entry(out, "XDG_CACHE_HOME",
        "The implementations that were chosen for a GPU, and what pictures have been converted "
        "to,\nare kept in its folder \\fBfmnist\\fR.");
    append_entry(out, "HOME",
        "Without an absolute \\fBXDG_DATA_HOME\\fR they are looked for in "
        "\\fB.local/share/fmnist\\fR from here,\nand without an absolute \\fBXDG_CACHE_HOME\\fR "
        "that folder is \\fB.cache/fmnist\\fR.");
    append_entry(out, "OMP_WAIT_POLICY",
        "How OpenMP's threads wait for work, as its specification says. Unset, they spin for some "
        "tens of\nmicroseconds, which \\fBGOMP_SPINCOUNT\\fR changes, as libgomp's manual "
        "says.");
    append_entry(out, "FMNIST_MATRIX_UNIT",
        "\\fBoff\\fR: convolutions in bf16 are oneDNN's, which uses a processor's matrix unit "
        "(AMX), "
        "too.\n\\fBportable\\fR: fmnist's own kernels for the unit, spelled out in instructions "
        "that "
        "any processor\nhas, many times slower, as tests do. Unset, its own kernels, where the "
        "processor has the unit.\nAny other value is an error.");
    append_entry(out, "ONEDNN_JIT_PROFILE",
        "oneDNN tells profilers of the code that it generates for a processor, as its own manual "
        "says.\nUnset, none is looked for.");
    append_entry(out, "DNNL_JIT_PROFILE", "The former name of the same.");
}

static void append_examples(struct fm_text *out)
{
    fm_text_append(out, ".SH EXAMPLES\n");
    for (const struct fm_command *command = fm_commands; command->name; command++) {
        fm_text_append(out, ".TP\n");
        append_font(out, 'B', command->examples[0]);
        fm_text_append(out, "\n");
        append_sentence(out, command->summary);
    }
}

static void overview_page(struct fm_text *out)
{
    append_title(out, "fmnist", "train and evaluate convolutional networks on Fashion-MNIST");
    fm_text_append(out,
        ".SH SYNOPSIS\n"
        "\\fBfmnist\\fR \\fICOMMAND\\fR [\\fIoptions\\fR]\n"
        ".PP\n"
        "\\fBfmnist\\fR \\fB\\-\\-help\\fR [\\fICOMMAND\\fR] | \\fB\\-\\-version\\fR\n"
        ".SH DESCRIPTION\n"
        "Trains convolutional networks on the 28x28 grey images of Fashion\\-MNIST, evaluates\n"
        "what was trained, and compares the models with one another and with published\n"
        "figures.\n"
        ".PP\n"
        "Results go to standard output, everything else to standard error.\n");
    append_commands(out);
    append_exit_status(out);
    append_files(out);
    append_environment(out);
    append_examples(out);
    fm_text_append(out, ".SH SEE ALSO\n");
    for (const struct fm_command *command = fm_commands; command->name; command++) {
        fm_text_append(out, ".BR fmnist\\-");
        fm_manual_escape(out, command->name);
        fm_text_append(out, " (1)%s\n", command[1].name ? "," : "");
    }
}

// Where a line of running text is broken: the last space within the width before a character that
// is not special at the beginning of a line; the line's end if there is none.
static size_t break_at(const char *line, size_t length)
{
    size_t best = length;
    for (size_t i = 1; i + 1 < length && (i <= SOURCE_WIDTH || best == length); i++)
        if (line[i] == ' ' && !strchr(" .'", line[i + 1]))
            best = i;
    return best;
}

// Copies a page with its lines of running text broken to a width that is customary for the source
// of a page. Requests, a list's labels (each the line after .TP) and examples stay as they are.
static void append_folded(struct fm_text *out, const char *page)
{
    bool kept = false, label = false;
    while (*page) {
        size_t length = strcspn(page, "\n");
        bool request = *page == '.';
        if (request)
            kept = strncmp(page, ".nf", 3) == 0 || (kept && strncmp(page, ".fi", 3) != 0);
        while (!request && !kept && !label && length > SOURCE_WIDTH) {
            size_t end = break_at(page, length);
            if (end == length)
                break;
            fm_text_append_bytes(out, page, end);
            fm_text_append(out, "\n");
            page += end + 1;
            length -= end + 1;
        }
        fm_text_append_bytes(out, page, length);
        fm_text_append(out, "\n");
        label = strncmp(page, ".TP", 3) == 0;
        page += length;
        page += *page == '\n';
    }
}

static void fold_page(struct fm_text *page, struct fm_text *out)
{
    append_folded(out, fm_text_cstr(page));
    out->failed |= page->failed;
    fm_text_free(page);
}

void fm_manual_overview(struct fm_text *out)
{
    struct fm_text page = {0};
    overview_page(&page);
    fold_page(&page, out);
}

void fm_manual_command(const struct fm_command *command, struct fm_text *out)
{
    struct fm_text page = {0};
    command_page(command, &page);
    fold_page(&page, out);
}
