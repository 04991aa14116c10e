// Where a training's time goes is seen best on a timeline with a row for each thread. One lock and
// one buffer do: a step has a handful of events.
#include "base/trace.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BUFFER_BYTES = 64 * 1024,
    ENTRY_BYTES = 512, // at most, of an event or a thread's name, with what goes before it
    NAME_BYTES = 64,
    ROWS_MAX = 64 // a thread beyond that shares the last row
};

static const double flush_seconds = 1;

struct row {
    char name[NAME_BYTES];
    bool taken;
};

static atomic_bool is_open;

// The lock guards everything from here on.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int file = -1;
static char *file_path;
static int error;           // errno of the first failed write; 0
static unsigned generation; // counts the traces: what a thread remembers may be of a former one
static double origin;       // seconds
static double flushed;      // when, in seconds
static bool any;            // an event has been written: the next one follows a comma
static char buffer[BUFFER_BYTES];
static size_t used;
static struct row rows[ROWS_MAX];
static int row_count;

// The calling thread's row, in the trace of `own_generation`.
static _Thread_local unsigned own_generation;
static _Thread_local int own_row;

// Called with the lock held, as all functions up to fm_trace_open().
static void flush(void)
{
    for (size_t at = 0; at < used && !error;) {
        ssize_t written = write(file, buffer + at, used - at);
        if (written > 0)
            at += (size_t)written;
        else if (written == 0 || errno != EINTR)
            error = written == 0 ? EIO : errno;
    }
    used = 0;
    flushed = fm_clock_seconds();
    if (error && atomic_exchange(&is_open, false))
        fm_warn("%s: cannot write the trace, which ends here: %s", file_path, strerror(error));
}

FM_PRINTF(1, 2) static void append(const char *fmt, ...)
{
    size_t room = BUFFER_BYTES - used;
    va_list args;
    va_start(args, fmt);
    size_t length = (size_t)vsnprintf(buffer + used, room, fmt, args);
    va_end(args);
    used += length < room ? length : room - 1;
}

// Begins an entry of the array. The buffer is only ever flushed between two of them, so that a
// killed process leaves none that is cut off.
static void begin_entry(void)
{
    if (BUFFER_BYTES - used < ENTRY_BYTES)
        flush();
    append("%s", any ? ",\n" : "[\n");
    any = true;
}

// A free row of this name, or a new one.
static int take_row(const char *name)
{
    for (int i = 0; i < row_count; i++) {
        if (!rows[i].taken && strcmp(rows[i].name, name) == 0) {
            rows[i].taken = true;
            return i;
        }
    }
    if (row_count == ROWS_MAX)
        return ROWS_MAX - 1;
    struct row *row = &rows[row_count];
    snprintf(row->name, sizeof row->name, "%s", name);
    row->taken = true;
    begin_entry();
    append(
        "{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"args\":{\"name\":\"%s\"}}",
        (int)getpid(), row_count + 1, row->name);
    return row_count++;
}

static void name_thread(const char *name)
{
    if (own_generation == generation)
        rows[own_row].taken = false;
    own_generation = 0;
    if (name) {
        own_row = take_row(name);
        own_generation = generation;
    }
}

static enum fm_status start(const char *path)
{
    if (file >= 0)
        return fm_fail(FM_USAGE, "%s: a trace is being written to %s already", path, file_path);
    file_path = strdup(path);
    if (!file_path)
        return fm_fail_memory("a trace's path", strlen(path) + 1);
    file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0) {
        enum fm_status status = fm_fail(
            FM_IO, "%s: cannot write the trace: %s", path, strerror(errno));
        free(file_path);
        return status;
    }
    error = 0;
    used = 0;
    any = false;
    row_count = 0;
    generation++;
    origin = flushed = fm_clock_seconds();
    name_thread("main");
    atomic_store(&is_open, true);
    return FM_OK;
}

bool fm_trace_is_open(void)
{
    return atomic_load(&is_open);
}

enum fm_status fm_trace_open(const char *path)
{
    if (!path)
        return FM_OK;
    pthread_mutex_lock(&lock);
    enum fm_status status = start(path);
    pthread_mutex_unlock(&lock);
    return status;
}

enum fm_status fm_trace_close(void)
{
    enum fm_status status = FM_OK;
    pthread_mutex_lock(&lock);
    if (file >= 0) {
        atomic_store(&is_open, false);
        append("\n]\n"); // fits: an entry is shorter than ENTRY_BYTES
        flush();
        if (close(file) != 0 && !error)
            error = errno;
        file = -1;
        if (error)
            status = fm_fail(FM_IO, "%s: cannot write the trace: %s", file_path, strerror(error));
        free(file_path);
    }
    pthread_mutex_unlock(&lock);
    return status;
}

void fm_trace_thread(const char *name)
{
    if (!atomic_load(&is_open))
        return;
    pthread_mutex_lock(&lock);
    if (atomic_load(&is_open))
        name_thread(name);
    pthread_mutex_unlock(&lock);
}

double fm_trace_begin(void)
{
    return atomic_load_explicit(&is_open, memory_order_relaxed) ? fm_clock_seconds() : -1;
}

// Times are microseconds with three digits of fraction, printed as integers: whatever the locale,
// with a point.
static void append_event(double begin, double end, const char *name, int64_t step)
{
    int64_t at = (int64_t)((begin - origin) * 1e9), until = (int64_t)((end - origin) * 1e9);
    int64_t duration = until - at;
    if (own_generation != generation)
        name_thread("thread");
    begin_entry();
    append("{\"name\":\"%.*s\",\"ph\":\"X\",\"ts\":%" PRId64 ".%03d,\"dur\":%" PRId64
           ".%03d,\"pid\":%d,\"tid\":%d",
        NAME_BYTES, name, at / 1000, (int)(at % 1000), duration / 1000, (int)(duration % 1000),
        (int)getpid(), own_row + 1);
    if (step >= 0)
        append(",\"args\":{\"step\":%" PRId64 "}", step);
    append("}");
    if (end - flushed >= flush_seconds)
        flush();
}

void fm_trace_end(double begin, const char *name, int64_t step)
{
    if (begin < 0 || !atomic_load(&is_open))
        return;
    double end = fm_clock_seconds();
    pthread_mutex_lock(&lock);
    // A trace opened since then knows nothing of the beginning.
    if (atomic_load(&is_open) && begin >= origin)
        append_event(begin, end, name, step);
    pthread_mutex_unlock(&lock);
}
