// fm_philox() in vectors, a quad a lane. Spelled out, as gcc 12 makes no vectors of products of 32
// bits whose upper halves are wanted.
#ifndef FM_CPU_ISA_PHILOX_VECTOR_H
#define FM_CPU_ISA_PHILOX_VECTOR_H

#include "backend/cpu/isa/vector.h"
#include "philox.h"

#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

typedef uint32_t vec_draws __attribute__((vector_size(LANES * sizeof(uint32_t))));
// Every second lane, widened; what is in the upper halves does not matter.
typedef uint64_t vec_wide __attribute__((vector_size(LANES * sizeof(uint32_t))));

struct wide_counter {
    vec_wide c0, c1, c2, c3;
};

// Products of lower halves.
static inline vec_wide multiply_halves(vec_wide x, uint32_t by)
{
#if defined(__AVX512F__)
    return (vec_wide)_mm512_mul_epu32((__m512i)x, _mm512_set1_epi64((long long)by));
#elif defined(__AVX2__)
    return (vec_wide)_mm256_mul_epu32((__m256i)x, _mm256_set1_epi64x((long long)by));
#elif defined(__SSE2__) && !defined(__AVX__)
    return (vec_wide)_mm_mul_epu32((__m128i)x, _mm_set1_epi64x((long long)by));
#else
    return (x & 0xffffffffu) * (uint64_t)by;
#endif
}

static inline struct wide_counter philox_round(struct wide_counter c, uint32_t k0, uint32_t k1)
{
    vec_wide product0 = multiply_halves(c.c0, FM_PHILOX_M0);
    vec_wide product1 = multiply_halves(c.c2, FM_PHILOX_M1);
    return (struct wide_counter){
        (product1 >> 32) ^ c.c1 ^ k0, product1, (product0 >> 32) ^ c.c3 ^ k1, product0};
}

// Lower halves side by side again.
static inline vec_draws interleave(vec_wide even, vec_wide odd)
{
    return (vec_draws)((even & 0xffffffffu) | odd << 32);
}

// draws[k] in lane i: draw k of quad first + i * stride.
static inline void philox_lanes(uint64_t seed, uint32_t epoch, uint32_t sample, uint32_t stream,
    uint32_t first, uint32_t stride, vec_draws draws[4])
{
    vec_draws quads = {0};
    for (int i = 0; i < LANES; i++)
        quads[i] = first + (uint32_t)i * stride;
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    const vec_wide zeros = {0};
    struct wide_counter even = {zeros + epoch, zeros + sample, zeros + stream, (vec_wide)quads};
    struct wide_counter odd = even;
    odd.c3 >>= 32;
    for (int round = 0; round < FM_PHILOX_ROUNDS; round++) {
        even = philox_round(even, k0, k1);
        odd = philox_round(odd, k0, k1);
        k0 += FM_PHILOX_W0;
        k1 += FM_PHILOX_W1;
    }
    draws[0] = interleave(even.c0, odd.c0);
    draws[1] = interleave(even.c1, odd.c1);
    draws[2] = interleave(even.c2, odd.c2);
    draws[3] = interleave(even.c3, odd.c3);
}

#endif
