// Compiling: lowering, plans, memory. After it nothing is chosen or allocated any more.
#include "backend/compile_options.h"
#include "backend/cuda/executor.h"
#include "backend/cuda/profile.h"
#include "base/log.h"

#include <stdlib.h>

// ---- plans

// Whether the dense layer whose mask a command gates by has left one: its product may have had no
// such epilogue.
static bool mask_is_left(const struct fm_executor *e, const struct fm_cuda_command *command)
{
    const struct fm_cuda_program *p = &e->program;
    for (const struct fm_cuda_command *c = p->commands; c < command; c++)
        if (c->kind == FM_COMMAND_DENSE && c->of.dense.epilogue == FM_EPILOGUE_BIAS_RELU_MASK &&
            c->at[FM_TENSOR_MASK].index == command->at[FM_TENSOR_MASK].index)
            return fm_cuda_dense_leaves_mask(e->chosen[c - p->commands].dense);
    return false;
}

static enum fm_status choose_dense(struct fm_executor *e, int at)
{
    const struct fm_device *d = e->model->device;
    const struct fm_cuda_command *c = &e->program.commands[at];
    bool gates = c->of.dense.epilogue == FM_EPILOGUE_GATE ||
                 c->of.dense.epilogue == FM_EPILOGUE_GATE_DBIAS;
    FM_TRY(fm_cuda_dense_create(
        d->blas, &d->caps, &c->of.dense, gates && !mask_is_left(e, c), &e->chosen[at].dense));
    int64_t workspace = fm_cuda_dense_workspace(e->chosen[at].dense);
    return fm_cuda_program_scratch(&e->program, at, FM_TENSOR_WORKSPACE, (uint64_t)workspace);
}

static enum fm_status choose_graph(struct fm_executor *e, int at)
{
    const struct fm_cuda_command *c = &e->program.commands[at];
    enum fm_status status = fm_cuda_plans_get(
        e->model->device->plans, &c->of.graph, &e->chosen[at].plan);
    if (status == FM_UNSUPPORTED && c->of.graph.kind >= FM_GRAPH_NORM)
        e->norm_refused = true;
    FM_TRY(status);
    uint64_t workspace = (uint64_t)e->chosen[at].plan->workspace;
    return fm_cuda_program_scratch(&e->program, at, FM_TENSOR_WORKSPACE, workspace);
}

static enum fm_status choose_all(struct fm_executor *e)
{
    const struct fm_cuda_program *p = &e->program;
    for (int i = 0; i < p->count; i++) {
        const struct fm_cuda_command *c = &p->commands[i];
        enum fm_status status = FM_OK;
        fm_cuda_plans_save_if_due(e->model->device->plans);
        if (c->kind == FM_COMMAND_GRAPH)
            status = choose_graph(e, i);
        else if (c->kind == FM_COMMAND_DENSE)
            status = choose_dense(e, i);
        if (status != FM_OK)
            return fm_context(status, "layer %s, %s", fm_cuda_command_layer(c, &e->model->net),
                fm_cuda_pass_name(c->pass));
    }
    return FM_OK;
}

// Whatever becomes of the executor, what was chosen is kept.
static enum fm_status choose(struct fm_executor *e)
{
    size_t count = (size_t)e->program.count;
    e->chosen = calloc(count, sizeof *e->chosen);
    if (!e->chosen)
        return fm_fail_memory("plans", count * sizeof *e->chosen);
    enum fm_status status = choose_all(e);
    fm_cuda_plans_save(e->model->device->plans);
    return status;
}

// ---- memory

static uint64_t scores_bytes(const struct fm_executor *e)
{
    uint64_t classes = (uint64_t)e->model->net.classes;
    if (classes == 0) // features, which have no scores
        return 0;
    uint64_t bytes = sizeof(struct fm_cuda_sums) + classes * classes * sizeof(uint32_t);
    return e->options.mode == FM_MODE_INFER ? fm_cuda_round_up(bytes, FM_CUDA_ALIGNMENT) : 0;
}

static struct fm_cuda_source source_of(
    const struct fm_model *model, const struct fm_compile_options *options)
{
    return (struct fm_cuda_source){
        &model->net, &model->params, &model->device->caps, &model->options, options};
}

// The arena of a smaller batch, but for its workspaces.
static uint64_t arena_of(const struct fm_executor *e, int batch)
{
    struct fm_compile_options options = e->options;
    options.batch = batch;
    struct fm_cuda_source source = source_of(e->model, &options);
    struct fm_cuda_program program;
    uint64_t bytes = UINT64_MAX;
    if (fm_cuda_lower(&source, &program) == FM_OK && fm_cuda_arena_plan(&program) == FM_OK)
        bytes = program.arena;
    fm_cuda_program_free(&program);
    return bytes;
}

// Says which batch would fit; the memory of workspaces does not shrink with it.
static enum fm_status advise(const struct fm_executor *e, enum fm_status status)
{
    size_t available = 0, total = 0;
    if (status != FM_MEMORY || cudaMemGetInfo(&available, &total) != cudaSuccess)
        return status;
    uint64_t whole = arena_of(e, e->options.batch);
    uint64_t workspaces = e->program.arena > whole ? e->program.arena - whole : 0;
    for (int batch = e->options.batch / 2; batch >= 1; batch /= 2)
        if (arena_of(e, batch) + workspaces <= available)
            return fm_context(status, "a batch of %d would fit", batch);
    return fm_context(status, "no batch would fit");
}

static enum fm_status allocate(struct fm_executor *e)
{
    FM_TRY(fm_cuda_arena_plan(&e->program));
    e->bytes = fm_cuda_round_up(e->program.arena, FM_CUDA_ALIGNMENT) + scores_bytes(e);
    void *data = NULL;
    enum fm_status status = fm_cuda_device_allocate(
        e->model->device, "activations and workspaces", e->bytes, &data);
    if (status != FM_OK)
        return advise(e, status);
    e->arena = data;
    if (e->options.mode == FM_MODE_TRAIN)
        return FM_OK;
    if (scores_bytes(e) > 0) {
        e->scores = (struct fm_cuda_sums *)(e->arena +
                                            fm_cuda_round_up(e->program.arena, FM_CUDA_ALIGNMENT));
        e->confusion = (uint32_t *)(e->scores + 1);
        FM_CUDA(cudaMemsetAsync(e->scores, 0, scores_bytes(e), e->model->device->compute));
    }
    uint64_t results = e->program.buffers[e->program.compact].bytes;
    if (results < scores_bytes(e))
        results = scores_bytes(e);
    FM_CUDA(cudaHostAlloc(&data, results, cudaHostAllocDefault));
    e->results = data;
    return FM_OK;
}

// ---- the whole

static void drop_program(struct fm_executor *e)
{
    for (int i = 0; e->chosen && i < e->program.count; i++)
        fm_cuda_dense_destroy(e->chosen[i].dense);
    free(e->chosen);
    e->chosen = NULL;
    fm_cuda_program_free(&e->program);
}

static enum fm_status lower_and_choose(struct fm_executor *e)
{
    struct fm_cuda_source source = source_of(e->model, &e->options);
    FM_TRY(fm_cuda_lower(&source, &e->program));
    return choose(e);
}

// cuDNN compiles all its engines for batch norm at run time, and has none where it does not find
// NVRTC. Then the device's models do without them from here on.
static enum fm_status lower_as_it_can(struct fm_executor *e)
{
    enum fm_status status = lower_and_choose(e);
    if (status == FM_OK || !e->norm_refused)
        return status;
    fm_note("%s; batch norm is done by own kernels instead. Its engines are compiled at run time: "
            "is CUDA's library NVRTC there?",
        fm_error_message());
    fm_error_clear();
    e->model->device->caps.own_norm = true;
    drop_program(e);
    return lower_and_choose(e);
}

static enum fm_status build(struct fm_executor *e)
{
    FM_TRY(lower_as_it_can(e));
    FM_TRY(allocate(e));
    return e->options.profile ? fm_cuda_profile_create(e->program.count, &e->profile) : FM_OK;
}

static enum fm_status check_records(const struct fm_input *input)
{
    if (input->features == 0 && (int64_t)input->rows * input->cols > FM_CUDA_RECORD_MAX)
        return fm_fail(FM_UNSUPPORTED,
            "backend 'cuda': records of %dx%d, expected at most %d bytes", input->rows, input->cols,
            FM_CUDA_RECORD_MAX);
    return FM_OK;
}

enum fm_status fm_cuda_compile(
    struct fm_model *model, const struct fm_compile_options *options, struct fm_executor **executor)
{
    FM_TRY(fm_compile_check(&model->net, options, model->average.params != NULL));
    FM_TRY(check_records(&model->net.input));
    FM_TRY(fm_cuda_device_use(model->device));
    struct fm_executor *e = calloc(1, sizeof *e);
    if (!e)
        return fm_fail_memory("executor", sizeof *e);
    e->model = model;
    e->options = *options;
    e->weights = options->average ? &model->average : &model->trained;
    enum fm_status status = build(e);
    if (status != FM_OK) {
        fm_cuda_executor_destroy(e);
        return fm_context(status, "model '%s', batch %d", model->net.name, options->batch);
    }
    *executor = e;
    return FM_OK;
}

void fm_cuda_executor_destroy(struct fm_executor *e)
{
    if (!e)
        return;
    // What is in flight still uses what is freed here.
    (void)fm_cuda_device_use(e->model->device);
    (void)cudaStreamSynchronize(e->model->device->compute);
    for (int purpose = 0; purpose < FM_PURPOSES; purpose++)
        for (int slot = 0; slot < FM_SLOTS; slot++)
            if (e->captured[purpose][slot].graph)
                (void)cudaGraphExecDestroy(e->captured[purpose][slot].graph);
    fm_cuda_profile_destroy(e->profile);
    if (e->stopwatch.begin)
        (void)cudaEventDestroy(e->stopwatch.begin);
    if (e->stopwatch.end)
        (void)cudaEventDestroy(e->stopwatch.end);
    if (e->results)
        (void)cudaFreeHost(e->results);
    fm_cuda_device_free(e->model->device, e->arena, e->bytes);
    drop_program(e);
    free(e);
}
