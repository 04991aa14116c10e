// The machine a result was measured on.
#ifndef FM_BASE_MACHINE_H
#define FM_BASE_MACHINE_H

#include <stdint.h>

struct fm_machine {
    char processor[128]; // "AMD EPYC 9R14", as the kernel names it
    char features[256];  // the ones that choose code: "avx2 fma avx512f avx512_bf16 amx_bf16 ..."
    char system[200];    // kernel name, release, architecture
    int cores;           // processors this process may run on
    uint64_t memory;     // bytes of main memory
};

void fm_machine_describe(struct fm_machine *machine);

// The most resident memory this process has had, in bytes (VmHWM).
uint64_t fm_machine_peak_memory(void);

// Resets the peak to the present use where the kernel allows it (clear_refs), so that two trainings
// of one process have a peak each. Returns 0, or -1 where it could not.
int fm_machine_reset_peak_memory(void);

#endif
