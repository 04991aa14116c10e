// Changes safetensors files so that the length of the header stays right: else nearly every change
// that inserts or leaves out a byte would end at it.
#include "fuzz.h"

enum {
    LENGTH_BYTES = 8
};

// Bytes of the JSON object that begins here; all where it does not end.
static size_t object_size(const uint8_t *text, size_t size)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && text[i] == '{')
            depth++;
        else if (!quoted && text[i] == '}' && --depth == 0)
            return i + 1;
    }
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, max_size);
    if (size <= LENGTH_BYTES || seed % 8 == 0)
        return size;
    uint64_t length = object_size(data + LENGTH_BYTES, size - LENGTH_BYTES);
    for (int b = 0; b < LENGTH_BYTES; b++)
        data[b] = (uint8_t)(length >> (8 * b));
    return size;
}
