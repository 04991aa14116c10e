// Messages to people: everything that is not a result goes to standard error through here.
#ifndef FM_BASE_LOG_H
#define FM_BASE_LOG_H

#include "base/status.h"

#include <stdbool.h>

// A line of information, or a warning ("warning: ..."). --quiet silences the former. Control
// characters, and what is no UTF-8, become '?'.
void fm_note(const char *fmt, ...) FM_PRINTF(1, 2);
void fm_warn(const char *fmt, ...) FM_PRINTF(1, 2);
void fm_log_set_quiet(bool quiet);

// Redraws one line in place where standard error is a terminal; else does nothing. fm_note and
// fm_warn clear it first.
void fm_progress(const char *fmt, ...) FM_PRINTF(1, 2);
void fm_progress_clear(void);

// Where a loaded module's copy of this file sends its lines, as base/status.h does with failures:
// what --quiet silences, and which line is in place, the host alone knows.
struct fm_log_sink {
    void (*note)(const char *line);
    void (*warn)(const char *line);
    void (*progress)(const char *line);
};
void fm_log_set_sink(const struct fm_log_sink *sink);
extern const struct fm_log_sink fm_log_own_sink; // this copy's

#endif
