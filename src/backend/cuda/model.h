// What lives on the device between steps: ranges laid out by params.h, and the state that a step's
// kernels pass on.
#ifndef FM_CUDA_MODEL_H
#define FM_CUDA_MODEL_H

#include "backend/cuda/device.h"
#include "backend/cuda/params.h"

// The values that an executor computes with: the trained ones, or their averages.
struct fm_cuda_weights {
    float *params;  // [params.elements]
    float *running; // [params.running_elements]
};

// The sums on their way to the host, so that progress waits for nothing. One report is under way at
// a time: were each step to bring its own, the host, steps ahead of the device, would find the
// newest ones unfinished for ever.
struct fm_cuda_report {
    struct fm_cuda_sums *sums; // pinned
    cudaEvent_t done;
    uint64_t step; // that the sums under way follow; 0: none are
    double asked;  // when they, or those before them, were sent for
    double pause;  // seconds from that to the next: the copy stands between two steps
};

struct fm_model {
    struct fm_device *device;
    struct fm_net net;
    struct fm_model_options options;
    struct fm_cuda_params params;
    struct fm_cuda_weights trained;
    struct fm_cuda_weights average; // NULL without options.ema
    void *working;                  // trained.params in params.type; NULL in fp32
    void *low_gradients;            // [params.low_elements] of params.type
    float *f32_gradients;           // [params.f32_elements]
    float *moment1, *moment2;       // [params.elements]; moment2 NULL for SGD
    float *batch;                   // [params.running_elements]: the last step's statistics
    float *zeros;                   // fp32: [the widest batch norm's channels], at least 16 bytes
    struct fm_cuda_state *state;
    struct fm_cuda_param *table; // the update's, on the device
    struct fm_cuda_chunk *chunks;
    int chunk_count;
    uint64_t version; // changes whenever parameters, running statistics or averages may have
    void *block;      // the one allocation that all of the above lie in
    uint64_t bytes;
    struct fm_cuda_report report;
    uint64_t submitted; // steps
    // The newest sums that the host has seen, and the step that they follow: a report of that step
    // or of an earlier one tells nothing new.
    struct fm_sums known;
    uint64_t known_step;
};

enum fm_status fm_cuda_model_create(struct fm_device *device, const struct fm_net *net,
    const struct fm_model_options *options, struct fm_model **model);
void fm_cuda_model_destroy(struct fm_model *model);
enum fm_status fm_cuda_model_get(
    struct fm_model *model, enum fm_state_kind kind, const char *name, float *data, size_t count);
enum fm_status fm_cuda_model_set(struct fm_model *model, enum fm_state_kind kind, const char *name,
    const float *data, size_t count);
enum fm_status fm_cuda_counters_get(struct fm_model *model, struct fm_counters *counters);
enum fm_status fm_cuda_counters_set(struct fm_model *model, const struct fm_counters *counters);
enum fm_status fm_cuda_sums_get(struct fm_model *model, bool wait, struct fm_sums *sums);
enum fm_status fm_cuda_sums_set(struct fm_model *model, const struct fm_sums *sums);

#endif
