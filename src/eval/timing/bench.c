// Rounds of several sides in turn: what a single long measurement of each could not tell apart, a
// faster program and a machine that has slowed down, this can.
#include "eval/timing/bench.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>

enum {
    WARM_RUNS_LEAST = 3,
    WARM_STEPS = 4, // both slots, twice
    STEPS_LEAST = 2,
    STEPS_MOST = 100000,
    PROFILE_RUNS_LEAST = 5, // the first may not count: struct fm_profile_entry
    PROFILE_RUNS_MOST = 1000
};

struct values {
    double *data;
    int count, capacity;
};

// A side while it is measured.
struct lane {
    struct fm_timer timer;
    enum fm_mode mode;
    int steps; // that a training takes at a time
    struct values host, device;
    double rates[FM_BENCH_ROUNDS_MAX];   // images a second
    double typical[FM_BENCH_ROUNDS_MAX]; // seconds of a batch, the round's median
    double spent;                        // seconds, as the host sees them
    bool clock;                          // the device has one
};

static enum fm_status push(struct values *values, double value)
{
    if (values->count == values->capacity) {
        int capacity = values->capacity ? 2 * values->capacity : 1024;
        double *data = realloc(values->data, (size_t)capacity * sizeof *data);
        if (!data)
            return fm_fail_memory("the measurements", (size_t)capacity * sizeof *data);
        values->data = data;
        values->capacity = capacity;
    }
    values->data[values->count++] = value;
    return FM_OK;
}

static enum fm_status run(struct lane *lane, int steps, double *seconds)
{
    return lane->mode == FM_MODE_TRAIN ? fm_timer_train(&lane->timer, steps, seconds)
                                       : fm_timer_predict(&lane->timer, seconds);
}

// ---- warming up

static enum fm_status find_clock(struct lane *lane)
{
    enum fm_status status = lane->timer.api->executor_time(lane->timer.executor, true);
    lane->clock = status == FM_OK;
    if (status == FM_OK)
        return lane->timer.api->executor_time(lane->timer.executor, false);
    if (status == FM_UNSUPPORTED)
        fm_error_clear();
    return status == FM_UNSUPPORTED ? FM_OK : status;
}

static enum fm_status warm_up(struct lane *lane, double seconds)
{
    double one = 0, end = fm_clock_seconds() + seconds / 5;
    FM_TRY(find_clock(lane));
    if (lane->mode == FM_MODE_TRAIN)
        FM_TRY(run(lane, WARM_STEPS, &one));
    for (int runs = 0; runs < WARM_RUNS_LEAST || fm_clock_seconds() < end; runs++)
        FM_TRY(run(lane, STEPS_LEAST, &one));
    double steps = ceil(seconds / FM_BENCH_ROUNDS / fmax(one / STEPS_LEAST, 1e-9));
    lane->steps = (int)fmin(STEPS_MOST, fmax(STEPS_LEAST, steps));
    return FM_OK;
}

// ---- rounds

// For about `slice` seconds; training takes its steps in one go, so that they overlap as they do.
static enum fm_status take_host(struct lane *lane, int round, double slice)
{
    const int first = lane->host.count;
    double sum = 0, one;
    do {
        FM_TRY(run(lane, lane->steps, &one));
        double batch = lane->mode == FM_MODE_TRAIN ? one / lane->steps : one;
        FM_TRY(push(&lane->host, batch));
        sum += batch;
        lane->spent += one;
    } while (lane->mode == FM_MODE_INFER && sum < slice);
    const int runs = lane->host.count - first;
    lane->rates[round] = runs * (double)lane->timer.batch / sum;
    lane->typical[round] = fm_spread_of(lane->host.data + first, runs).p50;
    return FM_OK;
}

static enum fm_status take_device(struct lane *lane, double slice)
{
    const struct fm_timer *timer = &lane->timer;
    double sum = 0, one;
    FM_TRY(timer->api->executor_time(timer->executor, true));
    while (sum < slice) {
        FM_TRY(run(lane, 1, &one));
        sum += one;
        FM_TRY(timer->api->executor_seconds(timer->executor, &one));
        FM_TRY(push(&lane->device, one));
    }
    return timer->api->executor_time(timer->executor, false);
}

static bool is_enough(const struct lane *lanes, int count, int rounds, double seconds)
{
    double spent = 0;
    bool many = rounds >= FM_BENCH_ROUNDS;
    for (int i = 0; i < count; i++) {
        spent += lanes[i].spent;
        many = many &&
               (lanes[i].mode == FM_MODE_TRAIN || lanes[i].host.count >= FM_SPREAD_P99_LEAST);
    }
    if (rounds < FM_BENCH_ROUNDS_LEAST)
        return false;
    return rounds == FM_BENCH_ROUNDS_MAX || many || spent >= 2 * seconds * count;
}

static enum fm_status take_rounds(struct lane *lanes, int count, double seconds, int *rounds)
{
    const double slice = seconds / FM_BENCH_ROUNDS;
    for (*rounds = 0; !is_enough(lanes, count, *rounds, seconds); ++*rounds)
        for (int i = 0; i < count; i++) {
            FM_TRY(take_host(&lanes[i], *rounds, slice));
            if (lanes[i].clock)
                FM_TRY(take_device(&lanes[i], slice / 2));
        }
    return FM_OK;
}

// ---- energy

// NaN where it is not told (any more).
static enum fm_status read_energy(const struct fm_engine *engine, double *joules)
{
    enum fm_status status = engine->api->energy(engine->device, joules);
    if (status != FM_UNSUPPORTED)
        return status;
    fm_error_clear();
    *joules = NAN;
    return FM_OK;
}

// What the device uses in one stretch, long beside the steps in which its counter moves. One that
// has not moved was asked for too short a time.
static enum fm_status take_energy(
    const struct fm_engine *engine, struct lane *lane, double seconds, double *joules)
{
    double begin, end, one, sum = 0, images = 0;
    FM_TRY(read_energy(engine, &begin));
    while (sum < seconds) {
        FM_TRY(run(lane, lane->steps, &one));
        sum += one;
        images += (double)lane->timer.batch * (lane->mode == FM_MODE_TRAIN ? lane->steps : 1);
    }
    FM_TRY(read_energy(engine, &end));
    *joules = end > begin ? 1000 * (end - begin) / images : NAN;
    return FM_OK;
}

// ---- the whole

static void conclude(
    const struct lane *lanes, int which, int rounds, struct fm_bench_figure *figure)
{
    const struct lane *lane = &lanes[which];
    const double batch = lane->timer.batch;
    double rates[FM_BENCH_ROUNDS_MAX], gains[FM_BENCH_ROUNDS_MAX];
    for (int r = 0; r < rounds; r++) {
        rates[r] = lane->rates[r];
        gains[r] = lane->typical[r] / lanes[0].typical[r];
    }
    figure->rate = fm_spread_of(rates, rounds);
    figure->gain = fm_spread_of(gains, rounds);
    figure->host = fm_spread_of(lane->host.data, lane->host.count);
    figure->images_per_second = figure->rate.p50;
    figure->device_images_per_second = NAN;
    if (lane->device.count > 0) {
        figure->device = fm_spread_of(lane->device.data, lane->device.count);
        figure->device_images_per_second = batch / figure->device.mean;
    }
    figure->memory = lane->timer.api->executor_memory(lane->timer.executor);
}

static enum fm_status open_lanes(const struct fm_engine *engine, const struct fm_bench_side *sides,
    int count, const struct fm_bench_options *options, struct lane *lanes)
{
    for (int i = 0; i < count; i++) {
        struct fm_timer_options timer = options->timer;
        timer.unfused = sides[i].unfused;
        lanes[i].mode = timer.mode;
        FM_TRY(fm_timer_open(engine, sides[i].model, &timer, &lanes[i].timer));
    }
    for (int i = 0; i < count; i++)
        FM_TRY(warm_up(&lanes[i], options->seconds));
    return FM_OK;
}

static enum fm_status measure(const struct fm_engine *engine, const struct fm_bench_side *sides,
    int count, const struct fm_bench_options *options, struct lane *lanes,
    struct fm_bench_figure *figures)
{
    int rounds;
    FM_TRY(open_lanes(engine, sides, count, options, lanes));
    FM_TRY(take_rounds(lanes, count, options->seconds, &rounds));
    for (int i = 0; i < count; i++) {
        figures[i] = (struct fm_bench_figure){.joules = NAN};
        conclude(lanes, i, rounds, &figures[i]);
        if (options->energy)
            FM_TRY(take_energy(engine, &lanes[i], options->seconds, &figures[i].joules));
    }
    return FM_OK;
}

enum fm_status fm_bench_measure(const struct fm_engine *engine, const struct fm_bench_side *sides,
    int count, const struct fm_bench_options *options, struct fm_bench_figure *figures)
{
    if (count < 1 || count > FM_BENCH_SIDES_MAX)
        return fm_fail(FM_USAGE, "measuring %d sides: expected 1 to %d", count, FM_BENCH_SIDES_MAX);
    struct lane *lanes = calloc((size_t)count, sizeof *lanes);
    if (!lanes)
        return fm_fail_memory("the measurements", (size_t)count * sizeof *lanes);
    enum fm_status status = measure(engine, sides, count, options, lanes, figures);
    for (int i = 0; i < count; i++) {
        fm_timer_close(&lanes[i].timer);
        free(lanes[i].host.data);
        free(lanes[i].device.data);
    }
    free(lanes);
    return status;
}

// ---- profiles

enum fm_status fm_bench_profile(const struct fm_engine *engine, const struct fm_bench_side *side,
    const struct fm_bench_options *options, struct fm_profile_entry *entries, size_t capacity,
    size_t *count)
{
    struct fm_timer_options timed = options->timer;
    struct lane lane = {.mode = timed.mode};
    enum fm_status status;
    timed.unfused = side->unfused;
    timed.profile = true;
    FM_TRY(fm_timer_open(engine, side->model, &timed, &lane.timer));
    double one, end = fm_clock_seconds() + options->seconds;
    for (int runs = 0;
         runs < PROFILE_RUNS_LEAST || (runs < PROFILE_RUNS_MOST && fm_clock_seconds() < end);
         runs++)
        FM_TRY_GOTO(status, run(&lane, 1, &one), out);
    status = engine->api->executor_profile(lane.timer.executor, entries, capacity, count);
    if (status == FM_OK && *count > capacity)
        *count = capacity;
out:
    fm_timer_close(&lane.timer);
    return status;
}
