// `fmnist predict`: labels for pictures.
#include "cli/common.h"

enum fm_status fm_cmd_predict(const struct fm_args *args)
{
    return fm_fail(FM_UNSUPPORTED, "'%s' is not there yet", args->command->name);
}
