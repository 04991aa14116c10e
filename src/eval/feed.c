// The one place where the loader, which knows no backend, and a backend's staging meet.
#include "eval/feed.h"

#include "base/trace.h"

static enum fm_status wait_for_slot(void *context, int slot)
{
    const struct fm_feed *feed = context;
    double begin = fm_trace_begin();
    enum fm_status status = feed->api->slot_wait(feed->staging, slot);
    fm_trace_end(begin, "upload", -1);
    return status;
}

enum fm_status fm_feed_open(const struct fm_backend *api, struct fm_model *model, uint32_t capacity,
    const struct fm_samples *samples, bool resident, struct fm_feed *feed)
{
    const struct fm_resident all = {.records = samples->records,
        .labels = samples->labels,
        .count = samples->count,
        .record_size = samples->record_size};
    *feed = (struct fm_feed){.api = api};
    FM_TRY(api->staging_create(model, capacity, resident ? &all : NULL, &feed->staging));
    struct fm_loader_options options = {
        .samples = samples, .slot_wait = wait_for_slot, .context = feed};
    for (int i = 0; i < FM_SLOTS; i++)
        options.slots[i] = api->staging_slot(feed->staging, i);
    return fm_loader_open(&options, &feed->loader);
}

void fm_feed_close(struct fm_feed *feed)
{
    fm_loader_close(feed->loader);
    if (feed->staging)
        feed->api->staging_destroy(feed->staging);
    *feed = (struct fm_feed){0};
}
