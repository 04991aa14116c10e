// Times of a program's commands, from events between them.
//
// A command shorter than the host takes to enqueue the next would have the host's time, were the
// device waiting for it: each run is held back on the device until about all of it is enqueued. The
// first runs are not counted: one loads the kernels, one tells how long the host takes.
#ifndef FM_CUDA_PROFILE_H
#define FM_CUDA_PROFILE_H

#include "backend/cuda/check.h"
#include "backend/cuda/program.h"

struct fm_cuda_profile {
    int count;          // of commands
    cudaEvent_t *marks; // [count + 1]: in front of each command, and behind the last
    double *seconds;    // [count]: sums over `runs`
    uint64_t runs;      // that count
    int rehearsed;      // runs that do not
    double begun;       // when the run in flight was, by fm_clock_seconds()
    double enqueuing;   // seconds that the host took to enqueue the run before
    int first;          // command of the run in flight
    bool pending;       // marks are recorded whose times have not been added
};

enum fm_status fm_cuda_profile_create(int count, struct fm_cuda_profile **profile);
void fm_cuda_profile_destroy(struct fm_cuda_profile *profile); // NULL is allowed

// Around the commands [first, count) of a run: begin, then a mark in front of each and behind the
// last.
enum fm_status fm_cuda_profile_begin(
    struct fm_cuda_profile *profile, int first, cudaStream_t stream);
enum fm_status fm_cuda_profile_mark(
    struct fm_cuda_profile *profile, int command, cudaStream_t stream);
// Waits for the run in flight, if there is one, and adds its times.
enum fm_status fm_cuda_profile_collect(struct fm_cuda_profile *profile);

#endif
