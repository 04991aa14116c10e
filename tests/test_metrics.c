// Metrics against figures worked out by hand.
#include "eval/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void near(const char *what, double found, double expected)
{
    if (!isfinite(found) || fabs(found - expected) > 1e-12 * fmax(1, fabs(expected)))
        fail_msg("%s: found %.17g, expected %.17g", what, found, expected);
}

// Six samples of three classes. Logits ln(w) make the softmax w / sum(w).
static const double weights[6][3] = {
    {8, 1, 1}, // label 0, right, confidence 0.8
    {1, 6, 3}, // label 0, given 1, 0.6
    {1, 8, 1}, // label 1, right, 0.8
    {5, 4, 1}, // label 1, given 0, 0.5
    {4, 5, 1}, // label 1, right, 0.5
    {1, 6, 3}, // label 2, given 1, 0.6
};
static const uint8_t labels[6] = {0, 0, 1, 1, 1, 2};
static const double p_label[6] = {0.8, 0.1, 0.8, 0.4, 0.5, 0.3};

static void add_all(struct fm_metrics *m, uint32_t first_part)
{
    float logits[6][3];
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < 3; k++)
            logits[i][k] = (float)log(weights[i][k]);
    assert_int_equal(fm_metrics_begin(m, 3), FM_OK);
    assert_int_equal(fm_metrics_add(m, logits[0], labels, first_part), FM_OK);
    assert_int_equal(
        fm_metrics_add(m, logits[first_part], labels + first_part, 6 - first_part), FM_OK);
    fm_metrics_finish(m);
}

static void test_by_hand(void **state)
{
    (void)state;
    struct fm_metrics m;
    add_all(&m, 4);
    assert_int_equal(m.count, 6);
    assert_int_equal(m.correct, 3);
    near("accuracy", m.accuracy, 0.5);
    static const uint64_t confusion[9] = {1, 1, 0, 1, 2, 0, 0, 1, 0};
    assert_memory_equal(m.confusion, confusion, sizeof confusion);
    near("precision 0", m.per_class[0].precision, 1 / 2.0);
    near("recall 0", m.per_class[0].recall, 1 / 2.0);
    near("f1 0", m.per_class[0].f1, 1 / 2.0);
    near("precision 1", m.per_class[1].precision, 2 / 4.0);
    near("recall 1", m.per_class[1].recall, 2 / 3.0);
    near("f1 1", m.per_class[1].f1, 4 / 7.0);
    near("precision 2, undefined", m.per_class[2].precision, 0);
    near("f1 2, undefined", m.per_class[2].f1, 0);
    near("macro precision", m.macro_precision, (0.5 + 0.5 + 0) / 3);
    near("macro recall", m.macro_recall, (0.5 + 2 / 3.0 + 0) / 3);
    near("macro f1", m.macro_f1, (0.5 + 4 / 7.0 + 0) / 3);
    double nll = 0;
    for (int i = 0; i < 6; i++)
        nll -= log(p_label[i]) / 6;
    // The logits are floats, so that figures made of probabilities agree to float's precision only.
    assert_true(isfinite(m.nll) && fabs(m.nll - nll) < 1e-6);
    // Bins: {0.8, 0.8} two right; {0.6, 0.6} none right; {0.5, 0.5} one right.
    double ece = (fabs(2 - 1.6) + fabs(0 - 1.2) + fabs(1 - 1.0)) / 6;
    assert_true(isfinite(m.ece) && fabs(m.ece - ece) < 1e-6);
    fm_metrics_free(&m);
}

static void test_batches_add_up(void **state)
{
    (void)state;
    struct fm_metrics a, b;
    add_all(&a, 1);
    add_all(&b, 5);
    near("nll", a.nll, b.nll);
    near("ece", a.ece, b.ece);
    assert_memory_equal(a.confusion, b.confusion, 9 * sizeof *a.confusion);
    fm_metrics_free(&a);
    fm_metrics_free(&b);
}

static void test_large_logits_stay_finite(void **state)
{
    (void)state;
    struct fm_metrics m;
    const float logits[4] = {3e38f, -3e38f, -1e30f, 1e30f};
    const uint8_t wrong_then_right[2] = {1, 1};
    assert_int_equal(fm_metrics_begin(&m, 2), FM_OK);
    assert_int_equal(fm_metrics_add(&m, logits, wrong_then_right, 2), FM_OK);
    fm_metrics_finish(&m);
    assert_true(isfinite(m.nll));
    near("accuracy", m.accuracy, 0.5);
    near("ece: one sure and wrong, one sure and right", m.ece, 0.5);
    fm_metrics_free(&m);
}

static void test_ties_take_the_first(void **state)
{
    (void)state;
    struct fm_metrics m;
    const float logits[3] = {1, 2, 2};
    const uint8_t label[1] = {1};
    assert_int_equal(fm_metrics_begin(&m, 3), FM_OK);
    assert_int_equal(fm_metrics_add(&m, logits, label, 1), FM_OK);
    assert_int_equal(m.correct, 1);
    fm_metrics_free(&m);
}

static void refuse(float bad)
{
    struct fm_metrics m;
    const float logits[6] = {0, 1, 2, 0, bad, 2};
    const uint8_t two[2] = {0, 0};
    assert_int_equal(fm_metrics_begin(&m, 3), FM_OK);
    assert_int_equal(fm_metrics_add(&m, logits, two, 2), FM_NUMERIC);
    assert_non_null(strstr(fm_error_message(), "logit 1 of sample 1"));
    fm_error_clear();
    fm_metrics_free(&m);
}

static void test_refuses_what_is_not_finite(void **state)
{
    (void)state;
    refuse(NAN);
    refuse(INFINITY);
    refuse(-INFINITY);
}

static void test_refuses_labels_and_classes(void **state)
{
    (void)state;
    struct fm_metrics m;
    const float logits[3] = {0, 1, 2};
    const uint8_t label[1] = {3};
    assert_int_equal(fm_metrics_begin(&m, 1), FM_DATA);
    fm_error_clear();
    assert_int_equal(fm_metrics_begin(&m, 3), FM_OK);
    assert_int_equal(fm_metrics_add(&m, logits, label, 1), FM_DATA);
    fm_error_clear();
    fm_metrics_free(&m);
}

static void test_confused_pairs_in_order(void **state)
{
    (void)state;
    struct fm_metrics m;
    assert_int_equal(fm_metrics_begin(&m, 3), FM_OK);
    static const uint64_t confusion[9] = {90, 4, 7, 4, 80, 0, 9, 4, 70};
    memcpy(m.confusion, confusion, sizeof confusion);
    struct fm_confused pairs[8];
    assert_int_equal(fm_metrics_confused(&m, pairs, 8), 5);
    static const struct fm_confused expected[5] = {
        {2, 0, 9}, {0, 2, 7}, {0, 1, 4}, {1, 0, 4}, {2, 1, 4}};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(pairs[i].actual, expected[i].actual);
        assert_int_equal(pairs[i].predicted, expected[i].predicted);
        assert_int_equal(pairs[i].count, expected[i].count);
    }
    for (int capacity = 0; capacity < 5; capacity++) {
        assert_int_equal(fm_metrics_confused(&m, pairs, capacity), capacity);
        for (int i = 0; i < capacity; i++) {
            assert_int_equal(pairs[i].actual, expected[i].actual);
            assert_int_equal(pairs[i].predicted, expected[i].predicted);
        }
    }
    fm_metrics_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_batches_add_up),
        cmocka_unit_test(test_large_logits_stay_finite),
        cmocka_unit_test(test_ties_take_the_first),
        cmocka_unit_test(test_refuses_what_is_not_finite),
        cmocka_unit_test(test_refuses_labels_and_classes),
        cmocka_unit_test(test_confused_pairs_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
