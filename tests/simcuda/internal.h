// What the files of the simulated device share: misuses, the queue of work, memory, the pose. Not
// seen by the code under test, nor by tests (simcuda.h).
//
// A function of a simulated library begins
//
//     cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor)
//     {
//         sim_call call("cudnnBackendFinalize");
//         if (call.injected) {
//             return static_cast<cudnnStatus_t>(call.code);
//         }
//
// checks its arguments at once, copies what it needs of the host's, and leaves the work on device
// memory to sim_enqueue.
#ifndef SIMCUDA_INTERNAL_H
#define SIMCUDA_INTERNAL_H

#include "simcuda.h"

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

// One call from the code under test: takes the simulator's lock, counts the call, names it in
// messages, and looks up whether it shall fail. Calls nest (one simulated function may use
// another): only the outermost is counted and named.
struct sim_call {
    explicit sim_call(const char *function);
    ~sim_call();
    sim_call(const sim_call &) = delete;
    sim_call &operator=(const sim_call &) = delete;

    bool injected = false; // a test wants this call to fail with `code`
    int code = 0;
    bool outermost = false;
};

// Reports a misuse: printed with the call, counted. The caller then returns the error that the real
// library would, or refuses where that would let it pass.
void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Runs `work` later, on the simulator's own stack with device memory open, in a random order that
// keeps only what streams and events promise; on a capturing stream it becomes a node of the graph,
// run at each launch. So it owns (captures by value) all it needs of the host. `what` is a literal.
// `costs` microseconds of the virtual clock. Work on a stream that is not live is a misuse and
// dropped.
void sim_enqueue(
    cudaStream_t stream, std::function<void()> work, const char *what, double costs = 2.0);

// For work while it runs: the error that the context is lost to, as if a kernel had crashed.
// Sticky.
void sim_lose_context(cudaError_t error);
// cudaSuccess, or the error that the context is lost to: every call then returns it (cuDNN: as
// CUDNN_STATUS_EXECUTION_FAILED, cuBLASLt: CUBLAS_STATUS_EXECUTION_FAILED), enqueues nothing.
cudaError_t sim_context(void);
// cudaSuccess: there is a device and a driver new enough. Else what cudaGetDeviceCount returns.
cudaError_t sim_has_device(void);

bool sim_is_stream(cudaStream_t stream); // live, or one of the default streams
bool sim_is_capturing(cudaStream_t stream);
bool sim_any_capture(void); // some stream is capturing: what would synchronise is refused

// The whole range lies inside one live allocation of device memory. Ask when called and, in work
// that may be replayed by a graph, again when it runs.
bool sim_is_device(const void *p, size_t bytes);
// The same of pinned memory.
bool sim_is_pinned(const void *p, size_t bytes);
// Any part of device memory's address range, live or not.
bool sim_in_device_range(const void *p);
// What `p` is, for messages: "pageable host memory", "3 bytes past the allocation of 16 bytes"...
std::string sim_describe(const void *p);
// Lets a host-side call read or write device memory itself, until sim_close_memory. They nest.
void sim_open_memory(void);
void sim_close_memory(void);

// Objects that the code under test owns and must give back. `kind` is a literal and part of the
// identity; the call in progress is remembered for the report of leaks.
void sim_track(const char *kind, const void *object);
// False: it is not live (never made, or given back already); the caller reports it.
bool sim_untrack(const char *kind, const void *object);
bool sim_is_tracked(const char *kind, const void *object);

uint64_t sim_random(void); // drawn from the seed, in the simulator's own order

struct sim_pose {
    const char *name; // "h100", "a100", "t4"
    std::string
        description; // cuDNN's JSON of the device (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION)
    std::string device_name; // "NVIDIA H100 80GB HBM3"
    int major, minor;        // compute capability
    size_t memory;           // bytes
    int multiprocessors;
    int threads_per_multiprocessor;
    int blocks_per_multiprocessor;
    int registers_per_block;
    size_t shared_per_block;       // what every kernel may use
    size_t shared_per_block_optin; // after cudaFuncSetAttribute
    size_t shared_reserved;        // of each block, by the system
    size_t l2_bytes;
    int clock_khz, memory_clock_khz;
};
const struct sim_pose *sim_pose(void);

#endif
