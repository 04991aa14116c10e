// Device and pinned memory: where it lies, who may touch it and when, copies and sets.
//
// Both kinds come from an address range of their own, reserved at the start and never used twice:
//
//     | guard page | guard bytes | the allocation | guard bytes | guard page |
//
// The allocation begins at a multiple of 256 bytes and ends as near to the guard page as that
// allows. Device memory is without access except while it is open.
#include "runtime.h"
#include "sanitizers.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sys/mman.h>
#include <unistd.h>

namespace
{

const size_t PAGE = 4096;
const size_t HUGE_PAGE = 2 << 20;
const unsigned char FRESH = 0xff;
const unsigned char GUARD = 0xa5;

struct allocation {
    char *pages; // between the guard pages
    size_t span;
    char *begin;
    size_t bytes;
    bool mapped = false;    // pinned memory that kernels may use
    bool releasing = false; // given to cudaFreeAsync, in use until that runs
};

struct range {
    const char *what;
    size_t reserved;
    char *base = nullptr;
    size_t used = 0;
    std::map<const char *, allocation> live; // by begin
    std::map<const char *, size_t> freed;

    range(const char *what_, size_t reserve) : what(what_), reserved(reserve)
    {
        base = static_cast<char *>(
            mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (base == MAP_FAILED) {
            fprintf(stderr, "simcuda: cannot reserve addresses for %s\n", what);
            exit(2);
        }
    }

    bool contains(const void *p) const
    {
        return p >= base && p < base + reserved;
    }

    // The live allocation at or before p.
    allocation *before(const void *p)
    {
        auto after = live.upper_bound(static_cast<const char *>(p));
        return after == live.begin() ? nullptr : &std::prev(after)->second;
    }

    bool covers(const void *p, size_t bytes)
    {
        const allocation *a = before(p);
        auto from = static_cast<const char *>(p);
        return a && (!a->releasing || sim_is_running()) && from <= a->begin + a->bytes &&
               bytes <= static_cast<size_t>(a->begin + a->bytes - from);
    }
};

struct memory {
    range device{"device memory", 256ull << 30};
    range pinned{"pinned memory", 64ull << 30};
    int open = 0;
    size_t in_use = 0, peak = 0;
};

memory &state()
{
    static memory *the = new memory;
    return *the;
}

void protect(const allocation &a, int access)
{
    if (mprotect(a.pages, a.span, access)) {
        fprintf(stderr, "simcuda: mprotect of %zu bytes: %s\n", a.span, strerror(errno));
        abort();
    }
}

void hide_guards(const allocation &a)
{
#ifdef SIM_ASAN
    __asan_poison_memory_region(a.pages, a.span);
    __asan_unpoison_memory_region(a.begin, a.bytes);
#endif
    (void)a;
}

// Host code that touches device memory crashes, as it would with a device; first this says why.
void on_fault(int signal_number, siginfo_t *info, void *)
{
    if (state().device.contains(info->si_addr)) {
        fprintf(stderr, "simcuda: MISUSE: the host touches device memory at %p: %s\n",
            info->si_addr, sim_describe(info->si_addr).c_str());
    }
    signal(signal_number, SIG_DFL); // and the access that is now repeated ends the process
}

// Unless someone else has a handler.
void explain_faults()
{
    struct sigaction now;
    if (sigaction(SIGSEGV, nullptr, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
        now.sa_handler == SIG_DFL) {
        struct sigaction action = {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO;
        sigaction(SIGSEGV, &action, nullptr);
    }
}

// Null if the range's addresses are used up.
allocation *allocate(range &r, size_t bytes)
{
    size_t rounded = (bytes + 255) / 256 * 256;
    size_t span = (rounded + PAGE - 1) / PAGE * PAGE;
    size_t start = r.used + PAGE;
    if (span >= HUGE_PAGE) { // protecting such pages is quicker
        start = (start + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    }
    if (start + span + PAGE > r.reserved) {
        return nullptr;
    }
    r.used = start + span;
    allocation a;
    a.pages = r.base + start;
    a.span = span;
    a.begin = a.pages + span - rounded;
    a.bytes = bytes;
    protect(a, PROT_READ | PROT_WRITE);
    if (span >= HUGE_PAGE) {
        madvise(a.pages, span, MADV_HUGEPAGE); // only for speed
    }
    sim_fill_raw(a.pages, GUARD, static_cast<size_t>(a.begin - a.pages));
    sim_fill_raw(a.begin, FRESH, bytes);
    sim_fill_raw(a.begin + bytes, GUARD, rounded - bytes);
    hide_guards(a);
    return &(r.live[a.begin] = a);
}

// Not instrumented: the guard bytes are poisoned for everyone else.
__attribute__((no_sanitize("address"))) long changed_guard(const allocation &a)
{
    const char *end = a.pages + a.span;
    for (const char *p = a.begin + a.bytes; p < end; p++) {
        if (static_cast<unsigned char>(*p) != GUARD) {
            return p - a.begin;
        }
    }
    for (const char *p = a.begin - 1; p >= a.pages; p--) {
        if (static_cast<unsigned char>(*p) != GUARD) {
            return p - a.begin;
        }
    }
    return 0;
}

void check_guard(const range &r, const allocation &a)
{
    if (long at = changed_guard(a)) {
        sim_fail(
            "%s was written outside an allocation of %zu bytes, at byte %ld", r.what, a.bytes, at);
        sim_fill_raw(a.pages, GUARD, static_cast<size_t>(a.begin - a.pages));
        sim_fill_raw(
            a.begin + a.bytes, GUARD, static_cast<size_t>(a.pages + a.span - a.begin) - a.bytes);
    }
}

// The addresses stay reserved, without access, for ever.
void release(range &r, const char *begin)
{
    allocation a = r.live[begin];
    protect(a, PROT_READ | PROT_WRITE);
    check_guard(r, a);
#ifdef SIM_ASAN
    __asan_poison_memory_region(a.pages, a.span);
#endif
    protect(a, PROT_NONE);
    madvise(a.pages, a.span, MADV_DONTNEED);
    r.live.erase(begin);
    r.freed[begin] = a.bytes;
}

std::string describe_in(range &r, const void *p)
{
    auto at = static_cast<const char *>(p);
    char text[160];
    const allocation *a = r.before(p);
    if (a && at < a->begin + a->bytes) {
        snprintf(text, sizeof text, "byte %td of an allocation of %zu bytes of %s%s", at - a->begin,
            a->bytes, r.what, a->releasing ? ", given to cudaFreeAsync" : "");
        return text;
    }
    auto after = r.freed.upper_bound(at);
    if (after != r.freed.begin() && at < std::prev(after)->first + std::prev(after)->second) {
        snprintf(
            text, sizeof text, "%s of %zu bytes that was freed", r.what, std::prev(after)->second);
        return text;
    }
    if (a) {
        snprintf(text, sizeof text, "%td bytes past the end of an allocation of %zu bytes of %s",
            at - (a->begin + a->bytes), a->bytes, r.what);
        return text;
    }
    return std::string("no allocation in the range of ") + r.what;
}

bool is_mapped_by_host(uintptr_t address)
{
    unsigned char resident;
    return mincore(reinterpret_cast<void *>(address / PAGE * PAGE), PAGE, &resident) == 0;
}

size_t host_memory()
{
    return static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * PAGE;
}

cudaError_t allocate_device(void **p, size_t bytes)
{
    *p = nullptr;
    int code;
    if (sim_is_injected("allocation", &code)) {
        return static_cast<cudaError_t>(code);
    }
    if (bytes == 0) {
        return cudaSuccess;
    }
    memory &m = state();
    if (bytes > sim_memory_total() - m.in_use) {
        return cudaErrorMemoryAllocation;
    }
    if (m.in_use + bytes > host_memory() / 2) {
        sim_fail("%zu bytes of device memory are more than this machine can simulate (SIM_MEMORY "
                 "sets less)",
            m.in_use + bytes);
        return cudaErrorMemoryAllocation;
    }
    allocation *a = allocate(m.device, bytes);
    if (!a) {
        return cudaErrorMemoryAllocation;
    }
    if (!m.open) {
        protect(*a, PROT_NONE);
    }
    explain_faults();
    m.in_use += bytes;
    m.peak = std::max(m.peak, m.in_use);
    sim_track("device memory", a->begin);
    *p = a->begin;
    return cudaSuccess;
}

void release_device(const char *begin)
{
    memory &m = state();
    m.in_use -= m.device.live[begin].bytes;
    release(m.device, begin);
    sim_untrack("device memory", begin);
}

// The live device allocation that begins at p; a misuse if there is none.
allocation *allocation_at(range &r, void *p)
{
    auto found = r.live.find(static_cast<char *>(p));
    if (found == r.live.end() || found->second.releasing) {
        sim_fail(
            "%p is not the beginning of live %s: it is %s", p, r.what, sim_describe(p).c_str());
        return nullptr;
    }
    return &found->second;
}

cudaError_t allocate_pinned(void **p, size_t bytes, unsigned flags)
{
    *p = nullptr;
    int code;
    if (sim_is_injected("allocation", &code)) {
        return static_cast<cudaError_t>(code);
    }
    if (bytes == 0) {
        return cudaSuccess;
    }
    allocation *a = allocate(state().pinned, bytes);
    if (!a) {
        return cudaErrorMemoryAllocation;
    }
    a->mapped = flags & cudaHostAllocMapped;
    sim_track("pinned memory", a->begin);
    *p = a->begin;
    return cudaSuccess;
}

// ---- copies ----

struct sides {
    bool to_device, from_device;
};

// What the pointers are, against what the caller says they are.
cudaError_t find_sides(void *to, const void *from, cudaMemcpyKind kind, sides *s)
{
    s->to_device = sim_in_device_range(to);
    s->from_device = sim_in_device_range(from);
    if (kind == cudaMemcpyDefault) {
        return cudaSuccess;
    }
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (to_device != s->to_device || from_device != s->from_device) {
        return cudaErrorInvalidMemcpyDirection;
    }
    return cudaSuccess;
}

} // namespace

void sim_open_memory()
{
    if (state().open++ == 0) {
        for (const auto &a : state().device.live) {
            protect(a.second, PROT_READ | PROT_WRITE);
        }
    }
}

void sim_close_memory()
{
    if (--state().open == 0) {
        for (const auto &a : state().device.live) {
            protect(a.second, PROT_NONE);
        }
    }
}

int sim_suspend_memory()
{
    int opened = state().open;
    if (opened) {
        state().open = 1;
        sim_close_memory();
    }
    return opened;
}

void sim_resume_memory(int opened)
{
    if (opened) {
        sim_open_memory();
        state().open = opened;
    }
}

bool sim_is_device(const void *p, size_t bytes)
{
    return state().device.covers(p, bytes);
}

bool sim_is_pinned(const void *p, size_t bytes)
{
    return state().pinned.covers(p, bytes);
}

bool sim_in_device_range(const void *p)
{
    return state().device.contains(p);
}

std::string sim_describe(const void *p)
{
    memory &m = state();
    if (!p) {
        return "null";
    }
    if (m.device.contains(p)) {
        return describe_in(m.device, p);
    }
    if (m.pinned.contains(p)) {
        return describe_in(m.pinned, p);
    }
    bool mapped = is_mapped_by_host(reinterpret_cast<uintptr_t>(p));
    return mapped ? "pageable host memory" : "an address where nothing is";
}

bool sim_is_kernel_pointer(const void *p, std::string *why)
{
    memory &m = state();
    if (!p || sim_is_device(p, 1)) {
        return true;
    }
    const allocation *a = m.pinned.covers(p, 1) ? m.pinned.before(p) : nullptr;
    if (a && a->mapped) {
        return true;
    }
    *why = sim_describe(p);
    return false;
}

bool sim_is_bad_pointer(uintptr_t word, std::string *why)
{
    auto p = reinterpret_cast<const void *>(word);
    // A number, or two: processes allocate nothing there, but sanitizers have their shadow memory.
    if (word >> 44 < 5 || word >> 47) {
        return false;
    }
    if (sim_is_device(p, 0)) {
        return false; // the end of an allocation, too
    }
    bool known = state().device.contains(p) || state().pinned.contains(p);
    return (known || is_mapped_by_host(word)) && !sim_is_kernel_pointer(p, why);
}

void sim_check_guards()
{
    sim_open_memory();
    for (const auto &a : state().device.live) {
        check_guard(state().device, a.second);
    }
    for (const auto &a : state().pinned.live) {
        check_guard(state().pinned, a.second);
    }
    sim_close_memory();
}

size_t sim_memory_in_use()
{
    return state().in_use;
}

size_t sim_memory_peak()
{
    return state().peak;
}

void sim_reset_memory()
{
    memory &m = state();
    for (range *r : {&m.device, &m.pinned}) {
        while (!r->live.empty()) {
            release(*r, r->live.begin()->first);
        }
    }
    m.in_use = m.peak = 0;
}

extern "C" {

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    SIM_ENTER("cudaMalloc");
    SIM_NOT_IN_CAPTURE(false);
    return sim_return(allocate_device(p, bytes));
}

cudaError_t cudaFree(void *p)
{
    SIM_ENTER("cudaFree");
    SIM_NOT_IN_CAPTURE(false);
    if (!p) {
        return cudaSuccess;
    }
    if (!allocation_at(state().device, p)) {
        return sim_return(cudaErrorInvalidValue);
    }
    sim_run_until(sim_is_idle); // as the library does; work in flight may use it
    release_device(static_cast<char *>(p));
    return sim_return(sim_context());
}

cudaError_t cudaMallocAsync(void **p, size_t bytes, cudaStream_t stream)
{
    SIM_ENTER("cudaMallocAsync");
    if (sim_is_capturing(stream)) {
        sim_fail("memory nodes of captured graphs are not simulated");
        return sim_return(cudaErrorStreamCaptureUnsupported);
    }
    if (cudaError_t error = sim_may_enqueue(stream)) {
        return sim_return(error);
    }
    cudaError_t error = allocate_device(p, bytes);
    if (error || !*p) {
        return sim_return(error);
    }
    // Until the stream gets there the memory holds nothing: what came too early is overwritten.
    void *begin = *p;
    sim_enqueue(
        stream,
        [=] {
            if (sim_is_device(begin, bytes)) {
                sim_fill_raw(begin, FRESH, bytes);
            } else {
                sim_fail("memory of %zu bytes was freed before its allocation came", bytes);
            }
        },
        "cudaMallocAsync", 0);
    return cudaSuccess;
}

cudaError_t cudaFreeAsync(void *p, cudaStream_t stream)
{
    SIM_ENTER("cudaFreeAsync");
    if (sim_is_capturing(stream)) {
        sim_fail("memory nodes of captured graphs are not simulated");
        return sim_return(cudaErrorStreamCaptureUnsupported);
    }
    if (cudaError_t error = sim_may_enqueue(stream)) {
        return sim_return(error);
    }
    if (!p) {
        return cudaSuccess;
    }
    allocation *a = allocation_at(state().device, p);
    if (!a) {
        return sim_return(cudaErrorInvalidValue);
    }
    a->releasing = true;
    sim_enqueue(
        stream, [=] { release_device(static_cast<char *>(p)); }, "cudaFreeAsync", 0);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    SIM_ENTER("cudaMemGetInfo");
    *total = sim_memory_total();
    *available = *total - state().in_use;
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags)
{
    SIM_ENTER("cudaHostAlloc");
    SIM_NOT_IN_CAPTURE(false);
    return sim_return(allocate_pinned(p, bytes, flags));
}

cudaError_t cudaMallocHost(void **p, size_t bytes)
{
    SIM_ENTER("cudaMallocHost");
    SIM_NOT_IN_CAPTURE(false);
    return sim_return(allocate_pinned(p, bytes, 0));
}

cudaError_t cudaFreeHost(void *p)
{
    SIM_ENTER("cudaFreeHost");
    SIM_NOT_IN_CAPTURE(false);
    if (!p) {
        return cudaSuccess;
    }
    if (!allocation_at(state().pinned, p)) {
        return sim_return(cudaErrorInvalidValue);
    }
    sim_run_until(sim_is_idle);
    release(state().pinned, static_cast<char *>(p));
    sim_untrack("pinned memory", p);
    return sim_return(sim_context());
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *p)
{
    SIM_ENTER("cudaPointerGetAttributes");
    cudaPointerAttributes a = {};
    a.device = -2; // of memory that CUDA doesn't know
    if (sim_is_device(p, 1)) {
        a.type = cudaMemoryTypeDevice;
        a.device = 0;
        a.devicePointer = const_cast<void *>(p);
    } else if (sim_is_pinned(p, 1)) {
        a.type = cudaMemoryTypeHost;
        a.device = 0;
        a.devicePointer = a.hostPointer = const_cast<void *>(p);
    } else {
        a.type = cudaMemoryTypeUnregistered;
        a.hostPointer = const_cast<void *>(p);
    }
    *attributes = a;
    return cudaSuccess;
}

} // extern "C"

namespace
{

cudaError_t check_ends(void *to, const void *from, size_t bytes, sides s, bool asynchronous)
{
    struct {
        const void *p;
        bool device;
    } ends[] = {{to, s.to_device}, {from, s.from_device}};
    for (const auto &end : ends) {
        if (end.device && !sim_is_device(end.p, bytes)) {
            sim_fail("%zu bytes at %p are not inside one live allocation: it is %s", bytes, end.p,
                sim_describe(end.p).c_str());
            return cudaErrorInvalidValue;
        }
        if (!end.device && state().pinned.contains(end.p) && !sim_is_pinned(end.p, bytes)) {
            sim_fail(
                "%zu bytes at %p are not inside one live allocation of pinned memory: it is %s",
                bytes, end.p, sim_describe(end.p).c_str());
            return cudaErrorInvalidValue;
        }
        if (!end.device && asynchronous && !sim_is_pinned(end.p, bytes)) {
            sim_fail("an asynchronous copy of %zu bytes of %s", bytes, sim_describe(end.p).c_str());
            return cudaErrorInvalidValue;
        }
    }
    return cudaSuccess;
}

cudaError_t check_copy(
    void *to, const void *from, size_t bytes, cudaMemcpyKind kind, bool asynchronous, sides *s)
{
    if (find_sides(to, from, kind, s)) {
        sim_fail("the kind %d contradicts the pointers: from %s to %s", static_cast<int>(kind),
            sim_describe(from).c_str(), sim_describe(to).c_str());
        return cudaErrorInvalidMemcpyDirection;
    }
    return check_ends(to, from, bytes, *s, asynchronous);
}

double copy_costs(size_t bytes)
{
    return 5.0 + static_cast<double>(bytes) / 25e3; // 25 GB/s
}

// Checked again when it runs, for a graph is replayed long after its capture.
void enqueue_copy(cudaStream_t stream, void *to, const void *from, size_t bytes, sides s)
{
    sim_enqueue(
        stream,
        [=] {
            if (check_ends(to, from, bytes, s, true) == cudaSuccess) {
                memmove(to, from, bytes);
            } else {
                sim_lose_context(cudaErrorIllegalAddress);
            }
        },
        "copy", copy_costs(bytes));
}

} // namespace

extern "C" {

cudaError_t cudaMemcpyAsync(
    void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream)
{
    SIM_ENTER("cudaMemcpyAsync");
    if (cudaError_t error = sim_may_enqueue(stream)) {
        return sim_return(error);
    }
    sides s;
    if (bytes == 0) {
        return cudaSuccess;
    }
    if (cudaError_t error = check_copy(to, from, bytes, kind, true, &s)) {
        return sim_return(error);
    }
    enqueue_copy(stream, to, from, bytes, s);
    return cudaSuccess;
}

// On the default stream, which other streams created as non-blocking neither wait for nor are
// waited for. It returns when the host's memory has been read or written; of pageable memory it
// first makes a copy, so then the device's may be written later; within the device it doesn't wait
// at all.
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    SIM_ENTER("cudaMemcpy");
    SIM_NOT_IN_CAPTURE(true);
    sides s;
    if (bytes == 0) {
        return cudaSuccess;
    }
    if (cudaError_t error = check_copy(to, from, bytes, kind, false, &s)) {
        return sim_return(error);
    }
    if (s.to_device && s.from_device) {
        enqueue_copy(cudaStreamLegacy, to, from, bytes, s);
        return cudaSuccess;
    }
    if (s.to_device && !sim_is_pinned(from, bytes)) {
        std::vector<char> staged(
            static_cast<const char *>(from), static_cast<const char *>(from) + bytes);
        sim_enqueue(
            cudaStreamLegacy, [=] { memcpy(to, staged.data(), bytes); }, "copy", copy_costs(bytes));
        return sim_return(sim_context());
    }
    bool done = false;
    sim_enqueue(
        cudaStreamLegacy,
        [=, &done] {
            memmove(to, from, bytes);
            done = true;
        },
        "copy", copy_costs(bytes));
    sim_run_until([&done] { return done; });
    return sim_return(sim_context());
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream)
{
    SIM_ENTER("cudaMemsetAsync");
    if (cudaError_t error = sim_may_enqueue(stream)) {
        return sim_return(error);
    }
    if (bytes == 0) {
        return cudaSuccess;
    }
    if (!sim_is_device(p, bytes)) {
        sim_fail("%zu bytes at %p are not inside one live allocation: it is %s", bytes, p,
            sim_describe(p).c_str());
        return sim_return(cudaErrorInvalidValue);
    }
    sim_enqueue(
        stream,
        [=] {
            if (sim_is_device(p, bytes)) {
                memset(p, value, bytes);
            } else {
                sim_fail("a set of %zu bytes of %s", bytes, sim_describe(p).c_str());
                sim_lose_context(cudaErrorIllegalAddress);
            }
        },
        "set", 2.0 + static_cast<double>(bytes) / 2e6);
    return cudaSuccess;
}

cudaError_t cudaMemset(void *p, int value, size_t bytes)
{
    SIM_ENTER("cudaMemset");
    SIM_NOT_IN_CAPTURE(true);
    return cudaMemsetAsync(p, value, bytes, cudaStreamLegacy);
}

} // extern "C"
