// Exact bounds in place of normal approximations: at the few errors that are allowed here these are
// off by half of what is promised.
#include "eval/label/binomial.h"

#include <math.h>

enum {
    FRACTION_MAX = 1 << 20, // terms; about sqrt(max(a, b)) are needed
    BISECTIONS = 64         // each gives a bit
};
static const double pi = 3.14159265358979323846;

// ln Gamma(z) less Stirling's (z - 1/2) ln z - z + ln(2 pi) / 2 (DLMF 5.11.1).
static double stirling_rest(double z)
{
    if (z < 16)
        return lgamma(z) - ((z - 0.5) * log(z) - z + 0.5 * log(2 * pi));
    double w = 1 / (z * z);
    return (1.0 / 12 - w * (1.0 / 360 - w * (1.0 / 1260 - w * (1.0 / 1680 - w / 1188)))) / z;
}

// x^a (1 - x)^b / B(a, b)
static double power_term(double a, double b, double x)
{
    double n = a + b, off = x * n - a; // of x from a / n, in trials
    double deviance = a * log1p(off / a) + b * log1p(-off / b);
    double rest = stirling_rest(n) - stirling_rest(a) - stirling_rest(b);
    return exp(deviance + rest) * sqrt(a / n * b / (2 * pi));
}

static double away_from_zero(double value)
{
    return fabs(value) < 1e-300 ? 1e-300 : value;
}

// 1 / (1 + d1 / (1 + d2 / ...)) with the coefficients of DLMF 8.17.23.
static double fraction(double a, double b, double x)
{
    double c = 1, d = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), value = d;
    for (int m = 1; m < FRACTION_MAX; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / away_from_zero(1 + even * d);
        c = away_from_zero(1 + even / c);
        value *= d * c;
        d = 1 / away_from_zero(1 + odd * d);
        c = away_from_zero(1 + odd / c);
        value *= d * c;
        if (fabs(d * c - 1) < 1e-15)
            break;
    }
    return value;
}

double fm_beta_regularised(double a, double b, double x)
{
    if (!(a > 0) || !(b > 0) || !(x >= 0 && x <= 1))
        return NAN;
    if (x == 0 || x == 1)
        return x;
    if (x < (a + 1) / (a + b + 2))
        return power_term(a, b, x) * fraction(a, b, x) / a;
    return 1 - power_term(b, a, 1 - x) * fraction(b, a, 1 - x) / b;
}

double fm_binomial_cdf(uint64_t k, uint64_t n, double p)
{
    return k >= n ? 1 : fm_beta_regularised((double)(n - k), (double)k + 1, 1 - p);
}

double fm_binomial_upper(uint64_t k, uint64_t n, double delta)
{
    double low = 0, high = 1;
    if (k >= n)
        return 1;
    for (int i = 0; i < BISECTIONS; i++) {
        double middle = (low + high) / 2;
        if (fm_binomial_cdf(k, n, middle) > delta)
            low = middle;
        else
            high = middle;
    }
    return high;
}

struct fm_interval fm_binomial_interval(uint64_t k, uint64_t n, double confidence)
{
    double side = (1 - confidence) / 2;
    if (n == 0)
        return (struct fm_interval){0, 1};
    // At least k hits are at most n - k that are none.
    return (struct fm_interval){
        k == 0 ? 0 : 1 - fm_binomial_upper(n - k, n, side), fm_binomial_upper(k, n, side)};
}

uint64_t fm_binomial_needed(double p, double delta)
{
    uint64_t n = (uint64_t)ceil(log(delta) / log1p(-p));
    while (n > 1 && fm_binomial_cdf(0, n - 1, p) <= delta) // what rounding has added
        n--;
    while (fm_binomial_cdf(0, n, p) > delta)
        n++;
    return n;
}
