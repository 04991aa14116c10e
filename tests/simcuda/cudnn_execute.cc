// Running a plan: everything that can be wrong with a variant pack is found when it is given, not
// by what the work would do with it later.
#include "cudnn_internal.h"

#include <algorithm>
#include <set>

namespace simcudnn
{

cudnnStatus_t finalize_variant_pack(object &o)
{
    std::vector<int64_t> uids = o.integers(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const attribute &pointers = o.attributes[CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS];
    if (static_cast<int64_t>(uids.size()) != pointers.count) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "a variant pack has %zu uids and %lld pointers",
            uids.size(), static_cast<long long>(pointers.count));
    }
    for (size_t i = 0; i < uids.size(); i++) {
        void *pointer;
        memcpy(&pointer, pointers.bytes.data() + i * sizeof pointer, sizeof pointer);
        if (!o.as_pack.pointers.emplace(uids[i], pointer).second) {
            return misuse(CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES,
                "a variant pack has uid %lld twice", static_cast<long long>(uids[i]));
        }
    }
    o.as_pack.workspace = o.get<void *>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    return CUDNN_STATUS_SUCCESS;
}

namespace
{

// All that an execution needs, owned: a graph may replay it long after the host has forgotten it.
struct execution {
    std::shared_ptr<const plan> runs;
    variant_pack pack;
    std::map<int64_t, float> scalars;
    std::vector<std::pair<const char *, size_t>> ranges; // of device memory
};

struct range {
    const char *from;
    size_t bytes;
    bool written;
    std::string name;

    bool meets(const range &other) const
    {
        return bytes && other.bytes && from < other.from + other.bytes && other.from < from + bytes;
    }
};

cudnnStatus_t place_scalar(const tensor &t, const void *pointer, execution &e)
{
    if (sim_in_device_range(pointer)) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "%s is by value: its pointer is the host's, not %s",
            t.name().c_str(), sim_describe(pointer).c_str());
    }
    if (t.type != CUDNN_DATA_FLOAT) {
        return misuse(
            CUDNN_STATUS_NOT_SUPPORTED, "%s: only fp32 by value is simulated", t.name().c_str());
    }
    memcpy(&e.scalars[t.uid], pointer, sizeof(float));
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t place_tensor(
    const operand &each, void *pointer, execution &e, std::vector<range> &ranges)
{
    const tensor &t = each.t;
    if (!pointer) {
        return misuse(
            CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "%s is at a null pointer", t.name().c_str());
    }
    if (t.by_value) {
        return place_scalar(t, pointer, e);
    }
    if (reinterpret_cast<uintptr_t>(pointer) % static_cast<uintptr_t>(t.alignment)) {
        return misuse(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER,
            "%s is at %p, which is not aligned to %lld bytes", t.name().c_str(), pointer,
            static_cast<long long>(t.alignment));
    }
    if (!sim_is_device(pointer, t.bytes())) {
        return misuse(CUDNN_STATUS_BAD_PARAM,
            "%s needs %zu bytes of device memory at %p, which is %s", t.name().c_str(), t.bytes(),
            pointer, sim_describe(pointer).c_str());
    }
    ranges.push_back({static_cast<const char *>(pointer), t.bytes(), each.output, t.name()});
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t place_workspace(const execution &e, std::vector<range> &ranges)
{
    size_t needed = static_cast<size_t>(e.runs->chosen.workspace);
    const void *at = e.pack.workspace;
    if (needed == 0) {
        return CUDNN_STATUS_SUCCESS;
    }
    if (!at) {
        return misuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER,
            "the plan needs a workspace of %zu bytes, and has none", needed);
    }
    if (reinterpret_cast<uintptr_t>(at) % 16) {
        return misuse(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER,
            "the workspace at %p is not aligned to 16 bytes", at);
    }
    if (!sim_is_device(at, needed)) {
        return misuse(CUDNN_STATUS_BAD_PARAM,
            "the workspace needs %zu bytes of device memory at %p, which is %s", needed, at,
            sim_describe(at).c_str());
    }
    ranges.push_back({static_cast<const char *>(at), needed, true, "the workspace"});
    return CUDNN_STATUS_SUCCESS;
}

// Nothing that is written may share memory with anything else.
cudnnStatus_t check_overlaps(const std::vector<range> &ranges)
{
    for (size_t i = 0; i < ranges.size(); i++) {
        for (size_t j = 0; j < i; j++) {
            if ((ranges[i].written || ranges[j].written) && ranges[i].meets(ranges[j])) {
                return misuse(CUDNN_STATUS_BAD_PARAM,
                    "%s and %s share memory, and one is written (the library may not notice)",
                    ranges[j].name.c_str(), ranges[i].name.c_str());
            }
        }
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t place_all(execution &e)
{
    std::vector<range> ranges;
    std::map<int64_t, const operand *> tensors; // a tensor that is also written, as written
    for (const operation &op : e.runs->graph->operations) {
        for (const operand &each : op.operands) {
            const operand *&known = tensors[each.t.uid];
            if (!each.t.is_virtual && (!known || each.output)) {
                known = &each;
            }
        }
    }
    for (const auto &[uid, each] : tensors) {
        if (!each) {
            continue;
        }
        auto found = e.pack.pointers.find(uid);
        if (found == e.pack.pointers.end()) {
            return misuse(
                CUDNN_STATUS_BAD_PARAM, "%s is not in the variant pack", each->t.name().c_str());
        }
        cudnnStatus_t status = place_tensor(*each, found->second, e, ranges);
        if (status != CUDNN_STATUS_SUCCESS) {
            return status;
        }
    }
    for (const auto &[uid, pointer] : e.pack.pointers) {
        auto found = tensors.find(uid);
        if (found == tensors.end() || !found->second) {
            return misuse(CUDNN_STATUS_BAD_PARAM, "uid %lld of the variant pack (at %p) is %s",
                static_cast<long long>(uid), pointer,
                found == tensors.end() ? "not in the graph" : "virtual");
        }
    }
    cudnnStatus_t status = place_workspace(e, ranges);
    if (status == CUDNN_STATUS_SUCCESS) {
        status = check_overlaps(ranges);
    }
    for (const range &each : ranges) {
        e.ranges.emplace_back(each.from, each.bytes);
    }
    return status;
}

arithmetic arithmetic_of(const engine &chosen, cudnnDataType_t type)
{
    arithmetic how;
    how.tf32 = chosen.has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE) && type == CUDNN_DATA_FLOAT;
    how.narrow_inputs = chosen.has(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS);
    how.narrow_sums = chosen.has(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION);
    how.any_order = chosen.has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
    how.propagate_nan = chosen.has(CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP);
    how.stored_between = chosen.stores_between;
    return how;
}

void run(const execution &e)
{
    for (const auto &[from, bytes] : e.ranges) {
        if (!sim_is_device(from, bytes)) {
            sim_fail("cuDNN's work runs on device memory at %p that is %s",
                static_cast<const void *>(from), sim_describe(from).c_str());
            sim_lose_context(cudaErrorIllegalAddress);
            return;
        }
    }
    const plan &p = *e.runs;
    if (p.chosen.workspace) {
        memset(e.pack.workspace, 0xff, static_cast<size_t>(p.chosen.workspace));
    }
    values v;
    for (const auto &[uid, pointer] : e.pack.pointers) {
        v.place(uid, pointer);
    }
    for (const auto &[uid, value] : e.scalars) {
        v.set_scalar(uid, value);
    }
    for (const operation &op : p.graph->operations) {
        switch (op.type) {
        case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
            run_pointwise(op, v, arithmetic_of(p.chosen, CUDNN_DATA_HALF));
            break;
        case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR:
            run_reduction(op, v);
            break;
        case CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR:
            run_norm_forward(op, v);
            break;
        case CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR:
            run_norm_backward(op, v);
            break;
        default:
            run_convolution(op, v, arithmetic_of(p.chosen, op.operands[0].t.type));
        }
    }
}

// Microseconds of the virtual clock: enough to tell engines apart, and no more than that.
double costs(const plan &p)
{
    return 3 + p.graph->flops / (4e8 * p.chosen.speed) + p.graph->bytes / (2e6 * p.chosen.speed);
}

} // namespace

} // namespace simcudnn

using namespace simcudnn;

extern "C" cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle,
    cudnnBackendDescriptor_t execution_plan, cudnnBackendDescriptor_t variant_pack_)
{
    sim_call call("cudnnBackendExecute");
    if (call.injected) {
        return static_cast<cudnnStatus_t>(call.code);
    }
    object_ptr runs = object_of(execution_plan), pack = object_of(variant_pack_);
    if (!is_handle(handle)) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "this is not a live handle");
    }
    if (!runs || runs->type != CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR || !pack ||
        pack->type != CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "these are not a live plan and a live variant pack");
    }
    if (!runs->finalized || !pack->finalized) {
        return misuse(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "the %s is not finalized",
            runs->finalized ? "variant pack" : "plan");
    }
    if (sim_context() != cudaSuccess) {
        return refuse(CUDNN_STATUS_EXECUTION_FAILED, "the context is lost");
    }
    execution e = {runs->as_plan, pack->as_pack, {}, {}};
    std::shared_ptr<const device> here = posed_device();
    if (e.runs->on->version != here->version) {
        return misuse(CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH, "the plan is for %s, this is %s",
            e.runs->on->name.c_str(), here->name.c_str());
    }
    if (!sim_is_stream(handle->stream)) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "the handle's stream is not live any more");
    }
    cudnnStatus_t status = place_all(e);
    if (status == CUDNN_STATUS_SUCCESS) {
        double takes = costs(*e.runs);
        sim_enqueue(
            handle->stream, [e] { run(e); }, "cudnnBackendExecute", takes);
    }
    return status;
}
