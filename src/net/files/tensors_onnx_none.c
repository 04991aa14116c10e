// In the place of tensors_onnx.c in a build without protobuf-c or onnx.proto.
#include "net/files/libraries.h"
#include "net/files/tensors_class.h"

// A ModelProto begins, as writers have it, with its first field: ir_version, so far below 128.
static bool probe(const unsigned char *head, size_t head_size, uint64_t size)
{
    (void)size;
    return head_size >= 3 && head[0] == 0x08 && head[1] > 0 && head[1] < 128 && head[2] > 0x08;
}

static enum fm_status open_none(struct fm_tensors *tensors)
{
    return fm_fail(FM_UNSUPPORTED,
        "%s: an ONNX file, which this fmnist cannot read: it was built without protobuf-c or "
        "ONNX's "
        "onnx.proto (Debian: libprotobuf-c-dev, protobuf-c-compiler, libonnx-dev)",
        tensors->path);
}

const struct fm_tensors_class fm_tensors_onnx = {
    .format = FM_TENSORS_ONNX,
    .probe = probe,
    .open = open_none,
};

void fm_onnx_library(struct fm_library *library)
{
    *library = (struct fm_library){.name = "protobuf-c", .without = "read ONNX files"};
}
