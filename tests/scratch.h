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
    static const char *const parents[] = {"tests", "tests/scratch"}; // a bundle has neither
    for (size_t i = 0; i < sizeof parents / sizeof parents[0]; i++) {
        snprintf(out, SCRATCH_PATH_MAX, "%s/%s", FM_TEST_BINARY_DIR, parents[i]);
        mkdir(out, 0777);
    }
    snprintf(out, SCRATCH_PATH_MAX, "%s/tests/scratch/%s-XXXXXX", FM_TEST_BINARY_DIR, name);
    if (!mkdtemp(out)) {
        perror(out);
        exit(1);
    }
}

// Not fm_file_write(): hundreds of broken files need not reach the disk one by one. Removed first,
// as file systems also flush a file that is truncated and written again.
static inline int scratch_write(const char *path, const void *data, size_t size)
{
    remove(path);
    FILE *file = fopen(path, "wb");
    if (!file)
        return -1;
    size_t written = size ? fwrite(data, 1, size, file) : 0;
    return fclose(file) == 0 && written == size ? 0 : -1;
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
