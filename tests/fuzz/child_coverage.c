// Brings what the process with libhdf5 covered of fmnist's code back to libFuzzer, which would see
// nothing of it: the child's counters are copied to shared memory whenever it says something, and
// added to the parent's when it has ended. The linker puts these functions before libc's (--wrap).
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

extern unsigned char __start___sancov_cntrs[], __stop___sancov_cntrs[]; // the linker's

pid_t __real_fork(void);
ssize_t __real_write(int file, const void *bytes, size_t size);
pid_t __real_waitpid(pid_t pid, int *how, int options);
pid_t __wrap_fork(void);
ssize_t __wrap_write(int file, const void *bytes, size_t size);
pid_t __wrap_waitpid(pid_t pid, int *how, int options);

static unsigned char *shared;
static bool in_child;

static size_t counters(void)
{
    return (size_t)(__stop___sancov_cntrs - __start___sancov_cntrs);
}

pid_t __wrap_fork(void)
{
    if (shared == NULL) {
        void *map = mmap(
            NULL, counters(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        shared = map == MAP_FAILED ? NULL : map;
    }
    pid_t pid = __real_fork();
    in_child = pid == 0;
    return pid;
}

ssize_t __wrap_write(int file, const void *bytes, size_t size)
{
    if (in_child && shared != NULL)
        memcpy(shared, __start___sancov_cntrs, counters());
    return __real_write(file, bytes, size);
}

pid_t __wrap_waitpid(pid_t pid, int *how, int options)
{
    pid_t got = __real_waitpid(pid, how, options);
    for (size_t i = 0; shared != NULL && i < counters(); i++) {
        if (shared[i] > __start___sancov_cntrs[i])
            __start___sancov_cntrs[i] = shared[i];
        shared[i] = 0;
    }
    return got;
}
