// The confusion matrix is for looking at: sizes follow what has to be read, and figures that cannot
// be read in their cells are left out and said so.
#include "base/text.h"
#include "report/charts/canvas.h"
#include "report/charts/chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct confusion {
    const struct fm_metrics *metrics;
    char (*labels)[FM_LABEL_MAX]; // [classes]
    uint64_t *rows;               // [classes] images of each class
    bool shares;
    struct fm_heading heading;
    double cell;        // side of a cell
    double font;        // of class names
    double figure_font; // of figures; 0: cells are too small for any
    double left, top;   // of the matrix
    double width, height;
    double label_width; // of the widest class name
    int rows_every;     // class names are drawn for every so many classes
    int columns_every;
    bool slanted; // names of the columns
};

enum {
    CONFUSION_SIDE = 720, // pixels of the matrix at most, as long as a cell has CELL_MIN
    CELL_MAX = 68,
    CELL_MIN = 4,
    GRID_MIN = 10,     // cells smaller than this have no lines between them
    SCALE_WIDTH = 100, // the scale of shades at the right
    WIDTH_MIN = 460,
    LABEL_CODE_POINTS = 22, // longer class names are shortened
    ZEROS_FONT = 11,        // figures smaller than this are left out where they are zero
    FIGURE_MAX = 24         // bytes
};
static const double slant = 0.7853981633974483; // 45 degrees

static uint64_t count_at(const struct confusion *c, int actual, int predicted)
{
    return c->metrics->confusion[(size_t)actual * (size_t)c->metrics->classes + (size_t)predicted];
}

static double row_share(const struct confusion *c, int actual, int predicted)
{
    return c->rows[actual] ? (double)count_at(c, actual, predicted) / (double)c->rows[actual] : 0;
}

// White to dark blue by the square root of the share, so that confusions of a few percent show.
static struct fm_colour shade(double share)
{
    double t = sqrt(share);
    return (struct fm_colour){1 - 0.97 * t, 1 - 0.81 * t, 1 - 0.58 * t};
}

// Relative luminance by ITU-R BT.709, near enough for choosing between black and white ink.
static struct fm_colour ink_on(struct fm_colour c)
{
    double luminance = 0.2126 * c.r + 0.7152 * c.g + 0.0722 * c.b;
    return luminance < 0.55 ? (struct fm_colour){1, 1, 1} : fm_ink;
}

// What stands in a cell. A share that would be rounded to nothing is not nothing.
static void write_figure(
    const struct confusion *c, int actual, int predicted, char text[FIGURE_MAX])
{
    uint64_t count = count_at(c, actual, predicted);
    double percent = 100 * row_share(c, actual, predicted);
    if (!c->shares)
        snprintf(text, FIGURE_MAX, "%llu", (unsigned long long)count);
    else if (c->rows[actual] == 0)
        snprintf(text, FIGURE_MAX, "\xe2\x80\x93"); // a dash: there is no such image
    else if (count == 0 || percent >= 0.05)
        snprintf(
            text, FIGURE_MAX, count == 0 || count == c->rows[actual] ? "%.0f" : "%.1f", percent);
    else
        snprintf(text, FIGURE_MAX, "<0.1");
}

static void fit_figures(struct confusion *c, cairo_t *cr)
{
    double widest = 0; // at a font size of 16
    fm_set_font(cr, 16, false);
    for (int a = 0; a < c->metrics->classes; a++)
        for (int p = 0; p < c->metrics->classes; p++) {
            char text[FIGURE_MAX];
            write_figure(c, a, p, text);
            widest = fmax(widest, fm_text_width(cr, text));
        }
    c->figure_font = 0;
    for (double font = 16; font >= 8 && c->figure_font == 0; font--)
        if (widest * font / 16 <= c->cell - 4 && font <= c->cell - 4)
            c->figure_font = font;
}

static void lay_out_heading(struct confusion *c, cairo_t *cr, const char *title)
{
    const struct fm_metrics *m = c->metrics;
    char digits[32], text[256];
    if (m->count == 0)
        snprintf(text, sizeof text, "There are no images: nothing to draw.");
    else
        snprintf(text, sizeof text, "%s images, %.2f %% right. %s%s",
            fm_group_digits((int64_t)m->count, digits), 100 * m->accuracy,
            c->figure_font == 0 ? "Cells are too small for figures. "
            : c->shares         ? "In the cells: % of the row's images. "
                                : "In the cells: images. ",
            "Shade: share of the row.");
    fm_heading_lay_out(&c->heading, cr, title, text, c->width);
}

static void lay_out(struct confusion *c, cairo_t *cr, const char *title)
{
    int n = c->metrics->classes;
    c->cell = fmin(CELL_MAX, fmax(CELL_MIN, floor((double)CONFUSION_SIDE / n)));
    c->font = fmax(9, fmin(15, c->cell - 2));
    fit_figures(c, cr);
    fm_set_font(cr, c->font, false);
    c->label_width = 0;
    for (int k = 0; k < n; k++)
        c->label_width = fmax(c->label_width, fm_text_width(cr, c->labels[k]));
    c->slanted = c->label_width > c->cell - 6;
    double apart = c->font + 2; // the middles of two names
    c->rows_every = (int)ceil(apart / c->cell);
    c->columns_every = (int)ceil((c->slanted ? apart / sin(slant) : apart) / c->cell);
    double below = c->slanted ? (c->label_width + c->font) * sin(slant) : c->font * 1.5;
    c->left = FM_MARGIN + 30 + c->label_width + 8;
    c->width = fmax(WIDTH_MIN, c->left + n * c->cell + SCALE_WIDTH + FM_MARGIN);
    lay_out_heading(c, cr, title);
    c->top = c->heading.height + 4;
    c->height = c->top + n * c->cell + 10 + below + 34 + FM_MARGIN;
}

// Cells without figures are the pixels of one image: 65,536 rectangles would be megabytes of SVG.
static void draw_small_cells(const struct confusion *c, cairo_t *cr)
{
    int n = c->metrics->classes;
    cairo_surface_t *image = cairo_image_surface_create(CAIRO_FORMAT_RGB24, n, n);
    cairo_t *pixels = cairo_create(image);
    for (int a = 0; a < n; a++)
        for (int p = 0; p < n; p++) {
            fm_set_colour(pixels, shade(row_share(c, a, p)));
            cairo_rectangle(pixels, p, a, 1, 1);
            cairo_fill(pixels);
        }
    cairo_destroy(pixels);
    fm_draw_image(cr, image, c->left, c->top, c->cell);
    cairo_surface_destroy(image);
}

static void draw_cells(const struct confusion *c, cairo_t *cr)
{
    if (c->figure_font == 0) {
        draw_small_cells(c, cr);
        return;
    }
    fm_set_font(cr, c->figure_font, false);
    for (int a = 0; a < c->metrics->classes; a++) {
        for (int p = 0; p < c->metrics->classes; p++) {
            uint64_t count = count_at(c, a, p);
            if (count == 0 && c->figure_font < ZEROS_FONT)
                continue;
            double x = c->left + p * c->cell, y = c->top + a * c->cell;
            struct fm_colour fill = shade(row_share(c, a, p));
            char text[FIGURE_MAX];
            if (count > 0) {
                fm_set_colour(cr, fill);
                cairo_rectangle(cr, x, y, c->cell, c->cell);
                cairo_fill(cr);
            }
            write_figure(c, a, p, text);
            fm_set_colour(cr, count ? ink_on(fill) : (struct fm_colour){0.66, 0.66, 0.66});
            fm_draw_text(cr, x + c->cell / 2, y + c->cell / 2 + 0.36 * c->figure_font, 0.5, text);
        }
    }
}

static void draw_grid(const struct confusion *c, cairo_t *cr)
{
    int n = c->metrics->classes;
    double side = n * c->cell, left = floor(c->left), top = floor(c->top);
    fm_set_colour(cr, (struct fm_colour){0.82, 0.82, 0.82});
    cairo_set_line_width(cr, 1);
    for (int k = 0; k <= n; k++) {
        if (c->cell < GRID_MIN && k != 0 && k != n)
            continue;
        double at = floor(k * c->cell) + 0.5;
        cairo_move_to(cr, left + at, top);
        cairo_rel_line_to(cr, 0, side);
        cairo_move_to(cr, left, top + at);
        cairo_rel_line_to(cr, side, 0);
    }
    cairo_stroke(cr);
}

static void draw_names(const struct confusion *c, cairo_t *cr)
{
    int n = c->metrics->classes;
    double bottom = c->top + n * c->cell + 8;
    fm_set_font(cr, c->font, false);
    fm_set_colour(cr, fm_ink);
    for (int k = 0; k < n; k += c->rows_every)
        fm_draw_text(
            cr, c->left - 8, c->top + (k + 0.5) * c->cell + 0.36 * c->font, 1, c->labels[k]);
    for (int k = 0; k < n; k += c->columns_every) {
        double middle = c->left + (k + 0.5) * c->cell;
        if (!c->slanted) {
            fm_draw_text(cr, middle, bottom + c->font, 0.5, c->labels[k]);
            continue;
        }
        cairo_save(cr);
        cairo_translate(cr, middle + 0.3 * c->font, bottom + 0.5 * c->font);
        cairo_rotate(cr, -slant);
        fm_draw_text(cr, 0, 0, 1, c->labels[k]);
        cairo_restore(cr);
    }
}

static void draw_axes(const struct confusion *c, cairo_t *cr)
{
    double side = c->metrics->classes * c->cell;
    fm_set_colour(cr, fm_ink);
    fm_set_font(cr, 14, true);
    fm_draw_text(cr, c->left + side / 2, c->height - FM_MARGIN, 0.5, "predicted class");
    cairo_save(cr);
    cairo_translate(cr, FM_MARGIN + 12, c->top + side / 2);
    cairo_rotate(cr, -2 * slant);
    fm_draw_text(cr, 0, 0, 0.5, "actual class");
    cairo_restore(cr);
}

static void draw_scale(const struct confusion *c, cairo_t *cr)
{
    static const double marks[] = {0, 0.01, 0.05, 0.1, 0.2, 0.5, 1};
    double height = fmin(c->metrics->classes * c->cell, 400);
    double x = floor(c->left + c->metrics->classes * c->cell + 24), y = floor(c->top);
    struct fm_colour all = shade(1), none = shade(0); // and linear between, along the scale
    cairo_pattern_t *shades = cairo_pattern_create_linear(0, y, 0, y + height);
    cairo_pattern_add_color_stop_rgb(shades, 0, all.r, all.g, all.b);
    cairo_pattern_add_color_stop_rgb(shades, 1, none.r, none.g, none.b);
    cairo_set_source(cr, shades);
    cairo_pattern_destroy(shades);
    cairo_rectangle(cr, x, y, 16, height);
    cairo_fill(cr);
    fm_set_colour(cr, (struct fm_colour){0.82, 0.82, 0.82});
    cairo_set_line_width(cr, 1);
    cairo_rectangle(cr, x + 0.5, y + 0.5, 15, height - 1);
    cairo_stroke(cr);
    fm_set_font(cr, 11, false);
    fm_set_colour(cr, fm_faint);
    double last = INFINITY;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        double at = y + height * (1 - sqrt(marks[i]));
        if (last - at < 12) // a small matrix has no room for every mark
            continue;
        char text[16];
        snprintf(text, sizeof text, "%.0f %%", 100 * marks[i]);
        fm_draw_text(cr, x + 22, at + 4, 0, text);
        last = at;
    }
}

static void draw(cairo_t *cr, const void *what)
{
    const struct confusion *c = what;
    fm_heading_draw(&c->heading, cr);
    draw_cells(c, cr);
    draw_grid(c, cr);
    draw_names(c, cr);
    draw_axes(c, cr);
    draw_scale(c, cr);
}

enum fm_status fm_chart_confusion(const char *path, const struct fm_metrics *metrics,
    char *const *class_names, const char *title, bool shares)
{
    struct confusion c = {.metrics = metrics, .shares = shares};
    size_t classes = (size_t)metrics->classes;
    enum fm_status status = FM_OK;
    c.labels = calloc(classes, sizeof *c.labels);
    c.rows = calloc(classes, sizeof *c.rows);
    if (!c.labels || !c.rows) {
        status = fm_fail_memory("the class names", classes * sizeof *c.labels);
        goto out;
    }
    for (int a = 0; a < metrics->classes; a++) {
        fm_label(c.labels[a], class_names[a], LABEL_CODE_POINTS);
        for (int p = 0; p < metrics->classes; p++)
            c.rows[a] += count_at(&c, a, p);
    }
    cairo_t *ruler = fm_canvas_ruler();
    lay_out(&c, ruler, title);
    cairo_destroy(ruler);
    status = fm_canvas_draw(path, c.width, c.height, draw, &c);
out:
    free(c.labels);
    free(c.rows);
    return status;
}
