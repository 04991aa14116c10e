// An ONNX graph being put together, a node after the other, in the messages that protoc-c makes of
// the official onnx.proto. Everything that a network can need has its place from the start, so that
// nothing here can fail: values are copied, but for the elements of tensors, which are borrowed.
#ifndef FM_NET_FORMATS_ONNX_GRAPH_H
#define FM_NET_FORMATS_ONNX_GRAPH_H

#include "net/net.h"

#include <onnx/onnx.pb-c.h>

enum {
    FM_ONNX_OWN_NODES = 10, // besides the layers': the input's, "flatten", the softmax
    FM_ONNX_NODES_MAX = FM_LAYERS_MAX + FM_ONNX_OWN_NODES,
    FM_ONNX_TENSORS_MAX = 2 * FM_PARAMS_MAX + FM_ONNX_OWN_NODES,
    FM_ONNX_INPUTS_MAX = 5, // of a node: batch norm's
    FM_ONNX_ATTRIBUTES_MAX = 3,
    FM_ONNX_INTS_MAX = 4,
    FM_ONNX_DIMS_MAX = 4,
    FM_ONNX_VALUES_MAX = 3, // of the graph: an input and two outputs
};

struct fm_onnx_attribute {
    Onnx__AttributeProto proto;
    int64_t ints[FM_ONNX_INTS_MAX];
};

struct fm_onnx_node {
    Onnx__NodeProto proto;
    char name[FM_NAME_MAX], output[FM_NAME_MAX];
    char inputs[FM_ONNX_INPUTS_MAX][FM_NAME_MAX];
    char *input_list[FM_ONNX_INPUTS_MAX], *output_list[1];
    struct fm_onnx_attribute attributes[FM_ONNX_ATTRIBUTES_MAX];
    Onnx__AttributeProto *attribute_list[FM_ONNX_ATTRIBUTES_MAX];
};

struct fm_onnx_tensor {
    Onnx__TensorProto proto;
    char name[FM_NAME_MAX];
    int64_t dims[FM_ONNX_DIMS_MAX];
};

struct fm_onnx_value {
    Onnx__ValueInfoProto proto;
    Onnx__TypeProto type;
    Onnx__TypeProto__Tensor tensor;
    Onnx__TensorShapeProto shape;
    Onnx__TensorShapeProto__Dimension dims[FM_ONNX_DIMS_MAX];
    Onnx__TensorShapeProto__Dimension *dim_list[FM_ONNX_DIMS_MAX];
};

struct fm_onnx_graph {
    Onnx__GraphProto proto;
    struct fm_onnx_node nodes[FM_ONNX_NODES_MAX];
    Onnx__NodeProto *node_list[FM_ONNX_NODES_MAX];
    struct fm_onnx_tensor tensors[FM_ONNX_TENSORS_MAX];
    Onnx__TensorProto *tensor_list[FM_ONNX_TENSORS_MAX];
    struct fm_onnx_value values[FM_ONNX_VALUES_MAX];
    Onnx__ValueInfoProto *input_list[1], *output_list[FM_ONNX_VALUES_MAX];
    int value_count;
};

void fm_onnx_graph_begin(struct fm_onnx_graph *graph, const char *name);

// A node `name` of the operator `op` with one output; `inputs` end with NULL.
// protobuf-c's messages hold text as char *, which packing reads only.
char *fm_onnx_text(const char *string);

struct fm_onnx_node *fm_onnx_add_node(struct fm_onnx_graph *graph, const char *op, const char *name,
    const char *const *inputs, const char *output);
void fm_onnx_set_int(struct fm_onnx_node *node, const char *name, int64_t value);
void fm_onnx_set_ints(struct fm_onnx_node *node, const char *name, int count, const int *values);
void fm_onnx_set_float(struct fm_onnx_node *node, const char *name, float value);

// An initialiser. `data`: its elements, fp32 or i64, which the graph must not outlive.
void fm_onnx_add_tensor(
    struct fm_onnx_graph *graph, const char *name, int ndims, const int *dims, const float *data);
void fm_onnx_add_i64(struct fm_onnx_graph *graph, const char *name, int count, const int64_t *data);

// An input or output of the graph, [N, dims...]: N is free.
void fm_onnx_add_input(struct fm_onnx_graph *graph, const char *name,
    Onnx__TensorProto__DataType type, int ndims, const int *dims);
void fm_onnx_add_output(struct fm_onnx_graph *graph, const char *name,
    Onnx__TensorProto__DataType type, int ndims, const int *dims);

#endif
