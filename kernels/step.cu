// Decides, on the device, whether a training step counts: what the host would have to wait for.
//
// Counters, Adam's corrections for the step that is to be applied, the loss scale of the next. What
// the update needs of this step (finite, unscale, corrections) stays until the next decision. A
// thread for each of the corrections, which take longest: powers in fp64.
//
// Bytes: 100. The floor is the launch.
#include "adam.h"
#include "cuda_common.cuh"
#include "loss_scale.h"

namespace
{

__global__ void decide(struct fm_cuda_state *state, int scaled, float beta1, float beta2)
{
    bool second = threadIdx.x > 0;
    uint32_t finite = state->overflow == 0;
    uint64_t applied = state->applied + 1;
    float correction = fm_adam_correction(second ? beta2 : beta1, applied);
    __syncthreads(); // both have read what one of them writes
    if (second) {
        if (finite)
            state->correction2 = correction;
        return;
    }
    float scale = state->loss_scale;
    state->overflow = 0;
    state->finite = finite;
    state->gradient_scale = scale;
    state->unscale = 1.0f / scale;
    if (finite) {
        state->applied = applied;
        state->correction1 = correction;
    } else {
        state->skipped++;
        if (!state->loss_finite || scale <= FM_LOSS_SCALE_LEAST)
            state->sums.incurable++;
    }
    if (scaled)
        state->growths += (uint64_t)fm_loss_scale_next(
            (int)finite, &state->loss_scale, &state->good_steps);
    else
        state->good_steps = finite ? state->good_steps + 1 : 0;
}

} // namespace

cudaError_t fm_launch_step(const struct fm_cuda_decision *work, cudaStream_t stream)
{
    if (!work->state)
        return cudaErrorInvalidValue;
    return fm_launch(decide, 1, 2, stream, work->state, work->scaled, work->beta1, work->beta2);
}
