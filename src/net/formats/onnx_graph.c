// Messages point at each other and at text in a way that is easy to get wrong by hand: it is done
// here alone.
#include "net/formats/onnx_graph.h"

#include <stdio.h>
#include <string.h>

static char batch_name[] = "N";

char *fm_onnx_text(const char *string)
{
    union {
        const char *in;
        char *out;
    } cast = {.in = string};
    return cast.out;
}

void fm_onnx_graph_begin(struct fm_onnx_graph *graph, const char *name)
{
    memset(graph, 0, sizeof *graph);
    onnx__graph_proto__init(&graph->proto);
    graph->proto.name = fm_onnx_text(name);
    graph->proto.node = graph->node_list;
    graph->proto.initializer = graph->tensor_list;
    graph->proto.input = graph->input_list;
    graph->proto.output = graph->output_list;
}

// ---- Nodes

struct fm_onnx_node *fm_onnx_add_node(struct fm_onnx_graph *graph, const char *op, const char *name,
    const char *const *inputs, const char *output)
{
    struct fm_onnx_node *node = &graph->nodes[graph->proto.n_node];
    graph->node_list[graph->proto.n_node++] = &node->proto;
    onnx__node_proto__init(&node->proto);
    snprintf(node->name, sizeof node->name, "%s", name);
    snprintf(node->output, sizeof node->output, "%s", output);
    node->proto.op_type = fm_onnx_text(op);
    node->proto.name = node->name;
    node->proto.input = node->input_list;
    node->proto.output = node->output_list;
    node->proto.attribute = node->attribute_list;
    for (size_t i = 0; inputs[i]; i++) {
        snprintf(node->inputs[i], sizeof node->inputs[i], "%s", inputs[i]);
        node->input_list[i] = node->inputs[i];
        node->proto.n_input = i + 1;
    }
    node->output_list[0] = node->output;
    node->proto.n_output = 1;
    return node;
}

static struct fm_onnx_attribute *add_attribute(
    struct fm_onnx_node *node, const char *name, Onnx__AttributeProto__AttributeType type)
{
    struct fm_onnx_attribute *attribute = &node->attributes[node->proto.n_attribute];
    node->attribute_list[node->proto.n_attribute++] = &attribute->proto;
    onnx__attribute_proto__init(&attribute->proto);
    attribute->proto.name = fm_onnx_text(name);
    attribute->proto.has_type = true;
    attribute->proto.type = type;
    return attribute;
}

void fm_onnx_set_int(struct fm_onnx_node *node, const char *name, int64_t value)
{
    struct fm_onnx_attribute *attribute = add_attribute(
        node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    attribute->proto.has_i = true;
    attribute->proto.i = value;
}

void fm_onnx_set_ints(struct fm_onnx_node *node, const char *name, int count, const int *values)
{
    struct fm_onnx_attribute *attribute = add_attribute(
        node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    for (int i = 0; i < count; i++)
        attribute->ints[i] = values[i];
    attribute->proto.n_ints = (size_t)count;
    attribute->proto.ints = attribute->ints;
}

void fm_onnx_set_float(struct fm_onnx_node *node, const char *name, float value)
{
    struct fm_onnx_attribute *attribute = add_attribute(
        node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    attribute->proto.has_f = true;
    attribute->proto.f = value;
}

// ---- Tensors

static void add_tensor(struct fm_onnx_graph *graph, const char *name,
    Onnx__TensorProto__DataType type, int ndims, const int *dims, const void *data, size_t bytes)
{
    struct fm_onnx_tensor *tensor = &graph->tensors[graph->proto.n_initializer];
    graph->tensor_list[graph->proto.n_initializer++] = &tensor->proto;
    onnx__tensor_proto__init(&tensor->proto);
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    tensor->proto.name = tensor->name;
    tensor->proto.has_data_type = true;
    tensor->proto.data_type = (int32_t)type;
    for (int i = 0; i < ndims; i++) {
        tensor->dims[i] = dims[i];
        bytes *= (size_t)dims[i];
    }
    tensor->proto.n_dims = (size_t)ndims;
    tensor->proto.dims = tensor->dims;
    union {
        const void *in;
        void *out;
    } cast = {.in = data};
    tensor->proto.has_raw_data = true; // little-endian, as every machine that this is built for is
    tensor->proto.raw_data = (ProtobufCBinaryData){.len = bytes, .data = cast.out};
}

void fm_onnx_add_tensor(
    struct fm_onnx_graph *graph, const char *name, int ndims, const int *dims, const float *data)
{
    add_tensor(graph, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, ndims, dims, data, sizeof *data);
}

void fm_onnx_add_i64(struct fm_onnx_graph *graph, const char *name, int count, const int64_t *data)
{
    add_tensor(graph, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 1, &count, data, sizeof *data);
}

// ---- Inputs and outputs

static void set_dimension(struct fm_onnx_value *value, int index, int size)
{
    Onnx__TensorShapeProto__Dimension *dim = &value->dims[index];
    onnx__tensor_shape_proto__dimension__init(dim);
    if (size == 0) {
        dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        dim->dim_param = batch_name;
    } else {
        dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        dim->dim_value = size;
    }
    value->dim_list[index] = dim;
}

static Onnx__ValueInfoProto *add_value(struct fm_onnx_graph *graph, const char *name,
    Onnx__TensorProto__DataType type, int ndims, const int *dims)
{
    struct fm_onnx_value *value = &graph->values[graph->value_count++];
    onnx__value_info_proto__init(&value->proto);
    onnx__type_proto__init(&value->type);
    onnx__type_proto__tensor__init(&value->tensor);
    onnx__tensor_shape_proto__init(&value->shape);
    value->proto.name = fm_onnx_text(name);
    value->proto.type = &value->type;
    value->type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    value->type.tensor_type = &value->tensor;
    value->tensor.has_elem_type = true;
    value->tensor.elem_type = (int32_t)type;
    value->tensor.shape = &value->shape;
    set_dimension(value, 0, 0);
    for (int i = 0; i < ndims; i++)
        set_dimension(value, i + 1, dims[i]);
    value->shape.n_dim = (size_t)ndims + 1;
    value->shape.dim = value->dim_list;
    return &value->proto;
}

void fm_onnx_add_input(struct fm_onnx_graph *graph, const char *name,
    Onnx__TensorProto__DataType type, int ndims, const int *dims)
{
    graph->input_list[graph->proto.n_input++] = add_value(graph, name, type, ndims, dims);
}

void fm_onnx_add_output(struct fm_onnx_graph *graph, const char *name,
    Onnx__TensorProto__DataType type, int ndims, const int *dims)
{
    graph->output_list[graph->proto.n_output++] = add_value(graph, name, type, ndims, dims);
}
