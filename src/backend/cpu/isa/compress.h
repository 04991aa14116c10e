// Packs those lanes of a vector side by side that a mask of bits names, without a branch for each,
// which would be mispredicted for every other one.
#ifndef FM_CPU_ISA_COMPRESS_H
#define FM_CPU_ISA_COMPRESS_H

#include "backend/cpu/isa/vector.h"

// A bit a lane.
typedef uint32_t lane_bits;

// The lanes that are not zero: a NaN counts, -0.0 does not.
static inline lane_bits lanes_not_zero(vec v)
{
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
#elif defined(__AVX2__)
    __m256 not_zero = _mm256_cmp_ps((__m256)v, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    return (lane_bits)_mm256_movemask_ps(not_zero);
#else
    lane_bits bits = 0;
    for (int i = 0; i < LANES; i++)
        bits |= (lane_bits)(v[i] != 0.0f) << i;
    return bits;
#endif
}

// Those where a comparison is true.
static inline lane_bits lanes_true(vec_mask where)
{
    return lanes_not_zero((vec)where); // all bits set are a NaN
}

#if defined(__AVX2__) && !defined(__AVX512F__)
// lanes_of[bits]: the numbers of the lanes that `bits` has, in ascending order, a byte each. AVX2
// has no instruction that packs lanes, and pext, which could make these, is slow before Zen 3.
#define LANE_SHIFT(bits, i) (8 * __builtin_popcount((bits) & ((1u << (i)) - 1)))
#define LANE_AT(bits, i) ((uint64_t)((bits) >> (i)&1u) * (i) << LANE_SHIFT(bits, i))
#define LANES_OF(bits)                                                                             \
    (LANE_AT(bits, 1) | LANE_AT(bits, 2) | LANE_AT(bits, 3) | LANE_AT(bits, 4) |                   \
        LANE_AT(bits, 5) | LANE_AT(bits, 6) | LANE_AT(bits, 7))
#define LANES_OF_4(bits)                                                                           \
    LANES_OF(bits), LANES_OF((bits) + 1), LANES_OF((bits) + 2), LANES_OF((bits) + 3)
#define LANES_OF_16(bits)                                                                          \
    LANES_OF_4(bits), LANES_OF_4((bits) + 4), LANES_OF_4((bits) + 8), LANES_OF_4((bits) + 12)
#define LANES_OF_64(bits)                                                                          \
    LANES_OF_16(bits), LANES_OF_16((bits) + 16), LANES_OF_16((bits) + 32), LANES_OF_16((bits) + 48)
static const uint64_t lanes_of[256] = {
    LANES_OF_64(0u), LANES_OF_64(64u), LANES_OF_64(128u), LANES_OF_64(192u)};
#endif

// Writes the lanes that `bits` has, and past them up to LANES in all.
static inline void compress_lanes(void *to, vec v, lane_bits bits)
{
#if defined(__AVX512F__)
    _mm512_storeu_ps(to, _mm512_maskz_compress_ps((__mmask16)bits, (__m512)v));
#elif defined(__AVX2__)
    __m256i order = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(lanes_of + bits)));
    _mm256_storeu_ps(to, _mm256_permutevar8x32_ps((__m256)v, order));
#else
    char *lane = to;
    for (int i = 0; i < LANES; i++) { // each is written, and the next over it if it does not count
        float one = v[i];
        memcpy(lane, &one, sizeof one);
        lane += (bits >> i & 1u) * sizeof one;
    }
#endif
}

#endif
