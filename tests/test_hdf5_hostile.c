// HDF5 files that are damaged or made to do harm, by libhdf5 itself and by hand: each is read right
// or refused with a clear error, in bounded memory, and this process outlives all of them.
#include "net/files/tensors.h"

#include "base/file.h"

#include <hdf5.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"
#include "memory_limit.h"
#include "scratch.h"

// Each file is read by a process of its own, which under AddressSanitizer takes four times as long:
// one in five flips and cuts in headers there.
#if defined(__SANITIZE_ADDRESS__)
enum {
    ONE_IN = 5 // odd: cuts within a word, too
};
#else
enum {
    ONE_IN = 1
};
#endif

enum {
    FLIPS = 400 / ONE_IN,
    TEXT_MAX = 1 << 20 // of an attribute, as docs/formats.md has it
};

static char folder[SCRATCH_PATH_MAX], path[FM_PATH_MAX];

// ---- Making files

static hid_t begin(void)
{
    remove(path);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

static void end(hid_t file)
{
    assert_int_equal(H5Fget_obj_count(file, H5F_OBJ_ALL), 1); // nothing stays open
    assert_true(H5Fclose(file) >= 0);
}

static hid_t group_in(hid_t in, const char *name)
{
    return H5Gcreate2(in, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
}

// `values` may be NULL: nothing is written. Returns where the elements are.
static uint64_t put(
    hid_t in, const char *name, hid_t type, hsize_t count, hid_t plan, const float *values)
{
    hid_t space = H5Screate_simple(1, &count, NULL);
    hid_t set = H5Dcreate2(in, name, type, space, H5P_DEFAULT, plan, H5P_DEFAULT);
    assert_true(set >= 0);
    if (values)
        assert_true(H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    uint64_t offset = H5Dget_offset(set);
    H5Dclose(set);
    H5Sclose(space);
    return offset;
}

static void put_texts(hid_t in, const char *name, hsize_t count, const char *const *texts)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &count, NULL);
    H5Tset_size(type, H5T_VARIABLE);
    hid_t attribute = H5Acreate2(in, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(attribute, type, texts) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

// A short text, which lies in the headers.
static void put_version(hid_t in)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, 6);
    hid_t attribute = H5Acreate2(in, "keras_version", type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(attribute, type, "2.15.0") >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

static const float eight[8] = {1, -2, 3, -4, 5, -6, 7, -8};

// A sound file of some structures: a group, two data sets, attributes. `headers`: its bytes before
// the elements.
static unsigned char *sound(size_t *size, size_t *headers)
{
    unsigned char *data;
    hid_t file = begin(), group = group_in(file, "block1");
    hid_t compact = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_layout(compact, H5D_COMPACT);
    put_version(file);
    put(group, "a", H5T_IEEE_F64LE, 8, compact, eight);
    *headers = put(group, "w", H5T_IEEE_F32LE, 8, H5P_DEFAULT, eight);
    H5Pclose(compact);
    H5Gclose(group);
    end(file);
    assert_ok(fm_file_read(path, &data, size));
    assert_true(*headers > 500 && *headers < *size);
    return data;
}

// ---- Damage

// Whether the file was taken; if so, all that is said to be readable in it is.
static bool try_file(const unsigned char *data, size_t size, const char *how, size_t where)
{
    struct fm_tensors tensors;
    float *values = malloc(size * sizeof *values); // an element has a byte at least
    assert_int_equal(scratch_write(path, data, size), 0);
    enum fm_status status = fm_tensors_open(path, &tensors);
    if (status != FM_OK) {
        if (strstr(fm_error_message(), path) == NULL || status == FM_IO)
            fail_msg("%s %zu: %s", how, where, fm_error_message());
        fm_error_clear();
        free(values);
        return false;
    }
    for (int t = 0; t < tensors.count; t++) {
        const struct fm_tensor_info *info = &tensors.list[t];
        if (info->readable && info->count > size)
            fail_msg("%s %zu: '%s' has %zu elements", how, where, info->name, info->count);
        if (info->readable && fm_tensors_read(&tensors, t, values) != FM_OK)
            fail_msg("%s %zu: '%s': %s", how, where, info->name, fm_error_message());
    }
    fm_tensors_close(&tensors);
    free(values);
    return true;
}

static void cut_off_anywhere(void **state)
{
    (void)state;
    size_t size, headers;
    unsigned char *data = sound(&size, &headers);
    assert_true(try_file(data, size, "whole, of bytes", size));
    for (size_t cut = 0; cut < size; cut += cut < headers ? ONE_IN : 64) {
        if (try_file(data, cut, "cut off at byte", cut))
            fail_msg("taken with %zu of its %zu bytes", cut, size);
    }
    free(data);
}

// FMNIST_TEST_SEED repeats a run.
static void bits_flipped(void **state)
{
    (void)state;
    const char *given = getenv("FMNIST_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    size_t size, headers, refused = 0;
    unsigned char *data = sound(&size, &headers);
    print_message("bits flipped: FMNIST_TEST_SEED=%llu\n", (unsigned long long)seed);
    srandom((unsigned)seed);
    for (int flip = 0; flip < FLIPS; flip++) {
        size_t bit = (size_t)random() % (8 * size);
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        refused += !try_file(data, size, "flipped bit", bit);
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    assert_true(refused > FLIPS / 50);
    assert_true(refused < FLIPS);
    free(data);
}

// ---- Made to do harm

static void links_in_a_circle(void **state)
{
    (void)state;
    struct fm_tensors tensors;
    hid_t file = begin(), a = group_in(file, "a"), b = group_in(file, "b");
    H5Lcreate_soft("/b", a, "to_b", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/a/to_b", b, "to_a", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/self", file, "self", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "/", b, "root", H5P_DEFAULT, H5P_DEFAULT);
    put(b, "w", H5T_IEEE_F32LE, 8, H5P_DEFAULT, eight);
    H5Gclose(a);
    H5Gclose(b);
    end(file);
    assert_ok(fm_tensors_open(path, &tensors));
    assert_int_equal(tensors.count, 1);
    assert_string_equal(tensors.list[0].name, "b/w");
    fm_tensors_close(&tensors);
}

// Whatever `model_weights` leads to, the rest of the file is there.
static void model_weights_is_a_link(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        struct fm_tensors tensors;
        hid_t file = begin();
        put(file, "w", H5T_IEEE_F32LE, 8, H5P_DEFAULT, eight);
        if (kind < 2)
            H5Lcreate_soft(
                kind ? "/model_weights" : "/no", file, "model_weights", H5P_DEFAULT, H5P_DEFAULT);
        else
            H5Lcreate_external("o.h5", "/x", file, "model_weights", H5P_DEFAULT, H5P_DEFAULT);
        end(file);
        assert_ok(fm_tensors_open(path, &tensors));
        assert_int_equal(tensors.count, kind < 2 ? 1 : 2);
        assert_true(fm_tensors_find(&tensors, "w") >= 0);
        fm_tensors_close(&tensors);
    }
}

// Orders of bytes that neither of ours is.
static void other_orders(void **state)
{
    (void)state;
    struct fm_tensors tensors;
    float values[8];
    hid_t file = begin();
    put(file, "vax", H5T_VAX_F32, 8, H5P_DEFAULT, eight);
    end(file);
    assert_ok(fm_tensors_open(path, &tensors));
    assert_string_equal(tensors.list[0].type, "float");
    assert_fails(fm_tensors_read(&tensors, 0, values), FM_UNSUPPORTED, "'vax' is of type float");
    fm_tensors_close(&tensors);
}

// Two texts that fit alone, or fill all there is up to what stands between them.
static void long_texts(void **state)
{
    (void)state;
    static const size_t lengths[][2] = {{TEXT_MAX - 1, TEXT_MAX / 2}, {TEXT_MAX - 1, 0},
        {TEXT_MAX, 1}, {TEXT_MAX - 3, 1}, {TEXT_MAX - 3, 2}, {1, TEXT_MAX - 1}, {8, 8}};
    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
        struct fm_tensors tensors;
        char *texts[2];
        for (int t = 0; t < 2; t++) {
            texts[t] = calloc(1, lengths[l][t] + 1);
            memset(texts[t], 'x', lengths[l][t]);
        }
        hid_t file = begin();
        put_texts(file, "long", 2, (const char *const *)texts);
        put(file, "w", H5T_IEEE_F32LE, 8, H5P_DEFAULT, eight);
        end(file);
        assert_ok(fm_tensors_open(path, &tensors));
        assert_int_equal(tensors.count, 1);
        const char *text = fm_tensors_metadata(&tensors, "long");
        size_t length = lengths[l][0] + 2 + lengths[l][1];
        assert_int_equal(text ? strlen(text) : 0, length <= TEXT_MAX ? length : 0);
        fm_tensors_close(&tensors);
        free(texts[0]);
        free(texts[1]);
    }
}

static void long_name(void **state)
{
    (void)state;
    struct fm_tensors tensors;
    char *name = malloc(60001);
    memset(name, 'n', 60000);
    name[60000] = '\0';
    hid_t file = begin();
    put(file, name, H5T_IEEE_F32LE, 8, H5P_DEFAULT, eight);
    end(file);
    assert_fails(fm_tensors_open(path, &tensors), FM_DATA, "60000 bytes, expected at most 255");
    free(name);
}

// 10 GB that were never written are no bytes of the file: listed, and no memory taken.
static void never_written(void **state)
{
    (void)state;
    struct fm_tensors tensors;
    float value;
    hid_t file = begin();
    put(file, "huge", H5T_IEEE_F32LE, 2500000000u, H5P_DEFAULT, NULL);
    end(file);
    struct rlimit before = memory_limit(64ull << 20);
    enum fm_status status = fm_tensors_open(path, &tensors);
    memory_limit_undo(before);
    assert_ok(status);
    assert_true(tensors.size < 4096);
    assert_string_equal(tensors.list[0].type, "F32 empty");
    assert_fails(fm_tensors_read(&tensors, 0, &value), FM_UNSUPPORTED, "nothing was ever written");
    fm_tensors_close(&tensors);
}

// A data set within its header, and `count` links to it: more elements than the file has bytes.
static enum fm_status open_compact(int count, struct fm_tensors *tensors)
{
    enum {
        ELEMENTS = 16000
    };
    float *values = calloc(ELEMENTS, sizeof *values);
    hid_t file = begin(), compact = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_layout(compact, H5D_COMPACT);
    values[ELEMENTS - 1] = 5;
    put(file, "0", H5T_IEEE_F32LE, ELEMENTS, compact, values);
    for (int l = 1; l < count; l++) {
        char name[16];
        snprintf(name, sizeof name, "%d", l);
        H5Lcreate_hard(file, "0", file, name, H5P_DEFAULT, H5P_DEFAULT);
    }
    H5Pclose(compact);
    end(file);
    enum fm_status status = fm_tensors_open(path, tensors);
    for (int t = 0; status == FM_OK && t < count; t += count - 1) {
        assert_ok(fm_tensors_read(tensors, t, values));
        assert_true(values[ELEMENTS - 1] == 5);
    }
    free(values);
    return status;
}

static void many_links_to_one(void **state)
{
    (void)state;
    struct fm_tensors tensors;
    assert_ok(open_compact(20, &tensors));
    assert_int_equal(tensors.count, 20);
    fm_tensors_close(&tensors);
    assert_fails(open_compact(1100, &tensors), FM_DATA, "more than 64 MiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_off_anywhere),
        cmocka_unit_test(bits_flipped),
        cmocka_unit_test(links_in_a_circle),
        cmocka_unit_test(model_weights_is_a_link),
        cmocka_unit_test(other_orders),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(long_name),
        cmocka_unit_test(never_written),
        cmocka_unit_test(many_links_to_one),
    };
    scratch_make(folder, "hdf5-hostile");
    if (fm_path_join(path, folder, "file.h5") != FM_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(folder);
    return failed;
}
