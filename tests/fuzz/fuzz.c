// A file for readers that take a path, and what all targets ask of a reader.
#include "fuzz.h"

#include "base/log.h"
#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int descriptor = -1, have_read;
static char path[4096];
static pid_t owner;

void fm_fuzz_require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "ERROR: does not hold: %s\n", what);
    abort();
}

// A library's process may end as this one does.
static void remove_file(void)
{
    if (getpid() == owner)
        unlink(path);
}

// Not one that is in memory alone: libhdf5 asks for the real path of what it opens.
static void make_file(void)
{
    bool memory = access("/dev/shm", W_OK) == 0; // a disk takes its time at each change
    fm_log_set_quiet(true);
    snprintf(path, sizeof path, "%s/fmnist-fuzz-XXXXXX", memory ? "/dev/shm" : "/tmp");
    descriptor = mkstemp(path);
    owner = getpid();
    fm_fuzz_require(descriptor >= 0 && atexit(remove_file) == 0, "there is a file");
}

const char *fm_fuzz_file(const uint8_t *data, size_t size)
{
    if (descriptor < 0)
        make_file();
    fm_fuzz_require(
        ftruncate(descriptor, 0) == 0 && pwrite(descriptor, data, size, 0) == (ssize_t)size,
        "the file can be written");
    return path;
}

void fm_fuzz_returned(int status)
{
    char *message = fm_error_take();
    bool silent = message == NULL || message[0] == '\0';
    if (status == FM_MEMORY)
        fprintf(stderr, "%s\n", silent ? "" : message);
    fm_fuzz_require(status != FM_MEMORY, "a file of this size is read in little memory");
    fm_fuzz_require(status == FM_OK || !silent, "a reader that fails says why");
    free(message);
    have_read += status == FM_OK;
}

int fm_fuzz_read(void)
{
    return have_read;
}

void fm_fuzz_look_at(const void *bytes, size_t size)
{
    const volatile unsigned char *next = bytes; // volatile: read, though for nothing
    for (size_t i = 0; i < size; i++)
        (void)next[i];
}
