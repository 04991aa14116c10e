// How deep messages lie in one another in protobuf's wire format
// (https://protobuf.dev/programming-guides/encoding): protobuf-c goes down by a call for each, so
// that a file of some thousand bytes could exhaust the stack.
#ifndef FM_NET_FILES_ONNX_NESTING_H
#define FM_NET_FILES_ONNX_NESTING_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

// Walks a message of this kind and those in it. False where one is cut off, has a wire type that
// ONNX's messages do not use, or lies deeper than `depth`.
bool fm_onnx_nesting_within(
    const ProtobufCMessageDescriptor *message, const unsigned char *bytes, size_t size, int depth);

#endif
