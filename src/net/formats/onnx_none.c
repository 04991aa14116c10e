// In the place of onnx.c in a build without protobuf-c or onnx.proto.
#include "net/formats/formats.h"

enum fm_status fm_onnx_write(const char *path, const struct fm_format_model *model)
{
    (void)model;
    return fm_fail(FM_UNSUPPORTED,
        "%s: an ONNX file, which this fmnist cannot write: it was built without protobuf-c and "
        "onnx.proto (Debian: protobuf-c-compiler, libprotobuf-c-dev, libonnx-dev); export to "
        "another format or build again",
        path);
}
