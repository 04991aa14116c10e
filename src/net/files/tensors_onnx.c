// ONNX files: the initialisers of the graph are the tensors. protobuf-c checks every length against
// what is left of the file, but it neither bounds how deep messages lie in one another nor what
// short messages grow to in memory: both are bounded here, before and while it works.
#include "net/files/libraries.h"
#include "net/files/onnx_nesting.h"
#include "net/files/tensors_class.h"

#include "base/features.h"
#include "base/text.h"

#include <inttypes.h>
#include <onnx/onnx.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BYTES_MAX = 0x7fffffff, // of a file: as much as a protobuf message may have
    DEPTH_MAX = 32,         // of messages in one another: a graph in a graph takes three
    GROWTH = 64,            // bytes in memory for each of the file, and
    GROWTH_LEAST = 1 << 20  // so many in any case
};

struct file {
    unsigned char *bytes;
    Onnx__ModelProto *model;
    ProtobufCAllocator allocator;
    uint64_t left; // bytes that may still be allocated
};

// Types by their number in TensorProto.DataType; where the values lie if not in raw_data.
static const struct {
    int number;
    const char *name;
} types[] = {
    {ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, "F32"},
    {ONNX__TENSOR_PROTO__DATA_TYPE__UINT8, "U8"},
    {ONNX__TENSOR_PROTO__DATA_TYPE__INT8, "I8"},
    {ONNX__TENSOR_PROTO__DATA_TYPE__UINT16, "U16"},
    {ONNX__TENSOR_PROTO__DATA_TYPE__INT16, "I16"},
    {ONNX__TENSOR_PROTO__DATA_TYPE__INT32, "I32"},
    {ONNX__TENSOR_PROTO__DATA_TYPE__INT64, "I64"},
    {ONNX__TENSOR_PROTO__DATA_TYPE__BOOL, "BOOL"},
    {ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, "F16"},
    {ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE, "F64"},
    {ONNX__TENSOR_PROTO__DATA_TYPE__UINT32, "U32"},
    {ONNX__TENSOR_PROTO__DATA_TYPE__UINT64, "U64"},
    {ONNX__TENSOR_PROTO__DATA_TYPE__COMPLEX64, "C64"},
    {ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16, "BF16"},
};

static const char *type_name(int number)
{
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
        if (types[t].number == number)
            return types[t].name;
    return NULL;
}

// ---- Memory

static void *allocate(void *context, size_t size)
{
    struct file *file = context;
    if (size > file->left)
        return NULL;
    file->left -= size;
    return malloc(size);
}

static void release(void *context, void *pointer)
{
    (void)context;
    free(pointer);
}

// ---- Listing

// A ModelProto begins, as writers have it, with its first field: ir_version, so far below 128.
static bool probe(const unsigned char *head, size_t head_size, uint64_t size)
{
    (void)size;
    return head_size >= 3 && head[0] == 0x08 && head[1] > 0 && head[1] < 128 && head[2] > 0x08;
}

// Elements that the message holds where it does not have them in raw_data.
static size_t typed_count(const Onnx__TensorProto *tensor)
{
    switch (tensor->data_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        return tensor->n_float_data;
    case ONNX__TENSOR_PROTO__DATA_TYPE__COMPLEX64:
        return tensor->n_float_data / 2;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        return tensor->n_double_data;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        return tensor->n_int64_data;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT32:
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT64:
        return tensor->n_uint64_data;
    default:
        return tensor->n_int32_data;
    }
}

static enum fm_status check_data(const struct fm_tensors *tensors, const Onnx__TensorProto *tensor,
    const struct fm_tensor_info *info)
{
    if (tensor->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        return fm_fail(FM_UNSUPPORTED,
            "%s: the values of tensor '%s' are in another file: an ONNX model of one file is read",
            tensors->path, info->name);
    if (tensor->has_raw_data ? tensor->raw_data.len == info->bytes
                             : typed_count(tensor) == info->count)
        return FM_OK;
    return fm_fail(FM_DATA,
        "%s: tensor '%s' has %zu %s of values, but its shape of %zu %s elements takes %" PRIu64,
        tensors->path, info->name,
        tensor->has_raw_data ? tensor->raw_data.len : typed_count(tensor),
        tensor->has_raw_data ? "bytes" : "elements", info->count, info->type,
        tensor->has_raw_data ? info->bytes : info->count);
}

static enum fm_status add_tensor(struct fm_tensors *tensors, const Onnx__TensorProto *tensor)
{
    struct fm_tensor_info *info;
    const char *type = type_name(tensor->data_type);
    FM_TRY(fm_tensors_add(tensors, tensor->name ? tensor->name : "", &info));
    FM_TRY(fm_tensors_set_shape(tensors, info, tensor->dims, tensor->n_dims));
    snprintf(info->type, sizeof info->type, "%s", type ? type : "other");
    if (!type)
        return FM_OK; // listed alone: text, and what newer versions know
    const struct fm_tensor_type *of = fm_tensor_type_find(type);
    info->bytes = fm_tensor_type_bytes(of, info->count);
    info->readable = of->widen != NULL;
    return check_data(tensors, tensor, info);
}

// ---- What stands beside the tensors

static void append_value(struct fm_text *text, const Onnx__ValueInfoProto *value)
{
    const Onnx__TypeProto *type = value->type;
    fm_text_append(text, "%s%s", text->length > 0 ? ", " : "", value->name ? value->name : "");
    if (!type || type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !type->tensor_type)
        return;
    const Onnx__TypeProto__Tensor *tensor = type->tensor_type;
    const char *name = type_name(tensor->elem_type);
    fm_text_append(text, " %s [", name ? name : "other");
    for (size_t d = 0; tensor->shape && d < tensor->shape->n_dim; d++) {
        const Onnx__TensorShapeProto__Dimension *dim = tensor->shape->dim[d];
        fm_text_append(text, "%s", d > 0 ? ", " : "");
        if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
            fm_text_append(text, "%" PRId64, dim->dim_value);
        else if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM)
            fm_text_append(text, "%s", dim->dim_param ? dim->dim_param : "?");
        else
            fm_text_append(text, "?");
    }
    fm_text_append(text, "]");
}

static enum fm_status add_values(
    struct fm_tensors *tensors, const char *key, Onnx__ValueInfoProto *const *values, size_t count)
{
    struct fm_text text = {0};
    for (size_t i = 0; i < count; i++)
        append_value(&text, values[i]);
    enum fm_status status = text.failed
                                ? fm_fail_memory("metadata", 1024)
                                : fm_tensors_add_metadata(tensors, key, fm_text_cstr(&text));
    fm_text_free(&text);
    return status;
}

static enum fm_status add_number(struct fm_tensors *tensors, const char *key, int64_t number)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%" PRId64, number);
    return fm_tensors_add_metadata(tensors, key, digits);
}

static enum fm_status add_text(struct fm_tensors *tensors, const char *key, const char *value)
{
    return value && value[0] ? fm_tensors_add_metadata(tensors, key, value) : FM_OK;
}

static enum fm_status add_facts(struct fm_tensors *tensors, const Onnx__ModelProto *model)
{
    const Onnx__GraphProto *graph = model->graph;
    FM_TRY(add_number(tensors, "ir_version", model->ir_version));
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *opset = model->opset_import[i];
        const char *domain = opset->domain && opset->domain[0] ? opset->domain : "opset";
        FM_TRY(add_number(tensors, domain, opset->version));
    }
    FM_TRY(add_text(tensors, "producer", model->producer_name));
    FM_TRY(add_text(tensors, "producer_version", model->producer_version));
    FM_TRY(add_values(tensors, "inputs", graph->input, graph->n_input));
    FM_TRY(add_values(tensors, "outputs", graph->output, graph->n_output));
    FM_TRY(add_number(tensors, "nodes", (int64_t)graph->n_node));
    for (size_t i = 0; i < model->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *pair = model->metadata_props[i];
        FM_TRY(fm_tensors_add_metadata(
            tensors, pair->key ? pair->key : "", pair->value ? pair->value : ""));
    }
    return FM_OK;
}

// ---- Opening

static enum fm_status unpack(struct fm_tensors *tensors, struct file *file)
{
    size_t size = (size_t)tensors->size;
    if (tensors->size > BYTES_MAX)
        return fm_fail(FM_UNSUPPORTED, "%s: %" PRIu64 " bytes: an ONNX file has at most %d",
            tensors->path, tensors->size, BYTES_MAX);
    file->bytes = malloc(size > 0 ? size : 1);
    if (!file->bytes)
        return fm_fail_memory("an ONNX file", size);
    FM_TRY(fm_tensors_get(tensors, 0, file->bytes, size));
    if (!fm_onnx_nesting_within(&onnx__model_proto__descriptor, file->bytes, size, DEPTH_MAX))
        return fm_fail(FM_DATA,
            "%s: is no sound ONNX file: a message in it is cut off, or they lie more than %d deep "
            "in one another",
            tensors->path, DEPTH_MAX);
    file->left = (uint64_t)size * GROWTH + GROWTH_LEAST;
    file->allocator = (ProtobufCAllocator){allocate, release, file};
    file->model = onnx__model_proto__unpack(&file->allocator, size, file->bytes);
    if (!file->model)
        return fm_fail(
            FM_DATA, "%s: is no sound ONNX file, or takes too much memory", tensors->path);
    if (!file->model->graph)
        return fm_fail(FM_DATA, "%s: an ONNX file without a graph", tensors->path);
    free(file->bytes); // the message has copies
    file->bytes = NULL;
    return FM_OK;
}

static enum fm_status open_onnx(struct fm_tensors *tensors)
{
    struct file *file = calloc(1, sizeof *file);
    tensors->file = file;
    if (!file)
        return fm_fail_memory("an ONNX file", sizeof *file);
    FM_TRY(unpack(tensors, file));
    const Onnx__GraphProto *graph = file->model->graph;
    for (size_t i = 0; i < graph->n_initializer; i++)
        FM_TRY(add_tensor(tensors, graph->initializer[i]));
    return add_facts(tensors, file->model);
}

static void close_onnx(struct fm_tensors *tensors)
{
    struct file *file = tensors->file;
    if (!file)
        return;
    if (file->model)
        onnx__model_proto__free_unpacked(file->model, &file->allocator);
    free(file->bytes);
    free(file);
    tensors->file = NULL;
}

// ---- Elements

static enum fm_status read_onnx(const struct fm_tensors *tensors, int index, float *out)
{
    const struct file *file = tensors->file;
    const Onnx__TensorProto *tensor = file->model->graph->initializer[index];
    const struct fm_tensor_info *info = &tensors->list[index];
    const struct fm_tensor_type *type = fm_tensor_type_find(info->type);
    if (tensor->has_raw_data) {
        type->widen(tensor->raw_data.data, info->count, out);
    } else if (tensor->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT) {
        memcpy(out, tensor->float_data, info->count * sizeof *out);
    } else if (tensor->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE) {
        type->widen((const unsigned char *)tensor->double_data, info->count, out);
    } else { // 16 bits, each in an int32
        for (size_t i = 0; i < info->count; i++) {
            uint16_t bits = (uint16_t)tensor->int32_data[i];
            type->widen((const unsigned char *)&bits, 1, out + i);
        }
    }
    return FM_OK;
}

const struct fm_tensors_class fm_tensors_onnx = {
    .format = FM_TENSORS_ONNX,
    .probe = probe,
    .open = open_onnx,
    .read = read_onnx,
    .close = close_onnx,
};

void fm_onnx_library(struct fm_library *library)
{
    *library = (struct fm_library){.name = "protobuf-c", .compiled = FM_PROTOBUF_C_VERSION};
    snprintf(library->found, sizeof library->found, "%s", protobuf_c_version());
}
