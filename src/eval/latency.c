// Latency is what a caller waits for one answer: predict() as the host sees it, the upload of the
// batch and the way back of the logits included, no loader and no second batch in flight.
#include "base/clock.h"
#include "eval/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// The nearest rank: the smallest value that at least `share` of the sorted values do not exceed.
static double quantile(const double *sorted, int count, double share)
{
    int rank = (int)ceil(share * count);
    return sorted[rank < 1 ? 0 : rank - 1];
}

static void summarise(double *seconds, int runs, struct fm_latency *latency)
{
    qsort(seconds, (size_t)runs, sizeof *seconds, compare_doubles);
    double sum = 0, squares = 0;
    for (int i = 0; i < runs; i++)
        sum += seconds[i];
    latency->runs = runs;
    latency->mean = sum / runs;
    for (int i = 0; i < runs; i++)
        squares += (seconds[i] - latency->mean) * (seconds[i] - latency->mean);
    latency->deviation = runs > 1 ? sqrt(squares / (runs - 1)) : 0;
    latency->p50 = quantile(seconds, runs, 0.50);
    latency->p90 = quantile(seconds, runs, 0.90);
    latency->p99 = quantile(seconds, runs, 0.99);
}

// Each run gets images of its own, so that none is answered from a cache that the last one warmed.
static void fill(struct fm_slot *slot, const struct fm_samples *samples, int batch, uint32_t first)
{
    for (int i = 0; i < batch; i++) {
        uint32_t id = (first + (uint32_t)i) % samples->count;
        memcpy(slot->records + (size_t)i * slot->record_size,
            samples->records + (size_t)id * samples->record_size, samples->record_size);
        slot->labels[i] = samples->labels[id];
        slot->ids[i] = id;
    }
    *slot->step = (struct fm_step){.count = (uint32_t)batch};
}

static enum fm_status time_runs(const struct fm_backend *api, struct fm_executor *executor,
    struct fm_staging *staging, const struct fm_samples *samples, int warmup, int runs,
    const struct fm_latency *latency, float *logits, double *seconds)
{
    struct fm_slot *slot = api->staging_slot(staging, 0);
    for (int run = -warmup; run < runs; run++) {
        FM_TRY(api->slot_wait(staging, 0));
        fill(slot, samples, latency->batch, (uint32_t)(run + warmup) * (uint32_t)latency->batch);
        double start = fm_clock_seconds();
        FM_TRY(api->predict(executor, staging, 0, logits));
        if (run >= 0)
            seconds[run] = fm_clock_seconds() - start;
    }
    return FM_OK;
}

enum fm_status fm_measure_latency(const struct fm_engine *engine, struct fm_model *model,
    const struct fm_samples *samples, int classes, int batch, int warmup, int runs,
    struct fm_latency *latency)
{
    if (samples->count == 0 || classes < 1 || batch < 1 || warmup < 0 || runs < 1)
        return fm_fail(FM_DATA,
            "latency of %d runs of batch %d on %u samples: expected at least 1 of each", runs,
            batch, samples->count);
    const struct fm_backend *api = engine->api;
    struct fm_compile_options compile = {.batch = batch, .mode = FM_MODE_INFER};
    struct fm_executor *executor = NULL;
    struct fm_staging *staging = NULL;
    size_t elements = (size_t)batch * (size_t)classes;
    float *logits = malloc(elements * sizeof *logits);
    double *seconds = malloc((size_t)runs * sizeof *seconds);
    enum fm_status status = FM_OK;
    *latency = (struct fm_latency){.batch = batch};
    if (!logits || !seconds) {
        status = fm_fail_memory("the measurements", (size_t)runs * sizeof *seconds);
        goto out;
    }
    FM_TRY_GOTO(status, api->compile(model, &compile, &executor), out);
    FM_TRY_GOTO(status, api->staging_create(model, (uint32_t)batch, &staging), out);
    FM_TRY_GOTO(status,
        time_runs(api, executor, staging, samples, warmup, runs, latency, logits, seconds), out);
    summarise(seconds, runs, latency);
out:
    api->staging_destroy(staging);
    api->executor_destroy(executor);
    free(seconds);
    free(logits);
    return status;
}
