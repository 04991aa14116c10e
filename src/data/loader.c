// The loader hides the gathering of a batch behind the computing of the one before. One thread, one
// lock: at two batches in flight there is nothing to gain from anything finer.
//
// The slots are filled and taken strictly in turn, across passes too, so each side keeps just the
// slot that it comes to next. The lock guards everything in struct fm_loader that changes after
// opening, but not a slot's contents: those belong to the side that the slot's state names.
#include "data/loader.h"

#include "base/clock.h"
#include "base/trace.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum slot_state {
    SLOT_FREE,     // may be filled
    SLOT_FILLED,   // waits for fm_loader_next()
    SLOT_TAKEN,    // the caller's, until fm_loader_release()
    SLOT_RELEASED, // the device may still read it: slot_wait() before it is filled
};

struct fm_loader {
    struct fm_loader_options options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t to_thread; // a slot was released, a pass begun, or the end is wanted
    pthread_cond_t to_caller; // a slot was filled, or filling failed

    enum slot_state states[FM_SLOTS];
    int fill_slot; // filled next
    int take_slot; // taken next
    const uint32_t *ids;
    uint32_t count;  // ids in the pass
    uint32_t batch;  // ids a slot, but for the tail
    uint32_t filled; // ids of the pass that have been put into slots
    uint32_t taken;  // ids of the pass that the caller has taken
    bool closing;
    enum fm_status status; // the thread's failure, after which it fills nothing more
    char *message;
    double waited; // seconds
};

static void gather(const struct fm_loader *loader, int index, const uint32_t *ids, uint32_t count)
{
    const struct fm_samples *samples = loader->options.samples;
    struct fm_slot *slot = loader->options.slots[index];
    size_t size = samples->record_size;
    double begin = fm_trace_begin();
    for (uint32_t i = 0; slot->records && i < count; i++)
        memcpy(slot->records + i * size, samples->records + ids[i] * size, size);
    for (uint32_t i = 0; slot->labels && i < count; i++)
        slot->labels[i] = samples->labels[ids[i]];
    memcpy(slot->ids, ids, count * sizeof *ids);
    slot->step->count = count;
    fm_trace_end(begin, "gather", -1);
}

static bool can_fill(const struct fm_loader *loader)
{
    enum slot_state state = loader->states[loader->fill_slot];
    return loader->status == FM_OK && loader->filled < loader->count &&
           (state == SLOT_FREE || state == SLOT_RELEASED);
}

// Fills the next slot. Called with the lock held and leaves it held, but waits and copies without
// it: until the state changes the slot is the thread's alone.
static void fill_next(struct fm_loader *loader)
{
    int slot = loader->fill_slot;
    bool must_wait = loader->states[slot] == SLOT_RELEASED && loader->options.slot_wait;
    const uint32_t *ids = loader->ids + loader->filled;
    uint32_t left = loader->count - loader->filled;
    uint32_t count = left < loader->batch ? left : loader->batch;
    enum fm_status status = FM_OK;

    pthread_mutex_unlock(&loader->lock);
    if (must_wait)
        status = loader->options.slot_wait(loader->options.context, slot);
    if (status == FM_OK)
        gather(loader, slot, ids, count);
    pthread_mutex_lock(&loader->lock);

    if (status == FM_OK) {
        loader->states[slot] = SLOT_FILLED;
        loader->fill_slot = (slot + 1) % FM_SLOTS;
        loader->filled += count;
    } else {
        loader->status = status;
        loader->message = fm_error_take();
    }
    pthread_cond_signal(&loader->to_caller);
}

// Called with the lock held. Waiting for a pass to begin is no event: there is nothing to load.
static void wait_for_work(struct fm_loader *loader)
{
    bool in_pass = loader->status == FM_OK && loader->filled < loader->count;
    double begin = fm_trace_begin();
    while (!loader->closing && !can_fill(loader))
        pthread_cond_wait(&loader->to_thread, &loader->lock);
    if (in_pass)
        fm_trace_end(begin, "wait for slot", -1);
}

static void *run(void *argument)
{
    struct fm_loader *loader = argument;
    fm_trace_thread("loader");
    pthread_mutex_lock(&loader->lock);
    while (!loader->closing) {
        if (can_fill(loader))
            fill_next(loader);
        else
            wait_for_work(loader);
    }
    pthread_mutex_unlock(&loader->lock);
    fm_trace_thread(NULL);
    return NULL;
}

// Signals are for the thread that asked for them, not for one that waits on a lock.
static int start_thread(struct fm_loader *loader)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&loader->thread, NULL, run, loader);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

enum fm_status fm_loader_open(const struct fm_loader_options *options, struct fm_loader **loader)
{
    *loader = NULL;
    for (int i = 0; i < FM_SLOTS; i++)
        if (options->slots[i]->record_size != options->samples->record_size)
            return fm_fail(FM_USAGE,
                "loader: slot %d has records of %" PRIu32 " bytes, the samples of %" PRIu32, i,
                options->slots[i]->record_size, options->samples->record_size);
    struct fm_loader *made = calloc(1, sizeof *made);
    if (!made)
        return fm_fail_memory("the loader", sizeof *made);
    made->options = *options;
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->to_thread, NULL);
    pthread_cond_init(&made->to_caller, NULL);
    int error = start_thread(made);
    if (error) {
        pthread_cond_destroy(&made->to_caller);
        pthread_cond_destroy(&made->to_thread);
        pthread_mutex_destroy(&made->lock);
        free(made);
        return fm_fail(FM_IO, "loader: cannot start a thread: %s", strerror(error));
    }
    *loader = made;
    return FM_OK;
}

void fm_loader_close(struct fm_loader *loader)
{
    if (!loader)
        return;
    pthread_mutex_lock(&loader->lock);
    loader->closing = true;
    pthread_cond_signal(&loader->to_thread);
    pthread_mutex_unlock(&loader->lock);
    pthread_join(loader->thread, NULL);
    pthread_cond_destroy(&loader->to_caller);
    pthread_cond_destroy(&loader->to_thread);
    pthread_mutex_destroy(&loader->lock);
    free(loader->message);
    free(loader);
}

static enum fm_status check_pass(
    const struct fm_loader *loader, const uint32_t *ids, uint32_t count, uint32_t batch)
{
    uint32_t samples = loader->options.samples->count;
    for (int i = 0; i < FM_SLOTS; i++) {
        uint32_t capacity = loader->options.slots[i]->capacity;
        if (batch == 0 || batch > capacity)
            return fm_fail(FM_USAGE,
                "loader: batch %" PRIu32 ", expected 1 to %" PRIu32 ", the slots' capacity", batch,
                capacity);
    }
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] >= samples)
            return fm_fail(FM_USAGE, "loader: id %" PRIu32 " at %" PRIu32 " of %" PRIu32 " samples",
                ids[i], i, samples);
    return FM_OK;
}

enum fm_status fm_loader_begin(
    struct fm_loader *loader, const uint32_t *ids, uint32_t count, uint32_t batch)
{
    FM_TRY(check_pass(loader, ids, count, batch));
    enum fm_status status = FM_OK;
    pthread_mutex_lock(&loader->lock);
    if (loader->taken < loader->count && loader->status == FM_OK) {
        status = fm_fail(FM_USAGE,
            "loader: a pass begun while the former is at %" PRIu32 " of %" PRIu32, loader->taken,
            loader->count);
    } else {
        loader->ids = ids;
        loader->count = count;
        loader->batch = batch;
        loader->filled = 0;
        loader->taken = 0;
        pthread_cond_signal(&loader->to_thread);
    }
    pthread_mutex_unlock(&loader->lock);
    return status;
}

// Called with the lock held: blocks until the next slot is filled or never will be.
static void wait_filled(struct fm_loader *loader)
{
    if (loader->states[loader->take_slot] == SLOT_FILLED || loader->status != FM_OK)
        return;
    double start = fm_clock_seconds(), begin = fm_trace_begin();
    while (loader->states[loader->take_slot] != SLOT_FILLED && loader->status == FM_OK)
        pthread_cond_wait(&loader->to_caller, &loader->lock);
    loader->waited += fm_clock_seconds() - start;
    fm_trace_end(begin, "wait for data", -1);
}

enum fm_status fm_loader_next(struct fm_loader *loader, int *slot)
{
    enum fm_status status = FM_OK;
    *slot = -1;
    pthread_mutex_lock(&loader->lock);
    if (loader->taken < loader->count) {
        int next = loader->take_slot;
        if (loader->states[next] != SLOT_TAKEN)
            wait_filled(loader);
        if (loader->states[next] == SLOT_TAKEN) {
            status = fm_fail(
                FM_USAGE, "loader: all %d slots are taken, none was released", FM_SLOTS);
        } else if (loader->states[next] == SLOT_FILLED) {
            loader->states[next] = SLOT_TAKEN;
            loader->take_slot = (next + 1) % FM_SLOTS;
            loader->taken += loader->options.slots[next]->step->count;
            *slot = next;
        } else {
            status = fm_fail(loader->status, "%s",
                loader->message ? loader->message : "loader: waiting for a slot failed");
        }
    }
    pthread_mutex_unlock(&loader->lock);
    return status;
}

void fm_loader_release(struct fm_loader *loader, int slot)
{
    pthread_mutex_lock(&loader->lock);
    loader->states[slot] = SLOT_RELEASED;
    pthread_cond_signal(&loader->to_thread);
    pthread_mutex_unlock(&loader->lock);
}

double fm_loader_waited(const struct fm_loader *loader)
{
    // Only the lock changes, and it is left as it was.
    pthread_mutex_t *lock = (pthread_mutex_t *)&loader->lock;
    pthread_mutex_lock(lock);
    double waited = loader->waited;
    pthread_mutex_unlock(lock);
    return waited;
}
