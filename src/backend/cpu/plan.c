// Tensors are few, some tens a network, so every pair is looked at.
#include "backend/cpu/plan.h"

static bool meet(int first, int last, int other_first, int other_last)
{
    return first <= last && other_first <= other_last && first <= other_last && other_first <= last;
}

static bool together(const struct fm_lifetime *a, const struct fm_lifetime *b)
{
    return meet(a->first, a->last, b->first, b->last) ||
           meet(a->first, a->last, b->again_first, b->again_last) ||
           meet(a->again_first, a->again_last, b->first, b->last) ||
           meet(a->again_first, a->again_last, b->again_first, b->again_last);
}

static bool overlap(const struct fm_lifetime *a, const struct fm_lifetime *b)
{
    return a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

static size_t aligned_end(const struct fm_lifetime *t)
{
    return fm_plan_aligned(t->offset + t->bytes);
}

// The foremost of the largest.
static struct fm_lifetime *largest_unplaced(struct fm_lifetime *tensors, int count)
{
    struct fm_lifetime *largest = NULL;
    for (int i = 0; i < count; i++)
        if (!tensors[i].placed && (!largest || tensors[i].bytes > largest->bytes))
            largest = &tensors[i];
    return largest;
}

// Moves a tensor from the front behind each that it would lie on, until there is none. That skips
// no gap: wherever it lay on the way to that one's end, it would lie on it still.
static void place(struct fm_lifetime *t, const struct fm_lifetime *tensors, int count)
{
    t->offset = 0;
    for (int i = 0; i < count; i++)
        if (tensors[i].placed && together(t, &tensors[i]) && overlap(t, &tensors[i])) {
            t->offset = aligned_end(&tensors[i]);
            i = -1; // look at all again
        }
    t->placed = true;
}

size_t fm_plan_memory(struct fm_lifetime *tensors, int count)
{
    size_t bytes = 0;
    for (struct fm_lifetime *t; (t = largest_unplaced(tensors, count));) {
        place(t, tensors, count);
        bytes = aligned_end(t) > bytes ? aligned_end(t) : bytes;
    }
    return bytes;
}
