// What `fmnist bench` is asked to measure, in words: batch sizes, and the configurations that are
// held beside the base.
#ifndef FM_APP_BENCH_PLAN_H
#define FM_APP_BENCH_PLAN_H

#include "backend/backend.h"

enum {
    FM_BENCH_BATCHES_MAX = 24,
    FM_BENCH_BATCH_MOST = 65536,
    FM_BENCH_VERSUS_MAX = 15
};

// "fp16+unfused": what a configuration computes in and how. What it does not say of the precision
// is the base's; what it does not say of fusion is fused.
struct fm_bench_item {
    int precision; // enum fm_precision, or -1: the base's
    bool unfused;
};

// Batch sizes, ascending.
struct fm_bench_batches {
    int sizes[FM_BENCH_BATCHES_MAX];
    int count;
};

struct fm_bench_plan {
    struct fm_bench_batches predictions;
    struct fm_bench_batches training; // none: 256, and what a run's recipe has
    struct fm_bench_item versus[FM_BENCH_VERSUS_MAX];
    int versus_count;
};

// batches: "1,16,256", NULL for 1, 2, 4, ..., 1024. train_batches likewise, NULL for none. versus:
// items with commas, each made of fp32, bf16 or fp16 and fused or unfused, joined by '+'; NULL for
// none. FM_USAGE says what is wrong.
enum fm_status fm_bench_plan_parse(
    const char *batches, const char *train_batches, const char *versus, struct fm_bench_plan *plan);

// "fp32", "fp16+unfused", "bf16+emulated"
enum {
    FM_BENCH_NAME_MAX = 32
};
void fm_bench_side_name(
    enum fm_precision precision, bool emulated, bool unfused, char out[FM_BENCH_NAME_MAX]);

#endif
