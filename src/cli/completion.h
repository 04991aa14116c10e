// Completion scripts for shells, generated from the tables that the parser reads. A script is
// complete in itself: it does not call fmnist.
#ifndef FM_CLI_COMPLETION_H
#define FM_CLI_COMPLETION_H

#include "cli/args.h"

enum fm_shell {
    FM_SHELL_BASH,
    FM_SHELL_ZSH,
    FM_SHELL_FISH,
};
extern const char *const fm_shell_names[]; // by enum fm_shell; ends with NULL

// `recipes`: the names of the shipped recipes; ends with NULL. One that holds anything but letters,
// digits, '.', '_' and '-' is left out: a script must not run what a file is called.
void fm_completion(enum fm_shell shell, const char *const *recipes, struct fm_text *out);

// A shell each; completion.c calls them.
void fm_completion_bash(const char *const *recipes, struct fm_text *out);
void fm_completion_zsh(const char *const *recipes, struct fm_text *out);
void fm_completion_fish(const char *const *recipes, struct fm_text *out);

// Words with a space between two.
void fm_completion_words(struct fm_text *out, const char *const *words);
// The commands' names, likewise.
void fm_completion_commands(struct fm_text *out);

#endif
