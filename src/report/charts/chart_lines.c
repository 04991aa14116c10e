// Lines through points. The legend stands above the rectangle, never on the data.
#include "report/charts/chart.h"
#include "report/charts/plot.h"

#include <math.h>

enum {
    WIDTH = 800,
    PLOT_HEIGHT = 380,
    LEGEND_LINE = 22,
    SAMPLE = 46, // length of a line in the legend
    NAME_CODE_POINTS = 40,
    ROUNDS = 3,  // of the palette, which lines are told apart in
    APART = 110, // pixels between two symbols of FM_MARKERS_FEW
    DASHES = 6   // numbers of a pattern, at most
};
static const double radius = 4;
static const struct fm_colour white = {1, 1, 1};

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

// Where the palette begins anew lines are drawn in another way, dashed ones and the others.
static void set_stroke(cairo_t *cr, const struct fm_series *s)
{
    static const struct {
        int count;
        double lengths[DASHES]; // on, off, ...
    } patterns[2][ROUNDS] = {
        {{0, {0}}, {2, {12, 5}}, {2, {2.5, 3.5}}},
        {{2, {7, 5}}, {4, {13, 4, 3, 4}}, {6, {9, 4, 3, 4, 3, 4}}},
    };
    int round = (int)((unsigned)s->colour / FM_PALETTE_COLOURS % ROUNDS);
    fm_set_colour(cr, fm_palette(s->colour));
    cairo_set_line_width(cr, 2);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_dash(cr, patterns[s->dashed][round].lengths, patterns[s->dashed][round].count, 0);
}

// Where the first of a line's few symbols stands: those of several lines beside one another.
static double first_of_few(const struct fm_series *s)
{
    return APART * fmod(0.618 * (double)((unsigned)s->colour % 1000), 1);
}

// On the line that it belongs to and those below it.
static void draw_symbol(cairo_t *cr, const struct fm_series *s, double x, double y)
{
    fm_set_colour(cr, white);
    fm_draw_marker(cr, s->colour, x, y, radius + 1.2);
    fm_set_colour(cr, fm_palette(s->colour));
    fm_draw_marker(cr, s->colour, x, y, radius);
}

// A point with nothing to be joined to has a symbol in any case, and so has the last one of a line
// that is too short for its few.
static void draw_points(const struct lines *l, cairo_t *cr, const struct fm_series *s)
{
    const struct fm_plot *p = &l->plot;
    double next = NAN, x = NAN, y = NAN;
    int drawn = 0;
    for (int i = 0; i < s->count; i++) {
        if (!is_point(l, s, i) || !fm_plot_holds(p, s->x[i], s->y[i]))
            continue;
        x = fm_plot_x(p, s->x[i]);
        y = fm_plot_y(p, s->y[i]);
        if (isnan(next))
            next = x + first_of_few(s);
        bool alone = (i == 0 || !is_point(l, s, i - 1)) &&
                     (i + 1 == s->count || !is_point(l, s, i + 1));
        bool few = s->markers == FM_MARKERS_FEW && x >= next;
        if (few)
            next += APART * (1 + floor((x - next) / APART));
        if (!few && !alone && s->markers != FM_MARKERS_ALL)
            continue;
        draw_symbol(cr, s, x, y);
        drawn++;
    }
    if (s->markers == FM_MARKERS_FEW && drawn == 0 && !isnan(next))
        draw_symbol(cr, s, x, y);
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
    if (s->markers != FM_MARKERS_NONE)
        draw_symbol(cr, s, x + SAMPLE / 2.0, y - 4.5);
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
        if (draw)
            draw_entry(cr, x, y, s, name);
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
