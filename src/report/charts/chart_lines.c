// Lines through points. The legend stands above the rectangle, never on the data.
#include "report/charts/chart.h"
#include "report/charts/plot.h"

#include <math.h>

enum {
    WIDTH = 800,
    PLOT_HEIGHT = 380,
    LEGEND_LINE = 22,
    SAMPLE = 34, // length of a line in the legend
    NAME_CODE_POINTS = 40
};

struct lines {
    const struct fm_line_chart *chart;
    struct fm_plot plot;
    struct fm_heading heading;
    long shown; // points
    double legend_height;
};

static bool is_point(const struct lines *l, const struct fm_series *s, int i)
{
    struct fm_extent ignored = {0};
    return fm_extent_add(&ignored, &l->chart->x, s->x[i]) &&
           fm_extent_add(&ignored, &l->chart->y, s->y[i]);
}

static void set_stroke(cairo_t *cr, const struct fm_series *s)
{
    static const double dashes[] = {7, 5};
    fm_set_colour(cr, fm_palette(s->colour));
    cairo_set_line_width(cr, 2);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_dash(cr, dashes, s->dashed ? 2 : 0, 0);
}

// A point with nothing to be joined to is a dot even where there are no markers.
static void draw_points(const struct lines *l, cairo_t *cr, const struct fm_series *s)
{
    for (int i = 0; i < s->count; i++) {
        if (!is_point(l, s, i) || !fm_plot_holds(&l->plot, s->x[i], s->y[i]))
            continue;
        bool alone = (i == 0 || !is_point(l, s, i - 1)) &&
                     (i + 1 == s->count || !is_point(l, s, i + 1));
        if (s->markers || alone)
            fm_draw_marker(
                cr, s->colour, fm_plot_x(&l->plot, s->x[i]), fm_plot_y(&l->plot, s->y[i]), 3.5);
    }
}

// Pixels far outside would overflow cairo's fixed-point numbers.
static double bounded(double pixel)
{
    return fmax(-100000, fmin(100000, pixel));
}

static void draw_series(const struct lines *l, cairo_t *cr, const struct fm_series *s)
{
    const struct fm_plot *p = &l->plot;
    cairo_save(cr);
    cairo_rectangle(cr, p->left, p->top - 1, p->width, p->height + 2);
    cairo_clip(cr);
    set_stroke(cr, s);
    bool joined = false;
    for (int i = 0; i < s->count; i++) {
        if (!is_point(l, s, i)) {
            joined = false;
            continue;
        }
        double x = bounded(fm_plot_x(p, s->x[i])), y = bounded(fm_plot_y(p, s->y[i]));
        if (joined)
            cairo_line_to(cr, x, y);
        else
            cairo_move_to(cr, x, y);
        joined = true;
    }
    cairo_stroke(cr);
    cairo_restore(cr);
    fm_set_colour(cr, fm_palette(s->colour));
    draw_points(l, cr, s);
}

static void draw_entry(cairo_t *cr, double x, double y, const struct fm_series *s, const char *name)
{
    cairo_save(cr);
    set_stroke(cr, s);
    cairo_move_to(cr, x, y - 4.5);
    cairo_rel_line_to(cr, SAMPLE, 0);
    cairo_stroke(cr);
    cairo_restore(cr);
    if (s->markers)
        fm_draw_marker(cr, s->colour, x + SAMPLE / 2.0, y - 4.5, 3.5);
    fm_set_colour(cr, fm_ink);
    fm_draw_text(cr, x + SAMPLE + 7, y, 0, name);
}

// As many entries a line as fit; returns the height. Only measures without `draw`.
static double legend(const struct lines *l, cairo_t *cr, double top, bool draw)
{
    double x = FM_MARGIN, y = top + 12;
    int named = 0;
    fm_set_font(cr, 13, false);
    for (int i = 0; i < l->chart->series_count; i++) {
        const struct fm_series *s = &l->chart->series[i];
        char name[FM_LABEL_MAX];
        fm_label(name, s->name, NAME_CODE_POINTS);
        if (!name[0])
            continue;
        double width = SAMPLE + 7 + fm_text_width(cr, name);
        if (x > FM_MARGIN && x + width > WIDTH - FM_MARGIN) {
            x = FM_MARGIN;
            y += LEGEND_LINE;
        }
        if (draw) {
            fm_set_colour(cr, fm_palette(s->colour));
            draw_entry(cr, x, y, s, name);
        }
        x += width + 24;
        named++;
    }
    return named ? y - top + 16 : 8;
}

static void draw(cairo_t *cr, const void *what)
{
    const struct lines *l = what;
    const struct fm_plot *p = &l->plot;
    fm_heading_draw(&l->heading, cr);
    legend(l, cr, l->heading.height, true);
    fm_plot_axes(p, cr);
    for (int i = 0; i < l->chart->series_count; i++)
        draw_series(l, cr, &l->chart->series[i]);
    if (l->shown == 0)
        fm_draw_nothing(cr, p->left, p->top, p->width, p->height, "There is nothing to draw.");
}

enum fm_status fm_chart_lines(const char *path, const struct fm_line_chart *chart)
{
    struct lines l = {.chart = chart};
    struct fm_plot *p = &l.plot;
    struct fm_extent x = {0}, y = {0};
    for (int i = 0; i < chart->series_count; i++) {
        const struct fm_series *s = &chart->series[i];
        for (int k = 0; k < s->count; k++)
            if (is_point(&l, s, k)) {
                fm_extent_add(&x, &chart->x, s->x[k]);
                fm_extent_add(&y, &chart->y, s->y[k]);
            }
    }
    l.shown = x.count;
    fm_scale_fit(&p->x, &chart->x, &x, NAN, NAN, 11, 0.03);
    fm_scale_fit(&p->y, &chart->y, &y, chart->y_low, chart->y_high, 8, 0);
    p->x_label = chart->x.label;
    p->y_label = chart->y.label;

    if (l.shown == 0)
        p->x.tick_count = p->y.tick_count = 0;

    cairo_t *ruler = fm_canvas_ruler();
    fm_heading_lay_out(&l.heading, ruler, chart->title, chart->subtitle, WIDTH);
    p->left = fm_plot_left(p, ruler);
    p->top = l.heading.height + legend(&l, ruler, l.heading.height, false);
    cairo_destroy(ruler);
    p->width = WIDTH - FM_MARGIN - p->left;
    p->height = PLOT_HEIGHT;
    return fm_canvas_draw(
        path, WIDTH, p->top + p->height + FM_PLOT_BELOW + FM_MARGIN / 2.0, draw, &l);
}
