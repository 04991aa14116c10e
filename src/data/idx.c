// Reads one IDX file. The file is untrusted: it may have been cut off by a download, be another
// format under this name, or lie about its size. So every byte is accounted for: the header against
// the file's size before anything is allocated, the contents against the header, the gzip stream
// against its trailer, and the end against the end.
//
// Speed: inflating the training images is most of what loading costs, so nothing is done twice. The
// stream is inflated straight into its final place, in pieces that are still in the cache when zlib
// takes their CRC, and that CRC is the one reported.
#include "data/idx.h"

#include "base/file.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    GZIP_WINDOW_BITS = 15 + 16,   // zlib: the largest window, with a gzip header and trailer
    DEFLATE_MAX_EXPANSION = 1032, // 258 bytes from the two bits of a length and a distance
    INPUT_PIECE = 1 << 30,        // zlib counts in unsigned int
    OUTPUT_PIECE = 1 << 18,
    SIDE_MAX = 65535,
    HEADER_MAX = 16,
};

// The uncompressed bytes of a file that is held in memory, gzipped or plain.
struct source {
    const char *path;
    const unsigned char *file; // [file_size]
    size_t file_size;
    size_t used;     // plain: bytes handed out
    uint64_t offset; // in the uncompressed stream: bytes handed out
    uLong crc32;     // of the uncompressed stream, complete at its end
    bool gzipped;
    bool ended;
    z_stream z;
    uint64_t member_start; // offset at which the current gzip member began
};

static uint32_t big_endian(const unsigned char *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static uint32_t little_endian(const unsigned char *b)
{
    return (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
}

static bool has_gzip_magic(const unsigned char *bytes, size_t size)
{
    return size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

static size_t compressed_position(const struct source *source)
{
    return (size_t)(source->z.next_in - source->file);
}

static enum fm_status source_open(
    struct source *source, const char *path, const unsigned char *file, size_t size)
{
    *source = (struct source){.path = path, .file = file, .file_size = size};
    source->crc32 = crc32(0, NULL, 0);
    source->gzipped = has_gzip_magic(file, size);
    if (!source->gzipped)
        return FM_OK;
    source->z.next_in = (Bytef *)file; // zlib does not write to it
    int code = inflateInit2(&source->z, GZIP_WINDOW_BITS);
    if (code == Z_MEM_ERROR)
        return fm_fail(FM_MEMORY, "%s: out of memory for zlib", path);
    if (code != Z_OK)
        return fm_fail(FM_IO, "%s: inflateInit2: zlib's status %d", path, code);
    return FM_OK;
}

static void source_close(struct source *source)
{
    if (source->gzipped)
        inflateEnd(&source->z);
}

// zlib keeps the value it computed in `adler` and has just taken the trailer's four bytes.
static enum fm_status fail_broken(const struct source *source, uint64_t offset)
{
    const z_stream *z = &source->z;
    const char *message = z->msg ? z->msg : "no reason given";
    size_t position = compressed_position(source);
    uint32_t trailer = position >= 4 ? little_endian(z->next_in - 4) : 0;
    if (strcmp(message, "incorrect data check") == 0)
        return fm_fail(FM_DATA,
            "%s: offset %" PRIu64 ": the contents have CRC 0x%08lx, expected 0x%08" PRIx32
            " (the gzip trailer's): the file is damaged, get it again",
            source->path, offset, (unsigned long)z->adler, trailer);
    if (strcmp(message, "incorrect length check") == 0)
        return fm_fail(FM_DATA,
            "%s: offset %" PRIu64 ": the contents have %lu bytes, expected %" PRIu32
            " (the gzip trailer's): the file is damaged, get it again",
            source->path, offset, z->total_out, trailer);
    return fm_fail(FM_DATA,
        "%s: offset %" PRIu64 " (byte %zu of %zu compressed): found %s, expected a valid gzip "
        "stream: the file is damaged, get it again",
        source->path, offset, position, source->file_size, message);
}

static enum fm_status fail_cut_gzip(const struct source *source, uint64_t offset)
{
    return fm_fail(FM_DATA,
        "%s: offset %" PRIu64 ": the gzip stream ends after %zu compressed bytes, expected more: "
        "the file is cut off, get it again",
        source->path, offset, source->file_size);
}

// At the end of a gzip member: takes over its CRC; the file ends here, or another member begins.
static enum fm_status end_member(struct source *source, uint64_t offset)
{
    z_stream *z = &source->z;
    source->crc32 = crc32_combine(
        source->crc32, z->adler, (z_off_t)(offset - source->member_start));
    source->member_start = offset;
    size_t position = compressed_position(source);
    size_t left = source->file_size - position;
    if (left == 0) {
        source->ended = true;
        return FM_OK;
    }
    if (!has_gzip_magic(z->next_in, left))
        return fm_fail(FM_DATA,
            "%s: offset %" PRIu64 ": found %zu surplus bytes after the gzip stream (from byte %zu "
            "of the file), expected its end",
            source->path, offset, left, position);
    if (inflateReset(z) != Z_OK)
        return fm_fail(FM_IO, "%s: inflateReset failed", source->path);
    return FM_OK;
}

static enum fm_status gzip_read(struct source *source, unsigned char *out, size_t size, size_t *got)
{
    z_stream *z = &source->z;
    *got = 0;
    while (*got < size && !source->ended) {
        size_t left = source->file_size - compressed_position(source);
        size_t room = size - *got;
        uInt piece = room < OUTPUT_PIECE ? (uInt)room : OUTPUT_PIECE;
        z->avail_in = left < INPUT_PIECE ? (uInt)left : INPUT_PIECE;
        z->next_out = out + *got;
        z->avail_out = piece;
        int code = inflate(z, Z_NO_FLUSH);
        *got += piece - z->avail_out;
        uint64_t offset = source->offset + *got;
        if (code == Z_STREAM_END)
            FM_TRY(end_member(source, offset));
        else if (code == Z_DATA_ERROR || code == Z_NEED_DICT)
            return fail_broken(source, offset);
        else if (code == Z_MEM_ERROR)
            return fm_fail(FM_MEMORY, "%s: out of memory for zlib", source->path);
        else if (code == Z_BUF_ERROR ||
                 (z->avail_out > 0 && compressed_position(source) == source->file_size))
            return fail_cut_gzip(source, offset);
        else if (code != Z_OK)
            return fm_fail(FM_IO, "%s: inflate: zlib's status %d", source->path, code);
    }
    source->offset += *got;
    return FM_OK;
}

static void plain_read(struct source *source, unsigned char *out, size_t size, size_t *got)
{
    size_t left = source->file_size - source->used;
    *got = size < left ? size : left;
    memcpy(out, source->file + source->used, *got);
    source->crc32 = crc32_z(source->crc32, out, *got);
    source->used += *got;
    source->offset += *got;
}

// Up to `size` bytes; fewer only at the end of a stream that is sound to its end.
static enum fm_status source_read(
    struct source *source, unsigned char *out, size_t size, size_t *got)
{
    if (source->gzipped)
        return gzip_read(source, out, size, got);
    plain_read(source, out, size, got);
    return FM_OK;
}

// Magic and dimensions; `*bytes` is what the header promises after itself.
static enum fm_status read_header(
    struct source *source, enum fm_idx_kind kind, struct fm_idx *idx, uint64_t *bytes)
{
    const char *path = source->path;
    unsigned char header[HEADER_MAX];
    size_t size = kind == FM_IDX_IMAGES ? 16 : 8, got = 0;
    FM_TRY(source_read(source, header, size, &got));
    if (got >= 4 && big_endian(header) != (uint32_t)kind)
        return fm_fail(FM_DATA,
            "%s: offset 0: found magic 0x%08" PRIx32 ", expected 0x%08x (IDX %s)", path,
            big_endian(header), (unsigned)kind, kind == FM_IDX_IMAGES ? "images" : "labels");
    if (got < size)
        return fm_fail(FM_DATA,
            "%s: offset %zu: the data ends in the header, expected %zu bytes of header", path, got,
            size);
    idx->count = big_endian(header + 4);
    idx->rows = kind == FM_IDX_IMAGES ? big_endian(header + 8) : 1;
    idx->cols = kind == FM_IDX_IMAGES ? big_endian(header + 12) : 1;
    if (idx->count == 0)
        return fm_fail(FM_DATA, "%s: offset 4: found a count of 0, expected at least 1", path);
    if (idx->rows == 0 || idx->cols == 0 || idx->rows > SIDE_MAX || idx->cols > SIDE_MAX)
        return fm_fail(FM_DATA,
            "%s: offset 8: found images of %" PRIu32 "x%" PRIu32 ", expected sides of 1 to %d",
            path, idx->rows, idx->cols, SIDE_MAX);
    *bytes = (uint64_t)idx->rows * idx->cols * idx->count; // below 2^64: 2^16 * 2^16 * 2^32
    return FM_OK;
}

// What a file of this size can hold at most. Plain files hold what they hold, and a gzip stream
// that is too short is noticed later in any case; this is about never allocating for a lie.
static enum fm_status check_capacity(
    const struct source *source, const struct fm_idx *idx, uint64_t bytes)
{
    uint64_t capacity = source->file_size;
    if (source->gzipped)
        capacity *= DEFLATE_MAX_EXPANSION;
    if (bytes <= capacity && bytes <= SIZE_MAX)
        return FM_OK;
    return fm_fail(FM_DATA,
        "%s: offset 4: found a header for %" PRIu32 " x %" PRIu32 " x %" PRIu32 " = %" PRIu64
        " bytes, expected at most %" PRIu64 ", all that %s of %zu bytes can hold: the file is cut "
        "off or damaged",
        source->path, idx->count, idx->rows, idx->cols, bytes, capacity,
        source->gzipped ? "a gzip file" : "a file", source->file_size);
}

static enum fm_status read_contents(struct source *source, struct fm_idx *idx, uint64_t bytes)
{
    size_t got = 0, surplus = 0;
    unsigned char byte;
    FM_TRY(source_read(source, idx->data, (size_t)bytes, &got));
    if (got < bytes)
        return fm_fail(FM_DATA,
            "%s: offset %" PRIu64 ": the data ends, expected %" PRIu64 " bytes more (%" PRIu32
            " x %" PRIu32 " x %" PRIu32 " by the header)",
            source->path, source->offset, bytes - got, idx->count, idx->rows, idx->cols);
    uint64_t end = source->offset;
    FM_TRY(source_read(source, &byte, 1, &surplus)); // takes the gzip trailer, too
    if (surplus > 0)
        return fm_fail(FM_DATA,
            "%s: offset %" PRIu64 ": found surplus bytes, expected the end after %" PRIu32
            " x %" PRIu32 " x %" PRIu32 " bytes",
            source->path, end, idx->count, idx->rows, idx->cols);
    return FM_OK;
}

enum fm_status fm_idx_read(const char *path, enum fm_idx_kind kind, struct fm_idx *idx)
{
    unsigned char *file = NULL;
    size_t file_size;
    struct source source = {0};
    uint64_t bytes = 0;
    *idx = (struct fm_idx){0};

    enum fm_status status = fm_file_read(path, &file, &file_size);
    if (status != FM_OK)
        return status;
    FM_TRY_GOTO(status, source_open(&source, path, file, file_size), free_file);
    FM_TRY_GOTO(status, read_header(&source, kind, idx, &bytes), out);
    FM_TRY_GOTO(status, check_capacity(&source, idx, bytes), out);
    idx->data = malloc((size_t)bytes);
    if (!idx->data) {
        status = fm_fail_memory(path, bytes);
        goto out;
    }
    FM_TRY_GOTO(status, read_contents(&source, idx, bytes), out);
    idx->crc32 = (uint32_t)source.crc32;
    idx->size = source.offset;
out:
    source_close(&source);
free_file:
    free(file);
    if (status != FM_OK)
        fm_idx_free(idx);
    return status;
}

void fm_idx_free(struct fm_idx *idx)
{
    free(idx->data);
    *idx = (struct fm_idx){0};
}
