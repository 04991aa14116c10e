// Charts drawn with cairo, by a module that the first one loads (charts_module.h): the functions
// here are in the library, where they load it, and once more in the module, where they draw.
//
// The end of a `path` says what is written: ".png" or ".svg" that file; anything else is a stem,
// and both <path>.png and <path>.svg are written, the same drawing. (A stem that ends in a name
// from outside could be taken for a file: then each file is named.) A file appears whole or not at
// all, in a folder that is there. Failures: FM_IO (it cannot be written), FM_MEMORY, and of the
// module FM_NOT_FOUND and FM_BACKEND. What is to be drawn never makes a chart fail: without data it
// says so in the picture, values that are not finite are left out, texts from outside are
// shortened, and what is not UTF-8 in them becomes '?'.
//
// Colours are Okabe and Ito's, told apart by people with any colour vision, on white. The same
// chart gives the same bytes on a machine (another machine's fonts give other bytes).
#ifndef FM_REPORT_CHART_H
#define FM_REPORT_CHART_H

#include "base/library.h"
#include "eval/metrics.h"

#include <stdbool.h>
#include <stdint.h>

// Loads the module: for who has long work to do before there is something to draw.
enum fm_status fm_charts_load(void);

void fm_charts_library(struct fm_library *library); // cairo, its version

// <stem><suffix>: where a chart drawn to a stem is. fm_chart_path(svg, stem, ".svg")
enum fm_status fm_chart_path(char out[], const char *stem, const char *suffix); // [FM_PATH_MAX]

// The confusion matrix: counts, or with `shares` percentages of the row, in the cells, shaded by
// row share, class names on both axes, title.
enum fm_status fm_chart_confusion(const char *path, const struct fm_metrics *metrics,
    char *const *class_names, const char *title, bool shares);

struct fm_bar_group {
    const char *name; // "deeper"
    double values[3]; // shares 0 to 1; NaN: no bar
};
// Grouped bars with values above them: the models of a comparison.
enum fm_status fm_chart_bars(const char *path, const char *title, const char *const series[3],
    const struct fm_bar_group *groups, int group_count);

enum fm_markers {
    FM_MARKERS_NONE,
    FM_MARKERS_ALL, // a symbol at each point
    FM_MARKERS_FEW, // at some of them, so that lines of many points are told apart without colours
};

struct fm_series {
    const char *name;
    const double *x, *y; // [count]; a point with a NaN is left out and parts the line
    int count;
    enum fm_markers markers;
    bool dashed;
    // Index into the palette; series of one colour belong together. A symbol goes with each, and
    // where the palette begins anew the line is another: 21 are told apart.
    int colour;
};

struct fm_axis {
    const char *label; // "images a second"
    bool log;          // values must be positive
    bool percent;      // values are shares, shown as percentages
};

// Lines through points; NaN low and high: the axis fits the data.
struct fm_line_chart {
    const char *title, *subtitle; // subtitle may be NULL
    struct fm_axis x, y;
    double y_low, y_high;
    const struct fm_series *series;
    int series_count;
};
enum fm_status fm_chart_lines(const char *path, const struct fm_line_chart *chart);

// Points with their names beside them.
struct fm_point {
    const char *name;
    double x, y;
};
struct fm_point_chart {
    const char *title, *subtitle;
    struct fm_axis x, y;
    const struct fm_point *points;
    int point_count;
};
enum fm_status fm_chart_points(const char *path, const struct fm_point_chart *chart);

// Reliability diagram (Guo et al. 2017): accuracy against confidence in the metrics' bins, the gap
// to the diagonal, the share of images in each bin, ECE.
enum fm_status fm_chart_reliability(
    const char *path, const struct fm_metrics *metrics, const char *title);

// 28x28 images in a grid, each with two lines of text under it; `wrong` ones are marked.
struct fm_picture_cell {
    const uint8_t *record;     // [28][28]
    const char *above, *below; // NULL: none
    bool wrong;
};
enum fm_status fm_chart_pictures(const char *path, const char *title,
    const struct fm_picture_cell *cells, int count, int columns);

#endif
