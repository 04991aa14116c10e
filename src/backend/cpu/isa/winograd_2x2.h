// Winograd's F(2x2, 3x3), for winograd_tile.h. The polynomials are evaluated at 0, 1, -1 and
// infinity, which rounds less than a direct sum of 64 channels does (tests/test_winograd.c).
#ifndef FM_CPU_ISA_WINOGRAD_2X2_H
#define FM_CPU_ISA_WINOGRAD_2X2_H

#include "backend/cpu/isa/vector.h"

// y = B^T d
static inline void input_1d(const vec *d, int step_in, vec *y, int step_out)
{
    vec d1 = d[step_in], d2 = d[2 * step_in];
    y[0] = d[0] - d2;
    y[step_out] = d2 + d1;
    y[2 * step_out] = d2 - d1;
    y[3 * step_out] = d[3 * step_in] - d1;
}

// y = A^T m
static inline void output_1d(const vec *m, int step_in, vec *y, int step_out)
{
    vec m1 = m[step_in], m2 = m[2 * step_in];
    y[0] = m[0] + (m1 + m2);
    y[step_out] = (m1 - m2) + m[3 * step_in];
}

// y = A m
static inline void gradient_1d(const vec *m, int step_in, vec *y, int step_out)
{
    vec m0 = m[0], m1 = m[step_in];
    y[0] = m0;
    y[step_out] = m0 + m1;
    y[2 * step_out] = m0 - m1;
    y[3 * step_out] = m1;
}

// y = G g
static inline void filter_1d(const vec *g, int step_in, vec *y, int step_out)
{
    vec even = 0.5f * (g[0] + g[2 * step_in]), odd = 0.5f * g[step_in];
    y[0] = g[0];
    y[step_out] = even + odd;
    y[2 * step_out] = even - odd;
    y[3 * step_out] = g[2 * step_in];
}

// y = G^T u
static inline void filter_gradient_1d(const vec *u, int step_in, vec *y, int step_out)
{
    vec u1 = u[step_in], u2 = u[2 * step_in], even = 0.5f * (u1 + u2);
    y[0] = u[0] + even;
    y[step_out] = 0.5f * (u1 - u2);
    y[2 * step_out] = even + u[3 * step_in];
}

#endif
