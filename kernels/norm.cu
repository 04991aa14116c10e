// Batch norm with the ReLU behind it, for devices where cuDNN has none (compute capability 7.5),
// and for inference where it is not folded.
//
// With xhat = (x - mean) * inv, inv = 1 / sqrt(var + eps), M = rows:
//   y  = gamma * xhat + beta                                        as x * scale + shift
//   dx = gamma * inv * (dy - sum(dy) / M - xhat * sum(dy * xhat) / M)    as a dy + b x + k
//
// Statistics take one pass: each thread follows mean and squared deviations of its rows (Welford
// 1962), and those of threads and parts are combined (Chan, Golub, LeVeque 1979, eq. 2.1), so that
// nothing cancels.
//
// The statistics of a batch are put out on their own (batch_mean, batch_variance): commit.cu takes
// them into the running ones only if the step counts.
//
// Bytes, with t the tensor's: training 2t read, t written; backward 4t read (6t with ReLU), t
// written. 256x28x28x64 in fp16 (25.7 MB) on a T4 (0.3 TB/s): 0.26 and 0.43 ms.
#include "columns.cuh"

namespace
{

// ---- statistics

// Mean and sum of squared deviations of N channels over the same `count` rows.
template <int N> struct moments {
    float count, mean[N], square[N];
};

template <int N>
__device__ __forceinline__ void combine(struct moments<N> &a, const struct moments<N> &b)
{
    float count = a.count + b.count;
    if (b.count == 0.0f)
        return;
    float share = b.count / count;
    for (int k = 0; k < N; k++) {
        float d = b.mean[k] - a.mean[k];
        a.mean[k] = fmaf(d, share, a.mean[k]);
        a.square[k] += b.square[k] + d * d * (a.count * share);
    }
    a.count = count;
}

template <int N>
__device__ __forceinline__ void combine_lines(struct moments<N> &own, float *shared)
{
    unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
    float *counts = shared, *means = shared + FM_THREADS, *squares = means + N * FM_THREADS;
    for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
        if (threadIdx.y >= half && threadIdx.y < 2 * half) {
            counts[thread] = own.count;
            for (unsigned k = 0; k < N; k++) {
                means[k * FM_THREADS + thread] = own.mean[k];
                squares[k * FM_THREADS + thread] = own.square[k];
            }
        }
        __syncthreads();
        if (threadIdx.y < half) {
            unsigned from = thread + half * blockDim.x;
            struct moments<N> other;
            other.count = counts[from];
            for (unsigned k = 0; k < N; k++) {
                other.mean[k] = means[k * FM_THREADS + from];
                other.square[k] = squares[k * FM_THREADS + from];
            }
            combine(own, other);
        }
        __syncthreads();
    }
}

template <class T, int N>
__global__ void __launch_bounds__(FM_THREADS)
    norm_moments(const T *x, float *partials, int rows, int channels, int rows_each)
{
    __shared__ float shared[(1 + 2 * N) * FM_THREADS];
    struct fm_column_part part = fm_column_part_of<N>(rows, channels, rows_each);
    struct moments<N> own = {
    };
    float values[N];
    for (int row = part.first; row < part.end; row += (int)blockDim.y) {
        fm_load(x + (size_t)row * (size_t)channels + (size_t)part.channel, values);
        own.count += 1.0f;
        float share = 1.0f / own.count;
        for (int k = 0; k < N; k++) {
            float d = values[k] - own.mean[k];
            own.mean[k] = fmaf(d, share, own.mean[k]);
            own.square[k] = fmaf(d, values[k] - own.mean[k], own.square[k]);
        }
    }
    combine_lines(own, shared);
    if (threadIdx.y == 0 && part.channel < channels)
        for (int k = 0; k < N; k++) {
            int c = part.channel + k, chunks = (int)gridDim.y;
            partials[fm_partial_at(0, c, channels, chunks) + blockIdx.y] = own.mean[k];
            partials[fm_partial_at(1, c, channels, chunks) + blockIdx.y] = own.square[k];
        }
}

// Rows of a chunk; the last ones may have fewer, or none.
__device__ __forceinline__ double chunk_rows(int chunk, int rows, int rows_each)
{
    int left = rows - chunk * rows_each;
    return (double)(left < 0 ? 0 : left < rows_each ? left : rows_each);
}

// A channel's mean and biased variance from its chunks'; the same in each lane.
__device__ __forceinline__ void combine_chunks(const float *means, const float *squares, int rows,
    int chunks, int rows_each, float *mean, float *variance)
{
    float mean_of[FM_LANE_PARTIALS], square_of[FM_LANE_PARTIALS];
    fm_load_partials(means, chunks, mean_of);
    fm_load_partials(squares, chunks, square_of);
    double total = 0.0, spread = 0.0;
#pragma unroll
    for (int n = 0; n < FM_LANE_PARTIALS; n++)
        if (fm_lane_chunk(n) < chunks)
            total += (double)mean_of[n] * chunk_rows(fm_lane_chunk(n), rows, rows_each);
    double centre = fm_warp_sum(total) / (double)rows;
#pragma unroll
    for (int n = 0; n < FM_LANE_PARTIALS; n++)
        if (fm_lane_chunk(n) < chunks) {
            double d = (double)mean_of[n] - centre;
            spread += (double)square_of[n] + d * d * chunk_rows(fm_lane_chunk(n), rows, rows_each);
        }
    *mean = (float)centre;
    *variance = (float)(fm_warp_sum(spread) / (double)rows);
}

__device__ __forceinline__ void store_scale(const float *gamma, const float *beta, float mean,
    float inverse, float *coefficients, int channel, int channels)
{
    float scale = gamma[channel] * inverse;
    coefficients[channel] = scale;
    coefficients[channels + channel] = beta[channel] - mean * scale;
}

__global__ void __launch_bounds__(FM_LANES)
    norm_statistics(const float *partials, const float *gamma, const float *beta, float *mean,
        float *inverse, float *batch_mean, float *batch_variance, float *coefficients, int rows,
        int channels, int chunks, int rows_each, float epsilon)
{
    int channel = (int)blockIdx.x;
    float centre, variance;
    combine_chunks(partials + fm_partial_at(0, channel, channels, chunks),
        partials + fm_partial_at(1, channel, channels, chunks), rows, chunks, rows_each, &centre,
        &variance);
    if (threadIdx.x != 0)
        return;
    float count = (float)rows, inv = 1.0f / sqrtf(variance + epsilon);
    mean[channel] = centre;
    inverse[channel] = inv;
    batch_mean[channel] = centre;
    batch_variance[channel] = variance * (count > 1.0f ? count / (count - 1.0f) : 1.0f);
    store_scale(gamma, beta, centre, inv, coefficients, channel, channels);
}

__global__ void __launch_bounds__(FM_THREADS) norm_running(const float *gamma, const float *beta,
    const float *mean, const float *variance, float *coefficients, int channels, float epsilon)
{
    int channel = (int)fm_thread();
    if (channel >= channels)
        return;
    float inv = 1.0f / sqrtf(variance[channel] + epsilon);
    store_scale(gamma, beta, mean[channel], inv, coefficients, channel, channels);
}

// ---- y = scale x + shift

template <class T, int N>
__global__ void __launch_bounds__(FM_THREADS)
    norm_apply(const T *x, T *y, const float *coefficients, int relu, int channels, size_t vectors)
{
    for (size_t at = fm_thread(); at < vectors; at += fm_threads()) {
        size_t c = fm_channel_of<N>(at, channels);
        float values[N], scale[N], shift[N];
        fm_load(x + at * N, values);
        fm_load(coefficients + c, scale);
        fm_load(coefficients + (size_t)channels + c, shift);
        for (int k = 0; k < N; k++) {
            values[k] = fmaf(values[k], scale[k], shift[k]);
            if (relu && values[k] < 0.0f) // a NaN stays one
                values[k] = 0.0f;
        }
        fm_store(y + at * N, values);
    }
}

// ---- backward

// dy, where the ReLU let it through.
template <class T, int N>
__device__ __forceinline__ void load_gradient(
    const T *dy, const T *y, int relu, size_t at, float (&gradient)[N])
{
    fm_load(dy + at, gradient);
    if (!relu)
        return;
    float gate[N];
    fm_load(y + at, gate);
    for (int k = 0; k < N; k++)
        gradient[k] = gate[k] > 0.0f ? gradient[k] : 0.0f;
}

template <class T, int N>
__global__ void __launch_bounds__(FM_THREADS) norm_gradient_partials(const T *x, const T *dy,
    const T *y, const float *mean, float *partials, int relu, int rows, int channels, int rows_each)
{
    __shared__ float shared[2 * N * FM_THREADS];
    struct fm_column_part part = fm_column_part_of<N>(rows, channels, rows_each);
    float sums[2 * N] = {}, centre[N] = {}, values[N], gradient[N];
    if (part.channel < channels)
        fm_load(mean + part.channel, centre);
    for (int row = part.first; row < part.end; row += (int)blockDim.y) {
        size_t at = (size_t)row * (size_t)channels + (size_t)part.channel;
        fm_load(x + at, values);
        load_gradient(dy, y, relu, at, gradient);
        for (int k = 0; k < N; k++) {
            sums[k] += gradient[k];
            sums[N + k] = fmaf(gradient[k], values[k] - centre[k], sums[N + k]);
        }
    }
    fm_sum_lines(sums, shared);
    if (threadIdx.y == 0 && part.channel < channels)
        for (int k = 0; k < N; k++) {
            int c = part.channel + k, chunks = (int)gridDim.y;
            partials[fm_partial_at(0, c, channels, chunks) + blockIdx.y] = sums[k];
            partials[fm_partial_at(1, c, channels, chunks) + blockIdx.y] = sums[N + k];
        }
}

__global__ void __launch_bounds__(FM_LANES) norm_gradients(const float *partials,
    const float *gamma, const float *mean, const float *inverse, float *dgamma, float *dbeta,
    float *coefficients, int rows, int channels, int chunks)
{
    int channel = (int)blockIdx.x;
    float inv = inverse[channel];
    double beta = fm_sum_partials(partials + fm_partial_at(0, channel, channels, chunks), chunks);
    double gamma_sum = fm_sum_partials(
        partials + fm_partial_at(1, channel, channels, chunks), chunks);
    if (threadIdx.x != 0)
        return;
    float count = (float)rows, scale = gamma[channel] * inv;
    float sum_dy = (float)beta, sum_dy_xhat = (float)(gamma_sum * (double)inv);
    dbeta[channel] = sum_dy;
    dgamma[channel] = sum_dy_xhat;
    float b = -scale * (sum_dy_xhat / count) * inv;
    coefficients[channel] = scale;
    coefficients[channels + channel] = b;
    coefficients[2 * channels + channel] = -scale * (sum_dy / count) - b * mean[channel];
}

template <class T, int N>
__global__ void __launch_bounds__(FM_THREADS) norm_backward(const T *x, const T *dy, const T *y,
    T *dx, const float *coefficients, int relu, int channels, size_t vectors)
{
    for (size_t at = fm_thread(); at < vectors; at += fm_threads()) {
        size_t c = fm_channel_of<N>(at, channels);
        float values[N], gradient[N], a[N], b[N], shift[N];
        fm_load(x + at * N, values);
        load_gradient(dy, y, relu, at * N, gradient);
        fm_load(coefficients + c, a);
        fm_load(coefficients + (size_t)channels + c, b);
        fm_load(coefficients + 2 * (size_t)channels + c, shift);
        for (int k = 0; k < N; k++)
            values[k] = fmaf(a[k], gradient[k], fmaf(b[k], values[k], shift[k]));
        fm_store(dx + at * N, values);
    }
}

// ---- launching

bool takes(const struct fm_cuda_norm *work)
{
    return fm_aligned(work->x, work->coefficients) && work->gamma && work->rows > 0 &&
           work->channels > 0 && fm_countable((size_t)work->rows * (size_t)work->channels);
}

template <int N> size_t vectors_of(const struct fm_cuda_norm *work)
{
    return (size_t)work->rows * (size_t)work->channels / N;
}

template <class T, int N>
cudaError_t launch_apply(const struct fm_cuda_norm *work, cudaStream_t stream)
{
    size_t vectors = vectors_of<N>(work);
    return fm_launch(norm_apply<T, N>, fm_blocks(vectors), FM_THREADS, stream, (const T *)work->x,
        (T *)work->y, (const float *)work->coefficients, work->relu, work->channels, vectors);
}

template <class T, int N>
cudaError_t launch_training(const struct fm_cuda_norm *work, cudaStream_t stream)
{
    struct fm_columns c = fm_columns_of<N>(work->rows, work->channels);
    cudaError_t error = fm_launch(norm_moments<T, N>, c.grid, c.block, stream, (const T *)work->x,
        work->scratch, c.rows, c.channels, c.rows_each);
    if (error == cudaSuccess)
        error = fm_launch(norm_statistics, (unsigned)c.channels, FM_LANES, stream,
            (const float *)work->scratch, work->gamma, work->beta, work->mean, work->inverse,
            work->batch_mean, work->batch_variance, work->coefficients, c.rows, c.channels,
            c.chunks, c.rows_each, work->epsilon);
    return error == cudaSuccess ? launch_apply<T, N>(work, stream) : error;
}

template <class T, int N>
cudaError_t launch_backward(const struct fm_cuda_norm *work, cudaStream_t stream)
{
    struct fm_columns c = fm_columns_of<N>(work->rows, work->channels);
    size_t vectors = vectors_of<N>(work);
    cudaError_t error = fm_launch(norm_gradient_partials<T, N>, c.grid, c.block, stream,
        (const T *)work->x, (const T *)work->dy, (const T *)work->y, (const float *)work->mean,
        work->scratch, work->relu, c.rows, c.channels, c.rows_each);
    if (error == cudaSuccess)
        error = fm_launch(norm_gradients, (unsigned)c.channels, FM_LANES, stream,
            (const float *)work->scratch, work->gamma, (const float *)work->mean,
            (const float *)work->inverse, work->dgamma, work->dbeta, work->coefficients, c.rows,
            c.channels, c.chunks);
    if (error == cudaSuccess)
        error = fm_launch(norm_backward<T, N>, fm_blocks(vectors), FM_THREADS, stream,
            (const T *)work->x, (const T *)work->dy, (const T *)work->y, (T *)work->dx,
            (const float *)work->coefficients, work->relu, c.channels, vectors);
    return error;
}

} // namespace

cudaError_t fm_launch_norm_training(const struct fm_cuda_norm *work, cudaStream_t stream)
{
    if (!takes(work) || !fm_aligned(work->y, work->scratch) || !work->beta || !work->mean ||
        !work->inverse || !work->batch_mean || !work->batch_variance)
        return cudaErrorInvalidValue;
    return fm_with_type(work->type, [&](auto zero) {
        using T = decltype(zero);
        return fm_by_vectors(work->channels) ? launch_training<T, FM_CUDA_VECTOR>(work, stream)
                                             : launch_training<T, 1>(work, stream);
    });
}

cudaError_t fm_launch_norm_inference(const struct fm_cuda_norm *work, cudaStream_t stream)
{
    if (!takes(work) || !fm_aligned(work->y) || !work->beta || !work->running_mean ||
        !work->running_variance)
        return cudaErrorInvalidValue;
    cudaError_t error = fm_launch(norm_running,
        ((unsigned)work->channels + FM_THREADS - 1) / FM_THREADS, FM_THREADS, stream, work->gamma,
        work->beta, work->running_mean, work->running_variance, work->coefficients, work->channels,
        work->epsilon);
    if (error != cudaSuccess)
        return error;
    return fm_with_type(work->type, [&](auto zero) {
        using T = decltype(zero);
        return fm_by_vectors(work->channels) ? launch_apply<T, FM_CUDA_VECTOR>(work, stream)
                                             : launch_apply<T, 1>(work, stream);
    });
}

cudaError_t fm_launch_norm_backward(const struct fm_cuda_norm *work, cudaStream_t stream)
{
    if (!takes(work) || !fm_aligned(work->dy, work->dx, work->scratch, work->mean) ||
        (work->relu && !fm_aligned(work->y)) || !work->inverse || !work->dgamma || !work->dbeta)
        return cudaErrorInvalidValue;
    return fm_with_type(work->type, [&](auto zero) {
        using T = decltype(zero);
        return fm_by_vectors(work->channels) ? launch_backward<T, FM_CUDA_VECTOR>(work, stream)
                                             : launch_backward<T, 1>(work, stream);
    });
}
