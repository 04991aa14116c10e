// Which engines a device has for a graph. The rules are what the real library (9.19) answers for
// H100, A100 and T4, described, for the graphs of tests/cudnn/verdicts.c, which hold the two
// against each other; the candidates' notes, workspaces and order are of the kinds that the
// library's have, and arranged as traps: the first and the fastest are such as a careful caller
// does not admit, one cannot be made a plan, and what a note says an engine does to the numbers, it
// does.
#include "cudnn_internal.h"

#include <jansson.h>

namespace simcudnn
{

bool engine::has(cudnnBackendNumericalNote_t note) const
{
    for (cudnnBackendNumericalNote_t each : notes) {
        if (each == note) {
            return true;
        }
    }
    return false;
}

// ---- devices ----

cudnnStatus_t read_device(const std::string &description, std::shared_ptr<const device> *read)
{
    static const char *const integers[] = {"deviceVer", "multiProcessorCount", "warpSize",
        "maxSharedMemoryPerBlock", "maxSharedMemoryPerBlockOptin", "reservedSharedMemoryPerBlock",
        "maxRegistersPerSM", "maxCtasPerSM", "maxThreadsPerBlock", "maxThreadsPerSM",
        "regsPerBlock", "totalGlobalMem", "smClockRateKHz", "memClockRateKHz", "l2CacheSize",
        "supportCoopLaunch", "pciDeviceId", "isTccDriver", "cudaDeviceId", "driverVer"};
    std::unique_ptr<json_t, void (*)(json_t *)> root(
        json_loadb(description.data(), description.size(), 0, nullptr), json_decref);
    if (!root) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "the device's description is no JSON");
    }
    for (const char *key : integers) {
        if (!json_is_integer(json_object_get(root.get(), key))) {
            return misuse(CUDNN_STATUS_BAD_PARAM, "the device's description has no \"%s\"", key);
        }
    }
    for (const char *key : {"maxBlockSize", "maxGridSize"}) {
        if (json_array_size(json_object_get(root.get(), key)) != 3) {
            return misuse(CUDNN_STATUS_BAD_PARAM, "the device's description has no \"%s\"", key);
        }
    }
    const char *name = json_string_value(json_object_get(root.get(), "deviceName"));
    if (!name) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "the device's description has no \"deviceName\"");
    }
    auto made = std::make_shared<device>();
    made->description = description;
    made->name = name;
    made->version = static_cast<int>(json_integer_value(json_object_get(root.get(), "deviceVer")));
    if (made->version < 750 || made->version > CUDNN_MAX_DEVICE_VERSION) {
        return misuse(
            CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH, "deviceVer %d is no device's", made->version);
    }
    *read = made;
    return CUDNN_STATUS_SUCCESS;
}

std::shared_ptr<const device> posed_device()
{
    const struct sim_pose *pose = sim_pose();
    auto made = std::make_shared<device>();
    made->description = pose->description;
    made->version = pose->major * 100 + pose->minor * 10;
    made->name = pose->device_name;
    return made;
}

cudnnStatus_t finalize_device(object &o)
{
    if (o.has(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION)) {
        const attribute &json = o.attributes[CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION];
        return read_device(std::string(json.bytes.begin(), json.bytes.end()), &o.as_device);
    }
    if (sim_has_device() != cudaSuccess) {
        return refuse(CUDNN_STATUS_NOT_INITIALIZED, "there is no device to describe");
    }
    o.as_device = posed_device();
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t get_from_device(const object &o, const request &asked)
{
    if (asked.name != CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION) {
        return misuse(CUDNN_STATUS_NOT_SUPPORTED,
            "reading attribute %d of a device is not simulated", static_cast<int>(asked.name));
    }
    const std::string &text = o.as_device->description;
    return answer(asked, CUDNN_TYPE_CHAR, text.data(), text.size());
}

// ---- which graphs have engines ----

namespace
{

enum class pattern {
    none,
    convolution,  // alone, or with bias and ReLU, in one type: precompiled engines
    fused,        // a convolution and pointwise operations or reductions
    pointwise,    // these alone
    norm_forward, // training
    norm_backward,
};

struct matched {
    pattern what = pattern::none;
    cudnnDataType_t type = CUDNN_DATA_FLOAT; // of what is stored
    bool to_filter = false, to_data = false, odd = false;
    double output = 0; // elements
    std::string reason;
};

bool is_pointwise(const operation &op, int mode)
{
    return op.type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR && op.mode == mode;
}

bool is_chain_link(const operation &op)
{
    return op.type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR ||
           op.type == CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR;
}

bool feeds(const operation &from, const operation &to)
{
    for (const operand &out : from.operands) {
        for (const operand &in : to.operands) {
            if (out.output && !in.output && out.t.uid == in.t.uid) {
                return true;
            }
        }
    }
    return false;
}

const tensor &output_of(const operation &op)
{
    for (const operand &each : op.operands) {
        if (each.output) {
            return each.t;
        }
    }
    return op.operands[0].t;
}

// Bias and ReLU after a forward convolution, in the type of its inputs.
bool is_bias_relu(const std::vector<operation> &ops, cudnnDataType_t type)
{
    if (ops[0].type != CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR || ops.size() > 3 ||
        !is_pointwise(ops[1], CUDNN_POINTWISE_ADD)) {
        return false;
    }
    const tensor &bias = ops[1].at(CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
    bool plain_relu = ops.size() < 3 ||
                      (is_pointwise(ops[2], CUDNN_POINTWISE_RELU_FWD) && ops[2].lower_clip == 0 &&
                          ops[2].slope == 0 && !ops[2].has_upper_clip);
    return plain_relu && bias.type == type && bias.is_per_channel(output_of(ops[0]).dims[1]) &&
           output_of(ops.back()).type == type;
}

matched match_convolution(const std::vector<operation> &ops, int version)
{
    matched m;
    const operation &op = ops[0];
    const tensor &x = op.operands[0].t, &w = op.operands[1].t, &y = op.operands[2].t;
    const tensor &made = output_of(op);
    m.to_filter = op.operands[1].output;
    m.to_data = op.operands[0].output;
    const tensor &first = m.to_data ? y : x, &second = m.to_filter ? y : w;
    m.type = first.type;
    m.odd = (x.dims[1] & 1) != 0;
    m.output = static_cast<double>(made.count());
    if (first.type != second.type) {
        m.reason = "a convolution's inputs have different types";
    } else if (m.type == CUDNN_DATA_BFLOAT16 && version < 800) {
        m.reason = "no bf16 on this device";
    } else if (ops.size() == 1) {
        bool widened = made.type == CUDNN_DATA_FLOAT && m.type != CUDNN_DATA_FLOAT &&
                       !m.to_filter && !m.to_data && version >= 800;
        m.what = made.type == m.type ? pattern::convolution
                 : widened           ? pattern::fused
                                     : pattern::none;
        m.reason = "a convolution's output has another type than its inputs";
    } else {
        m.what = is_bias_relu(ops, m.type) ? pattern::convolution : pattern::fused;
        for (size_t i = 1; i < ops.size(); i++) {
            if (!is_chain_link(ops[i])) {
                m.what = pattern::none;
                m.reason = "nothing but pointwise operations and reductions fuse with one "
                           "convolution";
            }
        }
        if (m.what == pattern::fused && m.to_filter && x.dims[1] % 8 != 0) {
            m.what = pattern::none;
            m.reason = "a fused filter gradient needs a multiple of 8 input channels";
        }
    }
    return m;
}

matched match_norm(const std::vector<operation> &ops, int version)
{
    matched m;
    size_t place = 0; // of the norm that is not merely computed again
    while (place + 1 < ops.size() &&
           ops[place].type != CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR) {
        bool training = ops[place].type == CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR &&
                        ops[place].mode == CUDNN_NORM_FWD_TRAINING;
        if (training) {
            break;
        }
        place++;
    }
    const operation &norm = ops[place];
    bool backward = norm.type == CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR;
    const tensor &x = norm.at(
        backward ? CUDNN_ATTR_OPERATION_NORM_BWD_XDESC : CUDNN_ATTR_OPERATION_NORM_FWD_XDESC);
    m.type = x.type;
    m.output = static_cast<double>(x.count());
    m.reason = "no engine for this pattern around batch norm";
    if (version < 800) {
        m.reason = "batch norm needs compute capability 8.0";
    } else if (x.dims[1] % 8 != 0) {
        m.reason = "batch norm needs a multiple of 8 channels";
    } else if (!backward && norm.mode == CUDNN_NORM_FWD_TRAINING) {
        bool chain = place == 0;
        for (size_t i = 1; i < ops.size(); i++) {
            chain = chain &&
                    (is_pointwise(ops[i], CUDNN_POINTWISE_ADD) ||
                        is_pointwise(ops[i], CUDNN_POINTWISE_RELU_FWD) ||
                        is_pointwise(ops[i], CUDNN_POINTWISE_CMP_GT)) &&
                    feeds(ops[i - 1], ops[i]);
        }
        m.what = chain ? pattern::norm_forward : pattern::none;
    } else if (backward && place + 1 == ops.size()) {
        const tensor &dy = norm.at(CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC);
        bool alone = place == 0;
        bool masked = place == 1 && is_pointwise(ops[0], CUDNN_POINTWISE_MUL) &&
                      ops[0].at(CUDNN_ATTR_OPERATION_POINTWISE_BDESC).type == CUDNN_DATA_BOOLEAN &&
                      feeds(ops[0], norm);
        bool recomputed = place == 2 &&
                          ops[0].type == CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR &&
                          is_pointwise(ops[1], CUDNN_POINTWISE_RELU_BWD) &&
                          output_of(ops[0]).is_virtual && dy.is_virtual && feeds(ops[0], ops[1]) &&
                          feeds(ops[1], norm);
        bool fits = alone || ((masked || recomputed) && dy.type == x.type);
        m.what = fits ? pattern::norm_backward : pattern::none;
    }
    return m;
}

matched match(const operation_graph &graph, int version)
{
    const std::vector<operation> &ops = graph.operations;
    bool has_norm = false, links_only = true;
    for (const operation &op : ops) {
        has_norm = has_norm || op.type == CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR ||
                   op.type == CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR;
        links_only = links_only && is_chain_link(op);
    }
    if (has_norm) {
        return match_norm(ops, version);
    }
    if (ops[0].is_convolution()) {
        return match_convolution(ops, version);
    }
    matched m;
    m.type = ops[0].operands[0].t.type;
    m.output = static_cast<double>(output_of(ops.back()).count());
    if (!links_only) {
        m.reason = "no engine for this pattern";
    } else if (m.type == CUDNN_DATA_BFLOAT16 && version < 800) {
        m.reason = "no bf16 on this device";
    } else {
        m.what = pattern::pointwise;
    }
    return m;
}

// ---- the candidates ----

const cudnnBackendNumericalNote_t CORES = CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
const cudnnBackendNumericalNote_t REDUCED = CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
const cudnnBackendNumericalNote_t DOWN = CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
const cudnnBackendNumericalNote_t RANDOM = CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
const cudnnBackendNumericalNote_t WINOGRAD = CUDNN_NUMERICAL_NOTE_WINOGRAD;
const cudnnBackendNumericalNote_t TILE = CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4;
const cudnnBackendNumericalNote_t TRANSFORM = CUDNN_NUMERICAL_NOTE_FFT;
const cudnnBackendNumericalNote_t STRICT = CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP;

const int64_t HUGE_WORKSPACE = 300 << 20; // more than anyone should give
const bool RUNTIME = true;

std::vector<engine> sixteen_bit_convolutions(const matched &m, int version)
{
    int64_t split = static_cast<int64_t>(m.output) * 4 + 131;
    // Three per cent faster than the best precompiled engine, or not quite.
    double runtime = m.odd ? 0.91 : 0.97;
    std::vector<engine> all;
    if (m.to_filter && version < 800) {
        all.push_back({26, {CORES, REDUCED}, false, 147707, 1.0, false});
    }
    all.push_back({62, {CORES}, false, 131, 0.85, false,
        {{CUDNN_KNOB_TYPE_TILE_SIZE, 4}, {CUDNN_KNOB_TYPE_TILE_CGA_M, 8}}});
    all.push_back({63, {CORES}, false, 0, 0.99, true});
    all.push_back({47, {CORES, REDUCED}, false, 164, 1.0, false});
    all.push_back({65, {CORES}, false, split, 0.90, false});
    all.push_back({58, {CORES, WINOGRAD, TILE}, false, 589824, 1.2, false});
    if (m.to_filter || m.to_data) {
        all.push_back({66, {CORES, RANDOM}, false, 4096, 1.1, false});
    }
    all.push_back({67, {CORES}, false, HUGE_WORKSPACE, 1.3, false});
    all.push_back({71, {CORES}, RUNTIME, 0, runtime, false});
    return all;
}

std::vector<engine> float_convolutions(const matched &m, int version)
{
    std::vector<engine> all;
    if (version >= 800) {
        all.push_back({62, {CORES}, false, 131, 0.9, false});
        all.push_back({64, {CORES, DOWN}, false, 0, 1.0, false});
    }
    if (m.to_filter || m.to_data) {
        all.push_back({66, {RANDOM}, false, 4096, 0.40, false});
    }
    all.push_back({58, {WINOGRAD, TILE}, false, 589824, 0.50, false});
    all.push_back({31, {TRANSFORM}, false, 8192, 0.45, false});
    all.push_back({30, {}, false, 0, 0.38, true});
    all.push_back({34, {}, false, static_cast<int64_t>(m.output) * 8 + 16, 0.30, false});
    all.push_back({28, {}, false, 288, 0.25, false});
    return all;
}

std::vector<engine> fallbacks(const matched &m)
{
    std::vector<engine> all;
    if (m.what == pattern::convolution) {
        all.push_back({1, {}, false, 147760, 0.05, false, {}, true});
        if (m.type == CUDNN_DATA_FLOAT) { // known from the other mode, as the library's 28 and 71
            all.push_back({28, {}, false, 288, 0.25, false});
        }
        all.push_back({20, {REDUCED, RANDOM}, false, 0, 0.06, false});
        all.push_back({0, {STRICT}, false, 0, 0.02, false});
    }
    return all;
}

} // namespace

std::vector<engine> engines_for(
    const operation_graph &graph, const device &on, cudnnBackendHeurMode_t mode)
{
    matched m = match(graph, on.version);
    if (m.what == pattern::none) {
        refuse(CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN, "%s", m.reason.c_str());
        return {};
    }
    if (mode == CUDNN_HEUR_MODE_FALLBACK) {
        return fallbacks(m);
    }
    switch (m.what) {
    case pattern::convolution:
        return m.type == CUDNN_DATA_FLOAT ? float_convolutions(m, on.version)
                                          : sixteen_bit_convolutions(m, on.version);
    case pattern::fused:
        return {{7, {CORES}, RUNTIME, 0, 0.9, false}, {8, {CORES}, RUNTIME, 2359904, 0.92, false},
            {5, {CORES}, RUNTIME, 0, 0.8, true}};
    case pattern::pointwise: // the library notes tensor cores here, whatever the type
        return {{1, {CORES}, RUNTIME, 0, 0.9, false}, {2, {CORES}, RUNTIME, 16, 0.92, false}};
    default:
        return {{0, {}, RUNTIME, 67616, 0.9, false}, {3, {}, RUNTIME, 270368, 0.95, false},
            {4, {}, RUNTIME, HUGE_WORKSPACE, 1.1, false}};
    }
}

// ---- heuristics, engines, configurations ----

namespace
{

std::shared_ptr<const device> device_of(const object &o, int attribute, const object &graph)
{
    object_ptr described = o.child(attribute);
    return described ? described->as_device : graph.as_device;
}

// The caller's own descriptor, still empty, which a result is to be put into.
object_ptr empty_result(const void *values, int64_t at, cudnnBackendDescriptorType_t type)
{
    object_ptr result = object_of(static_cast<const cudnnBackendDescriptor_t *>(values)[at]);
    if (!result || result->type != type || result->finalized) {
        misuse(CUDNN_STATUS_BAD_PARAM,
            "result %lld is to be put into something else than an unused descriptor of type %d",
            static_cast<long long>(at), static_cast<int>(type));
        return nullptr;
    }
    return result;
}

void describe(object &result, const engine &chosen, const object &from)
{
    result.as_engine = chosen;
    result.as_graph = from.as_graph;
    result.as_device = from.as_device;
    result.real_candidates = from.real_candidates;
    result.finalized = true;
}

cudnnStatus_t get_knobs(const std::vector<knob> &knobs, const request &asked)
{
    *asked.count = static_cast<int64_t>(knobs.size());
    for (int64_t i = 0; i < std::min(*asked.count, asked.wanted); i++) {
        object_ptr result = empty_result(asked.values, i, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
        if (!result) {
            return CUDNN_STATUS_BAD_PARAM;
        }
        result->as_knob = knobs[static_cast<size_t>(i)];
        result->finalized = true;
    }
    return CUDNN_STATUS_SUCCESS;
}

} // namespace

cudnnStatus_t finalize_heuristics(object &o)
{
    object_ptr graph = o.child(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    int mode = o.get<int>(CUDNN_ATTR_ENGINEHEUR_MODE);
    if (mode < 0 || mode >= CUDNN_HEUR_MODES_COUNT) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "heuristics mode %d does not exist", mode);
    }
    o.as_graph = graph->as_graph;
    o.as_device = device_of(o, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *graph);
    if (o.as_device) { // without, the library succeeds with no results
        o.candidates = engines_for(
            *o.as_graph, *o.as_device, static_cast<cudnnBackendHeurMode_t>(mode));
    }
    return shadow_heuristics(o);
}

cudnnStatus_t get_from_heuristics(const object &o, const request &asked)
{
    if (asked.name != CUDNN_ATTR_ENGINEHEUR_RESULTS ||
        asked.type != CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        return misuse(CUDNN_STATUS_BAD_PARAM,
            "heuristics have results of type descriptor, not attribute %d of type %d",
            static_cast<int>(asked.name), static_cast<int>(asked.type));
    }
    int64_t found = static_cast<int64_t>(o.candidates.size());
    if (asked.wanted == 0) {
        *asked.count = found + 3; // an upper bound, as the library's
        return CUDNN_STATUS_SUCCESS;
    }
    *asked.count = std::min(found, asked.wanted);
    for (int64_t i = 0; i < *asked.count; i++) {
        object_ptr result = empty_result(asked.values, i, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
        if (!result) {
            return CUDNN_STATUS_BAD_PARAM;
        }
        describe(*result, o.candidates[static_cast<size_t>(i)], o);
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finalize_engine(object &o)
{
    object_ptr graph = o.child(CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
    int64_t index = o.get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
    o.as_graph = graph->as_graph;
    o.as_device = device_of(o, CUDNN_ATTR_ENGINE_DEVICEPROP, *graph);
    if (!o.as_device) {
        return misuse(CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH,
            "an engine needs a device: the graph's handle, or a described one");
    }
    for (cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
        for (const engine &each : engines_for(*o.as_graph, *o.as_device, mode)) {
            if (each.index == index) {
                o.as_engine = each;
                return shadow_heuristics(o);
            }
        }
    }
    return refuse(CUDNN_STATUS_NOT_SUPPORTED, "the graph has no engine %lld on this device",
        static_cast<long long>(index));
}

cudnnStatus_t finalize_configuration(object &o)
{
    object_ptr chosen = o.child(CUDNN_ATTR_ENGINECFG_ENGINE);
    describe(o, chosen->as_engine, *chosen);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t get_from_configuration(const object &o, const request &asked)
{
    if (asked.name == CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE) {
        return answer(asked, CUDNN_TYPE_INT64, &o.as_engine.workspace, 1);
    }
    if (asked.name == CUDNN_ATTR_ENGINECFG_ENGINE && asked.wanted >= 1 &&
        asked.type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        object_ptr result = empty_result(asked.values, 0, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
        if (!result) {
            return CUDNN_STATUS_BAD_PARAM;
        }
        describe(*result, o.as_engine, o);
        *asked.count = 1;
        return CUDNN_STATUS_SUCCESS;
    }
    if (asked.name == CUDNN_ATTR_ENGINECFG_KNOB_CHOICES &&
        asked.type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        return get_knobs(o.as_engine.knobs, asked);
    }
    return misuse(CUDNN_STATUS_NOT_SUPPORTED,
        "reading attribute %d of an engine configuration is not simulated",
        static_cast<int>(asked.name));
}

cudnnStatus_t get_from_engine(const object &o, const request &asked)
{
    const engine &e = o.as_engine;
    std::vector<cudnnBackendBehaviorNote_t> behavior;
    if (e.runtime_compiled) {
        behavior.push_back(CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION);
    }
    switch (static_cast<int>(asked.name)) {
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
        return answer(asked, CUDNN_TYPE_INT64, &e.index, 1);
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
        return answer(asked, CUDNN_TYPE_NUMERICAL_NOTE, e.notes.data(), e.notes.size());
    case CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE:
        return answer(asked, CUDNN_TYPE_BEHAVIOR_NOTE, behavior.data(), behavior.size());
    default:
        return misuse(CUDNN_STATUS_NOT_SUPPORTED,
            "reading attribute %d of an engine is not simulated", static_cast<int>(asked.name));
    }
}

cudnnStatus_t get_from_knob(const object &o, const request &asked)
{
    switch (static_cast<int>(asked.name)) {
    case CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE:
        return answer(asked, CUDNN_TYPE_KNOB_TYPE, &o.as_knob.type, 1);
    case CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE:
        return answer(asked, CUDNN_TYPE_INT64, &o.as_knob.value, 1);
    default:
        return misuse(CUDNN_STATUS_NOT_SUPPORTED,
            "reading attribute %d of a knob choice is not simulated", static_cast<int>(asked.name));
    }
}

} // namespace simcudnn
