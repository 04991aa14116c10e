// Evaluation is a pass of the loader over samples in inference mode: the same two slots and the
// same thread as in training, so that a large set is gathered while the device computes.
#include "eval/evaluate.h"

#include "eval/feed.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

struct pass {
    const struct fm_backend *api;
    const struct fm_evaluate_options *options;
    uint32_t count, batch;
    struct fm_executor *executor;
    struct fm_executor *mirrored; // NULL unless mirror_mean
    struct fm_feed feed;
    uint32_t *all;          // 0, 1, 2, ... where the caller gave no ids
    float *logits;          // [batch][classes]; NULL where the device keeps them
    float *mirrored_logits; // the same, of the mirrored images
};

static enum fm_status make_ids(struct pass *pass)
{
    pass->all = malloc(pass->count * sizeof *pass->all);
    if (!pass->all)
        return fm_fail_memory("the order of the samples", pass->count * sizeof *pass->all);
    for (uint32_t i = 0; i < pass->count; i++)
        pass->all[i] = i;
    return FM_OK;
}

static enum fm_status open_pass(struct pass *pass, struct fm_model *model)
{
    struct fm_compile_options compile = {
        .batch = (int)pass->batch, .mode = FM_MODE_INFER, .average = pass->options->average};
    if (!pass->options->ids)
        FM_TRY(make_ids(pass));
    FM_TRY(pass->api->compile(model, &compile, &pass->executor));
    FM_TRY(fm_feed_open(pass->api, model, pass->batch, pass->options->samples, false, &pass->feed));
    if (pass->options->totals)
        return FM_OK;
    size_t elements = (size_t)pass->batch * (size_t)pass->options->classes;
    pass->logits = malloc(2 * elements * sizeof *pass->logits);
    if (!pass->logits)
        return fm_fail_memory("the logits", 2 * elements * sizeof *pass->logits);
    pass->mirrored_logits = pass->logits + elements;
    if (!pass->options->mirror_mean)
        return FM_OK;
    compile.mirror = true;
    return pass->api->compile(model, &compile, &pass->mirrored);
}

static void close_pass(struct pass *pass)
{
    free(pass->logits);
    fm_feed_close(&pass->feed);
    pass->api->executor_destroy(pass->mirrored);
    pass->api->executor_destroy(pass->executor);
    free(pass->all);
}

static void softmax(const float *logits, int classes, double *out)
{
    double max = logits[0], sum = 0;
    for (int k = 1; k < classes; k++)
        max = fmax(max, logits[k]);
    for (int k = 0; k < classes; k++)
        sum += out[k] = exp(logits[k] - max);
    for (int k = 0; k < classes; k++)
        out[k] /= sum;
}

// Each row of `logits` becomes the logarithm of the mean of both rows' probabilities. One that is
// smaller than fp32 goes becomes the smallest.
static void take_mean(float *logits, const float *others, uint32_t rows, int classes)
{
    double a[FM_CLASSES_MAX], b[FM_CLASSES_MAX];
    for (uint32_t row = 0; row < rows; row++) {
        float *out = logits + (size_t)row * (size_t)classes;
        softmax(out, classes, a);
        softmax(others + (size_t)row * (size_t)classes, classes, b);
        for (int k = 0; k < classes; k++)
            out[k] = (float)log(fmax((a[k] + b[k]) / 2, FLT_MIN));
    }
}

static enum fm_status predict(struct pass *pass, int slot, uint32_t count)
{
    const struct fm_backend *api = pass->api;
    FM_TRY(api->predict(pass->executor, pass->feed.staging, slot, pass->logits));
    if (!pass->mirrored)
        return FM_OK;
    FM_TRY(api->predict(pass->mirrored, pass->feed.staging, slot, pass->mirrored_logits));
    take_mean(pass->logits, pass->mirrored_logits, count, pass->options->classes);
    return FM_OK;
}

static enum fm_status run_batch(struct pass *pass, int slot, struct fm_metrics *metrics)
{
    const struct fm_slot *s = pass->api->staging_slot(pass->feed.staging, slot);
    if (pass->options->totals)
        return pass->api->score(pass->executor, pass->feed.staging, slot);
    FM_TRY(predict(pass, slot, s->step->count));
    return fm_metrics_add(metrics, pass->logits, s->labels, s->step->count);
}

// At the end of a pass whose logits stayed on the device.
static enum fm_status take_scores(const struct pass *pass, struct fm_metrics *metrics)
{
    struct fm_sums scores;
    FM_TRY(pass->api->scores_take(pass->executor, &scores, metrics->confusion));
    FM_TRY(fm_metrics_set_totals(metrics, scores.loss));
    if (metrics->count == pass->count && metrics->correct == scores.correct)
        return FM_OK;
    return fm_fail(FM_BACKEND,
        "backend '%s' counted %llu samples, %llu of them right, in the confusion matrix; it was "
        "given %u, and counted %llu right",
        pass->api->name, (unsigned long long)metrics->count, (unsigned long long)metrics->correct,
        pass->count, (unsigned long long)scores.correct);
}

static enum fm_status run_pass(struct pass *pass, struct fm_metrics *metrics)
{
    const struct fm_evaluate_options *options = pass->options;
    struct fm_staging *staging = pass->feed.staging;
    struct fm_loader *loader = pass->feed.loader;
    const uint32_t *ids = options->ids ? options->ids : pass->all;
    FM_TRY(fm_loader_begin(loader, ids, pass->count, pass->batch));
    for (uint32_t done = 0;;) {
        int slot;
        FM_TRY(fm_loader_next(loader, &slot));
        if (slot < 0)
            return options->totals ? take_scores(pass, metrics) : FM_OK;
        uint32_t count = pass->api->staging_slot(staging, slot)->step->count;
        FM_TRY(run_batch(pass, slot, metrics));
        done += count;
        fm_loader_release(loader, slot);
        if (options->progress)
            FM_TRY(options->progress(options->context, done, pass->count));
    }
}

enum fm_status fm_evaluate(const struct fm_engine *engine, struct fm_model *model,
    const struct fm_evaluate_options *options, struct fm_metrics *metrics)
{
    uint32_t count = options->ids ? options->count : options->samples->count;
    if (count == 0 || options->batch < 1)
        return fm_fail(FM_DATA, "evaluation of %u samples in batches of %d: expected at least 1",
            count, options->batch);
    if (options->totals && options->mirror_mean)
        return fm_fail(FM_USAGE, "evaluation: a mean with mirror images needs logits");
    uint32_t batch = (uint32_t)options->batch < count ? (uint32_t)options->batch : count;
    struct pass pass = {.api = engine->api, .options = options, .count = count, .batch = batch};
    enum fm_status status;
    FM_TRY(fm_metrics_begin(metrics, options->classes));
    FM_TRY_GOTO(status, open_pass(&pass, model), out);
    FM_TRY_GOTO(status, run_pass(&pass, metrics), out);
    fm_metrics_finish(metrics);
out:
    close_pass(&pass);
    if (status != FM_OK)
        fm_metrics_free(metrics);
    return status;
}
