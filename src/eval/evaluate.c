// Evaluation is a pass of the loader over samples in inference mode: the same two slots and the
// same thread as in training, so that a large set is gathered while the device computes.
#include "eval/evaluate.h"

#include "eval/feed.h"
#include "eval/softmax.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

struct fm_evaluator {
    const struct fm_backend *api;
    struct fm_evaluate_options options; // all but ids and count
    uint32_t batch;
    struct fm_executor *executor;
    struct fm_executor *mirrored; // NULL unless mirror_mean
    struct fm_feed feed;
    uint32_t *all;          // 0, 1, 2, ... of all samples; NULL until a run wants them
    float *logits;          // [batch][classes]; NULL where the device keeps them
    float *mirrored_logits; // the same, of the mirrored images
};

// ---- opening

static enum fm_status open_parts(struct fm_evaluator *e, struct fm_model *model)
{
    const struct fm_evaluate_options *options = &e->options;
    struct fm_compile_options compile = {
        .batch = (int)e->batch, .mode = FM_MODE_INFER, .average = options->average};
    FM_TRY(e->api->compile(model, &compile, &e->executor));
    FM_TRY(fm_feed_open(e->api, model, e->batch, options->samples, false, &e->feed));
    if (options->totals)
        return FM_OK;
    size_t elements = (size_t)e->batch * (size_t)options->classes;
    e->logits = malloc(2 * elements * sizeof *e->logits);
    if (!e->logits)
        return fm_fail_memory("the logits", 2 * elements * sizeof *e->logits);
    e->mirrored_logits = e->logits + elements;
    if (!options->mirror_mean)
        return FM_OK;
    compile.mirror = true;
    return e->api->compile(model, &compile, &e->mirrored);
}

enum fm_status fm_evaluator_open(const struct fm_engine *engine, struct fm_model *model,
    const struct fm_evaluate_options *options, struct fm_evaluator **evaluator)
{
    uint32_t count = options->ids ? options->count : options->samples->count;
    if (count == 0 || options->batch < 1)
        return fm_fail(FM_DATA, "evaluation of %u samples in batches of %d: expected at least 1",
            count, options->batch);
    if (options->totals && options->mirror_mean)
        return fm_fail(FM_USAGE, "evaluation: a mean with mirror images needs logits");
    struct fm_evaluator *e = calloc(1, sizeof *e);
    if (!e)
        return fm_fail_memory("evaluation", sizeof *e);
    e->api = engine->api;
    e->options = *options;
    e->batch = (uint32_t)options->batch < count ? (uint32_t)options->batch : count;
    enum fm_status status = open_parts(e, model);
    if (status != FM_OK) {
        fm_evaluator_close(e);
        return status;
    }
    *evaluator = e;
    return FM_OK;
}

void fm_evaluator_close(struct fm_evaluator *e)
{
    if (!e)
        return;
    fm_feed_close(&e->feed); // first: its loader may be in the middle of a pass
    e->api->executor_destroy(e->mirrored);
    e->api->executor_destroy(e->executor);
    free(e->logits);
    free(e->all);
    free(e);
}

// ---- the mean with mirror images

// Each row of `logits` becomes the logarithm of the mean of both rows' probabilities. One that is
// smaller than fp32 goes becomes the smallest.
static enum fm_status take_mean(float *logits, const float *others, uint32_t rows, int classes)
{
    double a[FM_CLASSES_MAX], b[FM_CLASSES_MAX];
    for (uint32_t row = 0; row < rows; row++) {
        float *out = logits + (size_t)row * (size_t)classes;
        enum fm_status status = fm_softmax(out, classes, a);
        if (status == FM_OK)
            status = fm_softmax(others + (size_t)row * (size_t)classes, classes, b);
        if (status != FM_OK)
            return fm_context(status, "image %u of a batch", row);
        for (int k = 0; k < classes; k++)
            out[k] = (float)log(fmax((a[k] + b[k]) / 2, FLT_MIN));
    }
    return FM_OK;
}

// ---- running

static enum fm_status predict(struct fm_evaluator *e, int slot, uint32_t count)
{
    FM_TRY(e->api->predict(e->executor, e->feed.staging, slot, e->logits));
    if (!e->mirrored)
        return FM_OK;
    FM_TRY(e->api->predict(e->mirrored, e->feed.staging, slot, e->mirrored_logits));
    return take_mean(e->logits, e->mirrored_logits, count, e->options.classes);
}

static enum fm_status run_batch(struct fm_evaluator *e, int slot, struct fm_metrics *metrics)
{
    const struct fm_slot *s = e->api->staging_slot(e->feed.staging, slot);
    if (e->options.totals)
        return e->api->score(e->executor, e->feed.staging, slot);
    FM_TRY(predict(e, slot, s->step->count));
    return fm_metrics_add(metrics, e->logits, s->labels, s->step->count);
}

// At the end of a run of `count` samples whose logits stayed on the device.
static enum fm_status take_scores(
    const struct fm_evaluator *e, uint32_t count, struct fm_metrics *metrics)
{
    struct fm_sums scores;
    FM_TRY(e->api->scores_take(e->executor, &scores, metrics->confusion));
    FM_TRY(fm_metrics_set_totals(metrics, scores.loss));
    if (metrics->count == count && metrics->correct == scores.correct)
        return FM_OK;
    return fm_fail(FM_BACKEND,
        "backend '%s' counted %llu samples, %llu of them right, in the confusion matrix; it was "
        "given %u, and counted %llu right",
        e->api->name, (unsigned long long)metrics->count, (unsigned long long)metrics->correct,
        count, (unsigned long long)scores.correct);
}

static enum fm_status run_batches(
    struct fm_evaluator *e, const uint32_t *ids, uint32_t count, struct fm_metrics *metrics)
{
    const struct fm_evaluate_options *options = &e->options;
    struct fm_loader *loader = e->feed.loader;
    FM_TRY(fm_loader_begin(loader, ids, count, e->batch));
    for (uint32_t done = 0;;) {
        int slot;
        FM_TRY(fm_loader_next(loader, &slot));
        if (slot < 0)
            return options->totals ? take_scores(e, count, metrics) : FM_OK;
        uint32_t samples = e->api->staging_slot(e->feed.staging, slot)->step->count;
        FM_TRY(run_batch(e, slot, metrics));
        done += samples;
        fm_loader_release(loader, slot);
        if (options->progress)
            FM_TRY(options->progress(options->context, done, count));
    }
}

static enum fm_status make_ids(struct fm_evaluator *e)
{
    uint32_t count = e->options.samples->count;
    if (e->all)
        return FM_OK;
    e->all = malloc(count * sizeof *e->all);
    if (!e->all)
        return fm_fail_memory("the order of the samples", count * sizeof *e->all);
    for (uint32_t i = 0; i < count; i++)
        e->all[i] = i;
    return FM_OK;
}

enum fm_status fm_evaluator_run(
    struct fm_evaluator *e, const uint32_t *ids, uint32_t count, struct fm_metrics *metrics)
{
    if (!ids) {
        FM_TRY(make_ids(e));
        ids = e->all;
        count = e->options.samples->count;
    }
    FM_TRY(fm_metrics_begin(metrics, e->options.classes));
    enum fm_status status = run_batches(e, ids, count, metrics);
    if (status == FM_OK)
        fm_metrics_finish(metrics);
    else
        fm_metrics_free(metrics);
    return status;
}

enum fm_status fm_evaluate(const struct fm_engine *engine, struct fm_model *model,
    const struct fm_evaluate_options *options, struct fm_metrics *metrics)
{
    struct fm_evaluator *evaluator = NULL;
    FM_TRY(fm_evaluator_open(engine, model, options, &evaluator));
    enum fm_status status = fm_evaluator_run(evaluator, options->ids, options->count, metrics);
    fm_evaluator_close(evaluator);
    return status;
}
