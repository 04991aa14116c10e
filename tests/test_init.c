// The random numbers that everything reproducible rests on: Philox against its published vectors,
// and draws, orders, masks and initial weights against the committed table of a second
// implementation.
#include "net/init.h"
#include "net/zoo.h"

#include "philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static struct fm_net net;

static json_t *load_table(void)
{
    json_error_t error;
    json_t *table = json_load_file(
        FM_TEST_SOURCE_DIR "/tests/reference/golden/draws.json", 0, &error);
    if (table == NULL)
        fail_msg("draws.json, line %d: %s", error.line, error.text);
    return table;
}

static uint64_t whole(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value))
        fail_msg("draws.json: '%s' is missing or not a whole number", key);
    return (uint64_t)json_integer_value(value);
}

// Random123, examples/kat_vectors, philox4x32 10.
static void published_vectors(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4];
        uint64_t key;
        uint32_t expected[4];
    } vectors[] = {
        {{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffffffffffff,
            {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822,
            {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t v = 0; v < sizeof vectors / sizeof vectors[0]; v++) {
        const uint32_t *c = vectors[v].counter;
        struct fm_draws draws = fm_philox(vectors[v].key, c[0], c[1], c[2], c[3]);
        for (int i = 0; i < 4; i++)
            assert_int_equal(draws.v[i], vectors[v].expected[i]);
    }
}

static void table_of_draws(void **state)
{
    (void)state;
    json_t *table = load_table();
    const json_t *draws = json_object_get(table, "draws");
    assert_int_equal(json_array_size(draws), 36);
    for (size_t r = 0; r < json_array_size(draws); r++) {
        const json_t *row = json_array_get(draws, r), *expected = json_object_get(row, "draws");
        uint64_t seed = whole(row, "seed");
        uint32_t epoch = (uint32_t)whole(row, "epoch"), sample = (uint32_t)whole(row, "sample");
        uint32_t stream = (uint32_t)whole(row, "stream");
        assert_int_equal(json_array_size(expected), 6);
        for (uint32_t e = 0; e < 6; e++)
            assert_int_equal(fm_draw(seed, epoch, sample, stream, e),
                json_integer_value(json_array_get(expected, e)));
        assert_int_equal(fm_draw64(seed, epoch, sample, stream) >> 32,
            json_integer_value(json_array_get(expected, 0)));
        assert_int_equal(fm_draw64(seed, epoch, sample, stream) & 0xffffffff,
            json_integer_value(json_array_get(expected, 1)));
    }
    json_decref(table);
}

static void table_of_moves(void **state)
{
    (void)state;
    json_t *table = load_table();
    uint64_t seed = whole(table, "seed");
    uint32_t epoch = (uint32_t)whole(table, "epoch");
    uint32_t range = 2 * (uint32_t)whole(table, "shift") + 1;
    const json_t *moves = json_object_get(table, "moves"), *flips = json_object_get(table, "flips");
    const json_t *order = json_object_get(table, "order");
    uint32_t count = (uint32_t)json_array_size(order);
    assert_int_equal(count, 24);
    for (uint32_t id = 0; id < count; id++) {
        for (uint32_t axis = 0; axis < 2; axis++) {
            uint32_t draw = fm_draw(seed, epoch, id, FM_STREAM_SHIFT, axis);
            assert_int_equal((int)fm_draw_below(draw, range) - (int)whole(table, "shift"),
                json_integer_value(json_array_get(json_array_get(moves, id), axis)));
        }
        assert_int_equal(fm_draw(seed, epoch, id, FM_STREAM_FLIP, 0) >> 31,
            json_integer_value(json_array_get(flips, id)));
    }
    for (uint32_t i = 1; i < count; i++) {
        uint32_t a = (uint32_t)json_integer_value(json_array_get(order, i - 1));
        uint32_t b = (uint32_t)json_integer_value(json_array_get(order, i));
        assert_true(fm_draw64(seed, epoch, a, FM_STREAM_SHUFFLE) <
                    fm_draw64(seed, epoch, b, FM_STREAM_SHUFFLE));
    }
    json_decref(table);
}

static void table_of_masks(void **state)
{
    (void)state;
    json_t *table = load_table();
    uint64_t seed = whole(table, "seed");
    uint32_t epoch = (uint32_t)whole(table, "epoch");
    const json_t *masks = json_object_get(table, "masks");
    assert_int_equal(json_array_size(masks), 9);
    for (size_t m = 0; m < json_array_size(masks); m++) {
        const json_t *mask = json_array_get(masks, m);
        const char *keep = json_string_value(json_object_get(mask, "keep"));
        float rate = (float)json_number_value(json_object_get(mask, "rate"));
        uint32_t threshold = (uint32_t)floor((double)rate * 4294967296.0);
        uint32_t stream = FM_STREAM_DROPOUT + (uint32_t)whole(mask, "ordinal");
        assert_int_equal(strlen(keep), 150);
        for (uint32_t e = 0; e < 150; e++)
            assert_int_equal(
                fm_draw(seed, epoch, (uint32_t)whole(mask, "sample"), stream, e) >= threshold,
                keep[e] == '1');
    }
    json_decref(table);
}

static void helpers(void **state)
{
    (void)state;
    assert_int_equal(fm_draw_below(0, 5), 0);
    assert_int_equal(fm_draw_below(0xffffffff, 5), 4);
    assert_int_equal(fm_draw_below(0x80000000, 5), 2);
    assert_true(fm_draw_unit(0) == 0.0f);
    assert_true(fm_draw_unit(0x80000000) == 0.5f);
    assert_true(fm_draw_unit(0xffffffff) < 1.0f);
}

static void table_of_weights(void **state)
{
    (void)state;
    json_t *table = load_table();
    const json_t *weights = json_object_get(table, "weights");
    assert_int_equal(json_array_size(weights), 8);
    assert_int_equal(fm_zoo_build("simple", 10, &net), FM_OK);
    for (size_t w = 0; w < json_array_size(weights); w++) {
        const json_t *row = json_array_get(weights, w), *values = json_object_get(row, "values");
        int param = fm_net_find_param(&net, json_string_value(json_object_get(row, "param")));
        assert_true(param >= 0);
        bool he = strcmp(json_string_value(json_object_get(row, "bound")), "he") == 0;
        float *out = malloc(net.params[param].count * sizeof *out);
        assert_non_null(out);
        fm_init_param(
            &net, param, he ? FM_INIT_HE_UNIFORM : FM_INIT_GLOROT_UNIFORM, whole(row, "seed"), out);
        assert_int_equal(json_array_size(values), 9);
        for (size_t i = 0; i < json_array_size(values); i++) {
            float expected = (float)json_number_value(json_array_get(values, i));
            if (out[i] != expected)
                fail_msg("weights %zu, element %zu: %.9g, expected %.9g", w, i, (double)out[i],
                    (double)expected);
        }
        free(out);
    }
    json_decref(table);
}

// Within the bound, and with a uniform distribution's mean and variance.
static void distributions(void **state)
{
    (void)state;
    assert_int_equal(fm_zoo_build("simple", 10, &net), FM_OK);
    int param = fm_net_find_param(&net, "fc1.weight");
    size_t count = net.params[param].count;
    float *out = malloc(count * sizeof *out);
    assert_non_null(out);
    for (int init = FM_INIT_HE_UNIFORM; init <= FM_INIT_GLOROT_UNIFORM; init++) {
        double bound = sqrt(6.0 / (init == FM_INIT_HE_UNIFORM ? 9216.0 : 9216.0 + 128.0));
        double sum = 0.0, squares = 0.0;
        fm_init_param(&net, param, (enum fm_init)init, 42, out);
        for (size_t i = 0; i < count; i++) {
            assert_true(fabs((double)out[i]) <= bound * 1.0000001);
            sum += (double)out[i] / bound;
            squares += (double)out[i] * (double)out[i] / (bound * bound);
        }
        // Five standard errors.
        double n = (double)count;
        assert_true(fabs(sum / n) < 5.0 * sqrt(1.0 / 3.0 / n));
        assert_true(fabs(squares / n - 1.0 / 3.0) < 5.0 * sqrt(4.0 / 45.0 / n));
    }
    free(out);
}

static void constants(void **state)
{
    (void)state;
    float out[64];
    assert_int_equal(fm_zoo_build("deeper", 10, &net), FM_OK);
    fm_init_param(&net, fm_net_find_param(&net, "bn1.weight"), FM_INIT_HE_UNIFORM, 1, out);
    for (int i = 0; i < 64; i++)
        assert_true(out[i] == 1.0f);
    fm_init_param(&net, fm_net_find_param(&net, "bn1.bias"), FM_INIT_HE_UNIFORM, 1, out);
    for (int i = 0; i < 64; i++)
        assert_true(out[i] == 0.0f);
    fm_init_param(&net, fm_net_find_param(&net, "fc3.bias"), FM_INIT_GLOROT_UNIFORM, 1, out);
    for (int i = 0; i < 10; i++)
        assert_true(out[i] == 0.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(table_of_draws),
        cmocka_unit_test(table_of_moves),
        cmocka_unit_test(table_of_masks),
        cmocka_unit_test(helpers),
        cmocka_unit_test(table_of_weights),
        cmocka_unit_test(distributions),
        cmocka_unit_test(constants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
