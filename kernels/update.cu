// The optimiser's update of all parameters in one launch: unscale, Adam(W) or SGD on fp32 masters,
// their average, and the working copies in fp16 or bf16. Nothing changes unless the step counts.
//
// A block a chunk of a parameter. Parameters begin at whole vectors and the gaps behind them hold
// zeros in all ranges, which an update keeps zero; so only whole vectors are taken.
//
// Bytes of an element for Adam in fp16: master and two moments read and written (24), gradient read
// (2), copy written (2), with an average 8 more. deeper's 3.8 million: 105 MB, 35 us at 3 TB/s;
// simple's 1.2 million: 11 us (less where the L2 cache, 50 MB on an H100, still holds them).
#include "adam.h"
#include "cuda_common.cuh"
#include "sgd.h"

namespace
{

struct constants {
    float beta1, beta2, epsilon, momentum;
    int nesterov;
};

// A block's chunk of a parameter, and what its elements share.
struct part {
    struct fm_cuda_param param;
    float learning_rate, weight_decay, ema_decay, unscale, correction1, correction2;
};

// ---- one vector; `at` counts elements in the ranges

template <bool ADAM>
__device__ __forceinline__ void train_vector(const struct part &p, const struct constants &c,
    size_t at, const float (&gradient)[FM_CUDA_VECTOR], float (&master)[FM_CUDA_VECTOR],
    float *moment1, float *moment2)
{
    float m[FM_CUDA_VECTOR], v[FM_CUDA_VECTOR];
    fm_load(moment1 + at, m);
    if constexpr (ADAM) {
        struct fm_adam_step step = {c.beta1, c.beta2, c.epsilon, p.learning_rate, p.weight_decay,
            p.correction1, p.correction2, p.unscale};
        fm_load(moment2 + at, v);
        for (int k = 0; k < FM_CUDA_VECTOR; k++)
            master[k] = fm_adam_element(master[k], &m[k], &v[k], gradient[k], step);
        fm_store(moment2 + at, v);
    } else {
        struct fm_sgd_step step = {
            c.momentum, p.learning_rate, p.weight_decay, p.unscale, c.nesterov};
        for (int k = 0; k < FM_CUDA_VECTOR; k++)
            master[k] = fm_sgd_element(master[k], &m[k], gradient[k], step);
    }
    fm_store(moment1 + at, m);
}

__device__ __forceinline__ void average_vector(
    float decay, const float (&value)[FM_CUDA_VECTOR], float *average)
{
    float a[FM_CUDA_VECTOR];
    fm_load(average, a);
    for (int k = 0; k < FM_CUDA_VECTOR; k++)
        a[k] = fmaf(decay, a[k], (1.0f - decay) * value[k]);
    fm_store(average, a);
}

__device__ __forceinline__ struct part part_of(const struct fm_cuda_param &param,
    const struct fm_step *step, const struct fm_cuda_state *state)
{
    struct part p;
    p.param = param;
    p.learning_rate = step->learning_rate * param.lr_multiplier;
    p.weight_decay = param.flags & FM_CUDA_PARAM_DECAYS ? step->weight_decay : 0.0f;
    p.ema_decay = step->ema_decay;
    p.unscale = state->unscale;
    p.correction1 = state->correction1;
    p.correction2 = state->correction2;
    return p;
}

// T: what gradients and working copies of the lower precision are; float: there are none.
template <class T, bool ADAM>
__global__ void __launch_bounds__(FM_THREADS) update(const struct fm_cuda_param *params,
    const struct fm_cuda_chunk *chunks, const T *low_gradients, const float *f32_gradients,
    float *masters, float *moment1, float *moment2, float *average, T *working,
    const struct fm_step *step, const struct fm_cuda_state *state, struct constants c)
{
    if (!state->finite)
        return;
    struct fm_cuda_chunk chunk = chunks[blockIdx.x];
    struct part p = part_of(params[chunk.param], step, state);
    uint32_t first = chunk.first + threadIdx.x * FM_CUDA_VECTOR;
    if (first >= p.param.count)
        return;
    size_t at = (size_t)p.param.offset + first, from = (size_t)p.param.gradient_offset + first;
    float master[FM_CUDA_VECTOR];
    fm_load(masters + at, master);
    if (p.param.flags & FM_CUDA_PARAM_TRAINED) {
        float gradient[FM_CUDA_VECTOR];
        if (sizeof(T) == sizeof(float) || p.param.flags & FM_CUDA_PARAM_GRADIENT_F32)
            fm_load(f32_gradients + from, gradient);
        else
            fm_load(low_gradients + from, gradient);
        train_vector<ADAM>(p, c, at, gradient, master, moment1, moment2);
        fm_store(masters + at, master);
        if (sizeof(T) != sizeof(float))
            fm_store(working + at, master);
        // Rounding would move the average of what is not trained.
        if (average && p.ema_decay > 0.0f)
            average_vector(p.ema_decay, master, average + at);
    }
}

static_assert(FM_CUDA_CHUNK == FM_THREADS * FM_CUDA_VECTOR, "a vector a thread");

bool takes(const struct fm_cuda_update *work)
{
    bool low = work->type != FM_CUDA_F32, adam = work->optimiser == FM_CUDA_ADAM;
    return work->params && work->chunks && work->chunk_count > 0 && work->step && work->state &&
           fm_aligned(work->masters, work->moment1) && (!adam || fm_aligned(work->moment2)) &&
           (uintptr_t)work->average % 16 == 0 && (uintptr_t)work->f32_gradients % 16 == 0 &&
           (low ? fm_aligned(work->low_gradients, work->working) : work->f32_gradients != NULL);
}

} // namespace

cudaError_t fm_launch_update(const struct fm_cuda_update *work, cudaStream_t stream)
{
    if (!takes(work))
        return cudaErrorInvalidValue;
    struct constants c = {work->beta1, work->beta2, work->epsilon, work->momentum, work->nesterov};
    bool adam = work->optimiser == FM_CUDA_ADAM;
    return fm_with_type(work->type, [&](auto zero) {
        using T = decltype(zero);
        bool low = sizeof(T) != sizeof(float);
        return fm_launch(adam ? update<T, true> : update<T, false>, work->chunk_count, FM_THREADS,
            stream, work->params, work->chunks, low ? (const T *)work->low_gradients : NULL,
            work->f32_gradients, work->masters, work->moment1, work->moment2, work->average,
            low ? (T *)work->working : NULL, work->step, work->state, c);
    });
}
