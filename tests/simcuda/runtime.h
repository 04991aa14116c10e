// What only the files of the simulated CUDA runtime share: entering a call, the queues, captures,
// and running a kernel. Simulated libraries above the runtime include internal.h alone.
#ifndef SIMCUDA_RUNTIME_H
#define SIMCUDA_RUNTIME_H

#include "internal.h"

#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <thread>
#include <vector>

// ---- a call of the runtime (device.cc) ----

// Why this call cannot even begin: told to fail, no device, the context is lost, made from a host
// function of a stream.
cudaError_t sim_refusal(const sim_call &call);
// Notes the error for cudaGetLastError and returns it.
cudaError_t sim_return(cudaError_t error);

#define SIM_ENTER(function)                                                                        \
    sim_call call(function);                                                                       \
    if (cudaError_t refusal = sim_refusal(call))                                                   \
    return sim_return(refusal)

// ---- chance and orders to fail (report.cc) ----

uint32_t sim_random_below(uint32_t n); // 0 to n - 1
unsigned sim_eagerness(void);          // of 1024 calls, how many run some queued work
// Whether a test wants this event ("allocation", "kernel") to fail.
bool sim_is_injected(const char *event, int *code);
std::string sim_current_call(void);
// Settings of the environment; called once at the start and by sim_reset.
void sim_read_environment(void);
void sim_inject_from(const char *list); // SIM_INJECT

// The device's place on the bus, by which NVML is asked for it (device.cc, nvml.cc).
#define SIM_BUS_ID "0000:5D:00.0"

// Each file forgets its part; sim_reset calls them.
void sim_reset_device(void);
void sim_reset_memory(void);
void sim_reset_streams(void);
void sim_reset_launches(void);
void sim_reset_nvml(void);

// ---- memory (memory.cc) ----

size_t sim_memory_total(void); // of the device (device.cc)
void sim_check_guards(void);   // of all live allocations
// Closes device memory for a host function that runs among queued work.
int sim_suspend_memory(void);
void sim_resume_memory(int opened);
// True: a kernel may be given this pointer. Else says why not.
bool sim_is_kernel_pointer(const void *p, std::string *why);
// True: these eight bytes of a struct given to a kernel are a pointer that it may not be given.
bool sim_is_bad_pointer(uintptr_t word, std::string *why);

// ---- streams, events, captures (stream.cc, graph.cc) ----

struct sim_capture;

// Waiting for an event means waiting until `done` reaches what `requested` was when asked.
struct sim_event {
    uint64_t requested = 0; // records asked for
    uint64_t done = 0;      // records reached
    double time = 0;        // microseconds of the virtual clock, at the last record
    bool timing = true;
    std::shared_ptr<sim_capture> capture; // last recorded in this capture...
    std::vector<int> position;            // ... after these nodes
};

// What a stream or a graph does in one step: work, or recording or awaiting an event.
struct sim_operation {
    std::function<void()> work;
    sim_event *record = nullptr;
    sim_event *wait = nullptr;
    uint64_t ticket = 0; // the value of `done` that this reaches or awaits
    double costs = 0;
    const char *what = "";
};

struct sim_node {
    sim_operation operation;
    std::vector<int> after; // nodes that must have run
};

struct sim_executable {
    std::vector<sim_node> nodes;
    std::vector<std::vector<int>> followers; // of each node
    uint64_t launches = 0, finished = 0;     // they run one after another
};

// One launch of a graph, at the head of a stream's queue until all its nodes have run.
struct sim_graph_run {
    std::shared_ptr<sim_executable> executable;
    uint64_t number = 0;
    std::vector<int> missing; // of each node: how many it still waits for
    std::vector<int> ready;
    std::vector<uint64_t> tickets; // of nodes that record or wait
    size_t left = 0;
};

struct sim_queued {
    uint64_t order = 0; // of all queued things, for the default stream's promises
    sim_operation operation;
    std::shared_ptr<sim_graph_run> graph;
};

struct sim_capture {
    cudaStreamCaptureMode mode;
    std::thread::id thread;
    CUstream_st *origin;
    std::set<CUstream_st *> streams;
    std::vector<sim_node> nodes;
    bool invalid = false;
};

// The stream behind a handle; null (and a misuse) if it is not live.
CUstream_st *sim_stream(cudaStream_t stream);
sim_event *sim_event_of(cudaEvent_t event);
// Whether work may be put on the stream now; else the error.
cudaError_t sim_may_enqueue(cudaStream_t stream);
void sim_enqueue_operation(CUstream_st *stream, sim_operation operation);
void sim_enqueue_graph(CUstream_st *stream, std::shared_ptr<sim_graph_run> run);
// Runs queued work until `reached`.
void sim_run_until(const std::function<bool()> &reached);
bool sim_is_idle(void);
// At the end of a call: perhaps runs some work, as the seed has it.
void sim_run_ahead(void);
bool sim_in_host_function(void);
// Queued work is running: what was freed in stream order after it is still there.
bool sim_is_running(void);
double sim_clock(void); // the virtual one, in microseconds
// The capture that a stream is part of, or null.
std::shared_ptr<sim_capture> &sim_capture_of(CUstream_st *stream);
std::vector<int> &sim_capture_tail(CUstream_st *stream);
void sim_add_node(CUstream_st *stream, sim_operation operation);
std::set<std::shared_ptr<sim_capture>> &sim_captures(void);
// Refuses what may not be called while a stream is capturing, and invalidates the captures.
cudaError_t sim_forbid_in_capture(bool synchronises_device);

#define SIM_NOT_IN_CAPTURE(synchronises_device)                                                    \
    do {                                                                                           \
        if (cudaError_t forbidden = sim_forbid_in_capture(synchronises_device))                    \
            return sim_return(forbidden);                                                          \
    } while (0)

// ---- kernels (fiber.cc) ----

struct sim_grid {
    dim3 grid, block;
    size_t dynamic_shared;
    const char *name;
};

// Runs all blocks. cudaSuccess, or what the context is lost to.
cudaError_t sim_run_grid(const sim_grid &grid, const std::function<void()> &thread);

#endif
