// Whether the processor has a matrix unit, and Linux lets this process use it.
#include "backend/cpu/isa/amx.h"

#if defined(FM_HAVE_amx)
#include <sys/syscall.h>
#include <unistd.h>
#endif

extern const struct fm_amx_kernels fm_amx_kernels_portable;
#if defined(FM_HAVE_amx)
extern const struct fm_amx_kernels fm_amx_kernels_amx;

enum {
    REQUEST_PERMISSION = 0x1023, // ARCH_REQ_XCOMP_PERM of Linux's arch_prctl(2)
    TILE_DATA = 18,              // the state of tiles, which is large
};

static bool has_unit(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512bf16") &&
           __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#endif

int fm_amx_usable(const struct fm_amx_kernels *tables[FM_AMX_TABLES_MAX])
{
    int count = 0;
#if defined(FM_HAVE_amx)
    if (has_unit())
        tables[count++] = &fm_amx_kernels_amx;
#endif
    tables[count++] = &fm_amx_kernels_portable;
    return count;
}

const struct fm_amx_kernels *fm_amx_portable(void)
{
    return &fm_amx_kernels_portable;
}

const struct fm_amx_kernels *fm_amx_choose(void)
{
    const struct fm_amx_kernels *tables[FM_AMX_TABLES_MAX];
    return fm_amx_usable(tables) > 1 ? tables[0] : NULL;
}
