// Files: read whole, written whole or not at all.
#ifndef FM_BASE_FILE_H
#define FM_BASE_FILE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    FM_PATH_MAX = 4096
};

// "dir/name" into `out`; fails with FM_IO when it does not fit.
enum fm_status fm_path_join(char out[FM_PATH_MAX], const char *dir, const char *name);

// `path` into `out`; fails likewise.
enum fm_status fm_path_copy(char out[FM_PATH_MAX], const char *path);

// The directory of the shared library that holds this code, or of the program where there is none,
// without a slash at the end: what ships with it is found from there.
enum fm_status fm_library_directory(char out[FM_PATH_MAX]);

// `path` without symbolic links and from the root on; as it is where there is nothing there.
void fm_path_absolute(char out[FM_PATH_MAX], const char *path);

bool fm_path_exists(const char *path);
bool fm_path_is_dir(const char *path);

// mkdir -p.
enum fm_status fm_make_dirs(const char *path);

// The whole file; `*data` is NUL-terminated beyond `*size` and freed by the caller.
enum fm_status fm_file_read(const char *path, unsigned char **data, size_t *size);

// What follows the path's name in a temporary file's.
#define FM_TEMPORARY_MARK ".tmp-"

// A file appears under `path` whole or not at all: written under a temporary name in the same
// folder, fsync'ed, renamed. `chunks` are concatenated.
struct fm_chunk {
    const void *data;
    size_t size;
};
enum fm_status fm_file_write_chunks(const char *path, const struct fm_chunk *chunks, size_t count);
enum fm_status fm_file_write(const char *path, const void *data, size_t size);

// The same in pieces, for what is too much to hold in memory at once. After a failure, and before
// the commit, fm_writer_abandon() leaves what was there before; after the commit it does nothing.
struct fm_writer {
    char path[FM_PATH_MAX], temporary[FM_PATH_MAX];
    int fd; // negative: nothing is under way
};
enum fm_status fm_writer_open(struct fm_writer *writer, const char *path);
enum fm_status fm_writer_put(struct fm_writer *writer, const void *data, size_t size);
enum fm_status fm_writer_commit(struct fm_writer *writer);
void fm_writer_abandon(struct fm_writer *writer);

// As fm_file_write(), for a file that must not be there yet: of several callers at the same time
// one makes it, the others fail with FM_EXISTS. (On a file system without hard links two at the
// very same moment are not told apart.)
enum fm_status fm_file_create(const char *path, const void *data, size_t size);

// Removes the file; one that is not there is removed already.
enum fm_status fm_file_remove(const char *path);

// Opens for appending, writes `text`, flushes to the disk, closes: for logs that grow by lines.
enum fm_status fm_file_append(const char *path, const char *text);

// Makes a rename or link to `path` durable, as far as its file system can; never fails.
void fm_sync_parent(const char *path);

#endif
