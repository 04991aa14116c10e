// Longer than a step: twenty steps each on its own, an epoch with its tail, a state that moves
// between the backends in the middle, and what trained models are then asked.
#include "parity/parity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PASSES = 4, // of free runs
    PASS = 5,   // steps
    CLASSES = 10
};

struct run {
    struct parity_case what;
    double slack;     // of a step's tolerances, as errors add up
    double loss;      // free runs: allowed relative difference of a pass's mean loss
    uint64_t correct; // and of the samples got right in the last pass
};

// ---- free runs

// Without mixing, which the epochs below and parity_step have: in these few steps nothing is learnt
// of mixed images, and roundings grow beyond what is allowed.
static struct fm_compile_options unmixed(int batch)
{
    struct fm_compile_options options = parity_training(batch);
    options.mix = (struct fm_mix){0};
    return options;
}

// What a step leaves is the next one's begin. The sums of each pass over the same batches.
static void run_free(const struct parity_side *side, int batch, struct fm_sums passes[PASSES])
{
    const struct fm_compile_options options = unmixed(batch);
    struct fm_executor *executor = parity_compile(side, &options);
    for (uint32_t s = 0; s < PASSES * PASS; s++) {
        struct parity_batch samples = parity_batch((s % PASS) * (uint32_t)batch, batch, s);
        samples.step.weight_decay = 0.01f;
        parity_submit(side, executor, (int)s % FM_SLOTS, &samples);
        if (s % PASS < PASS - 1)
            continue;
        passes[s / PASS] = parity_sums(side);
        parity_must(side->api->sums_set(side->model, &(struct fm_sums){0}));
    }
    side->api->executor_destroy(executor);
}

static void check_free(void **state)
{
    const struct run *run = *state;
    struct parity *p = parity_open(&run->what);
    struct fm_sums expected[PASSES], found[PASSES];
    run_free(&p->reference, run->what.batch, expected);
    run_free(&p->tested, run->what.batch, found);
    bool close = true;
    for (int i = 0; i < PASSES; i++) {
        char when[32];
        snprintf(when, sizeof when, "losses of pass %d", i + 1);
        const struct parity_named name = {p->name, when, NULL};
        close &= parity_close_number(&name, found[i].loss, expected[i].loss, run->loss);
        assert_int_equal(found[i].count, PASS * run->what.batch);
    }
    uint64_t a = found[PASSES - 1].correct, b = expected[PASSES - 1].correct;
    if (found[PASSES - 1].loss > 0.8 * found[0].loss) {
        fprintf(stderr, "%s: learns nothing: backends would agree too easily\n", p->name);
        close = false;
    }
    if (a > b + run->correct || b > a + run->correct) {
        fprintf(stderr, "%s: %llu right in the last pass, expected %llu\n", p->name,
            (unsigned long long)a, (unsigned long long)b);
        close = false;
    }
    parity_close(p);
    assert_true(close);
}

// ---- an epoch

// Three batches and a tail from an executor of its own, without a wait between them, twice over.
static struct parity_state *run_epochs(const struct parity_side *side, int batch, int tail)
{
    const struct fm_compile_options options[2] = {parity_training(batch), parity_training(tail)};
    struct fm_executor *whole = parity_compile(side, &options[0]);
    struct fm_executor *rest = parity_compile(side, &options[1]);
    for (uint32_t s = 0; s < 8; s++) {
        bool last = s % 4 == 3;
        const struct parity_batch samples = parity_batch(
            (s % 4) * (uint32_t)batch, last ? tail : batch, s);
        parity_submit(side, last ? rest : whole, (int)s % FM_SLOTS, &samples);
    }
    struct parity_state *end = parity_get(side);
    side->api->executor_destroy(whole);
    side->api->executor_destroy(rest);
    return end;
}

static void check_epochs(void **state)
{
    const struct run *run = *state;
    struct parity *p = parity_open(&run->what);
    const struct parity_state *begin = p->begin;
    struct parity_state *expected = run_epochs(&p->reference, run->what.batch, 5);
    struct parity_state *found = run_epochs(&p->tested, run->what.batch, 5);
    bool close = parity_states_close(p, "after two epochs", found, expected, begin, run->slack);
    assert_int_equal(found->sums.count, 2 * (3 * run->what.batch + 5));
    parity_free(expected);
    parity_free(found);
    parity_close(p);
    assert_true(close);
}

// ---- a state that moves

static void run_steps(const struct parity_side *side, int batch, uint32_t from, uint32_t to)
{
    const struct fm_compile_options options = unmixed(batch);
    struct fm_executor *executor = parity_compile(side, &options);
    for (uint32_t s = from; s < to; s++) {
        const struct parity_batch samples = parity_batch(s * (uint32_t)batch, batch, s);
        parity_submit(side, executor, (int)s % FM_SLOTS, &samples);
    }
    side->api->executor_destroy(executor);
}

// Two steps on `from`, then its state on `to`, as a checkpoint carries it, bit by bit; two more
// there.
static struct parity_state *move(
    const struct parity_side *from, const struct parity_side *to, int batch)
{
    run_steps(from, batch, 0, 2);
    struct parity_state *moved = parity_get(from);
    parity_set(to, moved);
    struct parity_state *arrived = parity_get(to);
    parity_same("moved to the other backend", arrived, moved, true);
    parity_free(moved);
    parity_free(arrived);
    run_steps(to, batch, 2, 4);
    return parity_get(to);
}

static void check_move(void **state)
{
    const struct run *run = *state;
    struct parity *p = parity_open(&run->what);
    const struct parity_state *begin = p->begin;
    run_steps(&p->reference, run->what.batch, 0, 4);
    struct parity_state *expected = parity_get(&p->reference);
    parity_set(&p->reference, begin);
    struct parity_state *there = move(&p->reference, &p->tested, run->what.batch);
    bool close = parity_states_close(p, "begun by the CPU", there, expected, begin, run->slack);
    parity_set(&p->tested, begin);
    struct parity_state *back = move(&p->tested, &p->reference, run->what.batch);
    close &= parity_states_close(p, "ended by the CPU", back, expected, begin, run->slack);
    parity_free(expected);
    parity_free(there);
    parity_free(back);
    parity_close(p);
    assert_true(close);
}

// ---- inference

// Logits of a whole batch and of a part of one, and the scores of both, fused.
struct answers {
    float logits[64 * CLASSES];
    struct fm_sums scores;
    uint64_t confusion[CLASSES * CLASSES];
};

static void ask(const struct parity_side *side, const struct fm_compile_options *options,
    struct answers *answers)
{
    struct fm_executor *executor = parity_compile(side, options);
    const struct parity_batch whole = parity_batch(100, options->batch, 0);
    const struct parity_batch part = parity_batch(200, options->batch - 1, 0);
    float *logits = answers->logits;
    parity_fill(side, 0, &whole);
    parity_must(side->api->predict(executor, side->staging, 0, logits));
    parity_fill(side, 1, &part);
    parity_must(side->api->predict(executor, side->staging, 1, logits + options->batch * CLASSES));
    // Twice, as scores grow; then from nothing again.
    for (int s = 0; s < 4; s++) {
        parity_fill(side, s % FM_SLOTS, s % 2 == 0 ? &whole : &part);
        parity_must(side->api->score(executor, side->staging, s % FM_SLOTS));
    }
    parity_must(side->api->scores_take(executor, &answers->scores, answers->confusion));
    struct answers none = {0};
    parity_must(side->api->scores_take(executor, &none.scores, none.confusion));
    assert_int_equal(none.scores.count, 0);
    assert_memory_equal(none.confusion, (uint64_t[CLASSES * CLASSES]){0}, sizeof none.confusion);
    side->api->executor_destroy(executor);
}

static bool same_answers(const struct parity *p, const struct fm_compile_options *options,
    const struct answers *found, const struct answers *expected)
{
    const double tolerance = parity_tolerance(p)->activation;
    char of[256];
    snprintf(of, sizeof of, "%s%s%s%s", p->name, options->average ? ", averages" : "",
        options->mirror ? ", mirrored" : "", options->unfused ? ", unfused" : "");
    size_t samples = 2 * (size_t)options->batch - 1;
    bool same = parity_close_to(&(struct parity_named){of, "prediction", "the logits"},
        found->logits, expected->logits, NULL, samples * CLASSES, tolerance);
    same &= parity_close_number(&(struct parity_named){of, "sum of losses", NULL},
        found->scores.loss, expected->scores.loss, tolerance);
    uint64_t count = 0, right = 0, moved = 0;
    for (int i = 0; i < CLASSES * CLASSES; i++) {
        uint64_t a = found->confusion[i], b = expected->confusion[i];
        count += a;
        moved += a > b ? a - b : b - a;
        right += i % (CLASSES + 1) == 0 ? a : 0;
    }
    // A sample whose best logits are nearly equal may be counted elsewhere, in each of two scores.
    uint64_t allowed = p->what.precision == FM_PRECISION_FP32 ? 0 : 4;
    if (count != 2 * samples || found->scores.count != count || found->scores.correct != right ||
        moved > allowed) {
        fprintf(stderr, "%s: confusion: %llu samples, %llu on the diagonal, %llu moved\n", of,
            (unsigned long long)count, (unsigned long long)right, (unsigned long long)moved);
        return false;
    }
    return same;
}

static void check_inference(void **state)
{
    const struct run *run = *state;
    struct parity *p = parity_open(&run->what);
    struct answers found, expected;
    bool same = true;
    for (int i = 0; i < 4; i++) {
        const struct fm_compile_options options = {.batch = run->what.batch,
            .mode = FM_MODE_INFER,
            .average = i == 1 || i == 3,
            .mirror = i == 2,
            .unfused = i == 3};
        ask(&p->reference, &options, &expected);
        ask(&p->tested, &options, &found);
        same &= same_answers(p, &options, &found, &expected);
    }
    parity_close(p);
    assert_true(same);
}

// An executor that has answered must see what training has changed since.
static void check_fresh(void **state)
{
    const struct run *run = *state;
    struct parity *p = parity_open(&run->what);
    const struct parity_side *const sides[2] = {&p->reference, &p->tested};
    const struct fm_compile_options options = {.batch = run->what.batch, .mode = FM_MODE_INFER};
    const struct parity_batch samples = parity_batch(300, run->what.batch, 0);
    float logits[2][64 * CLASSES], stale[64 * CLASSES];
    for (int i = 0; i < 2; i++) {
        struct fm_executor *executor = parity_compile(sides[i], &options);
        parity_fill(sides[i], 0, &samples);
        parity_must(sides[i]->api->predict(executor, sides[i]->staging, 0, stale));
        run_steps(sides[i], run->what.batch, 0, 2);
        parity_fill(sides[i], 0, &samples);
        parity_must(sides[i]->api->predict(executor, sides[i]->staging, 0, logits[i]));
        sides[i]->api->executor_destroy(executor);
    }
    size_t count = (size_t)run->what.batch * CLASSES;
    bool same = parity_close_to(&(struct parity_named){p->name, "prediction", "the logits"},
        logits[1], logits[0], NULL, count, run->slack * parity_tolerance(p)->activation);
    parity_close(p);
    assert_true(same);
    assert_memory_not_equal(stale, logits[1], count * sizeof *stale);
}

// ---- what is tried

static const struct CMUnitTest tests[] = {
    PARITY_TEST("simple fp16, 20 steps", check_free, run,
        PARITY_CASE("simple", FP16, 8, "h100", ADAMW), .loss = 5e-4, .correct = 1),
    PARITY_TEST("deeper fp16, 20 steps", check_free, run,
        PARITY_CASE("deeper", FP16, 4, "h100", ADAMW), .loss = 0.1, .correct = 2),
    PARITY_TEST("deeper fp16 on t4, 20 steps", check_free, run,
        PARITY_CASE("deeper", FP16, 4, "t4", ADAMW), .loss = 0.1, .correct = 2),
    PARITY_TEST("simple fp32, two epochs", check_epochs, run,
        PARITY_CASE("simple", FP32, 8, "h100", ADAMW), .slack = 30.0),
    PARITY_TEST("simple fp16, two epochs", check_epochs, run,
        PARITY_CASE("simple", FP16, 8, "h100", ADAMW), .slack = 1.0),
    PARITY_TEST("deeper fp16, moved", check_move, run,
        PARITY_CASE("deeper", FP16, 4, "h100", ADAMW), .slack = 3.0),
    PARITY_TEST("simple fp32, asked", check_inference, run,
        PARITY_CASE("simple", FP32, 9, "h100", ADAMW), .slack = 1.0),
    PARITY_TEST("deeper fp16, asked", check_inference, run,
        PARITY_CASE("deeper", FP16, 9, "h100", ADAMW), .slack = 1.0),
    PARITY_TEST("simple bf16, asked", check_inference, run,
        PARITY_CASE("simple", BF16, 9, "h100", ADAMW), .slack = 1.0),
    PARITY_TEST("deeper fp16, asked again", check_fresh, run,
        PARITY_CASE("deeper", FP16, 4, "h100", ADAMW), .slack = 2.0),
};
static const struct CMUnitTest long_tests[] = {
    PARITY_TEST("simple fp32, 20 steps", check_free, run,
        PARITY_CASE("simple", FP32, 8, "h100", ADAMW), .loss = 2e-5, .correct = 0),
    PARITY_TEST("deeper bf16, asked", check_inference, run,
        PARITY_CASE("deeper", BF16, 9, "h100", ADAMW), .slack = 1.0),
    PARITY_TEST("vgg16 fp16, asked", check_inference, run,
        PARITY_CASE("vgg16", FP16, 2, "h100", ADAMW), .slack = 1.0),
    PARITY_TEST("vgg16 fp16, 20 steps", check_free, run,
        PARITY_CASE("vgg16", FP16, 4, "h100", ADAMW), .loss = 5e-2, .correct = 2),
    PARITY_TEST("vgg16 fp32, 20 steps", check_free, run,
        PARITY_CASE("vgg16", FP32, 4, "h100", ADAMW), .loss = 1e-2, .correct = 2),
    PARITY_TEST("deeper fp32, 20 steps", check_free, run,
        PARITY_CASE("deeper", FP32, 16, "h100", ADAMW), .loss = 5e-4, .correct = 1),
    PARITY_TEST("deeper bf16 on a100, 20 steps", check_free, run,
        PARITY_CASE("deeper", BF16, 16, "a100", ADAMW), .loss = 5e-2, .correct = 4),
    PARITY_TEST("deeper fp16, two epochs", check_epochs, run,
        PARITY_CASE("deeper", FP16, 16, "h100", ADAMW), .slack = 10.0),
    PARITY_TEST("simple bf16, moved", check_move, run,
        PARITY_CASE("simple", BF16, 4, "h100", ADAMW), .slack = 2.0),
    PARITY_TEST("deeper fp32, moved", check_move, run,
        PARITY_CASE("deeper", FP32, 4, "h100", ADAMW), .slack = 5.0),
    PARITY_TEST("vgg16 fp32, asked", check_inference, run,
        PARITY_CASE("vgg16", FP32, 9, "h100", ADAMW), .slack = 1.0),
    PARITY_TEST("deeper fp32 on t4, asked", check_inference, run,
        PARITY_CASE("deeper", FP32, 9, "t4", ADAMW), .slack = 1.0),
};

PARITY_MAIN(tests, long_tests)
