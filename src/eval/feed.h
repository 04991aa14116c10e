// Samples on their way to a model: staging memory, and the loader that fills it.
#ifndef FM_EVAL_FEED_H
#define FM_EVAL_FEED_H

#include "backend/backend.h"
#include "data/loader.h"

struct fm_feed {
    const struct fm_backend *api;
    struct fm_staging *staging;
    struct fm_loader *loader;
};

// For batches of at most `capacity`. `resident`: the device is given all samples now, and a backend
// that keeps them has slots filled with ids alone. `feed` must stay where it is while it is open.
// On failure, too, it is closed with fm_feed_close().
enum fm_status fm_feed_open(const struct fm_backend *api, struct fm_model *model, uint32_t capacity,
    const struct fm_samples *samples, bool resident, struct fm_feed *feed);
void fm_feed_close(struct fm_feed *feed); // one that is all zero, too

#endif
