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

// What a measurement needs and then frees.
struct bench {
    struct fm_executor *executor;
    struct fm_staging *staging;
    float *logits;   // [batch][classes]
    double *seconds; // [runs]
};

static enum fm_status open_bench(const struct fm_backend *api, struct fm_model *model,
    const struct fm_latency_options *options, struct bench *bench)
{
    struct fm_compile_options compile = {.batch = options->batch, .mode = FM_MODE_INFER};
    size_t elements = (size_t)options->batch * (size_t)options->classes;
    bench->logits = malloc(elements * sizeof *bench->logits);
    bench->seconds = malloc((size_t)options->runs * sizeof *bench->seconds);
    if (!bench->logits || !bench->seconds)
        return fm_fail_memory("the measurements", (size_t)options->runs * sizeof *bench->seconds);
    FM_TRY(api->compile(model, &compile, &bench->executor));
    return api->staging_create(model, (uint32_t)options->batch, NULL, &bench->staging);
}

static enum fm_status time_runs(
    const struct fm_backend *api, const struct fm_latency_options *options, struct bench *bench)
{
    struct fm_slot *slot = api->staging_slot(bench->staging, 0);
    uint32_t first = 0;
    for (int run = -options->warmup; run < options->runs; run++) {
        FM_TRY(api->slot_wait(bench->staging, 0));
        fill(slot, options->samples, options->batch, first);
        first += (uint32_t)options->batch;
        double start = fm_clock_seconds();
        FM_TRY(api->predict(bench->executor, bench->staging, 0, bench->logits));
        if (run >= 0)
            bench->seconds[run] = fm_clock_seconds() - start;
    }
    return FM_OK;
}

enum fm_status fm_measure_latency(const struct fm_engine *engine, struct fm_model *model,
    const struct fm_latency_options *options, struct fm_latency *latency)
{
    if (options->samples->count == 0 || options->classes < 1 || options->batch < 1 ||
        options->warmup < 0 || options->runs < 1)
        return fm_fail(FM_DATA,
            "latency of %d runs of batch %d on %u samples: expected at least 1 of each",
            options->runs, options->batch, options->samples->count);
    struct bench bench = {0};
    enum fm_status status;
    *latency = (struct fm_latency){.batch = options->batch};
    FM_TRY_GOTO(status, open_bench(engine->api, model, options, &bench), out);
    FM_TRY_GOTO(status, time_runs(engine->api, options, &bench), out);
    summarise(bench.seconds, options->runs, latency);
out:
    engine->api->staging_destroy(bench.staging);
    engine->api->executor_destroy(bench.executor);
    free(bench.seconds);
    free(bench.logits);
    return status;
}
