// One flag, set in the handler.
#include "base/interrupt.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

static volatile sig_atomic_t noted;
static struct timespec noted_at;

// timeout(1) sends its signal twice, to the process and to its group: that is one request to stop.
static bool is_echo(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double seconds = (double)(now.tv_sec - noted_at.tv_sec) +
                     (double)(now.tv_nsec - noted_at.tv_nsec) / 1e9;
    return seconds < FM_INTERRUPT_ECHO;
}

// What is not answered must not be unstoppable: a signal that comes again has its usual effect.
static void note(int number)
{
    if (noted == 0) {
        clock_gettime(CLOCK_MONOTONIC, &noted_at);
        noted = number;
    } else if (!is_echo()) {
        signal(number, SIG_DFL);
        raise(number); // comes in as this handler returns
    }
}

void fm_interrupt_catch(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = note;
    sigemptyset(&action.sa_mask); // neither of the two interrupts the handler of the other
    sigaddset(&action.sa_mask, SIGINT);
    sigaddset(&action.sa_mask, SIGTERM);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int fm_interrupt_signal(void)
{
    return noted;
}

const char *fm_signal_name(int signal)
{
    return signal == SIGINT ? "SIGINT" : signal == SIGTERM ? "SIGTERM" : "a signal";
}
