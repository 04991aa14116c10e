// Every sample is held out once, and each training sees the classes in their proportion.
#include "data/folds.h"

#include "data/order.h"
#include "philox.h"

#include <inttypes.h>
#include <stdlib.h>

// Deals one class out in the order of its draws, from where the class before has ended.
static enum fm_status deal(const uint8_t *labels, uint32_t count, int class, int folds,
    uint64_t seed, uint32_t *members, uint32_t *next, uint8_t *fold)
{
    uint32_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        if (labels[i] == class)
            members[size++] = i;
    FM_TRY(fm_order_by_draw(members, size, seed, 0, FM_STREAM_FOLD, members));
    for (uint32_t k = 0; k < size; k++)
        fold[members[k]] = (uint8_t)((*next)++ % (uint32_t)folds);
    return FM_OK;
}

enum fm_status fm_folds_make(
    const uint8_t *labels, uint32_t count, int classes, int folds, uint64_t seed, uint8_t *fold)
{
    if (folds < 2 || folds > FM_FOLDS_MAX || (uint32_t)folds > count)
        return fm_fail(FM_USAGE,
            "%d folds of %" PRIu32 " images: expected 2 to %d, of an image each", folds, count,
            FM_FOLDS_MAX);
    uint32_t *members = malloc(count * sizeof *members), next = 0;
    if (!members)
        return fm_fail_memory("the folds", count * sizeof *members);
    enum fm_status status = FM_OK;
    for (int class = 0; class < classes && status == FM_OK; class ++)
        status = deal(labels, count, class, folds, seed, members, &next, fold);
    free(members);
    return status;
}

enum fm_status fm_folds_split(
    const struct fm_samples *samples, const uint8_t *fold, int held_out, struct fm_split *split)
{
    *split = (struct fm_split){0};
    split->train = malloc(samples->count * sizeof *split->train);
    if (!split->train)
        return fm_fail_memory("the split", samples->count * sizeof *split->train);
    for (uint32_t i = 0; i < samples->count; i++)
        if (fold[i] != held_out)
            split->train[split->train_count++] = i;
    fm_pixel_statistics(samples, split->train, split->train_count, &split->mean, &split->deviation);
    return FM_OK;
}
