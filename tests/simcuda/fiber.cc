// Running the threads of a block: each is a fiber, a stack of its own on which the kernel's
// function runs until it returns or waits. Which one runs next is drawn from the seed; fibers
// change only at barriers and warp operations, so races between them are for ThreadSanitizer to
// find.
#include "runtime.h"
#include "sanitizers.h"
#include "shim.h"

#include <algorithm>
#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

#ifndef __x86_64__
#error "the switch between fibers is written for x86-64"
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace
{

const int MAX_THREADS = 1024;
const int LANES = 32;
const int MAX_WARPS = MAX_THREADS / LANES;
const size_t PAGE = 4096;
const size_t STACK = 256 << 10; // its lowest page is a guard
const size_t MAX_DYNAMIC = 228 << 10;

enum thread_state {
    NOT_STARTED,
    READY,
    AT_BARRIER,
    IN_WARP,
    EXITED
};

struct fiber {
    void *stack_pointer;
    char *stack;
    thread_state state;
    int index;
    const void *place; // of the barrier where it waits
    int predicate;     // what it brought there, and what it takes away
    uint64_t shuffled; // what a warp operation gave it
    void *tsan, *asan; // what the sanitizers know it as
};

// A warp operation for which not all lanes of its mask have come yet.
struct gathering {
    unsigned mask, arrived;
    sim_warp_kind kind;
    uint64_t values[LANES];
    int lanes[LANES];
    char *tag;
};

struct warp {
    gathering gatherings[LANES]; // masks of one warp's are disjoint
    int count;
    unsigned generation;
};

struct scheduler {
    fiber fibers[MAX_THREADS];
    warp warps[MAX_WARPS];
    int runnable[MAX_THREADS]; // threads not started or ready, in no order
    int runnable_count;
    char *free_stacks[MAX_THREADS];
    int free_count;
    char *stacks = nullptr;
    char *dynamic = nullptr; // dynamic shared memory ends at a guard page
    size_t dynamic_bytes;

    const std::function<void()> *thread; // the kernel with its arguments
    const sim_grid *grid;
    fiber *current = nullptr; // null: no fiber runs
    void *stack_pointer;      // the scheduler's own, while a fiber runs
    int threads, live, waiting;
    sim_barrier_kind barrier;
    unsigned barrier_generation;
    cudaError_t error; // why the grid was abandoned

    sigjmp_buf abandon; // from a fault in a fiber
    void *tsan;
    const void *asan_bottom;
    size_t asan_size;
};

scheduler s; // fibers allocate nothing, so all of it is of fixed size

// Static shared memory of each module that has kernels.
struct shared_range {
    char *begin, *end;
};
std::vector<shared_range> &shared_ranges()
{
    static auto *the = new std::vector<shared_range>;
    return *the;
}

// ---- what happens-before what, for ThreadSanitizer ----
//
// A tag for each generation of a barrier or warp operation: one for all would order more than they
// do.

char barrier_tags[2];
char warp_tags[MAX_WARPS][256];
char block_tag;

void tsan_release([[maybe_unused]] void *tag)
{
#ifdef SIM_TSAN
    __tsan_release(tag);
#endif
}

void tsan_acquire([[maybe_unused]] void *tag)
{
#ifdef SIM_TSAN
    __tsan_acquire(tag);
#endif
}

// Races between blocks are looked for: then nothing orders blocks, and what they reuse is declared
// harmless. Otherwise each block comes after the one before.
bool blocks_race()
{
    static bool yes = getenv("SIM_TSAN_GRID") != nullptr;
    return yes;
}

// ---- switching ----

extern "C" void sim_switch_stack(void **from, void *to);
// Saves the registers that a call preserves on the stack it leaves, and takes up those on the
// other.
asm(R"(
.pushsection .text
.type sim_switch_stack, @function
sim_switch_stack:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
.size sim_switch_stack, . - sim_switch_stack
.popsection
)");
const int SAVED_REGISTERS = 6;

void switch_to_fiber(fiber *f)
{
    s.current = f;
    threadIdx = uint3{static_cast<unsigned>(f->index) % blockDim.x,
        static_cast<unsigned>(f->index) / blockDim.x % blockDim.y,
        static_cast<unsigned>(f->index) / (blockDim.x * blockDim.y)};
#ifdef SIM_ASAN
    void *fake;
    __sanitizer_start_switch_fiber(&fake, f->stack, STACK);
#endif
#ifdef SIM_TSAN
    __tsan_switch_to_fiber(f->tsan, __tsan_switch_to_fiber_no_sync);
#endif
    sim_switch_stack(&s.stack_pointer, f->stack_pointer);
#ifdef SIM_ASAN
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
    s.current = nullptr;
}

void switch_to_scheduler(fiber *f, [[maybe_unused]] bool for_ever)
{
#ifdef SIM_ASAN
    __sanitizer_start_switch_fiber(for_ever ? nullptr : &f->asan, s.asan_bottom, s.asan_size);
#endif
#ifdef SIM_TSAN
    __tsan_switch_to_fiber(s.tsan, __tsan_switch_to_fiber_no_sync);
#endif
    sim_switch_stack(&f->stack_pointer, s.stack_pointer);
#ifdef SIM_ASAN
    __sanitizer_finish_switch_fiber(f->asan, &s.asan_bottom, &s.asan_size);
#endif
}

__attribute__((no_sanitize("address"))) void fiber_main()
{
#ifdef SIM_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &s.asan_bottom, &s.asan_size);
#endif
    (*s.thread)();
    fiber *f = s.current;
    tsan_release(&block_tag);
    f->state = EXITED;
    s.live--;
    switch_to_scheduler(f, true);
    abort();
}

void make_runnable(fiber *f)
{
    f->state = READY;
    s.runnable[s.runnable_count++] = f->index;
}

void start(fiber *f)
{
#ifdef SIM_TSAN
    f->stack = s.stacks + static_cast<size_t>(f->index) * STACK;
    f->tsan = __tsan_create_fiber(0);
#else
    f->stack = s.free_stacks[--s.free_count]; // the one used last: it is in the cache
#endif
    auto top = reinterpret_cast<void **>(f->stack + STACK - 64);
    *--top = nullptr; // where fiber_main would return to
    *--top = reinterpret_cast<void *>(fiber_main);
    for (int i = 0; i < SAVED_REGISTERS; i++) {
        *--top = nullptr;
    }
    f->stack_pointer = top;
}

// ---- misuses ----

std::string where()
{
    char text[160];
    snprintf(text, sizeof text, ", block (%u, %u, %u), thread (%u, %u, %u)", blockIdx.x, blockIdx.y,
        blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    return s.grid->name + std::string(text);
}

// Of the fiber that runs: reports, and gives up the grid.
[[noreturn, gnu::format(printf, 2, 3)]] void give_up(cudaError_t error, const char *format, ...)
{
    char what[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    sim_fail("%s: %s", where().c_str(), what);
    s.error = error;
    switch_to_scheduler(s.current, true);
    abort();
}

} // namespace

// ---- barriers ----

namespace
{

void release_barrier()
{
    int count = 0;
    for (int i = 0; i < s.threads; i++) {
        count += s.fibers[i].state == AT_BARRIER && s.fibers[i].predicate;
    }
    int result = s.barrier == SIM_BARRIER_COUNT ? count
                 : s.barrier == SIM_BARRIER_AND ? count == s.waiting
                                                : count != 0;
    for (int i = 0; i < s.threads; i++) {
        if (s.fibers[i].state == AT_BARRIER) {
            s.fibers[i].predicate = result;
            make_runnable(&s.fibers[i]);
        }
    }
    s.waiting = 0;
    s.barrier_generation++;
}

} // namespace

int sim_barrier(sim_barrier_kind kind, int predicate)
{
    fiber *f = s.current;
    f->place = __builtin_return_address(0);
    if (s.waiting && s.barrier != kind) {
        give_up(cudaErrorLaunchFailure, "threads of a block are at different kinds of barrier");
    }
    for (int i = 0; s.waiting && i < s.threads; i++) {
        if (s.fibers[i].state == AT_BARRIER) {
            if (s.fibers[i].place != f->place) {
                give_up(cudaErrorLaunchFailure, "threads of a block are at different barriers");
            }
            break;
        }
    }
    s.barrier = kind;
    s.waiting++;
    f->predicate = predicate != 0;
    f->state = AT_BARRIER;
    char *tag = &barrier_tags[s.barrier_generation % 2];
    tsan_release(tag);
    switch_to_scheduler(f, false);
    tsan_acquire(tag);
    return f->predicate;
}

// ---- warp operations ----

int sim_lane()
{
    return s.current->index % LANES;
}

namespace
{

void check_mask(unsigned mask, int first)
{
    int lane = sim_lane();
    if (!(mask >> lane & 1)) {
        give_up(cudaErrorLaunchFailure, "lane %d is not in its own mask %08x", lane, mask);
    }
    int lanes = std::min(LANES, s.threads - first);
    if (lanes < LANES && mask >> lanes) {
        give_up(cudaErrorLaunchFailure,
            "the mask %08x names lanes that the warp of %d threads has not", mask, lanes);
    }
}

gathering *find_gathering(warp *w, int number, unsigned mask, sim_warp_kind kind)
{
    for (int i = 0; i < w->count; i++) {
        gathering *g = &w->gatherings[i];
        if (g->mask & mask) {
            if (g->mask != mask || g->kind != kind) {
                give_up(cudaErrorLaunchFailure,
                    "lanes of a warp disagree: masks %08x and %08x, or other operations", g->mask,
                    mask);
            }
            return g;
        }
    }
    gathering *g = &w->gatherings[w->count++];
    g->mask = mask;
    g->arrived = 0;
    g->kind = kind;
    g->tag = &warp_tags[number][w->generation++ % 256];
    return g;
}

uint64_t result_for(const gathering &g, int lane, unsigned ballot)
{
    if (g.kind == SIM_WARP_BALLOT) {
        return ballot;
    }
    if (g.kind == SIM_WARP_SYNC) {
        return 0;
    }
    int from = g.lanes[lane];
    if (from < 0 || from >= LANES || !(g.mask >> from & 1)) {
        give_up(cudaErrorLaunchFailure, "a shuffle reads lane %d, which is not in the mask %08x",
            from, g.mask);
    }
    return g.values[from];
}

void complete(warp *w, gathering *g, int first)
{
    unsigned ballot = 0;
    for (int lane = 0; lane < LANES; lane++) {
        ballot |= static_cast<unsigned>((g->mask >> lane & 1) && g->values[lane]) << lane;
    }
    for (int lane = 0; lane < LANES; lane++) {
        if (g->mask >> lane & 1) {
            s.fibers[first + lane].shuffled = result_for(*g, lane, ballot);
            make_runnable(&s.fibers[first + lane]);
        }
    }
    gathering *last = &w->gatherings[--w->count];
    if (g != last) {
        __builtin_memcpy(g, last, sizeof *g);
    }
}

} // namespace

uint64_t sim_warp(sim_warp_kind kind, unsigned mask, uint64_t value, int from)
{
    fiber *f = s.current;
    int lane = f->index % LANES, number = f->index / LANES, first = number * LANES;
    check_mask(mask, first);
    warp *w = &s.warps[number];
    gathering *g = find_gathering(w, number, mask, kind);
    g->arrived |= 1u << lane;
    g->values[lane] = value;
    g->lanes[lane] = from;
    char *tag = g->tag;
    tsan_release(tag);
    f->state = IN_WARP;
    if (g->arrived == mask) {
        complete(w, g, first);
    }
    switch_to_scheduler(f, false);
    tsan_acquire(tag);
    return f->shuffled;
}

void *sim_dynamic_shared()
{
    return s.dynamic + MAX_DYNAMIC - (s.dynamic_bytes + 15) / 16 * 16;
}

void sim_trap()
{
    give_up(cudaErrorLaunchFailure, "__trap()");
}

void sim_register_shared(char *begin, char *end)
{
    for (const shared_range &known : shared_ranges()) {
        if (known.begin == begin) {
            return;
        }
    }
    if (begin) {
        shared_ranges().push_back({begin, end});
    }
}

void sim_unregister_shared(char *begin)
{
    std::vector<shared_range> &ranges = shared_ranges();
    ranges.erase(std::remove_if(ranges.begin(), ranges.end(),
                     [=](const shared_range &known) { return known.begin == begin; }),
        ranges.end());
}

// ---- faults ----
//
// Kernels are compiled to trap at misaligned accesses and at indices outside an array, and device
// memory has guard pages. Such a signal ends the grid as the device would end it.

#if !defined(SIM_ASAN) && !defined(SIM_TSAN)
#define SIM_CATCHES_FAULTS 1

namespace
{

const int fault_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};

// clang's trap for an undefined operation is `ud1l KIND(%eax), %eax`.
int trap_kind(const unsigned char *instruction)
{
    const unsigned char ud1[] = {0x67, 0x0f, 0xb9, 0x40};
    return memcmp(instruction, ud1, sizeof ud1) == 0 ? instruction[4] : -1;
}

std::string explain_address(const void *address)
{
    auto at = static_cast<const char *>(address);
    if (at >= s.dynamic + MAX_DYNAMIC && at < s.dynamic + MAX_DYNAMIC + PAGE) {
        return "access past the end of dynamic shared memory";
    }
    if (at >= s.current->stack && at < s.current->stack + PAGE) {
        return "more than " + std::to_string(STACK >> 10) + " KiB of local memory";
    }
    return "access to " + sim_describe(address);
}

std::string explain(
    int signal, const siginfo_t *info, const ucontext_t *context, cudaError_t *error)
{
    *error = cudaErrorIllegalAddress;
    if (signal == SIGFPE) {
        *error = cudaErrorLaunchFailure;
        return "integer division by zero";
    }
    if (signal == SIGILL) {
        auto at = reinterpret_cast<const unsigned char *>(context->uc_mcontext.gregs[REG_RIP]);
        switch (trap_kind(at)) {
        case 0x12:
            return "an index is outside its array";
        case 0x16:
            *error = cudaErrorMisalignedAddress;
            return "misaligned access";
        default:
            *error = cudaErrorIllegalInstruction;
            return "a trap";
        }
    }
    if (info->si_code == SI_KERNEL) { // x86 says no more of a misaligned 16-byte access
        *error = cudaErrorMisalignedAddress;
        return "misaligned access, or an address that is none";
    }
    return explain_address(info->si_addr);
}

struct sigaction previous[4];

void on_fault(int signal, siginfo_t *info, void *context)
{
    if (!s.current) { // the simulator's own
        for (size_t i = 0; i < 4; i++) {
            sigaction(fault_signals[i], &previous[i], nullptr);
        }
        return;
    }
    cudaError_t error;
    std::string what = explain(signal, info, static_cast<ucontext_t *>(context), &error);
    sim_fail("%s: %s", where().c_str(), what.c_str());
    s.error = error;
    siglongjmp(s.abandon, 1);
}

void catch_faults()
{
    static thread_local void *own_stack; // a fiber's may be what overflowed
    if (!own_stack) {
        stack_t alternate = {};
        alternate.ss_size = 64 << 10;
        alternate.ss_sp = own_stack = malloc(alternate.ss_size);
        sigaltstack(&alternate, nullptr);
    }
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (size_t i = 0; i < 4; i++) {
        sigaction(fault_signals[i], &action, &previous[i]);
    }
}

void leave_faults()
{
    for (size_t i = 0; i < 4; i++) {
        sigaction(fault_signals[i], &previous[i], nullptr);
    }
}

} // namespace
#endif

// ---- blocks ----

namespace
{

void prepare_stacks()
{
    if (s.stacks) {
        return;
    }
    size_t bytes = STACK * MAX_THREADS + MAX_DYNAMIC + PAGE;
    auto base = static_cast<char *>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (base == MAP_FAILED) {
        fprintf(stderr, "simcuda: no memory for fibers\n");
        exit(2);
    }
    s.stacks = base;
    for (size_t i = 0; i < MAX_THREADS; i++) {
        mprotect(base + i * STACK, PAGE, PROT_NONE);
    }
    s.dynamic = base + STACK * MAX_THREADS;
    mprotect(s.dynamic + MAX_DYNAMIC, PAGE, PROT_NONE);
#ifdef SIM_TSAN
    // A stack belongs to one fiber after another, none of which is ordered after the last.
    AnnotateBenignRaceSized(__FILE__, __LINE__, base, STACK * MAX_THREADS, "stacks");
    if (blocks_race()) {
        AnnotateBenignRaceSized(
            __FILE__, __LINE__, s.dynamic, MAX_DYNAMIC, "dynamic shared memory");
        for (const shared_range &r : shared_ranges()) {
            AnnotateBenignRaceSized(__FILE__, __LINE__, r.begin,
                static_cast<size_t>(r.end - r.begin), "static shared memory");
        }
    }
#endif
}

void free_all_stacks()
{
    s.free_count = MAX_THREADS;
    for (int i = 0; i < MAX_THREADS; i++) {
        s.free_stacks[i] = s.stacks + static_cast<size_t>(i) * STACK;
#ifdef SIM_ASAN
        __asan_unpoison_memory_region(s.free_stacks[i] + PAGE, STACK - PAGE);
#endif
    }
}

// What a thread can rely on in shared memory when it starts: nothing.
void fill_shared()
{
    for (const shared_range &r : shared_ranges()) {
        sim_fill_raw(r.begin, 0xff, static_cast<size_t>(r.end - r.begin));
    }
    sim_fill_raw(sim_dynamic_shared(), 0xff, (s.dynamic_bytes + 15) / 16 * 16);
}

void report_deadlock()
{
    int exited = s.threads - s.live, in_warp = s.live - s.waiting;
    sim_fail(
        "%s, block (%u, %u, %u): %d threads wait at a barrier, %d in warp operations whose masks "
        "never complete, %d have exited",
        s.grid->name, blockIdx.x, blockIdx.y, blockIdx.z, s.waiting, in_warp, exited);
    s.error = cudaErrorLaunchTimeout; // on a device it would wait for ever
}

void run_threads()
{
    while (s.live && !s.error) {
        if (!s.runnable_count) {
            if (s.waiting == s.threads) {
                release_barrier();
                continue;
            }
            report_deadlock();
            return;
        }
        uint32_t chosen = sim_random_below(static_cast<uint32_t>(s.runnable_count));
        fiber *f = &s.fibers[s.runnable[chosen]];
        s.runnable[chosen] = s.runnable[--s.runnable_count];
        if (f->state == NOT_STARTED) {
            start(f);
        }
        switch_to_fiber(f);
        if (f->state == EXITED) {
#ifdef SIM_TSAN
            __tsan_destroy_fiber(f->tsan);
#else
            s.free_stacks[s.free_count++] = f->stack;
#endif
        }
    }
}

void run_block()
{
    fill_shared();
    s.live = s.threads;
    s.waiting = 0;
    s.runnable_count = s.threads;
    for (int i = 0; i < s.threads; i++) {
        s.fibers[i].index = i;
        s.fibers[i].state = NOT_STARTED;
        s.runnable[i] = i;
    }
    for (int i = 0; i < MAX_WARPS; i++) {
        s.warps[i].count = 0;
    }
    run_threads();
    if (!blocks_race()) {
        tsan_acquire(&block_tag);
    }
}

void run_blocks()
{
    size_t count = static_cast<size_t>(gridDim.x) * gridDim.y * gridDim.z;
    static std::vector<unsigned> order; // a fault jumps out of here
    order.resize(count);
    for (size_t i = 0; i < count; i++) {
        order[i] = static_cast<unsigned>(i);
    }
    for (size_t i = count; i > 1; i--) {
        std::swap(order[i - 1], order[sim_random_below(static_cast<uint32_t>(i))]);
    }
    for (size_t i = 0; i < count && !s.error; i++) {
        unsigned n = order[i];
        blockIdx = uint3{n % gridDim.x, n / gridDim.x % gridDim.y, n / gridDim.x / gridDim.y};
        run_block();
    }
}

} // namespace

cudaError_t sim_run_grid(const sim_grid &grid, const std::function<void()> &thread)
{
    prepare_stacks();
    free_all_stacks();
    s.grid = &grid;
    s.thread = &thread;
    s.threads = static_cast<int>(grid.block.x * grid.block.y * grid.block.z);
    s.dynamic_bytes = grid.dynamic_shared;
    s.error = cudaSuccess;
    gridDim = grid.grid;
    blockDim = grid.block;
#ifdef SIM_ASAN
    auto begin = static_cast<char *>(sim_dynamic_shared()), end = begin + s.dynamic_bytes;
    __asan_poison_memory_region(s.dynamic, static_cast<size_t>(begin - s.dynamic));
    __asan_poison_memory_region(end, static_cast<size_t>(s.dynamic + MAX_DYNAMIC - end));
#endif
#ifdef SIM_TSAN
    s.tsan = __tsan_get_current_fiber();
#endif
#ifdef SIM_CATCHES_FAULTS
    catch_faults();
    if (sigsetjmp(s.abandon, 1) == 0) {
        run_blocks();
    }
    s.current = nullptr;
    leave_faults();
#else
    run_blocks();
#endif
    tsan_acquire(&block_tag);
#ifdef SIM_ASAN
    __asan_unpoison_memory_region(s.dynamic, MAX_DYNAMIC);
#endif
    return s.error;
}
