// The arithmetic of the simulated cuBLASLt: a product with its epilogue, described by plain values.
#ifndef SIMCUDA_CUBLASLT_PRODUCT_H
#define SIMCUDA_CUBLASLT_PRODUCT_H

#include <cublasLt.h>

#include <cstddef>
#include <cstdint>

namespace simlt
{

// Column-major, `ld` elements from a column to the next.
struct matrix {
    cudaDataType type;
    int64_t rows, columns, ld;

    size_t bytes() const; // from the first element to the last
};

struct product {
    matrix a, b, c, d;
    bool transposed_a, transposed_b;
    bool tf32; // inputs are rounded to TF32
    uint32_t epilogue;
    bool splits_rounded; // k is summed in two parts that are stored in D's type
    float alpha, beta;
    const void *a_data, *b_data, *c_data;
    void *d_data;
    void *bias; // read, or with a gradient epilogue written
    cudaDataType bias_type;
    void *mask; // of the ReLU, a bit an element
    int64_t mask_ld;

    int64_t m() const;
    int64_t n() const;
    int64_t k() const;
    bool reads_bias() const;
    bool writes_bias() const;
    bool uses_mask() const;
    int64_t bias_count() const;
    size_t mask_bytes() const;
};

size_t size_of(cudaDataType type); // 0: not simulated

// Runs it: D = epilogue(alpha A B + beta C).
void run(const product &p);

} // namespace simlt

#endif
