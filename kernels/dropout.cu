// Dropout: which elements stay is drawn in integer arithmetic and, where a backward of its own
// needs that, kept as a bit an element.
//
// A draw gives four elements in the logical order C, H, W: four pixels of one channel. In memory
// (NHWC) those lie a pixel apart, so where it can a thread takes four pixels of eight channels:
// eight draws, none wasted. Where the pixels cannot be cut by fours, a block draws for a
// small image, in the logical order, into shared memory. Elsewhere a thread takes eight elements as
// they lie and draws for each (once for four of a dense layer, whose orders agree).
//
// Bytes in fp16 at batch 256, 12x12x64: 4.7 MB read, 4.7 written, 0.3 of bits, where they are kept:
// 3 us at 3 TB/s. Philox is about 100 instructions for four elements, 59 million for this tensor:
// as long again.
#include "cuda_common.cuh"
#include "dropout.h"

namespace
{

enum {
    QUAD = 4,         // elements of a draw
    IMAGE_MAX = 8192, // elements of an image that a block draws for
};

struct geometry {
    int pixels, channels;
    uint32_t elements;
    uint32_t stream, threshold;
    float scale;
};

// x or 0, N of them by the bits of `keep` from bit 0 on.
template <class T, int N>
__device__ __forceinline__ void apply(const T *from, T *to, unsigned keep, float scale)
{
    float values[N];
    fm_load(from, values);
    for (int k = 0; k < N; k++)
        values[k] = keep >> k & 1u ? values[k] * scale : 0.0f;
    fm_store(to, values);
}

template <class T>
__device__ __forceinline__ void apply_rest(
    const T *from, T *to, unsigned keep, float scale, size_t count)
{
    for (size_t k = 0; k < count; k++)
        apply<T, 1>(from + k, to + k, keep >> k, scale);
}

// Whether each of a draw's four elements is kept, a byte each.
__device__ __forceinline__ uint32_t draw_quad(
    const struct fm_step *step, uint32_t id, const struct geometry &g, uint32_t quad)
{
    struct fm_draws draws = fm_philox(step->seed, step->epoch, id, g.stream, quad);
    uint32_t kept = 0;
    for (unsigned i = 0; i < QUAD; i++)
        kept |= (uint32_t)fm_dropout_keeps(draws.v[i], g.threshold) << (8 * i);
    return kept;
}

// Four pixels of eight channels: bit 8 * pixel + channel.
__device__ __forceinline__ unsigned draw_tile(const struct fm_step *step, uint32_t id,
    const struct geometry &g, unsigned channel, unsigned pixel)
{
    unsigned keep = 0;
    for (unsigned k = 0; k < FM_CUDA_VECTOR; k++) {
        unsigned first = (channel + k) * (unsigned)g.pixels + pixel;
        keep |= draw_quad(step, id, g, first / QUAD) << k;
    }
    return keep;
}

// For channels by vectors and pixels by fours.
template <class T>
__global__ void __launch_bounds__(FM_THREADS) dropout_tiles(const T *from, T *to, uint8_t *keep,
    const uint32_t *ids, const struct fm_step *step, struct geometry g)
{
    size_t tiles = g.elements / (FM_CUDA_VECTOR * QUAD);
    uint32_t across = (uint32_t)g.channels / FM_CUDA_VECTOR, down = (uint32_t)g.pixels / QUAD;
    for (size_t at = fm_thread(); at < tiles; at += fm_threads()) {
        uint32_t channel = (uint32_t)at % across * FM_CUDA_VECTOR, row = (uint32_t)at / across;
        uint32_t pixel = row % down * QUAD, image = row / down;
        unsigned bits = draw_tile(step, ids[image], g, channel, pixel);
        size_t first = ((size_t)image * (size_t)g.pixels + pixel) * (size_t)g.channels + channel;
        for (unsigned i = 0; keep && i < QUAD; i++)
            keep[first / FM_CUDA_VECTOR + i * across] = (uint8_t)(bits >> (FM_CUDA_VECTOR * i));
        for (unsigned i = 0; i < QUAD; i++) {
            size_t here = first + i * (size_t)g.channels;
            apply<T, FM_CUDA_VECTOR>(from + here, to + here, bits >> (FM_CUDA_VECTOR * i), g.scale);
        }
    }
}

// For channels by vectors and images of at most IMAGE_MAX elements: a block an image.
template <class T>
__global__ void __launch_bounds__(FM_THREADS) dropout_images(const T *from, T *to, uint8_t *keep,
    const uint32_t *ids, const struct fm_step *step, struct geometry g)
{
    __shared__ __align__(QUAD) uint8_t kept[IMAGE_MAX]; // [channel][pixel]
    uint32_t size = (uint32_t)g.pixels * (uint32_t)g.channels, id = ids[blockIdx.x];
    for (uint32_t quad = threadIdx.x; quad < size / QUAD; quad += FM_THREADS)
        ((uint32_t *)kept)[quad] = draw_quad(step, id, g, quad);
    __syncthreads();
    uint32_t across = (uint32_t)g.channels / FM_CUDA_VECTOR;
    for (uint32_t at = threadIdx.x; at < size / FM_CUDA_VECTOR; at += FM_THREADS) {
        uint32_t pixel = at / across, channel = at % across * FM_CUDA_VECTOR;
        unsigned bits = 0;
        for (unsigned k = 0; k < FM_CUDA_VECTOR; k++)
            bits |= (unsigned)kept[(channel + k) * (uint32_t)g.pixels + pixel] << k;
        size_t here = (size_t)blockIdx.x * size + (size_t)at * FM_CUDA_VECTOR;
        if (keep)
            keep[here / FM_CUDA_VECTOR] = (uint8_t)bits;
        apply<T, FM_CUDA_VECTOR>(from + here, to + here, bits, g.scale);
    }
}

// Eight elements from `first` on, or as many as there are.
__device__ __forceinline__ unsigned draw_row(const uint32_t *ids, const struct fm_step *step,
    const struct geometry &g, size_t first, size_t count)
{
    uint32_t size = (uint32_t)g.pixels * (uint32_t)g.channels, last_image = UINT32_MAX;
    unsigned keep = 0, last_quad = 0;
    struct fm_draws draws = {{0, 0, 0, 0}};
    for (size_t k = 0; k < count; k++) {
        uint32_t image = (uint32_t)(first + k) / size, inside = (uint32_t)(first + k) % size;
        unsigned element = inside % (unsigned)g.channels * (unsigned)g.pixels +
                           inside / (unsigned)g.channels;
        if (image != last_image || element / QUAD != last_quad) {
            last_image = image;
            last_quad = element / QUAD;
            draws = fm_philox(step->seed, step->epoch, ids[image], g.stream, last_quad);
        }
        uint32_t draw = element % QUAD == 0   ? draws.v[0]
                        : element % QUAD == 1 ? draws.v[1]
                        : element % QUAD == 2 ? draws.v[2]
                                              : draws.v[3];
        keep |= (unsigned)fm_dropout_keeps(draw, g.threshold) << k;
    }
    return keep;
}

// For any shape.
template <class T>
__global__ void __launch_bounds__(FM_THREADS) dropout_rows(const T *from, T *to, uint8_t *keep,
    const uint32_t *ids, const struct fm_step *step, struct geometry g)
{
    for (size_t at = fm_first_vector(); at < g.elements; at += fm_vector_stride()) {
        size_t left = g.elements - at, count = left < FM_CUDA_VECTOR ? left : FM_CUDA_VECTOR;
        unsigned bits = draw_row(ids, step, g, at, count);
        if (keep)
            keep[at / FM_CUDA_VECTOR] = (uint8_t)bits;
        if (count == FM_CUDA_VECTOR)
            apply<T, FM_CUDA_VECTOR>(from + at, to + at, bits, g.scale);
        else
            apply_rest(from + at, to + at, bits, g.scale, count);
    }
}

template <class T>
__global__ void __launch_bounds__(FM_THREADS)
    dropout_backward(const T *from, T *to, const uint8_t *keep, size_t elements, float scale)
{
    for (size_t at = fm_first_vector(); at < elements; at += fm_vector_stride()) {
        size_t left = elements - at;
        unsigned bits = keep[at / FM_CUDA_VECTOR];
        if (left >= FM_CUDA_VECTOR)
            apply<T, FM_CUDA_VECTOR>(from + at, to + at, bits, scale);
        else
            apply_rest(from + at, to + at, bits, scale, left);
    }
}

bool measure(const struct fm_cuda_dropout *work, struct geometry *g)
{
    if (!fm_aligned(work->from, work->to) || work->images < 1 || work->pixels < 1 ||
        work->channels < 1 || !fm_dropout_takes(work->rate) ||
        (int64_t)work->pixels * work->channels > INT32_MAX)
        return false;
    g->pixels = work->pixels;
    g->channels = work->channels;
    size_t elements = (size_t)work->images * (size_t)work->pixels * (size_t)work->channels;
    g->elements = (uint32_t)elements;
    g->stream = work->stream;
    g->threshold = fm_dropout_threshold(work->rate);
    g->scale = fm_dropout_scale(work->rate);
    return fm_countable(elements);
}

} // namespace

cudaError_t fm_launch_dropout_forward(const struct fm_cuda_dropout *work, cudaStream_t stream)
{
    struct geometry g;
    if (!measure(work, &g) || !work->ids || !work->step)
        return cudaErrorInvalidValue;
    bool vectors = fm_by_vectors(g.channels), tiles = vectors && g.pixels % QUAD == 0;
    bool images = vectors && !tiles && g.pixels > 1 && g.pixels * g.channels <= IMAGE_MAX;
    unsigned blocks = fm_vector_blocks(tiles ? g.elements / QUAD : g.elements);
    if (images)
        blocks = (unsigned)work->images;
    return fm_with_type(work->type, [&](auto zero) {
        using T = decltype(zero);
        return fm_launch(tiles    ? dropout_tiles<T>
                         : images ? dropout_images<T>
                                  : dropout_rows<T>,
            blocks, FM_THREADS, stream, (const T *)work->from, (T *)work->to, work->keep, work->ids,
            work->step, g);
    });
}

cudaError_t fm_launch_dropout_backward(const struct fm_cuda_dropout *work, cudaStream_t stream)
{
    struct geometry g;
    if (!measure(work, &g) || !work->keep)
        return cudaErrorInvalidValue;
    return fm_with_type(work->type, [&](auto zero) {
        using T = decltype(zero);
        return fm_launch(dropout_backward<T>, fm_vector_blocks(g.elements), FM_THREADS, stream,
            (const T *)work->from, (T *)work->to, (const uint8_t *)work->keep, (size_t)g.elements,
            g.scale);
    });
}
