// `fmnist completion SHELL`.
#include "cli/common.h"
#include "cli/completion.h"

#include <string.h>

static enum fm_status parse_shell(const char *name, enum fm_shell *shell)
{
    for (int i = 0; fm_shell_names[i]; i++)
        if (strcmp(fm_shell_names[i], name) == 0) {
            *shell = (enum fm_shell)i;
            return FM_OK;
        }
    const char *nearest = fm_nearest_name(name, fm_shell_names);
    if (nearest)
        return fm_fail(FM_USAGE, "unknown shell '%s'; did you mean '%s'?", name, nearest);
    return fm_fail(FM_USAGE, "unknown shell '%s'; expected %s, %s or %s", name, fm_shell_names[0],
        fm_shell_names[1], fm_shell_names[2]);
}

enum fm_status fm_cmd_completion(const struct fm_args *args)
{
    enum fm_shell shell = FM_SHELL_BASH;
    char **recipes;
    struct fm_text text = {0};
    FM_TRY(parse_shell(args->operand, &shell));
    FM_TRY(fm_recipe_names(&recipes));
    fm_completion(shell, (const char *const *)recipes, &text);
    fm_recipe_names_free(recipes);
    return fm_print_text(&text);
}
