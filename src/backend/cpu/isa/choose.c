// Chooses the kernels at run time, once, by what the processor says it has and oneDNN uses of it.
#include "backend/cpu/isa/kernels.h"

extern const struct fm_kernels fm_kernels_portable;
#if defined(FM_HAVE_x86_64_v3)
extern const struct fm_kernels fm_kernels_x86_64_v3;
#endif
#if defined(FM_HAVE_x86_64_v4)
extern const struct fm_kernels fm_kernels_x86_64_v4;
#endif

int fm_kernels_usable(const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX])
{
    int count = 0;
#if defined(FM_HAVE_x86_64_v3)
    __builtin_cpu_init();
#endif
#if defined(FM_HAVE_x86_64_v4)
    if (__builtin_cpu_supports("x86-64-v4"))
        tables[count++] = &fm_kernels_x86_64_v4;
#endif
#if defined(FM_HAVE_x86_64_v3)
    if (__builtin_cpu_supports("x86-64-v3"))
        tables[count++] = &fm_kernels_x86_64_v3;
#endif
    tables[count++] = &fm_kernels_portable;
    return count;
}

const struct fm_kernels *fm_kernels_choose(bool avx512)
{
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    fm_kernels_usable(tables);
    return tables[0]->avx512 && !avx512 ? tables[1] : tables[0];
}
