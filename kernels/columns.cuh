// Sums over the rows of a [rows][channels] matrix, in an order that only the shape decides.
//
// Two launches: the first has a block for each part (chunk) of the rows and slab of channels, whose
// threads sum in fp32 and write one partial sum a channel; the second adds those in fp64, a warp a
// channel and a block a warp: a multiprocessor may have as few as two units for fp64, so the work
// is to be spread over all of them. The partial sums lie as [sum][channel][chunk], so that the
// second reads them in one go.
#ifndef FM_KERNELS_COLUMNS_CUH
#define FM_KERNELS_COLUMNS_CUH

#include "cuda_common.cuh"

// How the first launch cuts the matrix. A block is `lanes` x `lines` threads: lane by lane along
// the channels (N each), line by line down the rows.
struct fm_columns {
    int rows, channels;
    int chunks, rows_each; // parts of the rows
    dim3 grid, block;
};

template <int N> static struct fm_columns fm_columns_of(int rows, int channels)
{
    unsigned vectors = ((unsigned)channels + N - 1) / N, lanes = 1;
    while (lanes < vectors && lanes < FM_LANES)
        lanes *= 2;
    struct fm_columns columns;
    columns.rows = rows;
    columns.channels = channels;
    columns.chunks = fm_cuda_column_chunks((size_t)rows);
    columns.rows_each = (rows + columns.chunks - 1) / columns.chunks;
    columns.grid = dim3((vectors + lanes - 1) / lanes, (unsigned)columns.chunks);
    columns.block = dim3(lanes, FM_THREADS / lanes);
    return columns;
}

// The thread's first channel and its rows [first, end) by steps of blockDim.y.
struct fm_column_part {
    int channel, first, end;
};

template <int N>
static __device__ __forceinline__ struct fm_column_part fm_column_part_of(
    int rows, int channels, int rows_each)
{
    struct fm_column_part part;
    part.channel = (int)(blockIdx.x * blockDim.x + threadIdx.x) * N;
    int begin = (int)blockIdx.y * rows_each;
    part.end = begin + rows_each < rows ? begin + rows_each : rows;
    part.first = part.channel < channels ? begin + (int)threadIdx.y : part.end;
    return part;
}

// Adds up the lines' `values`; those of line 0 are the block's. `shared` holds COUNT * FM_THREADS.
template <int COUNT>
static __device__ __forceinline__ void fm_sum_lines(float (&values)[COUNT], float *shared)
{
    unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
    for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
        if (threadIdx.y >= half && threadIdx.y < 2 * half)
            for (int k = 0; k < COUNT; k++)
                shared[(unsigned)k * FM_THREADS + thread] = values[k];
        __syncthreads();
        if (threadIdx.y < half)
            for (int k = 0; k < COUNT; k++)
                values[k] += shared[(unsigned)k * FM_THREADS + thread + half * blockDim.x];
        __syncthreads();
    }
}

// Where partial sum `sum` of a channel lies for chunk 0.
static __device__ __forceinline__ size_t fm_partial_at(
    int sum, int channel, int channels, int chunks)
{
    return ((size_t)sum * (size_t)channels + (size_t)channel) * (size_t)chunks;
}

enum {
    FM_LANE_PARTIALS = FM_CUDA_COLUMN_CHUNKS_MAX / FM_LANES // of a channel that a lane adds
};

static_assert(FM_CUDA_COLUMN_CHUNKS_MAX % FM_LANES == 0, "as many for each lane");

// The chunk of the lane's partial sum n, in a block of one warp.
static __device__ __forceinline__ int fm_lane_chunk(int n)
{
    return (int)threadIdx.x + n * FM_LANES;
}

// The lane's partial sums of a channel, all asked for before one is needed; zeros where there are
// no chunks.
static __device__ __forceinline__ void fm_load_partials(
    const float *partials, int chunks, float (&mine)[FM_LANE_PARTIALS])
{
#pragma unroll
    for (int n = 0; n < FM_LANE_PARTIALS; n++)
        mine[n] = fm_lane_chunk(n) < chunks ? partials[fm_lane_chunk(n)] : 0.0f;
}

// The sum of a channel's partial sums, in each lane.
static __device__ __forceinline__ double fm_sum_partials(const float *partials, int chunks)
{
    float mine[FM_LANE_PARTIALS];
    fm_load_partials(partials, chunks, mine);
    double sum = 0.0;
#pragma unroll
    for (int n = 0; n < FM_LANE_PARTIALS; n++)
        if (n * FM_LANES < chunks)
            sum += (double)mine[n];
    return fm_warp_sum(sum);
}

#endif
