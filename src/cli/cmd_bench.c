// `fmnist bench`: what a model costs.
#include "cli/common.h"

enum fm_status fm_cmd_bench(const struct fm_args *args)
{
    return fm_fail(FM_UNSUPPORTED, "'%s' is not there yet", args->command->name);
}
