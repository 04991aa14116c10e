// A thread that runs functions for others, one at a time.
//
// A device and its objects belong to one thread (backend/backend.h), and OpenMP keeps its settings
// and a team of threads for each thread that computes. A library is called from threads that are
// none of its own: so each model computes on one that is.
#ifndef FM_API_WORKER_H
#define FM_API_WORKER_H

#include "base/status.h"

struct fm_worker;

// The thread takes no signals: they stay with the program's own.
enum fm_status fm_worker_start(struct fm_worker **worker);
// Ends the thread. No call may be under way. NULL is allowed.
void fm_worker_stop(struct fm_worker *worker);

// Runs `function` on the worker's thread and waits until it returns; from several threads at the
// same time, one after another. A failure's message is recorded in the calling thread.
enum fm_status fm_worker_call(
    struct fm_worker *worker, enum fm_status (*function)(void *argument), void *argument);

#endif
