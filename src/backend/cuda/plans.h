// The plans of a device: for each graph the engine chosen, made once, kept on disk.
//
// A plan does not know where its tensors lie, so all executors of a device share it. Where the
// device can be measured, the admitted engines are timed in a scratch arena (warmed up, median),
// and one must be 3 % faster than those in front of it to win (fm_cuda_measure_best()); else the
// first precompiled one of the heuristics' order wins. What was chosen is written to the cache
// folder, keyed by graph, filter, limit, device, cuDNN and driver, so that a second start builds
// nothing.
#ifndef FM_CUDA_PLANS_H
#define FM_CUDA_PLANS_H

#include "backend/cuda/engine.h"
#include "backend/cuda/memory.h"

struct fm_cuda_plan {
    struct fm_cuda_graph_spec spec;
    cudnnBackendDescriptor_t plan;
    char name[96]; // "engine 65, 2=5 12=29 (precompiled)"
    int64_t workspace;
    double seconds; // measured for a call; 0: not measured
};

struct fm_cuda_plans;

struct fm_cuda_plans_options {
    struct fm_cuda_target target;
    struct fm_cuda_caps caps;
    const char *device;            // its name, for the key
    int driver;                    // cudaDriverGetVersion's number, for the key
    const char *folder;            // of the cache; NULL: nothing is kept
    bool measure;                  // time the engines; needs a device
    struct fm_cuda_memory *memory; // counts what that takes; NULL: nobody wants to know
};

enum fm_status fm_cuda_plans_open(
    const struct fm_cuda_plans_options *options, struct fm_cuda_plans **plans);
void fm_cuda_plans_close(struct fm_cuda_plans *plans); // NULL is allowed

// The plan of a graph, valid until the plans are closed. A cache that cannot be read or written
// costs a note and time, never the run.
enum fm_status fm_cuda_plans_get(struct fm_cuda_plans *plans, const struct fm_cuda_graph_spec *spec,
    const struct fm_cuda_plan **plan);

// Writes what was chosen since the last call to the cache folder. The second only where a first
// start would lose much if it were killed now.
void fm_cuda_plans_save(struct fm_cuda_plans *plans);
void fm_cuda_plans_save_if_due(struct fm_cuda_plans *plans);

struct fm_cuda_plans_counts {
    int built;  // engines chosen in this process
    int loaded; // plans taken from the cache
};
struct fm_cuda_plans_counts fm_cuda_plans_counted(const struct fm_cuda_plans *plans);

#endif
