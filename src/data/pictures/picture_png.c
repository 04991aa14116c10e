// PNG pictures, by libpng, which brings every kind of them to 8 bits of red, green, blue and alpha.
// It reports errors by longjmp(): all that is changed after a setjmp() lies in a struct.
#include "data/pictures/picture.h"

#include "data/pictures/picture_parts.h"
#include "data/pictures/srgb.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFLATE_MAX_EXPANSION = 1032, // 258 bytes from the two bits of a length and a distance
    OVER_WHITE_SIZE = 256 * 256
};

struct png_decoder {
    const char *name;
    const uint8_t *bytes; // [size]
    size_t size, used;
    png_structp png;
    png_infop info;
    uint32_t width, height;
    int channels;
    struct fm_picture picture;
    png_bytep *rows; // [height], into the picture
    bool cut_off;
    char message[128]; // libpng's
};

static void keep_message(char *to, size_t size, const char *message)
{
    snprintf(to, size, "%s", message);
}

static PNG_NORETURN void on_error(png_structp png, png_const_charp message)
{
    struct png_decoder *d = png_get_error_ptr(png);
    keep_message(d->message, sizeof d->message, message);
    png_longjmp(png, 1);
}

// libpng warns of what does not change the pixels: odd text, a profile that is not one.
static void on_warning(png_structp png, png_const_charp message)
{
    (void)png, (void)message;
}

static void read_bytes(png_structp png, png_bytep to, size_t count)
{
    struct png_decoder *d = png_get_io_ptr(png);
    if (count > d->size - d->used) {
        d->cut_off = true;
        png_error(png, "the data end");
    }
    memcpy(to, d->bytes + d->used, count);
    d->used += count;
}

static enum fm_status fail_damaged(const struct png_decoder *d)
{
    if (d->cut_off)
        return fm_fail(FM_DATA,
            "%s: the PNG file is cut off: its data go on behind the end, at byte %zu", d->name,
            d->size);
    return fm_fail(FM_DATA, "%s: the PNG file is damaged: %s", d->name, d->message);
}

// The size, before anything is allocated for it.
static enum fm_status check_header(struct png_decoder *d)
{
    size_t row = png_get_rowbytes(d->png, d->info); // as it is stored
    d->width = png_get_image_width(d->png, d->info);
    d->height = png_get_image_height(d->png, d->info);
    FM_TRY(fm_picture_check_size(d->name, d->width, d->height));
    if ((uint64_t)row * d->height > (uint64_t)d->size * DEFLATE_MAX_EXPANSION)
        return fm_fail(FM_DATA,
            "%s: the PNG file claims %ux%u pixels, more than its %zu bytes can hold: it is cut off "
            "or damaged",
            d->name, d->width, d->height, d->size);
    return FM_OK;
}

static void ask_for_rgb(struct png_decoder *d)
{
    png_set_expand(d->png); // palettes, grey of less than 8 bits, a transparent colour
    png_set_scale_16(d->png);
    png_set_gray_to_rgb(d->png);
    png_set_interlace_handling(d->png);
    png_read_update_info(d->png, d->info);
    d->channels = png_get_channels(d->png, d->info);
}

static enum fm_status allocate(struct png_decoder *d)
{
    FM_TRY(fm_picture_allocate(d->name, d->width, d->height, d->channels, &d->picture));
    d->rows = malloc(d->height * sizeof *d->rows);
    if (!d->rows)
        return fm_fail_memory(d->name, d->height * sizeof *d->rows);
    size_t row = (size_t)d->width * (size_t)d->channels;
    for (uint32_t y = 0; y < d->height; y++)
        d->rows[y] = d->picture.rgb + y * row;
    return FM_OK;
}

// Chunks that change no pixel are passed over: of texts and profiles, a thousand of which may each
// unpack to eight megabytes, libpng would decompress every one.
static void pass_over_the_rest(png_structp png)
{
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_AS_DEFAULT, (png_const_bytep) "eXIf", 1);
}

// Whether EXIF data end before the file does: libpng 1.6.39 takes memory for as much as their chunk
// claims, whatever limit it is given.
static bool exif_within_file(const struct png_decoder *d)
{
    enum {
        SIGNATURE = 8,
        HEAD = 8, // of a chunk: length, type
        CRC = 4
    };
    size_t at = SIGNATURE;
    while (at <= d->size && d->size - at >= HEAD) {
        uint32_t length = png_get_uint_32(d->bytes + at);
        if (length > d->size - at - HEAD)
            return memcmp(d->bytes + at + 4, "eXIf", 4) != 0;
        at += HEAD + (size_t)length + CRC;
    }
    return true;
}

// Steps that may end in a longjmp(), apart from those that allocate.
static enum fm_status read_header(struct png_decoder *d)
{
    if (setjmp(png_jmpbuf(d->png)))
        return fail_damaged(d);
    png_set_read_fn(d->png, d, read_bytes);
    png_set_user_limits(d->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); // check_header() has ours
    pass_over_the_rest(d->png);
    d->cut_off = !exif_within_file(d);
    if (d->cut_off)
        return fail_damaged(d);
    png_read_info(d->png, d->info);
    FM_TRY(check_header(d));
    ask_for_rgb(d);
    return FM_OK;
}

static enum fm_status read_pixels(struct png_decoder *d)
{
    if (setjmp(png_jmpbuf(d->png)))
        return fail_damaged(d);
    png_read_image(d->png, d->rows);
    png_read_end(d->png, d->info);
    return FM_OK;
}

static enum fm_status read_orientation(struct png_decoder *d, int *orientation)
{
    static const char prefix[6] = "Exif\0";
    png_bytep exif = NULL;
    png_uint_32 size = 0;
    if (png_get_eXIf_1(d->png, d->info, &size, &exif) == 0 || size == 0)
        return FM_OK;
    uint8_t *block = malloc(sizeof prefix + size); // PNG leaves out what JPEG has before it
    if (!block)
        return fm_fail_memory(d->name, sizeof prefix + size);
    memcpy(block, prefix, sizeof prefix);
    memcpy(block + sizeof prefix, exif, size);
    enum fm_status status = fm_exif_orientation(d->name, block, sizeof prefix + size, orientation);
    free(block);
    return status;
}

// Light of `alpha` parts of the value and the rest of white.
static uint8_t over_white(const double light[256], unsigned value, unsigned alpha)
{
    double part = alpha / 255.0;
    return (uint8_t)lrint(fm_srgb_value(part * light[value] + (1 - part)));
}

// RGBA becomes RGB in place. Few pairs of value and alpha are met, each is computed once.
static enum fm_status make_opaque(struct png_decoder *d)
{
    struct fm_picture *picture = &d->picture;
    size_t count = (size_t)picture->width * picture->height;
    double light[256];
    if (d->channels == 3)
        return FM_OK;
    uint16_t *known = calloc(OVER_WHITE_SIZE, sizeof *known); // 0: not yet, else 1 more
    if (!known)
        return fm_fail_memory(d->name, OVER_WHITE_SIZE * sizeof *known);
    fm_srgb_light(light);
    for (size_t i = 0; i < count; i++) {
        unsigned alpha = picture->rgb[4 * i + 3];
        for (size_t c = 0; c < 3; c++) {
            unsigned value = picture->rgb[4 * i + c];
            uint16_t *one = &known[alpha << 8 | value];
            if (*one == 0)
                *one = (uint16_t)(over_white(light, value, alpha) + 1);
            picture->rgb[3 * i + c] = (uint8_t)(*one - 1);
        }
    }
    free(known);
    uint8_t *smaller = realloc(picture->rgb, 3 * count);
    if (smaller)
        picture->rgb = smaller;
    return FM_OK;
}

static enum fm_status decode(struct png_decoder *d, int *orientation)
{
    FM_TRY(read_header(d));
    FM_TRY(allocate(d));
    FM_TRY(read_pixels(d));
    FM_TRY(read_orientation(d, orientation));
    return make_opaque(d);
}

enum fm_status fm_png_decode(const char *name, const uint8_t *bytes, size_t size,
    struct fm_picture *picture, int *orientation)
{
    struct png_decoder d = {.name = name, .bytes = bytes, .size = size};
    enum fm_status status = FM_MEMORY;
    d.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &d, on_error, on_warning);
    d.info = d.png ? png_create_info_struct(d.png) : NULL;
    if (d.info)
        status = decode(&d, orientation);
    else
        fm_fail(FM_MEMORY, "%s: out of memory for libpng", name);
    png_destroy_read_struct(&d.png, &d.info, NULL);
    free(d.rows);
    if (status == FM_OK)
        *picture = d.picture;
    else
        fm_picture_free(&d.picture);
    return status;
}

// ---- Writing

struct png_encoder {
    struct fm_text *out;
    char message[128];
};

static PNG_NORETURN void on_write_error(png_structp png, png_const_charp message)
{
    struct png_encoder *e = png_get_error_ptr(png);
    keep_message(e->message, sizeof e->message, message);
    png_longjmp(png, 1);
}

static void write_bytes(png_structp png, png_bytep from, size_t count)
{
    struct png_encoder *e = png_get_io_ptr(png);
    fm_text_append_bytes(e->out, (const char *)from, count);
    if (e->out->failed)
        png_error(png, "out of memory");
}

static void flush_nothing(png_structp png)
{
    (void)png;
}

static enum fm_status encode(png_structp png, png_infop info, struct png_encoder *e,
    const uint8_t *pixels, uint32_t width, uint32_t height)
{
    if (setjmp(png_jmpbuf(png)))
        return fm_fail(e->out->failed ? FM_MEMORY : FM_DATA, "cannot make a PNG of %ux%u: %s",
            width, height, e->message);
    png_set_write_fn(png, e, write_bytes, flush_nothing);
    png_set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
        PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (uint32_t y = 0; y < height; y++)
        png_write_row(png, pixels + (size_t)y * width);
    png_write_end(png, info);
    return FM_OK;
}

enum fm_status fm_png_encode_grey(
    const uint8_t *pixels, uint32_t width, uint32_t height, struct fm_text *png)
{
    struct png_encoder e = {.out = png};
    enum fm_status status = FM_MEMORY;
    png_infop info = NULL;
    png_structp writer = png_create_write_struct(
        PNG_LIBPNG_VER_STRING, &e, on_write_error, on_warning);
    if (writer)
        info = png_create_info_struct(writer);
    if (info)
        status = encode(writer, info, &e, pixels, width, height);
    else
        fm_fail(FM_MEMORY, "out of memory for libpng");
    png_destroy_write_struct(&writer, &info);
    return status;
}

void fm_png_library(struct fm_library *library)
{
    *library = (struct fm_library){.name = "libpng", .compiled = PNG_LIBPNG_VER_STRING};
    snprintf(library->found, sizeof library->found, "%s", png_get_libpng_ver(NULL));
}
