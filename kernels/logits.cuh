// Rows of logits in shared memory, so that a thread can take a row at a time with the arithmetic
// shared with the CPU, and global memory is still read and written in order.
#ifndef FM_KERNELS_LOGITS_CUH
#define FM_KERNELS_LOGITS_CUH

#include "cuda_common.cuh"

enum {
    FM_LOGIT_FLOATS = 5120 // of shared memory for the rows of one pass
};

// A row is an odd number of floats apart from the next, so that 32 threads that read theirs at the
// same column read 32 banks.
static __host__ __device__ __forceinline__ int fm_logit_pitch(int classes)
{
    return classes | 1;
}

// Rows of one pass: a thread each.
static __host__ __device__ __forceinline__ int fm_logit_rows(int classes)
{
    int fit = FM_LOGIT_FLOATS / fm_logit_pitch(classes);
    return fit < FM_THREADS ? fit : FM_THREADS;
}

// Rows [first, first + rows) of logits [.][pitch].
static __device__ __forceinline__ void fm_stage_logits(enum fm_cuda_type type, const void *logits,
    int first, int rows, int classes, int pitch, float *staged)
{
    for (int i = (int)threadIdx.x; i < rows * classes; i += FM_THREADS) {
        int row = i / classes, column = i - row * classes;
        staged[row * fm_logit_pitch(classes) + column] = fm_load_as(
            type, logits, (size_t)(first + row) * (size_t)pitch + (size_t)column);
    }
}

#endif
