// Which of cuDNN's engines may compute a graph, and a finalised plan for each.
//
// Engines are filtered by their numerical notes before anything is measured: a product that an fp32
// model did not ask for, a sum in less than fp32 or in changing order is not a matter of speed.
#ifndef FM_CUDA_ENGINE_H
#define FM_CUDA_ENGINE_H

#include "backend/cuda/caps.h"
#include "backend/cuda/graph.h"

// A device there is (handle), or one only described (properties, of
// CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR): one of both.
struct fm_cuda_target {
    cudnnHandle_t handle;
    cudnnBackendDescriptor_t properties;
};

// A description of a device (cuDNN's JSON), finalised; to be destroyed by the caller.
enum fm_status fm_cuda_target_describe(const char *json, struct fm_cuda_target *target);

enum {
    FM_ENGINE_NOTES = 32,          // of an engine, at most
    FM_ENGINE_RUNTIME_COMPILED = 2 // candidates of this kind, at most
};

struct fm_cuda_candidate {
    cudnnBackendDescriptor_t plan; // finalised
    char name[64];     // "engine 65, 2=5 12=29": the engine, its knobs' types and values
    int64_t workspace; // bytes
    bool runtime_compiled;
    int note_count;
    cudnnBackendNumericalNote_t notes[FM_ENGINE_NOTES];
};

// Finalises the plans of the engines that the heuristics name and the notes, determinism and the
// limit of `caps` admit, in the heuristics' order, at most `capacity`, among them at most
// FM_ENGINE_RUNTIME_COMPILED runtime-compiled ones, which take seconds to finalise; *seen is how
// many they named. One that cannot be read is left out, and a mode of the heuristics that fails
// where the other names any. No engine: FM_UNSUPPORTED with the graph, how many were seen and why
// they were refused. `precompiled_first`: stops at the first precompiled engine, and takes a
// runtime-compiled one only if there is no other.
enum fm_status fm_cuda_engine_candidates(const struct fm_cuda_graph *graph,
    const struct fm_cuda_graph_spec *spec, const struct fm_cuda_target *target,
    const struct fm_cuda_caps *caps, bool precompiled_first, struct fm_cuda_candidate *candidates,
    int capacity, int *count, int *seen);
void fm_cuda_candidate_destroy(struct fm_cuda_candidate *candidate);

#endif
