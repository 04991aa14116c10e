// The module's one exported symbol: the charts.
#include "report/charts/charts_module.h"

#include "base/module.h"

#include <cairo.h>
#include <stdio.h>

void fm_charts_library(struct fm_library *library)
{
    *library = (struct fm_library){.name = "cairo", .compiled = CAIRO_VERSION_STRING};
    snprintf(library->found, sizeof library->found, "%s", cairo_version_string());
}

static const struct fm_charts table = {
    .abi = FM_CHARTS_ABI,
    .confusion = fm_chart_confusion,
    .bars = fm_chart_bars,
    .lines = fm_chart_lines,
    .points = fm_chart_points,
    .reliability = fm_chart_reliability,
    .pictures = fm_chart_pictures,
    .library = fm_charts_library,
};

// Named by FM_CHARTS_ENTRY; visible although everything else of the module is hidden.
__attribute__((visibility("default"))) fm_module_entry fm_charts_module;

const void *fm_charts_module(const struct fm_module_host *host)
{
    return fm_module_join(host, FM_CHARTS_ABI) ? &table : NULL;
}
