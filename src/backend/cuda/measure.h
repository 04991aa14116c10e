// What the candidates for a graph cost on the device at hand, and which of them wins.
#ifndef FM_CUDA_MEASURE_H
#define FM_CUDA_MEASURE_H

#include "backend/cuda/engine.h"
#include "backend/cuda/memory.h"

// Times `count` candidates, seconds[i] becoming what a call of candidates[i] takes (the median of
// several captured and replayed batches of calls), or INFINITY where it cannot be executed. Runs on
// a stream of its own, in a scratch arena of the spec's tensors and the largest workspace;
// FM_MEMORY where that is more than is free. Other failures are of the device, which is of no more
// use then. `memory` counts the arena.
enum fm_status fm_cuda_measure(const struct fm_cuda_graph_spec *spec, cudnnHandle_t handle,
    struct fm_cuda_memory *memory, const struct fm_cuda_candidate *candidates, int count,
    double *seconds);

// The candidate to take; -1: none could be executed. Of those within 3 % of the fastest the first,
// so that a choice made again is most often the same, and with it the order of sums. A
// runtime-compiled one must be 3 % faster than the fastest precompiled one, since each process pays
// for compiling it where plans are not kept.
int fm_cuda_measure_best(
    const struct fm_cuda_candidate *candidates, const double *seconds, int count);

#endif
