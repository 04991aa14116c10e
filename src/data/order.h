// Orders drawn by random numbers: what a split and a shuffled epoch have in common.
#ifndef FM_DATA_ORDER_H
#define FM_DATA_ORDER_H

#include "base/status.h"

#include <stdint.h>

// `ids` sorted stably by the 64-bit draw of each (philox.h) into `out`: a permutation that depends
// on nothing but the draws' coordinates and the order of equal ids. `out` may be `ids`.
enum fm_status fm_order_by_draw(const uint32_t *ids, uint32_t count, uint64_t seed, uint32_t epoch,
    uint32_t stream, uint32_t *out);

#endif
