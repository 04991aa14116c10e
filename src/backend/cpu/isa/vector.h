// Vectors of fp32, as wide as the instruction set's registers: GNU C's vector types, which the
// compiler turns into one instruction an operation.
#ifndef FM_CPU_ISA_VECTOR_H
#define FM_CPU_ISA_VECTOR_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum {
    LANES = 16,
    VECTOR_REGISTERS = 32
};
#elif defined(__AVX__)
enum {
    LANES = 8,
    VECTOR_REGISTERS = 16
};
#else
enum {
    LANES = 4,
    VECTOR_REGISTERS = 16
};
#endif

enum {
    LINE_BYTES = 64,  // of a line of the cache
    LINE_VALUES = 16, // fp32 values of it
#if defined(__AVX2__) && !defined(__AVX512F__)
    AVX2_ALONE = 1, // for what was measured there alone
#else
    AVX2_ALONE = 0,
#endif
};

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));
// The same in memory, where it needs no alignment.
typedef float vec_in_memory
    __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

// What comparisons of vec give: all bits set where they are true.
typedef int vec_mask __attribute__((vector_size(LANES * sizeof(int))));

// A byte a lane.
typedef uint8_t vec_bytes __attribute__((vector_size(LANES)));

// Lanes as bytes. Spelled out for AVX2, where gcc 12 would extract lane after lane; packing
// saturates, so they hold 0 to 127.
static inline vec_bytes vec_narrow(vec_mask v)
{
#if defined(__AVX2__) && !defined(__AVX512F__)
    __m128i low = _mm256_castsi256_si128((__m256i)v),
            high = _mm256_extracti128_si256((__m256i)v, 1);
    __m128i halves = _mm_packs_epi32(low, high);
    return (vec_bytes)_mm_cvtsi128_si64(_mm_packs_epi16(halves, halves));
#else
    return __builtin_convertvector(v, vec_bytes);
#endif
}

static inline vec vec_load(const float *x)
{
    return *(const vec_in_memory *)x;
}
static inline void vec_store(float *x, vec v)
{
    *(vec_in_memory *)x = v;
}
// The first `count` of LANES, the others zero.
static inline vec vec_load_some(const float *x, const int count)
{
    float some[LANES] = {0};
    if (count == LANES)
        return vec_load(x);
    memcpy(some, x, (size_t)count * sizeof *x);
    return vec_load(some);
}
// v, or zeros.
static inline vec vec_if(bool keep, vec v)
{
    return (vec)((vec_mask)v & -(int)keep);
}
// fmaf() of each, which is rounded once. Where there is an instruction it is named: from a loop
// over elements gcc 12 makes it in one place, and calls for each element in the next.
static inline vec vec_fmaf(vec a, vec b, vec c)
{
#if defined(__AVX512F__)
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    for (int i = 0; i < LANES; i++)
        a[i] = fmaf(a[i], b[i], c[i]);
    return a;
#endif
}
// Where b takes a's place in a max-pool: where it is larger, or a NaN, which no comparison may
// lose.
static inline vec_mask vec_takes(vec a, vec b)
{
    return (b > a) | (b != b);
}
static inline vec vec_choose(vec_mask where, vec then, vec otherwise)
{
    return (vec)((where & (vec_mask)then) | (~where & (vec_mask)otherwise));
}
// The larger, a of equal ones; a NaN if either is one, b's before a's.
static inline vec vec_larger(vec a, vec b)
{
    return vec_choose(vec_takes(a, b), b, a);
}
// An address for a prefetch, which may be past the end of what there is: no pointer is counted to
// it.
static inline const void *ahead_of(const void *from, size_t bytes)
{
    return (const void *)((uintptr_t)from + bytes);
}

// max(v, 0); a NaN stays one.
static inline vec vec_relu(vec v)
{
    return (vec)((vec_mask)v & ~(v < 0.0f));
}

#endif
