// The gradient of the filters of a network's first convolution by own kernels
// (isa/direct_gradient.c), on processors without AVX-512: there oneDNN's takes several times as
// long as reading the output's gradient.
#ifndef FM_CPU_FIRST_GRADIENT_H
#define FM_CPU_FIRST_GRADIENT_H

#include "backend/cpu/op.h"

// Whether the convolution `op`, whose input and output have their views, is one of those.
bool fm_first_gradient_suits(const struct fm_op *op);
// Asks for its scratch.
void fm_first_gradient_connect(struct fm_op *op);
// With the gate of a fused ReLU, unless an operation behind has done it: the output's gradient is
// left as it is, as no input's gradient is computed from it.
void fm_first_gradient_run(struct fm_op *op);

#endif
