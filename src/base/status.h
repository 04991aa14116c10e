// Status codes and the error record: how every fmnist function says that it failed, and why.
//
// A function that can fail returns enum fm_status. On failure it has called fm_fail(), which keeps
// the message in a record of the calling thread; the first message wins, so that the deepest, most
// exact one is what the user reads. Outer functions may prepend context with fm_context().
// Only main() prints the record and exits.
#ifndef FM_BASE_STATUS_H
#define FM_BASE_STATUS_H

#define FM_STATUS_TABLE(X)                                                                         \
    X(OK, "success")                                                                               \
    X(USAGE, "wrong usage")                                                                        \
    X(IO, "input/output error")                                                                    \
    X(DATA, "invalid data")                                                                        \
    X(NOT_FOUND, "not found")                                                                      \
    X(EXISTS, "exists already")                                                                    \
    X(MEMORY, "out of memory")                                                                     \
    X(UNSUPPORTED, "not supported")                                                                \
    X(BACKEND, "backend failure")                                                                  \
    X(NUMERIC, "numeric failure")                                                                  \
    X(INTERRUPTED, "interrupted")                                                                  \
    X(DRIFT, "the images have drifted")

enum fm_status {
#define X(name, text) FM_##name,
    FM_STATUS_TABLE(X)
#undef X
};

#if defined(__GNUC__)
#define FM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define FM_PRINTF(fmt, args)
#endif

// The table's text of a status ("invalid data").
const char *fm_status_text(enum fm_status status);

// Records the message unless the thread holds one already, and returns `status`, so that a failing
// function ends in `return fm_fail(FM_DATA, "%s: magic 0x%08x, expected ...", ...)`.
enum fm_status fm_fail(enum fm_status status, const char *fmt, ...) FM_PRINTF(2, 3);

// Prepends "context: " to the thread's message; returns `status` unchanged.
enum fm_status fm_context(enum fm_status status, const char *fmt, ...) FM_PRINTF(2, 3);

// fm_fail(FM_MEMORY, ...) for `what` of `bytes` bytes.
enum fm_status fm_fail_memory(const char *what, unsigned long long bytes);

// The thread's message, "" if there is none. Valid until the thread's next call of this module.
const char *fm_error_message(void);

// Forgets the thread's message: for callers that handle a failure.
void fm_error_clear(void);

// Carries a message from a worker thread to the thread that joins it: `take` moves the thread's
// message into a string that the caller frees (NULL if none), `put` records it (and frees it).
char *fm_error_take(void);
void fm_error_put(char *message);

// Where a loaded module's copy of this file sends its messages: a module is given the host's sink
// once, when it is loaded, so that a failure inside it reaches the host's record. The host itself
// never sets one.
struct fm_error_sink {
    void (*record)(const char *message);  // keeps it unless there is one already
    void (*replace)(const char *message); // fm_context(): the lengthened message
    const char *(*message)(void);
    void (*clear)(void);
};
void fm_error_set_sink(const struct fm_error_sink *sink);
extern const struct fm_error_sink fm_error_own_sink; // the record of this copy

// Returns from the enclosing function when `call` fails.
#define FM_TRY(call)                                                                               \
    do {                                                                                           \
        enum fm_status fm_try_status_ = (call);                                                    \
        if (fm_try_status_ != FM_OK)                                                               \
            return fm_try_status_;                                                                 \
    } while (0)

// Stores the failure in `status` and jumps to `label`, where resources are freed in reverse order.
#define FM_TRY_GOTO(status, call, label)                                                           \
    do {                                                                                           \
        (status) = (call);                                                                         \
        if ((status) != FM_OK)                                                                     \
            goto label;                                                                            \
    } while (0)

#endif
