// What a dense layer's product is given: see matrix.c.
#ifndef FM_CPU_ISA_MATRIX_H
#define FM_CPU_ISA_MATRIX_H

#include <stdbool.h>
#include <stddef.h>

// The products of a dense layer of x [batch][in], y [batch][out] and its weight w [out][in].
enum fm_matrix_pass {
    FM_MATRIX_FORWARD, // y = x w^T
    FM_MATRIX_WEIGHTS, // dw = dy^T x
    FM_MATRIX_DATA,    // dx = dy w
    FM_MATRIX_PASS_COUNT,
};

// In x, the features of an image lie as an activation's: channels in blocks, [channel / block]
// [pixel][channel % block]; in w, as its weights: [channel][pixel].
struct fm_matrix_product {
    enum fm_matrix_pass pass;
    int batch, in, out;
    int pixels, block; // of x: pixels of a channel, channels of a block
    int threads;       // that share the work
};

struct fm_matrix_run {
    const float *left, *right; // the operands, in the order above
    float *to;
    const float *bias; // [out], which FORWARD adds, or NULL
    bool relu;         // after the bias
};

#endif
