// For files that are compiled once for each instruction set and each type of an activation's
// elements: the type, how it is read and written, and what they define.
#ifndef FM_CPU_ISA_ELEMENT_H
#define FM_CPU_ISA_ELEMENT_H

#include "backend/cpu/isa/kernels.h"
#include "rounding.h"

#include <math.h>

// bf16 is converted by integer arithmetic, which every instruction set has.
#if defined(FM_ELEMENT_IS_BF16)
typedef uint16_t element;
static inline float load(element x)
{
    return fm_bf16_widen(x);
}
static inline element store(float x)
{
    return fm_bf16_narrow(x);
}
#define FM_ELEMENT_KERNEL(name) FM_ISA_CAT(FM_KERNEL(name), bf16)
#else
typedef float element;
static inline float load(element x)
{
    return x;
}
static inline element store(float x)
{
    return x;
}
#define FM_ELEMENT_KERNEL(name) FM_ISA_CAT(FM_KERNEL(name), f32)
#endif

// Channels are taken in groups of at most this many: a constant, so that a group is a vector and
// its sums stay in registers. Also the block of AVX-512's layouts, for which max-pools, like those
// of LANES, and norms are compiled with constants.
enum {
    GROUP = 16
};

// What is pending from channel c on.
static inline struct fm_norm_relu pending_from(struct fm_norm_relu pending, int c)
{
    if (pending.scale)
        pending = (struct fm_norm_relu){pending.scale + c, pending.shift + c};
    return pending;
}

void FM_ELEMENT_KERNEL(input)(const struct fm_input_work *work, void *out);
void FM_ELEMENT_KERNEL(bias_forward)(const struct fm_view *v, const float *bias, void *y);
void FM_ELEMENT_KERNEL(bias_backward)(
    const struct fm_view *v, const void *dy, double *image_sums, float *db);
void FM_ELEMENT_KERNEL(relu_forward)(size_t count, const void *x, void *y);
void FM_ELEMENT_KERNEL(relu_backward)(size_t count, const void *y, const void *dy, void *dx);
void FM_ELEMENT_KERNEL(maxpool_forward)(
    const struct fm_view *v, const void *x, struct fm_norm_relu pending, void *y, uint8_t *index);
void FM_ELEMENT_KERNEL(maxpool_backward)(
    const struct fm_view *v, const void *dy, const void *gate, const uint8_t *index, void *dx);
void FM_ELEMENT_KERNEL(meanpool_forward)(const struct fm_view *v, const void *x, void *y);
void FM_ELEMENT_KERNEL(meanpool_backward)(const struct fm_view *v, const void *dy, void *dx);
void FM_ELEMENT_KERNEL(norm_statistics)(
    const struct fm_view *v, const void *x, double *image_sums, float *mean, float *variance);
void FM_ELEMENT_KERNEL(norm_apply)(const struct fm_view *v, const void *x, const float *scale,
    const float *shift, bool relu, void *y);
void FM_ELEMENT_KERNEL(norm_backward_sums)(const struct fm_view *v, const void *x, const void *dy,
    struct fm_norm_relu gate, const float *mean, const float *inverse_deviation, double *image_sums,
    float *dgamma, float *dbeta);
void FM_ELEMENT_KERNEL(norm_backward_apply)(const struct fm_view *v, const void *x, const void *dy,
    struct fm_norm_relu gate, const float *a, const float *b, const float *k, void *dx);
size_t FM_TILED(FM_ELEMENT_KERNEL(winograd_scratch), 4)(const struct fm_winograd *w, bool parts);
size_t FM_TILED(FM_ELEMENT_KERNEL(winograd_scratch), 2)(const struct fm_winograd *w, bool parts);
void FM_TILED(FM_ELEMENT_KERNEL(winograd_convolve), 4)(
    const struct fm_winograd *w, const struct fm_winograd_run *run, float *scratch);
void FM_TILED(FM_ELEMENT_KERNEL(winograd_convolve), 2)(
    const struct fm_winograd *w, const struct fm_winograd_run *run, float *scratch);
size_t FM_TILED(FM_ELEMENT_KERNEL(winograd_gradient_scratch), 4)(const struct fm_winograd *w);
void FM_TILED(FM_ELEMENT_KERNEL(winograd_gradient), 4)(const struct fm_winograd *w, const void *x,
    struct fm_norm_relu pending, const void *dy, float *dw, float *scratch);
size_t FM_TILED(FM_ELEMENT_KERNEL(winograd_gradient_scratch), 2)(const struct fm_winograd *w);
void FM_TILED(FM_ELEMENT_KERNEL(winograd_gradient), 2)(const struct fm_winograd *w, const void *x,
    struct fm_norm_relu pending, const void *dy, float *dw, float *scratch);
size_t FM_ELEMENT_KERNEL(direct_scratch)(const struct fm_direct *d);
void FM_ELEMENT_KERNEL(direct)(
    const struct fm_direct *d, const struct fm_direct_run *run, void *scratch);
bool FM_ELEMENT_KERNEL(rows)(int out, int in, const float *w, void *to);
size_t FM_ELEMENT_KERNEL(gathered_scratch)(const struct fm_view *v, int out, int threads);
void FM_ELEMENT_KERNEL(gathered)(
    const struct fm_view *v, const struct fm_gathered_run *d, int threads, void *scratch);
void FM_ELEMENT_KERNEL(dropout_apply)(
    size_t count, const uint8_t *mask, float scale, const void *x, void *y);

#endif
