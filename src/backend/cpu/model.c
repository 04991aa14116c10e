// State by name, and the update that ends a training step.
#include "backend/cpu/model.h"

#include "adam.h"
#include "backend/cpu/copies.h"

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

static enum fm_status create_ranges(struct fm_model *m)
{
    size_t params = m->net.param_elements, running = m->net.running_elements;
    FM_TRY(add_range(m, params, "parameters", &m->params));
    FM_TRY(add_range(m, params, "gradients", &m->grads));
    FM_TRY(add_range(m, params, "first moments", &m->moment1));
    FM_TRY(add_range(m, params, "second moments", &m->moment2));
    FM_TRY(add_range(m, running, "running statistics", &m->running));
    FM_TRY(add_range(m, running, "batch statistics", &m->batch_running));
    fill_running(&m->net, m->running);
    if (m->options.ema) {
        FM_TRY(add_range(m, params, "averaged parameters", &m->ema_params));
        FM_TRY(add_range(m, running, "averaged running statistics", &m->ema_running));
        fill_running(&m->net, m->ema_running);
    }
    return fm_copies_create(m, &m->copies);
}

enum fm_status fm_cpu_model_create(struct fm_device *device, const struct fm_net *net,
    const struct fm_model_options *options, struct fm_model **model)
{
    if (options->precision != FM_PRECISION_FP32)
        return fm_fail(FM_UNSUPPORTED,
            "backend 'cpu' computes in fp32; the precision asked for is not available");
    if (options->optimiser.kind != FM_OPTIMISER_ADAM)
        return fm_fail(
            FM_UNSUPPORTED, "backend 'cpu': unknown optimiser %d", options->optimiser.kind);
    struct fm_model *m = calloc(1, sizeof *m);
    if (!m)
        return fm_fail_memory("model", sizeof *m);
    m->device = device;
    m->net = *net;
    m->options = *options;
    m->counters.loss_scale = 1.0f;
    m->version = 1;
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
    fm_buffers_free(&model->buffers);
    free(model);
}

// The memory of a named tensor, or NULL.
static float *find_state(
    struct fm_model *m, enum fm_state_kind kind, const char *name, size_t *count)
{
    float *const param_ranges[] = {
        [FM_STATE_PARAM] = m->params,
        [FM_STATE_GRAD] = m->grads,
        [FM_STATE_MOMENT1] = m->moment1,
        [FM_STATE_MOMENT2] = m->moment2,
        [FM_STATE_EMA] = m->ema_params,
        [FM_STATE_RUNNING] = NULL,
    };
    float *running = kind == FM_STATE_RUNNING ? m->running
                     : kind == FM_STATE_EMA   ? m->ema_running
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
    if (kind == FM_STATE_GRAD && model->counters.loss_scale != 1.0f)
        for (size_t i = 0; i < count; i++)
            data[i] /= model->counters.loss_scale;
    return FM_OK;
}

enum fm_status fm_cpu_model_set(struct fm_model *model, enum fm_state_kind kind, const char *name,
    const float *data, size_t count)
{
    float *state;
    FM_TRY(locate(model, kind, name, count, &state));
    memcpy(state, data, count * sizeof *data);
    model->version++;
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

enum fm_status fm_cpu_sums_reset(struct fm_model *model)
{
    memset(&model->sums, 0, sizeof model->sums);
    return FM_OK;
}

static void update_param(struct fm_model *m, int index, struct fm_adam_step step)
{
    const struct fm_param *p = &m->net.params[index];
    if (!p->trainable)
        return;
    step.learning_rate *= p->lr_multiplier;
    if (!p->decay)
        step.weight_decay = 0.0f;
    m->device->kernels->adam(p->count, m->params + p->offset, m->moment1 + p->offset,
        m->moment2 + p->offset, m->grads + p->offset, &step);
}

void fm_cpu_model_update(struct fm_model *m, const struct fm_step *step)
{
    const struct fm_kernels *kernels = m->device->kernels;
    if (!kernels->all_finite(m->net.param_elements, m->grads)) {
        m->counters.skipped++;
        return;
    }
    uint64_t t = ++m->counters.applied;
    const struct fm_optimiser_options *o = &m->options.optimiser;
    struct fm_adam_step adam = {
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .epsilon = o->epsilon,
        .learning_rate = step->learning_rate,
        .weight_decay = step->weight_decay,
        .correction1 = fm_adam_correction(o->beta1, t),
        .correction2 = fm_adam_correction(o->beta2, t),
        .unscale = 1.0f / m->counters.loss_scale,
    };
    for (int i = 0; i < m->net.param_count; i++)
        update_param(m, i, adam);
    kernels->average(
        m->net.running_elements, m->running, m->batch_running, 1.0f - FM_BATCHNORM_MOMENTUM);
    if (m->ema_params && step->ema_decay > 0.0f) {
        kernels->average(m->net.param_elements, m->ema_params, m->params, step->ema_decay);
        kernels->average(m->net.running_elements, m->ema_running, m->running, step->ema_decay);
    }
    m->counters.good_steps++;
    m->version++;
}
