// Files read whole, and files written so that a crash or a full disk never leaves half of one under
// its final name.
#include "base/file.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TEMPORARY_TRIES = 1000,
    READ_GROWTH = 65536
};

static enum fm_status fail_errno(const char *what, const char *path)
{
    return fm_fail(FM_IO, "%s: cannot %s: %s", path, what, strerror(errno));
}

static enum fm_status fail_too_long(int bytes, const char *path)
{
    return fm_fail(
        FM_IO, "path too long (%d bytes, at most %d): %.60s...", bytes, FM_PATH_MAX - 1, path);
}

enum fm_status fm_path_join(char out[FM_PATH_MAX], const char *dir, const char *name)
{
    size_t length = strlen(dir);
    const char *slash = length > 0 && dir[length - 1] != '/' ? "/" : "";
    int needed = snprintf(out, FM_PATH_MAX, "%s%s%s", dir, slash, name);
    if (needed < 0 || needed >= FM_PATH_MAX)
        return fail_too_long(needed, dir);
    return FM_OK;
}

enum fm_status fm_path_copy(char out[FM_PATH_MAX], const char *path)
{
    int needed = snprintf(out, FM_PATH_MAX, "%s", path);
    if (needed < 0 || needed >= FM_PATH_MAX)
        return fail_too_long(needed, path);
    return FM_OK;
}

// The file that this code was loaded from: the shared library, or the program that it is linked
// into.
static enum fm_status find_own_file(char out[FM_PATH_MAX])
{
    static const char here;
    Dl_info info;
    struct link_map *map = NULL;
    bool found = dladdr1(&here, &info, (void **)&map, RTLD_DL_LINKMAP) != 0 && map;
    // Of the program itself the loader knows what it was called, not where it lies.
    const char *path = found && map->l_name[0] ? map->l_name : "/proc/self/exe";
    char *real = realpath(path, NULL);
    if (!real)
        return fail_errno("find the file that fmnist was loaded from", path);
    enum fm_status status = fm_path_copy(out, real);
    free(real);
    return status;
}

enum fm_status fm_library_directory(char out[FM_PATH_MAX])
{
    FM_TRY(find_own_file(out));
    char *slash = strrchr(out, '/');
    if (!slash)
        return fm_fail(FM_IO, "found '%s', expected an absolute path", out);
    *slash = '\0';
    return FM_OK;
}

void fm_path_absolute(char out[FM_PATH_MAX], const char *path)
{
    char *real = realpath(path, NULL);
    snprintf(out, FM_PATH_MAX, "%s", real ? real : path);
    free(real);
}

bool fm_path_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool fm_path_is_dir(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static enum fm_status make_dir(const char *path)
{
    if (mkdir(path, 0777) == 0 || fm_path_is_dir(path))
        return FM_OK;
    if (errno == EEXIST)
        return fm_fail(FM_IO, "%s: cannot make the directory: a file is in its place", path);
    return fail_errno("make the directory", path);
}

enum fm_status fm_make_dirs(const char *path)
{
    char part[FM_PATH_MAX];
    FM_TRY(fm_path_join(part, path, ""));
    if (part[0] == '\0')
        return fm_fail(FM_IO, "cannot make a directory without a name");
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        FM_TRY(make_dir(part));
        *slash = '/';
    }
    return FM_OK;
}

// Reads to the end whatever fstat said: the size of a pipe or of a file under /proc is not known.
static enum fm_status read_to_end(
    int fd, const char *path, size_t capacity, unsigned char **data, size_t *size)
{
    size_t used = 0;
    unsigned char *buffer = malloc(capacity);
    if (!buffer)
        return fm_fail_memory(path, capacity);
    for (;;) {
        if (used + 1 >= capacity) {
            capacity += capacity / 2 + READ_GROWTH;
            unsigned char *larger = realloc(buffer, capacity);
            if (!larger) {
                free(buffer);
                return fm_fail_memory(path, capacity);
            }
            buffer = larger;
        }
        ssize_t got = read(fd, buffer + used, capacity - used - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(buffer);
            return fail_errno("read", path);
        }
        if (got == 0)
            break;
        used += (size_t)got;
    }
    buffer[used] = '\0';
    *data = buffer;
    *size = used;
    return FM_OK;
}

enum fm_status fm_file_read(const char *path, unsigned char **data, size_t *size)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno("open", path);
    enum fm_status status;
    if (fstat(fd, &info) != 0)
        status = fail_errno("stat", path);
    else if (S_ISDIR(info.st_mode))
        status = fm_fail(FM_IO, "%s: is a directory, expected a file", path);
    else // two bytes more: one for the NUL, one so that the end is met without growing
        status = read_to_end(fd, path, (size_t)info.st_size + 2, data, size);
    close(fd);
    return status;
}

static enum fm_status write_all(int fd, const char *path, const void *data, size_t size)
{
    const char *bytes = data;
    while (size > 0) {
        ssize_t put = write(fd, bytes, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail_errno("write", path);
        bytes += put;
        size -= (size_t)put;
    }
    return FM_OK;
}

// Not mkstemp: that would make the file readable by its owner only, whatever the umask.
static enum fm_status open_temporary(const char *path, char temporary[FM_PATH_MAX], int *fd)
{
    for (int i = 0; i < TEMPORARY_TRIES; i++) {
        int needed = snprintf(
            temporary, FM_PATH_MAX, "%s" FM_TEMPORARY_MARK "%ld-%d", path, (long)getpid(), i);
        if (needed < 0 || needed >= FM_PATH_MAX)
            return fail_too_long(needed, path);
        *fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (*fd >= 0)
            return FM_OK;
        if (errno != EEXIST)
            break;
    }
    return fail_errno("create", path);
}

// Makes the rename itself durable. Some file systems cannot sync a directory; the file is whole
// under its name either way, so that is no failure.
void fm_sync_parent(const char *path)
{
    char parent[FM_PATH_MAX];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    int fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

enum fm_status fm_writer_open(struct fm_writer *w, const char *path)
{
    w->fd = -1;
    FM_TRY(fm_path_copy(w->path, path));
    return open_temporary(path, w->temporary, &w->fd);
}

enum fm_status fm_writer_put(struct fm_writer *w, const void *data, size_t size)
{
    return write_all(w->fd, w->path, data, size);
}

void fm_writer_abandon(struct fm_writer *w)
{
    if (w->fd < 0)
        return;
    close(w->fd);
    unlink(w->temporary);
    w->fd = -1;
}

// The temporary file is whole and on the disk; on failure there is none.
static enum fm_status finish_temporary(struct fm_writer *w)
{
    enum fm_status status = FM_OK;
    if (fsync(w->fd) != 0)
        status = fail_errno("write to the disk", w->path);
    if (close(w->fd) != 0 && status == FM_OK)
        status = fail_errno("close", w->path);
    w->fd = -1;
    if (status != FM_OK)
        unlink(w->temporary);
    return status;
}

static enum fm_status put_in_place(const struct fm_writer *w)
{
    if (rename(w->temporary, w->path) != 0) {
        enum fm_status status = fail_errno("put the finished file in place", w->path);
        unlink(w->temporary);
        return status;
    }
    fm_sync_parent(w->path);
    return FM_OK;
}

enum fm_status fm_writer_commit(struct fm_writer *w)
{
    FM_TRY(finish_temporary(w));
    return put_in_place(w);
}

static enum fm_status put_chunks(struct fm_writer *w, const struct fm_chunk *chunks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum fm_status status = fm_writer_put(w, chunks[i].data, chunks[i].size);
        if (status != FM_OK) {
            fm_writer_abandon(w);
            return status;
        }
    }
    return FM_OK;
}

enum fm_status fm_file_write_chunks(const char *path, const struct fm_chunk *chunks, size_t count)
{
    struct fm_writer w;
    FM_TRY(fm_writer_open(&w, path));
    FM_TRY(put_chunks(&w, chunks, count));
    return fm_writer_commit(&w);
}

enum fm_status fm_file_write(const char *path, const void *data, size_t size)
{
    struct fm_chunk chunk = {data, size};
    return fm_file_write_chunks(path, &chunk, 1);
}

enum fm_status fm_file_create(const char *path, const void *data, size_t size)
{
    struct fm_writer w;
    struct fm_chunk chunk = {data, size};
    FM_TRY(fm_writer_open(&w, path));
    FM_TRY(put_chunks(&w, &chunk, 1));
    FM_TRY(finish_temporary(&w));
    // Unlike rename(), link() never replaces what is there.
    bool linked = link(w.temporary, path) == 0;
    if (!linked && errno != EEXIST && !fm_path_exists(path))
        return put_in_place(&w);
    unlink(w.temporary);
    if (!linked)
        return fm_fail(FM_EXISTS, "%s: is there already", path);
    fm_sync_parent(path);
    return FM_OK;
}

enum fm_status fm_file_remove(const char *path)
{
    if (unlink(path) != 0 && errno != ENOENT)
        return fm_fail(FM_IO, "%s: cannot remove: %s", path, strerror(errno));
    return FM_OK;
}

enum fm_status fm_file_append(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return fail_errno("open for appending", path);
    enum fm_status status = write_all(fd, path, text, strlen(text));
    if (status == FM_OK && fsync(fd) != 0)
        status = fail_errno("write to the disk", path);
    if (close(fd) != 0 && status == FM_OK)
        status = fail_errno("close", path);
    return status;
}
