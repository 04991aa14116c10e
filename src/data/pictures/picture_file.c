// Pictures from files: regular ones of a size that a picture can have, read whole.
#include "data/pictures/picture.h"

#include "data/pictures/picture_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    STREAM_GROWTH = 1 << 16
};

// Reads on until the end, or until there is more than a picture may have.
enum fm_status fm_picture_bytes_read(
    int fd, const char *name, size_t expected, uint8_t **bytes, size_t *size)
{
    size_t capacity = expected + 1, used = 0; // one more, so that the end is seen
    uint8_t *buffer = malloc(capacity);
    *bytes = NULL;
    while (buffer) {
        ssize_t got = read(fd, buffer + used, capacity - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(buffer);
            return fm_fail(FM_IO, "%s: cannot read: %s", name, strerror(errno));
        }
        used += (size_t)got;
        if (got == 0 || used > FM_PICTURE_FILE_MAX) {
            *bytes = buffer;
            *size = used;
            return FM_OK;
        }
        if (used == capacity) {
            capacity += capacity / 2 + STREAM_GROWTH;
            uint8_t *larger = realloc(buffer, capacity);
            if (!larger)
                free(buffer);
            buffer = larger;
        }
    }
    return fm_fail_memory(name, capacity);
}

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode)    ? "a folder"
           : S_ISFIFO(mode) ? "a pipe"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

static enum fm_status check_file(const char *path, const struct stat *info)
{
    if (!S_ISREG(info->st_mode))
        return fm_fail(
            FM_DATA, "%s: found %s, expected a file with a picture", path, kind_of(info->st_mode));
    if (info->st_size > FM_PICTURE_FILE_MAX)
        return fm_fail(FM_DATA,
            "%s: found %lld bytes, expected at most %d: no picture is that large", path,
            (long long)info->st_size, FM_PICTURE_FILE_MAX);
    return FM_OK;
}

// A pipe would wait for a writer, and a terminal could become ours.
static int open_to_read(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

enum fm_status fm_picture_file_read(const char *path, uint8_t **bytes, size_t *size)
{
    struct stat info;
    *bytes = NULL;
    *size = 0;
    int fd = open_to_read(path);
    if (fd < 0)
        return fm_fail(errno == ENOENT  ? FM_NOT_FOUND
                       : errno == ENXIO ? FM_DATA
                                        : FM_IO,
            "%s: cannot open: %s", path, strerror(errno));
    enum fm_status status;
    if (fstat(fd, &info) != 0)
        status = fm_fail(FM_IO, "%s: cannot examine: %s", path, strerror(errno));
    else
        status = check_file(path, &info);
    if (status == FM_OK)
        status = fm_picture_bytes_read(fd, path, (size_t)info.st_size, bytes, size);
    close(fd);
    return status;
}

enum fm_status fm_picture_read(const char *path, struct fm_picture *picture)
{
    uint8_t *bytes;
    size_t size;
    *picture = (struct fm_picture){0};
    FM_TRY(fm_picture_file_read(path, &bytes, &size));
    enum fm_status status = fm_picture_decode(path, bytes, size, picture);
    free(bytes);
    return status;
}

bool fm_picture_begins(const char *path)
{
    struct stat info;
    uint8_t head[FM_PICTURE_HEAD];
    int fd = open_to_read(path);
    if (fd < 0)
        return false;
    bool regular = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    ssize_t got = regular ? pread(fd, head, sizeof head, 0) : -1;
    close(fd);
    return got > 0 && (fm_png_begins(head, (size_t)got) || fm_jpeg_begins(head, (size_t)got));
}
