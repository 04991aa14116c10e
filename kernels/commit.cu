// Takes a batch's statistics into batch norm's running ones, and those into their average, if the
// step counts: a skipped step leaves no trace.
//
// Bytes: five floats a statistic, a few thousand of them: the floor is the launch.
#include "cuda_common.cuh"

namespace
{

__global__ void __launch_bounds__(FM_THREADS)
    commit(const float *batch, float *running, float *average, const struct fm_step *step,
        const struct fm_cuda_state *state, size_t count, float keep)
{
    if (!state->finite)
        return;
    float decay = step->ema_decay;
    for (size_t at = fm_thread(); at < count; at += fm_threads()) {
        float value = fmaf(keep, running[at], (1.0f - keep) * batch[at]);
        running[at] = value;
        if (average && decay > 0.0f)
            average[at] = fmaf(decay, average[at], (1.0f - decay) * value);
    }
}

} // namespace

cudaError_t fm_launch_commit(const struct fm_cuda_commit *work, cudaStream_t stream)
{
    if (!work->batch || !work->running || !work->step || !work->state || work->count < 1)
        return cudaErrorInvalidValue;
    return fm_launch(commit, fm_blocks(work->count), FM_THREADS, stream, work->batch, work->running,
        work->average, work->step, work->state, work->count, 1.0f - work->momentum);
}
