// Label errors planted into a data set, and how many of them a search finds again.
#ifndef FM_EVAL_PLANTED_H
#define FM_EVAL_PLANTED_H

#include "base/status.h"

#include <stdint.h>

// Gives round(share * count) samples, drawn by `seed`, another label each, drawn evenly from the
// other classes: labels -> out[count]; planted[count] becomes 1 where that was done. Returns their
// number in *planted_count. A function of the arguments alone. `share` 0 to 1.
enum fm_status fm_plant_labels(const uint8_t *labels, uint32_t count, int classes, double share,
    uint64_t seed, uint8_t *out, uint8_t *planted, uint32_t *planted_count);

// How well found samples are those planted. A sample that was wrong before anything was planted
// counts as a false alarm, so that a precision on real data is a lower bound.
struct fm_retrieval {
    uint32_t found, hits; // hits: of those found, planted
    double precision;     // hits / found; 0 where nothing was found
    double recall;        // hits / planted; 0 where nothing was planted
};
struct fm_retrieval fm_planted_found(const uint8_t *found, const uint8_t *planted, uint32_t count);
// The same of the first n of an order of all samples.
struct fm_retrieval fm_planted_first(
    const uint32_t *order, const uint8_t *planted, uint32_t count, uint32_t n);
// Average precision of an order of all samples: the mean, over the planted ones, of the precision
// at the place of each. A random order has the share planted.
double fm_planted_average_precision(const uint32_t *order, const uint8_t *planted, uint32_t count);

#endif
