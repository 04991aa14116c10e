// The matrix unit's kernels by name, in files compiled once for it and once for any processor.
#ifndef FM_CPU_ISA_AMX_KERNELS_H
#define FM_CPU_ISA_AMX_KERNELS_H

#include "backend/cpu/isa/kernels.h"

enum {
    SIDE = FM_AMX_SIDE,
};

void FM_KERNEL(amx_pack)(const struct fm_amx_filters *filters, void *packed);
size_t FM_KERNEL(amx_convolve_scratch)(const struct fm_amx *a, bool pool);
void FM_KERNEL(amx_convolve)(const struct fm_amx *a, const struct fm_amx_run *run, void *scratch);
size_t FM_KERNEL(amx_gradient_scratch)(const struct fm_amx *a);
void FM_KERNEL(amx_gradient)(const struct fm_amx *a, const void *x, struct fm_norm_relu pending,
    const void *dy, float *dw, void *scratch);
size_t FM_KERNEL(amx_first_scratch)(const struct fm_amx *a);
void FM_KERNEL(amx_first)(
    const struct fm_amx *a, const struct fm_amx_first_run *run, void *scratch);
size_t FM_KERNEL(amx_first_gradient_scratch)(const struct fm_amx *a);
void FM_KERNEL(amx_first_gradient)(
    const struct fm_amx *a, const struct fm_amx_first_gradient *g, void *scratch);

#endif
