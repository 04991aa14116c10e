// Pictures, PNG or JPEG by what they begin with, and what becomes of those that can be read.
#include "fuzz.h"

#include "data/dataset.h"
#include "data/pictures/picture.h"

enum {
    PIXELS_MAX =
        1 << 20 // of a picture that is converted: a larger one takes long and tells no more
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fm_fuzz_file(data, size);
    struct fm_picture picture;
    enum fm_status status = fm_picture_read(path, &picture);
    fm_fuzz_returned(status);
    if (status != FM_OK)
        return 0;
    uint8_t record[FM_IMAGE_BYTES];
    if ((uint64_t)picture.width * picture.height <= PIXELS_MAX)
        fm_fuzz_returned(fm_picture_convert(path, &picture, FM_CONVERT_PHOTO, record));
    fm_picture_free(&picture);
    return 0;
}
