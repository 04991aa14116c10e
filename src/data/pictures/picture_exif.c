// How a camera was held, from a picture's EXIF data, by libexif.
#include "data/pictures/picture_parts.h"

#include "base/features.h"

#include <libexif/exif-data.h>

enum fm_status fm_exif_orientation(
    const char *name, const uint8_t *bytes, size_t size, int *orientation)
{
    *orientation = 1;
    ExifData *data = exif_data_new_from_data(bytes, (unsigned)size);
    if (!data)
        return fm_fail(FM_MEMORY, "%s: out of memory for libexif", name);
    const ExifEntry *entry = exif_content_get_entry(data->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);
    if (entry && entry->format == EXIF_FORMAT_SHORT && entry->components == 1 && entry->size >= 2) {
        int value = exif_get_short(entry->data, exif_data_get_byte_order(data));
        if (value >= 1 && value <= FM_ORIENTATIONS)
            *orientation = value;
    }
    exif_data_unref(data);
    return FM_OK;
}

void fm_exif_library(struct fm_library *library)
{
    *library = (struct fm_library){
        .name = "libexif", .compiled = FM_EXIF_VERSION, .without = "read pictures with EXIF data"};
    fm_library_file((const void *)(size_t)exif_data_new_from_data, library);
}
