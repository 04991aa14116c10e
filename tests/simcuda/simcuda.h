// The simulated CUDA device, as a test sees it: what it promises, and the knobs.
//
// libsimcuda implements, on the CPU and against NVIDIA's headers, the part of the CUDA runtime, of
// the cuDNN backend API and of cuBLASLt that the CUDA backend uses. The backend's host objects link
// against it instead of cudart, cudnn and cublasLt; its .cu files are compiled as C++ by clang++
// with shim.h included by force. Neither has a line of its own for the simulation. What is not
// simulated fails at link time. It is stricter than a GPU:
//
// Kernels
//   - Every thread of a block is a fiber; barriers and warp operations really wait for one another.
//     Blocks, and the threads of a block between two barriers, run in an order drawn from the seed.
//   - Static and dynamic shared memory is filled with 0xff (a NaN in fp32, fp16 and bf16) before
//   each
//     block. There are no float atomics.
//   - Refused: a barrier that not all threads of the block reach, a warp operation whose mask never
//     completes or names a lane that is not there, a shuffle from a lane outside the mask, a bad
//     launch configuration, more shared memory than the function was allowed, an argument (or a
//     member of a struct argument) that points to host memory or to device memory that is not
//     live; pinned memory is an argument only if allocated with cudaHostAllocMapped.
//   - An access outside device memory, a misaligned one and an index outside a local or shared
//   array
//     end the kernel: the context is lost, as on a device (cudaErrorIllegalAddress and so on).
//   - Built with ThreadSanitizer, races inside a block are found; with SIM_TSAN_GRID=1 races
//   between
//     blocks instead. Built with AddressSanitizer, accesses outside dynamic shared memory are.
// Streams
//   - Work runs only when the host waits (or, under some seeds, now and then before: the host can
//     rely on neither), in an order drawn from the seed that keeps what streams, events and the
//     default stream promise, and nothing more. The nodes of a launched graph mix with the work of
//     other streams.
//   - The clock that events read is virtual: it advances by what work is said to cost, so measured
//     times are the same in every run and say nothing about a GPU.
// Memory
//   - Device memory is unreadable and unwritable (SIGSEGV, explained on standard error) except
//   while
//     queued work runs; addresses are never used twice; fresh memory is 0xff; guard pages and guard
//     bytes lie around every allocation, the bytes being checked when it is freed and at a
//     synchronisation of the device.
//   - Refused: asynchronous copies from or to pageable memory, a kind that contradicts the
//   pointers,
//     ranges outside one live allocation, double frees, handles that are not live.
// Capture
//   - Calls that are illegal while a stream is capturing are refused and invalidate the capture, as
//   are
//     forked streams that were not joined, and waits on events from outside it.
// cuDNN
//   - Has engines for the graphs that the real library has engines for on the posed device, and no
//     others. The heuristics' first and fastest candidates are ones that a careful caller does not
//     admit; an engine does to the numbers what its notes say (TF32, sums in fp16, any order).
//   - Refused: shapes that do not fit, overlapping strides, two tensors of one uid, two writers,
//     virtual tensors that nobody writes or reads; at execution missing and unknown uids,
//     misaligned, host and short buffers, a missing workspace, memory that is written and shared.
//     A workspace is filled with 0xff. An address of a descriptor is never used twice.
// NVML
//   - Has the functions that energy is read by. libnvidia-ml.so.1, which is loaded by name, is
//     libsimcuda under that name. The device uses 350 W of the virtual clock's time.
// Errors
//   - A misuse is printed once on standard error with the call in which it happened, and counted. A
//     process that ends with misuses or leaks that no test has taken ends with status 86.
//   - Any call can be told to fail (sim_inject). An error of running work is sticky.
//
// The environment variables, read once, set what the functions set later:
//   SIM_SEED=n       SIM_DEVICE=h100|a100|t4|v100|none   SIM_DRIVER=12020   SIM_MEMORY=MiB
//   SIM_INJECT=function:nth:code,...                SIM_SHADOW=1 (see cudnn_shadow.cc)
//   SIM_TSAN_GRID=1  SIM_TRACE=1 (prints each call)  SIM_NVRTC=0 (engines that cuDNN would compile
//   at run time cannot be made)
#ifndef SIMCUDA_SIMCUDA_H
#define SIMCUDA_SIMCUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SIM_EXIT_MISUSE 86

// Whether the device is this one. False where a test is linked with NVIDIA's libraries instead
// (tests/gpu/on_device.c), whose expf() and logf() are not the host's.
bool sim_is_here(void);

// Restarts the random order: of threads, blocks, streams, and how eagerly work runs (1 unless set).
void sim_seed(uint64_t seed);

// Poses as "h100", "a100" or "t4" (h100 unless set), as "v100", which CUDA 13 has no code for any
// more, or has no device ("none"). Call it before the first CUDA call or after sim_reset. False: no
// such device.
bool sim_pose_as(const char *device);

// The version that the driver claims, 13000 unless set: an older one than the runtime refuses to
// work, and 0 is no driver at all.
void sim_set_driver(int version);

// Device memory in bytes; 0 is the device's own.
void sim_set_memory(size_t bytes);

// Makes the nth call from now (1 is the next) of `function` return `code` and do nothing. The name
// is that of any simulated function, cuDNN's and cuBLASLt's included (cudnnGetVersion and
// cublasLtGetVersion return the code as the version), or
//   "*"            any function that can fail,
//   "allocation"   any of device or pinned memory,
//   "kernel"       the nth kernel that runs: fails there, so the error is sticky.
void sim_inject(const char *function, long nth, int code);
void sim_clear_injections(void);

// How many calls of `function` ("*": of any) there were since the last sim_reset.
long sim_calls(const char *function);

// The misuses counted since they were last taken; taking them makes the process end well.
int sim_failures(void);
int sim_take_failures(void);
// The text of the last one, "" if there was none. Valid until the next.
const char *sim_last_failure(void);

// Objects not yet given back: device and pinned memory, streams, events, graphs, descriptors,
// handles. sim_report_leaks prints each with the call that made it and returns how many there are.
int sim_live(void);
int sim_report_leaks(void);

// Forgets everything: objects, queued work, a lost context, injections, counts (of misuses, too),
// and takes the environment's settings again. For between two tests of one process.
void sim_reset(void);

// Bytes of device memory that are allocated, and the most there were since sim_reset.
size_t sim_memory_in_use(void);
size_t sim_memory_peak(void);

#ifdef __cplusplus
}
#endif
#endif
