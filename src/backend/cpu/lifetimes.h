// What lives when in an executor's step, and what shares memory (lifetimes.c): for allocate.c.
#ifndef FM_CPU_LIFETIMES_H
#define FM_CPU_LIFETIMES_H

#include "backend/cpu/executor.h"
#include "backend/memory_plan.h"

// Decides which operation runs again in the backward, as its output is not kept (fm_op.recomputes).
void fm_cpu_mark_recomputed(struct fm_executor *executor);

// The value whose memory value i's activation is: itself, or one in front of it.
int fm_cpu_activation_home(const struct fm_executor *executor, int i);
// The first value with a gradient, of one that trains.
int fm_cpu_first_gradient(const struct fm_executor *executor);

// All that needs memory, in one list: a value's activation at its index, then gradients, then
// scratch [operation][pass], then what operations note, then the logits' gradient in fp32. Where
// each begins:
struct fm_cpu_needs {
    int gradients, scratch, noted, logit_gradient, count;
};
struct fm_cpu_needs fm_cpu_needs_of(const struct fm_executor *executor);
// Where in the list the memory of value i's gradient is: its own, that of a gradient behind it, or
// the activation that it is written over.
int fm_cpu_gradient_at(const struct fm_executor *executor, const struct fm_cpu_needs *needs, int i);
// lives [count], zero at first: those of nothing keep 0 bytes.
void fm_cpu_lifetimes(const struct fm_executor *executor, const struct fm_cpu_needs *needs,
    struct fm_lifetime *lives);

#endif
