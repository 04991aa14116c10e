// Every picture decoded and converted, by as many threads as there are processors; then what is
// held out, and the four files of a data set.
#include "data/folders.h"

#include "base/clock.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/machine.h"
#include "data/folders_parts.h"
#include "data/idx.h"
#include "data/picture.h"
#include "philox.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

enum {
    THREADS_MAX = 16, // each may hold a picture of FM_PICTURE_PIXELS_MAX
    HELD_OUT_OF = 10, // one picture in ten of a class
    TELL_EVERY = 100  // milliseconds
};

static const uint64_t held_out_seed = 20172; // another draw than the split's

uint64_t fm_fnv1a(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

// ---- Decoding

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

// ---- Holding out

// A picture by its content: the order in which a class's pictures are taken for the test.
struct drawn {
    uint64_t key;
    uint32_t index;
};

static int compare_drawn(const void *a, const void *b)
{
    const struct drawn *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static uint64_t content_key(const uint8_t *records, uint32_t index)
{
    uint64_t hash = fm_fnv1a(records + (size_t)index * FM_IMAGE_BYTES, FM_IMAGE_BYTES);
    return fm_draw64(held_out_seed ^ hash, (uint32_t)hash, (uint32_t)(hash >> 32), FM_STREAM_SPLIT);
}

// A class of two pictures or more gives at least one, and keeps one.
static void hold_out_class(struct conversion *c, int label, struct drawn *drawn)
{
    struct fm_folder_picture *pictures = c->folders->pictures;
    uint32_t count = 0, taken = 0;
    for (uint32_t i = 0; i < c->folders->count; i++)
        if (pictures[i].label == label && pictures[i].part == FM_PART_TRAIN)
            drawn[count++] = (struct drawn){content_key(c->records, i), i};
    qsort(drawn, count, sizeof *drawn, compare_drawn);
    uint32_t wanted = (count + HELD_OUT_OF / 2) / HELD_OUT_OF;
    wanted = wanted > 0 || count < 2 ? wanted : 1;
    // Equal pictures go together, so that none is trained and tested on.
    while (taken + 1 < count &&
           (taken < wanted || (taken > 0 && drawn[taken].key == drawn[taken - 1].key)))
        pictures[drawn[taken++].index].part = FM_PART_TEST;
}

static enum fm_status hold_out(struct conversion *c)
{
    struct drawn *drawn = malloc(c->folders->count * sizeof *drawn);
    if (!drawn)
        return fm_fail_memory("what is held out", c->folders->count * sizeof *drawn);
    for (int label = 0; label < c->folders->classes; label++)
        hold_out_class(c, label, drawn);
    free(drawn);
    return FM_OK;
}

// ---- Counting

static uint32_t count_part(const struct fm_folders *folders, enum fm_part part)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < folders->count; i++)
        count += folders->pictures[i].part == (char)part;
    return count;
}

static enum fm_status check_class(const struct fm_folders *folders, int label)
{
    const struct fm_folder_picture *first = NULL;
    for (uint32_t i = 0; i < folders->count; i++) {
        const struct fm_folder_picture *picture = &folders->pictures[i];
        if (picture->label == label && picture->part == FM_PART_TRAIN)
            return FM_OK;
        if (picture->label == label && picture->part == FM_PART_NONE && !first)
            first = picture;
    }
    return fm_fail(FM_DATA,
        "%s: none of the pictures to train on of class '%s' can be read; of the first, %s: %s",
        folders->directory, folders->names[label], first ? first->path : "",
        first && first->error ? first->error : "it cannot be read");
}

static enum fm_status check_counts(const struct fm_folders *folders)
{
    uint32_t train = count_part(folders, FM_PART_TRAIN), test = count_part(folders, FM_PART_TEST);
    for (int label = 0; label < folders->classes; label++)
        FM_TRY(check_class(folders, label));
    if (train < FM_FOLDERS_TRAIN_MIN)
        return fm_fail(FM_DATA,
            "%s: found %" PRIu32 " pictures to train on (%" PRIu32 " to test on, %" PRIu32
            " that cannot be read), expected at least %d: some of them are needed to select and to "
            "calibrate on",
            folders->directory, train, test, count_part(folders, FM_PART_NONE),
            FM_FOLDERS_TRAIN_MIN);
    if (test == 0)
        return fm_fail(FM_DATA, "%s/test: none of the pictures can be read", folders->directory);
    return FM_OK;
}

// Test pictures whose record is that of a training picture.
static enum fm_status count_duplicates(const struct conversion *c, uint32_t *duplicates)
{
    const struct fm_folders *folders = c->folders;
    uint32_t trained = 0;
    struct drawn *train = malloc(folders->count * sizeof *train);
    if (!train)
        return fm_fail_memory("the pictures' keys", folders->count * sizeof *train);
    for (uint32_t i = 0; i < folders->count; i++)
        if (folders->pictures[i].part == FM_PART_TRAIN)
            train[trained++] = (struct drawn){content_key(c->records, i), i};
    qsort(train, trained, sizeof *train, compare_drawn);
    *duplicates = 0;
    for (uint32_t i = 0; i < folders->count; i++) {
        if (folders->pictures[i].part != FM_PART_TEST)
            continue;
        uint64_t key = content_key(c->records, i);
        uint32_t low = 0, high = trained; // the first key that is not below
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (train[middle].key < key)
                low = middle + 1;
            else
                high = middle;
        }
        bool same = false;
        for (; low < trained && train[low].key == key && !same; low++)
            same = memcmp(c->records + (size_t)train[low].index * FM_IMAGE_BYTES,
                       c->records + (size_t)i * FM_IMAGE_BYTES, FM_IMAGE_BYTES) == 0;
        *duplicates += same;
    }
    free(train);
    return FM_OK;
}

// ---- The files

static void put_big_endian(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static enum fm_status allocate_file(
    struct fm_idx_files *files, int index, size_t header, size_t size)
{
    files->sizes[index] = header + size;
    files->bytes[index] = malloc(header + size);
    return files->bytes[index] ? FM_OK : fm_fail_memory("the converted pictures", header + size);
}

static enum fm_status make_part(
    const struct conversion *c, enum fm_part part, int images, struct fm_idx_files *files)
{
    const struct fm_folders *folders = c->folders;
    uint32_t count = count_part(folders, part), at = 0;
    FM_TRY(allocate_file(files, images, FM_IDX_IMAGES_HEADER, (size_t)count * FM_IMAGE_BYTES));
    FM_TRY(allocate_file(files, images + 1, FM_IDX_LABELS_HEADER, count));
    uint8_t *pixels = files->bytes[images], *labels = files->bytes[images + 1];
    put_big_endian(pixels, FM_IDX_IMAGES);
    put_big_endian(pixels + 4, count);
    put_big_endian(pixels + 8, FM_IMAGE_SIDE);
    put_big_endian(pixels + 12, FM_IMAGE_SIDE);
    put_big_endian(labels, FM_IDX_LABELS);
    put_big_endian(labels + 4, count);
    for (uint32_t i = 0; i < folders->count; i++) {
        if (folders->pictures[i].part != (char)part)
            continue;
        memcpy(pixels + FM_IDX_IMAGES_HEADER + (size_t)at * FM_IMAGE_BYTES,
            c->records + (size_t)i * FM_IMAGE_BYTES, FM_IMAGE_BYTES);
        labels[FM_IDX_LABELS_HEADER + at++] = (uint8_t)folders->pictures[i].label;
    }
    for (int i = images; i <= images + 1; i++)
        files->crc32[i] = (uint32_t)crc32_z(0, files->bytes[i], files->sizes[i]);
    return FM_OK;
}

void fm_idx_files_free(struct fm_idx_files *files)
{
    for (int i = 0; i < FM_FOLDER_FILES; i++)
        free(files->bytes[i]);
    *files = (struct fm_idx_files){0};
}

static enum fm_status convert(struct conversion *c, struct fm_idx_files *files)
{
    FM_TRY(convert_all(c));
    if (c->folders->held_out)
        FM_TRY(hold_out(c));
    FM_TRY(check_counts(c->folders));
    FM_TRY(count_duplicates(c, &files->duplicates));
    FM_TRY(make_part(c, FM_PART_TRAIN, 0, files));
    return make_part(c, FM_PART_TEST, 2, files);
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
    enum fm_status status = convert(&c, files);
    free(c.records);
    if (status == FM_OK)
        fm_note("pictures: %s in %d classes converted in %s",
            fm_group_digits(folders->count - count_part(folders, FM_PART_NONE), digits),
            folders->classes, fm_duration(fm_clock_seconds() - start, duration));
    return status;
}
