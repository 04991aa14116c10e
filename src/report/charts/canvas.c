// The only file that knows how a drawing becomes a file. It is drawn and compressed in memory, and
// written by base/file like every other file: whole or not at all.
#include "report/charts/canvas.h"

#include "base/file.h"
#include "base/text.h"
#include "report/charts/chart.h"
#include "report/charts/svg.h"

#include <cairo-svg.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    SIDE_MAX = 16000, // pixels; cairo's own limit is 32,767
    TITLE_FONT = 18,
    TITLE_LINE = 23,
    SUBTITLE_FONT = 13,
    SUBTITLE_LINE = 18
};

const struct fm_colour fm_ink = {0.13, 0.13, 0.13};
const struct fm_colour fm_faint = {0.40, 0.40, 0.40};
const struct fm_colour fm_rule = {0.87, 0.87, 0.87};
const struct fm_colour fm_alarm = {0.84, 0.37, 0.00};

struct fm_colour fm_palette(int index)
{
    static const struct fm_colour colours[FM_PALETTE_COLOURS] = {
        {0.00, 0.45, 0.70}, // blue
        {0.84, 0.37, 0.00}, // vermilion
        {0.00, 0.62, 0.45}, // bluish green
        {0.80, 0.47, 0.65}, // reddish purple
        {0.90, 0.62, 0.00}, // orange
        {0.34, 0.71, 0.91}, // sky blue
        {0.13, 0.13, 0.13}, // black
    };
    return colours[(unsigned)index % FM_PALETTE_COLOURS];
}

void fm_set_colour(cairo_t *cr, struct fm_colour c)
{
    cairo_set_source_rgb(cr, c.r, c.g, c.b);
}

void fm_set_font(cairo_t *cr, double size, bool bold)
{
    cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
        bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, size);
}

double fm_text_width(cairo_t *cr, const char *text)
{
    cairo_text_extents_t extents;
    cairo_text_extents(cr, text, &extents);
    return extents.x_advance;
}

void fm_draw_text(cairo_t *cr, double x, double y, double align, const char *text)
{
    cairo_move_to(cr, x - align * fm_text_width(cr, text), y);
    cairo_show_text(cr, text);
}

void fm_label(char out[FM_LABEL_MAX], const char *text, int most)
{
    int used = 0;
    for (int points = 0; text && *text; points++) {
        if (points == most || used > FM_LABEL_MAX - 8) {
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

void fm_label_fit(cairo_t *cr, char out[FM_LABEL_MAX], const char *text, double width)
{
    fm_label(out, text, FM_LABEL_MAX);
    int most = FM_LABEL_MAX;
    while (most > 1 && fm_text_width(cr, out) > width) {
        int points = 0;
        for (const char *c = out; *c; c++)
            points += ((unsigned char)*c & 0xc0) != 0x80;
        most = points < most ? points - 2 : most - 1; // the ellipsis is a point, too
        fm_label(out, text, most > 1 ? most : 1);
    }
}

// Fills `lines` with as many words of `text` each as are at most `width` wide; what is left at the
// last line is shortened. Returns how many lines are used.
static int break_lines(
    cairo_t *cr, char (*lines)[FM_LABEL_MAX], int most, const char *text, double width)
{
    int count = 0;
    while (text && *text && count < most) {
        char *line = lines[count++];
        size_t taken = strlen(text);
        fm_label(line, text, FM_LABEL_MAX);
        if (count < most) {
            while (fm_text_width(cr, line) > width) {
                while (taken > 0 && text[taken - 1] != ' ')
                    taken--;
                while (taken > 0 && text[taken - 1] == ' ')
                    taken--;
                char part[FM_LABEL_MAX];
                if (taken == 0) // one word is too long
                    break;
                snprintf(part, sizeof part, "%.*s", (int)taken, text);
                fm_label(line, part, FM_LABEL_MAX);
            }
        }
        if (taken == 0 || count == most) {
            fm_label_fit(cr, line, text, width);
            return count;
        }
        text += taken;
        text += strspn(text, " ");
    }
    return count;
}

void fm_heading_lay_out(
    struct fm_heading *h, cairo_t *cr, const char *title, const char *subtitle, double width)
{
    double room = width - 2 * FM_MARGIN;
    fm_set_font(cr, TITLE_FONT, true);
    h->title_lines = break_lines(cr, h->title, FM_TITLE_LINES, title, room);
    fm_set_font(cr, SUBTITLE_FONT, false);
    h->subtitle_lines = break_lines(cr, h->subtitle, FM_SUBTITLE_LINES, subtitle, room);
    h->height = FM_MARGIN + h->title_lines * TITLE_LINE + h->subtitle_lines * SUBTITLE_LINE + 16;
}

void fm_heading_draw(const struct fm_heading *h, cairo_t *cr)
{
    double y = FM_MARGIN - 4;
    fm_set_colour(cr, fm_ink);
    fm_set_font(cr, TITLE_FONT, true);
    for (int i = 0; i < h->title_lines; i++)
        fm_draw_text(cr, FM_MARGIN, y += TITLE_LINE, 0, h->title[i]);
    fm_set_colour(cr, fm_faint);
    fm_set_font(cr, SUBTITLE_FONT, false);
    y += 3;
    for (int i = 0; i < h->subtitle_lines; i++)
        fm_draw_text(cr, FM_MARGIN, y += SUBTITLE_LINE, 0, h->subtitle[i]);
    fm_set_colour(cr, fm_ink);
}

void fm_draw_nothing(
    cairo_t *cr, double left, double top, double width, double height, const char *why)
{
    fm_set_colour(cr, fm_faint);
    fm_set_font(cr, 15, false);
    fm_draw_text(cr, left + width / 2, top + height / 2, 0.5, why);
    fm_set_colour(cr, fm_ink);
}

void fm_draw_image(cairo_t *cr, cairo_surface_t *image, double left, double top, double scale)
{
    cairo_save(cr);
    cairo_translate(cr, left, top);
    cairo_scale(cr, scale, scale);
    cairo_set_source_surface(cr, image, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(cr), CAIRO_FILTER_NEAREST);
    cairo_paint(cr);
    cairo_restore(cr);
}

// The machine's settings for screens are not for files that are compared and passed on.
static cairo_t *begin(cairo_surface_t *surface)
{
    cairo_t *cr = cairo_create(surface);
    cairo_font_options_t *options = cairo_font_options_create();
    cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
    cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
    cairo_set_font_options(cr, options);
    cairo_font_options_destroy(options);
    return cr;
}

cairo_t *fm_canvas_ruler(void)
{
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, 1, 1);
    cairo_t *cr = begin(surface);
    cairo_surface_destroy(surface);
    return cr;
}

static cairo_status_t append(void *closure, const unsigned char *data, unsigned int length)
{
    struct fm_text *file = closure;
    fm_text_append_bytes(file, (const char *)data, length);
    return file->failed ? CAIRO_STATUS_WRITE_ERROR : CAIRO_STATUS_SUCCESS;
}

static bool ends_with(const char *path, const char *suffix)
{
    size_t length = strlen(path), end = strlen(suffix);
    return length >= end && strcmp(path + length - end, suffix) == 0;
}

static cairo_status_t draw_bytes(struct fm_text *file, bool svg, double width, double height,
    fm_draw_function *draw, const void *what)
{
    double scale = fmin(1, SIDE_MAX / fmax(width, height));
    int w = (int)ceil(width * scale), h = (int)ceil(height * scale);
    cairo_surface_t *surface = svg ? cairo_svg_surface_create_for_stream(append, file, w, h)
                                   : cairo_image_surface_create(CAIRO_FORMAT_RGB24, w, h);
    if (svg)
        cairo_svg_surface_set_document_unit(surface, CAIRO_SVG_UNIT_PX);
    cairo_t *cr = begin(surface);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    cairo_scale(cr, scale, scale);
    fm_set_colour(cr, fm_ink);
    draw(cr, what);
    cairo_status_t drawn = cairo_status(cr);
    cairo_destroy(cr);
    if (drawn == CAIRO_STATUS_SUCCESS && !svg)
        drawn = cairo_surface_write_to_png_stream(surface, append, file);
    cairo_surface_finish(surface);
    if (drawn == CAIRO_STATUS_SUCCESS)
        drawn = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    return drawn;
}

static enum fm_status draw_file(
    const char *path, double width, double height, fm_draw_function *draw, const void *what)
{
    struct fm_text drawing = {0}, tidy = {0};
    const struct fm_text *file = &drawing;
    bool svg = ends_with(path, ".svg");
    enum fm_status status = FM_OK;
    cairo_status_t drawn = draw_bytes(&drawing, svg, width, height, draw, what);
    if (drawn != CAIRO_STATUS_SUCCESS)
        status = fm_fail(drawn == CAIRO_STATUS_NO_MEMORY || drawing.failed ? FM_MEMORY : FM_IO,
            "%s: cairo could not draw the picture: %s", path, cairo_status_to_string(drawn));
    if (status == FM_OK && svg) {
        file = &tidy;
        status = fm_svg_tidy(&tidy, &drawing);
    }
    if (status == FM_OK && file->failed)
        status = fm_fail_memory(path, drawing.length);
    if (status == FM_OK)
        status = fm_file_write(path, file->data, file->length);
    fm_text_free(&drawing);
    fm_text_free(&tidy);
    return status;
}

enum fm_status fm_canvas_draw(
    const char *path, double width, double height, fm_draw_function *draw, const void *what)
{
    if (ends_with(path, ".png") || ends_with(path, ".svg"))
        return draw_file(path, width, height, draw, what);
    char file[FM_PATH_MAX];
    FM_TRY(fm_chart_path(file, path, ".png"));
    FM_TRY(draw_file(file, width, height, draw, what));
    FM_TRY(fm_chart_path(file, path, ".svg"));
    return draw_file(file, width, height, draw, what);
}
