// The functions of chart.h as the library has them: each loads the module, which draws.
#include "report/charts/charts_module.h"

#include "base/module.h"

static enum fm_status load(const struct fm_charts **charts)
{
    static const struct fm_module_kind kind = {"module", FM_CHARTS_ENTRY, FM_CHARTS_ABI};
    const void *table = NULL;
    FM_TRY(fm_module_load(&kind, "charts", &table));
    *charts = table;
    return FM_OK;
}

enum fm_status fm_charts_load(void)
{
    const struct fm_charts *charts;
    return load(&charts);
}

enum fm_status fm_chart_confusion(const char *path, const struct fm_metrics *metrics,
    char *const *class_names, const char *title, bool shares)
{
    const struct fm_charts *charts;
    FM_TRY(load(&charts));
    return charts->confusion(path, metrics, class_names, title, shares);
}

enum fm_status fm_chart_bars(const char *path, const char *title, const char *const series[3],
    const struct fm_bar_group *groups, int group_count)
{
    const struct fm_charts *charts;
    FM_TRY(load(&charts));
    return charts->bars(path, title, series, groups, group_count);
}

enum fm_status fm_chart_lines(const char *path, const struct fm_line_chart *chart)
{
    const struct fm_charts *charts;
    FM_TRY(load(&charts));
    return charts->lines(path, chart);
}

enum fm_status fm_chart_points(const char *path, const struct fm_point_chart *chart)
{
    const struct fm_charts *charts;
    FM_TRY(load(&charts));
    return charts->points(path, chart);
}

enum fm_status fm_chart_reliability(
    const char *path, const struct fm_metrics *metrics, const char *title)
{
    const struct fm_charts *charts;
    FM_TRY(load(&charts));
    return charts->reliability(path, metrics, title);
}

enum fm_status fm_chart_pictures(const char *path, const char *title,
    const struct fm_picture_cell *cells, int count, int columns)
{
    const struct fm_charts *charts;
    FM_TRY(load(&charts));
    return charts->pictures(path, title, cells, count, columns);
}

void fm_charts_library(struct fm_library *library)
{
    const struct fm_charts *charts;
    enum fm_status status = load(&charts);
    if (status == FM_OK)
        charts->library(library);
    else
        fm_library_missing(library, "cairo", "draw charts", status);
}
