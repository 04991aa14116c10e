// `fmnist label`: labels that are sure, and the rest for people.
#include "cli/common.h"

enum fm_status fm_cmd_label(const struct fm_args *args)
{
    return fm_fail(FM_UNSUPPORTED, "'%s' is not there yet", args->command->name);
}
