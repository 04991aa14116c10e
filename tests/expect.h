// What tests of functions that return enum fm_status expect of them. Include cmocka.h first.
#ifndef FM_TESTS_EXPECT_H
#define FM_TESTS_EXPECT_H

#include "base/status.h"

#include <string.h>

static inline void assert_ok(enum fm_status status)
{
    if (status != FM_OK)
        fail_msg("%s: %s", fm_status_text(status), fm_error_message());
}

// The call must have failed with this status and a message that has `part` in it.
static inline void assert_fails(enum fm_status status, enum fm_status expected, const char *part)
{
    if (status != expected || strstr(fm_error_message(), part) == NULL)
        fail_msg("status '%s', message \"%s\"; expected status '%s' and a message with \"%s\"",
            fm_status_text(status), fm_error_message(), fm_status_text(expected), part);
    fm_error_clear();
}

// The failure recorded last has `part` in its message; it is cleared.
static inline void assert_message(const char *part)
{
    if (!strstr(fm_error_message(), part))
        fail_msg("\"%s\" is not in the message: %s", part, fm_error_message());
    fm_error_clear();
}

#endif
