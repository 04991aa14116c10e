// The options of a command as a user meets them: those of its tables, the values of a recipe where
// it takes them, and --help, in one form. The man pages and the completion of the shells are
// generated from it, so that neither can drift from what the parser takes.
#ifndef FM_CLI_FLAGS_H
#define FM_CLI_FLAGS_H

#include "cli/args.h"

#include <stdbool.h>

// What is known of an option's value, or of an operand.
enum fm_value_kind {
    FM_VALUE_NONE,    // there is no value
    FM_VALUE_FREE,    // a number or a text
    FM_VALUE_WORD,    // one of `words`
    FM_VALUE_WORDS,   // some of `words`, separated by commas
    FM_VALUE_FILE,    // a path
    FM_VALUE_DIR,     // the path of a folder
    FM_VALUE_RECIPE,  // the name of a recipe, or the path of its file
    FM_VALUE_COMMAND, // the name of one of fm_commands
};

struct fm_flag {
    const char *name;  // "max-minutes"
    const char *value; // what documents call the value: "M"; NULL for FM_VALUE_NONE
    const char *help;
    char letter; // fm_option_letter()
    enum fm_value_kind kind;
    const char *const *words; // ends with NULL; NULL for the kinds without
    double min, max;          // a number's bounds; both 0: no number, or none worth telling
    bool recipe;              // a value of the recipe
    bool repeats;             // may be given several times
};

enum {
    FM_FLAGS_MAX = 128
};

// The options of a command in the order of help; returns how many there are, at most FM_FLAGS_MAX.
// Strings belong to the tables.
int fm_flags_list(const struct fm_command *command, struct fm_flag flags[FM_FLAGS_MAX]);

// The operand of a command as a flag without `name` and `help`; FM_VALUE_NONE if it takes none.
struct fm_flag fm_flags_operand(const struct fm_command *command);
// Those behind the first, of a command that takes several; FM_VALUE_NONE if it does not.
struct fm_flag fm_flags_more(const struct fm_command *command);

#endif
