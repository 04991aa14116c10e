// Every picture decoded and converted, by as many threads as there are processors.
#include "data/folders/folders.h"

#include "base/clock.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/machine.h"
#include "data/folders/folders_parts.h"
#include "data/pictures/picture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    THREADS_MAX = 16, // each may hold a picture of FM_PICTURE_PIXELS_MAX
    TELL_EVERY = 100  // milliseconds
};

struct conversion {
    struct fm_folders *folders;
    uint8_t *records; // [count][FM_IMAGE_BYTES]
    atomic_uint next, done;
    atomic_bool stop;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    int running;           // threads; with the lock held
    enum fm_status status; // the first failure that is not a picture's; with the lock held
    char *message;
};

static enum fm_status convert_one(const char *path, uint8_t *record)
{
    struct fm_picture picture;
    FM_TRY(fm_picture_read(path, &picture));
    enum fm_status status = fm_picture_convert(path, &picture, FM_CONVERT_AUTO, record);
    fm_picture_free(&picture);
    return status;
}

// The message without the path that it begins with.
static void shorten(char *message, const char *path)
{
    size_t length = strlen(path);
    if (message && strncmp(message, path, length) == 0 && strncmp(message + length, ": ", 2) == 0)
        memmove(message, message + length + 2, strlen(message + length + 2) + 1);
}

static enum fm_status convert_picture(struct conversion *c, uint32_t index)
{
    struct fm_folder_picture *picture = &c->folders->pictures[index];
    char path[FM_PATH_MAX];
    if (picture->part == FM_PART_NONE)
        return FM_OK;
    FM_TRY(fm_path_join(path, c->folders->directory, picture->path));
    enum fm_status status = convert_one(path, c->records + (size_t)index * FM_IMAGE_BYTES);
    if (status == FM_OK || status == FM_MEMORY)
        return status;
    picture->part = FM_PART_NONE;
    picture->may_pass = status == FM_IO || status == FM_NOT_FOUND;
    picture->error = fm_error_take();
    shorten(picture->error, path);
    return FM_OK;
}

static void *work(void *argument)
{
    struct conversion *c = argument;
    enum fm_status status = FM_OK;
    while (status == FM_OK && !atomic_load(&c->stop)) {
        uint32_t index = atomic_fetch_add(&c->next, 1);
        if (index >= c->folders->count)
            break;
        status = convert_picture(c, index);
        atomic_fetch_add(&c->done, 1);
    }
    pthread_mutex_lock(&c->lock);
    if (status != FM_OK && c->status == FM_OK) {
        c->status = status;
        c->message = fm_error_take();
        atomic_store(&c->stop, true);
    }
    c->running--;
    pthread_cond_signal(&c->ended);
    pthread_mutex_unlock(&c->lock);
    fm_error_clear();
    return NULL;
}

static void tell_progress(const struct conversion *c, double start)
{
    char some[32], all[32], left[32];
    uint32_t done = atomic_load(&c->done), count = c->folders->count;
    double elapsed = fm_clock_seconds() - start;
    if (done == 0)
        return;
    fm_progress("converting pictures: %s of %s, %s left", fm_group_digits(done, some),
        fm_group_digits(count, all), fm_duration(elapsed / done * (count - done), left));
}

// Waits for the threads, and tells meanwhile.
static void watch(struct conversion *c)
{
    double start = fm_clock_seconds();
    pthread_mutex_lock(&c->lock);
    while (c->running > 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += TELL_EVERY * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&c->ended, &c->lock, &until);
        tell_progress(c, start);
        if (fm_interrupt_signal())
            atomic_store(&c->stop, true);
    }
    pthread_mutex_unlock(&c->lock);
    fm_progress_clear();
}

// The calling thread does the work where none can be started.
static enum fm_status convert_all(struct conversion *c)
{
    pthread_t threads[THREADS_MAX];
    struct fm_machine machine;
    int started = 0;
    fm_machine_describe(&machine);
    int wanted = machine.cores < THREADS_MAX ? machine.cores : THREADS_MAX;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->ended, NULL);
    c->running = wanted;
    while (started < wanted && pthread_create(&threads[started], NULL, work, c) == 0)
        started++;
    pthread_mutex_lock(&c->lock);
    c->running -= wanted - started;
    if (started == 0)
        c->running = 1;
    pthread_mutex_unlock(&c->lock);
    if (started == 0)
        work(c);
    watch(c);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_cond_destroy(&c->ended);
    pthread_mutex_destroy(&c->lock);
    if (c->status != FM_OK)
        fm_error_put(c->message);
    else if (fm_interrupt_signal())
        c->status = fm_fail(FM_INTERRUPTED, "stopped by %s while converting the pictures of %s",
            fm_signal_name(fm_interrupt_signal()), c->folders->directory);
    return c->status;
}

static uint32_t readable(const struct fm_folders *folders)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < folders->count; i++)
        count += folders->pictures[i].part != FM_PART_NONE;
    return count;
}

enum fm_status fm_folders_convert(struct fm_folders *folders, struct fm_idx_files *files)
{
    struct conversion c = {.folders = folders};
    double start = fm_clock_seconds();
    char digits[32], duration[32];
    *files = (struct fm_idx_files){0};
    c.records = calloc(folders->count, FM_IMAGE_BYTES);
    if (!c.records)
        return fm_fail_memory("the pictures", (size_t)folders->count * FM_IMAGE_BYTES);
    enum fm_status status = convert_all(&c);
    if (status == FM_OK)
        status = fm_folders_make_files(folders, c.records, files);
    free(c.records);
    if (status == FM_OK)
        fm_note("pictures: %s in %d classes converted in %s",
            fm_group_digits(readable(folders), digits), folders->classes,
            fm_duration(fm_clock_seconds() - start, duration));
    return status;
}
