// Memory for arrays of any size: small ones from the heap, large ones in huge pages, where the
// kernel has them. A huge page is one fault, not 512, and one entry of the TLB.
#ifndef FM_BASE_PAGES_H
#define FM_BASE_PAGES_H

#include <stddef.h>

struct fm_pages {
    void *memory;
    size_t bytes;  // what was asked for, at least
    size_t mapped; // bytes from the kernel; 0: from the heap
};

// Zeroed memory aligned to 64 bytes; memory NULL where there is none. Pages from the kernel that
// are never touched cost neither time nor memory.
struct fm_pages fm_pages_allocate(size_t bytes);
void fm_pages_free(struct fm_pages *pages); // does nothing to a struct of zeros

#endif
