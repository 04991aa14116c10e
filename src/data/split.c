// The split is part of what a result means: the same for every run, model and seed, and each class
// in it in proportion, so that accuracies on it can be compared.
#include "data/split.h"

#include "data/order.h"
#include "philox.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
    HELD_OUT_FRACTION = 20, // one sample in twenty
    STATISTICS_BLOCK = 4096 // pixels; their squares still sum up in 32 bits
};

static const uint64_t split_seed = 20171;

__extension__ typedef unsigned __int128 wide;

enum part {
    PART_TRAIN, // 0: what nobody else is given
    PART_SELECT,
    PART_CALIBRATE
};

// Divides `wanted` among the classes in proportion to `sizes` (summing to `total`) by largest
// remainder, the lower class first where two are equal, never more than `left` of a class.
static void apportion(uint32_t wanted, uint32_t total, int classes, const uint32_t *sizes,
    const uint32_t *left, uint32_t *quota)
{
    uint64_t remainder[FM_CLASSES_MAX];
    uint32_t given = 0;
    for (int c = 0; c < classes; c++) {
        uint64_t share = (uint64_t)wanted * sizes[c];
        quota[c] = (uint32_t)(share / total);
        if (quota[c] > left[c])
            quota[c] = left[c];
        remainder[c] = share % total;
        given += quota[c];
    }
    while (given < wanted) {
        int best = -1;
        for (int c = 0; c < classes; c++)
            if (quota[c] < left[c] && (best < 0 || remainder[c] > remainder[best]))
                best = c;
        quota[best]++; // there is one: more samples are left than are wanted
        remainder[best] = 0;
        given++;
    }
}

static enum fm_status allocate(struct fm_split *split, uint32_t count, uint32_t held)
{
    split->train = malloc((count - 2 * held) * sizeof *split->train);
    split->select = malloc(held * sizeof *split->select);
    split->calibrate = malloc(held * sizeof *split->calibrate);
    if (!split->train || !split->select || !split->calibrate)
        return fm_fail_memory("the split", count * sizeof *split->train);
    return FM_OK;
}

// Deals the members of a class out in the order of their draws: to select, to calibrate; the others
// stay to be trained on. `members` has room for all samples.
static enum fm_status deal_class(const struct fm_samples *samples, int class, uint32_t select,
    uint32_t calibrate, uint32_t *members, uint8_t *parts)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < samples->count; i++)
        if (samples->labels[i] == class)
            members[count++] = i;
    FM_TRY(fm_order_by_draw(members, count, split_seed, 0, FM_STREAM_SPLIT, members));
    for (uint32_t i = 0; i < select + calibrate; i++)
        parts[members[i]] = i < select ? PART_SELECT : PART_CALIBRATE;
    return FM_OK;
}

// How many of each class may be held out: all but one, so that none is left without a sample to
// train on. Where that is less than `wanted`, as few classes as need be give their last one, too.
// Returns how many do.
static int spare(uint32_t wanted, int classes, const uint32_t *sizes, uint32_t *left)
{
    uint32_t sum = 0;
    int emptied = 0;
    for (int c = 0; c < classes; c++) {
        left[c] = sizes[c] - (sizes[c] > 0);
        sum += left[c];
    }
    for (int c = 0; c < classes && sum < wanted; c++)
        if (sizes[c] > 0) {
            left[c]++;
            sum++;
            emptied++;
        }
    return emptied;
}

// `parts`: enum part of each sample, all PART_TRAIN.
static enum fm_status divide(const struct fm_samples *samples, int classes, uint32_t held,
    uint32_t *members, uint8_t *parts, int *untrained)
{
    uint32_t sizes[FM_CLASSES_MAX] = {0}, left[FM_CLASSES_MAX] = {0};
    uint32_t select[FM_CLASSES_MAX], calibrate[FM_CLASSES_MAX];
    for (uint32_t i = 0; i < samples->count; i++)
        sizes[samples->labels[i]]++;
    *untrained = spare(2 * held, classes, sizes, left);
    apportion(held, samples->count, classes, sizes, left, select);
    for (int c = 0; c < classes; c++)
        left[c] -= select[c];
    apportion(held, samples->count, classes, sizes, left, calibrate);
    for (int c = 0; c < classes; c++)
        FM_TRY(deal_class(samples, c, select[c], calibrate[c], members, parts));
    return FM_OK;
}

static void collect(const uint8_t *parts, uint32_t count, struct fm_split *split)
{
    for (uint32_t i = 0; i < count; i++) {
        if (parts[i] == PART_SELECT)
            split->select[split->select_count++] = i;
        else if (parts[i] == PART_CALIBRATE)
            split->calibrate[split->calibrate_count++] = i;
        else
            split->train[split->train_count++] = i;
    }
}

static enum fm_status make(
    const struct fm_samples *samples, int classes, uint32_t held, struct fm_split *split)
{
    uint32_t *members = malloc(samples->count * sizeof *members);
    uint8_t *parts = calloc(samples->count, sizeof *parts);
    enum fm_status status = members && parts
                                ? allocate(split, samples->count, held)
                                : fm_fail_memory("the split", samples->count * sizeof *members);
    if (status == FM_OK)
        status = divide(samples, classes, held, members, parts, &split->untrained);
    if (status == FM_OK)
        collect(parts, samples->count, split);
    free(parts);
    free(members);
    return status;
}

static enum fm_status check_samples(const struct fm_samples *samples, int classes)
{
    if (classes < 1 || classes > FM_CLASSES_MAX)
        return fm_fail(
            FM_DATA, "found %d classes to split, expected 1 to %d", classes, FM_CLASSES_MAX);
    if (samples->count < 3)
        return fm_fail(FM_DATA,
            "found %" PRIu32 " training samples, expected at least 3: one each to train on, to "
            "select on and to calibrate on",
            samples->count);
    for (uint32_t i = 0; i < samples->count; i++)
        if (samples->labels[i] >= classes)
            return fm_fail(FM_DATA, "sample %" PRIu32 " has the label %d, expected 0 to %d", i,
                samples->labels[i], classes - 1);
    return FM_OK;
}

enum fm_status fm_split_make(const struct fm_samples *samples, int classes, struct fm_split *split)
{
    *split = (struct fm_split){0};
    FM_TRY(check_samples(samples, classes));
    uint32_t held = samples->count / HELD_OUT_FRACTION;
    if (held == 0)
        held = 1;
    enum fm_status status = make(samples, classes, held, split);
    if (status == FM_OK)
        fm_pixel_statistics(
            samples, split->train, split->train_count, &split->mean, &split->deviation);
    else
        fm_split_free(split);
    return status;
}

enum fm_status fm_split_all(const struct fm_samples *samples, int classes, struct fm_split *split)
{
    *split = (struct fm_split){0};
    FM_TRY(check_samples(samples, classes));
    split->train = malloc(samples->count * sizeof *split->train);
    if (!split->train)
        return fm_fail_memory("the split", samples->count * sizeof *split->train);
    for (uint32_t i = 0; i < samples->count; i++)
        split->train[i] = i;
    split->train_count = samples->count;
    fm_pixel_statistics(samples, split->train, split->train_count, &split->mean, &split->deviation);
    return FM_OK;
}

void fm_split_free(struct fm_split *split)
{
    free(split->train);
    free(split->select);
    free(split->calibrate);
    *split = (struct fm_split){0};
}

// Adds one record; whole blocks are summed in 32 bits, which the compiler can vectorise.
static void add_record(const uint8_t *record, uint32_t size, uint64_t *sum, uint64_t *squares)
{
    for (uint32_t start = 0; start < size; start += STATISTICS_BLOCK) {
        uint32_t end = size - start < STATISTICS_BLOCK ? size : start + STATISTICS_BLOCK;
        uint32_t block_sum = 0, block_squares = 0;
        for (uint32_t i = start; i < end; i++) {
            block_sum += record[i];
            block_squares += (uint32_t)record[i] * record[i];
        }
        *sum += block_sum;
        *squares += block_squares;
    }
}

void fm_pixel_statistics(const struct fm_samples *samples, const uint32_t *ids, uint32_t count,
    double *mean, double *deviation)
{
    uint64_t sum = 0, squares = 0, pixels = (uint64_t)count * samples->record_size;
    *mean = *deviation = 0;
    if (pixels == 0)
        return;
    for (uint32_t i = 0; i < count; i++)
        add_record(samples->records + (size_t)ids[i] * samples->record_size, samples->record_size,
            &sum, &squares);
    // n * sum(x^2) - sum(x)^2 is exact in 128 bits, so nothing cancels before the one rounding.
    wide scaled_variance = (wide)pixels * squares - (wide)sum * sum;
    *mean = (double)sum / (double)pixels / 255.0;
    *deviation = sqrt((double)scaled_variance) / (double)pixels / 255.0;
}
