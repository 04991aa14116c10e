// In the place of picture_exif.c in a build without libexif. A picture that may lie on its side is
// not taken for one that stands.
#include "data/pictures/picture_parts.h"

enum fm_status fm_exif_orientation(
    const char *name, const uint8_t *bytes, size_t size, int *orientation)
{
    (void)bytes, (void)size, (void)orientation;
    return fm_fail(FM_UNSUPPORTED,
        "%s: a picture with EXIF data, which may say that it is to be turned; this fmnist cannot "
        "tell: it was built without libexif (Debian: libexif-dev); save the picture without EXIF "
        "data or build again",
        name);
}

void fm_exif_library(struct fm_library *library)
{
    *library = (struct fm_library){.name = "libexif", .without = "read pictures with EXIF data"};
}
