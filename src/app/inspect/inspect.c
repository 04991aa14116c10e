// What a weights file is.
#include "app/inspect/inspect.h"

enum fm_status fm_inspect(const char *path, enum fm_format format, struct fm_text *out)
{
    (void)format;
    (void)out;
    return fm_fail(FM_UNSUPPORTED, "%s: not read yet", path);
}
