// Stores that pass the caches by: of results so large that the caches would have lost them before
// they are read. A line is then written without being fetched first, where all of it is written at
// once. With AVX2 alone: larger processors may keep more than FAR_BYTES, which was not measured.
#ifndef FM_CPU_ISA_STREAM_H
#define FM_CPU_ISA_STREAM_H

#include "backend/cpu/isa/vector.h"

#include <stddef.h>

#if defined(__AVX2__) && !defined(__AVX512F__)
enum {
    STREAMS = 1
};
#else
enum {
    STREAMS = 0
};
#endif

enum {
    FAR_BYTES = 4 << 20, // from which on they are larger: measured (docs/cpu-performance.md)
    VECTOR_BYTES = LANES * sizeof(float),
};

// Whether fp32 results of so many bytes that begin at `to`, and lie in whole vectors, are written
// so.
static inline bool is_far(const void *to, size_t bytes)
{
    return STREAMS && bytes >= FAR_BYTES && (uintptr_t)to % VECTOR_BYTES == 0;
}

static inline void vec_store_far(float *to, vec v)
{
#if defined(__AVX2__) && !defined(__AVX512F__)
    _mm256_stream_ps(to, (__m256)v);
#else
    vec_store(to, v);
#endif
}

// What a thread does behind them, before others may read.
static inline void end_far_stores(void)
{
#if defined(__AVX2__) && !defined(__AVX512F__)
    _mm_sfence();
#endif
}

#endif
