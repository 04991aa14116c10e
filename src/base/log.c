// One place writes to standard error, so that a message never lands in the middle of a progress
// line and messages of several threads never mix within a line.
#include "base/log.h"

#include "base/text.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    LINE_MAX_BYTES = 4096,
    DEFAULT_COLUMNS = 80
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool quiet;
static bool progress_shown;

void fm_log_set_quiet(bool value)
{
    pthread_mutex_lock(&lock);
    quiet = value;
    pthread_mutex_unlock(&lock);
}

static bool is_terminal(void)
{
    return isatty(STDERR_FILENO) == 1;
}

// Called with the lock held.
static void clear_line(void)
{
    if (progress_shown)
        fputs("\r\033[K", stderr);
    progress_shown = false;
}

static void print_line(const char *prefix, const char *line)
{
    clear_line();
    fprintf(stderr, "%s%s\n", prefix, line);
    fflush(stderr);
}

static void own_note(const char *line)
{
    pthread_mutex_lock(&lock);
    if (!quiet)
        print_line("", line);
    pthread_mutex_unlock(&lock);
}

static void own_warn(const char *line)
{
    pthread_mutex_lock(&lock);
    print_line("warning: ", line);
    pthread_mutex_unlock(&lock);
}

// A line longer than the terminal is wide would wrap and could no longer be redrawn in place.
static int terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return DEFAULT_COLUMNS;
    return size.ws_col;
}

static void own_progress(const char *line)
{
    if (!is_terminal())
        return;
    pthread_mutex_lock(&lock);
    if (!quiet) {
        fprintf(stderr, "\r%.*s\033[K", terminal_columns() - 1, line);
        fflush(stderr);
        progress_shown = true;
    }
    pthread_mutex_unlock(&lock);
}

const struct fm_log_sink fm_log_own_sink = {own_note, own_warn, own_progress};
static const struct fm_log_sink *sink = &fm_log_own_sink;

void fm_log_set_sink(const struct fm_log_sink *host)
{
    sink = host;
}

// Lines name files and folders, which may be called anything: none may steer a terminal.
static void clean(char *line)
{
    while (*line) {
        int length = fm_utf8_length(line);
        if (length == 0 || (fm_utf8_is_control(line) && *line != '\n'))
            *line++ = '?'; // of a control character of two bytes the second follows
        else
            line += length;
    }
}

// Formats a line and hands it to one of the sink's functions.
#define PASS_ON(function, fmt)                                                                     \
    do {                                                                                           \
        char line[LINE_MAX_BYTES];                                                                 \
        va_list args;                                                                              \
        va_start(args, fmt);                                                                       \
        vsnprintf(line, sizeof line, fmt, args);                                                   \
        va_end(args);                                                                              \
        clean(line);                                                                               \
        sink->function(line);                                                                      \
    } while (0)

void fm_note(const char *fmt, ...)
{
    PASS_ON(note, fmt);
}

void fm_warn(const char *fmt, ...)
{
    PASS_ON(warn, fmt);
}

void fm_progress(const char *fmt, ...)
{
    PASS_ON(progress, fmt);
}

void fm_progress_clear(void)
{
    pthread_mutex_lock(&lock);
    clear_line();
    fflush(stderr);
    pthread_mutex_unlock(&lock);
}
