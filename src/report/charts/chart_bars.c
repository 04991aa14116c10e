// Grouped bars of shares: few and wide, each with its value above it, so that nobody measures with
// a ruler.
#include "report/charts/canvas.h"
#include "report/charts/chart.h"

#include <math.h>
#include <stdio.h>

enum {
    SERIES = 3,
    GROUPS_MAX = 60, // more would be too small to read
    PLOT_HEIGHT = 320,
    GROUP_WIDTH = 190,
    BAR_WIDTH = 46
};

struct bars {
    const char *const *series;
    const struct fm_bar_group *groups;
    int group_count; // that are drawn
    char said[192];
    struct fm_heading heading;
    double left, top, width, height; // of the plot
    double low, step;                // the axis goes from `low` to 1
};

// Okabe and Ito's colours again, those that are light enough for areas.
static const struct fm_colour series_colours[SERIES] = {
    {0.34, 0.71, 0.91}, {0.90, 0.62, 0.00}, {0.00, 0.62, 0.45}};

// Shares above a half are drawn on an axis that starts at the multiple of 5 % below the lowest bar
// with room to spare; otherwise differences of a point would be invisible.
static bool choose_axis(struct bars *b)
{
    double lowest = 1;
    bool any = false;
    for (int g = 0; g < b->group_count; g++)
        for (int s = 0; s < SERIES; s++)
            if (isfinite(b->groups[g].values[s])) {
                lowest = fmin(lowest, b->groups[g].values[s]);
                any = true;
            }
    b->low = any && lowest > 0.5 ? floor((lowest - 0.03) * 20) / 20 : 0;
    double range = 1 - b->low;
    b->step = range < 0.11 ? 0.01 : range < 0.16 ? 0.025 : range < 0.51 ? 0.05 : 0.1;
    return any;
}

static double bar_y(const struct bars *b, double value)
{
    return b->top + b->height * (1 - (value - b->low) / (1 - b->low));
}

static void draw_axis(const struct bars *b, cairo_t *cr)
{
    int steps = (int)lround((1 - b->low) / b->step);
    cairo_set_line_width(cr, 1);
    fm_set_font(cr, 12, false);
    for (int i = 0; i <= steps; i++) {
        double value = b->low + i * b->step, y = floor(bar_y(b, value)) + 0.5;
        char text[16];
        snprintf(text, sizeof text, "%.*f %%", b->step == 0.025, 100 * value);
        fm_set_colour(cr, i == 0 ? fm_faint : fm_rule);
        cairo_move_to(cr, b->left, y);
        cairo_rel_line_to(cr, b->width, 0);
        cairo_stroke(cr);
        fm_set_colour(cr, fm_faint);
        fm_draw_text(cr, b->left - 8, y + 4, 1, text);
    }
}

static void draw_bar(const struct bars *b, cairo_t *cr, double x, int series, double value)
{
    double y = bar_y(b, fmin(1, fmax(b->low, value)));
    fm_set_colour(cr, series_colours[series]);
    cairo_rectangle(cr, x + 2, y, BAR_WIDTH - 4, b->top + b->height - y);
    cairo_fill(cr);
    char text[32];
    snprintf(text, sizeof text, fabs(value) < 10 ? "%.1f" : "%.1e", 100 * value);
    cairo_set_source_rgb(cr, 1, 1, 1); // no line of the axis through the figure
    cairo_rectangle(cr, x + 4, y - 17, BAR_WIDTH - 8, 15);
    cairo_fill(cr);
    fm_set_colour(cr, fm_ink);
    fm_set_font(cr, 13, false);
    fm_draw_text(cr, x + BAR_WIDTH / 2.0, y - 5, 0.5, text);
}

static void draw_group(const struct bars *b, cairo_t *cr, int g)
{
    double share = b->width / b->group_count, middle = b->left + share * (g + 0.5);
    for (int s = 0; s < SERIES; s++)
        if (isfinite(b->groups[g].values[s]))
            draw_bar(
                b, cr, floor(middle + (s - SERIES / 2.0) * BAR_WIDTH), s, b->groups[g].values[s]);
    char text[FM_LABEL_MAX];
    fm_set_colour(cr, fm_ink);
    fm_set_font(cr, 15, true);
    fm_label_fit(cr, text, b->groups[g].name, share - 10);
    fm_draw_text(cr, middle, b->top + b->height + 24, 0.5, text);
}

static double draw_legend(cairo_t *cr, double x, double y, const char *const series[SERIES])
{
    fm_set_font(cr, 13, false);
    for (int s = 0; s < SERIES; s++) {
        char text[FM_LABEL_MAX];
        fm_label(text, series[s], 32);
        fm_set_colour(cr, series_colours[s]);
        cairo_rectangle(cr, x, y - 11, 13, 13);
        cairo_fill(cr);
        fm_set_colour(cr, fm_ink);
        fm_draw_text(cr, x + 19, y, 0, text);
        x += 19 + fm_text_width(cr, text) + 22;
    }
    return x;
}

static void draw(cairo_t *cr, const void *what)
{
    const struct bars *b = what;
    fm_heading_draw(&b->heading, cr);
    draw_legend(cr, FM_MARGIN, b->heading.height + 8, b->series);
    draw_axis(b, cr);
    for (int g = 0; g < b->group_count; g++)
        draw_group(b, cr, g);
    fm_set_font(cr, 12, false);
    fm_set_colour(cr, fm_faint);
    fm_draw_text(cr, FM_MARGIN, b->top + b->height + 60, 0, b->said);
    if (!b->said[0] && b->group_count == 0)
        fm_draw_nothing(cr, b->left, b->top, b->width, b->height, "There is nothing to draw.");
}

enum fm_status fm_chart_bars(const char *path, const char *title, const char *const series[3],
    const struct fm_bar_group *groups, int group_count)
{
    struct bars b = {.series = series, .groups = groups, .height = PLOT_HEIGHT};
    b.group_count = group_count < GROUPS_MAX ? group_count : GROUPS_MAX;
    if (!choose_axis(&b))
        b.group_count = 0;
    else if (group_count > GROUPS_MAX)
        snprintf(b.said, sizeof b.said, "The first %d of %d.", GROUPS_MAX, group_count);
    else if (b.low > 0)
        snprintf(b.said, sizeof b.said, "The axis starts at %.0f %%, not at 0.", 100 * b.low);

    cairo_t *ruler = fm_canvas_ruler();
    b.left = FM_MARGIN + 52;
    b.width = fmax(3, b.group_count) * GROUP_WIDTH;
    double width = fmax(b.left + b.width, draw_legend(ruler, FM_MARGIN, 0, series)) + FM_MARGIN;
    fm_heading_lay_out(&b.heading, ruler, title, NULL, width);
    cairo_destroy(ruler);
    b.top = b.heading.height + 44;
    return fm_canvas_draw(path, width, b.top + b.height + 64 + FM_MARGIN, draw, &b);
}
