// A search for wrong labels can only be judged where it is known which ones are wrong: so some are
// made wrong.
#include "eval/audit/planted.h"

#include "data/order.h"
#include "philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    OTHER_ELEMENT = 4 // of the draw that chooses the label; 0 and 1 are the sort key's
};

enum fm_status fm_plant_labels(const uint8_t *labels, uint32_t count, int classes, double share,
    uint64_t seed, uint8_t *out, uint8_t *planted, uint32_t *planted_count)
{
    uint32_t wanted = (uint32_t)fmin(floor(share * count + 0.5), count);
    uint32_t *ids = malloc((count ? count : 1) * sizeof *ids);
    if (!ids)
        return fm_fail_memory("the order of planted labels", count * sizeof *ids);
    for (uint32_t i = 0; i < count; i++)
        ids[i] = i;
    enum fm_status status = fm_order_by_draw(ids, count, seed, 0, FM_STREAM_PLANT, ids);
    memcpy(out, labels, count);
    memset(planted, 0, count);
    for (uint32_t k = 0; status == FM_OK && k < wanted; k++) {
        uint32_t id = ids[k], draw = fm_draw(seed, 0, id, FM_STREAM_PLANT, OTHER_ELEMENT);
        uint32_t step = 1 + fm_draw_below(draw, (uint32_t)classes - 1);
        out[id] = (uint8_t)((labels[id] + step) % (uint32_t)classes);
        planted[id] = 1;
    }
    *planted_count = wanted;
    free(ids);
    return status;
}

static struct fm_retrieval judge(uint32_t found, uint32_t hits, uint32_t planted)
{
    return (struct fm_retrieval){.found = found,
        .hits = hits,
        .precision = found ? (double)hits / found : 0,
        .recall = planted ? (double)hits / planted : 0};
}

static uint32_t total(const uint8_t *planted, uint32_t count)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += planted[i];
    return sum;
}

struct fm_retrieval fm_planted_found(const uint8_t *found, const uint8_t *planted, uint32_t count)
{
    uint32_t all = 0, hits = 0;
    for (uint32_t i = 0; i < count; i++) {
        all += found[i];
        hits += found[i] && planted[i];
    }
    return judge(all, hits, total(planted, count));
}

struct fm_retrieval fm_planted_first(
    const uint32_t *order, const uint8_t *planted, uint32_t count, uint32_t n)
{
    uint32_t hits = 0;
    for (uint32_t k = 0; k < n && k < count; k++)
        hits += planted[order[k]];
    return judge(n < count ? n : count, hits, total(planted, count));
}

double fm_planted_average_precision(const uint32_t *order, const uint8_t *planted, uint32_t count)
{
    uint32_t hits = 0;
    double sum = 0;
    for (uint32_t k = 0; k < count; k++)
        if (planted[order[k]])
            sum += (double)++hits / (k + 1);
    return hits ? sum / hits : 0;
}
