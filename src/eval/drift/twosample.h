// Whether two samples come from one distribution: the tests and effect sizes of `fmnist drift`.
// "First" and "second" are the two samples, of n and m values.
//
// Written by hand, as GSL and R's library are under the GPL.
#ifndef FM_EVAL_TWOSAMPLE_H
#define FM_EVAL_TWOSAMPLE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

// Two samples as one, in ascending order: all that a rank test knows of them.
struct fm_pooled {
    uint32_t first, second; // n, m
    uint32_t *order;        // [n + m] positions among the values given; below n: of the first
    bool *ends;             // [n + m] the next value in order is greater, or there is none
};

// `values`: n of the first, m of the second behind them; finite; n, m > 0.
enum fm_status fm_pooled_make(
    const float *values, uint32_t first, uint32_t second, struct fm_pooled *pooled);
void fm_pooled_free(struct fm_pooled *pooled);

// ---- Kolmogorov and Smirnov

// The two-sample statistic D = max |F(x) - G(x)| of the empirical distribution functions, times
// n * m, which makes it a whole number that is compared exactly. `of_first` [n + m] is 1 at the
// positions that count as the first sample, n of them, as they were or as a permutation has them;
// else 0.
int64_t fm_ks_scaled(const struct fm_pooled *pooled, const uint8_t *of_first);

// P(D >= d) when all divisions of the pooled values into n and m are equally likely; D jumps only
// where the pooled value does, so that it is exact with ties, too: paths from (0, 0) to (n, m) are
// followed by the probability that they have touched the boundary (Hodges 1958, "The significance
// probability of the Smirnov two-sample test"; with ties Schroeer and Trenkler 1995, "Exact and
// randomization distributions of Kolmogorov-Smirnov tests"). Relative accuracy 1e-10, time n * m.
enum fm_status fm_ks_exact(const struct fm_pooled *pooled, int64_t scaled, double *p);

// The limit of the same for large samples of continuous values: 1 - K(lambda) with lambda =
// (s + 0.12 + 0.11 / s) d, s = sqrt(nm / (n + m)) (Kolmogorov 1933; Stephens 1970 for finite
// samples). For p from 0.001 to 0.5 within 10 % of the exact one from n = 100, m = 3,000 on; ties
// make it too large (conservative). It falls strictly with d as long as p is above 1e-300.
double fm_ks_limit(double distance, uint32_t first, uint32_t second);

// fm_ks_exact() up to n * m = FM_KS_EXACT_MAX, else fm_ks_limit().
enum {
    FM_KS_EXACT_MAX = 500000
};
enum fm_status fm_ks_p(const struct fm_pooled *pooled, int64_t scaled, double *p);

// ---- Counts of categories

// Pearson's chi-square for two samples of counts [categories], and its degrees of freedom: the
// categories that occur, less one. 0 and 0 where fewer than two occur.
double fm_chi_square(
    const uint64_t *first, const uint64_t *second, int categories, int *degrees_of_freedom);

// P(X >= x), X chi-square distributed: the regularised upper incomplete gamma function Q(k/2, x/2)
// by its series or its continued fraction (Abramowitz and Stegun 1964, 6.5.29 and 6.5.31).
// Relative accuracy 1e-10. 1 without degrees of freedom.
double fm_chi_square_tail(double x, int degrees_of_freedom);

// ---- Effect sizes

// How far the second sample's mean is from the first's, in standard deviations of the first
// (Glass's delta); the deviation pooled where the first's is 0; 0 where both are 0.
double fm_mean_shift(const float *first, uint32_t n, const float *second, uint32_t m);

// Total variation distance of two samples of counts: half the sum of the differences between
// shares, 0 to 1.
double fm_total_variation(const uint64_t *first, const uint64_t *second, int categories);

#endif
