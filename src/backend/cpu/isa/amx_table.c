// The table of the matrix unit's kernels, and of the portable ones.
#include "backend/cpu/isa/amx_kernels.h"

extern const struct fm_amx_kernels FM_KERNEL(amx_kernels);

const struct fm_amx_kernels FM_KERNEL(amx_kernels) = {
    .name = FM_ISA_STRING(FM_ISA),
    .pack = FM_KERNEL(amx_pack),
    .convolve_scratch = FM_KERNEL(amx_convolve_scratch),
    .convolve = FM_KERNEL(amx_convolve),
    .gradient_scratch = FM_KERNEL(amx_gradient_scratch),
    .gradient = FM_KERNEL(amx_gradient),
    .first_scratch = FM_KERNEL(amx_first_scratch),
    .first = FM_KERNEL(amx_first),
    .first_gradient_scratch = FM_KERNEL(amx_first_gradient_scratch),
    .first_gradient = FM_KERNEL(amx_first_gradient),
};
