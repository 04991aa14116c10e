// Tensors are some tens to a few hundred a network, so every pair is looked at.
#include "backend/memory_plan.h"

#include "base/round.h"

#include <stdint.h>

enum {
    TRIALS = 24
};

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

static size_t at_once(const struct fm_lifetime *tensors, int count, size_t alignment, int time)
{
    const struct fm_lifetime now = fm_lifetime_once(0, time, time);
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        if (together(&tensors[i], &now))
            bytes += fm_round_up(tensors[i].bytes, alignment);
    return bytes;
}

size_t fm_plan_least(const struct fm_lifetime *tensors, int count, size_t alignment)
{
    size_t most = 0;
    for (int i = 0; i < count; i++) { // it is most where one begins
        const int begins[] = {tensors[i].first, tensors[i].again_first};
        for (int k = 0; k < 2; k++) {
            size_t bytes = tensors[i].bytes > 0 ? at_once(tensors, count, alignment, begins[k]) : 0;
            most = bytes > most ? bytes : most;
        }
    }
    return most;
}

// ---- a trial

static size_t trial_end(const struct fm_lifetime *t)
{
    return t->trial.offset + t->trial.bytes;
}

static bool overlap(const struct fm_lifetime *a, const struct fm_lifetime *b)
{
    return a->trial.offset < trial_end(b) && b->trial.offset < trial_end(a);
}

static int duration(const struct fm_lifetime *t)
{
    int once = t->last - t->first + 1, again = t->again_last - t->again_first + 1;
    return (once > 0 ? once : 0) + (again > 0 ? again : 0);
}

// What decides which is placed first, unless it was promoted.
enum order {
    LONGEST_FIRST,
    LARGEST_FIRST,
    ORDERS
};

static bool goes_before(const struct fm_lifetime *a, const struct fm_lifetime *b, enum order order)
{
    if (a->trial.promoted != b->trial.promoted)
        return a->trial.promoted > b->trial.promoted;
    bool longer = duration(a) > duration(b), as_long = duration(a) == duration(b);
    bool larger = a->bytes > b->bytes, as_large = a->bytes == b->bytes;
    return order == LONGEST_FIRST ? longer || (as_long && larger) : larger || (as_large && longer);
}

static struct fm_lifetime *next_unplaced(struct fm_lifetime *tensors, int count, enum order order)
{
    struct fm_lifetime *next = NULL;
    for (int i = 0; i < count; i++) {
        struct fm_lifetime *t = &tensors[i];
        if (t->bytes > 0 && !t->trial.placed && (!next || goes_before(t, next, order)))
            next = t;
    }
    return next;
}

// Moves a tensor from the front behind each that it would lie on, until there is none. That skips
// no gap: wherever it lay on the way to that one's end, it would lie on it still.
static void place(struct fm_lifetime *t, const struct fm_lifetime *tensors, int count)
{
    t->trial.offset = 0;
    for (int i = 0; i < count; i++)
        if (tensors[i].trial.placed && overlap(t, &tensors[i]) && together(t, &tensors[i])) {
            t->trial.offset = trial_end(&tensors[i]);
            i = -1; // look at all again
        }
    t->trial.placed = true;
}

// Places all; returns the one that ends last, NULL where none needs a place.
static struct fm_lifetime *place_all(struct fm_lifetime *tensors, int count, enum order order)
{
    struct fm_lifetime *last = NULL;
    for (int i = 0; i < count; i++)
        tensors[i].trial.placed = false;
    for (struct fm_lifetime *t; (t = next_unplaced(tensors, count, order));) {
        place(t, tensors, count);
        if (!last || trial_end(t) > trial_end(last))
            last = t;
    }
    return last;
}

static void begin_trials(struct fm_lifetime *tensors, int count, size_t alignment)
{
    for (int i = 0; i < count; i++) {
        tensors[i].trial.bytes = fm_round_up(tensors[i].bytes, alignment);
        tensors[i].trial.promoted = 0;
    }
}

size_t fm_plan_memory(struct fm_lifetime *tensors, int count, size_t alignment)
{
    size_t least = fm_plan_least(tensors, count, alignment), best = SIZE_MAX;
    for (int order = 0; order < ORDERS; order++) {
        begin_trials(tensors, count, alignment);
        for (int trial = 1; trial <= TRIALS && best > least; trial++) {
            struct fm_lifetime *last = place_all(tensors, count, (enum order)order);
            if (!last)
                return 0;
            if (trial_end(last) < best) {
                best = trial_end(last);
                for (int i = 0; i < count; i++)
                    tensors[i].offset = tensors[i].trial.offset;
            }
            last->trial.promoted = trial;
        }
    }
    return best;
}
