// See rig.h.
#include "reference/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

void fm_rig_must(enum fm_status status, const char *what)
{
    if (status != FM_OK)
        fail_msg("%s: %s: %s", what, fm_status_text(status), fm_error_message());
}

void fm_rig_open(struct fm_rig *rig, const char *backend, const struct fm_net *net,
    const struct fm_optimiser_options *optimiser, uint32_t capacity)
{
    const struct fm_model_options options = {
        .precision = FM_PRECISION_FP32, .optimiser = *optimiser};
    fm_rig_open_as(rig, backend, net, &options, capacity);
}

void fm_rig_open_as(struct fm_rig *rig, const char *backend, const struct fm_net *net,
    const struct fm_model_options *options, uint32_t capacity)
{
    static const struct fm_device_options device = {.threads = 2};
    memset(rig, 0, sizeof *rig);
    rig->net = net;
    fm_module_set_directory(FM_TEST_BINARY_DIR "/modules");
    fm_rig_must(fm_engine_open(backend, &device, &rig->engine), "fm_engine_open");
    rig->api = rig->engine.api;
    fm_rig_must(rig->api->model_create(rig->engine.device, net, options, &rig->model), net->name);
    fm_rig_must(rig->api->staging_create(rig->model, capacity, NULL, &rig->staging), net->name);
}

void fm_rig_close(struct fm_rig *rig)
{
    rig->api->staging_destroy(rig->staging);
    rig->api->model_destroy(rig->model);
    fm_engine_close(&rig->engine);
}

void fm_rig_set(struct fm_rig *rig, enum fm_state_kind kind, const float *data)
{
    const struct fm_net *net = rig->net;
    if (kind == FM_STATE_RUNNING) {
        for (int r = 0; r < net->running_count; r++)
            fm_rig_must(rig->api->model_set(rig->model, kind, net->running[r].name,
                            data + net->running[r].offset, net->running[r].count),
                net->running[r].name);
        return;
    }
    for (int p = 0; p < net->param_count; p++)
        fm_rig_must(rig->api->model_set(rig->model, kind, net->params[p].name,
                        data + net->params[p].offset, net->params[p].count),
            net->params[p].name);
}

void fm_rig_get(struct fm_rig *rig, enum fm_state_kind kind, float *data)
{
    const struct fm_net *net = rig->net;
    if (kind == FM_STATE_RUNNING) {
        for (int r = 0; r < net->running_count; r++)
            fm_rig_must(rig->api->model_get(rig->model, kind, net->running[r].name,
                            data + net->running[r].offset, net->running[r].count),
                net->running[r].name);
        return;
    }
    for (int p = 0; p < net->param_count; p++) {
        const struct fm_param *param = &net->params[p];
        if (kind != FM_STATE_PARAM && !param->trainable)
            memset(data + param->offset, 0, param->count * sizeof *data);
        else
            fm_rig_must(rig->api->model_get(
                            rig->model, kind, param->name, data + param->offset, param->count),
                param->name);
    }
}

struct fm_executor *fm_rig_compile(struct fm_rig *rig, const struct fm_compile_options *options)
{
    struct fm_executor *executor = NULL;
    fm_rig_must(rig->api->compile(rig->model, options, &executor), rig->net->name);
    return executor;
}

struct fm_sums fm_rig_step(
    struct fm_rig *rig, struct fm_executor *executor, int index, const struct fm_plain_batch *batch)
{
    struct fm_slot *slot = rig->api->staging_slot(rig->staging, index);
    struct fm_sums sums;
    uint32_t count = batch->step->count;
    assert_true(count <= slot->capacity);
    fm_rig_must(rig->api->slot_wait(rig->staging, index), "slot_wait");
    memcpy(slot->records, batch->records, (size_t)count * slot->record_size);
    memcpy(slot->labels, batch->labels, count);
    memcpy(slot->ids, batch->ids, count * sizeof *slot->ids);
    *slot->step = *batch->step;
    if (batch->soft_share > 0.0f)
        memcpy(slot->soft_targets, batch->soft_targets,
            count * (size_t)rig->net->classes * sizeof *slot->soft_targets);
    fm_rig_must(rig->api->sums_set(rig->model, &(struct fm_sums){0}), "sums_set");
    fm_rig_must(rig->api->submit(executor, rig->staging, index), "submit");
    fm_rig_must(rig->api->sums_get(rig->model, true, &sums), "sums_get");
    return sums;
}

void fm_rig_predict(struct fm_rig *rig, struct fm_executor *executor, int index,
    const uint8_t *records, uint32_t count, float *logits)
{
    struct fm_slot *slot = rig->api->staging_slot(rig->staging, index);
    assert_true(count <= slot->capacity);
    fm_rig_must(rig->api->slot_wait(rig->staging, index), "slot_wait");
    memcpy(slot->records, records, (size_t)count * slot->record_size);
    memset(slot->labels, 0, count);
    memset(slot->ids, 0, count * sizeof *slot->ids);
    *slot->step = (struct fm_step){.count = count};
    fm_rig_must(rig->api->predict(executor, rig->staging, index, logits), "predict");
}
