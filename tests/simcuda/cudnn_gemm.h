// A matrix product in fp32, fast enough that networks of some 10^8 operations an image can be
// trained on for a few steps.
#ifndef SIMCUDA_CUDNN_GEMM_H
#define SIMCUDA_CUDNN_GEMM_H

#include <cstdint>
#include <memory>

namespace simcudnn
{

// The right factor [k, n], rearranged once into panels of 16 columns, the last padded with zeros.
struct panels {
    panels(const float *from, int64_t k, int64_t n, int64_t row_stride, int64_t column_stride);
    // Space for one to be filled later, from row-major [k, n].
    panels(int64_t most_k, int64_t n);
    void fill(const float *from, int64_t rows, int64_t row_stride, int64_t column_stride);

    int64_t k, n;
    std::unique_ptr<float[]> values;
};

// c [m, n], row-major with n columns, becomes a b, or c + a b. a's element (i, k) is
// a[i * row_stride + k * column_stride]. Sums run over k in order, in fp32, so the same arguments
// give the same bits whoever computes them. `narrow_sums`: partial sums are rounded to fp16, as an
// engine with reduced-precision reduction would.
void multiply(int64_t m, const float *a, int64_t row_stride, int64_t column_stride, const panels &b,
    float *c, bool accumulate, bool narrow_sums);

} // namespace simcudnn

#endif
