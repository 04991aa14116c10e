// Pictures as people have them: PNG and JPEG files, and what a network trained on Fashion-MNIST is
// given of them.
#ifndef FM_DATA_PICTURE_H
#define FM_DATA_PICTURE_H

#include "base/library.h"
#include "base/status.h"
#include "base/text.h"
#include "data/dataset.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    FM_PICTURE_SIDE_MAX = 16384,             // pixels
    FM_PICTURE_PIXELS_MAX = 64 * 1024 * 1024 // of a picture; more is refused before it is decoded
};

// Upright (EXIF's orientation has been applied) and opaque: what was transparent is white, as the
// paper that products are photographed on, and what was half transparent lets half of the white's
// light through. Colour profiles and PNG's gamma are not applied: values are taken for sRGB's. Inks
// (CMYK) become colours by the plain product (1 - C) (1 - K).
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
// build cannot read. Nothing is allocated for a size that the header claims before it is checked,
// nor for one that so few bytes cannot hold. A picture of which a part is missing is no picture:
// whatever the decoder would fill it up with fails. Of a file fm_picture_read() takes regular ones
// of at most 256 MiB.
enum fm_status fm_picture_decode(
    const char *name, const uint8_t *bytes, size_t size, struct fm_picture *picture);
enum fm_status fm_picture_read(const char *path, struct fm_picture *picture);
void fm_picture_free(struct fm_picture *picture);

// Whether a regular file begins as a PNG or JPEG picture does, be it one or not.
bool fm_picture_begins(const char *path);

// The record that a network is given: 28x28 u8, row by row, 0 = black = background. A photograph is
// converted as the data set's authors did (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747, section
// 2): edges of the corner's colour are trimmed, the longest edge becomes 28 pixels, a Gaussian of
// radius and deviation 1 sharpens, the object is centred on a square of its background, the
// intensities are negated and the colours become grey. Other than there: areas are averaged in
// linear light in place of pixels being skipped; only a light background is negated; and the
// background becomes exactly 0.
// What is within 5 % of the background's colour is background, and so are specks of less than a
// thousandth of the object. FM_DATA: there is nothing but background.
enum fm_status fm_picture_convert(const char *name, const struct fm_picture *picture,
    enum fm_convert convert, uint8_t record[FM_IMAGE_BYTES]);

// Grey pixels [height][width] as a PNG file's bytes, appended to `png`.
enum fm_status fm_png_encode_grey(
    const uint8_t *pixels, uint32_t width, uint32_t height, struct fm_text *png);

// The libraries that read pictures, for `fmnist info`.
enum {
    FM_PICTURE_LIBRARIES = 3
};
void fm_picture_libraries(struct fm_library libraries[FM_PICTURE_LIBRARIES]);

#endif
