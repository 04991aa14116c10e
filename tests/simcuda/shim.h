// What CUDA C++ has beyond C++, for .cu files that clang++ compiles as C++ (-include shim.h) to run
// on the simulated device: built-in variables, shared memory, barriers, warp operations, atomics on
// integers, intrinsics, the launch. What is not here does not compile, on purpose: inline PTX,
// matrix instructions, asynchronous copies, atomics on floating-point numbers.
//
// Dynamic shared memory has no spelling that both compilers take. The project's one macro for it
// tests SIM_DEVICE and then uses sim_dynamic_shared().
#ifndef SIMCUDA_SHIM_H
#define SIMCUDA_SHIM_H

#define SIM_DEVICE 1

// The header's own template loses the types of the arguments: ours takes its place.
#define cudaLaunchKernelEx sim_hidden_cudaLaunchKernelEx
#include <cuda_runtime.h>
#undef cudaLaunchKernelEx
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

// The simulator fills this section with NaN before each block.
#undef __shared__
#define __shared__ static __attribute__((section("simshared")))
#undef __launch_bounds__
#define __launch_bounds__(...)

// ---- vector types ----
//
// clang checks the alignment of what it copies unless the copy is trivial, so the vector types are
// given copies of their own: then a misaligned one traps, as it faults on a device.

#define SIM_VECTOR_COPIES(type)                                                                    \
    sim_##type() = default;                                                                        \
    sim_##type(const type &from) : type(from)                                                      \
    {                                                                                              \
    }                                                                                              \
    sim_##type(const sim_##type &from) : type(from)                                                \
    {                                                                                              \
    }                                                                                              \
    sim_##type &operator=(const sim_##type &from)                                                  \
    {                                                                                              \
        type::operator=(from);                                                                     \
        return *this;                                                                              \
    }
#define SIM_VECTOR2(type, element)                                                                 \
    struct sim_##type : type {                                                                     \
        SIM_VECTOR_COPIES(type)                                                                    \
        sim_##type(element x_, element y_) : type{x_, y_}                                          \
        {                                                                                          \
        }                                                                                          \
    };
#define SIM_VECTOR4(type, element)                                                                 \
    struct sim_##type : type {                                                                     \
        SIM_VECTOR_COPIES(type)                                                                    \
        sim_##type(element x_, element y_, element z_, element w_) : type{x_, y_, z_, w_}          \
        {                                                                                          \
        }                                                                                          \
    };
SIM_VECTOR2(int2, int)
SIM_VECTOR2(uint2, unsigned)
SIM_VECTOR2(float2, float)
SIM_VECTOR2(double2, double)
SIM_VECTOR4(uchar4, unsigned char)
SIM_VECTOR4(short4, short)
SIM_VECTOR4(ushort4, unsigned short)
SIM_VECTOR4(int4, int)
SIM_VECTOR4(uint4, unsigned)
SIM_VECTOR4(float4, float)
#define int2 sim_int2
#define uint2 sim_uint2
#define float2 sim_float2
#define double2 sim_double2
#define uchar4 sim_uchar4
#define short4 sim_short4
#define ushort4 sim_ushort4
#define int4 sim_int4
#define uint4 sim_uint4
#define float4 sim_float4

// ---- the simulator's side (fiber.cc, launch.cc) ----

// Rewritten at each switch of threads, so not const.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
enum {
    warpSize = 32
};

// The compiler makes a call of these depend on no more conditions than the source does, so that the
// place it returns to tells barriers apart.
#define SIM_CONVERGENT __attribute__((convergent, noinline))

enum sim_barrier_kind {
    SIM_BARRIER,
    SIM_BARRIER_COUNT,
    SIM_BARRIER_AND,
    SIM_BARRIER_OR
};
enum sim_warp_kind {
    SIM_WARP_SYNC,
    SIM_WARP_SHUFFLE,
    SIM_WARP_BALLOT
};

int sim_barrier(sim_barrier_kind kind, int predicate) SIM_CONVERGENT;
uint64_t sim_warp(sim_warp_kind kind, unsigned mask, uint64_t value, int lane) SIM_CONVERGENT;
int sim_lane();
void *sim_dynamic_shared();
[[noreturn]] void sim_trap();

// A module's static shared memory, from when it is loaded to when it is unloaded.
void sim_register_shared(char *begin, char *end);
void sim_unregister_shared(char *begin);
extern char __start_simshared[] __attribute__((weak, visibility("hidden")));
extern char __stop_simshared[] __attribute__((weak, visibility("hidden")));
namespace
{
__attribute__((constructor, used)) void sim_register_this_module()
{
    sim_register_shared(__start_simshared, __stop_simshared);
}
__attribute__((destructor, used)) void sim_unregister_this_module()
{
    sim_unregister_shared(__start_simshared);
}
} // namespace

#define SIM_INLINE [[maybe_unused]] static inline __attribute__((always_inline))

// ---- barriers ----

SIM_INLINE void __syncthreads()
{
    sim_barrier(SIM_BARRIER, 0);
}
SIM_INLINE int __syncthreads_count(int predicate)
{
    return sim_barrier(SIM_BARRIER_COUNT, predicate);
}
SIM_INLINE int __syncthreads_and(int predicate)
{
    return sim_barrier(SIM_BARRIER_AND, predicate);
}
SIM_INLINE int __syncthreads_or(int predicate)
{
    return sim_barrier(SIM_BARRIER_OR, predicate);
}
SIM_INLINE void __syncwarp(unsigned mask = 0xffffffffu)
{
    sim_warp(SIM_WARP_SYNC, mask, 0, 0);
}
// The clock is virtual.
SIM_INLINE void __nanosleep(unsigned)
{
}
SIM_INLINE void __threadfence()
{
}
SIM_INLINE void __threadfence_block()
{
}
SIM_INLINE void __trap()
{
    sim_trap();
}

// ---- warp operations ----

template <class T> SIM_INLINE T sim_shuffle(unsigned mask, T value, int lane)
{
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "cannot be shuffled");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = sim_warp(SIM_WARP_SHUFFLE, mask, bits, lane);
    memcpy(&value, &bits, sizeof value);
    return value;
}
template <class T> SIM_INLINE T __shfl_sync(unsigned mask, T value, int lane, int width = 32)
{
    int first = sim_lane() & ~(width - 1);
    return sim_shuffle(mask, value, first + (lane & (width - 1)));
}
template <class T> SIM_INLINE T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32)
{
    int mine = sim_lane(), other = mine ^ bits;
    int last = mine | (width - 1);
    return sim_shuffle(mask, value, other <= last ? other : mine);
}
template <class T>
SIM_INLINE T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32)
{
    int mine = sim_lane(), other = mine + static_cast<int>(by);
    int last = mine | (width - 1);
    return sim_shuffle(mask, value, other <= last ? other : mine);
}
template <class T> SIM_INLINE T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32)
{
    int mine = sim_lane(), other = mine - static_cast<int>(by);
    int first = mine & ~(width - 1);
    return sim_shuffle(mask, value, other >= first ? other : mine);
}
SIM_INLINE unsigned __ballot_sync(unsigned mask, int predicate)
{
    return static_cast<unsigned>(sim_warp(SIM_WARP_BALLOT, mask, predicate != 0, 0));
}
SIM_INLINE int __any_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, predicate) != 0;
}
SIM_INLINE int __all_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, predicate) == mask;
}

// ---- atomics: relaxed, on integers of four and eight bytes ----

template <class T, class F> SIM_INLINE T sim_update(T *p, F changed)
{
    static_assert(std::is_integral<T>::value && (sizeof(T) == 4 || sizeof(T) == 8),
        "only integers are updated atomically: the order of floating-point sums would be random");
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(
        p, &old, changed(old), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}
// The second argument converts to the first one's type, as a call of CUDA's overloads would.
template <class T> struct sim_same {
    using type = T;
};
#define SIM_ATOMIC(name, expression)                                                               \
    template <class T> SIM_INLINE T name(T *p, typename sim_same<T>::type value)                   \
    {                                                                                              \
        return sim_update(p, [value](T old) -> T { return expression; });                          \
    }
SIM_ATOMIC(atomicAdd, old + value)
SIM_ATOMIC(atomicSub, old - value)
SIM_ATOMIC(atomicExch, (static_cast<void>(old), value))
SIM_ATOMIC(atomicMin, value < old ? value : old)
SIM_ATOMIC(atomicMax, value > old ? value : old)
SIM_ATOMIC(atomicAnd, old &value)
SIM_ATOMIC(atomicOr, old | value)
SIM_ATOMIC(atomicXor, old ^ value)
SIM_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
template <class T>
SIM_INLINE T atomicCAS(T *p, typename sim_same<T>::type compare, typename sim_same<T>::type value)
{
    return sim_update(p, [=](T old) -> T { return old == compare ? value : old; });
}

// ---- intrinsics ----

template <class T> SIM_INLINE T __ldg(const T *p)
{
    return *p;
}
template <class T> SIM_INLINE T __ldcs(const T *p)
{
    return *p;
}
template <class T> SIM_INLINE T __ldcg(const T *p)
{
    return *p;
}
template <class T> SIM_INLINE void __stcs(T *p, T value)
{
    *p = value;
}
template <class T> SIM_INLINE void __stcg(T *p, T value)
{
    *p = value;
}

template <class To, class From> SIM_INLINE To sim_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From), "other size");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
SIM_INLINE int __float_as_int(float x)
{
    return sim_bits<int>(x);
}
SIM_INLINE unsigned __float_as_uint(float x)
{
    return sim_bits<unsigned>(x);
}
SIM_INLINE float __int_as_float(int x)
{
    return sim_bits<float>(x);
}
SIM_INLINE float __uint_as_float(unsigned x)
{
    return sim_bits<float>(x);
}

SIM_INLINE int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
SIM_INLINE int __popcll(unsigned long long x)
{
    return __builtin_popcountll(x);
}
SIM_INLINE int __clz(int x)
{
    return x ? __builtin_clz(static_cast<unsigned>(x)) : 32;
}
SIM_INLINE int __ffs(int x)
{
    return __builtin_ffs(x);
}
SIM_INLINE unsigned __brev(unsigned x)
{
    return __builtin_bitreverse32(x);
}
SIM_INLINE unsigned __umulhi(unsigned a, unsigned b)
{
    return static_cast<unsigned>((static_cast<uint64_t>(a) * b) >> 32);
}
SIM_INLINE unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}

SIM_INLINE float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}
SIM_INLINE float __fadd_rn(float a, float b)
{
    return a + b;
}
SIM_INLINE float __fsub_rn(float a, float b)
{
    return a - b;
}
SIM_INLINE float __fmul_rn(float a, float b)
{
    return a * b;
}
SIM_INLINE float __fdiv_rn(float a, float b)
{
    return a / b;
}
SIM_INLINE float __fsqrt_rn(float x)
{
    return sqrtf(x);
}
SIM_INLINE float __frcp_rn(float x)
{
    return 1.0f / x;
}
SIM_INLINE float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}
SIM_INLINE float __fdividef(float a, float b)
{
    return a / b;
}
SIM_INLINE float __saturatef(float x)
{
    return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; // 0 for NaN
}
SIM_INLINE int __float2int_rn(float x)
{
    return static_cast<int>(rintf(x));
}
SIM_INLINE int __float2int_rz(float x)
{
    return static_cast<int>(x);
}
// glibc declares functions of these names, though it exports none.
#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __powf(x, y) powf(x, y)

template <class T> SIM_INLINE T min(T a, T b)
{
    return b < a ? b : a;
}
template <class T> SIM_INLINE T max(T a, T b)
{
    return a < b ? b : a;
}
// As the device's: the number, where one of the two is NaN.
template <> inline float min(float a, float b)
{
    return fminf(a, b);
}
template <> inline float max(float a, float b)
{
    return fmaxf(a, b);
}

SIM_INLINE __half __hfma(__half a, __half b, __half c)
{
    return __float2half_rn(fmaf(__half2float(a), __half2float(b), __half2float(c)));
}
SIM_INLINE __half2 __hfma2(__half2 a, __half2 b, __half2 c)
{
    return __halves2half2(__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y));
}

// ---- the launch ----

struct sim_site {
    const char *file;
    int line;
    const char *text; // of the launch's arguments: names the kernel
};

struct sim_argument {
    const void *value;
    size_t bytes;
    bool is_pointer;
};

cudaError_t sim_launch(const sim_site &site, const cudaLaunchConfig_t *config, const void *function,
    const sim_argument *arguments, int count, std::function<void()> thread);

// Arguments are copied now, as the real launch does.
template <class... E, class... A>
[[maybe_unused]] static cudaError_t sim_launch_kernel(
    const sim_site &site, const cudaLaunchConfig_t *config, void (*kernel)(E...), A &&...given)
{
    static_assert(sizeof...(E) == sizeof...(A), "another number of arguments than the kernel has");
    std::tuple<E...> all(static_cast<E>(std::forward<A>(given))...);
    return std::apply(
        [&](const E &...each) {
            const sim_argument described[] = {
                {&each, sizeof each, std::is_pointer<E>::value}..., {nullptr, 0, false}};
            return sim_launch(site, config, reinterpret_cast<const void *>(kernel), described,
                static_cast<int>(sizeof...(E)), [kernel, all] { std::apply(kernel, all); });
        },
        all);
}

#define cudaLaunchKernelEx(...)                                                                    \
    sim_launch_kernel(sim_site{__FILE__, __LINE__, #__VA_ARGS__}, __VA_ARGS__)

#endif
