// `fmnist export RUN`: a run's network for other programs.
#include "cli/common.h"

#include "app/export/export.h"
#include "base/log.h"

enum fm_status fm_cmd_export(const struct fm_args *args)
{
    const struct fm_export_options options = {.source = args->operand,
        .format = args->export_format,
        .directory = args->out,
        .triton = args->triton,
        .force = args->force};
    struct fm_export_result result;
    FM_TRY(fm_export_run(&options, &result));
    for (int i = 0; i < result.count; i++)
        fm_note("wrote %s", result.files[i]);
    return FM_OK;
}
