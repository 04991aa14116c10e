// Work in a process of its own, for a library that is not to be trusted with the files of others:
// it may crash, hang or ask for all memory, and this process goes on. The child gets nothing back;
// what it has to say comes through a pipe, and is checked like a file.
#ifndef FM_NET_FILES_CHILD_H
#define FM_NET_FILES_CHILD_H

#include "base/status.h"

#include <stddef.h>
#include <sys/types.h>

struct fm_child_limits {
    int cpu_seconds;           // that it may compute
    int wall_seconds;          // that it may take
    unsigned long long memory; // bytes that it may take beyond what there was at its start
};
extern const struct fm_child_limits fm_child_limits; // 10 s, 60 s, 512 MiB

struct fm_child {
    const char *path, *library; // for messages
    struct fm_child_limits limits;
    pid_t pid;
    int out;         // the pipe's end to read from
    double deadline; // of fm_clock_seconds()
};

// Forks; the child runs `work` with the pipe's other end and ends. `work` must keep to memory, the
// library and the pipe: of the threads of this process it has only its own, no lock that another
// held is ever freed there. Of what was open here it has the standard files, regular ones and
// folders: no device, no socket, no pipe of another child (which then would never end). What a user
// interrupts is this process: the child ignores it, and ends with its parent.
enum fm_status fm_child_start(struct fm_child *child, const char *path, const char *library,
    const struct fm_child_limits *limits, void (*work)(int pipe, void *context), void *context);

// The next bytes that it said, all of them. FM_DATA: it ended before, and how; FM_IO: it was killed
// from outside.
enum fm_status fm_child_get(struct fm_child *child, void *bytes, size_t size);

// Ends it, whatever it does. To be called once, after a failure, too.
void fm_child_end(struct fm_child *child);

// For `work`: ends the child when nobody reads.
void fm_child_put(int pipe, const void *bytes, size_t size);

// For `work`: from now on nothing more can be opened.
void fm_child_shut_files(void);

#endif
