// The kernels of simcuda_kernels.h.
#include "simcuda_kernels.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#ifdef SIM_DEVICE
#define DYNAMIC_SHARED(type, name) type *name = static_cast<type *>(sim_dynamic_shared())
#else
#define DYNAMIC_SHARED(type, name)                                                                 \
    extern __shared__ __align__(16) unsigned char dynamic_shared[];                                \
    type *name = reinterpret_cast<type *>(dynamic_shared)
#endif

namespace
{

const unsigned ALL = 0xffffffffu;

cudaLaunchConfig_t configuration(int blocks, int threads, cudaStream_t stream)
{
    cudaLaunchConfig_t c = {};
    c.gridDim = dim3(static_cast<unsigned>(blocks));
    c.blockDim = dim3(static_cast<unsigned>(threads));
    c.stream = stream;
    return c;
}

__device__ float warp_sum(float v)
{
    for (int by = 16; by; by /= 2) {
        v += __shfl_down_sync(ALL, v, static_cast<unsigned>(by));
    }
    return v;
}

template <int THREADS> __global__ void sum(const float *x, int n, float *out, int without_barrier)
{
    __shared__ float partial[THREADS / 32];
    float v = 0;
    for (int i = static_cast<int>(threadIdx.x); i < n; i += THREADS) {
        v += __ldg(x + i);
    }
    v = warp_sum(v);
    if (threadIdx.x % 32 == 0) {
        partial[threadIdx.x / 32] = v;
    }
    if (!without_barrier) {
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        float all = 0;
        for (int i = 0; i < THREADS / 32; i++) {
            all += partial[i];
        }
        *out = all;
    }
}

__global__ void rotate(float *x, int rounds, int without_barrier)
{
    __shared__ float all[64];
    unsigned i = threadIdx.x;
    float v = x[i];
    for (int round = 0; round < rounds; round++) {
        all[i] = v;
        __syncthreads();
        v += all[(i + 33) % 64];
        if (!without_barrier) {
            __syncthreads();
        }
    }
    x[i] = v;
}

__global__ void reverse(const float *x, float *y, int n)
{
    DYNAMIC_SHARED(float, all);
    unsigned i = threadIdx.x;
    all[i] = i < static_cast<unsigned>(n) ? x[i] : 0;
    __syncthreads();
    if (i < static_cast<unsigned>(n)) {
        y[i] = all[static_cast<unsigned>(n) - 1 - i];
    }
}

__device__ void axpy_one(float *y, const float *x, float a, int n)
{
    int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n) {
        y[i] = fmaf(a, x[i], y[i]);
    }
}

__global__ void axpy(float *y, const float *x, float a, int n)
{
    axpy_one(y, x, a, n);
}

__global__ void axpy_struct(k_axpy_operands o)
{
    axpy_one(o.y, o.x, o.a, o.n);
}

__global__ void count(const int *x, int n, int *counts, int plainly)
{
    int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n && plainly) {
        counts[x[i]] += 1;
    } else if (i < n) {
        atomicAdd(&counts[x[i]], 1);
    }
}

__global__ void warps(int *out)
{
    int i = static_cast<int>(threadIdx.x);
    int *row = out + i * 9;
    row[0] = __shfl_sync(ALL, 100 + i, 5);
    row[1] = __shfl_up_sync(ALL, i, 3);
    row[2] = __shfl_down_sync(ALL, i, 3);
    row[3] = __shfl_xor_sync(ALL, i, 6);
    row[4] = __shfl_sync(ALL, i, 9, 8);
    row[5] = static_cast<int>(__ballot_sync(ALL, i % 3 == 0));
    row[6] = __any_sync(ALL, i == 40) * 2 + __all_sync(ALL, i < 40);
    row[7] = __syncthreads_count(i < 10);
    row[8] = __syncthreads_or(i == 63) * 2 + __syncthreads_and(i < 63);
}

__global__ void double_halves(const __half *x, __half *y, int n, int offset)
{
    int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) * 8 + offset;
    if (i + 8 > n) {
        return;
    }
    uint4 eight = *reinterpret_cast<const uint4 *>(x + i);
    __half2 *pairs = reinterpret_cast<__half2 *>(&eight);
    for (int k = 0; k < 4; k++) {
        pairs[k] = __hadd2(pairs[k], pairs[k]);
    }
    *reinterpret_cast<uint4 *>(y + i) = eight;
}

__global__ void round_bf16(float *x, int n)
{
    int i = static_cast<int>(threadIdx.x);
    if (i < n) {
        x[i] = __bfloat162float(__float2bfloat16(x[i]));
    }
}

__device__ float unwritten_shared()
{
    __shared__ float all[64];
    if (threadIdx.x % 2) {
        all[threadIdx.x] = 1;
    }
    __syncthreads();
    float v = 0;
    for (int i = 0; i < 64; i++) {
        v += all[i];
    }
    return v;
}

__device__ int recurse(volatile int *above)
{
    volatile int here[256];
    here[0] = above ? above[0] + 1 : 0;
    return here[0] < 0 ? 0 : recurse(here) + here[0];
}

__global__ void misdo(k_misdeed misdeed, float *x, int n)
{
    __shared__ float small[64];
    int i = static_cast<int>(threadIdx.x), lane = i % 32;
    switch (misdeed) {
    case K_HALF_EXIT_EARLY:
        if (i < 32) {
            return;
        }
        __syncthreads();
        break;
    case K_OTHER_BARRIER: // the branches have no beginning or end in common
        if (i % 2) {
            __syncthreads();
            small[i] = 1;
            __syncthreads();
        } else {
            small[i] = 2;
            __syncthreads();
            small[i] = 3;
            __syncthreads();
            small[i] = 4;
        }
        break;
    case K_OTHER_BARRIER_KIND:
        if (i % 2) {
            __syncthreads();
        } else {
            __syncthreads_count(1);
        }
        break;
    case K_MASK_NEVER_COMPLETE:
        if (lane < 16) {
            __syncwarp();
        }
        break;
    case K_MASK_WITHOUT_SELF:
        __syncwarp(0xfffffffeu);
        break;
    case K_MASK_BEYOND_WARP:
        __syncwarp();
        break;
    case K_MASKS_DISAGREE:
        __syncwarp(lane % 2 ? ALL : 0x55555555u);
        break;
    case K_SHUFFLE_OUTSIDE_MASK:
        if (lane < 16) {
            x[0] = __shfl_sync(0xffffu, 1.0f, 20);
        }
        break;
    case K_UNWRITTEN_SHARED: {
        float v = unwritten_shared();
        if (i == 0) {
            x[0] = v;
        }
        break;
    }
    case K_BEYOND_STATIC:
        small[i + 1] = 0;
        break;
    case K_FAR_BEYOND_GLOBAL:
        x[n + (1 << 20)] = 0;
        break;
    case K_JUST_BEYOND_GLOBAL:
        x[n] = 0;
        break;
    case K_BEFORE_GLOBAL:
        x[-1] = 0;
        break;
    case K_DIVIDE_BY_ZERO:
        x[0] = static_cast<float>(1000 / (n - n + i / 64));
        break;
    case K_TRAP:
        __trap();
        break;
    case K_ENDLESS_RECURSION:
        x[0] = static_cast<float>(recurse(nullptr));
        break;
    case K_BLOCKS_RACE:
        x[i] = static_cast<float>(blockIdx.x);
        break;
    }
}

__global__ void empty()
{
}

__global__ void order_of(int *order, int *next)
{
    int mine = atomicAdd(next, 1);
    order[mine] = static_cast<int>(gridDim.x > 1 ? blockIdx.x : threadIdx.x);
}

} // namespace

cudaError_t k_sum(const float *x, int n, float *out, int without_barrier, cudaStream_t stream)
{
    cudaLaunchConfig_t c = configuration(1, 256, stream);
    return cudaLaunchKernelEx(&c, sum<256>, x, n, out, without_barrier);
}

cudaError_t k_rotate(float *x, int rounds, int without_barrier, cudaStream_t stream)
{
    cudaLaunchConfig_t c = configuration(1, 64, stream);
    return cudaLaunchKernelEx(&c, rotate, x, rounds, without_barrier);
}

cudaError_t k_reverse(const float *x, float *y, int n, int beyond, cudaStream_t stream)
{
    cudaLaunchConfig_t c = configuration(1, n + beyond, stream);
    c.dynamicSmemBytes = static_cast<size_t>(n) * sizeof(float);
    return cudaLaunchKernelEx(&c, reverse, x, y, n);
}

cudaError_t k_axpy(float *y, const float *x, float a, int n, cudaStream_t stream)
{
    cudaLaunchConfig_t c = configuration((n + 127) / 128, 128, stream);
    return cudaLaunchKernelEx(&c, axpy, y, x, a, n);
}

cudaError_t k_axpy_default(float *y, const float *x, float a, int n)
{
    cudaLaunchConfig_t c = {};
    c.gridDim = dim3(static_cast<unsigned>((n + 127) / 128));
    c.blockDim = dim3(128);
    return cudaLaunchKernelEx(&c, axpy, y, x, a, n);
}

cudaError_t k_axpy_struct(struct k_axpy_operands operands, cudaStream_t stream)
{
    cudaLaunchConfig_t c = configuration((operands.n + 127) / 128, 128, stream);
    return cudaLaunchKernelEx(&c, axpy_struct, operands);
}

cudaError_t k_count(const int *x, int n, int *counts, int plainly, cudaStream_t stream)
{
    cudaLaunchConfig_t c = configuration((n + 127) / 128, 128, stream);
    return cudaLaunchKernelEx(&c, count, x, n, counts, plainly);
}

cudaError_t k_warps(int *out, cudaStream_t stream)
{
    cudaLaunchConfig_t c = configuration(1, 64, stream);
    return cudaLaunchKernelEx(&c, warps, out);
}

cudaError_t k_double_halves(const void *x, void *y, int n, int offset, cudaStream_t stream)
{
    cudaLaunchConfig_t c = configuration((n + 511) / 512, 64, stream);
    return cudaLaunchKernelEx(
        &c, double_halves, static_cast<const __half *>(x), static_cast<__half *>(y), n, offset);
}

cudaError_t k_round_bf16(float *x, int n, cudaStream_t stream)
{
    cudaLaunchConfig_t c = configuration(1, n, stream);
    return cudaLaunchKernelEx(&c, round_bf16, x, n);
}

cudaError_t k_misdo(enum k_misdeed misdeed, float *x, int n, cudaStream_t stream)
{
    int threads = misdeed == K_MASK_BEYOND_WARP ? 48 : 64;
    cudaLaunchConfig_t c = configuration(misdeed == K_BLOCKS_RACE ? 2 : 1, threads, stream);
    return cudaLaunchKernelEx(&c, misdo, misdeed, x, n);
}

cudaError_t k_empty(int blocks, int threads, size_t dynamic_shared, cudaStream_t stream)
{
    cudaLaunchConfig_t c = configuration(blocks, threads, stream);
    c.dynamicSmemBytes = dynamic_shared;
    return cudaLaunchKernelEx(&c, empty);
}

cudaError_t k_allow_shared(size_t dynamic_shared)
{
    return cudaFuncSetAttribute(reinterpret_cast<const void *>(empty),
        cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(dynamic_shared));
}

cudaError_t k_empty_with_attribute(cudaStream_t stream)
{
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeClusterDimension;
    cudaLaunchConfig_t c = configuration(1, 32, stream);
    c.attrs = &attribute;
    c.numAttrs = 1;
    return cudaLaunchKernelEx(&c, empty);
}

cudaError_t k_order(int *order, int *next, int blocks, int threads, cudaStream_t stream)
{
    cudaLaunchConfig_t c = configuration(blocks, threads, stream);
    return cudaLaunchKernelEx(&c, order_of, order, next);
}
