// Measures configurations of one network beside one another: latency and throughput of predictions,
// images a second of training steps, what these cost in energy and memory.
//
// The sides take turns in rounds, A B C A B C ..., so that a clock that slows down or a neighbour
// that comes and goes meets all of them alike; how much faster one is than another is told round by
// round. Each side is warmed up before the first.
#ifndef FM_EVAL_BENCH_H
#define FM_EVAL_BENCH_H

#include "eval/timing/spread.h"
#include "eval/timing/timer.h"

enum {
    FM_BENCH_SIDES_MAX = 16,
    FM_BENCH_ROUNDS_LEAST = 3,
    FM_BENCH_ROUNDS = 9, // unless time runs out or percentiles need more
    FM_BENCH_ROUNDS_MAX = 128
};

struct fm_bench_side {
    struct fm_model *model; // of the engine; trained on if that is what is measured
    bool unfused;
};

struct fm_bench_options {
    struct fm_timer_options timer; // of all sides, but for `unfused`
    // That each side is measured for. Rounds go on for up to twice as long where predictions are
    // too few for a 99th percentile (FM_SPREAD_P99_LEAST), and there are FM_BENCH_ROUNDS_LEAST in
    // any case. A side's device times take half as long again, its energy once.
    double seconds;
    bool energy; // is measured, too
};

struct fm_bench_figure {
    // Seconds of a batch: of single predictions; or of training steps, a value the mean of a round.
    struct fm_spread host;
    // The same by the device's own clock, of single predictions or steps, taken between the former.
    // count 0: it has none.
    struct fm_spread device;
    double images_per_second;        // the rounds' median
    double device_images_per_second; // by the mean of `device`; NaN: no such clock
    struct fm_spread rate;           // images a second, a value a round
    // This side's seconds by those of the first, of each round the medians: above 1, the first is
    // faster.
    struct fm_spread gain;
    double joules;   // that the device used for 1,000 images; NaN: not measured
    uint64_t memory; // bytes that compiling the executor has added
};

// figures [count]. With the timer's mode FM_MODE_INFER or FM_MODE_TRAIN.
enum fm_status fm_bench_measure(const struct fm_engine *engine, const struct fm_bench_side *sides,
    int count, const struct fm_bench_options *options, struct fm_bench_figure *figures);

// The time of each layer and pass of a side, from runs of at least `seconds`: entries
// [0, *count), at most `capacity`.
enum fm_status fm_bench_profile(const struct fm_engine *engine, const struct fm_bench_side *side,
    const struct fm_bench_options *options, struct fm_profile_entry *entries, size_t capacity,
    size_t *count);

#endif
