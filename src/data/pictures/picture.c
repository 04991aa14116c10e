// Which decoder a picture needs, and what all of them share: sizes that are taken, and turning as
// EXIF says.
#include "data/pictures/picture.h"

#include "data/pictures/picture_parts.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAGIC_MAX = 8 // bytes of a file that is no picture, for the message
};

const char *const fm_convert_names[] = {"auto", "photo", "none", NULL};

enum fm_status fm_picture_check_size(const char *name, uint64_t width, uint64_t height)
{
    if (width == 0 || height == 0)
        return fm_fail(FM_DATA, "%s: the picture is of %" PRIu64 "x%" PRIu64 " pixels: it is empty",
            name, width, height);
    if (width > FM_PICTURE_SIDE_MAX || height > FM_PICTURE_SIDE_MAX ||
        width * height > FM_PICTURE_PIXELS_MAX)
        return fm_fail(FM_DATA,
            "%s: the picture is of %" PRIu64 "x%" PRIu64
            " pixels, expected sides of at most %d and at most %d million pixels: make it smaller",
            name, width, height, FM_PICTURE_SIDE_MAX, FM_PICTURE_PIXELS_MAX / 1000000);
    return FM_OK;
}

enum fm_status fm_picture_allocate(
    const char *name, uint32_t width, uint32_t height, int channels, struct fm_picture *picture)
{
    size_t bytes = (size_t)width * height * (size_t)channels;
    *picture = (struct fm_picture){.width = width, .height = height, .rgb = malloc(bytes)};
    return picture->rgb ? FM_OK : fm_fail_memory(name, bytes);
}

void fm_picture_free(struct fm_picture *picture)
{
    free(picture->rgb);
    *picture = (struct fm_picture){0};
}

// Where the stored picture's pixel (x, y) belongs in one of that width, upright. EXIF 2.32, table
// 6: on which sides the stored first row and first column are; from 5 on rows are columns.
static size_t upright_index(
    const struct fm_picture *stored, int orientation, uint32_t x, uint32_t y, uint32_t width)
{
    bool x_reversed = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool y_reversed = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    if (x_reversed)
        x = stored->width - 1 - x;
    if (y_reversed)
        y = stored->height - 1 - y;
    return orientation >= 5 ? (size_t)x * width + y : (size_t)y * width + x;
}

static enum fm_status turn(const char *name, int orientation, struct fm_picture *picture)
{
    struct fm_picture upright, *stored = picture;
    bool swapped = orientation >= 5;
    if (orientation <= 1 || orientation > FM_ORIENTATIONS)
        return FM_OK;
    FM_TRY(fm_picture_allocate(name, swapped ? stored->height : stored->width,
        swapped ? stored->width : stored->height, 3, &upright));
    for (uint32_t y = 0; y < stored->height; y++)
        for (uint32_t x = 0; x < stored->width; x++)
            memcpy(upright.rgb + 3 * upright_index(stored, orientation, x, y, upright.width),
                stored->rgb + 3 * ((size_t)y * stored->width + x), 3);
    fm_picture_free(picture);
    *picture = upright;
    return FM_OK;
}

// What else people have for pictures, by the bytes at its beginning.
static const char *other_format(const uint8_t *bytes, size_t size)
{
    static const struct {
        const char *magic;
        size_t length, at;
        const char *name;
    } others[] = {{"GIF8", 4, 0, "a GIF"}, {"WEBP", 4, 8, "a WebP"}, {"BM", 2, 0, "a BMP"},
        {"II*\0", 4, 0, "a TIFF"}, {"MM\0*", 4, 0, "a TIFF"}, {"ftypheic", 8, 4, "a HEIC"},
        {"ftypmif1", 8, 4, "a HEIF"}, {"ftypavif", 8, 4, "an AVIF"}, {"%PDF", 4, 0, "a PDF"}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (size >= others[i].at + others[i].length &&
            memcmp(bytes + others[i].at, others[i].magic, others[i].length) == 0)
            return others[i].name;
    }
    return NULL;
}

static enum fm_status fail_no_picture(const char *name, const uint8_t *bytes, size_t size)
{
    const char *other = other_format(bytes, size);
    if (size == 0)
        return fm_fail(FM_DATA, "%s: the file is empty, expected a PNG or JPEG picture", name);
    if (other)
        return fm_fail(FM_DATA, "%s: found %s file, expected PNG or JPEG: convert it", name, other);
    struct fm_text found = {0};
    for (size_t i = 0; i < size && i < MAGIC_MAX; i++)
        fm_text_append(&found, "%s%02x", i ? " " : "", bytes[i]);
    fm_fail(FM_DATA,
        "%s: no picture: found the bytes %s at its beginning, expected a PNG or JPEG file", name,
        fm_text_cstr(&found));
    fm_text_free(&found);
    return FM_DATA;
}

bool fm_png_begins(const uint8_t *bytes, size_t size)
{
    static const uint8_t magic[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    return size >= sizeof magic && memcmp(bytes, magic, sizeof magic) == 0;
}

bool fm_jpeg_begins(const uint8_t *bytes, size_t size)
{
    static const uint8_t magic[] = {0xff, 0xd8, 0xff};
    return size >= sizeof magic && memcmp(bytes, magic, sizeof magic) == 0;
}

enum fm_status fm_picture_decode(
    const char *name, const uint8_t *bytes, size_t size, struct fm_picture *picture)
{
    int orientation = 1;
    *picture = (struct fm_picture){0};
    if (size > FM_PICTURE_FILE_MAX)
        return fm_fail(FM_DATA,
            "%s: found %zu bytes, expected at most %d: no picture is that large", name, size,
            FM_PICTURE_FILE_MAX);
    if (fm_png_begins(bytes, size))
        FM_TRY(fm_png_decode(name, bytes, size, picture, &orientation));
    else if (fm_jpeg_begins(bytes, size))
        FM_TRY(fm_jpeg_decode(name, bytes, size, picture, &orientation));
    else
        return fail_no_picture(name, bytes, size);
    enum fm_status status = turn(name, orientation, picture);
    if (status != FM_OK)
        fm_picture_free(picture);
    return status;
}

void fm_picture_libraries(struct fm_library libraries[FM_PICTURE_LIBRARIES])
{
    fm_png_library(&libraries[0]);
    fm_jpeg_library(&libraries[1]);
    fm_exif_library(&libraries[2]);
}
