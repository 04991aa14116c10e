// What charts with two axes have in common.
#include "report/charts/plot.h"

#include <math.h>

enum {
    TICK_FONT = 12,
    LABEL_FONT = 13,
    TICK_GAP = 8 // between the axis and its ticks' texts
};

double fm_plot_left(const struct fm_plot *p, cairo_t *cr)
{
    double widest = 0;
    fm_set_font(cr, TICK_FONT, false);
    for (int i = 0; i < p->y.tick_count; i++)
        widest = fmax(widest, fm_text_width(cr, p->y.texts[i]));
    return FM_MARGIN + (p->y_label ? 22 : 0) + widest + TICK_GAP;
}

double fm_plot_x(const struct fm_plot *p, double value)
{
    return p->left + p->width * fm_scale_at(&p->x, value);
}

double fm_plot_y(const struct fm_plot *p, double value)
{
    return p->top + p->height * (1 - fm_scale_at(&p->y, value));
}

static bool within(double share)
{
    return share >= -1e-6 && share <= 1 + 1e-6;
}

bool fm_plot_holds(const struct fm_plot *p, double x, double y)
{
    return within(fm_scale_at(&p->x, x)) && within(fm_scale_at(&p->y, y));
}

static void draw_x_ticks(const struct fm_plot *p, cairo_t *cr)
{
    double free_from = -INFINITY, bottom = p->top + p->height;
    for (int i = 0; i < p->x.tick_count; i++) {
        double x = floor(fm_plot_x(p, p->x.ticks[i])) + 0.5;
        fm_set_colour(cr, fm_rule);
        cairo_move_to(cr, x, p->top);
        cairo_line_to(cr, x, bottom);
        cairo_stroke(cr);
        double half = fm_text_width(cr, p->x.texts[i]) / 2;
        if (fmin(x, p->left + p->width + FM_MARGIN - 4 - half) - half <
            free_from) // no room beside the text before
            continue;
        free_from = x + half + 6;
        fm_set_colour(cr, fm_faint);
        double last = p->left + p->width + FM_MARGIN - 4 - half; // or it would leave the picture
        fm_draw_text(cr, fmin(x, last), bottom + TICK_GAP + TICK_FONT, 0.5, p->x.texts[i]);
    }
}

static void draw_y_ticks(const struct fm_plot *p, cairo_t *cr)
{
    for (int i = 0; i < p->y.tick_count; i++) {
        double y = floor(fm_plot_y(p, p->y.ticks[i])) + 0.5;
        fm_set_colour(cr, fm_rule);
        cairo_move_to(cr, p->left, y);
        cairo_line_to(cr, p->left + p->width, y);
        cairo_stroke(cr);
        fm_set_colour(cr, fm_faint);
        fm_draw_text(cr, p->left - TICK_GAP, y + 0.36 * TICK_FONT, 1, p->y.texts[i]);
    }
}

static void draw_labels(const struct fm_plot *p, cairo_t *cr)
{
    char text[FM_LABEL_MAX];
    fm_set_font(cr, LABEL_FONT, false);
    fm_set_colour(cr, fm_ink);
    if (p->x_label) {
        fm_label_fit(cr, text, p->x_label, p->width);
        fm_draw_text(cr, p->left + p->width / 2, p->top + p->height + 44, 0.5, text);
    }
    if (!p->y_label)
        return;
    fm_label_fit(cr, text, p->y_label, p->height);
    cairo_save(cr);
    cairo_translate(cr, FM_MARGIN + 11, p->top + p->height / 2);
    cairo_rotate(cr, -1.5707963267948966);
    fm_draw_text(cr, 0, 0, 0.5, text);
    cairo_restore(cr);
}

void fm_plot_axes(const struct fm_plot *p, cairo_t *cr)
{
    cairo_set_line_width(cr, 1);
    fm_set_font(cr, TICK_FONT, false);
    draw_x_ticks(p, cr);
    draw_y_ticks(p, cr);
    fm_set_colour(cr, fm_faint);
    cairo_move_to(cr, floor(p->left) + 0.5, p->top);
    cairo_line_to(cr, floor(p->left) + 0.5, floor(p->top + p->height) + 0.5);
    cairo_line_to(cr, p->left + p->width, floor(p->top + p->height) + 0.5);
    cairo_stroke(cr);
    draw_labels(p, cr);
}

void fm_draw_marker(cairo_t *cr, int index, double x, double y, double r)
{
    static const int corners[FM_PALETTE_COLOURS] = {0, 4, 3, 4, 3, 6, 5};
    static const double turned[FM_PALETTE_COLOURS] = {
        0, 0.125, -0.25, 0, 0.25, 0, -0.25}; // turns of the first corner
    int kind = (int)((unsigned)index % FM_PALETTE_COLOURS);
    cairo_new_path(cr);
    if (corners[kind] == 0)
        cairo_arc(cr, x, y, r, 0, 6.283185307179586);
    for (int i = 0; i < corners[kind]; i++) {
        double angle = 6.283185307179586 * (turned[kind] + (double)i / corners[kind]);
        cairo_line_to(cr, x + 1.25 * r * cos(angle), y + 1.25 * r * sin(angle));
    }
    cairo_close_path(cr);
    cairo_fill(cr);
}
