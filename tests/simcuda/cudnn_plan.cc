// Execution plans: made of an engine configuration, or read back from the JSON that a plan was
// saved as. The JSON holds the whole graph, as the library's does: it is all that a later process
// has.
#include "cudnn_internal.h"

#include <jansson.h>

namespace simcudnn
{

namespace
{

using json_ptr = std::unique_ptr<json_t, void (*)(json_t *)>;

json_ptr own(json_t *json)
{
    return json_ptr(json, json_decref);
}

json_t *integers(const int64_t *values, int count)
{
    json_t *array = json_array();
    for (int i = 0; i < count; i++) {
        json_array_append_new(array, json_integer(values[i]));
    }
    return array;
}

bool read_integers(const json_t *array, int64_t *values, size_t count)
{
    if (json_array_size(array) != count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        values[i] = json_integer_value(json_array_get(array, i));
    }
    return true;
}

json_t *saved_operand(const operand &o)
{
    const tensor &t = o.t;
    return json_pack("{s:i, s:b, s:I, s:i, s:o, s:o, s:I, s:b, s:b}", "role", o.role, "output",
        o.output, "uid", static_cast<json_int_t>(t.uid), "type", static_cast<int>(t.type), "dims",
        integers(t.dims, 4), "strides", integers(t.strides, 4), "alignment",
        static_cast<json_int_t>(t.alignment), "virtual", t.is_virtual, "byValue", t.by_value);
}

json_t *saved_operation(const operation &op)
{
    json_t *operands = json_array();
    for (const operand &each : op.operands) {
        json_array_append_new(operands, saved_operand(each));
    }
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:i, s:b, s:f, s:f, s:f, s:b}", "type",
        static_cast<int>(op.type), "operands", operands, "before", integers(op.before, 2), "after",
        integers(op.after, 2), "stride", integers(op.stride, 2), "dilation",
        integers(op.dilation, 2), "mode", op.mode, "propagateNan", op.propagate_nan, "lowerClip",
        op.lower_clip, "upperClip", op.upper_clip, "slope", op.slope, "hasUpperClip",
        op.has_upper_clip);
}

bool read_operand(json_t *json, operand *o)
{
    tensor &t = o->t;
    json_int_t uid, alignment;
    json_t *dims, *strides;
    int output, type, is_virtual, by_value;
    if (json_unpack(json, "{s:i, s:b, s:I, s:i, s:o, s:o, s:I, s:b, s:b}", "role", &o->role,
            "output", &output, "uid", &uid, "type", &type, "dims", &dims, "strides", &strides,
            "alignment", &alignment, "virtual", &is_virtual, "byValue", &by_value) ||
        !read_integers(dims, t.dims, 4) || !read_integers(strides, t.strides, 4)) {
        return false;
    }
    o->output = output;
    t.uid = uid;
    t.type = static_cast<cudnnDataType_t>(type);
    t.alignment = alignment;
    t.is_virtual = is_virtual;
    t.by_value = by_value;
    bool positive = alignment > 0;
    for (int i = 0; i < 4; i++) {
        positive = positive && t.dims[i] > 0 && t.strides[i] > 0;
    }
    return positive && type_size(t.type) > 0;
}

bool read_operation(json_t *json, operation *op)
{
    json_t *operands, *before, *after, *stride, *dilation;
    int type, propagate, has_upper;
    if (json_unpack(json, "{s:i, s:o, s:o, s:o, s:o, s:o, s:i, s:b, s:F, s:F, s:F, s:b}", "type",
            &type, "operands", &operands, "before", &before, "after", &after, "stride", &stride,
            "dilation", &dilation, "mode", &op->mode, "propagateNan", &propagate, "lowerClip",
            &op->lower_clip, "upperClip", &op->upper_clip, "slope", &op->slope, "hasUpperClip",
            &has_upper) ||
        !read_integers(before, op->before, 2) || !read_integers(after, op->after, 2) ||
        !read_integers(stride, op->stride, 2) || !read_integers(dilation, op->dilation, 2)) {
        return false;
    }
    op->type = static_cast<cudnnBackendDescriptorType_t>(type);
    op->propagate_nan = propagate;
    op->has_upper_clip = has_upper;
    size_t i;
    json_t *each;
    json_array_foreach(operands, i, each)
    {
        operand read;
        if (!read_operand(each, &read)) {
            return false;
        }
        op->operands.push_back(read);
    }
    return !op->operands.empty();
}

std::string saved(const plan &p)
{
    json_t *operations = json_array();
    for (const operation &op : p.graph->operations) {
        json_array_append_new(operations, saved_operation(op));
    }
    json_ptr root = own(json_pack("{s:s, s:i, s:i, s:s, s:I, s:f, s:f, s:s, s:o}", "library",
        "simulated cuDNN", "cudnnVersion", CUDNN_VERSION, "deviceVer", p.on->version, "deviceName",
        p.on->name.c_str(), "engine", static_cast<json_int_t>(p.chosen.index), "flops",
        p.graph->flops, "bytes", p.graph->bytes, "real", p.verdict.c_str(), "operations",
        operations));
    std::unique_ptr<char, void (*)(void *)> text(json_dumps(root.get(), JSON_COMPACT), free);
    return text ? text.get() : "";
}

// What is on a disk may be damaged: that is an error, not a misuse.
cudnnStatus_t reload(const std::string &text, std::shared_ptr<const device> on, plan *made)
{
    json_ptr root = own(json_loadb(text.data(), text.size(), 0, nullptr));
    auto graph = std::make_shared<operation_graph>();
    const char *name = nullptr, *real = nullptr;
    int library = 0, version = 0;
    json_int_t index = 0;
    json_t *operations = nullptr;
    if (!root ||
        json_unpack(root.get(), "{s:i, s:i, s:s, s:I, s:F, s:F, s:s, s:o}", "cudnnVersion",
            &library, "deviceVer", &version, "deviceName", &name, "engine", &index, "flops",
            &graph->flops, "bytes", &graph->bytes, "real", &real, "operations", &operations)) {
        return refuse(CUDNN_STATUS_BAD_PARAM, "the saved plan is damaged");
    }
    if (library != CUDNN_VERSION) {
        return refuse(CUDNN_STATUS_SERIALIZATION_VERSION_MISMATCH,
            "the plan was saved by cuDNN %d, this is %d", library, CUDNN_VERSION);
    }
    if (version != on->version) {
        return refuse(CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH,
            "the plan was saved for %s, this is %s", name, on->name.c_str());
    }
    size_t i;
    json_t *each;
    json_array_foreach(operations, i, each)
    {
        operation op;
        if (!read_operation(each, &op)) {
            return refuse(CUDNN_STATUS_BAD_PARAM, "operation %zu of the saved plan is damaged", i);
        }
        graph->operations.push_back(op);
    }
    if (graph->operations.empty()) {
        return refuse(CUDNN_STATUS_BAD_PARAM, "the saved plan has no operations");
    }
    for (cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
        for (const engine &candidate : engines_for(*graph, *on, mode)) {
            if (candidate.index == index && !candidate.unbuildable) {
                made->graph = graph;
                made->on = on;
                made->chosen = candidate;
                made->verdict = real;
                return shadow_reload(made->verdict);
            }
        }
    }
    return refuse(CUDNN_STATUS_BAD_PARAM, "the saved plan's engine %lld does not exist",
        static_cast<long long>(index));
}

cudnnStatus_t build(const object &configuration, plan *made)
{
    const engine &chosen = configuration.as_engine;
    if (chosen.unbuildable) {
        return refuse(CUDNN_STATUS_NOT_SUPPORTED,
            "engine %lld cannot be built for this graph, as candidates now and then cannot",
            static_cast<long long>(chosen.index));
    }
    made->graph = configuration.as_graph;
    made->on = configuration.as_device;
    made->chosen = chosen;
    return shadow_plan(configuration, chosen, &made->verdict);
}

} // namespace

cudnnStatus_t finalize_plan(object &o)
{
    auto made = std::make_shared<plan>();
    object_ptr configuration = o.child(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    object_ptr described = o.child(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
    bool has_json = o.has(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION);
    cudnnStatus_t status;
    if (!configuration == !has_json) {
        return misuse(CUDNN_STATUS_BAD_PARAM,
            "a plan is made of an engine configuration or of JSON: one of the two");
    }
    static const char *nvrtc = getenv("SIM_NVRTC");
    if (configuration && configuration->as_engine.runtime_compiled && nvrtc && nvrtc[0] == '0') {
        return refuse(
            CUDNN_STATUS_NOT_SUPPORTED_RUNTIME_PREREQUISITE_MISSING, "NVRTC was not found");
    }
    if (configuration) {
        status = build(*configuration, made.get());
    } else if (!described && !o.has(400 /* EXECUTION_PLAN_HANDLE */)) {
        return misuse(
            CUDNN_STATUS_BAD_PARAM, "a plan made of JSON needs a handle or a described device");
    } else {
        const attribute &json = o.attributes[CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION];
        status = reload(std::string(json.bytes.begin(), json.bytes.end()),
            described ? described->as_device : posed_device(), made.get());
    }
    o.as_plan = made;
    return status;
}

cudnnStatus_t get_from_plan(const object &o, const request &asked)
{
    switch (static_cast<int>(asked.name)) {
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        return answer(asked, CUDNN_TYPE_INT64, &o.as_plan->chosen.workspace, 1);
    case CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION: {
        std::string text = saved(*o.as_plan);
        return answer(asked, CUDNN_TYPE_CHAR, text.data(), text.size());
    }
    default:
        return misuse(CUDNN_STATUS_NOT_SUPPORTED, "reading attribute %d of a plan is not simulated",
            static_cast<int>(asked.name));
    }
}

} // namespace simcudnn
