// One kernel a process, right or with a bug that a sanitizer must find: what simcuda_sanitizers.sh
// runs. Its exit status is 3 for a case it doesn't know, and 4 when a kernel did not end well.
#include "simcuda.h"
#include "simcuda_kernels.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define N 300

static float *x, *y;
static int *numbers, *counts;

static bool is_right(cudaStream_t s)
{
    int *warps;
    bool ok = cudaMalloc((void **)&warps, 64 * 9 * sizeof *warps) == cudaSuccess;
    ok = ok && k_sum(x, N, y, 0, s) == cudaSuccess;
    ok = ok && k_axpy(y, x, 2, N, s) == cudaSuccess;
    ok = ok && k_rotate(x, 3, 0, s) == cudaSuccess;
    ok = ok && k_reverse(x, y, N, 0, s) == cudaSuccess;
    ok = ok && k_count(numbers, N, counts, 0, s) == cudaSuccess;
    ok = ok && k_warps(warps, s) == cudaSuccess;
    return ok && cudaStreamSynchronize(s) == cudaSuccess && cudaFree(warps) == cudaSuccess;
}

static cudaError_t plant(const char *name, cudaStream_t s)
{
    const struct {
        const char *name;
        enum k_misdeed misdeed;
    } misdeeds[] = {
        {"beyond-static", K_BEYOND_STATIC},
        {"beyond-global", K_JUST_BEYOND_GLOBAL},
        {"before-global", K_BEFORE_GLOBAL},
        {"blocks-race", K_BLOCKS_RACE},
    };
    for (size_t i = 0; i < sizeof misdeeds / sizeof misdeeds[0]; i++) {
        if (strcmp(name, misdeeds[i].name) == 0) {
            return k_misdo(misdeeds[i].misdeed, x, N, s);
        }
    }
    if (strcmp(name, "beyond-dynamic") == 0) {
        return k_reverse(x, y, 62, 1, s); // 8 bytes on there is a guard page, for all builds
    }
    if (strcmp(name, "misaligned") == 0) {
        return k_double_halves(x, y, N, 1, s);
    }
    if (strcmp(name, "sum") == 0) {
        return k_sum(x, N, y, 1, s);
    }
    if (strcmp(name, "rotate") == 0) {
        return k_rotate(x, 3, 1, s);
    }
    if (strcmp(name, "count") == 0) {
        return k_count(numbers, N, counts, 1, s);
    }
    return cudaErrorInvalidValue;
}

int main(int argc, char **argv)
{
    const char *name = argc == 2 ? argv[1] : "right";
    cudaStream_t s;
    // The last of x's guard bytes lies before its guard page: N floats are no multiple of 256
    // bytes.
    if (cudaStreamCreate(&s) || cudaMalloc((void **)&x, N * sizeof *x) ||
        cudaMalloc((void **)&y, N * sizeof *y) ||
        cudaMalloc((void **)&numbers, N * sizeof *numbers) ||
        cudaMalloc((void **)&counts, 4 * sizeof *counts) ||
        cudaMemset(numbers, 0, N * sizeof *numbers) || cudaDeviceSynchronize()) {
        return 4;
    }
    if (strcmp(name, "right") == 0) {
        for (int seed = 1; seed <= 3; seed++) {
            sim_seed((uint64_t)seed);
            if (!is_right(s)) {
                return 4;
            }
        }
    } else if (plant(name, s) != cudaSuccess) {
        return 3;
    } else if (cudaStreamSynchronize(s)) {
        return 4;
    }
    return cudaFree(x) || cudaFree(y) || cudaFree(numbers) || cudaFree(counts) ||
                   cudaStreamDestroy(s)
               ? 4
               : 0;
}
