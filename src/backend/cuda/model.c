// What a model keeps on the device: one allocation cut into ranges, filled with what a run begins
// with. state.c reads and writes it.
#include "backend/cuda/model.h"

#include "loss_scale.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_SECONDS 0.02 // between two reports of the sums

static enum fm_status check_options(
    const struct fm_device *device, const struct fm_model_options *options)
{
    static const char *const names[] = {"fp32", "bf16", "fp16"};
    if (options->emulate && options->precision == FM_PRECISION_FP32)
        return fm_fail(FM_UNSUPPORTED, "backend 'cuda': fp32 has nothing to emulate");
    if (options->precision == FM_PRECISION_BF16 && device->bf16_missing[0] != '\0')
        return fm_fail(FM_UNSUPPORTED,
            "backend 'cuda' does not compute in bf16: %s; fp16 and fp32 are there",
            device->bf16_missing);
    if (options->emulate)
        return fm_fail(FM_UNSUPPORTED,
            "backend 'cuda' does not emulate %s: a GPU computes in it natively",
            names[options->precision]);
    if (options->optimiser.kind > FM_OPTIMISER_SGD)
        return fm_fail(
            FM_UNSUPPORTED, "backend 'cuda': unknown optimiser %d", options->optimiser.kind);
    return FM_OK;
}

static enum fm_cuda_type type_of(enum fm_precision precision)
{
    return precision == FM_PRECISION_BF16   ? FM_CUDA_BF16
           : precision == FM_PRECISION_FP16 ? FM_CUDA_F16
                                            : FM_CUDA_F32;
}

// ---- the block

// Gives out a block from its beginning; without a block it only counts.
struct cursor {
    unsigned char *block;
    uint64_t used;
};

// Even a range of nothing gets a place, which kernels can be given.
static void *take(struct cursor *cursor, uint64_t bytes)
{
    void *range = cursor->block ? cursor->block + cursor->used : NULL;
    cursor->used += fm_cuda_round_up(bytes ? bytes : 1, FM_CUDA_ALIGNMENT);
    return range;
}

static uint64_t widest_norm(const struct fm_net *net)
{
    uint64_t channels = 16 / sizeof(float);
    for (int i = 0; i < net->running_count; i++)
        if (net->running[i].count > channels)
            channels = net->running[i].count;
    return channels;
}

static void take_weights(
    const struct fm_cuda_params *p, struct cursor *cursor, struct fm_cuda_weights *weights)
{
    weights->params = take(cursor, p->elements * sizeof(float));
    weights->running = take(cursor, p->running_elements * sizeof(float));
}

// Cuts `block` up; returns the bytes of all ranges.
static uint64_t cut(struct fm_model *m, void *block)
{
    const struct fm_cuda_params *p = &m->params;
    struct cursor cursor = {block, 0};
    uint64_t f32 = p->elements * sizeof(float), low = fm_cuda_size(p->type);
    take_weights(p, &cursor, &m->trained);
    if (m->options.ema)
        take_weights(p, &cursor, &m->average);
    if (p->type != FM_CUDA_F32)
        m->working = take(&cursor, p->elements * low);
    m->low_gradients = take(&cursor, p->low_elements * low);
    m->f32_gradients = take(&cursor, p->f32_elements * sizeof(float));
    m->moment1 = take(&cursor, f32);
    if (m->options.optimiser.kind != FM_OPTIMISER_SGD)
        m->moment2 = take(&cursor, f32);
    m->batch = take(&cursor, p->running_elements * sizeof(float));
    m->zeros = take(&cursor, widest_norm(&m->net) * sizeof(float));
    m->state = take(&cursor, sizeof *m->state);
    m->table = take(&cursor, (uint64_t)m->net.param_count * sizeof *m->table);
    m->chunks = take(&cursor, (uint64_t)m->chunk_count * sizeof *m->chunks);
    return cursor.used;
}

// ---- what is in it at first

static void fill_table(const struct fm_model *m, struct fm_cuda_param table[FM_PARAMS_MAX])
{
    for (int i = 0; i < m->net.param_count; i++) {
        const struct fm_param *param = &m->net.params[i];
        const struct fm_cuda_place *place = &m->params.places[i];
        uint32_t flags = param->trainable ? FM_CUDA_PARAM_TRAINED : 0;
        flags |= param->decay ? FM_CUDA_PARAM_DECAYS : 0;
        flags |= place->gradient_f32 ? FM_CUDA_PARAM_GRADIENT_F32 : 0;
        table[i] = (struct fm_cuda_param){
            .offset = place->offset,
            .gradient_offset = place->gradient_offset,
            .count = place->count,
            .flags = flags,
            .lr_multiplier = param->lr_multiplier,
        };
    }
}

static enum fm_status put_update(struct fm_model *m, const struct fm_cuda_param *table)
{
    size_t bytes = (size_t)m->chunk_count * sizeof *m->chunks;
    struct fm_cuda_chunk *chunks = malloc(bytes);
    if (!chunks)
        return fm_fail_memory("chunks of the update", bytes);
    fm_cuda_chunks(table, m->net.param_count, chunks);
    enum fm_status status = fm_cuda_device_put(m->device, m->chunks, chunks, bytes);
    free(chunks);
    FM_TRY(status);
    return fm_cuda_device_put(
        m->device, m->table, table, (size_t)m->net.param_count * sizeof *table);
}

static enum fm_status put_running(struct fm_model *m)
{
    if (m->net.running_count == 0)
        return FM_OK;
    size_t bytes = m->params.running_elements * sizeof(float);
    float *values = calloc(1, bytes);
    if (!values)
        return fm_fail_memory("running statistics", bytes);
    for (int i = 0; i < m->net.running_count; i++)
        for (size_t k = 0; k < m->net.running[i].count; k++)
            values[m->params.running_offsets[i] + k] = m->net.running[i].initial;
    enum fm_status status = fm_cuda_device_put(m->device, m->trained.running, values, bytes);
    if (status == FM_OK && m->options.ema)
        status = fm_cuda_device_put(m->device, m->average.running, values, bytes);
    free(values);
    return status;
}

static enum fm_status put_state(struct fm_model *m)
{
    struct fm_cuda_state state;
    memset(&state, 0, sizeof state);
    state.loss_scale = m->options.precision == FM_PRECISION_FP16 ? FM_LOSS_SCALE_FIRST : 1.0f;
    return fm_cuda_device_put(m->device, m->state, &state, sizeof state);
}

static enum fm_status create_block(struct fm_model *m)
{
    char what[FM_NAME_MAX + 64];
    struct fm_cuda_param table[FM_PARAMS_MAX];
    fill_table(m, table);
    m->chunk_count = (int)fm_cuda_chunks(table, m->net.param_count, NULL);
    m->bytes = cut(m, NULL);
    snprintf(what, sizeof what, "parameters and optimiser state of model '%s'", m->net.name);
    FM_TRY(fm_cuda_device_allocate(m->device, what, m->bytes, &m->block));
    cut(m, m->block);
    FM_CUDA(cudaMemsetAsync(m->block, 0, m->bytes, m->device->compute));
    FM_TRY(put_update(m, table));
    FM_TRY(put_running(m));
    return put_state(m);
}

static enum fm_status create_report(struct fm_cuda_report *report)
{
    void *pinned = NULL;
    FM_CUDA(cudaHostAlloc(&pinned, sizeof *report->sums, cudaHostAllocDefault));
    report->sums = pinned;
    report->pause = REPORT_SECONDS;
    return FM_CUDA_CALL(cudaEventCreateWithFlags(&report->done, cudaEventDisableTiming));
}

enum fm_status fm_cuda_model_create(struct fm_device *device, const struct fm_net *net,
    const struct fm_model_options *options, struct fm_model **model)
{
    FM_TRY(check_options(device, options));
    struct fm_model *m = calloc(1, sizeof *m);
    if (!m)
        return fm_fail_memory("model", sizeof *m);
    m->device = device;
    m->net = *net;
    m->options = *options;
    m->version = 1;
    fm_cuda_params_place(net, type_of(options->precision), &m->params);
    enum fm_status status = create_block(m);
    if (status == FM_OK)
        status = create_report(&m->report);
    if (status != FM_OK) {
        fm_cuda_model_destroy(m);
        return status;
    }
    *model = m;
    return FM_OK;
}

void fm_cuda_model_destroy(struct fm_model *model)
{
    if (!model)
        return;
    (void)fm_cuda_device_use(model->device);
    (void)cudaStreamSynchronize(model->device->compute);
    if (model->report.done)
        (void)cudaEventDestroy(model->report.done);
    (void)cudaFreeHost(model->report.sums); // NULL is allowed
    fm_cuda_device_free(model->device, model->block, model->bytes);
    free(model);
}
