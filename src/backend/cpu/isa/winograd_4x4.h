// Winograd's F(4x4, 3x3), for winograd_tile.h.
//
// The matrices are those of polynomials evaluated at 0, +-S, +-L and infinity (Toom and Cook).
// Which points decides how much is lost by rounding (Barabasz et al. 2020, "Error Analysis and
// Improving the Accuracy of Winograd Convolution for Deep Neural Networks", arXiv:1803.10986).
// These are the best of a search over pairs (tests/reference/winograd_points.py): the root of the
// mean square error is twice that of a direct sum over 64 channels; with the customary 1 and 2 it
// is five times.
#ifndef FM_CPU_ISA_WINOGRAD_4X4_H
#define FM_CPU_ISA_WINOGRAD_4X4_H

#include "backend/cpu/isa/vector.h"

static const float S = 5.0f / 8.0f, L = 3.0f / 2.0f; // exact, as are their squares and cubes
#define S2 (S * S)
#define L2 (L * L)
// Of a point's filter: 1 / the product of its distances to the other finite points.
#define WEIGHT_0 (1.0f / (S2 * L2))
#define WEIGHT_S (1.0f / (2.0f * S2 * (S2 - L2)))
#define WEIGHT_L (1.0f / (2.0f * L2 * (L2 - S2)))

// y = B^T d, in an order of which two operations can be fused where y[0] and y[5] have three
static inline void input_1d(const vec *d, int step_in, vec *y, int step_out)
{
    vec d1 = d[step_in], d2 = d[2 * step_in], d3 = d[3 * step_in], d4 = d[4 * step_in];
    vec even_s = d4 - L2 * d2, odd_s = S * (d3 - L2 * d1);
    vec even_l = d4 - S2 * d2, odd_l = L * (d3 - S2 * d1);
    y[0] = S2 * L2 * d[0] + (d4 - (S2 + L2) * d2);
    y[step_out] = even_s + odd_s;
    y[2 * step_out] = even_s - odd_s;
    y[3 * step_out] = even_l + odd_l;
    y[4 * step_out] = even_l - odd_l;
    y[5 * step_out] = S2 * L2 * d1 + (d[5 * step_in] - (S2 + L2) * d3);
}

// y = A^T m
static inline void output_1d(const vec *m, int step_in, vec *y, int step_out)
{
    vec sum_s = m[step_in] + m[2 * step_in];
    vec difference_s = S * (m[step_in] - m[2 * step_in]);
    vec sum_l = m[3 * step_in] + m[4 * step_in];
    vec difference_l = L * (m[3 * step_in] - m[4 * step_in]);
    y[0] = m[0] + sum_s + sum_l;
    y[step_out] = difference_s + difference_l;
    y[2 * step_out] = S2 * sum_s + L2 * sum_l;
    y[3 * step_out] = S2 * difference_s + L2 * difference_l + m[5 * step_in];
}

// y = A m
static inline void gradient_1d(const vec *m, int step_in, vec *y, int step_out)
{
    vec m0 = m[0], m1 = m[step_in], m2 = m[2 * step_in], m3 = m[3 * step_in];
    vec even_s = m0 + S2 * m2, odd_s = S * (m1 + S2 * m3);
    vec even_l = m0 + L2 * m2, odd_l = L * (m1 + L2 * m3);
    y[0] = m0;
    y[step_out] = even_s + odd_s;
    y[2 * step_out] = even_s - odd_s;
    y[3 * step_out] = even_l + odd_l;
    y[4 * step_out] = even_l - odd_l;
    y[5 * step_out] = m3;
}

// y = G g
static inline void filter_1d(const vec *g, int step_in, vec *y, int step_out)
{
    vec g0 = g[0], g1 = g[step_in], g2 = g[2 * step_in];
    vec even_s = WEIGHT_S * (g0 + S2 * g2), odd_s = (WEIGHT_S * S) * g1;
    vec even_l = WEIGHT_L * (g0 + L2 * g2), odd_l = (WEIGHT_L * L) * g1;
    y[0] = WEIGHT_0 * g0;
    y[step_out] = even_s + odd_s;
    y[2 * step_out] = even_s - odd_s;
    y[3 * step_out] = even_l + odd_l;
    y[4 * step_out] = even_l - odd_l;
    y[5 * step_out] = g2;
}

// y = G^T u
static inline void filter_gradient_1d(const vec *u, int step_in, vec *y, int step_out)
{
    vec sum_s = WEIGHT_S * (u[step_in] + u[2 * step_in]);
    vec difference_s = (WEIGHT_S * S) * (u[step_in] - u[2 * step_in]);
    vec sum_l = WEIGHT_L * (u[3 * step_in] + u[4 * step_in]);
    vec difference_l = (WEIGHT_L * L) * (u[3 * step_in] - u[4 * step_in]);
    y[0] = WEIGHT_0 * u[0] + sum_s + sum_l;
    y[step_out] = difference_s + difference_l;
    y[2 * step_out] = S2 * sum_s + L2 * sum_l + u[5 * step_in];
}

#endif
