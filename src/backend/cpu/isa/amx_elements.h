// 16 elements of bf16 on their way to and from tiles.
#ifndef FM_CPU_ISA_AMX_ELEMENTS_H
#define FM_CPU_ISA_AMX_ELEMENTS_H

#include "backend/cpu/isa/amx_tile.h"
#include "backend/cpu/isa/view.h"

#include <math.h>
#include <stdbool.h>

#if defined(__AVX512BF16__)
typedef __m256i halves; // 16 of bf16
typedef __m512 singles; // 16 of fp32

static inline halves halves_load(const uint16_t *x)
{
    return _mm256_loadu_si256((const __m256i_u *)x);
}
static inline void halves_store(uint16_t *x, halves v)
{
    _mm256_storeu_si256((__m256i_u *)x, v);
}
static inline singles singles_load(const float *x)
{
    return _mm512_loadu_ps(x);
}
static inline void singles_store(float *x, singles v)
{
    _mm512_storeu_ps(x, v);
}
static inline singles widen(halves v)
{
    return (singles)_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16);
}
static inline halves narrow(singles v)
{
    return (halves)_mm512_cvtneps_pbh(v);
}
static inline singles multiply_add(singles a, singles b, singles c)
{
    return _mm512_fmadd_ps(a, b, c);
}
static inline singles add(singles a, singles b)
{
    return _mm512_add_ps(a, b);
}
static inline singles multiply(singles a, singles b)
{
    return _mm512_mul_ps(a, b);
}
static inline singles singles_of(float x)
{
    return _mm512_set1_ps(x);
}
// v where it is a NaN: of two of which one is, the instruction returns the second.
static inline singles larger(singles than, singles v)
{
    return _mm512_max_ps(than, v);
}
// v where x, which is of bf16, is above zero; 0 elsewhere and where x is a NaN.
static inline halves where_above_zero(halves x, halves v)
{
    const __m256i infinite = _mm256_set1_epi16(0x7f80);
    __mmask16 above = _mm256_cmpgt_epi16_mask(x, _mm256_setzero_si256()) &
                      ~_mm256_cmpgt_epi16_mask(x, infinite);
    return _mm256_maskz_mov_epi16(above, v);
}
// b where it is larger than a or a NaN.
static inline singles larger_or_nan(singles a, singles b)
{
    __mmask16 takes = _mm512_cmp_ps_mask(b, a, _CMP_GT_OQ) | _mm512_cmp_ps_mask(b, b, _CMP_UNORD_Q);
    return _mm512_mask_mov_ps(a, takes, b);
}
// 32 elements.
static inline void store_both(uint16_t *to, singles low, singles high)
{
    _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}
// (a0, b0), (a1, b1), ...
static inline void store_pairs(uint16_t *to, halves a, halves b)
{
    __m512i odd = _mm512_slli_epi32(_mm512_cvtepu16_epi32(b), 16);
    _mm512_storeu_si512(to, _mm512_or_si512(_mm512_cvtepu16_epi32(a), odd));
}
#else
typedef struct {
    uint16_t at[16];
} halves;
typedef struct {
    float at[16];
} singles;

static inline halves halves_load(const uint16_t *x)
{
    halves v;
    memcpy(&v, x, sizeof v);
    return v;
}
static inline void halves_store(uint16_t *x, halves v)
{
    memcpy(x, &v, sizeof v);
}
static inline singles singles_load(const float *x)
{
    singles v;
    memcpy(&v, x, sizeof v);
    return v;
}
static inline void singles_store(float *x, singles v)
{
    memcpy(x, &v, sizeof v);
}
static inline singles widen(halves v)
{
    singles wide;
    for (int i = 0; i < 16; i++)
        wide.at[i] = fm_bf16_widen(v.at[i]);
    return wide;
}
static inline halves narrow(singles v)
{
    halves low;
    for (int i = 0; i < 16; i++)
        low.at[i] = fm_bf16_narrow(v.at[i]);
    return low;
}
static inline singles multiply_add(singles a, singles b, singles c)
{
    for (int i = 0; i < 16; i++)
        a.at[i] = fmaf(a.at[i], b.at[i], c.at[i]);
    return a;
}
static inline singles add(singles a, singles b)
{
    for (int i = 0; i < 16; i++)
        a.at[i] += b.at[i];
    return a;
}
static inline singles multiply(singles a, singles b)
{
    for (int i = 0; i < 16; i++)
        a.at[i] *= b.at[i];
    return a;
}
static inline singles singles_of(float x)
{
    singles v;
    for (int i = 0; i < 16; i++)
        v.at[i] = x;
    return v;
}
static inline singles larger(singles than, singles v)
{
    for (int i = 0; i < 16; i++)
        v.at[i] = v.at[i] < than.at[i] ? than.at[i] : v.at[i];
    return v;
}
static inline halves where_above_zero(halves x, halves v)
{
    for (int i = 0; i < 16; i++)
        v.at[i] = fm_bf16_widen(x.at[i]) > 0.0f ? v.at[i] : 0;
    return v;
}
static inline singles larger_or_nan(singles a, singles b)
{
    for (int i = 0; i < 16; i++)
        a.at[i] = b.at[i] > a.at[i] || b.at[i] != b.at[i] ? b.at[i] : a.at[i];
    return a;
}
static inline void store_both(uint16_t *to, singles low, singles high)
{
    halves_store(to, narrow(low));
    halves_store(to + 16, narrow(high));
}
static inline void store_pairs(uint16_t *to, halves a, halves b)
{
    for (int i = 0; i < 16; i++) {
        to[2 * i] = a.at[i];
        to[2 * i + 1] = b.at[i];
    }
}
#endif

// 16 rows of 16 pairs to columns.
static inline void transpose_pairs(const void *from, void *to)
{
#if defined(__AVX512F__)
    __m512i a[16], b[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        a[i] = _mm512_load_si512((const __m512i *)from + i);
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
        a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
        a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    // a[4 q + k] has rows 4 q to 4 q + 3 of columns k, 4 + k, 8 + k and 12 + k.
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        __m512i even[2] = {_mm512_shuffle_i32x4(a[k], a[4 + k], 0x88),
            _mm512_shuffle_i32x4(a[8 + k], a[12 + k], 0x88)};
        __m512i odd[2] = {_mm512_shuffle_i32x4(a[k], a[4 + k], 0xdd),
            _mm512_shuffle_i32x4(a[8 + k], a[12 + k], 0xdd)};
        _mm512_store_si512((__m512i *)to + k, _mm512_shuffle_i32x4(even[0], even[1], 0x88));
        _mm512_store_si512((__m512i *)to + 4 + k, _mm512_shuffle_i32x4(odd[0], odd[1], 0x88));
        _mm512_store_si512((__m512i *)to + 8 + k, _mm512_shuffle_i32x4(even[0], even[1], 0xdd));
        _mm512_store_si512((__m512i *)to + 12 + k, _mm512_shuffle_i32x4(odd[0], odd[1], 0xdd));
    }
#else
    const char *rows = from;
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 16; k++)
            memcpy((char *)to + (k * 16 + i) * 4, rows + (i * 16 + k) * 4, 4);
#endif
}

static inline halves halves_zero(void)
{
    static const uint16_t zero[16];
    return halves_load(zero);
}

// 16 elements of an activation as its reader takes them; `channel` is the first one's.
static inline halves read_pending(const uint16_t *x, struct fm_norm_relu pending, int channel)
{
    halves v = halves_load(x);
    if (!pending.scale)
        return v;
    return narrow(
        larger(singles_of(0.0f), multiply_add(widen(v), singles_load(pending.scale + channel),
                                     singles_load(pending.shift + channel))));
}

#endif
