// Sorting by keys of 64 bits while a device waits for the epoch to begin: by radix, a byte a pass
// from the lowest, which takes the same short time whatever the keys are and is stable.
#include "data/order.h"

#include "philox.h"

#include <stdlib.h>
#include <string.h>

enum {
    PASSES = 8, // of a byte each: an even number, so that the last one ends where the first began
    DIGITS = 256
};

struct draw {
    uint64_t key;
    uint32_t id;
};

static void count_digits(const struct draw *draws, uint32_t count, uint32_t counts[PASSES][DIGITS])
{
    memset(counts, 0, PASSES * sizeof counts[0]);
    for (uint32_t i = 0; i < count; i++)
        for (int pass = 0; pass < PASSES; pass++)
            counts[pass][draws[i].key >> (8 * pass) & (DIGITS - 1)]++;
}

// Deals `from` out into `to` by one byte of the key; `places` holds how many there are of each.
static void deal(
    const struct draw *from, uint32_t count, int pass, uint32_t places[DIGITS], struct draw *to)
{
    uint32_t next = 0;
    for (int digit = 0; digit < DIGITS; digit++) {
        uint32_t of_digit = places[digit];
        places[digit] = next;
        next += of_digit;
    }
    for (uint32_t i = 0; i < count; i++)
        to[places[from[i].key >> (8 * pass) & (DIGITS - 1)]++] = from[i];
}

enum fm_status fm_order_by_draw(const uint32_t *ids, uint32_t count, uint64_t seed, uint32_t epoch,
    uint32_t stream, uint32_t *out)
{
    uint32_t counts[PASSES][DIGITS];
    if (count == 0)
        return FM_OK;
    struct draw *draws = malloc(2 * (size_t)count * sizeof *draws);
    if (!draws)
        return fm_fail_memory("an order of samples", 2 * (size_t)count * sizeof *draws);
    struct draw *spare = draws + count;
    for (uint32_t i = 0; i < count; i++)
        draws[i] = (struct draw){fm_draw64(seed, epoch, ids[i], stream), ids[i]};
    count_digits(draws, count, counts);
    for (int pass = 0; pass < PASSES; pass += 2) {
        deal(draws, count, pass, counts[pass], spare);
        deal(spare, count, pass + 1, counts[pass + 1], draws);
    }
    for (uint32_t i = 0; i < count; i++)
        out[i] = draws[i].id;
    free(draws);
    return FM_OK;
}
