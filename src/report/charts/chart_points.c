// Points with names: each name takes the place near its point where it covers least of other names
// and points.
#include "report/charts/chart.h"
#include "report/charts/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    WIDTH = 800,
    PLOT_HEIGHT = 420,
    NAME_FONT = 13,
    NAME_CODE_POINTS = 32,
    RADIUS = 5 // of a point
};

struct box {
    double left, top, right, bottom;
};

struct name {
    double x, y; // of the point, pixels
    struct box box;
    bool placed; // false: it would cover something
    bool far;    // a line leads to the point
    char text[FM_LABEL_MAX];
};

struct points {
    const struct fm_point_chart *chart;
    struct fm_plot plot;
    struct fm_heading heading;
    struct name *names; // [count] of the points that can be shown
    int count, left_out;
};

static double overlap(const struct box *a, const struct box *b)
{
    double w = fmin(a->right, b->right) - fmax(a->left, b->left);
    double h = fmin(a->bottom, b->bottom) - fmax(a->top, b->top);
    return w > 0 && h > 0 ? w * h : 0;
}

// Square pixels that a name in `box` would cover: of points, of names placed already, and outside
// the rectangle.
static double covered(const struct points *p, int self, const struct box *box)
{
    double sum = 0;
    for (int i = 0; i < p->count; i++) {
        const struct name *n = &p->names[i];
        struct box point = {
            n->x - RADIUS - 1, n->y - RADIUS - 1, n->x + RADIUS + 1, n->y + RADIUS + 1};
        sum += overlap(box, &point);
        if (i != self && n->placed)
            sum += overlap(box, &n->box);
    }
    const struct fm_plot *f = &p->plot;
    struct box frame = {f->left + 2, f->top + 2, f->left + f->width - 2, f->top + f->height - 2};
    double area = (box->right - box->left) * (box->bottom - box->top);
    return sum + area - overlap(box, &frame);
}

// Right, left, above, below and between, first beside the point, then further away.
static void place(struct points *p, cairo_t *cr, int self)
{
    static const double ways[8][2] = {
        {1, 0}, {-1, 0}, {0, -1}, {0, 1}, {1, -1}, {1, 1}, {-1, -1}, {-1, 1}};
    struct name *n = &p->names[self];
    double w = fm_text_width(cr, n->text), h = NAME_FONT + 3;
    for (int ring = 0; ring < 6 && !n->placed; ring++) {
        double away = RADIUS + 4 + 16 * ring;
        for (int i = 0; i < 8 && !n->placed; i++) {
            double dx = ways[i][0], dy = ways[i][1];
            double slope = dx != 0 && dy != 0 ? 0.7 : 1;
            double cx = n->x + dx * (slope * away + w / 2);
            double cy = n->y + dy * (slope * away + h / 2);
            n->box = (struct box){cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2};
            n->placed = covered(p, self, &n->box) < 1;
            n->far = ring > 0;
        }
    }
    p->left_out += !n->placed;
}

// The point of the box that is nearest to the name's point.
static void draw_leader(cairo_t *cr, const struct name *n)
{
    fm_set_colour(cr, fm_faint);
    cairo_set_line_width(cr, 0.8);
    cairo_move_to(cr, n->x, n->y);
    cairo_line_to(cr, fmax(n->box.left, fmin(n->box.right, n->x)),
        fmax(n->box.top + 2, fmin(n->box.bottom - 2, n->y)));
    cairo_stroke(cr);
}

static void draw(cairo_t *cr, const void *what)
{
    const struct points *p = what;
    const struct fm_plot *f = &p->plot;
    fm_heading_draw(&p->heading, cr);
    fm_plot_axes(f, cr);
    for (int i = 0; i < p->count; i++)
        if (p->names[i].placed && p->names[i].far)
            draw_leader(cr, &p->names[i]);
    for (int i = 0; i < p->count; i++) {
        fm_set_colour(cr, fm_palette(0));
        fm_draw_marker(cr, 0, p->names[i].x, p->names[i].y, RADIUS);
    }
    fm_set_font(cr, NAME_FONT, false);
    fm_set_colour(cr, fm_ink);
    for (int i = 0; i < p->count; i++)
        if (p->names[i].placed)
            fm_draw_text(cr, p->names[i].box.left, p->names[i].box.bottom - 4, 0, p->names[i].text);
    if (p->count == 0)
        fm_draw_nothing(cr, f->left, f->top, f->width, f->height, "There is nothing to draw.");
    if (p->left_out > 0) {
        char said[96];
        snprintf(said, sizeof said, "%d of %d names are left out: there is no room for them.",
            p->left_out, p->count);
        fm_set_font(cr, 12, false);
        fm_set_colour(cr, fm_faint);
        fm_draw_text(cr, FM_MARGIN, f->top + f->height + FM_PLOT_BELOW + 14, 0, said);
    }
}

static bool is_shown(const struct fm_point_chart *chart, int i)
{
    struct fm_extent ignored = {0};
    return fm_extent_add(&ignored, &chart->x, chart->points[i].x) &&
           fm_extent_add(&ignored, &chart->y, chart->points[i].y);
}

static void lay_out(struct points *p, cairo_t *cr)
{
    const struct fm_point_chart *chart = p->chart;
    struct fm_plot *f = &p->plot;
    struct fm_extent x = {0}, y = {0};
    for (int i = 0; i < chart->point_count; i++)
        if (is_shown(chart, i)) {
            fm_extent_add(&x, &chart->x, chart->points[i].x);
            fm_extent_add(&y, &chart->y, chart->points[i].y);
        }
    fm_scale_fit(&f->x, &chart->x, &x, NAN, NAN, 10, 0.07);
    fm_scale_fit(&f->y, &chart->y, &y, NAN, NAN, 8, 0.07);
    if (x.count == 0)
        f->x.tick_count = f->y.tick_count = 0;
    f->x_label = chart->x.label;
    f->y_label = chart->y.label;
    fm_heading_lay_out(&p->heading, cr, chart->title, chart->subtitle, WIDTH);
    f->left = fm_plot_left(f, cr);
    f->top = p->heading.height + 8;
    f->width = WIDTH - FM_MARGIN - f->left;
    f->height = PLOT_HEIGHT;

    for (int i = 0; i < chart->point_count; i++) {
        if (!is_shown(chart, i))
            continue;
        struct name *n = &p->names[p->count++];
        fm_label(n->text, chart->points[i].name, NAME_CODE_POINTS);
        n->x = fm_plot_x(f, chart->points[i].x);
        n->y = fm_plot_y(f, chart->points[i].y);
    }
    fm_set_font(cr, NAME_FONT, false);
    for (int i = 0; i < p->count; i++)
        place(p, cr, i);
}

enum fm_status fm_chart_points(const char *path, const struct fm_point_chart *chart)
{
    struct points p = {.chart = chart};
    size_t count = (size_t)(chart->point_count > 0 ? chart->point_count : 0);
    p.names = calloc(count + 1, sizeof *p.names);
    if (!p.names)
        return fm_fail_memory("the names of points", (count + 1) * sizeof *p.names);
    cairo_t *ruler = fm_canvas_ruler();
    lay_out(&p, ruler);
    cairo_destroy(ruler);
    enum fm_status status = fm_canvas_draw(
        path, WIDTH, p.plot.top + p.plot.height + FM_PLOT_BELOW + FM_MARGIN, draw, &p);
    free(p.names);
    return status;
}
