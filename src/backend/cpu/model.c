// State by name, and the update that ends a training step.
#include "backend/cpu/model.h"

#include "backend/cpu/copies.h"
#include "loss_scale.h"

#include <stdlib.h>
#include <string.h>

static enum fm_status add_range(struct fm_model *m, size_t count, const char *what, float **range)
{
    void *data = NULL;
    FM_TRY(fm_buffers_add(&m->buffers, count * sizeof(float), what, &data));
    *range = data;
    return FM_OK;
}

static void fill_running(const struct fm_net *net, float *running)
{
    for (int i = 0; i < net->running_count; i++)
        for (size_t k = 0; k < net->running[i].count; k++)
            running[net->running[i].offset + k] = net->running[i].initial;
}

static enum fm_status create_weights(struct fm_model *m, struct fm_cpu_weights *weights)
{
    FM_TRY(add_range(m, m->net.param_elements, "parameters", &weights->params));
    FM_TRY(add_range(m, m->net.running_elements, "running statistics", &weights->running));
    fill_running(&m->net, weights->running);
    return FM_OK;
}

static enum fm_status create_ranges(struct fm_model *m)
{
    size_t params = m->net.param_elements;
    FM_TRY(create_weights(m, &m->trained));
    if (m->options.ema)
        FM_TRY(create_weights(m, &m->average));
    FM_TRY(add_range(m, params, "gradients", &m->grads));
    FM_TRY(add_range(m, params, "first moments", &m->moment1));
    if (m->options.optimiser.kind != FM_OPTIMISER_SGD)
        FM_TRY(add_range(m, params, "second moments", &m->moment2));
    FM_TRY(add_range(m, m->net.running_elements, "batch statistics", &m->batch_running));
    return fm_copies_create(m, &m->copies);
}

static enum fm_status check_precision(
    const struct fm_device *device, const struct fm_model_options *options)
{
    if (options->precision == FM_PRECISION_FP32 && options->emulate)
        return fm_fail(FM_UNSUPPORTED, "backend 'cpu': fp32 has nothing to emulate");
    if (options->precision == FM_PRECISION_FP32 || options->emulate)
        return FM_OK;
    const char *missing = device->missing[options->precision];
    if (!missing)
        return FM_OK;
    return fm_fail(FM_UNSUPPORTED,
        "backend 'cpu' does not compute in %s: %s; a model that emulates it computes in fp32 and "
        "rounds",
        options->precision == FM_PRECISION_BF16 ? "bf16" : "fp16", missing);
}

static enum fm_rounding rounding_of(const struct fm_model_options *options)
{
    static const enum fm_rounding roundings[FM_PRECISION_COUNT] = {
        FM_ROUNDING_NONE, FM_ROUNDING_BF16, FM_ROUNDING_FP16};
    return options->emulate ? roundings[options->precision] : FM_ROUNDING_NONE;
}

enum fm_status fm_cpu_model_create(struct fm_device *device, const struct fm_net *net,
    const struct fm_model_options *options, struct fm_model **model)
{
    FM_TRY(check_precision(device, options));
    if (options->optimiser.kind > FM_OPTIMISER_SGD)
        return fm_fail(
            FM_UNSUPPORTED, "backend 'cpu': unknown optimiser %d", options->optimiser.kind);
    struct fm_model *m = calloc(1, sizeof *m);
    if (!m)
        return fm_fail_memory("model", sizeof *m);
    m->device = device;
    m->net = *net;
    m->options = *options;
    m->rounding = rounding_of(options);
    if (options->precision == FM_PRECISION_BF16 && !options->emulate)
        m->element = FM_ELEMENT_BF16;
    m->gradient_scale = 1.0f;
    m->counters.loss_scale = options->precision == FM_PRECISION_FP16 ? FM_LOSS_SCALE_FIRST : 1.0f;
    m->version = m->given = 1;
    enum fm_status status = create_ranges(m);
    if (status != FM_OK) {
        fm_cpu_model_destroy(m);
        return status;
    }
    *model = m;
    return FM_OK;
}

void fm_cpu_model_destroy(struct fm_model *model)
{
    if (!model)
        return;
    fm_copies_destroy(model->copies);
    fm_workspace_free(&model->workspace);
    fm_buffers_free(&model->buffers);
    free(model);
}

// The memory of a named tensor, or NULL.
static float *find_state(
    struct fm_model *m, enum fm_state_kind kind, const char *name, size_t *count)
{
    float *const param_ranges[] = {
        [FM_STATE_PARAM] = m->trained.params,
        [FM_STATE_GRAD] = m->grads,
        [FM_STATE_MOMENT1] = m->moment1,
        [FM_STATE_MOMENT2] = m->moment2,
        [FM_STATE_EMA] = m->average.params,
        [FM_STATE_RUNNING] = NULL,
    };
    float *running = kind == FM_STATE_RUNNING ? m->trained.running
                     : kind == FM_STATE_EMA   ? m->average.running
                                              : NULL;
    int at = fm_net_find_param(&m->net, name);
    if (at >= 0 && param_ranges[kind]) {
        *count = m->net.params[at].count;
        return param_ranges[kind] + m->net.params[at].offset;
    }
    at = fm_net_find_running(&m->net, name);
    if (at >= 0 && running) {
        *count = m->net.running[at].count;
        return running + m->net.running[at].offset;
    }
    return NULL;
}

static enum fm_status locate(
    struct fm_model *m, enum fm_state_kind kind, const char *name, size_t count, float **data)
{
    static const char *const kinds[] = {
        "parameter", "gradient", "first moment", "second moment", "average", "running statistic"};
    size_t have = 0;
    *data = find_state(m, kind, name, &have);
    if (!*data)
        return fm_fail(
            FM_NOT_FOUND, "%s: model '%s' has no %s of this name", name, m->net.name, kinds[kind]);
    if (have != count)
        return fm_fail(FM_DATA, "%s: %zu elements, expected %zu", name, count, have);
    return FM_OK;
}

enum fm_status fm_cpu_model_get(
    struct fm_model *model, enum fm_state_kind kind, const char *name, float *data, size_t count)
{
    float *state;
    FM_TRY(locate(model, kind, name, count, &state));
    memcpy(data, state, count * sizeof *data);
    if (kind == FM_STATE_GRAD && model->gradient_scale != 1.0f)
        for (size_t i = 0; i < count; i++)
            data[i] /= model->gradient_scale;
    return FM_OK;
}

enum fm_status fm_cpu_model_memory(
    struct fm_model *model, enum fm_state_kind kind, const char *name, size_t count, float **data)
{
    model->version++;
    model->given++;
    return locate(model, kind, name, count, data);
}

enum fm_status fm_cpu_model_set(struct fm_model *model, enum fm_state_kind kind, const char *name,
    const float *data, size_t count)
{
    float *state;
    FM_TRY(fm_cpu_model_memory(model, kind, name, count, &state));
    memcpy(state, data, count * sizeof *data);
    return FM_OK;
}

enum fm_status fm_cpu_counters_get(struct fm_model *model, struct fm_counters *counters)
{
    *counters = model->counters;
    return FM_OK;
}

enum fm_status fm_cpu_counters_set(struct fm_model *model, const struct fm_counters *counters)
{
    model->counters = *counters;
    return FM_OK;
}

enum fm_status fm_cpu_sums_get(struct fm_model *model, bool wait, struct fm_sums *sums)
{
    (void)wait; // a submitted step is finished
    *sums = model->sums;
    return FM_OK;
}

enum fm_status fm_cpu_sums_set(struct fm_model *model, const struct fm_sums *sums)
{
    model->sums = *sums;
    return FM_OK;
}

// What the parameters of a step share; each then adds its own learning rate and decay.
struct update {
    struct fm_model *model;
    struct fm_adam_step adam;
    struct fm_sgd_step sgd;
};

static struct update plan_update(struct fm_model *m)
{
    const struct fm_optimiser_options *o = &m->options.optimiser;
    float unscale = 1.0f / m->counters.loss_scale;
    uint64_t t = m->counters.applied;
    return (struct update){
        .model = m,
        .adam = {.beta1 = o->beta1,
            .beta2 = o->beta2,
            .epsilon = o->epsilon,
            .correction1 = fm_adam_correction(o->beta1, t),
            .correction2 = fm_adam_correction(o->beta2, t),
            .unscale = unscale},
        .sgd = {.momentum = o->momentum, .unscale = unscale, .nesterov = o->nesterov},
    };
}

static void update_param(struct update *u, const struct fm_param *p, const struct fm_step *step)
{
    struct fm_model *m = u->model;
    const struct fm_kernels *kernels = m->device->kernels;
    float rate = step->learning_rate * p->lr_multiplier;
    float decay = p->decay ? step->weight_decay : 0.0f;
    float *param = m->trained.params + p->offset, *moment1 = m->moment1 + p->offset;
    const float *gradient = m->grads + p->offset;
    if (m->options.optimiser.kind == FM_OPTIMISER_SGD) {
        u->sgd.learning_rate = rate;
        u->sgd.weight_decay = decay;
        kernels->sgd(p->count, param, moment1, gradient, &u->sgd);
    } else {
        u->adam.learning_rate = rate;
        u->adam.weight_decay = decay;
        kernels->adam(p->count, param, moment1, m->moment2 + p->offset, gradient, &u->adam);
    }
    if (m->average.params && step->ema_decay > 0.0f)
        kernels->average(p->count, m->average.params + p->offset, param, step->ema_decay);
}

static void apply_step(struct fm_model *m, const struct fm_step *step)
{
    const struct fm_kernels *kernels = m->device->kernels;
    m->counters.applied++;
    struct update update = plan_update(m);
    for (int i = 0; i < m->net.param_count; i++)
        if (m->net.params[i].trainable) // rounding would move the average of what stays the same
            update_param(&update, &m->net.params[i], step);
    size_t running = m->net.running_elements;
    kernels->average(running, m->trained.running, m->batch_running, 1.0f - FM_BATCHNORM_MOMENTUM);
    if (m->average.params && step->ema_decay > 0.0f)
        kernels->average(running, m->average.running, m->trained.running, step->ema_decay);
    m->version++;
}

void fm_cpu_model_round(const struct fm_model *m, size_t count, float *data)
{
    if (m->rounding != FM_ROUNDING_NONE)
        m->device->kernels->round(count, data, m->rounding);
}

void fm_cpu_model_update(struct fm_model *m, const struct fm_step *step, bool loss_finite)
{
    struct fm_counters *c = &m->counters;
    bool finite = m->device->kernels->all_finite(m->net.param_elements, m->grads);
    m->gradient_scale = c->loss_scale;
    if (finite) {
        apply_step(m, step);
    } else {
        c->skipped++;
        if (!loss_finite || c->loss_scale <= FM_LOSS_SCALE_LEAST)
            m->sums.incurable++;
    }
    if (m->options.precision == FM_PRECISION_FP16)
        c->growths += (uint64_t)fm_loss_scale_next(finite, &c->loss_scale, &c->good_steps);
    else
        c->good_steps = finite ? c->good_steps + 1 : 0;
}
