// The promise of a threshold, over 1,000 draws each of calibration images whose risk is known.
//
// A doubt is uniform on [0, 1], and the probability of an error a step function of it, so that the
// risk up to any doubt is known exactly. A threshold violates the promise if its risk is above the
// one asked for. That this test would notice is shown by a rule without a bound.
#include "eval/label/selective.h"

#include "eval/label/binomial.h"
#include "philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    DRAWS = 1000,
    IMAGES = 1500,
    STEPS = 24,
    CLASSES = 4,
    STREAM = 0x5e1, // none of the tool's
};
static const uint64_t seed = 0x5e1ec71fe;
static const double risk = 0.02, confidence = 0.95, delta = 0.05;

struct shape {
    const char *name;
    double ends[STEPS],
        rates[STEPS]; // of errors between the end before and this one; the last is 1
    int levels;       // doubts are one of so many values; 0: continuous
    double least;     // share of images up to the threshold, at least, in the mean over all draws
};

// ABOVE: a hair above the target, so that whatever is taken there is a violation.
#define ABOVE (0.02 * (1 + 1e-9))
static const struct shape shapes[] = {
    {"at the target everywhere", {1}, {ABOVE}, 0, 0},
    {"at the target from 0.3 on", {0.2, 0.3, 1}, {0.01, 0.04, ABOVE}, 0, 0},
    {"above it at first, below it, at it", {0.08, 0.12, 0.3, 0.6, 1},
        {0.03, 0.005, 0.0134, 0.0245, ABOVE}, 0, 0},
    {"around it where the sequence begins",
        {0.09, 0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1},
        {0.02, 0.04, 0, 0.04, 0, 0.04, 0, 0.04, 0.019, 0.022, 0.018, 0.022, 0.018, 0.022, 0.018,
            0.022, 0.0201},
        0, 0},
    {"good, then hopeless", {0.5, 1}, {0.0005, 0.6}, 0, 0.45},
    {"a network's", {0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1}, {0.001, 0.005, 0.02, 0.06, 0.12, 0.25, 0.5},
        0, 0.5},
    {"a network's in forty levels", {0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1},
        {0.001, 0.005, 0.02, 0.06, 0.12, 0.25, 0.5}, 40, 0.5},
    {"at the target in five levels", {1}, {ABOVE}, 5, 0},
    {"without an error", {1}, {0}, 0, 1},
};
enum {
    SHAPES = sizeof shapes / sizeof shapes[0]
};

struct image {
    double doubt;
    bool wrong;
    int class;
};

static double rate_at(const struct shape *shape, double doubt)
{
    int i = 0;
    while (doubt > shape->ends[i])
        i++;
    return shape->rates[i];
}

// R(t)
static double risk_up_to(const struct shape *shape, double t)
{
    double begin = 0, errors = 0;
    for (int i = 0; begin < t; i++) {
        double end = fmin(shape->ends[i], t);
        errors += shape->rates[i] * (end - begin);
        begin = end;
    }
    return errors / t;
}

// A level stands for the doubts up to the next one.
static double upper_end(const struct shape *shape, double doubt)
{
    return shape->levels ? fmin(1, (floor(doubt * shape->levels + 0.5) + 1) / shape->levels)
                         : doubt;
}

static double unit(uint32_t draw)
{
    return (draw + 0.5) / 4294967296.0;
}

static struct image draw_image(const struct shape *shape, uint32_t draw, uint32_t i)
{
    struct fm_draws d = fm_philox(seed, draw, i, STREAM, 0);
    double doubt = unit(d.v[0]);
    struct image image = {doubt, unit(d.v[1]) < rate_at(shape, doubt), (int)(d.v[2] % CLASSES)};
    if (shape->levels)
        image.doubt = floor(doubt * shape->levels) / shape->levels;
    return image;
}

// ---- One threshold

// Most violations that a right rule may show: 5 % and three standard errors.
static int allowed(void)
{
    return (int)(DRAWS * delta + 3 * sqrt(DRAWS * delta * (1 - delta)));
}

typedef enum fm_status rule(const double *doubts, const bool *wrong, uint32_t count, double risk,
    double delta, struct fm_threshold *threshold);

// Counts violations; `*share` is the mean share of images up to the threshold.
static int violations(const struct shape *shape, rule *find, double *share)
{
    static double doubts[IMAGES];
    static bool wrong[IMAGES];
    int count = 0;
    *share = 0;
    for (uint32_t draw = 0; draw < DRAWS; draw++) {
        struct fm_threshold threshold;
        for (uint32_t i = 0; i < IMAGES; i++) {
            struct image image = draw_image(shape, draw, i);
            doubts[i] = image.doubt;
            wrong[i] = image.wrong;
        }
        assert_int_equal(find(doubts, wrong, IMAGES, risk, delta, &threshold), FM_OK);
        if (!threshold.met)
            continue;
        double end = upper_end(shape, threshold.doubt);
        count += risk_up_to(shape, end) > risk;
        *share += end / DRAWS;
    }
    return count;
}

static void test_the_promise_holds(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        double share;
        int found = violations(&shapes[i], fm_threshold_find, &share);
        print_message("%-40s %3d violations in %d draws, %4.1f %% taken\n", shapes[i].name, found,
            DRAWS, 100 * share);
        if (found > allowed())
            fail_msg(
                "%s: %d violations, at most %d are expected", shapes[i].name, found, allowed());
        if (share < shapes[i].least - 0.01)
            fail_msg("%s: %.3f of the images taken, expected %.3f", shapes[i].name, share,
                shapes[i].least);
    }
}

// The last threshold up to which the share of errors that was seen is low enough.
static enum fm_status without_a_bound(const double *doubts, const bool *wrong, uint32_t count,
    double most, double level, struct fm_threshold *threshold)
{
    (void)level;
    *threshold = (struct fm_threshold){0};
    for (int t = 1; t <= 200; t++) {
        uint32_t taken = 0, errors = 0;
        for (uint32_t i = 0; i < count; i++) {
            taken += doubts[i] <= t / 200.0;
            errors += doubts[i] <= t / 200.0 && wrong[i];
        }
        if (taken >= 150 && errors <= most * taken) {
            threshold->met = true;
            threshold->doubt = t / 200.0;
        }
    }
    return FM_OK;
}

// Starts the sequence at the very end, as it were: the bound of each rank alone, the best of all.
static enum fm_status without_a_sequence(const double *doubts, const bool *wrong, uint32_t count,
    double most, double level, struct fm_threshold *threshold)
{
    *threshold = (struct fm_threshold){0};
    for (int t = 1; t <= 200; t++) {
        uint32_t taken = 0, errors = 0;
        for (uint32_t i = 0; i < count; i++) {
            taken += doubts[i] <= t / 200.0;
            errors += doubts[i] <= t / 200.0 && wrong[i];
        }
        if (taken > 0 && fm_binomial_cdf(errors, taken, most) <= level) {
            threshold->met = true;
            threshold->doubt = t / 200.0;
        }
    }
    return FM_OK;
}

static void test_rules_without_it_are_found_out(void **state)
{
    (void)state;
    double share;
    int found = violations(&shapes[1], without_a_bound, &share);
    print_message("without a bound: %d violations\n", found);
    assert_true(found > 4 * allowed());
    found = violations(&shapes[0], without_a_sequence, &share);
    print_message("with a bound, but for one threshold only: %d violations\n", found);
    assert_true(found > allowed());
}

// ---- A threshold for each class

// Each class has a shape of its own; the draw's confidence covers all of them.
static int class_violations(const int of[CLASSES], double shares[CLASSES])
{
    static struct fm_guess guesses[IMAGES];
    static uint8_t labels[IMAGES];
    const struct fm_selective_options options = {CLASSES, risk, confidence, true};
    int count = 0;
    memset(shares, 0, CLASSES * sizeof *shares);
    for (uint32_t draw = 0; draw < DRAWS; draw++) {
        struct fm_selective selective;
        bool violated = false;
        for (uint32_t i = 0; i < IMAGES; i++) {
            int class = draw_image(&shapes[0], draw, i).class;
            struct image image = draw_image(&shapes[of[class]], draw, i);
            guesses[i] = (struct fm_guess){.best = class, .doubt = image.doubt};
            labels[i] = (uint8_t)((class + image.wrong) % CLASSES);
        }
        assert_int_equal(
            fm_selective_calibrate(guesses, labels, IMAGES, &options, &selective), FM_OK);
        for (int k = 0; k < CLASSES; k++) {
            const struct fm_threshold *threshold = &selective.thresholds[k];
            if (!threshold->met)
                continue;
            violated = violated || risk_up_to(&shapes[of[k]], threshold->doubt) > risk;
            shares[k] += threshold->doubt / DRAWS;
        }
        count += violated;
    }
    return count;
}

static void test_the_promise_holds_in_each_class(void **state)
{
    (void)state;
    static const int cases[][CLASSES] = {{0, 0, 0, 0}, {0, 1, 5, 8}};
    double shares[CLASSES];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int found = class_violations(cases[i], shares);
        print_message("classes, case %zu: %d violations\n", i, found);
        if (found > allowed())
            fail_msg("case %zu: %d violations, at most %d are expected", i, found, allowed());
    }
    // 1,500 / 4 images, of which 217 without an error begin the sequence.
    assert_true(shares[2] > 0.2);
    assert_true(shares[3] > 0.99);
}

// ---- By hand

static void test_by_hand(void **state)
{
    (void)state;
    // Three right ones are needed for a risk of 1/2 at 1/8, and a hair for rounding; they alone
    // give no threshold.
    struct fm_threshold t;
    const double level = 0.125 + 1e-9;
    const double doubts[8] = {0.3, 0.1, 0.2, 0.5, 0.4, 0.6, 0.7, 0.8};
    const bool right[8] = {0};
    assert_int_equal(fm_threshold_find(doubts, right, 3, 0.5, level, &t), FM_OK);
    assert_int_equal(t.needed, 3);
    assert_false(t.met);
    assert_true(t.doubt < 0 && t.bound == 1);
    assert_int_equal(fm_threshold_find(doubts, right, 8, 0.5, level, &t), FM_OK);
    assert_true(t.met && t.doubt == 0.8 && t.taken == 8 && t.errors == 0 && t.count == 8);
    assert_true(fabs(t.bound - (1 - pow(level, 1.0 / 8))) < 1e-12);

    // An error at rank 5: P(Binomial(5, 1/2) <= 1) = 6/32 ends the sequence after rank 4; at rank 6
    // it is 7/64, and goes on.
    const bool at_5[8] = {0, 0, 0, 1}, at_6[8] = {0, 0, 0, 0, 0, 1};
    assert_int_equal(fm_threshold_find(doubts, at_5, 8, 0.5, level, &t), FM_OK);
    assert_true(t.met && t.doubt == 0.4 && t.taken == 4 && t.errors == 0);
    assert_int_equal(fm_threshold_find(doubts, at_6, 8, 0.5, level, &t), FM_OK);
    assert_true(t.met && t.doubt == 0.8 && t.taken == 8 && t.errors == 1);

    // Equal doubts are taken together or not at all.
    const double equal[8] = {0.1, 0.1, 0.1, 0.2, 0.3, 0.3, 0.3, 0.3};
    const bool one[8] = {0, 0, 0, 0, 0, 0, 1, 1};
    assert_int_equal(fm_threshold_find(equal, one, 8, 0.5, level, &t), FM_OK);
    assert_true(t.met && t.doubt == 0.2 && t.taken == 4);

    assert_int_equal(fm_threshold_find(doubts, right, 0, 0.5, level, &t), FM_OK);
    assert_false(t.met);
}

static void test_guesses(void **state)
{
    (void)state;
    const float sure[4] = {1e-12f, 1, 2e-12f, 1e-30f}, equal[3] = {0.25f, 0.5f, 0.25f};
    struct fm_guess g = fm_guess_of(sure, 4);
    assert_true(g.best == 1 && g.second == 2 && g.probability == 1);
    assert_true(fabs(g.doubt - 3e-12) < 1e-18); // which 1 - probability is not
    g = fm_guess_of(equal, 3);
    assert_true(g.best == 1 && g.second == 0 && g.second_probability == 0.25f && g.doubt == 0.5);

    const struct fm_selective one = {.options = {.classes = 4},
        .thresholds = {{.met = true, .doubt = 0.5}, {.met = true, .doubt = 0}}};
    assert_true(fm_selective_takes(&one, &g));
    struct fm_selective each = one;
    each.options.per_class = true;
    assert_false(fm_selective_takes(&each, &g));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_guesses),
        cmocka_unit_test(test_the_promise_holds),
        cmocka_unit_test(test_rules_without_it_are_found_out),
        cmocka_unit_test(test_the_promise_holds_in_each_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
