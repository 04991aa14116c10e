// Launching a kernel: what a configuration and arguments must be, and the queries about functions.
#include "runtime.h"
#include "shim.h"

#include <cstdio>
#include <map>

namespace
{

struct launches {
    std::map<const void *, size_t> dynamic_shared; // as cudaFuncSetAttribute allowed
};

launches &state()
{
    static launches *the = new launches;
    return *the;
}

const unsigned MAX_THREADS = 1024;

size_t shared_limit(const void *function)
{
    auto allowed = state().dynamic_shared.find(function);
    return allowed == state().dynamic_shared.end() ? sim_pose()->shared_per_block : allowed->second;
}

cudaError_t check_configuration(const cudaLaunchConfig_t &c, const void *function)
{
    const dim3 &g = c.gridDim, &b = c.blockDim;
    size_t threads = static_cast<size_t>(b.x) * b.y * b.z;
    if (threads == 0 || threads > MAX_THREADS || b.z > 64) {
        sim_fail("a block of %u x %u x %u threads", b.x, b.y, b.z);
        return cudaErrorInvalidConfiguration;
    }
    if (!g.x || !g.y || !g.z || g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535) {
        sim_fail("a grid of %u x %u x %u blocks", g.x, g.y, g.z);
        return cudaErrorInvalidConfiguration;
    }
    if (c.dynamicSmemBytes > shared_limit(function)) {
        sim_fail("%zu bytes of dynamic shared memory; the kernel may have %zu", c.dynamicSmemBytes,
            shared_limit(function));
        return cudaErrorInvalidValue;
    }
    if (c.numAttrs) {
        sim_fail("launch attributes are not simulated");
        return cudaErrorNotSupported;
    }
    return cudaSuccess;
}

// A pointer among the arguments, or eight bytes of a struct that may be one.
struct word {
    uintptr_t value;
    int argument;
    size_t at; // byte of the struct
    bool is_pointer;
};

std::vector<word> find_words(const sim_argument *arguments, int count)
{
    std::vector<word> words;
    for (int i = 0; i < count; i++) {
        auto bytes = static_cast<const char *>(arguments[i].value);
        for (size_t at = 0; at + sizeof(uintptr_t) <= arguments[i].bytes; at += sizeof(uintptr_t)) {
            word w = {0, i, at, arguments[i].is_pointer};
            memcpy(&w.value, bytes + at, sizeof w.value);
            if (w.value) {
                words.push_back(w);
            }
        }
    }
    return words;
}

bool are_good(const std::vector<word> &words)
{
    bool good = true;
    for (const word &w : words) {
        std::string why;
        auto p = reinterpret_cast<const void *>(w.value);
        if (w.is_pointer && !sim_is_kernel_pointer(p, &why)) {
            sim_fail(
                "argument %d is no pointer to device memory: it is %s", w.argument, why.c_str());
            good = false;
        } else if (!w.is_pointer && sim_is_bad_pointer(w.value, &why)) {
            sim_fail(
                "argument %d, at byte %zu of the struct, is no pointer to device memory: it is %s",
                w.argument, w.at, why.c_str());
            good = false;
        }
    }
    return good;
}

double kernel_costs(const cudaLaunchConfig_t &c)
{
    double threads = static_cast<double>(c.gridDim.x) * c.gridDim.y * c.gridDim.z * c.blockDim.x *
                     c.blockDim.y * c.blockDim.z;
    return 2.0 + threads / (sim_pose()->multiprocessors * sim_pose()->threads_per_multiprocessor);
}

void run(const sim_grid &grid, const std::vector<word> &words, const std::function<void()> &thread)
{
    int code;
    if (sim_is_injected("kernel", &code)) {
        sim_lose_context(static_cast<cudaError_t>(code));
        return;
    }
    if (!are_good(words)) { // of a graph captured long ago: they may have been freed since
        sim_lose_context(cudaErrorIllegalAddress);
        return;
    }
    if (cudaError_t error = sim_run_grid(grid, thread)) {
        sim_lose_context(error);
    }
}

} // namespace

cudaError_t sim_launch(const sim_site &site, const cudaLaunchConfig_t *config, const void *function,
    const sim_argument *arguments, int count, std::function<void()> thread)
{
    SIM_ENTER("cudaLaunchKernelEx");
    std::string name = std::string("kernel (") + site.text + ") of " + site.file + ":" +
                       std::to_string(site.line);
    if (cudaError_t error = sim_may_enqueue(config->stream)) {
        return sim_return(error);
    }
    if (cudaError_t error = check_configuration(*config, function)) {
        return sim_return(error);
    }
    std::vector<word> words = find_words(arguments, count);
    if (!are_good(words)) {
        return sim_return(cudaErrorInvalidValue);
    }
    sim_grid grid = {config->gridDim, config->blockDim, config->dynamicSmemBytes, nullptr};
    sim_enqueue(
        config->stream,
        [=] {
            sim_grid named = grid;
            named.name = name.c_str();
            run(named, words, thread);
        },
        "kernel", kernel_costs(*config));
    return cudaSuccess;
}

void sim_reset_launches()
{
    state().dynamic_shared.clear();
}

extern "C" {

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value)
{
    SIM_ENTER("cudaFuncSetAttribute");
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) {
        return cudaSuccess; // a hint
    }
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        static_cast<size_t>(value) > sim_pose()->shared_per_block_optin) {
        sim_fail("attribute %d, value %d", static_cast<int>(attribute), value);
        return sim_return(cudaErrorInvalidValue);
    }
    state().dynamic_shared[function] = static_cast<size_t>(value);
    return cudaSuccess;
}

// Registers, local and static shared memory are the compiler's to say: zero here.
cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *function)
{
    SIM_ENTER("cudaFuncGetAttributes");
    if (!function) {
        return sim_return(cudaErrorInvalidDeviceFunction);
    }
    cudaFuncAttributes a = {};
    a.maxThreadsPerBlock = static_cast<int>(MAX_THREADS);
    a.maxDynamicSharedSizeBytes = static_cast<int>(shared_limit(function));
    a.binaryVersion = a.ptxVersion = sim_pose()->major * 10 + sim_pose()->minor;
    *attributes = a;
    return cudaSuccess;
}

// By threads and dynamic shared memory alone.
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    int *blocks, const void *function, int threads, size_t dynamic_shared, unsigned)
{
    SIM_ENTER("cudaOccupancyMaxActiveBlocksPerMultiprocessor");
    if (!function || threads < 1) {
        return sim_return(cudaErrorInvalidValue);
    }
    const struct sim_pose &p = *sim_pose();
    if (threads > static_cast<int>(MAX_THREADS) || dynamic_shared > shared_limit(function)) {
        *blocks = 0;
        return cudaSuccess;
    }
    int by_threads = p.threads_per_multiprocessor / ((threads + 31) / 32 * 32);
    size_t each = dynamic_shared + p.shared_reserved;
    size_t all = p.shared_per_block_optin + p.shared_reserved;
    int by_shared = each ? static_cast<int>(all / each) : by_threads;
    *blocks = std::min({by_threads, by_shared, p.blocks_per_multiprocessor});
    return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(
    int *blocks, const void *function, int threads, size_t dynamic_shared)
{
    return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        blocks, function, threads, dynamic_shared, 0);
}

} // extern "C"
