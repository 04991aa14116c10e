// SIGINT and SIGTERM as a question that long work asks at its own pace, so that it can put away
// what it has before it ends.
#ifndef FM_BASE_INTERRUPT_H
#define FM_BASE_INTERRUPT_H

// From here on the first SIGINT or SIGTERM is only noted. The next one ends the process at once, as
// ever, unless it comes within FM_INTERRUPT_ECHO seconds and so belongs to the first.
#define FM_INTERRUPT_ECHO 0.05
void fm_interrupt_catch(void);

// The number of the signal noted, or 0.
int fm_interrupt_signal(void);

// "SIGINT"
const char *fm_signal_name(int signal);

#endif
