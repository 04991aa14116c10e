// Written next.
#include "net/formats/formats.h"

enum fm_status fm_triton_write(
    const char *path, const struct fm_format_model *model, const char *name, int batch_max)
{
    (void)model;
    (void)name;
    (void)batch_max;
    return fm_fail(FM_UNSUPPORTED, "%s: not written yet", path);
}
