// In the place of picture_jpeg.c in a build without libjpeg-turbo.
#include "data/pictures/picture_parts.h"

enum fm_status fm_jpeg_decode(const char *name, const uint8_t *bytes, size_t size,
    struct fm_picture *picture, int *orientation)
{
    (void)bytes, (void)size, (void)picture, (void)orientation;
    return fm_fail(FM_UNSUPPORTED,
        "%s: a JPEG picture, which this fmnist cannot read: it was built without libjpeg-turbo "
        "(Debian: libjpeg62-turbo-dev); convert the picture to PNG or build again",
        name);
}

void fm_jpeg_library(struct fm_library *library)
{
    *library = (struct fm_library){.name = "libjpeg-turbo", .without = "read JPEG pictures"};
}
