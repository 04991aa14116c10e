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

// Elements that a thread loads before it stores the first: all it has of 256 rows of ten classes.
enum {
    FM_LOGITS_AHEAD = 10
};

// The thread's elements of these rows from `from` on, FM_THREADS apart.
template <class T>
static __device__ __forceinline__ void fm_load_logits(
    const T *logits, int from, int rows, int classes, int pitch, float (&values)[FM_LOGITS_AHEAD])
{
#pragma unroll
    for (int k = 0; k < FM_LOGITS_AHEAD; k++) {
        int i = from + k * FM_THREADS, row = i / classes, column = i - row * classes;
        values[k] = row < rows ? fm_widen(logits[row * pitch + column]) : 0.0f;
    }
}

// Rows [first, first + rows) of logits [.][pitch].
static __device__ __forceinline__ void fm_stage_logits(enum fm_cuda_type type, const void *logits,
    int first, int rows, int classes, int pitch, float *staged)
{
    size_t skipped = (size_t)first * (size_t)pitch;
    for (int from = (int)threadIdx.x; from < rows * classes; from += FM_LOGITS_AHEAD * FM_THREADS) {
        float values[FM_LOGITS_AHEAD];
        if (type == FM_CUDA_F16)
            fm_load_logits((const __half *)logits + skipped, from, rows, classes, pitch, values);
        else if (type == FM_CUDA_BF16)
            fm_load_logits(
                (const __nv_bfloat16 *)logits + skipped, from, rows, classes, pitch, values);
        else
            fm_load_logits((const float *)logits + skipped, from, rows, classes, pitch, values);
#pragma unroll
        for (int k = 0; k < FM_LOGITS_AHEAD; k++) {
            int i = from + k * FM_THREADS, row = i / classes, column = i - row * classes;
            if (row < rows)
                staged[row * fm_logit_pitch(classes) + column] = values[k];
        }
    }
}

#endif
