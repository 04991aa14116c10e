// Percentiles, mean and deviation of what was measured, for every figure that is measured often.
#include "eval/timing/spread.h"

#include <math.h>
#include <stdlib.h>

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const double *sorted, int count, int percent)
{
    long long rank = ((long long)percent * count + 99) /
                     100; // rounded up, without a rounding error
    return sorted[rank < 1 ? 0 : rank - 1];
}

struct fm_spread fm_spread_of(double *values, int count)
{
    double sum = 0, squares = 0;
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    for (int i = 0; i < count; i++)
        sum += values[i];
    double mean = sum / count;
    for (int i = 0; i < count; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    return (struct fm_spread){.count = count,
        .p50 = percentile(values, count, 50),
        .p90 = percentile(values, count, 90),
        .p99 = percentile(values, count, 99),
        .mean = mean,
        .deviation = count > 1 ? sqrt(squares / (count - 1)) : 0,
        .least = values[0],
        .most = values[count - 1]};
}
