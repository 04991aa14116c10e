// `fmnist drift`: whether new images are still like the training set.
#include "cli/common.h"

enum fm_status fm_cmd_drift(const struct fm_args *args)
{
    return fm_fail(FM_UNSUPPORTED, "'%s' is not there yet", args->command->name);
}
