// What inference reports of its logits: themselves as fp32 without padding, loss, correct
// predictions, confusion matrix. One block where there are sums, as in cross_entropy.cu; else as
// many as the rows fill.
//
// Bytes: logits read, 64 bytes a row of ten classes (16 wide, in fp32), and written as 40: the
// floor is the launch.
#include "cross_entropy.h"
#include "logits.cuh"

namespace
{

struct shape {
    int rows, classes, pitch;
    enum fm_cuda_type type;
};

// The first largest, as fm_cross_entropy_row has it: a NaN is none.
__device__ __forceinline__ int predicted(const float *logits, int classes)
{
    int best = 0;
    for (int k = 1; k < classes; k++)
        if (logits[k] > logits[best])
            best = k;
    return best;
}

__device__ __forceinline__ void store_compact(
    int first, int rows, int classes, const float *staged, float *compact)
{
    for (int i = (int)threadIdx.x; i < rows * classes; i += FM_THREADS) {
        int row = i / classes, column = i - row * classes;
        compact[(size_t)first * (size_t)classes + (size_t)i] =
            staged[row * fm_logit_pitch(classes) + column];
    }
}

__global__ void __launch_bounds__(FM_THREADS)
    metrics(const void *logits, const struct fm_step *step, float *compact, const uint8_t *labels,
        const uint32_t *ids, struct fm_cuda_sums *total, uint32_t *confusion, struct shape s)
{
    __shared__ float z[FM_LOGIT_FLOATS];
    __shared__ double sums[FM_THREADS / FM_LANES];
    int count = (int)step->count < s.rows ? (int)step->count : s.rows;
    double loss = 0.0, correct = 0.0;
    int at_once = fm_logit_rows(s.classes);
    for (int first = (int)blockIdx.x * at_once; first < count; first += (int)gridDim.x * at_once) {
        int rows = count - first < at_once ? count - first : at_once;
        fm_stage_logits(s.type, logits, first, rows, s.classes, s.pitch, z);
        __syncthreads();
        if (compact)
            store_compact(first, rows, s.classes, z, compact);
        if (labels && (int)threadIdx.x < rows) {
            int n = first + (int)threadIdx.x, hit;
            const float *row = z + (int)threadIdx.x * fm_logit_pitch(s.classes);
            int label = labels[ids ? ids[n] : (uint32_t)n];
            loss += (double)fm_cross_entropy_row(
                row, s.classes, fm_target_plain(label), 1.0f, NULL, &hit);
            correct += (double)hit;
            if (confusion)
                atomicAdd(&confusion[label * s.classes + predicted(row, s.classes)], 1u);
        }
        __syncthreads();
    }
    if (!labels)
        return;
    loss = fm_block_sum(loss, sums);
    correct = fm_block_sum(correct, sums);
    if (threadIdx.x == 0 && total) {
        total->loss += loss;
        total->correct += (uint64_t)correct;
        total->count += (uint64_t)count;
    }
}

} // namespace

cudaError_t fm_launch_metrics(const struct fm_cuda_metrics *work, cudaStream_t stream)
{
    if (!work->logits || !work->step || work->rows < 1 || work->classes < 1 ||
        work->pitch < work->classes || work->pitch > FM_CUDA_CLASSES_MAX)
        return cudaErrorInvalidValue;
    struct shape s = {work->rows, work->classes, work->pitch, work->type};
    int at_once = fm_logit_rows(work->classes);
    int blocks = work->labels ? 1 : (work->rows - 1) / at_once + 1;
    return fm_launch(metrics, blocks, FM_THREADS, stream, work->logits, work->step, work->compact,
        work->labels, work->ids, work->sums, work->confusion, s);
}
