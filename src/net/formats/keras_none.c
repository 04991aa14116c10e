// In the place of keras.c in a build without libhdf5.
#include "net/formats/formats.h"

enum fm_status fm_keras_write(const char *path, const struct fm_format_model *model)
{
    (void)model;
    return fm_fail(FM_UNSUPPORTED,
        "%s: a Keras file, which this fmnist cannot write: it was built without libhdf5 (Debian: "
        "libhdf5-dev); export to another format or build again",
        path);
}
