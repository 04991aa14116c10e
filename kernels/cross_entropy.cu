// Softmax cross-entropy with label smoothing, mixed and soft targets, its gradient times the loss
// scale, and the sums of a training step.
//
// One block: the rows are few (256 of 10 classes, 16 wide, are 16 KB in fp32) and their sums need
// no second launch. A thread takes a row, in the CPU's order of arithmetic; hundreds of classes, of
// which few rows fit into shared memory at once, leave most threads idle.
//
// Bytes: logits read, gradient written, 24 KB at batch 256: the floor is the launch.
#include "cross_entropy.h"
#include "logits.cuh"

namespace
{

struct shape {
    int rows, classes, pitch;
    enum fm_cuda_type type, gradient_type;
    int gather;
    float smoothing, soft_share;
};

__device__ __forceinline__ struct fm_target target_of(const struct shape &s, const uint8_t *labels,
    const float *soft_targets, const uint32_t *ids, const struct fm_step *step,
    const struct fm_mix_ranges &mix, int n)
{
    uint32_t own = (uint32_t)n, other = fm_mix_other(own, (uint32_t)s.rows);
    struct fm_target target = {labels[s.gather ? ids[own] : own],
        labels[s.gather ? ids[other] : other],
        fm_mix_draw(step->seed, step->epoch, ids[own], &mix).weight, s.smoothing, s.soft_share,
        NULL, NULL};
    if (s.soft_share != 0.0f) {
        target.soft = soft_targets + (size_t)own * (size_t)s.classes;
        target.other_soft = soft_targets + (size_t)other * (size_t)s.classes;
    }
    return target;
}

// The staged gradient; zeros in the columns that pad a row.
__device__ __forceinline__ void store_gradient(
    const struct shape &s, int first, int rows, const float *staged, void *gradient)
{
    int down = FM_THREADS / s.pitch, across = FM_THREADS - down * s.pitch; // to the next element
    int row = (int)threadIdx.x / s.pitch, column = (int)threadIdx.x - row * s.pitch;
    for (int i = (int)threadIdx.x; row < rows; i += FM_THREADS) {
        float value = column < s.classes ? staged[row * fm_logit_pitch(s.classes) + column] : 0.0f;
        fm_store_as(s.gradient_type, gradient, (size_t)first * (size_t)s.pitch + (size_t)i, value);
        row += down;
        column += across;
        if (column >= s.pitch) {
            row++;
            column -= s.pitch;
        }
    }
}

__global__ void __launch_bounds__(FM_THREADS)
    cross_entropy(const void *logits, const uint8_t *labels, const float *soft_targets,
        const uint32_t *ids, const struct fm_step *step, void *gradient,
        struct fm_cuda_state *state, struct shape s, struct fm_mix_ranges mix)
{
    __shared__ float z[FM_LOGIT_FLOATS], dz[FM_LOGIT_FLOATS];
    __shared__ double sums[FM_THREADS / FM_LANES];
    float scale = state->loss_scale / (float)s.rows;
    double loss = 0.0;
    uint64_t correct = 0;
    int at_once = fm_logit_rows(s.classes);
    for (int first = 0; first < s.rows; first += at_once) {
        int rows = s.rows - first < at_once ? s.rows - first : at_once;
        bool has_row = (int)threadIdx.x < rows;
        struct fm_target target = fm_target_plain(0);
        if (has_row) // loaded while the logits are
            target = target_of(s, labels, soft_targets, ids, step, mix, first + (int)threadIdx.x);
        fm_stage_logits(s.type, logits, first, rows, s.classes, s.pitch, z);
        __syncthreads();
        int hit = 0;
        if (has_row) {
            int at = (int)threadIdx.x * fm_logit_pitch(s.classes);
            loss += (double)fm_cross_entropy_row(z + at, s.classes, target, scale, dz + at, &hit);
        }
        correct += (uint64_t)__syncthreads_count(hit); // and dz is there for all
        store_gradient(s, first, rows, dz, gradient);
    }
    loss = fm_block_sum(loss, sums);
    if (threadIdx.x == 0) {
        state->sums.loss += loss;
        state->sums.correct += correct;
        state->sums.count += (uint64_t)s.rows;
        state->loss_finite = loss - loss == 0.0;
    }
}

} // namespace

cudaError_t fm_launch_cross_entropy(const struct fm_cuda_cross_entropy *work, cudaStream_t stream)
{
    if (!work->logits || !work->labels || !work->ids || !work->step || !work->gradient ||
        !work->state || work->rows < 1 || work->classes < 1 || work->pitch < work->classes ||
        work->pitch > FM_CUDA_CLASSES_MAX || (work->soft_share != 0.0f && !work->soft_targets))
        return cudaErrorInvalidValue;
    struct shape s = {work->rows, work->classes, work->pitch, work->type, work->gradient_type,
        work->gather, work->smoothing, work->soft_share};
    return fm_launch(cross_entropy, 1, FM_THREADS, stream, work->logits, work->labels,
        work->soft_targets, work->ids, work->step, work->gradient, work->state, s, work->mix);
}
