// LANES elements that lie side by side in memory: as a vector of fp32, or their bits as they are
// (vec_lanes); written as they come, or past the caches (..._far).
#ifndef FM_CPU_ISA_ELEMENT_VECTOR_H
#define FM_CPU_ISA_ELEMENT_VECTOR_H

#include "backend/cpu/isa/element.h"
#include "backend/cpu/isa/stream.h"

#include <string.h>

#if defined(FM_ELEMENT_IS_BF16)
// fm_bf16_widen() and fm_bf16_narrow() of each. Spelled out, as gcc 12 makes vectors of loops over
// them in one place and single elements in the next, and converts vectors by halves.
typedef uint32_t vec_bits __attribute__((vector_size(LANES * sizeof(uint32_t))));
typedef uint16_t vec_halves __attribute__((vector_size(LANES * sizeof(uint16_t))));
typedef uint16_t vec_halves_in_memory
    __attribute__((vector_size(LANES * sizeof(uint16_t)), aligned(sizeof(uint16_t)), may_alias));
typedef int16_t vec_lanes __attribute__((vector_size(LANES * sizeof(int16_t))));

static inline vec_bits bits_of_halves(vec_halves x)
{
#if defined(__AVX512F__)
    return (vec_bits)_mm512_cvtepu16_epi32((__m256i)x);
#elif defined(__AVX2__)
    return (vec_bits)_mm256_cvtepu16_epi32((__m128i)x);
#else
    return __builtin_convertvector(x, vec_bits);
#endif
}

static inline vec_halves halves_of_bits(vec_bits x)
{
#if defined(__AVX512F__)
    return (vec_halves)_mm512_cvtepi32_epi16((__m512i)x);
#else
    return __builtin_convertvector(x, vec_halves);
#endif
}

static inline vec read_elements(const element *x)
{
    return (vec)(bits_of_halves(*(const vec_halves_in_memory *)x) << 16);
}

static inline void write_elements(element *y, vec v)
{
    vec_bits bits = (vec_bits)v;
    vec_bits rounded = bits + 0x7fffu + (bits >> 16 & 1u), quiet = bits | 0x00400000u;
    vec_bits nan = (vec_bits)((bits & 0x7fffffffu) > 0x7f800000u);
    vec_bits chosen = (nan & quiet) | (~nan & rounded);
    *(vec_halves_in_memory *)y = halves_of_bits(chosen >> 16);
}

static inline void write_elements_far(element *y, vec v)
{
    write_elements(y, v);
}

static inline void write_lanes_far(element *y, vec_lanes bits)
{
    memcpy(y, &bits, sizeof bits);
}

// Where elements, given by their bits, are above zero.
static inline vec_lanes lanes_above_zero(vec_lanes bits)
{
    return (bits > 0) & (bits <= 0x7f80); // a NaN is not
}
#else
typedef vec_mask vec_lanes;

static inline vec read_elements(const element *x)
{
    return vec_load(x);
}

static inline void write_elements(element *y, vec v)
{
    vec_store(y, v);
}

static inline void write_elements_far(element *y, vec v)
{
    vec_store_far(y, v);
}

static inline void write_lanes_far(element *y, vec_lanes bits)
{
    vec_store_far(y, (vec)bits);
}

static inline vec_lanes lanes_above_zero(vec_lanes bits)
{
    return (vec)bits > 0.0f;
}
#endif

// Whether an activation is written by ..._far(): of fp32 only.
static inline bool is_far_view(const struct fm_view *v, const element *y)
{
    return sizeof(element) == sizeof(float) && v->block % LANES == 0 &&
           is_far(y, fm_view_size(v) * sizeof *y);
}

// ---- in part, where fewer than LANES channels lie side by side

// The first `count` of LANES, the others zero.
static inline vec read_some(const element *x, const int count)
{
    element some[LANES] = {0};
    if (count == LANES)
        return read_elements(x);
    memcpy(some, x, (size_t)count * sizeof *x);
    return read_elements(some);
}

static inline void write_some(element *y, const int count, vec v)
{
    element some[LANES];
    if (count == LANES) {
        write_elements(y, v);
        return;
    }
    write_elements(some, v);
    memcpy(y, some, (size_t)count * sizeof *y);
}

#endif
