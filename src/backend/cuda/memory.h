// Device memory: how it is cut, and how much of it a device's objects hold, so that a run can tell
// what it took.
#ifndef FM_CUDA_MEMORY_H
#define FM_CUDA_MEMORY_H

#include <stdint.h>

#define FM_CUDA_ALIGNMENT                                                                          \
    ((uint64_t)256) // bytes: as cudaMalloc aligns, more than a library asks for

// The next multiple of `unit`.
static inline uint64_t fm_cuda_round_up(uint64_t count, uint64_t unit)
{
    return (count + unit - 1) / unit * unit;
}

struct fm_cuda_memory {
    uint64_t held, peak; // bytes: now, and at most since the device was opened
};

static inline void fm_cuda_memory_take(struct fm_cuda_memory *memory, uint64_t bytes)
{
    memory->held += bytes;
    if (memory->held > memory->peak)
        memory->peak = memory->held;
}

static inline void fm_cuda_memory_give(struct fm_cuda_memory *memory, uint64_t bytes)
{
    memory->held -= bytes;
}

#endif
