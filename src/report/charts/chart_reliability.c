// Reliability diagram: how far the confidence of predictions can be believed. The gaps are those
// that the expected calibration error sums up: from a bin's accuracy to its mean confidence.
#include "base/text.h"
#include "report/charts/chart.h"
#include "report/charts/plot.h"

#include <math.h>
#include <stdio.h>

enum {
    WIDTH = 620,
    PLOT_SIDE = 400,
    SHARES_HEIGHT = 110, // of the plot below
    BETWEEN = 22,
    LEGEND_HEIGHT = 30,
    HATCH = 8 // pixels between two lines
};

struct reliability {
    const struct fm_metrics *metrics;
    struct fm_heading heading;
    struct fm_plot accuracy, shares;
    uint64_t count; // of predictions in bins
};

static const struct fm_axis percent = {.percent = true};
static const struct fm_colour bar = {0.34, 0.71, 0.91};

static void bin_values(
    const struct reliability *r, int b, double *accuracy, double *confidence, double *share)
{
    double count = (double)r->metrics->bins[b].count;
    *accuracy = (double)r->metrics->bins[b].correct / count;
    *confidence = r->metrics->bins[b].confidence / count;
    *share = count / (double)r->count;
}

// From `from` to `to` upwards, as wide as the bin with a little room.
static void bin_path(cairo_t *cr, const struct fm_plot *p, int bin, double from, double to)
{
    double left = fm_plot_x(p, (double)bin / FM_ECE_BINS);
    double right = fm_plot_x(p, (bin + 1.0) / FM_ECE_BINS);
    double y0 = fm_plot_y(p, fmax(from, to)), y1 = fm_plot_y(p, fmin(from, to));
    cairo_rectangle(cr, left + 1, y0, right - left - 2, y1 - y0);
}

// Hatched, so that a gap shows on paper, too.
static void fill_gap(cairo_t *cr)
{
    double x0, y0, x1, y1;
    cairo_path_extents(cr, &x0, &y0, &x1, &y1);
    cairo_set_source_rgb(cr, 0.98, 0.89, 0.82);
    cairo_fill(cr);
    fm_set_colour(cr, fm_alarm);
    cairo_set_line_width(cr, 1);
    double height = y1 - y0;
    for (double x = x0 - height + HATCH / 2.0; x < x1; x += HATCH) {
        double from = fmax(0, x0 - x), to = fmin(height, x1 - x); // along the line
        cairo_move_to(cr, x + from, y1 - from);
        cairo_line_to(cr, x + to, y1 - to);
    }
    if (height > 1 && x1 - x0 > 1)
        cairo_rectangle(cr, x0 + 0.5, y0 + 0.5, x1 - x0 - 1, height - 1);
    cairo_stroke(cr);
}

// The end of a bar, which a gap upwards looks like, too.
static void draw_accuracy(cairo_t *cr, const struct fm_plot *p, int bin, double accuracy)
{
    fm_set_colour(cr, fm_palette(0));
    cairo_set_line_width(cr, 3);
    cairo_move_to(cr, fm_plot_x(p, (double)bin / FM_ECE_BINS) + 1, fm_plot_y(p, accuracy));
    cairo_line_to(cr, fm_plot_x(p, (bin + 1.0) / FM_ECE_BINS) - 1, fm_plot_y(p, accuracy));
    cairo_stroke(cr);
}

static void draw_bins(const struct reliability *r, cairo_t *cr)
{
    for (int b = 0; b < FM_ECE_BINS; b++) {
        double accuracy, confidence, share;
        if (r->metrics->bins[b].count == 0)
            continue;
        bin_values(r, b, &accuracy, &confidence, &share);
        fm_set_colour(cr, bar);
        bin_path(cr, &r->accuracy, b, 0, accuracy);
        cairo_fill(cr);
        bin_path(cr, &r->accuracy, b, accuracy, confidence);
        fill_gap(cr);
        draw_accuracy(cr, &r->accuracy, b, accuracy);
        fm_set_colour(cr, fm_palette(0));
        bin_path(cr, &r->shares, b, 0, share);
        cairo_fill(cr);
    }
}

static void draw_diagonal(const struct fm_plot *p, cairo_t *cr)
{
    static const double dashes[] = {5, 4};
    cairo_save(cr);
    fm_set_colour(cr, fm_ink);
    cairo_set_line_width(cr, 1.3);
    cairo_set_dash(cr, dashes, 2, 0);
    cairo_move_to(cr, fm_plot_x(p, 0), fm_plot_y(p, 0));
    cairo_line_to(cr, fm_plot_x(p, 1), fm_plot_y(p, 1));
    cairo_stroke(cr);
    cairo_restore(cr);
}

static void draw_legend(cairo_t *cr, double y)
{
    double x = FM_MARGIN;
    fm_set_font(cr, 13, false);
    fm_set_colour(cr, bar);
    cairo_rectangle(cr, x, y - 11, 13, 13);
    cairo_fill(cr);
    fm_set_colour(cr, fm_palette(0));
    cairo_rectangle(cr, x, y - 12, 13, 3);
    cairo_fill(cr);
    fm_set_colour(cr, fm_ink);
    fm_draw_text(cr, x + 20, y, 0, "accuracy of a bin");
    x += 20 + fm_text_width(cr, "accuracy of a bin") + 24;
    cairo_rectangle(cr, x, y - 11, 13, 13);
    fill_gap(cr);
    fm_set_colour(cr, fm_ink);
    fm_draw_text(cr, x + 20, y, 0, "gap to its mean confidence");
    x += 20 + fm_text_width(cr, "gap to its mean confidence") + 24;
    static const double dashes[] = {5, 4};
    cairo_save(cr);
    cairo_set_dash(cr, dashes, 2, 0);
    cairo_set_line_width(cr, 1.3);
    cairo_move_to(cr, x, y - 4.5);
    cairo_rel_line_to(cr, 30, 0);
    cairo_stroke(cr);
    cairo_restore(cr);
    fm_draw_text(cr, x + 37, y, 0, "as it should be");
}

static void draw(cairo_t *cr, const void *what)
{
    const struct reliability *r = what;
    const struct fm_plot *p = &r->accuracy;
    fm_heading_draw(&r->heading, cr);
    if (r->count == 0) {
        fm_draw_nothing(cr, p->left, p->top, p->width, p->height, "There is nothing to draw.");
        return;
    }
    draw_legend(cr, r->heading.height + 10);
    fm_plot_axes(p, cr);
    fm_plot_axes(&r->shares, cr);
    draw_bins(r, cr);
    draw_diagonal(p, cr);
}

static void lay_out(struct reliability *r, cairo_t *cr, const char *title)
{
    const struct fm_metrics *m = r->metrics;
    const struct fm_extent whole = {.count = 2, .low = 0, .high = 1, .fractions = true};
    struct fm_extent shares = {0};
    fm_extent_add(&shares, &percent, 0);
    for (int b = 0; b < FM_ECE_BINS; b++)
        r->count += m->bins[b].count;
    for (int b = 0; b < FM_ECE_BINS && r->count; b++)
        fm_extent_add(&shares, &percent, (double)m->bins[b].count / (double)r->count);

    char text[192], digits[32];
    if (r->count == 0)
        snprintf(text, sizeof text, "No confidences are known.");
    else
        snprintf(text, sizeof text,
            "%s images, %.2f %% right. Expected calibration error (ECE, %d bins): %.2f %%",
            fm_group_digits((int64_t)r->count, digits), 100 * m->accuracy, FM_ECE_BINS,
            100 * m->ece);
    fm_heading_lay_out(&r->heading, cr, title, text, WIDTH);

    struct fm_plot *p = &r->accuracy, *q = &r->shares;
    fm_scale_fit(&p->x, &percent, &whole, 0, 1, 10, 0);
    p->y = p->x;
    q->x = p->x;
    fm_scale_fit(&q->y, &percent, &shares, 0, NAN, 3, 0);
    p->y_label = "accuracy";
    q->y_label = "share of images";
    q->x_label = "confidence";
    p->left = q->left = fmax(fm_plot_left(p, cr), fm_plot_left(q, cr));
    p->width = q->width = WIDTH - FM_MARGIN - p->left;
    p->top = r->heading.height + LEGEND_HEIGHT;
    p->height = PLOT_SIDE;
    q->top = p->top + p->height + BETWEEN + 12;
    q->height = SHARES_HEIGHT;
}

enum fm_status fm_chart_reliability(
    const char *path, const struct fm_metrics *metrics, const char *title)
{
    struct reliability r = {.metrics = metrics};
    cairo_t *ruler = fm_canvas_ruler();
    lay_out(&r, ruler, title);
    cairo_destroy(ruler);
    return fm_canvas_draw(
        path, WIDTH, r.shares.top + r.shares.height + FM_PLOT_BELOW + FM_MARGIN / 2.0, draw, &r);
}
