// A killed training loses no more than what came after its newest checkpoint.
#include "train/trainer.h"

#include "base/clock.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/text.h"
#include "base/trace.h"
#include "run/checkpoint.h"
#include "run/compute.h"
#include "run/json.h"
#include "run/run.h"

#include <inttypes.h>
#include <math.h>

// ---- Writing

static struct fm_checkpoint position_of(const struct trainer *t)
{
    return (struct fm_checkpoint){
        .step = t->step,
        .epoch_step = t->epoch_step,
        .epochs = t->result.epochs,
        .images = t->result.images,
        .loss = t->result.loss,
        .kept_epoch = t->result.kept_epoch,
        .kept_accuracy = t->result.select_accuracy,
        .kept_nll = t->result.select_nll,
        .moment2 = t->recipe->optimiser != FM_OPTIMISER_SGD,
        .ema = t->averages,
        .best = t->recipe->keep == FM_KEEP_BEST ? t->kept : NULL,
    };
}

// The time that everything up to this checkpoint has taken, over all calls that the run took.
static enum fm_status log_times(const struct trainer *t, const struct fm_sums *sums)
{
    double now = fm_clock_seconds();
    bool within = t->epoch_step > 0;
    double epoch_seconds = within ? now - t->epoch_start : 0;
    double epoch_waited = within ? fm_loader_waited(t->feed.loader) - t->epoch_waited : 0;
    double rate = within ? (double)sums->count / fmax(epoch_seconds, 1e-9)
                         : t->progress.images_per_second;
    json_t *line = json_pack("{s:I, s:i, s:f, s:f, s:f, s:f, s:f, s:f}", "step",
        (json_int_t)t->step, "epoch", t->result.epochs, "seconds",
        t->result.seconds + epoch_seconds, "waited", t->result.waited + epoch_waited,
        "epoch_seconds", epoch_seconds, "epoch_waited", epoch_waited, "total_seconds",
        now - t->start, "images_per_second", rate);
    enum fm_status status = line ? fm_run_log(t->options->directory, FM_RUN_TIMES, line)
                                 : fm_fail(FM_NUMERIC, "a time is not finite");
    json_decref(line);
    return status;
}

static enum fm_status write_checkpoint(struct trainer *t)
{
    struct fm_checkpoint checkpoint = position_of(t);
    FM_TRY(t->api->sums_get(t->model, true, &checkpoint.sums));
    FM_TRY(t->api->counters_get(t->model, &checkpoint.counters));
    FM_TRY(log_times(t, &checkpoint.sums));
    return fm_checkpoint_write(t->options->directory, t->net, t->api, t->model, &checkpoint);
}

enum fm_status fm_trainer_save(struct trainer *t)
{
    if (!t->options->directory)
        return FM_OK;
    // A device may tell of a step only some steps later: nothing is kept that cannot be gone on
    // from.
    FM_TRY(fm_trainer_check_finite(t, true));
    double begin = fm_trace_begin();
    enum fm_status status = write_checkpoint(t);
    fm_trace_end(begin, "checkpoint", (int64_t)t->step);
    t->last_checkpoint = fm_clock_seconds();
    return status == FM_OK ? FM_OK : fm_context(status, "the checkpoint of step %" PRIu64, t->step);
}

enum fm_status fm_trainer_save_if_due(struct trainer *t)
{
    double interval = t->options->checkpoint_seconds;
    if (interval <= 0 || fm_clock_seconds() - t->last_checkpoint < interval)
        return FM_OK;
    return fm_trainer_save(t);
}

enum fm_status fm_trainer_check_interrupt(const struct trainer *t)
{
    int signal = t->options->interrupted ? t->options->interrupted() : 0;
    if (signal == 0)
        return FM_OK;
    return fm_fail(FM_INTERRUPTED, "stopped by %s after step %" PRIu64 " of %" PRIu64,
        fm_signal_name(signal), t->step, t->steps);
}

// ---- Resuming

// The time that the run has taken so far; a log without it costs no more than that time.
static void take_times(struct trainer *t, const json_t *line)
{
    double seconds = fm_json_number(line, "seconds"), waited = fm_json_number(line, "waited");
    double epoch_seconds = fm_json_number(line, "epoch_seconds");
    double epoch_waited = fm_json_number(line, "epoch_waited");
    double total = fm_json_number(line, "total_seconds");
    if (!isfinite(seconds + waited + epoch_seconds + epoch_waited + total))
        return;
    t->result.seconds = seconds - epoch_seconds;
    t->result.waited = waited - epoch_waited;
    t->progress.epoch_seconds = epoch_seconds; // of the epoch under way: begin_epoch() takes them
    t->progress.waited = epoch_waited;
    t->start = fm_clock_seconds() - total;
}

static enum fm_status take_checkpoint(struct trainer *t, const struct fm_checkpoint *c)
{
    if (c->step > t->steps || c->epochs > t->recipe->epochs || c->epoch_step > c->step)
        return fm_fail(FM_DATA,
            "%s: the checkpoint is at step %" PRIu64 ", but the training has %" PRIu64,
            t->options->directory, c->step, t->steps);
    t->step = t->result.first_step = c->step;
    t->epoch_step = c->epoch_step;
    t->result.epochs = c->epochs;
    t->result.images = c->images;
    t->result.loss = c->loss;
    t->result.kept_epoch = c->kept_epoch;
    t->result.select_accuracy = c->kept_accuracy;
    t->result.select_nll = c->kept_nll;
    return FM_OK;
}

static void note_resumed(const struct trainer *t, const char *path)
{
    char step[32], steps[32];
    fm_group_digits((int64_t)t->step, step);
    fm_group_digits((int64_t)t->steps, steps);
    fm_note("%s: going on from %s: step %s of %s, %d of %d epochs done", t->net->name, path, step,
        steps, t->result.epochs, t->recipe->epochs);
}

static enum fm_status record_compute(const struct trainer *t, bool resumed)
{
    struct fm_executor *executors[2 + FM_TEACHERS_MAX] = {t->full};
    int count = 1;
    if (t->tail)
        executors[count++] = t->tail;
    for (int i = 0; i < t->options->teacher_count; i++)
        executors[count++] = t->teachers[i]; // whose answers decide the bits, too
    json_t *compute = fm_compute_describe(t->engine, executors, count);
    enum fm_status status = fm_compute_record(
        t->options->directory, compute, resumed, t->options->strict);
    json_decref(compute);
    return status;
}

// What is missing of the logs costs lines and times, no more.
static enum fm_status cut_logs(struct trainer *t, bool found)
{
    const char *directory = t->options->directory;
    json_t *epoch, *times;
    FM_TRY(fm_run_cut_log(directory, FM_RUN_LOG, t->step, t->result.epochs, &epoch));
    if (json_integer_value(json_object_get(epoch, "epoch")) != t->result.epochs)
        fm_warn("%s/%s lacks the lines of epochs that are done", directory, FM_RUN_LOG);
    json_decref(epoch);
    FM_TRY(fm_run_cut_log(directory, FM_RUN_TIMES, t->step, t->result.epochs, &times));
    if (found && !times) {
        fm_warn("%s/%s is missing: times count from here only", directory, FM_RUN_TIMES);
        t->untimed_images = t->result.images;
    }
    take_times(t, times);
    json_decref(times);
    return FM_OK;
}

enum fm_status fm_trainer_resume(struct trainer *t)
{
    const char *directory = t->options->directory;
    if (!directory)
        return FM_OK;
    struct fm_checkpoint checkpoint = position_of(t);
    char path[FM_PATH_MAX], times[FM_PATH_MAX];
    FM_TRY(record_compute(t, fm_checkpoint_exists(directory)));
    enum fm_status status = fm_checkpoint_read(
        directory, t->net, t->api, t->model, &checkpoint, path);
    bool found = status == FM_OK;
    if (!found && status != FM_NOT_FOUND)
        return status;
    FM_TRY(fm_path_join(times, directory, FM_RUN_TIMES));
    if (!found && fm_path_exists(times))
        fm_warn("%s: there is no checkpoint: the training begins anew, at step 0", directory);
    if (found)
        FM_TRY(take_checkpoint(t, &checkpoint));
    FM_TRY(cut_logs(t, found));
    if (found)
        note_resumed(t, path);
    return FM_OK;
}
