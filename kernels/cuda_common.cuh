// What the kernels share: elements and their conversion, accesses of 16 bytes, reductions in a
// fixed order, launching.
//
// No kernel uses inline PTX or __CUDA_ARCH__, so that all of them also compile as C++ for the
// simulated device (tests/simcuda). Pointers are arguments of their own, never members of a struct
// that is passed by value: the simulator checks that each is device memory. Such a struct has no
// padding, whose bytes could be taken for a stray pointer.
#ifndef FM_KERNELS_CUDA_COMMON_CUH
#define FM_KERNELS_CUDA_COMMON_CUH

#include "cuda_kernels.h"
#include "portable.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <type_traits>

enum {
    FM_THREADS = 256,     // of a block, unless a kernel says otherwise
    FM_BLOCKS_MAX = 4096, // of a launch whose blocks take their work in strides
    FM_LANES = 32,        // threads of a warp
};
#define FM_ALL_LANES 0xffffffffu

// ---- elements

static __device__ __forceinline__ float fm_widen(float x)
{
    return x;
}
static __device__ __forceinline__ float fm_widen(__half x)
{
    return __half2float(x);
}
static __device__ __forceinline__ float fm_widen(__nv_bfloat16 x)
{
    return __bfloat162float(x);
}

// To nearest, and to even when halfway.
static __device__ __forceinline__ void fm_narrow(float x, float *to)
{
    *to = x;
}
static __device__ __forceinline__ void fm_narrow(float x, __half *to)
{
    *to = __float2half_rn(x);
}
static __device__ __forceinline__ void fm_narrow(float x, __nv_bfloat16 *to)
{
    *to = __float2bfloat16_rn(x);
}

// One element of a type known only at run time; for what is small or rare.
static __device__ __forceinline__ float fm_load_as(
    enum fm_cuda_type type, const void *from, size_t at)
{
    if (type == FM_CUDA_F16)
        return fm_widen(((const __half *)from)[at]);
    if (type == FM_CUDA_BF16)
        return fm_widen(((const __nv_bfloat16 *)from)[at]);
    return ((const float *)from)[at];
}

static __device__ __forceinline__ void fm_store_as(
    enum fm_cuda_type type, void *to, size_t at, float x)
{
    if (type == FM_CUDA_F16)
        fm_narrow(x, (__half *)to + at);
    else if (type == FM_CUDA_BF16)
        fm_narrow(x, (__nv_bfloat16 *)to + at);
    else
        ((float *)to)[at] = x;
}

// ---- N elements as fp32: 16 bytes at a time when N is FM_CUDA_VECTOR (`from` is aligned to 16
// bytes then), or one.

template <int N, class T>
static __device__ __forceinline__ void fm_load(const T *from, float (&to)[N])
{
    if constexpr (N == 1) {
        to[0] = fm_widen(*from);
    } else {
        static_assert(N * sizeof(T) % sizeof(uint4) == 0, "whole accesses");
        alignas(16) T raw[N];
        for (int i = 0; i < (int)(N * sizeof(T) / sizeof(uint4)); i++)
            ((uint4 *)raw)[i] = ((const uint4 *)from)[i];
        for (int i = 0; i < N; i++)
            to[i] = fm_widen(raw[i]);
    }
}

template <int N, class T>
static __device__ __forceinline__ void fm_store(T *to, const float (&from)[N])
{
    if constexpr (N == 1) {
        fm_narrow(from[0], to);
    } else {
        static_assert(N * sizeof(T) % sizeof(uint4) == 0, "whole accesses");
        alignas(16) T raw[N];
        for (int i = 0; i < N; i++)
            fm_narrow(from[i], &raw[i]);
        for (int i = 0; i < (int)(N * sizeof(T) / sizeof(uint4)); i++)
            ((uint4 *)to)[i] = ((const uint4 *)raw)[i];
    }
}

// N bytes, 8 at a time when N is FM_CUDA_VECTOR.
template <int N>
static __device__ __forceinline__ void fm_load_bytes(const uint8_t *from, uint8_t (&to)[N])
{
    alignas(8) uint8_t raw[N];
    if constexpr (N == 8)
        *(uint2 *)raw = *(const uint2 *)from;
    else
        raw[0] = *from;
    for (int i = 0; i < N; i++)
        to[i] = raw[i];
}

template <int N>
static __device__ __forceinline__ void fm_store_bytes(uint8_t *to, const uint8_t (&from)[N])
{
    alignas(8) uint8_t raw[N];
    for (int i = 0; i < N; i++)
        raw[i] = from[i];
    if constexpr (N == 8)
        *(uint2 *)to = *(const uint2 *)raw;
    else
        *to = raw[0];
}

// ---- ranges: `count` elements are taken as whole vectors and a rest of fewer than one
//
//   for (size_t at = fm_first_vector(); at + FM_CUDA_VECTOR <= count; at += fm_vector_stride())
//   for (size_t at = fm_first_rest(count); at < count; at += fm_threads())

static __device__ __forceinline__ size_t fm_thread(void)
{
    return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}
static __device__ __forceinline__ size_t fm_threads(void)
{
    return (size_t)gridDim.x * blockDim.x;
}
static __device__ __forceinline__ size_t fm_first_vector(void)
{
    return fm_thread() * FM_CUDA_VECTOR;
}
static __device__ __forceinline__ size_t fm_vector_stride(void)
{
    return fm_threads() * FM_CUDA_VECTOR;
}
static __device__ __forceinline__ size_t fm_first_rest(size_t count)
{
    return count / FM_CUDA_VECTOR * FM_CUDA_VECTOR + fm_thread();
}

// The channel at which piece `at` of N channels each begins; 32 bits, in which a GPU divides
// faster.
template <int N> static __device__ __forceinline__ size_t fm_channel_of(size_t at, int channels)
{
    return (uint32_t)at % ((uint32_t)channels / N) * N;
}

// ---- sums in a fixed order

// The sum of a warp's 32 values, the same bits in each lane: a tree of neighbours.
static __device__ __forceinline__ double fm_warp_sum(double value)
{
    for (int distance = FM_LANES / 2; distance > 0; distance /= 2)
        value += __shfl_xor_sync(FM_ALL_LANES, value, distance);
    return value;
}

// The sum of a block's values, in thread 0; blockDim.x is a multiple of 32, at most 1024. `shared`
// holds a value a warp.
static __device__ __forceinline__ double fm_block_sum(double value, double *shared)
{
    value = fm_warp_sum(value);
    if (threadIdx.x % FM_LANES == 0)
        shared[threadIdx.x / FM_LANES] = value;
    __syncthreads();
    double sum = 0.0;
    if (threadIdx.x == 0)
        for (unsigned warp = 0; warp < blockDim.x / FM_LANES; warp++)
            sum += shared[warp];
    __syncthreads(); // `shared` may be used again
    return sum;
}

// ---- launching

// The error of cudaLaunchKernelEx; arguments are converted to the kernel's parameters.
template <class... P, class... A>
static cudaError_t fm_launch(
    void (*kernel)(P...), dim3 grid, dim3 block, cudaStream_t stream, A... arguments)
{
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...);
}

// Blocks of FM_THREADS for so many independent pieces of work, which they take in strides.
static inline unsigned fm_blocks(size_t pieces)
{
    size_t blocks = (pieces + FM_THREADS - 1) / FM_THREADS;
    return blocks < 1 ? 1u : blocks < FM_BLOCKS_MAX ? (unsigned)blocks : (unsigned)FM_BLOCKS_MAX;
}

static inline unsigned fm_vector_blocks(size_t count)
{
    return fm_blocks((count + FM_CUDA_VECTOR - 1) / FM_CUDA_VECTOR);
}

// Calls launch(zero of the type), so that a generic lambda can name it.
template <class F> static cudaError_t fm_with_type(enum fm_cuda_type type, F launch)
{
    switch (type) {
    case FM_CUDA_F32:
        return launch(float());
    case FM_CUDA_F16:
        return launch(__half());
    case FM_CUDA_BF16:
        return launch(__nv_bfloat16());
    }
    return cudaErrorInvalidValue;
}

// Not NULL, and aligned to 16 bytes.
template <class... P> static bool fm_aligned(const P *...pointers)
{
    return ((pointers != nullptr && (uintptr_t)pointers % 16 == 0) && ...);
}

// So many pieces can be counted in 32 bits.
static inline bool fm_countable(size_t pieces)
{
    return pieces <= UINT32_MAX;
}

// Channels are taken by vectors, not one by one.
static inline bool fm_by_vectors(int channels)
{
    return channels % FM_CUDA_VECTOR == 0;
}

#endif
