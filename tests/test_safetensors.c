// Weights files: written and read back, byte for byte the same for the same contents, and every way
// in which a file can contradict itself.
#include "base/file.h"
#include "net/safetensors.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"

static char path[FM_PATH_MAX];

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s/test_safetensors.%ld", FM_TEST_BINARY_DIR, (long)getpid());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

// Writes a file of this header, said to be `length` bytes long, and `count` bytes of tensors.
static void write_raw(uint64_t length, const char *header, const void *bytes, size_t count)
{
    unsigned char prefix[8];
    for (int b = 0; b < 8; b++)
        prefix[b] = (unsigned char)(length >> (8 * b));
    const struct fm_chunk chunks[] = {{prefix, 8}, {header, strlen(header)}, {bytes, count}};
    assert_ok(fm_file_write_chunks(path, chunks, 3));
}

static void write_header(const char *header, size_t count)
{
    static const unsigned char zeros[256];
    assert_true(count <= sizeof zeros);
    write_raw(strlen(header), header, zeros, count);
}

static void refuse_as(enum fm_status expected, const char *header, size_t count, const char *part)
{
    struct fm_tensor_file file;
    write_header(header, count);
    assert_fails(fm_safetensors_read(path, &file), expected, part);
    assert_null(file.tensors);
    assert_null(file.memory);
    assert_int_equal(file.count, 0);
}

static void refuse(const char *header, size_t count, const char *part)
{
    refuse_as(FM_DATA, header, count, part);
}

static float weights[6] = {0.0f, -1.5f, 3.4028235e38f, 1e-45f, -0.0f, 0.1f};
static float biases[3] = {1.0f, 2.0f, 3.0f};
static float scalar[1] = {7.0f};

static const struct fm_tensor tensors[] = {
    {.name = "z.weight", .ndims = 2, .dims = {2, 3}, .count = 6, .data = weights},
    {.name = "a.bias", .ndims = 1, .dims = {3}, .count = 3, .data = biases},
    {.name = "step", .ndims = 0, .count = 1, .data = scalar},
    {.name = "empty", .ndims = 2, .dims = {0, 4}, .count = 0, .data = NULL},
};

static void round_trip(void **state)
{
    (void)state;
    static const char *const metadata[] = {"format", "pt", "model", "de\"ep\\er\n", NULL};
    assert_ok(fm_safetensors_write(path, tensors, 4, metadata));

    struct fm_tensor_file file;
    assert_ok(fm_safetensors_read(path, &file));
    assert_int_equal(file.count, 4);
    for (int t = 0; t < 4; t++) {
        const struct fm_tensor *read = fm_safetensors_find(&file, tensors[t].name);
        assert_non_null(read);
        assert_int_equal(read->ndims, tensors[t].ndims);
        for (int d = 0; d < read->ndims; d++)
            assert_int_equal(read->dims[d], tensors[t].dims[d]);
        assert_int_equal(read->count, tensors[t].count);
        if (read->count > 0)
            assert_memory_equal(read->data, tensors[t].data, read->count * sizeof(float));
    }
    assert_null(fm_safetensors_find(&file, "weight"));
    for (int m = 0; m < 4; m++)
        assert_string_equal(file.metadata[m], metadata[m]);
    assert_null(file.metadata[4]);
    fm_safetensors_free(&file);
    fm_safetensors_free(&file);
}

// Opened, a file's tensors are read one by one, in any order and as often as asked, past a counter
// that is left out; cut off since, it is refused.
static void opened_and_loaded(void **state)
{
    (void)state;
    static const char header[] =
        "{\"first\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
        "\"batches\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[8,16]},"
        "\"second\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[16,20]}}  ";
    static const float values[] = {1.0f, 2.0f, 0.0f, 0.0f, 3.0f};
    struct fm_tensor_file file;
    float out[2];
    write_raw(sizeof header - 1, header, values, sizeof values);
    assert_ok(fm_safetensors_open(path, &file));
    assert_int_equal(file.count, 2);
    const struct fm_tensor *first = fm_safetensors_find(&file, "first");
    const struct fm_tensor *second = fm_safetensors_find(&file, "second");
    assert_true(first && second && !first->data && !second->data);
    for (int i = 0; i < 2; i++) {
        assert_ok(fm_safetensors_load(&file, second, out));
        assert_true(out[0] == 3.0f);
        assert_ok(fm_safetensors_load(&file, first, out));
        assert_true(out[0] == 1.0f && out[1] == 2.0f);
    }
    assert_int_equal(truncate(path, (off_t)(8 + sizeof header - 1 + 18)), 0);
    assert_ok(fm_safetensors_load(&file, first, out));
    assert_int_not_equal(fm_safetensors_load(&file, second, out), FM_OK);
    fm_error_clear();
    fm_safetensors_free(&file);

    write_raw(sizeof header - 1, header, values, sizeof values);
    assert_ok(fm_safetensors_read(path, &file)); // read before, it is copied
    assert_ok(fm_safetensors_load(&file, fm_safetensors_find(&file, "second"), out));
    assert_true(out[0] == 3.0f);
    fm_safetensors_free(&file);
}

// Data brought one tensor after the other, each in the place of the one before.
struct source {
    float buffer[8];
    int asked; // tensors, in order
    int fail_at;
};

static enum fm_status bring(void *context, int tensor, const float **data)
{
    struct source *source = context;
    assert_int_equal(tensor, source->asked++);
    if (tensor == source->fail_at)
        return fm_fail(FM_BACKEND, "the device is gone");
    memset(source->buffer, 0xff, sizeof source->buffer);
    if (tensors[tensor].count > 0)
        memcpy(source->buffer, tensors[tensor].data, tensors[tensor].count * sizeof(float));
    *data = source->buffer;
    return FM_OK;
}

static void data_can_be_brought_when_it_is_written(void **state)
{
    (void)state;
    static const char *const metadata[] = {"format", "pt", NULL};
    struct fm_tensor described[4];
    struct source source = {.fail_at = -1};
    unsigned char *expected, *found;
    size_t expected_size, found_size;
    assert_ok(fm_safetensors_write(path, tensors, 4, metadata));
    assert_ok(fm_file_read(path, &expected, &expected_size));
    memcpy(described, tensors, sizeof described);
    for (int t = 0; t < 4; t++)
        described[t].data = NULL; // it is not looked at
    assert_ok(fm_safetensors_write_from(path, described, 4, metadata, bring, &source));
    assert_int_equal(source.asked, 4);
    assert_ok(fm_file_read(path, &found, &found_size));
    assert_int_equal(found_size, expected_size);
    assert_memory_equal(found, expected, found_size);
    free(found);

    // What cannot be brought leaves the file that was there.
    for (int t = 0; t < 4; t++) {
        source = (struct source){.fail_at = t};
        static const char *const other[] = {"format", "np", NULL};
        assert_fails(fm_safetensors_write_from(path, described, 4, other, bring, &source),
            FM_BACKEND, "the device is gone");
        assert_int_equal(source.asked, t + 1);
        assert_ok(fm_file_read(path, &found, &found_size));
        assert_int_equal(found_size, expected_size);
        assert_memory_equal(found, expected, found_size);
        free(found);
    }
    free(expected);
}

static void exact_bytes(void **state)
{
    (void)state;
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"z.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
        "\"a.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[24,36]}}";
    static const char *const metadata[] = {"format", "pt", NULL};
    size_t padded = (sizeof header - 1 + 7) / 8 * 8;
    unsigned char *data;
    size_t size;
    assert_ok(fm_safetensors_write(path, tensors, 2, metadata));
    assert_ok(fm_file_read(path, &data, &size));
    assert_int_equal(size, 8 + padded + 36);
    assert_int_equal(data[0], padded);
    assert_memory_equal(data + 8, header, sizeof header - 1);
    for (size_t i = sizeof header - 1; i < padded; i++)
        assert_int_equal(data[8 + i], ' ');
    assert_memory_equal(data + 8 + padded, weights, 24);
    assert_memory_equal(data + 8 + padded + 24, biases, 12);
    free(data);
}

static void nothing_in_it(void **state)
{
    (void)state;
    struct fm_tensor_file file;
    assert_ok(fm_safetensors_write(path, NULL, 0, NULL));
    assert_ok(fm_safetensors_read(path, &file));
    assert_int_equal(file.count, 0);
    assert_null(file.metadata);
    fm_safetensors_free(&file);
}

static void half_precisions(void **state)
{
    (void)state;
    static const uint16_t bits[] = {0x3c00, 0xc000, 0x0001, 0x8001, 0x03ff, 0x0400, 0x7bff, 0x7c00,
        0xfc00, 0x7e00,                          // F16
        0x3f80, 0xc000, 0x0001, 0x7f80, 0x7fc0}; // BF16
    static const float expected[] = {1.0f, -2.0f, 0x1p-24f, -0x1p-24f, 0x1.ff8p-15f, 0x1p-14f,
        65504.0f, INFINITY, -INFINITY, NAN, 1.0f, -2.0f, 0x1p-133f, INFINITY, NAN};
    static const char header[] =
        "{\"h\":{\"dtype\":\"F16\",\"shape\":[2,5],\"data_offsets\":[0,20]},"
        "\"b\":{\"dtype\":\"BF16\",\"shape\":[5],\"data_offsets\":[20,30]}}";
    struct fm_tensor_file file;
    write_raw(sizeof header - 1, header, bits, sizeof bits);
    assert_ok(fm_safetensors_read(path, &file));
    assert_int_equal(file.count, 2);
    for (int i = 0; i < 15; i++) {
        float value = i < 10 ? file.tensors[0].data[i] : file.tensors[1].data[i - 10];
        if (isnan(expected[i]) ? !isnan(value) : !(value == expected[i]))
            fail_msg("bits 0x%04x: %g, expected %g", bits[i], (double)value, (double)expected[i]);
    }
    fm_safetensors_free(&file);
}

// The header's order need not be that of the bytes (the reference implementation sorts by dtype).
static void order_of_bytes(void **state)
{
    (void)state;
    static const char header[] =
        "{\"second\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]},"
        "\"first\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}   ";
    static const float values[] = {1.0f, 2.0f};
    struct fm_tensor_file file;
    write_raw(sizeof header - 1, header, values, sizeof values);
    assert_ok(fm_safetensors_read(path, &file));
    assert_string_equal(file.tensors[0].name, "first");
    assert_true(fm_safetensors_find(&file, "first")->data[0] == 1.0f);
    assert_true(fm_safetensors_find(&file, "second")->data[0] == 2.0f);
    fm_safetensors_free(&file);
}

#define T(shape, begin, end)                                                                       \
    "{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static void broken_files(void **state)
{
    (void)state;
    struct fm_tensor_file file;
    assert_ok(fm_file_write(path, "\x02\0\0", 3));
    assert_fails(fm_safetensors_read(path, &file), FM_DATA, "3 bytes, expected");
    write_raw(1000, "{}", NULL, 0);
    assert_fails(
        fm_safetensors_read(path, &file), FM_DATA, "said to have 1000 bytes, but 2 follow");
    write_raw(UINT64_MAX, "{}", NULL, 0);
    assert_fails(
        fm_safetensors_read(path, &file), FM_DATA, "said to have 18446744073709551615 bytes");
    write_raw(0, "{}", NULL, 0);
    assert_fails(fm_safetensors_read(path, &file), FM_DATA, "does not begin with '{'");
    write_raw(2, "[]", NULL, 0);
    assert_fails(fm_safetensors_read(path, &file), FM_DATA, "does not begin with '{'");
    write_raw(2, "{\"a\":1}", NULL, 0);
    assert_fails(fm_safetensors_read(path, &file), FM_DATA, "header, byte 2");
    unlink(path);
    assert_fails(fm_safetensors_read(path, &file), FM_IO, path);
    refuse("{} x", 0, "header, byte");
    refuse("{\"a\":" T("[1]", "0", "4") ",\"a\":" T("[1]", "4", "8") "}", 8, "duplicate");
    refuse("{\"a\xff\":" T("[1]", "0", "4") "}", 4, "unable to decode byte 0xff");
    refuse("{\"a\\u0000b\":" T("[1]", "0", "4") "}", 4, "\\u0000");
}

static void broken_offsets(void **state)
{
    (void)state;
    refuse("{\"a\":" T("[1]", "0", "4") ",\"b\":" T("[2]", "2", "10") "}", 10,
        "'b' begins at offset 2, expected 4: tensors overlap");
    refuse("{\"a\":" T("[1]", "0", "4") ",\"b\":" T("[1]", "0", "4") "}", 4, "tensors overlap");
    refuse("{\"a\":" T("[1]", "0", "4") ",\"b\":" T("[1]", "8", "12") "}", 12,
        "'b' begins at offset 8, expected 4: there is a gap");
    refuse("{\"a\":" T("[1]", "4", "8") "}", 8, "there is a gap");
    refuse("{\"a\":" T("[1]", "0", "4") "}", 7, "end at offset 4, 3 surplus bytes follow");
    refuse("{}", 1, "1 surplus bytes");
    refuse("{\"a\":" T("[2]", "0", "8") "}", 4, "ends at offset 8, but the file holds 4 bytes");
    refuse("{\"a\":" T("[1]", "4", "0") "}", 4, "not two ascending whole numbers");
    refuse("{\"a\":" T("[1]", "-4", "0") "}", 4, "not two ascending whole numbers");
    refuse("{\"a\":" T("[1]", "0.0", "4") "}", 4, "not two ascending whole numbers");
    refuse("{\"a\":" T("[1]", "0", "99999999999999999999") "}", 4, "too big integer");
    refuse(
        "{\"a\":" T("[1]", "9223372036854775803", "9223372036854775807") "}", 4, "ends at offset");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "not a pair");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":4}}", 4, "not a pair");
}

static void broken_shapes(void **state)
{
    (void)state;
    refuse("{\"a\":" T("[2]", "0", "4") "}", 4,
        "has 4 bytes, but its shape of 2 F32 elements takes 8");
    refuse("{\"a\":" T("[]", "0", "8") "}", 8, "has 8 bytes, but its shape of 1 F32");
    refuse("{\"a\":" T("[0]", "0", "4") "}", 4, "has 4 bytes, but its shape of 0 F32");
    refuse("{\"a\":" T("[-1]", "0", "4") "}", 4, "dimension 0 is not a whole number");
    refuse("{\"a\":" T("[1,1.5]", "0", "4") "}", 4, "dimension 1 is not a whole number");
    refuse("{\"a\":" T("[1,\"2\"]", "0", "4") "}", 4, "dimension 1 is not a whole number");
    refuse("{\"a\":" T("1", "0", "4") "}", 4, "not a list");
    // Products that come out as a small number when they overflow: 2^64 + 0, (2^62 + 1) * 4 = 4.
    refuse("{\"a\":" T("[4294967296,4294967296]", "0", "0") "}", 0, "overflows");
    refuse("{\"a\":" T("[4611686018427387905]", "0", "4") "}", 4, "overflows");
    refuse("{\"a\":" T("[9223372036854775807,2,1]", "0", "4") "}", 4, "overflows");
    refuse("{\"a\":" T("[1,1,1,1,1,1,1,1,1]", "0", "4") "}", 4, "9 dimensions, expected at most 8");
}

static void broken_entries(void **state)
{
    (void)state;
    static const char half[] = "\"shape\":[1],\"data_offsets\":[0,4]";
    char header[512];
    snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"I32\",%s}}", half);
    refuse_as(FM_UNSUPPORTED, header, 4, "'I32', expected F32, F16, BF16 or F64");
    snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"f32\",%s}}", half);
    refuse_as(FM_UNSUPPORTED, header, 4, "'f32'");
    snprintf(header, sizeof header, "{\"a\":{\"dtype\":32,%s}}", half);
    refuse(header, 4, "'dtype' is missing or not text");
    snprintf(header, sizeof header, "{\"a\":{\"type\":\"F32\",%s}}", half);
    refuse(header, 4, "'dtype' is missing");
    snprintf(header, sizeof header, "{\"a\":{\"x\":1,\"dtype\":\"F32\",%s}}", half);
    refuse(header, 4, "exactly");
    refuse("{\"a\":[1]}", 0, "exactly");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "exactly");
    refuse("{\"\":" T("[1]", "0", "4") "}", 4, "0 bytes, expected 1 to 255");
    snprintf(header, sizeof header, "{\"%0128d\":" T("[1]", "0", "4") "}", 0);
    refuse(header, 4, "128 bytes, expected 1 to 127");
    snprintf(header, sizeof header, "{\"%0127d\":" T("[1]", "0", "4") "}", 0);
    struct fm_tensor_file file;
    write_header(header, 4);
    assert_ok(fm_safetensors_read(path, &file));
    fm_safetensors_free(&file);
    refuse("{\"__metadata__\":[]}", 0, "'__metadata__' is not an object");
    refuse("{\"__metadata__\":{\"a\":1}}", 0, "metadata 'a' is not text");
}

// A file cut off anywhere, or with any byte of its header changed, is read or refused: no more is
// asked here, the sanitizers watch.
static void cut_and_changed(void **state)
{
    (void)state;
    static const char *const metadata[] = {"format", "pt", NULL};
    unsigned char *data;
    size_t size;
    struct fm_tensor_file file;
    assert_ok(fm_safetensors_write(path, tensors, 4, metadata));
    assert_ok(fm_file_read(path, &data, &size));
    for (size_t cut = 0; cut < size; cut += 7) {
        assert_ok(fm_file_write(path, data, cut));
        assert_int_not_equal(fm_safetensors_read(path, &file), FM_OK);
        fm_error_clear();
    }
    static const unsigned char bytes[] = {0, '"', '9', ']', 0xff};
    for (size_t at = 0; at < size - 40; at += 5) {
        unsigned char kept = data[at];
        data[at] = bytes[at % sizeof bytes];
        assert_ok(fm_file_write(path, data, size));
        if (fm_safetensors_read(path, &file) == FM_OK)
            fm_safetensors_free(&file);
        fm_error_clear();
        data[at] = kept;
    }
    free(data);
}

static void wrong_writes(void **state)
{
    (void)state;
    struct fm_tensor pair[2] = {tensors[0], tensors[0]};
    unlink(path);
    assert_fails(
        fm_safetensors_write(path, pair, 2, NULL), FM_DATA, "two tensors to write are named");
    pair[1] = tensors[1];
    pair[1].count = 4;
    assert_fails(
        fm_safetensors_write(path, pair, 2, NULL), FM_DATA, "'a.bias' to write has 4 elements");
    pair[1] = tensors[1];
    snprintf(pair[1].name, sizeof pair[1].name, "__metadata__");
    assert_fails(fm_safetensors_write(path, pair, 2, NULL), FM_DATA, "'__metadata__'");
    pair[1].name[0] = '\0';
    assert_fails(fm_safetensors_write(path, pair, 2, NULL), FM_DATA, "tensor 1");
    snprintf(pair[1].name, sizeof pair[1].name, "a\xff");
    assert_fails(fm_safetensors_write(path, pair, 2, NULL), FM_DATA, "not UTF-8");
    static const char *const twice[] = {"a", "1", "a", "2", NULL};
    assert_fails(fm_safetensors_write(path, tensors, 1, twice), FM_DATA, "'a' is given twice");
    static const char *const binary[] = {"a", "\xff", NULL};
    assert_fails(fm_safetensors_write(path, tensors, 1, binary), FM_DATA, "not UTF-8");
    assert_false(fm_path_exists(path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(opened_and_loaded),
        cmocka_unit_test(data_can_be_brought_when_it_is_written),
        cmocka_unit_test(exact_bytes),
        cmocka_unit_test(nothing_in_it),
        cmocka_unit_test(half_precisions),
        cmocka_unit_test(order_of_bytes),
        cmocka_unit_test(broken_files),
        cmocka_unit_test(broken_offsets),
        cmocka_unit_test(broken_shapes),
        cmocka_unit_test(broken_entries),
        cmocka_unit_test(cut_and_changed),
        cmocka_unit_test(wrong_writes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
