// Counts the device memory that a device's objects hold, so that a run can tell what it took.
#ifndef FM_CUDA_MEMORY_H
#define FM_CUDA_MEMORY_H

#include <stdint.h>

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
