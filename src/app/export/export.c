// Which files an export is made of, and where they go.
#include "app/export/export.h"

#include <stddef.h>

const char *const fm_export_format_names[] = {"onnx", "safetensors", "h5", NULL};

enum fm_status fm_export_run(
    const struct fm_export_options *options, struct fm_export_result *result)
{
    (void)result;
    return fm_fail(FM_UNSUPPORTED, "%s: not written yet", options->source);
}
