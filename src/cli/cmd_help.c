// `fmnist help [COMMAND]`.
#include "cli/common.h"

enum fm_status fm_cmd_help(const struct fm_args *args)
{
    struct fm_text text = {0};
    const struct fm_command *command = NULL;
    if (args->operand) {
        FM_TRY(fm_command_parse(args->operand, &command));
        fm_help_command(command, &text);
    } else {
        fm_help_overview(&text);
    }
    return fm_print_text(&text);
}
