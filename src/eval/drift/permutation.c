// All tests see the same permutation, which is what carries their dependence into the answer.
#include "eval/drift/permutation.h"

#include "data/dataset.h"
#include "philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEAST = 199, // permutations, so that a corrected p means something
    USUAL = 999,
    AT_LEVEL = 10, // permutations that make up the level
    PROGRESS_EVERY = 50
};

struct work {
    const struct fm_family *family;
    uint64_t seed;
    int tests;
    uint8_t *of_first;      // [n + m]
    uint32_t *members;      // [n + m], stratum by stratum
    uint32_t offsets[257];  // of each stratum's members
    uint32_t firsts[256];   // of each stratum's members: of the first sample
    double *p, *permuted_p; // [tests]
    uint32_t *smaller;      // [tests]: permutations whose smallest p is at most the test's
};

uint32_t fm_permutations_for(double level)
{
    double needed = ceil(AT_LEVEL / level) - 1;
    return needed > USUAL ? (uint32_t)needed : USUAL;
}

// ---- Permuting

static uint32_t stratum_of(const struct fm_family *family, uint32_t i)
{
    return family->strata ? family->strata[i] : 0;
}

// A counting sort by stratum.
static void list_members(struct work *w)
{
    const struct fm_family *f = w->family;
    uint32_t next[256], count = f->first + f->second;
    for (uint32_t i = 0; i < count; i++) {
        w->offsets[stratum_of(f, i) + 1]++;
        w->firsts[stratum_of(f, i)] += i < f->first;
    }
    for (int s = 0; s < 256; s++)
        w->offsets[s + 1] += w->offsets[s];
    memcpy(next, w->offsets, sizeof next);
    for (uint32_t i = 0; i < count; i++)
        w->members[next[stratum_of(f, i)]++] = i;
}

// Draws of one permutation, one after another.
struct draws {
    uint64_t seed;
    uint32_t permutation, next;
    struct fm_draws four;
};

static uint32_t draw_below(struct draws *d, uint32_t n)
{
    if (d->next % 4 == 0)
        d->four = fm_philox(d->seed, d->permutation, 0, FM_STREAM_PERMUTE, d->next / 4);
    return fm_draw_below(d->four.v[d->next++ % 4], n);
}

// The first steps of Fisher and Yates's shuffle draw one sample's members; the smaller one's, as
// the other is what is left.
static void permute_stratum(struct work *w, struct draws *draws, int stratum)
{
    uint32_t *members = w->members + w->offsets[stratum];
    uint32_t count = w->offsets[stratum + 1] - w->offsets[stratum], first = w->firsts[stratum];
    bool draws_first = first <= count - first;
    uint32_t drawn = draws_first ? first : count - first;
    for (uint32_t i = 0; i < drawn; i++) {
        uint32_t other = i + draw_below(draws, count - i), member = members[other];
        members[other] = members[i];
        members[i] = member;
    }
    for (uint32_t i = 0; i < count; i++)
        w->of_first[members[i]] = (i < drawn) == draws_first;
}

static void permute(struct work *w, uint32_t permutation)
{
    struct draws draws = {.seed = w->seed, .permutation = permutation};
    for (int s = 0; s < 256; s++)
        if (w->offsets[s + 1] > w->offsets[s])
            permute_stratum(w, &draws, s);
}

// ---- Testing

static double category_p(const struct work *w)
{
    const struct fm_family *f = w->family;
    uint64_t counts[2][FM_CLASSES_MAX] = {{0}};
    int degrees_of_freedom;
    for (uint32_t i = 0; i < f->first + f->second; i++)
        counts[w->of_first[i]][f->categories[i]]++;
    double x = fm_chi_square(counts[1], counts[0], f->category_count, &degrees_of_freedom);
    return fm_chi_square_tail(x, degrees_of_freedom);
}

// Every test on one scale: the limit's p, whatever the ties; the permutations see to the level.
static void test_all(const struct work *w, double *p)
{
    const struct fm_family *f = w->family;
    for (int k = 0; k < f->value_tests; k++) {
        double distance = (double)fm_ks_scaled(&f->values[k], w->of_first) / f->first / f->second;
        p[k] = fm_ks_limit(distance, f->first, f->second);
    }
    if (f->categories)
        p[f->value_tests] = category_p(w);
}

static double smallest(const double *p, int count)
{
    double least = 1;
    for (int k = 0; k < count; k++)
        least = fmin(least, p[k]);
    return least;
}

// The count of the test with the smallest p is the smallest.
static bool is_settled(const struct work *w, double level, uint32_t done, uint32_t most)
{
    uint32_t least = w->smaller[0];
    for (int k = 1; k < w->tests; k++)
        least = w->smaller[k] < least ? w->smaller[k] : least;
    return done >= LEAST && least + 1 > level * ((double)most + 1);
}

static enum fm_status run(struct work *w, const struct fm_permutation_options *options,
    double *corrected, uint32_t *permutations)
{
    const struct fm_family *f = w->family;
    uint32_t most = options->most ? options->most : fm_permutations_for(options->level), done = 0;
    for (uint32_t i = 0; i < f->first + f->second; i++)
        w->of_first[i] = i < f->first;
    test_all(w, w->p);
    list_members(w);
    while (done < most && !is_settled(w, options->level, done, most)) {
        permute(w, done++);
        test_all(w, w->permuted_p);
        double least = smallest(w->permuted_p, w->tests);
        for (int k = 0; k < w->tests; k++)
            w->smaller[k] += least <= w->p[k];
        if (options->progress && done % PROGRESS_EVERY == 0)
            FM_TRY(options->progress(options->context, done, most));
    }
    for (int k = 0; k < w->tests; k++)
        corrected[k] = ((double)w->smaller[k] + 1) / ((double)done + 1);
    *permutations = done;
    return FM_OK;
}

enum fm_status fm_permutation_test(const struct fm_family *f,
    const struct fm_permutation_options *options, double *corrected, uint32_t *permutations)
{
    size_t count = (size_t)f->first + f->second, tests = (size_t)f->value_tests + 1;
    struct work *w = calloc(1, sizeof *w);
    enum fm_status status = FM_MEMORY;
    if (!w)
        return fm_fail_memory("a permutation test", sizeof *w);
    w->family = f;
    w->seed = options->seed;
    w->tests = f->value_tests + (f->categories != NULL);
    w->of_first = malloc(count);
    w->members = malloc(count * sizeof *w->members);
    w->p = malloc(tests * sizeof *w->p);
    w->permuted_p = malloc(tests * sizeof *w->permuted_p);
    w->smaller = calloc(tests, sizeof *w->smaller);
    if (w->of_first && w->members && w->p && w->permuted_p && w->smaller)
        status = run(w, options, corrected, permutations);
    else
        fm_fail_memory("a permutation test", count * sizeof *w->members);
    free(w->of_first);
    free(w->members);
    free(w->p);
    free(w->permuted_p);
    free(w->smaller);
    free(w);
    return status;
}
