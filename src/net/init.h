// Initial weights: drawn by counter from the seed, the same on every backend.
#ifndef FM_NET_INIT_H
#define FM_NET_INIT_H

#include "net/net.h"

enum fm_init {
    FM_INIT_HE_UNIFORM,     // U(-b, b), b = sqrt(6 / fan_in), He et al. 2015, arXiv:1502.01852
    FM_INIT_GLOROT_UNIFORM, // b = sqrt(6 / (fan_in + fan_out)), Glorot and Bengio 2010
};

// Fills `out` [param->count]: weights as above, biases and shifts 0, scales 1. Element i of
// parameter k is made of draw i of stream FM_STREAM_INIT with k in the place of the sample id.
void fm_init_param(
    const struct fm_net *net, int param, enum fm_init init, uint64_t seed, float *out);

#endif
