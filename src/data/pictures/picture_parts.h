// Between the files that make up data/pictures/picture.h; for no one else.
#ifndef FM_DATA_PICTURE_PARTS_H
#define FM_DATA_PICTURE_PARTS_H

#include "data/pictures/picture.h"

#include <stdbool.h>

enum {
    FM_PICTURE_FILE_MAX = 256 * 1024 * 1024, // bytes
    FM_ORIENTATIONS = 8                      // EXIF's: 1 is upright
};

// A regular file's bytes; freed by the caller.
enum fm_status fm_picture_file_read(const char *path, uint8_t **bytes, size_t *size);
// The rest of an open file, of a pipe, too: FM_PICTURE_FILE_MAX bytes and a few more at most, so
// that decoding tells when it is too much. `expected` is a guess.
enum fm_status fm_picture_bytes_read(
    int fd, const char *name, size_t expected, uint8_t **bytes, size_t *size);

// By their first bytes, of which FM_PICTURE_HEAD are enough.
enum {
    FM_PICTURE_HEAD = 8
};
bool fm_png_begins(const uint8_t *bytes, size_t size);
bool fm_jpeg_begins(const uint8_t *bytes, size_t size);

// Decoders of one format: the picture as it is stored, opaque, and how EXIF would have it turned.
// On failure nothing needs to be freed.
enum fm_status fm_png_decode(const char *name, const uint8_t *bytes, size_t size,
    struct fm_picture *picture, int *orientation);
enum fm_status fm_jpeg_decode(const char *name, const uint8_t *bytes, size_t size,
    struct fm_picture *picture, int *orientation);

// From a block of EXIF data, which begins with "Exif" and two zeros: 1 where it does not tell.
// FM_UNSUPPORTED in a build without libexif.
enum fm_status fm_exif_orientation(
    const char *name, const uint8_t *bytes, size_t size, int *orientation);

// FM_DATA unless the size is one that is taken.
enum fm_status fm_picture_check_size(const char *name, uint64_t width, uint64_t height);
// Sets the size and allocates `channels` bytes for each pixel.
enum fm_status fm_picture_allocate(
    const char *name, uint32_t width, uint32_t height, int channels, struct fm_picture *picture);

// What the build has of each library: see fm_picture_libraries().
void fm_png_library(struct fm_library *library);
void fm_jpeg_library(struct fm_library *library);
void fm_exif_library(struct fm_library *library);

// What differs from the background: [top, bottom) x [left, right).
struct fm_object {
    uint8_t background[3];
    uint32_t left, top, right, bottom;
};
// FM_DATA where there is nothing but background.
enum fm_status fm_object_find(
    const char *name, const struct fm_picture *picture, struct fm_object *object);

#endif
