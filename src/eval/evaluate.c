// Evaluation is a pass of the loader over samples in inference mode: the same two slots and the
// same thread as in training, so that a large set is gathered while the device computes.
#include "eval/evaluate.h"

#include "data/loader.h"

#include <stdlib.h>

struct pass {
    const struct fm_backend *api;
    struct fm_staging *staging;
    struct fm_executor *executor;
    struct fm_loader *loader;
    uint32_t *all; // 0, 1, 2, ... where the caller gave no ids
    float *logits; // [batch][classes]
};

static enum fm_status wait_for_slot(void *context, int slot)
{
    const struct pass *pass = context;
    return pass->api->slot_wait(pass->staging, slot);
}

static enum fm_status make_ids(struct pass *pass, uint32_t count)
{
    pass->all = malloc(count * sizeof *pass->all);
    if (!pass->all)
        return fm_fail_memory("the order of the samples", count * sizeof *pass->all);
    for (uint32_t i = 0; i < count; i++)
        pass->all[i] = i;
    return FM_OK;
}

static enum fm_status open_pass(struct pass *pass, struct fm_model *model,
    const struct fm_samples *samples, uint32_t batch, int classes)
{
    struct fm_compile_options compile = {.batch = (int)batch, .mode = FM_MODE_INFER};
    FM_TRY(pass->api->compile(model, &compile, &pass->executor));
    FM_TRY(pass->api->staging_create(model, batch, &pass->staging));
    struct fm_loader_options load = {
        .samples = samples, .slot_wait = wait_for_slot, .context = pass};
    for (int i = 0; i < FM_SLOTS; i++)
        load.slots[i] = pass->api->staging_slot(pass->staging, i);
    FM_TRY(fm_loader_open(&load, &pass->loader));
    size_t elements = (size_t)batch * (size_t)classes;
    pass->logits = malloc(elements * sizeof *pass->logits);
    return pass->logits ? FM_OK : fm_fail_memory("the logits", elements * sizeof *pass->logits);
}

static void close_pass(struct pass *pass)
{
    free(pass->logits);
    fm_loader_close(pass->loader);
    pass->api->staging_destroy(pass->staging);
    pass->api->executor_destroy(pass->executor);
    free(pass->all);
}

static enum fm_status run_pass(struct pass *pass, uint32_t count,
    void (*progress)(void *context, uint32_t done, uint32_t total), void *context,
    struct fm_metrics *metrics)
{
    for (uint32_t done = 0;;) {
        int slot;
        FM_TRY(fm_loader_next(pass->loader, &slot));
        if (slot < 0)
            return FM_OK;
        const struct fm_slot *s = pass->api->staging_slot(pass->staging, slot);
        FM_TRY(pass->api->predict(pass->executor, pass->staging, slot, pass->logits));
        FM_TRY(fm_metrics_add(metrics, pass->logits, s->labels, s->step->count));
        done += s->step->count;
        fm_loader_release(pass->loader, slot);
        if (progress)
            progress(context, done, count);
    }
}

enum fm_status fm_evaluate(const struct fm_engine *engine, struct fm_model *model,
    const struct fm_samples *samples, const uint32_t *ids, uint32_t count, int classes, int batch,
    void (*progress)(void *context, uint32_t done, uint32_t total), void *context,
    struct fm_metrics *metrics)
{
    if (!ids)
        count = samples->count;
    if (count == 0 || batch < 1)
        return fm_fail(FM_DATA, "evaluation of %u samples in batches of %d: expected at least 1",
            count, batch);
    uint32_t most = (uint32_t)batch < count ? (uint32_t)batch : count;
    struct pass pass = {.api = engine->api};
    enum fm_status status;
    FM_TRY(fm_metrics_begin(metrics, classes));
    if (!ids)
        FM_TRY_GOTO(status, make_ids(&pass, count), out);
    FM_TRY_GOTO(status, open_pass(&pass, model, samples, most, classes), out);
    FM_TRY_GOTO(status, fm_loader_begin(pass.loader, ids ? ids : pass.all, count, most), out);
    FM_TRY_GOTO(status, run_pass(&pass, count, progress, context, metrics), out);
    fm_metrics_finish(metrics);
out:
    close_pass(&pass);
    if (status != FM_OK)
        fm_metrics_free(metrics);
    return status;
}
