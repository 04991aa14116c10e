// cuDNN graphs: what a graph computes as plain data, and its descriptors through the C backend API.
//
// A spec says everything that decides how a graph may be computed, and nothing of where its tensors
// lie; so it is a key for plans, and graphs can be listed, counted and held against cuDNN where
// there is no device. Tensors are NHWC, filters KRSC, arithmetic and sums fp32. A tensor's unique
// id is its role (tensors.h) plus 1.
#ifndef FM_CUDA_GRAPH_H
#define FM_CUDA_GRAPH_H

#include "backend/cuda/tensors.h"
#include "base/status.h"

#include <cudnn.h>

enum fm_cuda_graph_kind {
    FM_GRAPH_CONV,           // y = conv(x, weight)
    FM_GRAPH_CONV_BIAS,      // y = conv(x, weight) + bias
    FM_GRAPH_CONV_BIAS_RELU, // y = max(conv(x, weight) + bias, 0)
    FM_GRAPH_CONV_DATA,      // dx from dy, weight
    FM_GRAPH_CONV_WEIGHTS,   // dweight from x, dy
    FM_GRAPH_NORM,           // y, mean, inverse, batch_mean, batch_variance from x, scale, shift
    FM_GRAPH_NORM_RELU,      // the same, y = max(., 0)
    FM_GRAPH_NORM_BACKWARD,  // dx, dscale, dshift from x, dy, scale, mean, inverse
    FM_GRAPH_NORM_RELU_BACKWARD, // the same, dy gated by the ReLU's argument, which is made again
    FM_GRAPH_KINDS,
};

struct fm_cuda_graph_spec {
    enum fm_cuda_graph_kind kind;
    enum fm_cuda_type type; // of x, y, their gradients, weight, dweight and bias; statistics, scale
                            // and shift are fp32
    int n, h, w, c;         // of x (and dx)
    int k, kernel, padding; // of a convolution: output channels; square, stride 1
};

const char *fm_cuda_graph_kind_name(enum fm_cuda_graph_kind kind); // "conv bias relu"

// "conv bias relu fp16 n256 h28 w28 c1 k32 r3 p0": the same for equal specs, else different.
void fm_cuda_graph_key(const struct fm_cuda_graph_spec *spec, char *key, size_t size);

// Of a tensor in memory; 0: the spec's kind has none of this role.
uint64_t fm_cuda_graph_bytes(const struct fm_cuda_graph_spec *spec, enum fm_cuda_role role);

// The finalised operation graph. `handle` NULL: for a device that is only described. It owns its
// tensors and operations.
struct fm_cuda_graph;
enum fm_status fm_cuda_graph_create(
    const struct fm_cuda_graph_spec *spec, cudnnHandle_t handle, struct fm_cuda_graph **graph);
void fm_cuda_graph_destroy(struct fm_cuda_graph *graph);
cudnnBackendDescriptor_t fm_cuda_graph_descriptor(const struct fm_cuda_graph *graph);

// Enqueues a finalised plan of a graph of `spec` on the handle's stream. `tensors` by role, those
// that the spec's kind names; scalars are filled in here.
enum fm_status fm_cuda_graph_run(const struct fm_cuda_graph_spec *spec,
    cudnnBackendDescriptor_t plan, cudnnHandle_t handle, void *const tensors[FM_TENSOR_ROLES],
    void *workspace);

#endif
