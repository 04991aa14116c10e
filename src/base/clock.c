// Time, from the two clocks that mean something: one to measure with, one to date with.
#include "base/clock.h"

#include <time.h>

enum {
    STAMP_MAX = 32
};

double fm_clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

char *fm_clock_stamp(char *out)
{
    time_t now = time(NULL);
    struct tm parts;
    localtime_r(&now, &parts);
    strftime(out, STAMP_MAX, "%Y%m%d-%H%M%S", &parts);
    return out;
}

char *fm_clock_iso8601(char *out)
{
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(out, STAMP_MAX, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return out;
}
