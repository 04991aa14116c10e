// Stores that pass the caches by: of results so large that the caches would have lost them before
// they are read. A line is then written without being fetched first, where all of it is written at
// once. With AVX2 alone, where it was measured (docs/cpu-performance.md): processors with AVX-512
// may have caches that keep more.
#ifndef FM_CPU_ISA_STREAM_H
#define FM_CPU_ISA_STREAM_H

#include "backend/cpu/isa/vector.h"

#include <stddef.h>

enum {
    FAR_BYTES = 4 << 20, // results of so many are written past the caches
    VECTOR_BYTES = LANES * sizeof(float),
};

// Whether fp32 results of so many bytes that begin at `to`, and lie in whole vectors, are written
// so.
static inline bool is_far(const void *to, size_t bytes)
{
    return AVX2_ALONE && bytes >= FAR_BYTES && (uintptr_t)to % VECTOR_BYTES == 0;
}

#if defined(__AVX2__) && !defined(__AVX512F__)
static inline void vec_store_far(float *to, vec v)
{
    _mm256_stream_ps(to, (__m256)v);
}
// What a thread does behind them, before others may read.
static inline void end_far_stores(void)
{
    _mm_sfence();
}
#else
static inline void vec_store_far(float *to, vec v)
{
    vec_store(to, v);
}
static inline void end_far_stores(void)
{
}
#endif

#endif
