// A process of its own for a library: whatever becomes of it ends in a message, and in time.
#include "net/files/child.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMORY_IS_LIMITED 0
#else
#define MEMORY_IS_LIMITED 1
#endif

// Of the clock a lot: other tests run at the same time.
static const struct fm_child_limits limits = {
    .cpu_seconds = 1, .wall_seconds = 60, .memory = 64ull << 20};

static void no_child_is_left(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void fails_within(
    const struct fm_child_limits *within, void (*work)(int pipe, void *context), const char *part)
{
    struct fm_child child;
    char byte;
    assert_ok(fm_child_start(&child, "a.h5", "libsome", within, work, NULL));
    assert_fails(fm_child_get(&child, &byte, 1), FM_DATA, part);
    fm_child_end(&child);
    no_child_is_left();
}

static void fails_with(void (*work)(int pipe, void *context), const char *part)
{
    fails_within(&limits, work, part);
}

static void say_much(int pipe, void *context)
{
    for (int i = 0; i < 1000; i++)
        fm_child_put(pipe, context, 1000);
}

static void all_of_it_arrives(void **state)
{
    (void)state;
    struct fm_child child;
    char said[1000], heard[1000];
    memset(said, 'x', sizeof said);
    assert_ok(fm_child_start(&child, "a.h5", "libsome", &limits, say_much, said));
    for (int i = 0; i < 1000; i++) {
        assert_ok(fm_child_get(&child, heard, sizeof heard));
        assert_memory_equal(heard, said, sizeof said);
    }
    assert_fails(fm_child_get(&child, heard, 1), FM_DATA, "a.h5: libsome gave up on it");
    fm_child_end(&child);
    no_child_is_left();
}

static void crash(int pipe, void *context)
{
    (void)pipe, (void)context;
    raise(SIGSEGV);
}

static void give_up(int pipe, void *context)
{
    (void)pipe, (void)context;
    _exit(3);
}

static void compute(int pipe, void *context)
{
    (void)pipe, (void)context;
    for (volatile unsigned i = 0;; i++)
        continue;
}

static void sleep_on(int pipe, void *context)
{
    (void)pipe, (void)context;
    for (;;)
        pause();
}

static void a_crash_is_told(void **state)
{
    (void)state;
    fails_with(crash, "libsome failed on it (signal 11");
    fails_with(give_up, "libsome gave up on it");
}

static void it_has_no_more_time_than_it_may(void **state)
{
    (void)state;
    struct fm_child_limits brief = limits;
    brief.wall_seconds = 2;
    fails_with(compute, "was at it for more than 1 s");
    fails_within(&brief, sleep_on, "was at it for more than 2 s");
}

static void take_memory(int pipe, void *context)
{
    size_t size = *(size_t *)context;
    char *memory = malloc(size);
    bool there = memory != NULL;
    fm_child_put(pipe, &there, sizeof there);
}

static bool has_memory(size_t size)
{
    struct fm_child child;
    bool there = false;
    assert_ok(fm_child_start(&child, "a.h5", "libsome", &limits, take_memory, &size));
    assert_ok(fm_child_get(&child, &there, sizeof there));
    fm_child_end(&child);
    return there;
}

static void it_has_no_more_memory_than_it_may(void **state)
{
    (void)state;
    if (!MEMORY_IS_LIMITED)
        skip();
    assert_true(has_memory((size_t)32 << 20));
    assert_false(has_memory((size_t)96 << 20));
}

static void open_more(int pipe, void *context)
{
    (void)context;
    int before = open("/dev/null", O_RDONLY);
    fm_child_shut_files();
    int answers[2] = {before >= 0, open("/dev/null", O_RDONLY) >= 0};
    fm_child_put(pipe, answers, sizeof answers);
}

static void nothing_more_can_be_opened(void **state)
{
    (void)state;
    struct fm_child child;
    int answers[2];
    assert_ok(fm_child_start(&child, "a.h5", "libsome", &limits, open_more, NULL));
    assert_ok(fm_child_get(&child, answers, sizeof answers));
    fm_child_end(&child);
    assert_true(answers[0]);
    assert_false(answers[1]);
}

static void wait_for_signals(int pipe, void *context)
{
    fm_child_put(pipe, context, 1);
    usleep(50000); // the signals come within it, or then at the latest
    fm_child_put(pipe, context, 1);
    sleep_on(pipe, context);
}

// A terminal interrupts both: it is this process's to end, and the file is not damaged.
static void an_interrupt_is_the_parents(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct fm_child child;
    char byte = 'x';
    assert_ok(fm_child_start(&child, "a.h5", "libsome", &limits, wait_for_signals, &byte));
    assert_ok(fm_child_get(&child, &byte, 1));
    for (int s = 0; s < 4; s++)
        kill(child.pid, signals[s]);
    assert_ok(fm_child_get(&child, &byte, 1));
    fm_child_end(&child);
    no_child_is_left();
}

// As the kernel does where memory is short.
static void killed_from_outside(void **state)
{
    (void)state;
    struct fm_child child;
    char byte = 'x';
    assert_ok(fm_child_start(&child, "a.h5", "libsome", &limits, wait_for_signals, &byte));
    assert_ok(fm_child_get(&child, &byte, 1));
    kill(child.pid, SIGKILL);
    char more[2];
    assert_fails(fm_child_get(&child, more, sizeof more), FM_IO, "killed from outside");
    fm_child_end(&child);
    no_child_is_left();
}

// One that was taken over may shut the pipe and stay.
static void shut_and_stay(int pipe, void *context)
{
    close(pipe);
    sleep_on(pipe, context);
}

static void one_that_stays_is_ended(void **state)
{
    (void)state;
    fails_with(shut_and_stay, "libsome gave up on it");
}

static void count_files(int pipe, void *context)
{
    int counts[2] = {fcntl(pipe, F_GETFD) >= 0, fcntl(*(int *)context, F_GETFD) >= 0};
    int others = 0;
    for (int f = STDERR_FILENO + 1; f < 256; f++) {
        struct stat info;
        others += f != pipe && fstat(f, &info) == 0 && !S_ISREG(info.st_mode);
    }
    fm_child_put(pipe, counts, sizeof counts);
    fm_child_put(pipe, &others, sizeof others);
}

// A device, the pipe of another child: what is open here is not open there, but for files.
static void it_has_no_pipe_of_others(void **state)
{
    (void)state;
    struct fm_child first, second;
    int counts[2], others, device = open("/dev/null", O_RDONLY);
    int file = open("/proc/self/exe", O_RDONLY);
    assert_true(file >= 0 && device >= 0);
    assert_ok(fm_child_start(&first, "a.h5", "libsome", &limits, sleep_on, NULL));
    assert_ok(fm_child_start(&second, "b.h5", "libsome", &limits, count_files, &file));
    assert_ok(fm_child_get(&second, counts, sizeof counts));
    assert_ok(fm_child_get(&second, &others, sizeof others));
    fm_child_end(&second);
    fm_child_end(&first);
    close(device);
    close(file);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 1);
    assert_int_equal(others, 0);
}

// A host that wants to know nothing of its children still reads files.
static void without_word_of_children(void **state)
{
    (void)state;
    struct fm_child child;
    char said[1000] = "y", heard[1000];
    signal(SIGCHLD, SIG_IGN);
    assert_ok(fm_child_start(&child, "a.h5", "libsome", &limits, say_much, said));
    assert_ok(fm_child_get(&child, heard, sizeof heard));
    fm_child_end(&child);
    fails_with(crash, "the file is damaged");
    signal(SIGCHLD, SIG_DFL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_arrives),
        cmocka_unit_test(a_crash_is_told),
        cmocka_unit_test(it_has_no_more_time_than_it_may),
        cmocka_unit_test(it_has_no_more_memory_than_it_may),
        cmocka_unit_test(nothing_more_can_be_opened),
        cmocka_unit_test(an_interrupt_is_the_parents),
        cmocka_unit_test(killed_from_outside),
        cmocka_unit_test(one_that_stays_is_ended),
        cmocka_unit_test(it_has_no_pipe_of_others),
        cmocka_unit_test(without_word_of_children),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
