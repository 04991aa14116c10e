// Signals that are noted instead of ending the process, in processes of their own.
#include "base/interrupt.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const useconds_t echo = (useconds_t)(FM_INTERRUPT_ECHO * 1e6);

// The signals that a process sends itself, and the pauses before them.
struct sent {
    int signal;
    useconds_t pause;
};

// How a process ends that answers with the signal it has noted.
static int run(const struct sent *sent, int count)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fm_interrupt_catch();
        if (fm_interrupt_signal() != 0)
            _exit(255);
        for (int i = 0; i < count; i++) {
            usleep(sent[i].pause);
            kill(getpid(), sent[i].signal);
        }
        _exit(fm_interrupt_signal());
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    return how;
}

static void the_first_is_noted(void **state)
{
    (void)state;
    static const int both[] = {SIGINT, SIGTERM};
    assert_int_equal(WEXITSTATUS(run(NULL, 0)), 0);
    for (int i = 0; i < 2; i++) {
        int how = run(&(struct sent){both[i], 0}, 1);
        assert_true(WIFEXITED(how));
        assert_int_equal(WEXITSTATUS(how), both[i]);
    }
}

// As timeout(1) does it. On a busy machine more time may pass between the two than they are
// allowed: then once more.
static void one_sent_twice_is_one(void **state)
{
    (void)state;
    static const int both[] = {SIGINT, SIGTERM};
    for (int i = 0; i < 2; i++) {
        const struct sent sent[] = {{SIGTERM, 0}, {both[i], 0}, {SIGTERM, 0}};
        int how = run(sent, 3);
        for (int tries = 1; !WIFEXITED(how) && tries < 20; tries++)
            how = run(sent, 3);
        assert_true(WIFEXITED(how));
        assert_int_equal(WEXITSTATUS(how), SIGTERM); // the first
    }
}

static void the_next_ends_the_process(void **state)
{
    (void)state;
    static const int both[] = {SIGINT, SIGTERM};
    for (int i = 0; i < 4; i++) {
        const struct sent sent[] = {{both[i % 2], 0}, {both[i / 2], echo + 100000}};
        int how = run(sent, 2);
        assert_true(WIFSIGNALED(how));
        assert_int_equal(WTERMSIG(how), both[i / 2]);
    }
}

static void signals_have_names(void **state)
{
    (void)state;
    assert_string_equal(fm_signal_name(SIGINT), "SIGINT");
    assert_string_equal(fm_signal_name(SIGTERM), "SIGTERM");
    assert_string_equal(fm_signal_name(SIGHUP), "a signal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_is_noted),
        cmocka_unit_test(one_sent_twice_is_one),
        cmocka_unit_test(the_next_ends_the_process),
        cmocka_unit_test(signals_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
