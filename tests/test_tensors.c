// Files of tensors: told apart by what is in them, listed from their headers alone, and every way
// in which a safetensors file's header can lie.
#include "net/files/tensors.h"

#include "base/file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"
#include "memory_limit.h"
#include "scratch.h"

static char folder[SCRATCH_PATH_MAX], path[FM_PATH_MAX];

// A file of this header, said to be as long as it is, and `size` bytes behind it.
static size_t write_file(const char *header, const void *bytes, size_t size)
{
    size_t length = strlen(header), total = 8 + length + size;
    unsigned char *data = calloc(1, total + 1);
    for (int b = 0; b < 8; b++)
        data[b] = (unsigned char)(length >> (8 * b));
    memcpy(data + 8, header, length);
    if (bytes)
        memcpy(data + 8 + length, bytes, size);
    assert_int_equal(scratch_write(path, data, total), 0);
    free(data);
    return total;
}

static void refuse(enum fm_status expected, const char *part)
{
    struct fm_tensors tensors;
    assert_fails(fm_tensors_open(path, &tensors), expected, part);
    assert_null(tensors.list);
    assert_null(tensors.of);
    fm_tensors_close(&tensors);
}

// ---- Told apart

static void other_formats(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *part;
    } cases[] = {
        {"", 0, "neither safetensors nor HDF5 nor ONNX (it has 0 bytes)"},
        {"{", 1, "begins with 7b)"},
        {"PK\3\4 and more", 13, "as PyTorch's own files"},
        {"\x80\2}q", 4, "a Python pickle"},
        {"\x93NUMPY\1\0", 8, "a NumPy array"},
        {"\x1f\x8b\x08\0", 4, "unpack it"},
        {"version https://git-lfs.github.com/spec/v1\n", 43, "git lfs pull"},
        {"<!DOCTYPE html><html>", 21, "a web page"},
        {"\x89PNG\r\n\x1a\n", 8, "a PNG picture"},
        {"\0\0\0\0\0\0\0\0\0\0", 10, "it has 10 bytes and begins with 00 00"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        assert_int_equal(scratch_write(path, cases[c].bytes, cases[c].size), 0);
        refuse(FM_DATA, cases[c].part);
    }
    remove(path);
    refuse(FM_IO, "No such file");
    struct fm_tensors tensors;
    assert_fails(fm_tensors_open(folder, &tensors), FM_IO, "is a folder");
    assert_int_equal(mkfifo(path, 0600), 0); // without a writer: it would be waited for
    refuse(FM_IO, "not a regular file");
    remove(path);
}

// ---- What is in a file

static void types(void **state)
{
    (void)state;
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\",\"k\":\"\"},"
        "\"d\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,16]},"
        "\"i\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[16,24]},"
        "\"f\":{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[24,28]},"
        "\"h\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[28,30]},"
        "\"b\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[30,32]},"
        "\"t\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[32,35]},"
        "\"e\":{\"dtype\":\"F8_E4M3\",\"shape\":[2],\"data_offsets\":[35,37]},"
        "\"q\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[37,39]},"
        "\"n\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[39,39]}}";
    static const struct {
        const char *name, *type;
        bool readable;
        size_t count, bytes;
    } expected[] = {{"d", "F64", true, 2, 16}, {"i", "I64", false, 1, 8}, {"f", "F32", true, 1, 4},
        {"h", "F16", true, 1, 2}, {"b", "BF16", true, 1, 2}, {"t", "BOOL", false, 3, 3},
        {"e", "F8_E4M3", false, 2, 2}, {"q", "F4", false, 3, 2}, {"n", "F32", true, 0, 0}};
    unsigned char bytes[39] = {0};
    const double doubles[2] = {0.1, -1e300};
    const float single = -2.5f;
    memcpy(bytes, doubles, 16);
    memcpy(bytes + 24, &single, 4);
    memcpy(bytes + 28, "\x00\x3c\x80\x3f", 4); // 1 in both
    size_t total = write_file(header, bytes, sizeof bytes);

    struct fm_tensors tensors;
    assert_ok(fm_tensors_open(path, &tensors));
    assert_int_equal(tensors.format, FM_TENSORS_SAFETENSORS);
    assert_int_equal(tensors.size, total);
    assert_int_equal(tensors.count, 9);
    assert_string_equal(fm_tensors_metadata(&tensors, "format"), "pt");
    assert_string_equal(fm_tensors_metadata(&tensors, "k"), "");
    assert_null(fm_tensors_metadata(&tensors, "K"));
    float values[3];
    for (int t = 0; t < 9; t++) {
        const struct fm_tensor_info *info = &tensors.list[t];
        assert_string_equal(info->name, expected[t].name);
        assert_string_equal(info->type, expected[t].type);
        assert_int_equal(info->readable, expected[t].readable);
        assert_int_equal(info->count, expected[t].count);
        assert_int_equal(info->bytes, expected[t].bytes);
        assert_int_equal(fm_tensors_find(&tensors, expected[t].name), t);
        if (expected[t].readable)
            assert_ok(fm_tensors_read(&tensors, t, values));
        else
            assert_fails(fm_tensors_read(&tensors, t, values), FM_UNSUPPORTED,
                "expected F32, F16, BF16 or F64");
    }
    assert_int_equal(fm_tensors_find(&tensors, "z"), -1);
    assert_ok(fm_tensors_read(&tensors, 0, values));
    assert_true(values[0] == 0.1f && values[1] == -INFINITY);
    for (int t = 2; t < 5; t++) {
        assert_ok(fm_tensors_read(&tensors, t, values));
        assert_true(values[0] == (t == 2 ? -2.5f : 1.0f));
    }
    fm_tensors_close(&tensors);
    fm_tensors_close(&tensors);
}

// More than is widened at a time, and not a multiple of it.
static void long_tensor(void **state)
{
    (void)state;
    enum {
        COUNT = (1 << 20) + 77
    };
    char header[128];
    uint16_t *halves = malloc(COUNT * sizeof *halves);
    float *values = malloc(COUNT * sizeof *values);
    for (int i = 0; i < COUNT; i++)
        halves[i] = (uint16_t)(0x3c00 + i % 1021); // 1 + (i % 1021) / 1024
    snprintf(header, sizeof header,
        "{\"h\":{\"dtype\":\"F16\",\"shape\":[%d],\"data_offsets\":[0,%d]}}", COUNT, 2 * COUNT);
    write_file(header, halves, COUNT * sizeof *halves);
    struct fm_tensors tensors;
    assert_ok(fm_tensors_open(path, &tensors));
    assert_ok(fm_tensors_read(&tensors, 0, values));
    for (int i = 0; i < COUNT; i++)
        if (values[i] != 1.0f + (float)(i % 1021) / 1024.0f)
            fail_msg("element %d is %g", i, (double)values[i]);
    fm_tensors_close(&tensors);
    free(halves);
    free(values);
}

// timm's VGG16 has 553 MB: there is no memory for it here, and none is needed.
static void large_file(void **state)
{
    (void)state;
    static const char header[] =
        "{\"large\":{\"dtype\":\"F32\",\"shape\":[4096,33000],\"data_offsets\":[0,540672000]},"
        "\"small\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[540672000,540672008]}}";
    const float last[2] = {3.0f, 4.0f};
    off_t end = 8 + (off_t)strlen(header) + 540672008;
    write_file(header, NULL, 0);
    assert_int_equal(truncate(path, end), 0);
    FILE *file = fopen(path, "r+b");
    fseeko(file, end - 8, SEEK_SET);
    assert_int_equal(fwrite(last, 4, 2, file), 2);
    fclose(file);

    struct rlimit before = memory_limit(64ull << 20);
    struct fm_tensors tensors;
    float values[2];
    enum fm_status opened = fm_tensors_open(path, &tensors);
    enum fm_status read = opened == FM_OK ? fm_tensors_read(&tensors, 1, values) : opened;
    memory_limit_undo(before);
    assert_ok(read);
    assert_true(values[0] == 3.0f && values[1] == 4.0f);
    fm_tensors_close(&tensors);
    remove(path);
}

// What was there when the file was opened may be gone when it is read.
static void shrinks(void **state)
{
    (void)state;
    struct fm_tensors tensors;
    float values[4];
    size_t total = write_file(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", NULL, 16);
    assert_ok(fm_tensors_open(path, &tensors));
    assert_int_equal(truncate(path, (off_t)total - 5), 0);
    assert_fails(fm_tensors_read(&tensors, 0, values), FM_DATA, "cut off");
    fm_tensors_close(&tensors);
}

// ---- What lies

#define T(type, shape, begin, end)                                                                 \
    "{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static void lies(void **state)
{
    (void)state;
    static const struct {
        enum fm_status status;
        const char *header;
        size_t size;
        const char *part;
    } cases[] = {
        {FM_DATA, "{\"a\":" T("F32", "[2500000000]", "0", "10000000000") "}", 1000,
            "ends at offset 10000000000, but the file holds 1000"},
        {FM_DATA, "{\"a\":" T("I64", "[2305843009213693953]", "0", "8") "}", 8, "overflows"},
        {FM_DATA, "{\"a\":" T("F32", "[4294967296,4294967296]", "0", "0") "}", 0, "overflows"},
        // 2^59 elements are 2^64 bits, 2^58 + 1 of twice the size a few more.
        {FM_DATA, "{\"a\":" T("F32", "[576460752303423488]", "0", "0") "}", 0,
            "has 0 bytes, but its shape of 576460752303423488 F32 elements takes "
            "2305843009213693952"},
        {FM_DATA, "{\"a\":" T("F64", "[288230376151711745]", "0", "8") "}", 8,
            "takes 2305843009213693960"},
        {FM_DATA, "{\"a\":" T("F4", "[3]", "0", "1") "}", 1, "takes 2"},
        {FM_DATA, "{\"a\":" T("F32", "[1]", "0", "4") ",\"a\":" T("F32", "[1]", "4", "8") "}", 8,
            "duplicate"},
        {FM_DATA, "{\"a\":" T("F32", "[1]", "0", "4") ",\"b\":" T("F32", "[1]", "2", "6") "}", 6,
            "tensors overlap"},
        {FM_DATA, "{\"a\":" T("F32", "[1]", "0", "4") ",\"b\":" T("F32", "[1]", "8", "12") "}", 12,
            "there is a gap"},
        {FM_DATA, "{\"a\":" T("F32", "[1]", "4", "0") "}", 4, "ascending"},
        {FM_DATA, "{\"a\":" T("F32", "[1]", "0", "4") "}", 5, "1 surplus bytes"},
        {FM_UNSUPPORTED, "{\"a\":" T("F7", "[1]", "0", "4") "}", 4, "'F7'"},
        {FM_DATA, "{\"__metadata__\":{\"a\":1}}", 0, "'a' is not text"},
        {FM_DATA, "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "duplicate"},
        {FM_DATA, "{\"a\\u0000b\":" T("F32", "[1]", "0", "4") "}", 4, "\\u0000"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        write_file(cases[c].header, NULL, cases[c].size);
        struct rlimit before = memory_limit(64ull << 20);
        refuse(cases[c].status, cases[c].part);
        memory_limit_undo(before);
    }
}

// There is no memory for the header that is claimed, and none is asked for.
static void long_header_claimed(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {90000000, 10000000000, UINT64_MAX};
    for (int i = 0; i < 3; i++) {
        char data[1024] = {0}, part[64];
        memcpy(data, &lengths[i], 8);
        data[8] = '{';
        assert_int_equal(scratch_write(path, data, sizeof data), 0);
        snprintf(part, sizeof part, "said to have %llu bytes, but 1016 follow",
            (unsigned long long)lengths[i]);
        struct rlimit before = memory_limit(64ull << 20);
        refuse(FM_DATA, part);
        memory_limit_undo(before);
    }
}

static void nested(void **state)
{
    (void)state;
    enum {
        DEPTH = 100000
    };
    char *header = malloc(2 * DEPTH + 16);
    strcpy(header, "{\"a\":");
    memset(header + 5, '[', DEPTH);
    memset(header + 5 + DEPTH, ']', DEPTH);
    strcpy(header + 5 + 2 * DEPTH, "}");
    write_file(header, NULL, 0);
    refuse(FM_DATA, "maximum parsing depth reached");
    free(header);
}

static void too_many(void **state)
{
    (void)state;
    size_t room = 80 * (size_t)(FM_TENSORS_MAX + 2), used = 0;
    char *header = malloc(room);
    for (int i = 0; i <= FM_TENSORS_MAX; i++)
        used += (size_t)snprintf(
            header + used, room - used, "%c\"%d\":" T("F32", "[0]", "0", "0"), i ? ',' : '{', i);
    snprintf(header + used, room - used, "}");
    write_file(header, NULL, 0);
    refuse(FM_DATA, "more than 100000 tensors");
    used = (size_t)snprintf(header, room, "{\"__metadata__\":");
    for (int i = 0; i <= FM_TENSORS_METADATA_MAX; i++)
        used += (size_t)snprintf(header + used, room - used, "%c\"%d\":\"\"", i ? ',' : '{', i);
    snprintf(header + used, room - used, "}}");
    write_file(header, NULL, 0);
    refuse(FM_DATA, "more than 10000 texts");
    free(header);
}

static void names(void **state)
{
    (void)state;
    char header[512];
    struct fm_tensors tensors;
    snprintf(header, sizeof header, "{\"%0255d\":" T("F32", "[1]", "0", "4") "}", 0);
    write_file(header, NULL, 4);
    assert_ok(fm_tensors_open(path, &tensors));
    assert_int_equal(strlen(tensors.list[0].name), 255);
    fm_tensors_close(&tensors);
    snprintf(header, sizeof header, "{\"%0256d\":" T("F32", "[1]", "0", "4") "}", 0);
    write_file(header, NULL, 4);
    refuse(FM_DATA, "256 bytes, expected 1 to 255");
    write_file("{\"a\xff\":" T("F32", "[1]", "0", "4") "}", NULL, 4);
    refuse(FM_DATA, "unable to decode byte 0xff");
}

// Cut off at every byte it is refused: none of its bytes is surplus.
static void cut_off_anywhere(void **state)
{
    (void)state;
    unsigned char *data;
    size_t size;
    struct fm_tensors tensors;
    write_file("{\"__metadata__\":{\"format\":\"pt\"},\"a\":" T(
                   "F16", "[2,3]", "0", "12") ",\"b\":" T("I64", "[]", "12", "20") "}",
        NULL, 20);
    assert_ok(fm_file_read(path, &data, &size));
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(scratch_write(path, data, cut), 0);
        if (fm_tensors_open(path, &tensors) == FM_OK)
            fail_msg("taken with %zu of its %zu bytes", cut, size);
        assert_non_null(strstr(fm_error_message(), path));
        fm_error_clear();
    }
    assert_int_equal(scratch_write(path, data, size), 0);
    assert_ok(fm_tensors_open(path, &tensors));
    fm_tensors_close(&tensors);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_formats),
        cmocka_unit_test(types),
        cmocka_unit_test(long_tensor),
        cmocka_unit_test(large_file),
        cmocka_unit_test(shrinks),
        cmocka_unit_test(lies),
        cmocka_unit_test(long_header_claimed),
        cmocka_unit_test(nested),
        cmocka_unit_test(too_many),
        cmocka_unit_test(names),
        cmocka_unit_test(cut_off_anywhere),
    };
    scratch_make(folder, "tensors");
    if (fm_path_join(path, folder, "file") != FM_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(folder);
    return failed;
}
