// Pictures as people have them: PNG and JPEG files, and what a network trained on Fashion-MNIST is
// given of them.
#ifndef FM_DATA_PICTURE_H
#define FM_DATA_PICTURE_H

#include "base/status.h"
#include "base/text.h"
#include "data/dataset.h"

#include <stdint.h>

enum {
    FM_PICTURE_SIDE_MAX = 16384,             // pixels
    FM_PICTURE_PIXELS_MAX = 64 * 1024 * 1024 // of a picture; more is refused before it is decoded
};

// Upright (EXIF's orientation has been applied) and opaque (what was transparent is white, as the
// paper that products are photographed on).
struct fm_picture {
    uint32_t width, height;
    uint8_t *rgb; // [height][width][3], sRGB; owned
};

// What becomes of a picture on its way to a record.
enum fm_convert {
    FM_CONVERT_AUTO,  // 28x28: taken as it is, in grey; any other: as a photograph
    FM_CONVERT_PHOTO, // as a photograph, whatever its size
    FM_CONVERT_NONE,  // 28x28 as it is; any other fails with FM_DATA
};
extern const char *const fm_convert_names[]; // by enum fm_convert; ends with NULL

// Decodes a PNG or JPEG file's bytes; which of the two, they say themselves. 16 bits a channel,
// palettes, grey, alpha, interlacing, CMYK and YCCK are taken. `name` is for messages. FM_DATA
// names what is wrong: no picture, truncated, corrupt, too large; FM_UNSUPPORTED a format that this
// build cannot read. Nothing is allocated for a size that the header claims before it is checked.
enum fm_status fm_picture_decode(
    const char *name, const uint8_t *bytes, size_t size, struct fm_picture *picture);
enum fm_status fm_picture_read(const char *path, struct fm_picture *picture);
void fm_picture_free(struct fm_picture *picture);

// The record that a network is given: 28x28 u8, row by row, 0 = black = background. A photograph is
// converted as the data set's authors did (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747, section
// 2): edges of the corner's colour are trimmed, the longest edge becomes 28 pixels, the object is
// centred on a square of its background, the intensities are negated and the colours become grey.
// Other than there: areas are averaged in linear light in place of pixels being skipped, and only a
// light background is negated.
enum fm_status fm_picture_convert(const char *name, const struct fm_picture *picture,
    enum fm_convert convert, uint8_t record[FM_IMAGE_BYTES]);

// Grey pixels [height][width] as a PNG file's bytes, appended to `png`.
enum fm_status fm_png_encode_grey(
    const uint8_t *pixels, uint32_t width, uint32_t height, struct fm_text *png);

#endif
