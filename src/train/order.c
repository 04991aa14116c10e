// The order of an epoch is a function of its coordinates, so a resumed or repeated run has it again
// without anything saved.
#include "train/train.h"

#include "philox.h"

#include <stdlib.h>

struct draw {
    uint64_t key;
    uint32_t position; // decides between equal keys: that makes the sort stable
    uint32_t id;
};

static int by_key(const void *a, const void *b)
{
    const struct draw *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->position < y->position ? -1 : x->position > y->position;
}

enum fm_status fm_epoch_order(
    const uint32_t *ids, uint32_t count, uint64_t seed, uint32_t epoch, uint32_t *out)
{
    struct draw *draws = malloc(count * sizeof *draws);
    if (!draws)
        return fm_fail_memory("an epoch's order", count * sizeof *draws);
    for (uint32_t i = 0; i < count; i++)
        draws[i] = (struct draw){fm_draw64(seed, epoch, ids[i], FM_STREAM_SHUFFLE), i, ids[i]};
    qsort(draws, count, sizeof *draws, by_key);
    for (uint32_t i = 0; i < count; i++)
        out[i] = draws[i].id;
    free(draws);
    return FM_OK;
}
