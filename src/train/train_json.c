// What a training tells, as JSON: the keys are stable and described in docs/formats.md.
#include "train/train.h"

#include <math.h>

// A figure that there is none of is null.
static json_t *real_or_null(double value)
{
    return isnan(value) ? json_null() : json_real(value);
}

json_t *fm_train_epoch_json(const struct fm_train_progress *progress)
{
    const struct fm_counters *counters = &progress->counters;
    return json_pack("{s:i, s:I, s:I, s:f, s:f, s:f, s:o, s:o, s:I, s:I, s:f}", "epoch",
        progress->epoch, "step", (json_int_t)progress->step, "images", (json_int_t)progress->images,
        "loss", progress->loss, "accuracy", progress->accuracy, "learning_rate",
        progress->learning_rate, "select_accuracy", real_or_null(progress->select_accuracy),
        "select_nll", real_or_null(progress->select_nll), "skipped", (json_int_t)counters->skipped,
        "growths", (json_int_t)counters->growths, "loss_scale", (double)counters->loss_scale);
}

static json_t *counters_to_json(const struct fm_counters *counters)
{
    return json_pack("{s:I, s:I, s:I, s:f}", "applied", (json_int_t)counters->applied, "skipped",
        (json_int_t)counters->skipped, "growths", (json_int_t)counters->growths, "loss_scale",
        (double)counters->loss_scale);
}

// What could not be measured is null.
static json_t *memory_to_json(uint64_t bytes)
{
    return bytes > 0 ? json_integer((json_int_t)bytes) : json_null();
}

json_t *fm_train_result_json(const struct fm_train_result *result)
{
    return json_pack("{s:i, s:b, s:i, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:o, s:o, s:f, s:I, s:o, "
                     "s:I, s:o}",
        "epochs", result->epochs, "ended_early", result->ended_early, "kept_epoch",
        result->kept_epoch, "steps", (json_int_t)result->steps, "images",
        (json_int_t)result->images, "seconds", result->seconds, "total_seconds",
        result->total_seconds, "waited", result->waited, "images_per_second",
        result->images_per_second, "loss", result->loss, "select_accuracy",
        real_or_null(result->select_accuracy), "select_nll", real_or_null(result->select_nll),
        "train_accuracy", result->train_accuracy, "train_eval_count",
        (json_int_t)result->train_eval_count, "peak_memory", memory_to_json(result->peak_memory),
        "executor_memory", (json_int_t)result->executor_memory, "counters",
        counters_to_json(&result->counters));
}
