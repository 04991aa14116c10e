// Sorting by keys of 64 bits while a device waits for the epoch to begin: by radix, a byte a pass
// from the lowest, which takes the same short time whatever the keys are and is stable.
#include "data/order.h"

#include "base/pages.h"
#include "philox.h"

#include <string.h>

enum {
    PASSES = 8, // of a byte each: an even number, so that the last one ends where the first began
    DIGITS = 256
};

// What is sorted: samples' places in the list of ids, by their keys.
struct draws {
    const uint64_t *keys; // [count]
    uint32_t count;
};

static uint8_t digit_of(uint64_t key, int pass)
{
    return (uint8_t)(key >> (8 * pass));
}

static void count_digits(const struct draws *draws, uint32_t counts[PASSES][DIGITS])
{
    memset(counts, 0, PASSES * sizeof counts[0]);
    for (uint32_t i = 0; i < draws->count; i++)
        for (int pass = 0; pass < PASSES; pass++)
            counts[pass][digit_of(draws->keys[i], pass)]++;
}

// Deals `from` out into `to` by one byte of the key; `next` holds how many there are of each.
static void deal(
    const struct draws *draws, const uint32_t *from, int pass, uint32_t next[DIGITS], uint32_t *to)
{
    uint32_t begin = 0;
    for (int digit = 0; digit < DIGITS; digit++) {
        uint32_t of_digit = next[digit];
        next[digit] = begin;
        begin += of_digit;
    }
    for (uint32_t i = 0; i < draws->count; i++)
        to[next[digit_of(draws->keys[from[i]], pass)]++] = from[i];
}

enum fm_status fm_order_by_draw(const uint32_t *ids, uint32_t count, uint64_t seed, uint32_t epoch,
    uint32_t stream, uint32_t *out)
{
    uint32_t counts[PASSES][DIGITS];
    if (count == 0)
        return FM_OK;
    // From the kernel where they are many, and back to it: the heap would keep them.
    size_t bytes = count * (sizeof(uint64_t) + 2 * sizeof(uint32_t));
    struct fm_pages pages = fm_pages_allocate(bytes);
    if (!pages.memory)
        return fm_fail_memory("an order of samples", bytes);
    uint64_t *keys = pages.memory;
    uint32_t *places = (uint32_t *)(keys + count), *spare = places + count;
    for (uint32_t i = 0; i < count; i++) {
        keys[i] = fm_draw64(seed, epoch, ids[i], stream);
        places[i] = i;
    }
    const struct draws draws = {keys, count};
    count_digits(&draws, counts);
    for (int pass = 0; pass < PASSES; pass += 2) {
        deal(&draws, places, pass, counts[pass], spare);
        deal(&draws, spare, pass + 1, counts[pass + 1], places);
    }
    for (uint32_t i = 0; i < count; i++)
        spare[i] = ids[places[i]]; // `out` may be `ids`
    memcpy(out, spare, count * sizeof *out);
    fm_pages_free(&pages);
    return FM_OK;
}
