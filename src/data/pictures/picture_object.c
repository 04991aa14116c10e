// Where in a photograph the object is: the paper's "trimming any edges that are close to the colour
// of the corner pixels", made to stand an object that reaches into a corner, the noise of JPEG and
// dust. Differing pixels are gathered into cells of a grid, so that a large picture costs one pass
// over its pixels and little memory; neighbouring cells make a part; parts that are tiny beside the
// largest are specks.
#include "data/pictures/picture.h"

#include "data/pictures/picture_parts.h"

#include <math.h>
#include <stdlib.h>

enum {
    GRID_SIDE = 512,  // cells, at most
    CORNER_PART = 50, // a corner is this part of the shorter side
    SPECK_PART = 1000 // of the largest part's pixels
};

// Squared distance in RGB up to which a colour counts as another: 5 % of the largest.
static const double tolerance = 3 * (0.05 * 255) * (0.05 * 255);

static bool is_near(const uint8_t *pixel, const double colour[3])
{
    double sum = 0;
    for (int c = 0; c < 3; c++)
        sum += (pixel[c] - colour[c]) * (pixel[c] - colour[c]);
    return sum <= tolerance;
}

// ---- The background

static const uint8_t *pixel_at(const struct fm_picture *picture, uint32_t x, uint32_t y)
{
    return picture->rgb + 3 * ((size_t)y * picture->width + x);
}

// The mean of a corner's pixels: 0 to 3, bit 0 right, bit 1 bottom.
static void corner_colour(const struct fm_picture *picture, int corner, double colour[3])
{
    uint32_t shorter = picture->width < picture->height ? picture->width : picture->height;
    uint32_t side = shorter < CORNER_PART ? 1 : shorter / CORNER_PART;
    uint32_t left = corner & 1 ? picture->width - side : 0;
    uint32_t top = corner & 2 ? picture->height - side : 0;
    for (int c = 0; c < 3; c++) {
        double sum = 0;
        for (uint32_t y = top; y < top + side; y++)
            for (uint32_t x = left; x < left + side; x++)
                sum += pixel_at(picture, x, y)[c];
        colour[c] = sum / ((double)side * side);
    }
}

// The i-th of the border's pixels: top and bottom row, then what is left of the columns.
static const uint8_t *border_pixel(const struct fm_picture *picture, uint32_t i)
{
    uint32_t width = picture->width, height = picture->height;
    if (i < 2 * width)
        return pixel_at(picture, i % width, i < width ? 0 : height - 1);
    i -= 2 * width;
    return pixel_at(picture, i < height ? 0 : width - 1, i % height);
}

// How many of the border's pixels are near a colour, and their mean.
static uint32_t border_near(
    const struct fm_picture *picture, const double colour[3], double mean[3])
{
    uint32_t near = 0, count = 2 * (picture->width + picture->height);
    double sum[3] = {0};
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *pixel = border_pixel(picture, i);
        if (!is_near(pixel, colour))
            continue;
        near++;
        for (int c = 0; c < 3; c++)
            sum[c] += pixel[c];
    }
    for (int c = 0; c < 3; c++)
        mean[c] = near ? sum[c] / near : colour[c];
    return near;
}

// The colour of that corner which most of the border agrees with.
static void find_background(const struct fm_picture *picture, double background[3])
{
    uint32_t most = 0;
    for (int corner = 0; corner < 4; corner++) {
        double colour[3], mean[3];
        corner_colour(picture, corner, colour);
        uint32_t near = border_near(picture, colour, mean);
        if (corner > 0 && near <= most)
            continue;
        most = near;
        for (int c = 0; c < 3; c++)
            background[c] = mean[c];
    }
}

// ---- What is not background

struct part {
    uint32_t pixels; // that are not background
    uint32_t left, top, right, bottom;
};

struct grid {
    uint32_t scale, columns, rows; // a cell has [scale][scale] pixels
    struct part *cells;            // [rows][columns]
    uint32_t *waiting;             // [rows][columns]: cells whose neighbours are to be looked at
    struct part *parts;            // room for as many as there are cells
};

static void add_part(struct part *to, const struct part *more)
{
    if (more->pixels == 0)
        return;
    if (to->pixels == 0) {
        *to = *more;
        return;
    }
    to->pixels += more->pixels;
    to->left = more->left < to->left ? more->left : to->left;
    to->top = more->top < to->top ? more->top : to->top;
    to->right = more->right > to->right ? more->right : to->right;
    to->bottom = more->bottom > to->bottom ? more->bottom : to->bottom;
}

static void fill_grid(
    const struct fm_picture *picture, const double background[3], struct grid *grid)
{
    for (uint32_t y = 0; y < picture->height; y++)
        for (uint32_t x = 0; x < picture->width; x++) {
            if (is_near(pixel_at(picture, x, y), background))
                continue;
            const struct part pixel = {1, x, y, x + 1, y + 1};
            add_part(
                &grid->cells[(size_t)(y / grid->scale) * grid->columns + x / grid->scale], &pixel);
        }
}

// Takes a cell out of the grid, into the part that is being gathered.
static void take_cell(struct grid *grid, uint32_t cell, uint32_t *waiting, struct part *part)
{
    if (grid->cells[cell].pixels == 0)
        return;
    add_part(part, &grid->cells[cell]);
    grid->cells[cell].pixels = 0;
    grid->waiting[(*waiting)++] = cell;
}

// Takes a cell and all that hang together with it out of the grid.
static struct part take_part(struct grid *grid, uint32_t first)
{
    struct part part = {0};
    uint32_t waiting = 0;
    take_cell(grid, first, &waiting, &part);
    while (waiting > 0) {
        uint32_t cell = grid->waiting[--waiting];
        uint32_t column = cell % grid->columns, row = cell / grid->columns;
        uint32_t left = column > 0 ? column - 1 : 0, top = row > 0 ? row - 1 : 0;
        for (uint32_t y = top; y <= row + 1 && y < grid->rows; y++)
            for (uint32_t x = left; x <= column + 1 && x < grid->columns; x++)
                take_cell(grid, y * grid->columns + x, &waiting, &part);
    }
    return part;
}

// All parts but specks. The parts are not kept where the cells were: there, a neighbour that is
// found later would take one in.
static struct part join_parts(struct grid *grid)
{
    struct part object = {0};
    uint32_t cells = grid->columns * grid->rows, count = 0, largest = 0;
    for (uint32_t i = 0; i < cells; i++) {
        if (grid->cells[i].pixels == 0)
            continue;
        struct part part = take_part(grid, i);
        largest = part.pixels > largest ? part.pixels : largest;
        grid->parts[count++] = part;
    }
    for (uint32_t i = 0; i < count; i++)
        if (grid->parts[i].pixels >= largest / SPECK_PART)
            add_part(&object, &grid->parts[i]);
    return object;
}

enum fm_status fm_object_find(
    const char *name, const struct fm_picture *picture, struct fm_object *object)
{
    uint32_t longer = picture->width > picture->height ? picture->width : picture->height;
    struct grid grid = {.scale = (longer + GRID_SIDE - 1) / GRID_SIDE};
    double background[3];
    grid.columns = (picture->width + grid.scale - 1) / grid.scale;
    grid.rows = (picture->height + grid.scale - 1) / grid.scale;
    size_t cells = (size_t)grid.columns * grid.rows;
    grid.cells = calloc(cells, sizeof *grid.cells);
    grid.waiting = malloc(cells * sizeof *grid.waiting);
    grid.parts = malloc(cells * sizeof *grid.parts);
    if (!grid.cells || !grid.waiting || !grid.parts) {
        free(grid.cells);
        free(grid.waiting);
        free(grid.parts);
        return fm_fail_memory(name, cells * (2 * sizeof *grid.cells + sizeof *grid.waiting));
    }
    find_background(picture, background);
    fill_grid(picture, background, &grid);
    const struct part part = join_parts(&grid);
    free(grid.cells);
    free(grid.waiting);
    free(grid.parts);
    if (part.pixels == 0)
        return fm_fail(FM_DATA,
            "%s: nothing but background: no pixel differs from the corners by more than 5 %%",
            name);
    *object = (struct fm_object){
        .left = part.left, .top = part.top, .right = part.right, .bottom = part.bottom};
    for (int c = 0; c < 3; c++)
        object->background[c] = (uint8_t)lrint(background[c]);
    return FM_OK;
}
