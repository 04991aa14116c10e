// Tells how far a training is. Each epoch leaves a line, on a terminal and in a log file alike;
// only on a terminal is there also a line that is redrawn while an epoch runs (base/log.h decides).
#include "cli/common.h"

#include "base/log.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum {
    SHORT_MAX = 32
};

// Share of the present epoch's steps that are done, 0 to 1.
static double epoch_share(const struct fm_train_progress *progress)
{
    if (progress->epochs < 1 || progress->steps < (uint64_t)progress->epochs)
        return 0;
    double of_epoch = (double)progress->steps / progress->epochs;
    double share = ((double)progress->step - (progress->epoch - 1) * of_epoch) / of_epoch;
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

static void begin(void *context, const char *name, const char *directory, size_t parameters)
{
    (void)context;
    char count[SHORT_MAX];
    struct fm_text folder = {0};
    fm_text_append_lines(&folder, directory);
    fm_note("%s: %s parameters, run folder %s", name, fm_group_digits((int64_t)parameters, count),
        fm_text_cstr(&folder));
    fm_text_free(&folder);
}

// At most 79 columns in all but odd cases, since what is wider than the terminal is cut off.
static void train_line(const struct fm_train_progress *progress)
{
    char rate[SHORT_MAX], left[SHORT_MAX];
    fm_progress("epoch %d/%d %3.0f %%, loss %.3f, accuracy %.1f %%, %s img/s, %s left",
        progress->epoch, progress->epochs, 100 * epoch_share(progress), progress->loss,
        100 * progress->accuracy, fm_group_digits((int64_t)progress->images_per_second, rate),
        fm_duration(progress->remaining, left));
}

static void train(void *context, const struct fm_train_progress *progress)
{
    (void)context;
    if (!progress->epoch_done) {
        train_line(progress);
        return;
    }
    char rate[SHORT_MAX], took[SHORT_MAX], waited[SHORT_MAX], left[SHORT_MAX];
    bool last = progress->epoch == progress->epochs;
    char select[SHORT_MAX * 2] = ""; // there may be no selection images
    if (!isnan(progress->select_accuracy))
        snprintf(
            select, sizeof select, ", selection accuracy %.2f %%", 100 * progress->select_accuracy);
    fm_note(
        "epoch %d/%d: loss %.4f, accuracy %.2f %%%s, %s images/s, %s (%s waiting for data)%s%s%s",
        progress->epoch, progress->epochs, progress->loss, 100 * progress->accuracy, select,
        fm_group_digits((int64_t)progress->images_per_second, rate),
        fm_duration(progress->epoch_seconds, took), fm_duration(progress->waited, waited),
        last ? "" : ", ", last ? "" : fm_duration(progress->remaining, left), last ? "" : " left");
}

static void features(void *context, const struct fm_features_progress *progress)
{
    (void)context;
    char rate[SHORT_MAX], left[SHORT_MAX], done[SHORT_MAX], total[SHORT_MAX],
        view[2 * SHORT_MAX] = "";
    fm_group_digits((int64_t)progress->images_per_second, rate);
    if (progress->part > 0)
        snprintf(view, sizeof view, ", view %d of %d", progress->part, progress->parts - 1);
    if (progress->done < progress->total) {
        fm_progress("features of %s of %s images%s, %s img/s, %s left",
            fm_group_digits(progress->done, done), fm_group_digits(progress->total, total), view,
            rate, fm_duration(progress->remaining, left));
        return;
    }
    fm_progress_clear();
    fm_note("features of %s images%s: %s images/s", fm_group_digits(progress->total, total), view,
        rate);
}

enum fm_status fm_progress_evaluate(void *context, uint32_t done, uint32_t total)
{
    const char *what = context;
    if (done < total)
        fm_progress("evaluating on %s: %" PRIu32 " of %" PRIu32 " images", what, done, total);
    else
        fm_progress_clear();
    return FM_OK;
}

static void evaluate(void *context, uint32_t done, uint32_t total)
{
    (void)context;
    char what[] = "the test images";
    fm_progress_evaluate(what, done, total);
}

struct fm_job_hooks fm_progress_hooks(void)
{
    return (struct fm_job_hooks){
        .begin = begin, .train = train, .features = features, .evaluate = evaluate};
}
