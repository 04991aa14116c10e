// The first kernel of a network whose records are features: from fp32 records to its input. What a
// base has put out once is gathered, mixed and stored in the type that is computed with.
//
// A block a record: 512 features are a piece each of 64 threads.
//
// Bytes: each feature read as fp32 (twice where samples are mixed) and written once: 512 of them in
// fp16 at batch 256 are 0.5 + 0.3 MB, 0.3 us at 3 TB/s. So the floor is the launch.
#include "cuda_common.cuh"

namespace
{

template <class T, int N>
__global__ void __launch_bounds__(FM_THREADS) features(const float *records, const uint32_t *ids,
    const struct fm_step *step, T *out, int count, int gather, struct fm_mix_ranges mix)
{
    uint32_t sample = blockIdx.x;
    bool there = sample < step->count;
    const float *from = records, *other = records;
    float weight = 0.0f;
    if (there) {
        uint32_t next = fm_mix_other(sample, step->count);
        from += (size_t)(gather ? ids[sample] : sample) * (size_t)count;
        other += (size_t)(gather ? ids[next] : next) * (size_t)count;
        weight = fm_mix_draw(step->seed, step->epoch, ids[sample], &mix).weight;
    }
    T *to = out + (size_t)sample * (size_t)count;
    for (int at = (int)threadIdx.x * N; at < count; at += FM_THREADS * N) {
        float values[N] = {};
        if (there)
            fm_load(from + at, values);
        if (weight > 0.0f) {
            float others[N];
            fm_load(other + at, others);
            for (int i = 0; i < N; i++)
                values[i] = fm_lerp(values[i], others[i], weight);
        }
        fm_store(to + at, values);
    }
}

bool takes(const struct fm_cuda_features *work)
{
    return fm_aligned(work->records, work->out) && work->ids && work->step && work->samples > 0 &&
           work->count > 0 && work->count <= INT32_MAX / 2 && work->mix.cut_threshold == 0;
}

} // namespace

cudaError_t fm_launch_features(const struct fm_cuda_features *work, cudaStream_t stream)
{
    if (!takes(work))
        return cudaErrorInvalidValue;
    return fm_with_type(work->type, [&](auto zero) {
        using T = decltype(zero);
        return fm_launch(fm_by_vectors(work->count) ? features<T, FM_CUDA_VECTOR> : features<T, 1>,
            work->samples, FM_THREADS, stream, work->records, work->ids, work->step, (T *)work->out,
            work->count, work->gather, work->mix);
    });
}
