// What the numeric tests share: networks written as one line of text, their parameters and batches
// drawn from a seed, and the comparison of a backend's tensor with the reference's.
#ifndef FM_TESTS_REFERENCE_CASES_H
#define FM_TESTS_REFERENCE_CASES_H

#include "net/net.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Builds the network that `text` describes, or ends the program:
//
//   8x8>1x8x8 c16k3p1b n r p d0.5 m f10b
//
// The records' rows and columns, then the shape that the first layer sees (preceded by an s where
// the input is standardised), or v FEATURES for records of so many, then layers: c CHANNELS k
// KERNEL p PADDING (b: with bias) convolution, n batch norm, r ReLU, p max-pool, m mean pool, d
// RATE dropout, f FEATURES (b) dense. Between layers: x makes all parameters so far untrained, l
// FACTOR sets their learning-rate multiplier.
void fm_case_net(const char *text, struct fm_net *net);

// Parameters and running statistics of a network, contiguous at their offsets, none of them at a
// value (0, 1) that would hide a mistake. The caller frees.
float *fm_case_params(const struct fm_net *net, uint64_t seed);
float *fm_case_running(const struct fm_net *net, uint64_t seed);

// A batch; the caller frees the fields by fm_case_batch_free. `black_and_white`: pixels are 0 or
// 255, so that windows and channels are full of ties. Features are between -2 and 2.
struct fm_case_batch {
    uint8_t *records, *labels;
    uint32_t *ids;
    float *soft_targets; // [count][classes]: positive, their sum 1
};
struct fm_case_batch fm_case_batch(
    const struct fm_net *net, uint32_t count, uint64_t seed, bool black_and_white);
void fm_case_batch_free(struct fm_case_batch *batch);

// True when no value is NaN or infinite and every one is within relative * (largest magnitude of
// the expected) + absolute of its expected one. Otherwise prints `what` and the worst element.
bool fm_case_close(const char *what, const float *found, const double *expected, size_t count,
    double relative, double absolute);

#endif
