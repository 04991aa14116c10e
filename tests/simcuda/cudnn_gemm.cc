// The matrix product under the convolutions: tiles of a few rows by 16 columns held in registers,
// with variants for AVX2 and AVX-512, chosen at run time. Compiled with contraction to fused
// multiply-adds.
#include "cudnn_gemm.h"

#include "cudnn_internal.h"

#include <algorithm>

namespace simcudnn
{

namespace
{

const int64_t WIDTH = 16;
const int64_t DEPTH = 256; // of a block of the sum: a panel's part stays in the first cache

typedef float sixteen __attribute__((vector_size(64), aligned(4)));

struct tile {
    const float *a;
    int64_t row_stride, column_stride;
    const float *b; // one panel, from the block's first row
    float *c;       // 16 columns, or fewer
    int64_t stride, columns;
    int64_t depth;
    bool accumulate;
};

template <int ROWS>
__attribute__((always_inline)) inline void run_tile(const tile &t, const float *a, float *c)
{
    sixteen sums[ROWS];
    float edge[WIDTH];
    bool whole = t.columns == WIDTH;
    for (int i = 0; i < ROWS; i++) {
        sums[i] = sixteen{};
        if (t.accumulate && whole) {
            sums[i] = *reinterpret_cast<const sixteen *>(c + i * t.stride);
        } else if (t.accumulate) {
            for (int64_t j = 0; j < WIDTH; j++) {
                edge[j] = j < t.columns ? c[i * t.stride + j] : 0.0f;
            }
            sums[i] = *reinterpret_cast<const sixteen *>(edge);
        }
    }
    for (int64_t k = 0; k < t.depth; k++) {
        sixteen b = *reinterpret_cast<const sixteen *>(t.b + k * WIDTH);
        const float *column = a + k * t.column_stride;
        for (int i = 0; i < ROWS; i++) {
            sums[i] = sums[i] + b * column[i * t.row_stride];
        }
    }
    for (int i = 0; i < ROWS; i++) {
        if (whole) {
            *reinterpret_cast<sixteen *>(c + i * t.stride) = sums[i];
        } else {
            *reinterpret_cast<sixteen *>(edge) = sums[i];
            std::copy(edge, edge + t.columns, c + i * t.stride);
        }
    }
}

template <int ROWS> __attribute__((always_inline)) inline void run_rows(const tile &t, int64_t rows)
{
    int64_t i = 0;
    for (; i + ROWS <= rows; i += ROWS) {
        run_tile<ROWS>(t, t.a + i * t.row_stride, t.c + i * t.stride);
    }
    for (; i + 4 <= rows; i += 4) {
        run_tile<4>(t, t.a + i * t.row_stride, t.c + i * t.stride);
    }
    for (; i < rows; i++) {
        run_tile<1>(t, t.a + i * t.row_stride, t.c + i * t.stride);
    }
}

void run_plain(const tile &t, int64_t rows)
{
    run_rows<4>(t, rows);
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) void run_avx2(const tile &t, int64_t rows)
{
    run_rows<6>(t, rows);
}

__attribute__((target("avx512f,avx2,fma"))) void run_avx512(const tile &t, int64_t rows)
{
    run_rows<12>(t, rows);
}
#endif

using runner = void (*)(const tile &, int64_t);

runner best_runner()
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        return run_avx512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return run_avx2;
    }
#endif
    return run_plain;
}

int64_t panel_count(int64_t n)
{
    return (n + WIDTH - 1) / WIDTH;
}

} // namespace

panels::panels(int64_t most_k, int64_t columns)
    : k(most_k), n(columns),
      values(new float[static_cast<size_t>(panel_count(columns) * WIDTH * most_k)])
{
}

panels::panels(
    const float *from, int64_t rows, int64_t columns, int64_t row_stride, int64_t column_stride)
    : panels(rows, columns)
{
    fill(from, rows, row_stride, column_stride);
}

void panels::fill(const float *from, int64_t rows, int64_t row_stride, int64_t column_stride)
{
    k = rows;
    float *to = values.get();
    for (int64_t first = 0; first < n; first += WIDTH) {
        int64_t columns = std::min(WIDTH, n - first);
        for (int64_t i = 0; i < rows; i++) {
            const float *row = from + i * row_stride + first * column_stride;
            for (int64_t j = 0; j < columns; j++) {
                to[j] = row[j * column_stride];
            }
            std::fill(to + columns, to + WIDTH, 0.0f);
            to += WIDTH;
        }
    }
}

void multiply(int64_t m, const float *a, int64_t row_stride, int64_t column_stride, const panels &b,
    float *c, bool accumulate, bool narrow_sums)
{
    static const runner run = best_runner();
    int64_t depth = narrow_sums ? 16 : DEPTH;
    for (int64_t k = 0; k < b.k; k += depth) {
        for (int64_t panel = 0; panel < panel_count(b.n); panel++) {
            tile t;
            t.a = a + k * column_stride;
            t.row_stride = row_stride;
            t.column_stride = column_stride;
            t.b = b.values.get() + (panel * b.k + k) * WIDTH;
            t.c = c + panel * WIDTH;
            t.stride = b.n;
            t.columns = std::min(WIDTH, b.n - panel * WIDTH);
            t.depth = std::min(depth, b.k - k);
            t.accumulate = accumulate || k > 0;
            run(t, m);
        }
        if (narrow_sums) {
            narrow_to_half(c, m * b.n);
        }
    }
}

} // namespace simcudnn
