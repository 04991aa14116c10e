// A walk over the wire format that stops at a depth, before anything else looks at a file.
#include "net/files/onnx_nesting.h"

#include <stdint.h>

enum {
    WIRE_VARINT = 0,
    WIRE_64 = 1,
    WIRE_LENGTH = 2,
    WIRE_32 = 5,
    VARINT_MAX = 10 // bytes
};

struct reader {
    const unsigned char *next, *end;
};

static bool varint(struct reader *r, uint64_t *value)
{
    *value = 0;
    for (int i = 0; i < VARINT_MAX && r->next < r->end; i++) {
        unsigned char byte = *r->next++;
        *value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool skip(struct reader *r, uint64_t size)
{
    if (size > (uint64_t)(r->end - r->next))
        return false;
    r->next += size;
    return true;
}

// The kind of message that a field holds; NULL of any other field.
static const ProtobufCMessageDescriptor *message_of(
    const ProtobufCMessageDescriptor *message, uint64_t number)
{
    const ProtobufCFieldDescriptor *field = number <= UINT32_MAX
                                                ? protobuf_c_message_descriptor_get_field(
                                                      message, (unsigned)number)
                                                : NULL;
    return field && field->type == PROTOBUF_C_TYPE_MESSAGE ? field->descriptor : NULL;
}

bool fm_onnx_nesting_within(
    const ProtobufCMessageDescriptor *message, const unsigned char *bytes, size_t size, int depth)
{
    struct reader r = {bytes, bytes + size};
    while (r.next < r.end) {
        uint64_t tag, length;
        if (!varint(&r, &tag))
            return false;
        int wire = (int)(tag & 7);
        if (wire == WIRE_LENGTH) {
            const ProtobufCMessageDescriptor *inner = message_of(message, tag >> 3);
            if (!varint(&r, &length))
                return false;
            const unsigned char *begin = r.next;
            if (!skip(&r, length))
                return false;
            if (inner &&
                (depth <= 1 || !fm_onnx_nesting_within(inner, begin, (size_t)length, depth - 1)))
                return false;
        } else if (wire == WIRE_VARINT ? !varint(&r, &length)
                   : wire == WIRE_64   ? !skip(&r, 8)
                   : wire == WIRE_32   ? !skip(&r, 4)
                                       : true) {
            return false;
        }
    }
    return true;
}
