// Times of a program's commands, from events between them.
#ifndef FM_CUDA_PROFILE_H
#define FM_CUDA_PROFILE_H

#include "backend/cuda/check.h"
#include "backend/cuda/program.h"

struct fm_cuda_profile {
    int count;          // of commands
    cudaEvent_t *marks; // [count + 1]: in front of each command, and behind the last
    double *seconds;    // [count]: sums over `runs`
    uint64_t runs;
    int first;    // command of the run in flight
    bool pending; // marks are recorded whose times have not been added
};

enum fm_status fm_cuda_profile_create(int count, struct fm_cuda_profile **profile);
void fm_cuda_profile_destroy(struct fm_cuda_profile *profile); // NULL is allowed

// Around the commands [first, count) of a run: begin, then a mark in front of each and behind the
// last.
enum fm_status fm_cuda_profile_begin(struct fm_cuda_profile *profile, int first);
enum fm_status fm_cuda_profile_mark(
    struct fm_cuda_profile *profile, int command, cudaStream_t stream);
// Waits for the run in flight, if there is one, and adds its times.
enum fm_status fm_cuda_profile_collect(struct fm_cuda_profile *profile);

#endif
