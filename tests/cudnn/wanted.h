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

// What of a network is trained or predicts.
enum wanted_part {
    WANTED_WHOLE,
    WANTED_LAST, // of VGG16 its fifth block and the head are trained
    WANTED_BASE, // VGG16 up to its features, which it predicts
    WANTED_HEAD, // what VGG16 has behind them
};

// What a model is compiled for.
struct wanted_program {
    enum fm_mode mode;
    int batch;
    bool unfused;
    enum wanted_part part;
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

// Adds the graphs of every model for these programs that `takes` accepts; with `size`, of VGG16
// alone whose input has that size.
typedef bool wanted_filter(const struct fm_cuda_graph_spec *spec);
enum fm_status wanted_collect(struct wanted_list *list, const struct fm_cuda_caps *caps,
    enum wanted_precision precision, const struct wanted_program *programs, int count, int size,
    wanted_filter *takes);
void wanted_free(struct wanted_list *list);

#endif
