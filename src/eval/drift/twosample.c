// Statistics are whole numbers as far as they can be, so that a permuted one that equals the one
// observed is counted as equal on every machine.
#include "eval/drift/twosample.h"

#include <math.h>
#include <stdlib.h>

// ---- Pooling

struct keyed {
    float value;
    uint32_t position;
};

static int by_value(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return x->position < y->position ? -1 : x->position > y->position;
}

enum fm_status fm_pooled_make(
    const float *values, uint32_t first, uint32_t second, struct fm_pooled *pooled)
{
    size_t count = (size_t)first + second;
    struct keyed *keyed = malloc(count * sizeof *keyed);
    *pooled = (struct fm_pooled){.first = first,
        .second = second,
        .order = malloc(count * sizeof *pooled->order),
        .ends = malloc(count * sizeof *pooled->ends)};
    if (!keyed || !pooled->order || !pooled->ends) {
        free(keyed);
        fm_pooled_free(pooled);
        return fm_fail_memory("pooled samples", count * sizeof *keyed);
    }
    for (size_t i = 0; i < count; i++)
        keyed[i] = (struct keyed){values[i], (uint32_t)i};
    qsort(keyed, count, sizeof *keyed, by_value);
    for (size_t i = 0; i < count; i++) {
        pooled->order[i] = keyed[i].position;
        pooled->ends[i] = i + 1 == count || keyed[i + 1].value > keyed[i].value;
    }
    free(keyed);
    return FM_OK;
}

void fm_pooled_free(struct fm_pooled *pooled)
{
    free(pooled->order);
    free(pooled->ends);
    *pooled = (struct fm_pooled){0};
}

// ---- Kolmogorov and Smirnov

// Without branches: permutation tests spend their time here.
int64_t fm_ks_scaled(const struct fm_pooled *pooled, const uint8_t *of_first)
{
    const int64_t steps[2] = {-(int64_t)pooled->first, pooled->second};
    uint32_t count = pooled->first + pooled->second;
    int64_t difference = 0, largest = 0; // n m (F - G)
    for (uint32_t i = 0; i < count; i++) {
        difference += steps[of_first[pooled->order[i]]];
        int64_t seen = pooled->ends[i] ? llabs(difference) : 0;
        largest = seen > largest ? seen : largest;
    }
    return largest;
}

// reached[j] of row i: the probability that a random path to (i, j), i of the first and j of the
// second sample, has touched the boundary; its last step is one of the first with probability
// i / (i + j).
enum fm_status fm_ks_exact(const struct fm_pooled *pooled, int64_t scaled, double *p)
{
    int64_t n = pooled->first, m = pooled->second;
    double *reached = malloc((size_t)(m + 1) * sizeof *reached);
    if (!reached)
        return fm_fail_memory("an exact test", (unsigned long long)(m + 1) * sizeof *reached);
    for (int64_t i = 0; i <= n; i++)
        for (int64_t j = 0; j <= m; j++) {
            double share = i + j > 0 ? (double)i / (double)(i + j) : 0;
            double above = i > 0 ? share * reached[j] : 0;
            double left = j > 0 ? (1 - share) * reached[j - 1] : 0;
            bool step = i + j > 0 && pooled->ends[i + j - 1];
            reached[j] = step && llabs(m * i - n * j) >= scaled ? 1 : above + left;
        }
    *p = scaled <= 0 ? 1 : reached[m];
    free(reached);
    return FM_OK;
}

// Two series for the same function: each converges fast where the other does not.
double fm_ks_limit(double distance, uint32_t first, uint32_t second)
{
    static const double pi = 3.14159265358979323846;
    double n = first, m = second, root = sqrt(n * m / (n + m));
    double lambda = (root + 0.12 + 0.11 / root) * distance;
    double sum = 0;
    if (lambda < 0.05) // there 1 - K is 1 to the last digit
        return 1;
    if (lambda < 1) {
        for (int k = 1; k <= 19; k += 2)
            sum += exp(-k * k * pi * pi / (8 * lambda * lambda));
        return 1 - sqrt(2 * pi) / lambda * sum;
    }
    for (int k = 1; k <= 10; k++)
        sum += (k % 2 ? 2 : -2) * exp(-2.0 * k * k * lambda * lambda);
    return sum;
}

enum fm_status fm_ks_p(const struct fm_pooled *pooled, int64_t scaled, double *p)
{
    double cells = (double)pooled->first * pooled->second;
    if (cells <= FM_KS_EXACT_MAX)
        return fm_ks_exact(pooled, scaled, p);
    *p = fm_ks_limit((double)scaled / cells, pooled->first, pooled->second);
    return FM_OK;
}

// ---- Counts of categories

static double total(const uint64_t *counts, int categories)
{
    double sum = 0;
    for (int k = 0; k < categories; k++)
        sum += (double)counts[k];
    return sum;
}

double fm_chi_square(
    const uint64_t *first, const uint64_t *second, int categories, int *degrees_of_freedom)
{
    double n = total(first, categories), m = total(second, categories), sum = 0;
    int occur = 0;
    for (int k = 0; k < categories; k++) {
        double a = (double)first[k], b = (double)second[k];
        if (a + b == 0)
            continue;
        // (observed - expected)^2 / expected of both cells of a category, put together.
        double difference = a * m - b * n;
        sum += difference * difference / (a + b);
        occur++;
    }
    *degrees_of_freedom = occur > 1 ? occur - 1 : 0;
    return occur > 1 && n > 0 && m > 0 ? sum / (n * m) : 0;
}

// P(a, x) = x^a e^-x / Gamma(a + 1) * (1 + x/(a+1) + x^2/((a+1)(a+2)) + ...)
static double lower_gamma_series(double a, double x)
{
    double term = 1, sum = 1;
    for (int k = 1; k < 10000 && term > sum * 1e-17; k++) {
        term *= x / (a + k);
        sum += term;
    }
    return sum * exp(a * log(x) - x - lgamma(a + 1));
}

// Q(a, x) = x^a e^-x / Gamma(a) * 1/(x+1-a- 1(1-a)/(x+3-a- 2(2-a)/(x+5-a- ...))), evaluated from
// the front by Lentz's method.
static double upper_gamma_fraction(double a, double x)
{
    const double tiny = 1e-300;
    double b = x + 1 - a, c = 1 / tiny, d = 1 / b, value = d;
    for (int k = 1; k < 10000; k++) {
        double numerator = -k * (k - a);
        b += 2;
        d = numerator * d + b;
        c = b + numerator / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        double factor = c * d;
        value *= factor;
        if (fabs(factor - 1) < 1e-15)
            break;
    }
    return value * exp(a * log(x) - x - lgamma(a));
}

double fm_chi_square_tail(double x, int degrees_of_freedom)
{
    double a = degrees_of_freedom / 2.0, half = x / 2;
    if (degrees_of_freedom < 1 || x <= 0)
        return 1;
    return half < a + 1 ? 1 - lower_gamma_series(a, half) : upper_gamma_fraction(a, half);
}

// ---- Effect sizes

static void moments(const float *values, uint32_t count, double *mean, double *variance)
{
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += values[i];
    *mean = sum / count;
    for (uint32_t i = 0; i < count; i++)
        squares += (values[i] - *mean) * (values[i] - *mean);
    *variance = count > 1 ? squares / (count - 1) : 0;
}

double fm_mean_shift(const float *first, uint32_t n, const float *second, uint32_t m)
{
    double mean_first, mean_second, variance, variance_second;
    moments(first, n, &mean_first, &variance);
    moments(second, m, &mean_second, &variance_second);
    if (variance == 0)
        variance = variance_second * m / ((double)n + m);
    return variance > 0 ? (mean_second - mean_first) / sqrt(variance) : 0;
}

double fm_total_variation(const uint64_t *first, const uint64_t *second, int categories)
{
    double n = total(first, categories), m = total(second, categories), sum = 0;
    for (int k = 0; k < categories; k++)
        sum += fabs((double)first[k] / n - (double)second[k] / m);
    return sum / 2;
}
