// Compiles a network and runs its steps: forward, loss, backward, update, each a loop over
// operations.
#include "backend/cpu/executor.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fm_staging {
    struct fm_buffers buffers;
    struct fm_slot slots[FM_SLOTS];
};

// ---- helpers declared in op.h

enum fm_status fm_op_new(const struct fm_op_place *place, const struct fm_op_class *class,
    size_t size, struct fm_op **out)
{
    struct fm_op *op = calloc(1, size);
    if (!op)
        return fm_fail_memory("operation", size);
    const struct fm_net *net = &place->executor->model->net;
    op->class = class;
    op->executor = place->executor;
    op->layer = place->layer;
    op->in = place->in;
    op->out = place->out;
    snprintf(op->name, sizeof op->name, "%s",
        place->layer >= 0 ? net->layers[place->layer].name : "input");
    *out = op;
    return FM_OK;
}

enum fm_status fm_op_same_layout(struct fm_op *op, struct fm_shape shape)
{
    op->out->shape = shape;
    const struct fm_view *v = &op->in->view;
    if (shape.h == op->in->shape.h && shape.w == op->in->shape.w)
        return fm_md_copy(&op->out->md, &op->in->md);
    dnnl_format_tag_t tag = v->block == 1    ? dnnl_nchw
                            : v->block == 4  ? dnnl_nChw4c
                            : v->block == 8  ? dnnl_nChw8c
                            : v->block == 16 ? dnnl_nChw16c
                                             : dnnl_nhwc;
    int dims[4] = {v->n, shape.c, shape.h, shape.w};
    return fm_md_create(&op->out->md, 4, dims, dnnl_f32, tag);
}

enum fm_status fm_op_buffer(struct fm_op *op, size_t bytes, void **data)
{
    return fm_buffers_add(&op->executor->buffers, bytes, op->name, data);
}

void fm_op_moves(struct fm_op *op, enum fm_op_pass pass, double inputs, double outputs)
{
    const struct fm_net *net = &op->executor->model->net;
    double in = (double)fm_shape_size(net->layers[op->layer].in);
    double out = (double)fm_shape_size(net->layers[op->layer].out);
    op->bytes[pass] = 4.0 * op->executor->options.batch * (inputs * in + outputs * out);
}

static enum fm_status register_primitive(struct fm_executor *e, struct fm_primitive *p)
{
    if (e->primitive_count == e->primitive_capacity) {
        int capacity = e->primitive_capacity ? 2 * e->primitive_capacity : 32;
        struct fm_primitive **list = realloc(e->primitives, (size_t)capacity * sizeof(*list));
        if (!list)
            return fm_fail_memory("primitives", (size_t)capacity * sizeof(*list));
        e->primitives = list;
        e->primitive_capacity = capacity;
    }
    e->primitives[e->primitive_count++] = p;
    return FM_OK;
}

enum fm_status fm_primitive_create(
    struct fm_executor *e, struct fm_primitive *p, dnnl_primitive_desc_t pd, const char *where)
{
    snprintf(p->plan, sizeof p->plan, "%s", fm_pd_implementation(pd));
    enum fm_status status = fm_pd_md(pd, dnnl_query_scratchpad_md, &p->scratch_md);
    if (status == FM_OK)
        status = fm_dnnl_check(
            dnnl_primitive_create(&p->primitive, pd), "dnnl_primitive_create", where);
    dnnl_primitive_desc_destroy(pd);
    return status == FM_OK ? register_primitive(e, p) : status;
}

enum fm_status fm_primitive_run(const struct fm_executor *e, const struct fm_primitive *p,
    dnnl_exec_arg_t *args, int count, const char *where)
{
    if (p->scratchpad)
        args[count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, p->scratchpad};
    FM_DNNL(dnnl_primitive_execute(p->primitive, e->model->device->stream, count, args), where);
    return FM_OK;
}

void fm_primitive_free(struct fm_primitive *p)
{
    if (p->scratchpad)
        dnnl_memory_destroy(p->scratchpad);
    if (p->primitive)
        dnnl_primitive_destroy(p->primitive);
    fm_md_free(&p->scratch_md);
    memset(p, 0, sizeof *p);
}

// ---- compiling

// Primitives run one after another, so one scratchpad of the largest size serves them all.
static enum fm_status share_scratchpad(struct fm_executor *e)
{
    size_t largest = 0;
    for (int i = 0; i < e->primitive_count; i++) {
        size_t bytes = fm_md_bytes(&e->primitives[i]->scratch_md);
        largest = bytes > largest ? bytes : largest;
    }
    if (largest == 0)
        return FM_OK;
    void *data = NULL;
    FM_TRY(fm_buffers_add(&e->buffers, largest, "scratchpad", &data));
    for (int i = 0; i < e->primitive_count; i++) {
        struct fm_primitive *p = e->primitives[i];
        if (fm_md_bytes(&p->scratch_md) > 0)
            FM_TRY(
                fm_memory_create(&p->scratchpad, &p->scratch_md, e->model->device->engine, data));
    }
    return FM_OK;
}

static bool param_trains(const struct fm_net *net, int index)
{
    return index >= 0 && net->params[index].trainable;
}

// Marks what the backward has to compute: nothing in front of the first trained parameter.
static void mark_backward(struct fm_executor *e)
{
    const struct fm_net *net = &e->model->net;
    bool trained_before = false;
    for (int i = 0; i < e->op_count; i++) {
        struct fm_op *op = e->ops[i];
        op->input_gradient = trained_before;
        if (op->layer < 0 || !op->class->run[FM_PASS_WEIGHTS])
            continue;
        const struct fm_layer *layer = &net->layers[op->layer];
        op->trains = param_trains(net, layer->weight) || param_trains(net, layer->bias);
        trained_before = trained_before || op->trains;
    }
}

static enum fm_status allocate(struct fm_executor *e, size_t bytes, float **data)
{
    void *memory = NULL;
    FM_TRY(fm_buffers_add(&e->buffers, bytes, "activations", &memory));
    *data = memory;
    return FM_OK;
}

// Training keeps every activation for the backward; inference needs two at a time.
static enum fm_status allocate_activations(struct fm_executor *e)
{
    bool keep = fm_executor_trains(e) || e->options.probe;
    float *pair[2] = {NULL, NULL};
    if (!keep) {
        size_t largest = 0;
        for (int i = 0; i < e->op_count; i++) {
            size_t bytes = fm_md_bytes(&e->values[i].md);
            largest = bytes > largest ? bytes : largest;
        }
        FM_TRY(allocate(e, largest, &pair[0]));
        FM_TRY(allocate(e, largest, &pair[1]));
    }
    int side = 0;
    for (int i = 0; i < e->op_count; i++) {
        struct fm_value *value = &e->values[i];
        float *data = NULL;
        if (e->ops[i]->in_place)
            data = e->ops[i]->in->activation.data;
        else if (keep)
            FM_TRY(allocate(e, fm_md_bytes(&value->md), &data));
        else
            data = pair[side ^= 1];
        FM_TRY(fm_tensor_mem_create(&value->activation, e->model->device, &value->md, data));
    }
    return FM_OK;
}

// Gradients flow through two buffers, or one where an operation can work in place; a probe keeps
// each.
static enum fm_status allocate_gradients(struct fm_executor *e)
{
    size_t largest = 0;
    for (int i = 0; i < e->op_count; i++) {
        size_t bytes = fm_md_bytes(&e->values[i].md);
        largest = bytes > largest ? bytes : largest;
    }
    float *pair[2] = {NULL, NULL};
    if (!e->options.probe) {
        FM_TRY(allocate(e, largest, &pair[0]));
        FM_TRY(allocate(e, largest, &pair[1]));
    }
    int side = 0;
    for (int i = e->op_count - 1; i >= 0; i--) {
        struct fm_value *value = &e->values[i];
        const struct fm_op *reader = i + 1 < e->op_count ? e->ops[i + 1] : NULL;
        if (reader && !reader->input_gradient)
            break; // nothing in front of it is trained
        float *data = NULL;
        if (reader && (reader->in_place || (reader->class->gradient_in_place && !e->options.probe)))
            data = reader->out->gradient.data;
        else if (e->options.probe)
            FM_TRY(allocate(e, fm_md_bytes(&value->md), &data));
        else
            data = pair[side ^= 1];
        FM_TRY(fm_tensor_mem_create(&value->gradient, e->model->device, &value->md, data));
    }
    return FM_OK;
}

static enum fm_status build(struct fm_executor *e)
{
    // Each layer becomes at most two operations (its own and its bias), and the input one.
    size_t most = 2 * (size_t)e->model->net.layer_count + 1;
    e->values = calloc(most, sizeof *e->values);
    e->ops = calloc(most, sizeof(*e->ops));
    if (!e->values || !e->ops)
        return fm_fail_memory("operations", most * sizeof *e->values);
    FM_TRY(fm_lower(e));
    if (fm_executor_trains(e))
        mark_backward(e);
    FM_TRY(allocate_activations(e));
    if (fm_executor_trains(e))
        FM_TRY(allocate_gradients(e));
    for (int i = 0; i < e->op_count; i++)
        if (e->ops[i]->class->connect)
            FM_TRY(e->ops[i]->class->connect(e->ops[i]));
    return share_scratchpad(e);
}

enum fm_status fm_cpu_compile(
    struct fm_model *model, const struct fm_compile_options *options, struct fm_executor **executor)
{
    if (options->batch < 1)
        return fm_fail(FM_USAGE, "a batch of %d: expected at least 1", options->batch);
    struct fm_executor *e = calloc(1, sizeof *e);
    if (!e)
        return fm_fail_memory("executor", sizeof *e);
    e->model = model;
    e->options = *options;
    enum fm_status status = build(e);
    if (status != FM_OK) {
        fm_cpu_executor_destroy(e);
        return fm_context(status, "model '%s', batch %d", model->net.name, options->batch);
    }
    *executor = e;
    return FM_OK;
}

void fm_cpu_executor_destroy(struct fm_executor *e)
{
    if (!e)
        return;
    for (int i = 0; i < e->op_count; i++) {
        if (e->ops[i]->class->destroy)
            e->ops[i]->class->destroy(e->ops[i]);
        fm_tensor_mem_free(&e->values[i].activation);
        fm_tensor_mem_free(&e->values[i].gradient);
        fm_md_free(&e->values[i].md);
        free(e->ops[i]);
    }
    free(e->ops);
    free(e->values);
    free(e->primitives);
    fm_buffers_free(&e->buffers);
    free(e);
}

// ---- running

static enum fm_status run_pass(struct fm_op *op, enum fm_op_pass which, const struct fm_pass *pass)
{
    if (!op->class->run[which])
        return FM_OK;
    if (!op->executor->options.profile)
        return op->class->run[which](op, pass);
    double start = fm_clock_seconds();
    enum fm_status status = op->class->run[which](op, pass);
    op->seconds[which] += fm_clock_seconds() - start;
    op->calls[which]++;
    return status;
}

static enum fm_status forward(struct fm_executor *e, const struct fm_pass *pass)
{
    for (int i = 0; i < e->op_count; i++)
        FM_TRY(run_pass(e->ops[i], FM_PASS_FORWARD, pass));
    return FM_OK;
}

static enum fm_status backward(struct fm_executor *e, const struct fm_pass *pass)
{
    for (int i = e->op_count - 1; i >= 0; i--) {
        struct fm_op *op = e->ops[i];
        if (!op->trains && !op->input_gradient)
            break;
        FM_TRY(run_pass(op, FM_PASS_PREPARE, pass));
        if (op->trains)
            FM_TRY(run_pass(op, FM_PASS_WEIGHTS, pass));
        if (op->input_gradient)
            FM_TRY(run_pass(op, FM_PASS_DATA, pass));
    }
    return FM_OK;
}

static void compute_loss(struct fm_executor *e, const struct fm_pass *pass)
{
    struct fm_model *m = e->model;
    const struct fm_value *logits = &e->values[e->op_count - 1];
    double loss;
    uint64_t correct;
    m->device->kernels->loss(logits->activation.data, pass->slot->labels, (int)pass->step->count,
        m->net.classes, e->options.label_smoothing, m->counters.loss_scale, logits->gradient.data,
        &loss, &correct);
    m->sums.loss += loss;
    m->sums.correct += correct;
    m->sums.count += pass->step->count;
}

static enum fm_status check_labels(const struct fm_executor *e, const struct fm_pass *pass)
{
    for (uint32_t i = 0; i < pass->step->count; i++)
        if (pass->slot->labels[i] >= e->model->net.classes)
            return fm_fail(FM_DATA, "sample %u has label %u; model '%s' has %d classes",
                pass->slot->ids[i], pass->slot->labels[i], e->model->net.name,
                e->model->net.classes);
    return FM_OK;
}

// The training step.
enum fm_status fm_cpu_submit(struct fm_executor *e, struct fm_staging *staging, int slot)
{
    struct fm_pass pass = {&staging->slots[slot], staging->slots[slot].step, true};
    if (e->options.mode != FM_MODE_TRAIN)
        return fm_fail(FM_USAGE, "submit: this executor was compiled for inference");
    if ((int)pass.step->count != e->options.batch)
        return fm_fail(FM_USAGE, "submit: %u samples, but this executor's batch is %d",
            pass.step->count, e->options.batch);
    FM_TRY(check_labels(e, &pass));
    FM_TRY(forward(e, &pass));
    double start = fm_clock_seconds();
    compute_loss(e, &pass);
    e->loss_seconds += fm_clock_seconds() - start;
    FM_TRY(backward(e, &pass));
    start = fm_clock_seconds();
    fm_cpu_model_update(e->model, pass.step);
    e->update_seconds += fm_clock_seconds() - start;
    e->update_calls++;
    return FM_OK;
}

enum fm_status fm_cpu_predict(
    struct fm_executor *e, struct fm_staging *staging, int slot, float *logits)
{
    struct fm_pass pass = {&staging->slots[slot], staging->slots[slot].step, false};
    if (e->options.mode != FM_MODE_INFER)
        return fm_fail(FM_USAGE, "predict: this executor was compiled for training");
    if (pass.step->count < 1 || (int)pass.step->count > e->options.batch)
        return fm_fail(FM_USAGE, "predict: %u samples, but this executor's batch is %d",
            pass.step->count, e->options.batch);
    FM_TRY(forward(e, &pass));
    const struct fm_value *last = &e->values[e->op_count - 1];
    size_t count = (size_t)pass.step->count * (size_t)e->model->net.classes;
    memcpy(logits, last->activation.data, count * sizeof *logits);
    return FM_OK;
}

// ---- looking inside

// From [n][c / block][h][w][block] to [n][c][h][w], dropping padding channels.
static void to_canonical(
    const struct fm_view *v, struct fm_shape shape, const float *from, float *to)
{
    int pixels = shape.h * shape.w;
    for (int n = 0; n < v->n; n++)
        for (int c = 0; c < shape.c; c++)
            for (int i = 0; i < pixels; i++) {
                size_t plane = (size_t)n * (size_t)(v->c / v->block) + (size_t)(c / v->block);
                size_t at = (plane * (size_t)pixels + (size_t)i) * (size_t)v->block;
                *to++ = from[at + (size_t)(c % v->block)];
            }
}

enum fm_status fm_cpu_executor_read(
    struct fm_executor *e, int layer, enum fm_probe probe, float *data, size_t count)
{
    if (!e->options.probe)
        return fm_fail(FM_USAGE, "executor_read: this executor was not compiled for probing");
    if (layer < -1 || layer >= e->model->net.layer_count)
        return fm_fail(FM_USAGE, "executor_read: layer %d of %d", layer, e->model->net.layer_count);
    const struct fm_value *value = &e->values[layer < 0 ? 0 : e->layer_op[layer]];
    const struct fm_tensor_mem *tensor = probe == FM_PROBE_ACTIVATION ? &value->activation
                                                                      : &value->gradient;
    size_t have = fm_shape_size(value->shape) * (size_t)e->options.batch;
    if (count != have)
        return fm_fail(FM_USAGE, "executor_read: %zu elements, expected %zu", count, have);
    if (!tensor->data)
        return fm_fail(FM_NOT_FOUND, "executor_read: no gradient flows to layer %d", layer);
    to_canonical(&value->view, value->shape, tensor->data, data);
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

static void add_op_entry(const struct fm_op *op, enum fm_op_pass pass,
    struct fm_profile_entry *entries, size_t capacity, size_t *count)
{
    if (op->calls[pass] == 0)
        return;
    struct fm_profile_entry entry = {
        .seconds = op->seconds[pass],
        .calls = op->calls[pass],
        .flops = op->flops[pass],
        .bytes = op->bytes[pass],
    };
    snprintf(entry.layer, sizeof entry.layer, "%s", op->name);
    snprintf(entry.pass, sizeof entry.pass, "%s", pass_names[pass]);
    snprintf(entry.plan, sizeof entry.plan, "%s",
        op->plans[pass] ? op->plans[pass] : op->executor->model->device->kernels->name);
    add_entry(entries, capacity, count, &entry);
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
        add_op_entry(e->ops[i], FM_PASS_FORWARD, entries, capacity, count);
    if (e->update_calls == 0)
        return FM_OK;
    add_whole_entry(e, "loss", e->loss_seconds, 8.0 * e->options.batch * e->model->net.classes,
        entries, capacity, count);
    for (int i = e->op_count - 1; i >= 0; i--)
        for (int pass = FM_PASS_PREPARE; pass < FM_PASS_COUNT; pass++)
            add_op_entry(e->ops[i], (enum fm_op_pass)pass, entries, capacity, count);
    // Adam reads and writes parameter and both moments and reads the gradient twice (finite check,
    // update).
    add_whole_entry(e, "update", e->update_seconds,
        8.0 * 4.0 * (double)e->model->net.param_elements, entries, capacity, count);
    return FM_OK;
}

uint64_t fm_cpu_executor_memory(const struct fm_executor *e)
{
    return e->buffers.bytes;
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

// ---- staging

static enum fm_status fill_slot(
    struct fm_staging *s, struct fm_slot *slot, uint32_t capacity, uint32_t record_size)
{
    void *data = NULL;
    slot->capacity = capacity;
    slot->record_size = record_size;
    FM_TRY(fm_buffers_add(&s->buffers, (size_t)capacity * record_size, "staged records", &data));
    slot->records = data;
    FM_TRY(fm_buffers_add(&s->buffers, capacity, "staged labels", &data));
    slot->labels = data;
    FM_TRY(fm_buffers_add(&s->buffers, (size_t)capacity * sizeof *slot->ids, "staged ids", &data));
    slot->ids = data;
    FM_TRY(fm_buffers_add(&s->buffers, sizeof *slot->step, "staged step", &data));
    slot->step = data;
    return FM_OK;
}

enum fm_status fm_cpu_staging_create(
    struct fm_model *model, uint32_t capacity, struct fm_staging **staging)
{
    if (capacity < 1)
        return fm_fail(FM_USAGE, "staging for no samples");
    struct fm_staging *s = calloc(1, sizeof *s);
    if (!s)
        return fm_fail_memory("staging", sizeof *s);
    uint32_t record_size = (uint32_t)(model->net.input.rows * model->net.input.cols);
    for (int i = 0; i < FM_SLOTS; i++) {
        enum fm_status status = fill_slot(s, &s->slots[i], capacity, record_size);
        if (status != FM_OK) {
            fm_cpu_staging_destroy(s);
            return status;
        }
    }
    *staging = s;
    return FM_OK;
}

void fm_cpu_staging_destroy(struct fm_staging *staging)
{
    if (!staging)
        return;
    fm_buffers_free(&staging->buffers);
    free(staging);
}

struct fm_slot *fm_cpu_staging_slot(struct fm_staging *staging, int slot)
{
    return &staging->slots[slot];
}

enum fm_status fm_cpu_slot_wait(struct fm_staging *staging, int slot)
{
    (void)staging;
    (void)slot;
    return FM_OK;
}
