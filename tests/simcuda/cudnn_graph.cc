// An operation graph: tensors and their writers and readers fit together.
#include "cudnn_internal.h"

#include <map>
#include <set>

namespace simcudnn
{

const tensor *operation::find(int role) const
{
    for (const operand &each : operands) {
        if (each.role == role) {
            return &each.t;
        }
    }
    return nullptr;
}

bool operation::is_convolution() const
{
    return type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR ||
           type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR ||
           type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR;
}

namespace
{

cudnnStatus_t check_names(const std::vector<operation> &operations)
{
    std::map<int64_t, const void *> named;
    std::set<int64_t> written;
    for (const operation &op : operations) {
        for (const operand &each : op.operands) {
            const void *&known = named[each.t.uid];
            if (known && known != each.descriptor) {
                return misuse(CUDNN_STATUS_BAD_PARAM,
                    "graph: uid %lld names two tensors (the real library accepts that)",
                    static_cast<long long>(each.t.uid));
            }
            known = each.descriptor;
            if (each.output && !written.insert(each.t.uid).second) {
                return misuse(
                    CUDNN_STATUS_BAD_PARAM, "graph: %s has two writers", each.t.name().c_str());
            }
            if (each.output && each.t.by_value) {
                return misuse(CUDNN_STATUS_BAD_PARAM, "graph: %s is written but by value",
                    each.t.name().c_str());
            }
        }
    }
    return CUDNN_STATUS_SUCCESS;
}

// Every virtual tensor is written before it is read, and read.
cudnnStatus_t check_flow(const std::vector<operation> &operations)
{
    std::set<int64_t> written, read, all_written;
    for (const operation &op : operations) {
        for (const operand &each : op.operands) {
            if (each.output) {
                all_written.insert(each.t.uid);
            }
        }
    }
    for (const operation &op : operations) {
        for (const operand &each : op.operands) {
            bool early = all_written.count(each.t.uid) && !written.count(each.t.uid);
            if (!each.output && (early || (each.t.is_virtual && !written.count(each.t.uid)))) {
                return misuse(CUDNN_STATUS_BAD_PARAM,
                    "graph: %s is read and %s (the real library accepts that)",
                    each.t.name().c_str(),
                    early ? "written later" : "virtual, but no operation writes it");
            }
            if (!each.output) {
                read.insert(each.t.uid);
            }
        }
        for (const operand &each : op.operands) {
            if (each.output) {
                written.insert(each.t.uid);
            }
        }
    }
    for (const operation &op : operations) {
        for (const operand &each : op.operands) {
            if (each.t.is_virtual && !read.count(each.t.uid)) {
                return misuse(CUDNN_STATUS_BAD_PARAM, "graph: %s is virtual, but nothing reads it",
                    each.t.name().c_str());
            }
        }
    }
    return CUDNN_STATUS_SUCCESS;
}

void count_costs(operation_graph &graph)
{
    std::set<int64_t> counted;
    for (const operation &op : graph.operations) {
        double largest = 0;
        for (const operand &each : op.operands) {
            largest = std::max(largest, static_cast<double>(each.t.count()));
            if (!each.t.is_virtual && !each.t.by_value && counted.insert(each.t.uid).second) {
                graph.bytes += static_cast<double>(each.t.bytes());
            }
        }
        if (op.is_convolution()) { // its operands are x, w and y
            const tensor &w = op.operands[1].t, &y = op.operands[2].t;
            graph.flops += 2 * static_cast<double>(y.count()) *
                           static_cast<double>(w.count() / w.dims[0]);
        } else {
            graph.flops += 4 * largest;
        }
    }
}

} // namespace

cudnnStatus_t finalize_graph(object &o)
{
    auto graph = std::make_shared<operation_graph>();
    for (const object_ptr &child : o.attributes[CUDNN_ATTR_OPERATIONGRAPH_OPS].children) {
        graph->operations.push_back(child->as_operation);
    }
    cudnnStatus_t status = check_names(graph->operations);
    if (status == CUDNN_STATUS_SUCCESS) {
        status = check_flow(graph->operations);
    }
    count_costs(*graph);
    o.as_graph = graph;
    if (o.has(800 /* OPERATIONGRAPH_HANDLE */)) {
        o.as_device = posed_device();
    }
    return status;
}

cudnnStatus_t get_from_graph(const object &o, const request &asked)
{
    if (asked.name != CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT) {
        return misuse(CUDNN_STATUS_NOT_SUPPORTED,
            "reading attribute %d of a graph is not simulated", static_cast<int>(asked.name));
    }
    int64_t count = 0;
    if (o.as_device) {
        for (const engine &each : engines_for(*o.as_graph, *o.as_device, CUDNN_HEUR_MODE_A)) {
            count = std::max(count, each.index + 1);
        }
    }
    return answer(asked, CUDNN_TYPE_INT64, &count, 1);
}

} // namespace simcudnn
