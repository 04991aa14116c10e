// Misuses, leaks, counts of calls, orders to fail, and chance: what every part of the simulated
// device reports to, and what a test asks for.
#include "runtime.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <unistd.h>
#include <utility>

namespace
{

struct injection {
    std::string function;
    long left;
    int code;
};

struct reports {
    std::recursive_mutex lock;
    int depth = 0; // of calls within calls
    std::string call;
    std::map<std::string, long> calls;
    std::vector<injection> injections;

    int failures = 0;
    std::string last_failure;
    std::set<std::string> printed;

    std::map<std::pair<std::string, const void *>, std::string>
        objects; // and the call that made it

    uint64_t random = 0;
    unsigned eagerness = 0;
    bool trace = false;
};

// Never destroyed: the handler of the process's end uses it.
reports &state()
{
    static reports *the = new reports;
    return *the;
}

using guard = std::lock_guard<std::recursive_mutex>;

// A splitmix64 generator: any seed does.
uint64_t next_random(uint64_t &state)
{
    state += 0x9E3779B97F4A7C15u;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

// Misuses and leaks that no test took make a process that seemed to end well end badly. Once a
// context is lost nothing can be given back, so what is left then is no leak.
void at_exit(int status, void *)
{
    int leaks = status == 0 && sim_context() == cudaSuccess ? sim_report_leaks() : 0;
    int failures = sim_failures();
    if (failures) {
        fprintf(stderr, "simcuda: %d misuse%s\n", failures, failures == 1 ? "" : "s");
    }
    if (status == 0 && (failures || leaks)) {
        fflush(nullptr);
        _exit(SIM_EXIT_MISUSE);
    }
}

__attribute__((constructor)) void at_start()
{
    on_exit(at_exit, nullptr);
    sim_read_environment();
}

} // namespace

sim_call::sim_call(const char *function)
{
    reports &r = state();
    r.lock.lock();
    if (r.depth++) {
        return;
    }
    outermost = true;
    r.call = function;
    if (r.trace) {
        fprintf(stderr, "simcuda: %s\n", function);
    }
    r.calls[function]++;
    r.calls["*"]++;
    injected = sim_is_injected(function, &code) || sim_is_injected("*", &code);
}

sim_call::~sim_call()
{
    reports &r = state();
    if (outermost) {
        sim_run_ahead();
        r.call.clear();
    }
    r.depth--;
    r.lock.unlock();
}

void sim_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = nullptr;
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);

    reports &r = state();
    guard held(r.lock);
    r.last_failure = (r.call.empty() ? "" : r.call + ": ") + (length < 0 ? "misuse" : text);
    free(text);
    r.failures++;
    if (r.printed.insert(r.last_failure).second) {
        fprintf(stderr, "simcuda: MISUSE: %s\n", r.last_failure.c_str());
    }
}

std::string sim_current_call()
{
    return state().call;
}

bool sim_is_injected(const char *event, int *code)
{
    std::vector<injection> &list = state().injections;
    bool found = false;
    for (size_t i = 0; i < list.size();) {
        if (list[i].function == event && --list[i].left == 0) {
            *code = list[i].code;
            found = true;
            list.erase(list.begin() + static_cast<long>(i));
        } else {
            i++;
        }
    }
    return found;
}

void sim_track(const char *kind, const void *object)
{
    reports &r = state();
    guard held(r.lock);
    r.objects[{kind, object}] = r.call;
}

bool sim_untrack(const char *kind, const void *object)
{
    reports &r = state();
    guard held(r.lock);
    return r.objects.erase({kind, object}) == 1;
}

bool sim_is_tracked(const char *kind, const void *object)
{
    reports &r = state();
    guard held(r.lock);
    return r.objects.count({kind, object}) == 1;
}

uint64_t sim_random()
{
    return next_random(state().random);
}

uint32_t sim_random_below(uint32_t n)
{
    return static_cast<uint32_t>(((sim_random() >> 32) * n) >> 32);
}

unsigned sim_eagerness()
{
    return state().eagerness;
}

void sim_inject_from(const char *list)
{
    std::string rest = list;
    while (!rest.empty()) {
        size_t comma = rest.find(',');
        std::string item = rest.substr(0, comma);
        rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
        char function[64];
        long nth;
        int code;
        if (sscanf(item.c_str(), "%63[^:]:%ld:%d", function, &nth, &code) != 3) {
            fprintf(stderr, "simcuda: SIM_INJECT: '%s' is not function:nth:code\n", item.c_str());
            exit(2);
        }
        sim_inject(function, nth, code);
    }
}

void sim_read_environment()
{
    const char *seed = getenv("SIM_SEED");
    sim_seed(seed ? strtoull(seed, nullptr, 0) : 1);
    state().trace = getenv("SIM_TRACE") != nullptr;

    const char *device = getenv("SIM_DEVICE");
    if (!sim_pose_as(device ? device : "h100")) {
        fprintf(
            stderr, "simcuda: SIM_DEVICE=%s: it poses as h100, a100, t4, v100 or none\n", device);
        exit(2);
    }
    const char *driver = getenv("SIM_DRIVER");
    sim_set_driver(driver ? atoi(driver) : CUDART_VERSION);
    const char *memory = getenv("SIM_MEMORY");
    sim_set_memory(memory ? strtoull(memory, nullptr, 0) << 20 : 0);
    const char *injections = getenv("SIM_INJECT");
    if (injections) {
        sim_inject_from(injections);
    }
}

// ---- for tests ----

void sim_seed(uint64_t seed)
{
    reports &r = state();
    guard held(r.lock);
    r.random = seed * 0xD1342543DE82EF95u + 1;
    // Half of the seeds run work only when waited for, the others also now and then, or often.
    const unsigned eagerness[] = {0, 0, 64, 512};
    r.eagerness = eagerness[next_random(r.random) % 4];
}

void sim_inject(const char *function, long nth, int code)
{
    reports &r = state();
    guard held(r.lock);
    r.injections.push_back({function, nth, code});
}

void sim_clear_injections()
{
    guard held(state().lock);
    state().injections.clear();
}

long sim_calls(const char *function)
{
    guard held(state().lock);
    auto found = state().calls.find(function);
    return found == state().calls.end() ? 0 : found->second;
}

int sim_failures()
{
    guard held(state().lock);
    return state().failures;
}

int sim_take_failures()
{
    guard held(state().lock);
    state().printed.clear();
    return std::exchange(state().failures, 0);
}

const char *sim_last_failure()
{
    return state().last_failure.c_str();
}

int sim_live()
{
    guard held(state().lock);
    return static_cast<int>(state().objects.size());
}

int sim_report_leaks()
{
    guard held(state().lock);
    for (const auto &object : state().objects) {
        fprintf(stderr, "simcuda: LEAK: %s %p, made by %s\n", object.first.first.c_str(),
            object.first.second, object.second.c_str());
    }
    return sim_live();
}

bool sim_is_here()
{
    return true;
}

void sim_reset()
{
    reports &r = state();
    guard held(r.lock);
    sim_reset_streams();
    sim_reset_memory();
    sim_reset_launches();
    sim_reset_nvml();
    sim_reset_device();
    r.objects.clear();
    r.calls.clear();
    r.injections.clear();
    r.printed.clear();
    r.failures = 0;
    r.last_failure.clear();
    sim_read_environment();
}
