// A target with faults: one for each kind of finding, where a file begins with "!" and its letter.
// The tests see that each shows, so that silence of the others means something.
#include "fuzz.h"

#include "base/status.h"

#include <stdlib.h>
#include <string.h>

enum {
    CLAIM = 10 // GiB, the largest that a letter after "!m" asks for
};

static void *volatile lost;

static void read_behind(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size);
    fm_fuzz_require(copy != NULL, "there is memory");
    memcpy(copy, data, size);
    fm_fuzz_look_at(copy, size + 1);
    free(copy);
}

// As a reader does that believes a length.
static int allocate(size_t bytes)
{
    char *volatile claimed = malloc(bytes);
    if (claimed == NULL)
        return fm_fail_memory("a claim", bytes);
    free(claimed);
    return FM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fm_fuzz_returned(size == 0 || data[0] == '-' ? fm_fail(FM_DATA, "refused") : FM_OK);
    if (size < 2 || data[0] != '!')
        return 0;
    switch (data[1]) {
    case 'r':
        read_behind(data, size);
        break;
    case 'm':
        fm_fuzz_returned(allocate((size_t)CLAIM << 30));
        break;
    case 's': // silent
        fm_fuzz_returned(FM_DATA);
        break;
    case 'l': // leaks
        lost = malloc(size);
        lost = NULL;
        break;
    case 'h': // hangs
        for (volatile int i = 1; i > 0;)
            continue;
        break;
    default:
        break;
    }
    return 0;
}
