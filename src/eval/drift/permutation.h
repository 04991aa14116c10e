// Several two-sample tests as one, by permuting which sample an image belongs to: the level holds
// for the family whatever the tests have to do with one another, with ties and for small samples.
//
// Single-step min-p (Westfall and Young 1993, "Resampling-based multiple testing", section 2.3):
// the corrected p of a test is the share of permutations in which the smallest p of all tests is at
// most that test's own. Bonferroni's correction, which "Failing Loudly" (Rabanser, Guennemann,
// Lipton 2019, arXiv:1810.11953) uses, takes the tests for unrelated; a network's outputs sum up to
// 1, and statistics of an image go together, so that it fires less often than its level: of 800
// samples of Fashion-MNIST without drift, at level 0.05, it calls 30 drifted, permutations 43
// (tests/drift_cases.c).
//
// Permutations end before the last as soon as it is certain that no test's corrected p can be at
// most the level (as of Besag and Clifford 1991, "Sequential Monte Carlo p-values"): what is
// decided is what all of them would decide.
#ifndef FM_EVAL_PERMUTATION_H
#define FM_EVAL_PERMUTATION_H

#include "eval/drift/twosample.h"

// Tests of the same n + m images, n of the first sample before m of the second.
struct fm_family {
    uint32_t first, second;
    const struct fm_pooled *values; // [value_tests], a Kolmogorov-Smirnov test each
    int value_tests;
    const uint8_t *categories; // [n + m], a chi-square test behind the others; NULL: none
    int category_count;
    const uint8_t *strata; // [n + m]: permuted only within these; NULL: all are one
};

struct fm_permutation_options {
    double level;
    uint32_t most; // permutations; 0: fm_permutations_for(level)
    uint64_t seed; // the same seed gives the same answer on every machine
    // Now and then; may be NULL. A failure of it ends the work.
    enum fm_status (*progress)(void *context, uint32_t done, uint32_t total);
    void *context;
};

// 999, and more for levels below 0.01, so that at least ten of them make up the level.
uint32_t fm_permutations_for(double level);

// Corrected p [value_tests, and 1 if there are categories]: (1 + as small ones) / (1 +
// permutations). `permutations`: how many were made; at least 199.
enum fm_status fm_permutation_test(const struct fm_family *family,
    const struct fm_permutation_options *options, double *corrected, uint32_t *permutations);

#endif
