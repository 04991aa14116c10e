// kernels/rounding.h against the compiler's own binary16 and against bf16 by definition (the
// nearest of the two neighbours, the even one when halfway), and the kernels made of it.
#include "rounding.h"

#include "backend/cpu/isa/kernels.h"
#include "philox.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    RANDOM = 2000000,
    ANY = 5000 // a stream of its own
};

// Random bits (all exponents, NaNs and infinities among them), then magnitudes near fp16's range.
static float random_float(uint32_t i)
{
    struct fm_draws draws = fm_philox(1, 0, i, ANY, 0);
    if (i % 2 == 0)
        return fm_float_of(draws.v[0]);
    float magnitude = ldexpf(1.0f + fm_draw_unit(draws.v[0]), (int)(draws.v[1] % 44) - 27);
    return draws.v[2] & 1 ? -magnitude : magnitude;
}

static void check(const char *what, float x, float found, float expected)
{
    bool same = isnan(expected) ? isnan(found) : fm_bits_of(found) == fm_bits_of(expected);
    if (!same)
        fail_msg("%s of %a (0x%08x) is %a, expected %a", what, (double)x, fm_bits_of(x),
            (double)found, (double)expected);
}

// Every half, the values halfway to its neighbour, and those just beside these, of both signs.
static void near_halves(int bits_below, uint32_t half_bits, void (*each)(float x))
{
    uint32_t halfway = half_bits | 1u << (bits_below - 1);
    const uint32_t near[] = {
        half_bits, half_bits + 1, half_bits - 1, halfway, halfway + 1, halfway - 1};
    for (size_t i = 0; i < sizeof near / sizeof near[0]; i++)
        each(fm_float_of(near[i]));
}

// ---- bf16

// By definition, in double precision; beyond the largest the neighbour is 2^128, which is infinity.
static float plain_bf16(float x)
{
    if (isnan(x) || isinf(x))
        return x;
    uint32_t below_bits = fm_bits_of(x) & 0xffff0000u, above_bits = below_bits + 0x10000u;
    double below = (double)fm_float_of(below_bits);
    double above = (above_bits & 0x7fffffffu) == 0x7f800000u ? copysign(0x1p128, (double)x)
                                                             : (double)fm_float_of(above_bits);
    double to_below = fabs((double)x - below), to_above = fabs(above - (double)x);
    bool even_below = (below_bits >> 16 & 1u) == 0;
    bool take_below = to_below < to_above || (to_below == to_above && even_below);
    return fm_float_of(take_below ? below_bits : above_bits);
}

static void check_bf16(float x)
{
    check("bf16", x, fm_round_bf16(x), plain_bf16(x));
    assert_int_equal(signbit(fm_round_bf16(x)) != 0, signbit(x) != 0);
}

static void test_bf16(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 65536; half++) {
        near_halves(16, half << 16, check_bf16);
        float wide = fm_bf16_widen((uint16_t)half);
        if (!isnan(wide)) // what is one already stays the same
            assert_int_equal(fm_bf16_narrow(wide), half);
    }
    for (uint32_t i = 0; i < RANDOM; i++)
        check_bf16(random_float(i));
    check("bf16", 1.00390625f, fm_round_bf16(1.00390625f), 1.0f); // 1 + 2^-8: halfway, even below
    check("bf16", 1.01171875f, fm_round_bf16(1.01171875f), 1.015625f); // 1 + 3 2^-8: even above
    check("bf16", 3.4e38f, fm_round_bf16(3.4e38f), INFINITY);
    check("bf16", NAN, fm_round_bf16(fm_float_of(0x7f800001u)), NAN); // would be cut to infinity
}

// ---- fp16

static void test_fp16_boundaries(void **state)
{
    (void)state;
    static const struct {
        float x, expected;
    } known[] = {
        {0.0f, 0.0f},
        {-0.0f, -0.0f},
        {65504.0f, 65504.0f},
        {65519.996f, 65504.0f},
        {65520.0f, INFINITY},
        {-65520.0f, -INFINITY},
        {3e38f, INFINITY},
        {INFINITY, INFINITY},
        {2049.0f, 2048.0f}, // halfway between 2048 and 2050
        {2051.0f, 2052.0f},
        {0x1p-24f, 0x1p-24f}, // the least subnormal
        {0x1p-25f, 0.0f},     // halfway to it, and zero is even
        {0x1.8p-25f, 0x1p-24f},
        {0x1.8p-24f, 0x1p-23f}, // halfway between 1 and 2 steps
        {0x1.ffbp-15f, 0x1.ff8p-15f},
        {0x1.ffcp-15f, 0x1p-14f}, // a subnormal rounds up to the least normal one
        {1e-30f, 0.0f},
        {0x1p-149f, 0.0f},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        check("fp16", known[i].x, fm_round_fp16(known[i].x), known[i].expected);
    assert_true(isnan(fm_round_fp16(NAN)));
    assert_true(isnan(fm_round_fp16(fm_float_of(0x7f800001u))));
    assert_true(isnan(fm_round_fp16(fm_float_of(0xffffffffu))));
}

#if defined(__FLT16_MAX__)
__extension__ typedef _Float16 binary16;

static void check_fp16(float x)
{
    check("fp16", x, fm_round_fp16(x), (float)(binary16)x);
    check("fp16 as bits", x, fm_fp16_widen(fm_fp16_narrow(x)), (float)(binary16)x);
    if (!isnan(x))
        assert_int_equal(signbit(fm_round_fp16(x)) != 0, signbit(x) != 0);
}
#endif

static void test_fp16_against_compiler(void **state)
{
    (void)state;
#if defined(__FLT16_MAX__)
    for (uint32_t half = 0; half < 65536; half++) {
        uint16_t bits = (uint16_t)half;
        binary16 value;
        memcpy(&value, &bits, sizeof value);
        float wide = (float)value;
        check("fp16 widened", wide, fm_fp16_widen(bits), wide);
        if (!isnan(wide)) {
            check("fp16", wide, fm_round_fp16(wide), wide);
            assert_int_equal(fm_fp16_narrow(wide), half);
        }
        near_halves(13, fm_bits_of(wide), check_fp16);
    }
    for (uint32_t i = 0; i < RANDOM; i++)
        check_fp16(random_float(i));
#else
    print_message("SKIP: this compiler has no _Float16\n");
    skip();
#endif
}

// ---- the kernels: the same bits with every instruction set and number of threads

static void test_kernels(void **state)
{
    (void)state;
    enum {
        COUNT = 100003
    };
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    int count = fm_kernels_usable(tables);
    float *x = malloc(COUNT * sizeof *x), *found = malloc(COUNT * sizeof *found);
    assert_non_null(x);
    assert_non_null(found);
    for (uint32_t i = 0; i < COUNT; i++)
        x[i] = random_float(i);
    for (int t = 0; t < count; t++)
        for (int threads = 1; threads <= 3; threads += 2)
            for (int kind = FM_ROUNDING_NONE; kind <= FM_ROUNDING_FP16; kind++) {
                omp_set_num_threads(threads);
                memcpy(found, x, COUNT * sizeof *x);
                tables[t]->round(COUNT, found, (enum fm_rounding)kind);
                for (uint32_t i = 0; i < COUNT; i++) {
                    float expected = kind == FM_ROUNDING_BF16   ? fm_round_bf16(x[i])
                                     : kind == FM_ROUNDING_FP16 ? fm_round_fp16(x[i])
                                                                : x[i];
                    if (fm_bits_of(found[i]) != fm_bits_of(expected))
                        fail_msg("%s, rounding %d: %a became %a, expected %a", tables[t]->name,
                            kind, (double)x[i], (double)found[i], (double)expected);
                }
            }
    uint16_t *halves = malloc(COUNT * sizeof *halves);
    assert_non_null(halves);
    for (int t = 0; t < count; t++) {
        tables[t]->narrow(COUNT, x, halves);
        for (uint32_t i = 0; i < COUNT; i++)
            assert_int_equal(halves[i], fm_bf16_narrow(x[i]));
    }
    free(halves);
    free(x);
    free(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_fp16_boundaries),
        cmocka_unit_test(test_fp16_against_compiler),
        cmocka_unit_test(test_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
