// Slots in pinned memory. What the host knows about a batch is checked here, before it is enqueued:
// a kernel that meets a label or an id out of range can only crash.
#include "backend/cuda/staging.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    PART = 64 // bytes, of what lies in a slot: as backend.h promises; kernels access 16 at once
};

// Where the parts of a slot begin. Ids and labels have room for all samples, records come last of
// what every step takes: so a slot that holds fewer is the beginning of a full one, and one copy
// takes it up. Soft targets, which few steps take, are behind.
struct outline {
    size_t ids, labels, records, soft_targets, end;
};

static struct outline outline(
    uint32_t capacity, size_t record_size, size_t soft_size, bool resident)
{
    struct outline o;
    o.ids = fm_cuda_round_up(sizeof(struct fm_step), PART);
    o.labels = fm_cuda_round_up(o.ids + capacity * sizeof(uint32_t), PART);
    o.records = resident ? o.labels : fm_cuda_round_up(o.labels + capacity, PART);
    o.soft_targets = resident ? o.labels
                              : fm_cuda_round_up(o.records + capacity * record_size, PART);
    o.end = o.soft_targets + capacity * soft_size;
    return o;
}

static enum fm_status check_label(
    const struct fm_staging *s, uint32_t sample, uint8_t label, int classes)
{
    if (label < classes || classes == 0) // a network that ends in features looks at none
        return FM_OK;
    return fm_fail(FM_DATA, "sample %u has label %u; model '%s' has %d classes", sample, label,
        s->model->net.name, classes);
}

// ---- the resident set: [records | labels]

static enum fm_status check_resident(
    const struct fm_staging *s, const struct fm_resident *resident, uint32_t record_size)
{
    if (resident->count < 1)
        return fm_fail(FM_USAGE, "a resident data set of no samples");
    if (resident->record_size != record_size)
        return fm_fail(FM_DATA,
            "the resident data set has records of %u bytes; model '%s' takes %u",
            resident->record_size, s->model->net.name, record_size);
    for (uint32_t i = 0; i < resident->count; i++)
        FM_TRY(check_label(s, i, resident->labels[i], s->model->net.classes));
    return FM_OK;
}

static enum fm_status create_resident(struct fm_staging *s, const struct fm_resident *resident)
{
    size_t records = (size_t)resident->count * resident->record_size;
    size_t labels = fm_cuda_round_up(records, FM_CUDA_ALIGNMENT), bytes = labels + resident->count;
    struct fm_device *device = s->model->device;
    FM_TRY(fm_cuda_device_allocate(device, "the resident data set", bytes, &s->resident));
    s->resident_count = resident->count;
    s->bytes += bytes;
    s->resident_bytes = bytes;
    unsigned char *block = s->resident;
    FM_TRY(fm_cuda_device_put(device, block, resident->records, records));
    FM_TRY(fm_cuda_device_put(device, block + labels, resident->labels, resident->count));
    for (int i = 0; i < FM_SLOTS; i++) {
        s->views[i].records = block;
        s->views[i].labels = block + labels;
        s->views[i].gather = true;
    }
    return FM_OK;
}

// ---- the slots

static void place_slot(struct fm_staging *s, int slot, const struct outline *o, size_t stride)
{
    unsigned char *host = (unsigned char *)s->host + (size_t)slot * stride;
    unsigned char *device = (unsigned char *)s->block + (size_t)slot * stride;
    s->slots[slot].step = (struct fm_step *)host;
    s->slots[slot].ids = (uint32_t *)(host + o->ids);
    s->views[slot].step = (const struct fm_step *)device;
    s->views[slot].ids = (const uint32_t *)(device + o->ids);
    if (s->model->net.classes > 0) {
        s->slots[slot].soft_targets = (float *)(void *)(host + o->soft_targets);
        s->views[slot].soft_targets = (const float *)(const void *)(device + o->soft_targets);
    }
    if (s->resident)
        return;
    s->slots[slot].labels = host + o->labels;
    s->slots[slot].records = host + o->records;
    s->views[slot].labels = device + o->labels;
    s->views[slot].records = device + o->records;
}

static enum fm_status create_slots(struct fm_staging *s, uint32_t capacity, uint32_t record_size)
{
    size_t soft_size = (size_t)s->model->net.classes * sizeof(float);
    struct outline o = outline(capacity, record_size, soft_size, s->resident != NULL);
    size_t stride = fm_cuda_round_up(o.end, FM_CUDA_ALIGNMENT), bytes = FM_SLOTS * stride;
    FM_TRY(fm_cuda_device_allocate(s->model->device, "slots for batches", bytes, &s->block));
    s->bytes += bytes;
    enum fm_status status = FM_CUDA_CALL(cudaHostAlloc(&s->host, bytes, cudaHostAllocDefault));
    if (status != FM_OK)
        return fm_context(status, "%zu bytes of pinned memory for batches", bytes);
    memset(s->host, 0, bytes);
    for (int i = 0; i < FM_SLOTS; i++) {
        s->slots[i].capacity = capacity;
        s->slots[i].record_size = record_size;
        place_slot(s, i, &o, stride);
    }
    return FM_OK;
}

static enum fm_status create_events(struct fm_staging *s)
{
    for (int i = 0; i < FM_SLOTS; i++) {
        FM_CUDA(cudaEventCreateWithFlags(&s->uploaded[i], cudaEventDisableTiming));
        FM_CUDA(cudaEventCreateWithFlags(&s->consumed[i], cudaEventDisableTiming));
    }
    return FM_OK;
}

static enum fm_status create_parts(
    struct fm_staging *s, uint32_t capacity, const struct fm_resident *resident)
{
    uint32_t record_size = (uint32_t)fm_input_record_size(&s->model->net.input);
    if (resident) {
        FM_TRY(check_resident(s, resident, record_size));
        FM_TRY(create_resident(s, resident));
    }
    FM_TRY(create_slots(s, capacity, record_size));
    return create_events(s);
}

enum fm_status fm_cuda_staging_create(struct fm_model *model, uint32_t capacity,
    const struct fm_resident *resident, struct fm_staging **staging)
{
    static atomic_uint_least64_t serials;
    if (capacity < 1)
        return fm_fail(FM_USAGE, "staging for no samples");
    struct fm_staging *s = calloc(1, sizeof *s);
    if (!s)
        return fm_fail_memory("staging", sizeof *s);
    s->model = model;
    s->serial = atomic_fetch_add(&serials, 1) + 1;
    enum fm_status status = create_parts(s, capacity, resident);
    if (status != FM_OK) {
        fm_cuda_staging_destroy(s);
        return status;
    }
    *staging = s;
    return FM_OK;
}

void fm_cuda_staging_destroy(struct fm_staging *staging)
{
    if (!staging)
        return;
    struct fm_device *device = staging->model->device;
    (void)fm_cuda_device_use(device);
    (void)cudaStreamSynchronize(device->copy);
    (void)cudaStreamSynchronize(device->compute);
    for (int i = 0; i < FM_SLOTS; i++) {
        if (staging->consumed[i])
            (void)cudaEventDestroy(staging->consumed[i]);
        if (staging->uploaded[i])
            (void)cudaEventDestroy(staging->uploaded[i]);
    }
    (void)cudaFreeHost(staging->host); // NULL is allowed, here and below
    fm_cuda_device_free(device, staging->block, staging->bytes - staging->resident_bytes);
    fm_cuda_device_free(device, staging->resident, staging->resident_bytes);
    free(staging);
}

struct fm_slot *fm_cuda_staging_slot(struct fm_staging *staging, int slot)
{
    return &staging->slots[slot];
}

// Called by the loader's thread, which has no current device yet.
enum fm_status fm_cuda_slot_wait(struct fm_staging *staging, int slot)
{
    FM_TRY(fm_cuda_device_use(staging->model->device));
    FM_CUDA(cudaEventSynchronize(staging->uploaded[slot]));
    return FM_OK;
}

// ---- a batch on its way

enum fm_status fm_cuda_staging_check(const struct fm_staging *s, int index)
{
    const struct fm_slot *slot = &s->slots[index];
    int classes = s->model->net.classes;
    uint32_t count = slot->step->count;
    if (count < 1 || count > slot->capacity)
        return fm_fail(FM_USAGE, "%u samples in a slot that holds 1 to %u", count, slot->capacity);
    for (uint32_t i = 0; i < count; i++) {
        if (slot->labels)
            FM_TRY(check_label(s, slot->ids[i], slot->labels[i], classes));
        else if (slot->ids[i] >= s->resident_count)
            return fm_fail(FM_DATA, "sample %u is not in the resident data set of %u", slot->ids[i],
                s->resident_count);
    }
    return FM_OK;
}

// From the slot's beginning to the last byte of `count` samples.
static size_t used_bytes(const struct fm_slot *slot, size_t count)
{
    const unsigned char *begin = (const unsigned char *)slot->step;
    if (slot->records)
        return (size_t)(slot->records - begin) + count * slot->record_size;
    return (size_t)((const unsigned char *)(slot->ids + count) - begin);
}

// Host and device have the same outline.
static enum fm_status copy_up(
    struct fm_staging *staging, const void *from, size_t bytes, cudaStream_t stream)
{
    size_t at = (size_t)((const unsigned char *)from - (const unsigned char *)staging->host);
    void *to = (unsigned char *)staging->block + at;
    return FM_CUDA_CALL(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream));
}

enum fm_status fm_cuda_staging_copy(
    struct fm_staging *staging, int slot, uint32_t samples, cudaStream_t stream)
{
    const struct fm_slot *from = &staging->slots[slot];
    size_t bytes = used_bytes(from, samples < from->capacity ? samples : from->capacity);
    return copy_up(staging, from->step, bytes, stream);
}

static enum fm_status copy_soft_targets(struct fm_staging *staging, int slot, cudaStream_t stream)
{
    const struct fm_slot *from = &staging->slots[slot];
    size_t classes = (size_t)staging->model->net.classes;
    size_t bytes = from->step->count * classes * sizeof *from->soft_targets;
    return copy_up(staging, from->soft_targets, bytes, stream);
}

enum fm_status fm_cuda_staging_upload(struct fm_staging *staging, int slot, bool soft)
{
    const struct fm_device *device = staging->model->device;
    FM_CUDA(cudaStreamWaitEvent(device->copy, staging->consumed[slot], 0));
    FM_TRY(fm_cuda_staging_copy(staging, slot, staging->slots[slot].step->count, device->copy));
    if (soft)
        FM_TRY(copy_soft_targets(staging, slot, device->copy));
    FM_CUDA(cudaEventRecord(staging->uploaded[slot], device->copy));
    FM_CUDA(cudaStreamWaitEvent(device->compute, staging->uploaded[slot], 0));
    return FM_OK;
}

enum fm_status fm_cuda_staging_consumed(struct fm_staging *staging, int slot)
{
    cudaStream_t compute = staging->model->device->compute;
    return FM_CUDA_CALL(cudaEventRecord(staging->consumed[slot], compute));
}
