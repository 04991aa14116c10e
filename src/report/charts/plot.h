// A rectangle with two axes, and what is drawn in it.
#ifndef FM_REPORT_PLOT_H
#define FM_REPORT_PLOT_H

#include "report/charts/axis.h"
#include "report/charts/canvas.h"

struct fm_plot {
    double left, top, width, height; // of the rectangle, pixels
    struct fm_scale x, y;
    const char *x_label, *y_label; // may be NULL
};

enum {
    FM_PLOT_BELOW = 54 // pixels that the x axis takes below the rectangle
};

// Pixels left of the rectangle for the y axis and its label.
double fm_plot_left(const struct fm_plot *plot, cairo_t *cr);

double fm_plot_x(const struct fm_plot *plot, double value); // the pixel
double fm_plot_y(const struct fm_plot *plot, double value);
bool fm_plot_holds(const struct fm_plot *plot, double x, double y); // values

// The grid, the axes with their ticks, and their labels.
void fm_plot_axes(const struct fm_plot *plot, cairo_t *cr);

// Symbols that differ with the colour's index, so that colour is not the only sign. `radius` in
// pixels, of the colour that is set.
void fm_draw_marker(cairo_t *cr, int index, double x, double y, double radius);

#endif
