// The gradient of the filters and bias of a network's first convolution by own kernels
// (isa/direct_gradient.c), where it is trained on a processor without AVX-512: with AVX2, where it
// was measured, oneDNN's takes some ten times as long as reading the output's gradient.
#ifndef FM_CPU_OWN_GRADIENT_H
#define FM_CPU_OWN_GRADIENT_H

#include "backend/cpu/op.h"

// Whether the convolution `op`, whose input and output have their views, is one of those.
bool fm_own_gradient_suits(const struct fm_op *op);
// Asks for its scratch, says by what it is computed, and has the output read in WEIGHTS in place of
// PREPARE where a ReLU gates.
void fm_own_gradient_connect(struct fm_op *op);
// With the gate of a fused ReLU, unless an operation behind has done it: the output's gradient is
// left as it is, as no input's gradient is computed from it.
void fm_own_gradient_run(struct fm_op *op);

#endif
