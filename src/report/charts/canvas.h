// What all charts are made with: surfaces that become PNG and SVG files, text, colours.
//
// A chart is laid out first, with fm_canvas_ruler() to measure its texts, and then drawn by a
// function that fm_canvas_draw() calls once for each file. Text is laid out without hinting, so
// that both files have the same layout. Nothing here fails by what is drawn: strings are made
// harmless by the label functions, and a drawing too large for cairo is scaled down.
#ifndef FM_REPORT_CANVAS_H
#define FM_REPORT_CANVAS_H

#include "base/status.h"

#include <cairo.h>
#include <stdbool.h>

enum {
    FM_LABEL_MAX = 512, // bytes of a label, cleaned and shortened
    FM_MARGIN = 24      // pixels around a chart
};

struct fm_colour {
    double r, g, b;
};
extern const struct fm_colour fm_ink, fm_faint, fm_rule, fm_alarm; // text, axes, grid, wrong

// Okabe and Ito's colours ("Color Universal Design", 2008) in an order in which neighbours differ
// most; without their yellow, which is hard to see on white. Any index: they repeat.
enum {
    FM_PALETTE_COLOURS = 7
};
struct fm_colour fm_palette(int index);

void fm_set_colour(cairo_t *cr, struct fm_colour c);
void fm_set_font(cairo_t *cr, double size, bool bold);
double fm_text_width(cairo_t *cr, const char *text); // in the font that is set, pixels

// Draws `text` with its baseline at y; `align` 0 starts at x, 0.5 is centred on it, 1 ends there.
void fm_draw_text(cairo_t *cr, double x, double y, double align, const char *text);

// Cairo refuses a whole drawing for one malformed string, so what is not UTF-8 becomes '?', and so
// do control characters. More than `most` code points are cut, with an ellipsis. NULL gives "".
void fm_label(char out[FM_LABEL_MAX], const char *text, int most);
// The same, shortened until it is at most `width` pixels wide in the font that is set.
void fm_label_fit(cairo_t *cr, char out[FM_LABEL_MAX], const char *text, double width);

// A title and what stands under it, both broken into lines.
enum {
    FM_TITLE_LINES = 2,
    FM_SUBTITLE_LINES = 3
};
struct fm_heading {
    int title_lines, subtitle_lines;
    char title[FM_TITLE_LINES][FM_LABEL_MAX], subtitle[FM_SUBTITLE_LINES][FM_LABEL_MAX];
    double height; // from the top of the picture to where the chart may begin
};
// `width` of the whole picture; NULL or "" for what there is not.
void fm_heading_lay_out(
    struct fm_heading *h, cairo_t *cr, const char *title, const char *subtitle, double width);
void fm_heading_draw(const struct fm_heading *h, cairo_t *cr);

// A sentence in the middle of a rectangle, for charts without data.
void fm_draw_nothing(
    cairo_t *cr, double left, double top, double width, double height, const char *why);

// Each pixel of an image becomes a square with sides of `scale` pixels, with sharp edges.
void fm_draw_image(cairo_t *cr, cairo_surface_t *image, double left, double top, double scale);

// Something to measure text with; end with cairo_destroy().
cairo_t *fm_canvas_ruler(void);

// Draws `what` by `draw` on white, `width` x `height` pixels, into the file or files that
// chart.h says of `path`.
typedef void fm_draw_function(cairo_t *cr, const void *what);
enum fm_status fm_canvas_draw(
    const char *path, double width, double height, fm_draw_function *draw, const void *what);

#endif
