// D = epilogue(alpha op(A) op(B) + beta C) on the CPU, sums in fp32 in the order of k.
#include "cublaslt_product.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace simlt
{

size_t size_of(cudaDataType type)
{
    switch (type) {
    case CUDA_R_32F:
        return 4;
    case CUDA_R_16F:
    case CUDA_R_16BF:
        return 2;
    default:
        return 0;
    }
}

size_t matrix::bytes() const
{
    return static_cast<size_t>((columns - 1) * ld + rows) * size_of(type);
}

int64_t product::m() const
{
    return d.rows;
}

int64_t product::n() const
{
    return d.columns;
}

int64_t product::k() const
{
    return transposed_a ? a.rows : a.columns;
}

bool product::reads_bias() const
{
    return epilogue & CUBLASLT_EPILOGUE_BIAS;
}

bool product::writes_bias() const
{
    return epilogue == CUBLASLT_EPILOGUE_DRELU_BGRAD || epilogue == CUBLASLT_EPILOGUE_BGRADA ||
           epilogue == CUBLASLT_EPILOGUE_BGRADB;
}

bool product::uses_mask() const
{
    return epilogue & 128;
}

int64_t product::bias_count() const
{
    return epilogue == CUBLASLT_EPILOGUE_BGRADB ? n() : m();
}

size_t product::mask_bytes() const
{
    return static_cast<size_t>(mask_ld / 8 * n());
}

namespace
{

float load(cudaDataType type, const void *data, int64_t at)
{
    switch (type) {
    case CUDA_R_16F:
        return __half2float(static_cast<const __half *>(data)[at]);
    case CUDA_R_16BF:
        return __bfloat162float(static_cast<const __nv_bfloat16 *>(data)[at]);
    default:
        return static_cast<const float *>(data)[at];
    }
}

void store(cudaDataType type, void *data, int64_t at, float value)
{
    switch (type) {
    case CUDA_R_16F:
        static_cast<__half *>(data)[at] = __float2half_rn(value);
        break;
    case CUDA_R_16BF:
        static_cast<__nv_bfloat16 *>(data)[at] = __float2bfloat16_rn(value);
        break;
    default:
        static_cast<float *>(data)[at] = value;
    }
}

// fp32 with the mantissa of TF32, 10 bits.
float round_to_tf32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7f800000u) != 0x7f800000u) {
        bits = (bits + 0xfffu + (bits >> 13 & 1u)) & ~0x1fffu;
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

// op(X) as fp32 in plain column-major order, [columns][rows].
std::vector<float> unpack(
    const matrix &x, const void *data, bool transposed, bool tf32, int64_t rows, int64_t columns)
{
    std::vector<float> to(static_cast<size_t>(rows * columns));
    for (int64_t j = 0; j < columns; j++) {
        for (int64_t i = 0; i < rows; i++) {
            float value = load(x.type, data, transposed ? i * x.ld + j : j * x.ld + i);
            to[static_cast<size_t>(j * rows + i)] = tf32 ? round_to_tf32(value) : value;
        }
    }
    return to;
}

// Adds terms [first, end) of columns [0, count) of A B to `sums` [count][m].
void multiply_part(const product &p, const float *a, const float *b, int64_t count, int64_t first,
    int64_t end, float *sums)
{
    int64_t m = p.m(), k = p.k();
    for (int64_t l = first; l < end; l++) {
        const float *column = a + l * m;
        for (int64_t j = 0; j < count; j++) {
            float factor = b[j * k + l];
            float *to = sums + j * m;
            for (int64_t i = 0; i < m; i++) {
                to[i] += factor * column[i];
            }
        }
    }
}

float round_to(cudaDataType type, float value)
{
    uint32_t bits = 0; // holds any type
    store(type, &bits, 0, value);
    return load(type, &bits, 0);
}

// Columns [0, count) of A B.
void multiply(const product &p, const float *a, const float *b, int64_t count, float *sums)
{
    int64_t k = p.k(), half = p.splits_rounded ? k / 2 : k;
    std::fill(sums, sums + count * p.m(), 0.0f);
    multiply_part(p, a, b, count, 0, half, sums);
    if (half == k) {
        return;
    }
    std::vector<float> rest(static_cast<size_t>(count * p.m()));
    multiply_part(p, a, b, count, half, k, rest.data());
    for (size_t i = 0; i < rest.size(); i++) {
        sums[i] = round_to(p.d.type, sums[i]) + round_to(p.d.type, rest[i]);
    }
}

uint8_t *mask_byte(const product &p, int64_t i, int64_t j)
{
    return static_cast<uint8_t *>(p.mask) + j * (p.mask_ld / 8) + i / 8;
}

float relu(const product &p, float value, int64_t i, int64_t j)
{
    bool open = !(value <= 0.0f); // a NaN stays one
    if (p.uses_mask()) {
        uint8_t *byte = mask_byte(p, i, j), bit = static_cast<uint8_t>(1u << i % 8);
        *byte = static_cast<uint8_t>(open ? *byte | bit : *byte & ~bit);
    }
    return open ? value : 0.0f;
}

// One element of D.
float finish(const product &p, float sum, int64_t i, int64_t j)
{
    float value = p.alpha * sum;
    if (p.beta != 0.0f) {
        value += p.beta * load(p.c.type, p.c_data, j * p.c.ld + i);
    }
    if (p.epilogue == CUBLASLT_EPILOGUE_DRELU || p.epilogue == CUBLASLT_EPILOGUE_DRELU_BGRAD) {
        return *mask_byte(p, i, j) >> i % 8 & 1 ? value : 0.0f;
    }
    if (p.reads_bias()) {
        value += load(p.bias_type, p.bias, i);
    }
    return p.epilogue & CUBLASLT_EPILOGUE_RELU ? relu(p, value, i, j) : value;
}

// Sums over k of A's or B's rows, which are columns of the packed copies.
std::vector<double> input_sums(const product &p, const float *a, const float *b)
{
    int64_t m = p.m(), n = p.n(), k = p.k();
    std::vector<double> sums(static_cast<size_t>(p.bias_count()));
    for (int64_t l = 0; l < k; l++) {
        if (p.epilogue == CUBLASLT_EPILOGUE_BGRADA) {
            for (int64_t i = 0; i < m; i++) {
                sums[static_cast<size_t>(i)] += static_cast<double>(a[l * m + i]);
            }
        } else {
            for (int64_t j = 0; j < n; j++) {
                sums[static_cast<size_t>(j)] += static_cast<double>(b[j * k + l]);
            }
        }
    }
    return sums;
}

} // namespace

void run(const product &p)
{
    const int64_t BLOCK = 8; // columns that share one pass over A
    int64_t m = p.m(), n = p.n(), k = p.k();
    std::vector<float> a = unpack(p.a, p.a_data, p.transposed_a, p.tf32, m, k);
    std::vector<float> b = unpack(p.b, p.b_data, p.transposed_b, p.tf32, k, n);
    std::vector<float> sums(static_cast<size_t>(BLOCK * m));
    std::vector<double> gradient(static_cast<size_t>(p.writes_bias() ? p.bias_count() : 0));
    if (p.epilogue == CUBLASLT_EPILOGUE_BGRADA || p.epilogue == CUBLASLT_EPILOGUE_BGRADB) {
        gradient = input_sums(p, a.data(), b.data());
    }
    if (p.uses_mask() && p.epilogue & CUBLASLT_EPILOGUE_RELU) {
        memset(p.mask, 0xff, p.mask_bytes());
    }
    for (int64_t first = 0; first < n; first += BLOCK) {
        int64_t count = std::min(BLOCK, n - first);
        multiply(p, a.data(), b.data() + first * k, count, sums.data());
        for (int64_t j = 0; j < count; j++) {
            for (int64_t i = 0; i < m; i++) {
                float value = finish(p, sums[static_cast<size_t>(j * m + i)], i, first + j);
                store(p.d.type, p.d_data, (first + j) * p.d.ld + i, value);
                if (p.epilogue == CUBLASLT_EPILOGUE_DRELU_BGRAD) {
                    gradient[static_cast<size_t>(i)] += static_cast<double>(value);
                }
            }
        }
    }
    for (size_t i = 0; i < gradient.size(); i++) {
        store(p.bias_type, p.bias, static_cast<int64_t>(i), static_cast<float>(gradient[i]));
    }
}

} // namespace simlt
