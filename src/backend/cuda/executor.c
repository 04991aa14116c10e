// Running a program: the training step, and inference.
//
// A step is one upload on the copy stream (two copies where it has soft targets) and one launch on
// the compute stream; nothing here waits for the device but predict() and scores_take(), whose
// results the caller wants. A prediction is one launch, with both copies in it.
#include "backend/cuda/executor.h"
#include "backend/cuda/profile.h"

#include <string.h>

enum {
    // More than it takes the host to hand over a run: one launch, or one for each command.
    HOLD_MICROSECONDS = 50,
    HOLD_MICROSECONDS_UNFUSED = 1000
};

static struct fm_cuda_binding bind(const struct fm_executor *e, enum fm_cuda_purpose purpose,
    const struct fm_staging *staging, int slot)
{
    struct fm_cuda_binding binding = {.model = e->model,
        .program = &e->program,
        .chosen = e->chosen,
        .weights = e->weights,
        .arena = e->arena};
    if (staging)
        binding.slot = &staging->views[slot];
    if (purpose == FM_PURPOSE_SCORE) {
        binding.scores = e->scores;
        binding.confusion = e->confusion;
    }
    return binding;
}

// What leaves the device at the end of a run: of a prediction alone.
static enum fm_status enqueue_results(
    struct fm_executor *e, enum fm_cuda_purpose purpose, cudaStream_t stream)
{
    if (purpose != FM_PURPOSE_PREDICT)
        return FM_OK;
    const struct fm_cuda_buffer *compact = &e->program.buffers[e->program.compact];
    return FM_CUDA_CALL(cudaMemcpyAsync(
        e->results, e->arena + compact->offset, compact->bytes, cudaMemcpyDeviceToHost, stream));
}

static enum fm_status enqueue(struct fm_executor *e, enum fm_cuda_purpose purpose,
    struct fm_staging *staging, int slot, cudaStream_t stream)
{
    struct fm_cuda_binding binding = bind(e, purpose, staging, slot);
    struct fm_cuda_program *p = &e->program;
    // Nobody hides this upload behind anything: it is part of what is replayed.
    if (purpose == FM_PURPOSE_PREDICT)
        FM_TRY(fm_cuda_staging_copy(staging, slot, (uint32_t)e->options.batch, stream));
    if (e->profile)
        FM_TRY(fm_cuda_profile_begin(e->profile, p->renew, stream));
    for (int i = p->renew; i < p->count; i++) {
        if (e->profile)
            FM_TRY(fm_cuda_profile_mark(e->profile, i, stream));
        FM_TRY(fm_cuda_run(&binding, &p->commands[i], stream));
    }
    if (e->profile)
        FM_TRY(fm_cuda_profile_mark(e->profile, p->count, stream));
    return enqueue_results(e, purpose, stream);
}

// ---- capture and replay

static void forget(struct fm_cuda_captured *captured)
{
    if (captured->graph)
        (void)cudaGraphExecDestroy(captured->graph);
    captured->graph = NULL;
}

// The loader's thread may wait for an event meanwhile: only this thread's calls are captured.
static enum fm_status capture(struct fm_executor *e, enum fm_cuda_purpose purpose,
    struct fm_staging *staging, int slot, struct fm_cuda_captured *captured)
{
    cudaStream_t stream = e->model->device->compute;
    cudaGraph_t graph = NULL;
    forget(captured);
    FM_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    enum fm_status status = enqueue(e, purpose, staging, slot, stream);
    cudaError_t ended = cudaStreamEndCapture(stream, &graph); // also after a failure
    if (status == FM_OK)
        status = fm_cuda_status(ended, "cudaStreamEndCapture");
    if (status == FM_OK)
        status = FM_CUDA_CALL(cudaGraphInstantiate(&captured->graph, graph, 0));
    if (graph)
        (void)cudaGraphDestroy(graph);
    captured->staging = staging->serial;
    return status;
}

// The first run goes command by command: it loads every kernel, which a capture may not wait for.
static enum fm_status run_whole(
    struct fm_executor *e, enum fm_cuda_purpose purpose, struct fm_staging *staging, int slot)
{
    cudaStream_t stream = e->model->device->compute;
    bool replays = !e->options.unfused && !e->options.probe && !e->options.profile;
    if (!replays || !e->warm[purpose]) {
        e->warm[purpose] = true;
        return enqueue(e, purpose, staging, slot, stream);
    }
    struct fm_cuda_captured *captured = &e->captured[purpose][slot];
    if (!captured->graph || captured->staging != staging->serial)
        FM_TRY(capture(e, purpose, staging, slot, captured));
    return FM_CUDA_CALL(cudaGraphLaunch(captured->graph, stream));
}

static enum fm_status run(
    struct fm_executor *e, enum fm_cuda_purpose purpose, struct fm_staging *staging, int slot)
{
    struct fm_cuda_stopwatch *watch = &e->stopwatch;
    if (!watch->on)
        return run_whole(e, purpose, staging, slot);
    // While the stream is held all that follows is handed over, so that the device waits for
    // nothing.
    unsigned held = e->options.unfused ? HOLD_MICROSECONDS_UNFUSED : HOLD_MICROSECONDS;
    FM_CUDA(fm_launch_hold(held, e->model->device->compute));
    FM_CUDA(cudaEventRecord(watch->begin, e->model->device->compute));
    FM_TRY(run_whole(e, purpose, staging, slot));
    FM_CUDA(cudaEventRecord(watch->end, e->model->device->compute));
    watch->started = true;
    return FM_OK;
}

static enum fm_status upload_and_run(
    struct fm_executor *e, enum fm_cuda_purpose purpose, struct fm_staging *staging, int slot)
{
    FM_TRY(fm_cuda_staging_upload(staging, slot, e->options.soft_share > 0.0f));
    FM_TRY(run(e, purpose, staging, slot));
    return fm_cuda_staging_consumed(staging, slot);
}

// ---- training

// The training step.
enum fm_status fm_cuda_submit(struct fm_executor *e, struct fm_staging *staging, int slot)
{
    struct fm_model *m = e->model;
    const struct fm_step *step = staging->slots[slot].step;
    if (e->options.mode != FM_MODE_TRAIN)
        return fm_fail(FM_USAGE, "submit: this executor was compiled for inference");
    if ((int)step->count != e->options.batch)
        return fm_fail(FM_USAGE, "submit: %u samples, but this executor's batch is %d", step->count,
            e->options.batch);
    FM_TRY(fm_cuda_device_use(m->device));
    FM_TRY(fm_cuda_staging_check(staging, slot));
    FM_TRY(upload_and_run(e, FM_PURPOSE_STEP, staging, slot));
    m->version++;
    m->submitted++;
    return FM_OK;
}

// ---- inference

// Folded and averaged copies are renewed once after the weights have changed.
static enum fm_status renew_weights(struct fm_executor *e)
{
    if (e->version == e->model->version)
        return FM_OK;
    struct fm_cuda_binding binding = bind(e, FM_PURPOSE_PREDICT, NULL, 0);
    for (int i = 0; i < e->program.renew; i++)
        FM_TRY(fm_cuda_run(&binding, &e->program.commands[i], e->model->device->compute));
    e->version = e->model->version;
    return FM_OK;
}

static enum fm_status begin_inference(
    struct fm_executor *e, const char *name, struct fm_staging *staging, int slot)
{
    const struct fm_step *step = staging->slots[slot].step;
    if (e->options.mode != FM_MODE_INFER)
        return fm_fail(FM_USAGE, "%s: this executor was compiled for training", name);
    if (step->count < 1 || (int)step->count > e->options.batch)
        return fm_fail(FM_USAGE, "%s: %u samples, but this executor's batch is %d", name,
            step->count, e->options.batch);
    FM_TRY(fm_cuda_device_use(e->model->device));
    FM_TRY(fm_cuda_staging_check(staging, slot));
    return renew_weights(e);
}

enum fm_status fm_cuda_predict(
    struct fm_executor *e, struct fm_staging *staging, int slot, float *logits)
{
    FM_TRY(begin_inference(e, "predict", staging, slot));
    FM_TRY(run(e, FM_PURPOSE_PREDICT, staging, slot));
    FM_CUDA(cudaStreamSynchronize(e->model->device->compute));
    size_t count = (size_t)staging->slots[slot].step->count * (size_t)e->model->net.outputs;
    memcpy(logits, e->results, count * sizeof *logits);
    return FM_OK;
}

// Scores are of classes.
static enum fm_status check_classes(const struct fm_executor *e, const char *name)
{
    const struct fm_net *net = &e->model->net;
    if (net->classes > 0)
        return FM_OK;
    return fm_fail(FM_USAGE,
        "%s: network '%s' ends in features, not in classes: it can only predict", name, net->name);
}

enum fm_status fm_cuda_score(struct fm_executor *e, struct fm_staging *staging, int slot)
{
    FM_TRY(check_classes(e, "score"));
    FM_TRY(begin_inference(e, "score", staging, slot));
    return upload_and_run(e, FM_PURPOSE_SCORE, staging, slot);
}

enum fm_status fm_cuda_scores_take(
    struct fm_executor *e, struct fm_sums *scores, uint64_t *confusion)
{
    if (e->options.mode != FM_MODE_INFER)
        return fm_fail(FM_USAGE, "scores_take: this executor was compiled for training");
    FM_TRY(check_classes(e, "scores_take"));
    int classes = e->model->net.classes;
    size_t bytes = sizeof(struct fm_cuda_sums) +
                   (size_t)classes * (size_t)classes * sizeof(uint32_t);
    cudaStream_t stream = e->model->device->compute;
    FM_TRY(fm_cuda_device_use(e->model->device));
    FM_CUDA(cudaMemcpyAsync(e->results, e->scores, bytes, cudaMemcpyDeviceToHost, stream));
    FM_CUDA(cudaMemsetAsync(e->scores, 0, bytes, stream));
    FM_CUDA(cudaStreamSynchronize(stream));
    const struct fm_cuda_sums *sums = e->results;
    const uint32_t *cells = (const uint32_t *)(sums + 1);
    *scores = (struct fm_sums){.loss = sums->loss, .correct = sums->correct, .count = sums->count};
    for (int i = 0; i < classes * classes; i++)
        confusion[i] = cells[i];
    return FM_OK;
}
