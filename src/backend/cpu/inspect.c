// Looking into an executor: probed activations and gradients, the profile, the plans.
#include "backend/cpu/executor.h"

#include <stdio.h>

enum fm_status fm_cpu_executor_read(
    struct fm_executor *e, int layer, enum fm_probe probe, float *data, size_t count)
{
    if (!e->options.probe)
        return fm_fail(FM_USAGE, "executor_read: this executor was not compiled for probing");
    if (layer < -1 || layer >= e->model->net.layer_count)
        return fm_fail(FM_USAGE, "executor_read: layer %d of %d", layer, e->model->net.layer_count);
    const struct fm_value *value = &e->values[layer < 0 ? 0 : e->layer_op[layer]];
    bool activation = probe == FM_PROBE_ACTIVATION;
    const struct fm_tensor_mem *tensor = activation ? &value->activation : &value->gradient;
    size_t have = fm_shape_size(value->shape) * (size_t)e->options.batch;
    if (count != have)
        return fm_fail(FM_USAGE, "executor_read: %zu elements, expected %zu", count, have);
    if (!tensor->data)
        return fm_fail(FM_NOT_FOUND, "executor_read: no gradient flows to layer %d", layer);
    fm_view_to_canonical(&value->view, e->options.batch, value->shape.c,
        activation ? value->element : e->model->element, tensor->data, data);
    return FM_OK;
}

static const char *const pass_names[FM_PASS_COUNT] = {
    "forward", "backward prepare", "backward weights", "backward data"};

static void add_entry(struct fm_profile_entry *entries, size_t capacity, size_t *count,
    const struct fm_profile_entry *entry)
{
    if (*count < capacity)
        entries[*count] = *entry;
    ++*count;
}

static void add_op_entry(const struct fm_op *op, const char *name, enum fm_op_pass pass,
    const struct fm_op_time *time, struct fm_profile_entry *entries, size_t capacity, size_t *count)
{
    if (time->calls == 0)
        return;
    struct fm_profile_entry entry = {
        .seconds = time->seconds,
        .calls = time->calls,
        .flops = op->flops[pass],
        .bytes = op->bytes[pass],
    };
    snprintf(entry.layer, sizeof entry.layer, "%s", op->name);
    snprintf(entry.pass, sizeof entry.pass, "%s", name);
    snprintf(entry.plan, sizeof entry.plan, "%s",
        op->plans[pass] ? op->plans[pass] : fm_op_device(op)->kernels->name);
    add_entry(entries, capacity, count, &entry);
}

static void add_pass_entry(const struct fm_op *op, enum fm_op_pass pass,
    struct fm_profile_entry *entries, size_t capacity, size_t *count)
{
    add_op_entry(op, pass_names[pass], pass, &op->times[pass], entries, capacity, count);
}

// In the order of time, and so each pass that recomputes another operation's output behind that.
static void add_backward_entries(
    const struct fm_op *op, struct fm_profile_entry *entries, size_t capacity, size_t *count)
{
    for (int i = FM_PASS_PREPARE; i < FM_PASS_COUNT; i++) {
        enum fm_op_pass pass = (enum fm_op_pass)i;
        if (op->recomputes && op->recomputes_at == pass)
            add_op_entry(op->recomputes, "backward recompute", FM_PASS_FORWARD, &op->recomputing,
                entries, capacity, count);
        add_pass_entry(op, pass, entries, capacity, count);
    }
}

static void add_whole_entry(const struct fm_executor *e, const char *pass, double seconds,
    double bytes, struct fm_profile_entry *entries, size_t capacity, size_t *count)
{
    struct fm_profile_entry entry = {
        .layer = "-", .seconds = seconds, .calls = e->update_calls, .bytes = bytes};
    snprintf(entry.pass, sizeof entry.pass, "%s", pass);
    snprintf(entry.plan, sizeof entry.plan, "%s", e->model->device->kernels->name);
    add_entry(entries, capacity, count, &entry);
}

enum fm_status fm_cpu_executor_profile(
    struct fm_executor *e, struct fm_profile_entry *entries, size_t capacity, size_t *count)
{
    if (!e->options.profile)
        return fm_fail(FM_USAGE, "executor_profile: this executor was not compiled for profiling");
    *count = 0;
    for (int i = 0; i < e->op_count; i++)
        add_pass_entry(e->ops[i], FM_PASS_FORWARD, entries, capacity, count);
    if (e->update_calls == 0)
        return FM_OK;
    add_whole_entry(e, "loss", e->loss_seconds, 8.0 * e->options.batch * e->model->net.classes,
        entries, capacity, count);
    for (int i = e->op_count - 1; i >= 0; i--)
        add_backward_entries(e->ops[i], entries, capacity, count);
    // Of each element: parameter and first moment are read and written, the gradient is read twice
    // (finite check, update); the second moment and the average are read and written.
    const struct fm_model *m = e->model;
    double bytes = 24.0 + (m->moment2 ? 8.0 : 0.0) + (m->average.params ? 8.0 : 0.0);
    add_whole_entry(e, "update", e->update_seconds, bytes * (double)m->net.param_elements, entries,
        capacity, count);
    return FM_OK;
}

enum fm_status fm_cpu_executor_time(struct fm_executor *e, bool on)
{
    (void)e;
    return on ? fm_fail(FM_UNSUPPORTED, "backend 'cpu' has no clock but the host's") : FM_OK;
}

enum fm_status fm_cpu_executor_seconds(struct fm_executor *e, double *seconds)
{
    (void)e;
    (void)seconds;
    return fm_fail(FM_USAGE, "executor_seconds: no run of this executor was timed");
}

uint64_t fm_cpu_executor_memory(const struct fm_executor *e)
{
    return e->buffers.bytes + e->share.added;
}

void fm_cpu_executor_plans(
    const struct fm_executor *e, void (*emit)(void *context, const char *line), void *context)
{
    for (int i = 0; i < e->op_count; i++)
        for (int pass = 0; pass < FM_PASS_COUNT; pass++) {
            const struct fm_op *op = e->ops[i];
            if (!op->plans[pass])
                continue;
            char line[256];
            snprintf(line, sizeof line, "%s %s: %s", op->name, pass_names[pass], op->plans[pass]);
            emit(context, line);
        }
}
