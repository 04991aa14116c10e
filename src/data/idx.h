// One file in the IDX format (gzipped or plain), read whole and checked to the last byte.
//
// Format, from http://yann.lecun.com/exdb/mnist: a big-endian magic number 0x00000803 (u8, three
// dimensions: images) or 0x00000801 (u8, one dimension: labels), then a big-endian u32 for each
// dimension, then the bytes, the last dimension running fastest.
#ifndef FM_DATA_IDX_H
#define FM_DATA_IDX_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum fm_idx_kind {
    FM_IDX_IMAGES = 0x00000803,
    FM_IDX_LABELS = 0x00000801,
};

struct fm_idx {
    uint32_t count; // images or labels
    uint32_t rows;  // 1 for labels
    uint32_t cols;  // 1 for labels
    uint8_t *data;  // [count][rows][cols], owned
    uint32_t crc32; // of the uncompressed file, header included (zlib's crc32)
    uint64_t size;  // bytes of the uncompressed file
};

// Reads `path`. A failure (FM_IO, FM_DATA, FM_MEMORY) names the file, the offset in the
// uncompressed stream, what was found and what was expected: wrong magic, dimensions of zero or
// absurd size, a truncated or surplus byte, a broken gzip stream, a CRC or length that its trailer
// contradicts. Nothing is trusted before it is checked: memory is allocated for what the header
// says only when the file's size can hold it.
enum fm_status fm_idx_read(const char *path, enum fm_idx_kind kind, struct fm_idx *idx);
void fm_idx_free(struct fm_idx *idx);

#endif
