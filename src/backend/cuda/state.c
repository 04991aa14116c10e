// A model's state by name, between the device's layout and the canonical one; its counters and
// sums.
//
// Layouts are changed on the host: state crosses when a run begins, at a checkpoint and at its end,
// and then the copy over the bus takes longer than the loops here.
#include "backend/cuda/model.h"
#include "base/clock.h"
#include "rounding.h"

#include <stdlib.h>
#include <string.h>

// A named tensor's place on the device, as struct fm_cuda_place says it lies.
struct region {
    unsigned char *at; // NULL: a gradient that is not kept, as its parameter is not trained
    enum fm_cuda_type type;
    size_t outer, outer_to, rows, columns;
    const struct fm_cuda_place *place; // NULL: of a running statistic
};

static size_t region_bytes(const struct region *r)
{
    return r->outer_to * r->rows * r->columns * fm_cuda_size(r->type);
}

// ---- what a name means

// NULL where the model has no such kind.
static void *params_of(const struct fm_model *m, enum fm_state_kind kind)
{
    switch (kind) {
    case FM_STATE_PARAM:
        return m->trained.params;
    case FM_STATE_MOMENT1:
        return m->moment1;
    case FM_STATE_MOMENT2:
        return m->moment2;
    case FM_STATE_EMA:
        return m->average.params;
    default:
        return NULL;
    }
}

static bool find_param(
    const struct fm_model *m, enum fm_state_kind kind, int index, struct region *r)
{
    const struct fm_cuda_place *p = &m->params.places[index];
    void *range = params_of(m, kind);
    uint64_t offset = p->offset;
    enum fm_cuda_type type = FM_CUDA_F32;
    if (kind == FM_STATE_GRAD) {
        type = p->gradient_f32 ? FM_CUDA_F32 : m->params.type;
        range = p->gradient_f32 ? (void *)m->f32_gradients : m->low_gradients;
        offset = p->gradient_offset;
    }
    if (!range)
        return false;
    unsigned char *at = (unsigned char *)range + offset * fm_cuda_size(type);
    bool kept = kind != FM_STATE_GRAD || p->has_gradient;
    *r = (struct region){kept ? at : NULL, type, (size_t)p->outer, (size_t)p->outer_to,
        (size_t)p->rows, (size_t)p->columns, p};
    return true;
}

static bool find_running(
    const struct fm_model *m, enum fm_state_kind kind, int index, struct region *r)
{
    float *range = kind == FM_STATE_RUNNING ? m->trained.running
                   : kind == FM_STATE_EMA   ? m->average.running
                                            : NULL;
    if (!range)
        return false;
    size_t count = m->net.running[index].count;
    *r = (struct region){(unsigned char *)(range + m->params.running_offsets[index]), FM_CUDA_F32,
        count, count, 1, 1, NULL};
    return true;
}

static enum fm_status locate(const struct fm_model *m, enum fm_state_kind kind, const char *name,
    size_t count, struct region *r)
{
    static const char *const kinds[] = {
        "parameter", "gradient", "first moment", "second moment", "average", "running statistic"};
    int param = fm_net_find_param(&m->net, name), running = fm_net_find_running(&m->net, name);
    bool found = (param >= 0 && find_param(m, kind, param, r)) ||
                 (running >= 0 && find_running(m, kind, running, r));
    if (!found)
        return fm_fail(
            FM_NOT_FOUND, "%s: model '%s' has no %s of this name", name, m->net.name, kinds[kind]);
    size_t have = r->outer * r->rows * r->columns;
    if (have != count)
        return fm_fail(FM_DATA, "%s: %zu elements, expected %zu", name, count, have);
    return FM_OK;
}

// ---- layouts

static float load(enum fm_cuda_type type, const void *from, size_t at)
{
    switch (type) {
    case FM_CUDA_F16:
        return fm_fp16_widen(((const uint16_t *)from)[at]);
    case FM_CUDA_BF16:
        return fm_bf16_widen(((const uint16_t *)from)[at]);
    default:
        return ((const float *)from)[at];
    }
}

static void store(enum fm_cuda_type type, void *to, size_t at, float value)
{
    switch (type) {
    case FM_CUDA_F16:
        ((uint16_t *)to)[at] = fm_fp16_narrow(value);
        break;
    case FM_CUDA_BF16:
        ((uint16_t *)to)[at] = fm_bf16_narrow(value);
        break;
    default:
        ((float *)to)[at] = value;
    }
}

// data[outer][rows][columns] = raw[outer_to][columns][rows] / scale, without the padding.
static void unpack(const struct region *r, const void *raw, float scale, float *data)
{
    for (size_t o = 0; o < r->outer; o++)
        for (size_t row = 0; row < r->rows; row++)
            for (size_t column = 0; column < r->columns; column++)
                *data++ = load(r->type, raw, (o * r->columns + column) * r->rows + row) / scale;
}

// The other way; the padding of `raw` stays as it is.
static void pack(const struct region *r, const float *data, float scale, void *raw)
{
    for (size_t o = 0; o < r->outer; o++)
        for (size_t row = 0; row < r->rows; row++)
            for (size_t column = 0; column < r->columns; column++)
                store(r->type, raw, (o * r->columns + column) * r->rows + row, *data++ * scale);
}

// ---- get and set

static enum fm_status read_state(const struct fm_model *m, struct fm_cuda_state *state)
{
    return fm_cuda_device_get(m->device, state, m->state, sizeof *state);
}

// What the values on the device are multiplied by: the gradients of the last step by the loss scale
// that it had.
static enum fm_status scale_of(const struct fm_model *m, enum fm_state_kind kind, float *scale)
{
    *scale = 1.0f;
    if (kind != FM_STATE_GRAD)
        return FM_OK;
    struct fm_cuda_state state;
    FM_TRY(read_state(m, &state));
    if (state.gradient_scale != 0.0f) // before the first step it is
        *scale = state.gradient_scale;
    return FM_OK;
}

enum fm_status fm_cuda_model_get(
    struct fm_model *model, enum fm_state_kind kind, const char *name, float *data, size_t count)
{
    struct region r;
    float scale;
    FM_TRY(locate(model, kind, name, count, &r));
    if (!r.at) {
        memset(data, 0, count * sizeof *data);
        return FM_OK;
    }
    FM_TRY(scale_of(model, kind, &scale));
    size_t bytes = region_bytes(&r);
    void *raw = malloc(bytes);
    if (!raw)
        return fm_fail_memory(name, bytes);
    enum fm_status status = fm_cuda_device_get(model->device, raw, r.at, bytes);
    if (status == FM_OK)
        unpack(&r, raw, scale, data);
    free(raw);
    return status;
}

// The copies that are computed with, of a parameter whose master has changed.
static enum fm_status renew_working(struct fm_model *m, const struct fm_cuda_place *place)
{
    if (!m->working)
        return FM_OK;
    struct fm_cuda_cast cast = {.from_type = FM_CUDA_F32,
        .to_type = m->params.type,
        .count = place->count,
        .from = m->trained.params + place->offset,
        .to = (unsigned char *)m->working + place->offset * fm_cuda_size(m->params.type)};
    FM_CUDA(fm_launch_cast(&cast, m->device->compute));
    return FM_OK;
}

enum fm_status fm_cuda_model_set(struct fm_model *model, enum fm_state_kind kind, const char *name,
    const float *data, size_t count)
{
    struct region r;
    float scale;
    FM_TRY(locate(model, kind, name, count, &r));
    if (!r.at)
        return fm_fail(FM_NOT_FOUND, "%s: it is not trained, so no gradient is kept of it", name);
    FM_TRY(scale_of(model, kind, &scale));
    size_t bytes = region_bytes(&r);
    void *raw = calloc(1, bytes);
    if (!raw)
        return fm_fail_memory(name, bytes);
    pack(&r, data, scale, raw);
    enum fm_status status = fm_cuda_device_put(model->device, r.at, raw, bytes);
    free(raw);
    FM_TRY(status);
    if (kind == FM_STATE_PARAM)
        FM_TRY(renew_working(model, r.place));
    model->version++;
    return FM_OK;
}

// ---- counters and sums

enum fm_status fm_cuda_counters_get(struct fm_model *model, struct fm_counters *counters)
{
    struct fm_cuda_state state;
    FM_TRY(read_state(model, &state));
    *counters = (struct fm_counters){
        .applied = state.applied,
        .skipped = state.skipped,
        .growths = state.growths,
        .good_steps = state.good_steps,
        .loss_scale = state.loss_scale,
    };
    return FM_OK;
}

enum fm_status fm_cuda_counters_set(struct fm_model *model, const struct fm_counters *counters)
{
    struct fm_cuda_state state;
    FM_TRY(read_state(model, &state));
    state.applied = counters->applied;
    state.skipped = counters->skipped;
    state.growths = counters->growths;
    state.good_steps = counters->good_steps;
    state.loss_scale = counters->loss_scale;
    return fm_cuda_device_put(model->device, model->state, &state, sizeof state);
}

static void learn(struct fm_model *m, const struct fm_cuda_sums *sums, uint64_t step)
{
    m->known = (struct fm_sums){sums->loss, sums->correct, sums->count, sums->incurable};
    m->known_step = step;
}

// Learns from the report that is under way, where it has arrived.
static enum fm_status take_report(struct fm_model *m)
{
    struct fm_cuda_report *report = &m->report;
    if (report->step == 0)
        return FM_OK;
    cudaError_t error = cudaEventQuery(report->done);
    if (error == cudaErrorNotReady) {
        (void)cudaGetLastError(); // it is no failure, but would be taken for the last one
        return FM_OK;
    }
    FM_TRY(fm_cuda_status(error, "cudaEventQuery"));
    if (report->step > m->known_step)
        learn(m, report->sums, report->step);
    report->step = 0;
    return FM_OK;
}

// Sends for the sums behind the newest step, unless a report is still under way or was just now.
static enum fm_status ask_for_report(struct fm_model *m)
{
    struct fm_cuda_report *report = &m->report;
    double now = fm_clock_seconds();
    if (report->step != 0 || m->known_step == m->submitted || now < report->asked + report->pause)
        return FM_OK;
    report->asked = now;
    cudaStream_t stream = m->device->compute;
    FM_CUDA(cudaMemcpyAsync(
        report->sums, &m->state->sums, sizeof *report->sums, cudaMemcpyDeviceToHost, stream));
    FM_CUDA(cudaEventRecord(report->done, stream));
    report->step = m->submitted;
    return FM_OK;
}

enum fm_status fm_cuda_sums_get(struct fm_model *model, bool wait, struct fm_sums *sums)
{
    if (wait) {
        struct fm_cuda_state state;
        FM_TRY(read_state(model, &state));
        learn(model, &state.sums, model->submitted);
    } else {
        FM_TRY(fm_cuda_device_use(model->device));
        FM_TRY(take_report(model));
        FM_TRY(ask_for_report(model));
    }
    *sums = model->known;
    return FM_OK;
}

enum fm_status fm_cuda_sums_set(struct fm_model *model, const struct fm_sums *sums)
{
    struct fm_cuda_sums set = {sums->loss, sums->correct, sums->count, sums->incurable};
    FM_TRY(fm_cuda_device_put(model->device, &model->state->sums, &set, sizeof set));
    learn(model, &set, model->submitted);
    return FM_OK;
}
