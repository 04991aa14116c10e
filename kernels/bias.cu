// Bias alone, where it is not fused: y += bias (and ReLU), and its gradient, the sum of dy; with a
// ReLU behind the bias, of what that lets pass, which the same pass over dy puts out.
//
// Bytes: forward reads and writes y once; backward reads dy once, with a ReLU dy and y, and writes
// dx. A dense layer's 256x128 in fp16 is 64 KB, so the launches (one, two) are the floor; a
// convolution's 256x24x24x64 is 18.9 MB: 13 us forward, 6 backward, 19 with a ReLU, at 3 TB/s.
// A ReLU's backward and the sums one after the other would read what lies between once more: 25.
#include "columns.cuh"

namespace
{

template <class T, int N>
__global__ void __launch_bounds__(FM_THREADS) bias_forward(
    T *y, const void *bias, enum fm_cuda_type bias_type, int relu, int channels, size_t vectors)
{
    for (size_t at = fm_thread(); at < vectors; at += fm_threads()) {
        size_t c = fm_channel_of<N>(at, channels);
        float values[N];
        fm_load(y + at * N, values);
        for (int k = 0; k < N; k++) {
            values[k] += fm_load_as(bias_type, bias, c + (size_t)k);
            if (relu && values[k] < 0.0f)
                values[k] = 0.0f;
        }
        fm_store(y + at * N, values);
    }
}

// The gradient at `at` of dy; where a ReLU gates it, it is put into dx, which may be dy.
template <bool GATED, class T, int N>
__device__ __forceinline__ void gradient_at(
    const T *dy, const T *gate, T *dx, size_t at, float (&values)[N])
{
    fm_load(dy + at, values);
    if constexpr (GATED) {
        float open[N];
        fm_load(gate + at, open);
        for (int k = 0; k < N; k++)
            values[k] = open[k] > 0.0f ? values[k] : 0.0f;
        fm_store(dx + at, values);
    }
}

template <class T, int N, bool GATED>
__global__ void __launch_bounds__(FM_THREADS) bias_partials(
    const T *dy, const T *gate, T *dx, float *partials, int rows, int channels, int rows_each)
{
    __shared__ float shared[N * FM_THREADS];
    struct fm_column_part part = fm_column_part_of<N>(rows, channels, rows_each);
    float sums[N] = {}, values[N];
    for (int row = part.first; row < part.end; row += (int)blockDim.y) {
        size_t at = (size_t)row * (size_t)channels + (size_t)part.channel;
        gradient_at<GATED>(dy, gate, dx, at, values);
        for (int k = 0; k < N; k++)
            sums[k] += values[k];
    }
    fm_sum_lines(sums, shared);
    if (threadIdx.y == 0 && part.channel < channels)
        for (int k = 0; k < N; k++)
            partials[fm_partial_at(0, part.channel + k, channels, (int)gridDim.y) + blockIdx.y] =
                sums[k];
}

__global__ void __launch_bounds__(FM_LANES) bias_gradient(
    const float *partials, void *gradient, enum fm_cuda_type type, int channels, int chunks)
{
    int channel = (int)blockIdx.x;
    double sum = fm_sum_partials(partials + fm_partial_at(0, channel, channels, chunks), chunks);
    if (threadIdx.x == 0)
        fm_store_as(type, gradient, (size_t)channel, (float)sum);
}

template <class T, int N>
cudaError_t launch_partials(const struct fm_cuda_bias *work, cudaStream_t stream)
{
    struct fm_columns c = fm_columns_of<N>(work->rows, work->channels);
    return fm_launch(work->gate ? bias_partials<T, N, true> : bias_partials<T, N, false>, c.grid,
        c.block, stream, (const T *)work->dy, (const T *)work->gate, (T *)work->dx, work->scratch,
        c.rows, c.channels, c.rows_each);
}

} // namespace

cudaError_t fm_launch_bias_forward(const struct fm_cuda_bias *work, cudaStream_t stream)
{
    if (!fm_aligned(work->y) || !work->bias || work->rows < 1 || work->channels < 1)
        return cudaErrorInvalidValue;
    bool vectors = fm_by_vectors(work->channels);
    size_t pieces = (size_t)work->rows * (size_t)work->channels / (vectors ? FM_CUDA_VECTOR : 1);
    if (!fm_countable(pieces))
        return cudaErrorInvalidValue;
    return fm_with_type(work->type, [&](auto zero) {
        using T = decltype(zero);
        return fm_launch(vectors ? bias_forward<T, FM_CUDA_VECTOR> : bias_forward<T, 1>,
            fm_blocks(pieces), FM_THREADS, stream, (T *)work->y, work->bias, work->bias_type,
            work->relu, work->channels, pieces);
    });
}

cudaError_t fm_launch_bias_backward(const struct fm_cuda_bias *work, cudaStream_t stream)
{
    if (!fm_aligned(work->dy, work->scratch) || !work->gradient || work->rows < 1 ||
        work->channels < 1)
        return cudaErrorInvalidValue;
    bool gates = work->gate || work->dx;
    if (gates && !fm_aligned(work->gate, work->dx))
        return cudaErrorInvalidValue;
    cudaError_t error = fm_with_type(work->type, [&](auto zero) {
        using T = decltype(zero);
        return fm_by_vectors(work->channels) ? launch_partials<T, FM_CUDA_VECTOR>(work, stream)
                                             : launch_partials<T, 1>(work, stream);
    });
    if (error != cudaSuccess)
        return error;
    return fm_launch(bias_gradient, (unsigned)work->channels, FM_LANES, stream,
        (const float *)work->scratch, work->gradient, work->bias_type, work->channels,
        fm_cuda_column_chunks((size_t)work->rows));
}
