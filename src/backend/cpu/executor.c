// Compiles a network and runs its steps: forward, loss, backward, update, each a loop over
// operations.
#include "backend/cpu/executor.h"

#include "backend/compile_options.h"
#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- compiling

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
        op->trains = fm_layer_trains(net, layer);
        trained_before = trained_before || op->trains;
    }
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
    if (!fm_executor_trains(e))
        FM_TRY(fm_cpu_scores_allocate(e));
    FM_TRY(fm_cpu_create_values(e));
    for (int i = 0; i < e->op_count; i++)
        if (e->ops[i]->class->connect)
            FM_TRY(e->ops[i]->class->connect(e->ops[i]));
    FM_TRY(fm_cpu_allocate(e));
    for (int i = 0; i < e->op_count; i++)
        if (e->ops[i]->class->bind)
            FM_TRY(e->ops[i]->class->bind(e->ops[i]));
    return FM_OK;
}

enum fm_status fm_cpu_compile(
    struct fm_model *model, const struct fm_compile_options *options, struct fm_executor **executor)
{
    FM_TRY(fm_compile_check(&model->net, options, model->average.params != NULL));
    struct fm_executor *e = calloc(1, sizeof *e);
    if (!e)
        return fm_fail_memory("executor", sizeof *e);
    e->model = model;
    e->weights = options->average ? &model->average : &model->trained;
    e->options = *options;
    enum fm_status status = build(e);
    if (status != FM_OK) {
        fm_cpu_executor_destroy(e);
        return fm_context(status, "model '%s', batch %d", model->net.name, options->batch);
    }
    model->is_trained = model->is_trained || options->mode == FM_MODE_TRAIN;
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
    fm_buffers_free(&e->buffers);
    fm_workspace_release(&e->model->workspace, &e->share);
    free(e);
}

// ---- running

// Emulation: what a pass has stored is rounded, once an operation, fused or not.
static void round_stored(const struct fm_op *op, enum fm_op_pass which)
{
    const struct fm_model *m = op->executor->model;
    if (which == FM_PASS_FORWARD && !op->out->logits)
        fm_cpu_model_round(m, fm_view_size(&op->out->view), op->out->activation.data);
    if (which == FM_PASS_DATA)
        fm_cpu_model_round(m, fm_view_size(&op->in->view), op->in->gradient.data);
}

static enum fm_status compute_pass(
    struct fm_op *op, enum fm_op_pass which, const struct fm_pass *pass)
{
    FM_TRY(op->class->run[which](op, pass));
    round_stored(op, which);
    return FM_OK;
}

// The same, its time added where a profile is wanted.
static enum fm_status run_pass(
    struct fm_op *op, enum fm_op_pass which, const struct fm_pass *pass, struct fm_op_time *time)
{
    if (!op->executor->options.profile)
        return compute_pass(op, which, pass);
    double start = fm_clock_seconds();
    enum fm_status status = compute_pass(op, which, pass);
    time->seconds += fm_clock_seconds() - start;
    time->calls++;
    return status;
}

static enum fm_status forward(struct fm_executor *e, const struct fm_pass *pass)
{
    for (int i = 0; i < e->op_count; i++)
        FM_TRY(run_pass(e->ops[i], FM_PASS_FORWARD, pass, &e->ops[i]->times[FM_PASS_FORWARD]));
    return FM_OK;
}

static enum fm_status backward(struct fm_executor *e, const struct fm_pass *pass)
{
    for (int i = e->op_count - 1; i >= 0; i--) {
        struct fm_op *op = e->ops[i];
        if (!op->trains && !op->input_gradient)
            break;
        for (int which = FM_PASS_PREPARE; which < FM_PASS_COUNT; which++) {
            if (!fm_op_runs(op, (enum fm_op_pass)which))
                continue;
            if (op->recomputes && op->recomputes_at == (enum fm_op_pass)which)
                FM_TRY(run_pass(op->recomputes, FM_PASS_FORWARD, pass, &op->recomputing));
            FM_TRY(run_pass(op, (enum fm_op_pass)which, pass, &op->times[which]));
        }
    }
    return FM_OK;
}

// Returns whether the loss is finite.
static bool compute_loss(struct fm_executor *e, const struct fm_pass *pass)
{
    struct fm_model *m = e->model;
    const struct fm_value *logits = &e->values[e->op_count - 1];
    double loss;
    uint64_t correct;
    float *gradient = e->logit_gradient ? e->logit_gradient : logits->gradient.data;
    const struct fm_loss_work work = {
        .logits = logits->activation.data,
        .labels = pass->slot->labels,
        .ids = pass->slot->ids,
        .count = (int)pass->step->count,
        .classes = m->net.classes,
        .smoothing = e->options.label_smoothing,
        .mix = fm_compile_mix_ranges(&e->options, &m->net.input),
        .soft_share = e->options.soft_share,
        .soft_targets = pass->slot->soft_targets,
        .seed = pass->step->seed,
        .epoch = pass->step->epoch,
        .loss_scale = m->counters.loss_scale,
        .gradient = gradient,
    };
    m->device->kernels->loss(&work, &loss, &correct);
    fm_cpu_model_round(m, fm_view_size(&logits->view), gradient);
    if (e->logit_gradient)
        m->device->kernels->narrow(fm_view_size(&logits->view), gradient, logits->gradient.data);
    m->sums.loss += loss;
    m->sums.correct += correct;
    m->sums.count += pass->step->count;
    return isfinite(loss);
}

enum fm_status fm_cpu_check_labels(const struct fm_executor *e, const struct fm_slot *slot)
{
    for (uint32_t i = 0; i < slot->step->count; i++)
        if (slot->labels[i] >= e->model->net.classes)
            return fm_fail(FM_DATA, "sample %u has label %u; model '%s' has %d classes",
                slot->ids[i], slot->labels[i], e->model->net.name, e->model->net.classes);
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
    FM_TRY(fm_cpu_check_labels(e, pass.slot));
    FM_TRY(forward(e, &pass));
    double start = fm_clock_seconds();
    bool finite = compute_loss(e, &pass);
    e->loss_seconds += fm_clock_seconds() - start;
    FM_TRY(backward(e, &pass));
    start = fm_clock_seconds();
    fm_cpu_model_update(e->model, pass.step, finite);
    e->update_seconds += fm_clock_seconds() - start;
    e->update_calls++;
    return FM_OK;
}

enum fm_status fm_cpu_infer(
    struct fm_executor *e, struct fm_staging *staging, int slot, const struct fm_value **output)
{
    struct fm_pass pass = {&staging->slots[slot], staging->slots[slot].step, false};
    if (e->options.mode != FM_MODE_INFER)
        return fm_fail(FM_USAGE, "predict: this executor was compiled for training");
    if (pass.step->count < 1 || (int)pass.step->count > e->options.batch)
        return fm_fail(FM_USAGE, "predict: %u samples, but this executor's batch is %d",
            pass.step->count, e->options.batch);
    FM_TRY(forward(e, &pass));
    *output = &e->values[e->op_count - 1];
    return FM_OK;
}

enum fm_status fm_cpu_predict(
    struct fm_executor *e, struct fm_staging *staging, int slot, float *logits)
{
    const struct fm_value *output = NULL;
    FM_TRY(fm_cpu_infer(e, staging, slot, &output));
    uint32_t count = staging->slots[slot].step->count;
    if (output->logits) // fp32 and plain already
        memcpy(logits, output->activation.data,
            count * (size_t)e->model->net.classes * sizeof *logits);
    else
        fm_view_to_canonical(&output->view, (int)count, output->shape.c, output->element,
            output->activation.data, logits);
    return FM_OK;
}
