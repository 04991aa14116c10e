// A target that reads behind its input where that begins with "!": the tests see that this shows.
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    if (copy == NULL)
        abort();
    memcpy(copy, data, size);
    size_t behind = size > 0 && copy[0] == '!' ? size + 1 : 0;
    volatile uint8_t byte = size > 0 || behind > 0 ? copy[behind] : 0;
    (void)byte;
    free(copy);
    return 0;
}
