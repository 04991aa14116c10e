// malloc() and its kin before libc's: memory is never taken for what a file only claims. A library
// may make do without memory that it does not get, and the claim would go unseen. Sanitizers bring
// their own.
#include "fuzz.h"

#include <stdint.h>
#include <stdlib.h>

#define LIBC_OWN(result, name, ...)                                                                \
    extern result __libc_##name(__VA_ARGS__);                                                      \
    __attribute__((visibility("default"))) result name(__VA_ARGS__)

static void check(size_t size)
{
    fm_fuzz_require(size <= FM_FUZZ_ALLOCATION_MAX, "a file of this size is read in little memory");
}

LIBC_OWN(void *, malloc, size_t size)
{
    check(size);
    return __libc_malloc(size);
}

LIBC_OWN(void *, realloc, void *pointer, size_t size)
{
    check(size);
    return __libc_realloc(pointer, size);
}

LIBC_OWN(void *, calloc, size_t count, size_t size)
{
    size_t bytes;
    check(__builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX : bytes);
    return __libc_calloc(count, size);
}
