// Rounding to bf16 and fp16, to nearest and to even when halfway, by integer arithmetic: the same
// bits on every device, whatever conversions it has.
//
//   bf16: fp32's 8 exponent bits, 7 of its mantissa
//   fp16: IEEE 754 binary16; subnormal below 2^-14, infinite from 65,520 on
//
// A NaN stays one.
#ifndef FM_KERNELS_ROUNDING_H
#define FM_KERNELS_ROUNDING_H

#include "portable.h"

union fm_float_bits {
    float value;
    uint32_t bits;
};

FM_SHARED_FN uint32_t fm_bits_of(float value)
{
    union fm_float_bits pun;
    pun.value = value;
    return pun.bits;
}

// The magnitude as whole numbers order it; of an infinity or a NaN it is FM_BITS_INFINITE or more.
#define FM_BITS_INFINITE 0x7f800000u
FM_SHARED_FN uint32_t fm_magnitude_of(float value)
{
    return fm_bits_of(value) & 0x7fffffffu;
}

FM_SHARED_FN float fm_float_of(uint32_t bits)
{
    union fm_float_bits pun;
    pun.bits = bits;
    return pun.value;
}

// A bf16 is the upper half of an fp32.
FM_SHARED_FN float fm_bf16_widen(uint16_t half)
{
    return fm_float_of((uint32_t)half << 16);
}

FM_SHARED_FN uint16_t fm_bf16_narrow(float x)
{
    uint32_t bits = fm_bits_of(x);
    uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1u);
    uint32_t quiet = bits | 0x00400000u; // a NaN whose mantissa cannot be rounded or cut away
    return (uint16_t)(((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded) >> 16);
}

FM_SHARED_FN float fm_round_bf16(float x)
{
    return fm_bf16_widen(fm_bf16_narrow(x));
}

FM_SHARED_FN float fm_round_fp16(float x)
{
    uint32_t bits = fm_bits_of(x), sign = bits & 0x80000000u, magnitude = bits & 0x7fffffffu;
    uint32_t normal = (magnitude + 0xfffu + (magnitude >> 13 & 1u)) & ~0x1fffu;
    normal = normal >= 0x47800000u ? 0x7f800000u : normal; // 65,536
    // Between 0.5 and 1 fp32 has steps of 2^-24, which are those of subnormal fp16.
    uint32_t subnormal = fm_bits_of((fm_float_of(magnitude) + 0.5f) - 0.5f);
    uint32_t rounded = magnitude < 0x38800000u ? subnormal : normal; // 2^-14
    return fm_float_of(sign | (magnitude > 0x7f800000u ? magnitude | 0x00400000u : rounded));
}

// An fp16's 10 bits of mantissa are fp32's upper ones, its exponents begin 112 later.
FM_SHARED_FN float fm_fp16_widen(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, magnitude = half & 0x7fffu;
    uint32_t subnormal = fm_bits_of((float)magnitude * 0x1p-24f);
    uint32_t finite = magnitude < 0x400u ? subnormal : (magnitude << 13) + (112u << 23);
    return fm_float_of(sign | (magnitude < 0x7c00u ? finite : magnitude << 13 | 0x7f800000u));
}

FM_SHARED_FN uint16_t fm_fp16_narrow(float x)
{
    uint32_t bits = fm_bits_of(fm_round_fp16(x)), magnitude = bits & 0x7fffffffu;
    uint32_t subnormal = (uint32_t)(fm_float_of(magnitude < 0x38800000u ? magnitude : 0) * 0x1p24f);
    uint32_t finite = magnitude < 0x38800000u ? subnormal : (magnitude - (112u << 23)) >> 13;
    uint32_t half = magnitude < 0x7f800000u ? finite : 0x7c00u | (magnitude >> 13 & 0x3ffu);
    return (uint16_t)(bits >> 16 & 0x8000u) | (uint16_t)half;
}

#endif
