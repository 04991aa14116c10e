// Captured graphs: what streams were told while capturing, replayed in a random order that keeps
// the dependencies.
#include "runtime.h"

#include <algorithm>
#include <memory>

// Handles are kept when destroyed, so that one used too long is known.
struct CUgraph_st {
    std::vector<sim_node> nodes;
};

struct CUgraphExec_st {
    std::shared_ptr<sim_executable> executable;
};

void sim_add_node(CUstream_st *stream, sim_operation operation)
{
    std::vector<sim_node> &nodes = sim_capture_of(stream)->nodes;
    std::vector<int> &tail = sim_capture_tail(stream);
    std::sort(tail.begin(), tail.end());
    tail.erase(std::unique(tail.begin(), tail.end()), tail.end());
    nodes.push_back({std::move(operation), tail});
    tail.assign(1, static_cast<int>(nodes.size()) - 1);
}

namespace
{

// All that there ever were.
std::vector<std::unique_ptr<CUgraph_st>> &graphs()
{
    static auto *the = new std::vector<std::unique_ptr<CUgraph_st>>;
    return *the;
}

std::vector<std::unique_ptr<CUgraphExec_st>> &executables()
{
    static auto *the = new std::vector<std::unique_ptr<CUgraphExec_st>>;
    return *the;
}

// Whether all nodes of all streams of the capture come before what the first stream ends with.
bool is_joined(const sim_capture &capture)
{
    std::vector<bool> reached(capture.nodes.size());
    std::vector<int> open = sim_capture_tail(capture.origin);
    while (!open.empty()) {
        size_t node = static_cast<size_t>(open.back());
        open.pop_back();
        if (!reached[node]) {
            reached[node] = true;
            open.insert(
                open.end(), capture.nodes[node].after.begin(), capture.nodes[node].after.end());
        }
    }
    return std::all_of(reached.begin(), reached.end(), [](bool r) { return r; });
}

void leave_capture(const std::shared_ptr<sim_capture> &capture)
{
    for (CUstream_st *stream : capture->streams) {
        sim_capture_of(stream).reset();
        sim_capture_tail(stream).clear();
    }
    sim_captures().erase(capture);
}

cudaError_t instantiate(cudaGraphExec_t *handle, cudaGraph_t graph, unsigned long long flags)
{
    *handle = nullptr;
    if (!sim_is_tracked("graph", graph)) {
        sim_fail("%p is not a live graph", static_cast<void *>(graph));
        return cudaErrorInvalidValue;
    }
    if (flags) {
        sim_fail("flags %llu are not simulated", flags);
        return cudaErrorInvalidValue;
    }
    auto executable = std::make_shared<sim_executable>();
    executable->nodes = graph->nodes;
    executable->followers.resize(graph->nodes.size());
    for (size_t i = 0; i < graph->nodes.size(); i++) {
        for (int before : graph->nodes[i].after) {
            executable->followers[static_cast<size_t>(before)].push_back(static_cast<int>(i));
        }
    }
    *handle = new CUgraphExec_st{executable};
    executables().emplace_back(*handle);
    sim_track("executable graph", *handle);
    return cudaSuccess;
}

cudaError_t check_executable(cudaGraphExec_t handle)
{
    if (sim_is_tracked("executable graph", handle)) {
        return cudaSuccess;
    }
    sim_fail("%p is not a live executable graph", static_cast<void *>(handle));
    return cudaErrorInvalidValue;
}

} // namespace

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, enum cudaStreamCaptureMode mode)
{
    SIM_ENTER("cudaStreamBeginCapture");
    if (!handle || handle == cudaStreamLegacy) {
        sim_fail("the default stream cannot be captured");
        return sim_return(cudaErrorStreamCaptureUnsupported);
    }
    CUstream_st *stream = sim_stream(handle);
    if (!stream) {
        return sim_return(cudaErrorInvalidResourceHandle);
    }
    if (sim_capture_of(stream)) {
        sim_fail("the stream is capturing already");
        sim_capture_of(stream)->invalid = true;
        return sim_return(cudaErrorIllegalState);
    }
    auto capture = std::make_shared<sim_capture>();
    capture->mode = mode;
    capture->thread = std::this_thread::get_id();
    capture->origin = stream;
    capture->streams.insert(stream);
    sim_capture_of(stream) = capture;
    sim_capture_tail(stream).clear();
    sim_captures().insert(capture);
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *graph)
{
    SIM_ENTER("cudaStreamEndCapture");
    *graph = nullptr;
    CUstream_st *stream = sim_stream(handle);
    if (!stream) {
        return sim_return(cudaErrorInvalidResourceHandle);
    }
    std::shared_ptr<sim_capture> capture = sim_capture_of(stream);
    if (!capture) {
        sim_fail("the stream is not capturing");
        return sim_return(cudaErrorIllegalState);
    }
    if (capture->origin != stream) {
        sim_fail("the capture began on another stream");
        capture->invalid = true;
        return sim_return(cudaErrorStreamCaptureUnmatched);
    }
    if (capture->mode != cudaStreamCaptureModeRelaxed &&
        capture->thread != std::this_thread::get_id()) {
        sim_fail("the capture began on another thread");
        return sim_return(cudaErrorStreamCaptureWrongThread);
    }
    bool joined = is_joined(*capture);
    leave_capture(capture);
    if (capture->invalid) {
        return sim_return(cudaErrorStreamCaptureInvalidated);
    }
    if (!joined) {
        sim_fail("work of another stream of the capture was not joined to the first");
        return sim_return(cudaErrorStreamCaptureUnjoined);
    }
    *graph = new CUgraph_st{std::move(capture->nodes)};
    graphs().emplace_back(*graph);
    sim_track("graph", *graph);
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, enum cudaStreamCaptureStatus *status)
{
    SIM_ENTER("cudaStreamIsCapturing");
    CUstream_st *stream = sim_stream(handle);
    if (!stream) {
        return sim_return(cudaErrorInvalidResourceHandle);
    }
    const std::shared_ptr<sim_capture> &capture = sim_capture_of(stream);
    *status = !capture           ? cudaStreamCaptureStatusNone
              : capture->invalid ? cudaStreamCaptureStatusInvalidated
                                 : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(
    cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags)
{
    SIM_ENTER("cudaGraphInstantiate");
    return sim_return(instantiate(executable, graph, flags));
}

cudaError_t cudaGraphInstantiateWithFlags(
    cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags)
{
    SIM_ENTER("cudaGraphInstantiateWithFlags");
    return sim_return(instantiate(executable, graph, flags));
}

// Only the number of nodes is simulated.
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count)
{
    SIM_ENTER("cudaGraphGetNodes");
    if (!sim_is_tracked("graph", graph) || nodes) {
        sim_fail("only the number of a live graph's nodes is simulated");
        return sim_return(cudaErrorInvalidValue);
    }
    *count = graph->nodes.size();
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t stream)
{
    SIM_ENTER("cudaGraphUpload");
    if (cudaError_t error = check_executable(executable)) {
        return sim_return(error);
    }
    if (cudaError_t error = sim_may_enqueue(stream)) {
        return sim_return(error);
    }
    sim_enqueue(
        stream, [] {}, "graph upload");
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream)
{
    SIM_ENTER("cudaGraphLaunch");
    if (cudaError_t error = check_executable(handle)) {
        return sim_return(error);
    }
    if (sim_is_capturing(stream)) {
        sim_fail("a graph within a captured graph is not simulated");
        return sim_return(cudaErrorNotSupported);
    }
    if (cudaError_t error = sim_may_enqueue(stream)) {
        return sim_return(error);
    }
    auto run = std::make_shared<sim_graph_run>();
    run->executable = handle->executable;
    const std::vector<sim_node> &nodes = run->executable->nodes;
    if (nodes.empty()) {
        return cudaSuccess;
    }
    run->number = run->executable->launches++;
    run->left = nodes.size();
    for (size_t i = 0; i < nodes.size(); i++) {
        const sim_operation &operation = nodes[i].operation;
        run->missing.push_back(static_cast<int>(nodes[i].after.size()));
        run->tickets.push_back(operation.record ? ++operation.record->requested
                               : operation.wait ? operation.wait->requested
                                                : 0);
        if (operation.record) {
            operation.record->capture.reset();
        }
        if (nodes[i].after.empty()) {
            run->ready.push_back(static_cast<int>(i));
        }
    }
    sim_enqueue_graph(sim_stream(stream), run);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    SIM_ENTER("cudaGraphDestroy");
    if (!sim_untrack("graph", graph)) {
        sim_fail("%p is not a live graph", static_cast<void *>(graph));
        return sim_return(cudaErrorInvalidValue);
    }
    graph->nodes.clear();
    return cudaSuccess;
}

// What was launched still runs to its end.
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable)
{
    SIM_ENTER("cudaGraphExecDestroy");
    if (cudaError_t error = check_executable(executable)) {
        return sim_return(error);
    }
    sim_untrack("executable graph", executable);
    executable->executable.reset();
    return cudaSuccess;
}

} // extern "C"
