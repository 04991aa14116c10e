// A Keras file is made in memory, so that it is written like every other: whole or not at all.
#include "net/formats/keras.h"

#include "base/file.h"
#include "net/formats/check.h"
#include "net/hdf5_module.h"

#include <stdlib.h>

enum fm_status fm_keras_write(const char *path, const struct fm_format_model *model)
{
    const struct fm_hdf5 *hdf5;
    unsigned char *image = NULL;
    size_t size = 0;
    FM_TRY(fm_hdf5_load(
        path, "a Keras file, which this fmnist cannot write", "export to another format", &hdf5));
    FM_TRY(fm_format_check(path, model));
    FM_TRY(hdf5->keras_image(path, model, &image, &size));
    enum fm_status status = fm_file_write(path, image, size);
    free(image);
    return status;
}
