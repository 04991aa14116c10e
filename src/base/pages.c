// Page faults are what a large array costs at first: some 0.7 us for each page that is touched.
#include "base/pages.h"

#include "base/round.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    LINE = 64,
    PAGE = 64 << 10, // of whole pages in every kernel
    HUGE_PAGE = 2 << 20,
    HUGE_FROM = 1 << 20 // below which most of a huge page would be zeroed in vain
};

#if !defined(__SANITIZE_ADDRESS__) // which watches the heap's ends alone
// Huge pages, and small ones for a rest that is no more than half of one.
static size_t mapped_bytes(size_t bytes)
{
    size_t rest = bytes % HUGE_PAGE;
    return bytes - rest + fm_round_up(rest, rest > HUGE_FROM ? HUGE_PAGE : PAGE);
}

// From the beginning of a huge page on, zero as it comes from the kernel.
static void *map(size_t bytes)
{
    char *memory = mmap(
        NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    size_t before = (HUGE_PAGE - (uintptr_t)memory % HUGE_PAGE) % HUGE_PAGE;
    if (before > 0)
        munmap(memory, before);
    munmap(memory + before + bytes, HUGE_PAGE - before);
    madvise(memory + before, bytes, MADV_HUGEPAGE); // a wish: refused where the kernel has none
    return memory + before;
}
#endif

struct fm_pages fm_pages_allocate(size_t bytes)
{
    struct fm_pages pages = {0};
    if (bytes > SIZE_MAX - 2 * HUGE_PAGE)
        return pages;
#if !defined(__SANITIZE_ADDRESS__)
    if (bytes >= HUGE_FROM) {
        pages.bytes = pages.mapped = mapped_bytes(bytes);
        pages.memory = map(pages.bytes);
        return pages;
    }
#endif
    // No more than asked for, lest AddressSanitizer takes the rest for part of the array.
    pages.bytes = bytes > 0 ? bytes : 1;
    if (posix_memalign(&pages.memory, LINE, pages.bytes) != 0)
        pages.memory = NULL;
    else
        memset(pages.memory, 0, pages.bytes);
    return pages;
}

void fm_pages_free(struct fm_pages *pages)
{
    if (pages->memory && pages->mapped > 0)
        munmap(pages->memory, pages->mapped);
    else
        free(pages->memory);
    *pages = (struct fm_pages){0};
}
