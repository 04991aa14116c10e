// Streams and events: queues of work that run when the host waits, in a random order that keeps
// only what CUDA promises.
//
// What is promised: the work of one stream runs in order; a wait for an event ends when the record
// that it was asked for has been reached; the default stream waits for all work queued before on
// streams that were not created as non-blocking, and they for its; launches of one executable graph
// follow one another. Whatever else can run, may.
#include "runtime.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

struct CUstream_st {
    std::deque<sim_queued> queue;
    bool blocking = true; // waits for the default stream, which waits for it
    bool live = true;
    uint32_t priority = 0; // of the moment: the simulator's own, not CUDA's
    std::shared_ptr<sim_capture> capture;
    std::vector<int> tail; // of the capture: the nodes that the next one comes after
};

struct CUevent_st : sim_event {
    bool live = true;
};

namespace
{

struct streams {
    CUstream_st default_stream;
    // Handles are never used twice, so that one that was destroyed is known.
    std::vector<std::unique_ptr<CUstream_st>> all;
    std::vector<std::unique_ptr<CUevent_st>> events;
    std::vector<CUstream_st *> active; // live or still with work; the default stream first
    std::set<std::shared_ptr<sim_capture>> captures;
    uint64_t order = 0;
    double clock = 0;
    bool running = false, in_host_function = false;

    streams()
    {
        active.push_back(&default_stream);
    }
};

streams &state()
{
    static streams *the = new streams;
    return *the;
}

// One thing that may run next: a stream's first operation, or a node of the graph at its head.
struct candidate {
    CUstream_st *stream;
    int ready; // index into the graph's ready nodes, or -1
};

bool is_reached(const sim_operation &operation, uint64_t ticket)
{
    return !operation.wait || operation.wait->done >= ticket;
}

// The default stream and the blocking ones keep the order in which the host queued.
bool keeps_order(const CUstream_st *stream)
{
    streams &s = state();
    uint64_t mine = stream->queue.front().order;
    auto earlier = [mine](const CUstream_st *other) {
        return !other->queue.empty() && other->queue.front().order < mine;
    };
    if (stream != &s.default_stream) {
        return !stream->blocking || !earlier(&s.default_stream);
    }
    return std::none_of(s.active.begin(), s.active.end(),
        [&](const CUstream_st *other) { return other->blocking && earlier(other); });
}

void collect(CUstream_st *stream, std::vector<candidate> *candidates)
{
    if (stream->queue.empty() || !keeps_order(stream)) {
        return;
    }
    const sim_queued &head = stream->queue.front();
    if (!head.graph) {
        if (is_reached(head.operation, head.operation.ticket)) {
            candidates->push_back({stream, -1});
        }
        return;
    }
    const sim_graph_run &run = *head.graph;
    if (run.executable->finished != run.number) {
        return; // an earlier launch of the same graph comes first
    }
    for (size_t i = 0; i < run.ready.size(); i++) {
        size_t node = static_cast<size_t>(run.ready[i]);
        if (is_reached(run.executable->nodes[node].operation, run.tickets[node])) {
            candidates->push_back({stream, static_cast<int>(i)});
        }
    }
}

void perform(const sim_operation &operation, uint64_t ticket)
{
    streams &s = state();
    s.clock += operation.costs;
    if (operation.record) {
        operation.record->done = std::max(operation.record->done, ticket);
        operation.record->time = s.clock;
    }
    if (operation.work) {
        s.running = true;
        operation.work();
        s.running = false;
    }
}

void perform_node(CUstream_st *stream, int ready)
{
    std::shared_ptr<sim_graph_run> run = stream->queue.front().graph;
    int node = run->ready[static_cast<size_t>(ready)];
    run->ready[static_cast<size_t>(ready)] = run->ready.back();
    run->ready.pop_back();
    size_t at = static_cast<size_t>(node);
    perform(run->executable->nodes[at].operation, run->tickets[at]);

    for (int follower : run->executable->followers[at]) {
        if (--run->missing[static_cast<size_t>(follower)] == 0) {
            run->ready.push_back(follower);
        }
    }
    if (--run->left == 0) {
        run->executable->finished++;
        stream->queue.pop_front();
    }
}

// When the context is lost nothing that was queued ever runs, and nobody waits for it.
void drop_all_work()
{
    streams &s = state();
    for (CUstream_st *stream : s.active) {
        stream->queue.clear();
    }
    for (auto &event : s.events) {
        event->done = event->requested;
    }
}

void forget_finished_streams()
{
    std::vector<CUstream_st *> &active = state().active;
    active.erase(
        std::remove_if(active.begin(), active.end(),
            [](const CUstream_st *stream) { return !stream->live && stream->queue.empty(); }),
        active.end());
}

// Of what can run, what the stream with the highest priority has; and the priorities are drawn anew
// now and then. That finds a missing wait sooner than drawing evenly each time, under which a
// stream that is some steps behind rarely overtakes.
candidate choose(std::vector<candidate> *candidates)
{
    if (sim_random_below(8) == 0) {
        for (CUstream_st *stream : state().active) {
            stream->priority = static_cast<uint32_t>(sim_random());
        }
    }
    uint32_t highest = 0;
    for (const candidate &c : *candidates) {
        highest = std::max(highest, c.stream->priority);
    }
    candidates->erase(std::remove_if(candidates->begin(), candidates->end(),
                          [=](const candidate &c) { return c.stream->priority < highest; }),
        candidates->end());
    return (*candidates)[sim_random_below(static_cast<uint32_t>(candidates->size()))];
}

// False: nothing can run.
bool run_one()
{
    static std::vector<candidate> *candidates = new std::vector<candidate>;
    candidates->clear();
    for (CUstream_st *stream : state().active) {
        collect(stream, candidates);
    }
    if (candidates->empty()) {
        return false;
    }
    candidate chosen = choose(candidates);
    if (chosen.ready >= 0) {
        perform_node(chosen.stream, chosen.ready);
    } else {
        sim_operation operation = std::move(chosen.stream->queue.front().operation);
        chosen.stream->queue.pop_front();
        perform(operation, operation.ticket);
    }
    if (sim_context() != cudaSuccess) {
        drop_all_work();
    }
    forget_finished_streams();
    return true;
}

void run_some(uint32_t steps)
{
    if (sim_is_idle() || state().running) {
        return;
    }
    sim_open_memory();
    while (steps-- && run_one()) {
    }
    sim_close_memory();
}

bool is_default(cudaStream_t stream)
{
    return !stream || stream == cudaStreamLegacy;
}

CUevent_st *find_event(cudaEvent_t event)
{
    for (auto &known : state().events) {
        if (known.get() == event && known->live) {
            return known.get();
        }
    }
    return nullptr;
}

bool is_active_capture(const std::shared_ptr<sim_capture> &capture)
{
    return capture && state().captures.count(capture);
}

} // namespace

CUstream_st *sim_stream(cudaStream_t stream)
{
    if (is_default(stream)) {
        return &state().default_stream;
    }
    if (!sim_is_stream(stream)) {
        sim_fail("%p is not a live stream", static_cast<void *>(stream));
        return nullptr;
    }
    return stream;
}

bool sim_is_stream(cudaStream_t stream)
{
    streams &s = state();
    return is_default(stream) ||
           (std::find(s.active.begin(), s.active.end(), stream) != s.active.end() && stream->live);
}

sim_event *sim_event_of(cudaEvent_t event)
{
    CUevent_st *found = find_event(event);
    if (!found) {
        sim_fail("%p is not a live event", static_cast<void *>(event));
    }
    return found;
}

std::shared_ptr<sim_capture> &sim_capture_of(CUstream_st *stream)
{
    return stream->capture;
}

std::vector<int> &sim_capture_tail(CUstream_st *stream)
{
    return stream->tail;
}

std::set<std::shared_ptr<sim_capture>> &sim_captures()
{
    return state().captures;
}

bool sim_is_capturing(cudaStream_t stream)
{
    return !is_default(stream) && sim_is_stream(stream) && stream->capture;
}

bool sim_any_capture()
{
    return !state().captures.empty();
}

double sim_clock()
{
    return state().clock;
}

bool sim_is_running()
{
    return state().running;
}

bool sim_in_host_function()
{
    return state().in_host_function;
}

bool sim_is_idle()
{
    streams &s = state();
    return std::all_of(s.active.begin(), s.active.end(),
        [](const CUstream_st *stream) { return stream->queue.empty(); });
}

cudaError_t sim_may_enqueue(cudaStream_t handle)
{
    CUstream_st *stream = sim_stream(handle);
    if (!stream) {
        return cudaErrorInvalidResourceHandle;
    }
    if (stream->capture && stream->capture->invalid) {
        return cudaErrorStreamCaptureInvalidated;
    }
    if (stream == &state().default_stream && sim_any_capture()) {
        sim_fail("work on the default stream while another stream is capturing");
        for (auto &capture : state().captures) {
            capture->invalid = true;
        }
        return cudaErrorStreamCaptureImplicit;
    }
    return cudaSuccess;
}

void sim_enqueue_operation(CUstream_st *stream, sim_operation operation)
{
    if (sim_context() != cudaSuccess) {
        if (operation.record) {
            operation.record->done = operation.record->requested;
        }
        return;
    }
    sim_queued queued;
    queued.order = ++state().order;
    queued.operation = std::move(operation);
    stream->queue.push_back(std::move(queued));
}

void sim_enqueue_graph(CUstream_st *stream, std::shared_ptr<sim_graph_run> run)
{
    sim_queued queued;
    queued.order = ++state().order;
    queued.graph = std::move(run);
    stream->queue.push_back(std::move(queued));
}

void sim_enqueue(cudaStream_t handle, std::function<void()> work, const char *what, double costs)
{
    sim_call call(what);
    if (sim_may_enqueue(handle) != cudaSuccess) {
        return;
    }
    CUstream_st *stream = sim_stream(handle);
    sim_operation operation;
    operation.work = std::move(work);
    operation.what = what;
    operation.costs = costs;
    if (stream->capture) {
        sim_add_node(stream, std::move(operation));
    } else {
        sim_enqueue_operation(stream, std::move(operation));
    }
}

void sim_run_until(const std::function<bool()> &reached)
{
    if (reached()) {
        return;
    }
    sim_open_memory(); // once: no code under test runs in between
    while (sim_context() == cudaSuccess && !reached()) {
        if (!run_one()) {
            fprintf(stderr, "simcuda: streams wait for one another\n");
            abort();
        }
    }
    sim_close_memory();
}

void sim_run_ahead()
{
    if (sim_eagerness() && !sim_is_idle() && sim_random_below(1024) < sim_eagerness()) {
        run_some(1 + sim_random_below(8));
    }
}

cudaError_t sim_forbid_in_capture(bool synchronises_device)
{
    bool forbidden = false;
    for (const auto &capture : state().captures) {
        bool mine = capture->thread == std::this_thread::get_id();
        if (synchronises_device || capture->mode == cudaStreamCaptureModeGlobal ||
            (capture->mode == cudaStreamCaptureModeThreadLocal && mine)) {
            capture->invalid = true;
            forbidden = true;
        }
    }
    if (!forbidden) {
        return cudaSuccess;
    }
    sim_fail("called while a stream is capturing");
    return cudaErrorStreamCaptureUnsupported;
}

void sim_reset_streams()
{
    streams &s = state();
    drop_all_work();
    for (auto &stream : s.all) {
        stream->live = false;
        stream->capture.reset();
    }
    for (auto &event : s.events) {
        event->live = false;
        event->capture.reset();
    }
    forget_finished_streams();
    s.captures.clear();
    s.clock = 0;
}

// ---- streams ----

namespace
{

cudaError_t create_stream(cudaStream_t *stream, unsigned flags)
{
    if (flags & ~static_cast<unsigned>(cudaStreamNonBlocking)) {
        return cudaErrorInvalidValue;
    }
    streams &s = state();
    s.all.push_back(std::make_unique<CUstream_st>());
    *stream = s.all.back().get();
    (*stream)->blocking = flags != cudaStreamNonBlocking;
    (*stream)->priority = static_cast<uint32_t>(sim_random());
    s.active.push_back(*stream);
    sim_track("stream", *stream);
    return cudaSuccess;
}

// Of a stream that is capturing nothing can be asked.
cudaError_t check_not_capturing(CUstream_st *stream)
{
    if (!stream->capture) {
        return cudaSuccess;
    }
    sim_fail("of a stream that is capturing");
    stream->capture->invalid = true;
    return cudaErrorStreamCaptureUnsupported;
}

} // namespace

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    SIM_ENTER("cudaStreamCreate");
    SIM_NOT_IN_CAPTURE(false);
    return sim_return(create_stream(stream, cudaStreamDefault));
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    SIM_ENTER("cudaStreamCreateWithFlags");
    SIM_NOT_IN_CAPTURE(false);
    return sim_return(create_stream(stream, flags));
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int)
{
    SIM_ENTER("cudaStreamCreateWithPriority"); // promises nothing about order
    SIM_NOT_IN_CAPTURE(false);
    return sim_return(create_stream(stream, flags));
}

// Returns at once; what is queued still runs.
cudaError_t cudaStreamDestroy(cudaStream_t handle)
{
    SIM_ENTER("cudaStreamDestroy");
    if (is_default(handle) || !sim_is_stream(handle)) {
        sim_fail("%p is not a live stream", static_cast<void *>(handle));
        return sim_return(cudaErrorInvalidResourceHandle);
    }
    if (cudaError_t error = check_not_capturing(handle)) {
        return sim_return(error);
    }
    handle->live = false;
    forget_finished_streams();
    sim_untrack("stream", handle);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle)
{
    SIM_ENTER("cudaStreamSynchronize");
    SIM_NOT_IN_CAPTURE(false);
    CUstream_st *stream = sim_stream(handle);
    if (!stream) {
        return sim_return(cudaErrorInvalidResourceHandle);
    }
    if (cudaError_t error = check_not_capturing(stream)) {
        return sim_return(error);
    }
    sim_run_until([=] { return stream->queue.empty(); });
    return sim_return(sim_context());
}

cudaError_t cudaStreamQuery(cudaStream_t handle)
{
    SIM_ENTER("cudaStreamQuery");
    SIM_NOT_IN_CAPTURE(false);
    CUstream_st *stream = sim_stream(handle);
    if (!stream) {
        return sim_return(cudaErrorInvalidResourceHandle);
    }
    if (cudaError_t error = check_not_capturing(stream)) {
        return sim_return(error);
    }
    bool done = stream->queue.empty();
    run_some(1 + sim_random_below(4)); // a caller that polls gets there
    return sim_return(sim_context() ? sim_context() : done ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaDeviceSynchronize()
{
    SIM_ENTER("cudaDeviceSynchronize");
    SIM_NOT_IN_CAPTURE(true);
    sim_run_until(sim_is_idle);
    sim_check_guards();
    return sim_return(sim_context());
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data)
{
    SIM_ENTER("cudaLaunchHostFunc");
    if (cudaError_t error = sim_may_enqueue(stream)) {
        return sim_return(error);
    }
    sim_enqueue(
        stream,
        [=] {
            int opened = sim_suspend_memory();
            state().in_host_function = true;
            function(data);
            state().in_host_function = false;
            sim_resume_memory(opened);
        },
        "host function");
    return cudaSuccess;
}

// ---- events ----

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    SIM_ENTER("cudaEventCreateWithFlags");
    streams &s = state();
    s.events.push_back(std::make_unique<CUevent_st>());
    *event = s.events.back().get();
    (*event)->timing = !(flags & cudaEventDisableTiming);
    sim_track("event", *event);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    SIM_ENTER("cudaEventCreate");
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t handle)
{
    SIM_ENTER("cudaEventDestroy");
    CUevent_st *event = find_event(handle);
    if (!event) {
        sim_fail("%p is not a live event", static_cast<void *>(handle));
        return sim_return(cudaErrorInvalidResourceHandle);
    }
    event->live = false;
    sim_untrack("event", event);
    return cudaSuccess;
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t handle, cudaStream_t stream_handle, unsigned flags)
{
    SIM_ENTER("cudaEventRecordWithFlags");
    sim_event *event = sim_event_of(handle);
    if (!event) {
        return sim_return(cudaErrorInvalidResourceHandle);
    }
    if (cudaError_t error = sim_may_enqueue(stream_handle)) {
        return sim_return(error);
    }
    CUstream_st *stream = sim_stream(stream_handle);
    sim_operation operation;
    operation.record = event;
    operation.what = "record";
    if (stream->capture && flags == cudaEventRecordExternal) {
        sim_add_node(stream, std::move(operation)); // recorded by each launch
        return cudaSuccess;
    }
    if (stream->capture) {
        event->capture = stream->capture;
        event->position = stream->tail;
        return cudaSuccess;
    }
    event->capture.reset();
    operation.ticket = ++event->requested;
    sim_enqueue_operation(stream, std::move(operation));
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    SIM_ENTER("cudaEventRecord");
    return cudaEventRecordWithFlags(event, stream, cudaEventRecordDefault);
}

} // extern "C"

namespace
{

// A wait for an event that was recorded in a capture: the stream joins it, if it is not in it yet.
cudaError_t join_capture(CUstream_st *stream, sim_event *event)
{
    if (!is_active_capture(event->capture)) {
        sim_fail("the event was last recorded in a capture that has ended");
        return cudaErrorCapturedEvent;
    }
    if (stream == &state().default_stream) {
        sim_fail("the default stream cannot be captured");
        event->capture->invalid = true;
        return cudaErrorStreamCaptureImplicit;
    }
    if (stream->capture && stream->capture != event->capture) {
        sim_fail("the event was recorded in another capture");
        stream->capture->invalid = event->capture->invalid = true;
        return cudaErrorStreamCaptureMerge;
    }
    if (!stream->capture) {
        stream->capture = event->capture;
        stream->capture->streams.insert(stream);
        stream->tail.clear();
    }
    stream->tail.insert(stream->tail.end(), event->position.begin(), event->position.end());
    return cudaSuccess;
}

// Of an event last recorded in a capture nothing can be asked.
cudaError_t check_event(cudaEvent_t handle, sim_event **event)
{
    *event = sim_event_of(handle);
    if (!*event) {
        return cudaErrorInvalidResourceHandle;
    }
    if ((*event)->capture) {
        sim_fail("of an event that was last recorded in a capture");
        return cudaErrorCapturedEvent;
    }
    return cudaSuccess;
}

} // namespace

extern "C" {

cudaError_t cudaStreamWaitEvent(cudaStream_t stream_handle, cudaEvent_t handle, unsigned flags)
{
    SIM_ENTER("cudaStreamWaitEvent");
    sim_event *event = sim_event_of(handle);
    CUstream_st *stream = sim_stream(stream_handle);
    if (!event || !stream) {
        return sim_return(cudaErrorInvalidResourceHandle);
    }
    if (stream->capture && stream->capture->invalid) {
        return sim_return(cudaErrorStreamCaptureInvalidated);
    }
    sim_operation operation;
    operation.wait = event;
    operation.what = "wait";
    if (stream->capture && flags == cudaEventWaitExternal) {
        sim_add_node(stream, std::move(operation)); // awaited by each launch
        return cudaSuccess;
    }
    if (event->capture) {
        return sim_return(join_capture(stream, event));
    }
    if (stream->capture) {
        sim_fail("a capturing stream waits for an event that was recorded outside the capture");
        stream->capture->invalid = true;
        return sim_return(cudaErrorStreamCaptureIsolation);
    }
    operation.ticket = event->requested; // none yet: nothing to wait for
    sim_enqueue_operation(stream, std::move(operation));
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle)
{
    SIM_ENTER("cudaEventSynchronize");
    SIM_NOT_IN_CAPTURE(false);
    sim_event *event;
    if (cudaError_t error = check_event(handle, &event)) {
        return sim_return(error);
    }
    uint64_t ticket = event->requested;
    sim_run_until([=] { return event->done >= ticket; });
    return sim_return(sim_context());
}

cudaError_t cudaEventQuery(cudaEvent_t handle)
{
    SIM_ENTER("cudaEventQuery");
    SIM_NOT_IN_CAPTURE(false);
    sim_event *event;
    if (cudaError_t error = check_event(handle, &event)) {
        return sim_return(error);
    }
    bool done = event->done >= event->requested;
    if (!done) {
        run_some(1 + sim_random_below(4)); // a caller that polls gets there
    }
    return sim_return(sim_context() ? sim_context() : done ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to)
{
    SIM_ENTER("cudaEventElapsedTime");
    sim_event *a, *b;
    cudaError_t error = check_event(from, &a);
    if (!error) {
        error = check_event(to, &b);
    }
    if (error) {
        return sim_return(error);
    }
    if (!a->timing || !b->timing || !a->requested || !b->requested) {
        sim_fail("of an event that keeps no time or was never recorded");
        return sim_return(cudaErrorInvalidResourceHandle);
    }
    if (a->done < a->requested || b->done < b->requested) {
        return sim_return(cudaErrorNotReady);
    }
    *milliseconds = static_cast<float>((b->time - a->time) / 1e3);
    return cudaSuccess;
}

} // extern "C"
