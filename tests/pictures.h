// Pictures for tests, made by libpng and libjpeg in every kind that people have, from the same
// pixels.
#ifndef FM_TESTS_PICTURES_H
#define FM_TESTS_PICTURES_H

#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

struct test_pixels {
    uint32_t width, height;
    const uint8_t *rgba; // [height][width][4]
};

struct test_png {
    int colour; // PNG_COLOR_TYPE_*
    int depth;  // bits: of a palette 8; of grey below 8 the values' upper bits are kept
    bool interlaced;
    bool key;        // of grey and RGB: pixels of alpha 0 get a colour that tRNS makes transparent
    int orientation; // EXIF's; 0: none
    uint8_t low;     // of 16 bits: the lower byte's bits that are turned over
};

enum test_inks {
    TEST_GREY,
    TEST_RGB,
    TEST_CMYK,       // as the standard has it: 255 is full ink
    TEST_CMYK_ADOBE, // with Adobe's marker, inverted
    TEST_YCCK_ADOBE
};
enum test_scans {
    TEST_ONE_SCAN,
    TEST_PROGRESSIVE, // ten, each making the picture finer
    TEST_SEPARATE     // one for each of three colours
};
struct test_jpeg {
    enum test_inks inks;
    int quality;
    enum test_scans scans;
    int orientation; // EXIF's; 0: none
};

// Appends the file's bytes; ends the test program when it cannot.
void test_png_make(
    const struct test_pixels *pixels, const struct test_png *kind, struct fm_text *out);
void test_jpeg_make(
    const struct test_pixels *pixels, const struct test_jpeg *kind, struct fm_text *out);

#endif
