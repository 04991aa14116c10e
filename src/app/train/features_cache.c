// Kept features are believed only where the text of what they depend on and a checksum of their
// values agree; what can go wrong with the folder costs time and never a training.
#include "app/train/features_cache.h"

#include "base/log.h"
#include "net/files/tensors.h"
#include "net/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define TENSOR_NAME "features"

enum {
    CRC_DIGITS = 9 // hexadecimal, with the NUL
};

// What went wrong with the cache, as a warning: the work goes on without it.
static void give_up(struct fm_features_cache *cache, const char *what)
{
    if (cache->descriptor >= 0)
        close(cache->descriptor);
    cache->descriptor = -1;
    fm_warn("%s: %s: computed features are not kept", cache->partial, what);
}

static void give_up_writing(struct fm_features_cache *cache)
{
    char what[128];
    snprintf(what, sizeof what, "cannot be written: %s", strerror(errno));
    give_up(cache, what);
}

enum fm_status fm_features_cache_open(const char *folder, struct fm_text *about, size_t rows,
    size_t columns, struct fm_features_cache *cache)
{
    char key[FM_SHA256_SIZE], name[FM_SHA256_SIZE + 16], directory[FM_PATH_MAX];
    *cache = (struct fm_features_cache){.rows = rows, .columns = columns, .descriptor = -1};
    cache->about = *about;
    *about = (struct fm_text){0};
    const char *text = fm_text_cstr(&cache->about);
    if (cache->about.failed)
        return fm_fail_memory("a key of features", 1024);
    if (!folder)
        return FM_OK;
    fm_digest_bytes(text, strlen(text), key);
    FM_TRY(fm_path_join(directory, folder, "features"));
    snprintf(name, sizeof name, "%s.safetensors", key);
    FM_TRY(fm_path_join(cache->path, directory, name));
    snprintf(name, sizeof name, "%s.partial", key);
    FM_TRY(fm_path_join(cache->partial, directory, name));
    if (fm_make_dirs(directory) == FM_OK)
        return FM_OK;
    char *reason = fm_error_take();
    fm_warn("%s: computed features are not kept", reason ? reason : directory);
    free(reason);
    cache->path[0] = '\0';
    return FM_OK;
}

void fm_features_cache_close(struct fm_features_cache *cache)
{
    if (cache->descriptor >= 0)
        close(cache->descriptor);
    cache->descriptor = -1;
    fm_text_free(&cache->about);
}

static void checksum(const struct fm_features_cache *cache, const float *values, size_t rows,
    char digits[CRC_DIGITS])
{
    size_t bytes = rows * cache->columns * sizeof *values;
    uLong crc = crc32_z(0, (const Bytef *)values, bytes);
    snprintf(digits, CRC_DIGITS, "%08" PRIx32, (uint32_t)crc);
}

// ---- the whole file

static enum fm_status wrong(const struct fm_features_cache *cache, const char *what)
{
    return fm_fail(FM_DATA, "%s: %s", cache->path, what);
}

static enum fm_status take(
    const struct fm_features_cache *cache, const struct fm_tensors *file, float *values)
{
    int tensor = fm_tensors_find(file, TENSOR_NAME);
    const char *about = fm_tensors_metadata(file, "about");
    const char *crc = fm_tensors_metadata(file, "crc32");
    char digits[CRC_DIGITS];
    if (!about || strcmp(about, fm_text_cstr(&cache->about)) != 0)
        return wrong(cache, "is of other features");
    if (tensor < 0 || file->list[tensor].count != cache->rows * cache->columns)
        return wrong(cache, "has another number of values");
    FM_TRY(fm_tensors_read(file, tensor, values));
    checksum(cache, values, cache->rows, digits);
    if (!crc || strcmp(crc, digits) != 0)
        return wrong(cache, "its checksum is wrong");
    return FM_OK;
}

bool fm_features_cache_read(struct fm_features_cache *cache, float *values)
{
    struct fm_tensors file;
    if (!cache->path[0] || !fm_path_exists(cache->path))
        return false;
    enum fm_status status = fm_tensors_open(cache->path, &file);
    if (status == FM_OK) {
        status = take(cache, &file, values);
        fm_tensors_close(&file);
    }
    if (status == FM_OK)
        return true;
    char *reason = fm_error_take();
    fm_warn("%s: these features are computed again", reason ? reason : cache->path);
    free(reason);
    return false;
}

// ---- the growing file: batches, each with a checksum before it, so that what a power cut has left
// of the last ones is not believed

static bool read_batch(const struct fm_features_cache *cache, off_t at, size_t rows, float *values)
{
    char there[CRC_DIGITS] = "", digits[CRC_DIGITS];
    size_t bytes = rows * cache->columns * sizeof *values;
    if (pread(cache->descriptor, there, CRC_DIGITS, at) != CRC_DIGITS ||
        pread(cache->descriptor, values, bytes, at + CRC_DIGITS) != (ssize_t)bytes)
        return false;
    checksum(cache, values, rows, digits);
    return memcmp(there, digits, CRC_DIGITS) == 0;
}

size_t fm_features_cache_begin(struct fm_features_cache *cache, size_t batch, float *values)
{
    if (!cache->path[0])
        return 0;
    cache->descriptor = open(cache->partial, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (cache->descriptor < 0) {
        give_up_writing(cache);
        return 0;
    }
    if (flock(cache->descriptor, LOCK_EX | LOCK_NB) != 0) {
        give_up(cache, "another process is computing the same");
        return 0;
    }
    size_t done = 0;
    off_t end = 0;
    while (done + batch <= cache->rows &&
           read_batch(cache, end, batch, values + done * cache->columns)) {
        done += batch;
        end += (off_t)(CRC_DIGITS + batch * cache->columns * sizeof *values);
    }
    if (ftruncate(cache->descriptor, end) != 0 || lseek(cache->descriptor, end, SEEK_SET) != end) {
        give_up_writing(cache);
        return done;
    }
    return done;
}

static bool put(int descriptor, const void *data, size_t size)
{
    const char *next = data;
    while (size > 0) {
        ssize_t written = write(descriptor, next, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        next += written;
        size -= (size_t)written;
    }
    return true;
}

void fm_features_cache_append(struct fm_features_cache *cache, const float *values, size_t rows)
{
    char digits[CRC_DIGITS];
    if (cache->descriptor < 0)
        return;
    checksum(cache, values, rows, digits);
    if (!put(cache->descriptor, digits, CRC_DIGITS) ||
        !put(cache->descriptor, values, rows * cache->columns * sizeof *values))
        give_up_writing(cache);
}

void fm_features_cache_finish(struct fm_features_cache *cache, float *values)
{
    char digits[CRC_DIGITS];
    if (cache->descriptor < 0)
        return;
    struct fm_tensor tensor = {.ndims = 2,
        .dims = {(int64_t)cache->rows, (int64_t)cache->columns},
        .count = cache->rows * cache->columns,
        .data = values};
    snprintf(tensor.name, sizeof tensor.name, TENSOR_NAME);
    checksum(cache, values, cache->rows, digits);
    const char *const metadata[] = {"about", fm_text_cstr(&cache->about), "crc32", digits, NULL};
    if (fm_safetensors_write(cache->path, &tensor, 1, metadata) != FM_OK) {
        char *reason = fm_error_take();
        fm_warn("%s: computed features are not kept", reason ? reason : cache->path);
        free(reason);
    } else {
        unlink(cache->partial);
    }
    close(cache->descriptor);
    cache->descriptor = -1;
}
