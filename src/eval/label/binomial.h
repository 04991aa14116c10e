// The binomial distribution and the bounds that a count of errors puts on their probability.
//
// Written here, because the libraries that have it are not for this project (docs/dependencies.md);
// held against SciPy's values to 1e-10 by tests/test_binomial.c.
#ifndef FM_EVAL_BINOMIAL_H
#define FM_EVAL_BINOMIAL_H

#include <stdint.h>

// The regularised incomplete beta function I_x(a, b), a and b > 0, x in [0, 1]; NaN outside. By the
// continued fraction of NIST's Digital Library of Mathematical Functions, 8.17.22
// (https://dlmf.nist.gov/8.17#v), evaluated as Lentz does (Thompson and Barnett 1986), with the
// symmetry 8.17.4 where it converges slowly. The factor before it is taken together as C. Loader
// does ("Fast and accurate computation of binomial probabilities", 2000), so that large logarithms
// do not cancel.
double fm_beta_regularised(double a, double b, double x);

// P(X <= k), X the number of hits in `n` trials of probability `p`. I_{1-p}(n - k, k + 1): DLMF
// 8.17.5. 1 for k >= n.
double fm_binomial_cdf(uint64_t k, uint64_t n, double p);

// The upper bound of Clopper and Pearson (Biometrika 26, 1934): the probability p of a hit for
// which P(X <= k) is `delta`, so that in at most a share `delta` of all samples the bound lies
// below the truth. 1 for k >= n.
double fm_binomial_upper(uint64_t k, uint64_t n, double delta);

// Their two-sided interval of `confidence`, half of what is left on either side; [0, 1] for n == 0.
struct fm_interval {
    double low, high;
};
struct fm_interval fm_binomial_interval(uint64_t k, uint64_t n, double confidence);

// Trials that are needed for a bound of at most `p` where none of them is a hit: the smallest n
// with (1 - p)^n <= delta.
uint64_t fm_binomial_needed(double p, double delta);

#endif
