// Charts are a module (base/module.h) of their own: cairo brings a dozen libraries, and a command
// that draws nothing loads none of them.
#ifndef FM_REPORT_CHARTS_MODULE_H
#define FM_REPORT_CHARTS_MODULE_H

#include "report/charts/chart.h"

enum {
    FM_CHARTS_ABI = 2 // another one for any change of this file, chart.h or metrics.h
};
#define FM_CHARTS_ENTRY "fm_charts_module"

// The functions of chart.h, as the module has them.
struct fm_charts {
    uint32_t abi; // FM_CHARTS_ABI
    enum fm_status (*confusion)(const char *path, const struct fm_metrics *metrics,
        char *const *class_names, const char *title, bool shares);
    enum fm_status (*bars)(const char *path, const char *title, const char *const series[3],
        const struct fm_bar_group *groups, int group_count);
    enum fm_status (*lines)(const char *path, const struct fm_line_chart *chart);
    enum fm_status (*points)(const char *path, const struct fm_point_chart *chart);
    enum fm_status (*reliability)(
        const char *path, const struct fm_metrics *metrics, const char *title);
    enum fm_status (*pictures)(const char *path, const char *title,
        const struct fm_picture_cell *cells, int count, int columns);
    void (*library)(struct fm_library *library);
};

#endif
