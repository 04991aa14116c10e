// Types of elements, by safetensors' names for them, and their way to fp32.
#include "net/files/tensors_class.h"

#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "elements are taken as they lie in memory: the formats are little-endian"
#endif

enum {
    CHUNK = 1 << 20 // bytes that are widened at a time
};

static void widen_f32(const unsigned char *bytes, size_t count, float *out)
{
    memcpy(out, bytes, count * sizeof *out);
}

// To the nearest: what is beyond fp32 becomes infinite.
static void widen_f64(const unsigned char *bytes, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, bytes + i * sizeof value, sizeof value);
        out[i] = (float)value;
    }
}

static void widen_bf16(const unsigned char *bytes, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++, bytes += 2) {
        uint32_t bits = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 24;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

static float half_value(uint32_t half)
{
    uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31u, mantissa = half & 0x3ffu;
    float value;
    if (exponent == 0) {
        value = (float)mantissa * 0x1p-24f; // zero or subnormal: exact
        return sign != 0 ? -value : value;
    }
    // Infinities and NaNs keep their mantissa; the bias goes from 15 to 127.
    uint32_t bits = sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | mantissa << 13;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void widen_f16(const unsigned char *bytes, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++, bytes += 2)
        out[i] = half_value((uint32_t)bytes[0] | (uint32_t)bytes[1] << 8);
}

static const struct fm_tensor_type types[] = {
    {"F32", 32, widen_f32},
    {"F16", 16, widen_f16},
    {"BF16", 16, widen_bf16},
    {"F64", 64, widen_f64},
    {"I64", 64, NULL},
    {"I32", 32, NULL},
    {"I16", 16, NULL},
    {"I8", 8, NULL},
    {"U64", 64, NULL},
    {"U32", 32, NULL},
    {"U16", 16, NULL},
    {"U8", 8, NULL},
    {"BOOL", 8, NULL},
    {"F8_E4M3", 8, NULL},
    {"F8_E5M2", 8, NULL},
    {"F8_E8M0", 8, NULL},
    {"F6_E2M3", 6, NULL},
    {"F6_E3M2", 6, NULL},
    {"F4", 4, NULL},
    {"C64", 64, NULL},
};

// By eights: the bits of a number of elements whose bytes fit need not fit.
uint64_t fm_tensor_type_bytes(const struct fm_tensor_type *type, size_t count)
{
    return (uint64_t)count / 8 * type->bits + (count % 8 * type->bits + 7) / 8;
}

const struct fm_tensor_type *fm_tensor_type_find(const char *name)
{
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        if (strcmp(types[t].name, name) == 0)
            return &types[t];
    }
    return NULL;
}

enum fm_status fm_tensors_get_fp32(const struct fm_tensors *tensors,
    const struct fm_tensor_type *type, uint64_t offset, size_t count, float *out)
{
    size_t bytes = type->bits / 8;
    if (type->widen == widen_f32)
        return fm_tensors_get(tensors, offset, out, count * bytes);
    unsigned char *chunk = malloc(CHUNK);
    enum fm_status status = chunk != NULL ? FM_OK : fm_fail_memory("a part of a tensor", CHUNK);
    for (size_t done = 0; status == FM_OK && done < count;) {
        size_t now = count - done < CHUNK / bytes ? count - done : CHUNK / bytes;
        status = fm_tensors_get(tensors, offset + done * bytes, chunk, now * bytes);
        if (status == FM_OK)
            type->widen(chunk, now, out + done);
        done += now;
    }
    free(chunk);
    return status;
}
