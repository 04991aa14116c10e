// Chooses the kernels at run time, once, by what the processor says it has.
#include "backend/cpu/isa/kernels.h"

extern const struct fm_kernels fm_kernels_portable;
#if defined(FM_HAVE_X86)
extern const struct fm_kernels fm_kernels_x86_64_v3, fm_kernels_x86_64_v4;
#endif

const struct fm_kernels *fm_kernels_choose(void)
{
#if defined(FM_HAVE_X86)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4"))
        return &fm_kernels_x86_64_v4;
    if (__builtin_cpu_supports("x86-64-v3"))
        return &fm_kernels_x86_64_v3;
#endif
    return &fm_kernels_portable;
}
