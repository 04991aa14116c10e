// Narrower formats: what an operation has computed in fp32 is rounded where it lies (emulation), or
// becomes bf16.
#include "rounding.h"

#include "backend/cpu/isa/kernels.h"

void FM_KERNEL(round)(size_t count, float *x, enum fm_rounding rounding)
{
    if (rounding == FM_ROUNDING_BF16) {
#pragma omp parallel for simd schedule(static)
        for (size_t i = 0; i < count; i++)
            x[i] = fm_round_bf16(x[i]);
    } else if (rounding == FM_ROUNDING_FP16) {
#pragma omp parallel for simd schedule(static)
        for (size_t i = 0; i < count; i++)
            x[i] = fm_round_fp16(x[i]);
    }
}

void FM_KERNEL(narrow)(size_t count, const float *x, uint16_t *y)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        y[i] = fm_bf16_narrow(x[i]);
}
