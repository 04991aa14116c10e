// Makes pictures for tests: see pictures.h.
#include "pictures.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// After stdio.h, which it does not include itself.
#include <jpeglib.h>

enum {
    KEY = 85, // the grey that is made transparent: of 2 bits and above it can be said exactly
    EXIF_SIZE = 32,
    PREFIX = 6 // "Exif" and two zeros, which PNG leaves out
};

static void give_up(const char *what)
{
    fprintf(stderr, "cannot make a test picture: %s\n", what);
    exit(1);
}

// One entry: tag 0x0112, a short.
static void make_exif(int orientation, uint8_t exif[EXIF_SIZE])
{
    static const uint8_t start[24] = {
        'E', 'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0};
    memset(exif, 0, EXIF_SIZE);
    memcpy(exif, start, sizeof start);
    exif[24] = (uint8_t)orientation;
}

// ---- PNG

static void png_fails(png_structp png, png_const_charp message)
{
    (void)png;
    give_up(message);
    abort();
}

static void png_append(png_structp png, png_bytep bytes, size_t count)
{
    fm_text_append_bytes(png_get_io_ptr(png), (const char *)bytes, count);
}

struct palette {
    int count;
    png_color colours[256];
    png_byte alphas[256];
};

static int palette_index(struct palette *palette, const uint8_t *pixel)
{
    for (int i = 0; i < palette->count; i++)
        if (memcmp(&palette->colours[i], pixel, 3) == 0 && palette->alphas[i] == pixel[3])
            return i;
    if (palette->count == 256)
        give_up("too many colours for a palette");
    palette->colours[palette->count] = (png_color){pixel[0], pixel[1], pixel[2]};
    palette->alphas[palette->count] = pixel[3];
    return palette->count++;
}

static void put_sample(uint8_t *row, size_t index, const struct test_png *kind, unsigned value)
{
    int depth = kind->depth;
    if (depth == 16) {
        row[2 * index] = (uint8_t)value;
        row[2 * index + 1] = (uint8_t)(value ^ kind->low);
    } else {
        size_t bit = index * (size_t)depth;
        row[bit / 8] |= (uint8_t)(value << (8 - (size_t)depth - bit % 8));
    }
}

static void put_pixel(uint8_t *row, uint32_t x, const struct test_png *kind, const uint8_t *pixel,
    struct palette *palette)
{
    bool is_key = kind->key && pixel[3] == 0;
    int depth = kind->depth;
    unsigned grey = is_key ? KEY : pixel[0];
    size_t channels;
    switch (kind->colour) {
    case PNG_COLOR_TYPE_PALETTE:
        put_sample(row, x, kind, (unsigned)palette_index(palette, pixel));
        break;
    case PNG_COLOR_TYPE_GRAY:
        put_sample(row, x, kind, depth < 8 ? grey >> (8 - depth) : grey);
        break;
    case PNG_COLOR_TYPE_GRAY_ALPHA:
        put_sample(row, 2 * (size_t)x, kind, grey);
        put_sample(row, 2 * (size_t)x + 1, kind, pixel[3]);
        break;
    default:
        channels = kind->colour == PNG_COLOR_TYPE_RGB ? 3 : 4;
        for (size_t c = 0; c < channels; c++)
            put_sample(row, channels * x + c, kind, is_key ? KEY : pixel[c]);
    }
}

// [height] rows, as they are stored.
static uint8_t **make_rows(
    const struct test_pixels *pixels, const struct test_png *kind, struct palette *palette)
{
    uint8_t **rows = calloc(pixels->height, sizeof *rows);
    for (uint32_t y = 0; rows && y < pixels->height; y++) {
        rows[y] = calloc(8, pixels->width);
        if (!rows[y])
            give_up("out of memory");
        for (uint32_t x = 0; x < pixels->width; x++)
            put_pixel(
                rows[y], x, kind, pixels->rgba + 4 * ((size_t)y * pixels->width + x), palette);
    }
    return rows;
}

static void put_extras(
    png_structp png, png_infop info, const struct test_png *kind, struct palette *palette)
{
    if (kind->colour == PNG_COLOR_TYPE_PALETTE) {
        png_set_PLTE(png, info, palette->colours, palette->count);
        png_set_tRNS(png, info, palette->alphas, palette->count, NULL);
    } else if (kind->key) {
        png_uint_16 key = kind->depth == 16  ? KEY * 257
                          : kind->depth == 8 ? KEY
                                             : KEY >> (8 - kind->depth);
        png_color_16 transparent = {.red = key, .green = key, .blue = key, .gray = key};
        png_set_tRNS(png, info, NULL, 0, &transparent);
    }
    if (kind->orientation) {
        uint8_t exif[EXIF_SIZE];
        make_exif(kind->orientation, exif);
        png_set_eXIf_1(png, info, EXIF_SIZE - PREFIX, exif + PREFIX);
    }
}

void test_png_make(
    const struct test_pixels *pixels, const struct test_png *kind, struct fm_text *out)
{
    static struct palette palette;
    palette.count = 0;
    uint8_t **rows = make_rows(pixels, kind, &palette);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, png_fails, NULL);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!rows || !info)
        give_up("out of memory");
    png_set_write_fn(png, out, png_append, NULL);
    png_set_IHDR(png, info, pixels->width, pixels->height, kind->depth, kind->colour,
        kind->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
        PNG_FILTER_TYPE_DEFAULT);
    put_extras(png, info, kind, &palette);
    png_write_info(png, info);
    png_write_image(png, rows);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    for (uint32_t y = 0; y < pixels->height; y++)
        free(rows[y]);
    free(rows);
}

// ---- JPEG

static void put_inks(const uint8_t *rgba, enum test_inks inks, uint8_t *out)
{
    if (inks == TEST_GREY || inks == TEST_RGB) {
        memcpy(out, rgba, inks == TEST_RGB ? 3 : 1);
        return;
    }
    // As much black as there can be; what is left in the other three.
    int light = rgba[0] > rgba[1] ? rgba[0] : rgba[1];
    light = light > rgba[2] ? light : rgba[2];
    for (int c = 0; c < 4; c++) {
        int paper = c == 3 ? light : light == 0 ? 255 : (rgba[c] * 255 + light / 2) / light;
        out[c] = (uint8_t)(inks == TEST_CMYK ? 255 - paper : paper);
    }
}

static const jpeg_scan_info one_by_one[3] = {{1, {0}, 0, DCTSIZE2 - 1, 0, 0},
    {1, {1}, 0, DCTSIZE2 - 1, 0, 0}, {1, {2}, 0, DCTSIZE2 - 1, 0, 0}};

static void set_up_jpeg(struct jpeg_compress_struct *info, const struct test_jpeg *kind)
{
    static const J_COLOR_SPACE given[] = {JCS_GRAYSCALE, JCS_RGB, JCS_CMYK, JCS_CMYK, JCS_CMYK};
    static const J_COLOR_SPACE stored[] = {JCS_GRAYSCALE, JCS_YCbCr, JCS_CMYK, JCS_CMYK, JCS_YCCK};
    static const int components[] = {1, 3, 4, 4, 4};
    info->input_components = components[kind->inks];
    info->in_color_space = given[kind->inks];
    jpeg_set_defaults(info);
    jpeg_set_colorspace(info, stored[kind->inks]);
    jpeg_set_quality(info, kind->quality, TRUE);
    if (kind->inks == TEST_CMYK)
        info->write_Adobe_marker = FALSE;
    if (kind->scans == TEST_PROGRESSIVE)
        jpeg_simple_progression(info);
    if (kind->scans == TEST_SEPARATE) {
        info->scan_info = one_by_one;
        info->num_scans = 3;
    }
}

void test_jpeg_make(
    const struct test_pixels *pixels, const struct test_jpeg *kind, struct fm_text *out)
{
    struct jpeg_error_mgr error;
    struct jpeg_compress_struct info = {.err = jpeg_std_error(&error)};
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    uint8_t *row = calloc(4, pixels->width);
    if (!row)
        give_up("out of memory");
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &bytes, &size);
    info.image_width = pixels->width;
    info.image_height = pixels->height;
    set_up_jpeg(&info, kind);
    jpeg_start_compress(&info, TRUE);
    if (kind->orientation) {
        uint8_t exif[EXIF_SIZE];
        make_exif(kind->orientation, exif);
        jpeg_write_marker(&info, JPEG_APP0 + 1, exif, sizeof exif);
    }
    for (uint32_t y = 0; y < pixels->height; y++) {
        for (uint32_t x = 0; x < pixels->width; x++)
            put_inks(pixels->rgba + 4 * ((size_t)y * pixels->width + x), kind->inks,
                row + (size_t)info.input_components * x);
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    fm_text_append_bytes(out, (const char *)bytes, size);
    jpeg_destroy_compress(&info);
    free(bytes);
    free(row);
}
