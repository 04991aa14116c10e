// What the completion scripts of all shells share.
#include "cli/completion.h"

#include <stddef.h>
#include <string.h>

enum {
    RECIPES_MAX = 64
};

const char *const fm_shell_names[] = {
    [FM_SHELL_BASH] = "bash", [FM_SHELL_ZSH] = "zsh", [FM_SHELL_FISH] = "fish", NULL};

void fm_completion_words(struct fm_text *out, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        fm_text_append(out, "%s%s", i ? " " : "", words[i]);
}

void fm_completion_commands(struct fm_text *out)
{
    for (const struct fm_command *command = fm_commands; command->name; command++)
        fm_text_append(out, "%s%s", command == fm_commands ? "" : " ", command->name);
}

static bool is_plain(const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    return name[0] != '-' && name[0] != '\0' && name[strspn(name, plain)] == '\0';
}

void fm_completion(enum fm_shell shell, const char *const *recipes, struct fm_text *out)
{
    const char *names[RECIPES_MAX + 1];
    int count = 0;
    for (int i = 0; recipes[i] && count < RECIPES_MAX; i++)
        if (is_plain(recipes[i]))
            names[count++] = recipes[i];
    names[count] = NULL;
    switch (shell) {
    case FM_SHELL_BASH:
        fm_completion_bash(names, out);
        break;
    case FM_SHELL_ZSH:
        fm_completion_zsh(names, out);
        break;
    case FM_SHELL_FISH:
        fm_completion_fish(names, out);
        break;
    }
}
