// One element's step of stochastic gradient descent with momentum, as PyTorch's SGD without
// dampening:
//
//   g = gradient + weight_decay * w
//   m = momentum * m + g
//   w = w - learning_rate * (nesterov ? g + momentum * m : m)
//
// Nesterov's form after Sutskever, Martens, Dahl, Hinton: "On the importance of initialization and
// momentum in deep learning", ICML 2013, rewritten for the point at which the gradient is taken.
#ifndef FM_KERNELS_SGD_H
#define FM_KERNELS_SGD_H

#include "portable.h"

// What all elements of a step share.
struct fm_sgd_step {
    float momentum;
    float learning_rate;
    float weight_decay;
    float unscale; // what a gradient is multiplied by: 1 / loss scale
    int nesterov;
};

FM_SHARED_FN float fm_sgd_element(
    float param, float *moment, float gradient, struct fm_sgd_step step)
{
    float g = fmaf(step.weight_decay, param, gradient * step.unscale);
    float m = fmaf(step.momentum, *moment, g);
    *moment = m;
    float change = step.nesterov ? fmaf(step.momentum, m, g) : m;
    return fmaf(-step.learning_rate, change, param);
}

#endif
