// Written next.
#include "net/formats/formats.h"

enum fm_status fm_pytorch_write(const char *path, const struct fm_format_model *model)
{
    (void)model;
    return fm_fail(FM_UNSUPPORTED, "%s: not written yet", path);
}
