// Steps that must not count: what overflows is skipped and leaves no trace but in the counters, the
// loss scale halves and grows again, and what no smaller scale would cure is said.
#include "parity/parity.h"

#include "loss_scale.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct trial {
    struct parity_case what;
};

// One step on the tested side from the state `before`.
static struct parity_state *step_from(
    struct parity *p, struct fm_executor *executor, const struct parity_state *before)
{
    const struct parity_batch samples = parity_batch(0, p->what.batch, 0);
    parity_set(&p->tested, before);
    parity_submit(&p->tested, executor, 0, &samples);
    return parity_get(&p->tested);
}

static struct fm_executor *compile(struct parity *p)
{
    const struct fm_compile_options options = parity_training(p->what.batch);
    return parity_compile(&p->tested, &options);
}

static void expect_counters(const struct fm_counters *found, struct fm_counters expected)
{
    assert_int_equal(found->applied, expected.applied);
    assert_int_equal(found->skipped, expected.skipped);
    assert_int_equal(found->growths, expected.growths);
    assert_int_equal(found->good_steps, expected.good_steps);
    assert_true(found->loss_scale == expected.loss_scale);
}

// With the greatest scale the gradients overflow; it halves until one step counts.
static void check_halving(void **state)
{
    const struct parity_case *what = &((const struct trial *)*state)->what;
    struct parity *p = parity_open_tested(what);
    struct fm_executor *executor = compile(p);
    struct parity_state *before = parity_copy(p->begin);
    before->counters.loss_scale = FM_LOSS_SCALE_MOST;
    int halvings = 0;
    for (bool skipped = true; skipped; halvings += skipped) {
        struct parity_state *after = step_from(p, executor, before);
        struct fm_counters expected = before->counters;
        skipped = after->counters.skipped > before->counters.skipped;
        expected.skipped += skipped;
        expected.applied += !skipped;
        expected.good_steps = skipped ? 0 : expected.good_steps + 1;
        expected.loss_scale *= skipped ? 0.5f : 1.0f;
        expect_counters(&after->counters, expected);
        assert_int_equal(after->sums.count, before->sums.count + (uint64_t)what->batch);
        assert_int_equal(after->sums.incurable, 0);
        assert_true(isfinite(after->sums.loss));
        if (skipped)
            parity_same("after a skipped step", after, before, false);
        parity_free(before);
        before = after;
    }
    assert_in_range(halvings, 1, 20);
    p->tested.api->executor_destroy(executor);
    parity_free(before);
    parity_close(p);
}

// After 2,000 good steps the scale doubles, but never beyond its most.
static void check_growth(void **state)
{
    const struct parity_case *what = &((const struct trial *)*state)->what;
    struct parity *p = parity_open_tested(what);
    struct fm_executor *executor = compile(p);
    struct parity_state *before = parity_copy(p->begin);
    before->counters.good_steps = FM_LOSS_SCALE_GOOD_STEPS - 1;
    struct parity_state *after = step_from(p, executor, before);
    struct fm_counters expected = before->counters;
    expected.applied++;
    expected.good_steps = 0;
    expected.growths++;
    expected.loss_scale *= 2.0f;
    expect_counters(&after->counters, expected);
    parity_free(after);
    before->counters.good_steps = FM_LOSS_SCALE_GOOD_STEPS - 2;
    after = step_from(p, executor, before);
    assert_int_equal(after->counters.good_steps, FM_LOSS_SCALE_GOOD_STEPS - 1);
    assert_int_equal(after->counters.growths, 0);
    p->tested.api->executor_destroy(executor);
    parity_free(after);
    parity_free(before);
    parity_close(p);
}

// A parameter that is not a number: in every precision the step is skipped, and said to be
// incurable.
static void check_incurable(void **state)
{
    const struct parity_case *what = &((const struct trial *)*state)->what;
    struct parity *p = parity_open_tested(what);
    struct fm_executor *executor = compile(p);
    struct parity_state *before = parity_copy(p->begin);
    before->range[PARITY_PARAM][p->net.params[p->net.param_count - 1].offset + 3] = NAN;
    struct parity_state *after = step_from(p, executor, before);
    struct fm_counters expected = before->counters;
    expected.skipped++;
    expected.good_steps = 0;
    if (what->precision == FM_PRECISION_FP16)
        expected.loss_scale *= 0.5f;
    expect_counters(&after->counters, expected);
    assert_int_equal(after->sums.incurable, 1);
    parity_same("after a skipped step", after, before, false);
    p->tested.api->executor_destroy(executor);
    parity_free(after);
    parity_free(before);
    parity_close(p);
}

// The step after a skipped one goes on as if that had not been.
static void check_after(void **state)
{
    const struct parity_case *what = &((const struct trial *)*state)->what;
    struct parity *p = parity_open_tested(what);
    struct fm_executor *executor = compile(p);
    const struct parity_batch samples = parity_batch(8, what->batch, 1);
    struct parity_state *states[2], *begin = parity_copy(p->begin);
    for (int i = 0; i < 2; i++) {
        parity_set(&p->tested, begin);
        struct fm_counters counters = begin->counters;
        if (i == 1) { // a skip, then the same scale again
            counters.loss_scale = FM_LOSS_SCALE_MOST;
            parity_must(p->tested.api->counters_set(p->tested.model, &counters));
            const struct parity_batch lost = parity_batch(0, what->batch, 0);
            parity_submit(&p->tested, executor, 1, &lost);
            parity_must(p->tested.api->counters_get(p->tested.model, &counters));
            assert_int_equal(counters.skipped, 1);
        }
        parity_must(p->tested.api->counters_set(p->tested.model, &begin->counters));
        parity_submit(&p->tested, executor, 0, &samples);
        states[i] = parity_get(&p->tested);
    }
    parity_same("a step after a skipped one", states[1], states[0], false);
    expect_counters(&states[1]->counters, states[0]->counters);
    p->tested.api->executor_destroy(executor);
    parity_free(begin);
    parity_free(states[0]);
    parity_free(states[1]);
    parity_close(p);
}

static const struct CMUnitTest tests[] = {
    PARITY_TEST(
        "simple, halving", check_halving, trial, PARITY_CASE("simple", FP16, 4, "h100", ADAMW)),
    PARITY_TEST(
        "simple, SGD, halving", check_halving, trial, PARITY_CASE("simple", FP16, 4, "h100", SGD)),
    PARITY_TEST(
        "deeper, halving", check_halving, trial, PARITY_CASE("deeper", FP16, 4, "h100", ADAMW)),
    PARITY_TEST(
        "simple, growth", check_growth, trial, PARITY_CASE("simple", FP16, 4, "h100", ADAMW)),
    PARITY_TEST("simple fp16, incurable", check_incurable, trial,
        PARITY_CASE("simple", FP16, 4, "h100", ADAMW)),
    PARITY_TEST("simple fp32, incurable", check_incurable, trial,
        PARITY_CASE("simple", FP32, 4, "h100", ADAMW)),
    PARITY_TEST("simple bf16, incurable", check_incurable, trial,
        PARITY_CASE("simple", BF16, 4, "h100", ADAMW)),
    PARITY_TEST(
        "deeper, after a skip", check_after, trial, PARITY_CASE("deeper", FP16, 4, "h100", ADAMW)),
};
static const struct CMUnitTest long_tests[] = {
    PARITY_TEST(
        "deeper on t4, halving", check_halving, trial, PARITY_CASE("deeper", FP16, 4, "t4", ADAMW)),
    PARITY_TEST(
        "vgg16, halving", check_halving, trial, PARITY_CASE("vgg16", FP16, 2, "h100", ADAMW)),
    PARITY_TEST(
        "deeper on t4, growth", check_growth, trial, PARITY_CASE("deeper", FP16, 4, "t4", ADAMW)),
    PARITY_TEST("deeper on t4, after a skip", check_after, trial,
        PARITY_CASE("deeper", FP16, 4, "t4", ADAMW)),
    PARITY_TEST(
        "vgg16, after a skip", check_after, trial, PARITY_CASE("vgg16", FP16, 2, "h100", ADAMW)),
};

PARITY_MAIN(tests, long_tests)
