// The same bits: under every order of work that a device may choose, with the data set kept there
// or sent up batch by batch, and after a stop in the middle.
#include "parity/parity.h"

#include "simcuda.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    TAIL = 3,
    STEPS = 5
};

// Steps [from, to), without a wait between them; every third is a tail with an executor of its own.
static void run_steps(const struct parity_side *side, int batch, uint32_t from, uint32_t to)
{
    const struct fm_compile_options options[2] = {parity_training(batch), parity_training(TAIL)};
    struct fm_executor *whole = parity_compile(side, &options[0]);
    struct fm_executor *tail = parity_compile(side, &options[1]);
    for (uint32_t s = from; s < to; s++) {
        bool last = s % 3 == 2;
        const struct parity_batch samples = parity_batch(
            s * (uint32_t)batch, last ? TAIL : batch, s);
        parity_submit(side, last ? tail : whole, (int)s % FM_SLOTS, &samples);
    }
    side->api->executor_destroy(whole);
    side->api->executor_destroy(tail);
}

// The end of a run in one go under the order that `seed` gives.
static struct parity_state *run_whole(struct parity *p, const struct parity_side *side,
    const struct parity_state *begin, uint64_t seed)
{
    sim_seed(seed);
    parity_set(side, begin);
    run_steps(side, p->what.batch, 0, STEPS);
    return parity_get(side);
}

struct bits {
    struct parity_case what;
    uint64_t seeds;
};

static void check_orders(void **state)
{
    const struct bits *bits = *state;
    struct parity *p = parity_open_tested(&bits->what);
    const struct parity_state *begin = p->begin;
    struct parity_state *expected = run_whole(p, &p->tested, begin, 1);
    assert_int_equal(expected->counters.applied, begin->counters.applied + STEPS);
    for (uint64_t seed = 2; seed <= bits->seeds; seed++) {
        char when[160];
        snprintf(when, sizeof when, "%s, seed %llu", p->name, (unsigned long long)seed);
        struct parity_state *found = run_whole(p, &p->tested, begin, seed);
        parity_same(when, found, expected, true);
        parity_free(found);
    }
    parity_free(expected);
    parity_close(p);
}

static void check_resident(void **state)
{
    const struct bits *bits = *state;
    struct parity *p = parity_open_tested(&bits->what);
    const struct parity_state *begin = p->begin;
    struct parity_state *expected = run_whole(p, &p->tested, begin, 1);
    p->what.resident = true;
    struct parity_side beside = parity_beside(p, &p->tested);
    for (uint64_t seed = 1; seed <= bits->seeds; seed++) {
        struct parity_state *found = run_whole(p, &beside, begin, seed);
        parity_same("with the data on the device", found, expected, true);
        parity_free(found);
    }
    parity_side_close(&beside);
    parity_free(expected);
    parity_close(p);
}

// Half of the steps on one model, the rest on a new one that was given nothing but its state.
static void check_resumed(void **state)
{
    const struct bits *bits = *state;
    struct parity *p = parity_open_tested(&bits->what);
    const struct parity_state *begin = p->begin;
    struct parity_state *expected = run_whole(p, &p->tested, begin, 1);
    parity_set(&p->tested, begin);
    run_steps(&p->tested, p->what.batch, 0, STEPS / 2);
    struct parity_state *half = parity_get(&p->tested);
    parity_side_close(&p->tested);
    p->tested = parity_beside(p, &p->tested);
    parity_set(&p->tested, half);
    run_steps(&p->tested, p->what.batch, STEPS / 2, STEPS);
    struct parity_state *found = parity_get(&p->tested);
    parity_same(p->name, found, expected, true);
    parity_free(expected);
    parity_free(half);
    parity_free(found);
    parity_close(p);
}

// Steps through two pairs of slots in turns of three, which one executor has to keep apart.
static struct parity_state *run_through(const struct parity_side *const sides[2], int batch)
{
    const struct fm_compile_options options = parity_training(batch);
    struct fm_executor *executor = parity_compile(sides[0], &options);
    for (uint32_t s = 0; s < 3 * STEPS; s++) {
        const struct parity_batch samples = parity_batch(s * (uint32_t)batch, batch, s);
        parity_submit(sides[s / 3 % 2], executor, (int)s % FM_SLOTS, &samples);
    }
    sides[0]->api->executor_destroy(executor);
    return parity_get(sides[0]);
}

static void check_two_stagings(void **state)
{
    const struct bits *bits = *state;
    struct parity *p = parity_open_tested(&bits->what);
    struct parity_side *one = &p->tested, other = *one;
    const struct parity_side *const same[2] = {one, one}, *const both[2] = {one, &other};
    struct parity_state *expected = run_through(same, p->what.batch);
    parity_set(one, p->begin);
    parity_must(
        one->api->staging_create(one->model, (uint32_t)p->what.batch, NULL, &other.staging));
    struct parity_state *found = run_through(both, p->what.batch);
    parity_same(p->name, found, expected, true);
    one->api->staging_destroy(other.staging);
    parity_free(expected);
    parity_free(found);
    parity_close(p);
}

static const struct CMUnitTest tests[] = {
    PARITY_TEST("simple fp16, 20 orders", check_orders, bits,
        PARITY_CASE("simple", FP16, 4, "h100", ADAMW), .seeds = 20),
    PARITY_TEST("simple fp16, resident", check_resident, bits,
        PARITY_CASE("simple", FP16, 4, "h100", ADAMW), .seeds = 3),
    PARITY_TEST("simple fp16, two stagings", check_two_stagings, bits,
        PARITY_CASE("simple", FP16, 4, "h100", ADAMW), .seeds = 1),
    PARITY_TEST("simple fp32, resumed", check_resumed, bits,
        PARITY_CASE("simple", FP32, 4, "h100", ADAMW), .seeds = 1),
    PARITY_TEST("deeper fp16, resumed", check_resumed, bits,
        PARITY_CASE("deeper", FP16, 4, "h100", ADAMW), .seeds = 1),
};
static const struct CMUnitTest long_tests[] = {
    PARITY_TEST("deeper fp16, 20 orders", check_orders, bits,
        PARITY_CASE("deeper", FP16, 4, "h100", ADAMW), .seeds = 20),
    PARITY_TEST("deeper fp16 on t4, 20 orders", check_orders, bits,
        PARITY_CASE("deeper", FP16, 4, "t4", ADAMW), .seeds = 20),
    PARITY_TEST("deeper bf16, 20 orders", check_orders, bits,
        PARITY_CASE("deeper", BF16, 4, "a100", ADAMW), .seeds = 20),
    PARITY_TEST("simple fp32, 200 orders", check_orders, bits,
        PARITY_CASE("simple", FP32, 4, "h100", ADAMW), .seeds = 200),
    PARITY_TEST("simple-ref fp32, 20 orders", check_orders, bits,
        PARITY_CASE("simple-ref", FP32, 4, "h100", ADAMW), .seeds = 20),
    PARITY_TEST("deeper-ref fp16, 20 orders", check_orders, bits,
        PARITY_CASE("deeper-ref", FP16, 4, "h100", ADAMW), .seeds = 20),
    PARITY_TEST("vgg16 fp16, 3 orders", check_orders, bits,
        PARITY_CASE("vgg16", FP16, 3, "h100", ADAMW), .seeds = 3),
    PARITY_TEST("deeper fp16, resident", check_resident, bits,
        PARITY_CASE("deeper", FP16, 4, "h100", ADAMW), .seeds = 3),
    PARITY_TEST("vgg16 fp16, resumed", check_resumed, bits,
        PARITY_CASE("vgg16", FP16, 3, "h100", ADAMW), .seeds = 1),
};

PARITY_MAIN(tests, long_tests)
