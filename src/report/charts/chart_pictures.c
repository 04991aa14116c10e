// Images as the network sees them, pixel for pixel. Wrong ones have a frame and a cross: colour is
// not the only sign.
#include "report/charts/canvas.h"
#include "report/charts/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    SIDE = 28,
    SCALE = 3,
    IMAGE = SIDE * SCALE,
    CELL_WIDTH_MIN = IMAGE + 16,
    CELL_WIDTH_MAX = 150, // longer texts are shortened
    GAP = 12,             // between texts of neighbours
    TEXT_FONT = 12,
    TEXT_LINE = 16,
    COLUMNS_MAX = 60,
    HEIGHT_MAX = 12000,
    WIDTH_MIN = 420
};

struct pictures {
    const struct fm_picture_cell *cells;
    int count, columns; // drawn
    bool any_above, any_below;
    struct fm_heading heading;
    double cell_width, cell_height;
    double width, height;
};

static void draw_record(cairo_t *cr, const uint8_t *record, double left, double top)
{
    cairo_surface_t *image = cairo_image_surface_create(CAIRO_FORMAT_RGB24, SIDE, SIDE);
    if (cairo_surface_status(image) == CAIRO_STATUS_SUCCESS) {
        unsigned char *data = cairo_image_surface_get_data(image);
        ptrdiff_t stride = cairo_image_surface_get_stride(image);
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                uint32_t grey = record ? record[y * SIDE + x] : 0x80;
                uint32_t pixel = grey << 16 | grey << 8 | grey;
                memcpy(data + y * stride + (ptrdiff_t)4 * x, &pixel, sizeof pixel);
            }
        cairo_surface_mark_dirty(image);
        fm_draw_image(cr, image, left, top, SCALE);
    }
    cairo_surface_destroy(image);
}

// A cross on a disc at the right upper corner.
static void draw_wrong(cairo_t *cr, double left, double top)
{
    double x = left + IMAGE, y = top, arm = 4;
    fm_set_colour(cr, fm_alarm);
    cairo_set_line_width(cr, 3);
    cairo_rectangle(cr, left - 1.5, top - 1.5, IMAGE + 3, IMAGE + 3);
    cairo_stroke(cr);
    cairo_arc(cr, x, y, 9, 0, 6.283185307179586);
    cairo_fill_preserve(cr);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_set_line_width(cr, 1.5);
    cairo_stroke(cr);
    cairo_set_line_width(cr, 2.4);
    cairo_move_to(cr, x - arm, y - arm);
    cairo_rel_line_to(cr, 2 * arm, 2 * arm);
    cairo_move_to(cr, x - arm, y + arm);
    cairo_rel_line_to(cr, 2 * arm, -2 * arm);
    cairo_stroke(cr);
}

static void draw_cell(const struct pictures *p, cairo_t *cr, int i)
{
    const struct fm_picture_cell *cell = &p->cells[i];
    double left = FM_MARGIN + p->cell_width * (i % p->columns);
    double top = p->heading.height + 8 + p->cell_height * (i / p->columns);
    double image = floor(left + (p->cell_width - IMAGE) / 2), middle = left + p->cell_width / 2;
    draw_record(cr, cell->record, image, top);
    if (cell->wrong)
        draw_wrong(cr, image, top);
    double y = top + IMAGE + 1;
    char text[FM_LABEL_MAX];
    if (p->any_above) {
        fm_set_font(cr, TEXT_FONT, true);
        fm_set_colour(cr, fm_ink);
        fm_label_fit(cr, text, cell->above, p->cell_width - GAP);
        fm_draw_text(cr, middle, y += TEXT_LINE, 0.5, text);
    }
    if (p->any_below) {
        fm_set_font(cr, TEXT_FONT, false);
        fm_set_colour(cr, fm_ink);
        fm_label_fit(cr, text, cell->below, p->cell_width - GAP);
        fm_draw_text(cr, middle, y + TEXT_LINE, 0.5, text);
    }
}

static void draw(cairo_t *cr, const void *what)
{
    const struct pictures *p = what;
    fm_heading_draw(&p->heading, cr);
    for (int i = 0; i < p->count; i++)
        draw_cell(p, cr, i);
    if (p->count == 0)
        fm_draw_nothing(cr, 0, p->heading.height, p->width, IMAGE, "There are no images.");
}

static void measure(struct pictures *p, cairo_t *cr)
{
    char text[FM_LABEL_MAX];
    double widest = 0;
    for (int i = 0; i < p->count; i++) {
        const struct fm_picture_cell *cell = &p->cells[i];
        p->any_above |= cell->above != NULL;
        p->any_below |= cell->below != NULL;
        fm_set_font(cr, TEXT_FONT, true);
        fm_label(text, cell->above, FM_LABEL_MAX);
        widest = fmax(widest, fm_text_width(cr, text));
        fm_set_font(cr, TEXT_FONT, false);
        fm_label(text, cell->below, FM_LABEL_MAX);
        widest = fmax(widest, fm_text_width(cr, text));
    }
    p->cell_width = floor(fmax(CELL_WIDTH_MIN, fmin(CELL_WIDTH_MAX, widest + GAP + 1)));
    p->cell_height = IMAGE + TEXT_LINE * (p->any_above + p->any_below) + 22;
}

enum fm_status fm_chart_pictures(const char *path, const char *title,
    const struct fm_picture_cell *cells, int count, int columns)
{
    struct pictures p = {.cells = cells, .count = count > 0 ? count : 0};
    p.columns = columns < 1 ? 1 : columns > COLUMNS_MAX ? COLUMNS_MAX : columns;
    cairo_t *ruler = fm_canvas_ruler();
    measure(&p, ruler);
    char said[96] = "";
    int most = p.columns * (int)(HEIGHT_MAX / p.cell_height);
    if (p.count > most) {
        snprintf(said, sizeof said, "The first %d of %d images.", most, p.count);
        p.count = most;
    }
    int across = p.count < p.columns ? p.count : p.columns;
    p.width = fmax(WIDTH_MIN, across * p.cell_width + 2 * FM_MARGIN);
    fm_heading_lay_out(&p.heading, ruler, title, said, p.width);
    cairo_destroy(ruler);
    int rows = (p.count + p.columns - 1) / p.columns;
    p.height = p.heading.height + 8 + (rows > 0 ? rows : 1) * p.cell_height + FM_MARGIN / 2.0;
    return fm_canvas_draw(path, p.width, p.height, draw, &p);
}
