// Pictures, PNG or JPEG by what they begin with, and what becomes of those that can be read.
#include "fuzz.h"

#include "data/dataset.h"
#include "data/pictures/picture.h"

enum {
    PIXELS_MAX = 1 << 16 // of a picture that is converted: larger ones take long and tell no more
};

static void convert(const char *path, const struct fm_picture *picture, enum fm_convert convert)
{
    uint8_t record[FM_IMAGE_BYTES];
    enum fm_status status = fm_picture_convert(path, picture, convert, record);
    fm_fuzz_returned(status);
    if (status == FM_OK)
        fm_fuzz_look_at(record, sizeof record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fm_fuzz_file(data, size);
    struct fm_picture picture;
    enum fm_status status = fm_picture_read(path, &picture);
    fm_fuzz_returned(status);
    if (status != FM_OK)
        return 0;
    uint64_t pixels = (uint64_t)picture.width * picture.height;
    fm_fuzz_require(
        pixels > 0 && pixels <= FM_PICTURE_PIXELS_MAX, "a picture has a size that is allowed");
    fm_fuzz_look_at(picture.rgb, 3 * pixels);
    if (pixels <= PIXELS_MAX) {
        convert(path, &picture, FM_CONVERT_PHOTO);
        convert(path, &picture, FM_CONVERT_AUTO);
    }
    fm_picture_free(&picture);
    return 0;
}
