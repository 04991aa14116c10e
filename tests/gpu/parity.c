// Two backends take the same training steps, each step from the same state, and a few steps more on
// their own. What differs is rounding and the order of sums; by how much is put out for each kind
// of state as |difference| / |reference| of the tensor in which it is largest, in the 2-norm.
#include "gpu/measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_SCALE = 1024
};

struct pair {
    const struct fm_net *net;
    struct measured reference, checked;
    struct fm_staging *staging[2];
    struct fm_executor *executor[2]; // training
    float *scratch[2];               // of the reference, of the one checked
    float *before;                   // [param_elements]
};

struct worst {
    double distance; // NaN, once a value was not finite
    char name[FM_NAME_MAX];
};

// A distance that is not a number is the worst of all.
static void note_distance(struct worst *worst, const char *name, double distance)
{
    if (isnan(worst->distance) || (!isnan(distance) && distance <= worst->distance))
        return;
    worst->distance = distance;
    snprintf(worst->name, sizeof worst->name, "%s", name);
}

static double distance_of(const float *reference, const float *checked, size_t count)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        double d = (double)checked[i] - (double)reference[i];
        difference += d * d;
        size += (double)reference[i] * (double)reference[i];
    }
    // A tensor of zeros: a convolution's bias in front of batch norm has no gradient but rounding.
    return sqrt(difference) / (sqrt(size) + 1e-12);
}

static struct measured *side(struct pair *p, int s)
{
    return s == 0 ? &p->reference : &p->checked;
}

static enum fm_status get(
    struct pair *p, int s, enum fm_state_kind kind, const char *name, float *data, size_t count)
{
    struct measured *m = side(p, s);
    return m->engine.api->model_get(m->model, kind, name, data, count);
}

static enum fm_status copy_tensor(
    struct pair *p, enum fm_state_kind kind, const char *name, size_t count)
{
    FM_TRY(get(p, 0, kind, name, p->scratch[0], count));
    return p->checked.engine.api->model_set(p->checked.model, kind, name, p->scratch[0], count);
}

// All that a step depends on, from the reference to the one checked.
static enum fm_status copy_state(struct pair *p)
{
    const struct fm_net *net = p->net;
    for (int i = 0; i < net->param_count; i++) {
        FM_TRY(copy_tensor(p, FM_STATE_PARAM, net->params[i].name, net->params[i].count));
        FM_TRY(copy_tensor(p, FM_STATE_MOMENT1, net->params[i].name, net->params[i].count));
        FM_TRY(get(p, 0, FM_STATE_PARAM, net->params[i].name, p->before + net->params[i].offset,
            net->params[i].count));
    }
    for (int i = 0; i < net->running_count; i++)
        FM_TRY(copy_tensor(p, FM_STATE_RUNNING, net->running[i].name, net->running[i].count));
    struct fm_counters counters;
    FM_TRY(p->reference.engine.api->counters_get(p->reference.model, &counters));
    return p->checked.engine.api->counters_set(p->checked.model, &counters);
}

static enum fm_status take_step(
    struct pair *p, const struct measure_options *options, const struct fm_samples *samples, int n)
{
    for (int s = 0; s < 2; s++) {
        const struct fm_backend *api = side(p, s)->engine.api;
        FM_TRY(api->slot_wait(p->staging[s], n % FM_SLOTS));
        struct fm_slot *slot = api->staging_slot(p->staging[s], n % FM_SLOTS);
        measure_fill(slot, samples, (uint32_t)options->batch, (uint32_t)(n * options->batch));
        slot->step->learning_rate = 0.01f;
        FM_TRY(api->submit(p->executor[s], p->staging[s], n % FM_SLOTS));
    }
    return FM_OK;
}

static enum fm_status compare_tensor(
    struct pair *p, enum fm_state_kind kind, const char *name, size_t count, struct worst *worst)
{
    FM_TRY(get(p, 0, kind, name, p->scratch[0], count));
    FM_TRY(get(p, 1, kind, name, p->scratch[1], count));
    note_distance(worst, name, distance_of(p->scratch[0], p->scratch[1], count));
    return FM_OK;
}

// By how much both changed a parameter. SGD's change is linear in the gradient, so that it is as
// close as gradients are.
static enum fm_status compare_change(struct pair *p, int param, struct worst *worst)
{
    const struct fm_param *q = &p->net->params[param];
    FM_TRY(get(p, 0, FM_STATE_PARAM, q->name, p->scratch[0], q->count));
    FM_TRY(get(p, 1, FM_STATE_PARAM, q->name, p->scratch[1], q->count));
    for (size_t i = 0; i < q->count; i++) {
        p->scratch[0][i] -= p->before[q->offset + i];
        p->scratch[1][i] -= p->before[q->offset + i];
    }
    note_distance(worst, q->name, distance_of(p->scratch[0], p->scratch[1], q->count));
    return FM_OK;
}

static enum fm_status compare_state(
    struct pair *p, struct worst *gradient, struct worst *change, struct worst *running)
{
    for (int i = 0; i < p->net->param_count; i++) {
        const struct fm_param *q = &p->net->params[i];
        FM_TRY(compare_tensor(p, FM_STATE_GRAD, q->name, q->count, gradient));
        FM_TRY(compare_change(p, i, change));
    }
    for (int i = 0; i < p->net->running_count; i++)
        FM_TRY(compare_tensor(
            p, FM_STATE_RUNNING, p->net->running[i].name, p->net->running[i].count, running));
    return FM_OK;
}

// The mean loss of the steps since it was last asked.
static enum fm_status take_loss(struct pair *p, int s, double *loss)
{
    struct measured *m = side(p, s);
    struct fm_sums sums;
    FM_TRY(m->engine.api->sums_get(m->model, true, &sums));
    *loss = sums.count ? sums.loss / (double)sums.count : NAN;
    return m->engine.api->sums_set(m->model, &(struct fm_sums){0});
}

static enum fm_status compare_losses(struct pair *p, struct worst *worst, const char *name)
{
    double a, b;
    FM_TRY(take_loss(p, 0, &a));
    FM_TRY(take_loss(p, 1, &b));
    note_distance(worst, name, fabs(a - b) / fabs(a));
    return FM_OK;
}

static enum fm_status compare_logits(struct pair *p, const struct measure_options *options,
    const struct measure_inputs *inputs, struct worst *worst)
{
    size_t count = (size_t)options->batch * (size_t)inputs->dataset.classes;
    struct fm_compile_options compile = {.batch = options->batch, .mode = FM_MODE_INFER};
    float *logits[2] = {p->scratch[0], p->scratch[1]};
    enum fm_status status = FM_OK;
    for (int s = 0; s < 2 && status == FM_OK; s++) {
        struct measured *m = side(p, s);
        const struct fm_backend *api = m->engine.api;
        struct fm_executor *executor = NULL;
        compile.unfused = s == 0;
        FM_TRY_GOTO(status, api->compile(m->model, &compile, &executor), next);
        FM_TRY_GOTO(status, api->slot_wait(p->staging[s], 0), next);
        measure_fill(api->staging_slot(p->staging[s], 0), &inputs->dataset.test,
            (uint32_t)options->batch, 0);
        status = api->predict(executor, p->staging[s], 0, logits[s]);
    next:
        api->executor_destroy(executor);
    }
    if (status == FM_OK)
        note_distance(worst, "logits", distance_of(logits[0], logits[1], count));
    return status;
}

// Scratch that holds every tensor, and the logits.
static enum fm_status open_pair(
    struct pair *p, const struct measure_options *options, const struct measure_inputs *inputs)
{
    size_t most = (size_t)options->batch * (size_t)inputs->dataset.classes;
    for (int i = 0; i < inputs->net.param_count; i++)
        most = inputs->net.params[i].count > most ? inputs->net.params[i].count : most;
    for (int i = 0; i < 2; i++)
        p->scratch[i] = malloc(most * sizeof(float));
    p->before = malloc(inputs->net.param_elements * sizeof(float));
    if (!p->scratch[0] || !p->scratch[1] || !p->before)
        return fm_fail_memory("tensors to compare", most * sizeof(float));
    FM_TRY(measured_open(
        &p->reference, options->against, true, options, &inputs->net, FM_OPTIMISER_SGD));
    FM_TRY(measured_open(
        &p->checked, options->backend, false, options, &inputs->net, FM_OPTIMISER_SGD));
    for (int s = 0; s < 2; s++) {
        const struct fm_backend *api = side(p, s)->engine.api;
        // The reference unfused: so that a backend can be held against itself, too.
        struct fm_compile_options compile = {
            .batch = options->batch, .mode = FM_MODE_TRAIN, .unfused = s == 0};
        FM_TRY(api->compile(side(p, s)->model, &compile, &p->executor[s]));
        FM_TRY(
            api->staging_create(side(p, s)->model, (uint32_t)options->batch, NULL, &p->staging[s]));
    }
    return FM_OK;
}

// A loss scale at which no step of fp16 is skipped: from the usual one, the first are.
static enum fm_status lower_scale(struct pair *p)
{
    const struct fm_backend *api = p->reference.engine.api;
    struct fm_counters counters;
    FM_TRY(api->counters_get(p->reference.model, &counters));
    counters.loss_scale = counters.loss_scale > FIRST_SCALE ? FIRST_SCALE : counters.loss_scale;
    return api->counters_set(p->reference.model, &counters);
}

static enum fm_status put_skipped(struct pair *p, json_t *result)
{
    static const char *const keys[] = {"reference_skipped", "skipped"};
    for (int s = 0; s < 2; s++) {
        struct fm_counters counters;
        FM_TRY(side(p, s)->engine.api->counters_get(side(p, s)->model, &counters));
        json_object_set_new(result, keys[s], json_integer((json_int_t)counters.skipped));
    }
    return FM_OK;
}

static void close_pair(struct pair *p)
{
    for (int s = 0; s < 2; s++) {
        const struct fm_backend *api = side(p, s)->engine.api;
        if (api) {
            api->executor_destroy(p->executor[s]);
            api->staging_destroy(p->staging[s]);
        }
        measured_close(side(p, s));
        free(p->scratch[s]);
    }
    free(p->before);
}

static void put_worst(json_t *result, const char *key, const struct worst *worst)
{
    // JSON has no NaN: what is not finite is null, and no check takes that for a number.
    json_t *distance = isfinite(worst->distance) ? json_real(worst->distance) : json_null();
    json_object_set_new(
        result, key, json_pack("{s:o, s:s}", "distance", distance, "tensor", worst->name));
}

enum fm_status measure_parity(
    const struct measure_options *options, const struct measure_inputs *inputs, json_t *result)
{
    struct pair p = {.net = &inputs->net};
    struct worst gradient = {-1, ""}, change = {-1, ""}, running = {-1, ""}, loss = {-1, ""},
                 logits = {-1, ""}, free_run = {-1, ""};
    const struct fm_samples *samples = &inputs->dataset.train;
    enum fm_status status;
    FM_TRY_GOTO(status, open_pair(&p, options, inputs), out);
    FM_TRY_GOTO(status, lower_scale(&p), out);
    for (int n = 0; n < options->steps; n++) {
        char name[FM_NAME_MAX];
        snprintf(name, sizeof name, "step %d", n + 1);
        FM_TRY_GOTO(status, copy_state(&p), out);
        FM_TRY_GOTO(status, take_step(&p, options, samples, n), out);
        FM_TRY_GOTO(status, compare_losses(&p, &loss, name), out);
        FM_TRY_GOTO(status, compare_state(&p, &gradient, &change, &running), out);
    }
    FM_TRY_GOTO(status, copy_state(&p), out);
    FM_TRY_GOTO(status, compare_logits(&p, options, inputs, &logits), out);
    for (int n = 0; n < options->runs; n++)
        FM_TRY_GOTO(status, take_step(&p, options, samples, options->steps + n), out);
    FM_TRY_GOTO(status, compare_losses(&p, &free_run, "mean loss"), out);
    FM_TRY_GOTO(status, put_skipped(&p, result), out);
    measure_describe(&p.checked.engine, result);
    json_object_set_new(result, "reference_emulated", json_boolean(p.reference.emulated));
    put_worst(result, "gradient", &gradient);
    put_worst(result, "change", &change);
    put_worst(result, "loss", &loss);
    put_worst(result, "logits", &logits);
    put_worst(result, "free_run", &free_run);
    if (inputs->net.running_count > 0)
        put_worst(result, "running", &running);
out:
    close_pair(&p);
    return status;
}
