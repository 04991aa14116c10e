// IDX files, sound and broken in every way that the reader checks. The broken ones are made here,
// byte by byte, and each must be refused with the file, the place, what was found and what was
// expected.
#include "base/file.h"
#include "data/idx.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "scratch.h"

enum {
    COUNT = 3,
    ROWS = 4,
    COLS = 5,
    IMAGES_SIZE = 16 + COUNT * ROWS * COLS,
    PACKED_MAX = 4096
};

static char scratch[SCRATCH_PATH_MAX];
static char path[FM_PATH_MAX];
static unsigned char images[IMAGES_SIZE]; // a sound file of images, uncompressed
static unsigned char *packed;             // [PACKED_MAX]: a file of a test, gzipped

static void put32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(value >> (24 - 8 * i));
}

static void put_header(unsigned char *to, uint32_t magic, uint32_t count, uint32_t r, uint32_t c)
{
    put32(to, magic);
    put32(to + 4, count);
    put32(to + 8, r);
    put32(to + 12, c);
}

static int set_up(void **state)
{
    (void)state;
    scratch_make(scratch, "idx");
    packed = malloc(PACKED_MAX);
    if (!packed)
        return -1;
    return fm_path_join(path, scratch, "file") == FM_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(scratch);
    free(packed);
    return 0;
}

static int fresh(void **state)
{
    (void)state;
    fm_error_clear();
    put_header(images, 0x803, COUNT, ROWS, COLS);
    for (int i = 16; i < IMAGES_SIZE; i++)
        images[i] = (unsigned char)(i * 37);
    return 0;
}

static void write_file(const unsigned char *data, size_t size)
{
    assert_int_equal(scratch_write(path, data, size), 0);
}

// One gzip member; returns its size.
static size_t pack(const unsigned char *data, size_t size, unsigned char *out)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)data;
    z.avail_in = (uInt)size;
    z.next_out = out;
    z.avail_out = PACKED_MAX;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size = z.total_out;
    assert_in_range(size, 18, PACKED_MAX - 8); // the tests change the trailer and add bytes
    deflateEnd(&z);
    return size;
}

static void expect_sound(uint64_t size)
{
    struct fm_idx idx;
    if (fm_idx_read(path, FM_IDX_IMAGES, &idx) != FM_OK)
        fail_msg("refused a sound file: %s", fm_error_message());
    assert_int_equal(idx.count, COUNT);
    assert_int_equal(idx.rows, ROWS);
    assert_int_equal(idx.cols, COLS);
    assert_memory_equal(idx.data, images + 16, IMAGES_SIZE - 16);
    assert_int_equal(idx.size, size);
    assert_int_equal(idx.crc32, crc32(0, images, IMAGES_SIZE));
    fm_idx_free(&idx);
    assert_null(idx.data);
}

// The file is refused and the message has the path and each of the parts (up to NULL).
static void expect_refused(enum fm_idx_kind kind, const char *const *parts)
{
    struct fm_idx idx;
    fm_error_clear();
    enum fm_status status = fm_idx_read(path, kind, &idx);
    const char *message = fm_error_message();
    if (status != FM_DATA)
        fail_msg("status %d (%s), expected FM_DATA with '%s'", status, message, parts[0]);
    assert_null(idx.data);
    assert_non_null(strstr(message, path));
    for (; *parts; parts++)
        if (!strstr(message, *parts))
            fail_msg("the message lacks '%s': %s", *parts, message);
}

#define REFUSED(kind, ...) expect_refused(kind, (const char *const[]){__VA_ARGS__, NULL})

static void a_plain_file_is_read(void **state)
{
    (void)state;
    write_file(images, IMAGES_SIZE);
    expect_sound(IMAGES_SIZE);
}

static void a_gzipped_file_is_read(void **state)
{
    (void)state;
    write_file(packed, pack(images, IMAGES_SIZE, packed));
    expect_sound(IMAGES_SIZE);
}

// gzip allows members one after the other; the cuts lie in the header and in the contents.
static void concatenated_members_are_read(void **state)
{
    (void)state;
    unsigned char part[PACKED_MAX];
    static const size_t cuts[] = {0, 7, 7, 16, 40, IMAGES_SIZE, IMAGES_SIZE};
    size_t size = 0;
    for (size_t i = 0; i + 1 < sizeof cuts / sizeof cuts[0]; i++) {
        size_t one = pack(images + cuts[i], cuts[i + 1] - cuts[i], part);
        memcpy(packed + size, part, one);
        size += one;
    }
    write_file(packed, size);
    expect_sound(IMAGES_SIZE);
}

static void labels_are_read(void **state)
{
    (void)state;
    const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 4, 9, 8, 0, 255};
    struct fm_idx idx;
    write_file(labels, sizeof labels);
    assert_int_equal(fm_idx_read(path, FM_IDX_LABELS, &idx), FM_OK);
    assert_int_equal(idx.count, 4);
    assert_int_equal(idx.rows * idx.cols, 1);
    assert_memory_equal(idx.data, labels + 8, 4);
    fm_idx_free(&idx);
}

static void a_wrong_magic_is_refused(void **state)
{
    (void)state;
    write_file(images, IMAGES_SIZE);
    REFUSED(FM_IDX_LABELS, "offset 0", "found magic 0x00000803", "expected 0x00000801", "labels");
    put32(images, 0x00000d03);
    write_file(images, IMAGES_SIZE);
    REFUSED(FM_IDX_IMAGES, "offset 0", "0x00000d03", "0x00000803", "images");
    write_file((const unsigned char *)"<!DOCTYPE html>", 15); // a download that was a page
    REFUSED(FM_IDX_IMAGES, "offset 0", "0x3c21444f", "0x00000803");
}

static void a_header_cut_off_is_refused(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 3, 4, 8, 15};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char offset[32];
        snprintf(offset, sizeof offset, "offset %zu:", sizes[i]);
        write_file(images, sizes[i]);
        REFUSED(FM_IDX_IMAGES, offset, "expected 16 bytes of header");
        write_file(packed, pack(images, sizes[i], packed));
        REFUSED(FM_IDX_IMAGES, offset, "expected 16 bytes of header");
    }
}

static void dimensions_of_zero_or_absurd_size_are_refused(void **state)
{
    (void)state;
    put_header(images, 0x803, 0, ROWS, COLS);
    write_file(images, IMAGES_SIZE);
    REFUSED(FM_IDX_IMAGES, "offset 4", "count of 0", "at least 1");
    put_header(images, 0x803, COUNT, 0, COLS);
    write_file(images, IMAGES_SIZE);
    REFUSED(FM_IDX_IMAGES, "offset 8", "0x5", "sides of 1 to 65535");
    put_header(images, 0x803, COUNT, ROWS, 0x80000000);
    write_file(images, IMAGES_SIZE);
    REFUSED(FM_IDX_IMAGES, "offset 8", "4x2147483648", "sides of 1 to 65535");

    // The largest that a header can say: refused before it is allocated.
    put_header(images, 0x803, UINT32_MAX, 65535, 65535);
    write_file(images, IMAGES_SIZE);
    REFUSED(FM_IDX_IMAGES, "offset 4", "4294967295 x 65535 x 65535 = 18446181123756261375",
        "expected at most 76");
    size_t size = pack(images, IMAGES_SIZE, packed);
    write_file(packed, size);
    REFUSED(FM_IDX_IMAGES, "offset 4", "4294967295 x 65535 x 65535", "a gzip file");
}

static void a_plain_file_cut_off_is_refused(void **state)
{
    (void)state;
    write_file(images, IMAGES_SIZE - 1);
    REFUSED(FM_IDX_IMAGES, "offset 75", "the data ends", "expected 1 bytes more", "3 x 4 x 5");
}

static void a_surplus_byte_is_refused(void **state)
{
    (void)state;
    unsigned char longer[IMAGES_SIZE + 1] = {0};
    memcpy(longer, images, IMAGES_SIZE);
    write_file(longer, sizeof longer);
    REFUSED(FM_IDX_IMAGES, "offset 76", "surplus", "expected the end");
    write_file(packed, pack(longer, sizeof longer, packed));
    REFUSED(FM_IDX_IMAGES, "offset 76", "surplus", "expected the end");
}

static void a_complete_gzip_stream_of_too_little_is_refused(void **state)
{
    (void)state;
    write_file(packed, pack(images, IMAGES_SIZE - 9, packed));
    REFUSED(FM_IDX_IMAGES, "offset 67", "the data ends", "expected 9 bytes more");
}

// Whatever the byte at which a gzip file is cut off, it is refused.
static void a_gzip_file_cut_off_anywhere_is_refused(void **state)
{
    (void)state;
    size_t size = pack(images, IMAGES_SIZE, packed);
    for (size_t cut = 2; cut < size; cut++) {
        write_file(packed, cut);
        REFUSED(FM_IDX_IMAGES, "offset ");
    }
    write_file(packed, size - 1);
    REFUSED(FM_IDX_IMAGES, "offset 76", "the gzip stream ends", "cut off");
}

static void a_crc_or_length_that_contradicts_is_refused(void **state)
{
    (void)state;
    char found[40], expected[40];
    size_t size = pack(images, IMAGES_SIZE, packed);
    uint32_t crc = (uint32_t)crc32(0, images, IMAGES_SIZE);
    snprintf(found, sizeof found, "have CRC 0x%08x", crc);
    snprintf(expected, sizeof expected, "expected 0x%08x", crc ^ 1);
    packed[size - 8] ^= 1;
    write_file(packed, size);
    REFUSED(FM_IDX_IMAGES, "offset 76", found, expected, "damaged");
    packed[size - 8] ^= 1;
    packed[size - 4] ^= 1;
    write_file(packed, size);
    REFUSED(FM_IDX_IMAGES, "offset 76", "have 76 bytes", "expected 77", "damaged");
}

// A flipped bit after the gzip header is noticed, but for the bits (fewer than eight) that fill up
// the last byte of the deflate stream and mean nothing.
static void a_flipped_bit_anywhere_is_refused(void **state)
{
    (void)state;
    size_t size = pack(images, IMAGES_SIZE, packed);
    int meaningless = 0;
    for (size_t bit = 8 * 10; bit < 8 * size; bit++) {
        unsigned char mask = (unsigned char)(1 << bit % 8);
        struct fm_idx idx;
        packed[bit / 8] ^= mask;
        write_file(packed, size);
        packed[bit / 8] ^= mask;
        fm_error_clear();
        enum fm_status status = fm_idx_read(path, FM_IDX_IMAGES, &idx);
        if (status == FM_OK) {
            assert_memory_equal(idx.data, images + 16, IMAGES_SIZE - 16);
            fm_idx_free(&idx);
            meaningless++;
        } else if (status != FM_DATA || !strstr(fm_error_message(), "offset ")) {
            fail_msg("bit %zu: status %d, %s", bit, status, fm_error_message());
        }
    }
    assert_true(meaningless < 8);
}

static void a_stream_that_is_no_deflate_is_refused(void **state)
{
    (void)state;
    size_t size = pack(images, IMAGES_SIZE, packed);
    packed[10] |= 6; // a block type that does not exist
    write_file(packed, size);
    REFUSED(FM_IDX_IMAGES, "offset 0", "compressed", "invalid block type", "damaged");
}

static void bytes_after_the_gzip_stream_are_refused(void **state)
{
    (void)state;
    char from[64];
    size_t size = pack(images, IMAGES_SIZE, packed);
    memcpy(packed + size, "tail", 4);
    write_file(packed, size + 4);
    snprintf(from, sizeof from, "from byte %zu of the file", size);
    REFUSED(FM_IDX_IMAGES, "offset 76", "4 surplus bytes", from, "expected its end");
    packed[size] = 0x1f; // looks like another member for a byte
    write_file(packed, size + 1);
    REFUSED(FM_IDX_IMAGES, "offset 76", "1 surplus bytes");
}

static void an_absent_file_is_an_input_error(void **state)
{
    (void)state;
    struct fm_idx idx;
    assert_int_equal(fm_idx_read("no-such-file.gz", FM_IDX_IMAGES, &idx), FM_IO);
    assert_non_null(strstr(fm_error_message(), "no-such-file.gz"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_plain_file_is_read, fresh),
        cmocka_unit_test_setup(a_gzipped_file_is_read, fresh),
        cmocka_unit_test_setup(concatenated_members_are_read, fresh),
        cmocka_unit_test_setup(labels_are_read, fresh),
        cmocka_unit_test_setup(a_wrong_magic_is_refused, fresh),
        cmocka_unit_test_setup(a_header_cut_off_is_refused, fresh),
        cmocka_unit_test_setup(dimensions_of_zero_or_absurd_size_are_refused, fresh),
        cmocka_unit_test_setup(a_plain_file_cut_off_is_refused, fresh),
        cmocka_unit_test_setup(a_surplus_byte_is_refused, fresh),
        cmocka_unit_test_setup(a_complete_gzip_stream_of_too_little_is_refused, fresh),
        cmocka_unit_test_setup(a_gzip_file_cut_off_anywhere_is_refused, fresh),
        cmocka_unit_test_setup(a_crc_or_length_that_contradicts_is_refused, fresh),
        cmocka_unit_test_setup(a_flipped_bit_anywhere_is_refused, fresh),
        cmocka_unit_test_setup(a_stream_that_is_no_deflate_is_refused, fresh),
        cmocka_unit_test_setup(bytes_after_the_gzip_stream_are_refused, fresh),
        cmocka_unit_test_setup(an_absent_file_is_an_input_error, fresh),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
