// A directory for the files of one test, below the build directory, removed at its end.
#ifndef FM_TESTS_SCRATCH_H
#define FM_TESTS_SCRATCH_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    SCRATCH_PATH_MAX = 4096
};

// Makes a new, empty directory and writes its path to `out`; ends the test program when it cannot.
static inline void scratch_make(char out[SCRATCH_PATH_MAX], const char *name)
{
    snprintf(out, SCRATCH_PATH_MAX, "%s/tests/scratch", FM_TEST_BINARY_DIR);
    mkdir(out, 0777);
    snprintf(out, SCRATCH_PATH_MAX, "%s/tests/scratch/%s-XXXXXX", FM_TEST_BINARY_DIR, name);
    if (!mkdtemp(out)) {
        perror(out);
        exit(1);
    }
}

static inline int scratch_remove_entry(
    const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

static inline void scratch_remove(const char *path)
{
    nftw(path, scratch_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
