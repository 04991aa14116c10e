// See parity.h: tensors and states held to each other, within a tolerance or bit by bit.
#include "parity/parity.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const struct parity_tolerance *parity_tolerance(const struct parity *p)
{
    // About twice to three times what is seen. fp32: other orders of sums. fp16 and bf16: a stored
    // value differs in its last bit where sums in another order are rounded to the other side
    // (2^-11 and 2^-8 of it), which adds up from layer to layer; and where such a bit opens a ReLU
    // or moves the largest of a window, a whole gradient comes or goes.
    static const struct parity_tolerance tolerances[FM_PRECISION_COUNT] = {
        [FM_PRECISION_FP32] = {5e-6, 2e-5, 1e-5},
        [FM_PRECISION_BF16] = {1.5e-2, 0.3, 0.1},
        [FM_PRECISION_FP16] = {2.5e-3, 0.1, 0.03},
    };
    // With so many ReLUs and windows behind one another, more of them differ.
    static const struct parity_tolerance deep[FM_PRECISION_COUNT] = {
        [FM_PRECISION_FP32] = {5e-6, 1e-2, 3e-3},
        [FM_PRECISION_BF16] = {1.5e-2, 0.6, 0.2},
        [FM_PRECISION_FP16] = {2.5e-3, 0.3, 0.1},
    };
    bool is_deep = strcmp(p->what.model, "vgg16") == 0 && p->what.part != PARITY_HEAD;
    return is_deep ? &deep[p->what.precision] : &tolerances[p->what.precision];
}

// The largest error since the last report, as a share of what was allowed.
static struct {
    double share;
    char where[256];
} nearest;

static void remember(const struct parity_named *name, double share)
{
    if (share <= nearest.share)
        return;
    nearest.share = share;
    snprintf(nearest.where, sizeof nearest.where, "%s, %s of %s", name->of, name->what,
        name->tensor ? name->tensor : "all");
}

void parity_report(void)
{
    if (nearest.share > 0.0)
        print_message("    %.0f %% of the tolerance: %s\n", 100.0 * nearest.share, nearest.where);
    nearest.share = 0.0;
}

// "deeper fp16 on h100, batch 8: step 2: gradient of conv1.weight: "
static void print_name(const struct parity_named *name)
{
    fprintf(stderr, "%s: %s%s%s: ", name->of, name->what, name->tensor ? " of " : "",
        name->tensor ? name->tensor : "");
}

bool parity_close_to(const struct parity_named *name, const float *found, const float *expected,
    const float *before, size_t count, double tolerance)
{
    double squares = 0.0, errors = 0.0, rounding = 0.0, worst = 0.0;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(found[i]) || !isfinite(expected[i])) {
            print_name(name);
            fprintf(stderr, "[%zu] is %g, expected %g\n", i, (double)found[i], (double)expected[i]);
            return false;
        }
        double error = fabs((double)found[i] - (double)expected[i]);
        double size = (double)expected[i] - (before ? (double)before[i] : 0.0);
        squares += size * size;
        if (before)
            rounding += pow(FLT_EPSILON * (double)expected[i], 2.0);
        errors += error * error;
        if (error > worst) {
            worst = error;
            at = i;
        }
    }
    if (errors > rounding)
        remember(name, sqrt(errors / squares) / tolerance);
    if (errors <= tolerance * tolerance * squares + rounding)
        return true;
    print_name(name);
    fprintf(stderr, "relative error %.3g, allowed %.3g; most at [%zu] of %zu: %.9g, expected %.9g",
        sqrt(errors / squares), tolerance, at, count, (double)found[at], (double)expected[at]);
    if (before)
        fprintf(stderr, ", before the step %.9g", (double)before[at]);
    fprintf(stderr, "\n");
    return false;
}

bool parity_close_number(
    const struct parity_named *name, double found, double expected, double tolerance)
{
    remember(name, fabs(found - expected) / fabs(expected) / tolerance);
    if (isfinite(found) && fabs(found - expected) <= tolerance * fabs(expected))
        return true;
    print_name(name);
    fprintf(stderr, "%.9g, expected %.9g within %.3g of it\n", found, expected, tolerance);
    return false;
}

static const char *const range_names[PARITY_RANGES] = {
    [PARITY_PARAM] = "parameter",
    [PARITY_MOMENT1] = "first moment",
    [PARITY_MOMENT2] = "second moment",
    [PARITY_AVERAGE] = "average",
    [PARITY_AVERAGE_RUNNING] = "average",
    [PARITY_RUNNING] = "running statistic",
    [PARITY_GRADIENT] = "gradient",
};

static double range_tolerance(enum parity_range range, const struct parity_tolerance *tolerance)
{
    switch (range) {
    case PARITY_GRADIENT:
    case PARITY_MOMENT1:
        return tolerance->gradient;
    case PARITY_MOMENT2:
        return 2.0 * tolerance->gradient; // squares
    case PARITY_RUNNING:
    case PARITY_AVERAGE_RUNNING:
        return tolerance->activation;
    default:
        return tolerance->update;
    }
}

static bool counters_equal(
    const char *of, const struct fm_counters *found, const struct fm_counters *expected)
{
    if (memcmp(found, expected, sizeof *found) == 0)
        return true;
    fprintf(stderr,
        "%s: counters: applied %llu, skipped %llu, growths %llu, good steps %u, loss scale %g; "
        "expected %llu, %llu, %llu, %u, %g\n",
        of, (unsigned long long)found->applied, (unsigned long long)found->skipped,
        (unsigned long long)found->growths, found->good_steps, (double)found->loss_scale,
        (unsigned long long)expected->applied, (unsigned long long)expected->skipped,
        (unsigned long long)expected->growths, expected->good_steps, (double)expected->loss_scale);
    return false;
}

// `ties`: of so many samples a nearly equal pair of logits may be ordered otherwise.
static bool sums_close(const char *of, const struct fm_sums *found, const struct fm_sums *expected,
    double tolerance, uint64_t ties)
{
    bool close = parity_close_number(
        &(struct parity_named){of, "sum of losses", NULL}, found->loss, expected->loss, tolerance);
    uint64_t more = found->correct > expected->correct ? found->correct : expected->correct;
    if (found->count == expected->count && found->incurable == expected->incurable &&
        2 * more - found->correct - expected->correct <= ties)
        return close;
    fprintf(stderr, "%s: sums: %llu of %llu right, %llu incurable; expected %llu of %llu, %llu\n",
        of, (unsigned long long)found->correct, (unsigned long long)found->count,
        (unsigned long long)found->incurable, (unsigned long long)expected->correct,
        (unsigned long long)expected->count, (unsigned long long)expected->incurable);
    return false;
}

bool parity_states_close(const struct parity *p, const char *when, const struct parity_state *found,
    const struct parity_state *expected, const struct parity_state *before, double slack)
{
    const struct parity_tolerance *tolerance = parity_tolerance(p);
    char of[192];
    bool close = true;
    snprintf(of, sizeof of, "%s: %s", p->name, when);
    for (int r = 0; r < PARITY_RANGES; r++)
        for (int i = 0; i < parity_tensors(&p->net, r); i++) {
            const struct parity_tensor t = parity_tensor(&p->net, r, i);
            const struct parity_named name = {of, range_names[r], t.name};
            close &= parity_close_to(&name, found->range[r] + t.offset,
                expected->range[r] + t.offset, r < PARITY_KEPT ? before->range[r] + t.offset : NULL,
                t.count, slack * range_tolerance(r, tolerance));
        }
    close &= counters_equal(of, &found->counters, &expected->counters);
    close &= sums_close(of, &found->sums, &expected->sums, slack * tolerance->activation,
        p->what.precision == FM_PRECISION_FP32 ? 0 : 1);
    return close;
}

void parity_same(const char *when, const struct parity_state *found,
    const struct parity_state *expected, bool all)
{
    for (int r = 0; r < PARITY_KEPT; r++)
        for (int i = 0; i < parity_tensors(found->net, r); i++) {
            const struct parity_tensor t = parity_tensor(found->net, r, i);
            const float *a = found->range[r] + t.offset, *b = expected->range[r] + t.offset;
            size_t at = 0;
            while (at < t.count && memcmp(a + at, b + at, sizeof *a) == 0)
                at++;
            if (at < t.count)
                fail_msg("%s: %s of %s: [%zu] is %.9g, expected the same bits as of %.9g", when,
                    range_names[r], t.name, at, (double)a[at], (double)b[at]);
        }
    if (!all)
        return;
    if (!counters_equal(when, &found->counters, &expected->counters) ||
        memcmp(&found->sums, &expected->sums, sizeof found->sums) != 0)
        fail_msg("%s: counters or sums differ (losses %.17g, expected %.17g)", when,
            found->sums.loss, expected->sums.loss);
}
