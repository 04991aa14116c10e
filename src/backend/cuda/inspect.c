// Looking into an executor: probed activations and gradients, the profile, times, the plans.
#include "backend/cuda/executor.h"
#include "backend/cuda/profile.h"

#include <stdio.h>
#include <stdlib.h>

// ---- probing

// From [n][pixels][pitch] on the device to [n][pitch][pixels] in fp32 on the host.
static enum fm_status read_planes(
    struct fm_device *d, const struct fm_cuda_layout *layout, size_t elements, float *planes)
{
    struct fm_cuda_layout work = *layout;
    void *data = NULL;
    FM_TRY(fm_cuda_device_allocate(d, "a probed tensor", elements * sizeof(float), &data));
    work.to_type = FM_CUDA_F32;
    work.to = data;
    enum fm_status status = FM_CUDA_CALL(fm_launch_layout(&work, d->compute));
    if (status == FM_OK)
        status = FM_CUDA_CALL(cudaStreamSynchronize(d->compute));
    if (status == FM_OK)
        status = FM_CUDA_CALL(
            cudaMemcpy(planes, data, elements * sizeof(float), cudaMemcpyDeviceToHost));
    fm_cuda_device_free(d, data, elements * sizeof(float));
    return status;
}

static enum fm_status read_tensor(const struct fm_executor *e, struct fm_shape shape, int pitch,
    int buffer, enum fm_cuda_type type, float *data)
{
    int pixels = shape.h * shape.w;
    size_t elements = (size_t)e->options.batch * (size_t)pixels * (size_t)pitch;
    float *planes = malloc(elements * sizeof *planes);
    if (!planes)
        return fm_fail_memory("a probed tensor", elements * sizeof *planes);
    struct fm_cuda_layout layout = {.from_type = type,
        .outer = e->options.batch,
        .outer_to = e->options.batch,
        .rows = pixels,
        .columns = pitch,
        .from = e->arena + e->program.buffers[buffer].offset};
    enum fm_status status = read_planes(e->model->device, &layout, elements, planes);
    for (int n = 0; status == FM_OK && n < e->options.batch; n++)
        for (int i = 0; i < shape.c * pixels; i++) // the padding's planes come last
            *data++ = planes[(size_t)n * (size_t)pitch * (size_t)pixels + (size_t)i];
    free(planes);
    return status;
}

enum fm_status fm_cuda_executor_read(
    struct fm_executor *e, int layer, enum fm_probe probe, float *data, size_t count)
{
    const struct fm_net *net = &e->model->net;
    if (!e->options.probe)
        return fm_fail(FM_USAGE, "executor_read: this executor was not compiled for probing");
    if (layer < -1 || layer >= net->layer_count)
        return fm_fail(FM_USAGE, "executor_read: layer %d of %d", layer, net->layer_count);
    const struct fm_cuda_probed *probed = &e->program.probed[layer + 1];
    struct fm_shape shape = layer < 0 ? net->input.shape : net->layers[layer].out;
    size_t have = fm_shape_size(shape) * (size_t)e->options.batch;
    if (count != have)
        return fm_fail(FM_USAGE, "executor_read: %zu elements, expected %zu", count, have);
    bool activation = probe == FM_PROBE_ACTIVATION;
    int buffer = activation ? probed->activation : probed->gradient;
    if (buffer < 0)
        return fm_fail(FM_NOT_FOUND, "executor_read: no gradient flows to layer %d", layer);
    FM_TRY(fm_cuda_device_use(e->model->device));
    return read_tensor(e, shape, probed->pitch, buffer,
        activation ? probed->activation_type : probed->gradient_type, data);
}

// ---- plans and profile

// "engine 65, 2=5 12=29 (precompiled)", "algorithm 66, tile 20", "own kernel".
static const char *plan_name(const struct fm_executor *e, int command)
{
    const struct fm_cuda_chosen *chosen = &e->chosen[command];
    return chosen->plan    ? chosen->plan->name
           : chosen->dense ? fm_cuda_dense_name(chosen->dense)
                           : "own kernel";
}

static struct fm_profile_entry entry_of(const struct fm_executor *e, int command)
{
    const struct fm_cuda_command *c = &e->program.commands[command];
    struct fm_profile_entry entry = {.seconds = e->profile->seconds[command],
        .calls = e->profile->runs,
        .flops = c->flops,
        .bytes = c->bytes};
    char operation[sizeof entry.plan];
    fm_cuda_command_operation(c, operation, sizeof operation);
    bool own = c->kind != FM_COMMAND_GRAPH && c->kind != FM_COMMAND_DENSE;
    snprintf(entry.layer, sizeof entry.layer, "%s", fm_cuda_command_layer(c, &e->model->net));
    snprintf(entry.pass, sizeof entry.pass, "%s", fm_cuda_pass_name(c->pass));
    snprintf(entry.plan, sizeof entry.plan, "%s", own ? operation : plan_name(e, command));
    return entry;
}

enum fm_status fm_cuda_executor_profile(
    struct fm_executor *e, struct fm_profile_entry *entries, size_t capacity, size_t *count)
{
    if (!e->options.profile)
        return fm_fail(FM_USAGE, "executor_profile: this executor was not compiled for profiling");
    FM_TRY(fm_cuda_device_use(e->model->device));
    FM_TRY(fm_cuda_profile_collect(e->profile));
    *count = 0;
    for (int i = e->program.renew; e->profile->runs > 0 && i < e->program.count; i++) {
        if (*count < capacity)
            entries[*count] = entry_of(e, i);
        ++*count;
    }
    return FM_OK;
}

// ---- the time of whole runs

enum fm_status fm_cuda_executor_time(struct fm_executor *e, bool on)
{
    struct fm_cuda_stopwatch *watch = &e->stopwatch;
    FM_TRY(fm_cuda_device_use(e->model->device));
    if (on && !watch->begin)
        FM_CUDA(cudaEventCreate(&watch->begin));
    if (on && !watch->end)
        FM_CUDA(cudaEventCreate(&watch->end));
    watch->on = on;
    return FM_OK;
}

enum fm_status fm_cuda_executor_seconds(struct fm_executor *e, double *seconds)
{
    const struct fm_cuda_stopwatch *watch = &e->stopwatch;
    float milliseconds = 0;
    if (!watch->started)
        return fm_fail(FM_USAGE, "executor_seconds: no run of this executor was timed");
    FM_TRY(fm_cuda_device_use(e->model->device));
    FM_CUDA(cudaEventSynchronize(watch->end));
    FM_CUDA(cudaEventElapsedTime(&milliseconds, watch->begin, watch->end));
    *seconds = (double)milliseconds / 1000.0;
    return FM_OK;
}

uint64_t fm_cuda_executor_memory(const struct fm_executor *e)
{
    return e->bytes;
}

void fm_cuda_executor_plans(
    const struct fm_executor *e, void (*emit)(void *context, const char *line), void *context)
{
    for (int i = 0; i < e->program.count; i++) {
        const struct fm_cuda_command *c = &e->program.commands[i];
        if (c->kind != FM_COMMAND_GRAPH && c->kind != FM_COMMAND_DENSE)
            continue;
        char line[256];
        snprintf(line, sizeof line, "%s %s: %s", fm_cuda_command_layer(c, &e->model->net),
            fm_cuda_pass_name(c->pass), plan_name(e, i));
        emit(context, line);
    }
}
