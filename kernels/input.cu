// The first kernel of every step: from u8 records to the network's input. Augmentation, mixing,
// normalisation, repetition to channels and resizing in one pass.
//
// A block an image. Shared memory holds its record, because a shift and a flip read it in another
// order than it lies, and that of the image it is mixed with; and then its pixels, augmented and
// mixed, which a resize and the repetition to channels read more than once.
//
// Bytes: a record (784 bytes; two where images are mixed) read once and the input written once:
// 28x28x1 in fp16 at batch 256 is 0.2 + 0.4 MB, 0.2 us at 3 TB/s. So the floor is the launch.
#include "cuda_common.cuh"

namespace
{

static_assert(FM_CUDA_RECORD_MAX <= FM_THREADS * sizeof(uint4), "a piece of a record a thread");

struct geometry {
    int height, width, channels;
    int gather, augment, mirror;
    int shift, flip, rows, cols, erase_size; // of struct fm_augment_ranges
    float scale0, scale1, scale2, offset0, offset1, offset2;
};

__device__ __forceinline__ struct fm_augment_plan plan_of(
    const struct fm_step *step, uint32_t id, const struct geometry &g, uint64_t erase_threshold)
{
    struct fm_augment_plan plan = {0, 0, g.mirror, {0, 0, 0, 0}};
    if (g.augment) {
        struct fm_augment_ranges ranges = {
            g.shift, g.flip, g.rows, g.cols, erase_threshold, g.erase_size};
        plan = fm_augment_draw(step->seed, step->epoch, id, &ranges);
    }
    return plan;
}

// Reads the record of the batch's image n to shared memory and, while that is under way, draws its
// plan.
__device__ __forceinline__ struct fm_augment_plan stage_record(const uint8_t *records,
    const uint32_t *ids, const struct fm_step *step, uint32_t n, const struct geometry &g,
    uint64_t erase_threshold, uint8_t *to)
{
    uint32_t id = ids[n];
    int bytes = g.rows * g.cols, thread = (int)threadIdx.x;
    const uint8_t *from = records + (size_t)(g.gather ? id : n) * (size_t)bytes;
    bool in_pieces = bytes % (int)sizeof(uint4) == 0;
    bool has_piece = in_pieces && thread < bytes / (int)sizeof(uint4);
    uint4 piece = {};
    if (has_piece)
        piece = ((const uint4 *)from)[thread];
    struct fm_augment_plan plan = plan_of(step, id, g, erase_threshold);
    if (has_piece)
        ((uint4 *)to)[thread] = piece;
    for (int i = thread; !in_pieces && i < bytes; i += FM_THREADS)
        to[i] = from[i];
    return plan;
}

// Where pixel `at` lies in shared memory. Each 32 pixels change places within their groups of eight
// in another way, so that 32 lanes meet 32 banks at neighbouring pixels and at every eighth.
__device__ __forceinline__ int pixel_place(int at)
{
    return at ^ (at / FM_LANES % FM_CUDA_VECTOR);
}

// A record in shared memory, and how it is augmented.
struct source {
    const uint8_t *record;
    struct fm_augment_plan plan;
};

__device__ __forceinline__ float source_pixel(
    const struct source &from, const struct geometry &g, int y, int x)
{
    return (float)fm_augmented_pixel(from.record, g.rows, g.cols, from.plan, y, x);
}

// All pixels of `own`, mixed with those of `other`, which is not read where the mix's weight is 0.
// To shared memory.
__device__ __forceinline__ void stage_pixels(const struct source &own, const struct source &other,
    const struct fm_mix_plan &mix, const struct geometry &g, float *pixels)
{
    for (int at = (int)threadIdx.x; at < g.rows * g.cols; at += FM_THREADS) {
        int y = at / g.cols, x = at - y * g.cols;
        float pixel = source_pixel(own, g, y, x);
        if (mix.weight > 0.0f)
            pixel = fm_mixed_pixel(pixel, source_pixel(other, g, y, x), &mix, y, x);
        pixels[pixel_place(at)] = pixel;
    }
}

// The members, not an array: an index that is known only at run time would put it into memory.
__device__ __forceinline__ float normalised(
    const float *pixels, int at, int c, const struct geometry &g)
{
    float scale = c == 0 ? g.scale0 : c == 1 ? g.scale1 : g.scale2;
    float offset = c == 0 ? g.offset0 : c == 1 ? g.offset1 : g.offset2;
    return fm_normalise(pixels[pixel_place(at)], scale, offset);
}

// Element `at` of the image: [height][width][channels].
__device__ __forceinline__ float input_value(const float *pixels, const struct geometry &g, int at)
{
    int pixel = at / g.channels, c = at - pixel * g.channels;
    if (g.height == g.rows && g.width == g.cols)
        return normalised(pixels, pixel, c, g);
    int y = pixel / g.width, x = pixel - y * g.width;
    struct fm_bilinear v = fm_bilinear_at(y, g.height, g.rows);
    struct fm_bilinear h = fm_bilinear_at(x, g.width, g.cols);
    int row = v.lower * g.cols, next = v.upper * g.cols;
    float above = fm_lerp(
        normalised(pixels, row + h.lower, c, g), normalised(pixels, row + h.upper, c, g), h.weight);
    float below = fm_lerp(normalised(pixels, next + h.lower, c, g),
        normalised(pixels, next + h.upper, c, g), h.weight);
    return fm_lerp(above, below, v.weight);
}

template <class T, int N>
__global__ void __launch_bounds__(FM_THREADS)
    input(const uint8_t *records, const uint32_t *ids, const struct fm_step *step, T *out,
        struct geometry g, uint64_t erase_threshold, struct fm_mix_ranges mix_ranges)
{
    __shared__ __align__(16) uint8_t record[FM_CUDA_RECORD_MAX], other_record[FM_CUDA_RECORD_MAX];
    __shared__ float pixels[FM_CUDA_RECORD_MAX];
    uint32_t image = blockIdx.x;
    bool there = image < step->count;
    struct source own = {record, {}}, other = {other_record, {}};
    struct fm_mix_plan mix = {};
    if (there) {
        own.plan = stage_record(records, ids, step, image, g, erase_threshold, record);
        mix = fm_mix_draw(step->seed, step->epoch, ids[image], &mix_ranges);
    }
    if (mix.weight > 0.0f) {
        uint32_t next = fm_mix_other(image, step->count);
        other.plan = stage_record(records, ids, step, next, g, erase_threshold, other_record);
    }
    __syncthreads();
    if (there)
        stage_pixels(own, other, mix, g, pixels);
    __syncthreads();
    int size = g.height * g.width * g.channels;
    T *to = out + (size_t)image * (size_t)size;
    for (int at = (int)threadIdx.x * N; at < size; at += FM_THREADS * N) {
        float values[N];
#pragma unroll // else they would be indexed, and so be in memory
        for (int i = 0; i < N; i++)
            values[i] = there ? input_value(pixels, g, at + i) : 0.0f;
        fm_store(to + at, values);
    }
}

bool takes(const struct fm_cuda_input *work)
{
    const struct fm_augment_ranges *ranges = &work->ranges;
    return fm_aligned(work->records, work->out) && work->ids && work->step && work->images > 0 &&
           work->height > 0 && work->width > 0 && work->channels > 0 &&
           work->channels <= FM_CUDA_INPUT_CHANNELS_MAX && ranges->rows > 0 && ranges->cols > 0 &&
           (int64_t)ranges->rows * ranges->cols <= FM_CUDA_RECORD_MAX &&
           work->mix.rows == ranges->rows && work->mix.cols == ranges->cols &&
           (int64_t)work->height * work->width * work->channels <= INT32_MAX / 2;
}

} // namespace

cudaError_t fm_launch_input(const struct fm_cuda_input *work, cudaStream_t stream)
{
    if (!takes(work))
        return cudaErrorInvalidValue;
    const struct fm_augment_ranges *ranges = &work->ranges;
    struct geometry g = {work->height, work->width, work->channels, work->gather, work->augment,
        work->augment ? 0 : work->mirror, ranges->shift, ranges->flip, ranges->rows, ranges->cols,
        ranges->erase_size, work->scale[0], work->scale[1], work->scale[2], work->offset[0],
        work->offset[1], work->offset[2]};
    bool vectors = fm_by_vectors(work->height * work->width * work->channels);
    return fm_with_type(work->type, [&](auto zero) {
        using T = decltype(zero);
        return fm_launch(vectors ? input<T, FM_CUDA_VECTOR> : input<T, 1>, work->images, FM_THREADS,
            stream, work->records, work->ids, work->step, (T *)work->out, g,
            ranges->erase_threshold, work->mix);
    });
}
