// Converted pictures are kept, so that a second start reads four files in place of ten thousands.
#include "data/folders.h"

#include "base/log.h"
#include "base/text.h"
#include "data/folders_parts.h"
#include "data/picture.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum {
    // Raised with every change of data/picture_*.c or of this folder's files by which the same
    // pictures become other records, or the same listing another data set.
    CONVERSION = 1,
    STALE_SECONDS = 24 * 60 * 60 // after which a half-made folder is nobody's
};
#define MANIFEST "manifest"

static const char *const file_names[FM_FOLDER_FILES] = {"train-images-idx3-ubyte",
    "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

// ---- The manifest: lines; of what comes from outside, a newline is written as \n

static void append_line(struct fm_text *out, const char *string)
{
    for (const char *at = string; *at; at++) {
        if (*at == '\n')
            fm_text_append(out, "\\n");
        else if (*at == '\\')
            fm_text_append(out, "\\\\");
        else
            fm_text_append_bytes(out, at, 1);
    }
    fm_text_append(out, "\n");
}

// The part that is known before any picture is read: a kept data set is of these pictures if its
// manifest begins with this, byte for byte.
static void append_listing(struct fm_text *out, const struct fm_folders *folders)
{
    struct fm_picture_library libraries[FM_PICTURE_LIBRARIES];
    char absolute[FM_PATH_MAX];
    fm_path_absolute(absolute, folders->directory);
    fm_text_append(out, "fmnist pictures %d\n", CONVERSION);
    fm_picture_libraries(libraries);
    for (int i = 0; i < FM_PICTURE_LIBRARIES; i++)
        if (!libraries[i].compiled)
            fm_text_append(out, "without %s\n", libraries[i].name);
    fm_text_append(out, "directory ");
    append_line(out, absolute);
    for (int c = 0; c < folders->classes; c++)
        fm_text_append(out, "class %s\n", folders->names[c]);
    for (uint32_t i = 0; i < folders->count; i++) {
        const struct fm_folder_picture *p = &folders->pictures[i];
        fm_text_append(out, "picture %" PRIu64 " %" PRId64 ".%09" PRId64 " ", p->size, p->seconds,
            p->nanoseconds);
        append_line(out, p->path);
    }
}

// The part that tells what has become of the pictures.
static void append_outcome(
    struct fm_text *out, const struct fm_folders *folders, const struct fm_idx_files *files)
{
    fm_text_append(out, "duplicates %" PRIu32 "\n", files->duplicates);
    for (int i = 0; i < FM_FOLDER_FILES; i++)
        fm_text_append(
            out, "file %s %08" PRIx32 " %zu\n", file_names[i], files->crc32[i], files->sizes[i]);
    fm_text_append(out, "parts ");
    for (uint32_t i = 0; i < folders->count; i++)
        fm_text_append_bytes(out, &folders->pictures[i].part, 1);
    fm_text_append(out, "\n");
    for (uint32_t i = 0; i < folders->count; i++) {
        if (folders->pictures[i].part != FM_PART_NONE)
            continue;
        fm_text_append(out, "error ");
        append_line(out, folders->pictures[i].error ? folders->pictures[i].error : "");
    }
}

static uint32_t checksum(const char *text, size_t length)
{
    return (uint32_t)crc32_z(0, (const unsigned char *)text, length);
}

// ---- Places

// "" where neither variable says where; XDG: a relative path is to be ignored.
static enum fm_status find_root(char out[FM_PATH_MAX])
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    out[0] = '\0';
    if (xdg && xdg[0] == '/')
        return fm_path_join(out, xdg, "fmnist/datasets");
    return home && home[0] == '/' ? fm_path_join(out, home, ".cache/fmnist/datasets") : FM_OK;
}

enum fm_status fm_folders_cache_path(const struct fm_folders *folders, char path[FM_PATH_MAX])
{
    char root[FM_PATH_MAX], absolute[FM_PATH_MAX], name[64];
    struct fm_text listing = {0};
    FM_TRY(find_root(root));
    path[0] = '\0';
    if (!root[0])
        return FM_OK;
    append_listing(&listing, folders);
    if (listing.failed)
        return fm_fail(FM_MEMORY, "out of memory for the list of pictures");
    fm_path_absolute(absolute, folders->directory);
    snprintf(name, sizeof name, "%016" PRIx64 "-%016" PRIx64, fm_fnv1a(absolute, strlen(absolute)),
        fm_fnv1a(listing.data, listing.length));
    fm_text_free(&listing);
    return fm_path_join(path, root, name);
}

// ---- Reading

struct reader {
    const char *path, *at;
};

static enum fm_status fail_at(const struct reader *r, const char *expected)
{
    return fm_fail(FM_DATA, "%s: found '%.20s', expected '%s'", r->path, r->at, expected);
}

// The rest of the line that begins with `word`; freed by the caller.
static enum fm_status read_line(struct reader *r, const char *word, char **line)
{
    size_t length = strlen(word), kept = 0;
    const char *end = strchr(r->at, '\n');
    if (!end || strncmp(r->at, word, length) != 0)
        return fail_at(r, word);
    char *out = *line = malloc((size_t)(end - r->at) + 1);
    if (!out)
        return fm_fail_memory(r->path, (size_t)(end - r->at));
    for (const char *at = r->at + length; at < end; at++) {
        bool escaped = *at == '\\' && at + 1 < end;
        at += escaped;
        out[kept++] = (char)(escaped && *at == 'n' ? '\n' : *at);
    }
    out[kept] = '\0';
    r->at = end + 1;
    return FM_OK;
}

static enum fm_status read_parts(struct reader *r, struct fm_folders *folders)
{
    char *parts;
    FM_TRY(read_line(r, "parts ", &parts));
    bool fits = strlen(parts) == folders->count && strspn(parts, "aex") == folders->count;
    for (uint32_t i = 0; i < folders->count && fits; i++)
        folders->pictures[i].part = parts[i];
    free(parts);
    if (!fits)
        return fm_fail(FM_DATA, "%s: expected a part for each picture", r->path);
    for (uint32_t i = 0; i < folders->count; i++) {
        struct fm_folder_picture *picture = &folders->pictures[i];
        if (picture->part != FM_PART_NONE)
            continue;
        free(picture->error);
        picture->error = NULL;
        FM_TRY(read_line(r, "error ", &picture->error));
    }
    return FM_OK;
}

// The files are those that were written: their checksums were taken while they were read.
static enum fm_status check_files(struct reader *r, const struct fm_dataset *dataset)
{
    for (int i = 0; i < FM_FOLDER_FILES; i++) {
        struct fm_text expected = {0};
        char *found = NULL;
        fm_text_append(&expected, "%s %08" PRIx32 " %" PRIu64, file_names[i],
            dataset->files[i].crc32, dataset->files[i].size);
        enum fm_status status = read_line(r, "file ", &found);
        if (status == FM_OK && strcmp(found, fm_text_cstr(&expected)) != 0)
            status = fm_fail(FM_DATA, "%s: found the checksum and size of %s, expected %s", r->path,
                fm_text_cstr(&expected), found);
        free(found);
        fm_text_free(&expected);
        FM_TRY(status);
    }
    return FM_OK;
}

static enum fm_status check_end(const char *path, const char *text, size_t size)
{
    char expected[32];
    const char *last = text + size;
    while (last > text && (last == text + size || last[-1] != '\n'))
        last--;
    snprintf(
        expected, sizeof expected, "end %08" PRIx32 "\n", checksum(text, (size_t)(last - text)));
    if (strlen(text) == size && strcmp(last, expected) == 0)
        return FM_OK;
    return fm_fail(FM_DATA, "%s: its checksum does not fit", path);
}

// `path`: of the manifest, `cache`: of its folder.
static enum fm_status read_manifest(const char *path, const char *cache, const char *text,
    struct fm_folders *folders, struct fm_dataset *dataset, uint32_t *duplicates)
{
    struct fm_text listing = {0};
    char *count = NULL;
    int64_t number = 0;
    append_listing(&listing, folders);
    bool same = !listing.failed && strncmp(text, listing.data, listing.length) == 0;
    struct reader r = {path, text + listing.length};
    fm_text_free(&listing);
    if (!same) // two states of the folder with the same hash
        return fm_fail(FM_DATA, "%s: is of other pictures", path);
    FM_TRY(read_line(&r, "duplicates ", &count));
    enum fm_status status = fm_parse_int(path, count, 0, UINT32_MAX, &number);
    free(count);
    FM_TRY(status);
    *duplicates = (uint32_t)number;
    FM_TRY(fm_dataset_open(cache, dataset));
    if (dataset->classes != folders->classes)
        return fm_fail(FM_DATA, "%s: found %d classes, expected %d", cache, dataset->classes,
            folders->classes);
    for (int c = 0; c < folders->classes; c++)
        if (strcmp(dataset->class_names[c], folders->names[c]) != 0)
            return fm_fail(FM_DATA, "%s: found the class '%s', expected '%s'", cache,
                dataset->class_names[c], folders->names[c]);
    FM_TRY(check_files(&r, dataset));
    return read_parts(&r, folders); // last: a damaged cache must leave the pictures as they were
}

enum fm_status fm_folders_cache_read(
    const char *cache, struct fm_folders *folders, struct fm_dataset *dataset, uint32_t *duplicates)
{
    char path[FM_PATH_MAX];
    unsigned char *text;
    size_t size;
    if (!fm_path_exists(cache))
        return FM_NOT_FOUND;
    FM_TRY(fm_path_join(path, cache, MANIFEST));
    if (fm_file_read(path, &text, &size) != FM_OK)
        return FM_IO;
    enum fm_status status = check_end(path, (const char *)text, size);
    if (status == FM_OK)
        status = read_manifest(path, cache, (const char *)text, folders, dataset, duplicates);
    free(text);
    return status == FM_NOT_FOUND ? FM_DATA : status; // a file of it that is missing
}

// ---- Writing

// A folder of ours with all that is in it, one level deep; what cannot be removed stays.
static void remove_folder(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    rmdir(path);
}

static bool is_stale(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && time(NULL) - info.st_mtime > STALE_SECONDS;
}

// Folders of the same directory's pictures as they were before, and what killed processes have
// left half made long ago.
static void sweep(const char *root, const char *name)
{
    enum {
        DIRECTORY_HASH = 17 // and the dash behind it
    };
    DIR *dir = opendir(root);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[FM_PATH_MAX];
        if (strncmp(entry->d_name, name, DIRECTORY_HASH) != 0 || strcmp(entry->d_name, name) == 0 ||
            fm_path_join(path, root, entry->d_name) != FM_OK)
            continue;
        if (!strstr(entry->d_name, FM_TEMPORARY_MARK) || is_stale(path))
            remove_folder(path);
    }
    closedir(dir);
    fm_error_clear();
}

static enum fm_status write_into(
    const char *folder, const struct fm_folders *folders, const struct fm_idx_files *files)
{
    char path[FM_PATH_MAX];
    struct fm_text text = {0};
    for (int i = 0; i < FM_FOLDER_FILES; i++) {
        FM_TRY(fm_path_join(path, folder, file_names[i]));
        FM_TRY(fm_file_write(path, files->bytes[i], files->sizes[i]));
    }
    for (int c = 0; c < folders->classes; c++)
        fm_text_append(&text, "%s\n", folders->names[c]);
    FM_TRY(fm_path_join(path, folder, "classes.txt"));
    enum fm_status status = fm_file_write(path, fm_text_cstr(&text), text.length);
    fm_text_free(&text);
    FM_TRY(status);
    append_listing(&text, folders);
    append_outcome(&text, folders, files);
    uint32_t end = checksum(fm_text_cstr(&text), text.length);
    fm_text_append(&text, "end %08" PRIx32 "\n", end);
    status = fm_path_join(path, folder, MANIFEST);
    if (status == FM_OK && text.failed)
        status = fm_fail(FM_MEMORY, "%s: out of memory", path);
    if (status == FM_OK)
        status = fm_file_write(path, fm_text_cstr(&text), text.length);
    fm_text_free(&text);
    return status;
}

// Puts the finished folder in place. What is there already is another process's, which has found
// the same pictures, or the damaged one that this replaces: in both cases the newer one is right.
static enum fm_status put_in_place(const char *temporary, const char *path)
{
    char away[FM_PATH_MAX];
    if (rename(temporary, path) == 0)
        return FM_OK;
    if (errno != EEXIST && errno != ENOTEMPTY)
        return fm_fail(FM_IO, "%s: cannot put it in place: %s", path, strerror(errno));
    int needed = snprintf(away, sizeof away, "%s-old", temporary);
    if (needed < 0 || needed >= FM_PATH_MAX || rename(path, away) != 0)
        return fm_fail(FM_IO, "%s: cannot replace it: %s", path, strerror(errno));
    int failed = rename(temporary, path);
    int code = errno;
    remove_folder(away);
    if (failed && code != EEXIST && code != ENOTEMPTY)
        return fm_fail(FM_IO, "%s: cannot put it in place: %s", path, strerror(code));
    if (failed) // another process was faster, with the same pictures
        remove_folder(temporary);
    return FM_OK;
}

enum fm_status fm_folders_cache_write(
    const char *path, const struct fm_folders *folders, const struct fm_idx_files *files)
{
    char root[FM_PATH_MAX], temporary[FM_PATH_MAX];
    FM_TRY(find_root(root));
    FM_TRY(fm_make_dirs(root));
    int needed = snprintf(temporary, sizeof temporary, "%s" FM_TEMPORARY_MARK "XXXXXX", path);
    if (needed < 0 || needed >= FM_PATH_MAX)
        return fm_fail(FM_IO, "path too long: %s", path);
    if (!mkdtemp(temporary))
        return fm_fail(FM_IO, "%s: cannot make the directory: %s", temporary, strerror(errno));
    enum fm_status status = write_into(temporary, folders, files);
    if (status == FM_OK)
        status = put_in_place(temporary, path);
    if (status != FM_OK)
        remove_folder(temporary);
    else
        sweep(root, strrchr(path, '/') + 1);
    fm_sync_parent(path);
    return status;
}
