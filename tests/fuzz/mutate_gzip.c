// Changes what is in a gzip file as often as the file: a changed stream seldom gets as far as the
// IDX header in it.
#include "fuzz.h"

#include <string.h>
#include <zlib.h>

enum {
    INNER_MAX = 1 << 14,
    GZIP_WINDOW_BITS = 15 + 16
};

// Both return how many bytes are in `out`; 0 where it cannot be done.
static size_t inflate_all(uint8_t *data, size_t size, uint8_t out[INNER_MAX])
{
    z_stream z = {.next_in = data, .avail_in = (uInt)size, .next_out = out, .avail_out = INNER_MAX};
    if (inflateInit2(&z, GZIP_WINDOW_BITS) != Z_OK)
        return 0;
    int code = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    return code == Z_STREAM_END ? INNER_MAX - z.avail_out : 0;
}

static size_t deflate_all(uint8_t *inner, size_t size, uint8_t *out, size_t max_size)
{
    z_stream z = {
        .next_in = inner, .avail_in = (uInt)size, .next_out = out, .avail_out = (uInt)max_size};
    if (deflateInit2(&z, 9, Z_DEFLATED, GZIP_WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    int code = deflate(&z, Z_FINISH);
    deflateEnd(&z);
    return code == Z_STREAM_END ? max_size - z.avail_out : 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static uint8_t inner[INNER_MAX], packed[INNER_MAX];
    size_t inside = seed % 2 == 0 ? inflate_all(data, size, inner) : 0;
    if (inside == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    inside = LLVMFuzzerMutate(inner, inside, INNER_MAX);
    size_t made = deflate_all(inner, inside, packed, max_size < INNER_MAX ? max_size : INNER_MAX);
    if (made == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    memcpy(data, packed, made);
    return made;
}
