// Keeps a stream busy for about so long, so that what is enqueued behind it runs as a GPU runs it,
// one kernel after the other, and not as fast as the host hands it over.
//
// A thread may sleep up to twice what it is told, and a millisecond at most: many short sleeps come
// close to the sum.
#include "cuda_common.cuh"

namespace
{

enum {
    NANOSECONDS = 1000 // of one sleep
};

__global__ void __launch_bounds__(1) hold(unsigned microseconds)
{
    for (unsigned i = 0; i < microseconds; i++)
        __nanosleep(NANOSECONDS);
}

} // namespace

cudaError_t fm_launch_hold(unsigned microseconds, cudaStream_t stream)
{
    return fm_launch(hold, 1, 1, stream, microseconds);
}
