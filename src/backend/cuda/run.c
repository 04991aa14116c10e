// Enqueues a command: its references become pointers, and one launch or library call follows.
#include "backend/cuda/executor.h"

#include <assert.h>

// Where a tensor of this run lies; NULL where the command has none.
static void *address(const struct fm_cuda_binding *b, const struct fm_cuda_ref *ref)
{
    const struct fm_model *m = b->model;
    unsigned char *base = NULL;
    switch (ref->space) {
    case FM_SPACE_NONE:
        return NULL;
    case FM_SPACE_ARENA:
        base = b->arena + b->program->buffers[ref->index].offset;
        break;
    case FM_SPACE_MASTER:
        base = (unsigned char *)b->weights->params;
        break;
    case FM_SPACE_WORKING: // in fp32 the masters are what is computed with
        base = m->working ? m->working : (unsigned char *)b->weights->params;
        break;
    case FM_SPACE_GRADIENT_LOW:
        base = m->low_gradients;
        break;
    case FM_SPACE_GRADIENT_F32:
        base = (unsigned char *)m->f32_gradients;
        break;
    case FM_SPACE_RUNNING:
        base = (unsigned char *)b->weights->running;
        break;
    case FM_SPACE_BATCH:
        base = (unsigned char *)m->batch;
        break;
    case FM_SPACE_ZEROS:
        base = (unsigned char *)m->zeros;
        break;
    }
    assert(base);
    return base + ref->offset;
}

// A command's tensors, by role.
struct tensors {
    void *at[FM_TENSOR_ROLES];
};

// ---- what inference computes with

static cudaError_t run_fold(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream)
{
    (void)b;
    struct fm_cuda_fold work = c->of.fold;
    work.weight = t->at[FM_TENSOR_WEIGHT];
    work.bias = t->at[FM_TENSOR_BIAS];
    work.gamma = t->at[FM_TENSOR_SCALE];
    work.beta = t->at[FM_TENSOR_SHIFT];
    work.running_mean = t->at[FM_TENSOR_RUNNING_MEAN];
    work.running_variance = t->at[FM_TENSOR_RUNNING_VARIANCE];
    work.folded_weight = t->at[FM_TENSOR_DWEIGHT];
    work.folded_bias = t->at[FM_TENSOR_DBIAS];
    return fm_launch_fold(&work, stream);
}

static cudaError_t run_cast(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream)
{
    (void)b;
    struct fm_cuda_cast work = c->of.cast;
    work.from = t->at[FM_TENSOR_X];
    work.to = t->at[FM_TENSOR_Y];
    return fm_launch_cast(&work, stream);
}

// ---- layers

static cudaError_t run_input(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream)
{
    struct fm_cuda_input work = c->of.input;
    work.records = b->slot->records;
    work.ids = b->slot->ids;
    work.step = b->slot->step;
    work.gather = b->slot->gather;
    work.out = t->at[FM_TENSOR_Y];
    return fm_launch_input(&work, stream);
}

static cudaError_t run_features(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream)
{
    struct fm_cuda_features work = c->of.features;
    work.records = (const float *)(const void *)b->slot->records; // staging aligns them
    work.ids = b->slot->ids;
    work.step = b->slot->step;
    work.gather = b->slot->gather;
    work.out = t->at[FM_TENSOR_Y];
    return fm_launch_features(&work, stream);
}

static cudaError_t run_bias(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream)
{
    (void)b;
    struct fm_cuda_bias work = c->of.bias;
    work.bias = t->at[FM_TENSOR_BIAS];
    work.y = t->at[FM_TENSOR_Y];
    work.dy = t->at[FM_TENSOR_DY];
    work.gate = t->at[FM_TENSOR_GATE];
    work.dx = t->at[FM_TENSOR_DX];
    work.gradient = t->at[FM_TENSOR_DBIAS];
    work.scratch = t->at[FM_TENSOR_SCRATCH];
    return c->kind == FM_COMMAND_BIAS_FORWARD ? fm_launch_bias_forward(&work, stream)
                                              : fm_launch_bias_backward(&work, stream);
}

static cudaError_t run_relu(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream)
{
    (void)b;
    struct fm_cuda_relu work = c->of.relu;
    work.x = t->at[FM_TENSOR_X];
    work.y = t->at[FM_TENSOR_Y];
    work.gate = t->at[FM_TENSOR_GATE];
    work.dy = t->at[FM_TENSOR_DY];
    work.dx = t->at[FM_TENSOR_DX];
    return c->kind == FM_COMMAND_RELU_FORWARD ? fm_launch_relu_forward(&work, stream)
                                              : fm_launch_relu_backward(&work, stream);
}

static cudaError_t run_norm(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream)
{
    (void)b;
    struct fm_cuda_norm work = c->of.norm;
    work.x = t->at[FM_TENSOR_X];
    work.y = t->at[FM_TENSOR_Y];
    work.gamma = t->at[FM_TENSOR_SCALE];
    work.beta = t->at[FM_TENSOR_SHIFT];
    work.mean = t->at[FM_TENSOR_MEAN];
    work.inverse = t->at[FM_TENSOR_INVERSE];
    work.batch_mean = t->at[FM_TENSOR_BATCH_MEAN];
    work.batch_variance = t->at[FM_TENSOR_BATCH_VARIANCE];
    work.running_mean = t->at[FM_TENSOR_RUNNING_MEAN];
    work.running_variance = t->at[FM_TENSOR_RUNNING_VARIANCE];
    work.dy = t->at[FM_TENSOR_DY];
    work.dx = t->at[FM_TENSOR_DX];
    work.dgamma = t->at[FM_TENSOR_DSCALE];
    work.dbeta = t->at[FM_TENSOR_DSHIFT];
    work.coefficients = t->at[FM_TENSOR_COEFFICIENTS];
    work.scratch = t->at[FM_TENSOR_SCRATCH];
    switch (c->kind) {
    case FM_COMMAND_NORM_TRAINING:
        return fm_launch_norm_training(&work, stream);
    case FM_COMMAND_NORM_INFERENCE:
        return fm_launch_norm_inference(&work, stream);
    default:
        return fm_launch_norm_backward(&work, stream);
    }
}

static cudaError_t run_maxpool(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream)
{
    (void)b;
    struct fm_cuda_maxpool work = c->of.maxpool;
    work.x = t->at[FM_TENSOR_X];
    work.y = t->at[FM_TENSOR_Y];
    work.index = t->at[FM_TENSOR_MASK];
    work.dy = t->at[FM_TENSOR_DY];
    work.gate = t->at[FM_TENSOR_GATE];
    work.dx = t->at[FM_TENSOR_DX];
    return c->kind == FM_COMMAND_MAXPOOL_FORWARD ? fm_launch_maxpool_forward(&work, stream)
                                                 : fm_launch_maxpool_backward(&work, stream);
}

static cudaError_t run_meanpool(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream)
{
    (void)b;
    struct fm_cuda_meanpool work = c->of.meanpool;
    bool forward = c->kind == FM_COMMAND_MEANPOOL_FORWARD;
    work.from = t->at[forward ? FM_TENSOR_X : FM_TENSOR_DY];
    work.to = t->at[forward ? FM_TENSOR_Y : FM_TENSOR_DX];
    return forward ? fm_launch_meanpool_forward(&work, stream)
                   : fm_launch_meanpool_backward(&work, stream);
}

static cudaError_t run_dropout(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream)
{
    struct fm_cuda_dropout work = c->of.dropout;
    bool forward = c->kind == FM_COMMAND_DROPOUT_FORWARD;
    work.from = t->at[forward ? FM_TENSOR_X : FM_TENSOR_DY];
    work.to = t->at[forward ? FM_TENSOR_Y : FM_TENSOR_DX];
    work.keep = t->at[FM_TENSOR_MASK];
    work.ids = b->slot->ids;
    work.step = b->slot->step;
    return forward ? fm_launch_dropout_forward(&work, stream)
                   : fm_launch_dropout_backward(&work, stream);
}

// ---- the ends of a program

static cudaError_t run_cross_entropy(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream)
{
    struct fm_cuda_cross_entropy work = c->of.cross_entropy;
    work.logits = t->at[FM_TENSOR_X];
    work.labels = b->slot->labels;
    work.ids = b->slot->ids;
    work.step = b->slot->step;
    work.gather = b->slot->gather;
    work.soft_targets = b->slot->soft_targets;
    work.gradient = t->at[FM_TENSOR_DX];
    work.state = b->model->state;
    return fm_launch_cross_entropy(&work, stream);
}

// Logits for the host, or scores that stay here.
static cudaError_t run_metrics(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream)
{
    struct fm_cuda_metrics work = c->of.metrics;
    work.logits = t->at[FM_TENSOR_X];
    work.step = b->slot->step;
    if (b->scores) {
        work.labels = b->slot->labels;
        work.ids = b->slot->gather ? b->slot->ids : NULL;
        work.sums = b->scores;
        work.confusion = b->confusion;
    } else {
        work.compact = t->at[FM_TENSOR_Y];
    }
    return fm_launch_metrics(&work, stream);
}

static cudaError_t run_layout(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream)
{
    (void)b;
    struct fm_cuda_layout work = c->of.layout;
    work.from = t->at[FM_TENSOR_X];
    work.to = t->at[FM_TENSOR_Y];
    return fm_launch_layout(&work, stream);
}

static cudaError_t run_finite(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream)
{
    struct fm_cuda_finite work = c->of.finite;
    work.gradients = t->at[FM_TENSOR_X];
    work.state = b->model->state;
    return fm_launch_finite(&work, stream);
}

static cudaError_t run_step(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream)
{
    (void)c;
    (void)t;
    const struct fm_model_options *o = &b->model->options;
    struct fm_cuda_decision work = {.state = b->model->state,
        .scaled = o->precision == FM_PRECISION_FP16,
        .beta1 = o->optimiser.beta1,
        .beta2 = o->optimiser.beta2};
    return fm_launch_step(&work, stream);
}

static cudaError_t run_update(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream)
{
    (void)c;
    (void)t;
    const struct fm_model *m = b->model;
    const struct fm_optimiser_options *o = &m->options.optimiser;
    struct fm_cuda_update work = {
        .optimiser = o->kind == FM_OPTIMISER_SGD ? FM_CUDA_SGD : FM_CUDA_ADAM,
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .epsilon = o->epsilon,
        .momentum = o->momentum,
        .nesterov = o->nesterov,
        .params = m->table,
        .chunks = m->chunks,
        .chunk_count = m->chunk_count,
        .type = m->params.type,
        .low_gradients = m->low_gradients,
        .f32_gradients = m->f32_gradients,
        .masters = m->trained.params,
        .moment1 = m->moment1,
        .moment2 = m->moment2,
        .average = m->average.params,
        .working = m->working,
        .step = b->slot->step,
        .state = m->state,
    };
    return fm_launch_update(&work, stream);
}

static cudaError_t run_commit(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream)
{
    (void)c;
    (void)t;
    const struct fm_model *m = b->model;
    struct fm_cuda_commit work = {.count = m->params.running_elements,
        .momentum = FM_BATCHNORM_MOMENTUM,
        .batch = m->batch,
        .running = m->trained.running,
        .average = m->average.running,
        .step = b->slot->step,
        .state = m->state};
    return fm_launch_commit(&work, stream);
}

typedef cudaError_t run_kernel(const struct fm_cuda_command *c, const struct tensors *t,
    const struct fm_cuda_binding *b, cudaStream_t stream);

static run_kernel *const kernels[] = {
    [FM_COMMAND_FOLD] = run_fold,
    [FM_COMMAND_CAST] = run_cast,
    [FM_COMMAND_INPUT] = run_input,
    [FM_COMMAND_FEATURES] = run_features,
    [FM_COMMAND_BIAS_FORWARD] = run_bias,
    [FM_COMMAND_BIAS_BACKWARD] = run_bias,
    [FM_COMMAND_RELU_FORWARD] = run_relu,
    [FM_COMMAND_RELU_BACKWARD] = run_relu,
    [FM_COMMAND_NORM_TRAINING] = run_norm,
    [FM_COMMAND_NORM_INFERENCE] = run_norm,
    [FM_COMMAND_NORM_BACKWARD] = run_norm,
    [FM_COMMAND_MAXPOOL_FORWARD] = run_maxpool,
    [FM_COMMAND_MAXPOOL_BACKWARD] = run_maxpool,
    [FM_COMMAND_MEANPOOL_FORWARD] = run_meanpool,
    [FM_COMMAND_MEANPOOL_BACKWARD] = run_meanpool,
    [FM_COMMAND_DROPOUT_FORWARD] = run_dropout,
    [FM_COMMAND_DROPOUT_BACKWARD] = run_dropout,
    [FM_COMMAND_CROSS_ENTROPY] = run_cross_entropy,
    [FM_COMMAND_METRICS] = run_metrics,
    [FM_COMMAND_LAYOUT] = run_layout,
    [FM_COMMAND_FINITE] = run_finite,
    [FM_COMMAND_STEP] = run_step,
    [FM_COMMAND_UPDATE] = run_update,
    [FM_COMMAND_COMMIT] = run_commit,
};

static enum fm_status run(const struct fm_cuda_binding *b, const struct fm_cuda_command *c,
    const struct tensors *t, cudaStream_t stream)
{
    const struct fm_device *d = b->model->device;
    const struct fm_cuda_chosen *chosen = &b->chosen[c - b->program->commands];
    if (c->kind == FM_COMMAND_GRAPH)
        return fm_cuda_graph_run(
            &c->of.graph, chosen->plan->plan, d->cudnn, t->at, t->at[FM_TENSOR_WORKSPACE]);
    if (c->kind == FM_COMMAND_DENSE)
        return fm_cuda_dense_run(chosen->dense, d->blas, t->at, stream);
    return fm_cuda_status(kernels[c->kind](c, t, b, stream), "kernel");
}

enum fm_status fm_cuda_run(
    const struct fm_cuda_binding *b, const struct fm_cuda_command *c, cudaStream_t stream)
{
    struct tensors t;
    for (int role = 0; role < FM_TENSOR_ROLES; role++)
        t.at[role] = address(b, &c->at[role]);
    enum fm_status status = run(b, c, &t, stream);
    if (status == FM_OK)
        return FM_OK;
    char operation[160];
    fm_cuda_command_operation(c, operation, sizeof operation);
    return fm_context(status, "layer %s, %s, %s", fm_cuda_command_layer(c, &b->model->net),
        fm_cuda_pass_name(c->pass), operation);
}
