#include "base/file.h"
#include "report/charts/chart.h"

#include <stdio.h>

enum fm_status fm_chart_path(char out[], const char *stem, const char *suffix)
{
    if (snprintf(out, FM_PATH_MAX, "%s%s", stem, suffix) >= FM_PATH_MAX)
        return fm_fail(FM_IO, "%s%s: the path is longer than %d bytes", stem, suffix, FM_PATH_MAX);
    return FM_OK;
}
