// Descriptors: an attribute store that knows which attributes each type of descriptor has, and
// refuses everything else when it is set, not when it is used.
#include "cudnn_internal.h"

#include <algorithm>

namespace simcudnn
{

namespace
{

const char *const descriptor_kind = "cuDNN descriptor";

// What the opaque cudnnBackendDescriptor_t points to. One that was destroyed stays as an empty
// shell, so that its address is never that of another.
struct descriptor {
    object_ptr held;
};

void retire(descriptor *d)
{
    static std::vector<std::unique_ptr<descriptor>> *retired =
        new std::vector<std::unique_ptr<descriptor>>;
    d->held.reset();
    retired->emplace_back(d);
}

// CUDNN_TYPE_FLOAT or CUDNN_TYPE_DOUBLE, as the caller likes.
const int REAL = -1;

struct attribute_rule {
    int name, type;
    int64_t count; // 0: any
    bool required;
};

struct descriptor_rule {
    cudnnBackendDescriptorType_t type;
    const char *name;
    std::vector<attribute_rule> attributes;
};

#define ATTR(name) CUDNN_ATTR_##name
#define CHILD CUDNN_TYPE_BACKEND_DESCRIPTOR
#define INT64 CUDNN_TYPE_INT64
#define TYPE CUDNN_TYPE_DATA_TYPE

const std::vector<descriptor_rule> &rules()
{
    static const std::vector<descriptor_rule> all = {
        {CUDNN_BACKEND_TENSOR_DESCRIPTOR, "tensor",
            {{ATTR(TENSOR_DATA_TYPE), TYPE, 1, true}, {ATTR(TENSOR_DIMENSIONS), INT64, 0, true},
                {ATTR(TENSOR_STRIDES), INT64, 0, true}, {ATTR(TENSOR_UNIQUE_ID), INT64, 1, true},
                {ATTR(TENSOR_BYTE_ALIGNMENT), INT64, 1, true},
                {ATTR(TENSOR_IS_VIRTUAL), CUDNN_TYPE_BOOLEAN, 1, false},
                {ATTR(TENSOR_IS_BY_VALUE), CUDNN_TYPE_BOOLEAN, 1, false}}},
        {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "convolution",
            {{ATTR(CONVOLUTION_COMP_TYPE), TYPE, 1, true},
                {ATTR(CONVOLUTION_CONV_MODE), CUDNN_TYPE_CONVOLUTION_MODE, 1, true},
                {ATTR(CONVOLUTION_SPATIAL_DIMS), INT64, 1, true},
                {ATTR(CONVOLUTION_FILTER_STRIDES), INT64, 2, true},
                {ATTR(CONVOLUTION_PRE_PADDINGS), INT64, 2, true},
                {ATTR(CONVOLUTION_POST_PADDINGS), INT64, 2, true},
                {ATTR(CONVOLUTION_DILATIONS), INT64, 2, true}}},
        {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, "convolution forward",
            {{ATTR(OPERATION_CONVOLUTION_FORWARD_CONV_DESC), CHILD, 1, true},
                {ATTR(OPERATION_CONVOLUTION_FORWARD_X), CHILD, 1, true},
                {ATTR(OPERATION_CONVOLUTION_FORWARD_W), CHILD, 1, true},
                {ATTR(OPERATION_CONVOLUTION_FORWARD_Y), CHILD, 1, true},
                {ATTR(OPERATION_CONVOLUTION_FORWARD_ALPHA), REAL, 1, false},
                {ATTR(OPERATION_CONVOLUTION_FORWARD_BETA), REAL, 1, false}}},
        {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, "convolution data gradient",
            {{ATTR(OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC), CHILD, 1, true},
                {ATTR(OPERATION_CONVOLUTION_BWD_DATA_DX), CHILD, 1, true},
                {ATTR(OPERATION_CONVOLUTION_BWD_DATA_W), CHILD, 1, true},
                {ATTR(OPERATION_CONVOLUTION_BWD_DATA_DY), CHILD, 1, true},
                {ATTR(OPERATION_CONVOLUTION_BWD_DATA_ALPHA), REAL, 1, false},
                {ATTR(OPERATION_CONVOLUTION_BWD_DATA_BETA), REAL, 1, false}}},
        {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
            "convolution filter gradient",
            {{ATTR(OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC), CHILD, 1, true},
                {ATTR(OPERATION_CONVOLUTION_BWD_FILTER_X), CHILD, 1, true},
                {ATTR(OPERATION_CONVOLUTION_BWD_FILTER_DW), CHILD, 1, true},
                {ATTR(OPERATION_CONVOLUTION_BWD_FILTER_DY), CHILD, 1, true},
                {ATTR(OPERATION_CONVOLUTION_BWD_FILTER_ALPHA), REAL, 1, false},
                {ATTR(OPERATION_CONVOLUTION_BWD_FILTER_BETA), REAL, 1, false}}},
        {CUDNN_BACKEND_POINTWISE_DESCRIPTOR, "pointwise",
            {{ATTR(POINTWISE_MODE), CUDNN_TYPE_POINTWISE_MODE, 1, true},
                {ATTR(POINTWISE_MATH_PREC), TYPE, 1, true},
                {2 /* POINTWISE_NAN_PROPAGATION, deprecated */, 10 /* NAN_PROPOGATION */, 1, false},
                {ATTR(POINTWISE_RELU_LOWER_CLIP), REAL, 1, false},
                {ATTR(POINTWISE_RELU_UPPER_CLIP), REAL, 1, false},
                {ATTR(POINTWISE_RELU_LOWER_CLIP_SLOPE), REAL, 1, false}}},
        {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, "pointwise operation",
            {{ATTR(OPERATION_POINTWISE_PW_DESCRIPTOR), CHILD, 1, true},
                {ATTR(OPERATION_POINTWISE_XDESC), CHILD, 1, true},
                {ATTR(OPERATION_POINTWISE_BDESC), CHILD, 1, false},
                {ATTR(OPERATION_POINTWISE_TDESC), CHILD, 1, false},
                {ATTR(OPERATION_POINTWISE_YDESC), CHILD, 1, false},
                {ATTR(OPERATION_POINTWISE_DYDESC), CHILD, 1, false},
                {ATTR(OPERATION_POINTWISE_DXDESC), CHILD, 1, false},
                {ATTR(OPERATION_POINTWISE_ALPHA1), REAL, 1, false},
                {ATTR(OPERATION_POINTWISE_ALPHA2), REAL, 1, false}}},
        {CUDNN_BACKEND_REDUCTION_DESCRIPTOR, "reduction",
            {{ATTR(REDUCTION_OPERATOR), CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, true},
                {ATTR(REDUCTION_COMP_TYPE), TYPE, 1, true},
                {ATTR(REDUCTION_IS_DETERMINISTIC), CUDNN_TYPE_BOOLEAN, 1, false}}},
        {CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, "reduction operation",
            {{ATTR(OPERATION_REDUCTION_DESC), CHILD, 1, true},
                {ATTR(OPERATION_REDUCTION_XDESC), CHILD, 1, true},
                {ATTR(OPERATION_REDUCTION_YDESC), CHILD, 1, true}}},
        {CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR, "norm forward",
            {{ATTR(OPERATION_NORM_FWD_MODE), CUDNN_TYPE_NORM_MODE, 1, true},
                {ATTR(OPERATION_NORM_FWD_PHASE), CUDNN_TYPE_NORM_FWD_PHASE, 1, true},
                {ATTR(OPERATION_NORM_FWD_XDESC), CHILD, 1, true},
                {ATTR(OPERATION_NORM_FWD_MEAN_DESC), CHILD, 1, true},
                {ATTR(OPERATION_NORM_FWD_INV_VARIANCE_DESC), CHILD, 1, true},
                {ATTR(OPERATION_NORM_FWD_SCALE_DESC), CHILD, 1, true},
                {ATTR(OPERATION_NORM_FWD_BIAS_DESC), CHILD, 1, true},
                {ATTR(OPERATION_NORM_FWD_EPSILON_DESC), CHILD, 1, false},
                {ATTR(OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC), CHILD, 1, false},
                {ATTR(OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC), CHILD, 1, false},
                {ATTR(OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC), CHILD, 1, false},
                {ATTR(OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC), CHILD, 1, false},
                {ATTR(OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC), CHILD, 1, false},
                {ATTR(OPERATION_NORM_FWD_YDESC), CHILD, 1, true}}},
        {CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR, "norm backward",
            {{ATTR(OPERATION_NORM_BWD_MODE), CUDNN_TYPE_NORM_MODE, 1, true},
                {ATTR(OPERATION_NORM_BWD_XDESC), CHILD, 1, true},
                {ATTR(OPERATION_NORM_BWD_MEAN_DESC), CHILD, 1, true},
                {ATTR(OPERATION_NORM_BWD_INV_VARIANCE_DESC), CHILD, 1, true},
                {ATTR(OPERATION_NORM_BWD_DYDESC), CHILD, 1, true},
                {ATTR(OPERATION_NORM_BWD_SCALE_DESC), CHILD, 1, true},
                {ATTR(OPERATION_NORM_BWD_EPSILON_DESC), CHILD, 1, false},
                {ATTR(OPERATION_NORM_BWD_DSCALE_DESC), CHILD, 1, true},
                {ATTR(OPERATION_NORM_BWD_DBIAS_DESC), CHILD, 1, true},
                {ATTR(OPERATION_NORM_BWD_DXDESC), CHILD, 1, true}}},
        {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "operation graph",
            {{800 /* OPERATIONGRAPH_HANDLE, deprecated */, CUDNN_TYPE_HANDLE, 1, false},
                {ATTR(OPERATIONGRAPH_OPS), CHILD, 0, true}}},
        {CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "device",
            {{ATTR(DEVICEPROP_DEVICE_ID), CUDNN_TYPE_INT32, 1, false},
                {ATTR(DEVICEPROP_HANDLE), CUDNN_TYPE_HANDLE, 1, false},
                {ATTR(DEVICEPROP_JSON_REPRESENTATION), CUDNN_TYPE_CHAR, 0, false}}},
        {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "heuristics",
            {{ATTR(ENGINEHEUR_OPERATION_GRAPH), CHILD, 1, true},
                {ATTR(ENGINEHEUR_MODE), CUDNN_TYPE_HEUR_MODE, 1, true},
                {ATTR(ENGINEHEUR_DEVICEPROP), CHILD, 1, false}}},
        {CUDNN_BACKEND_ENGINE_DESCRIPTOR, "engine",
            {{ATTR(ENGINE_OPERATION_GRAPH), CHILD, 1, true},
                {ATTR(ENGINE_GLOBAL_INDEX), INT64, 1, true},
                {ATTR(ENGINE_DEVICEPROP), CHILD, 1, false}}},
        {CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "engine configuration",
            {{ATTR(ENGINECFG_ENGINE), CHILD, 1, true}}},
        {CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, "knob choice",
            {{ATTR(KNOB_CHOICE_KNOB_TYPE), CUDNN_TYPE_KNOB_TYPE, 1, true},
                {ATTR(KNOB_CHOICE_KNOB_VALUE), INT64, 1, true}}},
        {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "execution plan",
            {{ATTR(EXECUTION_PLAN_ENGINE_CONFIG), CHILD, 1, false},
                {400 /* EXECUTION_PLAN_HANDLE, deprecated */, CUDNN_TYPE_HANDLE, 1, false},
                {ATTR(EXECUTION_PLAN_DEVICEPROP), CHILD, 1, false},
                {ATTR(EXECUTION_PLAN_JSON_REPRESENTATION), CUDNN_TYPE_CHAR, 0, false}}},
        {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "variant pack",
            {{ATTR(VARIANT_PACK_UNIQUE_IDS), INT64, 0, true},
                {ATTR(VARIANT_PACK_DATA_POINTERS), CUDNN_TYPE_VOID_PTR, 0, true},
                {ATTR(VARIANT_PACK_WORKSPACE), CUDNN_TYPE_VOID_PTR, 1, false}}},
    };
    return all;
}

#undef ATTR
#undef CHILD
#undef INT64
#undef TYPE

const descriptor_rule *rule_of(cudnnBackendDescriptorType_t type)
{
    for (const descriptor_rule &rule : rules()) {
        if (rule.type == type) {
            return &rule;
        }
    }
    return nullptr;
}

size_t element_size(cudnnBackendAttributeType_t type)
{
    switch (static_cast<int>(type)) {
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
        return 1;
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
        return 8;
    default:
        return 4; // enums, float, int32
    }
}

bool type_fits(int expected, cudnnBackendAttributeType_t type)
{
    return expected == REAL ? type == CUDNN_TYPE_FLOAT || type == CUDNN_TYPE_DOUBLE
                            : expected == static_cast<int>(type);
}

cudnnStatus_t add_children(attribute &value, int name, const void *elements)
{
    const cudnnBackendDescriptor_t *children = static_cast<const cudnnBackendDescriptor_t *>(
        elements);
    for (int64_t i = 0; i < value.count; i++) {
        object_ptr child = object_of(children[i]);
        if (!child) {
            return misuse(CUDNN_STATUS_BAD_PARAM,
                "attribute %d: descriptor %lld is null or destroyed", name,
                static_cast<long long>(i));
        }
        if (!child->finalized) {
            return misuse(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED,
                "attribute %d: the %s is not finalized (the real library accepts that)", name,
                rule_of(child->type)->name);
        }
        value.children.push_back(child);
    }
    return CUDNN_STATUS_SUCCESS;
}

// The type of descriptor that an attribute's child must have.
bool child_fits(int name, const object &child)
{
    bool is_tensor = child.type == CUDNN_BACKEND_TENSOR_DESCRIPTOR;
    switch (name) {
    case CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC:
    case CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC:
    case CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC:
        return child.type == CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR;
    case CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR:
        return child.type == CUDNN_BACKEND_POINTWISE_DESCRIPTOR;
    case CUDNN_ATTR_OPERATION_REDUCTION_DESC:
        return child.type == CUDNN_BACKEND_REDUCTION_DESCRIPTOR;
    case CUDNN_ATTR_OPERATIONGRAPH_OPS:
        return !child.as_operation.operands.empty();
    case CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH:
    case CUDNN_ATTR_ENGINE_OPERATION_GRAPH:
        return child.type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR;
    case CUDNN_ATTR_ENGINEHEUR_DEVICEPROP:
    case CUDNN_ATTR_ENGINE_DEVICEPROP:
    case CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP:
        return child.type == CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR;
    case CUDNN_ATTR_ENGINECFG_ENGINE:
        return child.type == CUDNN_BACKEND_ENGINE_DESCRIPTOR;
    case CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG:
        return child.type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR;
    default:
        return is_tensor;
    }
}

cudnnStatus_t set(object &o, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
    int64_t count, const void *elements)
{
    const descriptor_rule &rule = *rule_of(o.type);
    const attribute_rule *found = nullptr;
    for (const attribute_rule &candidate : rule.attributes) {
        found = candidate.name == static_cast<int>(name) ? &candidate : found;
    }
    if (!found) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "a %s has no attribute %d (or it is not simulated)",
            rule.name, static_cast<int>(name));
    }
    if (!type_fits(found->type, type)) {
        return misuse(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE,
            "attribute %d of a %s has type %d, not %d", static_cast<int>(name), rule.name,
            found->type, static_cast<int>(type));
    }
    if (!elements || count < 1 || (found->count && found->count != count)) {
        return misuse(elements ? CUDNN_STATUS_BAD_PARAM : CUDNN_STATUS_BAD_PARAM_NULL_POINTER,
            "attribute %d of a %s is set to %lld values at %p", static_cast<int>(name), rule.name,
            static_cast<long long>(count), elements);
    }
    const char *first = static_cast<const char *>(elements);
    attribute value = {type, count, {first, first + count * element_size(type)}, {}};
    if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        cudnnStatus_t status = add_children(value, name, elements);
        if (status != CUDNN_STATUS_SUCCESS) {
            return status;
        }
        for (const object_ptr &child : value.children) {
            if (!child_fits(name, *child)) {
                return misuse(CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE,
                    "attribute %d of a %s cannot be a %s", static_cast<int>(name), rule.name,
                    rule_of(child->type)->name);
            }
        }
    }
    if (type == CUDNN_TYPE_HANDLE && !is_handle(*static_cast<const cudnnHandle_t *>(elements))) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "attribute %d of a %s is not a live handle",
            static_cast<int>(name), rule.name);
    }
    cudnnStatus_t status = shadow_set(o, name, value);
    if (status == CUDNN_STATUS_SUCCESS) {
        o.attributes[name] = std::move(value);
    }
    return status;
}

cudnnStatus_t finalize_by_type(object &o)
{
    switch (o.type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
        return finalize_tensor(o);
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
        return finalize_window(o);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
        return finalize_convolution(o);
    case CUDNN_BACKEND_POINTWISE_DESCRIPTOR:
        return finalize_pointwise_function(o);
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
        return finalize_pointwise(o);
    case CUDNN_BACKEND_REDUCTION_DESCRIPTOR:
        return finalize_reduction_function(o);
    case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR:
        return finalize_reduction(o);
    case CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR:
        return finalize_norm_forward(o);
    case CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR:
        return finalize_norm_backward(o);
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
        return finalize_graph(o);
    case CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR:
        return finalize_device(o);
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
        return finalize_heuristics(o);
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR:
        return finalize_engine(o);
    case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR:
        return finalize_configuration(o);
    case CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR:
        return misuse(CUDNN_STATUS_NOT_SUPPORTED,
            "choosing a knob is not simulated: the heuristics' choices can only be read");
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
        return finalize_plan(o);
    default:
        return finalize_variant_pack(o);
    }
}

cudnnStatus_t get(const object &o, const request &asked)
{
    switch (o.type) {
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
        return get_from_graph(o, asked);
    case CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR:
        return get_from_device(o, asked);
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
        return get_from_heuristics(o, asked);
    case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR:
        return get_from_configuration(o, asked);
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR:
        return get_from_engine(o, asked);
    case CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR:
        return get_from_knob(o, asked);
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
        return get_from_plan(o, asked);
    default:
        return misuse(CUDNN_STATUS_NOT_SUPPORTED, "reading attribute %d of a %s is not simulated",
            static_cast<int>(asked.name), rule_of(o.type)->name);
    }
}

} // namespace

object::~object()
{
    shadow_destroy(*this);
}

std::vector<int64_t> object::integers(int name) const
{
    std::vector<int64_t> found;
    auto set = attributes.find(name);
    if (set != attributes.end()) {
        found.resize(static_cast<size_t>(set->second.count));
        memcpy(found.data(), set->second.bytes.data(), found.size() * sizeof(int64_t));
    }
    return found;
}

double object::real_number(int name, double otherwise) const
{
    auto set = attributes.find(name);
    if (set == attributes.end()) {
        return otherwise;
    }
    return set->second.type == CUDNN_TYPE_FLOAT ? static_cast<double>(get<float>(name))
                                                : get<double>(name);
}

object_ptr object::child(int name) const
{
    auto set = attributes.find(name);
    return set == attributes.end() || set->second.children.empty() ? nullptr
                                                                   : set->second.children[0];
}

object_ptr object_of(cudnnBackendDescriptor_t of)
{
    return of && sim_is_tracked(descriptor_kind, of) ? static_cast<descriptor *>(of)->held
                                                     : nullptr;
}

void add_operand(object &o, int role, bool output)
{
    if (object_ptr tensor = o.child(role)) {
        o.as_operation.type = o.type;
        o.as_operation.operands.push_back({role, output, tensor->as_tensor, tensor.get()});
    }
}

cudnnStatus_t answer(
    const request &asked, cudnnBackendAttributeType_t type, const void *values, size_t count)
{
    if (asked.type != type) {
        return misuse(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "attribute %d has type %d, not %d",
            static_cast<int>(asked.name), static_cast<int>(type), static_cast<int>(asked.type));
    }
    *asked.count = static_cast<int64_t>(count);
    if (asked.wanted > 0 && asked.values) {
        size_t most = std::min(count, static_cast<size_t>(asked.wanted));
        memcpy(asked.values, values, most * element_size(type));
    }
    return CUDNN_STATUS_SUCCESS;
}

} // namespace simcudnn

using namespace simcudnn;

extern "C" {

cudnnStatus_t cudnnBackendCreateDescriptor(
    cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *made)
{
    sim_call call("cudnnBackendCreateDescriptor");
    if (call.injected) {
        return static_cast<cudnnStatus_t>(call.code);
    }
    if (!made) {
        return misuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "the descriptor's address is null");
    }
    if (!rule_of(type)) {
        return misuse(CUDNN_STATUS_NOT_SUPPORTED, "descriptors of type %d are not simulated",
            static_cast<int>(type));
    }
    descriptor *created = new descriptor{std::make_shared<object>(type)};
    cudnnStatus_t status = shadow_create(*created->held);
    if (status != CUDNN_STATUS_SUCCESS) {
        delete created;
        return status;
    }
    sim_track(descriptor_kind, created);
    *made = created;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t destroyed)
{
    sim_call call("cudnnBackendDestroyDescriptor");
    if (call.injected) {
        return static_cast<cudnnStatus_t>(call.code);
    }
    if (!destroyed || !sim_untrack(descriptor_kind, destroyed)) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "this is not a live descriptor");
    }
    retire(static_cast<descriptor *>(destroyed));
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t of,
    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
    const void *elements)
{
    sim_call call("cudnnBackendSetAttribute");
    if (call.injected) {
        return static_cast<cudnnStatus_t>(call.code);
    }
    object_ptr o = object_of(of);
    if (!o) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "this is not a live descriptor");
    }
    if (o->finalized) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "attribute %d is set after the %s was finalized",
            static_cast<int>(name), rule_of(o->type)->name);
    }
    return set(*o, name, type, count, elements);
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t of)
{
    sim_call call("cudnnBackendFinalize");
    if (call.injected) {
        return static_cast<cudnnStatus_t>(call.code);
    }
    object_ptr o = object_of(of);
    if (!o) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "this is not a live descriptor");
    }
    const descriptor_rule &rule = *rule_of(o->type);
    if (o->finalized) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "the %s is finalized already", rule.name);
    }
    for (const attribute_rule &needed : rule.attributes) {
        if (needed.required && !o->has(needed.name)) {
            return misuse(
                CUDNN_STATUS_BAD_PARAM, "the %s has no attribute %d", rule.name, needed.name);
        }
    }
    cudnnStatus_t status = finalize_by_type(*o);
    if (status == CUDNN_STATUS_SUCCESS) {
        status = shadow_finalize(*o);
    }
    o->finalized = status == CUDNN_STATUS_SUCCESS;
    return status;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const of,
    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t wanted,
    int64_t *count, void *elements)
{
    sim_call call("cudnnBackendGetAttribute");
    if (call.injected) {
        return static_cast<cudnnStatus_t>(call.code);
    }
    object_ptr o = object_of(of);
    if (!o) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "this is not a live descriptor");
    }
    if (!o->finalized) {
        return misuse(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED,
            "attribute %d is read before the %s was finalized", static_cast<int>(name),
            rule_of(o->type)->name);
    }
    if (wanted < 0 || (wanted > 0 && !elements)) {
        return misuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER,
            "attribute %d: %lld values wanted at a null pointer", static_cast<int>(name),
            static_cast<long long>(wanted));
    }
    int64_t ignored = 0;
    return get(*o, {name, type, wanted, count ? count : &ignored, elements});
}

} // extern "C"
