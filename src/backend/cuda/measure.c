// Engines are timed as they will be used: captured into a graph and replayed, since the host may
// take longer to launch a small kernel than the device to run it. The candidates' batches take
// turns, so that a clock that changes meanwhile touches all of them alike.
#include "backend/cuda/measure.h"

#include "backend/cuda/check.h"
#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOKS = 2,  // calls of each in turn, before it is clear which may win
    ROUNDS = 5, // counted ones; one before them is not
    CALLS_MAX = 16,
    SMALL_BYTE = 0x2c // 0.065 in fp16, 2e-12 in bf16 and fp32: nothing overflows, nothing is a NaN
};

// A batch of calls takes about so many seconds: the events' clock has a step of half a microsecond.
#define BATCH_SECONDS 2e-4
#define BATCH_WALL 1e-3 // of a batch as the host waits for it, however the device counts its time
#define HOPELESS 2.0    // so many times the fastest: not worth a batch
#define LEAD 0.97       // what an engine may take at most of the time of one in front of it to win

struct timed {
    cudaGraphExec_t batch; // NULL: none
    double wall;           // seconds that the host waited for a call
    int calls;             // in a batch
    double rounds[ROUNDS];
};

struct bench {
    const struct fm_cuda_graph_spec *spec;
    cudnnHandle_t handle;
    cudaStream_t stream, before; // `before` is the handle's
    cudaEvent_t start, stop;
    struct fm_cuda_memory *memory;
    char *arena;
    uint64_t bytes; // of it
    void *tensors[FM_TENSOR_ROLES], *workspace;
};

// ---- the scratch arena

// Gives each tensor its place in the arena; `arena` NULL: only counts the bytes.
static uint64_t place_tensors(struct bench *bench, char *arena, uint64_t workspace)
{
    uint64_t used = 0;
    for (int role = 0; role < FM_TENSOR_ROLES; role++) {
        uint64_t bytes = fm_cuda_graph_bytes(bench->spec, (enum fm_cuda_role)role);
        if (arena && bytes)
            bench->tensors[role] = arena + used;
        used += fm_cuda_round_up(bytes, FM_CUDA_ALIGNMENT);
    }
    if (arena && workspace)
        bench->workspace = arena + used;
    return used + workspace;
}

static enum fm_status make_arena(struct bench *bench, uint64_t workspace)
{
    char key[160];
    size_t available = 0, total = 0;
    uint64_t bytes = place_tensors(bench, NULL, workspace);
    fm_cuda_graph_key(bench->spec, key, sizeof key);
    FM_CUDA(cudaMemGetInfo(&available, &total));
    cudaError_t error = bytes > available ? cudaErrorMemoryAllocation
                                          : cudaMalloc((void **)&bench->arena, (size_t)bytes);
    if (error == cudaErrorMemoryAllocation) {
        bench->arena = NULL;
        (void)cudaGetLastError(); // this one is dealt with
        return fm_fail(FM_MEMORY,
            "measuring engines for '%s' needs %.1f MiB of device memory, %.1f MiB are free", key,
            (double)bytes / 0x1p20, (double)available / 0x1p20);
    }
    FM_TRY(fm_cuda_status(error, "cudaMalloc"));
    bench->bytes = bytes;
    fm_cuda_memory_take(bench->memory, bytes);
    place_tensors(bench, bench->arena, workspace);
    FM_CUDA(cudaMemsetAsync(bench->arena, SMALL_BYTE, (size_t)bytes, bench->stream));
    return FM_OK;
}

static enum fm_status open_bench(struct bench *bench, uint64_t workspace)
{
    FM_CUDNN(cudnnGetStream(bench->handle, &bench->before));
    FM_CUDA(cudaStreamCreateWithFlags(&bench->stream, cudaStreamNonBlocking));
    FM_CUDNN(cudnnSetStream(bench->handle, bench->stream));
    FM_CUDA(cudaEventCreate(&bench->start));
    FM_CUDA(cudaEventCreate(&bench->stop));
    return make_arena(bench, workspace);
}

// `status`, or that the handle could not be put back on its stream.
static enum fm_status close_bench(struct bench *bench, enum fm_status status)
{
    if (bench->stream) {
        (void)cudaStreamSynchronize(bench->stream);
        enum fm_status restored = FM_CUDNN_CALL(cudnnSetStream(bench->handle, bench->before));
        status = status == FM_OK ? restored : status;
    }
    if (bench->arena)
        (void)cudaFree(bench->arena);
    fm_cuda_memory_give(bench->memory, bench->bytes);
    if (bench->stop)
        (void)cudaEventDestroy(bench->stop);
    if (bench->start)
        (void)cudaEventDestroy(bench->start);
    if (bench->stream)
        (void)cudaStreamDestroy(bench->stream);
    return status;
}

// ---- timing

static enum fm_status run_plan(struct bench *bench, const struct fm_cuda_candidate *candidate)
{
    return fm_cuda_graph_run(
        bench->spec, candidate->plan, bench->handle, bench->tensors, bench->workspace);
}

// Seconds between the two events, once both have come.
static enum fm_status read_events(struct bench *bench, double *seconds)
{
    float milliseconds;
    FM_CUDA(cudaEventSynchronize(bench->stop));
    FM_CUDA(cudaEventElapsedTime(&milliseconds, bench->start, bench->stop));
    *seconds = (double)milliseconds * 1e-3;
    return FM_OK;
}

// One call, timed coarsely. The fewest seconds of several are kept, as the first come while the
// clock still rises, and any may be held up.
static enum fm_status time_call(struct bench *bench, const struct fm_cuda_candidate *candidate,
    struct timed *timed, double *seconds)
{
    double begin = fm_clock_seconds(), taken;
    FM_CUDA(cudaEventRecord(bench->start, bench->stream));
    FM_TRY(run_plan(bench, candidate));
    FM_CUDA(cudaEventRecord(bench->stop, bench->stream));
    FM_TRY(read_events(bench, &taken));
    *seconds = fmin(*seconds, taken);
    timed->wall = fmin(timed->wall, fm_clock_seconds() - begin);
    return FM_OK;
}

// A first call, in which libraries load code, and one that is timed.
static enum fm_status warm_up(struct bench *bench, const struct fm_cuda_candidate *candidate,
    struct timed *timed, double *seconds)
{
    *seconds = timed->wall = INFINITY;
    FM_TRY(run_plan(bench, candidate));
    FM_CUDA(cudaStreamSynchronize(bench->stream));
    return time_call(bench, candidate, timed, seconds);
}

static enum fm_status capture_batch(
    struct bench *bench, const struct fm_cuda_candidate *candidate, struct timed *timed)
{
    cudaGraph_t graph = NULL;
    FM_CUDA(cudaStreamBeginCapture(bench->stream, cudaStreamCaptureModeThreadLocal));
    enum fm_status status = FM_OK;
    for (int i = 0; i < timed->calls && status == FM_OK; i++)
        status = run_plan(bench, candidate);
    cudaError_t ended = cudaStreamEndCapture(bench->stream, &graph);
    if (status == FM_OK)
        status = fm_cuda_status(ended, "cudaStreamEndCapture");
    if (status == FM_OK)
        status = FM_CUDA_CALL(cudaGraphInstantiateWithFlags(&timed->batch, graph, 0));
    if (graph)
        (void)cudaGraphDestroy(graph);
    return status;
}

static enum fm_status replay_batch(struct bench *bench, struct timed *timed, int round)
{
    double seconds;
    FM_CUDA(cudaEventRecord(bench->start, bench->stream));
    FM_CUDA(cudaGraphLaunch(timed->batch, bench->stream));
    FM_CUDA(cudaEventRecord(bench->stop, bench->stream));
    FM_TRY(read_events(bench, &seconds));
    if (round >= 0)
        timed->rounds[round] = seconds / timed->calls;
    return FM_OK;
}

// After `status` of a candidate: it is dropped if it failed, unless the device went with it.
static enum fm_status drop_failed(struct bench *bench, enum fm_status status, double *seconds)
{
    if (status == FM_OK)
        return FM_OK;
    *seconds = INFINITY;
    (void)cudaGetLastError();
    cudaError_t lasting = cudaStreamSynchronize(bench->stream);
    if (lasting == cudaSuccess) {
        fm_error_clear();
        return FM_OK;
    }
    fm_error_clear(); // what the device says is the cause
    return fm_cuda_status(lasting, "cudaStreamSynchronize");
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    return values[count / 2];
}

// Around all candidates, so that the fastest is about known, then a batch for each that may still
// win.
static enum fm_status prepare(struct bench *bench, const struct fm_cuda_candidate *candidates,
    int count, struct timed *timed, double *seconds)
{
    double fastest = INFINITY;
    for (int i = 0; i < count; i++) {
        enum fm_status status = warm_up(bench, &candidates[i], &timed[i], &seconds[i]);
        FM_TRY(drop_failed(bench, status, &seconds[i]));
    }
    for (int round = 0; round < LOOKS; round++) {
        for (int i = 0; i < count; i++) {
            if (isfinite(seconds[i]))
                FM_TRY(drop_failed(
                    bench, time_call(bench, &candidates[i], &timed[i], &seconds[i]), &seconds[i]));
        }
    }
    for (int i = 0; i < count; i++)
        fastest = fmin(fastest, seconds[i]);
    for (int i = 0; i < count; i++) {
        if (!isfinite(seconds[i]) || seconds[i] > HOPELESS * fastest)
            continue;
        double calls = fmin(BATCH_SECONDS / seconds[i], BATCH_WALL / timed[i].wall);
        timed[i].calls = (int)fmin(fmax(calls, 1), CALLS_MAX);
        FM_TRY(drop_failed(bench, capture_batch(bench, &candidates[i], &timed[i]), &seconds[i]));
    }
    return FM_OK;
}

static enum fm_status time_all(struct bench *bench, int count, struct timed *timed, double *seconds)
{
    for (int round = -1; round < ROUNDS; round++) {
        for (int i = 0; i < count; i++) {
            if (timed[i].batch && isfinite(seconds[i]))
                FM_TRY(drop_failed(bench, replay_batch(bench, &timed[i], round), &seconds[i]));
        }
    }
    for (int i = 0; i < count; i++) {
        if (timed[i].batch && isfinite(seconds[i]))
            seconds[i] = median(timed[i].rounds, ROUNDS);
    }
    return FM_OK;
}

enum fm_status fm_cuda_measure(const struct fm_cuda_graph_spec *spec, cudnnHandle_t handle,
    struct fm_cuda_memory *memory, const struct fm_cuda_candidate *candidates, int count,
    double *seconds)
{
    enum fm_status status = FM_OK;
    struct bench bench = {.spec = spec, .handle = handle, .memory = memory};
    int64_t workspace = 0;
    struct timed *timed = calloc((size_t)count, sizeof *timed);
    if (!timed)
        return fm_fail_memory("the measurements of engines", (uint64_t)count * sizeof *timed);
    for (int i = 0; i < count; i++) {
        workspace = candidates[i].workspace > workspace ? candidates[i].workspace : workspace;
    }
    FM_TRY_GOTO(status, open_bench(&bench, (uint64_t)workspace), out);
    FM_TRY_GOTO(status, prepare(&bench, candidates, count, timed, seconds), out);
    status = time_all(&bench, count, timed, seconds);
out:
    for (int i = 0; i < count; i++) {
        if (timed[i].batch)
            (void)cudaGraphExecDestroy(timed[i].batch);
    }
    status = close_bench(&bench, status);
    free(timed);
    return status;
}

static double fastest_of(const struct fm_cuda_candidate *candidates, const double *seconds,
    int count, bool runtime_compiled)
{
    double fastest = INFINITY;
    for (int i = 0; i < count; i++)
        if (candidates[i].runtime_compiled == runtime_compiled)
            fastest = fmin(fastest, seconds[i]);
    return fastest;
}

int fm_cuda_measure_best(
    const struct fm_cuda_candidate *candidates, const double *seconds, int count)
{
    double precompiled = fastest_of(candidates, seconds, count, false);
    double compiled = fastest_of(candidates, seconds, count, true);
    bool compiles = compiled <= LEAD * precompiled;
    double fastest = compiles ? compiled : precompiled;
    // Which of two that are alike comes out ahead is chance, and another engine sums in another
    // order: the first of them.
    for (int i = 0; i < count; i++)
        if (candidates[i].runtime_compiled == compiles && isfinite(seconds[i]) &&
            LEAD * seconds[i] <= fastest)
            return i;
    return -1;
}
