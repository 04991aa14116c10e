// Charts drawn with cairo, written as PNG (whole or not at all).
#ifndef FM_REPORT_CHART_H
#define FM_REPORT_CHART_H

#include "eval/metrics.h"

// The confusion matrix: counts in the cells, shaded by row share, class names on both axes, title.
enum fm_status fm_chart_confusion(const char *path, const struct fm_metrics *metrics,
    char *const *class_names, const char *title);

struct fm_bar_group {
    const char *name; // "deeper"
    double values[3]; // shares 0 to 1; NaN: no bar
};
// Grouped bars with values above them: the models of a comparison.
enum fm_status fm_chart_bars(const char *path, const char *title, const char *const series[3],
    const struct fm_bar_group *groups, int group_count);

#endif
