// Small cuDNN graphs for tests, in terms of the backend API alone: the same object file is linked
// with the simulated library and with NVIDIA's.
//
// A builder keeps the first failure (status, call) and ignores every call after it, so that a graph
// is written down without a check a line and asked once at the end.
#ifndef FM_TESTS_CUDNN_GRAPH_H
#define FM_TESTS_CUDNN_GRAPH_H

#include <cudnn.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    GRAPH_DESCRIPTORS = 640,
    GRAPH_OPERATIONS = 8
};

struct graph {
    cudnnBackendDescriptor_t live[GRAPH_DESCRIPTORS];
    int descriptors;
    cudnnBackendDescriptor_t operations[GRAPH_OPERATIONS];
    int count;
    int64_t next_uid; // tensors are numbered from 1 in the order in which they are made
    cudnnStatus_t status;
    char where[128]; // the call that failed
};

struct shape {
    int64_t n, c, h, w;
};

struct window {
    int64_t pad, stride, dilation;
};

enum pass {
    PASS_FORWARD,
    PASS_DATA,
    PASS_FILTER
};

void graph_begin(struct graph *graph);
void graph_end(struct graph *graph); // destroys every descriptor that the graph made

cudnnBackendDescriptor_t graph_create(struct graph *graph, cudnnBackendDescriptorType_t type);
void graph_set(struct graph *graph, cudnnBackendDescriptor_t descriptor,
    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
    const void *values);
void graph_set_child(struct graph *graph, cudnnBackendDescriptor_t descriptor,
    cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t child);
void graph_finalize(struct graph *graph, cudnnBackendDescriptor_t descriptor, const char *what);

// Tensors: packed NHWC in memory; one value a channel; or with any strides (of N, C, H, W).
cudnnBackendDescriptor_t graph_tensor(
    struct graph *graph, cudnnDataType_t type, struct shape shape);
cudnnBackendDescriptor_t graph_virtual(
    struct graph *graph, cudnnDataType_t type, struct shape shape);
cudnnBackendDescriptor_t graph_channels(struct graph *graph, cudnnDataType_t type, int64_t c);
cudnnBackendDescriptor_t graph_strided(
    struct graph *graph, cudnnDataType_t type, struct shape shape, const int64_t strides[4]);
cudnnBackendDescriptor_t graph_scalar(struct graph *graph, cudnnDataType_t type); // by value

// Operations, each added to the graph. `x` is x or dx, `w` w or dw, `y` y or dy.
void graph_convolution(struct graph *graph, enum pass pass, struct window window,
    cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t w, cudnnBackendDescriptor_t y);
// One operand (b null) or two; for a backward function x is its forward's, dy in `b`, dx in `y`.
void graph_pointwise(struct graph *graph, cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t x,
    cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t y);
void graph_reduction(struct graph *graph, cudnnReduceTensorOp_t operator_,
    cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t y);

struct norm {
    cudnnBackendDescriptor_t x, y, mean, inverse_deviation, scale, bias;
    cudnnBackendDescriptor_t epsilon, factor;                                          // by value
    cudnnBackendDescriptor_t running_mean, running_variance, next_mean, next_variance; // or null
    cudnnBackendDescriptor_t dy, dx, dscale, dbias;                                    // backward
};
void graph_norm_training(struct graph *graph, const struct norm *norm);
void graph_norm_inference(struct graph *graph, const struct norm *norm);
void graph_norm_backward(struct graph *graph, const struct norm *norm);

// The finalized operation graph; `handle` may be null (deviceless).
cudnnBackendDescriptor_t graph_operations(struct graph *graph, cudnnHandle_t handle);

// A device that is only described.
cudnnBackendDescriptor_t graph_device(struct graph *graph, const char *json);

// Which engines a caller admits.
struct admitted {
    bool tensor_cores, reduced_precision, winograd, nondeterministic;
    int64_t workspace; // at most; in bytes
};

struct chosen {
    cudnnBackendDescriptor_t plan;   // null: no engine
    int candidates, admitted, place; // place: that of the chosen among the candidates
    bool runtime_compiled;
    int64_t workspace, index;
};

// Asks the heuristics (mode A, then the fallbacks) and finalizes the first admitted engine that can
// be. `device` may be null where `operations` has a handle.
struct chosen graph_choose(struct graph *graph, cudnnBackendDescriptor_t operations,
    cudnnBackendDescriptor_t device, cudnnHandle_t handle, struct admitted admitted);

#endif
