// What a set of measured values is like.
#ifndef FM_EVAL_SPREAD_H
#define FM_EVAL_SPREAD_H

enum {
    // So many values a percentile takes to be more than a matter of the few largest of them: with
    // fewer, p99 is the largest value or the one below it, and p90 likewise.
    FM_SPREAD_P99_LEAST = 100,
    FM_SPREAD_P90_LEAST = 10,
};

struct fm_spread {
    int count;
    // Percentiles by the nearest rank: the smallest value that at least that share does not exceed.
    double p50, p90, p99;
    double mean, deviation; // of a sample: over count - 1; 0 of a single value
    double least, most;
};

// Sorts values [count], of which there is at least one.
struct fm_spread fm_spread_of(double *values, int count);

#endif
