// Between the canonical layouts of the backend's interface and the device's: each of `outer`
// matrices is transposed. Runs when an activation is probed and at the end of a network that
// predicts features of more than a pixel.
//
// A block a tile of 32x32, through shared memory, so that both sides are accessed along their rows.
//
// Bytes: each element read and written once; 2 or 4 at a time, because rows may have any length.
#include "cuda_common.cuh"

namespace
{

enum {
    TILE = 32,
    LINES = 8 // of a block's threads: FM_THREADS / TILE
};

struct shape {
    enum fm_cuda_type from_type, to_type;
    int outer, rows, columns; // of `from`
};

__global__ void __launch_bounds__(FM_THREADS) transpose(const void *from, void *to, struct shape s)
{
    __shared__ float tile[TILE][TILE + 1]; // + 1: a column of it lies in 32 banks
    size_t rows = (size_t)s.rows, columns = (size_t)s.columns;
    size_t across = (columns + TILE - 1) / TILE;
    size_t column0 = blockIdx.x % across * TILE, row0 = blockIdx.x / across * TILE;
    size_t matrix = (size_t)blockIdx.y * rows * columns;
    bool there = (int)blockIdx.y < s.outer;
    for (unsigned line = threadIdx.y; line < TILE; line += LINES) {
        size_t row = row0 + line, column = column0 + threadIdx.x;
        if (row < rows && column < columns)
            tile[line][threadIdx.x] =
                there ? fm_load_as(s.from_type, from, matrix + row * columns + column) : 0.0f;
    }
    __syncthreads();
    for (unsigned line = threadIdx.y; line < TILE; line += LINES) {
        size_t column = column0 + line, row = row0 + threadIdx.x;
        if (row < rows && column < columns)
            fm_store_as(s.to_type, to, matrix + column * rows + row, tile[threadIdx.x][line]);
    }
}

} // namespace

cudaError_t fm_launch_layout(const struct fm_cuda_layout *work, cudaStream_t stream)
{
    size_t tiles = ((size_t)work->rows + TILE - 1) / TILE *
                   (((size_t)work->columns + TILE - 1) / TILE);
    if (!work->from || !work->to || work->outer < 1 || work->outer_to < 1 ||
        work->outer_to > 65535 || work->rows < 1 || work->columns < 1 || tiles > INT32_MAX)
        return cudaErrorInvalidValue;
    struct shape s = {work->from_type, work->to_type, work->outer, work->rows, work->columns};
    return fm_launch(transpose, dim3((unsigned)tiles, (unsigned)work->outer_to), dim3(TILE, LINES),
        stream, work->from, work->to, s);
}
