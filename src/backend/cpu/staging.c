// Staging on a processor is ordinary memory that is taken the moment it is submitted.
#include "backend/cpu/executor.h"

#include <stdlib.h>

static enum fm_status fill_slot(
    struct fm_staging *s, struct fm_slot *slot, const struct fm_net *net, uint32_t capacity)
{
    uint32_t record_size = (uint32_t)fm_input_record_size(&net->input);
    void *data = NULL;
    slot->capacity = capacity;
    slot->record_size = record_size;
    FM_TRY(fm_buffers_add(&s->buffers, (size_t)capacity * record_size, "staged records", &data));
    slot->records = data;
    FM_TRY(fm_buffers_add(&s->buffers, capacity, "staged labels", &data));
    slot->labels = data;
    FM_TRY(fm_buffers_add(&s->buffers, (size_t)capacity * sizeof *slot->ids, "staged ids", &data));
    slot->ids = data;
    FM_TRY(fm_buffers_add(&s->buffers, sizeof *slot->step, "staged step", &data));
    slot->step = data;
    if (net->classes == 0)
        return FM_OK;
    size_t soft_targets = (size_t)capacity * (size_t)net->classes * sizeof *slot->soft_targets;
    FM_TRY(fm_buffers_add(&s->buffers, soft_targets, "staged soft targets", &data));
    slot->soft_targets = data;
    return FM_OK;
}

enum fm_status fm_cpu_staging_create(struct fm_model *model, uint32_t capacity,
    const struct fm_resident *resident, struct fm_staging **staging)
{
    (void)resident; // the data is in this memory already
    if (capacity < 1)
        return fm_fail(FM_USAGE, "staging for no samples");
    struct fm_staging *s = calloc(1, sizeof *s);
    if (!s)
        return fm_fail_memory("staging", sizeof *s);
    for (int i = 0; i < FM_SLOTS; i++) {
        enum fm_status status = fill_slot(s, &s->slots[i], &model->net, capacity);
        if (status != FM_OK) {
            fm_cpu_staging_destroy(s);
            return status;
        }
    }
    *staging = s;
    return FM_OK;
}

void fm_cpu_staging_destroy(struct fm_staging *staging)
{
    if (!staging)
        return;
    fm_buffers_free(&staging->buffers);
    free(staging);
}

struct fm_slot *fm_cpu_staging_slot(struct fm_staging *staging, int slot)
{
    return &staging->slots[slot];
}

enum fm_status fm_cpu_slot_wait(struct fm_staging *staging, int slot)
{
    (void)staging;
    (void)slot;
    return FM_OK;
}
