// A file for readers that take a path.
#include "fuzz.h"

#include "base/log.h"
#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int descriptor = -1;
static char path[64];

static void require(int holds, const char *what)
{
    if (!holds) {
        perror(what);
        abort();
    }
}

const char *fm_fuzz_file(const uint8_t *data, size_t size)
{
    if (descriptor < 0) {
        fm_log_set_quiet(true);
        descriptor = memfd_create("fuzz", MFD_CLOEXEC);
        require(descriptor >= 0, "memfd_create");
        snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    }
    require(ftruncate(descriptor, 0) == 0, "ftruncate");
    require(pwrite(descriptor, data, size, 0) == (ssize_t)size, "pwrite");
    return path;
}

void fm_fuzz_returned(int status)
{
    char *message = fm_error_take();
    if (status != FM_OK && (message == NULL || message[0] == '\0')) {
        fprintf(stderr, "a reader failed with status %d and said nothing\n", status);
        abort();
    }
    free(message);
}
