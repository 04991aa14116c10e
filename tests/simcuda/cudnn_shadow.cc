// Shadow mode: every descriptor also goes to NVIDIA's own library, deviceless, so that one run of
// the backend gives numbers and the library's verdict on every graph that it built.
//
//     SIM_SHADOW=1            for the device that is posed as
//     SIM_SHADOW=device.json  for a described one
//     SIM_NODEV=file          another library as the driver; none: whatever the machine has
//
// A tensor, operation or graph that the real library refuses is refused here, and a misuse. A plan
// is made only if the real library can make one of an engine that is no laxer than the chosen one:
// all its numerical notes are among the chosen one's. It must see runtime-compiled engines at all:
// without a driver that it can load it drops them silently, so we load one that knows no device
// (nodev.c).
//
// The library's symbols are bound to itself, not to the functions that we have for the same names.
#include "cudnn_internal.h"
#include "sanitizers.h"

#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>

#ifndef SIMCUDA_NODEV
#define SIMCUDA_NODEV "libcuda.so.1"
#endif

namespace simcudnn
{

namespace
{

struct library {
    decltype(&cudnnBackendCreateDescriptor) create = nullptr;
    decltype(&cudnnBackendDestroyDescriptor) destroy = nullptr;
    decltype(&cudnnBackendSetAttribute) set = nullptr;
    decltype(&cudnnBackendFinalize) finalize = nullptr;
    decltype(&cudnnBackendGetAttribute) get = nullptr;
    decltype(&cudnnGetLastErrorString) last_error = nullptr;
    cudnnBackendDescriptor_t on = nullptr; // the described device
    long plans = 0, runtime_compiled = 0;
};

[[noreturn]] void give_up(const char *what, const std::string &why)
{
    fprintf(stderr, "simcuda: shadow mode: %s: %s\n", what, why.c_str());
    exit(SIM_EXIT_MISUSE);
}

std::string reason(const library &real)
{
    char text[400] = "";
    real.last_error(text, sizeof text);
    return text;
}

std::string read_description(const char *setting)
{
    if (!strcmp(setting, "1")) {
        return ::sim_pose()->description;
    }
    std::string text;
    FILE *file = fopen(setting, "r");
    char piece[512];
    size_t got;
    while (file && (got = fread(piece, 1, sizeof piece, file)) > 0) {
        text.append(piece, got);
    }
    if (!file) {
        give_up(setting, "cannot be read");
    }
    fclose(file);
    return text;
}

template <class F> void bind(void *from, F *function, const char *name)
{
    *reinterpret_cast<void **>(function) = dlsym(from, name);
    if (!*function) {
        give_up(name, "not in libcudnn");
    }
}

void *open_library()
{
    const char *driver = getenv("SIM_NODEV");
    driver = driver ? driver : SIMCUDA_NODEV;
    if (strcmp(driver, "none") && !dlopen(driver, RTLD_NOW | RTLD_GLOBAL)) {
        give_up("the driver without a device", dlerror());
    }
    int flags = RTLD_NOW | RTLD_LOCAL;
#ifndef SIM_ASAN
    flags |= RTLD_DEEPBIND; // which AddressSanitizer does not bear
#endif
    void *opened = nullptr;
#ifdef SIMCUDA_CUDNN
    opened = dlopen(SIMCUDA_CUDNN, flags);
#endif
    opened = opened ? opened : dlopen("libcudnn.so.9", flags);
    if (!opened) {
        give_up("libcudnn", dlerror());
    }
    return opened;
}

// Of a set child a reference goes to the library; of anything else a copy does.
struct step {
    library &real;
    cudnnBackendDescriptor_t made = nullptr;
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;

    step(library &in, cudnnBackendDescriptorType_t type) : real(in)
    {
        status = real.create(type, &made);
    }
    ~step()
    {
        if (made) {
            real.destroy(made);
        }
    }
    step(const step &) = delete;
    step &operator=(const step &) = delete;
    step &set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
        const void *values)
    {
        status = status ? status : real.set(made, name, type, count, values);
        return *this;
    }
    step &child(cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t of)
    {
        return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &of);
    }
    cudnnStatus_t finalize()
    {
        return status = status ? status : real.finalize(made);
    }
};

std::vector<cudnnBackendDescriptor_t> ask(
    library &real, cudnnBackendDescriptor_t graph, cudnnBackendHeurMode_t mode)
{
    std::vector<cudnnBackendDescriptor_t> found;
    step heuristics(real, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristics.child(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
        .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode)
        .child(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, real.on);
    int64_t bound = 0, count = 0;
    if (heuristics.finalize() ||
        real.get(heuristics.made, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0,
            &bound, nullptr) ||
        bound <= 0) {
        return found;
    }
    found.resize(static_cast<size_t>(bound));
    for (cudnnBackendDescriptor_t &each : found) {
        real.create(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &each);
    }
    real.get(heuristics.made, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, bound,
        &count, found.data());
    for (int64_t i = count; i < bound; i++) {
        real.destroy(found[static_cast<size_t>(i)]);
    }
    found.resize(static_cast<size_t>(count));
    return found;
}

struct notes {
    std::vector<cudnnBackendNumericalNote_t> numerical;
    bool runtime_compiled = false;
};

notes notes_of(library &real, cudnnBackendDescriptor_t configuration)
{
    notes n;
    step engine(real, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    cudnnBackendNumericalNote_t numerical[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    cudnnBackendBehaviorNote_t behavior[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    int64_t count = 0;
    real.get(configuration, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count,
        &engine.made);
    count = 0;
    real.get(engine.made, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
        CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, numerical);
    n.numerical.assign(numerical, numerical + count);
    count = 0;
    real.get(engine.made, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
        CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, &count, behavior);
    for (int64_t i = 0; i < count; i++) {
        n.runtime_compiled = n.runtime_compiled ||
                             behavior[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
    }
    return n;
}

void set_tensor(step &t, int64_t uid)
{
    const int64_t dims[] = {8, 64, 8, 8}, strides[] = {4096, 1, 512, 64}, alignment = 16;
    const cudnnDataType_t half = CUDNN_DATA_HALF;
    t.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &half)
        .set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims)
        .set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides)
        .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid)
        .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment)
        .finalize();
}

// A lone ReLU has runtime-compiled engines and no others: none means that the library found no
// driver.
void look_for_runtime_compilation(library &real)
{
    const cudnnPointwiseMode_t relu = CUDNN_POINTWISE_RELU_FWD;
    const cudnnDataType_t single = CUDNN_DATA_FLOAT;
    step x(real, CUDNN_BACKEND_TENSOR_DESCRIPTOR), y(real, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    step function(real, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    step operation(real, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    step graph(real, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set_tensor(x, 1);
    set_tensor(y, 2);
    function.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &relu)
        .set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &single)
        .finalize();
    operation.child(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function.made)
        .child(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x.made)
        .child(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y.made)
        .finalize();
    graph.child(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation.made).finalize();
    bool seen = false;
    for (cudnnBackendDescriptor_t each : ask(real, graph.made, CUDNN_HEUR_MODE_A)) {
        seen = seen || notes_of(real, each).runtime_compiled;
        real.destroy(each);
    }
    if (!seen) {
        give_up("no runtime-compiled engine",
            "the library sees no driver, so that its verdicts are worth nothing (is nodev.c's "
            "library the one that was loaded, and libnvrtc there?) " +
                reason(real));
    }
}

library *open_real(const char *setting)
{
    library *real = new library;
    void *opened = open_library();
    bind(opened, &real->create, "cudnnBackendCreateDescriptor");
    bind(opened, &real->destroy, "cudnnBackendDestroyDescriptor");
    bind(opened, &real->set, "cudnnBackendSetAttribute");
    bind(opened, &real->finalize, "cudnnBackendFinalize");
    bind(opened, &real->get, "cudnnBackendGetAttribute");
    bind(opened, &real->last_error, "cudnnGetLastErrorString");
    std::string text = read_description(setting);
    if (real->create(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &real->on) ||
        real->set(real->on, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
            static_cast<int64_t>(text.size()), text.data()) ||
        real->finalize(real->on)) {
        give_up("the device's description", reason(*real));
    }
    look_for_runtime_compilation(*real);
    return real;
}

// Null when there is no shadow mode.
library *shadow()
{
    static const char *setting = getenv("SIM_SHADOW");
    static library *real = setting && *setting && strcmp(setting, "0") ? open_real(setting)
                                                                       : nullptr;
    return real;
}

void report()
{
    library *real = shadow();
    if (real && real->plans) {
        fprintf(stderr, "simcuda: %ld plans made by the real cuDNN too, %ld runtime-compiled\n",
            real->plans, real->runtime_compiled);
    }
}

bool is_mirrored(cudnnBackendDescriptorType_t type)
{
    switch (type) {
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR:
    case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR:
    case CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR:
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
    case CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR:
        return false;
    default:
        return true;
    }
}

cudnnStatus_t disagree(const library &real, cudnnStatus_t status, const char *what)
{
    return misuse(status, "the real cuDNN refuses %s: %s", what, reason(real).c_str());
}

bool is_no_laxer(const notes &n, const engine &chosen)
{
    for (cudnnBackendNumericalNote_t each : n.numerical) {
        if (each != CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP && !chosen.has(each)) {
            return false;
        }
    }
    return true;
}

std::string plan_json(library &real, cudnnBackendDescriptor_t plan)
{
    int64_t size = 0;
    std::string text;
    if (!real.get(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 0, &size,
            nullptr)) {
        text.resize(static_cast<size_t>(size));
        real.get(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, size, &size,
            &text[0]);
    }
    return text;
}

} // namespace

cudnnStatus_t shadow_create(object &o)
{
    library *real = shadow();
    if (!real || !is_mirrored(o.type)) {
        return CUDNN_STATUS_SUCCESS;
    }
    cudnnStatus_t status = real->create(o.type, &o.real);
    return status ? disagree(*real, status, "a descriptor") : status;
}

void shadow_destroy(object &o)
{
    if (o.real) {
        shadow()->destroy(o.real);
    }
}

cudnnStatus_t shadow_set(object &o, cudnnBackendAttributeName_t name, const attribute &value)
{
    library *real = shadow();
    if (!real || !o.real || value.type == CUDNN_TYPE_HANDLE) { // a handle's device is described
        return CUDNN_STATUS_SUCCESS;
    }
    std::vector<cudnnBackendDescriptor_t> children;
    for (const object_ptr &child : value.children) {
        children.push_back(child->real);
    }
    cudnnStatus_t status = real->set(o.real, name, value.type, value.count,
        children.empty() ? static_cast<const void *>(value.bytes.data()) : children.data());
    return status ? disagree(*real, status, "an attribute") : status;
}

cudnnStatus_t shadow_finalize(object &o)
{
    library *real = shadow();
    if (!real || !o.real) {
        return CUDNN_STATUS_SUCCESS;
    }
    cudnnStatus_t status = real->finalize(o.real);
    return status ? disagree(*real, status, "a descriptor when it is finalized") : status;
}

cudnnStatus_t shadow_heuristics(object &o)
{
    library *real = shadow();
    bool engine = o.type == CUDNN_BACKEND_ENGINE_DESCRIPTOR;
    object_ptr graph = o.child(
        engine ? CUDNN_ATTR_ENGINE_OPERATION_GRAPH : CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    if (!real || !o.as_device || (!engine && o.candidates.empty())) {
        return CUDNN_STATUS_SUCCESS;
    }
    auto *found = new std::vector<cudnnBackendDescriptor_t>;
    for (cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
        for (cudnnBackendDescriptor_t each : ask(*real, graph->real, mode)) {
            found->push_back(each);
        }
    }
    o.real_candidates = std::shared_ptr<const std::vector<void *>>(
        found, [real](const std::vector<void *> *all) {
            for (void *each : *all) {
                real->destroy(each);
            }
            delete all;
        });
    if (found->empty()) {
        return disagree(*real, CUDNN_STATUS_NOT_SUPPORTED, "the graph (it has no engine)");
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t shadow_plan(const object &configuration, const engine &chosen, std::string *verdict)
{
    static const bool reports = (atexit(report), true);
    library *real = shadow();
    if (!real || !reports) {
        return CUDNN_STATUS_SUCCESS;
    }
    std::string why = "none of its engines is as strict as the chosen one";
    for (cudnnBackendDescriptor_t each : *configuration.real_candidates) {
        notes n = notes_of(*real, each);
        if (!is_no_laxer(n, chosen)) {
            continue;
        }
        step plan(*real, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
        plan.child(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, each);
        if (plan.finalize() == CUDNN_STATUS_SUCCESS) {
            real->plans++;
            real->runtime_compiled += n.runtime_compiled;
            *verdict = plan_json(*real, plan.made);
            return CUDNN_STATUS_SUCCESS;
        }
        why = reason(*real);
    }
    return misuse(
        CUDNN_STATUS_NOT_SUPPORTED, "the real cuDNN makes no plan of it: %s", why.c_str());
}

cudnnStatus_t shadow_reload(const std::string &verdict)
{
    library *real = shadow();
    if (!real || verdict.empty()) {
        return CUDNN_STATUS_SUCCESS;
    }
    step plan(*real, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    plan.child(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, real->on)
        .set(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
            static_cast<int64_t>(verdict.size()), verdict.data());
    cudnnStatus_t status = plan.finalize();
    return status ? disagree(*real, status, "a plan that it saved") : status;
}

} // namespace simcudnn
