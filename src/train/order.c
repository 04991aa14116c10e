// The order of an epoch is a function of its coordinates, so a resumed or repeated run has it again
// without anything saved.
#include "train/train.h"

#include "data/order.h"
#include "philox.h"

enum fm_status fm_epoch_order(
    const uint32_t *ids, uint32_t count, uint64_t seed, uint32_t epoch, uint32_t *out)
{
    return fm_order_by_draw(ids, count, seed, epoch, FM_STREAM_SHUFFLE, out);
}
