// A limit on the memory of the test's own process, so that what an unchecked length would ask for
// is not there.
#ifndef FM_TESTS_MEMORY_LIMIT_H
#define FM_TESTS_MEMORY_LIMIT_H

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

// Address space from now on: what there is, and so much more. Returns the limit as it was, for
// memory_limit_undo(). Sanitizers reserve what no limit would leave: nothing is limited there.
static inline struct rlimit memory_limit(unsigned long long more)
{
    struct rlimit before, now;
    getrlimit(RLIMIT_AS, &before);
    now = before;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file) {
        if (fscanf(file, "%llu", &pages) == 1)
            now.rlim_cur = pages * (unsigned long long)sysconf(_SC_PAGESIZE) + more;
        fclose(file);
    }
#else
    (void)more;
#endif
    setrlimit(RLIMIT_AS, &now);
    return before;
}

static inline void memory_limit_undo(struct rlimit before)
{
    setrlimit(RLIMIT_AS, &before);
}

#endif
