// 2x2 max-pool, forward with the index of the largest, and backward.
//
// A thread takes a window (2x2 pixels, FM_CUDA_VECTOR channels), so that every byte of x and y
// passes once.
//
// Bytes in fp16 at batch 256, 24x24x64 to 12x12x64: forward 18.9 read, 4.7 + 2.4 written; backward
// 4.7 + 2.4 (+ 4.7 of the gate) read, 18.9 written. 9 and 10 us at 3 TB/s.
#include "cuda_common.cuh"
#include "dropout.h"

namespace
{

// Where a window lies.
struct window {
    size_t in, out;           // first channel of its first pixel, in x and in y
    bool right, below, whole; // there is a second column, a second row; y has this window
};

struct geometry {
    int height, width, channels; // of x
    int rows, cols;              // windows, those that an odd size leaves incomplete included
    uint32_t windows;            // of the whole tensor, times vectors of channels
};

template <int N>
__device__ __forceinline__ struct window locate(size_t at, const struct geometry &g)
{
    unsigned vectors = (unsigned)(g.channels / N);
    unsigned i = (unsigned)at, c = i % vectors * N, rest = i / vectors;
    unsigned column = rest % (unsigned)g.cols, above = rest / (unsigned)g.cols;
    unsigned row = above % (unsigned)g.rows, image = above / (unsigned)g.rows;
    unsigned y = 2 * row, x = 2 * column;
    struct window w;
    w.right = x + 1 < (unsigned)g.width;
    w.below = y + 1 < (unsigned)g.height;
    w.whole = w.right && w.below;
    size_t pixel = ((size_t)image * (unsigned)g.height + y) * (unsigned)g.width + x;
    size_t pooled = ((size_t)image * (unsigned)(g.height / 2) + row) * (unsigned)(g.width / 2);
    w.in = pixel * (unsigned)g.channels + c;
    w.out = (pooled + column) * (unsigned)g.channels + c;
    return w;
}

// True where b takes a's place: larger, or a NaN, which no comparison may lose.
__device__ __forceinline__ bool beats(float b, float a)
{
    return b > a || b != b;
}

template <class T, int N>
__global__ void __launch_bounds__(FM_THREADS)
    maxpool_forward(const T *x, T *y, uint8_t *index, struct geometry g)
{
    size_t column = (size_t)g.channels, row = (size_t)g.width * column;
    for (size_t at = fm_thread(); at < g.windows; at += fm_threads()) {
        struct window w = locate<N>(at, g);
        float a[N], b[N], c[N], d[N];
        fm_load(x + w.in, a);
        fm_load(x + w.in + column, b);
        fm_load(x + w.in + row, c);
        fm_load(x + w.in + row + column, d);
        uint8_t which[N];
        for (int k = 0; k < N; k++) {
            // The first largest in row-major order.
            float top = beats(b[k], a[k]) ? b[k] : a[k], bottom = beats(d[k], c[k]) ? d[k] : c[k];
            int top_at = beats(b[k], a[k]) ? 1 : 0, bottom_at = beats(d[k], c[k]) ? 3 : 2;
            bool lower = beats(bottom, top);
            a[k] = lower ? bottom : top;
            which[k] = (uint8_t)(lower ? bottom_at : top_at);
        }
        fm_store(y + w.out, a);
        if (index)
            fm_store_bytes(index + w.out, which);
    }
}

template <class T, int N>
__global__ void __launch_bounds__(FM_THREADS) maxpool_backward(
    const T *dy, const T *gate, const uint8_t *index, T *dx, struct geometry g, float scale)
{
    size_t column = (size_t)g.channels, row = (size_t)g.width * column;
    for (size_t at = fm_thread(); at < g.windows; at += fm_threads()) {
        struct window w = locate<N>(at, g);
        float gradient[N] = {}, to[4][N] = {};
        uint8_t which[N] = {};
        if (w.whole) {
            fm_load(dy + w.out, gradient);
            fm_load_bytes(index + w.out, which);
            if (gate) {
                float pooled[N];
                fm_load(gate + w.out, pooled);
                for (int k = 0; k < N; k++)
                    gradient[k] = pooled[k] > 0.0f ? gradient[k] * scale : 0.0f;
            }
            for (int k = 0; k < N; k++)
                for (int i = 0; i < 4; i++)
                    to[i][k] = which[k] == i ? gradient[k] : 0.0f;
        }
        fm_store(dx + w.in, to[0]);
        if (w.right)
            fm_store(dx + w.in + column, to[1]);
        if (w.below)
            fm_store(dx + w.in + row, to[2]);
        if (w.whole)
            fm_store(dx + w.in + row + column, to[3]);
    }
}

// Windows of y, or (`all`) all that hold a pixel of x.
bool measure(const struct fm_cuda_maxpool *work, bool all, struct geometry *g)
{
    int n = fm_by_vectors(work->channels) ? FM_CUDA_VECTOR : 1, extra = all ? 1 : 0;
    if (work->images < 1 || work->height < 2 || work->width < 2 || work->channels < 1)
        return false;
    g->height = work->height;
    g->width = work->width;
    g->channels = work->channels;
    g->rows = (work->height + extra) / 2;
    g->cols = (work->width + extra) / 2;
    size_t windows = (size_t)work->images * (size_t)g->rows * (size_t)g->cols *
                     (size_t)(work->channels / n);
    g->windows = (uint32_t)windows;
    return fm_countable(windows);
}

} // namespace

cudaError_t fm_launch_maxpool_forward(const struct fm_cuda_maxpool *work, cudaStream_t stream)
{
    struct geometry g;
    if (!fm_aligned(work->x, work->y) || (uintptr_t)work->index % 8 || !measure(work, false, &g))
        return cudaErrorInvalidValue;
    bool vectors = fm_by_vectors(work->channels);
    return fm_with_type(work->type, [&](auto zero) {
        using T = decltype(zero);
        return fm_launch(vectors ? maxpool_forward<T, FM_CUDA_VECTOR> : maxpool_forward<T, 1>,
            fm_blocks(g.windows), FM_THREADS, stream, (const T *)work->x, (T *)work->y, work->index,
            g);
    });
}

cudaError_t fm_launch_maxpool_backward(const struct fm_cuda_maxpool *work, cudaStream_t stream)
{
    struct geometry g;
    if (!fm_aligned(work->dy, work->dx, work->index) || (uintptr_t)work->gate % 16 ||
        !measure(work, true, &g) || !fm_dropout_takes(work->dropout_rate) ||
        (work->dropout_rate > 0.0f && !work->gate))
        return cudaErrorInvalidValue;
    bool vectors = fm_by_vectors(work->channels);
    return fm_with_type(work->type, [&](auto zero) {
        using T = decltype(zero);
        return fm_launch(vectors ? maxpool_backward<T, FM_CUDA_VECTOR> : maxpool_backward<T, 1>,
            fm_blocks(g.windows), FM_THREADS, stream, (const T *)work->dy, (const T *)work->gate,
            (const uint8_t *)work->index, (T *)work->dx, g, fm_dropout_scale(work->dropout_rate));
    });
}
