// A child process with limits, and a pipe from it.
#include "net/files/child.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Sanitizers reserve more address space than any limit would leave.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LIMIT_MEMORY 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LIMIT_MEMORY 0
#endif
#endif
#ifndef LIMIT_MEMORY
#define LIMIT_MEMORY 1
#endif

const struct fm_child_limits fm_child_limits = {
    .cpu_seconds = 10, .wall_seconds = 60, .memory = 512ull << 20};

// ---- In the child

// `more`: what the hard limit is above the soft one.
static void limit(int what, rlim_t value, rlim_t more)
{
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)what, &now) != 0)
        return;
    if (now.rlim_max == RLIM_INFINITY || value + more < now.rlim_max)
        now.rlim_max = value + more;
    now.rlim_cur = value < now.rlim_max ? value : now.rlim_max;
    setrlimit((__rlimit_resource_t)what, &now);
}

// The address space that this process, as it was forked, has already.
static unsigned long long address_space(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * (unsigned long long)sysconf(_SC_PAGESIZE);
}

static void set_limits(const struct fm_child_limits *limits, unsigned long long space)
{
    limit(RLIMIT_CORE, 0, 0);
    limit(RLIMIT_FSIZE, 0, 0);
    limit(RLIMIT_CPU, (rlim_t)limits->cpu_seconds, 1);
    if (LIMIT_MEMORY && space > 0)
        limit(RLIMIT_AS, space + limits->memory, 0);
}

// What this process does on signals it does for itself: a child just ends. A terminal sends the
// first four to both; it is for the parent to say what then becomes of the work.
static void reset_signals(void)
{
    static const int parents[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    static const int own[] = {SIGPIPE, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGXCPU, SIGALRM};
    sigset_t none;
    for (size_t s = 0; s < sizeof parents / sizeof parents[0]; s++)
        signal(parents[s], SIG_IGN);
    for (size_t s = 0; s < sizeof own / sizeof own[0]; s++)
        signal(own[s], SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void shut_unless_file(int descriptor)
{
    struct stat info;
    if (fstat(descriptor, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))
        close(descriptor);
}

// All but regular files: the host's libhdf5 may have some of those open, and knows it here, too.
static void shut_others(int pipe)
{
    enum {
        FEW = 256 // where /proc does not tell which there are
    };
    DIR *open_ones = opendir("/proc/self/fd");
    const struct dirent *one;
    for (int d = STDERR_FILENO + 1; open_ones == NULL && d < FEW; d++) {
        if (d != pipe)
            shut_unless_file(d);
    }
    while (open_ones != NULL && (one = readdir(open_ones)) != NULL) {
        int d = (int)strtol(one->d_name, NULL, 10);
        if (d > STDERR_FILENO && d != pipe)
            shut_unless_file(d);
    }
    if (open_ones != NULL)
        closedir(open_ones);
}

void fm_child_put(int pipe, const void *bytes, size_t size)
{
    while (size > 0) {
        ssize_t put = write(pipe, bytes, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            _exit(1);
        bytes = (const char *)bytes + put;
        size -= (size_t)put;
    }
}

void fm_child_shut_files(void)
{
    limit(RLIMIT_NOFILE, 0, 0);
}

// ---- In the parent

enum fm_status fm_child_start(struct fm_child *child, const char *path, const char *library,
    const struct fm_child_limits *limits, void (*work)(int pipe, void *context), void *context)
{
    int ends[2];
    *child = (struct fm_child){.path = path, .library = library, .limits = *limits, .out = -1};
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fm_fail(FM_IO, "%s: no pipe to read it through: %s", path, strerror(errno));
    // stdio is used before the fork: its locks may be held by another thread then.
    unsigned long long space = address_space();
    pid_t parent = getpid();
    child->pid = fork();
    if (child->pid == 0) {
        reset_signals();
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        shut_others(ends[1]);
        set_limits(limits, space);
        work(ends[1], context);
        _exit(0); // not exit(): what this process has registered for its end is not the child's
    }
    close(ends[1]);
    child->out = ends[0];
    child->deadline = fm_clock_seconds() + limits->wall_seconds;
    if (child->pid > 0)
        return FM_OK;
    int failed = errno;
    close(ends[0]);
    child->out = -1;
    return fm_fail(FM_IO, "%s: no process to read it in: %s", path, strerror(failed));
}

static int reap(struct fm_child *child)
{
    int how = 0;
    pid_t got;
    while ((got = waitpid(child->pid, &how, 0)) < 0 && errno == EINTR)
        continue;
    child->pid = 0;
    return got < 0 ? 0 : how; // where the host ignores SIGCHLD nothing is told
}

// Of a child that shut the pipe, and so is about to end, or else was taken over.
static int reap_soon(struct fm_child *child)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int ms = 0; ms < 1000; ms++) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
            info.si_pid != 0)
            return reap(child);
        nanosleep(&pause, NULL);
    }
    kill(child->pid, SIGKILL);
    reap(child);
    return 0;
}

static enum fm_status fail_timeout(const struct fm_child *child, int seconds)
{
    return fm_fail(FM_DATA,
        "%s: %s was at it for more than %d s: the file is damaged, or made to keep it busy",
        child->path, child->library, seconds);
}

static enum fm_status fail_ended(struct fm_child *child)
{
    int how = reap_soon(child);
    if (WIFSIGNALED(how) && WTERMSIG(how) == SIGXCPU)
        return fail_timeout(child, child->limits.cpu_seconds);
    if (WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL)
        return fm_fail(FM_IO,
            "%s: the process in which %s reads it was killed from outside, maybe for want of "
            "memory: try again",
            child->path, child->library);
    if (WIFSIGNALED(how))
        return fm_fail(FM_DATA,
            "%s: %s failed on it (signal %d, %s): the file is damaged, or made to do harm",
            child->path, child->library, WTERMSIG(how), strsignal(WTERMSIG(how)));
    return fm_fail(
        FM_DATA, "%s: %s gave up on it: the file is damaged", child->path, child->library);
}

static enum fm_status fail_pipe(const struct fm_child *child)
{
    return fm_fail(FM_IO, "%s: no word from the process in which %s reads it: %s", child->path,
        child->library, strerror(errno));
}

enum fm_status fm_child_get(struct fm_child *child, void *bytes, size_t size)
{
    while (size > 0) {
        double left = child->deadline - fm_clock_seconds();
        struct pollfd ready = {.fd = child->out, .events = POLLIN};
        if (left <= 0)
            return fail_timeout(child, child->limits.wall_seconds);
        int polled = poll(&ready, 1, (int)(left * 1000) + 1);
        if (polled == 0 || (polled < 0 && errno == EINTR))
            continue; // too late, or interrupted
        ssize_t got = polled > 0 ? read(child->out, bytes, size) : -1;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_pipe(child);
        if (got == 0)
            return fail_ended(child);
        bytes = (char *)bytes + got;
        size -= (size_t)got;
    }
    return FM_OK;
}

void fm_child_end(struct fm_child *child)
{
    if (child->out >= 0)
        close(child->out);
    child->out = -1;
    if (child->pid <= 0)
        return;
    kill(child->pid, SIGKILL);
    reap(child);
}
