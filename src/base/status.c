// The error record is per thread and of fixed size, so that reporting a failure cannot itself fail.
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MESSAGE_MAX = 4096
};

static _Thread_local char own_message[MESSAGE_MAX];

static void own_replace(const char *message)
{
    snprintf(own_message, sizeof own_message, "%s", message);
}

static void own_record(const char *message)
{
    if (own_message[0] == '\0')
        own_replace(message);
}

static const char *own_text(void)
{
    return own_message;
}

static void own_clear(void)
{
    own_message[0] = '\0';
}

const struct fm_error_sink fm_error_own_sink = {own_record, own_replace, own_text, own_clear};

static const struct fm_error_sink *sink = &fm_error_own_sink;

void fm_error_set_sink(const struct fm_error_sink *host)
{
    sink = host;
}

const char *fm_status_text(enum fm_status status)
{
    static const char *const texts[] = {
#define X(name, text) text,
        FM_STATUS_TABLE(X)
#undef X
    };
    size_t count = sizeof texts / sizeof texts[0];
    return (size_t)status < count ? texts[status] : "unknown status";
}

enum fm_status fm_fail(enum fm_status status, const char *fmt, ...)
{
    char message[MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    sink->record(message);
    return status;
}

enum fm_status fm_context(enum fm_status status, const char *fmt, ...)
{
    char message[MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    int used = vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    const char *inner = sink->message()[0] ? sink->message() : fm_status_text(status);
    if (used >= 0 && (size_t)used < sizeof message)
        snprintf(message + used, sizeof message - (size_t)used, ": %s", inner);
    sink->replace(message);
    return status;
}

enum fm_status fm_fail_memory(const char *what, unsigned long long bytes)
{
    return fm_fail(FM_MEMORY, "out of memory: %s needs %llu bytes", what, bytes);
}

const char *fm_error_message(void)
{
    return sink->message();
}

void fm_error_clear(void)
{
    sink->clear();
}

char *fm_error_take(void)
{
    char *copy = sink->message()[0] ? strdup(sink->message()) : NULL;
    sink->clear();
    return copy;
}

void fm_error_put(char *message)
{
    if (message)
        sink->record(message);
    free(message);
}
