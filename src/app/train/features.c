// Computing features is a pass of the loader over all images, a batch at a time, into one block of
// memory; what is kept of earlier passes is read in its place.
#include "app/train/features.h"

#include "backend/precision.h"
#include "base/clock.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "eval/feed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH = 256
};

struct work {
    const struct fm_features_options *options;
    const struct fm_backend *api;
    size_t columns; // values of a record
    float *values;  // [1 + views][images][columns]
    // What computes: made when the first part has to be computed.
    struct fm_model *model;
    struct fm_executor *plain, *augmented; // executors; NULL: not needed so far
    struct fm_feed feed;
    uint32_t *ids; // 0, 1, 2, ...
    double start;
    double began;      // computing, on the clock; 0: nothing so far
    uint64_t computed; // records
};

// ---- what the features of a part depend on

static void append_channels(struct fm_text *about, const char *name, const float *values, int count)
{
    fm_text_append(about, "%s", name);
    for (int c = 0; c < count; c++)
        fm_text_append(about, " %.9g", (double)values[c]);
    fm_text_append(about, "\n");
}

static void describe(const struct fm_features_options *o, uint32_t part, struct fm_text *about)
{
    const struct fm_engine *engine = o->engine;
    const struct fm_input *input = &o->base->input;
    fm_text_append(about, "features of images, version 1\n");
    fm_text_append(about, "weights %s\nnetwork %s, %d layers\n", o->weights_sha256, o->base->name,
        o->base->layer_count);
    fm_text_append(about, "input %dx%dx%d\n", input->shape.c, input->shape.h, input->shape.w);
    append_channels(about, "mean", input->mean, input->shape.c);
    append_channels(about, "deviation", input->deviation, input->shape.c);
    fm_text_append(about, "images %" PRIu32 ", checksums %08" PRIx32 " %08" PRIx32 "\n",
        o->images->count, o->crc32[0], o->crc32[1]);
    fm_text_append(about, "backend %s, %s, %s\nprecision %s%s%s\n", engine->api->name,
        engine->info.name, engine->info.libraries, fm_precision_name(o->precision),
        o->emulate ? ", emulated" : "", engine->options.tf32 ? ", tf32" : "");
    if (engine->options.nondeterministic)
        fm_text_append(about, "nondeterministic\n");
    if (part == 0) {
        fm_text_append(about, "view: as they are\n");
        return;
    }
    fm_text_append(about,
        "view %" PRIu32 ", seed %" PRIu64 ", shift %d, flip %d, erase %.9g of %d\n", part, o->seed,
        o->augment.shift, o->augment.flip, (double)o->augment.erase, o->augment.erase_size);
}

// ---- computing

static enum fm_status set_weights(struct work *w)
{
    const struct fm_net *net = w->options->base;
    for (int i = 0; i < w->options->weight_count; i++) {
        const struct fm_tensor *tensor = &w->options->weights[i];
        if (fm_net_find_param(net, tensor->name) >= 0)
            FM_TRY(w->api->model_set(
                w->model, FM_STATE_PARAM, tensor->name, tensor->data, tensor->count));
    }
    return FM_OK;
}

// The model and what brings images to it, for the first part that has to be computed.
static enum fm_status open_model(struct work *w)
{
    const struct fm_features_options *o = w->options;
    const struct fm_model_options options = {.precision = o->precision,
        .emulate = o->emulate,
        .optimiser = {.kind = FM_OPTIMISER_SGD}}; // never steps; SGD keeps the fewest moments
    if (w->model)
        return FM_OK;
    w->began = fm_clock_seconds();
    FM_TRY(w->api->model_create(o->engine->device, o->base, &options, &w->model));
    FM_TRY(set_weights(w));
    FM_TRY(fm_feed_open(w->api, w->model, BATCH, o->images, false, &w->feed));
    w->ids = malloc(o->images->count * sizeof *w->ids);
    if (!w->ids)
        return fm_fail_memory("the images' order", o->images->count * sizeof *w->ids);
    for (uint32_t i = 0; i < o->images->count; i++)
        w->ids[i] = i;
    return FM_OK;
}

static enum fm_status open_executor(struct work *w, uint32_t part, struct fm_executor **executor)
{
    struct fm_executor **kept = part == 0 ? &w->plain : &w->augmented;
    struct fm_compile_options options = {.batch = BATCH, .mode = FM_MODE_INFER};
    if (part > 0)
        options.augment = w->options->augment;
    if (!*kept)
        FM_TRY(w->api->compile(w->model, &options, kept));
    *executor = *kept;
    return FM_OK;
}

static void tell(const struct work *w, uint32_t part, uint32_t done)
{
    const struct fm_features_options *o = w->options;
    struct fm_features_progress progress = {
        .part = (int)part, .parts = 1 + (int)o->views, .done = done, .total = o->images->count};
    double seconds = fm_clock_seconds() - w->began;
    uint64_t left = (uint64_t)(o->views - part) * o->images->count + (o->images->count - done);
    progress.images_per_second = seconds > 0 ? (double)w->computed / seconds : 0;
    if (progress.images_per_second > 0)
        progress.remaining = (double)left / progress.images_per_second;
    if (o->progress)
        o->progress(o->context, &progress);
}

static enum fm_status check_interrupt(
    const struct work *w, uint32_t part, uint32_t done, const struct fm_features_cache *cache)
{
    int signal = w->options->interrupted ? w->options->interrupted() : 0;
    if (signal == 0)
        return FM_OK;
    struct fm_text text = {0};
    char digits[32];
    fm_text_append(&text, "stopped by %s after features of %s ", fm_signal_name(signal),
        fm_group_digits(done, digits));
    fm_text_append(&text, "of %s images", fm_group_digits(w->options->images->count, digits));
    if (part > 0)
        fm_text_append(&text, ", view %" PRIu32 " of %" PRIu32, part, w->options->views);
    if (cache->descriptor >= 0)
        fm_text_append(&text, ", kept in %s", w->options->cache);
    else
        fm_text_append(&text, ", which are not kept");
    fm_fail(FM_INTERRUPTED, "%s", fm_text_cstr(&text));
    fm_text_free(&text);
    return FM_INTERRUPTED;
}

// Batches of the part from image `done` on.
static enum fm_status compute_from(
    struct work *w, uint32_t part, uint32_t done, struct fm_features_cache *cache, float *values)
{
    struct fm_executor *executor;
    uint32_t total = w->options->images->count;
    FM_TRY(open_executor(w, part, &executor));
    FM_TRY(fm_loader_begin(w->feed.loader, w->ids + done, total - done, BATCH));
    for (;;) {
        int slot;
        FM_TRY(fm_loader_next(w->feed.loader, &slot));
        if (slot < 0)
            return FM_OK;
        struct fm_step *step = w->api->staging_slot(w->feed.staging, slot)->step;
        uint32_t count = step->count;
        *step = (struct fm_step){
            .count = count, .seed = w->options->seed, .epoch = part > 0 ? part - 1 : 0};
        float *to = values + (size_t)done * w->columns;
        enum fm_status status = w->api->predict(executor, w->feed.staging, slot, to);
        fm_loader_release(w->feed.loader, slot);
        FM_TRY(status);
        fm_features_cache_append(cache, to, count);
        done += count;
        w->computed += count;
        tell(w, part, done);
        if (done < total)
            FM_TRY(check_interrupt(w, part, done, cache));
    }
}

// What need not be computed, because an earlier call has kept it.
static void tell_kept(const struct work *w, uint32_t part, uint32_t kept)
{
    char digits[32], view[32] = "";
    if (part > 0)
        snprintf(view, sizeof view, ", view %" PRIu32 " of them", part);
    fm_note("features of %s images%s: kept by an earlier call in %s", fm_group_digits(kept, digits),
        view, w->options->cache);
}

static enum fm_status fill_part(struct work *w, uint32_t part, struct fm_features_cache *cache)
{
    uint32_t total = w->options->images->count;
    float *values = w->values + (size_t)part * total * w->columns;
    if (fm_features_cache_read(cache, values)) {
        tell_kept(w, part, total);
        return FM_OK;
    }
    uint32_t done = (uint32_t)fm_features_cache_begin(cache, BATCH, values);
    if (done > 0)
        tell_kept(w, part, done);
    if (done < total) {
        FM_TRY(open_model(w));
        FM_TRY(compute_from(w, part, done, cache, values));
    }
    fm_features_cache_finish(cache, values);
    return FM_OK;
}

static enum fm_status fill(struct work *w)
{
    for (uint32_t part = 0; part <= w->options->views; part++) {
        struct fm_text about = {0};
        struct fm_features_cache cache;
        describe(w->options, part, &about);
        enum fm_status status = fm_features_cache_open(
            w->options->cache, &about, w->options->images->count, w->columns, &cache);
        if (status == FM_OK)
            status = fill_part(w, part, &cache);
        fm_features_cache_close(&cache);
        FM_TRY(status);
    }
    return FM_OK;
}

static void close_work(struct work *w)
{
    fm_feed_close(&w->feed);
    w->api->executor_destroy(w->plain);
    w->api->executor_destroy(w->augmented);
    w->api->model_destroy(w->model);
    free(w->ids);
}

// ---- the whole

static enum fm_status allocate(
    const struct fm_features_options *o, size_t record, struct fm_features *features)
{
    size_t parts = 1 + (size_t)o->views, count = parts * o->images->count;
    if (count > UINT32_MAX)
        return fm_fail(FM_USAGE, "%zu views of %" PRIu32 " images are more than there can be",
            parts, o->images->count);
    features->records = malloc(count * record);
    features->labels = malloc(count);
    if (!features->records || !features->labels)
        return fm_fail_memory("features (fewer views need less)", count * record);
    for (size_t part = 0; part < parts; part++)
        memcpy((uint8_t *)features->labels + part * o->images->count, o->images->labels,
            o->images->count);
    features->samples = (struct fm_samples){.count = (uint32_t)count,
        .record_size = (uint32_t)record,
        .records = features->records,
        .labels = features->labels};
    return FM_OK;
}

enum fm_status fm_features_open(
    const struct fm_features_options *options, struct fm_features *features)
{
    struct work w = {.options = options,
        .api = options->engine->api,
        .columns = (size_t)options->base->outputs,
        .start = fm_clock_seconds()};
    memset(features, 0, sizeof *features);
    enum fm_status status = allocate(options, w.columns * sizeof(float), features);
    w.values = features->records;
    if (status == FM_OK)
        status = fill(&w);
    close_work(&w);
    features->seconds = fm_clock_seconds() - w.start;
    features->computed = w.computed;
    if (status != FM_OK)
        fm_features_free(features);
    return status;
}

void fm_features_free(struct fm_features *features)
{
    free(features->records);
    free(features->labels);
    *features = (struct fm_features){0};
}
