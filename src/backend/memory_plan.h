// Places for tensors that do not all live at the same time.
#ifndef FM_BACKEND_MEMORY_PLAN_H
#define FM_BACKEND_MEMORY_PLAN_H

#include <stdbool.h>
#include <stddef.h>

// A tensor in the course of a step, which is a sequence of numbered times. It holds something from
// time `first` to `last`, and, where it is computed a second time, from `again_first` to
// `again_last`; both ends count. A span whose end is before its beginning holds nothing.
struct fm_lifetime {
    size_t bytes; // 0: it needs no place
    int first, last;
    int again_first, again_last;
    size_t offset; // what the plan decides: bytes from the beginning of the memory
    struct {
        size_t offset, bytes; // the latter aligned
        bool placed;
        int promoted;
    } trial; // the plan's own
};

// Of a tensor that is computed once.
static inline struct fm_lifetime fm_lifetime_once(size_t bytes, int first, int last)
{
    return (struct fm_lifetime){.bytes = bytes, .first = first, .last = last, .again_last = -1};
}

// The most bytes that are alive at one time: what no plan can go below (for tests, too).
size_t fm_plan_least(const struct fm_lifetime *tensors, int count, size_t alignment);

// Gives each tensor a place in one piece of memory, a multiple of `alignment` from its beginning,
// such that no two that hold something at the same time overlap; returns the bytes of that
// memory, 0 if none needs a place. Which is best is as hard as packing a knapsack, so: each as far
// to the front as it fits, those that live longest first; and, as long as it takes more than at
// least needed, some more trials, each with the one that lay at the end put first (as "squeaky
// wheel" optimisation: Joslin and Clements 1999, arXiv:1105.5454), then the same with the largest
// first. The result depends on the lifetimes and their order alone.
size_t fm_plan_memory(struct fm_lifetime *tensors, int count, size_t alignment);

#endif
