// Two locks: one is held by the caller whose turn it is, for the whole call; the other guards what
// that caller and the worker hand each other.
#include "api/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct fm_worker {
    pthread_t thread;
    pthread_mutex_t turn;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    // Under `lock`:
    enum fm_status (*function)(void *argument); // what is to be run; NULL: nothing
    void *argument;
    enum fm_status status; // of the function that has returned
    char *message;         // its failure's
    bool ended;
};

static void *run(void *context)
{
    struct fm_worker *w = context;
    pthread_mutex_lock(&w->lock);
    while (!w->ended) {
        if (!w->function) {
            pthread_cond_wait(&w->changed, &w->lock);
            continue;
        }
        pthread_mutex_unlock(&w->lock);
        enum fm_status status = w->function(w->argument);
        char *message = fm_error_take();
        pthread_mutex_lock(&w->lock);
        w->status = status;
        w->message = message;
        w->function = NULL;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

// A new thread inherits the signal mask of the one that makes it.
static int create_without_signals(struct fm_worker *w)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static void destroy(struct fm_worker *w)
{
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    pthread_mutex_destroy(&w->turn);
    free(w);
}

enum fm_status fm_worker_start(struct fm_worker **worker)
{
    struct fm_worker *w = calloc(1, sizeof *w);
    if (!w)
        return fm_fail_memory("a model's thread", sizeof *w);
    pthread_mutex_init(&w->turn, NULL);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    int error = create_without_signals(w);
    if (error) {
        destroy(w);
        return fm_fail(FM_MEMORY, "cannot start a model's thread: %s", strerror(error));
    }
    *worker = w;
    return FM_OK;
}

void fm_worker_stop(struct fm_worker *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->ended = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    destroy(w);
}

enum fm_status fm_worker_call(
    struct fm_worker *w, enum fm_status (*function)(void *argument), void *argument)
{
    pthread_mutex_lock(&w->turn);
    pthread_mutex_lock(&w->lock);
    w->argument = argument;
    w->function = function;
    pthread_cond_broadcast(&w->changed);
    while (w->function)
        pthread_cond_wait(&w->changed, &w->lock);
    enum fm_status status = w->status;
    fm_error_put(w->message);
    w->message = NULL;
    pthread_mutex_unlock(&w->lock);
    pthread_mutex_unlock(&w->turn);
    return status;
}
