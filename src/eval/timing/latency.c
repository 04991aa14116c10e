// Latency is what a caller waits for one answer: predict() as the host sees it, the upload of the
// batch and the way back of the logits included, no loader and no second batch in flight.
#include "eval/evaluate.h"
#include "eval/timing/spread.h"
#include "eval/timing/timer.h"

#include <stdlib.h>

static enum fm_status time_runs(
    struct fm_timer *timer, const struct fm_latency_options *options, double *seconds)
{
    double unused;
    for (int run = -options->warmup; run < options->runs; run++)
        FM_TRY(fm_timer_predict(timer, run < 0 ? &unused : &seconds[run]));
    return FM_OK;
}

enum fm_status fm_measure_latency(const struct fm_engine *engine, struct fm_model *model,
    const struct fm_latency_options *options, struct fm_latency *latency)
{
    if (options->warmup < 0 || options->runs < 1)
        return fm_fail(FM_DATA, "latency of %d runs: expected at least 1", options->runs);
    const struct fm_timer_options timed = {.samples = options->samples,
        .classes = options->classes,
        .batch = options->batch,
        .mode = FM_MODE_INFER};
    struct fm_timer timer = {0};
    enum fm_status status;
    *latency = (struct fm_latency){.batch = options->batch};
    double *seconds = malloc((size_t)options->runs * sizeof *seconds);
    if (!seconds)
        return fm_fail_memory("the measurements", (size_t)options->runs * sizeof *seconds);
    FM_TRY_GOTO(status, fm_timer_open(engine, model, &timed, &timer), out);
    FM_TRY_GOTO(status, time_runs(&timer, options, seconds), out);
    const struct fm_spread spread = fm_spread_of(seconds, options->runs);
    *latency = (struct fm_latency){.batch = options->batch,
        .runs = options->runs,
        .p50 = spread.p50,
        .p90 = spread.p90,
        .p99 = spread.p99,
        .mean = spread.mean,
        .deviation = spread.deviation};
out:
    fm_timer_close(&timer);
    free(seconds);
    return status;
}
