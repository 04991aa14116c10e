// Every sample is held out once, in one unit with those that it belongs to, and each training sees
// the classes in their proportion.
#include "data/folds.h"

#include "data/order.h"
#include "philox.h"

#include <inttypes.h>
#include <stdlib.h>

struct dealing {
    const uint8_t *labels;
    uint32_t count;
    int classes, folds;
    const uint32_t *unit; // NULL: each sample is one of its own
    uint64_t seed;
    uint32_t *next;    // [count] the next sample of the unit; 0: none (0 is always a first)
    uint32_t *size;    // [count] of the unit that begins with the sample; 0: none does
    uint32_t *members; // [count] of what is being dealt out
    uint32_t of_class[FM_FOLDS_MAX][FM_CLASSES_MAX], of_all[FM_FOLDS_MAX]; // dealt so far
    uint8_t *fold;
};

// Returns the number of units.
static uint32_t link_units(struct dealing *d)
{
    uint32_t units = 0;
    for (uint32_t i = d->count; i-- > 0;) {
        uint32_t first = d->unit ? d->unit[i] : i;
        d->size[first]++;
        if (first != i) {
            d->next[i] = d->next[first];
            d->next[first] = i;
        }
    }
    for (uint32_t i = 0; i < d->count; i++)
        units += d->size[i] > 0;
    return units;
}

// The fold that has the fewest of the unit's classes; of those the one that has the fewest of all;
// of those the first. Single samples are dealt round and round by that.
static int choose(const struct dealing *d, uint32_t first)
{
    uint64_t least = UINT64_MAX;
    int best = 0;
    for (int k = 0; k < d->folds; k++) {
        uint64_t alike = d->of_class[k][d->labels[first]];
        for (uint32_t i = d->next[first]; i; i = d->next[i])
            alike += d->of_class[k][d->labels[i]];
        if (alike < least || (alike == least && d->of_all[k] < d->of_all[best])) {
            least = alike;
            best = k;
        }
    }
    return best;
}

static void put(struct dealing *d, uint32_t sample, int fold)
{
    d->fold[sample] = (uint8_t)fold;
    d->of_class[fold][d->labels[sample]]++;
    d->of_all[fold]++;
}

static void deal_unit(struct dealing *d, uint32_t first)
{
    int fold = choose(d, first);
    put(d, first, fold);
    for (uint32_t i = d->next[first]; i; i = d->next[i])
        put(d, i, fold);
}

// A unit of several samples, and its place in the order of draws.
struct large {
    uint32_t first, size, place;
};

static int by_size(const void *a, const void *b)
{
    const struct large *x = a, *y = b;
    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

// The largest ahead: what comes after evens out what they leave.
static enum fm_status deal_large(struct dealing *d)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < d->count; i++)
        if (d->size[i] > 1)
            d->members[count++] = i;
    if (count == 0)
        return FM_OK;
    FM_TRY(fm_order_by_draw(d->members, count, d->seed, 0, FM_STREAM_FOLD, d->members));
    struct large *large = malloc(count * sizeof *large);
    if (!large)
        return fm_fail_memory("the folds", count * sizeof *large);
    for (uint32_t k = 0; k < count; k++)
        large[k] = (struct large){d->members[k], d->size[d->members[k]], k};
    qsort(large, count, sizeof *large, by_size);
    for (uint32_t k = 0; k < count; k++)
        deal_unit(d, large[k].first);
    free(large);
    return FM_OK;
}

// The single samples of a class, in the order of their draws.
static enum fm_status deal_class(struct dealing *d, int class)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < d->count; i++)
        if (d->size[i] == 1 && d->labels[i] == class)
            d->members[count++] = i;
    FM_TRY(fm_order_by_draw(d->members, count, d->seed, 0, FM_STREAM_FOLD, d->members));
    for (uint32_t k = 0; k < count; k++)
        deal_unit(d, d->members[k]);
    return FM_OK;
}

static enum fm_status check(int folds, uint32_t count, uint32_t units)
{
    if (folds < 2 || folds > FM_FOLDS_MAX || (uint32_t)folds > count)
        return fm_fail(FM_USAGE,
            "%d folds of %" PRIu32 " images: expected 2 to %d, of an image each", folds, count,
            FM_FOLDS_MAX);
    if ((uint32_t)folds > units)
        return fm_fail(FM_USAGE,
            "%d folds of %" PRIu32 " images that stay together in %" PRIu32
            ", as near duplicates do: expected no more folds than that",
            folds, count, units);
    return FM_OK;
}

static enum fm_status deal(struct dealing *d)
{
    FM_TRY(check(d->folds, d->count, link_units(d)));
    FM_TRY(deal_large(d));
    for (int class = 0; class < d->classes; class ++)
        FM_TRY(deal_class(d, class));
    return FM_OK;
}

enum fm_status fm_folds_make(const uint8_t *labels, uint32_t count, int classes,
    const uint32_t *unit, int folds, uint64_t seed, uint8_t *fold)
{
    struct dealing d = {.labels = labels,
        .count = count,
        .classes = classes,
        .folds = folds,
        .unit = unit,
        .seed = seed,
        .fold = fold};
    FM_TRY(check(folds, count, count));
    d.next = calloc(count, sizeof *d.next);
    d.size = calloc(count, sizeof *d.size);
    d.members = malloc(count * sizeof *d.members);
    enum fm_status status = d.next && d.size && d.members
                                ? deal(&d)
                                : fm_fail_memory("the folds", count * sizeof *d.members);
    free(d.members);
    free(d.size);
    free(d.next);
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
