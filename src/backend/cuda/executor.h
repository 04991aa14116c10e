// An executor of the CUDA backend: a program with its plans and its arena, and the graphs captured
// of it.
//
// The first run of a program goes command by command, which loads every kernel; from then on it is
// captured, once for each slot, and replayed: a step is one launch. Executors that are unfused or
// probed or profiled always go command by command.
#ifndef FM_CUDA_EXECUTOR_H
#define FM_CUDA_EXECUTOR_H

#include "backend/cuda/program.h"
#include "backend/cuda/staging.h"

// What a command was given by plans: a cuDNN plan or a cuBLASLt algorithm, or neither.
struct fm_cuda_chosen {
    const struct fm_cuda_plan *plan; // the device's
    struct fm_cuda_dense *dense;     // the executor's
};

// Where a program's references lead to in one run.
struct fm_cuda_binding {
    const struct fm_model *model;
    const struct fm_cuda_program *program;
    const struct fm_cuda_chosen *chosen; // by command
    const struct fm_cuda_weights *weights;
    unsigned char *arena;
    const struct fm_cuda_slot *slot;
    struct fm_cuda_sums *scores; // inference: what metrics add to, or NULL
    uint32_t *confusion;
};

// run.c: enqueues one command on the stream.
enum fm_status fm_cuda_run(const struct fm_cuda_binding *binding,
    const struct fm_cuda_command *command, cudaStream_t stream);

// A program captured for one slot of one staging.
struct fm_cuda_captured {
    cudaGraphExec_t graph;
    uint64_t staging; // its serial
};

// What a run is for; each is a captured graph of its own.
enum fm_cuda_purpose {
    FM_PURPOSE_STEP,    // training
    FM_PURPOSE_PREDICT, // inference: the logits go to the host
    FM_PURPOSE_SCORE,   // inference: the scores on the device grow
    FM_PURPOSES,
};

// Times whole runs by two events, which lie outside of what is captured.
struct fm_cuda_stopwatch {
    bool on, started;       // started: the events were recorded
    cudaEvent_t begin, end; // NULL until it is on
};

struct fm_executor {
    struct fm_model *model;
    struct fm_compile_options options;
    struct fm_cuda_program program;
    struct fm_cuda_chosen *chosen; // [program.count]
    bool norm_refused;             // cuDNN has no engine for its batch norm
    const struct fm_cuda_weights *weights;
    unsigned char *arena; // one allocation, with the scores behind the program's buffers
    uint64_t bytes;       // of it
    uint64_t version;     // of the weights that the kept buffers hold
    bool warm[FM_PURPOSES];
    struct fm_cuda_captured captured[FM_PURPOSES][FM_SLOTS];
    void *results;               // inference: pinned; logits or scores arrive here
    struct fm_cuda_sums *scores; // inference: on the device, with confusion behind it
    uint32_t *confusion;
    struct fm_cuda_profile *profile; // profile.c; NULL without options.profile
    struct fm_cuda_stopwatch stopwatch;
};

// compile.c
enum fm_status fm_cuda_compile(struct fm_model *model, const struct fm_compile_options *options,
    struct fm_executor **executor);
void fm_cuda_executor_destroy(struct fm_executor *executor);

// executor.c
enum fm_status fm_cuda_submit(struct fm_executor *executor, struct fm_staging *staging, int slot);
enum fm_status fm_cuda_predict(
    struct fm_executor *executor, struct fm_staging *staging, int slot, float *logits);
enum fm_status fm_cuda_score(struct fm_executor *executor, struct fm_staging *staging, int slot);
enum fm_status fm_cuda_scores_take(
    struct fm_executor *executor, struct fm_sums *scores, uint64_t *confusion);

// inspect.c
enum fm_status fm_cuda_executor_read(
    struct fm_executor *executor, int layer, enum fm_probe probe, float *data, size_t count);
enum fm_status fm_cuda_executor_profile(
    struct fm_executor *executor, struct fm_profile_entry *entries, size_t capacity, size_t *count);
enum fm_status fm_cuda_executor_time(struct fm_executor *executor, bool on);
enum fm_status fm_cuda_executor_seconds(struct fm_executor *executor, double *seconds);
uint64_t fm_cuda_executor_memory(const struct fm_executor *executor);
void fm_cuda_executor_plans(const struct fm_executor *executor,
    void (*emit)(void *context, const char *line), void *context);

#endif
