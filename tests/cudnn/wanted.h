// The cuDNN graphs that the models become on a GPU: lowered as the backend lowers them, without a
// device.
#ifndef FM_TESTS_CUDNN_WANTED_H
#define FM_TESTS_CUDNN_WANTED_H

#include "backend/cuda/program.h"

enum wanted_precision {
    WANTED_FP32,
    WANTED_TF32, // fp32 with --tf32
    WANTED_FP16,
    WANTED_BF16,
    WANTED_PRECISIONS,
};

// What a model is compiled for.
struct wanted_program {
    enum fm_mode mode;
    int batch;
    bool unfused;
};

struct wanted {
    struct fm_cuda_graph_spec spec;
    enum wanted_precision precision;
    char first[192];  // who wants it first: "deeper, fp16, training at batch 256: layer conv1, ..."
    char layers[512]; // all who do: "deeper conv1; vgg16 conv1, conv2"
    char last_model[FM_NAME_MAX]; // in `layers`
};

struct wanted_list {
    struct wanted *items; // no two with the same key and precision
    int count, capacity;
};

const char *wanted_precision_name(enum wanted_precision precision); // "fp32 with TF32"

// Adds the graphs of every model for these programs that `takes` accepts.
typedef bool wanted_filter(const struct fm_cuda_graph_spec *spec);
enum fm_status wanted_collect(struct wanted_list *list, const struct fm_cuda_caps *caps,
    enum wanted_precision precision, const struct wanted_program *programs, int count,
    wanted_filter *takes);
void wanted_free(struct wanted_list *list);

#endif
