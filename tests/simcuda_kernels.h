// Small kernels on which the simulated device is tested: each right, and with a bug planted that
// the simulation promises to catch.
#ifndef SIMCUDA_KERNELS_H
#define SIMCUDA_KERNELS_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

// *sum = the sum of x, by one block: partial sums of warps in shared memory. Without its barrier
// the sum is of whatever is there.
cudaError_t k_sum(const float *x, int n, float *sum, int without_barrier, cudaStream_t stream);

// Adds `rounds` times a block's value of another thread, through shared memory, which takes a
// barrier before reading and one before the next round's writing. x has as many elements as
// threads, 64.
cudaError_t k_rotate(float *x, int rounds, int without_barrier, cudaStream_t stream);

// y[i] = x[n - 1 - i] through dynamic shared memory of n elements, in one block; `beyond` threads
// write past it.
cudaError_t k_reverse(const float *x, float *y, int n, int beyond, cudaStream_t stream);

// y[i] = a x[i] + y[i].
cudaError_t k_axpy(float *y, const float *x, float a, int n, cudaStream_t stream);
// The same without naming a stream: on the default one.
cudaError_t k_axpy_default(float *y, const float *x, float a, int n);

struct k_axpy_operands {
    float *y;
    const float *x;
    float a;
    int n;
};
cudaError_t k_axpy_struct(struct k_axpy_operands operands, cudaStream_t stream);

// counts[v] = how often v (0 to 3) is in x; not atomically, if so asked.
cudaError_t k_count(const int *x, int n, int *counts, int plainly, cudaStream_t stream);

// What __shfl_sync, _up, _down and _xor, ballot and the counting barriers give, into out[9 * 64] of
// one block of 64 threads.
cudaError_t k_warps(int *out, cudaStream_t stream);

// y[i] = fp16 x[i] doubled, loaded and stored 16 bytes (8 elements) at a time, `offset` elements
// on.
cudaError_t k_double_halves(const void *x, void *y, int n, int offset, cudaStream_t stream);
// bf16 of x, and back: what rounding leaves.
cudaError_t k_round_bf16(float *x, int n, cudaStream_t stream);

// One block of 64 threads that does what must not be done.
enum k_misdeed {
    K_HALF_EXIT_EARLY,      // before a barrier
    K_OTHER_BARRIER,        // half of the threads wait at one, half at another
    K_OTHER_BARRIER_KIND,   // __syncthreads here, __syncthreads_count there
    K_MASK_NEVER_COMPLETE,  // a warp operation of all lanes that half of them reach
    K_MASK_WITHOUT_SELF,    // a lane calls with a mask that it is not in
    K_MASK_BEYOND_WARP,     // a mask of 32 lanes in a warp of 16
    K_MASKS_DISAGREE,       // lanes name overlapping, different masks
    K_SHUFFLE_OUTSIDE_MASK, // from a lane that does not take part
    K_UNWRITTEN_SHARED,     // the sum of shared memory half of which was written, to *x
    K_BEYOND_STATIC,        // an index past a static shared array
    K_FAR_BEYOND_GLOBAL,    // far past the end of x
    K_JUST_BEYOND_GLOBAL,   // 4 bytes past the end of x
    K_BEFORE_GLOBAL,        // 4 bytes before x
    K_DIVIDE_BY_ZERO,
    K_TRAP,
    K_ENDLESS_RECURSION,
    K_BLOCKS_RACE // two blocks write the same
};
// x has n elements.
cudaError_t k_misdo(enum k_misdeed misdeed, float *x, int n, cudaStream_t stream);

// Does nothing, with any configuration.
cudaError_t k_empty(int blocks, int threads, size_t dynamic_shared, cudaStream_t stream);
cudaError_t k_allow_shared(size_t dynamic_shared); // to k_empty
cudaError_t k_empty_with_attribute(cudaStream_t stream);

// Writes into order the number of each block, and of each thread of block 0, in the order in which
// they ran: (*next)++ for both. next is 0 at first.
cudaError_t k_order(int *order, int *next, int blocks, int threads, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif
