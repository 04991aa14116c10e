// What the files of the simulated cuDNN share. The backend API is one of opaque descriptors with
// attributes; finalizing a descriptor here turns its attributes into one of the plain structs
// below, and everything after that (what a device has engines for, execution, saving a plan) sees
// only those.
//
//     cudnn_handle.cc      the handle, versions, error strings
//     cudnn_descriptor.cc  descriptors and their attributes
//     cudnn_tensor.cc      tensors: checks, and their values as packed fp32
//     cudnn_conv.cc        convolutions, on cudnn_gemm.cc
//     cudnn_pointwise.cc   pointwise operations and reductions
//     cudnn_norm.cc        batch norm
//     cudnn_graph.cc       an operation graph, and the operations' common part
//     cudnn_engine.cc      which engines a device has for a graph, with what notes
//     cudnn_plan.cc        execution plans, saved ones too
//     cudnn_execute.cc     variant packs, running a plan
//     cudnn_shadow.cc      the real library's verdict
//
// Where the header or NVIDIA's documentation calls an argument wrong, it is refused with their
// status; so is what the library would silently accept. Both are misuses (sim_fail). Merely
// unsupported is not a misuse: a caller may ask.
#ifndef SIMCUDA_CUDNN_INTERNAL_H
#define SIMCUDA_CUDNN_INTERNAL_H

#include "internal.h"

#include <cudnn.h>

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

struct json_t;
struct cudnnContext {
    cudaStream_t stream = nullptr;
};

namespace simcudnn
{

// ---- errors (cudnn_handle.cc) ----

// Sets cudnnGetLastErrorString's text and returns `status`.
cudnnStatus_t refuse(cudnnStatus_t status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
// The same of a misuse.
cudnnStatus_t misuse(cudnnStatus_t status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool is_handle(cudnnHandle_t handle);

// ---- tensors (cudnn_tensor.cc) ----

struct tensor {
    int64_t uid = 0;
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
    int64_t dims[4] = {1, 1, 1, 1};    // N, C, H, W
    int64_t strides[4] = {1, 1, 1, 1}; // in elements
    int64_t alignment = 16;            // of its address, in bytes
    bool is_virtual = false, by_value = false;

    int64_t count() const
    {
        return dims[0] * dims[1] * dims[2] * dims[3];
    }
    size_t bytes() const;   // from its first element to its last
    bool overlaps() const;  // two elements may have one address
    bool is_packed() const; // NHWC without gaps
    bool same_shape(const tensor &other) const
    {
        return memcmp(dims, other.dims, sizeof dims) == 0;
    }
    bool is_per_channel(int64_t channels) const
    {
        return dims[0] == 1 && dims[1] == channels && dims[2] == 1 && dims[3] == 1;
    }
    bool broadcasts_to(const tensor &whole) const
    {
        for (int i = 0; i < 4; i++) {
            if (dims[i] != whole.dims[i] && dims[i] != 1) {
                return false;
            }
        }
        return true;
    }
    std::string name() const; // "tensor 7 (half, 2x3x4x5)", for messages
};

size_t type_size(cudnnDataType_t type); // 0: not simulated
const char *type_name(cudnnDataType_t type);

// Values in packed NHWC order, uninitialised at first.
using floats = std::shared_ptr<float[]>;
floats make_floats(int64_t count);

// The values of one execution, by uid: read from device memory when first needed; those of virtual
// tensors are kept here alone. What is stored is rounded to its tensor's type.
class values
{
  public:
    void place(int64_t uid, void *pointer)
    {
        pointers[uid] = pointer;
    }
    void set_scalar(int64_t uid, float value);
    floats load(const tensor &t);
    float scalar(const tensor &t)
    {
        return load(t)[0];
    }
    void store(const tensor &t, floats made);

  private:
    std::map<int64_t, void *> pointers;
    std::map<int64_t, floats> known;
};

void narrow_to_half(float *v, int64_t count); // rounds each in place
void narrow_to_tf32(float *v, int64_t count);

// Calls task(0) ... task(count - 1) on several threads where `work` (floating-point operations,
// about) is worth them. The tasks' results may not depend on who runs them.
void in_parallel(int64_t count, double work, const std::function<void(int64_t)> &task);

// ---- operations ----

// What engines do to the numbers. An engine whose notes say that it rounds does round here, so that
// a caller who chose it sees a difference.
struct arithmetic {
    bool tf32 = false;           // tensor cores on fp32
    bool narrow_inputs = false;  // DOWN_CONVERT_INPUTS
    bool narrow_sums = false;    // REDUCED_PRECISION_REDUCTION
    bool any_order = false;      // NONDETERMINISTIC
    bool propagate_nan = false;  // STRICT_NAN_PROP
    bool stored_between = false; // a convolution in its input's type, before a bias is added to it
};

struct operand {
    int role = 0; // the attribute's name
    bool output = false;
    tensor t;
    const void *descriptor = nullptr; // tells two tensors of one uid apart, nothing else
};

struct operation {
    cudnnBackendDescriptorType_t type = CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR;
    std::vector<operand> operands;

    int64_t before[2] = {0, 0}, after[2] = {0, 0}; // padding
    int64_t stride[2] = {1, 1}, dilation[2] = {1, 1};

    int mode = 0; // cudnnPointwiseMode_t, cudnnReduceTensorOp_t or cudnnBackendNormFwdPhase_t
    bool propagate_nan = false;
    double lower_clip = 0, upper_clip = 0, slope = 0;
    bool has_upper_clip = false;

    const tensor *find(int role) const;
    const tensor &at(int role) const
    {
        return *find(role);
    }
    bool is_convolution() const;
};

struct operation_graph {
    std::vector<operation> operations;
    double flops = 0, bytes = 0; // of one execution, for the virtual clock
};

void run_convolution(const operation &op, values &v, const arithmetic &how);
void run_pointwise(const operation &op, values &v, const arithmetic &how);
void run_reduction(const operation &op, values &v);
void run_norm_forward(const operation &op, values &v);
void run_norm_backward(const operation &op, values &v);

// ---- devices, engines, plans ----

struct device {
    std::string description; // cuDNN's JSON of it
    int version = 0;         // 900 is compute capability 9.0
    std::string name;
};
std::shared_ptr<const device> posed_device(void); // of a handle
cudnnStatus_t read_device(const std::string &description, std::shared_ptr<const device> *read);

struct knob {
    int type = 0; // cudnnBackendKnobType_t
    int64_t value = 0;
};

struct engine {
    int64_t index = 0;
    std::vector<cudnnBackendNumericalNote_t> notes;
    bool runtime_compiled = false;
    int64_t workspace = 0; // bytes
    double speed = 1;      // of what its device can do
    bool unbuildable =
        false; // a candidate that no plan can be made of, as there are in the library
    std::vector<knob> knobs = {};
    bool stores_between = false; // no note tells of it
    bool has(cudnnBackendNumericalNote_t note) const;
};

// Those that the device has for the graph, the heuristics' first choice first. Empty: the reason is
// the last error.
std::vector<engine> engines_for(
    const operation_graph &graph, const device &on, cudnnBackendHeurMode_t mode);

struct plan {
    std::shared_ptr<const operation_graph> graph;
    std::shared_ptr<const device> on;
    engine chosen;
    std::string verdict; // the real library's plan in JSON, in shadow mode
};

struct variant_pack {
    std::map<int64_t, void *> pointers;
    void *workspace = nullptr;
};

// ---- descriptors (cudnn_descriptor.cc) ----

struct object;
using object_ptr = std::shared_ptr<object>;

struct attribute {
    cudnnBackendAttributeType_t type;
    int64_t count;
    std::vector<char> bytes;
    std::vector<object_ptr> children;
};

// Parents keep their children's objects, so a descriptor may be destroyed before what uses it.
struct object {
    explicit object(cudnnBackendDescriptorType_t of) : type(of)
    {
    }
    ~object();
    object(const object &) = delete;
    object &operator=(const object &) = delete;

    cudnnBackendDescriptorType_t type;
    bool finalized = false;
    std::map<int, attribute> attributes;

    // What finalizing made of it: one of these.
    tensor as_tensor;
    operation as_operation;
    std::shared_ptr<const operation_graph> as_graph;
    std::shared_ptr<const device> as_device;
    std::vector<engine> candidates; // of heuristics
    engine as_engine;               // of an engine and of an engine's configuration
    knob as_knob;
    std::shared_ptr<const plan> as_plan;
    variant_pack as_pack;

    // The real library's descriptor in shadow mode, and its engine configurations.
    void *real = nullptr;
    std::shared_ptr<const std::vector<void *>> real_candidates;

    bool has(int name) const
    {
        return attributes.count(name) != 0;
    }
    template <class T> T get(int name, T otherwise = T()) const
    {
        auto found = attributes.find(name);
        if (found != attributes.end() && found->second.bytes.size() >= sizeof(T)) {
            memcpy(&otherwise, found->second.bytes.data(), sizeof(T));
        }
        return otherwise;
    }
    std::vector<int64_t> integers(int name) const;
    double real_number(int name, double otherwise) const; // CUDNN_TYPE_FLOAT or _DOUBLE
    object_ptr child(int name) const;
};

// The object of a live descriptor, or null.
object_ptr object_of(cudnnBackendDescriptor_t descriptor);

// Finalizing, by type: checks the attributes and makes the struct.
cudnnStatus_t finalize_tensor(object &o);
cudnnStatus_t finalize_window(const object &o); // a convolution's
cudnnStatus_t finalize_convolution(object &o);
cudnnStatus_t finalize_pointwise_function(const object &o);
cudnnStatus_t finalize_pointwise(object &o);
cudnnStatus_t finalize_reduction_function(const object &o);
cudnnStatus_t finalize_reduction(object &o);
cudnnStatus_t finalize_norm_forward(object &o);
cudnnStatus_t finalize_norm_backward(object &o);
cudnnStatus_t finalize_graph(object &o);
cudnnStatus_t finalize_device(object &o);
cudnnStatus_t finalize_heuristics(object &o);
cudnnStatus_t finalize_engine(object &o);
cudnnStatus_t finalize_configuration(object &o);
cudnnStatus_t finalize_plan(object &o);
cudnnStatus_t finalize_variant_pack(object &o);

// Adds the tensor of attribute `role` to the operation, if it is set.
void add_operand(object &o, int role, bool output);

// Results that are asked for (cudnnBackendGetAttribute), by type of descriptor.
struct request {
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t wanted;
    int64_t *count; // never null
    void *values;
};
// Copies what is there, as much as was wanted.
cudnnStatus_t answer(
    const request &asked, cudnnBackendAttributeType_t type, const void *values, size_t count);
cudnnStatus_t get_from_graph(const object &o, const request &asked);
cudnnStatus_t get_from_device(const object &o, const request &asked);
cudnnStatus_t get_from_heuristics(const object &o, const request &asked);
cudnnStatus_t get_from_configuration(const object &o, const request &asked);
cudnnStatus_t get_from_engine(const object &o, const request &asked);
cudnnStatus_t get_from_knob(const object &o, const request &asked);
cudnnStatus_t get_from_plan(const object &o, const request &asked);

// ---- the real library (cudnn_shadow.cc) ----

// Each returns what the real library said, or success when there is no shadow mode.
cudnnStatus_t shadow_create(object &o);
void shadow_destroy(object &o);
cudnnStatus_t shadow_set(object &o, cudnnBackendAttributeName_t name, const attribute &value);
cudnnStatus_t shadow_finalize(object &o); // of tensors, operations and graphs
// The real heuristics' candidates for the graph, which the heuristics' results share.
cudnnStatus_t shadow_heuristics(object &o);
// Makes a plan of the first real engine that is no laxer than the chosen one; its JSON goes into
// *verdict.
cudnnStatus_t shadow_plan(const object &configuration, const engine &chosen, std::string *verdict);
cudnnStatus_t shadow_reload(const std::string &verdict);

} // namespace simcudnn

#endif
