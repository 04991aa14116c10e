// Clocks: one that only goes forward, one for people.
#ifndef FM_BASE_CLOCK_H
#define FM_BASE_CLOCK_H

// Seconds since an arbitrary start; monotonic.
double fm_clock_seconds(void);

// Local time as "20261124-153012" (for folder names) and UTC as "2026-11-24T15:30:12Z"; `out` holds
// at least 32 bytes; return `out`.
char *fm_clock_stamp(char *out);
char *fm_clock_iso8601(char *out);

#endif
