// Everything that times a backend does so here: latency, throughput, profiles, and the acceptance
// on a GPU, so that all mean the same by a second.
#include "eval/timing/timer.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

void fm_timer_fill(struct fm_slot *slot, const struct fm_samples *samples, uint32_t count,
    uint32_t first, const struct fm_step *step)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id = (first + i) % samples->count;
        slot->ids[i] = id;
        if (slot->records) // not where the device keeps the data set
            memcpy(slot->records + (size_t)i * slot->record_size,
                samples->records + (size_t)id * samples->record_size, samples->record_size);
        if (slot->labels)
            slot->labels[i] = samples->labels[id];
    }
    *slot->step = *step;
    slot->step->count = count;
}

static enum fm_status open_parts(
    struct fm_timer *t, struct fm_model *model, const struct fm_timer_options *options)
{
    const struct fm_samples *samples = options->samples;
    const struct fm_compile_options compile = {.batch = options->batch,
        .mode = options->mode,
        .augment = options->augment,
        .label_smoothing = options->label_smoothing,
        .mix = options->mix,
        .unfused = options->unfused,
        .profile = options->profile};
    const struct fm_resident resident = {
        samples->records, samples->labels, samples->count, samples->record_size};
    size_t elements = (size_t)options->batch * (size_t)options->classes;
    t->logits = malloc(elements * sizeof *t->logits);
    if (!t->logits)
        return fm_fail_memory("the logits of a batch", elements * sizeof *t->logits);
    FM_TRY(t->api->compile(model, &compile, &t->executor));
    return t->api->staging_create(
        model, t->batch, options->resident ? &resident : NULL, &t->staging);
}

enum fm_status fm_timer_open(const struct fm_engine *engine, struct fm_model *model,
    const struct fm_timer_options *options, struct fm_timer *timer)
{
    if (options->samples->count == 0 || options->classes < 1 || options->batch < 1)
        return fm_fail(FM_DATA, "timing batches of %d of %u samples: expected at least 1 of each",
            options->batch, options->samples->count);
    *timer = (struct fm_timer){.api = engine->api,
        .model = model,
        .samples = options->samples,
        .batch = (uint32_t)options->batch,
        .step = options->step};
    enum fm_status status = open_parts(timer, model, options);
    if (status != FM_OK)
        fm_timer_close(timer);
    return status;
}

void fm_timer_close(struct fm_timer *timer)
{
    if (timer->api) {
        timer->api->staging_destroy(timer->staging);
        timer->api->executor_destroy(timer->executor);
    }
    free(timer->logits);
    *timer = (struct fm_timer){0};
}

// Each run gets images of its own, so that none is answered from a cache that the last one warmed.
static enum fm_status fill_next(struct fm_timer *t, int slot)
{
    FM_TRY(t->api->slot_wait(t->staging, slot));
    fm_timer_fill(t->api->staging_slot(t->staging, slot), t->samples, t->batch, t->next, &t->step);
    t->next = (uint32_t)(((uint64_t)t->next + t->batch) % t->samples->count);
    return FM_OK;
}

enum fm_status fm_timer_predict(struct fm_timer *t, double *seconds)
{
    FM_TRY(fill_next(t, 0));
    double start = fm_clock_seconds();
    FM_TRY(t->api->predict(t->executor, t->staging, 0, t->logits));
    *seconds = fm_clock_seconds() - start;
    return FM_OK;
}

enum fm_status fm_timer_train(struct fm_timer *t, int steps, double *seconds)
{
    struct fm_sums sums;
    double start = fm_clock_seconds();
    for (int i = 0; i < steps; i++) {
        FM_TRY(fill_next(t, i % FM_SLOTS));
        FM_TRY(t->api->submit(t->executor, t->staging, i % FM_SLOTS));
    }
    FM_TRY(t->api->sums_get(t->model, true, &sums)); // waits for all of them
    *seconds = fm_clock_seconds() - start;
    return FM_OK;
}
