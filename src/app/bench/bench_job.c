// All predictions are measured first, on models without an optimiser's memory, then all training;
// in each half the base comes first and alone, for its memory.
#include "app/bench/bench_work.h"

#include "app/remarks.h"
#include "backend/precision.h"
#include "base/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PEAK_RUNS = 3
};

static void tell(struct fm_bench_work *w, const char *what, int batch)
{
    char text[64];
    snprintf(text, sizeof text, "%s, batch %d", what, batch);
    if (w->job->progress)
        w->job->progress(text, w->done, w->total);
    w->done++;
}

// ---- the sides

// A precision that is only emulated has no speed of its own to be measured.
static void choose_precision(
    const struct fm_engine *engine, enum fm_precision precision, struct fm_bench_side_result *side)
{
    side->precision = precision;
    if (engine->info.precisions[precision])
        return;
    const char *why = engine->info.missing[precision];
    snprintf(side->skipped, sizeof side->skipped, "backend '%s' does not compute in %s: %s%s",
        engine->api->name, fm_precision_name(precision), why ? why : engine->info.name,
        engine->info.emulated[precision] ? "; by rounding fp32 it has the numbers, not the speed"
                                         : "");
}

static bool is_same_side(const struct fm_bench_side_result *a, const struct fm_bench_side_result *b)
{
    return a->precision == b->precision && a->emulated == b->emulated && a->unfused == b->unfused;
}

static void add_side(struct fm_bench_work *w, const struct fm_bench_item *item)
{
    struct fm_bench_result *r = w->result;
    const struct fm_bench_side_result *base = &r->sides[0];
    struct fm_bench_side_result *side = &r->sides[r->side_count];
    side->unfused = item->unfused;
    if (item->precision < 0) {
        side->precision = base->precision;
        side->emulated = base->emulated;
    } else {
        choose_precision(w->job->engine, (enum fm_precision)item->precision, side);
    }
    fm_bench_side_name(side->precision, side->emulated, side->unfused, side->name);
    for (int i = 0; i < r->side_count && !side->skipped[0]; i++)
        if (is_same_side(&r->sides[i], side))
            snprintf(side->skipped, sizeof side->skipped,
                i == 0 ? "it is the base itself" : "it is there already");
    r->side_count++;
}

static void list_sides(struct fm_bench_work *w)
{
    struct fm_bench_result *r = w->result;
    struct fm_bench_side_result *base = &r->sides[0];
    base->precision = w->job->precision;
    base->emulated = w->job->emulated;
    base->unfused = w->job->unfused;
    fm_bench_side_name(base->precision, base->emulated, base->unfused, base->name);
    r->side_count = 1;
    for (int i = 0; i < w->job->plan->versus_count; i++)
        add_side(w, &w->job->plan->versus[i]);
    for (int i = 0; i < r->side_count; i++)
        if (!r->sides[i].skipped[0])
            w->places[w->measured++] = i;
}

// ---- measuring

static void free_models(struct fm_bench_work *w)
{
    for (int i = 0; i < w->measured; i++) {
        w->job->engine->api->model_destroy(w->models[i]);
        w->models[i] = NULL;
    }
}

static enum fm_status make_models(struct fm_bench_work *w, int first, int end, enum fm_mode mode)
{
    for (int i = first; i < end; i++) {
        const struct fm_model_options options = fm_bench_model_options(
            w, &w->result->sides[w->places[i]], mode);
        FM_TRY(fm_bench_make_model(w, &options, &w->models[i]));
    }
    return FM_OK;
}

// Memory that is too little for a batch leaves the others to be measured.
static enum fm_status note_memory(
    struct fm_bench_work *w, const struct fm_timer_options *timer, enum fm_status status)
{
    struct fm_bench_result *r = w->result;
    char note[FM_BENCH_REASON_MAX];
    if (status != FM_MEMORY || r->note_count == FM_BENCH_NOTES_MAX)
        return status;
    snprintf(note, sizeof note, "%s, batch %d: %s",
        timer->mode == FM_MODE_TRAIN ? "training" : "predictions", timer->batch,
        fm_error_message());
    fm_error_clear();
    for (int i = 0; i < r->note_count; i++) // each batch is tried for its memory and for its time
        if (strcmp(r->notes[i], note) == 0)
            return FM_OK;
    snprintf(r->notes[r->note_count++], FM_BENCH_REASON_MAX, "%s", note);
    return FM_OK;
}

static enum fm_status work_some(struct fm_bench_work *w, const struct fm_timer_options *options)
{
    struct fm_timer timer = {0};
    double seconds;
    FM_TRY(fm_timer_open(w->job->engine, w->models[0], options, &timer));
    enum fm_status status = FM_OK;
    if (options->mode == FM_MODE_TRAIN)
        status = fm_timer_train(&timer, PEAK_RUNS, &seconds);
    for (int i = 0; i < PEAK_RUNS && options->mode == FM_MODE_INFER && status == FM_OK; i++)
        status = fm_timer_predict(&timer, &seconds);
    fm_timer_close(&timer);
    return status;
}

// The most memory of the process while the base alone is there and works; 0 where a note says why
// it could not. Leaves the base's model: without one there is nothing to be measured.
static enum fm_status find_peak(
    struct fm_bench_work *w, const struct fm_timer_options *options, uint64_t *peak)
{
    bool own = fm_machine_reset_peak_memory() == 0;
    FM_TRY(make_models(w, 0, 1, options->mode));
    enum fm_status status = work_some(w, options);
    *peak = own && status == FM_OK ? fm_machine_peak_memory() : 0;
    return note_memory(w, options, status);
}

// All sides on one batch; the figure of each into the result.
static enum fm_status measure_batch(
    struct fm_bench_work *w, const struct fm_timer_options *timer, bool energy, int place)
{
    const struct fm_bench_options options = {
        .timer = *timer, .seconds = w->job->seconds, .energy = energy};
    struct fm_bench_side sides[FM_BENCH_VERSUS_MAX + 1];
    for (int i = 0; i < w->measured; i++)
        sides[i] = (struct fm_bench_side){w->models[i], w->result->sides[w->places[i]].unfused};
    enum fm_status status = fm_bench_measure(
        w->job->engine, sides, w->measured, &options, w->figures);
    if (status != FM_OK)
        return note_memory(w, timer, status);
    for (int i = 0; i < w->measured; i++) {
        struct fm_bench_side_result *side = &w->result->sides[w->places[i]];
        *(timer->mode == FM_MODE_TRAIN ? &side->training[place]
                                       : &side->predictions[place]) = w->figures[i];
    }
    return FM_OK;
}

static enum fm_status take_profile(
    struct fm_bench_work *w, const struct fm_timer_options *timer, struct fm_bench_profile *profile)
{
    const struct fm_bench_options options = {.timer = *timer, .seconds = w->job->seconds};
    const struct fm_bench_side side = {w->models[0], w->job->unfused};
    if (!w->job->profile)
        return FM_OK;
    tell(w, timer->mode == FM_MODE_TRAIN ? "profile of training" : "profile of predictions",
        timer->batch);
    enum fm_status status = fm_bench_profile(
        w->job->engine, &side, &options, profile->entries, FM_BENCH_PROFILE_MAX, &profile->count);
    if (status != FM_OK)
        return note_memory(w, timer, status);
    profile->batch = timer->batch;
    return FM_OK;
}

// The batch whose parts are told: the largest asked for, as long as it is no larger than a usual
// training's.
static int profiled_batch(const struct fm_bench_plan *plan)
{
    int found = plan->predictions.sizes[0];
    for (int i = 0; i < plan->predictions.count; i++)
        if (plan->predictions.sizes[i] <= FM_BENCH_TRAIN_BATCH)
            found = plan->predictions.sizes[i];
    return found;
}

static int largest(const struct fm_bench_batches *batches)
{
    return batches->sizes[batches->count - 1];
}

static bool tells_energy(const struct fm_bench_work *w)
{
    return !w->result->no_energy[0];
}

static enum fm_status measure_predictions(struct fm_bench_work *w)
{
    const struct fm_bench_plan *plan = w->job->plan;
    struct fm_timer_options timer = fm_bench_predict_options(w, largest(&plan->predictions));
    FM_TRY(find_peak(w, &timer, &w->result->predict_peak));
    FM_TRY(make_models(w, 1, w->measured, FM_MODE_INFER));
    for (int i = 0; i < plan->predictions.count; i++) {
        // One image, and as many as there are: what a service uses, and what bulk work does.
        bool energy = tells_energy(w) && (i == 0 || i == plan->predictions.count - 1);
        tell(w, "predictions", plan->predictions.sizes[i]);
        timer = fm_bench_predict_options(w, plan->predictions.sizes[i]);
        FM_TRY(measure_batch(w, &timer, energy, i));
    }
    timer = fm_bench_predict_options(w, profiled_batch(plan));
    return take_profile(w, &timer, &w->result->predict_profile);
}

static enum fm_status measure_training(struct fm_bench_work *w)
{
    struct fm_bench_result *r = w->result;
    struct fm_timer_options timer = fm_bench_train_options(w, largest(&r->trained));
    enum fm_status status = find_peak(w, &timer, &r->train_peak);
    if (status == FM_OK)
        status = make_models(w, 1, w->measured, FM_MODE_TRAIN);
    if (status != FM_OK) // a state of training that does not fit leaves what predictions took
        return note_memory(w, &timer, status);
    for (int i = 0; i < r->trained.count; i++) {
        tell(w, "training", r->trained.sizes[i]);
        timer = fm_bench_train_options(w, r->trained.sizes[i]);
        FM_TRY(measure_batch(w, &timer, tells_energy(w), i));
    }
    timer = fm_bench_train_options(w, largest(&r->trained));
    return take_profile(w, &timer, &r->train_profile);
}

// ---- the whole

static void ask_for_energy(const struct fm_engine *engine, struct fm_bench_result *r)
{
    double joules;
    if (engine->api->energy(engine->device, &joules) == FM_OK)
        return;
    snprintf(r->no_energy, sizeof r->no_energy, "%s", fm_error_message());
    fm_error_clear();
}

// What all trainings are told by, and what the run's own takes.
static void choose_train_batches(struct fm_bench_work *w)
{
    struct fm_bench_batches *batches = &w->result->trained;
    const int usual = FM_BENCH_TRAIN_BATCH, own = w->has_recipe ? w->recipe.batch : usual;
    batches->sizes[batches->count++] = own < usual ? own : usual;
    if (own != usual)
        batches->sizes[batches->count++] = own < usual ? usual : own;
}

static void describe(struct fm_bench_work *w)
{
    struct fm_bench_result *r = w->result;
    const struct fm_bench_job *job = w->job;
    snprintf(r->run, sizeof r->run, "%s", job->run ? job->run : "");
    snprintf(r->model, sizeof r->model, "%s", w->net.name);
    r->parameters = w->net.param_elements;
    r->step = !job->run                      ? "Adam, without augmentation"
              : w->config.teaching.count > 0 ? "as the run's recipe has it, without its teachers"
                                             : "as the run's recipe has it";
    r->tf32 = job->engine->options.tf32;
    r->resident = job->resident && job->engine->info.threads == 0;
    r->seconds = job->seconds;
    r->predicted = job->plan->predictions;
    r->trained = job->plan->training;
    if (r->trained.count == 0)
        choose_train_batches(w);
    w->total = r->predicted.count + r->trained.count + (job->profile ? 2 : 0);
}

static enum fm_status remark(const struct fm_bench_job *job, struct fm_bench_result *r)
{
    json_t *result;
    if (!job->run)
        return FM_OK;
    FM_TRY(fm_run_read_result(job->run, &result));
    fm_remarks_learned(result, r->remarks, sizeof r->remarks);
    json_decref(result);
    return FM_OK;
}

static enum fm_status measure(struct fm_bench_work *w)
{
    struct fm_bench_result *r = w->result;
    const struct fm_engine *engine = w->job->engine;
    FM_TRY(fm_bench_build_net(w));
    describe(w);
    FM_TRY(remark(w->job, r));
    FM_TRY(fm_bench_find_samples(w));
    list_sides(w);
    ask_for_energy(engine, r);
    enum fm_status status = measure_predictions(w);
    free_models(w);
    FM_TRY(status);
    status = measure_training(w);
    free_models(w);
    FM_TRY(status);
    uint64_t available;
    r->device_peak = engine->api->memory_peak(engine->device, &available);
    for (int i = 0; i < r->predicted.count; i++)
        r->clock = r->clock || r->sides[0].predictions[i].device.count > 0;
    if (w->job->start)
        fm_bench_start(w->job->start, w->job->seconds, &r->start);
    else
        snprintf(r->start.reason, sizeof r->start.reason, "%s", w->job->no_start);
    r->environment = fm_run_environment(engine, w->job->argc, w->job->argv);
    return r->environment ? FM_OK : fm_fail(FM_MEMORY, "the environment: out of memory");
}

enum fm_status fm_bench_run(const struct fm_bench_job *job, struct fm_bench_result **result)
{
    struct fm_bench_work *w = calloc(1, sizeof *w);
    struct fm_bench_result *r = calloc(1, sizeof *r);
    enum fm_status status = FM_OK;
    if (w && r) {
        w->job = job;
        w->result = r;
        status = measure(w);
        fm_run_config_free(&w->config);
        free(w->random);
    } else {
        status = fm_fail_memory("the measurements", sizeof *w + sizeof *r);
    }
    free(w);
    if (status == FM_OK)
        *result = r;
    else
        fm_bench_free(r);
    return status;
}

void fm_bench_free(struct fm_bench_result *result)
{
    if (!result)
        return;
    json_decref(result->environment);
    free(result);
}
