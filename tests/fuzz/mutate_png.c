// Changes pictures so that a PNG's checksums stay right: libpng gives up at the first wrong one.
#include "fuzz.h"

#include <string.h>
#include <zlib.h>

enum {
    SIGNATURE = 8,
    AROUND = 12 // bytes of a chunk besides its data: length, type, CRC
};

static uint32_t get(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void put(uint8_t *b, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        b[i] = (uint8_t)(value >> (24 - 8 * i));
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, max_size);
    if (size < SIGNATURE || memcmp(data, "\x89PNG\r\n\x1a\n", SIGNATURE) != 0 || seed % 8 == 0)
        return size;
    for (size_t at = SIGNATURE; size - at >= AROUND;) {
        uint32_t length = get(data + at);
        if (length > size - at - AROUND)
            break;
        put(data + at + 8 + length, (uint32_t)crc32(0, data + at + 4, length + 4));
        at += AROUND + length;
    }
    return size;
}
