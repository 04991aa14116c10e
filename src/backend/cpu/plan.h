// Places for tensors that do not all live at the same time.
#ifndef FM_CPU_PLAN_H
#define FM_CPU_PLAN_H

#include <stdbool.h>
#include <stddef.h>

// A tensor in the course of a step, which is a sequence of numbered moments. It holds something
// from moment `first` to `last`, and, where it is computed a second time, from `again_first` to
// `again_last`; both ends count, and a span whose end is before its beginning holds nothing.
struct fm_lifetime {
    size_t bytes;
    int first, last;
    int again_first, again_last;
    size_t offset; // what the plan decides: bytes from the beginning of the memory
    bool placed;   // has its offset; false at first
};

// Where the next tensor may begin behind so many bytes: a line of the cache.
static inline size_t fm_plan_aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

// Gives each tensor a place in one piece of memory, such that no two that hold something at the
// same moment overlap; returns the bytes of that memory. Greedy: the largest first, each as far to
// the front as it fits (Pisarchyk and Lee 2020, arXiv:2001.03288, "greedy by size"). The result
// depends on the lifetimes and their order alone.
size_t fm_plan_memory(struct fm_lifetime *tensors, int count);

#endif
