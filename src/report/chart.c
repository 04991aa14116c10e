// Charts are for looking at: sizes follow what has to be read, and what cannot be drawn readably is
// left out and said so. A picture is drawn and compressed in memory, and written by base/file like
// every other file: whole or not at all.
#include "report/chart.h"

#include "base/file.h"
#include "base/text.h"

#include <cairo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LABEL_MAX = 128,        // bytes of a shortened label
    LABEL_CODE_POINTS = 22, // longer class names are shortened
    MARGIN = 24
};

struct colour {
    double r, g, b;
};

static const struct colour ink = {0.13, 0.13, 0.13};
static const struct colour faint = {0.45, 0.45, 0.45};

static void set_colour(cairo_t *cr, struct colour c)
{
    cairo_set_source_rgb(cr, c.r, c.g, c.b);
}

static void set_font(cairo_t *cr, double size, bool bold)
{
    cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
        bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, size);
}

static double text_width(cairo_t *cr, const char *text)
{
    cairo_text_extents_t extents;
    cairo_text_extents(cr, text, &extents);
    return extents.x_advance;
}

// Draws `text` with its baseline at y; `align` 0 starts at x, 0.5 is centred on it, 1 ends there.
static void draw_text(cairo_t *cr, double x, double y, double align, const char *text)
{
    cairo_move_to(cr, x - align * text_width(cr, text), y);
    cairo_show_text(cr, text);
}

// Cairo refuses a whole drawing for one malformed string, so what is not UTF-8 becomes '?',
// and so do control characters.
static void make_label(char out[LABEL_MAX], const char *text, int most)
{
    int used = 0;
    for (int points = 0; *text; points++) {
        if (points == most) {
            memcpy(out + used, "\xe2\x80\xa6", 3); // an ellipsis
            used += 3;
            break;
        }
        int length = fm_utf8_length(text);
        if (length == 0 || fm_utf8_is_control(text)) {
            out[used++] = '?';
        } else {
            memcpy(out + used, text, (size_t)length);
            used += length;
        }
        text += length ? length : 1;
    }
    out[used] = '\0';
}

static cairo_status_t append_png(void *closure, const unsigned char *data, unsigned int length)
{
    struct fm_text *png = closure;
    fm_text_append_bytes(png, (const char *)data, length);
    return png->failed ? CAIRO_STATUS_WRITE_ERROR : CAIRO_STATUS_SUCCESS;
}

static enum fm_status write_png(const char *path, cairo_surface_t *surface, cairo_t *cr)
{
    struct fm_text png = {0};
    cairo_status_t drawn = cairo_status(cr);
    if (drawn == CAIRO_STATUS_SUCCESS)
        drawn = cairo_surface_write_to_png_stream(surface, append_png, &png);
    enum fm_status status =
        drawn == CAIRO_STATUS_SUCCESS
            ? fm_file_write(path, png.data, png.length)
            : fm_fail(drawn == CAIRO_STATUS_NO_MEMORY || png.failed ? FM_MEMORY : FM_IO,
                  "%s: cairo could not draw the picture: %s", path, cairo_status_to_string(drawn));
    fm_text_free(&png);
    return status;
}

static cairo_t *begin_drawing(double width, double height, cairo_surface_t **surface)
{
    *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)ceil(width), (int)ceil(height));
    cairo_t *cr = cairo_create(*surface);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    set_colour(cr, ink);
    return cr;
}

// ---- The confusion matrix

struct confusion {
    const struct fm_metrics *metrics;
    char (*labels)[LABEL_MAX]; // [classes]
    const char *title;
    char subtitle[160];
    double cell;       // side of a cell
    double font;       // of class names
    double count_font; // of counts; 0: cells are too small for any
    double left, top;  // of the matrix
    double width, height;
    double label_width; // of the widest class name
    int label_every;    // class names are drawn for every so many classes
    bool slanted;       // names of the columns
};

enum {
    CONFUSION_SIDE = 720, // pixels of the matrix at most, as long as a cell has CELL_MIN
    CELL_MAX = 68,
    CELL_MIN = 4,
    SCALE_WIDTH = 100 // the scale of shades at the right
};
static const double slant = 0.7853981633974483; // 45 degrees

static uint64_t count_at(const struct fm_metrics *m, int actual, int predicted)
{
    return m->confusion[(size_t)actual * (size_t)m->classes + (size_t)predicted];
}

static double row_share(const struct fm_metrics *m, int actual, int predicted)
{
    uint64_t row = 0;
    for (int p = 0; p < m->classes; p++)
        row += count_at(m, actual, p);
    return row ? (double)count_at(m, actual, predicted) / (double)row : 0;
}

// White to dark blue by the square root of the share, so that confusions of a few percent show.
static struct colour shade(double share)
{
    double t = sqrt(share);
    return (struct colour){1 - 0.97 * t, 1 - 0.81 * t, 1 - 0.58 * t};
}

// Relative luminance by ITU-R BT.709, near enough for choosing between black and white ink.
static struct colour ink_on(struct colour c)
{
    double luminance = 0.2126 * c.r + 0.7152 * c.g + 0.0722 * c.b;
    return luminance < 0.55 ? (struct colour){1, 1, 1} : ink;
}

static void fit_counts(struct confusion *c, cairo_t *cr)
{
    uint64_t most = 0;
    for (int a = 0; a < c->metrics->classes; a++)
        for (int p = 0; p < c->metrics->classes; p++)
            most = count_at(c->metrics, a, p) > most ? count_at(c->metrics, a, p) : most;
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)most);
    c->count_font = 0;
    for (double font = 16; font >= 8 && c->count_font == 0; font--) {
        set_font(cr, font, false);
        if (text_width(cr, text) <= c->cell - 4 && font <= c->cell - 4)
            c->count_font = font;
    }
}

static void lay_out(struct confusion *c, cairo_t *cr)
{
    int n = c->metrics->classes;
    c->cell = fmin(CELL_MAX, fmax(CELL_MIN, floor((double)CONFUSION_SIDE / n)));
    c->font = fmax(9, fmin(15, c->cell - 2));
    fit_counts(c, cr);
    set_font(cr, c->font, false);
    c->label_width = 0;
    for (int k = 0; k < n; k++)
        c->label_width = fmax(c->label_width, text_width(cr, c->labels[k]));
    c->slanted = c->label_width > c->cell - 6;
    double apart = (c->font + 2) /
                   (c->slanted ? sin(slant) : 1); // between the middles of two names
    c->label_every = (int)ceil(apart / c->cell);
    double below = c->slanted ? (c->label_width + c->font) * sin(slant) : c->font * 1.5;
    c->left = MARGIN + 30 + c->label_width + 8;
    c->top = MARGIN + 62;
    c->width = c->left + n * c->cell + SCALE_WIDTH + MARGIN;
    c->height = c->top + n * c->cell + 10 + below + 34 + MARGIN;

    char digits[32];
    snprintf(c->subtitle, sizeof c->subtitle, "%s images, %.2f %% right; shade: share of the row%s",
        fm_group_digits((int64_t)c->metrics->count, digits), 100 * c->metrics->accuracy,
        c->count_font > 0 ? "" : "; cells are too small for counts");
    set_font(cr, 13, false);
    c->width = fmax(c->width, text_width(cr, c->subtitle) + 2 * MARGIN);
    set_font(cr, 18, true);
    c->width = fmax(c->width, text_width(cr, c->title) + 2 * MARGIN);
}

static void draw_cells(const struct confusion *c, cairo_t *cr)
{
    const struct fm_metrics *m = c->metrics;
    set_font(cr, c->count_font > 0 ? c->count_font : 8, false);
    for (int a = 0; a < m->classes; a++) {
        for (int p = 0; p < m->classes; p++) {
            double x = c->left + p * c->cell, y = c->top + a * c->cell;
            struct colour fill = shade(row_share(m, a, p));
            set_colour(cr, fill);
            cairo_rectangle(cr, x, y, c->cell, c->cell);
            cairo_fill(cr);
            if (c->count_font == 0)
                continue;
            uint64_t count = count_at(m, a, p);
            char text[24];
            snprintf(text, sizeof text, "%llu", (unsigned long long)count);
            set_colour(cr, count ? ink_on(fill) : (struct colour){0.72, 0.72, 0.72});
            draw_text(cr, x + c->cell / 2, y + c->cell / 2 + 0.36 * c->count_font, 0.5, text);
        }
    }
}

static void draw_grid(const struct confusion *c, cairo_t *cr)
{
    int n = c->metrics->classes;
    double side = n * c->cell;
    set_colour(cr, (struct colour){0.82, 0.82, 0.82});
    cairo_set_line_width(cr, 1);
    for (int k = 0; k <= n; k++) {
        if (c->cell < 10 && k != 0 && k != n)
            continue;
        double at = floor(k * c->cell) + 0.5;
        cairo_move_to(cr, c->left + at, c->top);
        cairo_rel_line_to(cr, 0, side);
        cairo_move_to(cr, c->left, c->top + at);
        cairo_rel_line_to(cr, side, 0);
    }
    cairo_stroke(cr);
}

static void draw_names(const struct confusion *c, cairo_t *cr)
{
    int n = c->metrics->classes;
    double bottom = c->top + n * c->cell + 8;
    set_font(cr, c->font, false);
    set_colour(cr, ink);
    for (int k = 0; k < n; k += c->label_every) {
        double middle = (k + 0.5) * c->cell;
        draw_text(cr, c->left - 8, c->top + middle + 0.36 * c->font, 1, c->labels[k]);
        if (!c->slanted) {
            draw_text(cr, c->left + middle, bottom + c->font, 0.5, c->labels[k]);
            continue;
        }
        cairo_save(cr);
        cairo_translate(cr, c->left + middle + 0.3 * c->font, bottom + 0.5 * c->font);
        cairo_rotate(cr, -slant);
        draw_text(cr, 0, 0, 1, c->labels[k]);
        cairo_restore(cr);
    }
}

static void draw_axes(const struct confusion *c, cairo_t *cr)
{
    double side = c->metrics->classes * c->cell;
    set_colour(cr, ink);
    set_font(cr, 18, true);
    draw_text(cr, MARGIN, MARGIN + 16, 0, c->title);
    set_font(cr, 13, false);
    set_colour(cr, faint);
    draw_text(cr, MARGIN, MARGIN + 38, 0, c->subtitle);
    set_colour(cr, ink);
    set_font(cr, 14, true);
    draw_text(cr, c->left + side / 2, c->height - MARGIN, 0.5, "predicted class");
    cairo_save(cr);
    cairo_translate(cr, MARGIN + 12, c->top + side / 2);
    cairo_rotate(cr, -2 * slant);
    draw_text(cr, 0, 0, 0.5, "actual class");
    cairo_restore(cr);
}

static void draw_scale(const struct confusion *c, cairo_t *cr)
{
    static const double marks[] = {0, 0.01, 0.05, 0.1, 0.2, 0.5, 1};
    double height = fmin(c->metrics->classes * c->cell, 400);
    double x = c->left + c->metrics->classes * c->cell + 24, y = c->top;
    for (int i = 0; i < (int)height; i++) {
        double t = 1 - i / height;
        set_colour(cr, shade(t * t));
        cairo_rectangle(cr, x, y + i, 16, 1);
        cairo_fill(cr);
    }
    set_colour(cr, (struct colour){0.82, 0.82, 0.82});
    cairo_set_line_width(cr, 1);
    cairo_rectangle(cr, x + 0.5, y + 0.5, 15, height - 1);
    cairo_stroke(cr);
    set_font(cr, 11, false);
    set_colour(cr, faint);
    double last = INFINITY;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        double at = y + height * (1 - sqrt(marks[i]));
        if (last - at < 12) // a small matrix has no room for every mark
            continue;
        char text[16];
        snprintf(text, sizeof text, "%.0f %%", 100 * marks[i]);
        draw_text(cr, x + 22, at + 4, 0, text);
        last = at;
    }
}

enum fm_status fm_chart_confusion(const char *path, const struct fm_metrics *metrics,
    char *const *class_names, const char *title, bool shares)
{
    struct confusion c = {.metrics = metrics};
    (void)shares;
    char safe_title[4 * LABEL_MAX];
    c.labels = calloc((size_t)metrics->classes, sizeof *c.labels);
    if (!c.labels)
        return fm_fail_memory("the class names", (size_t)metrics->classes * sizeof *c.labels);
    for (int k = 0; k < metrics->classes; k++)
        make_label(c.labels[k], class_names[k], LABEL_CODE_POINTS);
    make_label(safe_title, title, LABEL_MAX - 2);
    c.title = safe_title;

    cairo_surface_t *surface;
    cairo_t *cr = begin_drawing(1, 1, &surface); // to measure text with
    lay_out(&c, cr);
    cairo_destroy(cr);
    cairo_surface_destroy(surface);

    cr = begin_drawing(c.width, c.height, &surface);
    draw_cells(&c, cr);
    draw_grid(&c, cr);
    draw_names(&c, cr);
    draw_axes(&c, cr);
    draw_scale(&c, cr);
    enum fm_status status = write_png(path, surface, cr);
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
    free(c.labels);
    return status;
}

// ---- Grouped bars

enum {
    SERIES = 3,
    BARS_HEIGHT = 320, // of the plot
    GROUP_WIDTH = 190,
    BAR_WIDTH = 46
};

// Okabe and Ito's colours, told apart by people with any colour vision.
static const struct colour series_colours[SERIES] = {
    {0.34, 0.71, 0.91}, {0.90, 0.62, 0.00}, {0.00, 0.62, 0.45}};

struct bars {
    double left, top, width, height; // of the plot
    double low, step;                // the axis goes from `low` to 1
};

// Shares above a half are drawn on an axis that starts at the multiple of 5 % below the lowest bar
// with room to spare; otherwise differences of a point would be invisible.
static void choose_axis(struct bars *b, const struct fm_bar_group *groups, int group_count)
{
    double lowest = 1;
    for (int g = 0; g < group_count; g++)
        for (int s = 0; s < SERIES; s++)
            if (isfinite(groups[g].values[s]))
                lowest = fmin(lowest, groups[g].values[s]);
    b->low = lowest > 0.5 ? floor((lowest - 0.03) * 20) / 20 : 0;
    double range = 1 - b->low;
    b->step = range <= 0.11 ? 0.01 : range <= 0.21 ? 0.02 : range <= 0.51 ? 0.05 : 0.1;
}

static double bar_y(const struct bars *b, double value)
{
    return b->top + b->height * (1 - (value - b->low) / (1 - b->low));
}

static void draw_bar_axis(const struct bars *b, cairo_t *cr)
{
    int steps = (int)lround((1 - b->low) / b->step);
    cairo_set_line_width(cr, 1);
    set_font(cr, 12, false);
    for (int i = 0; i <= steps; i++) {
        double value = b->low + i * b->step, y = floor(bar_y(b, value)) + 0.5;
        char text[16];
        snprintf(text, sizeof text, "%.0f %%", 100 * value);
        set_colour(cr, i == 0 ? faint : (struct colour){0.88, 0.88, 0.88});
        cairo_move_to(cr, b->left, y);
        cairo_rel_line_to(cr, b->width, 0);
        cairo_stroke(cr);
        set_colour(cr, faint);
        draw_text(cr, b->left - 8, y + 4, 1, text);
    }
}

static void draw_group(
    const struct bars *b, cairo_t *cr, double middle, const struct fm_bar_group *group)
{
    char text[LABEL_MAX];
    for (int s = 0; s < SERIES; s++) {
        if (!isfinite(group->values[s]))
            continue;
        double x = floor(middle + (s - SERIES / 2.0) * BAR_WIDTH);
        double y = bar_y(b, fmin(1, fmax(b->low, group->values[s])));
        set_colour(cr, series_colours[s]);
        cairo_rectangle(cr, x + 2, y, BAR_WIDTH - 4, b->top + b->height - y);
        cairo_fill(cr);
        snprintf(text, sizeof text, "%.1f", 100 * group->values[s]);
        cairo_set_source_rgb(cr, 1, 1, 1); // no line of the axis through the figure
        cairo_rectangle(cr, x + 4, y - 17, BAR_WIDTH - 8, 15);
        cairo_fill(cr);
        set_colour(cr, ink);
        set_font(cr, 13, false);
        draw_text(cr, x + BAR_WIDTH / 2.0, y - 5, 0.5, text);
    }
    make_label(text, group->name, LABEL_CODE_POINTS);
    set_colour(cr, ink);
    set_font(cr, 15, true);
    draw_text(cr, middle, b->top + b->height + 24, 0.5, text);
}

static double draw_legend(cairo_t *cr, double x, double y, const char *const series[SERIES])
{
    set_font(cr, 13, false);
    for (int s = 0; s < SERIES; s++) {
        set_colour(cr, series_colours[s]);
        cairo_rectangle(cr, x, y - 11, 13, 13);
        cairo_fill(cr);
        set_colour(cr, ink);
        draw_text(cr, x + 19, y, 0, series[s]);
        x += 19 + text_width(cr, series[s]) + 22;
    }
    return x;
}

enum fm_status fm_chart_bars(const char *path, const char *title, const char *const series[3],
    const struct fm_bar_group *groups, int group_count)
{
    struct bars b = {.left = MARGIN + 52, .top = MARGIN + 84, .height = BARS_HEIGHT};
    char safe_title[4 * LABEL_MAX], said[96] = "";
    make_label(safe_title, title, LABEL_MAX - 2);
    choose_axis(&b, groups, group_count);
    if (b.low > 0)
        snprintf(said, sizeof said, "The axis starts at %.0f %%, not at 0.", 100 * b.low);

    cairo_surface_t *surface;
    cairo_t *cr = begin_drawing(1, 1, &surface);
    b.width = fmax(3, group_count) * GROUP_WIDTH;
    double width = fmax(b.left + b.width, MARGIN + draw_legend(cr, MARGIN, 0, series));
    set_font(cr, 18, true);
    width = fmax(width, MARGIN + text_width(cr, safe_title)) + MARGIN;
    cairo_destroy(cr);
    cairo_surface_destroy(surface);

    cr = begin_drawing(width, b.top + b.height + 64 + MARGIN, &surface);
    set_font(cr, 18, true);
    draw_text(cr, MARGIN, MARGIN + 16, 0, safe_title);
    draw_legend(cr, MARGIN, MARGIN + 44, series);
    draw_bar_axis(&b, cr);
    for (int g = 0; g < group_count; g++)
        draw_group(&b, cr, b.left + b.width * (g + 0.5) / group_count, &groups[g]);
    set_font(cr, 12, false);
    set_colour(cr, faint);
    draw_text(cr, MARGIN, b.top + b.height + 60, 0, said);
    enum fm_status status = write_png(path, surface, cr);
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
    return status;
}
