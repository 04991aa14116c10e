// One element's Adam update (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1), with decoupled
// weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101) where weight_decay is not 0.
#ifndef FM_KERNELS_ADAM_H
#define FM_KERNELS_ADAM_H

#include "portable.h"

// What all elements of a step share.
struct fm_adam_step {
    float beta1, beta2, epsilon;
    float learning_rate;
    float weight_decay;
    float correction1; // 1 / (1 - beta1^t), t counting applied steps from 1
    float correction2; // 1 / (1 - beta2^t)
    float unscale;     // what a gradient is multiplied by: 1 / loss scale
};

FM_SHARED_FN float fm_adam_correction(float beta, uint64_t t)
{
    return (float)(1.0 / (1.0 - pow((double)beta, (double)t)));
}

FM_SHARED_FN float fm_adam_element(
    float param, float *moment1, float *moment2, float gradient, struct fm_adam_step step)
{
    float g = gradient * step.unscale;
    float m = fmaf(step.beta1, *moment1, (1.0f - step.beta1) * g);
    float v = fmaf(step.beta2, *moment2, (1.0f - step.beta2) * (g * g));
    *moment1 = m;
    *moment2 = v;
    float change = m * step.correction1 / (sqrtf(v * step.correction2) + step.epsilon);
    float decayed = fmaf(-step.learning_rate * step.weight_decay, param, param);
    return fmaf(-step.learning_rate, change, decayed);
}

#endif
