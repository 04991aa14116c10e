// HDF5 files, made here by libhdf5: what is in them, what is not followed, and what damage does.
#include "net/files/tensors.h"

#include "base/file.h"

#include <errno.h>
#include <hdf5.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"
#include "memory_limit.h"
#include "scratch.h"

static char folder[SCRATCH_PATH_MAX], path[FM_PATH_MAX], other[FM_PATH_MAX];

// ---- Making files

static hid_t begin(void)
{
    remove(path);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(access, H5F_CLOSE_SEMI); // so that nothing of it is left open
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    H5Pclose(access);
    assert_true(file >= 0);
    return file;
}

static void end(hid_t file)
{
    assert_true(H5Fclose(file) >= 0);
}

// `plan`: how it is stored; `values` may be NULL.
static void put(hid_t group, const char *name, hid_t type, int ndims, const hsize_t *dims,
    hid_t plan, hid_t memory, const void *values)
{
    hid_t space = ndims > 0 ? H5Screate_simple(ndims, dims, NULL) : H5Screate(H5S_SCALAR);
    hid_t set = H5Dcreate2(group, name, type, space, H5P_DEFAULT, plan, H5P_DEFAULT);
    assert_true(set >= 0);
    if (values)
        assert_true(H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(set);
    H5Sclose(space);
}

static void put_floats(hid_t group, const char *name, hsize_t count, const float *values)
{
    put(group, name, H5T_IEEE_F32LE, 1, &count, H5P_DEFAULT, H5T_NATIVE_FLOAT, values);
}

static hid_t half(size_t exponent, size_t mantissa, size_t bias)
{
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(type, 15, mantissa, exponent, 0, mantissa);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, bias);
    return type;
}

static const float four[] = {1.0f, -2.0f, 0.5f, 65504.0f};

// ---- What is in a file

static void expect_values(const struct fm_tensors *tensors, const char *name, const char *type)
{
    float values[4] = {0};
    int at = fm_tensors_find(tensors, name);
    if (at < 0)
        fail_msg("'%s' is not listed", name);
    assert_string_equal(tensors->list[at].type, type);
    assert_int_equal(tensors->list[at].count, 4);
    assert_true(tensors->list[at].readable);
    assert_ok(fm_tensors_read(tensors, at, values));
    for (int i = 0; i < 4; i++)
        if (values[i] != (strcmp(type, "BF16") == 0 && i == 3 ? 65536.0f : four[i]))
            fail_msg("'%s'[%d] is %g", name, i, (double)values[i]);
}

static void types(void **state)
{
    (void)state;
    const hsize_t two[] = {2, 2}, four_long = 4;
    hid_t file = begin(), f16 = half(5, 10, 15), bf16 = half(8, 7, 127);
    hid_t deep = H5Gcreate2(file, "deep", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t compact = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_layout(compact, H5D_COMPACT);
    put(deep, "kernel:0", H5T_IEEE_F32LE, 2, two, H5P_DEFAULT, H5T_NATIVE_FLOAT, four);
    put(file, "f64", H5T_IEEE_F64LE, 1, &four_long, H5P_DEFAULT, H5T_NATIVE_FLOAT, four);
    put(file, "f16", f16, 1, &four_long, H5P_DEFAULT, H5T_NATIVE_FLOAT, four);
    put(file, "bf16", bf16, 1, &four_long, H5P_DEFAULT, H5T_NATIVE_FLOAT, four);
    put(file, "compact", H5T_IEEE_F32LE, 2, two, compact, H5T_NATIVE_FLOAT, four);
    put(file, "compact16", f16, 2, two, compact, H5T_NATIVE_FLOAT, four);
    put(file, "i64", H5T_STD_I64LE, 0, NULL, H5P_DEFAULT, H5T_NATIVE_FLOAT, four);
    put(file, "f32be", H5T_IEEE_F32BE, 1, &four_long, H5P_DEFAULT, H5T_NATIVE_FLOAT, four);
    put(file, "f64be", H5T_IEEE_F64BE, 1, &four_long, compact, H5T_NATIVE_FLOAT, four);
    put(file, "i16be", H5T_STD_I16BE, 1, &four_long, H5P_DEFAULT, H5T_NATIVE_FLOAT, four);
    H5Tset_order(f16, H5T_ORDER_BE);
    put(file, "f16be", f16, 1, &four_long, H5P_DEFAULT, H5T_NATIVE_FLOAT, four);
    H5Tset_order(bf16, H5T_ORDER_BE);
    put(file, "bf16be", bf16, 1, &four_long, compact, H5T_NATIVE_FLOAT, four);
    H5Gclose(deep);
    end(file);

    struct fm_tensors tensors;
    assert_ok(fm_tensors_open(path, &tensors));
    assert_int_equal(tensors.format, FM_TENSORS_HDF5);
    assert_int_equal(tensors.count, 12);
    expect_values(&tensors, "deep/kernel:0", "F32");
    expect_values(&tensors, "f64", "F64");
    expect_values(&tensors, "f16", "F16");
    expect_values(&tensors, "bf16", "BF16");
    expect_values(&tensors, "compact", "F32");
    expect_values(&tensors, "compact16", "F16");
    int at = fm_tensors_find(&tensors, "deep/kernel:0");
    assert_int_equal(tensors.list[at].ndims, 2);
    assert_int_equal(tensors.list[at].dims[1], 2);
    at = fm_tensors_find(&tensors, "i64");
    assert_string_equal(tensors.list[at].type, "I64");
    assert_int_equal(tensors.list[at].ndims, 0);
    assert_int_equal(tensors.list[at].count, 1);
    float value;
    assert_fails(fm_tensors_read(&tensors, at, &value), FM_UNSUPPORTED, "'i64' is of type I64");
    expect_values(&tensors, "f32be", "F32");
    expect_values(&tensors, "f64be", "F64");
    expect_values(&tensors, "f16be", "F16");
    expect_values(&tensors, "bf16be", "BF16");
    at = fm_tensors_find(&tensors, "i16be");
    assert_string_equal(tensors.list[at].type, "I16BE");
    assert_false(tensors.list[at].readable);
    fm_tensors_close(&tensors);
    H5Tclose(f16);
    H5Tclose(bf16);
    H5Pclose(compact);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

// What has a float's size and is none of those that are known.
static void other_floats(void **state)
{
    (void)state;
    const hsize_t four_long = 4;
    hid_t file = begin(), bias = half(5, 10, 14), fields = half(6, 9, 31);
    put(file, "bias", bias, 1, &four_long, H5P_DEFAULT, H5T_NATIVE_FLOAT, four);
    put(file, "fields", fields, 1, &four_long, H5P_DEFAULT, H5T_NATIVE_FLOAT, four);
    end(file);
    struct fm_tensors tensors;
    float values[4];
    assert_ok(fm_tensors_open(path, &tensors));
    for (int t = 0; t < 2; t++) {
        assert_string_equal(tensors.list[t].type, "float");
        assert_fails(fm_tensors_read(&tensors, t, values), FM_UNSUPPORTED, "of type float");
    }
    fm_tensors_close(&tensors);
    H5Tclose(bias);
    H5Tclose(fields);
}

static void put_text(hid_t object, const char *name, hsize_t count, size_t size, const void *texts)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, size);
    hid_t space = count > 0 ? H5Screate_simple(1, &count, NULL) : H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(attribute, type, texts) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

static void texts(void **state)
{
    (void)state;
    static const char *const variable[] = {"de", "ux"}, *const one[] = {"2.15.0"};
    hid_t file = begin();
    hid_t model = H5Gcreate2(file, "model_weights", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    put_text(file, "layer_names", 3, 4, "ab\0\0cdefg\0\0\0"); // the second fills its place
    put_text(file, "variable", 2, H5T_VARIABLE, variable);
    put_text(file, "keras_version", 0, H5T_VARIABLE, one);
    put_text(file, "backend", 0, 10, "tensorflow");
    put_text(model, "backend", 0, 6, "other");
    put_text(model, "of_model", 0, 4, "\x1b[3\xff"); // a terminal's, and no UTF-8
    H5Gclose(model);
    end(file);
    struct fm_tensors tensors;
    assert_ok(fm_tensors_open(path, &tensors));
    assert_string_equal(fm_tensors_metadata(&tensors, "layer_names"), "ab, cdef, g");
    assert_string_equal(fm_tensors_metadata(&tensors, "variable"), "de, ux");
    assert_string_equal(fm_tensors_metadata(&tensors, "keras_version"), "2.15.0");
    assert_string_equal(fm_tensors_metadata(&tensors, "backend"), "tensorflow");
    assert_string_equal(fm_tensors_metadata(&tensors, "of_model"), "\xef\xbf\xbd[3\xef\xbf\xbd");
    fm_tensors_close(&tensors);
}

// ---- What is not followed

static void expect_unreadable(
    const struct fm_tensors *tensors, const char *name, const char *type, const char *part)
{
    float values[4];
    int at = fm_tensors_find(tensors, name);
    if (at < 0)
        fail_msg("'%s' is not listed", name);
    assert_string_equal(tensors->list[at].type, type);
    assert_fails(fm_tensors_read(tensors, at, values), FM_UNSUPPORTED, part);
    assert_fails(fm_tensors_read(tensors, at, values), FM_UNSUPPORTED, name);
}

static void other_places(void **state)
{
    (void)state;
    const hsize_t four_long = 4, chunk = 2;
    static const float secret[4] = {7, 7, 7, 7};
    assert_int_equal(scratch_write(other, secret, sizeof secret), 0);
    hid_t file = begin(), group = H5Gcreate2(file, "g", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t outside = H5Pcreate(H5P_DATASET_CREATE), packed = H5Pcreate(H5P_DATASET_CREATE);
    hid_t chunks = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(chunks, 1, &chunk);
    H5Pset_external(outside, other, 0, sizeof secret);
    H5Pset_chunk(packed, 1, &chunk);
    H5Pset_shuffle(packed);
    H5Pset_deflate(packed, 6);
    put_floats(file, "a", 4, four);
    put(file, "outside", H5T_IEEE_F32LE, 1, &four_long, outside, 0, NULL);
    put(file, "packed", H5T_IEEE_F32LE, 1, &four_long, packed, H5T_NATIVE_FLOAT, four);
    put(file, "plain_chunks", H5T_IEEE_F32LE, 1, &four_long, chunks, H5T_NATIVE_FLOAT, four);
    put(file, "unwritten", H5T_IEEE_F32LE, 1, &four_long, H5P_DEFAULT, 0, NULL);
    H5Lcreate_soft("/a", file, "soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/nowhere", file, "dangling", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external(other, "/x", file, "elsewhere", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "a", group, "again", H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(group);
    end(file);
    struct fm_tensors tensors;
    assert_ok(fm_tensors_open(path, &tensors));
    assert_int_equal(tensors.count, 7); // without the soft links
    expect_values(&tensors, "a", "F32");
    expect_values(&tensors, "g/again", "F32");
    expect_unreadable(&tensors, "outside", "F32 outside", "in another file");
    expect_unreadable(
        &tensors, "packed", "F32 chunked", "stored in chunks, through the filter gzip");
    expect_unreadable(&tensors, "plain_chunks", "F32 chunked", "stored in chunks: save");
    expect_unreadable(&tensors, "unwritten", "F32 empty", "nothing was ever written");
    expect_unreadable(&tensors, "elsewhere", "link", "leads out of the file");
    fm_tensors_close(&tensors);
    H5Pclose(outside);
    H5Pclose(packed);
    H5Pclose(chunks);
}

// A data set made of parts of another file: opening it must not open that.
static void virtual_sets(void **state)
{
    (void)state;
    const hsize_t four_long = 4;
    hid_t file = begin(), plan = H5Pcreate(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(1, &four_long, NULL);
    H5Pset_virtual(plan, space, other, "/x", space);
    put(file, "made", H5T_IEEE_F32LE, 1, &four_long, plan, 0, NULL);
    end(file);
    struct fm_tensors tensors;
    assert_ok(fm_tensors_open(path, &tensors));
    expect_unreadable(&tensors, "made", "F32 virtual", "made of other data sets");
    fm_tensors_close(&tensors);
    H5Sclose(space);
    H5Pclose(plan);
}

// Groups that hold each other are entered once.
static void circles(void **state)
{
    (void)state;
    hid_t file = begin();
    hid_t a = H5Gcreate2(file, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t b = H5Gcreate2(a, "b", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "a", b, "back", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "/", b, "root", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(b, ".", b, "self", H5P_DEFAULT, H5P_DEFAULT);
    put_floats(b, "w", 4, four);
    H5Gclose(a);
    H5Gclose(b);
    end(file);
    struct fm_tensors tensors;
    assert_ok(fm_tensors_open(path, &tensors));
    assert_int_equal(tensors.count, 1);
    expect_values(&tensors, "a/b/w", "F32");
    fm_tensors_close(&tensors);
}

static void deep_groups(void **state)
{
    (void)state;
    for (int depth = 32; depth <= 200; depth += 168) {
        char name[512] = "";
        hid_t file = begin(), links = H5Pcreate(H5P_LINK_CREATE);
        H5Pset_create_intermediate_group(links, 1);
        for (int d = 0; d < depth; d++)
            strcat(name, "g/");
        strcat(name, "w");
        const hsize_t four_long = 4;
        hid_t space = H5Screate_simple(1, &four_long, NULL);
        hid_t set = H5Dcreate2(file, name, H5T_IEEE_F32LE, space, links, H5P_DEFAULT, H5P_DEFAULT);
        H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, four);
        H5Dclose(set);
        H5Sclose(space);
        H5Pclose(links);
        end(file);
        struct fm_tensors tensors;
        enum fm_status status = fm_tensors_open(path, &tensors);
        if (depth > 32) {
            assert_fails(status, FM_DATA, "more than 32 deep");
            continue;
        }
        assert_ok(status);
        expect_values(&tensors, name, "F32");
        fm_tensors_close(&tensors);
    }
}

static void long_names(void **state)
{
    (void)state;
    char name[400];
    struct fm_tensors tensors;
    memset(name, 'n', sizeof name);
    name[300] = '\0';
    hid_t file = begin();
    put_floats(file, name, 4, four);
    end(file);
    assert_fails(fm_tensors_open(path, &tensors), FM_DATA, "300 bytes, expected at most 255");
    file = begin();
    put_floats(file, "a\xff", 4, four);
    end(file);
    assert_fails(fm_tensors_open(path, &tensors), FM_DATA, "not UTF-8");
}

// ---- Damage

// A sound file of some structures, in memory.
static unsigned char *sound(size_t *size)
{
    unsigned char *data;
    hid_t file = begin();
    hid_t group = H5Gcreate2(file, "block1_conv1", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    static const float many[250] = {1.25f};
    put_floats(group, "w", 250, many);
    put_text(file, "backend", 0, 10, "tensorflow");
    H5Gclose(group);
    end(file);
    assert_ok(fm_file_read(path, &data, size));
    return data;
}

// Writes `value` wherever the eight bytes of `found` stand; how often that was.
static int replace(unsigned char *data, size_t size, uint64_t found, uint64_t value)
{
    int count = 0;
    for (size_t at = 0; at + 8 <= size; at++) {
        if (memcmp(data + at, &found, 8) != 0)
            continue;
        memcpy(data + at, &value, 8);
        count++;
        at += 7;
    }
    return count;
}

// 250 elements are said to be 2.5 billion, of 10 GB: in the shape alone, and in the storage, too.
static void ten_gigabytes_claimed(void **state)
{
    (void)state;
    struct fm_tensors tensors;
    for (int both = 0; both < 2; both++) {
        size_t size;
        unsigned char *data = sound(&size);
        assert_true(size < 8192);
        assert_true(replace(data, size, 250, 2500000000u) > 0);
        if (both)
            assert_true(replace(data, size, 1000, 10000000000u) > 0);
        assert_int_equal(scratch_write(path, data, size), 0);
        struct rlimit before = memory_limit(64ull << 20);
        enum fm_status status = fm_tensors_open(path, &tensors);
        memory_limit_undo(before);
        assert_fails(status, FM_DATA, path);
        free(data);
    }
}

// The elements are said to lie behind the file's end, or to reach over it.
static void outside_the_file(void **state)
{
    (void)state;
    struct fm_tensors tensors;
    size_t size;
    unsigned char *data = sound(&size);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t set = H5Dopen2(file, "block1_conv1/w", H5P_DEFAULT);
    uint64_t now = H5Dget_offset(set);
    H5Dclose(set);
    H5Fclose(file);
    const uint64_t places[] = {size - 999, size, 1ull << 40, INT64_MAX - 100, UINT64_MAX - 999};
    for (int p = 0; p < 5; p++) {
        assert_true(replace(data, size, now, places[p]) > 0);
        assert_int_equal(scratch_write(path, data, size), 0);
        assert_fails(fm_tensors_open(path, &tensors), FM_DATA, path);
        now = places[p];
    }
    free(data);
}

static void cut_off_anywhere(void **state)
{
    (void)state;
    struct fm_tensors tensors;
    size_t size;
    unsigned char *data = sound(&size);
    for (size_t cut = 0; cut < size; cut += cut < 256 ? 1 : 61) {
        assert_int_equal(scratch_write(path, data, cut), 0);
        if (fm_tensors_open(path, &tensors) == FM_OK)
            fail_msg("taken with %zu of its %zu bytes", cut, size);
        fm_error_clear();
    }
    free(data);
}

// With any byte changed it is read or refused, and what is listed lies in the file.
static void changed_anywhere(void **state)
{
    (void)state;
    static const unsigned char bytes[] = {0, 0xff, 0x7f, 1};
    struct fm_tensors tensors;
    size_t size, refused = 0;
    float values[8192 / 4];
    unsigned char *data = sound(&size);
    for (size_t at = 8; at < size; at += 19) {
        unsigned char kept = data[at];
        data[at] = bytes[at / 19 % sizeof bytes];
        assert_int_equal(scratch_write(path, data, size), 0);
        data[at] = kept;
        if (fm_tensors_open(path, &tensors) != FM_OK) {
            assert_non_null(strstr(fm_error_message(), path));
            fm_error_clear();
            refused++;
            continue;
        }
        for (int t = 0; t < tensors.count; t++) {
            if (!tensors.list[t].readable)
                continue;
            if (tensors.list[t].count * 2 > size)
                fail_msg("byte %zu: %zu elements in %zu bytes", at, tensors.list[t].count, size);
            assert_ok(fm_tensors_read(&tensors, t, values));
        }
        fm_tensors_close(&tensors);
    }
    assert_true(refused > 10);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types),
        cmocka_unit_test(other_floats),
        cmocka_unit_test(texts),
        cmocka_unit_test(other_places),
        cmocka_unit_test(virtual_sets),
        cmocka_unit_test(circles),
        cmocka_unit_test(deep_groups),
        cmocka_unit_test(long_names),
        cmocka_unit_test(ten_gigabytes_claimed),
        cmocka_unit_test(outside_the_file),
        cmocka_unit_test(cut_off_anywhere),
        cmocka_unit_test(changed_anywhere),
    };
    scratch_make(folder, "hdf5");
    if (fm_path_join(path, folder, "file.h5") != FM_OK ||
        fm_path_join(other, folder, "other.bin") != FM_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(folder);
    return failed;
}
