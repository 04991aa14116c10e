// The same elements as another type: working copies of masters that were set, features that are
// predicted. To nearest, and to even when halfway.
//
// Bytes: each element read and written once.
#include "cuda_common.cuh"

namespace
{

template <int N, class From, class To>
__device__ __forceinline__ void cast_at(const From *from, To *to)
{
    float values[N];
    fm_load(from, values);
    fm_store(to, values);
}

template <class From, class To>
__global__ void __launch_bounds__(FM_THREADS) cast(const From *from, To *to, size_t count)
{
    for (size_t at = fm_first_vector(); at + FM_CUDA_VECTOR <= count; at += fm_vector_stride())
        cast_at<FM_CUDA_VECTOR>(from + at, to + at);
    for (size_t at = fm_first_rest(count); at < count; at += fm_threads())
        cast_at<1>(from + at, to + at);
}

} // namespace

cudaError_t fm_launch_cast(const struct fm_cuda_cast *work, cudaStream_t stream)
{
    if (!fm_aligned(work->from, work->to) || work->count < 1)
        return cudaErrorInvalidValue;
    return fm_with_type(work->from_type, [&](auto from_zero) {
        using From = decltype(from_zero);
        return fm_with_type(work->to_type, [&](auto to_zero) {
            using To = decltype(to_zero);
            return fm_launch(cast<From, To>, fm_vector_blocks(work->count), FM_THREADS, stream,
                (const From *)work->from, (To *)work->to, work->count);
        });
    });
}
