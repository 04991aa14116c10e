// The simulated CUDA runtime: right uses work under every seed, and each misuse that simcuda.h
// promises to catch is planted and caught.
#include "simcuda_cases.h"
#include "simcuda_kernels.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEEDS 40
#define N 512
#define BYTES (N * sizeof(float))

#define REFUSED(call, error, words)                                                                \
    do {                                                                                           \
        assert_int_equal(call, error);                                                             \
        expect_misuse(words);                                                                      \
    } while (0)

static cudaEvent_t new_event(void)
{
    cudaEvent_t event;
    OK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    return event;
}

// ---- the order of streams ----

enum plan {
    ORDERED,
    NOT_AWAITED,  // the second stream doesn't wait for the copy
    EARLY_RECORD, // the event is recorded before the copy
    NOT_JOINED    // the first stream doesn't wait for the second
};

// A copy stream feeds a computing stream, which feeds a copy back. y = 2 x.
static void queue_work(enum plan plan, float *host, float *x, float *y, cudaStream_t copy,
    cudaStream_t compute, const cudaEvent_t events[2])
{
    OK(cudaMemsetAsync(y, 0, BYTES, copy));
    if (plan == EARLY_RECORD) {
        OK(cudaEventRecord(events[0], copy));
    }
    OK(cudaMemcpyAsync(x, host, BYTES, cudaMemcpyHostToDevice, copy));
    if (plan != EARLY_RECORD) {
        OK(cudaEventRecord(events[0], copy));
    }
    if (plan != NOT_AWAITED) {
        OK(cudaStreamWaitEvent(compute, events[0], 0));
    }
    OK(k_axpy(y, x, 2, N, compute));
    if (plan != NOT_JOINED) {
        OK(cudaEventRecord(events[1], compute));
        OK(cudaStreamWaitEvent(copy, events[1], 0));
    }
    OK(cudaMemcpyAsync(host, y, BYTES, cudaMemcpyDeviceToHost, copy));
}

static bool is_wrong(enum plan plan, bool captured, uint64_t seed)
{
    sim_reset();
    sim_seed(seed);
    cudaStream_t copy = new_stream(), compute = new_stream();
    cudaEvent_t events[2] = {new_event(), new_event()};
    float *host, *x = to_device(NULL, BYTES), *y = to_device(NULL, BYTES);
    OK(cudaHostAlloc((void **)&host, BYTES, 0));
    for (int i = 0; i < N; i++) {
        host[i] = (float)i;
    }
    if (captured) {
        cudaGraph_t graph;
        cudaGraphExec_t executable;
        size_t nodes;
        OK(cudaStreamBeginCapture(copy, cudaStreamCaptureModeGlobal));
        queue_work(plan, host, x, y, copy, compute, events);
        OK(cudaStreamEndCapture(copy, &graph));
        OK(cudaGraphGetNodes(graph, NULL, &nodes));
        assert_int_equal(nodes, 4);
        OK(cudaGraphInstantiate(&executable, graph, 0));
        OK(cudaGraphDestroy(graph));
        OK(cudaGraphUpload(executable, copy));
        OK(cudaGraphLaunch(executable, copy));
        OK(cudaGraphExecDestroy(executable)); // it is in flight
    } else {
        queue_work(plan, host, x, y, copy, compute, events);
    }
    OK(cudaStreamSynchronize(copy));
    bool wrong = false;
    for (int i = 0; i < N; i++) {
        wrong |= !(host[i] == (float)(2 * i));
    }
    return wrong;
}

static int wrong_under(enum plan plan, bool captured)
{
    int wrong = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        wrong += is_wrong(plan, captured, seed);
    }
    return wrong;
}

static void streams_keep_what_events_promise(void **state)
{
    (void)state;
    assert_int_equal(wrong_under(ORDERED, false), 0);
    assert_in_range(wrong_under(NOT_AWAITED, false), SEEDS / 4, SEEDS);
    assert_in_range(wrong_under(EARLY_RECORD, false), SEEDS / 4, SEEDS);
    assert_in_range(wrong_under(NOT_JOINED, false), SEEDS / 4, SEEDS);
}

static void graphs_keep_what_was_captured(void **state)
{
    (void)state;
    assert_int_equal(wrong_under(ORDERED, true), 0);
    assert_in_range(wrong_under(EARLY_RECORD, true), SEEDS / 8, SEEDS);
}

// The host writes a staging buffer while a copy out of it may not have run, or may have.
static int wrong_staging(bool wait, bool write_late)
{
    int wrong = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        sim_reset();
        sim_seed(seed);
        cudaStream_t stream = new_stream();
        cudaEvent_t event = new_event();
        float *host, *x = to_device(NULL, BYTES), got;
        OK(cudaHostAlloc((void **)&host, BYTES, 0));
        host[0] = write_late ? 0 : 1;
        OK(cudaMemcpyAsync(x, host, BYTES, cudaMemcpyHostToDevice, stream));
        OK(cudaEventRecord(event, stream));
        if (wait) {
            OK(cudaEventSynchronize(event));
        }
        host[0] = write_late ? 1 : 2;
        from_device(&got, x, sizeof got);
        wrong += !(got == 1);
    }
    return wrong;
}

static void staging_waits_for_its_event(void **state)
{
    (void)state;
    assert_int_equal(wrong_staging(true, false), 0);
    assert_in_range(wrong_staging(false, false), SEEDS / 2, SEEDS);
    // Nor can the host rely on work running late.
    assert_in_range(wrong_staging(false, true), SEEDS / 10, SEEDS - 1);
}

static int wrong_defaults(unsigned flags)
{
    int wrong = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        sim_reset();
        sim_seed(seed);
        cudaStream_t stream;
        OK(cudaStreamCreateWithFlags(&stream, flags));
        float one = 1, got, *x = to_device(&one, sizeof one), *y = to_device(NULL, sizeof one);
        OK(cudaMemsetAsync(y, 0, sizeof one, stream));
        OK(k_axpy_default(y, x, 3, 1));
        OK(k_axpy(y, x, 1, 1, stream));
        OK(cudaStreamSynchronize(stream));
        OK(cudaMemcpy(&got, y, sizeof got, cudaMemcpyDeviceToHost));
        wrong += !(got == 4);
    }
    return wrong;
}

static void default_stream_waits_for_blocking_ones_alone(void **state)
{
    (void)state;
    assert_int_equal(wrong_defaults(cudaStreamDefault), 0);
    assert_in_range(wrong_defaults(cudaStreamNonBlocking), SEEDS / 4, SEEDS);
}

static void the_same_seed_gives_the_same_order(void **state)
{
    (void)state;
    uint64_t seen[2] = {0, 0};
    for (int k = 0; k < 2; k++) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            seen[k] |= (uint64_t)is_wrong(NOT_AWAITED, false, seed) << seed;
        }
    }
    assert_true(seen[0] == seen[1]);
}

static void polling_gets_there(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    cudaEvent_t event = new_event();
    OK(cudaEventQuery(event)); // never recorded
    float *x = to_device(NULL, BYTES);
    OK(cudaMemsetAsync(x, 0, BYTES, stream));
    OK(cudaEventRecord(event, stream));
    int polls = 0;
    while (cudaEventQuery(event) == cudaErrorNotReady) {
        assert_true(polls++ < 10);
    }
    OK(cudaStreamQuery(stream));
    assert_int_equal(cudaGetLastError(), polls ? cudaErrorNotReady : cudaSuccess);
}

static void set_flag(void *data)
{
    *(int *)data += 1;
}

static void call_cuda(void *data)
{
    *(cudaError_t *)data = cudaDeviceSynchronize();
}

static void host_functions(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    int flag = 0;
    cudaError_t inner = cudaSuccess;
    OK(cudaLaunchHostFunc(stream, set_flag, &flag));
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(flag, 1);
    OK(cudaLaunchHostFunc(stream, call_cuda, &inner));
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(inner, cudaErrorNotPermitted);
    expect_misuse("a host function of a stream calls CUDA");
}

static void event_times(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    cudaEvent_t from, to, untimed = new_event();
    OK(cudaEventCreate(&from));
    OK(cudaEventCreate(&to));
    float *x = to_device(NULL, 1 << 20), took[2];
    for (int k = 0; k < 2; k++) {
        OK(cudaEventRecord(from, stream));
        OK(cudaMemsetAsync(x, 0, k ? 1 << 20 : 64, stream));
        OK(cudaEventRecord(to, stream));
        sim_seed(1); // not eager
        OK(cudaStreamSynchronize(stream));
        OK(cudaEventElapsedTime(&took[k], from, to));
    }
    assert_true(took[0] > 0 && took[1] > took[0]);
    REFUSED(
        cudaEventElapsedTime(took, from, untimed), cudaErrorInvalidResourceHandle, "keeps no time");
}

// ---- capture ----

static cudaStream_t capturing(void)
{
    cudaStream_t stream = new_stream();
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    return stream;
}

static void expect_invalid(cudaStream_t stream)
{
    cudaGraph_t graph = (cudaGraph_t)1;
    assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    assert_null(graph);
    OK(cudaStreamSynchronize(stream)); // an ordinary stream again
}

static void capture_forbids_what_synchronises(void **state)
{
    (void)state;
    float *x = to_device(NULL, BYTES), *p, host[4];
    cudaEvent_t event = new_event();
    const char *words = "while a stream is capturing";
    cudaStream_t stream = capturing();
    REFUSED(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported, words);
    assert_int_equal(cudaMemsetAsync(x, 0, BYTES, stream), cudaErrorStreamCaptureInvalidated);
    expect_invalid(stream);
#define FORBIDDEN(call)                                                                            \
    stream = capturing();                                                                          \
    REFUSED(call, cudaErrorStreamCaptureUnsupported, words);                                       \
    expect_invalid(stream)
    FORBIDDEN(cudaDeviceSynchronize());
    FORBIDDEN(cudaEventSynchronize(event));
    FORBIDDEN(cudaEventQuery(event));
    FORBIDDEN(cudaStreamQuery(stream));
    FORBIDDEN(cudaMalloc((void **)&p, 4));
    FORBIDDEN(cudaFree(x));
    FORBIDDEN(cudaHostAlloc((void **)&p, 4, 0));
    FORBIDDEN(cudaMemcpy(host, x, sizeof host, cudaMemcpyDeviceToHost));
    FORBIDDEN(cudaMemset(x, 0, 4));
    stream = capturing();
    REFUSED(
        k_axpy_default(x, x, 1, 4), cudaErrorStreamCaptureImplicit, "work on the default stream");
    expect_invalid(stream);
}

static void capture_is_one_graph(void **state)
{
    (void)state;
    cudaGraph_t graph;
    float *x = to_device(NULL, BYTES);
    cudaEvent_t event = new_event(), outside = new_event();
    cudaStream_t other = new_stream(), stream;

    stream = capturing(); // a fork that never comes back
    OK(cudaEventRecord(event, stream));
    OK(cudaStreamWaitEvent(other, event, 0));
    OK(cudaMemsetAsync(x, 0, BYTES, other));
    REFUSED(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureUnjoined, "not joined");
    REFUSED(cudaStreamWaitEvent(other, event, 0), cudaErrorCapturedEvent, "that has ended");
    REFUSED(cudaEventSynchronize(event), cudaErrorCapturedEvent, "last recorded in a capture");

    OK(cudaEventRecord(outside, other));
    stream = capturing();
    REFUSED(cudaStreamWaitEvent(stream, outside, 0), cudaErrorStreamCaptureIsolation,
        "recorded outside the capture");
    expect_invalid(stream);

    stream = capturing();
    OK(cudaEventRecord(event, stream));
    OK(cudaStreamWaitEvent(other, event, 0));
    REFUSED(cudaStreamEndCapture(other, &graph), cudaErrorStreamCaptureUnmatched, "another stream");
    expect_invalid(stream);

    REFUSED(cudaStreamEndCapture(stream, &graph), cudaErrorIllegalState, "not capturing");
    REFUSED(cudaStreamBeginCapture(NULL, cudaStreamCaptureModeGlobal),
        cudaErrorStreamCaptureUnsupported, "the default stream cannot be captured");
    stream = capturing();
    REFUSED(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaErrorIllegalState,
        "capturing already");
    expect_invalid(stream);
}

static cudaGraphExec_t increment(float *y, const float *x, cudaStream_t stream)
{
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    OK(k_axpy(y, x, 1, N, stream));
    OK(cudaStreamEndCapture(stream, &graph));
    OK(cudaGraphInstantiate(&executable, graph, 0));
    OK(cudaGraphDestroy(graph));
    return executable;
}

static void graphs_replay_in_order(void **state)
{
    (void)state;
    float ones[N], got[N];
    for (int i = 0; i < N; i++) {
        ones[i] = 1;
    }
    for (uint64_t seed = 1; seed <= 10; seed++) {
        sim_seed(seed);
        cudaStream_t streams[2] = {new_stream(), new_stream()};
        float *x = to_device(ones, BYTES), *y = to_device(ones, BYTES);
        cudaGraphExec_t executable = increment(y, x, streams[0]);
        from_device(got, y, sizeof got);
        assert_true(got[0] == 1); // capturing runs nothing
        for (int i = 0; i < 20; i++) {
            OK(cudaGraphLaunch(executable, streams[i % 2])); // never two at once
        }
        from_device(got, y, sizeof got);
        for (int i = 0; i < N; i++) {
            assert_true(got[i] == 21);
        }
    }
}

static void graphs_outlive_no_memory(void **state)
{
    (void)state;
    float zeros[N] = {0};
    cudaStream_t stream = new_stream();
    float *x = to_device(zeros, BYTES), *y = to_device(zeros, BYTES);
    cudaGraphExec_t executable = increment(y, x, stream);
    OK(cudaGraphLaunch(executable, stream));
    OK(cudaFree(x));
    OK(cudaGraphLaunch(executable, stream));
    assert_int_equal(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
    expect_misuse(
        "argument 1 is no pointer to device memory: it is device memory of 2048 bytes that "
        "was freed");
    sim_reset();
    REFUSED(
        cudaGraphLaunch(executable, NULL), cudaErrorInvalidValue, "not a live executable graph");
}

static void external_events_of_graphs(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        sim_seed(seed);
        cudaStream_t stream = new_stream(), other = new_stream();
        cudaEvent_t event = new_event();
        cudaGraph_t graph;
        cudaGraphExec_t executable;
        float *host, *x = to_device(NULL, 4);
        OK(cudaHostAlloc((void **)&host, 4, 0));
        OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        OK(cudaMemsetAsync(x, 0, 4, stream));
        OK(cudaEventRecordWithFlags(event, stream, cudaEventRecordExternal));
        OK(cudaStreamEndCapture(stream, &graph));
        OK(cudaGraphInstantiate(&executable, graph, 0));
        OK(cudaGraphLaunch(executable, stream));
        OK(cudaStreamWaitEvent(other, event, 0));
        OK(cudaMemcpyAsync(host, x, 4, cudaMemcpyDeviceToHost, other));
        OK(cudaStreamSynchronize(other));
        assert_true(host[0] == 0);
    }
}

// ---- memory ----

static void fresh_memory(void **state)
{
    (void)state;
    unsigned char got[300];
    void *first = to_device(NULL, sizeof got), *second;
    assert_int_equal((uintptr_t)first % 256, 0);
    from_device(got, first, sizeof got);
    for (size_t i = 0; i < sizeof got; i++) {
        assert_int_equal(got[i], 0xff);
    }
    OK(cudaFree(first));
    second = to_device(NULL, sizeof got);
    assert_ptr_not_equal(first, second); // addresses are not used again
    assert_int_equal(sim_memory_in_use(), sizeof got);
    OK(cudaFree(second));
    assert_int_equal(sim_memory_in_use(), 0);
    assert_int_equal(sim_memory_peak(), sizeof got);
    OK(cudaMalloc(&first, 0));
    assert_null(first);
    OK(cudaFree(NULL));
}

static void copies_are_checked(void **state)
{
    (void)state;
    float pageable[4] = {0}, *pinned, *x = to_device(pageable, 16);
    cudaStream_t stream = new_stream();
    OK(cudaHostAlloc((void **)&pinned, 16, 0));
    OK(cudaMemcpyAsync(x, pinned, 16, cudaMemcpyDefault, stream));

    const cudaError_t invalid = cudaErrorInvalidValue;
    REFUSED(cudaMemcpyAsync(x, pageable, 16, cudaMemcpyHostToDevice, stream), invalid,
        "an asynchronous copy of 16 bytes of pageable host memory");
    REFUSED(cudaMemcpyAsync(pageable, x, 16, cudaMemcpyDeviceToHost, stream), invalid, "pageable");
    REFUSED(cudaMemcpyAsync(x, pinned, 16, cudaMemcpyDeviceToHost, stream),
        cudaErrorInvalidMemcpyDirection, "contradicts the pointers");
    REFUSED(cudaMemcpyAsync(x, pinned, 20, cudaMemcpyHostToDevice, stream), invalid, "20 bytes at");
    REFUSED(cudaMemcpyAsync(x + 1, pinned, 16, cudaMemcpyHostToDevice, stream), invalid,
        "byte 4 of an allocation of 16 bytes");
    REFUSED(cudaMemcpy(pinned + 1, x, 16, cudaMemcpyDeviceToHost), invalid, "of pinned memory");
    REFUSED(cudaMemsetAsync(x, 0, 17, stream), invalid, "not inside one live allocation");
    REFUSED(cudaMemset(pageable, 0, 16), invalid, "pageable host memory");
    OK(cudaStreamSynchronize(stream));

    OK(cudaFree(x));
    REFUSED(cudaFree(x), invalid, "that was freed");
    REFUSED(cudaFree(pageable), invalid, "pageable");
    REFUSED(cudaMemcpy(x, pageable, 16, cudaMemcpyHostToDevice), invalid, "that was freed");
    OK(cudaFreeHost(pinned));
    REFUSED(cudaFreeHost(pinned), invalid, "that was freed");
}

// A copy from pageable memory may still be under way to the device when the call returns.
static void synchronous_copies_race_with_other_streams(void **state)
{
    (void)state;
    int wrong = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        sim_reset();
        sim_seed(seed);
        cudaStream_t stream = new_stream();
        float one = 1, got, *x = to_device(&one, 4), *y = to_device(&one, 4), two = 2;
        OK(cudaMemcpy(x, &two, 4, cudaMemcpyHostToDevice));
        OK(k_axpy(y, x, 1, 1, stream));
        from_device(&got, y, 4);
        wrong += !(got == 3);
    }
    assert_in_range(wrong, SEEDS / 4, SEEDS - 1);
}

static int wrong_async_memory(bool ordered)
{
    int wrong = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        sim_reset();
        sim_seed(seed);
        cudaStream_t a = new_stream(), b = new_stream();
        cudaEvent_t event = new_event();
        float *x, got, *host;
        OK(cudaHostAlloc((void **)&host, 4, 0));
        OK(cudaMallocAsync((void **)&x, 4, a));
        OK(cudaEventRecord(event, a));
        if (ordered) {
            OK(cudaStreamWaitEvent(b, event, 0));
        }
        OK(cudaMemsetAsync(x, 0, 4, b));
        OK(cudaMemcpyAsync(host, x, 4, cudaMemcpyDeviceToHost, b));
        OK(cudaFreeAsync(x, b));
        REFUSED(cudaMemsetAsync(x, 0, 4, b), cudaErrorInvalidValue, "one live allocation");
        OK(cudaDeviceSynchronize());
        got = *host;
        int early = sim_take_failures(); // freed by one stream before the other has allocated it
        assert_true(!(ordered && early));
        wrong += early || !(got == 0);
        assert_int_equal(sim_memory_in_use(), 0);
    }
    return wrong;
}

static void memory_in_stream_order(void **state)
{
    (void)state;
    assert_int_equal(wrong_async_memory(true), 0);
    // A set that comes before the allocation is lost, unless the copy has seen it.
    assert_in_range(wrong_async_memory(false), 1, SEEDS - 1);
}

static void handles_are_checked(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream(), other = new_stream();
    cudaEvent_t event = new_event();
    float *x = to_device(NULL, 4);
    OK(cudaStreamDestroy(stream));
    OK(cudaEventDestroy(event));
    const cudaError_t invalid = cudaErrorInvalidResourceHandle;
    REFUSED(cudaMemsetAsync(x, 0, 4, stream), invalid, "not a live stream");
    REFUSED(cudaStreamSynchronize(stream), invalid, "not a live stream");
    REFUSED(cudaStreamDestroy(stream), invalid, "not a live stream");
    REFUSED(cudaEventRecord(event, other), invalid, "not a live event");
    REFUSED(cudaStreamWaitEvent(other, event, 0), invalid, "not a live event");
    REFUSED(cudaEventDestroy(event), invalid, "not a live event");
}

// ---- processes that end badly ----

// Runs the function in a process of its own and returns its status, with what it said in `said`.
static int status_of(void (*function)(void), char *said, size_t size)
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        sim_reset();
        signal(SIGSEGV, SIG_DFL);
        function();
        exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    ssize_t got;
    while (length + 1 < size && (got = read(ends[0], said + length, size - 1 - length)) > 0) {
        length += (size_t)got;
    }
    said[length] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static float *one_allocation(void)
{
    float *x = NULL;
    cudaMalloc((void **)&x, 64);
    return x;
}

static void read_on_host(void)
{
    exit(one_allocation()[3] > 0);
}

static void write_on_host(void)
{
    one_allocation()[3] = 1;
}

static void leak(void)
{
    cudaStream_t stream;
    cudaStreamCreate(&stream);
    one_allocation();
}

static void misuse(void)
{
    cudaFree(&(int){0});
}

static void tidy(void)
{
    misuse();
    sim_take_failures();
    cudaFree(one_allocation());
}

static void crash_then_exit(void)
{
    one_allocation();
    sim_inject("kernel", 1, cudaErrorLaunchFailure);
    k_empty(1, 1, 0, NULL);
    cudaDeviceSynchronize();
}

static void host_code_cannot_touch_device_memory(void **state)
{
    (void)state;
    char said[4096];
    int status = status_of(read_on_host, said, sizeof said);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_non_null(strstr(said, "the host touches device memory at"));
    assert_non_null(strstr(said, "byte 12 of an allocation of 64 bytes"));
    status = status_of(write_on_host, said, sizeof said);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void leaks_and_misuses_end_a_process(void **state)
{
    (void)state;
    char said[4096];
    assert_int_equal(WEXITSTATUS(status_of(leak, said, sizeof said)), SIM_EXIT_MISUSE);
    assert_non_null(strstr(said, "LEAK: device memory"));
    assert_non_null(strstr(said, "made by cudaMalloc"));
    assert_non_null(strstr(said, "LEAK: stream"));
    assert_int_equal(WEXITSTATUS(status_of(misuse, said, sizeof said)), SIM_EXIT_MISUSE);
    assert_non_null(strstr(said, "MISUSE: cudaFree: "));
    assert_int_equal(status_of(tidy, said, sizeof said), 0);
    // Nothing can be given back after that.
    assert_int_equal(status_of(crash_then_exit, said, sizeof said), 0);
}

static void live_objects(void **state)
{
    (void)state;
    assert_int_equal(sim_live(), 0);
    cudaStream_t stream = new_stream();
    cudaEvent_t event = new_event();
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    void *pinned, *x = to_device(NULL, 4);
    OK(cudaHostAlloc(&pinned, 4, 0));
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    OK(cudaStreamEndCapture(stream, &graph));
    OK(cudaGraphInstantiate(&executable, graph, 0));
    assert_int_equal(sim_live(), 6);
    OK(cudaGraphExecDestroy(executable));
    OK(cudaGraphDestroy(graph));
    OK(cudaEventDestroy(event));
    OK(cudaStreamDestroy(stream));
    OK(cudaFreeHost(pinned));
    OK(cudaFree(x));
    assert_int_equal(sim_report_leaks(), 0);
}

// ---- devices and errors ----

static void check_pose(const char *pose, int major, int minor, int multiprocessors, size_t optin)
{
    struct cudaDeviceProp p;
    int value;
    size_t available, total;
    sim_reset();
    assert_true(sim_pose_as(pose));
    OK(cudaGetDeviceProperties(&p, 0));
    assert_int_equal(p.major * 10 + p.minor, major * 10 + minor);
    assert_int_equal(p.multiProcessorCount, multiprocessors);
    assert_int_equal(p.sharedMemPerBlockOptin, optin);
    OK(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 0));
    assert_int_equal(value, major);
    OK(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0));
    assert_int_equal(value, multiprocessors);
    OK(cudaMemGetInfo(&available, &total));
    assert_true(available == total && total == p.totalGlobalMem);
    assert_int_equal(cudaGetDeviceProperties(&p, 1), cudaErrorInvalidDevice);
    REFUSED(cudaDeviceGetAttribute(&value, (enum cudaDeviceAttr)9999, 0), cudaErrorInvalidValue,
        "attribute 9999 is not simulated");
}

static void poses(void **state)
{
    (void)state;
    check_pose("h100", 9, 0, 132, 232448);
    check_pose("a100", 8, 0, 108, 166912);
    check_pose("t4", 7, 5, 40, 65536);
    check_pose("v100", 7, 0, 80, 98304);
    assert_false(sim_pose_as("h1000"));
}

static void no_device_and_old_drivers(void **state)
{
    (void)state;
    int count = -7, version;
    void *p;
    sim_pose_as("none");
    assert_int_equal(cudaGetDeviceCount(&count), cudaErrorNoDevice);
    assert_int_equal(count, -7); // left alone, as the library does
    assert_int_equal(cudaMalloc(&p, 4), cudaErrorNoDevice);
    sim_reset();
    sim_set_driver(12080);
    assert_int_equal(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
    OK(cudaDriverGetVersion(&version));
    assert_int_equal(version, 12080);
    OK(cudaRuntimeGetVersion(&version));
    assert_int_equal(version, CUDART_VERSION);
    sim_reset();
    OK(cudaGetDeviceCount(&count));
    assert_int_equal(count, 1);
}

static void environment(void **state)
{
    (void)state;
    struct cudaDeviceProp p;
    void *memory;
    int count;
    setenv("SIM_DEVICE", "t4", 1);
    setenv("SIM_INJECT", "cudaGetDeviceCount:2:100,allocation:1:2", 1);
    setenv("SIM_MEMORY", "64", 1);
    sim_reset();
    OK(cudaGetDeviceProperties(&p, 0));
    assert_string_equal(p.name, "Tesla T4 (simulated)");
    assert_int_equal(p.totalGlobalMem, 64 << 20);
    OK(cudaGetDeviceCount(&count));
    assert_int_equal(cudaGetDeviceCount(&count), cudaErrorNoDevice);
    OK(cudaGetDeviceCount(&count));
    assert_int_equal(cudaMalloc(&memory, 4), cudaErrorMemoryAllocation);
    unsetenv("SIM_DEVICE");
    unsetenv("SIM_INJECT");
    unsetenv("SIM_MEMORY");
}

static void out_of_memory(void **state)
{
    (void)state;
    void *p[4];
    size_t available, total;
    sim_set_memory(1 << 20);
    OK(cudaMalloc(&p[0], 600 << 10));
    assert_int_equal(cudaMalloc(&p[1], 600 << 10), cudaErrorMemoryAllocation);
    assert_null(p[1]);
    OK(cudaMemGetInfo(&available, &total));
    assert_int_equal(available, (1 << 20) - (600 << 10));
    assert_int_equal(total, 1 << 20);
    assert_int_equal(cudaPeekAtLastError(), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
    OK(cudaGetLastError()); // not sticky

    sim_inject("allocation", 3, cudaErrorMemoryAllocation);
    OK(cudaMalloc(&p[1], 4));
    OK(cudaHostAlloc(&p[2], 4, 0));
    assert_int_equal(cudaMalloc(&p[3], 4), cudaErrorMemoryAllocation);
    OK(cudaMalloc(&p[3], 4));
}

static void any_call_can_fail(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    sim_inject("cudaLaunchKernelEx", 2, cudaErrorNoKernelImageForDevice);
    OK(k_empty(1, 1, 0, stream));
    assert_int_equal(k_empty(1, 1, 0, stream), cudaErrorNoKernelImageForDevice);
    sim_inject("*", 2, cudaErrorUnknown);
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(cudaStreamSynchronize(stream), cudaErrorUnknown);
    OK(cudaStreamSynchronize(stream));
    sim_inject("*", 1, cudaErrorUnknown);
    sim_clear_injections();
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(sim_calls("cudaStreamSynchronize"), 4);
    assert_int_equal(sim_calls("cudaLaunchKernelEx"), 2);
    assert_int_equal(sim_calls("cudaDeviceSynchronize"), 0);
}

static void lost_contexts(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    float *x = to_device(NULL, 4), *p;
    cudaEvent_t event = new_event();
    sim_inject("kernel", 2, cudaErrorLaunchFailure);
    OK(k_empty(1, 1, 0, stream));
    OK(cudaStreamSynchronize(stream));
    OK(k_empty(1, 1, 0, stream)); // the launch itself is fine
    OK(cudaEventRecord(event, stream));
    const cudaError_t lost = cudaErrorLaunchFailure;
    assert_int_equal(cudaEventSynchronize(event), lost);
    assert_int_equal(k_empty(1, 1, 0, stream), lost);
    assert_int_equal(cudaMalloc((void **)&p, 4), lost);
    assert_int_equal(cudaMemcpy(&(float){0}, x, 4, cudaMemcpyDeviceToHost), lost);
    assert_int_equal(cudaFree(x), lost);
    assert_int_equal(cudaGetLastError(), lost);
    assert_int_equal(cudaGetLastError(), lost);
    assert_string_equal(cudaGetErrorName(lost), "cudaErrorLaunchFailure");
    assert_string_equal(cudaGetErrorString(lost), "unspecified launch failure");
    sim_reset();
    OK(cudaMalloc((void **)&p, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(streams_keep_what_events_promise),
        CASE(graphs_keep_what_was_captured),
        CASE(staging_waits_for_its_event),
        CASE(default_stream_waits_for_blocking_ones_alone),
        CASE(the_same_seed_gives_the_same_order),
        CASE(polling_gets_there),
        CASE(host_functions),
        CASE(event_times),
        CASE(capture_forbids_what_synchronises),
        CASE(capture_is_one_graph),
        CASE(graphs_replay_in_order),
        CASE(graphs_outlive_no_memory),
        CASE(external_events_of_graphs),
        CASE(fresh_memory),
        CASE(copies_are_checked),
        CASE(synchronous_copies_race_with_other_streams),
        CASE(memory_in_stream_order),
        CASE(handles_are_checked),
        CASE(host_code_cannot_touch_device_memory),
        CASE(leaks_and_misuses_end_a_process),
        CASE(live_objects),
        CASE(poses),
        CASE(no_device_and_old_drivers),
        CASE(environment),
        CASE(out_of_memory),
        CASE(any_call_can_fail),
        CASE(lost_contexts),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sim_reset();
    return failed;
}
