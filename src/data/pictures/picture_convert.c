// From a picture to a record, as the data set's authors made theirs: see picture.h.
#include "data/pictures/picture.h"

#include "data/pictures/picture_parts.h"
#include "data/pictures/srgb.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static double luminance(const double light[256], const uint8_t *pixel)
{
    return fm_luminance(light[pixel[0]], light[pixel[1]], light[pixel[2]]);
}

static uint8_t to_byte(double value)
{
    return (uint8_t)lrint(fmin(fmax(value, 0), 255));
}

static void take_as_it_is(const struct fm_picture *picture, uint8_t record[FM_IMAGE_BYTES])
{
    double light[256];
    fm_srgb_light(light);
    for (int i = 0; i < FM_IMAGE_BYTES; i++)
        record[i] = to_byte(fm_srgb_value(luminance(light, picture->rgb + 3 * i)));
}

// Part `i` of `parts` equal ones of [from, to), in pixels and parts of pixels.
struct span {
    double from, to;
};

static struct span span_of(uint32_t from, uint32_t to, int i, int parts)
{
    double length = (double)(to - from) / parts;
    return (struct span){from + i * length, i + 1 < parts ? from + (i + 1) * length : to};
}

// How much of pixel `at` lies in the span.
static double overlap(struct span span, uint32_t at)
{
    return fmin(span.to, at + 1.0) - fmax(span.from, at);
}

// The mean luminance of a rectangle. Pixels at its edges count by the part that lies in it.
static double mean_luminance(const struct fm_picture *picture, const double light[256],
    struct span columns, struct span rows)
{
    double sum = 0, weight = 0;
    for (uint32_t y = (uint32_t)rows.from; y < rows.to; y++) {
        double of_row = 0, row_weight = 0;
        const uint8_t *row = picture->rgb + 3 * (size_t)y * picture->width;
        for (uint32_t x = (uint32_t)columns.from; x < columns.to; x++) {
            double part = overlap(columns, x);
            of_row += part * luminance(light, row + 3 * (size_t)x);
            row_weight += part;
        }
        sum += overlap(rows, y) * of_row;
        weight += overlap(rows, y) * row_weight;
    }
    return sum / weight;
}

// The longer edge becomes FM_IMAGE_SIDE, the other keeps the proportion, and a pixel at least.
static int scaled(uint32_t edge, uint32_t longer)
{
    int side = (int)lrint((double)edge * FM_IMAGE_SIDE / longer);
    return side < 1 ? 1 : side;
}

// The object at its new size, as sRGB's values, not rounded.
struct small {
    int columns, rows;
    double values[FM_IMAGE_BYTES]; // [rows][columns]
};

static void scale_object(const struct fm_picture *picture, const struct fm_object *object,
    const double light[256], struct small *small)
{
    uint32_t width = object->right - object->left, height = object->bottom - object->top;
    uint32_t longer = width > height ? width : height;
    small->columns = scaled(width, longer);
    small->rows = scaled(height, longer);
    for (int y = 0; y < small->rows; y++)
        for (int x = 0; x < small->columns; x++)
            small->values[y * small->columns + x] = fm_srgb_value(mean_luminance(picture, light,
                span_of(object->left, object->right, x, small->columns),
                span_of(object->top, object->bottom, y, small->rows)));
}

// A pixel, or the nearest one of the edge.
static double value_near(const struct small *small, int x, int y)
{
    x = x < 0 ? 0 : x < small->columns ? x : small->columns - 1;
    y = y < 0 ? 0 : y < small->rows ? y : small->rows - 1;
    return small->values[y * small->columns + x];
}

// With a Gaussian g of radius and deviation 1, as the paper says, by the kernel of ImageMagick's
// -sharpen: the centre weighs 2 sum(g), the eight neighbours -g each, all of it divided by what
// that adds up to, sum(g) + 1.
static double sharpened(const struct small *small, int x, int y)
{
    double sum = 0, all = 0;
    for (int v = -1; v <= 1; v++)
        for (int u = -1; u <= 1; u++) {
            double weight = exp(-(u * u + v * v) / 2.0);
            all += weight;
            if (u != 0 || v != 0)
                sum -= weight * value_near(small, x + u, y + v);
        }
    sum += 2 * all * value_near(small, x, y);
    return sum / (all + 1);
}

static void convert_object(const struct fm_picture *picture, const struct fm_object *object,
    uint8_t record[FM_IMAGE_BYTES])
{
    double light[256];
    struct small small;
    fm_srgb_light(light);
    scale_object(picture, object, light, &small);
    double background = fm_srgb_value(luminance(light, object->background));
    bool negated = background >= 127.5;
    double floor = negated ? 255 - background : background; // what becomes 0
    uint8_t *to = record + (FM_IMAGE_SIDE - small.rows) / 2 * FM_IMAGE_SIDE +
                  (FM_IMAGE_SIDE - small.columns) / 2;
    memset(record, 0, FM_IMAGE_BYTES);
    for (int y = 0; y < small.rows; y++)
        for (int x = 0; x < small.columns; x++) {
            double value = sharpened(&small, x, y);
            value = negated ? 255 - value : value;
            to[y * FM_IMAGE_SIDE + x] = to_byte((value - floor) * 255 / (255 - floor));
        }
}

enum fm_status fm_picture_convert(const char *name, const struct fm_picture *picture,
    enum fm_convert convert, uint8_t record[FM_IMAGE_BYTES])
{
    bool fits = picture->width == FM_IMAGE_SIDE && picture->height == FM_IMAGE_SIDE;
    struct fm_object object;
    if (fits && convert != FM_CONVERT_PHOTO) {
        take_as_it_is(picture, record);
        return FM_OK;
    }
    if (convert == FM_CONVERT_NONE)
        return fm_fail(FM_DATA,
            "%s: the picture is of %" PRIu32 "x%" PRIu32
            " pixels, expected %dx%d, as nothing is to "
            "be converted",
            name, picture->width, picture->height, FM_IMAGE_SIDE, FM_IMAGE_SIDE);
    FM_TRY(fm_object_find(name, picture, &object));
    convert_object(picture, &object, record);
    return FM_OK;
}
