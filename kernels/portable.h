// Lets one header hold arithmetic for C and for CUDA. Standard library only.
//
// Files that include these headers are compiled without contraction of a*b + c (-ffp-contract=off,
// -fmad=false); where one rounding is meant, fmaf() is written.
#ifndef FM_KERNELS_PORTABLE_H
#define FM_KERNELS_PORTABLE_H

#include <math.h>
#include <stdint.h>

#if defined(__CUDACC__)
#define FM_SHARED_FN static __host__ __device__ __forceinline__
#elif defined(__GNUC__)
#define FM_SHARED_FN static inline __attribute__((always_inline, unused))
#else
#define FM_SHARED_FN static inline
#endif

#endif
