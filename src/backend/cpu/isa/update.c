// What happens to the parameters at the end of a step.
#include "backend/cpu/isa/kernels.h"
#include "rounding.h"

bool FM_KERNEL(all_finite)(size_t count, const float *x)
{
    uint32_t largest = 0;
#pragma omp parallel for simd schedule(static) reduction(max : largest)
    for (size_t i = 0; i < count; i++) {
        uint32_t magnitude = fm_magnitude_of(x[i]);
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest < FM_BITS_INFINITE;
}

void FM_KERNEL(adam)(size_t count, float *param, float *moment1, float *moment2,
    const float *gradient, const struct fm_adam_step *step)
{
    struct fm_adam_step s = *step;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        param[i] = fm_adam_element(param[i], &moment1[i], &moment2[i], gradient[i], s);
}

void FM_KERNEL(sgd)(size_t count, float *param, float *moment, const float *gradient,
    const struct fm_sgd_step *step)
{
    struct fm_sgd_step s = *step;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        param[i] = fm_sgd_element(param[i], &moment[i], gradient[i], s);
}

void FM_KERNEL(average)(size_t count, float *average, const float *value, float decay)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        average[i] = fmaf(decay, average[i], (1.0f - decay) * value[i]);
}
