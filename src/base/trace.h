// A trace: what the process's threads did when, as a file for a timeline viewer (--trace).
//
// One trace at a time, for the whole process; all functions may be called by any thread at any
// time. While none is open, fm_trace_begin() costs one atomic load and the others no more. Events
// go through a buffer of fixed size to the file, whole events at a time and at least once a second
// while there are any, so that a killed process leaves what a viewer opens.
//
// The file is a JSON array of Chrome trace events ("Trace Event Format", Google, section "JSON
// Array Format", https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU),
// whose closing bracket is optional there. Perfetto (https://ui.perfetto.dev) and chrome://tracing
// open it.
//
// A module has a copy of base of its own, in which no trace is open: only the host's code
// is traced.
#ifndef FM_BASE_TRACE_H
#define FM_BASE_TRACE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

// Starts a trace in a new file at `path`, in place of one that is there. The calling thread becomes
// the one named "main". NULL: no trace is wanted, nothing is done. FM_USAGE while one is open.
enum fm_status fm_trace_open(const char *path);

bool fm_trace_is_open(void);

// Ends the trace. FM_IO if any of it could not be written; the first failed write has ended the
// trace early and has been warned of at once. FM_OK where none is open.
enum fm_status fm_trace_close(void);

// Names the calling thread's row in the timeline. A thread about to end gives its row back with
// NULL: the next thread of that name continues it, so that a row does not stand for each of the
// many threads that live for one evaluation.
void fm_trace_thread(const char *name);

// An event from fm_trace_begin() to fm_trace_end() of one thread; events may nest. `begin` is what
// the former returned, `step` the training's step, or -1 for none. Names are plain ASCII, below 64
// characters, none of them '"' or '\'.
double fm_trace_begin(void);
void fm_trace_end(double begin, const char *name, int64_t step);

#endif
