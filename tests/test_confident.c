// Confident learning against an example worked by hand, an independent implementation in numpy
// (tests/golden/confident.py) and data whose noise is known; and the planting of label errors.
#include "eval/audit/confident.h"
#include "eval/audit/planted.h"

#include "golden/confident.h"
#include "philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void near(const char *what, int at, double found, double expected, double tolerance)
{
    if (!isfinite(found) || fabs(found - expected) > tolerance)
        fail_msg(
            "%s %d: found %.17g, expected %.17g within %g", what, at, found, expected, tolerance);
}

// ---- By hand

// Eight samples of three classes; binary fractions, so that sums are exact.
static const float hand[8][3] = {
    {0.75f, 0.125f, 0.125f},   // 0: given 0, above t0 alone
    {0.625f, 0.25f, 0.125f},   // 1: given 0, at t0 exactly, which is enough
    {0.5f, 0.25f, 0.25f},      // 2: given 0, above none
    {0.0f, 0.25f, 0.75f},      // 3: given 1, above t2: in truth 2
    {0.0f, 1.0f, 0.0f},        // 4: given 1, above t1
    {0.25f, 0.625f, 0.125f},   // 5: given 1, at t1 exactly (0.25 + 1 + 0.625 = 3 * 0.625)
    {0.6875f, 0.0f, 0.3125f},  // 6: given 2, above t0 and at t2: a collision, taken by the argmax
    {0.375f, 0.3125f, 0.3125f} // 7: given 2, at t2 exactly, though class 0 is likelier
};
static const uint8_t hand_labels[8] = {0, 0, 0, 1, 1, 1, 2, 2};

static void test_by_hand(void **state)
{
    (void)state;
    struct fm_confident c;
    assert_int_equal(fm_confident_count(hand[0], hand_labels, 8, 3, &c), FM_OK);
    static const double thresholds[3] = {0.625, 0.625, 0.3125};
    static const uint64_t counts[9] = {2, 0, 0, 0, 2, 1, 1, 0, 1};
    for (int j = 0; j < 3; j++)
        near("threshold", j, c.thresholds[j], thresholds[j], 0);
    for (int k = 0; k < 9; k++)
        assert_int_equal(c.counts[k], counts[k]);
    assert_int_equal(c.uncounted, 1);
    // Each row scaled to its samples: 3, 3, 2 of 8.
    static const double joint[9] = {3 / 8.0, 0, 0, 0, 2 / 8.0, 1 / 8.0, 1 / 8.0, 0, 1 / 8.0};
    for (int k = 0; k < 9; k++)
        near("joint", k, c.joint[k], joint[k], 1e-15);
    near("noise", 0, c.noise, 2 / 8.0, 1e-15);

    // One of class 1 and one of class 2 are to be pruned: 3 is the least sure of class 1; of class
    // 2 it is 6 (0.3125, like 7, which comes later), and by margin to class 0 it is 6, too.
    static const uint8_t expected[FM_PRUNES][8] = {
        [FM_PRUNE_CONFUSION] = {0, 0, 0, 1, 0, 0, 1, 1},
        [FM_PRUNE_JOINT] = {0, 0, 0, 1, 0, 0, 1, 0},
        [FM_PRUNE_CLASS] = {0, 0, 0, 1, 0, 0, 1, 0},
        [FM_PRUNE_NOISE_RATE] = {0, 0, 0, 1, 0, 0, 1, 0},
        [FM_PRUNE_BOTH] = {0, 0, 0, 1, 0, 0, 1, 0},
    };
    for (int rule = 0; rule < FM_PRUNES; rule++) {
        uint8_t found[8];
        assert_int_equal(
            fm_confident_find(&c, hand[0], hand_labels, (enum fm_prune)rule, found), FM_OK);
        if (memcmp(found, expected[rule], 8) != 0)
            fail_msg("rule '%s' finds others than expected", fm_prune_names[rule]);
    }
    fm_confident_free(&c);
}

// A label that nobody was given has no threshold; one whose row counts nothing is taken to be
// right.
static void test_empty_classes(void **state)
{
    (void)state;
    struct fm_confident c;
    const float p[3][3] = {{0.5f, 0.0f, 0.5f}, {0.25f, 0.75f, 0.0f}, {0.0f, 0.875f, 0.125f}};
    const uint8_t labels[3] = {0, 0, 0};
    assert_int_equal(fm_confident_count(p[0], labels, 3, 3, &c), FM_OK);
    assert_true(isnan(c.thresholds[1]) && isnan(c.thresholds[2]));
    assert_int_equal(c.counts[0], 2); // both at or above (0.5 + 0.25 + 0) / 3
    near("joint", 0, c.joint[0], 1, 1e-15);
    near("noise", 0, c.noise, 0, 0);
    fm_confident_free(&c);

    const float q[2][2] = {{0.25f, 0.75f}, {0.25f, 0.75f}};
    const uint8_t one_each[2] = {0, 1}; // thresholds 0.25 and 0.75: both are counted for class 1
    assert_int_equal(fm_confident_count(q[0], one_each, 2, 2, &c), FM_OK);
    assert_int_equal(c.counts[1], 1);
    near("joint", 1, c.joint[1], 0.5, 1e-15);
    fm_confident_free(&c);
}

static void test_refuses(void **state)
{
    (void)state;
    struct fm_confident c;
    float p[4] = {0.5f, 0.5f, 0.25f, 0.75f};
    const uint8_t labels[2] = {0, 1}, beyond[2] = {0, 2};
    assert_int_equal(fm_confident_count(p, beyond, 2, 2, &c), FM_DATA);
    assert_non_null(strstr(fm_error_message(), "sample 1 has the label 2"));
    fm_error_clear();
    static const float bad[3] = {NAN, -0.125f, 1.125f};
    for (int i = 0; i < 3; i++) {
        p[2] = bad[i];
        assert_int_equal(fm_confident_count(p, labels, 2, 2, &c), FM_NUMERIC);
        assert_non_null(strstr(fm_error_message(), "sample 1"));
        fm_error_clear();
    }
    assert_int_equal(fm_confident_count(p, labels, 0, 2, &c), FM_DATA);
    fm_error_clear();
}

// ---- Against numpy

static void test_golden(void **state)
{
    (void)state;
    struct fm_confident c;
    const float *p = golden_probabilities[0];
    uint8_t found[GOLDEN_SAMPLES];
    uint32_t order[GOLDEN_SAMPLES];
    assert_int_equal(
        fm_confident_count(p, golden_labels, GOLDEN_SAMPLES, GOLDEN_CLASSES, &c), FM_OK);
    for (int j = 0; j < GOLDEN_CLASSES; j++)
        near("threshold", j, c.thresholds[j], golden_thresholds[j], 1e-12);
    for (int k = 0; k < GOLDEN_CLASSES * GOLDEN_CLASSES; k++) {
        assert_int_equal(c.counts[k], golden_counts[k / GOLDEN_CLASSES][k % GOLDEN_CLASSES]);
        near("joint", k, c.joint[k], golden_joint[k / GOLDEN_CLASSES][k % GOLDEN_CLASSES], 1e-12);
    }
    for (int rule = 0; rule < FM_PRUNES; rule++) {
        assert_int_equal(
            fm_confident_find(&c, p, golden_labels, (enum fm_prune)rule, found), FM_OK);
        for (int x = 0; x < GOLDEN_SAMPLES; x++)
            if (found[x] != golden_found[rule][x])
                fail_msg("rule '%s', sample %d: found %d, expected %d", fm_prune_names[rule], x,
                    found[x], golden_found[rule][x]);
    }
    for (int rank = 0; rank < FM_RANKS; rank++) {
        assert_int_equal(fm_confident_order(p, golden_labels, GOLDEN_SAMPLES, GOLDEN_CLASSES,
                             (enum fm_rank)rank, order),
            FM_OK);
        for (int k = 0; k < GOLDEN_SAMPLES; k++)
            if (order[k] != golden_orders[rank][k])
                fail_msg("rank '%s', place %d: found %u, expected %u", fm_rank_names[rank], k,
                    (unsigned)order[k], (unsigned)golden_orders[rank][k]);
    }
    fm_confident_free(&c);
}

// ---- Known noise

enum {
    KNOWN = 20000,
    CLASSES = 4
};

// p(given | truth): asymmetric, as people's errors are.
static const double transition[CLASSES][CLASSES] = {
    {0.90, 0.06, 0.02, 0.02},
    {0.01, 0.97, 0.01, 0.01},
    {0.00, 0.10, 0.85, 0.05},
    {0.03, 0.00, 0.00, 0.97},
};

struct known {
    float p[KNOWN][CLASSES];
    uint8_t labels[KNOWN], wrong[KNOWN];
    double joint[CLASSES][CLASSES]; // [given][true], as drawn
};

// A network that was trained on the noisy labels and knows the class of every sample: it predicts
// the noise, p(given | truth), with an error of up to `most` on each sample and class.
static void draw_known(struct known *k, uint64_t seed, double most)
{
    memset(k, 0, sizeof *k);
    for (uint32_t x = 0; x < KNOWN; x++) {
        int truth = (int)fm_draw_below(fm_draw(seed, 0, x, 0, 0), CLASSES), given = 0;
        double u = (double)fm_draw_unit(fm_draw(seed, 0, x, 0, 1)), sum = 0;
        while (given < CLASSES - 1 && u >= transition[truth][given])
            u -= transition[truth][given++];
        for (int j = 0; j < CLASSES; j++) {
            double error = (double)fm_draw_unit(fm_draw(seed, 0, x, 0, 4 + (uint32_t)j));
            k->p[x][j] = (float)(transition[truth][j] + most * error);
            sum += (double)k->p[x][j];
        }
        for (int j = 0; j < CLASSES; j++)
            k->p[x][j] /= (float)sum;
        k->labels[x] = (uint8_t)given;
        k->wrong[x] = given != truth;
        k->joint[given][truth] += 1.0 / KNOWN;
    }
}

static void check_known(const struct known *k, uint64_t seed, double tolerance, double recall)
{
    struct fm_confident c;
    uint8_t found[KNOWN];
    assert_int_equal(fm_confident_count(k->p[0], k->labels, KNOWN, CLASSES, &c), FM_OK);
    for (int cell = 0; cell < CLASSES * CLASSES; cell++)
        near("joint", (int)seed * 100 + cell, c.joint[cell],
            k->joint[cell / CLASSES][cell % CLASSES], tolerance);
    for (int rule = 0; rule < FM_PRUNES; rule++) {
        assert_int_equal(
            fm_confident_find(&c, k->p[0], k->labels, (enum fm_prune)rule, found), FM_OK);
        struct fm_retrieval got = fm_planted_found(found, k->wrong, KNOWN);
        if (got.precision < 0.98 || got.recall < recall)
            fail_msg("seed %d, rule '%s': precision %.3f, recall %.3f, expected 0.98, %g",
                (int)seed, fm_prune_names[rule], got.precision, got.recall, recall);
    }
    fm_confident_free(&c);
}

static void test_recovers_known_noise(void **state)
{
    (void)state;
    static struct known k;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        // Without errors every sample is counted for its true class (the paper's theorem 1).
        draw_known(&k, seed, 0);
        check_known(&k, seed, 1e-9, 1);
        draw_known(&k, seed, 0.2);
        check_known(&k, seed, 0.015, 0.65);
    }
}

// ---- Planting

static void test_plants_what_is_asked_for(void **state)
{
    (void)state;
    enum {
        N = 10000
    };
    static uint8_t labels[N], out[N], again[N], planted[N];
    uint32_t count, steps[10] = {0}, marked = 0;
    for (uint32_t i = 0; i < N; i++)
        labels[i] = (uint8_t)(i % 10);
    assert_int_equal(fm_plant_labels(labels, N, 10, 0.2, 7, out, planted, &count), FM_OK);
    assert_int_equal(count, 2000);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(planted[i], out[i] != labels[i]);
        assert_true(out[i] < 10);
        marked += planted[i];
        steps[(out[i] + 10 - labels[i]) % 10]++;
    }
    assert_int_equal(marked, 2000);
    for (int step = 1; step < 10; step++) // 222 each, give or take five deviations
        assert_in_range(steps[step], 222 - 75, 222 + 75);
    assert_int_equal(fm_plant_labels(labels, N, 10, 0.2, 7, again, planted, &count), FM_OK);
    assert_memory_equal(out, again, N);
    assert_int_equal(fm_plant_labels(labels, N, 10, 0.2, 8, again, planted, &count), FM_OK);
    assert_memory_not_equal(out, again, N);
    assert_int_equal(fm_plant_labels(labels, N, 10, 0, 7, out, planted, &count), FM_OK);
    assert_int_equal(count, 0);
    assert_memory_equal(out, labels, N);
}

static void test_counts_what_was_found(void **state)
{
    (void)state;
    const uint8_t planted[6] = {0, 1, 0, 1, 0, 1}, found[6] = {1, 1, 0, 0, 0, 1};
    const uint32_t order[6] = {1, 0, 5, 2, 4, 3};
    struct fm_retrieval got = fm_planted_found(found, planted, 6);
    assert_int_equal(got.found, 3);
    assert_int_equal(got.hits, 2);
    near("precision", 0, got.precision, 2 / 3.0, 1e-15);
    near("recall", 0, got.recall, 2 / 3.0, 1e-15);
    got = fm_planted_first(order, planted, 6, 2);
    near("precision of the first", 2, got.precision, 1 / 2.0, 1e-15);
    near("recall of the first", 2, got.recall, 1 / 3.0, 1e-15);
    near("average precision", 0, fm_planted_average_precision(order, planted, 6),
        (1 / 1.0 + 2 / 3.0 + 3 / 6.0) / 3, 1e-15);
    const uint8_t none[6] = {0};
    got = fm_planted_found(none, none, 6);
    near("nothing found", 0, got.precision + got.recall, 0, 0);
    near("nothing planted", 0, fm_planted_average_precision(order, none, 6), 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_empty_classes),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_recovers_known_noise),
        cmocka_unit_test(test_plants_what_is_asked_for),
        cmocka_unit_test(test_counts_what_was_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
