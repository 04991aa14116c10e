// What names stand for, found out before anything is read: pictures, folders of them, IDX files,
// and lists of names.
#include "data/pictures/source_parts.h"

#include "data/pictures/picture_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum {
    IDX_START = 8, // bytes: magic and count
    IDX_SNIFF = 4096
};

void fm_entries_free(struct fm_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        free(entries->all[i].path);
        free(entries->all[i].error);
    }
    free(entries->all);
    *entries = (struct fm_entries){0};
}

enum fm_status fm_entries_add(
    struct fm_entries *entries, enum fm_entry_kind kind, char *path, char *error, uint32_t images)
{
    bool lacking = !path || (kind == FM_ENTRY_BROKEN && !error);
    if (!lacking && entries->count == entries->capacity) {
        size_t capacity = entries->capacity ? 2 * entries->capacity : 64;
        struct fm_entry *larger = realloc(entries->all, capacity * sizeof *larger);
        if (larger) {
            entries->all = larger;
            entries->capacity = capacity;
        }
        lacking = !larger;
    }
    if (lacking) {
        free(path);
        free(error);
        return fm_fail_memory("names of images", entries->capacity * sizeof *entries->all);
    }
    entries->all[entries->count++] = (struct fm_entry){kind, path, error, images};
    return FM_OK;
}

// The first bytes of a file's contents, which may be gzipped.
static size_t inflate_start(unsigned char *from, size_t size, unsigned char *to, size_t room)
{
    z_stream z = {.next_in = from, .avail_in = (uInt)size, .next_out = to, .avail_out = (uInt)room};
    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return 0;
    inflate(&z, Z_SYNC_FLUSH);
    size_t got = room - z.avail_out;
    inflateEnd(&z);
    return got;
}

// Whether a file begins as one in IDX format, of whatever elements and dimensions: two zeros, the
// type of the elements, the number of dimensions.
static bool is_idx(const char *path, uint32_t *images)
{
    unsigned char file[IDX_SNIFF], start[IDX_START];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t got = fd >= 0 ? read(fd, file, sizeof file) : -1;
    if (fd >= 0)
        close(fd);
    if (got < IDX_START)
        return false;
    memcpy(start, file, sizeof start);
    if (file[0] == 0x1f && file[1] == 0x8b &&
        inflate_start(file, (size_t)got, start, sizeof start) < sizeof start)
        return false;
    *images = (uint32_t)start[4] << 24 | (uint32_t)start[5] << 16 | (uint32_t)start[6] << 8 |
              (uint32_t)start[7];
    return start[0] == 0 && start[1] == 0 && start[2] >= 8 && start[2] <= 14 && start[3] >= 1 &&
           start[3] <= 8;
}

static enum fm_status look_up(struct fm_entries *entries, const char *name)
{
    struct stat info;
    uint32_t images = 1;
    if (stat(name, &info) != 0)
        return fm_fail(errno == ENOENT || errno == ENOTDIR ? FM_NOT_FOUND : FM_IO,
            "%s: no image there: %s", name, strerror(errno));
    if (S_ISDIR(info.st_mode))
        return fm_entries_add_folder(entries, name);
    if (S_ISREG(info.st_mode) && is_idx(name, &images))
        return fm_entries_add(entries, FM_ENTRY_IDX, strdup(name), NULL, images);
    return fm_entries_add(entries, FM_ENTRY_PICTURE, strdup(name), NULL, 1);
}

enum fm_status fm_entries_add_name(struct fm_entries *entries, const char *name)
{
    enum fm_status status = look_up(entries, name);
    if (status == FM_OK || status == FM_MEMORY)
        return status;
    const char *message = fm_error_message();
    size_t length = strlen(name);
    if (strncmp(message, name, length) == 0 && strncmp(message + length, ": ", 2) == 0)
        message += length + 2;
    char *error = strdup(message);
    fm_error_clear();
    return fm_entries_add(entries, FM_ENTRY_BROKEN, strdup(name), error, 1);
}

// ---- Lists

// The list's text; its end is marked with a zero.
static enum fm_status read_list(const char *list, char **text)
{
    bool from_input = strcmp(list, "-") == 0;
    uint8_t *bytes = NULL;
    size_t size = 0;
    int fd = from_input ? STDIN_FILENO : open(list, O_RDONLY | O_CLOEXEC); // a pipe will do
    if (fd < 0)
        return fm_fail(errno == ENOENT ? FM_NOT_FOUND : FM_IO, "%s: cannot open the list: %s", list,
            strerror(errno));
    enum fm_status status = fm_picture_bytes_read(fd, list, 0, &bytes, &size);
    if (!from_input)
        close(fd);
    FM_TRY(status);
    if (size > FM_PICTURE_FILE_MAX)
        status = fm_fail(FM_DATA, "%s: the list has more than %d bytes", list, FM_PICTURE_FILE_MAX);
    else if (memchr(bytes, 0, size))
        status = fm_fail(FM_DATA,
            "%s: no list: found a zero byte in it, expected lines of text, each a path", list);
    *text = status == FM_OK ? realloc(bytes, size + 1) : NULL;
    if (!*text) {
        free(bytes);
        return status != FM_OK ? status : fm_fail_memory(list, size + 1);
    }
    (*text)[size] = '\0';
    return FM_OK;
}

enum fm_status fm_entries_add_list(struct fm_entries *entries, const char *list)
{
    char *text, *rest;
    FM_TRY(read_list(list, &text));
    enum fm_status status = FM_OK;
    size_t before = entries->count;
    rest = text;
    for (char *line; status == FM_OK && (line = strsep(&rest, "\n")) != NULL;) {
        size_t length = strlen(line);
        if (length > 0 && line[length - 1] == '\r')
            line[--length] = '\0';
        if (length > 0)
            status = fm_entries_add_name(entries, line);
    }
    free(text);
    if (status == FM_OK && entries->count == before)
        return fm_fail(FM_NOT_FOUND, "%s: the list is empty, expected a path on each line", list);
    return status;
}
