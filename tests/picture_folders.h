// A data set in IDX format written as folders of PNG pictures, as people have them.
#ifndef FM_TESTS_PICTURE_FOLDERS_H
#define FM_TESTS_PICTURE_FOLDERS_H

#include "base/file.h"
#include "data/dataset.h"
#include "data/pictures/picture.h"

#include <stdio.h>

// Writes `each` pictures of each class, the first ones, to DIR/<base><class>/<number>.png, the
// number being that of the sample.
static inline enum fm_status write_picture_folders(const struct fm_samples *samples, int classes,
    const char *const *class_names, const char *directory, const char *base, int each)
{
    int written[FM_CLASSES_MAX] = {0};
    for (int c = 0; c < classes; c++) {
        char folder[FM_PATH_MAX];
        snprintf(folder, sizeof folder, "%s/%s%s", directory, base, class_names[c]);
        FM_TRY(fm_make_dirs(folder));
    }
    for (uint32_t i = 0; i < samples->count; i++) {
        char path[FM_PATH_MAX];
        struct fm_text png = {0};
        int label = samples->labels[i];
        if (label >= classes || written[label]++ >= each)
            continue;
        snprintf(path, sizeof path, "%s/%s%s/%05u.png", directory, base, class_names[label], i);
        FM_TRY(fm_png_encode_grey(
            samples->records + (size_t)i * FM_IMAGE_BYTES, FM_IMAGE_SIDE, FM_IMAGE_SIDE, &png));
        FILE *file = fopen(path, "wb");
        bool whole = file && fwrite(png.data, 1, png.length, file) == png.length;
        if ((file && fclose(file) != 0) || !whole)
            return fm_fail(FM_IO, "%s: cannot write", path);
        fm_text_free(&png);
    }
    return FM_OK;
}

#endif
